//! Bundles of a SPIFFE agent on this machine: the Workload API over a unix socket.
//!
//! In: a socket and a trust domain. Out: one SPIFFE bundle document, made of the agent's JWT and X.509 bundles, and the
//! word that it changed. The agent streams the bundles of every trust domain that it knows; only the configured one's are
//! taken (JWT-SVID §6.2, SPIFFE Federation §7.3). Not here: what the document says (see `key_set`).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde_json::{Value, json};
use spiffe::transport::{Endpoint, GrpcStatusCode, TransportError};
use spiffe::{JwtBundleSet, TrustDomain, WorkloadApiClient, WorkloadApiError, X509BundleSet};

use super::fetch::{FetchFault, Fetched};
use crate::clock::Clock;

/// An agent on the same machine that has not begun to answer by then hangs.
const OPEN: Duration = Duration::from_secs(5);
/// First and longest wait before the streams are opened anew.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Messages that are ready at once mean one change.
const MOST_AT_ONCE: usize = 64;

/// What the agent holds for the trust domain now, as one bundle document. One that it does not name has no keys.
pub(super) async fn fetch(endpoint: &str, trust_domain: &TrustDomain) -> Result<Fetched, FetchFault> {
    let client = connect(endpoint).await?;
    let (jwt, x509) = tokio::join!(client.fetch_jwt_bundles(), client.fetch_x509_bundles());
    let jwt = jwt.map_err(|error| fault(&error))?;
    let x509 = match x509 {
        Err(error) if is_unimplemented(&error) => X509BundleSet::default(),
        other => other.map_err(|error| fault(&error))?,
    };
    let keys = [jwt_keys(&jwt, trust_domain), x509_keys(&x509, trust_domain)].concat();
    Ok(Fetched { body: json!({ "keys": keys }).to_string().into_bytes(), max_age: None })
}

/// Calls `on_change` whenever the agent says that bundles changed, and after each time that it could be reached again.
/// Ends only when it is dropped.
pub(super) async fn follow<F: Future<Output = ()>>(endpoint: &str, clock: &Clock, on_change: impl Fn() -> F) {
    let mut wait = BACKOFF.0;
    loop {
        let mut spoke = false;
        let fault = match tokio::time::timeout(OPEN, open(endpoint)).await {
            Err(_) => FetchFault::Timeout,
            Ok(Err(fault)) => fault,
            Ok(Ok(mut changes)) => loop {
                let Some(messages) = changes.next().await else { break FetchFault::Stopped };
                if let Some(fault) = messages.into_iter().find_map(Result::err) {
                    break fault;
                }
                spoke = true;
                on_change().await;
            },
        };
        wait = if spoke { BACKOFF.0 } else { wait };
        // Whether there are keys, and why not, is what the fetches report.
        tracing::debug!("the stream of the SPIFFE agent at {endpoint} ended: {fault}; again in {wait:?}");
        clock.sleep(wait).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}

type Changes = BoxStream<'static, Vec<Result<(), FetchFault>>>;

/// Both streams as one of changes, which ends with a fault.
async fn open(endpoint: &str) -> Result<Changes, FetchFault> {
    let client = connect(endpoint).await?;
    let (jwt, x509) = tokio::join!(client.stream_jwt_bundles(), client.stream_x509_bundles());
    let jwt = jwt.map_err(|error| fault(&error))?.map(|message| message.map(drop)).boxed();
    let x509 = match x509 {
        Err(error) if is_unimplemented(&error) => stream::pending().boxed(),
        other => other.map_err(|error| fault(&error))?.map(|message| message.map(drop)).boxed(),
    };
    Ok(stream::select(until_gone(jwt), until_gone(x509)).ready_chunks(MOST_AT_ONCE).boxed())
}

fn until_gone(
    messages: BoxStream<'static, Result<(), WorkloadApiError>>,
) -> BoxStream<'static, Result<(), FetchFault>> {
    let gone = stream::once(std::future::ready(Err(FetchFault::Agent("it ended the stream".to_owned()))));
    messages.map(|message| message.map_err(|error| fault(&error))).chain(gone).boxed()
}

async fn connect(endpoint: &str) -> Result<WorkloadApiClient, FetchFault> {
    let endpoint = Endpoint::parse(endpoint).map_err(|error| FetchFault::Agent(error.to_string()))?;
    WorkloadApiClient::connect(endpoint).await.map_err(|error| FetchFault::Unreachable(innermost(&error)))
}

/// The keys of the JWT bundle. It is a plain JWKS, in which SPIRE leaves `use` out: what signs, signs JWT-SVIDs. A key of
/// another use (`x509-svid`, `wit-svid`) stays what it says, so that it is left out and counted.
fn jwt_keys(bundles: &JwtBundleSet, trust_domain: &TrustDomain) -> Vec<Value> {
    let Some(bundle) = bundles.get(trust_domain) else { return Vec::new() };
    let mut authorities: Vec<_> = bundle.jwt_authorities().collect();
    authorities.sort_by_key(|authority| authority.key_id());
    let keys = authorities.into_iter().filter_map(|authority| serde_json::from_slice(authority.jwk_json()).ok());
    keys.map(|mut key: Value| {
        let signs = matches!(key.get("use").map(Value::as_str), None | Some(Some("sig")));
        if let Some(members) = key.as_object_mut().filter(|_| signs) {
            members.insert("use".to_owned(), "jwt-svid".into());
        }
        key
    })
    .collect()
}

/// The authorities of the X.509 bundle as keys with one certificate each (SPIFFE Trust Domain and Bundle §4.2.2).
fn x509_keys(bundles: &X509BundleSet, trust_domain: &TrustDomain) -> Vec<Value> {
    let bundle = bundles.get(trust_domain);
    let authorities = bundle.iter().flat_map(|bundle| bundle.authorities());
    authorities.map(|authority| json!({ "use": "x509-svid", "x5c": [STANDARD.encode(authority.as_bytes())] })).collect()
}

fn is_unimplemented(error: &WorkloadApiError) -> bool {
    matches!(error, WorkloadApiError::Transport(TransportError::Status(status)) if status.code() == GrpcStatusCode::Unimplemented)
}

fn fault(error: &WorkloadApiError) -> FetchFault {
    match error {
        WorkloadApiError::NoIdentityIssued => {
            FetchFault::Agent("it has no registration entry for this broker (no identity issued)".to_owned())
        }
        other => FetchFault::Agent(innermost(other)),
    }
}

/// The libraries' outer words only say that something failed.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
#[path = "workload_api_tests.rs"]
mod tests;
