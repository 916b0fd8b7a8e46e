//! The only way out to the network: an issuer's key set, or why it cannot be had.
//!
//! In: a configured issuer. Out: the bytes of its key set and how long they may be kept. Everything that a stranger
//! controls is bounded: where a connection goes, how long it lasts, how much is read. Not here: what the bytes say.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Certificate, Client, Response, StatusCode};
use serde_json::Value;
use url::{Host, Origin, Url};

use super::address::{AddressRefused, Reach, VettingResolver};
use super::key_set::{self, KeySet, KeySetFault};
use crate::issuer::{Issuer, KeyLocation};
use crate::json;

/// Most redirects followed; a good key URL needs none, a host's own clean-up one.
const MAX_REDIRECTS: usize = 2;
/// Largest bearer token or CA file.
const MAX_LOCAL_FILE_BYTES: u64 = 1024 * 1024;

/// An issuer's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) body: Vec<u8>,
    /// `max-age` of its `Cache-Control`, unbounded.
    pub(super) max_age: Option<Duration>,
}

/// Why a key set could not be had. Carries no body and no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FetchFault {
    #[error("no source of keys is configured")]
    NotConfigured,
    #[error("{0} is not a URL that keys may be fetched from: it must be https without user information")]
    Url(String),
    #[error("the host's address is not one that keys may be fetched from; see allow_private_network")]
    AddressRefused,
    #[error("no answer within the time limit")]
    Timeout,
    /// Nobody was there to be asked: no address, no route, no listener.
    #[error("cannot reach it: {0}")]
    Unreachable(String),
    #[error("cannot connect: {0}")]
    Connection(String),
    #[error("the answer has status {0}, not 200")]
    Status(u16),
    #[error("the answer redirects to another origin, nowhere, or too often")]
    Redirect,
    #[error("the answer's content type is not JSON")]
    ContentType,
    #[error("the answer is larger than 1 MiB")]
    TooLarge,
    #[error("the issuer's metadata {0}")]
    Metadata(&'static str),
    #[error("{what} {path} cannot be read: {error}")]
    LocalFile { what: &'static str, path: String, error: String },
    #[error("{0}")]
    KeySet(#[from] KeySetFault),
    /// Keys that were removed since must not come back from an old copy.
    #[error(
        "the bundle's sequence {found} is older than {held}, which is held; if the trust domain was made anew, run \
         `countersign issuer refresh`"
    )]
    OlderSequence { found: u64, held: u64 },
    #[error("the fetch was stopped")]
    Stopped,
}

impl FetchFault {
    /// Whether the attempt ended before any server was asked.
    pub(super) fn reached_nobody(&self) -> bool {
        match self {
            FetchFault::NotConfigured | FetchFault::Unreachable(_) | FetchFault::LocalFile { .. } => true,
            // Metadata may have named the URL, and its server was asked for that.
            FetchFault::Url(_)
            | FetchFault::AddressRefused
            | FetchFault::Timeout
            | FetchFault::Connection(_)
            | FetchFault::Status(_)
            | FetchFault::Redirect
            | FetchFault::ContentType
            | FetchFault::TooLarge
            | FetchFault::Metadata(_)
            | FetchFault::KeySet(_)
            | FetchFault::OlderSequence { .. }
            | FetchFault::Stopped => false,
        }
    }

    /// The fault of a later step: somebody was asked, so the next try waits as after any answer.
    fn after_an_answer(self) -> FetchFault {
        match self {
            FetchFault::Unreachable(why) => FetchFault::Connection(why),
            other => other,
        }
    }

    /// The metric's label: a closed list.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            FetchFault::NotConfigured => "not_configured",
            FetchFault::Url(_) | FetchFault::AddressRefused => "refused",
            FetchFault::Timeout => "timeout",
            FetchFault::Unreachable(_) => "unreachable",
            FetchFault::Connection(_) => "connection",
            FetchFault::Status(_) => "status",
            FetchFault::Redirect => "redirect",
            FetchFault::ContentType => "content_type",
            FetchFault::TooLarge => "too_large",
            FetchFault::Metadata(_) => "metadata",
            FetchFault::LocalFile { .. } => "local_file",
            FetchFault::KeySet(_) => "key_set",
            FetchFault::OlderSequence { .. } => "older_sequence",
            FetchFault::Stopped => "stopped",
        }
    }
}

pub(super) type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Fetched, FetchFault>> + Send + 'a>>;

/// Where key sets come from: the network, or a test's script.
pub(super) trait Fetch: Send + Sync {
    /// Fetches an issuer's key set. `held` is what it gave last: a SPIFFE bundle endpoint may have to prove itself with
    /// the authorities in there.
    fn fetch<'a>(&'a self, issuer: &'a Issuer, held: Option<Arc<KeySet>>) -> Fetching<'a>;
}

/// Bounds of one fetch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) connect: Duration,
    /// From the first connection to the last byte, discovery and redirects included.
    pub(super) total: Duration,
    pub(super) body_bytes: usize,
}

impl Limits {
    pub(super) const DEFAULT: Limits =
        Limits { connect: Duration::from_secs(2), total: Duration::from_secs(5), body_bytes: key_set::MAX_BYTES };
}

/// Fetches over HTTPS.
pub(super) struct HttpFetch(pub(super) Limits);

impl Fetch for HttpFetch {
    fn fetch<'a>(&'a self, issuer: &'a Issuer, _held: Option<Arc<KeySet>>) -> Fetching<'a> {
        Box::pin(async move {
            let attempt = attempt(self.0, issuer);
            tokio::time::timeout(self.0.total, attempt).await.unwrap_or(Err(FetchFault::Timeout))
        })
    }
}

/// Reads a key set's file.
pub(super) fn read_file(path: &Path) -> Result<Fetched, FetchFault> {
    Ok(Fetched { body: local_file("the key set", path)?, max_age: None })
}

async fn attempt(limits: Limits, issuer: &Issuer) -> Result<Fetched, FetchFault> {
    match issuer.key_location() {
        None => Err(FetchFault::NotConfigured),
        Some(KeyLocation::File(path)) => read_file(path),
        Some(KeyLocation::Url(url) | KeyLocation::BundleEndpoint(url)) => {
            Session::open(limits, issuer, url)?.get(url).await
        }
        Some(KeyLocation::Discovery { metadata, issuer: expected }) => {
            let session = Session::open(limits, issuer, metadata)?;
            let answer = session.get(metadata).await?;
            let keys = keys_url(&answer.body, expected.as_str())?;
            session.get(&keys).await.map_err(FetchFault::after_an_answer)
        }
    }
}

/// The `jwks_uri`, of metadata that is the issuer's own: its `issuer` must be what we asked for, byte for byte
/// (OpenID Connect Discovery §4.3). It may be on another origin, as Google's is.
fn keys_url(metadata: &[u8], expected_issuer: &str) -> Result<Url, FetchFault> {
    let members = json::object(metadata).map_err(|_| FetchFault::Metadata("is not one strict JSON object"))?;
    if members.get("issuer").and_then(Value::as_str) != Some(expected_issuer) {
        return Err(FetchFault::Metadata("names another issuer than the configured one"));
    }
    let url = members.get("jwks_uri").and_then(Value::as_str).and_then(|text| Url::parse(text).ok());
    url.ok_or(FetchFault::Metadata("has no jwks_uri that is a URL"))
}

/// What is the same for all requests of one fetch.
struct Session<'a> {
    limits: Limits,
    issuer: &'a Issuer,
    /// Where the operator pointed: only here does the bearer token go.
    origin: Origin,
    roots: Vec<Certificate>,
    bearer: Option<HeaderValue>,
}

impl Session<'_> {
    fn open<'a>(limits: Limits, issuer: &'a Issuer, start: &Url) -> Result<Session<'a>, FetchFault> {
        let settings = issuer.settings();
        let roots = match &settings.ca_file {
            None => Vec::new(),
            Some(path) => certificates(path)?,
        };
        let bearer = settings.bearer_token_file.as_deref().map(bearer).transpose()?;
        Ok(Session { limits, issuer, origin: start.origin(), roots, bearer })
    }

    /// One document. Redirects are followed by hand: within one origin only, so neither the scheme nor the bearer
    /// token can be lost on the way, and never remembered (SPIFFE Federation §7.5.1).
    async fn get(&self, start: &Url) -> Result<Fetched, FetchFault> {
        let mut url = start.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.request(&url).await?;
            if !response.status().is_redirection() {
                return read(response, self.limits.body_bytes).await;
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| url.join(location).ok()).ok_or(FetchFault::Redirect)?;
            if next.origin() != start.origin() {
                return Err(FetchFault::Redirect);
            }
            url = next;
        }
        Err(FetchFault::Redirect)
    }

    async fn request(&self, url: &Url) -> Result<Response, FetchFault> {
        let reach = self.reach(url)?;
        reach.check(url).map_err(|AddressRefused| FetchFault::AddressRefused)?;
        let (roots, connect) = (self.roots.clone(), self.limits.connect);
        let client = tokio::task::spawn_blocking(move || client(reach, &roots, connect));
        let client = client.await.map_err(|_| FetchFault::Stopped)?.map_err(|error| connection(&error))?;
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        if let Some(bearer) = self.bearer.as_ref().filter(|_| url.origin() == self.origin) {
            headers.insert(AUTHORIZATION, bearer.clone());
        }
        client.get(url.clone()).headers(headers).send().await.map_err(|error| connection(&error))
    }

    /// How far a request to this URL may reach. Private addresses only at origins the operator wrote down (scheme,
    /// host and port); plain http only to this machine, and only for an issuer that says so.
    fn reach(&self, url: &Url) -> Result<Reach, FetchFault> {
        let settings = self.issuer.settings();
        let refused = || FetchFault::Url(url.origin().ascii_serialization());
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused());
        }
        match url.scheme() {
            "https" => {
                let own = settings.url.as_ref().and_then(|url| Url::parse(url.as_str()).ok());
                let configured =
                    url.origin() == self.origin || own.is_some_and(|issuer| issuer.origin() == url.origin());
                let private = configured && settings.allow_private_network;
                Ok(Reach { public: true, private, loopback: private || settings.danger_allow_http })
            }
            "http" if settings.danger_allow_http && is_loopback(url) => {
                Ok(Reach { public: false, private: false, loopback: true })
            }
            _ => Err(refused()),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // The resolver still has the last word on where the name leads.
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// A client for one request, since the resolver's reach is that request's. Fetches are minutes apart: there is no
/// connection worth keeping.
#[allow(clippy::disallowed_methods)] // the one place that makes HTTP clients
fn client(reach: Reach, roots: &[Certificate], connect: Duration) -> Result<Client, reqwest::Error> {
    let builder = || {
        Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(connect)
            .referer(false)
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(VettingResolver(reach))
    };
    // A machine without any CA certificates cannot build the first. The configured roots still count there, and
    // every other server is then untrusted, which the fetch reports.
    let with_system_roots = builder().tls_certs_merge(roots.to_vec()).build();
    with_system_roots.or_else(|_| builder().tls_certs_only(roots.to_vec()).build())
}

async fn read(mut response: Response, limit: usize) -> Result<Fetched, FetchFault> {
    if response.status() != StatusCode::OK {
        return Err(FetchFault::Status(response.status().as_u16()));
    }
    if !is_json(response.headers()) {
        return Err(FetchFault::ContentType);
    }
    let max_age = max_age(response.headers());
    let mut body = Vec::new();
    // The announced length is only a claim; what arrives is counted.
    while let Some(chunk) = response.chunk().await.map_err(|error| connection(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(FetchFault::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Fetched { body, max_age })
}

/// `application/json`, `application/jwk-set+json` (RFC 7517 §8.5) or any other `+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.contains('/') && essence.ends_with("+json"))
}

/// RFC 9111 §5.2.2.1; a number too large to read counts as very long (§1.2.2).
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = directives.flat_map(|value| value.split(',')).map(str::trim);
    directives.find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        let digits = value.trim().trim_matches('"');
        let numeric = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        (name.trim().eq_ignore_ascii_case("max-age") && numeric)
            .then(|| Duration::from_secs(digits.parse::<u32>().unwrap_or(u32::MAX).into()))
    })
}

fn local_file(what: &'static str, path: &Path) -> Result<Vec<u8>, FetchFault> {
    let fault = |error: &dyn std::fmt::Display| FetchFault::LocalFile {
        what,
        path: path.display().to_string(),
        error: error.to_string(),
    };
    let size = std::fs::metadata(path).map_err(|error| fault(&error))?.len();
    if size > MAX_LOCAL_FILE_BYTES {
        return Err(fault(&"it is larger than 1 MiB"));
    }
    std::fs::read(path).map_err(|error| fault(&error))
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, FetchFault> {
    const WHAT: &str = "the CA file";
    let unusable = || FetchFault::LocalFile {
        what: WHAT,
        path: path.display().to_string(),
        error: "it has no PEM certificate".to_owned(),
    };
    let found = Certificate::from_pem_bundle(&local_file(WHAT, path)?).map_err(|_| unusable())?;
    if found.is_empty() { Err(unusable()) } else { Ok(found) }
}

/// Read anew at every fetch: Kubernetes rotates the file.
fn bearer(path: &Path) -> Result<HeaderValue, FetchFault> {
    const WHAT: &str = "the bearer token file";
    let text = local_file(WHAT, path)?;
    let mut value = Vec::from(b"Bearer ");
    value.extend_from_slice(text.trim_ascii());
    let mut header = HeaderValue::from_bytes(&value).map_err(|_| FetchFault::LocalFile {
        what: WHAT,
        path: path.display().to_string(),
        error: "it is not one line of text".to_owned(),
    })?;
    header.set_sensitive(true);
    Ok(header)
}

/// What went wrong on the way, in the libraries' words, without the URL (a redirect may have put anything there).
fn connection(error: &reqwest::Error) -> FetchFault {
    if error.is_timeout() {
        return FetchFault::Timeout;
    }
    let causes: Vec<&(dyn std::error::Error + 'static)> =
        std::iter::successors(std::error::Error::source(error), |cause| cause.source()).collect();
    if causes.iter().any(|cause| cause.is::<AddressRefused>()) {
        return FetchFault::AddressRefused;
    }
    let last = causes.last().map_or_else(|| "the request failed".to_owned(), ToString::to_string);
    let reached_nobody = |cause: &&(dyn std::error::Error + 'static)| {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        use std::io::ErrorKind as Kind;
        matches!(kind, Some(Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable))
            // The resolver's errors have no kind; hyper-util's wording is the only mark.
            || cause.to_string().starts_with("dns error")
    };
    if causes.iter().any(reached_nobody) { FetchFault::Unreachable(last) } else { FetchFault::Connection(last) }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
