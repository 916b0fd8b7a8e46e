//! Where an issuer's keys are: `keys:`, or `bundle:` of a SPIFFE issuer.

use std::path::{Path, PathBuf};

use url::Url;

use crate::diagnostic::Diagnostics;
use crate::kind::IssuerKind;
use crate::vocab::{IssuerUrl, is_loopback_host};
use crate::yaml::Yaml;

use super::section::Section;
use super::settings::KeySource;
use super::{cluster, schema};

/// Where the keys are, and what fetching them needs.
pub(super) struct Fetching {
    pub(super) keys: KeySource,
    pub(super) ca_file: Option<PathBuf>,
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
    let place = Place { kind, trust_bundles, danger_allow_http };
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
    let mut file = |name: &str| {
        let inner = keys.as_ref().filter(|keys| keys.has(name));
        if let Some(inner) = inner
            && issuer.has(name)
        {
            let message = format!("`{name}` is set on the issuer and in its `keys`");
            faults.push(inner.fault_at_key(name, "conflict", message).fix("keep one of them"));
        }
        inner.unwrap_or(issuer).existing_file(name, trust_bundles, faults)
    };
    let (ca_file, bearer_token_file) = (file("ca_file"), file("bearer_token_file"));
    Fetching { keys: source.unwrap_or(KeySource::Discovery(None)), ca_file, bearer_token_file }
}

/// What a key source is read with.
struct Place<'a> {
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
        let one = only_one(bundle, &["url", "file"], faults);
        let profile = bundle.text("profile", faults, |text| match text {
            "https_web" => Ok(()),
            "https_spiffe" | "workload_api" => Err(format!(
                "`{text}` is not supported; this version supports https_web (a bundle URL with a Web PKI certificate) \
                 and `file`"
            )),
            _ => Err("must be https_web".to_owned()),
        });
        match one? {
            "url" => self.remote(bundle, faults).map(KeySource::BundleEndpoint),
            _ => {
                if profile.is_some() {
                    let message = "`profile` says how a bundle URL is reached; a `file` has none";
                    faults.push(bundle.fault_at_key("profile", "conflict", message).fix("remove `profile`"));
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
