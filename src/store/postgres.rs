//! The store of several replicas: PostgreSQL 15 or later, or what speaks its protocol.
//!
//! In: domain operations. Out: answers that are committed. One task a replica writes (`writer`): exchanges in batches,
//! changes one at a time. Users and credentials are answered from memory (`memory`), which `feed` keeps up to date.
//! Only plain statements at READ COMMITTED; no extension, no superuser, no advisory lock.

mod batch;
mod change;
mod feed;
mod keys;
mod link;
mod memory;
mod people;
mod query;
mod rows;
mod schema;
mod tls;
mod upkeep;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use self::link::{Opener, Pool};
use self::memory::Memory;
use self::writer::Writer;
use super::chain::{Chain, CheckpointSigner, Link, SignerCell};
use super::{
    AuditEntry, AuditFilter, AuditRow, ChainedRow, Change, ChangeRefusal, CommitOutcome, CredentialRecord,
    ExchangeCommit, Inventory, KeyChange, KeyRecord, KeySetRecord, Made, Pending, ReplicaRecord, SessionFilter,
    SessionRecord, SigningRing, Store, StoreFault, UserRecord,
};
use crate::clock::random_bytes;
use crate::config::PostgresSettings;
use crate::vocab::{ClientId, CredentialName, TokenId, UnixTime, UserName};

/// How long opening may take, migrations not counted.
const OPENING: Duration = Duration::from_secs(10);

/// The store of several replicas.
pub struct Postgres {
    signer: SignerCell,
    memory: Arc<Memory>,
    pool: Pool,
    writer: Writer,
    gate: String,
}

impl Postgres {
    /// Brings the schema up to date; gives the versions before and after. Replicas may run.
    ///
    /// # Errors
    /// The database cannot be reached or refuses us, or a newer version of countersign migrated it.
    pub async fn migrate(settings: &PostgresSettings) -> Result<(usize, usize), StoreFault> {
        let link = Opener::new(settings)?.open(None).await?;
        schema::migrate(&link.client).await
    }

    /// The schema's version, rows by table, and what is wrong.
    ///
    /// # Errors
    /// The database cannot be reached or refuses us, or has no schema of ours.
    pub async fn inventory(settings: &PostgresSettings) -> Result<Inventory, StoreFault> {
        let link = Opener::new(settings)?.open(None).await?;
        upkeep::inventory(&link.client).await
    }

    /// Connects, brings the schema up to date and reads users and credentials.
    ///
    /// # Errors
    /// The database cannot be reached or refuses us, or a newer version of countersign migrated it.
    pub async fn open(settings: &PostgresSettings) -> Result<Postgres, StoreFault> {
        let opener = Arc::new(Opener::new(settings)?);
        let named = |fault: StoreFault| StoreFault(format!("PostgreSQL cannot be opened: {}", fault.0));
        let link = opener.open(None).await.map_err(named)?;
        schema::migrate(&link.client).await.map_err(named)?;
        drop(link);
        let memory = Arc::new(Memory::new());
        let gate = gate_name()?;
        let prepared = tokio::time::timeout(OPENING, async {
            let link = opener.open(None).await?;
            link.client.batch_execute("SET statement_timeout = 10000").await.map_err(fault)?;
            change::open_gate(&link.client, &gate).await?;
            memory.refresh(&link.client).await
        });
        prepared.await.unwrap_or_else(|_| Err(link::too_slow())).map_err(named)?;
        tokio::spawn(feed::follow(Arc::clone(&opener), Arc::downgrade(&memory)));
        let signer = SignerCell::default();
        // A chain of its own at each start: nobody else can have it.
        let chain = Chain::fresh(Arc::clone(&signer))?;
        let writer = Writer::start(Arc::clone(&opener), Arc::clone(&memory), (gate.clone(), chain));
        Ok(Postgres { signer, memory, pool: Pool::new(opener), writer, gate })
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Postgres").finish_non_exhaustive()
    }
}

fn gate_name() -> Result<String, StoreFault> {
    let bytes = random_bytes::<8>().map_err(|fault| StoreFault(fault.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Our name for PostgreSQL's errors: the server's message, which names tables and constraints; its detail line, which may
/// show values, is left out.
#[allow(clippy::needless_pass_by_value)] // the shape that map_err wants
fn fault(error: tokio_postgres::Error) -> StoreFault {
    match error.as_db_error() {
        Some(refused) => StoreFault(format!("PostgreSQL: {} ({})", refused.message(), refused.code().code())),
        None => StoreFault(match std::error::Error::source(&error) {
            Some(cause) => format!("PostgreSQL: {error}: {cause}"),
            None => format!("PostgreSQL: {error}"),
        }),
    }
}

fn ready<'a, T: Send + 'a>(answer: T) -> Pending<'a, T> {
    Box::pin(std::future::ready(answer))
}

impl Store for Postgres {
    fn change(&self, change: Change, made: Made) -> Pending<'_, Result<u64, ChangeRefusal>> {
        let asked = Arc::new((change, made));
        Box::pin(async move {
            self.writer
                .change(move |tx| {
                    let asked = Arc::clone(&asked);
                    Box::pin(async move { people::change(tx, &asked.0, &asked.1).await })
                })
                .await?
        })
    }

    fn user<'a>(&'a self, name: &'a UserName) -> Pending<'a, Result<Option<UserRecord>, StoreFault>> {
        if let Some(user) = self.memory.directory.read().users.get(name).cloned() {
            return ready(Ok(Some(user)));
        }
        // Another replica may have made it just in time.
        Box::pin(async move {
            let found = self.pool.run(|link| async move { people::user(&link.client, name).await }).await?;
            self.memory.directory.add_users(found.clone().into_iter().collect());
            Ok(found)
        })
    }

    fn users(&self) -> Pending<'_, Result<Vec<UserRecord>, StoreFault>> {
        Box::pin(self.pool.run(|link| async move { people::users(&link.client).await }))
    }

    fn credential<'a>(&'a self, name: &'a CredentialName) -> Pending<'a, Result<Option<CredentialRecord>, StoreFault>> {
        Box::pin(self.pool.run(move |link| async move { people::credential(&link.client, name).await }))
    }

    fn credential_of_client<'a>(
        &'a self,
        id: &'a ClientId,
    ) -> Pending<'a, Result<Option<Arc<CredentialRecord>>, StoreFault>> {
        ready(Ok(self.memory.directory.read().of_client(id).cloned()))
    }

    fn credentials(&self) -> Pending<'_, Result<Vec<CredentialRecord>, StoreFault>> {
        Box::pin(self.pool.run(|link| async move { people::credentials(&link.client).await }))
    }

    fn shared_secret<'a>(&'a self, name: &'a str, fresh: [u8; 32]) -> Pending<'a, Result<[u8; 32], StoreFault>> {
        Box::pin(self.pool.run(move |link| async move { query::shared_secret(&link.client, name, &fresh).await }))
    }

    fn key_sets(&self) -> Pending<'_, Result<Vec<KeySetRecord>, StoreFault>> {
        Box::pin(self.pool.run(|link| async move { query::key_sets(&link.client).await }))
    }

    fn keep_key_set(&self, set: KeySetRecord) -> Pending<'_, Result<(), StoreFault>> {
        Box::pin(self.pool.run(move |link| async move { query::keep_key_set(&link.client, &set).await }))
    }

    fn commit(&self, exchange: ExchangeCommit) -> Pending<'_, Result<CommitOutcome, StoreFault>> {
        Box::pin(self.writer.commit(exchange))
    }

    fn session<'a>(&'a self, token: &'a TokenId) -> Pending<'a, Result<Option<SessionRecord>, StoreFault>> {
        Box::pin(self.pool.run(move |link| async move { query::session(&link.client, token).await }))
    }

    fn sessions(&self, filter: SessionFilter) -> Pending<'_, Result<Vec<SessionRecord>, StoreFault>> {
        Box::pin(self.pool.run(move |link| async move { query::sessions(&link.client, &filter).await }))
    }

    fn revoked(&self, token: &TokenId) -> Option<UnixTime> {
        self.memory.directory.read().revoked(token)
    }

    fn audit(&self, filter: AuditFilter) -> Pending<'_, Result<Vec<AuditEntry>, StoreFault>> {
        Box::pin(self.pool.run(move |link| async move { query::audit(&link.client, &filter).await }))
    }

    fn chained(&self, after: i64, limit: u32) -> Pending<'_, Result<Vec<ChainedRow>, StoreFault>> {
        Box::pin(self.pool.run(move |link| async move { query::chained(&link.client, after, limit).await }))
    }

    fn chain_heads(&self) -> Pending<'_, Result<Vec<Link>, StoreFault>> {
        Box::pin(self.pool.run(|link| async move { query::chain_heads(&link.client).await }))
    }

    fn sign_checkpoints(&self, signer: Arc<dyn CheckpointSigner>) {
        let _ = self.signer.set(signer); // the first one stays
    }

    fn checkpoint(&self) -> Pending<'_, Result<(), StoreFault>> {
        Box::pin(self.writer.change(|tx| Box::pin(tx.checkpoint())))
    }

    /// The database's clock decides about rows, not `now`.
    fn prune(&self, now: UnixTime) -> Pending<'_, Result<u64, StoreFault>> {
        self.memory.directory.forget_ended(now);
        Box::pin(async move {
            let mut removed = 0;
            loop {
                match self.pool.run(|link| async move { query::prune(&link.client).await }).await? {
                    0 => return Ok(removed),
                    some => removed += some,
                }
            }
        })
    }

    fn check(&self) -> Pending<'_, Result<(), StoreFault>> {
        Box::pin(self.pool.run(move |link| async move { change::show_gate(&link.client, &self.gate).await }))
    }

    fn signing_ring(&self, _now: UnixTime) -> Pending<'_, Result<SigningRing, StoreFault>> {
        Box::pin(self.pool.run(|link| async move { keys::ring(&link.client).await }))
    }

    fn change_signing_keys(
        &self,
        expected: u64,
        keys: Vec<KeyRecord>,
        audit: Vec<AuditRow>,
    ) -> Pending<'_, Result<KeyChange, StoreFault>> {
        let written = Arc::new((keys, audit));
        Box::pin(self.writer.change(move |tx| {
            let written = Arc::clone(&written);
            Box::pin(async move { keys::change(tx, expected, &written.0, &written.1).await })
        }))
    }

    fn heartbeat(&self, replica: ReplicaRecord) -> Pending<'_, Result<(), StoreFault>> {
        Box::pin(self.pool.run(move |link| async move { keys::heartbeat(&link.client, &replica).await }))
    }

    fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.memory.directory.changes()
    }

    fn feed_fresh(&self) -> bool {
        self.memory.is_fresh()
    }
}
