//! Changes of the ring: drafted on what the store has, written if it still has that, recorded with them.

use std::time::Duration;

use super::plan::{Lane, Rules, Step};
use super::{Ring, was_made};
use crate::clock::random_bytes;
use crate::config::SigningAlgorithm;
use crate::mint::material::{self, Pkcs8};
use crate::mint::seal::KeyEncryption;
use crate::mint::signer::MintFault;
use crate::store::{AuditRow, KeyPurpose, KeyRecord, KeyState, PrivateKey, SigningRing, Store};
use crate::vocab::{TraceId, UnixMillis, UnixTime};

/// How often a command's change is drafted again because another replica was quicker.
const ATTEMPTS: usize = 8;

/// Why a command changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum ImportRefusal {
    /// The key cannot be used.
    #[error("the key cannot be imported: {0}")]
    Unusable(&'static str),
    /// The key is in the ring, or was.
    #[error("the key {0} is or was in the ring")]
    Known(String),
    /// There is no such key, or it has ended.
    #[error("there is no key {0} that could be revoked; `countersign key list` shows them")]
    Missing(String),
    /// A successor waits already.
    #[error("the key {0} is to sign next already; `countersign key list` shows when")]
    Waiting(String),
    /// Something of ours failed.
    #[error(transparent)]
    Fault(#[from] MintFault),
}

/// Keys as they are to be, and what the trail says of each.
pub(super) type Change = Vec<(KeyRecord, &'static str)>;

/// How changes are drafted.
pub(super) struct Draft<'a> {
    pub(super) encryption: &'a KeyEncryption,
    /// `start`, `schedule` or `operator`.
    pub(super) by: &'static str,
}

impl Draft<'_> {
    /// Private keys that an older version kept in the clear, encrypted.
    pub(super) fn wrapped_plain(&self, ring: &SigningRing) -> Result<Option<Change>, MintFault> {
        let plain = ring.keys.iter().filter(|key| matches!(key.private, PrivateKey::Plain(_)));
        let change = plain.map(|key| self.wrapped(key)).collect::<Result<Change, _>>()?;
        Ok((!change.is_empty()).then_some(change))
    }

    fn wrapped(&self, key: &KeyRecord) -> Result<(KeyRecord, &'static str), MintFault> {
        let pkcs8 = self.encryption.open_key(key)?.ok_or(MintFault::Key("an ended key has no private half"))?;
        Ok((KeyRecord { private: self.encryption.wrap(key, &pkcs8)?, ..key.clone() }, "wrapped"))
    }

    /// What a step changes.
    pub(super) fn step(&self, ring: &SigningRing, step: &Step, rules: &Rules) -> Result<Change, MintFault> {
        let find = |id: &String| ring.keys.iter().find(|key| key.id == *id).cloned();
        let gone = MintFault::Key("a planned key is not in the ring");
        let now = ring.now;
        Ok(match step {
            Step::Make(lane, state) => {
                let mut made = self.record(lane.1, lane.0, (&material::generate(lane.1)?, now))?;
                made.longest_token = rules.max_lifetime;
                if *state == KeyState::Active {
                    made = activated(made, now);
                }
                vec![(made, "made")]
            }
            Step::Publish(id) => {
                let key = find(id).ok_or(gone)?;
                vec![(KeyRecord { state: KeyState::Published, published_at: Some(now), ..key }, "published")]
            }
            Step::Activate(id) => {
                let key = find(id).ok_or(gone)?;
                let before = ring.keys.iter().filter(|old| old.state == KeyState::Active && lane(old) == lane(&key));
                let retire = |old: &KeyRecord| {
                    (KeyRecord { state: KeyState::Retired, retired_at: Some(now), ..old.clone() }, "retired")
                };
                let mut change: Change = before.map(retire).collect();
                let longest_token = rules.max_lifetime;
                change.push((activated(KeyRecord { longest_token, ..key }, now), "activated"));
                change
            }
            Step::Remove(id) => vec![(ended(find(id).ok_or(gone)?, KeyState::Gone, now), "removed")],
            Step::Lengthen(id) => {
                let key = find(id).ok_or(gone)?;
                vec![(KeyRecord { longest_token: rules.max_lifetime, ..key }, "lengthened")]
            }
        })
    }

    fn record(
        &self,
        algorithm: SigningAlgorithm,
        purpose: KeyPurpose,
        (pkcs8, now): (&Pkcs8, UnixTime),
    ) -> Result<KeyRecord, MintFault> {
        let mut record = KeyRecord {
            id: material::key_id(algorithm, pkcs8)?,
            algorithm,
            purpose,
            state: KeyState::Pending,
            private: PrivateKey::Erased,
            created_at: now,
            published_at: None,
            activated_at: None,
            retired_at: None,
            ended_at: None,
            longest_token: Duration::ZERO,
            changed: 0,
        };
        record.private = self.encryption.wrap(&record, pkcs8)?;
        Ok(record)
    }

    /// Writes a change unless another came first; says whether it did.
    pub(super) async fn make(
        &self,
        store: &dyn Store,
        ring: &SigningRing,
        change: Change,
        now: UnixMillis,
    ) -> Result<bool, MintFault> {
        let rows = change.iter().map(|(key, what)| self.row(key, what, now)).collect::<Result<Vec<_>, _>>()?;
        let keys = change.iter().map(|(key, _)| key.clone()).collect();
        if !was_made(store.change_signing_keys(ring.number, keys, rows).await?) {
            return Ok(false);
        }
        for (key, what) in &change {
            metrics::counter!("countersign_signing_key_changes_total", "change" => *what).increment(1);
            tracing::info!(
                key.id = key.id,
                key.algorithm = key.algorithm.as_str(),
                key.purpose = key.purpose.as_str(),
                key.state = key.state.as_str(),
                by = self.by,
                "signing key {} {what}",
                key.id
            );
        }
        Ok(true)
    }

    fn row(&self, key: &KeyRecord, what: &str, time: UnixMillis) -> Result<AuditRow, MintFault> {
        let trace_id = TraceId::new(time, random_bytes()?);
        let json = serde_json::json!({
            "time": time.to_rfc3339(), "event": "signing_key", "outcome": "changed", "trace_id": trace_id.as_str(),
            "change": what, "by": self.by, "signing_key_id": key.id, "algorithm": key.algorithm.as_str(),
            "purpose": key.purpose, "state": key.state,
        });
        let (outcome, json) = ("changed", json.to_string());
        Ok(AuditRow { time, trace_id, outcome, cause: None, user: None, policy: None, issuer_name: None, json })
    }
}

fn lane(key: &KeyRecord) -> Lane {
    (key.purpose, key.algorithm)
}

fn activated(key: KeyRecord, now: UnixTime) -> KeyRecord {
    let published_at = key.published_at.or(Some(now));
    KeyRecord { state: KeyState::Active, published_at, activated_at: Some(now), ..key }
}

fn ended(key: KeyRecord, state: KeyState, now: UnixTime) -> KeyRecord {
    KeyRecord { state, ended_at: Some(now), private: PrivateKey::Erased, ..key }
}

impl Ring {
    /// Begins a rotation: a new key is published now and signs when every cache can have it. Gives its id.
    ///
    /// # Errors
    /// One is on its way already, or the store failed.
    pub async fn rotate(&self, purpose: KeyPurpose, algorithm: SigningAlgorithm) -> Result<String, ImportRefusal> {
        let pkcs8 = material::generate(algorithm)?;
        self.operate(|draft, ring| {
            let waits = |key: &&KeyRecord| matches!(key.state, KeyState::Pending | KeyState::Published);
            if let Some(next) = ring.keys.iter().filter(waits).find(|key| lane(key) == (purpose, algorithm)) {
                return Err(ImportRefusal::Waiting(next.id.clone()));
            }
            Ok(vec![(draft.record(algorithm, purpose, (&pkcs8, ring.now))?, "made")])
        })
        .await
    }

    /// Puts a PKCS#8 key (PEM) into the ring; it signs after the keys that are there. Gives its id.
    ///
    /// # Errors
    /// It is no such key, or is known, or the store failed.
    pub async fn import(&self, pem: &str) -> Result<String, ImportRefusal> {
        let (algorithm, pkcs8) = material::import(pem).map_err(ImportRefusal::Unusable)?;
        self.operate(|draft, ring| {
            let record = draft.record(algorithm, KeyPurpose::Token, (&pkcs8, ring.now))?;
            if ring.keys.iter().any(|key| key.id == record.id) {
                return Err(ImportRefusal::Known(record.id));
            }
            Ok(vec![(record, "imported")])
        })
        .await
    }

    /// Ends a key at once, with every token that it signed. If it was active, another signs from now on.
    ///
    /// # Errors
    /// There is none, or the store failed.
    pub async fn revoke(&self, id: &str) -> Result<String, ImportRefusal> {
        self.operate(|_, ring| {
            let found = ring.keys.iter().find(|key| key.id == id && !key.state.has_ended());
            let key = found.ok_or_else(|| ImportRefusal::Missing(id.to_owned()))?;
            Ok(vec![(ended(key.clone(), KeyState::Revoked, ring.now), "revoked")])
        })
        .await
    }

    /// Encrypts every private key under the current key-encryption key. Gives how many had an older one.
    ///
    /// # Errors
    /// An older key is not configured, or the store failed.
    pub async fn rewrap(&self) -> Result<usize, ImportRefusal> {
        let mut count = 0;
        self.operate(|draft, ring| {
            let outdated = ring.keys.iter().filter(|key| draft.encryption.is_outdated(key));
            let change = outdated.map(|key| draft.wrapped(key)).collect::<Result<Change, _>>()?;
            count = change.len();
            Ok(change)
        })
        .await?;
        Ok(count)
    }

    /// Drafts and writes an operator's change, then does what is due because of it. Gives the changed key's id.
    async fn operate(
        &self,
        mut draft: impl FnMut(&Draft<'_>, &SigningRing) -> Result<Change, ImportRefusal>,
    ) -> Result<String, ImportRefusal> {
        let _one = self.looking.lock().await;
        let by = Draft { encryption: &self.encryption, by: "operator" };
        for _ in 0..ATTEMPTS {
            let ring = self.store.signing_ring(self.clock.now()).await.map_err(MintFault::from)?;
            let change = draft(&by, &ring)?;
            let id = change.first().map(|(key, _)| key.id.clone()).unwrap_or_default();
            if change.is_empty() || by.make(&*self.store, &ring, change, self.clock.now_millis()).await? {
                self.look_by("operator").await?;
                return Ok(id);
            }
        }
        Err(MintFault::Key("other replicas go on changing the keys").into())
    }
}
