//! Whether a token that we signed still counts: its session, its user, its credential.
//!
//! In: what the token says, verified. Out: nothing, or the refusal. All of it is answered from memory, which follows what
//! other replicas change. A replica that has not heard of changes for a while refuses, as a fault of ours: a token that
//! was revoked elsewhere must not live on here.

use std::sync::Arc;

use super::refusal::TokenRefusal;
use super::verifier::Caller;
use crate::store::{Store, StoreFault, UserState};
use crate::vocab::{CredentialName, UnixTime};
use crate::workload::credentials::SecretHasher;

/// The store, and how it recognises a long-lived token.
pub(super) struct Standing {
    pub(super) store: Arc<dyn Store>,
    pub(super) hasher: Arc<SecretHasher>,
}

impl Standing {
    pub(super) async fn check(&self, caller: &Caller, now: UnixTime) -> Result<(), TokenRefusal> {
        if !self.store.feed_fresh() {
            return Err(
                StoreFault("revocations of other replicas have not been heard of for a while".to_owned()).into()
            );
        }
        if let Some(at) = self.store.revoked(caller.token_id()) {
            return Err(TokenRefusal::Revoked(at));
        }
        if let Some(name) = caller.credential() {
            self.check_credential(caller, name, now).await?;
        }
        let user = self.store.user(caller.user()).await?.ok_or(TokenRefusal::UserDeleted)?;
        match user.state {
            UserState::Enabled => Ok(()),
            UserState::Disabled => Err(TokenRefusal::UserDisabled),
            UserState::Deleted => Err(TokenRefusal::UserDeleted),
        }
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
