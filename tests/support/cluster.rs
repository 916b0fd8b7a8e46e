//! A cluster's issuer on loopback, as its API server or its cloud serves it: metadata and keys below one path, with or
//! without a bearer token. It remembers who asked with which token.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::keys::{TestKey, jwks};

/// A running cluster. It stops with the test's runtime.
#[derive(Clone)]
pub struct TestCluster {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// The path of the issuer: empty, or `/id/ABC`, or `/tenant/id/`.
    path: String,
    state: Mutex<Published>,
}

#[derive(Default)]
struct Published {
    keys: String,
    keys_url: Option<String>,
    bearer: Option<String>,
    down: bool,
    asked: Vec<(String, Option<String>)>,
}

impl TestCluster {
    /// Starts on a free port; its issuer has this path.
    pub async fn start(path: &str, keys: &[&TestKey]) -> TestCluster {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let published = Published { keys: jwks(keys.iter().map(|key| key.jwk())), ..Published::default() };
        let shared = Arc::new(Shared { path: path.to_owned(), state: Mutex::new(published) });
        let cluster = TestCluster { address, shared };
        let router = Router::new().fallback(answer).with_state(cluster.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        cluster
    }

    /// Its identifier, with the final slash if its path has one.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.shared.path)
    }

    /// Where its keys are.
    pub fn keys_url(&self) -> String {
        format!("{}/openid/v1/jwks", self.url().trim_end_matches('/'))
    }

    /// Names keys elsewhere in its metadata.
    pub fn keys_are_at(self, url: &str) -> TestCluster {
        self.state().keys_url = Some(url.to_owned());
        self
    }

    /// Answers 401 to everyone without this bearer token.
    pub fn asking_for(self, bearer: &str) -> TestCluster {
        self.state().bearer = Some(format!("Bearer {bearer}"));
        self
    }

    /// Publishes other keys from now on.
    pub fn publish(&self, keys: &[&TestKey]) {
        self.state().keys = jwks(keys.iter().map(|key| key.jwk()));
    }

    /// Answers 500 to everything, or works again.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    /// The `Authorization` of every request for the keys.
    pub fn asked_for_keys(&self) -> Vec<Option<String>> {
        let state = self.state();
        state.asked.iter().filter(|(path, _)| path.ends_with("/jwks")).map(|(_, bearer)| bearer.clone()).collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Published> {
        self.shared.state.lock().expect("no test panicked here")
    }
}

async fn answer(State(cluster): State<TestCluster>, request: Request) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let path = request.uri().path().to_owned();
    let base = cluster.shared.path.trim_end_matches('/').to_owned();
    let mut state = cluster.state();
    state.asked.push((path.clone(), shown.clone()));
    if state.down {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if state.bearer.is_some() && state.bearer != shown {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let body = if path == format!("{base}/.well-known/openid-configuration") {
        let keys = state.keys_url.clone().unwrap_or_else(|| cluster.keys_url());
        json!({ "issuer": cluster.url(), "jwks_uri": keys }).to_string()
    } else if path == format!("{base}/openid/v1/jwks") {
        state.keys.clone()
    } else {
        return StatusCode::NOT_FOUND.into_response();
    };
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
