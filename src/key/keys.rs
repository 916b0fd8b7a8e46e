//! The keys of all issuers, each fetched and refreshed on its own.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::cache::{Cache, World};
use super::fetch::{HttpFetch, Limits, Proxy, read_file};
use super::key_set::{KeySet, KeySetFault};
use super::source::purpose;
use super::x509_svid::{self, End};
use super::{KeyFailure, KeyRefusal, KeyStatus, VerifyingKey, X509Svid, X509SvidRefusal, report};
use crate::client_auth::{UnverifiedAssertion, UnverifiedCertificate};
use crate::clock::Clock;
use crate::config::{BundleProfile, ProxySettings};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source};
use crate::issuer::{Issuer, Issuers, KeyLocation, TrustedIssuer, TrustedIssuers};
use crate::json;
use crate::store::{KeySetRecord, Store};
use crate::vocab::{IssuerName, KeyId, UnixTime};

/// The keys of all configured issuers.
pub struct Keys {
    entries: HashMap<IssuerName, Arc<Entry>>,
    /// In the configuration's order.
    names: Vec<IssuerName>,
}

/// What a new [`Keys`] may take over.
pub enum Previous<'a> {
    /// Nothing: everything is fetched.
    Nothing,
    /// What the store kept of an earlier run.
    Kept(Vec<KeySetRecord>),
    /// What runs now, at a reload.
    Running(&'a Keys),
}

/// A key that may have signed an assertion, and the issuer whose it is.
#[derive(Debug, Clone)]
pub struct CandidateKey {
    /// Whose key it is.
    pub issuer: TrustedIssuer,
    /// The key.
    pub key: VerifyingKey,
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
    /// Starts fetching the keys of every enabled issuer, inside a Tokio runtime, and does not wait for any. At a reload
    /// the caches of issuers whose settings are the same go on; those of the others stop when `previous` is dropped, and
    /// what they hold serves until the new ones have fetched, if it is from the same place. Files are read again, key
    /// sets and bootstrap bundles; one that cannot be read now keeps what it gave before. Good answers are kept in `store`, where there is one.
    #[must_use]
    pub fn start(
        issuers: &Issuers,
        previous: Previous<'_>,
        clock: &Clock,
        store: Option<Arc<dyn Store>>,
        proxy: Option<&ProxySettings>,
    ) -> Keys {
        let fetch = Arc::new(HttpFetch { limits: Limits::DEFAULT, proxy: proxy.and_then(Proxy::new) });
        Keys::start_in(&World { clock: clock.clone(), fetch, store }, issuers, previous)
    }

    pub(super) fn start_in(world: &World, issuers: &Issuers, mut previous: Previous<'_>) -> Keys {
        let mut keys = Keys { entries: HashMap::new(), names: Vec::new() };
        for issuer in issuers.iter().filter(|issuer| !issuer.settings().disabled) {
            let entry = Entry::start(issuer, world, &mut previous);
            keys.names.push(issuer.name().clone());
            keys.entries.insert(issuer.name().clone(), entry);
        }
        keys
    }

    /// Checks the key set files that the issuers name, without any network: each must be read and have a usable key.
    pub fn check_files(issuers: &Issuers, faults: &mut Diagnostics) {
        for issuer in issuers.iter() {
            if let Some(KeyLocation::WorkloadApi { endpoint }) = issuer.key_location() {
                faults.extend(no_socket(endpoint));
            }
            let (path, is_bootstrap) = match issuer.key_location() {
                Some(KeyLocation::File(path)) => (path, false),
                Some(KeyLocation::BundleEndpoint { profile: BundleProfile::HttpsSpiffe { bootstrap, .. }, .. }) => {
                    (bootstrap, true)
                }
                _ => continue,
            };
            match read_file(path) {
                Err(fault) => faults.push(Diagnostic::file(path, fault.to_string()).fix(FILE_FIX)),
                Ok(file) => match KeySet::parse(&file.body, purpose(issuer), issuer.algorithms()) {
                    Err(fault) => faults.push(no_key_set(path, &file.body, &fault)),
                    Ok(set) if is_bootstrap && set.x509_authorities().is_empty() => faults.push(no_bootstrap(path)),
                    Ok(set) if set.is_empty() => faults.push(no_usable_key(path, issuer, &set)),
                    Ok(_) => {}
                },
            }
        }
    }

    /// The keys that may have signed an assertion: one, unless several clusters share the `iss` and more than one of them
    /// has a key with the header's `kid`. Which of those signed it is for `claims` to find out. Here the signature only
    /// says whether another answer of an issuer could matter: a cluster that publishes its neighbour's next `kid` must not
    /// hide that the neighbour's keys are old, and without a `kid` the only key that fits may be the one before a rotation.
    ///
    /// # Errors
    /// See [`KeyFailure`]; with several issuers [`KeyFailure::Unavailable`] comes first, since the key may be theirs.
    pub async fn find(
        &self,
        issuers: &TrustedIssuers,
        assertion: &UnverifiedAssertion,
    ) -> Result<Vec<CandidateKey>, KeyFailure> {
        let looked = self.look(issuers, assertion);
        if looked.worth_asking.is_empty() || looked.has_signer(assertion) {
            return looked.outcome();
        }
        // All at once: one that hangs must not use up the time of the others.
        futures_util::future::join_all(looked.worth_asking.iter().map(|(cache, seen)| cache.ask(*seen))).await;
        let looked = self.look(issuers, assertion);
        if looked.has_signer(assertion) { looked.outcome() } else { looked.outcome_without_signer() }
    }

    /// The whole key set of an issuer, as it is held now or after the fetch that this asks for.
    ///
    /// # Errors
    /// [`KeyFailure::Unavailable`].
    pub async fn key_set(&self, issuer: &TrustedIssuer) -> Result<Arc<KeySet>, KeyFailure> {
        let cache = &self.entry_of(issuer.name())?.cache;
        let seen = cache.landings();
        if cache.held().is_err() {
            cache.ask(seen).await;
        }
        cache.held()
    }

    /// Whether this SPIFFE issuer's authorities, as they are held now, stand behind a certificate. Where none does they are
    /// asked for once more, on the same budget as for an unknown `kid`: one may be new.
    ///
    /// # Errors
    /// [`KeyFailure::Certificate`], or [`KeyFailure::Unavailable`] when there are none to ask.
    pub async fn verify_certificate(
        &self,
        issuer: &TrustedIssuer,
        certificate: &UnverifiedCertificate,
        now: UnixTime,
    ) -> Result<X509Svid, KeyFailure> {
        let cache = &self.entry_of(issuer.name())?.cache;
        let verify = || -> Result<X509Svid, KeyFailure> {
            let set = cache.held()?;
            Ok(x509_svid::verify(certificate, set.x509_authorities(), issuer.identifier(), End::Client, now)?)
        };
        let seen = cache.landings();
        match verify() {
            Err(KeyFailure::Unavailable { .. } | KeyFailure::Certificate(X509SvidRefusal::Chain(_))) => {
                cache.ask(seen).await;
                verify()
            }
            settled => settled,
        }
    }

    fn look(&self, issuers: &TrustedIssuers, assertion: &UnverifiedAssertion) -> Looked<'_> {
        let mut looked = Looked::default();
        for issuer in issuers.iter() {
            let cache = self.entry_of(issuer.name()).ok().map(|entry| (&entry.cache, entry.cache.landings()));
            let outcome = self.look_at(issuer, assertion);
            if may_change(&outcome, assertion.unverified_key_id()) {
                looked.worth_asking.extend(cache);
            }
            match outcome {
                Ok(key) => looked.found.push(CandidateKey { issuer: issuer.clone(), key }),
                Err(failure) => looked.failures.push(failure),
            }
        }
        looked
    }

    /// The key among those held; or why not.
    fn look_at(&self, issuer: &TrustedIssuer, assertion: &UnverifiedAssertion) -> Result<VerifyingKey, KeyFailure> {
        let algorithm = assertion.unverified_algorithm();
        let id = assertion.unverified_key_id();
        // Both cost nothing, and neither may cause a fetch.
        if !issuer.algorithms().contains(&algorithm) {
            let allowed: Vec<&str> = issuer.algorithms().iter().map(|known| known.name()).collect();
            return Err(KeyRefusal::AlgorithmNotAllowed { algorithm, allowed: allowed.join(", ") }.into());
        }
        if id.is_none() && !issuer.settings().allow_missing_kid {
            return Err(KeyRefusal::MissingKeyId.into());
        }
        self.entry_of(issuer.name())?.cache.find(id, algorithm)
    }

    /// How every issuer's keys stand, in the configuration's order; disabled issuers have none.
    #[must_use]
    pub fn statuses(&self) -> Vec<KeyStatus> {
        self.names.iter().filter_map(|name| self.entries.get(name)).map(|entry| entry.cache.status()).collect()
    }

    /// Brings the gauges of all issuers up to date; called when metrics are read.
    pub fn publish_gauges(&self) {
        self.statuses().iter().for_each(report::gauges);
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

    fn entry_of(&self, name: &IssuerName) -> Result<&Arc<Entry>, KeyFailure> {
        let missing =
            || KeyFailure::Unavailable { issuer: name.clone(), last_error: "the issuer is not enabled".to_owned() };
        self.entries.get(name).ok_or_else(missing)
    }
}

impl Entry {
    fn start(issuer: &Arc<Issuer>, world: &World, previous: &mut Previous<'_>) -> Arc<Entry> {
        let is_file = matches!(issuer.key_location(), Some(KeyLocation::File(_)));
        let before = match previous {
            Previous::Running(keys) => keys.entries.get(issuer.name()),
            Previous::Nothing | Previous::Kept(_) => None,
        };
        if let Some(entry) = before.filter(|entry| !is_file && entry.cache.is_as_before(issuer)) {
            return Arc::clone(entry);
        }
        let cache = Arc::new(Cache::new(Arc::clone(issuer), world.clone()));
        if is_file {
            cache.read_own_file();
        }
        if let Some(entry) = before {
            cache.inherit(&entry.cache);
        }
        if let (Previous::Kept(kept), false) = (previous, is_file)
            && let Some(position) = kept.iter().position(|record| record.issuer == *issuer.name())
        {
            cache.restore(kept.swap_remove(position));
        }
        let refresher = (!is_file).then(|| cache.keep_fresh());
        Arc::new(Entry { cache, refresher })
    }
}

/// What several issuers' caches say about one assertion.
#[derive(Default)]
struct Looked<'a> {
    found: Vec<CandidateKey>,
    failures: Vec<KeyFailure>,
    worth_asking: Vec<(&'a Arc<Cache>, u64)>,
}

impl Looked<'_> {
    fn has_signer(&self, assertion: &UnverifiedAssertion) -> bool {
        self.found.iter().any(|one| one.key.verify(assertion.signing_input(), assertion.signature()))
    }

    fn outcome(self) -> Result<Vec<CandidateKey>, KeyFailure> {
        if self.found.is_empty() { self.outcome_without_signer() } else { Ok(self.found) }
    }

    /// Where keys cannot be had, theirs may be the one that signed; a key that did not says nothing about that.
    fn outcome_without_signer(mut self) -> Result<Vec<CandidateKey>, KeyFailure> {
        let is_unavailable = |failure: &KeyFailure| matches!(failure, KeyFailure::Unavailable { .. });
        match self.failures.iter().position(is_unavailable) {
            Some(unavailable) => Err(self.failures.swap_remove(unavailable)),
            None if !self.found.is_empty() => Ok(self.found),
            None if self.failures.is_empty() => Err(KeyRefusal::NoneFits.into()),
            None => Err(self.failures.swap_remove(0)),
        }
    }
}

/// Whether another answer of the issuer might change what a header finds there. Without a `kid` that is also so for a key
/// that was found: it is whichever fits, not the one that was named.
fn may_change(outcome: &Result<VerifyingKey, KeyFailure>, id: Option<&KeyId>) -> bool {
    match outcome {
        Ok(_) => id.is_none(),
        Err(KeyFailure::Unavailable { .. }) => true,
        Err(KeyFailure::Refusal(refusal)) => {
            matches!(refusal, KeyRefusal::Unknown { .. } | KeyRefusal::NoneFits | KeyRefusal::Ambiguous)
        }
        Err(KeyFailure::Certificate(_)) => false,
    }
}

/// An agent may start after us, so that it is not there is a warning.
fn no_socket(endpoint: &str) -> Diagnostics {
    use std::os::unix::fs::FileTypeExt as _;
    let path = Path::new(endpoint.strip_prefix("unix://").unwrap_or(endpoint));
    let message = match std::fs::metadata(path) {
        Ok(found) if found.file_type().is_socket() => return Diagnostics::new(),
        Ok(_) => "is no socket".to_owned(),
        Err(error) => format!("the agent's socket cannot be found: {error}"),
    };
    let mut faults = Diagnostics::new();
    let fix = "start the SPIFFE agent, or correct `workload_api` and what is mounted there";
    faults.push(Diagnostic::file(path, message).fix(fix).as_warning());
    faults
}

/// What stands in a key set file.
const FILE_FIX: &str = "write a JWKS ({ \"keys\": [ … ] }) or a SPIFFE bundle there";

/// The fault of a file that is no key set, at its place.
fn no_key_set(path: &Path, body: &[u8], fault: &KeySetFault) -> Diagnostic {
    at(path, json::fault_position(body).unwrap_or((1, 1)), fault.to_string()).fix(FILE_FIX)
}

/// Nothing verifies with this file; it may be meant so (a trust domain that is shut), so it is a warning.
fn no_usable_key(path: &Path, issuer: &Issuer, set: &KeySet) -> Diagnostic {
    let left_out =
        Some(set.left_out()).filter(|reasons| !reasons.is_empty()).unwrap_or_else(|| "it has none".to_owned());
    let message = format!("issuer `{}` has no usable key in it: {left_out}", issuer.name());
    at(path, (1, 1), message).fix("add the issuer's public signing keys").as_warning()
}

/// Nothing can check the endpoint, so no bundle will ever be fetched.
fn no_bootstrap(path: &Path) -> Diagnostic {
    let message = "the bootstrap bundle has no X.509 authority (`use: x509-svid` with one CA certificate in `x5c`)";
    at(path, (1, 1), message.to_owned()).fix("write `spire-server bundle show -format spiffe` there")
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
