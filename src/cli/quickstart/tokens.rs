//! `quickstart token`: a fresh assertion from the running demonstration, over a Unix socket that only its user can open.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use http::Method;
use serde_json::{Map, Value};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::client::{self, ClientFault};
use super::platforms::{Issuers, Platform};

/// Hands out assertions until it is dropped.
pub struct TokenSocket {
    server: JoinHandle<()>,
}

struct Source {
    issuers: Arc<Issuers>,
    audience: String,
}

impl TokenSocket {
    /// Opens the socket.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(socket: &Path, issuers: Arc<Issuers>, audience: &str) -> io::Result<TokenSocket> {
        match fs::remove_file(socket) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
            _ => {} // one that a killed demonstration left in a kept directory
        }
        let listener = UnixListener::bind(socket)?;
        fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
        let source = Arc::new(Source { issuers, audience: audience.to_owned() });
        let router = Router::new().route("/token/{platform}", post(token)).with_state(source);
        let server = tokio::spawn(async move {
            if let Err(fault) = axum::serve(listener, router).await {
                tracing::warn!("the token socket stopped: {fault}");
            }
        });
        Ok(TokenSocket { server })
    }
}

impl Drop for TokenSocket {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn token(
    State(source): State<Arc<Source>>,
    UrlPath(platform): UrlPath<String>,
    Json(replaced): Json<Map<String, Value>>,
) -> Result<String, (StatusCode, String)> {
    let platform = Platform::from_name(&platform).ok_or((StatusCode::NOT_FOUND, "no such platform".to_owned()))?;
    source
        .issuers
        .token(platform, &source.audience, &replaced)
        .map_err(|fault| (StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()))
}

/// Asks the demonstration behind this socket for a fresh assertion.
///
/// # Errors
/// When none runs there.
pub async fn ask(socket: &Path, platform: Platform, replaced: Map<String, Value>) -> Result<String, ClientFault> {
    let path = format!("/token/{}", platform.name());
    let reply = client::over_socket(socket, Method::POST, &path, Some(&Value::Object(replaced))).await?;
    Ok(reply.success()?.text())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client_auth::{AssertionShape, UnverifiedAssertion};
    use crate::clock::Clock;

    #[tokio::test]
    async fn the_socket_gives_a_fresh_token_with_the_claims_asked_for_until_it_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let issuers = Arc::new(Issuers::start(&Clock::system()).await.unwrap());
        let open = TokenSocket::open(&socket, issuers, "https://broker.test").unwrap();
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        let replaced = json!({ "ref": "refs/heads/dev" }).as_object().unwrap().clone();
        let compact = ask(&socket, Platform::Github, replaced).await.unwrap();
        let token = UnverifiedAssertion::parse(&compact, AssertionShape::JwtBearer).unwrap();
        assert_eq!(token.unverified_claims()["ref"], "refs/heads/dev");
        assert_eq!(token.unverified_claims()["aud"], "https://broker.test");
        drop(open);
        tokio::task::yield_now().await;
        assert!(ask(&socket, Platform::Github, Map::new()).await.is_err());
    }
}
