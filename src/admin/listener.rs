//! The admin API's listeners: the socket, and the TCP listener where one is configured.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::guard::{AdminTokens, guarded};
use super::serve::{Socket, bind_socket};
use crate::config::{AdminListener, AdminSettings};

/// Headers must arrive within this.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// How long running requests may finish after a stop was asked for.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Listeners that serve until they are stopped or dropped.
#[derive(Debug)]
pub struct Listening {
    /// The address of the TCP listener, where one is configured (useful with port 0).
    pub address: Option<SocketAddr>,
    socket: Option<(oneshot::Sender<()>, JoinHandle<io::Result<()>>)>,
    tcp: Option<(Handle<SocketAddr>, JoinHandle<io::Result<()>>)>,
}

impl Listening {
    /// Serves `router` on the socket, and on the TCP listener to callers who show one of its tokens; `probes` are for
    /// everybody.
    ///
    /// # Errors
    /// The socket or address is taken, or the token file is not usable.
    pub async fn start(settings: &AdminSettings, router: Router, probes: Router) -> io::Result<Listening> {
        let guarded = (router.clone(), probes.clone());
        let tcp = settings.listener.as_ref().map(|listener| tcp(listener, guarded)).transpose()?;
        let router = router.merge(probes);
        let Socket { listener, file } = bind_socket(&settings.socket).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let _removed_at_the_end = file;
            let until = async move {
                // A dropped sender counts as a stop.
                let _ = stopped.await;
            };
            axum::serve(listener, router).with_graceful_shutdown(until).await
        });
        let (address, tcp) = tcp.map_or((None, None), |(address, tcp)| (Some(address), Some(tcp)));
        Ok(Listening { address, socket: Some((stop, serving)), tcp })
    }

    /// Accepts nothing more, lets running requests finish, and takes the socket's file away.
    pub async fn stop(mut self) {
        if let Some((handle, serving)) = self.tcp.take() {
            handle.graceful_shutdown(Some(DRAIN_DEADLINE));
            let _ = serving.await;
        }
        if let Some((stop, mut serving)) = self.socket.take() {
            let _ = stop.send(());
            if tokio::time::timeout(DRAIN_DEADLINE, &mut serving).await.is_err() {
                serving.abort();
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some((handle, _)) = self.tcp.take() {
            handle.shutdown();
        }
        if let Some((_, serving)) = self.socket.take() {
            serving.abort();
        }
    }
}

type Tcp = (Handle<SocketAddr>, JoinHandle<io::Result<()>>);

fn tcp(settings: &AdminListener, (router, probes): (Router, Router)) -> io::Result<(SocketAddr, Tcp)> {
    let tokens = AdminTokens::read(&settings.token_file).map_err(io::Error::other)?;
    let router = guarded(router, tokens).merge(probes);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("admin listener {}: {error}", settings.listen));
    let socket = TcpListener::bind(settings.listen).map_err(named)?;
    socket.set_nonblocking(true).map_err(named)?;
    let address = socket.local_addr().map_err(named)?;
    let handle = Handle::new();
    let mut server = axum_server::from_tcp(socket).map_err(named)?.handle(handle.clone());
    server.http_builder().http1().header_read_timeout(HEADER_DEADLINE);
    let server = server.first_request_timeout(HEADER_DEADLINE);
    Ok((address, (handle, tokio::spawn(server.serve(router.into_make_service())))))
}
