//! Kubernetes service accounts: bound tokens of one cluster.

use std::time::Duration;

use serde_json::{Map, Value};

use super::KindRefusal;
use super::preset::{HOUR, KeyLocation, KindPreset, SingleUse};
use crate::config::IssuerSettings;
use crate::vocab::{Algorithm, ClaimType, IssuerKind, IssuerUrl};

const SUBJECT_PREFIX: &str = "system:serviceaccount:";

/// What secret-bound tokens before Kubernetes 1.24 had instead of `kubernetes.io`.
const LEGACY_PREFIX: &str = "kubernetes.io/serviceaccount/";

pub(super) fn preset(settings: &IssuerSettings) -> KindPreset {
    KindPreset {
        identifiers: settings.url.iter().map(IssuerUrl::to_string).collect(),
        keys: settings.url.as_ref().and_then(|url| KeyLocation::discovery(url, None)),
        algorithms: &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::ES256, Algorithm::ES384],
        // Namespace, service account, pod and node with their uids, and warnafter.
        claims: &[("kubernetes.io", ClaimType::Object)],
        open: false,
        // The kubelet hands out a mounted token until it rotates it at 80 % of its life.
        single_use: SingleUse::Never,
        // EKS gives 24 hours; the year of the default mount is refused: ask for a token with an audience.
        max_lifetime: Duration::from_secs(25 * HOUR),
        tenant_pin: None,
    }
}

pub(super) fn check_claims(claims: &Map<String, Value>) -> Result<(), KindRefusal> {
    let broken = |rule| Err(KindRefusal::Claim { kind: IssuerKind::Kubernetes, rule });
    if claims.keys().any(|name| name.starts_with(LEGACY_PREFIX)) {
        return broken("no kubernetes.io/serviceaccount/ claims: legacy tokens never expire");
    }
    let subject = claims.get("sub").and_then(Value::as_str).and_then(|sub| sub.strip_prefix(SUBJECT_PREFIX));
    let mut parts = subject.unwrap_or_default().split(':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(namespace), Some(name), None) if !namespace.is_empty() && !name.is_empty() => Ok(()),
        _ => broken("system:serviceaccount:NAMESPACE:NAME in sub"),
    }
}
