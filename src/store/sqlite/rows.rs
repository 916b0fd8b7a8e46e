//! How records look as columns. Text read back is parsed again: a row that an editor spoiled is a fault, not a panic.

use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, Row};

use crate::store::chain::Link;
pub(super) use crate::store::columns::{kind_name, origin_policy, policies_text, state_name};
use crate::store::{
    ChainedRow, CredentialKind, CredentialRecord, KeySetRecord, SecretRecord, SessionRecord, UserOrigin, UserRecord,
    UserState,
};
use crate::vocab::{CredentialName, PolicyName, Scopes, TokenId, UnixMillis, UnixTime};

/// `name, origin_policy, state, created_at`
pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<UserRecord> {
    let policy: Option<PolicyName> = optional_word(row, 1)?;
    Ok(UserRecord {
        name: word(row, 0)?,
        origin: policy.map_or(UserOrigin::Operator, UserOrigin::Policy),
        state: one_of(row, 2, &[UserState::Enabled, UserState::Disabled, UserState::Deleted], state_name)?,
        created_at: UnixTime(row.get(3)?),
    })
}

/// `issuer, source, body, fetched_at, max_age`
pub(super) fn key_set(row: &Row<'_>) -> rusqlite::Result<KeySetRecord> {
    let max_age: Option<i64> = row.get(4)?;
    Ok(KeySetRecord {
        issuer: word(row, 0)?,
        source: row.get(1)?,
        body: row.get(2)?,
        fetched_at: UnixMillis(row.get(3)?),
        max_age: max_age.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0))),
    })
}

/// `name, client_id, user, kind, scopes, created_at, expires_at, disabled`; its secrets are read apart.
pub(super) fn credential(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<CredentialRecord> {
    let name: CredentialName = word(row, 0)?;
    let scopes: String = row.get(4)?;
    Ok(CredentialRecord {
        client_id: word(row, 1)?,
        user: word(row, 2)?,
        kind: one_of(row, 3, &[CredentialKind::Oauth2, CredentialKind::AccessToken], kind_name)?,
        scopes: match scopes.as_str() {
            "" => Scopes::default(),
            wire => Scopes::parse_wire(wire).map_err(|fault| malformed(4, fault))?,
        },
        created_at: UnixTime(row.get(5)?),
        expires_at: row.get::<_, Option<i64>>(6)?.map(UnixTime),
        disabled: row.get(7)?,
        secrets: secrets(connection, &name)?,
        name,
    })
}

fn secrets(connection: &Connection, credential: &CredentialName) -> rusqlite::Result<Vec<SecretRecord>> {
    let sql = "SELECT hash, created_at, expires_at FROM credential_secrets WHERE credential = ?1 ORDER BY created_at";
    let mut statement = connection.prepare_cached(sql)?;
    let records = statement.query_map([credential.as_str()], |row| {
        Ok(SecretRecord {
            hash: row.get(0)?,
            created_at: UnixTime(row.get(1)?),
            expires_at: row.get::<_, Option<i64>>(2)?.map(UnixTime),
        })
    })?;
    records.collect()
}

/// `token, user, client_id, issuer, policies, created_at, expires_at, revoked_at`
pub(super) fn session(row: &Row<'_>) -> rusqlite::Result<SessionRecord> {
    let policies: String = row.get(4)?;
    let policies = policies.split_ascii_whitespace().map(PolicyName::parse).collect::<Result<_, _>>();
    Ok(SessionRecord {
        token: word(row, 0)?,
        user: word(row, 1)?,
        client_id: word(row, 2)?,
        issuer: optional_word(row, 3)?,
        policies: policies.map_err(|fault| malformed(4, fault))?,
        created_at: UnixTime(row.get(5)?),
        expires_at: UnixTime(row.get(6)?),
        revoked_at: row.get::<_, Option<i64>>(7)?.map(UnixTime),
    })
}

/// `token, expires_at`
pub(super) fn token_and_end(row: &Row<'_>) -> rusqlite::Result<(TokenId, UnixTime)> {
    Ok((word(row, 0)?, UnixTime(row.get(1)?)))
}

/// A number as a column has it.
pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// `chain, sequence, hash`, from this column on.
pub(super) fn link(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Link>> {
    let Some(chain) = row.get(column)? else { return Ok(None) };
    Ok(Some(Link { chain, sequence: number(row, column + 1)?, hash: row.get(column + 2)? }))
}

/// `position, time, trace_id, outcome, cause, user, policy, issuer, json, chain, sequence, hash`
pub(super) fn chained(row: &Row<'_>) -> rusqlite::Result<ChainedRow> {
    Ok(ChainedRow {
        position: row.get(0)?,
        time: UnixMillis(row.get(1)?),
        found_by: [
            ("trace_id", row.get(2)?),
            ("outcome", row.get(3)?),
            ("cause", row.get(4)?),
            ("user", row.get(5)?),
            ("policy", row.get(6)?),
            ("issuer_name", row.get(7)?),
        ],
        json: row.get(8)?,
        link: link(row, 9)?,
    })
}

/// A number that is never negative.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn word<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err = crate::vocab::WordFault>,
{
    row.get::<_, String>(column)?.parse().map_err(|fault| malformed(column, fault))
}

fn optional_word<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>>
where
    T: std::str::FromStr<Err = crate::vocab::WordFault>,
{
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|fault| malformed(column, fault))).transpose()
}

pub(super) fn one_of<T: Copy>(
    row: &Row<'_>,
    column: usize,
    all: &[T],
    name: fn(T) -> &'static str,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    let rule = crate::vocab::WordFault { what: "column", rule: "has a value this version does not know" };
    all.iter().copied().find(|value| name(*value) == text).ok_or_else(|| malformed(column, rule))
}

fn malformed(column: usize, fault: crate::vocab::WordFault) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(fault))
}
