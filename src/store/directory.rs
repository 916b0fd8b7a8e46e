//! Users, credentials and ended sessions in memory: what every exchange and every check of a token asks for, answered
//! without touching the disk. Its size follows what operators made and ended, never how many tokens there are.
//!
//! Only the writer changes them, after the commit and before the answer: they are never ahead of the disk, and a
//! change that was answered is seen by every later look-up.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use crate::store::{CredentialRecord, UserRecord};
use crate::vocab::{ClientId, CredentialName, TokenId, UnixTime, UserName};

/// The committed users and credentials, and the number of the newest change.
#[derive(Debug, Default)]
pub(in crate::store) struct Directory {
    tables: RwLock<Tables>,
    number: watch::Sender<u64>,
}

/// What the directory holds.
#[derive(Debug, Default)]
pub(in crate::store) struct Tables {
    pub(in crate::store) users: HashMap<UserName, UserRecord>,
    pub(in crate::store) credentials: HashMap<CredentialName, Arc<CredentialRecord>>,
    clients: HashMap<ClientId, Arc<CredentialRecord>>,
    revoked: HashMap<TokenId, Revoked>,
}

/// A session that was ended: kept until its token would have ended by itself.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Revoked {
    pub(in crate::store) at: UnixTime,
    pub(in crate::store) expires_at: UnixTime,
}

/// What a transaction changes in the directory, once it is committed. `None` is a credential that is gone.
#[derive(Debug, Default)]
pub(in crate::store) struct Changes {
    pub(in crate::store) users: HashMap<UserName, UserRecord>,
    pub(in crate::store) credentials: HashMap<CredentialName, Option<Arc<CredentialRecord>>>,
    pub(in crate::store) revoked: Vec<(TokenId, Revoked)>,
    /// The change's number, where followers have to hear of it.
    pub(in crate::store) number: Option<u64>,
}

impl Directory {
    /// Reads what is committed.
    pub(in crate::store) fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the number of the newest change.
    pub(in crate::store) fn changes(&self) -> watch::Receiver<u64> {
        self.number.subscribe()
    }

    /// Makes a committed transaction's changes visible, all at once.
    pub(in crate::store) fn apply(&self, changes: Changes) {
        if !changes.users.is_empty() || !changes.credentials.is_empty() || !changes.revoked.is_empty() {
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            tables.users.extend(changes.users);
            tables.revoked.extend(changes.revoked);
            for (name, credential) in changes.credentials {
                tables.replace(name, credential);
            }
        }
        // Last: whoever sees the number finds all that it counts.
        if let Some(number) = changes.number {
            self.number.send_replace(number);
        }
    }

    /// Forgets ended sessions whose tokens have ended by themselves.
    pub(in crate::store) fn forget_ended(&self, now: UnixTime) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.revoked.retain(|_, revoked| revoked.expires_at >= now);
    }

    /// Takes up users that were made just in time; one that is known by now keeps what is known.
    pub(in crate::store) fn add_users(&self, users: Vec<UserRecord>) {
        if users.is_empty() {
            return;
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for user in users {
            tables.users.entry(user.name.clone()).or_insert(user);
        }
    }
}

impl Tables {
    /// The credential with this client id.
    pub(in crate::store) fn of_client(&self, id: &ClientId) -> Option<&Arc<CredentialRecord>> {
        self.clients.get(id)
    }

    /// When the session of this token was ended, if it was.
    pub(in crate::store) fn revoked(&self, token: &TokenId) -> Option<UnixTime> {
        self.revoked.get(token).map(|revoked| revoked.at)
    }

    fn replace(&mut self, name: CredentialName, credential: Option<Arc<CredentialRecord>>) {
        if let Some(old) = self.credentials.remove(&name) {
            self.clients.remove(&old.client_id);
        }
        if let Some(new) = credential {
            self.clients.insert(new.client_id.clone(), Arc::clone(&new));
            self.credentials.insert(name, new);
        }
    }
}
