//! SPIFFE: JWT-SVIDs of one trust domain (JWT-SVID, SPIFFE-ID and SPIFFE Federation specifications).

use std::time::Duration;

use ::spiffe::SpiffeId;
use serde_json::{Map, Value};

use super::KindRefusal;
use super::preset::{HOUR, KindPreset, SingleUse};
use crate::client_auth::UnverifiedAssertion;
use crate::config::IssuerSettings;
use crate::vocab::{Algorithm, IssuerKind};

/// JWT-SVID §2.1: a closed list, without EdDSA.
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// SPIFFE-ID §2.3.
const MAX_ID_BYTES: usize = 2048;

pub(super) fn preset(settings: &IssuerSettings) -> KindPreset {
    KindPreset {
        identifiers: settings.trust_domain.iter().map(|domain| domain.as_str().to_owned()).collect(),
        // Never guessed from the trust domain's name (SPIFFE Federation §5.1, §7.2).
        keys: None,
        algorithms: &ALGORITHMS,
        claims: &[],
        open: false,
        // Agents cache an SVID and hand it out again (JWT-SVID §7.1 asks for no jti tracking).
        single_use: SingleUse::Never,
        // Five minutes is SPIRE's default; its signing keys live a day.
        max_lifetime: Duration::from_secs(24 * HOUR),
        tenant_pin: None,
    }
}

/// Reads a workload's SPIFFE ID. Lower case only (SPIFFE-ID §2.1), and with a path: without one it is the trust
/// domain's own (§3.1), which no workload has.
pub(super) fn parse_id(text: &str) -> Result<SpiffeId, &'static str> {
    if text.len() > MAX_ID_BYTES {
        return Err("is longer than 2,048 bytes");
    }
    if !text.starts_with("spiffe://") {
        return Err("is not a SPIFFE ID");
    }
    let id = SpiffeId::new(text).map_err(|_| "is not a valid SPIFFE ID")?;
    if id.path().is_empty() {
        return Err("is a SPIFFE ID without a path");
    }
    // The crate may normalize; the policy's matchers see the text, so both must say the same.
    if id.to_string() != text {
        return Err("is not a SPIFFE ID in its normal form");
    }
    Ok(id)
}

/// JWT-SVID §2: nothing but `alg`, `kid` and `typ`; §2.3: `typ` is absent, `JWT` or `JOSE` (a WIT-SVID says
/// `wit+jwt` and must not pass as a bearer token).
pub(super) fn check_header(assertion: &UnverifiedAssertion) -> Result<(), KindRefusal> {
    let broken = |rule| Err(KindRefusal::Header { kind: IssuerKind::Spiffe, rule });
    if assertion.unverified_header_names().any(|name| !matches!(name, "alg" | "kid" | "typ")) {
        return broken("no member but alg, kid and typ");
    }
    match assertion.unverified_token_type() {
        None | Some("JWT" | "JOSE") => Ok(()),
        Some(_) => broken("typ JWT or JOSE, where it has one"),
    }
}

pub(super) fn check_claims(trust_domain: &str, claims: &Map<String, Value>) -> Result<(), KindRefusal> {
    let broken = |rule| Err(KindRefusal::Claim { kind: IssuerKind::Spiffe, rule });
    let Some(Ok(id)) = claims.get("sub").and_then(Value::as_str).map(parse_id) else {
        return broken("a SPIFFE ID with a path in sub");
    };
    if id.trust_domain_name() != trust_domain {
        return broken("the configured trust domain in sub");
    }
    // WIT-SVID §5: bound to a key the caller must prove, so never a bearer token.
    if claims.contains_key("cnf") {
        return broken("no cnf: it is bound to a key");
    }
    Ok(())
}
