//! The keys of all issuers, each fetched and refreshed on its own.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::cache::Cache;
use super::fetch::{Fetch, HttpFetch, Limits, read_file};
use super::key_set::{KeySet, KeySetFault, KeySetUse};
use super::{KeyFailure, KeyRefusal, KeyStatus, VerifyingKey};
use crate::client_auth::UnverifiedAssertion;
use crate::clock::Clock;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source};
use crate::issuer::{Issuer, Issuers, KeyLocation, TrustedIssuer};
use crate::json;
use crate::vocab::{IssuerKind, IssuerName};

/// The keys of all configured issuers.
pub struct Keys {
    fetch: Arc<dyn Fetch>,
    entries: HashMap<IssuerName, Arc<Entry>>,
    /// In the configuration's order.
    names: Vec<IssuerName>,
}

/// A cache and, unless it is a file's, the task that keeps it fresh.
struct Entry {
    cache: Arc<Cache>,
    refresher: Option<AbortHandle>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(refresher) = &self.refresher {
            refresher.abort();
        }
    }
}

impl Keys {
    /// Starts fetching the keys of every enabled issuer, inside a Tokio runtime, and does not wait for any. Of `previous`,
    /// the caches of issuers whose settings are the same go on; those of the others stop when it is dropped. Files are
    /// read again; one that cannot be read now keeps what it gave before.
    #[must_use]
    pub fn start(issuers: &Issuers, previous: Option<&Keys>, clock: &Clock) -> Keys {
        Keys::start_with(issuers, previous, clock, Arc::new(HttpFetch(Limits::DEFAULT)))
    }

    pub(super) fn start_with(issuers: &Issuers, previous: Option<&Keys>, clock: &Clock, fetch: Arc<dyn Fetch>) -> Keys {
        let fetch = previous.map_or(fetch, |keys| keys.fetch.clone());
        let mut keys = Keys { fetch, entries: HashMap::new(), names: Vec::new() };
        for issuer in issuers.iter().filter(|issuer| !issuer.settings().disabled) {
            let before = previous.and_then(|keys| keys.entries.get(issuer.name()));
            let before = before.filter(|entry| entry.cache.issuer().settings() == issuer.settings());
            let entry = keys.entry(issuer, before, clock);
            keys.names.push(issuer.name().clone());
            keys.entries.insert(issuer.name().clone(), entry);
        }
        keys
    }

    /// Checks the key set files that the issuers name, without any network: each must be read and have a usable key.
    pub fn check_files(issuers: &Issuers, faults: &mut Diagnostics) {
        for issuer in issuers.iter() {
            let Some(KeyLocation::File(path)) = issuer.key_location() else { continue };
            let purpose = if issuer.kind() == IssuerKind::Spiffe { KeySetUse::SpiffeJwt } else { KeySetUse::Oidc };
            match read_file(path) {
                Err(fault) => faults.push(Diagnostic::file(path, fault.to_string()).fix(FILE_FIX)),
                Ok(file) => match KeySet::parse(&file.body, purpose, issuer.algorithms()) {
                    Err(fault) => faults.push(no_key_set(path, &file.body, &fault)),
                    Ok(set) if set.is_empty() => faults.push(no_usable_key(path, issuer, &set)),
                    Ok(_) => {}
                },
            }
        }
    }

    /// The key of this issuer that the assertion's header names.
    ///
    /// # Errors
    /// See [`KeyFailure`].
    pub async fn find(
        &self,
        issuer: &TrustedIssuer,
        assertion: &UnverifiedAssertion,
    ) -> Result<VerifyingKey, KeyFailure> {
        let algorithm = assertion.unverified_algorithm();
        let id = assertion.unverified_key_id();
        // Both cost nothing, and neither may cause a fetch.
        if !issuer.algorithms().contains(&algorithm) {
            return Err(KeyRefusal::AlgorithmNotAllowed { algorithm }.into());
        }
        if id.is_none() && !issuer.settings().allow_missing_kid {
            return Err(KeyRefusal::MissingKeyId.into());
        }
        self.entry_of(issuer.name())?.cache.find(id, algorithm).await
    }

    /// How every issuer's keys stand, in the configuration's order; disabled issuers have none.
    #[must_use]
    pub fn statuses(&self) -> Vec<KeyStatus> {
        self.names.iter().filter_map(|name| self.entries.get(name)).map(|entry| entry.cache.status()).collect()
    }

    /// Fetches an issuer's keys now and waits for them.
    ///
    /// # Errors
    /// [`KeyFailure::Unavailable`], when there is no such issuer or the fetch failed; held keys stay.
    pub async fn refresh(&self, name: &IssuerName) -> Result<KeyStatus, KeyFailure> {
        let cache = &self.entry_of(name)?.cache;
        match cache.refresh().await {
            Ok(()) => Ok(cache.status()),
            Err(fault) => Err(KeyFailure::Unavailable { issuer: name.clone(), last_error: fault.to_string() }),
        }
    }

    fn entry(&self, issuer: &Arc<Issuer>, before: Option<&Arc<Entry>>, clock: &Clock) -> Arc<Entry> {
        let is_file = matches!(issuer.key_location(), Some(KeyLocation::File(_)));
        if let (Some(entry), false) = (before, is_file) {
            return entry.clone();
        }
        let cache = Arc::new(Cache::new(issuer.clone(), self.fetch.clone(), clock.clone()));
        if !is_file {
            let refresher = Some(cache.keep_fresh());
            return Arc::new(Entry { cache, refresher });
        }
        cache.read_own_file();
        if let Some(entry) = before {
            cache.inherit(&entry.cache);
        }
        Arc::new(Entry { cache, refresher: None })
    }

    fn entry_of(&self, name: &IssuerName) -> Result<&Arc<Entry>, KeyFailure> {
        let missing =
            || KeyFailure::Unavailable { issuer: name.clone(), last_error: "the issuer is not enabled".to_owned() };
        self.entries.get(name).ok_or_else(missing)
    }
}

/// What stands in a key set file.
const FILE_FIX: &str = "write a JWKS ({ \"keys\": [ … ] }) or a SPIFFE bundle there";

/// The fault of a file that is no key set, at its place.
fn no_key_set(path: &Path, body: &[u8], fault: &KeySetFault) -> Diagnostic {
    at(path, json::fault_position(body).unwrap_or((1, 1)), fault.to_string()).fix(FILE_FIX)
}

/// Nothing verifies with this file; it may be meant so (a trust domain that is shut), so it is a warning.
fn no_usable_key(path: &Path, issuer: &Issuer, set: &KeySet) -> Diagnostic {
    let reasons: Vec<String> = set.skipped().iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let left_out = if reasons.is_empty() { "it has none".to_owned() } else { reasons.join(", ") };
    let message = format!("issuer `{}` has no usable key in it: {left_out}", issuer.name());
    at(path, (1, 1), message).fix("add the issuer's public signing keys").as_warning()
}

/// Without an excerpt: somebody may have put a private key there, and key sets have long lines.
fn at(path: &Path, (line, column): (usize, usize), message: String) -> Diagnostic {
    Diagnostic::error(&Source::new(path, ""), &Place::At { line, column, width: 1 }, "key-set", message)
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Keys").field("issuers", &self.names).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
