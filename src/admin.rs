//! The admin API: users, credentials and the audit trail, as JSON under `/admin/v1/`.
//!
//! In: requests on the admin socket (whoever can open it is an administrator) or on the token-guarded listener. Out:
//! changes that are on the disk. Never on the public listener. Other parts merge their own routes beside these.

mod audit;
mod credentials;
mod guard;
mod keys;
mod listener;
mod metrics;
mod problem;
mod running;
mod serve;
mod sessions;
#[cfg(test)]
mod tests;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use secrecy::SecretString;

pub use self::guard::{AdminTokens, guarded};
pub use self::listener::Listening;
pub use self::problem::{Asked, Body, Problem};
pub use self::running::{listen, routes};
pub use self::serve::serve_socket;
use crate::clock::Clock;
use crate::store::Store;
use crate::vocab::{ClientId, CredentialName, Scopes, TokenId, UnixTime, UserName};
use crate::workload::credentials::SecretHasher;

/// Largest request body.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the admin API works on.
#[derive(Clone)]
pub struct AdminState {
    store: Arc<dyn Store>,
    clock: Clock,
    hasher: Arc<SecretHasher>,
    tokens: LongLivedTokens,
    /// Held while a credential is read, changed and written back.
    changes: Arc<tokio::sync::Mutex<()>>,
}

/// Signs a long-lived access token.
pub type LongLivedTokens = Arc<dyn Fn(&AccessTokenRequest) -> Result<SecretString, TokenFault> + Send + Sync>;

/// What a long-lived access token says (design: RFC 9068 claims and `credential`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessTokenRequest {
    /// Its `jti`; the store keeps only a keyed hash of it.
    pub token_id: TokenId,
    /// Its `sub`.
    pub user: UserName,
    /// The credential's name: its `credential` claim.
    pub credential: CredentialName,
    /// Its `client_id`.
    pub client_id: ClientId,
    /// Its `scope`.
    pub scopes: Scopes,
    /// Its `iat` and `nbf`.
    pub issued_at: UnixTime,
    /// Its `exp`.
    pub expires_at: UnixTime,
}

/// The token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the access token could not be signed: {0}")]
pub struct TokenFault(pub String);

impl AdminState {
    /// The state of a broker that keeps its records in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock, hasher: Arc<SecretHasher>, tokens: LongLivedTokens) -> AdminState {
        AdminState { store, clock, hasher, tokens, changes: Arc::default() }
    }
}

impl std::fmt::Debug for AdminState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AdminState").finish_non_exhaustive()
    }
}

/// The routes. A name in a path is percent-encoded: user names may have `/` and `:`.
pub fn router(state: AdminState) -> Router {
    Router::new()
        .route("/admin/v1/users", post(users::create).get(users::list))
        .route("/admin/v1/users/{name}", get(users::one).delete(users::delete))
        .route("/admin/v1/users/{name}/disable", post(users::disable))
        .route("/admin/v1/users/{name}/enable", post(users::enable))
        .route("/admin/v1/credentials", post(credentials::create).get(credentials::list))
        .route("/admin/v1/credentials/{name}", get(credentials::one).delete(credentials::delete))
        .route("/admin/v1/credentials/{name}/rotate", post(credentials::rotate))
        .route("/admin/v1/credentials/{name}/disable", post(credentials::disable))
        .route("/admin/v1/credentials/{name}/enable", post(credentials::enable))
        .route("/admin/v1/audit", get(audit::list))
        .route("/admin/v1/audit/chain", get(audit::chain))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(state)
}
