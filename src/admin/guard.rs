//! Bearer tokens of the admin listener (RFC 6750); the socket needs none.
//!
//! These are the operator's own, from a file. A token that this broker minted never opens the admin API.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use subtle::{Choice, ConstantTimeEq};

/// Shorter tokens can be guessed.
const MIN_TOKEN_BYTES: usize = 32;

/// The accepted tokens.
pub struct AdminTokens(Vec<SecretString>);

impl std::fmt::Debug for AdminTokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AdminTokens").field("count", &self.0.len()).finish_non_exhaustive()
    }
}

impl AdminTokens {
    /// Reads a file of tokens, one a line; empty lines and lines that start with `#` do not count.
    ///
    /// # Errors
    /// The file cannot be read, has no token, or one shorter than 32 characters.
    pub fn read(path: &Path) -> Result<AdminTokens, String> {
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let tokens: Vec<SecretString> = lines.map(SecretString::from).collect();
        if tokens.is_empty() {
            return Err(format!("{} has no token; make one: openssl rand -hex 32", path.display()));
        }
        if tokens.iter().any(|token| token.expose_secret().len() < MIN_TOKEN_BYTES) {
            return Err(format!("{} has a token of less than {MIN_TOKEN_BYTES} characters", path.display()));
        }
        Ok(AdminTokens(tokens))
    }

    fn accept(&self, shown: &[u8]) -> bool {
        let any = self.0.iter().map(|token| token.expose_secret().as_bytes().ct_eq(shown));
        bool::from(any.fold(Choice::from(0), |found, same| found | same))
    }
}

/// The same routes, for callers who show one of the tokens.
pub fn guarded(router: Router, tokens: AdminTokens) -> Router {
    let tokens = Arc::new(tokens);
    router.layer(from_fn(move |request: Request, next: Next| {
        let tokens = Arc::clone(&tokens);
        async move {
            match refusal(&tokens, &request) {
                Some(refused) => refused,
                None => next.run(request).await,
            }
        }
    }))
}

fn refusal(tokens: &AdminTokens, request: &Request) -> Option<Response> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
    let shown = match (headers.next().map(HeaderValue::as_bytes), headers.next()) {
        (Some(value), None) => bearer(value),
        _ => None,
    };
    match shown {
        None => Some(challenge(StatusCode::UNAUTHORIZED, "Bearer realm=\"countersign admin\"")),
        Some(token) if tokens.accept(token) => None,
        // A workload's token is not an unknown one: it says who calls, and that caller may not (RFC 6750 §3.1).
        Some(token) if looks_like_jwt(token) => {
            Some(challenge(StatusCode::FORBIDDEN, "Bearer realm=\"countersign admin\", error=\"insufficient_scope\""))
        }
        Some(_) => {
            Some(challenge(StatusCode::UNAUTHORIZED, "Bearer realm=\"countersign admin\", error=\"invalid_token\""))
        }
    }
}

/// The token after `Bearer `, whose case does not matter (RFC 9110 §11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

fn looks_like_jwt(token: &[u8]) -> bool {
    token.starts_with(b"eyJ") && token.iter().filter(|byte| **byte == b'.').count() == 2
}

fn challenge(status: StatusCode, value: &'static str) -> Response {
    let error = if status == StatusCode::FORBIDDEN { "insufficient_scope" } else { "invalid_token" };
    let body = serde_json::json!({ "error": error, "message": "the admin API needs a token of its token_file" });
    (status, [(header::WWW_AUTHENTICATE, value), (header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}
