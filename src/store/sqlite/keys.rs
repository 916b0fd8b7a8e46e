//! Signing keys as rows; replicas in memory, because every replica of an embedded store lives in this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Row, params};

use super::group::Group;
use super::rows;
use crate::config::SigningAlgorithm;
use crate::store::{AuditRow, KeyChange, KeyPurpose, KeyRecord, KeyState, PrivateKey, ReplicaRecord};
use crate::vocab::UnixTime;

/// A replica that was not seen for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

/// The replicas of this process.
#[derive(Debug, Default)]
pub(super) struct Replicas(Mutex<HashMap<String, ReplicaRecord>>);

impl Replicas {
    pub(super) fn seen(&self, replica: ReplicaRecord) {
        let mut replicas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        replicas.retain(|_, known| replica.seen_at.since(known.seen_at) < FORGOTTEN_AFTER);
        replicas.insert(replica.id.clone(), replica);
    }

    pub(super) fn seen_lately(&self, now: UnixTime) -> Vec<ReplicaRecord> {
        let replicas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen: Vec<_> =
            replicas.values().filter(|known| now.since(known.seen_at) < FORGOTTEN_AFTER).cloned().collect();
        seen.sort_by(|left, right| (left.started_at, &left.id).cmp(&(right.started_at, &right.id)));
        seen
    }
}

/// All keys, oldest first, and the newest change among them.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<(u64, Vec<KeyRecord>)> {
    let sql = "SELECT id, algorithm, purpose, state, private_key, kek, created_at, published_at, activated_at, \
               retired_at, ended_at, longest_token, changed FROM signing_keys ORDER BY created_at, changed, id";
    let keys: Vec<KeyRecord> = connection.prepare_cached(sql)?.query_map([], key)?.collect::<Result<_, _>>()?;
    Ok((newest(&keys), keys))
}

fn newest(keys: &[KeyRecord]) -> u64 {
    keys.iter().map(|key| key.changed).max().unwrap_or(0)
}

impl Group<'_> {
    /// Writes the keys unless another change came first.
    pub(super) fn change_signing_keys(
        &mut self,
        expected: u64,
        keys: &[KeyRecord],
        audit: &[AuditRow],
    ) -> rusqlite::Result<KeyChange> {
        if self.newest_key_change()? != expected {
            return Ok(KeyChange::Outrun);
        }
        let changed = self.next_change()?;
        // Overwrites what a row leaves behind: a plain private key, and one that has ended, must not be left in the file.
        self.secure_delete(true)?;
        let written = keys.iter().try_for_each(|key| self.put_signing_key(key, changed));
        self.secure_delete(false)?;
        written?;
        audit.iter().try_for_each(|row| self.insert_audit(row))?;
        Ok(KeyChange::Made)
    }

    fn newest_key_change(&self) -> rusqlite::Result<u64> {
        let sql = "SELECT coalesce(max(changed), 0) FROM signing_keys";
        self.connection().prepare_cached(sql)?.query_row([], |row| rows::number(row, 0))
    }

    fn secure_delete(&self, on: bool) -> rusqlite::Result<()> {
        self.connection().pragma_update_and_check(None, "secure_delete", on, |_| Ok(()))
    }

    fn put_signing_key(&self, key: &KeyRecord, changed: u64) -> rusqlite::Result<()> {
        let (private, kek): (&[u8], Option<&str>) = match &key.private {
            PrivateKey::Plain(pkcs8) => (pkcs8, None),
            PrivateKey::Wrapped { kek_id, sealed } => (sealed, Some(kek_id)),
            PrivateKey::Erased => (&[], None),
        };
        self.execute(
            "INSERT OR REPLACE INTO signing_keys (id, algorithm, purpose, state, private_key, kek, created_at, \
             published_at, activated_at, retired_at, ended_at, longest_token, changed) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                key.id,
                key.algorithm.as_str(),
                key.purpose.as_str(),
                key.state.as_str(),
                private,
                kek,
                key.created_at.0,
                key.published_at.map(|time| time.0),
                key.activated_at.map(|time| time.0),
                key.retired_at.map(|time| time.0),
                key.ended_at.map(|time| time.0),
                i64::try_from(key.longest_token.as_secs()).unwrap_or(i64::MAX),
                i64::try_from(changed).unwrap_or(i64::MAX)
            ],
        )?;
        Ok(())
    }
}

fn key(row: &Row<'_>) -> rusqlite::Result<KeyRecord> {
    let time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(UnixTime));
    let (private, kek): (Vec<u8>, Option<String>) = (row.get(4)?, row.get(5)?);
    let longest: i64 = row.get(11)?;
    Ok(KeyRecord {
        id: row.get(0)?,
        algorithm: rows::one_of(row, 1, &SigningAlgorithm::ALL, SigningAlgorithm::as_str)?,
        purpose: rows::one_of(row, 2, &KeyPurpose::ALL, KeyPurpose::as_str)?,
        state: rows::one_of(row, 3, &KeyState::ALL, KeyState::as_str)?,
        private: match kek {
            Some(kek_id) => PrivateKey::Wrapped { kek_id, sealed: private },
            None if private.is_empty() => PrivateKey::Erased,
            None => PrivateKey::Plain(zeroize::Zeroizing::new(private)),
        },
        created_at: UnixTime(row.get(6)?),
        published_at: time(7)?,
        activated_at: time(8)?,
        retired_at: time(9)?,
        ended_at: time(10)?,
        longest_token: Duration::from_secs(u64::try_from(longest).unwrap_or(0)),
        changed: rows::number(row, 12)?,
    })
}
