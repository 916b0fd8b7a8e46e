//! Any other OpenID Connect issuer.

use std::time::Duration;

use super::{HOUR, Kind, Lints, NamedBy, Narrow, SingleUse};
use crate::vocab::Algorithm;

pub(super) static KIND: Kind = Kind {
    name: "oidc",
    named_by: NamedBy::Url { default: None },
    shares_identifier: false,
    own_settings: &[],
    check_url: super::any_url,
    // Nothing is known of it, and each of its keys fits one family of algorithms only.
    algorithms: &Algorithm::ALL,
    closed_algorithms: None,
    claims: &[],
    // Once the operator declares claims, a misspelt one is a fault.
    open: true,
    single_use: SingleUse::WhenTokenId,
    max_lifetime: Duration::from_secs(24 * HOUR),
    tenant_pin: None,
    immutable: &["sub"],
    // OpenID Connect Core §5.7: nothing but `sub` with `iss` identifies.
    names: &[("email", "sub"), ("preferred_username", "sub")],
    // The client that asked (OpenID Connect Core §2, RFC 9068 §2.2), which many providers name.
    narrows: &[Narrow::Value("azp"), Narrow::Value("client_id")],
    subject: None,
    caller_chosen: &[],
    lints: Lints::NONE,
    check_header: super::any_header,
    check_claims: super::any_claims,
    check_key_issuer: super::any_key_issuer,
    fixture: super::fixture!("oidc"),
};
