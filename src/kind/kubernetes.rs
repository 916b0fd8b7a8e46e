//! Kubernetes service accounts: bound tokens of one cluster.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{HOUR, Identity, Kind, Lints, NamedBy, Narrow, SingleUse, Workload};
use crate::vocab::{Algorithm, ClaimType};

const SUBJECT_PREFIX: &str = "system:serviceaccount:";

/// What secret-bound tokens before Kubernetes 1.24 had instead of `kubernetes.io`.
const LEGACY_PREFIX: &str = "kubernetes.io/serviceaccount/";

/// The `iss` of those tokens, in every cluster.
pub const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

pub(super) static KIND: Kind = Kind {
    name: "kubernetes",
    named_by: NamedBy::Url { default: None },
    // Many clusters are installed with the same issuer, https://kubernetes.default.svc.cluster.local.
    shares_identifier: true,
    own_settings: &["in_cluster", "review"],
    check_url,
    algorithms: &[
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::ES512,
    ],
    closed_algorithms: None,
    claims: &CLAIMS,
    open: false,
    // The kubelet hands out a mounted token until it rotates it at 80 % of its life.
    single_use: SingleUse::Never,
    // EKS gives 24 hours; the year of the default mount is refused: ask for a token with an audience.
    max_lifetime: Duration::from_secs(25 * HOUR),
    tenant_pin: None,
    immutable: &["/kubernetes.io/serviceaccount/uid"],
    names: &[
        ("sub", "/kubernetes.io/serviceaccount/uid"),
        ("/kubernetes.io/serviceaccount/name", "/kubernetes.io/serviceaccount/uid"),
        ("/kubernetes.io/pod/name", "/kubernetes.io/pod/uid"),
        ("/kubernetes.io/node/name", "/kubernetes.io/node/uid"),
        ("/kubernetes.io/secret/name", "/kubernetes.io/secret/uid"),
    ],
    // A token that is bound to a pod ends with it.
    narrows: &[Narrow::Value("sub"), Narrow::Presence("/kubernetes.io/pod/uid")],
    subject: None,
    caller_chosen: &[],
    lints: Lints {
        workload: Some(Workload {
            noun: "service account",
            lint: "kubernetes-namespace",
            ids: &[&["/kubernetes.io/serviceaccount/uid"]],
            names: &[("sub", ""), ("/kubernetes.io/serviceaccount/name", "")],
            others: &["/kubernetes.io/pod/uid"],
        }),
        always: &[
            "kubernetes.io",
            "/kubernetes.io/namespace",
            "/kubernetes.io/serviceaccount/name",
            "/kubernetes.io/serviceaccount/uid",
        ],
        can_say,
        ..Lints::NONE
    },
    check_header: super::any_header,
    check_claims,
    check_key_issuer: super::any_key_issuer,
    fixture: super::fixture!("kubernetes"),
};

/// All of Kubernetes' own claims are inside one: the namespace, the account, and what the token is bound to (k8s.io/kubernetes
/// pkg/serviceaccount/claims.go).
const CLAIMS: [(&str, ClaimType); 11] = [
    ("kubernetes.io", ClaimType::Object),
    ("/kubernetes.io/namespace", ClaimType::String),
    ("/kubernetes.io/node/name", ClaimType::String),
    ("/kubernetes.io/node/uid", ClaimType::String),
    ("/kubernetes.io/pod/name", ClaimType::String),
    ("/kubernetes.io/pod/uid", ClaimType::String),
    ("/kubernetes.io/secret/name", ClaimType::String),
    ("/kubernetes.io/secret/uid", ClaimType::String),
    ("/kubernetes.io/serviceaccount/name", ClaimType::String),
    ("/kubernetes.io/serviceaccount/uid", ClaimType::String),
    ("/kubernetes.io/warnafter", ClaimType::Number),
];

fn check_url(url: &str) -> Result<(), &'static str> {
    match url {
        LEGACY_ISSUER => Err("is what legacy secret tokens say, which never expire and are not accepted; name the \
                              cluster's own issuer (`kubectl get --raw /.well-known/openid-configuration`)"),
        _ => Ok(()),
    }
}

fn check_claims(identity: &Identity<'_>, claims: &Map<String, Value>) -> Result<(), &'static str> {
    if claims.keys().any(|name| name.starts_with(LEGACY_PREFIX)) {
        return Err("no kubernetes.io/serviceaccount/ claims: legacy tokens never expire");
    }
    can_say(identity, "sub", claims.get("sub").and_then(Value::as_str).unwrap_or_default())
}

fn can_say(_: &Identity<'_>, claim: &str, value: &str) -> Result<(), &'static str> {
    if claim != "sub" {
        return Ok(());
    }
    let mut parts = value.strip_prefix(SUBJECT_PREFIX).unwrap_or_default().split(':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(namespace), Some(name), None) if !namespace.is_empty() && !name.is_empty() => Ok(()),
        _ => Err("system:serviceaccount:NAMESPACE:NAME in sub"),
    }
}
