//! The one task that writes: whatever exchanges are queued are one transaction of two round trips; a change is one of
//! its own. Each is answered once its commit was acknowledged.
//!
//! In: exchanges and changes on a channel. Out: an answer each. Not here: what a batch (`batch`) or a change writes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::batch::{self, Statements};
use super::change::{self, Changing, Edit, EditJob, Running};
use super::link::{DEADLINE, Link, Opener, closed, too_slow};
use super::memory::Memory;
use crate::store::chain::Chain;
use crate::store::{CommitOutcome, ExchangeCommit, StoreFault};

/// Exchanges in one transaction.
const BATCH: usize = 256;
/// Jobs waiting; more callers than this wait for room.
const QUEUE: usize = 4096;
/// How long a database that could not be reached is not tried again.
const BACKOFF: Duration = Duration::from_millis(250);
/// How often a batch is decided again because of changes meanwhile.
const TRIES: u32 = 8;

/// The sending side.
pub(super) struct Writer(mpsc::Sender<Job>);

enum Job {
    Exchange(Box<ExchangeCommit>, oneshot::Sender<Result<CommitOutcome, StoreFault>>),
    Change(Box<dyn Edit>),
}

impl Job {
    /// Whether whoever asked has gone. It waited too long and was told 503; minting for nobody would only use up an
    /// assertion.
    fn is_deserted(&self) -> bool {
        match self {
            Job::Exchange(_, reply) => reply.is_closed(),
            Job::Change(edit) => edit.is_deserted(),
        }
    }
}

impl Writer {
    /// Starts the task; it ends when the writer is dropped. `gate` names this replica's row of `gates`.
    pub(super) fn start(opener: Arc<Opener>, memory: Arc<Memory>, (gate, chain): (String, Chain)) -> Writer {
        let (jobs, queued) = mpsc::channel(QUEUE);
        tokio::spawn(Task { opener, memory, gate, chain, link: None, failed: None }.serve(queued));
        Writer(jobs)
    }

    /// Commits one exchange, with others.
    pub(super) async fn commit(&self, exchange: ExchangeCommit) -> Result<CommitOutcome, StoreFault> {
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Exchange(Box::new(exchange), reply), answer).await
    }

    /// Makes a change: nobody else changes anything, and no exchange is decided, until it is committed.
    pub(super) async fn change<T, W>(&self, work: W) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        W: for<'a> FnMut(&'a Changing<'a>) -> Running<'a, T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Change(Box::new(EditJob::new(work, reply))), answer).await
    }

    async fn ask<T>(&self, job: Job, answer: oneshot::Receiver<Result<T, StoreFault>>) -> Result<T, StoreFault> {
        let done = tokio::time::timeout(DEADLINE, async {
            self.0.send(job).await.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        });
        done.await.unwrap_or_else(|_| Err(too_slow()))
    }
}

struct Task {
    opener: Arc<Opener>,
    memory: Arc<Memory>,
    gate: String,
    chain: Chain,
    link: Option<(Link, Statements)>,
    failed: Option<(Instant, StoreFault)>,
}

impl Task {
    async fn serve(mut self, mut queued: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH);
        while queued.recv_many(&mut jobs, BATCH).await > 0 {
            jobs.retain(|job| !job.is_deserted());
            let (mut exchanges, mut replies, mut edits) = (Vec::new(), Vec::new(), Vec::new());
            for job in jobs.drain(..) {
                match job {
                    Job::Exchange(exchange, reply) => {
                        exchanges.push(*exchange);
                        replies.push(reply);
                    }
                    Job::Change(edit) => edits.push(edit),
                }
            }
            for (reply, outcome) in replies.into_iter().zip(self.outcomes(&exchanges).await) {
                // The caller may have gone; what it asked for is done all the same.
                let _ = reply.send(outcome);
            }
            for mut edit in edits {
                let done = self.edit(&mut *edit).await;
                edit.answer(done);
            }
        }
    }

    async fn outcomes(&mut self, exchanges: &[ExchangeCommit]) -> Vec<Result<CommitOutcome, StoreFault>> {
        if exchanges.is_empty() {
            return Vec::new();
        }
        match self.together(exchanges).await {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(Broken::Constraint(_)) if exchanges.len() > 1 => {
                let mut outcomes = Vec::with_capacity(exchanges.len());
                for exchange in exchanges {
                    let alone = self.together(std::slice::from_ref(exchange)).await;
                    outcomes.push(alone.map_err(StoreFault::from).map(|one| batch::only(&one)));
                }
                outcomes
            }
            Err(broken) => {
                let fault = StoreFault::from(broken);
                tracing::error!(store.jobs = exchanges.len(), "the store could not commit: {}", fault.0);
                exchanges.iter().map(|_| Err(StoreFault(fault.0.clone()))).collect()
            }
        }
    }

    /// All of them or none.
    async fn together(&mut self, exchanges: &[ExchangeCommit]) -> Result<Vec<CommitOutcome>, Broken> {
        self.may_try()?;
        let limited = tokio::time::timeout(DEADLINE, self.attempt(exchanges)).await;
        let done = limited.unwrap_or(Err(Broken::Silent));
        self.learn(&done);
        done
    }

    /// Makes one change.
    async fn edit(&mut self, edit: &mut dyn Edit) -> Result<(), StoreFault> {
        self.may_try()?;
        let limited = tokio::time::timeout(DEADLINE, async {
            self.connect().await?;
            let Some((link, statements)) = &self.link else { return Err(Broken::Link(too_slow())) };
            change::make(link, statements, (&self.memory, &mut self.chain), edit).await.map_err(Broken::from)
        });
        let done = limited.await.unwrap_or(Err(Broken::Silent));
        self.learn(&done);
        done.map_err(StoreFault::from)
    }

    /// A database that was out of reach a moment ago is not asked again by every caller.
    fn may_try(&self) -> Result<(), StoreFault> {
        match &self.failed {
            Some((at, fault)) if at.elapsed() < BACKOFF => Err(StoreFault(fault.0.clone())),
            _ => Ok(()),
        }
    }

    /// A connection on which anything but a constraint failed is given up.
    fn learn<T>(&mut self, done: &Result<T, Broken>) {
        self.failed = None;
        match done {
            Ok(_) => return,
            Err(Broken::Silent) => self.failed = Some((Instant::now(), too_slow())),
            Err(Broken::Link(fault)) if self.link.is_none() => {
                self.failed = Some((Instant::now(), StoreFault(fault.0.clone())));
            }
            Err(_) => {}
        }
        // Of a failed transaction too: dropping the connection is the surest rollback.
        self.link = None;
    }

    async fn connect(&mut self) -> Result<(), Broken> {
        if self.link.as_ref().is_some_and(|(link, _)| !link.client.is_closed()) {
            return Ok(());
        }
        self.link = None;
        let link = self.opener.open(None).await?;
        let statements = Statements::prepare(&link.client, &self.gate).await?;
        self.link = Some((link, statements));
        Ok(())
    }

    async fn attempt(&mut self, exchanges: &[ExchangeCommit]) -> Result<Vec<CommitOutcome>, Broken> {
        self.connect().await?;
        let Some((link, statements)) = &self.link else { return Err(Broken::Link(too_slow())) };
        for _ in 0..TRIES {
            // The number first: memory may be newer than it, never older.
            let number = self.memory.number();
            let decided = batch::decide(&self.memory, exchanges);
            let begun = match batch::begin(&link.client, statements, &decided, &self.chain).await {
                Err(Broken::Again(_)) => {
                    link.client.batch_execute("ROLLBACK").await.map_err(super::fault)?;
                    continue;
                }
                begun => begun?,
            };
            if begun.number != Some(number) {
                link.client.batch_execute("ROLLBACK").await.map_err(super::fault)?;
                if begun.number.is_none() {
                    change::open_gate(&link.client, &self.gate).await?;
                }
                self.memory.refresh(&link.client).await?;
                continue;
            }
            let decided = decided.with_claims(&begun.claimed);
            let mut chain = self.chain.clone();
            chain.resume(begun.head);
            match batch::end(&link.client, statements, (&decided, number), &mut chain).await {
                Err(Broken::Again(_)) => link.client.batch_execute("ROLLBACK").await.map_err(super::fault)?,
                Err(broken) => return Err(broken),
                Ok(()) => {
                    self.chain = chain;
                    self.memory.directory.add_users(decided.users.into_values().cloned().collect());
                    return Ok(decided.outcomes);
                }
            }
        }
        Err(Broken::Link(StoreFault("users and credentials change too fast".to_owned())))
    }
}

/// Why a transaction was not committed.
pub(super) enum Broken {
    /// A row broke a constraint; the others of the batch may be good.
    Constraint(StoreFault),
    /// The database asks for another try (a deadlock, a serialization failure).
    Again(StoreFault),
    /// The connection or the server failed.
    Link(StoreFault),
    /// The database did not answer in time. The caller has been told; what it asks next (the record of its failure) does
    /// not wait as long again.
    Silent,
}

impl Broken {
    /// By SQLSTATE: class 23 is an integrity constraint; 40001 and 40P01 may be tried again.
    pub(super) fn of(error: tokio_postgres::Error) -> Broken {
        let code = error.code().map(|code| code.code().to_owned());
        let fault = super::fault(error);
        match code.as_deref() {
            Some("40001" | "40P01") => Broken::Again(fault),
            Some(code) if code.starts_with("23") => Broken::Constraint(fault),
            _ => Broken::Link(fault),
        }
    }
}

impl From<StoreFault> for Broken {
    fn from(fault: StoreFault) -> Broken {
        Broken::Link(fault)
    }
}

impl From<Broken> for StoreFault {
    fn from(broken: Broken) -> StoreFault {
        match broken {
            Broken::Constraint(fault) | Broken::Again(fault) | Broken::Link(fault) => fault,
            Broken::Silent => too_slow(),
        }
    }
}
