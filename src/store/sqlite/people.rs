//! Changes of users and credentials, and the sessions that they end. Each checks before it writes, so a refused one leaves
//! nothing behind and does not disturb the others of its group.

use std::sync::Arc;

use rusqlite::params;

use super::group::Group;
use super::rows;
use crate::store::change::ended_by;
use crate::store::directory::Revoked;
use crate::store::{Change, ChangeRefusal, CredentialRecord, Made, SessionsOf, UserRecord, UserState};
use crate::vocab::{CredentialName, TokenId, UnixTime, UserName};

/// A change's result inside the transaction: an error undoes the group, a refusal only means that nothing was written.
type Written<T = ()> = rusqlite::Result<Result<T, ChangeRefusal>>;

impl Group<'_> {
    /// Makes a change and its record; gives how many sessions it ended.
    pub(super) fn change(&mut self, change: &Change, made: &Made) -> Written<u64> {
        let written = match change {
            Change::CreateUser(user) => self.create_user(user),
            Change::UserState(name, state) => self.set_user_state(name, *state),
            Change::CreateCredential(credential) => self.create_credential(credential),
            Change::UpdateCredential { from, to } => self.update_credential(from.as_deref(), to),
            Change::DeleteCredential(name) => {
                let ends =
                    self.credential(name).map(|old| SessionsOf::Credential(old.user.clone(), old.client_id.clone()));
                return match self.delete_credential(name)? {
                    Ok(()) => self.finish(ends.as_ref(), made),
                    Err(refusal) => Ok(Err(refusal)),
                };
            }
            Change::EndSessions(_) => Ok(Ok(())),
        };
        match written? {
            Ok(()) => self.finish(ended_by(change).as_ref(), made),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    fn finish(&mut self, ends: Option<&SessionsOf>, made: &Made) -> Written<u64> {
        let number = self.next_change()?;
        let ended = match ends {
            Some(which) => which.check(self.end_sessions(which, made.at, number)?),
            None => Ok(0),
        };
        if ended.is_err() {
            return Ok(ended);
        }
        if let Some(row) = &made.audit {
            self.insert_audit(row)?;
        }
        Ok(ended)
    }

    fn end_sessions(&mut self, which: &SessionsOf, at: UnixTime, number: u64) -> rusqlite::Result<u64> {
        const POLICY: &str = "instr(' ' || policies || ' ', ' ' || ?3 || ' ') > 0";
        let one = |condition: &'static str, value: &str| vec![(condition, value.to_owned(), None)];
        let conditions: Vec<(&str, String, Option<String>)> = match which {
            SessionsOf::Token(token) => one("token = ?3", token.as_str()),
            SessionsOf::User(user) => one("user = ?3", user.as_str()),
            SessionsOf::Credential(user, client) => {
                vec![("user = ?3 AND client_id = ?4", user.to_string(), Some(client.to_string()))]
            }
            SessionsOf::Policies(names) => names.iter().map(|name| (POLICY, name.to_string(), None)).collect(),
            SessionsOf::Issuers(names) => names.iter().map(|name| ("issuer = ?3", name.to_string(), None)).collect(),
        };
        let mut ended = 0;
        for (condition, value, second) in conditions {
            // Every condition is one of ours, no value is part of it. ?4 is bound in all of them.
            let sql = format!(
                "UPDATE sessions SET revoked_at = ?1, revoked_in = ?2 WHERE revoked_at IS NULL AND {condition} \
                 AND (?4 IS NULL OR client_id = ?4) RETURNING token, expires_at"
            );
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            let found: Vec<(TokenId, UnixTime)> = {
                let mut statement = self.connection().prepare_cached(&sql)?;
                let rows = statement.query_map(params![at.0, number, value, second], rows::token_and_end)?;
                rows.collect::<Result<_, _>>()?
            };
            ended += found.len();
            let revoked = found.into_iter().map(|(token, expires_at)| (token, Revoked { at, expires_at }));
            self.changes().revoked.extend(revoked);
        }
        Ok(u64::try_from(ended).unwrap_or(u64::MAX))
    }

    fn create_user(&mut self, user: &UserRecord) -> Written {
        if self.user_state(&user.name).is_some_and(|state| state != UserState::Deleted) {
            return Ok(Err(ChangeRefusal::Exists(format!("user {}", user.name))));
        }
        self.put_user(user.clone()).map(Ok)
    }

    pub(super) fn put_user(&mut self, user: UserRecord) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO users (name, origin_policy, state, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO \
             UPDATE SET origin_policy = excluded.origin_policy, state = excluded.state, created_at = excluded.created_at",
            params![
                user.name.as_str(),
                rows::origin_policy(&user.origin),
                rows::state_name(user.state),
                user.created_at.0
            ],
        )?;
        self.changes().users.insert(user.name.clone(), user);
        Ok(())
    }

    fn set_user_state(&mut self, name: &UserName, state: UserState) -> Written {
        let Some(user) = self.user(name).filter(|user| user.state != UserState::Deleted) else {
            return Ok(Err(ChangeRefusal::Missing(format!("user {name}"))));
        };
        if state == UserState::Deleted {
            for credential in self.credentials_of(name) {
                self.remove_credential(credential)?;
            }
        }
        self.put_user(UserRecord { state, ..user }).map(Ok)
    }

    fn create_credential(&mut self, new: &CredentialRecord) -> Written {
        if self.credential(&new.name).is_some() {
            return Ok(Err(ChangeRefusal::Exists(format!("credential {}", new.name))));
        }
        if self.user_state(&new.user).is_none_or(|state| state == UserState::Deleted) {
            return Ok(Err(ChangeRefusal::Missing(format!("user {}", new.user))));
        }
        self.execute(
            "INSERT INTO credentials (name, client_id, user, kind, scopes, created_at, expires_at, disabled) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                new.name.as_str(),
                new.client_id.as_str(),
                new.user.as_str(),
                rows::kind_name(new.kind),
                new.scopes.to_wire(),
                new.created_at.0,
                new.expires_at.map(|time| time.0),
                new.disabled
            ],
        )?;
        self.put_secrets(new.clone()).map(Ok)
    }

    fn update_credential(&mut self, from: Option<&CredentialRecord>, new: &CredentialRecord) -> Written {
        let Some(old) = self.credential(&new.name).filter(|old| old.client_id == new.client_id) else {
            return Ok(Err(ChangeRefusal::Missing(format!("credential {}", new.name))));
        };
        if from.is_some_and(|from| *from != *old) {
            return Ok(Err(ChangeRefusal::Outrun(format!("credential {}", new.name))));
        }
        self.execute(
            "UPDATE credentials SET scopes = ?2, expires_at = ?3, disabled = ?4 WHERE name = ?1",
            params![new.name.as_str(), new.scopes.to_wire(), new.expires_at.map(|time| time.0), new.disabled],
        )?;
        self.execute("DELETE FROM credential_secrets WHERE credential = ?1", [new.name.as_str()])?;
        let kept =
            CredentialRecord { user: old.user.clone(), kind: old.kind, created_at: old.created_at, ..new.clone() };
        self.put_secrets(kept).map(Ok)
    }

    fn put_secrets(&mut self, credential: CredentialRecord) -> rusqlite::Result<()> {
        for secret in &credential.secrets {
            self.execute(
                "INSERT INTO credential_secrets (credential, hash, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)",
                params![
                    credential.name.as_str(),
                    secret.hash.as_slice(),
                    secret.created_at.0,
                    secret.expires_at.map(|time| time.0)
                ],
            )?;
        }
        self.changes().credentials.insert(credential.name.clone(), Some(Arc::new(credential)));
        Ok(())
    }

    fn delete_credential(&mut self, name: &CredentialName) -> Written {
        if self.credential(name).is_none() {
            return Ok(Err(ChangeRefusal::Missing(format!("credential {name}"))));
        }
        self.remove_credential(name.clone()).map(Ok)
    }

    fn remove_credential(&mut self, name: CredentialName) -> rusqlite::Result<()> {
        self.execute("DELETE FROM credentials WHERE name = ?1", [name.as_str()])?;
        self.changes().credentials.insert(name, None);
        Ok(())
    }
}
