//! Changes, one at a time for all replicas: each begins by taking the next change number,
//! and then every replica's gate, so that no exchange is being decided meanwhile.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::oneshot;
use tokio_postgres::Client;

use super::batch::{self, Statements};
use super::link::Link;
use super::memory::Memory;
use super::{fault, rows};
use crate::store::chain::Chain;
use crate::store::{AuditRow, StoreFault};

/// The work of a change.
pub(super) type Running<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreFault>> + Send + 'a>>;

/// The transaction of a change.
pub(super) struct Changing<'a> {
    pub(super) client: &'a Client,
    /// Its number.
    pub(super) number: i64,
    statements: &'a Statements,
    chain: tokio::sync::Mutex<Chain>,
}

impl Changing<'_> {
    /// Writes audit records with the change.
    pub(super) async fn audit(&self, rows: &[AuditRow]) -> Result<(), StoreFault> {
        let rows: Vec<_> = rows.iter().collect();
        let mut chain = self.chain.lock().await;
        batch::insert_audit(self.client, self.statements, &rows, &mut chain).await.map_err(fault)
    }
}

impl Changing<'_> {
    /// Signs what the chain has, if any of it is not signed yet.
    pub(super) async fn checkpoint(&self) -> Result<(), StoreFault> {
        let mut chain = self.chain.lock().await;
        batch::insert_checkpoint(self.client, self.statements, &mut chain).await.map_err(fault)
    }
}

/// A change whose result's type the task need not know.
pub(super) trait Edit: Send {
    fn run<'a>(&'a mut self, changing: &'a Changing<'a>) -> Running<'a, ()>;
    fn answer(&mut self, committed: Result<(), StoreFault>);
    fn is_deserted(&self) -> bool;
}

/// A change, and whom to tell.
pub(super) struct EditJob<T, W> {
    work: W,
    done: Option<T>,
    reply: Option<oneshot::Sender<Result<T, StoreFault>>>,
}

impl<T, W> EditJob<T, W> {
    pub(super) fn new(work: W, reply: oneshot::Sender<Result<T, StoreFault>>) -> EditJob<T, W> {
        EditJob { work, done: None, reply: Some(reply) }
    }
}

impl<T, W> Edit for EditJob<T, W>
where
    T: Send,
    W: for<'a> FnMut(&'a Changing<'a>) -> Running<'a, T> + Send,
{
    fn run<'a>(&'a mut self, changing: &'a Changing<'a>) -> Running<'a, ()> {
        Box::pin(async move {
            self.done = Some((self.work)(changing).await?);
            Ok(())
        })
    }

    fn answer(&mut self, committed: Result<(), StoreFault>) {
        let missing = || StoreFault("the change did not run".to_owned());
        let result = committed.and_then(|()| self.done.take().ok_or_else(missing));
        if let Some(reply) = self.reply.take() {
            // The caller may have gone; what it asked for is done all the same.
            let _ = reply.send(result);
        }
    }

    fn is_deserted(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

/// Makes a change, and shows it in memory before it is answered.
pub(super) async fn make(
    link: &Link,
    statements: &Statements,
    (memory, chain): (&Memory, &mut Chain),
    edit: &mut dyn Edit,
) -> Result<(), StoreFault> {
    let client = &link.client;
    let number = begin(client).await?;
    let mut mine = chain.clone();
    mine.resume(batch::head(client, statements, chain).await?);
    let changing = Changing { client, number, statements, chain: tokio::sync::Mutex::new(mine) };
    edit.run(&changing).await?;
    client.batch_execute("COMMIT").await.map_err(fault)?;
    *chain = changing.chain.into_inner();
    memory.refresh(client).await?;
    // Only wakes the other replicas sooner; a cluster without notifications is polled.
    let _ = client.execute("SELECT pg_notify('countersign', $1)", &[&number.to_string()]).await;
    Ok(())
}

/// Begins a transaction, takes the next number and closes all gates.
async fn begin(client: &Client) -> Result<i64, StoreFault> {
    client.batch_execute("BEGIN").await.map_err(fault)?;
    let sql = "UPDATE changes SET number = number + 1 WHERE id = 1 RETURNING number";
    let number = rows::column(&client.query_one(sql, &[]).await.map_err(fault)?, 0)?;
    client.query("SELECT id FROM gates ORDER BY id FOR UPDATE", &[]).await.map_err(fault)?;
    Ok(number)
}

/// Registers this replica's gate. A change of its own: one that ran meanwhile would not have closed the new gate. Gates
/// of replicas that are long gone are removed.
pub(super) async fn open_gate(client: &Client, id: &str) -> Result<(), StoreFault> {
    begin(client).await?;
    let gone = "DELETE FROM gates WHERE seen_at < floor(extract(epoch FROM clock_timestamp())) - 3600";
    client.execute(gone, &[]).await.map_err(fault)?;
    let mine = "INSERT INTO gates (id, seen_at) VALUES ($1, floor(extract(epoch FROM clock_timestamp()))) \
                ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";
    client.execute(mine, &[&id]).await.map_err(fault)?;
    client.batch_execute("COMMIT").await.map_err(fault)
}

/// Shows that a commit reaches the database, and that this replica lives.
pub(super) async fn show_gate(client: &Client, id: &str) -> Result<(), StoreFault> {
    let sql = "UPDATE gates SET seen_at = floor(extract(epoch FROM clock_timestamp())) WHERE id = $1";
    client.execute(sql, &[&id]).await.map(drop).map_err(fault)
}
