//! What an issuer kind fills in where the configuration is silent.
//!
//! In: settings. Out: [`Preset`], final values. Not here: what the kinds say (see `kind`).

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::ClaimSchema;
use crate::config::{IssuerSettings, KeySource};
use crate::kind::{NamedBy, SingleUse, TenantPin};
use crate::vocab::{Algorithm, Audience, IssuerUrl};

/// Clock skew between two well-run machines; also what go-jose and jsonwebtoken allow.
const LEEWAY: Duration = Duration::from_secs(60);
/// A day of an issuer's outage is survivable; a key revoked during one does not verify for longer than that.
const STALE_KEYS_FOR: Duration = Duration::from_secs(24 * 3600);

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
    /// The Workload API of a SPIFFE agent.
    WorkloadApi {
        /// Its unix socket, as a URL.
        endpoint: String,
    },
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
            KeyLocation::WorkloadApi { endpoint } => endpoint.fmt(formatter),
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

impl Preset {
    pub(super) fn new(settings: &IssuerSettings, our_issuer: &IssuerUrl) -> Preset {
        let (kind, identity) = (settings.kind, settings.identity());
        let identifiers = kind.identifiers(&identity);
        let single_use = match settings.single_use {
            None => kind.single_use,
            Some(true) => SingleUse::Always,
            Some(false) => SingleUse::Never,
        };
        Preset {
            keys: key_location(settings, &identifiers),
            algorithms: algorithms(settings),
            audiences: settings.audiences.clone().unwrap_or_else(|| our_audience(our_issuer)),
            schema: ClaimSchema::new(kind.claims, &settings.claims, kind.open && settings.claims.is_empty()),
            single_use,
            max_lifetime: settings.max_lifetime.unwrap_or(kind.max_lifetime),
            leeway: settings.leeway.unwrap_or(LEEWAY),
            stale_keys_for: settings.stale_keys_for.unwrap_or(STALE_KEYS_FOR),
            tenant_pin: kind.shared_by_tenants(&identity),
            identifiers,
        }
    }
}

fn key_location(settings: &IssuerSettings, identifiers: &[String]) -> Option<KeyLocation> {
    match &settings.keys {
        KeySource::Discovery(at) => discovered(settings, identifiers, at.as_ref()),
        KeySource::Url(url) => Some(KeyLocation::Url(url.clone())),
        KeySource::File(path) => Some(KeyLocation::File(path.clone())),
        KeySource::WorkloadApi(socket) => {
            Some(KeyLocation::WorkloadApi { endpoint: format!("unix://{}", socket.display()) })
        }
        KeySource::BundleEndpoint(url) => Some(KeyLocation::BundleEndpoint(url.clone())),
    }
}

/// Where the keys are when the configuration does not say, or says only where the metadata is.
fn discovered(settings: &IssuerSettings, identifiers: &[String], at: Option<&IssuerUrl>) -> Option<KeyLocation> {
    let identity = settings.identity();
    match (&settings.kind.named_by, identity.url, at) {
        (NamedBy::TrustDomain, _, None) => None,
        // Tenants without `url` have no single issuer that metadata could name.
        (NamedBy::Tenants { keys, .. }, None, None) => Url::parse(&keys(&identity)?).ok().map(KeyLocation::Url),
        (NamedBy::TrustDomain | NamedBy::Tenants { .. }, None, Some(at)) => KeyLocation::discovery(at, Some(at)),
        (_, Some(url), at) => KeyLocation::discovery(url, at),
        (NamedBy::Url { .. }, None, at) => KeyLocation::discovery(&IssuerUrl::parse(identifiers.first()?).ok()?, at),
    }
}

fn algorithms(settings: &IssuerSettings) -> Vec<Algorithm> {
    let kind = settings.kind;
    let chosen = settings.algorithms.clone().unwrap_or_else(|| kind.algorithms.to_vec());
    let is_closed = kind.closed_algorithms.is_some();
    chosen.into_iter().filter(|algorithm| !is_closed || kind.algorithms.contains(algorithm)).collect()
}

fn our_audience(our_issuer: &IssuerUrl) -> Vec<Audience> {
    Audience::parse(our_issuer.as_str()).into_iter().collect()
}
