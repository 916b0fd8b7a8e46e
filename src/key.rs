//! Issuers' keys, cached.
//!
//! In: a trusted issuer and an unverified header. Out: [`VerifyingKey`], which is that issuer's, usable, and names its
//! own algorithm. Only configured issuers cause a connection. Not here: whether the key signed anything (see
//! `claims`).

mod address;
mod bundle_server;
mod cache;
mod fetch;
mod flight;
mod held;
mod jwk;
mod key_set;
mod keys;
mod report;
mod schedule;
mod source;
mod status;
mod verifying_key;
mod workload_api;
mod x509;
mod x509_svid;

use crate::vocab::{Algorithm, IssuerName, KeyId};

pub use held::Held;
pub use jwk::SkippedKey;
pub use key_set::{KeySet, KeySetFault, KeySetUse};
pub use keys::{CandidateKey, Keys, Previous};
pub use status::{KeyLine, KeyStatus};
pub use verifying_key::VerifyingKey;
pub use x509_svid::{X509Svid, X509SvidRefusal};

/// Why the issuer has no key for this assertion. Its words leave out the `kid`: nobody has proven it, and the audit
/// record has it as `unverified_key_id`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// The issuer has no key with this `kid`, also after asking it again where that was due.
    #[error("the issuer has no usable key with the header's kid{}", held::behind(held.as_ref()))]
    Unknown {
        /// The header's `kid`.
        key_id: KeyId,
        /// What it has instead.
        held: Option<Held>,
    },
    /// No `kid` in the header, and no key of the issuer fits its algorithm.
    #[error("the issuer has no usable key for the header's alg")]
    NoneFits,
    /// No `kid` in the header, and the issuer is not configured with `allow_missing_kid`.
    #[error("the header has no kid")]
    MissingKeyId,
    /// No `kid` in the header, and several keys fit.
    #[error("the header has no kid and several keys fit")]
    Ambiguous,
    /// The key is for another algorithm than the header says.
    #[error("the header's alg is {said}, and the issuer's key with its kid is for {of_key}")]
    Algorithm {
        /// The header's `alg`.
        said: Algorithm,
        /// The key's.
        of_key: Algorithm,
    },
    /// The issuer may not use this algorithm.
    #[error("the issuer is not configured for {algorithm}, only for {allowed}")]
    AlgorithmNotAllowed {
        /// The header's `alg`.
        algorithm: Algorithm,
        /// Those that it is configured for.
        allowed: String,
    },
}

impl KeyRefusal {
    /// The cause in the audit record.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            KeyRefusal::Unknown { .. } | KeyRefusal::NoneFits => "key.unknown",
            KeyRefusal::MissingKeyId => "key.missing_kid",
            KeyRefusal::Ambiguous => "key.ambiguous",
            KeyRefusal::Algorithm { .. } => "key.algorithm",
            KeyRefusal::AlgorithmNotAllowed { .. } => "key.algorithm_not_allowed",
        }
    }
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFailure {
    /// The caller's fault.
    #[error(transparent)]
    Refusal(#[from] KeyRefusal),
    /// The caller's fault: no authority of the issuer stands behind its certificate.
    #[error(transparent)]
    Certificate(#[from] X509SvidRefusal),
    /// The issuer's keys cannot be had; the caller may come back.
    #[error("the keys of issuer {issuer} cannot be had: {last_error}")]
    Unavailable {
        /// Whose.
        issuer: IssuerName,
        /// What went wrong at the last try.
        last_error: String,
    },
}

impl KeyFailure {
    /// The cause in the audit record.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            KeyFailure::Refusal(refusal) => refusal.cause(),
            KeyFailure::Certificate(refusal) => refusal.cause(),
            KeyFailure::Unavailable { .. } => "key.unavailable",
        }
    }
}
