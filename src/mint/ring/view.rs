//! The ring as an operator sees it.

use serde::Serialize;

use super::Ring;
use super::plan::{Rules, is_live, removal};
use crate::mint::signer::MintFault;
use crate::store::{KeyPurpose, KeyRecord, KeyState, PrivateKey, ReplicaRecord, SigningRing};
use crate::vocab::UnixTime;

/// A key.
#[derive(Debug, Clone, Serialize)]
pub struct KeyView {
    /// Its `kid`.
    pub id: String,
    /// What it signs with.
    pub algorithm: &'static str,
    /// What it signs.
    pub purpose: KeyPurpose,
    /// Where it stands.
    pub state: KeyState,
    /// When it was made or imported.
    pub created_at: String,
    /// When it was first in the JWKS.
    pub published_at: Option<String>,
    /// When it first signed.
    pub activated_at: Option<String>,
    /// When it last signed.
    pub retired_at: Option<String>,
    /// When it was removed or revoked.
    pub ended_at: Option<String>,
    /// What happens to it next.
    pub next: Option<String>,
    /// The key-encryption key that it is encrypted under.
    pub key_encryption_key: Option<String>,
}

impl Ring {
    /// The keys, oldest first, and the replicas that live.
    ///
    /// # Errors
    /// The store failed.
    pub async fn view(&self) -> Result<(Vec<KeyView>, Vec<ReplicaRecord>), MintFault> {
        let rules = self.rules().await?;
        let mut ring = self.store.signing_ring(self.clock.now()).await?;
        let keys = ring.keys.iter().map(|key| view(key, &ring, &rules)).collect();
        let now = ring.now;
        ring.replicas.retain(|replica| is_live(replica, now));
        Ok((keys, ring.replicas))
    }

    /// Sets the gauges of `/metrics`.
    pub async fn publish_gauges(&self) {
        let Ok(ring) = self.store.signing_ring(self.clock.now()).await else { return };
        for state in KeyState::ALL.into_iter().filter(|state| !state.has_ended()) {
            let count = ring.keys.iter().filter(|key| key.state == state).count();
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            metrics::gauge!("countersign_signing_keys", "state" => state.as_str()).set(count);
        }
        let live = ring.replicas.iter().filter(|replica| is_live(replica, ring.now)).count();
        metrics::gauge!("countersign_replicas").set(u32::try_from(live).unwrap_or(u32::MAX));
    }
}

fn view(key: &KeyRecord, ring: &SigningRing, rules: &Rules) -> KeyView {
    let shown = |time: Option<UnixTime>| time.map(UnixTime::to_rfc3339);
    KeyView {
        id: key.id.clone(),
        algorithm: key.algorithm.as_str(),
        purpose: key.purpose,
        state: key.state,
        created_at: key.created_at.to_rfc3339(),
        published_at: shown(key.published_at),
        activated_at: shown(key.activated_at),
        retired_at: shown(key.retired_at),
        ended_at: shown(key.ended_at),
        next: next(key, ring, rules),
        key_encryption_key: match &key.private {
            PrivateKey::Wrapped { kek_id, .. } => Some(kek_id.clone()),
            PrivateKey::Plain(_) | PrivateKey::Erased => None,
        },
    }
}

fn next(key: &KeyRecord, ring: &SigningRing, rules: &Rules) -> Option<String> {
    match key.state {
        KeyState::Pending => Some("is published".to_owned()),
        KeyState::Published => {
            let from = key.published_at.unwrap_or(ring.now).plus(rules.jwks_max_age * 2);
            Some(format!("signs from {from}"))
        }
        KeyState::Active if key.purpose == KeyPurpose::Token && key.algorithm != rules.algorithm => {
            Some("waits for token.signing_algorithm".to_owned())
        }
        KeyState::Active => {
            let from = key.activated_at.unwrap_or(key.created_at).plus(rules.rotate_every);
            Some(format!("rotation from {from}"))
        }
        KeyState::Retired => Some(format!("removed after {}", removal(key, rules))),
        KeyState::Gone | KeyState::Revoked => None,
    }
}
