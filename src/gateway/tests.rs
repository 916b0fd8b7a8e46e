//! Real HTTP on loopback: a caller, the gateway, and an upstream that tells what it got.

use std::future::Future;
use std::path::Path;

use axum::body::{Body, Bytes};
use http::header::HOST;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::diagnostic::Diagnostics;
use crate::relying_party::tests::{Fixture, ISSUER, NOW, TRACE};

const PATIENCE: Duration = Duration::from_secs(20);

/// What the upstream got.
#[derive(Debug)]
struct Seen {
    line: String,
    headers: http::HeaderMap,
    body: Bytes,
}

struct Stage {
    fixture: Fixture,
    gateway: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
}

async fn serve<H, F>(handler: H) -> SocketAddr
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(handler)).await.unwrap() });
    address
}

fn services(directory: &Path, yaml: &str) -> (Services, Diagnostics) {
    std::fs::write(directory.join("a.yaml"), yaml).unwrap();
    let mut faults = Diagnostics::new();
    (Services::load(directory, &mut faults), faults)
}

fn loaded(yaml: &str) -> (Services, Diagnostics) {
    services(tempfile::tempdir().unwrap().path(), yaml)
}

fn service(upstream: &str, allow: &str) -> Services {
    let yaml =
        format!("service: my-api\nhosts: [my-api.localhost, '127.0.0.1']\nupstream: {upstream}\nallow: [{allow}]\n");
    let (services, faults) = loaded(&yaml);
    assert!(faults.is_empty(), "{faults}");
    services
}

async fn gateway_to(services: Services, fixture: &Fixture, answer_within: Duration) -> SocketAddr {
    let gateway = Arc::new(Gateway {
        upstream: Upstream::new(answer_within),
        ..Gateway::new(services, Arc::clone(&fixture.verifier), Clock::manual(NOW))
    });
    serve(move |request| {
        let gateway = Arc::clone(&gateway);
        async move {
            let peer = Some(SocketAddr::from(([192, 0, 2, 7], 4000)));
            gateway.handle(request, &TraceId::parse(TRACE).unwrap(), peer).await
        }
    })
    .await
}

impl Stage {
    /// An upstream that records and answers with some fields that must not reach the caller.
    async fn new(allow: &str, base: &str) -> Stage {
        let (sender, seen) = mpsc::unbounded_channel();
        let upstream = serve(move |request: Request| {
            let sender = sender.clone();
            async move {
                let (head, body) = request.into_parts();
                let line = format!("{} {}", head.method, head.uri);
                let body = body.collect().await.unwrap().to_bytes();
                sender.send(Seen { line, headers: head.headers, body }).unwrap();
                let builder = Response::builder().status(201).header("x-service", "yes").header("keep-alive", "x");
                builder
                    .header("X-Countersign-User", "mallory")
                    .header("X-Trace-Id", "theirs")
                    .body("hello".into())
                    .unwrap()
            }
        })
        .await;
        let fixture = Fixture::new().await;
        let gateway = gateway_to(service(&format!("http://{upstream}{base}"), allow), &fixture, PATIENCE).await;
        Stage { fixture, gateway, seen }
    }

    async fn plain() -> Stage {
        Stage::new("{ scopes: ['service:my-api'] }", "").await
    }

    async fn send(&self, head: &str) -> Answer {
        send(self.gateway, head).await
    }

    /// A GET with these further lines.
    async fn get(&self, lines: &str) -> Answer {
        self.send(&format!("GET / HTTP/1.1\r\nHost: my-api.localhost\r\n{lines}")).await
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.fixture.token(&json!({})))
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn refusal(&self) -> (u16, Value, Vec<&str>) {
        (self.status, self.json()["error"].clone(), self.header("www-authenticate"))
    }
}

/// Sends a head (and what follows it, when it holds its own empty line) and reads until the gateway closes.
async fn send(gateway: SocketAddr, head: &str) -> Answer {
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let end = if head.contains("\r\n\r\n") { "" } else { "Connection: close\r\n\r\n" };
    stream.write_all(format!("{head}{end}").as_bytes()).await.unwrap();
    let mut read = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read)).await.unwrap().unwrap();
    let text = String::from_utf8(read).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(wanted) {
        let count = tokio::time::timeout(PATIENCE, stream.read_buf(&mut read)).await.unwrap().unwrap();
        assert!(count > 0, "closed before {wanted}: {}", String::from_utf8_lossy(&read));
    }
    String::from_utf8(read).unwrap()
}

mod crossing;
mod refusals;
