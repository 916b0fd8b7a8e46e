//! Queries, on connections that can only read and threads that may block: a slow one never delays a commit.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::{fault, files, rows};
use crate::store::chain::{CHECKPOINT_EVERY, Link};
use crate::store::directory::{Changes, Revoked};
use crate::store::{AuditEntry, AuditFilter, ChainedRow, KeySetRecord, SessionFilter, SessionRecord, StoreFault};
use crate::vocab::{TokenId, UnixMillis, UnixTime};

/// Idle connections kept open.
const KEPT: usize = 4;

/// Read-only connections.
pub(super) struct Reader {
    directory: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Reader {
    pub(super) fn new(directory: &Path) -> Arc<Reader> {
        Arc::new(Reader { directory: directory.to_owned(), idle: Mutex::default() })
    }

    /// Runs a query on a blocking thread.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Reader>,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let reader = Arc::clone(self);
        let answer = tokio::task::spawn_blocking(move || reader.query(query)).await;
        answer.map_err(|_| StoreFault("the query was cut off".to_owned()))?
    }

    fn query<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreFault> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => files::open_reader(&self.directory)?,
        };
        let answer = query(&connection).map_err(fault)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(connection);
        }
        Ok(answer)
    }
}

/// Every user and credential, for the directory.
pub(super) fn directory(connection: &Connection) -> rusqlite::Result<Changes> {
    let mut loaded = Changes::default();
    let mut users = connection.prepare("SELECT name, origin_policy, state, created_at FROM users")?;
    for user in users.query_map([], rows::user)? {
        let user = user?;
        loaded.users.insert(user.name.clone(), user);
    }
    let sql = "SELECT name, client_id, user, kind, scopes, created_at, expires_at, disabled FROM credentials";
    let mut credentials = connection.prepare(sql)?;
    for credential in credentials.query_map([], |row| rows::credential(connection, row))? {
        let credential = credential?;
        loaded.credentials.insert(credential.name.clone(), Some(Arc::new(credential)));
    }
    let mut revoked = connection.prepare("SELECT token, expires_at, revoked_at FROM sessions WHERE revoked_in > 0")?;
    for found in revoked.query_map([], |row| Ok((rows::token_and_end(row)?, UnixTime(row.get(2)?))))? {
        let ((token, expires_at), at) = found?;
        loaded.revoked.push((token, Revoked { at, expires_at }));
    }
    loaded.number = Some(connection.query_row("SELECT number FROM changes", [], |row| rows::number(row, 0))?);
    Ok(loaded)
}

/// The newest link of every chain.
pub(super) fn chain_heads(connection: &Connection) -> rusqlite::Result<Vec<Link>> {
    let mut heads = connection.prepare_cached("SELECT id, sequence, hash FROM audit_chains ORDER BY id")?;
    let heads = heads.query_map([], |row| rows::link(row, 0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(heads.into_iter().flatten().collect())
}

/// The newest record with a link, and how many have no checkpoint behind them.
pub(super) fn newest_link(connection: &Connection) -> rusqlite::Result<Option<(Link, u64)>> {
    let sql = "SELECT chain, sequence, hash FROM audit ORDER BY position DESC LIMIT 1";
    let newest = connection.query_row(sql, [], |row| rows::link(row, 0)).optional()?.flatten();
    let Some(newest) = newest else { return Ok(None) };
    // Only of the newest ones: what is further back was signed, or never will be.
    let sql = "SELECT count(*) FROM (SELECT json FROM audit ORDER BY position DESC LIMIT ?1)";
    let unsigned = connection.query_row(sql, [rows::whole(CHECKPOINT_EVERY)], |row| rows::number(row, 0))?;
    Ok(Some((newest, unsigned)))
}

pub(super) fn chained(connection: &Connection, after: i64, limit: u32) -> rusqlite::Result<Vec<ChainedRow>> {
    let sql = "SELECT position, time, trace_id, outcome, cause, user, policy, issuer, json, chain, sequence, hash \
               FROM audit WHERE position > ?1 ORDER BY position LIMIT ?2";
    connection.prepare_cached(sql)?.query_map(params![after, limit], rows::chained)?.collect()
}

pub(super) fn key_sets(connection: &Connection) -> rusqlite::Result<Vec<KeySetRecord>> {
    let sql = "SELECT issuer, source, body, fetched_at, max_age FROM key_sets ORDER BY issuer";
    connection.prepare_cached(sql)?.query_map([], rows::key_set)?.collect()
}

pub(super) fn session(connection: &Connection, token: &TokenId) -> rusqlite::Result<Option<SessionRecord>> {
    let sql = "SELECT token, user, client_id, issuer, policies, created_at, expires_at, revoked_at FROM sessions \
               WHERE token = ?1";
    connection.prepare_cached(sql)?.query_row([token.as_str()], rows::session).optional()
}

/// Sessions that match, newest first: token ids begin with the time that they were made.
pub(super) fn sessions(connection: &Connection, filter: &SessionFilter) -> rusqlite::Result<Vec<SessionRecord>> {
    let text = |word: Option<&str>| word.map(|word| Value::Text(word.to_owned()));
    let parts = [
        ("user = ?", text(filter.user.as_ref().map(|word| word.as_str()))),
        ("instr(' ' || policies || ' ', ' ' || ? || ' ') > 0", text(filter.policy.as_ref().map(|word| word.as_str()))),
        ("issuer = ?", text(filter.issuer.as_ref().map(|word| word.as_str()))),
        ("created_at >= ?", filter.since.map(|since| Value::Integer(since.0))),
        ("token < ?", text(filter.before.as_ref().map(|word| word.as_str()))),
    ];
    let (clauses, mut values): (Vec<&str>, Vec<Value>) =
        parts.into_iter().filter_map(|(clause, value)| Some((clause, value?))).unzip();
    let matching = if clauses.is_empty() { String::new() } else { format!("WHERE {}", clauses.join(" AND ")) };
    values.push(Value::Integer(filter.limit.into()));
    let sql = format!(
        "SELECT token, user, client_id, issuer, policies, created_at, expires_at, revoked_at FROM sessions {matching} \
         ORDER BY token DESC LIMIT ?"
    );
    connection.prepare_cached(&sql)?.query_map(params_from_iter(values), rows::session)?.collect()
}

/// Some replay ids and sessions that have ended.
pub(super) struct Ended {
    pub(super) replay_ids: Vec<[u8; 32]>,
    pub(super) tokens: Vec<String>,
}

/// Finds at most `limit` of each. A scan without an index: it runs beside the writer, and an index would cost every
/// exchange.
pub(super) fn ended(connection: &Connection, now: UnixTime, limit: u32) -> rusqlite::Result<Ended> {
    let mut replay = connection.prepare_cached("SELECT id FROM replay WHERE keep_until < ?1 LIMIT ?2")?;
    let replay_ids = replay.query_map(params![now.0, limit], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut sessions = connection.prepare_cached("SELECT token FROM sessions WHERE expires_at < ?1 LIMIT ?2")?;
    let tokens = sessions.query_map(params![now.0, limit], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(Ended { replay_ids, tokens })
}

/// The newest matching records, oldest first. Following (`after_position`) takes the oldest ones instead, so that a
/// follower that fell behind misses none.
pub(super) fn audit(connection: &Connection, filter: &AuditFilter) -> rusqlite::Result<Vec<AuditEntry>> {
    let following = filter.after_position.is_some();
    let mut filter = filter.clone();
    if let Some(since) = filter.since {
        filter.after_position = filter.after_position.max(Some(position_before(connection, since)?));
    }
    let (clauses, mut values) = conditions(&filter);
    let order = if following { "ASC" } else { "DESC" };
    let mut sql = "SELECT position, json FROM audit".to_owned();
    if !clauses.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&clauses.join(" AND "));
    }
    sql.push_str(&format!(" ORDER BY position {order} LIMIT ?"));
    values.push(Value::Integer(filter.limit.into()));
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement
        .query_map(params_from_iter(values), |row| Ok(AuditEntry { position: row.get(0)?, json: row.get(1)? }))?;
    let mut entries = found.collect::<Result<Vec<_>, _>>()?;
    if !following {
        entries.reverse();
    }
    Ok(entries)
}

/// Records are written in the order of their commits, and their times are from a little earlier: none of a time stands
/// further from its place than this, unless the clock was set back.
const MOST_DISORDER_MILLIS: i64 = 10 * 60 * 1000;

/// A position that every record since this time follows. Halving finds it among the positions: an index over the times
/// would cost every exchange, and a scan from the first record would read years of them.
fn position_before(connection: &Connection, since: UnixMillis) -> rusqlite::Result<i64> {
    let wanted = since.0.saturating_sub(MOST_DISORDER_MILLIS);
    let mut next =
        connection.prepare_cached("SELECT position, time FROM audit WHERE position > ?1 ORDER BY position LIMIT 1")?;
    let mut after = |position: i64| -> rusqlite::Result<Option<(i64, i64)>> {
        next.query_row([position], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    };
    let Some((mut low, first)) = after(i64::MIN)? else { return Ok(i64::MIN) };
    if first >= wanted {
        return Ok(low.saturating_sub(1));
    }
    let mut high: i64 = connection.query_row("SELECT max(position) FROM audit", [], |row| row.get(0))?;
    // The record at `low` is too old; none behind `high` has been looked at.
    while low < high {
        let middle = low + (high - low) / 2;
        match after(middle)? {
            Some((position, time)) if time < wanted => low = position,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The filter's parts as SQL with a parameter each; no value of a caller ever becomes SQL.
fn conditions(filter: &AuditFilter) -> (Vec<&'static str>, Vec<Value>) {
    let numbers = [
        ("time >= ?", filter.since.map(|time| time.0)),
        ("time <= ?", filter.until.map(|time| time.0)),
        ("position > ?", filter.after_position),
    ];
    let texts = [
        ("trace_id = ?", filter.trace_id.as_ref().map(|word| word.as_str())),
        ("outcome = ?", filter.outcome.as_deref()),
        ("cause = ?", filter.cause.as_deref()),
        ("user = ?", filter.user.as_ref().map(|word| word.as_str())),
        ("policy = ?", filter.policy.as_ref().map(|word| word.as_str())),
        ("issuer = ?", filter.issuer_name.as_ref().map(|word| word.as_str())),
    ];
    let numbers = numbers.into_iter().filter_map(|(clause, value)| Some((clause, Value::Integer(value?))));
    let texts = texts.into_iter().filter_map(|(clause, value)| Some((clause, Value::Text(value?.to_owned()))));
    numbers.chain(texts).unzip()
}
