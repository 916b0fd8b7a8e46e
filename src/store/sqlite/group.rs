//! The changes a transaction can make. Each checks before it writes, so a refused one leaves nothing behind and does
//! not disturb the others of its group.

use std::sync::Arc;

use rusqlite::{Connection, Params, params};

use super::rows;
use crate::store::directory::{Changes, Directory};
use crate::store::{
    AuditRow, ChangeRefusal, CommitOutcome, CredentialRecord, ExchangeCommit, KeySetRecord, ReplayClaim, SessionRecord,
    UsedSecret, UserRecord, UserState,
};
use crate::vocab::{CredentialName, TokenId, UnixTime, UserName};

/// A change's result inside the transaction: an error undoes the group, a refusal only means that nothing was written.
type Change = rusqlite::Result<Result<(), ChangeRefusal>>;

/// A running transaction: the committed directory and, before it, what this transaction has changed.
pub(super) struct Group<'a> {
    connection: &'a Connection,
    directory: &'a Directory,
    changes: Changes,
    audit_lines: String,
}

impl<'a> Group<'a> {
    pub(super) fn new(connection: &'a Connection, directory: &'a Directory) -> Group<'a> {
        Group { connection, directory, changes: Changes::default(), audit_lines: String::new() }
    }

    /// What to show once the transaction is committed: changed records, and the lines of the audit mirror.
    pub(super) fn into_parts(self) -> (Changes, String) {
        (self.changes, self.audit_lines)
    }

    /// Runs a statement that is prepared once.
    pub(super) fn execute(&self, sql: &str, parameters: impl Params) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(sql)?.execute(parameters)
    }

    /// Begins a change: its number, which followers hear of once the transaction is committed.
    pub(super) fn next_change(&mut self) -> rusqlite::Result<u64> {
        let sql = "UPDATE changes SET number = number + 1 RETURNING number";
        let number = self.connection.prepare_cached(sql)?.query_row([], |row| rows::number(row, 0))?;
        self.changes.number = Some(number);
        Ok(number)
    }

    fn user(&self, name: &UserName) -> Option<UserRecord> {
        self.changes.users.get(name).cloned().or_else(|| self.directory.read().users.get(name).cloned())
    }

    fn user_state(&self, name: &UserName) -> Option<UserState> {
        let changed = self.changes.users.get(name).map(|user| user.state);
        changed.or_else(|| self.directory.read().users.get(name).map(|user| user.state))
    }

    fn credential(&self, name: &CredentialName) -> Option<Arc<CredentialRecord>> {
        match self.changes.credentials.get(name) {
            Some(changed) => changed.clone(),
            None => self.directory.read().credentials.get(name).cloned(),
        }
    }

    pub(super) fn create_user(&mut self, user: &UserRecord) -> Change {
        if self.user_state(&user.name).is_some_and(|state| state != UserState::Deleted) {
            return Ok(Err(ChangeRefusal::Exists(format!("user {}", user.name))));
        }
        self.put_user(user.clone()).map(Ok)
    }

    fn put_user(&mut self, user: UserRecord) -> rusqlite::Result<()> {
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
        self.changes.users.insert(user.name.clone(), user);
        Ok(())
    }

    pub(super) fn set_user_state(&mut self, name: &UserName, state: UserState) -> Change {
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

    fn credentials_of(&self, user: &UserName) -> Vec<CredentialName> {
        let changed = self.changes.credentials.values().flatten().map(|credential| credential.name.clone());
        let mut names: Vec<_> = changed.collect();
        names.extend(self.directory.read().credentials.keys().cloned());
        names.sort();
        names.dedup();
        names.retain(|name| self.credential(name).is_some_and(|credential| credential.user == *user));
        names
    }

    pub(super) fn create_credential(&mut self, new: &CredentialRecord) -> Change {
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

    pub(super) fn update_credential(&mut self, new: &CredentialRecord) -> Change {
        let Some(old) = self.credential(&new.name).filter(|old| old.client_id == new.client_id) else {
            return Ok(Err(ChangeRefusal::Missing(format!("credential {}", new.name))));
        };
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
        self.changes.credentials.insert(credential.name.clone(), Some(Arc::new(credential)));
        Ok(())
    }

    pub(super) fn delete_credential(&mut self, name: &CredentialName) -> Change {
        if self.credential(name).is_none() {
            return Ok(Err(ChangeRefusal::Missing(format!("credential {name}"))));
        }
        self.remove_credential(name.clone()).map(Ok)
    }

    fn remove_credential(&mut self, name: CredentialName) -> rusqlite::Result<()> {
        self.execute("DELETE FROM credentials WHERE name = ?1", [name.as_str()])?;
        self.changes.credentials.insert(name, None);
        Ok(())
    }

    pub(super) fn shared_secret(&mut self, name: &str, fresh: &[u8; 32]) -> rusqlite::Result<[u8; 32]> {
        self.execute(
            "INSERT INTO shared_secrets (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![name, fresh.as_slice()],
        )?;
        self.connection
            .prepare_cached("SELECT value FROM shared_secrets WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
    }

    /// The whole of an exchange's end. The replay claim is the first write, because it is the only one that can refuse.
    pub(super) fn commit(&mut self, exchange: &ExchangeCommit) -> rusqlite::Result<CommitOutcome> {
        let new_user = match self.user_to_make(exchange) {
            Ok(new_user) => new_user,
            Err(refused) => return Ok(refused),
        };
        if exchange.secret.as_ref().is_some_and(|secret| !self.accepts(secret, exchange.now)) {
            return Ok(CommitOutcome::SecretUnavailable);
        }
        if let Some(claim) = &exchange.replay
            && !self.claim(claim, exchange.now)?
        {
            return Ok(CommitOutcome::Replayed);
        }
        if let Some(user) = new_user {
            self.put_user(user.clone())?;
        }
        if let Some(session) = &exchange.session {
            self.insert_session(session)?;
        }
        self.insert_audit(&exchange.audit)?;
        Ok(CommitOutcome::Committed)
    }

    /// Whether the exchange's user may sign in, and whether it has to be made first. A deleted user is not revived.
    fn user_to_make<'e>(&self, exchange: &'e ExchangeCommit) -> Result<Option<&'e UserRecord>, CommitOutcome> {
        let offered = exchange.new_user.as_ref();
        let Some(name) = exchange.session.as_ref().map(|session| &session.user).or(offered.map(|user| &user.name))
        else {
            return Ok(None);
        };
        match self.user_state(name) {
            Some(UserState::Enabled) => Ok(None),
            Some(_) => Err(CommitOutcome::UserUnavailable),
            None => offered.filter(|user| user.name == *name).map(Some).ok_or(CommitOutcome::UserUnavailable),
        }
    }

    fn accepts(&self, secret: &UsedSecret, now: UnixTime) -> bool {
        self.credential(&secret.credential).is_some_and(|credential| credential.still_accepts(secret, now))
    }

    fn claim(&self, claim: &ReplayClaim, now: UnixTime) -> rusqlite::Result<bool> {
        let claimed = self.execute(
            "INSERT INTO replay (id, keep_until) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE \
             SET keep_until = excluded.keep_until WHERE replay.keep_until < ?3",
            params![claim.id.as_slice(), claim.keep_until.0, now.0],
        )?;
        Ok(claimed == 1)
    }

    fn insert_session(&self, session: &SessionRecord) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO sessions (token, user, client_id, issuer, policies, created_at, expires_at, revoked_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                session.token.as_str(),
                session.user.as_str(),
                session.client_id.as_str(),
                session.issuer.as_ref().map(|issuer| issuer.as_str()),
                rows::policies_text(&session.policies),
                session.created_at.0,
                session.expires_at.0,
                session.revoked_at.map(|time| time.0)
            ],
        )?;
        Ok(())
    }

    pub(super) fn insert_audit(&mut self, row: &AuditRow) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO audit (time, trace_id, outcome, cause, user, policy, issuer, json) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                row.time.0,
                row.trace_id.as_str(),
                row.outcome,
                row.cause,
                row.user.as_ref().map(|user| user.as_str()),
                row.policy.as_ref().map(|policy| policy.as_str()),
                row.issuer_name.as_ref().map(|issuer| issuer.as_str()),
                row.json
            ],
        )?;
        self.audit_lines.push_str(&row.json);
        self.audit_lines.push('\n');
        Ok(())
    }

    pub(super) fn keep_key_set(&mut self, set: &KeySetRecord) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO key_sets (issuer, source, body, fetched_at, max_age) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (issuer) DO UPDATE SET source = excluded.source, body = excluded.body, \
             fetched_at = excluded.fetched_at, max_age = excluded.max_age",
            params![
                set.issuer.as_str(),
                set.source,
                set.body,
                set.fetched_at.0,
                set.max_age.map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX))
            ],
        )?;
        Ok(())
    }

    pub(super) fn revoke_session(&mut self, token: &TokenId, at: UnixTime) -> rusqlite::Result<bool> {
        let found = self.execute(
            "UPDATE sessions SET revoked_at = coalesce(revoked_at, ?2) WHERE token = ?1",
            params![token.as_str(), at.0],
        )?;
        Ok(found == 1)
    }

    /// Deletes these rows, if they have still ended: a claim may have been renewed since it was found.
    pub(super) fn remove_ended(
        &mut self,
        replay_ids: &[[u8; 32]],
        tokens: &[String],
        now: UnixTime,
    ) -> rusqlite::Result<u64> {
        let mut removed = 0;
        for id in replay_ids {
            let sql = "DELETE FROM replay WHERE id = ?1 AND keep_until < ?2";
            removed += self.execute(sql, params![id.as_slice(), now.0])?;
        }
        for token in tokens {
            let sql = "DELETE FROM sessions WHERE token = ?1 AND expires_at < ?2";
            removed += self.execute(sql, params![token, now.0])?;
        }
        Ok(u64::try_from(removed).unwrap_or(u64::MAX))
    }

    pub(super) fn touch(&mut self) -> rusqlite::Result<()> {
        self.execute("UPDATE health SET checks = checks + 1", []).map(drop)
    }

    /// The connection.
    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }
}
