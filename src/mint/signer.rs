//! What signs and what is published, as one snapshot of the key ring.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::TokenClaims;
use super::material::{self, Pair};
use super::seal::KeyEncryption;
use crate::clock::EntropyFault;
use crate::config::SigningAlgorithm;
use crate::key::{KeySet, KeySetUse};
use crate::store::{KeyPurpose, KeyRecord, KeyState, SigningRing, StoreFault};
use crate::vocab::{Algorithm, WordFault};

/// What our own keys may sign with (`token.signing_algorithm`).
const OUR_ALGORITHMS: [Algorithm; 3] = [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256];

/// Something on our side kept a token from being made.
#[derive(Debug, thiserror::Error)]
pub enum MintFault {
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFault),
    /// A signing key cannot be made, read or used.
    #[error("the signing key cannot be used: {0}")]
    Key(&'static str),
    /// A key-encryption key cannot be used.
    #[error("the key-encryption key: {0}")]
    Kek(String),
    /// A signing key is encrypted under a key-encryption key that is not configured.
    #[error(
        "the signing key {key} is encrypted under the key-encryption key {needed}, and the configured one ({name}) is \
         {current}; configure {needed}, or add it to `key_encryption_key.previous`"
    )]
    WrongKek {
        /// Which signing key.
        key: String,
        /// What would open it.
        needed: String,
        /// What there is.
        current: String,
        /// Where that is from.
        name: String,
    },
    /// A signing key's row was changed by somebody.
    #[error("the signing key {key} was changed in the store: it does not open under its own key-encryption key")]
    SpoiledKey {
        /// Which signing key.
        key: String,
    },
    /// The keys of other replicas have not been heard of lately.
    #[error("the store's changes have not been heard of for 10 s, so the signing key may have been revoked")]
    Stale,
    /// A value of ours does not fit its own grammar.
    #[error(transparent)]
    Word(#[from] WordFault),
    /// The claims cannot be written.
    #[error("the claims cannot be written")]
    Claims,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl MintFault {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            MintFault::Entropy(_) => "mint.entropy",
            MintFault::Key(_) | MintFault::Word(_) | MintFault::Claims => "mint.failed",
            MintFault::Kek(_) | MintFault::WrongKek { .. } | MintFault::SpoiledKey { .. } => "mint.failed",
            MintFault::Store(_) | MintFault::Stale => "store.unavailable",
        }
    }
}

/// Signs tokens with the active key and publishes all that verifiers need.
pub struct Signer {
    active: Pair,
    /// The encoded header and its dot.
    header: String,
    key_id: String,
    algorithm: SigningAlgorithm,
    random: SystemRandom,
    jwks: Value,
    key_set: KeySet,
    audit: Arc<AuditSigner>,
    audit_keys: Vec<Value>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Signer {
    /// The ring's keys, opened.
    pub(super) fn of(
        ring: &SigningRing,
        algorithm: SigningAlgorithm,
        encryption: &KeyEncryption,
    ) -> Result<Signer, MintFault> {
        let mut published: Vec<&KeyRecord> = ring.keys.iter().filter(|key| key.state.is_published()).collect();
        // Stable: within an algorithm the oldest comes first.
        published.sort_by_key(|key| SigningAlgorithm::ALL.iter().position(|algorithm| *algorithm == key.algorithm));
        let public = |purpose| {
            let keys = published.iter().filter(move |key| key.purpose == purpose);
            keys.map(|key| public(key, encryption)).collect::<Result<Vec<_>, MintFault>>()
        };
        let jwks = json!({ "keys": public(KeyPurpose::Token)? });
        let key_set = KeySet::parse(jwks.to_string().as_bytes(), KeySetUse::Oidc, &OUR_ALGORITHMS)
            .map_err(|_| MintFault::Key("our own key set cannot be read"))?;
        let active = active(&published, KeyPurpose::Token, algorithm)?;
        let audit = active_audit(&published)?;
        Ok(Signer {
            active: pair(active, encryption)?,
            header: material::encoded_header(algorithm, &active.id)?,
            key_id: active.id.clone(),
            algorithm,
            random: SystemRandom::new(),
            jwks,
            key_set,
            audit: Arc::new(AuditSigner { key_id: audit.id.clone(), pair: pair(audit, encryption)? }),
            audit_keys: public(KeyPurpose::Audit)?,
        })
    }

    /// The compact JWS of these claims (RFC 7515 §7.1).
    ///
    /// # Errors
    /// When the claims cannot be written or the key cannot sign.
    pub fn sign(&self, claims: &TokenClaims) -> Result<String, MintFault> {
        let json = serde_json::to_vec(claims).map_err(|_| MintFault::Claims)?;
        let mut token = String::with_capacity(self.header.len() + json.len() * 4 / 3 + 350);
        token.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(&json, &mut token);
        let signed = self.active.sign(&self.random, token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signed, &mut token);
        Ok(token)
    }

    /// The public keys (RFC 7517 §5).
    #[must_use]
    pub fn jwks(&self) -> &Value {
        &self.jwks
    }

    /// The same, for verifying.
    #[must_use]
    pub fn key_set(&self) -> &KeySet {
        &self.key_set
    }

    /// The public halves of the audit trail's keys, as JWKs.
    #[must_use]
    pub fn audit_keys(&self) -> &[Value] {
        &self.audit_keys
    }

    /// The audit trail's key.
    #[must_use]
    pub fn audit_signer(&self) -> Arc<AuditSigner> {
        Arc::clone(&self.audit)
    }

    /// The active key's id.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The active key's algorithm.
    #[must_use]
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }
}

/// Signs the audit trail's checkpoints (Ed25519).
pub struct AuditSigner {
    key_id: String,
    pair: Pair,
}

impl std::fmt::Debug for AuditSigner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AuditSigner").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl AuditSigner {
    /// The key's id, and the signature over these bytes.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(&self, bytes: &[u8]) -> Result<(String, Vec<u8>), MintFault> {
        Ok((self.key_id.clone(), self.pair.sign(&SystemRandom::new(), bytes)?))
    }
}

fn active<'a>(
    keys: &[&'a KeyRecord],
    purpose: KeyPurpose,
    algorithm: SigningAlgorithm,
) -> Result<&'a KeyRecord, MintFault> {
    let fits = |key: &&&KeyRecord| (key.state, key.purpose, key.algorithm) == (KeyState::Active, purpose, algorithm);
    // Versions before the ring may have left several; the newest signs.
    keys.iter().rev().find(fits).copied().ok_or(MintFault::Key("no active key of the configured algorithm"))
}

fn active_audit<'a>(keys: &[&'a KeyRecord]) -> Result<&'a KeyRecord, MintFault> {
    active(keys, KeyPurpose::Audit, SigningAlgorithm::EdDSA)
}

fn opened(record: &KeyRecord, encryption: &KeyEncryption) -> Result<material::Pkcs8, MintFault> {
    encryption.open_key(record)?.ok_or(MintFault::Key("a key that is in use was erased"))
}

fn pair(record: &KeyRecord, encryption: &KeyEncryption) -> Result<Pair, MintFault> {
    material::pair(record.algorithm, &opened(record, encryption)?)
}

fn public(record: &KeyRecord, encryption: &KeyEncryption) -> Result<Value, MintFault> {
    let jwk = material::public_jwk(record.algorithm, &opened(record, encryption)?, &record.id)?;
    serde_json::to_value(jwk).map_err(|_| MintFault::Key("a key has no public form"))
}
