//! The two round trips of a batch of exchanges.

use std::collections::{BTreeMap, HashSet};

use futures_util::future::{join, join4, join5};
use tokio_postgres::{Client, Statement};

use super::memory::Memory;
use super::writer::Broken;
use super::{fault, rows};
use crate::store::chain::{CHECKPOINT_EVERY, Chain, Link};
use crate::store::columns::{origin_policy, policies_text};
use crate::store::{AuditRow, CommitOutcome, ExchangeCommit, SessionRecord, StoreFault, UserRecord, UserState};
use crate::vocab::UserName;

/// A batch, and what is to become of each of it.
pub(super) struct Decided<'e> {
    pub(super) exchanges: &'e [ExchangeCommit],
    pub(super) outcomes: Vec<CommitOutcome>,
    /// The users to make, in the order of their names: two replicas that make the same ones do not wait in a circle.
    pub(super) users: BTreeMap<&'e UserName, &'e UserRecord>,
}

impl<'e> Decided<'e> {
    fn committed(&self) -> impl Iterator<Item = &'e ExchangeCommit> + Clone + '_ {
        let all = self.exchanges.iter().zip(&self.outcomes);
        all.filter(|(_, outcome)| **outcome == CommitOutcome::Committed).map(|(exchange, _)| exchange)
    }

    /// What is left once it is known which replay ids were free.
    pub(super) fn with_claims(mut self, claimed: &HashSet<Vec<u8>>) -> Decided<'e> {
        for (exchange, outcome) in self.exchanges.iter().zip(&mut self.outcomes) {
            let taken = exchange.replay.as_ref().is_some_and(|claim| !claimed.contains(claim.id.as_slice()));
            if *outcome == CommitOutcome::Committed && taken {
                *outcome = CommitOutcome::Replayed;
            }
        }
        let made: HashSet<_> =
            self.committed().filter_map(|exchange| Some(&exchange.new_user.as_ref()?.name)).collect();
        self.users.retain(|name, _| made.contains(name));
        self
    }
}

/// The outcome of a batch of one.
pub(super) fn only(outcomes: &[CommitOutcome]) -> CommitOutcome {
    outcomes.first().copied().unwrap_or(CommitOutcome::Replayed)
}

/// Prepared once a connection.
pub(super) struct Statements {
    gate: Statement,
    name: String,
    number: Statement,
    claim: Statement,
    users: Statement,
    sessions: Statement,
    audit: Statement,
    head: Statement,
    end_of_chain: Statement,
}

impl Statements {
    pub(super) async fn prepare(client: &Client, gate: &str) -> Result<Statements, StoreFault> {
        // The database's clock decides whether an earlier claim still holds: replicas' clocks may differ.
        let claim = "INSERT INTO replay (id, keep_until) SELECT c.id, c.keep_until \
                     FROM unnest($1::bytea[], $2::bigint[]) AS c (id, keep_until) ORDER BY c.id \
                     ON CONFLICT (id) DO UPDATE SET keep_until = excluded.keep_until \
                     WHERE replay.keep_until < floor(extract(epoch FROM clock_timestamp())) RETURNING id";
        let users = "INSERT INTO users (name, origin_policy, state, created_at, changed) \
                     SELECT u.name, u.origin, 'enabled', u.made, $4::bigint \
                     FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u (name, origin, made) ORDER BY u.name \
                     ON CONFLICT (name) DO NOTHING";
        let sessions = "INSERT INTO sessions (token, user_name, client_id, issuer, policies, created_at, expires_at) \
                        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], \
                        $6::bigint[], $7::bigint[])";
        let audit = "INSERT INTO audit (stored_at, time, trace_id, outcome, cause, user_name, policy, issuer, json, \
                     chain, sequence, hash) \
                     SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, a.* FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], \
                     $7::text[], $8::text[], $9::text[], $10::bigint[], $11::bytea[]) AS a";
        let end_of_chain = "INSERT INTO audit_chains (id, sequence, hash) VALUES ($1, $2, $3) \
                            ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash";
        let head = "SELECT id, sequence, hash FROM audit_chains WHERE id = $1";
        Ok(Statements {
            gate: client.prepare("SELECT 1 FROM gates WHERE id = $1 FOR UPDATE").await.map_err(fault)?,
            name: gate.to_owned(),
            number: client.prepare("SELECT number FROM changes WHERE id = 1").await.map_err(fault)?,
            claim: client.prepare(claim).await.map_err(fault)?,
            users: client.prepare(users).await.map_err(fault)?,
            sessions: client.prepare(sessions).await.map_err(fault)?,
            audit: client.prepare(audit).await.map_err(fault)?,
            head: client.prepare(head).await.map_err(fault)?,
            end_of_chain: client.prepare(end_of_chain).await.map_err(fault)?,
        })
    }
}

/// What the first round trip found.
pub(super) struct Begun {
    /// The change number, as long as the gate is held; `None`: there is no such gate.
    pub(super) number: Option<i64>,
    /// The replay ids that were free and are claimed now.
    pub(super) claimed: HashSet<Vec<u8>>,
    /// Where this replica's chain ends.
    pub(super) head: Option<Link>,
}

/// The first round trip: this replica's gate is taken, then the change number is read, then replay ids are claimed. The
/// number's statement begins after the gate was taken, so it sees every change that was committed before.
pub(super) async fn begin(
    client: &Client,
    statements: &Statements,
    decided: &Decided<'_>,
    chain: &Chain,
) -> Result<Begun, Broken> {
    // Sorted, so that two replicas with the same ids do not wait for each other in a circle.
    let claims: BTreeMap<&[u8], i64> = decided
        .committed()
        .filter_map(|exchange| exchange.replay.as_ref())
        .map(|claim| (claim.id.as_slice(), claim.keep_until.0))
        .collect();
    let (ids, ends): (Vec<&[u8]>, Vec<i64>) = claims.into_iter().unzip();
    let claim = async {
        match ids.is_empty() {
            true => Ok(Vec::new()),
            false => client.query(&statements.claim, &[&ids, &ends]).await,
        }
    };
    let (begun, gate, number, claimed, head) = join5(
        client.batch_execute("BEGIN"),
        client.query_opt(&statements.gate, &[&statements.name]),
        client.query_one(&statements.number, &[]),
        claim,
        client.query_opt(&statements.head, &[&chain.head().chain]),
    )
    .await;
    begun.map_err(Broken::of)?;
    let gate = gate.map_err(Broken::of)?;
    let number = number.and_then(|row| row.try_get(0)).map_err(Broken::of)?;
    let claimed = claimed.map_err(Broken::of)?.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>();
    let head = head.map_err(Broken::of)?.as_ref().map(rows::link).transpose()?;
    Ok(Begun { number: gate.map(|_| number), claimed: claimed.map_err(Broken::of)?, head })
}

/// Where this replica's chain ends; asked while its gate is held.
pub(super) async fn head(client: &Client, statements: &Statements, chain: &Chain) -> Result<Option<Link>, StoreFault> {
    let found = client.query_opt(&statements.head, &[&chain.head().chain]).await.map_err(fault)?;
    found.as_ref().map(rows::link).transpose()
}

/// The second round trip: everything else, and the commit. Only its acknowledgement makes anything of it true.
pub(super) async fn end(
    client: &Client,
    statements: &Statements,
    (decided, number): (&Decided<'_>, i64),
    chain: &mut Chain,
) -> Result<(), Broken> {
    let sessions: Vec<_> = decided.committed().filter_map(|exchange| exchange.session.as_ref()).collect();
    let audit: Vec<_> = decided.committed().map(|exchange| &exchange.audit).collect();
    let written = join4(
        insert_users(client, statements, decided, number),
        insert_sessions(client, statements, &sessions),
        insert_audit(client, statements, &audit, chain),
        client.batch_execute("COMMIT"),
    );
    let (users, sessions, audit, commit) = written.await;
    // In a failed transaction COMMIT rolls back and says so without an error, so the first failure counts.
    users.and(sessions).and(audit).and(commit).map_err(Broken::of)
}

pub(super) type Written = Result<(), tokio_postgres::Error>;

async fn insert_users(client: &Client, statements: &Statements, decided: &Decided<'_>, number: i64) -> Written {
    if decided.users.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = decided.users.values().map(|user| user.name.as_str()).collect();
    let origins: Vec<Option<&str>> = decided.users.values().map(|user| origin_policy(&user.origin)).collect();
    let made: Vec<i64> = decided.users.values().map(|user| user.created_at.0).collect();
    client.execute(&statements.users, &[&names, &origins, &made, &number]).await.map(drop)
}

async fn insert_sessions(client: &Client, statements: &Statements, rows: &[&SessionRecord]) -> Written {
    if rows.is_empty() {
        return Ok(());
    }
    let tokens: Vec<&str> = rows.iter().map(|row| row.token.as_str()).collect();
    let users: Vec<&str> = rows.iter().map(|row| row.user.as_str()).collect();
    let clients: Vec<&str> = rows.iter().map(|row| row.client_id.as_str()).collect();
    let issuers: Vec<Option<&str>> = rows.iter().map(|row| row.issuer.as_ref().map(|word| word.as_str())).collect();
    let policies: Vec<String> = rows.iter().map(|row| policies_text(&row.policies)).collect();
    let made: Vec<i64> = rows.iter().map(|row| row.created_at.0).collect();
    let ends: Vec<i64> = rows.iter().map(|row| row.expires_at.0).collect();
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&tokens, &users, &clients, &issuers, &policies, &made, &ends];
    client.execute(&statements.sessions, &values).await.map(drop)
}

/// Links the records, with the checkpoint that is due, and writes them and the chain's end.
pub(super) async fn insert_audit(
    client: &Client,
    statements: &Statements,
    rows: &[&AuditRow],
    chain: &mut Chain,
) -> Written {
    if rows.is_empty() {
        return Ok(());
    }
    let mut links: Vec<Link> = rows.iter().map(|row| chain.link(row)).collect();
    let due = due_checkpoint(chain, CHECKPOINT_EVERY, &mut links);
    let rows: Vec<&AuditRow> = rows.iter().copied().chain(due.as_ref()).collect();
    write_audit(client, statements, &rows, &links).await
}

/// A checkpoint alone, where something is not signed yet.
pub(super) async fn insert_checkpoint(client: &Client, statements: &Statements, chain: &mut Chain) -> Written {
    let mut links = Vec::new();
    match due_checkpoint(chain, 1, &mut links) {
        Some(row) => write_audit(client, statements, &[&row], &links).await,
        None => Ok(()),
    }
}

fn due_checkpoint(chain: &mut Chain, records: u64, links: &mut Vec<Link>) -> Option<AuditRow> {
    let due = chain.checkpoint_after(records).unwrap_or_else(|fault| {
        // The records are chained all the same; the next batch tries again.
        tracing::error!("the audit trail's checkpoint cannot be signed: {fault}");
        None
    })?;
    links.push(chain.link(&due));
    chain.settled();
    Some(due)
}

async fn write_audit(client: &Client, statements: &Statements, rows: &[&AuditRow], links: &[Link]) -> Written {
    let Some(last) = links.last() else { return Ok(()) };
    let times: Vec<i64> = rows.iter().map(|row| row.time.0).collect();
    let traces: Vec<&str> = rows.iter().map(|row| row.trace_id.as_str()).collect();
    let outcomes: Vec<&str> = rows.iter().map(|row| row.outcome).collect();
    let causes: Vec<Option<&str>> = rows.iter().map(|row| row.cause).collect();
    let users: Vec<Option<&str>> = rows.iter().map(|row| row.user.as_ref().map(|word| word.as_str())).collect();
    let policies: Vec<Option<&str>> = rows.iter().map(|row| row.policy.as_ref().map(|word| word.as_str())).collect();
    let issuers: Vec<Option<&str>> =
        rows.iter().map(|row| row.issuer_name.as_ref().map(|word| word.as_str())).collect();
    let texts: Vec<&str> = rows.iter().map(|row| row.json.as_str()).collect();
    let chains: Vec<&str> = links.iter().map(|link| link.chain.as_str()).collect();
    let places: Vec<i64> = links.iter().map(|link| rows::whole(link.sequence)).collect();
    let hashes: Vec<&[u8]> = links.iter().map(|link| link.hash.as_slice()).collect();
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 11] =
        [&times, &traces, &outcomes, &causes, &users, &policies, &issuers, &texts, &chains, &places, &hashes];
    let (place, hash) = (rows::whole(last.sequence), last.hash.as_slice());
    let end: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&last.chain, &place, &hash];
    let written =
        join(client.execute(&statements.audit, &values), client.execute(&statements.end_of_chain, &end)).await;
    written.0.and(written.1).map(drop)
}

/// What memory says of each; of several with one replay id only the first one that memory admits may claim it.
pub(super) fn decide<'e>(memory: &Memory, exchanges: &'e [ExchangeCommit]) -> Decided<'e> {
    let tables = memory.directory.read();
    let (mut users, mut claims) = (BTreeMap::new(), HashSet::new());
    let outcomes = exchanges.iter().map(|exchange| {
        let offered = exchange.new_user.as_ref();
        let name = exchange.session.as_ref().map(|session| &session.user).or(offered.map(|user| &user.name));
        let known = name.and_then(|name| tables.users.get(name));
        let made = match (name, known) {
            (Some(_), Some(user)) if user.state != UserState::Enabled => {
                return CommitOutcome::UserUnavailable;
            }
            (Some(name), None) => match offered.filter(|user| user.name == *name) {
                None => return CommitOutcome::UserUnavailable,
                made => made,
            },
            _ => None,
        };
        let accepted = exchange.secret.as_ref().is_none_or(|used| {
            tables.credentials.get(&used.credential).is_some_and(|kept| kept.still_accepts(used, exchange.now))
        });
        if !accepted {
            return CommitOutcome::SecretUnavailable;
        }
        if exchange.replay.as_ref().is_some_and(|claim| !claims.insert(claim.id)) {
            return CommitOutcome::Replayed;
        }
        if let Some(made) = made {
            users.entry(&made.name).or_insert(made);
        }
        CommitOutcome::Committed
    });
    let outcomes = outcomes.collect();
    Decided { exchanges, outcomes, users }
}
