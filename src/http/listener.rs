//! The public socket: TLS or loopback HTTP, deadlines, the guard of framing, reload of certificates, graceful end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use tokio::net::TcpSocket;

use super::door;
use super::framing::GuardedAcceptor;
use super::tls;
use crate::broker::Broker;
use crate::config::TlsFiles;

/// Headers must arrive within this (slow-loris).
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// How long running requests may finish after a stop was asked for.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// After the door was closed: callers whose handshake was under way arrive, and whoever waits is accepted.
const LAST_CALLERS: Duration = Duration::from_millis(100);
/// How often the certificate files are looked at.
const CERTIFICATE_POLL: Duration = Duration::from_secs(10);
/// How many connections may wait to be accepted. With std's 128 a thousand jobs that begin together are reset; Linux caps
/// it at `net.core.somaxconn`, which is this by default.
const BACKLOG: u32 = 4096;

/// Why the listener cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeFailure {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {error}; choose another `listen` or stop what uses it")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("cannot use the certificate {cert} with its key: {error}")]
    Certificate {
        /// The certificate file.
        cert: String,
        /// Why.
        error: std::io::Error,
    },
    /// Serving failed.
    #[error("serving failed: {0}")]
    Serve(std::io::Error),
}

/// A bound listener that serves until it is stopped.
#[derive(Debug)]
pub struct Listening {
    /// The address that was bound (useful with port 0).
    pub address: SocketAddr,
    /// The listening socket once more: closing the door must not close the socket, which still has callers to accept.
    door: TcpListener,
    handle: Handle<SocketAddr>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Listening {
    /// Accepts nothing more, lets running requests finish, and gives back the socket.
    ///
    /// # Errors
    /// When serving had failed.
    pub async fn stop(self) -> Result<(), ServeFailure> {
        match door::close(&self.door) {
            Ok(()) => tokio::time::sleep(LAST_CALLERS).await,
            Err(error) => tracing::warn!("callers that are about to connect may be reset: {error}"),
        }
        self.handle.graceful_shutdown(Some(DRAIN_DEADLINE));
        self.ended().await
    }

    /// Waits until serving ends by itself, which it does only by failing.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn ended(self) -> Result<(), ServeFailure> {
        match self.task.await {
            Ok(served) => served.map_err(ServeFailure::Serve),
            Err(error) => Err(ServeFailure::Serve(std::io::Error::other(error))),
        }
    }
}

/// Binds the configured address and serves the public routes on it.
///
/// # Errors
/// See [`ServeFailure`].
pub async fn listen(broker: &Arc<Broker>) -> Result<Listening, ServeFailure> {
    let address = broker.config.listen;
    let failed = |error| ServeFailure::Bind { address, error };
    let socket = bind(address).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let door = socket.try_clone().map_err(failed)?;
    let router = super::router(Arc::clone(broker));
    let handle = Handle::new();
    let task = match &broker.config.tls {
        None => {
            let mut server = axum_server::from_tcp(socket).map_err(failed)?.handle(handle.clone());
            limit(server.http_builder());
            let server = server.first_request_timeout(HEADER_DEADLINE).map(GuardedAcceptor::new);
            tokio::spawn(server.serve(make_service(router)))
        }
        Some(files) => {
            let config = certificate(files).await?;
            tokio::spawn(follow_certificate(config.clone(), files.clone()));
            let server = axum_server::from_tcp_rustls(socket, config).map_err(failed)?.handle(handle.clone());
            let mut server = server.first_request_timeout(HEADER_DEADLINE).map(GuardedAcceptor::new);
            limit(server.http_builder());
            tokio::spawn(server.serve(make_service(router)))
        }
    };
    Ok(Listening { address, door, handle, task })
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As std does: a restart must not wait for the old connections' end.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

fn make_service(router: Router) -> axum::extract::connect_info::IntoMakeServiceWithConnectInfo<Router, SocketAddr> {
    router.into_make_service_with_connect_info::<SocketAddr>()
}

fn limit(builder: &mut hyper_util::server::conn::auto::Builder<hyper_util::rt::TokioExecutor>) {
    builder.http1().header_read_timeout(HEADER_DEADLINE).max_headers(100).max_buf_size(64 * 1024);
    // Bounds what one HTTP/2 connection can ask for (rapid reset, CONTINUATION flood).
    builder.http2().max_concurrent_streams(128).max_header_list_size(32 * 1024).max_pending_accept_reset_streams(20);
}

async fn certificate(files: &TlsFiles) -> Result<RustlsConfig, ServeFailure> {
    tls::open(files).await.map_err(|error| ServeFailure::Certificate { cert: files.cert.display().to_string(), error })
}

/// Loads the certificate again when its file changed; a bad new file keeps the old certificate and says so.
async fn follow_certificate(config: RustlsConfig, files: TlsFiles) {
    let read = || (std::fs::read(&files.cert).ok(), std::fs::read(&files.key).ok());
    let mut seen = read();
    loop {
        tokio::time::sleep(CERTIFICATE_POLL).await;
        let current = read();
        if current == seen {
            continue;
        }
        match tls::reload(&config, &files).await {
            Ok(()) => tracing::info!("the certificate was loaded again"),
            Err(error) => tracing::error!("the new certificate cannot be used, the old one stays: {error}"),
        }
        seen = current;
    }
}
