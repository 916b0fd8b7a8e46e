//! The one constructor of [`Caller`]: RFC 9068 §4, then whether the token still counts.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::refusal::TokenRefusal;
use super::standing::Standing;
use crate::client_auth::{AssertionShape, UnverifiedAssertion};
use crate::key::KeyRefusal;
use crate::mint::Ring;
use crate::store::Store;
use crate::vocab::{Audience, ClientId, CredentialName, IssuerUrl, Scopes, TokenId, UnixTime, UserName, WordFault};
use crate::workload::credentials::SecretHasher;

/// How far `iat` and `nbf` may lie ahead: another replica's clock. `exp` gets no leeway, for we set it ourselves.
const LEEWAY: Duration = Duration::from_secs(60);

/// Who calls, as our own token says. Only [`Verifier::verify`] makes one.
#[derive(Debug, Clone)]
pub struct Caller {
    user: UserName,
    scopes: Scopes,
    token_id: TokenId,
    client_id: ClientId,
    issued_at: UnixTime,
    expires_at: UnixTime,
    credential: Option<CredentialName>,
}

impl Caller {
    /// The WORKLOAD user.
    #[must_use]
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// What it may do.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// The token's `jti`.
    #[must_use]
    pub fn token_id(&self) -> &TokenId {
        &self.token_id
    }

    /// The credential's client id, or the user's name.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// The token's `iat`.
    #[must_use]
    pub fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// The token's `exp`.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.expires_at
    }

    /// The long-lived access-token credential that the token is, if it is one.
    #[must_use]
    pub fn credential(&self) -> Option<&CredentialName> {
        self.credential.as_ref()
    }
}

/// Verifies this broker's own access tokens.
pub struct Verifier {
    issuer: IssuerUrl,
    ring: Arc<Ring>,
    standing: Standing,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Verifier").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier of tokens of `issuer`, signed by a key that `ring` publishes.
    #[must_use]
    pub fn new(issuer: &IssuerUrl, ring: Arc<Ring>, store: Arc<dyn Store>, hasher: Arc<SecretHasher>) -> Verifier {
        Verifier { issuer: issuer.clone(), ring, standing: Standing { store, hasher } }
    }

    /// Whose tokens these are.
    #[must_use]
    pub fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }

    /// Verifies a token that is meant for one of `audiences`.
    ///
    /// # Errors
    /// See [`TokenRefusal`].
    pub async fn verify(&self, token: &str, audiences: &[Audience], now: UnixTime) -> Result<Caller, TokenRefusal> {
        let caller = self.read(token, audiences, now)?;
        self.standing.check(&caller, now).await?;
        Ok(caller)
    }

    fn read(&self, token: &str, audiences: &[Audience], now: UnixTime) -> Result<Caller, TokenRefusal> {
        let unverified = UnverifiedAssertion::parse(token, AssertionShape::Unsaid)?;
        if !unverified.unverified_token_type().is_some_and(is_access_token) {
            return Err(TokenRefusal::Type);
        }
        // The key names its algorithm; the header's alg is only compared with it (RFC 8725 §3.1).
        let signer = self.ring.signer();
        let key = signer
            .key_set()
            .find(unverified.unverified_key_id(), unverified.unverified_algorithm(), false)
            .map_err(|refusal| match refusal {
                KeyRefusal::Algorithm { .. } | KeyRefusal::AlgorithmNotAllowed { .. } => TokenRefusal::Algorithm,
                _ => TokenRefusal::Key,
            })?;
        if !key.verify(unverified.signing_input(), unverified.signature()) {
            return Err(TokenRefusal::Signature);
        }
        let claims = unverified.into_claims();
        if claims.get("iss").and_then(Value::as_str) != Some(self.issuer.as_str()) {
            return Err(TokenRefusal::Issuer);
        }
        check_times(&claims, now)?;
        check_audience(&claims, audiences)?;
        caller(&claims)
    }
}

/// RFC 9068 §4 with RFC 7515 §4.1.9: media types compare without case, `application/` may be left out.
fn is_access_token(token_type: &str) -> bool {
    let lower = token_type.to_ascii_lowercase();
    lower.strip_prefix("application/").unwrap_or(&lower) == "at+jwt"
}

fn check_times(claims: &Map<String, Value>, now: UnixTime) -> Result<(), TokenRefusal> {
    let (expires_at, issued_at) = (time(claims, "exp")?, time(claims, "iat")?);
    if expires_at <= now {
        return Err(TokenRefusal::Expired { expires_at, now });
    }
    let not_before = if claims.contains_key("nbf") { time(claims, "nbf")? } else { issued_at };
    let from = not_before.max(issued_at);
    if from > now.plus(LEEWAY) { Err(TokenRefusal::NotYet { from, now }) } else { Ok(()) }
}

/// `aud` is a string or a list of strings (RFC 7519 §4.1.3); one of them must be accepted here.
fn check_audience(claims: &Map<String, Value>, accepted: &[Audience]) -> Result<(), TokenRefusal> {
    let named = match claims.get("aud") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several
            .iter()
            .map(|value| value.as_str().ok_or(TokenRefusal::Claim("aud")))
            .collect::<Result<Vec<_>, _>>()?,
        _ => return Err(TokenRefusal::Claim("aud")),
    };
    let here = accepted.iter().any(|audience| named.contains(&audience.as_str()));
    if here { Ok(()) } else { Err(TokenRefusal::Audience) }
}

fn caller(claims: &Map<String, Value>) -> Result<Caller, TokenRefusal> {
    let scopes =
        if claims.contains_key("scope") { word(claims, "scope", Scopes::parse_wire)? } else { Scopes::default() };
    let credential =
        if claims.contains_key("credential") { Some(word(claims, "credential", CredentialName::parse)?) } else { None };
    Ok(Caller {
        user: word(claims, "sub", UserName::parse)?,
        scopes,
        token_id: word(claims, "jti", TokenId::parse)?,
        client_id: word(claims, "client_id", ClientId::parse)?,
        issued_at: time(claims, "iat")?,
        expires_at: time(claims, "exp")?,
        credential,
    })
}

fn word<T>(
    claims: &Map<String, Value>,
    name: &'static str,
    parse: fn(&str) -> Result<T, WordFault>,
) -> Result<T, TokenRefusal> {
    let text = claims.get(name).and_then(Value::as_str).ok_or(TokenRefusal::Claim(name))?;
    parse(text).map_err(|_| TokenRefusal::Claim(name))
}

fn time(claims: &Map<String, Value>, name: &'static str) -> Result<UnixTime, TokenRefusal> {
    claims.get(name).and_then(Value::as_i64).map(UnixTime).ok_or(TokenRefusal::Claim(name))
}
