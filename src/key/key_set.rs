//! A key set: a JWKS (RFC 7517 §5) or a SPIFFE bundle, read key by key.
//!
//! In: bytes of an issuer's answer or of a file. Out: [`KeySet`], keys found by `kid` and algorithm. One key that
//! cannot be used is counted and left out; only a document that is no key set is a fault.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use serde_json::Value;

use super::jwk::{self, SkippedKey};
use super::{KeyRefusal, VerifyingKey, x509};
use crate::json::{self, JsonFault};
use crate::vocab::{Algorithm, KeyId};

/// Largest key set: a hundred keys with certificate chains still fit.
pub(super) const MAX_BYTES: usize = 1024 * 1024;
/// Most keys in a set; the largest seen have about ten.
const MAX_KEYS: usize = 100;
/// SPIFFE Federation §4.1: five minutes when the bundle gives no hint.
const DEFAULT_REFRESH_HINT: u64 = 300;

/// Which keys of a document verify tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySetUse {
    /// Those with `use: sig` or without `use`.
    Oidc,
    /// Those with `use: jwt-svid`; and apart from them the X.509 authorities, `use: x509-svid` (SPIFFE Trust Domain and
    /// Bundle §4.2.2).
    SpiffeJwt,
}

/// An issuer's usable keys, prepared.
#[derive(Debug, Default)]
pub struct KeySet {
    by_id: HashMap<KeyId, Vec<VerifyingKey>>,
    without_id: Vec<VerifyingKey>,
    authorities: Vec<CertificateDer<'static>>,
    skipped: BTreeMap<SkippedKey, usize>,
    sequence: Option<u64>,
    refresh_hint: Option<Duration>,
}

/// Why a document is no key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetFault {
    /// Over 1 MiB.
    #[error("the key set is larger than 1 MiB")]
    TooLarge,
    /// Not strict JSON.
    #[error("the key set {0}")]
    Json(JsonFault),
    /// No `keys`, or it is no list.
    #[error("the key set has no list `keys`")]
    NoKeys,
    /// Over a hundred keys.
    #[error("the key set has more than 100 keys")]
    TooManyKeys,
    /// It has keys, and none that can be used.
    #[error("none of the key set's keys can be used: {0}")]
    NoneUsable(String),
}

impl KeySet {
    /// Reads a key set.
    ///
    /// # Errors
    /// See [`KeySetFault`]; [`KeySetFault::NoneUsable`] is not for reading, but for who takes an answer up.
    pub fn parse(bytes: &[u8], purpose: KeySetUse, allowed: &[Algorithm]) -> Result<KeySet, KeySetFault> {
        if bytes.len() > MAX_BYTES {
            return Err(KeySetFault::TooLarge);
        }
        let document = json::object(bytes).map_err(KeySetFault::Json)?;
        let jwks = document.get("keys").and_then(Value::as_array).ok_or(KeySetFault::NoKeys)?;
        if jwks.len() > MAX_KEYS {
            return Err(KeySetFault::TooManyKeys);
        }
        let mut set = KeySet::default();
        for jwk in jwks {
            if purpose == KeySetUse::SpiffeJwt && x509::is_authority(jwk) {
                match x509::authority(jwk) {
                    Ok(authority) => set.authorities.push(authority),
                    Err(reason) => set.count(reason),
                }
                continue;
            }
            match jwk::prepare(jwk, purpose, allowed) {
                Ok(keys) => keys.into_iter().for_each(|key| set.add(key)),
                Err(reason) => set.count(reason),
            }
        }
        set.drop_ambiguous();
        if purpose == KeySetUse::SpiffeJwt {
            set.sequence = document.get("spiffe_sequence").and_then(Value::as_u64);
            set.refresh_hint = Some(refresh_hint(document.get("spiffe_refresh_hint")));
        }
        Ok(set)
    }

    /// The key that a header names.
    ///
    /// # Errors
    /// See [`KeyRefusal`].
    pub fn find(
        &self,
        id: Option<&KeyId>,
        algorithm: Algorithm,
        allow_missing_id: bool,
    ) -> Result<VerifyingKey, KeyRefusal> {
        let Some(id) = id else {
            if !allow_missing_id {
                return Err(KeyRefusal::MissingKeyId);
            }
            return self.only_key_for(algorithm);
        };
        let named = self.by_id.get(id).ok_or_else(|| KeyRefusal::Unknown { key_id: id.clone(), held: None })?;
        let fitting = named.iter().find(|key| key.algorithm() == algorithm);
        let other = || named.first().map_or(algorithm, |key| key.algorithm());
        fitting.cloned().ok_or_else(|| KeyRefusal::Algorithm { said: algorithm, of_key: other() })
    }

    /// All usable keys.
    pub fn keys(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.by_id.values().flatten().chain(&self.without_id)
    }

    /// The authorities that sign the trust domain's X.509-SVIDs; none for other kinds of issuers.
    #[must_use]
    pub fn x509_authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    /// Whether nothing verifies.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty() && self.without_id.is_empty() && self.authorities.is_empty()
    }

    /// How many keys were left out, by reason.
    #[must_use]
    pub fn skipped(&self) -> &BTreeMap<SkippedKey, usize> {
        &self.skipped
    }

    /// The same in words; empty when none was.
    #[must_use]
    pub fn left_out(&self) -> String {
        let reasons: Vec<String> = self.skipped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        reasons.join(", ")
    }

    /// Whether an issuer means what it says here. An empty set is its word that nothing verifies any more, and so is one
    /// whose private key everybody knows. A set of keys of which none can be used is a mistake, like a document that is
    /// no key set: but for SPIFFE, whose bundle is whole as it stands (Trust Domain and Bundle §4.1.3).
    pub(super) fn meant(self, purpose: KeySetUse) -> Result<KeySet, KeySetFault> {
        let is_word = self.skipped.is_empty() || self.skipped.contains_key(&SkippedKey::PrivateKey);
        match purpose {
            KeySetUse::Oidc if self.is_empty() && !is_word => Err(KeySetFault::NoneUsable(self.left_out())),
            KeySetUse::Oidc | KeySetUse::SpiffeJwt => Ok(self),
        }
    }

    /// The SPIFFE bundle's sequence number; one that is no 64-bit whole number is ignored.
    #[must_use]
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// How long the SPIFFE bundle asks to be kept, between a minute and a day.
    #[must_use]
    pub fn refresh_hint(&self) -> Option<Duration> {
        self.refresh_hint
    }

    fn add(&mut self, key: VerifyingKey) {
        match key.id() {
            Some(id) => self.by_id.entry(id.clone()).or_default().push(key),
            None => self.without_id.push(key),
        }
    }

    fn count(&mut self, reason: SkippedKey) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    /// Two different keys with one `kid` and algorithm: which one the issuer means cannot be told, and the second may
    /// be an intruder's, so neither verifies. The same key listed twice is one key.
    fn drop_ambiguous(&mut self) {
        let mut ambiguous = 0;
        for keys in self.by_id.values_mut() {
            let all = std::mem::take(keys);
            for (index, key) in all.iter().enumerate() {
                let rivals = || all.iter().filter(|other| other.algorithm() == key.algorithm());
                let repeated = || all.iter().take(index).any(|earlier| earlier.algorithm() == key.algorithm());
                if rivals().any(|other| !other.is_same_material(key)) {
                    ambiguous += 1;
                } else if !repeated() {
                    keys.push(key.clone());
                }
            }
        }
        self.by_id.retain(|_, keys| !keys.is_empty());
        if ambiguous > 0 {
            self.skipped.insert(SkippedKey::DuplicateKeyId, ambiguous);
        }
    }

    /// Without a `kid` the choice must not be a trial of several keys (OpenID Connect Core §10.1).
    fn only_key_for(&self, algorithm: Algorithm) -> Result<VerifyingKey, KeyRefusal> {
        let mut fitting = self.keys().filter(|key| key.algorithm() == algorithm);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key.clone()),
            (Some(_), Some(_)) => Err(KeyRefusal::Ambiguous),
            (None, _) => Err(KeyRefusal::NoneFits),
        }
    }
}

fn refresh_hint(member: Option<&Value>) -> Duration {
    let seconds = member.and_then(Value::as_u64).unwrap_or(DEFAULT_REFRESH_HINT);
    Duration::from_secs(seconds.clamp(60, 24 * 3600))
}

#[cfg(test)]
#[path = "key_set_tests.rs"]
mod tests;
