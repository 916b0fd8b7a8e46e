//! `countersign serve`: runs the broker until SIGTERM or Ctrl-C; SIGHUP reloads.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::{Failed, Global};
use crate::admin;
use crate::audit::Trigger;
use crate::broker::{self, Broker, Origin};
use crate::clock::Clock;
use crate::http;
use crate::mint;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Serves until a signal ends it.
///
/// # Errors
/// A faulty file, a busy address or a failing store, with the next step.
pub async fn run(global: &Global, _arguments: Arguments) -> Result<(), Failed> {
    let origin = Origin { file: global.config.clone(), environment: super::environment() };
    // Before anything else: a SIGHUP during the start must not kill the server.
    let signals = Signals::listen().map_err(|error| Failed(format!("cannot listen for signals: {error}")))?;
    let running = Running::start(origin).await?;
    running.until_stopped(signals).await
}

/// The signals that a server acts on.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// A broker with its listeners.
pub struct Running {
    /// The broker.
    pub broker: Arc<Broker>,
    /// The public listener.
    pub public: http::Listening,
    admin: admin::Listening,
    hangups: Arc<Notify>,
    beside: [tokio::task::JoinHandle<()>; 5],
}

impl Running {
    /// Opens the broker and its listeners.
    ///
    /// # Errors
    /// Why it cannot start.
    pub async fn start(origin: Origin) -> Result<Running, Failed> {
        let failed = |error: &dyn std::fmt::Display| Failed(error.to_string());
        let broker = Broker::open(origin, Clock::system()).await.map_err(|error| failed(&error))?;
        let admin = admin::listen(&broker).await.map_err(|error| failed(&error))?;
        let public = http::listen(&broker).await.map_err(|error| failed(&error))?;
        tracing::info!(
            listen = %public.address, issuer = %broker.config.issuer, admin.socket = %broker.config.admin.socket.display(),
            "countersign {} serves {}", env!("CARGO_PKG_VERSION"), broker.config.issuer
        );
        let hangups = Arc::new(Notify::new());
        let beside = [
            tokio::spawn(prune(Arc::clone(&broker))),
            tokio::spawn(sign_trail(Arc::clone(&broker))),
            tokio::spawn(mint::keep(Arc::clone(&broker.exchange.signer))),
            tokio::spawn(broker::watch(Arc::clone(&broker))),
            tokio::spawn(reload(Arc::clone(&broker), Arc::clone(&hangups))),
        ];
        Ok(Running { broker, public, admin, hangups, beside })
    }

    async fn until_stopped(self, mut signals: Signals) -> Result<(), Failed> {
        loop {
            tokio::select! {
                _ = signals.hangup.recv() => self.hangups.notify_one(),
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
            }
        }
        tracing::info!("stopping: running requests may finish");
        self.stop().await
    }

    /// Lets running requests finish, then closes the listeners and the store.
    ///
    /// # Errors
    /// When serving had failed.
    pub async fn stop(self) -> Result<(), Failed> {
        self.beside.iter().for_each(tokio::task::JoinHandle::abort);
        let stopped = self.public.stop().await;
        self.admin.stop().await;
        if let Err(fault) = self.broker.exchange.store.checkpoint().await {
            tracing::warn!("the audit trail could not be signed at the end: {fault}");
        }
        stopped.map_err(|error| Failed(error.to_string()))
    }
}

/// Reloads once for any number of hangups that came meanwhile. Beside the loop of signals: a large set takes long, and
/// whoever stops the server should not wait for it.
async fn reload(broker: Arc<Broker>, hangups: Arc<Notify>) {
    loop {
        hangups.notified().await;
        let broker = Arc::clone(&broker);
        // What became of it is in the log.
        let _ = tokio::task::spawn_blocking(move || broker.reload(Trigger::Signal)).await;
    }
}

/// Signs the audit trail now and then, so that little of it is ever without a signature.
async fn sign_trail(broker: Arc<Broker>) {
    let mut ticks = tokio::time::interval(std::time::Duration::from_secs(60));
    ticks.tick().await; // the first one is at once
    loop {
        ticks.tick().await;
        if let Err(fault) = broker.exchange.store.checkpoint().await {
            tracing::warn!("the audit trail could not be signed, it will be tried again: {fault}");
        }
    }
}

/// Removes replay ids and sessions that have ended, now and then.
async fn prune(broker: Arc<Broker>) {
    let mut ticks = tokio::time::interval(std::time::Duration::from_secs(60));
    loop {
        ticks.tick().await;
        if let Err(fault) = broker.exchange.store.prune(broker.exchange.clock.now()).await {
            tracing::warn!("pruning failed, it will be tried again: {fault}");
        }
    }
}
