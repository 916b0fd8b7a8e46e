//! Users, credentials and ended sessions in memory, and the change number that they are complete up to.
//!
//! In: rows changed since that number. Out: the directory. Users that other replicas made just in time may be missing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;

use super::{fault, rows};
use crate::store::StoreFault;
use crate::store::directory::{Changes, Directory, Revoked};
use crate::vocab::UnixTime;

/// A replica that has not heard of changes for this long says so.
const FRESH: Duration = Duration::from_secs(10);

/// The directory and its number.
pub(super) struct Memory {
    pub(super) directory: Directory,
    applying: Mutex<()>,
    heard: Mutex<Instant>,
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory { directory: Directory::default(), applying: Mutex::default(), heard: Mutex::new(Instant::now()) }
    }

    /// The change number that the directory is complete up to.
    pub(super) fn number(&self) -> i64 {
        i64::try_from(*self.directory.changes().borrow()).unwrap_or(i64::MAX)
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < FRESH
    }

    /// Takes up what was committed since. A change holds the number's row until it is committed, and the number is read
    /// before the rows: whatever it counts is among them.
    pub(super) async fn refresh(&self, client: &Client) -> Result<(), StoreFault> {
        let asked = Instant::now();
        let mine = self.number();
        let row = client.query_one("SELECT number FROM changes WHERE id = 1", &[]).await.map_err(fault)?;
        let number: i64 = rows::column(&row, 0)?;
        if number > mine {
            let changes = Changes { number: u64::try_from(number).ok(), ..since(client, mine).await? };
            self.apply(changes, number);
        }
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        *heard = asked.max(*heard);
        Ok(())
    }

    /// An older answer that comes late does not undo a newer one.
    fn apply(&self, changes: Changes, number: i64) {
        let _one = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        if number > self.number() {
            self.directory.apply(changes);
        }
    }
}

async fn since(client: &Client, number: i64) -> Result<Changes, StoreFault> {
    let mut changes = Changes::default();
    let users = format!("SELECT {} FROM users WHERE changed > $1", rows::USER);
    for row in client.query(&users, &[&number]).await.map_err(fault)? {
        let user = rows::user(&row)?;
        changes.users.insert(user.name.clone(), user);
    }
    let credentials = format!("SELECT {}, removed FROM credentials WHERE changed > $1", rows::CREDENTIAL);
    for row in client.query(&credentials, &[&number]).await.map_err(fault)? {
        let credential = rows::credential(&row)?;
        let removed: bool = rows::column(&row, 11)?;
        changes.credentials.insert(credential.name.clone(), (!removed).then(|| Arc::new(credential)));
    }
    let revoked = "SELECT token, revoked_at, expires_at FROM sessions WHERE revoked_in > $1";
    for row in client.query(revoked, &[&number]).await.map_err(fault)? {
        let (at, expires_at) = (UnixTime(rows::column(&row, 1)?), UnixTime(rows::column(&row, 2)?));
        changes.revoked.push((rows::word(&row, 0)?, Revoked { at, expires_at }));
    }
    Ok(changes)
}
