//! What operators, and a reload, change: users, credentials, and sessions that are to end.
//!
//! In: nothing. Out: plain records. A change is one transaction with its audit record; what it takes away, it also ends:
//! the sessions of a user or credential that is disabled or deleted.

use super::{AuditRow, ChangeRefusal, CredentialRecord, UserRecord, UserState};
use crate::vocab::{ClientId, CredentialName, IssuerName, PolicyName, TokenId, UnixTime, UserName};

/// A change.
#[derive(Debug, Clone)]
pub enum Change {
    /// Adds a user. A deleted name is taken until an operator creates it again, which revives it as new.
    CreateUser(UserRecord),
    /// Enables, disables or deletes a user. Deleting keeps the name as a tombstone and deletes the user's credentials.
    UserState(UserName, UserState),
    /// Adds a credential.
    CreateCredential(CredentialRecord),
    /// Replaces a credential (its name and client id stay).
    UpdateCredential {
        /// What it was changed from; refused when it is something else by now.
        from: Option<Box<CredentialRecord>>,
        /// What it is to be.
        to: Box<CredentialRecord>,
    },
    /// Removes a credential.
    DeleteCredential(CredentialName),
    /// Ends sessions.
    EndSessions(SessionsOf),
}

/// Which sessions are to end.
#[derive(Debug, Clone)]
pub enum SessionsOf {
    /// The one of this token; refused when there is none that has not ended.
    Token(TokenId),
    /// All of a user.
    User(UserName),
    /// All of a credential: its user and client id.
    Credential(UserName, ClientId),
    /// All that one of these policies admitted.
    Policies(Vec<PolicyName>),
    /// All that came from one of these issuers.
    Issuers(Vec<IssuerName>),
}

/// When a change is made, and its record.
#[derive(Debug, Clone)]
pub struct Made {
    /// When.
    pub at: UnixTime,
    /// What the trail says of it; written only with the change.
    pub audit: Option<AuditRow>,
}

/// Which sessions are asked for; `None` means any.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    /// Of this user.
    pub user: Option<UserName>,
    /// Admitted by this policy.
    pub policy: Option<PolicyName>,
    /// From this issuer.
    pub issuer: Option<IssuerName>,
    /// Minted since.
    pub since: Option<UnixTime>,
    /// Older than the one of this token, for the next page.
    pub before: Option<TokenId>,
    /// At most this many.
    pub limit: u32,
}

impl SessionsOf {
    /// The refusal when `ended` sessions are too few.
    pub(super) fn check(&self, ended: u64) -> Result<u64, ChangeRefusal> {
        match self {
            SessionsOf::Token(token) if ended == 0 => {
                Err(ChangeRefusal::Missing(format!("session of the token {token} that has not ended")))
            }
            _ => Ok(ended),
        }
    }
}

/// The sessions that a change ends beside what it says. A deleted credential is known to the store alone.
pub(super) fn ended_by(change: &Change) -> Option<SessionsOf> {
    match change {
        Change::UserState(name, UserState::Disabled | UserState::Deleted) => Some(SessionsOf::User(name.clone())),
        Change::UpdateCredential { to, .. } if to.disabled => {
            Some(SessionsOf::Credential(to.user.clone(), to.client_id.clone()))
        }
        Change::EndSessions(which) => Some(which.clone()),
        _ => None,
    }
}
