//! The token: claims by design, signed, and made durable before it leaves.
//!
//! In: a workload user. Out: [`MintedToken`], whose text can be read only after replay claim, session and audit record
//! were committed. Not here: how the answer looks (see `http`).

mod material;
mod ring;
mod seal;
mod signer;
mod terms;

pub use ring::{Checkpoints, ImportRefusal, KeyView, Ring, RingSettings, keep};
pub use seal::KeyEncryption;
pub use signer::{AuditSigner, MintFault, Signer};
pub use terms::{GrantRefusal, TokenDefaults, Wanted};

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::store::{AuditRow, CommitOutcome, ExchangeCommit, ReplayClaim, SessionRecord, Store, StoreFault};
use crate::vocab::{
    Audience, ClientId, CredentialName, IssuerUrl, PolicyName, Scopes, Subject, TokenId, UnixTime, UserName,
};
use crate::workload::WorkloadUser;

/// An access token's claims (RFC 9068 §2.2).
#[derive(Debug, Clone, Serialize)]
pub struct TokenClaims {
    /// Our issuer identifier.
    pub iss: IssuerUrl,
    /// The WORKLOAD user.
    pub sub: UserName,
    /// The credential's client id, or the user's name.
    pub client_id: ClientId,
    /// Whom it is for; one value is written as a string.
    #[serde(serialize_with = "one_or_list")]
    pub aud: Vec<Audience>,
    /// Issued at.
    pub iat: UnixTime,
    /// Not before.
    pub nbf: UnixTime,
    /// Expires at.
    pub exp: UnixTime,
    /// Its id.
    pub jti: TokenId,
    /// What it may do; left out when nothing.
    #[serde(serialize_with = "wire_scopes", skip_serializing_if = "Scopes::is_empty")]
    pub scope: Scopes,
    /// Where the identity came from; left out for client secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadOrigin>,
    /// The long-lived access-token credential this is, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialName>,
}

/// Where a workload's identity came from.
#[derive(Debug, Clone, Serialize)]
pub struct WorkloadOrigin {
    /// The platform's issuer identifier.
    pub issuer: String,
    /// The assertion's subject.
    pub subject: Subject,
    /// The policy that admitted it (the first by name, when several did).
    pub policy: Option<PolicyName>,
    /// What the policies copy from the assertion.
    pub attributes: BTreeMap<String, String>,
}

fn one_or_list<S: Serializer>(audiences: &[Audience], serializer: S) -> Result<S::Ok, S::Error> {
    match audiences {
        [one] => one.serialize(serializer),
        several => several.serialize(serializer),
    }
}

fn wire_scopes<S: Serializer>(scopes: &Scopes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&scopes.to_wire())
}

/// A signed token that is not durable yet: nobody can read it.
pub struct SignedToken {
    compact: String,
    claims: TokenClaims,
    user: WorkloadUser,
}

/// A token whose session and audit record are durable. Only [`SignedToken::commit`] makes one.
pub struct MintedToken {
    compact: String,
    claims: TokenClaims,
}

/// Why a signed token never left.
#[derive(Debug, thiserror::Error)]
pub enum CommitRefusal {
    /// The assertion was used before (RFC 7523 §3 item 7).
    #[error("the assertion was used before")]
    Replayed,
    /// The user was disabled or deleted while the token was being made.
    #[error("the user was disabled or deleted meanwhile")]
    UserUnavailable,
    /// The client secret stopped being accepted while the token was being made.
    #[error("the client secret was disabled, deleted or rotated meanwhile")]
    SecretUnavailable,
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl CommitRefusal {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            CommitRefusal::Replayed => "mint.replayed",
            CommitRefusal::UserUnavailable => "workload.user_disabled",
            CommitRefusal::SecretUnavailable => "secret.disabled",
            CommitRefusal::Fault(_) => "store.unavailable",
        }
    }
}

impl std::fmt::Debug for SignedToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SignedToken").field("jti", &self.claims.jti).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for MintedToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MintedToken").field("jti", &self.claims.jti).finish_non_exhaustive()
    }
}

impl SignedToken {
    /// What it says.
    #[must_use]
    pub fn claims(&self) -> &TokenClaims {
        &self.claims
    }

    /// Makes the token durable: replay claim, new user, session and audit record together, then gives it out. The store
    /// looks at the user and the client secret once more: one that was disabled meanwhile gets nothing.
    ///
    /// # Errors
    /// See [`CommitRefusal`]; nothing was written then.
    pub async fn commit(
        self,
        replay: Option<ReplayClaim>,
        audit: AuditRow,
        store: &dyn Store,
    ) -> Result<MintedToken, CommitRefusal> {
        let now = self.claims.iat;
        let session = SessionRecord {
            token: self.claims.jti.clone(),
            user: self.claims.sub.clone(),
            client_id: self.claims.client_id.clone(),
            issuer: self.user.permit().map(|permit| permit.issuer().name().clone()),
            policies: self.user.permit().map(|permit| permit.policies().to_vec()).unwrap_or_default(),
            created_at: now,
            expires_at: self.claims.exp,
            revoked_at: None,
        };
        let new_user = self.user.new_user().cloned();
        let secret = self.user.secret().cloned();
        let commit = ExchangeCommit { replay, secret, new_user, session: Some(session), audit, now };
        match store.commit(commit).await? {
            CommitOutcome::Committed => Ok(MintedToken { compact: self.compact, claims: self.claims }),
            CommitOutcome::Replayed => Err(CommitRefusal::Replayed),
            CommitOutcome::UserUnavailable => Err(CommitRefusal::UserUnavailable),
            CommitOutcome::SecretUnavailable => Err(CommitRefusal::SecretUnavailable),
        }
    }
}

impl MintedToken {
    /// The token itself, for the answer only.
    #[must_use]
    pub fn into_compact(self) -> String {
        self.compact
    }

    /// What it says.
    #[must_use]
    pub fn claims(&self) -> &TokenClaims {
        &self.claims
    }
}
