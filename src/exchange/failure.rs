//! Why an exchange gave no token: one variant a stage.

use crate::audit::Cause;
use crate::claims::ClaimsRefusal;
use crate::client_auth::{ClientAuthRefusal, Throttled};
use crate::issuer::IssuerRefusal;
use crate::key::KeyFailure;
use crate::mint::{CommitRefusal, GrantRefusal};
use crate::policy::{PolicyRefusal, Unmet};
use crate::request::{GrantName, RequestRefusal};
use crate::review::ReviewFailure;
use crate::store::StoreFault;
use crate::workload::WorkloadFailure;
use crate::workload::credentials::SecretFailure;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Failure {
    #[error(transparent)]
    Request(#[from] RequestRefusal),
    #[error(transparent)]
    ClientAuth(#[from] ClientAuthRefusal),
    #[error(transparent)]
    Issuer(#[from] IssuerRefusal),
    #[error(transparent)]
    Key(#[from] KeyFailure),
    #[error(transparent)]
    Claims(#[from] ClaimsRefusal),
    #[error("the client_id names no user")]
    ClientIdMismatch,
    #[error(transparent)]
    Policy(#[from] PolicyRefusal),
    #[error(transparent)]
    Review(#[from] ReviewFailure),
    #[error(transparent)]
    Throttled(#[from] Throttled),
    #[error(transparent)]
    Secret(#[from] SecretFailure),
    #[error("a client secret is for the client_credentials grant only")]
    GrantNotAllowed,
    #[error(transparent)]
    Workload(#[from] WorkloadFailure),
    #[error(transparent)]
    Grant(#[from] GrantRefusal),
    #[error(transparent)]
    Commit(#[from] CommitRefusal),
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// A failure, and the grant under which it happened; `None` before the request was understood.
#[derive(Debug)]
pub struct Refused {
    /// What failed.
    pub failure: Failure,
    /// The grant.
    pub grant: Option<GrantName>,
    /// What the caller may be told of why: claims whose signature held, at an issuer that an operator named for it.
    pub unmet: Vec<Unmet>,
}

/// Whose doing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The caller's: a refusal.
    Caller,
    /// Ours, or the issuer's: a fault; the caller may try again.
    Ours,
}

impl Failure {
    /// Whose doing it is.
    #[must_use]
    pub fn side(&self) -> Side {
        match self {
            Failure::Key(KeyFailure::Unavailable { .. })
            | Failure::Review(ReviewFailure::Unavailable { .. })
            | Failure::Secret(SecretFailure::Fault(_))
            | Failure::Workload(WorkloadFailure::Fault(_))
            | Failure::Grant(GrantRefusal::Fault(_))
            | Failure::Commit(CommitRefusal::Fault(_))
            | Failure::Store(_) => Side::Ours,
            Failure::Request(_)
            | Failure::ClientAuth(_)
            | Failure::Issuer(_)
            | Failure::Key(KeyFailure::Refusal(_) | KeyFailure::Certificate(_))
            | Failure::Claims(_)
            | Failure::ClientIdMismatch
            | Failure::Policy(_)
            | Failure::Review(ReviewFailure::NotAuthenticated { .. })
            | Failure::Throttled(_)
            | Failure::Secret(_)
            | Failure::GrantNotAllowed
            | Failure::Workload(_)
            | Failure::Grant(_)
            | Failure::Commit(_) => Side::Caller,
        }
    }

    /// The stage and the dotted cause; `detail` is this failure in words.
    #[must_use]
    pub fn cause<'a>(&self, detail: &'a str) -> Cause<'a> {
        let (stage, cause) = match self {
            Failure::Request(refusal) => ("request", refusal.cause()),
            Failure::ClientAuth(refusal) => ("client_auth", refusal.cause()),
            Failure::Throttled(_) => ("client_auth", "client_auth.throttled"),
            Failure::Secret(SecretFailure::Refusal(refusal)) => ("client_auth", refusal.cause()),
            Failure::Secret(SecretFailure::Fault(_)) => ("client_auth", "store.unavailable"),
            Failure::GrantNotAllowed => ("client_auth", "client_auth.grant_not_allowed"),
            Failure::Issuer(refusal) => ("issuer", refusal.cause()),
            Failure::Key(failure) => ("key", failure.cause()),
            Failure::Claims(refusal) => ("claims", refusal.cause()),
            Failure::ClientIdMismatch => ("policy", "policy.client_id"),
            Failure::Policy(refusal) => ("policy", refusal.cause()),
            Failure::Review(failure) => ("review", failure.cause()),
            Failure::Workload(failure) => ("workload", failure.cause()),
            Failure::Grant(refusal) => ("mint", refusal.cause()),
            Failure::Commit(refusal) => ("mint", refusal.cause()),
            Failure::Store(_) => ("mint", "store.unavailable"),
        };
        Cause { stage, cause, detail }
    }
}
