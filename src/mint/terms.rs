//! What a token may say: the policy's terms, narrowed by what the request wants.

use std::time::Duration;

use super::{MintFault, Ring, SignedToken, TokenClaims, WorkloadOrigin};
use crate::clock::{Clock, random_bytes};
use crate::policy::Permit;
use crate::vocab::{Audience, IssuerUrl, Scope, Scopes, TokenId, UnixTime, shown};
use crate::workload::WorkloadUser;

/// Most characters of a request's text that an operator is shown.
const SHOWN_CHARACTERS: usize = 120;

/// What every token has unless a policy is stricter.
#[derive(Debug, Clone)]
pub struct TokenDefaults {
    /// Our issuer identifier, also the default audience.
    pub issuer: IssuerUrl,
    /// The default lifetime.
    pub lifetime: Duration,
    /// No token lives longer.
    pub max_lifetime: Duration,
}

/// What the request asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The scopes; `None` means all that are granted.
    pub scopes: Option<&'a Scopes>,
    /// The targets; none means the default.
    pub targets: &'a [Audience],
}

/// Why an admitted user gets no such token.
#[derive(Debug, thiserror::Error)]
pub enum GrantRefusal {
    /// A scope that the grant does not cover (RFC 6749 §5.2).
    #[error("the scope {asked} is not granted; granted: {granted}")]
    Scope {
        /// The first such scope, as it may be shown.
        asked: String,
        /// What is granted.
        granted: String,
    },
    /// An audience that the grant does not have (RFC 8707 §2).
    #[error("the audience {asked} is not granted; granted: {granted}")]
    Target {
        /// The first such audience, as it may be shown.
        asked: String,
        /// What is granted.
        granted: String,
    },
    /// The assertion ends too soon for a token that must not outlive it.
    #[error("the assertion has expired, and the token may not outlive it")]
    WithinAssertion,
    /// Signing failed.
    #[error(transparent)]
    Fault(#[from] MintFault),
}

impl GrantRefusal {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            GrantRefusal::Scope { .. } => "mint.scope",
            GrantRefusal::Target { .. } => "mint.target",
            GrantRefusal::WithinAssertion => "mint.within_assertion",
            GrantRefusal::Fault(fault) => fault.cause(),
        }
    }
}

impl SignedToken {
    /// Decides what the token says, and signs it.
    ///
    /// # Errors
    /// See [`GrantRefusal`].
    pub fn sign(
        user: WorkloadUser,
        wanted: Wanted<'_>,
        defaults: &TokenDefaults,
        signer: &Ring,
        clock: &Clock,
    ) -> Result<SignedToken, GrantRefusal> {
        let now = clock.now_millis();
        let random = random_bytes().map_err(MintFault::from)?;
        let claims = TokenClaims {
            iss: defaults.issuer.clone(),
            sub: user.name().clone(),
            client_id: user.client_id().map_err(MintFault::from)?,
            aud: audiences(user.permit(), wanted.targets, defaults)?,
            iat: now.to_unix_time(),
            nbf: now.to_unix_time(),
            exp: expiry(user.permit(), now.to_unix_time(), defaults)?,
            jti: TokenId::new(now, random),
            scope: scopes(user.scopes(), wanted.scopes)?,
            workload: user.permit().map(origin),
            credential: None,
        };
        Ok(SignedToken { compact: signer.sign(&claims)?, claims, user })
    }
}

fn origin(permit: &Permit) -> WorkloadOrigin {
    WorkloadOrigin {
        issuer: permit.issuer().identifier().to_owned(),
        subject: permit.subject().clone(),
        policy: permit.policies().first().cloned(),
        attributes: permit.attributes().clone(),
    }
}

fn scopes(granted: &Scopes, wanted: Option<&Scopes>) -> Result<Scopes, GrantRefusal> {
    let Some(wanted) = wanted else { return Ok(granted.clone()) };
    match wanted.iter().find(|scope| !granted.cover(scope)) {
        None => Ok(wanted.clone()),
        Some(scope) => Err(GrantRefusal::Scope {
            asked: shown(scope.as_str(), SHOWN_CHARACTERS),
            granted: several(granted.iter().map(Scope::as_str)),
        }),
    }
}

/// What is granted, as an operator reads it.
fn several<'a>(granted: impl Iterator<Item = &'a str>) -> String {
    let listed = granted.collect::<Vec<_>>().join(" ");
    if listed.is_empty() { "nothing".to_owned() } else { shown(&listed, 4 * SHOWN_CHARACTERS) }
}

fn audiences(
    permit: Option<&Permit>,
    targets: &[Audience],
    defaults: &TokenDefaults,
) -> Result<Vec<Audience>, GrantRefusal> {
    let granted = match permit.and_then(|permit| permit.token().audiences.clone()) {
        Some(audiences) => audiences,
        None => vec![Audience::parse(defaults.issuer.as_str()).map_err(MintFault::from)?],
    };
    if targets.is_empty() {
        return Ok(granted);
    }
    if let Some(target) = targets.iter().find(|target| !granted.contains(target)) {
        return Err(GrantRefusal::Target {
            asked: shown(target.as_str(), SHOWN_CHARACTERS),
            granted: several(granted.iter().map(Audience::as_str)),
        });
    }
    let mut wanted = targets.to_vec();
    wanted.sort();
    wanted.dedup();
    Ok(wanted)
}

/// `exp`: the policy's or the default lifetime, never past the longest; tied to the assertion where a policy says so
/// (RFC 7521 §4.1). An assertion read within its leeway still gives a token that ends with the leeway.
fn expiry(permit: Option<&Permit>, now: UnixTime, defaults: &TokenDefaults) -> Result<UnixTime, GrantRefusal> {
    let lifetime = permit.and_then(|permit| permit.token().lifetime).unwrap_or(defaults.lifetime);
    let expires_at = now.plus(lifetime.min(defaults.max_lifetime));
    let Some(permit) = permit.filter(|permit| permit.token().within_assertion) else { return Ok(expires_at) };
    let end = permit.assertion_expires_at();
    let latest = if end > now { end } else { end.plus(permit.issuer().leeway()) };
    if latest <= now {
        return Err(GrantRefusal::WithinAssertion);
    }
    Ok(expires_at.min(latest))
}
