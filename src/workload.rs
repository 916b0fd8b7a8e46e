//! The WORKLOAD user: it exists, or is created just in time, and is enabled.
//!
//! In: a permit or a proven client secret. Out: [`WorkloadUser`]. Not here: what its token will say (see `mint`).

pub mod credentials;

use crate::policy::Permit;
use crate::review::Confirmed;
use crate::store::{Store, StoreFault, UsedSecret, UserOrigin, UserRecord, UserState};
use crate::vocab::{ClientId, Scopes, UnixTime, UserName};
use credentials::ProvenSecret;

/// What admits a caller: taken by value, so one admission is one user and one token.
#[derive(Debug)]
pub enum Admission {
    /// Policies admitted verified claims, and their cluster stands by them where it is asked.
    Policy(Box<Confirmed>),
    /// A client secret was proven.
    Secret(ProvenSecret),
}

/// A user that may receive a token now. Only [`user`] makes one.
#[derive(Debug)]
pub struct WorkloadUser {
    admission: Admission,
    new_user: Option<UserRecord>,
}

/// Why an admitted caller becomes no user.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadFailure {
    /// An operator disabled the user.
    #[error("the user is disabled")]
    Disabled,
    /// The user was deleted; its name is not given to another workload just in time.
    #[error("the user was deleted")]
    Deleted,
    /// A client secret's user is gone.
    #[error("the credential's user does not exist")]
    Missing,
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl WorkloadFailure {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            WorkloadFailure::Disabled => "workload.user_disabled",
            WorkloadFailure::Deleted => "workload.user_deleted",
            WorkloadFailure::Missing => "workload.user_missing",
            WorkloadFailure::Fault(_) => "store.unavailable",
        }
    }
}

/// Finds the admitted user. A policy's user that does not exist is prepared here and written with the token's session.
///
/// # Errors
/// See [`WorkloadFailure`].
pub async fn user(admission: Admission, store: &dyn Store, now: UnixTime) -> Result<WorkloadUser, WorkloadFailure> {
    let new_user = match store.user(admission.user()).await? {
        Some(UserRecord { state: UserState::Enabled, .. }) => None,
        Some(UserRecord { state: UserState::Disabled, .. }) => return Err(WorkloadFailure::Disabled),
        Some(UserRecord { state: UserState::Deleted, .. }) => return Err(WorkloadFailure::Deleted),
        None => Some(admission.just_in_time(now).ok_or(WorkloadFailure::Missing)?),
    };
    Ok(WorkloadUser { admission, new_user })
}

impl Admission {
    fn user(&self) -> &UserName {
        match self {
            Admission::Policy(confirmed) => confirmed.permit().user(),
            Admission::Secret(secret) => secret.user(),
        }
    }

    fn just_in_time(&self, now: UnixTime) -> Option<UserRecord> {
        let Admission::Policy(confirmed) = self else { return None };
        let permit = confirmed.permit();
        let policy = permit.policies().first()?.clone();
        let name = permit.user().clone();
        Some(UserRecord { name, origin: UserOrigin::Policy(policy), state: UserState::Enabled, created_at: now })
    }
}

impl WorkloadUser {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &UserName {
        self.admission.user()
    }

    /// The most its token may carry.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        match &self.admission {
            Admission::Policy(confirmed) => confirmed.permit().scopes(),
            Admission::Secret(secret) => secret.scopes(),
        }
    }

    /// The token's `client_id`: the credential's, or the user's name (RFC 9068 §2.2).
    ///
    /// # Errors
    /// Never for a user name, whose grammar is narrower than a client id's.
    pub fn client_id(&self) -> Result<ClientId, crate::vocab::WordFault> {
        match &self.admission {
            Admission::Policy(confirmed) => ClientId::parse(confirmed.permit().user().as_str()),
            Admission::Secret(secret) => Ok(secret.client_id().clone()),
        }
    }

    /// The permit, when policies admitted it.
    #[must_use]
    pub fn permit(&self) -> Option<&Permit> {
        match &self.admission {
            Admission::Policy(confirmed) => Some(confirmed.permit()),
            Admission::Secret(_) => None,
        }
    }

    /// The client secret that admitted it, if one did.
    #[must_use]
    pub fn secret(&self) -> Option<&UsedSecret> {
        match &self.admission {
            Admission::Policy(_) => None,
            Admission::Secret(secret) => Some(secret.used()),
        }
    }

    /// The user to create with the session, if it is new.
    #[must_use]
    pub fn new_user(&self) -> Option<&UserRecord> {
        self.new_user.as_ref()
    }
}
