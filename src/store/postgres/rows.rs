//! Rows as records. Text read back is parsed again: a row that an editor spoiled is a fault, not a panic.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::fault;
use crate::config::SigningAlgorithm;
use crate::store::chain::Link;
use crate::store::columns::{kind_name, state_name};
use crate::store::{
    ChainedRow, CredentialKind, CredentialRecord, KeyPurpose, KeyRecord, KeySetRecord, KeyState, PrivateKey,
    ReplicaRecord, SecretRecord, SessionRecord, StoreFault, UserOrigin, UserRecord, UserState,
};
use crate::vocab::{PolicyName, Scopes, UnixMillis, UnixTime};

type Read<T> = Result<T, StoreFault>;

/// The columns of [`user`].
pub(super) const USER: &str = "name, origin_policy, state, created_at";

pub(super) fn user(row: &Row) -> Read<UserRecord> {
    let policy: Option<PolicyName> = optional_word(row, 1)?;
    Ok(UserRecord {
        name: word(row, 0)?,
        origin: policy.map_or(UserOrigin::Operator, UserOrigin::Policy),
        state: one_of(row, 2, &[UserState::Enabled, UserState::Disabled, UserState::Deleted], state_name)?,
        created_at: UnixTime(column(row, 3)?),
    })
}

/// The columns of [`credential`].
pub(super) const CREDENTIAL: &str =
    "name, client_id, user_name, kind, scopes, created_at, expires_at, disabled, hashes, made, ends";

pub(super) fn credential(row: &Row) -> Read<CredentialRecord> {
    let scopes: &str = column(row, 4)?;
    Ok(CredentialRecord {
        name: word(row, 0)?,
        client_id: word(row, 1)?,
        user: word(row, 2)?,
        kind: one_of(row, 3, &[CredentialKind::Oauth2, CredentialKind::AccessToken], kind_name)?,
        scopes: match scopes {
            "" => Scopes::default(),
            wire => Scopes::parse_wire(wire).map_err(|fault| StoreFault(fault.to_string()))?,
        },
        created_at: UnixTime(column(row, 5)?),
        expires_at: column::<Option<i64>>(row, 6)?.map(UnixTime),
        disabled: column(row, 7)?,
        secrets: secrets(row)?,
    })
}

fn secrets(row: &Row) -> Read<Vec<SecretRecord>> {
    let (hashes, made, ends): (Vec<&[u8]>, Vec<i64>, Vec<Option<i64>>) =
        (column(row, 8)?, column(row, 9)?, column(row, 10)?);
    let mut secrets = Vec::with_capacity(hashes.len());
    for ((hash, made), end) in hashes.into_iter().zip(made).zip(ends) {
        let hash = hash.try_into().map_err(|_| StoreFault("a secret's hash is not 32 bytes".to_owned()))?;
        secrets.push(SecretRecord { hash, created_at: UnixTime(made), expires_at: end.map(UnixTime) });
    }
    Ok(secrets)
}

/// The columns of [`key`].
pub(super) const KEY: &str = "id, algorithm, purpose, state, private_key, kek, created_at, published_at, activated_at, \
                              retired_at, ended_at, longest_token, changed";

pub(super) fn key(row: &Row) -> Read<KeyRecord> {
    let time = |index| Ok::<_, StoreFault>(column::<Option<i64>>(row, index)?.map(UnixTime));
    let (private, kek): (Vec<u8>, Option<String>) = (column(row, 4)?, column(row, 5)?);
    Ok(KeyRecord {
        id: column(row, 0)?,
        algorithm: one_of(row, 1, &SigningAlgorithm::ALL, SigningAlgorithm::as_str)?,
        purpose: one_of(row, 2, &KeyPurpose::ALL, KeyPurpose::as_str)?,
        state: one_of(row, 3, &KeyState::ALL, KeyState::as_str)?,
        private: match kek {
            Some(kek_id) => PrivateKey::Wrapped { kek_id, sealed: private },
            None if private.is_empty() => PrivateKey::Erased,
            // This backend never wrote one; whoever put it there is not believed.
            None => return Err(StoreFault("a signing key in the database is not encrypted".to_owned())),
        },
        created_at: UnixTime(column(row, 6)?),
        published_at: time(7)?,
        activated_at: time(8)?,
        retired_at: time(9)?,
        ended_at: time(10)?,
        longest_token: Duration::from_secs(number(row, 11)?),
        changed: number(row, 12)?,
    })
}

/// The columns of [`replica`].
pub(super) const REPLICA: &str = "id, name, software, started_at, seen_at, applied";

pub(super) fn replica(row: &Row) -> Read<ReplicaRecord> {
    Ok(ReplicaRecord {
        id: column(row, 0)?,
        name: column(row, 1)?,
        software: column(row, 2)?,
        started_at: UnixTime(column(row, 3)?),
        seen_at: UnixTime(column(row, 4)?),
        applied: number(row, 5)?,
    })
}

/// `id, sequence, hash`: where a chain ends.
pub(super) fn link(row: &Row) -> Read<Link> {
    link_at(row, 0)
}

fn link_at(row: &Row, index: usize) -> Read<Link> {
    let hash: &[u8] = column(row, index + 2)?;
    let hash = hash.try_into().map_err(|_| StoreFault("a link's hash is not 32 bytes".to_owned()))?;
    Ok(Link { chain: column(row, index)?, sequence: number(row, index + 1)?, hash })
}

/// The columns of [`chained`].
pub(super) const CHAINED: &str =
    "position, time, trace_id, outcome, cause, user_name, policy, issuer, json, chain, sequence, hash";

pub(super) fn chained(row: &Row) -> Read<ChainedRow> {
    Ok(ChainedRow {
        position: column(row, 0)?,
        time: UnixMillis(column(row, 1)?),
        found_by: [
            ("trace_id", column(row, 2)?),
            ("outcome", column(row, 3)?),
            ("cause", column(row, 4)?),
            ("user", column(row, 5)?),
            ("policy", column(row, 6)?),
            ("issuer_name", column(row, 7)?),
        ],
        json: column(row, 8)?,
        link: Some(link_at(row, 9)?),
    })
}

/// A number as a column has it.
pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that is never negative.
pub(super) fn number(row: &Row, index: usize) -> Read<u64> {
    u64::try_from(column::<i64>(row, index)?).map_err(|_| StoreFault("a column has a negative number".to_owned()))
}

/// The columns of [`key_set`].
pub(super) const KEY_SET: &str = "issuer, source, body, fetched_at, max_age";

pub(super) fn key_set(row: &Row) -> Read<KeySetRecord> {
    let max_age: Option<i64> = column(row, 4)?;
    Ok(KeySetRecord {
        issuer: word(row, 0)?,
        source: column(row, 1)?,
        body: column(row, 2)?,
        fetched_at: UnixMillis(column(row, 3)?),
        max_age: max_age.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0))),
    })
}

/// The columns of [`session`].
pub(super) const SESSION: &str = "token, user_name, client_id, issuer, policies, created_at, expires_at, revoked_at";

pub(super) fn session(row: &Row) -> Read<SessionRecord> {
    let policies: &str = column(row, 4)?;
    let policies = policies.split_ascii_whitespace().map(PolicyName::parse).collect::<Result<_, _>>();
    Ok(SessionRecord {
        token: word(row, 0)?,
        user: word(row, 1)?,
        client_id: word(row, 2)?,
        issuer: optional_word(row, 3)?,
        policies: policies.map_err(|fault| StoreFault(fault.to_string()))?,
        created_at: UnixTime(column(row, 5)?),
        expires_at: UnixTime(column(row, 6)?),
        revoked_at: column::<Option<i64>>(row, 7)?.map(UnixTime),
    })
}

/// A column of any type.
pub(super) fn column<'r, T: FromSql<'r>>(row: &'r Row, index: usize) -> Read<T> {
    row.try_get(index).map_err(fault)
}

/// A word of ours, parsed again.
pub(super) fn word<T: std::str::FromStr<Err = crate::vocab::WordFault>>(row: &Row, index: usize) -> Read<T> {
    column::<&str>(row, index)?.parse().map_err(|fault: crate::vocab::WordFault| StoreFault(fault.to_string()))
}

fn optional_word<T: std::str::FromStr<Err = crate::vocab::WordFault>>(row: &Row, index: usize) -> Read<Option<T>> {
    let text: Option<&str> = column(row, index)?;
    text.map(|text| text.parse().map_err(|fault: crate::vocab::WordFault| StoreFault(fault.to_string()))).transpose()
}

fn one_of<T: Copy>(row: &Row, index: usize, all: &[T], name: fn(T) -> &'static str) -> Read<T> {
    let text: &str = column(row, index)?;
    let unknown = || StoreFault("a column has a value this version does not know".to_owned());
    all.iter().copied().find(|value| name(*value) == text).ok_or_else(unknown)
}
