//! Single use: what identifies an assertion that was seen before (RFC 7523 §3 item 7).

use aws_lc_rs::digest::{Context, SHA256};

use super::registered::Registered;
use crate::client_auth::UnverifiedAssertion;
use crate::issuer::{Issuer, SingleUse};
use crate::store::ReplayClaim;

/// The claim to make when the assertion is used. The id is a hash over issuer and `jti`, or over the signed bytes where
/// there is no `jti`; never over the signature, of which ECDSA allows a second valid form.
pub(super) fn claim(assertion: &UnverifiedAssertion, registered: &Registered, issuer: &Issuer) -> Option<ReplayClaim> {
    let identified_by = match (issuer.single_use(), &registered.token_id) {
        (SingleUse::Never, _) | (SingleUse::WhenTokenId, None) => return None,
        (SingleUse::Always | SingleUse::WhenTokenId, Some(token_id)) => token_id.as_bytes(),
        (SingleUse::Always, None) => assertion.signing_input(),
    };
    let mut context = Context::new(&SHA256);
    context.update(issuer.identifier().as_bytes());
    context.update(if registered.token_id.is_some() { b"\0jti\0" } else { b"\0claims\0" });
    context.update(identified_by);
    let id = context.finish().as_ref().try_into().ok()?;
    Some(ReplayClaim { id, keep_until: registered.expires_at.plus(issuer.leeway()).plus(CLOCK_SKEW) })
}

/// How far replicas' clocks may stand apart; an id is kept that much longer than the assertion lives.
const CLOCK_SKEW: std::time::Duration = std::time::Duration::from_secs(60);
