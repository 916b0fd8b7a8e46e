//! What `store check` looks at. PostgreSQL checks its own pages; what only we know is checked here.

use tokio_postgres::Client;

use super::{fault, rows};
use crate::store::{Inventory, StoreFault};

const TABLES: [&str; 5] = ["users", "credentials", "signing_keys", "sessions", "audit"];
/// What must not be, and how it is told.
const WRONG: [(&str, &str); 3] = [
    (
        "SELECT count(*) FROM credentials c LEFT JOIN users u ON u.name = c.user_name WHERE u.name IS NULL AND NOT c.removed",
        "credentials of users that are not there",
    ),
    (
        "SELECT count(*) FROM audit_chains c LEFT JOIN audit a ON a.chain = c.id AND a.sequence = c.sequence \
         WHERE a.hash IS DISTINCT FROM c.hash",
        "audit chains that do not end with their last record",
    ),
    (
        "SELECT count(*) FROM signing_keys WHERE kek IS NULL AND length(private_key) > 0",
        "signing keys that are not encrypted",
    ),
];

pub(super) async fn inventory(client: &Client) -> Result<Inventory, StoreFault> {
    client.batch_execute("SET statement_timeout = 0").await.map_err(fault)?;
    let number = async |sql: &str| -> Result<i64, StoreFault> {
        rows::column(&client.query_one(sql, &[]).await.map_err(fault)?, 0)
    };
    let schema = number("SELECT version::bigint FROM countersign_schema WHERE id = 1").await?;
    let mut counted = Vec::new();
    for table in TABLES {
        counted.push((table, u64::try_from(number(&format!("SELECT count(*) FROM {table}")).await?).unwrap_or(0)));
    }
    let mut faults = Vec::new();
    for (sql, what) in WRONG {
        match number(sql).await? {
            0 => {}
            count => faults.push(format!("{count} {what}")),
        }
    }
    Ok(Inventory { schema: usize::try_from(schema).unwrap_or(0), rows: counted, faults })
}
