//! The signing keys' records and the replicas that publish them.
//!
//! In: nothing. Out: plain records. Not here: when a key goes from one state to the next (see `mint`).

use std::time::Duration;

use serde::Serialize;

use crate::config::SigningAlgorithm;
use crate::vocab::UnixTime;

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPurpose {
    /// Access tokens; its public half is in the JWKS.
    Token,
    /// The audit trail's checkpoints; its public half is not in the JWKS.
    Audit,
}

impl KeyPurpose {
    /// All of them.
    pub const ALL: [KeyPurpose; 2] = [KeyPurpose::Token, KeyPurpose::Audit];

    /// The word that stands in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            KeyPurpose::Token => "token",
            KeyPurpose::Audit => "audit",
        }
    }
}

/// Where a key stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Kept, and nobody has seen it.
    Pending,
    /// In the JWKS, and does not sign yet.
    Published,
    /// It signs.
    Active,
    /// In the JWKS for the tokens that it signed.
    Retired,
    /// It has ended; its private half was erased.
    Gone,
    /// An operator ended it at once; its private half was erased.
    Revoked,
}

impl KeyState {
    /// All of them, in a life's order.
    pub const ALL: [KeyState; 6] = [
        KeyState::Pending,
        KeyState::Published,
        KeyState::Active,
        KeyState::Retired,
        KeyState::Gone,
        KeyState::Revoked,
    ];

    /// The word that stands in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            KeyState::Pending => "pending",
            KeyState::Published => "published",
            KeyState::Active => "active",
            KeyState::Retired => "retired",
            KeyState::Gone => "gone",
            KeyState::Revoked => "revoked",
        }
    }

    /// Whether verifiers are shown the public half.
    #[must_use]
    pub fn is_published(self) -> bool {
        matches!(self, KeyState::Published | KeyState::Active | KeyState::Retired)
    }

    /// Whether the key has ended.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, KeyState::Gone | KeyState::Revoked)
    }
}

/// A key's private half, as the store has it.
#[derive(Clone, PartialEq, Eq)]
pub enum PrivateKey {
    /// PKCS#8 DER as versions before the key ring wrote it; it is wrapped at the next start.
    Plain(zeroize::Zeroizing<Vec<u8>>),
    /// Encrypted under a key-encryption key.
    Wrapped {
        /// Which one.
        kek_id: String,
        /// Nonce, ciphertext and tag.
        sealed: Vec<u8>,
    },
    /// The key has ended.
    Erased,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            PrivateKey::Plain(_) => "Plain(…)",
            PrivateKey::Wrapped { .. } => "Wrapped(…)",
            PrivateKey::Erased => "Erased",
        })
    }
}

/// A signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its `kid`.
    pub id: String,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// What it signs.
    pub purpose: KeyPurpose,
    /// Where it stands.
    pub state: KeyState,
    /// Its private half.
    pub private: PrivateKey,
    /// When it was made or imported.
    pub created_at: UnixTime,
    /// When it was first in the JWKS.
    pub published_at: Option<UnixTime>,
    /// When it first signed.
    pub activated_at: Option<UnixTime>,
    /// When it last signed.
    pub retired_at: Option<UnixTime>,
    /// When it was removed or revoked.
    pub ended_at: Option<UnixTime>,
    /// The longest life that a token of its may have.
    pub longest_token: Duration,
    /// The change that last wrote it.
    pub changed: u64,
}

/// A running broker that publishes the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplicaRecord {
    /// Made anew at each start.
    pub id: String,
    /// The host's or the operator's name for it.
    pub name: String,
    /// The version it runs.
    pub software: String,
    /// When it started.
    pub started_at: UnixTime,
    /// When it last said that it lives.
    pub seen_at: UnixTime,
    /// The change of the keys that it publishes.
    pub applied: u64,
}

/// All keys and replicas at one moment of the store's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningRing {
    /// Now, as the store has it.
    pub now: UnixTime,
    /// The newest change of a key.
    pub number: u64,
    /// The keys, oldest first.
    pub keys: Vec<KeyRecord>,
    /// The replicas that have been seen lately.
    pub replicas: Vec<ReplicaRecord>,
}

/// What becomes of a change that was meant for a certain state of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyChange {
    /// It is durable.
    Made,
    /// Another replica changed the keys first; nothing was written.
    Outrun,
}
