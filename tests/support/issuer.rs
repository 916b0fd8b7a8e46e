//! An issuer on loopback: discovery and keys over HTTP, with a counter of how often anyone asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::keys::{TestKey, jwks};

/// A running issuer. It stops with the test's runtime.
#[derive(Clone)]
pub struct TestIssuer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    keys: Mutex<String>,
    hits: AtomicUsize,
    key_hits: AtomicUsize,
    down: AtomicBool,
    /// No permit while answers about keys are held back.
    gate: tokio::sync::Semaphore,
}

impl TestIssuer {
    /// Starts on a free port and publishes these keys.
    pub async fn start(keys: &[&TestKey]) -> TestIssuer {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            keys: Mutex::new(jwks(keys.iter().map(|key| key.jwk()))),
            hits: AtomicUsize::new(0),
            key_hits: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            gate: tokio::sync::Semaphore::new(1),
        });
        let issuer = TestIssuer { address, shared };
        let router = Router::new().fallback(answer).with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    /// Its identifier.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Publishes other keys from now on.
    pub fn publish(&self, keys: impl IntoIterator<Item = Value>) {
        *self.shared.keys.lock().expect("no test panicked here") = jwks(keys);
    }

    /// Answers 500 to everything, or works again.
    pub fn set_down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
    }

    /// Holds back every answer about keys until [`TestIssuer::release`].
    pub fn hold(&self) {
        self.shared.gate.forget_permits(1);
    }

    /// Gives the answers that were held back.
    pub fn release(&self) {
        self.shared.gate.add_permits(1);
    }

    /// How many requests there were, of any kind.
    pub fn hits(&self) -> usize {
        self.shared.hits.load(Ordering::SeqCst)
    }

    /// How many of them asked for the keys.
    pub fn key_hits(&self) -> usize {
        self.shared.key_hits.load(Ordering::SeqCst)
    }
}

async fn answer(State(issuer): State<TestIssuer>, request: Request) -> Response {
    issuer.shared.hits.fetch_add(1, Ordering::SeqCst);
    if issuer.shared.down.load(Ordering::SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let body = match request.uri().path() {
        "/.well-known/openid-configuration" => {
            json!({ "issuer": issuer.url(), "jwks_uri": format!("{}/jwks", issuer.url()) }).to_string()
        }
        "/jwks" => {
            issuer.shared.key_hits.fetch_add(1, Ordering::SeqCst);
            drop(issuer.shared.gate.acquire().await);
            issuer.shared.keys.lock().expect("no test panicked here").clone()
        }
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
