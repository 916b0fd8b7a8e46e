//! The socket of a faulty issuer: HTTP/1.1 by hand, so that an answer can break every rule of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::answer::{Answer, Delivery};
use super::tls::Tls;
use super::{Hit, Shared};

/// Accepts on this address until the task is aborted, which also ends every connection.
pub(super) fn listen(address: SocketAddr, shared: &Arc<Shared>) -> (SocketAddr, JoinHandle<()>) {
    let listener = std::net::TcpListener::bind(address).expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address");
    let listener = TcpListener::from_std(listener).expect("a runtime");
    (address, tokio::spawn(accept(listener, Arc::clone(shared))))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            shared.connections.fetch_add(1, Ordering::SeqCst);
            let shared = Arc::clone(&shared);
            connections.spawn(async move { connection(stream, &shared).await });
        }
        while connections.try_join_next().is_some() {}
    }
}

/// A peer that goes away in the middle is no fault of a test.
async fn connection(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    match shared.tls() {
        Tls::Off => converse(&mut stream, shared).await?.finish(&stream),
        Tls::On(config) => {
            let acceptor = tokio_rustls::TlsAcceptor::from(config);
            let mut stream = acceptor.accept(stream).await.ok()?;
            let end = converse(&mut stream, shared).await?;
            if end == End::Orderly {
                stream.shutdown().await.ok()?;
            }
            end.finish(stream.get_ref().0);
        }
        Tls::Version10 => instead_of_tls(&mut stream, &super::tls::server_hello_of_tls_1_0()).await?,
        Tls::Plaintext => instead_of_tls(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await?,
    }
    Some(())
}

async fn instead_of_tls(stream: &mut TcpStream, bytes: &[u8]) -> Option<()> {
    let _ = stream.read(&mut [0; 4096]).await.ok()?;
    stream.write_all(bytes).await.ok()?;
    // The peer's alert, or its end.
    let _ = stream.read(&mut [0; 64]).await;
    Some(())
}

/// How the connection ends.
#[derive(PartialEq, Eq)]
enum End {
    Orderly,
    Reset,
}

impl End {
    fn finish(self, stream: &TcpStream) {
        if self == End::Reset {
            stream.set_zero_linger().expect("a socket");
        }
    }
}

async fn converse(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), shared: &Shared) -> Option<End> {
    let (path, bearer) = request(stream).await?;
    shared.hits.lock().expect("no test panicked here").push(Hit { path: path.clone(), at: shared.now(), bearer });
    let mut released = shared.released.subscribe();
    let answer = shared.answer_to(&path);
    let mut held = async move || released.changed().await.ok();
    let (head, mut pieces) = (answer.head(), answer.pieces());
    match answer.delivery {
        Delivery::Whole | Delivery::Endless => whole(stream, &answer, shared).await?,
        Delivery::Hang => held().await?,
        Delivery::HeldBeforeHead => {
            held().await?;
            whole(stream, &answer, shared).await?;
        }
        Delivery::HeldInBody | Delivery::ResetInBody => {
            let first = pieces.next().unwrap_or_default();
            let (early, late) = first.split_at(first.len() / 2);
            send(stream, &[&head, early].concat(), shared).await?;
            if answer.delivery == Delivery::ResetInBody {
                return Some(End::Reset);
            }
            held().await?;
            send(stream, late, shared).await?;
            for piece in pieces {
                send(stream, &piece, shared).await?;
            }
        }
        Delivery::Drip => {
            for byte in [head].into_iter().chain(pieces).flatten() {
                shared.drips.acquire().await.ok()?.forget();
                send(stream, &[byte], shared).await?;
            }
        }
        Delivery::Reset => return Some(End::Reset),
        Delivery::CutAfter(bytes) => {
            let all: Vec<u8> = [head].into_iter().chain(pieces).flatten().take(bytes).collect();
            send(stream, &all, shared).await?;
        }
    }
    stream.flush().await.ok()?;
    Some(End::Orderly)
}

async fn whole(stream: &mut (impl AsyncWrite + Unpin), answer: &Answer, shared: &Shared) -> Option<()> {
    send(stream, &answer.head(), shared).await?;
    // Small pieces go together: a hundred thousand writes would be what a test measures.
    let mut together = Vec::new();
    for piece in answer.pieces() {
        together.extend_from_slice(&piece);
        if together.len() >= 16 * 1024 {
            send(stream, &together, shared).await?;
            together.clear();
        }
    }
    send(stream, &together, shared).await
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8], shared: &Shared) -> Option<()> {
    stream.write_all(bytes).await.ok()?;
    stream.flush().await.ok()?;
    shared.bytes_sent.fetch_add(bytes.len(), Ordering::SeqCst);
    Some(())
}

/// The path, and whether there was an `Authorization` header.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, bool)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.ok()?;
        head.push(byte);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let bearer = text.to_ascii_lowercase().contains("\r\nauthorization:");
    Some((text.split(' ').nth(1)?.to_owned(), bearer))
}
