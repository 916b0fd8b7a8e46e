//! What an issuer's keys are read as, and what they must have come from to be taken up again.
//!
//! In: a configured issuer. Out: [`purpose`] and [`source`]. Not here: the fetching (see `fetch`).

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::fetch::read_file;
use super::key_set::KeySetUse;
use crate::config::BundleProfile;
use crate::issuer::{Issuer, KeyLocation};
use crate::kind::IssuerKind;

/// Which keys of its documents an issuer's tokens are verified with.
pub(super) fn purpose(issuer: &Issuer) -> KeySetUse {
    if issuer.kind() == IssuerKind::SPIFFE { KeySetUse::SpiffeJwt } else { KeySetUse::Oidc }
}

/// What held and kept keys must have come from to be taken up: [`Issuer::key_source`], and of a bootstrap file what it
/// says, since whoever replaces it trusts somebody else. `None` while that file cannot be read.
pub(super) fn source(issuer: &Issuer) -> Option<String> {
    let mut source = issuer.key_source();
    if let Some(KeyLocation::BundleEndpoint { profile: BundleProfile::HttpsSpiffe { bootstrap, .. }, .. }) =
        issuer.key_location()
    {
        let digest = digest::digest(&digest::SHA256, &read_file(bootstrap).ok()?.body);
        source = format!("{source} {}", URL_SAFE_NO_PAD.encode(digest));
    }
    Some(source)
}
