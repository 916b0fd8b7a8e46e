//! The one thread that writes: it takes whatever is queued, runs it in one transaction, syncs once, then answers all.
//!
//! In: jobs on a channel. Out: an answer each, after the commit. One sync serves every job of its group, so the rate of
//! durable exchanges is not bound to the rate of syncs.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};

use super::fault;
use super::group::Group;
use super::mirror::Mirror;
use crate::store::StoreFault;
use crate::store::chain::{CHECKPOINT_EVERY, Chain};
use crate::store::directory::Directory;

/// Jobs in one transaction: enough to share a sync among all waiting requests, few enough to answer within milliseconds.
const GROUP: usize = 512;
/// How long the next group is gathered after a group that had company. A sync costs as much CPU as several exchanges;
/// without the wait a busy server makes many small groups of the jobs that arrive during one sync.
const GATHER: Duration = Duration::from_millis(2);
/// From this size on a group counts as busy; a lone caller, whose groups are of one, never waits.
const BUSY_GROUP: usize = 4;
/// Jobs waiting; more callers than this wait for room.
const QUEUE: usize = 4096;

/// The sending side.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. It holds `lock` until it ends.
    pub(super) fn start(
        connection: Connection,
        (directory, chain): (Arc<Directory>, Chain),
        data: &Path,
        lock: File,
    ) -> Result<Writer, StoreFault> {
        let (jobs, queued) = mpsc::channel(QUEUE);
        let thread = Thread { connection, directory, chain, mirror: Mirror::new(data), _lock: lock };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || thread.serve(queued))
            .map_err(|error| StoreFault(format!("the writer thread cannot start: {error}")))?;
        Ok(Writer { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `work` inside a transaction and gives its result once that is on the disk. `work` may run twice: when
    /// another job of its group broke a constraint, the group is undone and its jobs run one by one.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        W: FnMut(&mut Group<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let stopped = || StoreFault("the writer thread has stopped".to_owned());
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        let job = Box::new(Pending { work, done: None, reply: Some(reply) });
        jobs.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    /// Lets queued jobs finish, so that whoever opens the same data next finds the lock free.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A job whose result's type the thread need not know.
trait Job: Send {
    fn run(&mut self, group: &mut Group<'_>) -> rusqlite::Result<()>;
    fn answer(&mut self, committed: Result<(), &StoreFault>);
}

struct Pending<T, W> {
    work: W,
    done: Option<T>,
    reply: Option<oneshot::Sender<Result<T, StoreFault>>>,
}

impl<T, W> Job for Pending<T, W>
where
    T: Send,
    W: FnMut(&mut Group<'_>) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, group: &mut Group<'_>) -> rusqlite::Result<()> {
        self.done = Some((self.work)(group)?);
        Ok(())
    }

    fn answer(&mut self, committed: Result<(), &StoreFault>) {
        let result = match (committed, self.done.take()) {
            (Ok(()), Some(done)) => Ok(done),
            (Ok(()), None) => Err(StoreFault("the job did not run".to_owned())),
            (Err(fault), _) => Err(StoreFault(fault.0.clone())),
        };
        if let Some(reply) = self.reply.take() {
            // The caller may have gone; what it asked for is done all the same.
            let _ = reply.send(result);
        }
    }
}

struct Thread {
    connection: Connection,
    directory: Arc<Directory>,
    chain: Chain,
    mirror: Mirror,
    _lock: File,
}

impl Thread {
    fn serve(mut self, mut queued: mpsc::Receiver<Box<dyn Job>>) {
        let mut jobs = Vec::with_capacity(GROUP);
        let mut busy = false;
        while queued.blocking_recv_many(&mut jobs, GROUP) > 0 {
            if busy && jobs.len() < GROUP {
                std::thread::sleep(GATHER);
                while jobs.len() < GROUP
                    && let Ok(job) = queued.try_recv()
                {
                    jobs.push(job);
                }
            }
            busy = jobs.len() >= BUSY_GROUP;
            self.commit(&mut jobs);
            jobs.clear();
        }
    }

    fn commit(&mut self, jobs: &mut [Box<dyn Job>]) {
        match self.transact(jobs) {
            Err(error) if jobs.len() > 1 && error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                for job in jobs {
                    self.commit(std::slice::from_mut(job));
                }
            }
            Err(error) => {
                let fault = fault(error);
                tracing::error!(store.jobs = jobs.len(), "the store could not commit: {}", fault.0);
                jobs.iter_mut().for_each(|job| job.answer(Err(&fault)));
            }
            Ok(()) => jobs.iter_mut().for_each(|job| job.answer(Ok(()))),
        }
    }

    /// All of the jobs on the disk and in the directory, or none of them in either.
    fn transact(&mut self, jobs: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        self.roll_back()?; // what an earlier failure could not
        let mut group = Group::new(&self.connection, &self.directory, self.chain.clone());
        let done = run(&mut group, jobs);
        let (changes, chain, audit_lines) = group.into_parts();
        if let Err(error) = done {
            // The first error says more; if this fails as well, the next transaction begins with it.
            let _ = self.roll_back();
            return Err(error);
        }
        self.chain = chain;
        self.directory.apply(changes);
        self.mirror.append(&audit_lines);
        Ok(())
    }

    fn roll_back(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("ROLLBACK") }
    }
}

fn run(group: &mut Group<'_>, jobs: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    group.execute("BEGIN IMMEDIATE", [])?;
    for job in jobs {
        job.run(group)?;
    }
    group.close_chain(CHECKPOINT_EVERY)?;
    group.execute("COMMIT", [])?;
    Ok(())
}
