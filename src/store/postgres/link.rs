//! Connections: opened within a second, every statement limited in time, closed as soon as one fails.
//!
//! In: settings. Out: connections that answer soon or fail soon.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client};

use super::fault;
use super::tls::Tls;
use crate::config::PostgresSettings;
use crate::store::StoreFault;

/// One operation, its connection included. A caller is told within two seconds that the database does not answer.
pub(super) const DEADLINE: Duration = Duration::from_millis(1400);
/// The server gives up earlier, so that it holds no lock for a caller that has gone; a replica that hangs inside a
/// transaction lets go of its locks after a second. Whoever set a safer `synchronous_commit` than `on` keeps it.
const SESSION: &str = "SET statement_timeout = 1200; SET lock_timeout = 1100; \
                       SET idle_in_transaction_session_timeout = 1000; \
                       SET default_transaction_isolation = 'read committed'";
/// Queries at once; more wait for one to end.
const POOL: usize = 8;

/// An open connection; dropping it closes it.
pub(super) struct Link {
    pub(super) client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Opens connections, all alike.
pub(super) struct Opener {
    config: tokio_postgres::Config,
    tls: Tls,
}

impl Opener {
    pub(super) fn new(settings: &PostgresSettings) -> Result<Opener, StoreFault> {
        let mut config = settings.connection.clone();
        if let Some(file) = &settings.password_file {
            let text = std::fs::read_to_string(file)
                .map_err(|error| StoreFault(format!("{} cannot be read: {error}", file.display())))?;
            config.password(text.trim_end_matches(['\r', '\n']));
        }
        config.connect_timeout(Duration::from_secs(1)).keepalives_idle(Duration::from_secs(5));
        config.tcp_user_timeout(Duration::from_secs(2)).application_name("countersign");
        // Of several hosts the one that takes writes, so that a failover needs no new configuration.
        config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        Ok(Opener { config, tls: Tls::new(settings.ca_file.as_deref())? })
    }

    /// A new connection. `heard` is woken by every notification of the server.
    pub(super) async fn open(&self, heard: Option<Arc<Notify>>) -> Result<Link, StoreFault> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await.map_err(fault)?;
        let driver = tokio::spawn(async move {
            while let Some(message) = std::future::poll_fn(|context| connection.poll_message(context)).await {
                match (message, &heard) {
                    (Ok(AsyncMessage::Notification(_)), Some(heard)) => heard.notify_one(),
                    (Ok(_), _) => {}
                    (Err(_), _) => return, // the statement that waits gets it as its error
                }
            }
        });
        let link = Link { client, driver };
        link.client.batch_execute(SESSION).await.map_err(fault)?;
        link.commit_durably().await?;
        Ok(link)
    }
}

impl Link {
    async fn commit_durably(&self) -> Result<(), StoreFault> {
        let row = self.client.query_one("SHOW synchronous_commit", &[]).await.map_err(fault)?;
        let setting: &str = row.try_get(0).map_err(fault)?;
        if matches!(setting, "off" | "local") {
            self.client.batch_execute("SET synchronous_commit = on").await.map_err(fault)?;
        }
        Ok(())
    }
}

/// A few connections for everything but exchanges and changes.
pub(super) struct Pool {
    opener: Arc<Opener>,
    idle: Mutex<Vec<Link>>,
    room: Semaphore,
}

impl Pool {
    pub(super) fn new(opener: Arc<Opener>) -> Pool {
        Pool { opener, idle: Mutex::default(), room: Semaphore::new(POOL) }
    }

    /// Runs a query; a connection on which one failed or was too slow is not used again.
    pub(super) async fn run<T, F>(&self, work: impl FnOnce(Arc<Link>) -> F) -> Result<T, StoreFault>
    where
        F: Future<Output = Result<T, StoreFault>>,
    {
        let limited = tokio::time::timeout(DEADLINE, async {
            let _room = self.room.acquire().await.map_err(|_| closed())?;
            let link = Arc::new(self.link().await?);
            let answer = work(Arc::clone(&link)).await?;
            if let Some(link) = Arc::into_inner(link) {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(link);
            }
            Ok(answer)
        });
        limited.await.unwrap_or_else(|_| Err(too_slow()))
    }

    async fn link(&self) -> Result<Link, StoreFault> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(link) if link.client.is_closed() => {}
                Some(link) => return Ok(link),
                None => return self.opener.open(None).await,
            }
        }
    }
}

/// The database did not answer in time.
pub(super) fn too_slow() -> StoreFault {
    StoreFault("PostgreSQL did not answer in time".to_owned())
}

/// The store is being dropped.
pub(super) fn closed() -> StoreFault {
    StoreFault("the store is closed".to_owned())
}
