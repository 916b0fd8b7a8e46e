//! Signature, header, time, audience, lifetime: where proven claims are made.
//!
//! In: an assertion and keys, or a proven certificate. Out: [`VerifiedClaims`]. Not here: whether anyone may act on them (see `policy`).
//!
//! A JOSE library verifies a signature and little else: it lets through `crit`, a list-shaped `iss`, an `aud` of any
//! type, an `exp` in the year 9999. What it leaves open is closed here and in `client_auth::assertion`.

mod registered;
mod replay;

pub use registered::ClaimsRefusal;

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::client_auth::UnverifiedAssertion;
use crate::issuer::TrustedIssuer;
use crate::key::{CandidateKey, X509Svid};
use crate::store::ReplayClaim;
use crate::vocab::{KeyId, Subject, UnixTime};

/// Claims whose signature, header, times and audience hold. Only [`VerifiedClaims::verify`] and
/// [`VerifiedClaims::of_certificate`] make one.
#[derive(Debug)]
pub struct VerifiedClaims {
    issuer: TrustedIssuer,
    key_id: Option<KeyId>,
    subject: Subject,
    audience: Option<String>,
    token_id: Option<String>,
    expires_at: UnixTime,
    replay: Option<ReplayClaim>,
    /// Kept only where the issuer's cluster is asked about it.
    token: Option<SecretString>,
    members: Map<String, Value>,
}

impl VerifiedClaims {
    /// Verifies an assertion at the time `now`. Of several keys the one that verifies says which issuer it is.
    ///
    /// # Errors
    /// The first check that fails; see [`ClaimsRefusal`].
    pub fn verify(
        assertion: UnverifiedAssertion,
        candidates: &[CandidateKey],
        now: UnixTime,
    ) -> Result<VerifiedClaims, ClaimsRefusal> {
        let CandidateKey { issuer, key } = signer(&assertion, candidates)?;
        issuer.check_key(key.issuer(), assertion.unverified_claims())?;
        registered::check_token_type(assertion.unverified_token_type())?;
        issuer.check_header(&assertion)?;
        issuer.check_claims(assertion.unverified_claims())?;
        let registered = registered::Registered::read(assertion.unverified_claims(), issuer)?;
        registered.check_times(issuer, now)?;
        let replay = replay::claim(&assertion, &registered, issuer);
        Ok(VerifiedClaims {
            issuer: issuer.clone(),
            key_id: key.id().cloned(),
            subject: registered.subject,
            audience: Some(registered.audience),
            token_id: registered.token_id,
            expires_at: registered.expires_at,
            replay,
            token: issuer.settings().review.is_some().then(|| SecretString::from(assertion.compact())),
            members: assertion.into_claims(),
        })
    }

    /// What a proven certificate says: a `sub`, until it ends. It is meant for nobody and can be shown again, since only
    /// the holder of its key can show it (so no audience, no replay).
    ///
    /// # Errors
    /// [`ClaimsRefusal::Kind`], for a certificate that is not this issuer's.
    pub fn of_certificate(svid: &X509Svid, issuer: &TrustedIssuer) -> Result<VerifiedClaims, ClaimsRefusal> {
        let id = svid.id().to_string();
        let subject = Subject::parse(&id).map_err(|_| ClaimsRefusal::Claim("sub", "is too long"))?;
        let members = Map::from_iter([("sub".to_owned(), Value::String(id))]);
        issuer.check_claims(&members)?;
        Ok(VerifiedClaims {
            issuer: issuer.clone(),
            key_id: None,
            subject,
            audience: None,
            token_id: None,
            expires_at: svid.not_after(),
            replay: None,
            token: None,
            members,
        })
    }

    /// Who signed them.
    #[must_use]
    pub fn issuer(&self) -> &TrustedIssuer {
        &self.issuer
    }

    /// Which key verified them; `None` for a key without an id.
    #[must_use]
    pub fn key_id(&self) -> Option<&KeyId> {
        self.key_id.as_ref()
    }

    /// The `sub` claim.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The accepted `aud` value; a certificate has none.
    #[must_use]
    pub fn audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    /// The `jti` claim.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// The `exp` claim, in whole seconds.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.expires_at
    }

    /// The claim that makes this assertion single use, where the issuer's are.
    #[must_use]
    pub fn replay(&self) -> Option<&ReplayClaim> {
        self.replay.as_ref()
    }

    /// The token itself, where the issuer's cluster is asked about it; for nothing else.
    #[must_use]
    pub fn token_for_review(&self) -> Option<&SecretString> {
        self.token.as_ref()
    }

    /// All claims.
    #[must_use]
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }
}

/// The one candidate whose key signed the assertion.
fn signer<'a>(
    assertion: &UnverifiedAssertion,
    candidates: &'a [CandidateKey],
) -> Result<&'a CandidateKey, ClaimsRefusal> {
    // The key names its algorithm; the token's alg is only compared with it (RFC 8725 §3.1).
    let mut fitting =
        candidates.iter().filter(|one| one.key.algorithm() == assertion.unverified_algorithm()).peekable();
    if fitting.peek().is_none() {
        return Err(ClaimsRefusal::Algorithm { said: assertion.unverified_algorithm() });
    }
    let mut signers = fitting.filter(|one| one.key.verify(assertion.signing_input(), assertion.signature()));
    match (signers.next(), signers.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(ClaimsRefusal::Signature),
        // The same key in two clusters' sets: their namespaces would be each other's.
        (Some(_), Some(_)) => Err(ClaimsRefusal::SeveralIssuers),
    }
}
