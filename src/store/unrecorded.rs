//! Changes without an audit record, as tests make them.

use super::{
    Change, ChangeRefusal, CredentialRecord, Made, Pending, SessionsOf, Store, StoreFault, UserRecord, UserState,
};
use crate::vocab::{CredentialName, TokenId, UnixTime, UserName};

/// One change a call. The broker itself records every change; it calls [`Store::change`].
pub trait Unrecorded: Store {
    /// Makes this change, at no particular time.
    fn unrecorded(&self, change: Change) -> Pending<'_, Result<u64, ChangeRefusal>> {
        self.change(change, Made { at: UnixTime(0), audit: None })
    }

    /// Adds a user.
    fn create_user(&self, user: UserRecord) -> Pending<'_, Result<(), ChangeRefusal>> {
        nothing(self.unrecorded(Change::CreateUser(user)))
    }

    /// Enables, disables or deletes a user.
    fn set_user_state<'a>(&'a self, name: &'a UserName, state: UserState) -> Pending<'a, Result<(), ChangeRefusal>> {
        nothing(self.unrecorded(Change::UserState(name.clone(), state)))
    }

    /// Adds a credential.
    fn create_credential(&self, credential: CredentialRecord) -> Pending<'_, Result<(), ChangeRefusal>> {
        nothing(self.unrecorded(Change::CreateCredential(credential)))
    }

    /// Replaces a credential, whatever it is by now.
    fn update_credential(&self, credential: CredentialRecord) -> Pending<'_, Result<(), ChangeRefusal>> {
        nothing(self.unrecorded(Change::UpdateCredential { from: None, to: Box::new(credential) }))
    }

    /// Removes a credential.
    fn delete_credential<'a>(&'a self, name: &'a CredentialName) -> Pending<'a, Result<(), ChangeRefusal>> {
        nothing(self.unrecorded(Change::DeleteCredential(name.clone())))
    }

    /// Ends a session; true when there was one that had not ended.
    fn revoke_session<'a>(&'a self, token: &'a TokenId, at: UnixTime) -> Pending<'a, Result<bool, StoreFault>> {
        let ended = self.change(Change::EndSessions(SessionsOf::Token(token.clone())), Made { at, audit: None });
        Box::pin(async move {
            match ended.await {
                Ok(ended) => Ok(ended == 1),
                Err(ChangeRefusal::Missing(_)) => Ok(false),
                Err(ChangeRefusal::Fault(fault)) => Err(fault),
                Err(refusal) => Err(StoreFault(refusal.to_string())),
            }
        })
    }
}

impl<S: Store + ?Sized> Unrecorded for S {}

fn nothing<'a>(change: Pending<'a, Result<u64, ChangeRefusal>>) -> Pending<'a, Result<(), ChangeRefusal>> {
    Box::pin(async move { change.await.map(drop) })
}
