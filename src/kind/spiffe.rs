//! SPIFFE: JWT-SVIDs of one trust domain (JWT-SVID, SPIFFE-ID and SPIFFE Federation specifications).

use std::time::Duration;

use ::spiffe::SpiffeId;
use serde_json::{Map, Value};

use super::{HOUR, Header, Identity, Kind, Lints, NamedBy, SingleUse, Workload};
use crate::vocab::Algorithm;

/// JWT-SVID §2.1: a closed list, without EdDSA.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// SPIFFE-ID §2.3.
const MAX_ID_BYTES: usize = 2048;

pub(super) static KIND: Kind = Kind {
    name: "spiffe",
    // Its keys are never guessed from the trust domain's name (SPIFFE Federation §5.1, §7.2).
    named_by: NamedBy::TrustDomain,
    shares_identifier: false,
    own_settings: &["trust_domain", "bundle"],
    check_url: super::any_url,
    algorithms: &ALGORITHMS,
    closed_algorithms: Some("JWT-SVIDs are not signed with EdDSA (SPIFFE JWT-SVID section 2.1)"),
    claims: &[],
    open: false,
    // Agents cache an SVID and hand it out again (JWT-SVID §7.1 asks for no jti tracking).
    single_use: SingleUse::Never,
    // Five minutes is SPIRE's default; its signing keys live a day.
    max_lifetime: Duration::from_secs(24 * HOUR),
    tenant_pin: None,
    immutable: &["sub"],
    // A SPIFFE ID is as lasting as the registration entries make it.
    names: &[],
    narrows: &[],
    subject: None,
    caller_chosen: &[],
    lints: Lints {
        workload: Some(Workload {
            noun: "workload",
            lint: "spiffe-wildcard",
            ids: &[],
            names: &[("sub", "")],
            others: &[],
        }),
        can_say,
        ..Lints::NONE
    },
    check_header,
    check_claims,
    check_key_issuer: super::any_key_issuer,
    fixture: super::fixture!("spiffe"),
};

/// Reads a workload's SPIFFE ID. Lower case only (SPIFFE-ID §2.1), and with a path: without one it is the trust
/// domain's own (§3.1), which no workload has.
///
/// # Errors
/// The rule that the text breaks.
pub fn parse_id(text: &str) -> Result<SpiffeId, &'static str> {
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
fn check_header(header: &Header<'_>) -> Result<(), &'static str> {
    if header.names.iter().any(|name| !matches!(*name, "alg" | "kid" | "typ")) {
        return Err("no member but alg, kid and typ");
    }
    match header.token_type {
        None | Some("JWT" | "JOSE") => Ok(()),
        Some(_) => Err("typ JWT or JOSE, where it has one"),
    }
}

fn check_claims(identity: &Identity<'_>, claims: &Map<String, Value>) -> Result<(), &'static str> {
    can_say(identity, "sub", claims.get("sub").and_then(Value::as_str).unwrap_or_default())?;
    // WIT-SVID §5: bound to a key the caller must prove, so never a bearer token.
    if claims.contains_key("cnf") {
        return Err("no cnf: it is bound to a key");
    }
    Ok(())
}

fn can_say(identity: &Identity<'_>, claim: &str, value: &str) -> Result<(), &'static str> {
    if claim != "sub" {
        return Ok(());
    }
    let Ok(id) = parse_id(value) else { return Err("a SPIFFE ID with a path in sub") };
    if identity.trust_domain.is_none_or(|configured| id.trust_domain_name() != configured.as_str()) {
        return Err("the configured trust domain in sub");
    }
    Ok(())
}
