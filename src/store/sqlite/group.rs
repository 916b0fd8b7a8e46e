//! A running transaction, and the exchanges in it. Each checks before it writes, so a refused one leaves nothing behind
//! and does not disturb the others of its group.

use std::sync::Arc;

use rusqlite::{Connection, Params, params};

use super::rows;
use crate::store::chain::Chain;
use crate::store::directory::{Changes, Directory};
use crate::store::{
    AuditRow, CommitOutcome, CredentialRecord, ExchangeCommit, KeySetRecord, ReplayClaim, SessionRecord, UsedSecret,
    UserRecord, UserState,
};
use crate::vocab::{CredentialName, UnixTime, UserName};

/// A running transaction: the committed directory and, before it, what this transaction has changed.
pub(super) struct Group<'a> {
    connection: &'a Connection,
    directory: &'a Directory,
    changes: Changes,
    chain: Chain,
    audit_lines: String,
}

impl<'a> Group<'a> {
    pub(super) fn new(connection: &'a Connection, directory: &'a Directory, chain: Chain) -> Group<'a> {
        Group { connection, directory, changes: Changes::default(), chain, audit_lines: String::new() }
    }

    /// What to show once the transaction is committed: changed records, and the lines of the audit mirror.
    pub(super) fn into_parts(self) -> (Changes, Chain, String) {
        (self.changes, self.chain, self.audit_lines)
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

    pub(super) fn user(&self, name: &UserName) -> Option<UserRecord> {
        self.changes.users.get(name).cloned().or_else(|| self.directory.read().users.get(name).cloned())
    }

    pub(super) fn user_state(&self, name: &UserName) -> Option<UserState> {
        let changed = self.changes.users.get(name).map(|user| user.state);
        changed.or_else(|| self.directory.read().users.get(name).map(|user| user.state))
    }

    pub(super) fn credential(&self, name: &CredentialName) -> Option<Arc<CredentialRecord>> {
        match self.changes.credentials.get(name) {
            Some(changed) => changed.clone(),
            None => self.directory.read().credentials.get(name).cloned(),
        }
    }

    pub(super) fn credentials_of(&self, user: &UserName) -> Vec<CredentialName> {
        let changed = self.changes.credentials.values().flatten().map(|credential| credential.name.clone());
        let mut names: Vec<_> = changed.collect();
        names.extend(self.directory.read().credentials.keys().cloned());
        names.sort();
        names.dedup();
        names.retain(|name| self.credential(name).is_some_and(|credential| credential.user == *user));
        names
    }

    /// What to show once the transaction is committed.
    pub(super) fn changes(&mut self) -> &mut Changes {
        &mut self.changes
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
        let link = self.chain.link(row);
        self.execute(
            "INSERT INTO audit (time, trace_id, outcome, cause, user, policy, issuer, json, chain, sequence, hash) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                row.time.0,
                row.trace_id.as_str(),
                row.outcome,
                row.cause,
                row.user.as_ref().map(|user| user.as_str()),
                row.policy.as_ref().map(|policy| policy.as_str()),
                row.issuer_name.as_ref().map(|issuer| issuer.as_str()),
                row.json,
                link.chain,
                rows::whole(link.sequence),
                link.hash.as_slice()
            ],
        )?;
        self.audit_lines.push_str(&link.exported(&row.json));
        self.audit_lines.push('\n');
        Ok(())
    }

    /// Writes the checkpoint that is due after so many records, and where the chain ends now.
    pub(super) fn close_chain(&mut self, records: u64) -> rusqlite::Result<()> {
        let due = self.chain.checkpoint_after(records);
        match due {
            Ok(Some(row)) => {
                self.insert_audit(&row)?;
                self.chain.settled();
            }
            Ok(None) => {}
            // The records are chained all the same; the next batch tries again.
            Err(fault) => tracing::error!("the audit trail's checkpoint cannot be signed: {fault}"),
        }
        if self.audit_lines.is_empty() {
            return Ok(());
        }
        let head = self.chain.head();
        self.execute(
            "INSERT INTO audit_chains (id, sequence, hash) VALUES (?1, ?2, ?3) \
             ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash",
            params![head.chain, rows::whole(head.sequence), head.hash.as_slice()],
        )?;
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
