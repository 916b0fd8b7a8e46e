//! The protected service of the demonstration: says what reached it.

use std::io;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// An echo service on a free loopback port, serving until it is dropped.
pub struct EchoService {
    url: String,
    server: JoinHandle<()>,
}

impl EchoService {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no loopback port.
    pub async fn start() -> io::Result<EchoService> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().fallback(echo);
        let server = tokio::spawn(async move {
            if let Err(fault) = axum::serve(listener, router).await {
                tracing::warn!("the echo service stopped: {fault}");
            }
        });
        Ok(EchoService { url, server })
    }

    /// Where it listens, behind the gateway.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for EchoService {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Method, path, who the gateway says is calling, and whether any credential came through (none should).
async fn echo(request: Request) -> Response {
    let headers = request.headers();
    let identity: Map<String, Value> = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-countersign-"))
        .map(|(name, value)| (canonical(name.as_str()), json!(String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    axum::Json(json!({
        "method": request.method().as_str(),
        "path": request.uri().path_and_query().map_or("/", |path| path.as_str()),
        "identity": identity,
        "authorization_seen": headers.contains_key("authorization"),
    }))
    .into_response()
}

/// `x-countersign-user` as it is written: `X-Countersign-User`.
fn canonical(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    name.split('-').map(capital).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::quickstart::client::{Client, request};

    #[tokio::test]
    async fn it_tells_who_called_and_whether_a_credential_came_through() {
        let echo = EchoService::start().await.unwrap();
        let url = format!("{}/hello?x=1", echo.url());
        let headers = [("x-countersign-user", "prod-deployer"), ("authorization", "Bearer t")];
        let call = request(http::Method::PUT, &url, &headers, bytes::Bytes::new()).unwrap();
        let seen = Client::new().send(call).await.unwrap().json().unwrap();
        assert_eq!(
            seen,
            json!({ "method": "PUT", "path": "/hello?x=1", "identity": { "X-Countersign-User": "prod-deployer" },
                    "authorization_seen": true })
        );
    }
}
