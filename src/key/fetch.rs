//! The only way out to the network: an issuer's key set, or why it cannot be had.
//!
//! In: a configured issuer. Out: the bytes of its key set and how long they may be kept. Everything that a stranger
//! controls is bounded: where a connection goes, how long it lasts, how much is read. Not here: what the bytes say.

mod answer;
mod client;
mod fault;
mod local;
mod session;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::key_set::{self, KeySet};
use super::{bundle_server, workload_api};
use crate::config::BundleProfile;
use crate::issuer::{Issuer, KeyLocation};
use crate::json;

pub(super) use client::Proxy;
pub(super) use fault::FetchFault;
use session::Session;

/// An issuer's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) body: Vec<u8>,
    /// `max-age` of its `Cache-Control`, unbounded.
    pub(super) max_age: Option<Duration>,
}

pub(super) type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Fetched, FetchFault>> + Send + 'a>>;

/// Where key sets come from: the network, or a test's script.
pub(super) trait Fetch: Send + Sync {
    /// Fetches an issuer's key set. `held` is what it gave last: a SPIFFE bundle endpoint may have to prove itself with
    /// the authorities in there, or with its bootstrap file's where nothing is held.
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
pub(super) struct HttpFetch {
    pub(super) limits: Limits,
    pub(super) proxy: Option<Proxy>,
}

impl Fetch for HttpFetch {
    fn fetch<'a>(&'a self, issuer: &'a Issuer, held: Option<Arc<KeySet>>) -> Fetching<'a> {
        Box::pin(async move {
            let attempt = attempt(self, issuer, held);
            tokio::time::timeout(self.limits.total, attempt).await.unwrap_or(Err(FetchFault::Timeout))
        })
    }
}

/// Reads a key set's file.
pub(super) fn read_file(path: &Path) -> Result<Fetched, FetchFault> {
    Ok(Fetched { body: local::file("the key set", path)?, max_age: None })
}

async fn attempt(fetch: &HttpFetch, issuer: &Issuer, held: Option<Arc<KeySet>>) -> Result<Fetched, FetchFault> {
    match issuer.key_location() {
        None => Err(FetchFault::NotConfigured),
        Some(KeyLocation::File(path)) => read_file(path),
        Some(KeyLocation::Url(url) | KeyLocation::BundleEndpoint { url, profile: BundleProfile::HttpsWeb }) => {
            Session::open(fetch, issuer, url)?.get(url).await
        }
        Some(KeyLocation::BundleEndpoint { url, profile: BundleProfile::HttpsSpiffe { endpoint, bootstrap } }) => {
            let authorities = bundle_server::authorities(held.as_deref(), bootstrap)?;
            let tls = bundle_server::tls(endpoint, authorities)?;
            Session::open(fetch, issuer, url)?.trusting_only(tls).get(url).await
        }
        Some(KeyLocation::WorkloadApi { endpoint }) => match &issuer.settings().trust_domain {
            Some(trust_domain) => workload_api::fetch(endpoint, trust_domain).await,
            None => Err(FetchFault::NotConfigured),
        },
        Some(KeyLocation::Discovery { metadata, issuer: expected }) => {
            let mut session = Session::open(fetch, issuer, metadata)?;
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

#[cfg(test)]
mod tests;
