//! `issuers:`, each read by the rules of its kind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Diagnostics, Source, did_you_mean};
use crate::kind::{Cloud, IssuerKind, NamedBy, azure};
use crate::vocab::{Algorithm, Audience, ClaimType, IssuerName, IssuerUrl};
use crate::yaml::{Entry, Node, Yaml};

use super::section::Section;
use super::settings::IssuerSettings;
use super::{cluster, keys, schema};

/// A larger clock difference is a fault to mend, not to allow for.
const LONGEST_LEEWAY: Duration = Duration::from_secs(300);
const SECOND: Duration = Duration::from_secs(1);

/// What every issuer is read with.
pub(super) struct Reader<'a> {
    /// The file, for faults.
    pub(super) source: &'a Source,
    /// Where the files that issuers name start.
    pub(super) trust_bundles: &'a Path,
    /// Our own identifier.
    pub(super) own: Option<&'a IssuerUrl>,
}

impl Reader<'_> {
    /// All of them. What cannot be read is reported and left out.
    pub(super) fn all(&self, node: &Node, faults: &mut Diagnostics) -> Vec<IssuerSettings> {
        let Yaml::Mapping(entries) = &node.value else {
            let message = format!("`issuers` must be a mapping of names, found {}", node.value.type_name());
            let fault = Diagnostic::error(self.source, &node.place, "type", message);
            faults.push(fault.fix("write it as in `issuers: { github: { kind: github-actions } }`"));
            return Vec::new();
        };
        let mut read: Vec<(&Entry, IssuerSettings)> = Vec::new();
        for entry in entries {
            if let Some(issuer) = self.issuer(entry, faults) {
                self.refuse_same(entry, &issuer, &read, faults);
                read.push((entry, issuer));
            }
        }
        read.into_iter().map(|(_, issuer)| issuer).collect()
    }

    fn issuer(&self, entry: &Entry, faults: &mut Diagnostics) -> Option<IssuerSettings> {
        let name = IssuerName::parse(&entry.key).map_err(|error| {
            let fault = Diagnostic::error(self.source, &entry.key_place, "value", error.to_string());
            faults.push(fault.fix("write it as in `acme-ghes`"));
        });
        let section = Section::open(self.source, &entry.value, ("an issuer", schema::ISSUER), faults)?;
        section.require("kind", faults);
        let kind = section.text("kind", faults, |text| {
            let kinds: Vec<&str> = IssuerKind::ALL.iter().map(|kind| kind.name()).collect();
            IssuerKind::from_name(text).ok_or_else(|| format!("must be one of {}", kinds.join(", ")))
        })?;
        refuse_fields_of_other_kinds(&section, kind, faults);
        let danger_allow_http = section.flag("danger_allow_http", faults);
        let in_cluster = section.flag("in_cluster", faults);
        let fetching = keys::read(&section, kind, (self.trust_bundles, danger_allow_http), faults);
        let review = cluster::review(&section, &fetching, (self.trust_bundles, danger_allow_http), faults);
        Some(IssuerSettings {
            kind,
            url: url(&section, kind, danger_allow_http, faults),
            tenants: tenants(&section, kind, faults),
            cloud: cloud(&section, kind, faults).unwrap_or_default(),
            trust_domain: trust_domain(&section, kind, faults),
            audiences: section.list("audiences", faults, Audience::parse),
            algorithms: algorithms(&section, kind, faults),
            keys: fetching.keys,
            ca_file: fetching.ca_file,
            ca_only: fetching.ca_only,
            bearer_token_file: fetching.bearer_token_file,
            single_use: section.boolean("single_use", faults),
            max_lifetime: section.duration("max_lifetime", (SECOND, Duration::MAX), faults),
            leeway: section.duration("leeway", (Duration::ZERO, LONGEST_LEEWAY), faults),
            allow_additional_audiences: section.flag("allow_additional_audiences", faults),
            allow_private_network: section.flag("allow_private_network", faults) || in_cluster,
            allow_missing_kid: section.flag("allow_missing_kid", faults),
            stale_keys_for: section.duration("stale_keys_for", (Duration::ZERO, Duration::MAX), faults),
            audit_exclude: audit_exclude(&section, kind, faults),
            claims: self.claims(&section, faults),
            danger_allow_http,
            review,
            shadow: section.text("mode", faults, is_shadow).unwrap_or(false),
            disabled: section.flag("disabled", faults),
            explain_to_caller: false,
            name: name.ok()?,
        })
    }

    fn claims(&self, section: &Section<'_>, faults: &mut Diagnostics) -> BTreeMap<String, ClaimType> {
        let Some(entry) = section.entry("claims") else { return BTreeMap::new() };
        let types = ClaimType::ALL.map(ClaimType::name).join(", ");
        let Yaml::Mapping(claims) = &entry.value.value else {
            let message =
                format!("`claims` must be a mapping of names to types, found {}", entry.value.value.type_name());
            faults.push(section.fault("claims", "type", message).fix(format!("`claims: {{ NAME: {types} }}`")));
            return BTreeMap::new();
        };
        let declared = claims.iter().filter_map(|claim| {
            let found = match &claim.value.value {
                Yaml::String(name) => ClaimType::from_name(name),
                _ => None,
            };
            if found.is_none() {
                let message = format!("`{}` has no known claim type", claim.key);
                let fault = Diagnostic::error(self.source, &claim.value.place, "value", message);
                faults.push(fault.fix(format!("write one of {types}")));
            }
            Some((claim.key.clone(), found?))
        });
        declared.collect()
    }

    /// Two enabled issuers that sign the same tokens would let the order of the file decide (and with keys of one,
    /// policies of the other apply); an issuer that is ourselves would let our tokens stand for a workload's own.
    fn refuse_same(
        &self,
        entry: &Entry,
        issuer: &IssuerSettings,
        earlier: &[(&Entry, IssuerSettings)],
        faults: &mut Diagnostics,
    ) {
        let identifiers = identifiers(issuer);
        if issuer.disabled || identifiers.is_empty() {
            return;
        }
        let mut refuse = |message: String, fix: &str| {
            faults.push(Diagnostic::error(self.source, &entry.key_place, "same-issuer", message).fix(fix));
        };
        if self.own.is_some_and(|own| identifiers.iter().any(|identifier| identifier == own.as_str())) {
            refuse(format!("`{}` is this broker itself", entry.key), "remove it; our own tokens are no assertions");
        }
        let fix = if issuer.kind.shares_identifier {
            "keep one, set `disabled: true` on the other, or, if they are two clusters, give each its own `keys`"
        } else {
            "keep one, or set `disabled: true` on the other"
        };
        for (_, other) in earlier.iter().filter(|(_, other)| !other.disabled && !cluster::are_two(issuer, other)) {
            if let Some(shared) = identifiers.iter().find(|identifier| self::identifiers(other).contains(identifier)) {
                let message = format!("`{}` and `{}` are the same issuer, {shared}", entry.key, other.name);
                refuse(message, fix);
            }
        }
    }
}

/// Every value by which a token names the issuer.
fn identifiers(issuer: &IssuerSettings) -> Vec<String> {
    match &issuer.trust_domain {
        Some(trust_domain) => vec![trust_domain.id_string()],
        None => issuer.kind.identifiers(&issuer.identity()),
    }
}

fn refuse_fields_of_other_kinds(section: &Section<'_>, kind: IssuerKind, faults: &mut Diagnostics) {
    for of in IssuerKind::ALL {
        for name in of.own_settings.iter().filter(|name| section.has(name) && !kind.own_settings.contains(name)) {
            let message = format!("an issuer of kind {kind} has no `{name}`; only {of} has");
            let fix = match *name {
                "bundle" => "name the keys as in `keys: { file: idp.jwks.json }`, or write `kind: spiffe`".to_owned(),
                _ => format!("remove it, or write `kind: {of}`"),
            };
            faults.push(section.fault_at_key(name, "wrong-kind", message).fix(fix));
        }
    }
    if matches!(kind.named_by, NamedBy::TrustDomain) && section.has("url") {
        let message = "a SPIFFE issuer has no `url`: its tokens are known by the trust domain of `sub`";
        let fix = "remove it; where its keys are is `bundle: { url: …, profile: … }`";
        faults.push(section.fault_at_key("url", "wrong-kind", message).fix(fix));
    }
}

fn url(
    section: &Section<'_>,
    kind: IssuerKind,
    danger_allow_http: bool,
    faults: &mut Diagnostics,
) -> Option<IssuerUrl> {
    if cluster::is_in_cluster(section, kind) && !section.has("url") {
        return cluster::default_issuer();
    }
    match kind.named_by {
        NamedBy::Url { default: None } => section.require("url", faults),
        NamedBy::TrustDomain => return None,
        NamedBy::Url { default: Some(_) } | NamedBy::Tenants { .. } => {}
    }
    let url = section.text("url", faults, |text| {
        (kind.check_url)(text)?;
        IssuerUrl::parse(text).map_err(|error| error.to_string())
    })?;
    keys::refuse_plain_http(section, ("url", url.is_plain_http()), danger_allow_http, faults);
    Some(url)
}

/// `tenant`, or `tenants`: an allow-list, never open.
fn tenants(section: &Section<'_>, kind: IssuerKind, faults: &mut Diagnostics) -> Vec<String> {
    if !matches!(kind.named_by, NamedBy::Tenants { .. }) {
        return Vec::new();
    }
    if section.has("tenant") && section.has("tenants") {
        let fault =
            section.fault_at_key("tenants", "conflict", "`tenant` and `tenants` both say whose tokens are accepted");
        faults.push(fault.fix("name all of them in `tenants`"));
    }
    if !section.has("url") && !section.has("tenants") {
        section.require("tenant", faults);
    }
    let mut seen = BTreeSet::new();
    let several = section.list("tenants", faults, |text| match azure::tenant(text) {
        Ok(tenant) if !seen.insert(tenant.clone()) => Err("is there twice"),
        other => other,
    });
    section.text("tenant", faults, azure::tenant).into_iter().chain(several.unwrap_or_default()).collect()
}

fn cloud(section: &Section<'_>, kind: IssuerKind, faults: &mut Diagnostics) -> Option<Cloud> {
    if !matches!(kind.named_by, NamedBy::Tenants { .. }) {
        return None;
    }
    if section.has("cloud") && section.has("url") {
        let fault = section.fault_at_key("cloud", "conflict", "`url` names the issuer, and so its cloud");
        faults.push(fault.fix("keep one of them"));
    }
    section.text("cloud", faults, |text| {
        let names = Cloud::ALL.map(Cloud::name).join(", ");
        Cloud::from_name(text).ok_or_else(|| format!("must be one of {names}"))
    })
}

/// The same words as a policy's `mode`.
pub(super) const MODES: [&str; 2] = ["enforce", "shadow"];

fn is_shadow(text: &str) -> Result<bool, &'static str> {
    if MODES.contains(&text) { Ok(text == "shadow") } else { Err("must be `enforce` or `shadow`") }
}

fn trust_domain(section: &Section<'_>, kind: IssuerKind, faults: &mut Diagnostics) -> Option<spiffe::TrustDomain> {
    if !matches!(kind.named_by, NamedBy::TrustDomain) {
        return None;
    }
    section.require("trust_domain", faults);
    section.text("trust_domain", faults, |text| match spiffe::TrustDomain::new(text) {
        // The crate also takes `spiffe://…` and capitals, and makes them plain; the file should say what holds.
        Ok(read) if read.to_string() == text => Ok(read),
        Ok(read) => Err(format!("must be written `{read}`: lower case, without scheme or path")),
        Err(error) => Err(format!("is not a trust domain: {error}")),
    })
}

fn algorithms(section: &Section<'_>, kind: IssuerKind, faults: &mut Diagnostics) -> Option<Vec<Algorithm>> {
    let is_allowed = |known: &Algorithm| kind.closed_algorithms.is_none() || kind.algorithms.contains(known);
    let mut found = Diagnostics::new();
    let read = section.list("algorithms", &mut found, |text| match Algorithm::from_name(text) {
        Some(known) if is_allowed(&known) => Ok(known),
        Some(_) => Err(kind.closed_algorithms.unwrap_or("is not an algorithm of this kind")),
        None if text.eq_ignore_ascii_case("none") => Err("`none` is no signature: anyone could be anyone"),
        None if text.to_ascii_uppercase().starts_with("HS") => {
            Err("HMAC needs a shared secret; issuers have public keys")
        }
        None => Err("is not a signature algorithm of this broker"),
    });
    let names: Vec<&str> = Algorithm::ALL.into_iter().filter(is_allowed).map(Algorithm::name).collect();
    for fault in found.iter() {
        faults.push(fault.clone().fix(format!("write one or several of {}", names.join(", "))));
    }
    read
}

/// Claims that no audit record keeps. A misspelt name would keep what should not be kept, so it must be one of the kind's.
fn audit_exclude(section: &Section<'_>, kind: IssuerKind, faults: &mut Diagnostics) -> BTreeSet<String> {
    let declared = section.entry("claims").map(|entry| &entry.value.value);
    let is_declared =
        |name: &str| matches!(declared, Some(Yaml::Mapping(claims)) if claims.iter().any(|claim| claim.key == name));
    let read = section.list("audit_exclude", faults, |name| {
        if kind.open || kind.has_claim(name) || is_declared(name) {
            return Ok(name.to_owned());
        }
        let known = kind.claims.iter().map(|(known, _)| *known);
        let near = did_you_mean(name, known).map(|near| format!("; did you mean `{near}`?"));
        Err(format!("tokens of kind {kind} have no claim `{name}`{}", near.unwrap_or_default()))
    });
    read.unwrap_or_default().into_iter().collect()
}
