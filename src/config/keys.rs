//! Where an issuer's keys are: `keys:`, or `bundle:` of a SPIFFE issuer.

use std::path::{Path, PathBuf};

use url::Url;

use crate::diagnostic::Diagnostics;
use crate::kind::IssuerKind;
use crate::vocab::{IssuerUrl, is_loopback_host};
use crate::yaml::Yaml;

use super::section::Section;
use super::settings::KeySource;
use super::{bundle_endpoint, cluster, schema};

/// Where the keys are, and what fetching them needs.
pub(super) struct Fetching {
    pub(super) keys: KeySource,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) ca_only: bool,
    pub(super) bearer_token_file: Option<PathBuf>,
}

/// Reads an issuer's `keys`, `bundle`, `ca_file` and `bearer_token_file`; what is faulty is reported, and discovery
/// stands in its place.
pub(super) fn read(
    issuer: &Section<'_>,
    kind: IssuerKind,
    (trust_bundles, danger_allow_http): (&Path, bool),
    faults: &mut Diagnostics,
) -> Fetching {
    if cluster::is_in_cluster(issuer, kind) {
        return cluster::in_cluster(issuer, Path::new(cluster::MOUNT), faults);
    }
    let keys = issuer.section("keys", ("`keys`", schema::KEYS), faults);
    let is_spiffe = kind == IssuerKind::SPIFFE;
    let bundle = is_spiffe.then(|| issuer.section("bundle", ("`bundle`", schema::BUNDLE), faults)).flatten();
    let place = Place { issuer, kind, trust_bundles, danger_allow_http };
    let source = match (&keys, &bundle) {
        (Some(_), Some(_)) => {
            let message = "`keys` and `bundle` both say where the keys are";
            faults.push(issuer.fault_at_key("keys", "conflict", message).fix("keep one of them"));
            None
        }
        (Some(keys), None) => place.of_keys(keys, faults),
        (None, Some(bundle)) => place.of_bundle(bundle, faults),
        (None, None) => {
            if is_spiffe && !issuer.has("keys") {
                issuer.require("bundle", faults);
            }
            None
        }
    };
    let either = Either { issuer, keys: keys.as_ref() };
    let (with_ca, with_only, with_token) =
        (either.of("ca_file", faults), either.of("ca_only", faults), either.of("bearer_token_file", faults));
    let ca_only = with_only.flag("ca_only", faults);
    if ca_only && !with_ca.has("ca_file") {
        let message = "`ca_only` trusts `ca_file` alone, and there is no `ca_file`";
        let fix = "add `ca_file: ca.pem`, or remove `ca_only`";
        faults.push(with_only.fault_at_key("ca_only", "missing-field", message).fix(fix));
    }
    Fetching {
        keys: source.unwrap_or(KeySource::Discovery(None)),
        ca_file: with_ca.existing_file("ca_file", trust_bundles, faults),
        ca_only,
        bearer_token_file: with_token.existing_file("bearer_token_file", trust_bundles, faults),
    }
}

/// Fields that may stand on the issuer or in its `keys`.
struct Either<'a> {
    issuer: &'a Section<'a>,
    keys: Option<&'a Section<'a>>,
}

impl<'a> Either<'a> {
    /// The section that has the field, or the issuer.
    fn of(&self, name: &str, faults: &mut Diagnostics) -> &'a Section<'a> {
        let inner = self.keys.filter(|keys| keys.has(name));
        if let Some(inner) = inner
            && self.issuer.has(name)
        {
            let message = format!("`{name}` is set on the issuer and in its `keys`");
            faults.push(inner.fault_at_key(name, "conflict", message).fix("keep one of them"));
        }
        inner.unwrap_or(self.issuer)
    }
}

/// What a key source is read with.
struct Place<'a> {
    issuer: &'a Section<'a>,
    kind: IssuerKind,
    trust_bundles: &'a Path,
    danger_allow_http: bool,
}

impl Place<'_> {
    fn of_keys(&self, keys: &Section<'_>, faults: &mut Diagnostics) -> Option<KeySource> {
        match only_one(keys, &["discovery", "url", "file"], faults)? {
            "discovery" => self.discovery(keys, faults),
            "url" => self.remote(keys, faults).map(KeySource::Url),
            _ => keys.existing_file("file", self.trust_bundles, faults).map(KeySource::File),
        }
    }

    fn discovery(&self, keys: &Section<'_>, faults: &mut Diagnostics) -> Option<KeySource> {
        if self.kind == IssuerKind::SPIFFE {
            let message = "a trust domain has no OpenID Connect discovery";
            let fix = "name its keys as in `bundle: { url: https://spire.example.com/bundle, profile: https_web }`";
            faults.push(keys.fault_at_key("discovery", "wrong-kind", message).fix(fix));
            return None;
        }
        match keys.entry("discovery").map(|entry| &entry.value.value) {
            Some(Yaml::Bool(true)) => Some(KeySource::Discovery(None)),
            Some(Yaml::Bool(false)) => {
                let message = "`discovery: false` leaves no way to the keys";
                faults.push(keys.fault("discovery", "value", message).fix("name `url` or `file` in its place"));
                None
            }
            _ => {
                let url = keys.text("discovery", faults, IssuerUrl::parse)?;
                refuse_plain_http(keys, ("discovery", url.is_plain_http()), self.danger_allow_http, faults);
                Some(KeySource::Discovery(Some(url)))
            }
        }
    }

    fn of_bundle(&self, bundle: &Section<'_>, faults: &mut Diagnostics) -> Option<KeySource> {
        match only_one(bundle, &["url", "file", "workload_api"], faults)? {
            "url" => {
                let url = self.remote(bundle, faults);
                let profile = bundle_endpoint::profile(bundle, self.issuer, self.trust_bundles, faults);
                Some(KeySource::BundleEndpoint { url: url?, profile: profile? })
            }
            source => {
                let of_endpoints = ["profile", "endpoint_spiffe_id", "bootstrap_file"];
                for name in of_endpoints.into_iter().filter(|name| bundle.has(name)) {
                    let message = format!("`{name}` says how a bundle URL is reached; a `{source}` has none");
                    faults.push(bundle.fault_at_key(name, "conflict", message).fix(format!("remove `{name}`")));
                }
                if source == "workload_api" {
                    return bundle.text("workload_api", faults, socket).map(KeySource::WorkloadApi);
                }
                bundle.existing_file("file", self.trust_bundles, faults).map(KeySource::File)
            }
        }
    }

    fn remote(&self, section: &Section<'_>, faults: &mut Diagnostics) -> Option<Url> {
        let url = section.text("url", faults, remote)?;
        refuse_plain_http(section, ("url", url.scheme() == "http"), self.danger_allow_http, faults);
        Some(url)
    }
}

/// The one of these fields that is set; a fault when it is none or several.
fn only_one(section: &Section<'_>, names: &[&'static str], faults: &mut Diagnostics) -> Option<&'static str> {
    let set: Vec<&'static str> = names.iter().copied().filter(|name| section.has(name)).collect();
    match set.as_slice() {
        [one] => Some(one),
        [_, second, ..] => {
            let message = format!("only one of {} can be set", names.join(", "));
            faults.push(section.fault_at_key(second, "conflict", message).fix("keep one of them"));
            None
        }
        [] => {
            let message = format!("one of {} must be set", names.join(", "));
            faults.push(section.fault("", "missing-field", message).fix("name where the keys are"));
            None
        }
    }
}

/// A URL to fetch from. Unlike an issuer identifier it may have a query.
pub(super) fn remote(text: &str) -> Result<Url, &'static str> {
    const RULE: &str = "must start with https:// (http:// only on a loopback address)";
    let url = Url::parse(text).map_err(|_| "must be a URL such as https://idp.example.com/jwks")?;
    // SPIFFE Federation section 5.2.1.1; a password belongs into `bearer_token_file`.
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must have no user information; a token goes into `bearer_token_file`");
    }
    if url.fragment().is_some() {
        return Err("must have no fragment");
    }
    match url.scheme() {
        "https" if url.has_host() => Ok(url),
        "http" if is_loopback_host(&url) => Ok(url),
        _ => Err(RULE),
    }
}

/// The path of a unix socket. Over TCP nothing would tell the agent's bundles from anybody's.
fn socket(text: &str) -> Result<PathBuf, &'static str> {
    match spiffe::transport::Endpoint::parse(text) {
        Ok(spiffe::transport::Endpoint::Unix(path)) => Ok(path),
        _ => Err("must be the URL of a unix socket with an absolute path"),
    }
}

/// Reports a plain-http URL of an issuer that does not allow it. That the host is loopback was checked before.
pub(super) fn refuse_plain_http(
    section: &Section<'_>,
    (name, is_plain_http): (&str, bool),
    danger_allow_http: bool,
    faults: &mut Diagnostics,
) {
    if is_plain_http && !danger_allow_http {
        let message = format!("`{name}` is plain http, over which anyone on the way can swap the keys");
        let fix = "use https://, or, for a test on this machine, set `danger_allow_http: true` on the issuer";
        faults.push(section.fault(name, "plain-http", message).fix(fix));
    }
}
