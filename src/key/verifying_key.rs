//! A prepared public key with its one algorithm.

use std::sync::Arc;

use aws_lc_rs::signature::ParsedPublicKey;

use crate::vocab::{Algorithm, KeyId};

/// One issuer's key, ready to verify: parsed when it was fetched, not once a request. Cloning is cheap.
#[derive(Clone)]
pub struct VerifyingKey(Arc<Prepared>);

struct Prepared {
    id: Option<KeyId>,
    issuer: Option<Box<str>>,
    algorithm: Algorithm,
    key: ParsedPublicKey,
}

/// What a key set says of a key beside the key itself.
#[derive(Clone)]
pub(super) struct KeyName {
    pub(super) id: Option<KeyId>,
    pub(super) issuer: Option<Box<str>>,
}

impl VerifyingKey {
    pub(super) fn new(name: KeyName, algorithm: Algorithm, key: ParsedPublicKey) -> VerifyingKey {
        VerifyingKey(Arc::new(Prepared { id: name.id, issuer: name.issuer, algorithm, key }))
    }

    /// Its `kid`.
    #[must_use]
    pub fn id(&self) -> Option<&KeyId> {
        self.0.id.as_ref()
    }

    /// Whose tokens it signs, where the key set says so key by key (Entra's `issuer` member).
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.0.issuer.as_deref()
    }

    /// The only algorithm it verifies (RFC 8725 §3.1).
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// Whether `signature` is this key's over `signing_input`. An ECDSA signature is the two numbers at their full
    /// length, never DER (RFC 7518 §3.4).
    #[must_use]
    pub fn verify(&self, signing_input: &[u8], signature: &[u8]) -> bool {
        self.0.key.verify_sig(signing_input, signature).is_ok()
    }

    /// Whether both are the same public key.
    pub(super) fn is_same_material(&self, other: &VerifyingKey) -> bool {
        self.0.key.as_ref() == other.0.key.as_ref()
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("VerifyingKey").field("id", &self.0.id).field("algorithm", &self.0.algorithm).finish()
    }
}
