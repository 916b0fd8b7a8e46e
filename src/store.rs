//! What must survive a restart: users, credentials, keys, sessions, replay ids, audit.
//!
//! In: domain operations. Out: records. One trait; `sqlite` is the embedded backend, `postgres` the one of several
//! replicas. An operation that was answered is durable: `kill -9` right after the answer loses nothing.

pub mod chain;
mod change;
mod columns;
mod directory;
mod keys;
pub mod postgres;
mod records;
pub mod sqlite;
pub mod unrecorded;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use change::{Change, Made, SessionFilter, SessionsOf};
pub use keys::{KeyChange, KeyPurpose, KeyRecord, KeyState, PrivateKey, ReplicaRecord, SigningRing};
pub use records::{
    AuditEntry, AuditFilter, AuditRow, ChainedRow, CommitOutcome, CredentialKind, CredentialRecord, ExchangeCommit,
    Inventory, KeySetRecord, ReplayClaim, SecretRecord, SessionRecord, UsedSecret, UserOrigin, UserRecord, UserState,
};

use self::chain::{CheckpointSigner, Link};
use crate::vocab::{ClientId, CredentialName, TokenId, UnixTime, UserName};

/// The store could not do it; the caller gets 503 and may try again.
#[derive(Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct StoreFault(pub String);

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeRefusal {
    /// Something with this name exists.
    #[error("{0} already exists")]
    Exists(String),
    /// Nothing has this name.
    #[error("there is no {0}")]
    Missing(String),
    /// It was changed since the caller read it.
    #[error("{0} was changed meanwhile; look at it again")]
    Outrun(String),
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// A pending store operation.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The domain operations.
pub trait Store: Send + Sync + 'static {
    /// Makes a change, with its record, or refuses it and writes nothing. Gives how many sessions it ended: those of a
    /// user or credential that it disabled or deleted, or that it was to end.
    fn change(&self, change: Change, made: Made) -> Pending<'_, Result<u64, ChangeRefusal>>;
    /// The user of this name, deleted ones included (their state says so).
    fn user<'a>(&'a self, name: &'a UserName) -> Pending<'a, Result<Option<UserRecord>, StoreFault>>;
    /// All users that are not deleted, by name.
    fn users(&self) -> Pending<'_, Result<Vec<UserRecord>, StoreFault>>;
    /// The credential of this name.
    fn credential<'a>(&'a self, name: &'a CredentialName) -> Pending<'a, Result<Option<CredentialRecord>, StoreFault>>;
    /// The credential with this client id; answers from memory, in the same time whether or not there is one.
    fn credential_of_client<'a>(
        &'a self,
        id: &'a ClientId,
    ) -> Pending<'a, Result<Option<Arc<CredentialRecord>>, StoreFault>>;
    /// All credentials, by name.
    fn credentials(&self) -> Pending<'_, Result<Vec<CredentialRecord>, StoreFault>>;

    /// The secret kept under this name, made from `fresh` the first time; every caller gets the same bytes.
    fn shared_secret<'a>(&'a self, name: &'a str, fresh: [u8; 32]) -> Pending<'a, Result<[u8; 32], StoreFault>>;

    /// The key sets that were kept, one an issuer at most.
    fn key_sets(&self) -> Pending<'_, Result<Vec<KeySetRecord>, StoreFault>>;
    /// Keeps an issuer's key set in place of the one before.
    fn keep_key_set(&self, set: KeySetRecord) -> Pending<'_, Result<(), StoreFault>>;

    /// Makes one exchange durable, all of it or nothing: the replay claim, the just-in-time user, the session, the
    /// audit record. Nothing is written when the replay id was claimed before (and `keep_until` has not passed), or
    /// when the session's user is disabled or deleted by now, or the secret that admitted it is not accepted any more.
    fn commit(&self, exchange: ExchangeCommit) -> Pending<'_, Result<CommitOutcome, StoreFault>>;
    /// The session of this token.
    fn session<'a>(&'a self, token: &'a TokenId) -> Pending<'a, Result<Option<SessionRecord>, StoreFault>>;
    /// Sessions that match, newest first.
    fn sessions(&self, filter: SessionFilter) -> Pending<'_, Result<Vec<SessionRecord>, StoreFault>>;
    /// When the session of this token was ended, if it was and the token could still be good; answers from memory.
    fn revoked(&self, token: &TokenId) -> Option<UnixTime>;
    /// Audit records that match, oldest first, at most `filter.limit`: the newest ones, or with `after_position` the
    /// ones that follow it, so that a follower misses none.
    fn audit(&self, filter: AuditFilter) -> Pending<'_, Result<Vec<AuditEntry>, StoreFault>>;
    /// The same records with their links, oldest first, after a position.
    fn chained(&self, after: i64, limit: u32) -> Pending<'_, Result<Vec<ChainedRow>, StoreFault>>;
    /// The newest link of every chain.
    fn chain_heads(&self) -> Pending<'_, Result<Vec<Link>, StoreFault>>;
    /// From now on checkpoints of this replica's chain are signed by this one. Only the first call counts.
    fn sign_checkpoints(&self, signer: Arc<dyn CheckpointSigner>);
    /// Signs what this replica's chain has, if any of it is not signed yet.
    fn checkpoint(&self) -> Pending<'_, Result<(), StoreFault>>;
    /// Removes replay ids and sessions that have ended; gives how many rows.
    fn prune(&self, now: UnixTime) -> Pending<'_, Result<u64, StoreFault>>;
    /// Whether the store can commit now.
    fn check(&self) -> Pending<'_, Result<(), StoreFault>>;

    // Signing keys, and the replicas that publish them.

    /// All signing keys and the replicas seen lately. A store that replicas share answers with its own clock's time; the
    /// embedded one with `now`.
    fn signing_ring(&self, now: UnixTime) -> Pending<'_, Result<SigningRing, StoreFault>>;
    /// Writes these keys (by id; their `changed` is set) and records them, if the newest change of a key still is
    /// `expected`: two replicas that see the same step due make it once.
    fn change_signing_keys(
        &self,
        expected: u64,
        keys: Vec<KeyRecord>,
        audit: Vec<AuditRow>,
    ) -> Pending<'_, Result<KeyChange, StoreFault>>;
    /// This replica lives, and publishes the keys of change `replica.applied`.
    fn heartbeat(&self, replica: ReplicaRecord) -> Pending<'_, Result<(), StoreFault>>;
    /// The number of the newest change, of keys and of all else that is not an exchange.
    fn changes(&self) -> tokio::sync::watch::Receiver<u64>;
    /// Whether changes of other replicas have been heard of lately.
    fn feed_fresh(&self) -> bool;
}
