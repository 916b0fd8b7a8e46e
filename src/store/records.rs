//! What the store keeps, as plain records.

use std::time::Duration;

use serde::Serialize;

use crate::vocab::{
    ClientId, CredentialName, IssuerName, PolicyName, Scopes, TokenId, TraceId, UnixMillis, UnixTime, UserName,
};

/// A WORKLOAD user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserRecord {
    /// Its name.
    pub name: UserName,
    /// Who made it.
    pub origin: UserOrigin,
    /// Whether it may sign in.
    pub state: UserState,
    /// When it was made.
    pub created_at: UnixTime,
}

/// Who made a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UserOrigin {
    /// An operator, by the admin API.
    Operator,
    /// This policy, at a first exchange ("just in time").
    Policy(PolicyName),
}

/// Whether a user may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UserState {
    /// It may.
    Enabled,
    /// It may not, for now.
    Disabled,
    /// It is gone; its name is not given to another workload just in time.
    Deleted,
}

/// A client secret or a long-lived access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRecord {
    /// Its name.
    pub name: CredentialName,
    /// The OAuth client id; also the `client_id` of a long-lived access token.
    pub client_id: ClientId,
    /// Whom it signs in.
    pub user: UserName,
    /// What was handed out.
    pub kind: CredentialKind,
    /// The most its tokens may carry.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it ends.
    pub expires_at: Option<UnixTime>,
    /// Switched off by an operator.
    pub disabled: bool,
    /// The accepted secrets (several only while a rotation overlaps).
    pub secrets: Vec<SecretRecord>,
}

/// What a credential handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// A client id and secret.
    Oauth2,
    /// A long-lived access token.
    AccessToken,
}

/// One accepted secret: HMAC-SHA-256 of the client secret, or of the access token's `jti`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretRecord {
    /// The keyed hash.
    pub hash: [u8; 32],
    /// When it was made.
    pub created_at: UnixTime,
    /// When it stops being accepted.
    pub expires_at: Option<UnixTime>,
}

impl std::fmt::Debug for SecretRecord {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SecretRecord").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// An issuer's last good key set, for a start without network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySetRecord {
    /// Whose: the configured name.
    pub issuer: IssuerName,
    /// Where it came from; a set is taken up again only for the same source.
    pub source: String,
    /// The issuer's answer, byte for byte; it is parsed again when it is taken up.
    pub body: Vec<u8>,
    /// When it was fetched.
    pub fetched_at: UnixMillis,
    /// The answer's `max-age`.
    pub max_age: Option<Duration>,
}

/// A minted token's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// The token's `jti`.
    pub token: TokenId,
    /// Its `sub`.
    pub user: UserName,
    /// Its `client_id`.
    pub client_id: ClientId,
    /// The issuer it came from; none for client secrets.
    pub issuer: Option<IssuerName>,
    /// The policies that admitted it.
    pub policies: Vec<PolicyName>,
    /// When it was minted.
    pub created_at: UnixTime,
    /// Its `exp`.
    pub expires_at: UnixTime,
    /// When it was revoked, if it was.
    pub revoked_at: Option<UnixTime>,
}

/// A claim on an assertion that may be used once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayClaim {
    /// SHA-256 over issuer and `jti` (or the signed claims); never over token bytes, which can be varied.
    pub id: [u8; 32],
    /// Until when the assertion could be accepted.
    pub keep_until: UnixTime,
}

/// The secret that admitted an exchange. It must still be accepted when the exchange is committed.
#[derive(Clone, PartialEq, Eq)]
pub struct UsedSecret {
    /// Whose secret.
    pub credential: CredentialName,
    /// The credential's client id: a name may have been given to another credential since.
    pub client_id: ClientId,
    /// Its keyed hash.
    pub hash: [u8; 32],
}

impl std::fmt::Debug for UsedSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("UsedSecret").field("credential", &self.credential).finish_non_exhaustive()
    }
}

impl CredentialRecord {
    /// Whether this is the credential, and it still accepts the secret at `now`.
    #[must_use]
    pub fn still_accepts(&self, used: &UsedSecret, now: UnixTime) -> bool {
        let in_time = |end: Option<UnixTime>| end.is_none_or(|end| now < end);
        self.client_id == used.client_id
            && !self.disabled
            && in_time(self.expires_at)
            && self.secrets.iter().any(|secret| secret.hash == used.hash && in_time(secret.expires_at))
    }
}

/// One exit of the exchange.
#[derive(Debug, Clone)]
pub struct ExchangeCommit {
    /// The single-use claim, if the issuer's assertions are single use.
    pub replay: Option<ReplayClaim>,
    /// The client secret that admitted it, if one did.
    pub secret: Option<UsedSecret>,
    /// The user to make if it does not exist yet.
    pub new_user: Option<UserRecord>,
    /// The session, when a token was minted.
    pub session: Option<SessionRecord>,
    /// The audit record.
    pub audit: AuditRow,
    /// Now, for comparing `keep_until` of older claims.
    pub now: UnixTime,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// All of it is durable.
    Committed,
    /// The assertion had been used; nothing was written.
    Replayed,
    /// The user was disabled or deleted meanwhile; nothing was written.
    UserUnavailable,
    /// The client secret was disabled, deleted, rotated away or ended meanwhile; nothing was written.
    SecretUnavailable,
}

/// An audit record: its JSON text, and the facts it is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// When.
    pub time: UnixMillis,
    /// The trace id.
    pub trace_id: TraceId,
    /// `minted`, `refused` or `fault`; of a reload `reloaded` or `refused`.
    pub outcome: &'static str,
    /// The dotted cause, where it was not minted.
    pub cause: Option<&'static str>,
    /// The user, once proven.
    pub user: Option<UserName>,
    /// The policy, once proven.
    pub policy: Option<PolicyName>,
    /// The issuer's configured name, once proven.
    pub issuer_name: Option<IssuerName>,
    /// The whole record as one line of JSON, without the line's end.
    pub json: String,
}

/// A kept audit record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Where it stands in the trail; later records have higher positions.
    pub position: i64,
    /// The record as one line of JSON.
    pub json: String,
}

/// A kept audit record, with what it is found by and its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainedRow {
    /// Where it stands in the trail.
    pub position: i64,
    /// When, as the store finds it.
    pub time: UnixMillis,
    /// The other columns that the store finds it by: a record's member, and what the column has.
    pub found_by: [(&'static str, Option<String>); 6],
    /// The record as one line of JSON.
    pub json: String,
    /// Its link; records from before the chain have none.
    pub link: Option<crate::store::chain::Link>,
}

/// Which audit records are asked for; `None` means any.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Not before.
    pub since: Option<UnixMillis>,
    /// Not after.
    pub until: Option<UnixMillis>,
    /// Only records after this position, for following (`tail`).
    pub after_position: Option<i64>,
    /// This trace id.
    pub trace_id: Option<TraceId>,
    /// This outcome.
    pub outcome: Option<String>,
    /// This cause.
    pub cause: Option<String>,
    /// This user.
    pub user: Option<UserName>,
    /// This policy.
    pub policy: Option<PolicyName>,
    /// This issuer.
    pub issuer_name: Option<IssuerName>,
    /// At most this many.
    pub limit: u32,
}

/// What a store holds, as an operator's check finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The schema's version.
    pub schema: usize,
    /// Rows by table.
    pub rows: Vec<(&'static str, u64)>,
    /// What is wrong with it.
    pub faults: Vec<String>,
}
