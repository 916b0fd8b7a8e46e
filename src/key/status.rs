//! What an operator sees of an issuer's keys.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::SkippedKey;
use crate::vocab::{Algorithm, IssuerName, KeyId, UnixTime};

/// An issuer's keys as they stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyStatus {
    /// Whose.
    pub issuer: IssuerName,
    /// The URL or file they come from.
    pub source: Option<String>,
    /// Whether assertions can be verified now: keys are held and not too old.
    pub usable: bool,
    /// The prepared keys; an RSA key without `alg` has a line for each algorithm.
    pub keys: Vec<KeyLine>,
    /// SPIFFE: how many authorities stand behind X.509-SVIDs.
    pub x509_authorities: usize,
    /// How many keys were left out, by reason.
    pub skipped: BTreeMap<SkippedKey, usize>,
    /// When they were last fetched with success.
    #[serde(serialize_with = "rfc3339")]
    pub last_fetch: Option<UnixTime>,
    /// Whether they were kept from before a restart and no fetch has confirmed them yet.
    pub restored: bool,
    /// How long ago that was.
    pub age_seconds: Option<u64>,
    /// When they will be fetched next; files are read at a reload.
    #[serde(serialize_with = "rfc3339")]
    pub next_fetch: Option<UnixTime>,
    /// What went wrong at the last try, if it failed.
    pub last_error: Option<String>,
    /// The SPIFFE bundle's sequence number.
    pub sequence: Option<u64>,
}

/// One prepared key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct KeyLine {
    /// Its `kid`.
    pub id: Option<KeyId>,
    /// What it verifies.
    pub algorithm: Algorithm,
}

/// As every other time that an operator reads.
fn rfc3339<S: Serializer>(time: &Option<UnixTime>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(UnixTime::to_rfc3339).serialize(serializer)
}
