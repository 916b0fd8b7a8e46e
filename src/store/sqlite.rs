//! The embedded store: SQLite in WAL mode with full sync.
//!
//! In: domain operations. Out: answers that are on the disk. One thread writes, many jobs a transaction (`writer`);
//! users and credentials are answered from memory (`directory`); queries run on connections of their own (`reader`).

mod files;
mod group;
mod keys;
mod mirror;
mod people;
mod reader;
mod rows;
pub mod upkeep;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;

use self::reader::Reader;
use self::writer::Writer;
use super::chain::{Chain, CheckpointSigner, Link, SignerCell};
use super::directory::Directory;
use super::{
    AuditEntry, AuditFilter, AuditRow, ChainedRow, Change, ChangeRefusal, CommitOutcome, CredentialRecord,
    ExchangeCommit, KeyChange, KeyRecord, KeySetRecord, Made, Pending, ReplicaRecord, SessionFilter, SessionRecord,
    SigningRing, Store, StoreFault, UserRecord, UserState,
};
use crate::vocab::{ClientId, CredentialName, TokenId, UnixTime, UserName};

/// Rows found by one pruning query.
const PRUNE_FOUND: u32 = 4096;
/// Rows deleted in one job, so that an exchange never waits for more than about a millisecond of pruning.
const PRUNE_BATCH: usize = 128;

/// The embedded store.
pub struct Sqlite {
    directory: Arc<Directory>,
    reader: Arc<Reader>,
    writer: Writer,
    replicas: keys::Replicas,
    signer: SignerCell,
}

impl Sqlite {
    /// Opens the store in this directory, and makes it when there is none. Only one process can have it open.
    ///
    /// # Errors
    /// The directory or file cannot be made or read, another server holds it, or a newer version wrote it.
    pub fn open(data: &Path) -> Result<Sqlite, StoreFault> {
        files::prepare_directory(data)?;
        let lock = files::lock(data)?;
        let connection = files::open_writer(data)?;
        let directory = Arc::new(Directory::default());
        directory.apply(reader::directory(&connection).map_err(fault)?);
        let signer = SignerCell::default();
        let chain = match reader::newest_link(&connection).map_err(fault)? {
            Some((newest, unsigned)) if reader::chain_heads(&connection).map_err(fault)?.contains(&newest) => {
                Chain::after(newest, unsigned, Arc::clone(&signer))
            }
            // Nothing yet; or somebody cut records off. A new chain leaves what `audit verify` finds as it is.
            _ => Chain::fresh(Arc::clone(&signer))?,
        };
        let writer = Writer::start(connection, (Arc::clone(&directory), chain), data, lock)?;
        Ok(Sqlite { directory, signer, reader: Reader::new(data), writer, replicas: keys::Replicas::default() })
    }

    /// Ended rows are found by the reader and deleted by the writer in small jobs between exchanges.
    async fn prune_all(&self, now: UnixTime) -> Result<u64, StoreFault> {
        let mut removed = 0;
        loop {
            let ended = self.reader.run(move |connection| reader::ended(connection, now, PRUNE_FOUND)).await?;
            if ended.replay_ids.is_empty() && ended.tokens.is_empty() {
                return Ok(removed);
            }
            let mut progress = 0;
            for batch in ended.replay_ids.chunks(PRUNE_BATCH) {
                let ids = batch.to_vec();
                progress += self.writer.run(move |group| group.remove_ended(&ids, &[], now)).await?;
            }
            for batch in ended.tokens.chunks(PRUNE_BATCH) {
                let tokens = batch.to_vec();
                progress += self.writer.run(move |group| group.remove_ended(&[], &tokens, now)).await?;
            }
            removed += progress;
            if progress == 0 {
                return Ok(removed);
            }
        }
    }
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sqlite").finish_non_exhaustive()
    }
}

/// Our name for SQLite's errors; their texts carry SQL and paths, never a bound value.
#[allow(clippy::needless_pass_by_value)] // the shape that map_err wants
fn fault(error: rusqlite::Error) -> StoreFault {
    StoreFault(error.to_string())
}

fn ready<'a, T: Send + 'a>(answer: T) -> Pending<'a, T> {
    Box::pin(std::future::ready(answer))
}

impl Store for Sqlite {
    fn change(&self, change: Change, made: Made) -> Pending<'_, Result<u64, ChangeRefusal>> {
        Box::pin(async move { self.writer.run(move |group| group.change(&change, &made)).await? })
    }

    fn user<'a>(&'a self, name: &'a UserName) -> Pending<'a, Result<Option<UserRecord>, StoreFault>> {
        ready(Ok(self.directory.read().users.get(name).cloned()))
    }

    fn users(&self) -> Pending<'_, Result<Vec<UserRecord>, StoreFault>> {
        let tables = self.directory.read();
        let mut users: Vec<_> =
            tables.users.values().filter(|user| user.state != UserState::Deleted).cloned().collect();
        users.sort_by(|left, right| left.name.cmp(&right.name));
        ready(Ok(users))
    }

    fn credential<'a>(&'a self, name: &'a CredentialName) -> Pending<'a, Result<Option<CredentialRecord>, StoreFault>> {
        ready(Ok(self.directory.read().credentials.get(name).map(|found| CredentialRecord::clone(found))))
    }

    fn credential_of_client<'a>(
        &'a self,
        id: &'a ClientId,
    ) -> Pending<'a, Result<Option<Arc<CredentialRecord>>, StoreFault>> {
        ready(Ok(self.directory.read().of_client(id).cloned()))
    }

    fn credentials(&self) -> Pending<'_, Result<Vec<CredentialRecord>, StoreFault>> {
        let tables = self.directory.read();
        let mut credentials: Vec<_> = tables.credentials.values().map(|found| CredentialRecord::clone(found)).collect();
        credentials.sort_by(|left, right| left.name.cmp(&right.name));
        ready(Ok(credentials))
    }

    fn shared_secret<'a>(&'a self, name: &'a str, fresh: [u8; 32]) -> Pending<'a, Result<[u8; 32], StoreFault>> {
        let name = name.to_owned();
        Box::pin(async move { self.writer.run(move |group| group.shared_secret(&name, &fresh)).await })
    }

    fn key_sets(&self) -> Pending<'_, Result<Vec<KeySetRecord>, StoreFault>> {
        Box::pin(self.reader.run(reader::key_sets))
    }

    fn keep_key_set(&self, set: KeySetRecord) -> Pending<'_, Result<(), StoreFault>> {
        Box::pin(async move { self.writer.run(move |group| group.keep_key_set(&set)).await })
    }

    fn commit(&self, exchange: ExchangeCommit) -> Pending<'_, Result<CommitOutcome, StoreFault>> {
        Box::pin(async move { self.writer.run(move |group| group.commit(&exchange)).await })
    }

    fn session<'a>(&'a self, token: &'a TokenId) -> Pending<'a, Result<Option<SessionRecord>, StoreFault>> {
        let token = token.clone();
        Box::pin(async move { self.reader.run(move |connection| reader::session(connection, &token)).await })
    }

    fn sessions(&self, filter: SessionFilter) -> Pending<'_, Result<Vec<SessionRecord>, StoreFault>> {
        Box::pin(self.reader.run(move |connection| reader::sessions(connection, &filter)))
    }

    fn revoked(&self, token: &TokenId) -> Option<UnixTime> {
        self.directory.read().revoked(token)
    }

    fn audit(&self, filter: AuditFilter) -> Pending<'_, Result<Vec<AuditEntry>, StoreFault>> {
        Box::pin(self.reader.run(move |connection| reader::audit(connection, &filter)))
    }

    fn chained(&self, after: i64, limit: u32) -> Pending<'_, Result<Vec<ChainedRow>, StoreFault>> {
        Box::pin(self.reader.run(move |connection| reader::chained(connection, after, limit)))
    }

    fn chain_heads(&self) -> Pending<'_, Result<Vec<Link>, StoreFault>> {
        Box::pin(self.reader.run(reader::chain_heads))
    }

    fn sign_checkpoints(&self, signer: Arc<dyn CheckpointSigner>) {
        let _ = self.signer.set(signer); // the first one stays
    }

    fn checkpoint(&self) -> Pending<'_, Result<(), StoreFault>> {
        Box::pin(self.writer.run(|group| group.close_chain(1)))
    }

    fn prune(&self, now: UnixTime) -> Pending<'_, Result<u64, StoreFault>> {
        self.directory.forget_ended(now);
        Box::pin(self.prune_all(now))
    }

    fn check(&self) -> Pending<'_, Result<(), StoreFault>> {
        Box::pin(self.writer.run(|group| group.touch()))
    }

    fn signing_ring(&self, now: UnixTime) -> Pending<'_, Result<SigningRing, StoreFault>> {
        Box::pin(async move {
            let (number, keys) = self.reader.run(keys::read).await?;
            Ok(SigningRing { now, number, keys, replicas: self.replicas.seen_lately(now) })
        })
    }

    fn change_signing_keys(
        &self,
        expected: u64,
        keys: Vec<KeyRecord>,
        audit: Vec<AuditRow>,
    ) -> Pending<'_, Result<KeyChange, StoreFault>> {
        Box::pin(async move { self.writer.run(move |group| group.change_signing_keys(expected, &keys, &audit)).await })
    }

    fn heartbeat(&self, replica: ReplicaRecord) -> Pending<'_, Result<(), StoreFault>> {
        self.replicas.seen(replica);
        ready(Ok(()))
    }

    fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.directory.changes()
    }

    fn feed_fresh(&self) -> bool {
        true // this process is the only one that changes anything
    }
}
