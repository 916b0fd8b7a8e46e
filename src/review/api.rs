//! One API server, asked over HTTPS. The only file that knows the `kube` crate.
//!
//! The operator wrote the address down, so it may be a private one; nothing that a stranger says chooses it, redirects
//! are not followed, and no proxy is used.

use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue};
use http_body_util::{BodyExt as _, Limited};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Resource as _;
use kube::api::PostParams;
use kube::client::Body;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OnceCell, Semaphore};

use crate::config::ReviewSettings;

/// As for fetching keys: a server in the same data centre or none.
const CONNECT: Duration = Duration::from_secs(2);
/// From the wait for a turn to the last byte. A caller waits for this, unlike for keys.
const TOTAL: Duration = Duration::from_secs(3);
/// A review is about 2 KiB, with the token in it.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Reviews of one cluster at a time: an admitted token that is shown over and over must not become the API server's load.
const MOST_AT_ONCE: usize = 32;

/// Why an API server could not be asked. Carries no token and no body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ReviewFault {
    #[error("no review is configured")]
    NotConfigured,
    #[error("{what} {path} cannot be used: {error}")]
    LocalFile { what: &'static str, path: String, error: String },
    #[error("no client can be made: {0}")]
    Client(String),
    #[error("cannot connect: {0}")]
    Connection(String),
    #[error("no answer within 3 s")]
    Timeout,
    #[error("status 401: the API server does not accept the broker's own bearer token")]
    OwnToken,
    #[error(
        "status 403: the broker's account may not create tokenreviews.authentication.k8s.io; bind it to the ClusterRole \
         system:auth-delegator"
    )]
    Forbidden,
    #[error("status {0}, not a review")]
    Status(u16),
    #[error("the answer is larger than 256 KiB, or broke off")]
    Body,
    #[error("the answer is not a TokenReview with a status")]
    Answer,
}

/// An API server and the client for it.
#[derive(Debug)]
pub(super) struct ApiServer {
    settings: ReviewSettings,
    client: OnceCell<SharedClient>,
    turns: Semaphore,
}

/// `kube::Client` has no `Debug`.
struct SharedClient(kube::Client);

impl std::fmt::Debug for SharedClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("kube::Client")
    }
}

impl ApiServer {
    pub(super) fn new(settings: ReviewSettings) -> ApiServer {
        ApiServer { settings, client: OnceCell::new(), turns: Semaphore::new(MOST_AT_ONCE) }
    }

    /// What the cluster says of this token for this audience.
    pub(super) async fn review(&self, token: &SecretString, audience: &str) -> Result<TokenReviewStatus, ReviewFault> {
        // On the heap: the client's futures are large, and most exchanges ask nobody.
        let asked = Box::pin(self.ask(token, audience));
        tokio::time::timeout(TOTAL, asked).await.unwrap_or(Err(ReviewFault::Timeout))
    }

    async fn ask(&self, token: &SecretString, audience: &str) -> Result<TokenReviewStatus, ReviewFault> {
        let _turn = self.turns.acquire().await.map_err(|_| ReviewFault::Timeout)?;
        let client = self.client.get_or_try_init(|| self.connect()).await?.0.clone();
        let mut request = request(token, audience)?;
        // Not kube's own token file: it may be up to a minute old there, and must not end with a line break.
        request.headers_mut().insert(AUTHORIZATION, bearer(&self.settings.bearer_token_file).await?);
        let response = client.send(request).await.map_err(|error| ReviewFault::Connection(last_cause(&error)))?;
        match response.status() {
            status if status.is_success() => {}
            StatusCode::UNAUTHORIZED => return Err(ReviewFault::OwnToken),
            StatusCode::FORBIDDEN => return Err(ReviewFault::Forbidden),
            status => return Err(ReviewFault::Status(status.as_u16())),
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|_| ReviewFault::Body)?.to_bytes();
        // Read here and not by kube, which logs an answer that it cannot read; the answer repeats the token.
        let review: TokenReview = serde_json::from_slice(&body).map_err(|_| ReviewFault::Answer)?;
        review.status.ok_or(ReviewFault::Answer)
    }

    /// Made within the runtime, since the client starts a task. A CA file that changes is read again by kube, at the
    /// latest a minute later.
    async fn connect(&self) -> Result<SharedClient, ReviewFault> {
        let client_fault = |error: &dyn std::error::Error| ReviewFault::Client(last_cause(error));
        let uri: http::Uri = self.settings.url.as_str().parse().map_err(|error| client_fault(&error))?;
        let mut config = kube::Config::new(uri);
        if let Some(ca_file) = &self.settings.ca_file {
            // Only these roots; the empty list keeps the system's out, which need not even exist.
            config.root_cert = Some(Vec::new());
            config.root_cert_file = Some(ca_file.clone());
        }
        config.connect_timeout = Some(CONNECT);
        config.write_timeout = Some(TOTAL);
        // A retry would come after the caller's patience.
        config.default_retry = false;
        kube::Client::try_from(config).map(SharedClient).map_err(|error| client_fault(&error))
    }
}

fn request(token: &SecretString, audience: &str) -> Result<http::Request<Body>, ReviewFault> {
    let spec =
        TokenReviewSpec { token: Some(token.expose_secret().to_owned()), audiences: Some(vec![audience.to_owned()]) };
    let review = TokenReview { spec, ..TokenReview::default() };
    let body = serde_json::to_vec(&review).map_err(|error| ReviewFault::Client(error.to_string()))?;
    let request = kube::core::Request::new(TokenReview::url_path(&(), None)).create(&PostParams::default(), body);
    request.map(|request| request.map(Body::from)).map_err(|error| ReviewFault::Client(error.to_string()))
}

/// Read anew for every review: the kubelet rotates the file, and an operator who replaces it expects it to count.
async fn bearer(path: &Path) -> Result<HeaderValue, ReviewFault> {
    let fault = |error: String| ReviewFault::LocalFile {
        what: "the bearer token file",
        path: path.display().to_string(),
        error,
    };
    let text = tokio::fs::read(path).await.map_err(|error| fault(error.to_string()))?;
    let value = [b"Bearer ", text.trim_ascii()].concat();
    let mut header = HeaderValue::from_bytes(&value).map_err(|_| fault("it is not one line of text".to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// The innermost of an error's causes, which says what happened.
fn last_cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}
