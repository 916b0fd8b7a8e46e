//! What an issuer kind fills in where the configuration is silent.
//!
//! In: settings. Out: [`Preset`], final values. Adding a kind: one file beside this one with its `preset`, one arm here
//! and in `check_claims`.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{ClaimSchema, azure, github_actions, kubernetes, oidc, spiffe};
use crate::config::{IssuerSettings, KeySource};
use crate::vocab::{Algorithm, Audience, ClaimType, IssuerKind, IssuerUrl};

/// Clock skew between two well-run machines; also what go-jose and jsonwebtoken allow.
const LEEWAY: Duration = Duration::from_secs(60);
/// A day of an issuer's outage is survivable; a key revoked during one does not verify for longer than that.
const STALE_KEYS_FOR: Duration = Duration::from_secs(24 * HOUR);

pub(super) const HOUR: u64 = 3600;

/// Whether an assertion may be used only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SingleUse {
    /// Its platform hands out the same token again.
    Never,
    /// Also without a `jti`: then the assertion's hash is what was used.
    Always,
    /// When it has a `jti` (RFC 7519 §4.1.7).
    WhenTokenId,
}

/// Which claims tell the tenants of a shared issuer apart.
#[derive(Debug, PartialEq, Eq)]
pub struct TenantPin {
    /// A policy must pin all claims of at least one of these, to values that are never given to somebody else.
    pub alternatives: &'static [&'static [&'static str]],
}

/// Where an issuer's keys are, with the preset filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLocation {
    /// OpenID Connect discovery.
    Discovery {
        /// The metadata's URL.
        metadata: Url,
        /// What its `issuer` member must say, byte for byte (OpenID Connect Discovery §4.3).
        issuer: IssuerUrl,
    },
    /// A JWKS.
    Url(Url),
    /// A JWKS file, or a SPIFFE bundle file.
    File(PathBuf),
    /// A SPIFFE bundle endpoint, profile `https_web`.
    BundleEndpoint(Url),
}

impl KeyLocation {
    /// Discovery of this issuer (OpenID Connect Discovery §4: a terminating `/` of the issuer goes first).
    pub(super) fn discovery(issuer: &IssuerUrl, at: Option<&IssuerUrl>) -> Option<KeyLocation> {
        let base = at.unwrap_or(issuer).as_str();
        let base = base.strip_suffix('/').unwrap_or(base);
        let metadata = Url::parse(&format!("{base}/.well-known/openid-configuration")).ok()?;
        Some(KeyLocation::Discovery { metadata, issuer: issuer.clone() })
    }
}

impl std::fmt::Display for KeyLocation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeyLocation::Discovery { metadata: url, .. } | KeyLocation::Url(url) | KeyLocation::BundleEndpoint(url) => {
                url.fmt(formatter)
            }
            KeyLocation::File(path) => path.display().fmt(formatter),
        }
    }
}

/// Final values of one issuer.
#[derive(Debug)]
pub(super) struct Preset {
    pub(super) identifiers: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) audiences: Vec<Audience>,
    pub(super) keys: Option<KeyLocation>,
    pub(super) schema: ClaimSchema,
    pub(super) single_use: SingleUse,
    pub(super) max_lifetime: Duration,
    pub(super) leeway: Duration,
    pub(super) stale_keys_for: Duration,
    pub(super) tenant_pin: Option<&'static TenantPin>,
}

/// What a kind's file says.
pub(super) struct KindPreset {
    /// `iss` values, or the trust domain.
    pub(super) identifiers: Vec<String>,
    /// Where the keys are when the configuration does not say.
    pub(super) keys: Option<KeyLocation>,
    pub(super) algorithms: &'static [Algorithm],
    pub(super) claims: &'static [(&'static str, ClaimType)],
    /// Whether tokens have claims that neither the kind nor the configuration declares.
    pub(super) open: bool,
    pub(super) single_use: SingleUse,
    pub(super) max_lifetime: Duration,
    pub(super) tenant_pin: Option<&'static TenantPin>,
}

impl Preset {
    pub(super) fn new(settings: &IssuerSettings, our_issuer: &IssuerUrl) -> Preset {
        let kind = match settings.kind {
            IssuerKind::GithubActions => github_actions::preset(settings),
            IssuerKind::Azure => azure::preset(settings),
            IssuerKind::Kubernetes => kubernetes::preset(settings),
            IssuerKind::Spiffe => spiffe::preset(settings),
            IssuerKind::Oidc => oidc::preset(settings),
        };
        let single_use = match settings.single_use {
            None => kind.single_use,
            Some(true) => SingleUse::Always,
            Some(false) => SingleUse::Never,
        };
        Preset {
            keys: key_location(settings, kind.keys),
            algorithms: algorithms(settings, kind.algorithms),
            audiences: settings.audiences.clone().unwrap_or_else(|| our_audience(our_issuer)),
            schema: ClaimSchema::new(kind.claims, &settings.claims, kind.open),
            single_use,
            max_lifetime: settings.max_lifetime.unwrap_or(kind.max_lifetime),
            leeway: settings.leeway.unwrap_or(LEEWAY),
            stale_keys_for: settings.stale_keys_for.unwrap_or(STALE_KEYS_FOR),
            tenant_pin: kind.tenant_pin,
            identifiers: kind.identifiers,
        }
    }
}

fn key_location(settings: &IssuerSettings, preset: Option<KeyLocation>) -> Option<KeyLocation> {
    match &settings.keys {
        KeySource::Discovery(None) => preset,
        KeySource::Discovery(Some(at)) => {
            // An Azure tenant without `url` has no single issuer that metadata could name.
            let issuer = match (&settings.url, &preset) {
                (Some(url), _) => url,
                (None, Some(KeyLocation::Discovery { issuer, .. })) => issuer,
                (None, _) => at,
            };
            KeyLocation::discovery(issuer, Some(at))
        }
        KeySource::Url(url) => Some(KeyLocation::Url(url.clone())),
        KeySource::File(path) => Some(KeyLocation::File(path.clone())),
        KeySource::BundleEndpoint(url) => Some(KeyLocation::BundleEndpoint(url.clone())),
    }
}

fn algorithms(settings: &IssuerSettings, preset: &[Algorithm]) -> Vec<Algorithm> {
    let chosen = settings.algorithms.clone().unwrap_or_else(|| preset.to_vec());
    // JWT-SVID §2.1 is a closed list; no setting widens it.
    let closed = settings.kind == IssuerKind::Spiffe;
    chosen.into_iter().filter(|algorithm| !closed || preset.contains(algorithm)).collect()
}

fn our_audience(our_issuer: &IssuerUrl) -> Vec<Audience> {
    Audience::parse(our_issuer.as_str()).into_iter().collect()
}
