//! How a SPIFFE bundle endpoint proves itself: `bundle: { url, profile, … }` (SPIFFE Federation §5).

use std::path::Path;

use crate::diagnostic::Diagnostics;
use crate::kind::spiffe::parse_id;

use super::section::Section;
use super::settings::BundleProfile;

/// The ways in which it can.
pub(super) const PROFILES: [&str; 2] = ["https_web", "https_spiffe"];

/// Reads `profile` and what only `https_spiffe` has. `None` when that is faulty. Nothing is taken for granted: the profile
/// says who vouches for the keys (SPIFFE Federation §5.1).
pub(super) fn profile(
    bundle: &Section<'_>,
    issuer: &Section<'_>,
    trust_bundles: &Path,
    faults: &mut Diagnostics,
) -> Option<BundleProfile> {
    if !bundle.has("profile") {
        let message = "`bundle` needs `profile`: its `url` does not say how the server there proves itself";
        let fix = "add `profile: https_web` (a certificate of a CA for the host name) or `profile: https_spiffe` (an \
                   X.509-SVID)";
        faults.push(bundle.fault("", "missing-field", message).fix(fix));
    }
    let is_spiffe = bundle.text("profile", faults, |text| match PROFILES.contains(&text) {
        true => Ok(text == "https_spiffe"),
        false => Err("must be https_web (a certificate of a public CA) or https_spiffe (an X.509-SVID)"),
    })?;
    if !is_spiffe {
        for name in ["endpoint_spiffe_id", "bootstrap_file"].into_iter().filter(|name| bundle.has(name)) {
            let message = format!("`{name}` is for `profile: https_spiffe`; https_web checks the host name");
            faults
                .push(bundle.fault_at_key(name, "conflict", message).fix("set `profile: https_spiffe`, or remove it"));
        }
        return Some(BundleProfile::HttpsWeb);
    }
    refuse_web_trust(bundle, issuer, faults);
    bundle.require("endpoint_spiffe_id", faults);
    bundle.require("bootstrap_file", faults);
    let endpoint = bundle.text("endpoint_spiffe_id", faults, parse_id);
    if let Some(endpoint) = &endpoint {
        refuse_other_domain(bundle, issuer, endpoint.trust_domain_name(), faults);
    }
    let bootstrap = bundle.existing_file("bootstrap_file", trust_bundles, faults);
    Some(BundleProfile::HttpsSpiffe { endpoint: endpoint?, bootstrap: bootstrap? })
}

/// Under https_spiffe neither a CA for host names nor plain http has a meaning (SPIFFE Federation §5.2.2).
fn refuse_web_trust(bundle: &Section<'_>, issuer: &Section<'_>, faults: &mut Diagnostics) {
    if issuer.has("ca_file") {
        let message = "`ca_file` checks host names; under https_spiffe the bundle's own authorities check a SPIFFE ID";
        faults.push(issuer.fault_at_key("ca_file", "conflict", message).fix("remove `ca_file`"));
    }
    let mut read_before = Diagnostics::new();
    let is_plain = bundle.text("url", &mut read_before, |text| Ok::<_, &str>(text.starts_with("http://")));
    if is_plain == Some(true) {
        let message = "https_spiffe is a way to check a TLS server; `url` is plain http";
        faults.push(bundle.fault("url", "conflict", message).fix("use https://"));
    }
}

/// An endpoint in another trust domain is checked against that domain's bundle (SPIFFE Federation §5.2.2.4), which is
/// another issuer's here; the bundle would then depend on two. SPIRE serves its own domain's.
fn refuse_other_domain(bundle: &Section<'_>, issuer: &Section<'_>, endpoint: &str, faults: &mut Diagnostics) {
    let mut reported_elsewhere = Diagnostics::new();
    let own = issuer.text("trust_domain", &mut reported_elsewhere, |text| Ok::<_, &str>(text.to_owned()));
    if own.is_some_and(|own| own != endpoint) {
        let message = "`endpoint_spiffe_id` is of another trust domain than the issuer; its bundle would be needed to \
                       check it, and is not this issuer's";
        let fix = "name a server of the issuer's own trust domain, or use `profile: https_web`";
        faults.push(bundle.fault("endpoint_spiffe_id", "unsupported", message).fix(fix));
    }
}
