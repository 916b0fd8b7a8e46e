//! Whether a token that we signed still counts: its session, its user, its credential.
//!
//! In: what the token says, verified. Out: nothing, or the refusal. A store that cannot answer refuses too, as a fault
//! of ours: a revoked token must not come back to life because a disk is full.

use std::sync::Arc;

use super::refusal::TokenRefusal;
use super::verifier::Caller;
use crate::store::{Store, UserState};
use crate::vocab::{CredentialName, UnixTime};
use crate::workload::credentials::SecretHasher;

/// The store, and how it recognises a long-lived token.
pub(super) struct Standing {
    pub(super) store: Arc<dyn Store>,
    pub(super) hasher: Arc<SecretHasher>,
}

impl Standing {
    pub(super) async fn check(&self, caller: &Caller, now: UnixTime) -> Result<(), TokenRefusal> {
        match caller.credential() {
            Some(name) => self.check_credential(caller, name, now).await?,
            None => self.check_session(caller).await?,
        }
        let user = self.store.user(caller.user()).await?.ok_or(TokenRefusal::UserDeleted)?;
        match user.state {
            UserState::Enabled => Ok(()),
            UserState::Disabled => Err(TokenRefusal::UserDisabled),
            UserState::Deleted => Err(TokenRefusal::UserDeleted),
        }
    }

    /// A session is written before its token leaves, so one that is not there has ended. The store
    /// gives a session as revoked when its user was made anew since, so the new one does not inherit it.
    async fn check_session(&self, caller: &Caller) -> Result<(), TokenRefusal> {
        let session = self.store.session(caller.token_id()).await?.ok_or(TokenRefusal::NoSession)?;
        session.revoked_at.map_or(Ok(()), |at| Err(TokenRefusal::Revoked(at)))
    }

    async fn check_credential(
        &self,
        caller: &Caller,
        name: &CredentialName,
        now: UnixTime,
    ) -> Result<(), TokenRefusal> {
        let found = self.store.credential_of_client(caller.client_id()).await?;
        let credential = found.ok_or(TokenRefusal::NoCredential)?;
        // The claim may name the credential by its name or by its client id; both are unique and never change.
        let named = [credential.name.as_str(), credential.client_id.as_str()].contains(&name.as_str());
        if !named || credential.user != *caller.user() {
            return Err(TokenRefusal::NoCredential);
        }
        self.hasher.accept_token(&credential, caller.token_id(), now).map_err(TokenRefusal::Credential)
    }
}
