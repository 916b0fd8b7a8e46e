//! Any other OpenID Connect issuer: GitLab, Buildkite, CircleCI, Google, AWS, HCP Terraform, Fly.io, an own one.

use std::time::Duration;

use super::preset::{HOUR, KeyLocation, KindPreset, SingleUse};
use crate::config::IssuerSettings;
use crate::vocab::{Algorithm, IssuerUrl};

pub(super) fn preset(settings: &IssuerSettings) -> KindPreset {
    KindPreset {
        identifiers: settings.url.iter().map(IssuerUrl::to_string).collect(),
        keys: settings.url.as_ref().and_then(|url| KeyLocation::discovery(url, None)),
        // Nothing is known of it, and each of its keys fits one family of algorithms only.
        algorithms: &Algorithm::ALL,
        claims: &[],
        // Once the operator declares claims, a misspelt one is a fault.
        open: settings.claims.is_empty(),
        single_use: SingleUse::WhenTokenId,
        max_lifetime: Duration::from_secs(24 * HOUR),
        tenant_pin: None,
    }
}
