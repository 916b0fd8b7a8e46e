//! Queries beside the exchanges: sessions, key sets, the audit trail; and the removal of what has ended.

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::{fault, rows};
use crate::store::chain::Link;
use crate::store::{AuditEntry, AuditFilter, ChainedRow, KeySetRecord, SessionFilter, SessionRecord, StoreFault};
use crate::vocab::TokenId;

type Value = Box<dyn ToSql + Sync + Send>;

/// A follower is shown records of this age: positions are given before a commit, so a record of a slower transaction may
/// appear behind one that was seen. No transaction lives longer than its statements may.
const SETTLED_MILLIS: i64 = 3000;
/// Rows deleted by one statement, so that none holds its locks for long.
const PRUNE_BATCH: i64 = 1000;

pub(super) async fn session(client: &Client, token: &TokenId) -> Result<Option<SessionRecord>, StoreFault> {
    let sql = format!("SELECT {} FROM sessions WHERE token = $1", rows::SESSION);
    client.query_opt(&sql, &[&token.as_str()]).await.map_err(fault)?.as_ref().map(rows::session).transpose()
}

pub(super) async fn key_sets(client: &Client) -> Result<Vec<KeySetRecord>, StoreFault> {
    let sql = format!("SELECT {} FROM key_sets ORDER BY issuer", rows::KEY_SET);
    client.query(&sql, &[]).await.map_err(fault)?.iter().map(rows::key_set).collect()
}

pub(super) async fn keep_key_set(client: &Client, set: &KeySetRecord) -> Result<(), StoreFault> {
    let sql = "INSERT INTO key_sets (issuer, source, body, fetched_at, max_age) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (issuer) DO UPDATE SET source = excluded.source, body = excluded.body, \
               fetched_at = excluded.fetched_at, max_age = excluded.max_age";
    let max_age = set.max_age.map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
    let values: [&(dyn ToSql + Sync); 5] = [&set.issuer.as_str(), &set.source, &set.body, &set.fetched_at.0, &max_age];
    client.execute(sql, &values).await.map(drop).map_err(fault)
}

pub(super) async fn shared_secret(client: &Client, name: &str, fresh: &[u8; 32]) -> Result<[u8; 32], StoreFault> {
    let made = "INSERT INTO shared_secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    client.execute(made, &[&name, &fresh.as_slice()]).await.map_err(fault)?;
    let row = client.query_one("SELECT value FROM shared_secrets WHERE name = $1", &[&name]).await.map_err(fault)?;
    let value: &[u8] = rows::column(&row, 0)?;
    value.try_into().map_err(|_| StoreFault("a shared secret is not 32 bytes".to_owned()))
}

/// Removes some of what ended; gives how many rows. Replicas that prune at once take different rows.
pub(super) async fn prune(client: &Client) -> Result<u64, StoreFault> {
    let now = "floor(extract(epoch FROM clock_timestamp()))";
    let tables = [("replay", "id", "keep_until"), ("sessions", "token", "expires_at")];
    let mut removed = 0;
    for (table, key, end) in tables {
        let sql = format!(
            "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {end} < {now} \
             ORDER BY {end} LIMIT {PRUNE_BATCH} FOR UPDATE SKIP LOCKED)"
        );
        removed += client.execute(&sql, &[]).await.map_err(fault)?;
    }
    Ok(removed)
}

/// The newest matching records, oldest first; after a position, the oldest ones that follow it.
pub(super) async fn audit(client: &Client, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreFault> {
    let following = filter.after_position.is_some();
    let (mut clauses, mut values) = conditions(filter);
    if following {
        let settled = "stored_at < floor(extract(epoch FROM clock_timestamp()) * 1000) - ";
        clauses.push(format!("{settled}{SETTLED_MILLIS}"));
    }
    let matching = if clauses.is_empty() { String::new() } else { format!("WHERE {}", clauses.join(" AND ")) };
    let order = if following { "ASC" } else { "DESC" };
    values.push(Box::new(i64::from(filter.limit)));
    let sql = format!("SELECT position, json FROM audit {matching} ORDER BY position {order} LIMIT ${}", values.len());
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
    let found = client.query(&sql, &values).await.map_err(fault)?;
    let read = |row| Ok(AuditEntry { position: rows::column(row, 0)?, json: rows::column(row, 1)? });
    let mut entries = found.iter().map(read).collect::<Result<Vec<_>, StoreFault>>()?;
    if !following {
        entries.reverse();
    }
    Ok(entries)
}

/// The filter's parts as SQL with a parameter each; no value of a caller ever becomes SQL.
fn conditions(filter: &AuditFilter) -> (Vec<String>, Vec<Value>) {
    let numbers = [
        ("time >=", filter.since.map(|time| time.0)),
        ("time <=", filter.until.map(|time| time.0)),
        ("position >", filter.after_position),
    ];
    let texts = [
        ("trace_id =", filter.trace_id.as_ref().map(|word| word.as_str())),
        ("outcome =", filter.outcome.as_deref()),
        ("cause =", filter.cause.as_deref()),
        ("user_name =", filter.user.as_ref().map(|word| word.as_str())),
        ("policy =", filter.policy.as_ref().map(|word| word.as_str())),
        ("issuer =", filter.issuer_name.as_ref().map(|word| word.as_str())),
    ];
    let numbers = numbers.into_iter().filter_map(|(clause, value)| Some((clause, Box::new(value?) as Value)));
    let texts = texts.into_iter().filter_map(|(clause, value)| Some((clause, Box::new(value?.to_owned()) as Value)));
    let both = numbers.chain(texts).zip(1..);
    both.map(|((clause, value), index)| (format!("{clause} ${index}"), value)).unzip()
}

/// Sessions that match, newest first: token ids begin with the time that they were made.
pub(super) async fn sessions(client: &Client, filter: &SessionFilter) -> Result<Vec<SessionRecord>, StoreFault> {
    let text = |word: Option<&str>| word.map(|word| Box::new(word.to_owned()) as Value);
    let parts = [
        ("user_name = $", text(filter.user.as_ref().map(|word| word.as_str()))),
        ("string_to_array(policies, ' ') @> ARRAY[$", text(filter.policy.as_ref().map(|word| word.as_str()))),
        ("issuer = $", text(filter.issuer.as_ref().map(|word| word.as_str()))),
        ("created_at >= $", filter.since.map(|since| Box::new(since.0) as Value)),
        ("token COLLATE \"C\" < $", text(filter.before.as_ref().map(|word| word.as_str()))),
    ];
    let (mut clauses, mut values) = (Vec::new(), Vec::new());
    for (clause, value) in parts {
        let Some(value) = value else { continue };
        values.push(value);
        let end = if clause.ends_with("[$") { "::text]" } else { "" };
        clauses.push(format!("{clause}{}{end}", values.len()));
    }
    let matching = if clauses.is_empty() { String::new() } else { format!("WHERE {}", clauses.join(" AND ")) };
    values.push(Box::new(i64::from(filter.limit)));
    let sql = format!(
        "SELECT {} FROM sessions {matching} ORDER BY token COLLATE \"C\" DESC LIMIT ${}",
        rows::SESSION,
        values.len()
    );
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
    client.query(&sql, &values).await.map_err(fault)?.iter().map(rows::session).collect()
}

pub(super) async fn chained(client: &Client, after: i64, limit: u32) -> Result<Vec<ChainedRow>, StoreFault> {
    let sql = format!("SELECT {} FROM audit WHERE position > $1 ORDER BY position LIMIT $2", rows::CHAINED);
    client.query(&sql, &[&after, &i64::from(limit)]).await.map_err(fault)?.iter().map(rows::chained).collect()
}

/// The newest link of every chain.
pub(super) async fn chain_heads(client: &Client) -> Result<Vec<Link>, StoreFault> {
    let sql = "SELECT id, sequence, hash FROM audit_chains ORDER BY id";
    client.query(sql, &[]).await.map_err(fault)?.iter().map(rows::link).collect()
}
