//! The schema's number: forward step by step, under a row lock, and never past what this version knows.
//!
//! Steps only add, so that replicas of the version before keep serving while and after one is taken.

use tokio_postgres::Client;

use super::fault;
use crate::store::StoreFault;

/// What brings a database from version N to N + 1; only ever appended to, and only ever additive.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001-first.sql")];
/// Replicas that start at once may make the table at once; all but one are then refused by the catalogue.
const TRIES: u32 = 5;
const TABLE: &str = "CREATE TABLE IF NOT EXISTS countersign_schema \
                     (id integer PRIMARY KEY CHECK (id = 1), version integer NOT NULL); \
                     INSERT INTO countersign_schema VALUES (1, 0) ON CONFLICT DO NOTHING";

/// Brings the schema up to date; replicas that start at once do it one after the other. Gives the versions before and
/// after.
pub(super) async fn migrate(client: &Client) -> Result<(usize, usize), StoreFault> {
    // A step may take longer than an exchange may wait.
    client.batch_execute("SET statement_timeout = 0; SET lock_timeout = '60s'").await.map_err(fault)?;
    make_table(client).await?;
    client.batch_execute("BEGIN").await.map_err(fault)?;
    let row = client.query_one("SELECT version FROM countersign_schema WHERE id = 1 FOR UPDATE", &[]).await;
    let version: i32 = row.map_err(fault)?.try_get(0).map_err(fault)?;
    let (before, known) = (usize::try_from(version).unwrap_or(usize::MAX), MIGRATIONS.len());
    if before > known {
        return Err(StoreFault(format!(
            "the database has schema {before}, and this countersign knows up to {known}; run the newer version that \
             wrote it"
        )));
    }
    for (next, migration) in (1_i32..).zip(MIGRATIONS).skip(before) {
        client.batch_execute(migration).await.map_err(fault)?;
        client.execute("UPDATE countersign_schema SET version = $1", &[&next]).await.map_err(fault)?;
    }
    client.batch_execute("COMMIT").await.map_err(fault)?;
    Ok((before, known))
}

async fn make_table(client: &Client) -> Result<(), StoreFault> {
    let mut made = client.batch_execute(TABLE).await;
    for _ in 1..TRIES {
        if made.is_ok() {
            break;
        }
        made = client.batch_execute(TABLE).await;
    }
    made.map_err(fault)
}
