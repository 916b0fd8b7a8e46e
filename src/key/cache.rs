//! One issuer's keys: a snapshot that requests read without a lock, and the fetches that replace it.
//!
//! In: a `kid` and an algorithm. Out: a key, a refusal, or the word that keys cannot be had. A request whose `kid` is
//! known never waits. At most one fetch runs at a time, in a task of its own, so no caller can cancel it for others.
//! `docs/key-cache.md` lists the promises and their tests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::fetch::{Fetch, FetchFault, Fetched, read_file};
use super::key_set::{KeySet, KeySetUse};
use super::{KeyFailure, KeyLine, KeyRefusal, KeyStatus, SkippedKey, VerifyingKey};
use crate::clock::{Clock, random_bytes};
use crate::issuer::{Issuer, KeyLocation};
use crate::vocab::{Algorithm, IssuerKind, KeyId, UnixMillis};

/// A request waits no longer than this for a fetch: the workload's own timeout is often ten seconds.
const WAIT: Duration = Duration::from_secs(3);
/// Between two fetches that requests cause; an unknown `kid` costs an attacker nothing.
const COOLDOWN: Duration = Duration::from_secs(30);
/// How long a `kid` that a fresh key set did not have causes no further fetch.
const ABSENT_FOR: Duration = Duration::from_secs(120);
/// Most absent `kid`s remembered for an issuer.
const MAX_ABSENT: u64 = 1000;
/// Greatest age of a key set: a key that its issuer removed stops verifying within this, whatever `max-age` says.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Least age, for issuers that say `max-age=0`.
const MIN_AGE: Duration = Duration::from_secs(60);
/// However little staleness an operator allows, the issuer is not asked more often than this.
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// First and longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// See the module.
pub(super) struct Cache {
    issuer: Arc<Issuer>,
    clock: Clock,
    fetch: Arc<dyn Fetch>,
    snapshot: ArcSwapOption<Snapshot>,
    progress: Mutex<Progress>,
    absent: moka::sync::Cache<KeyId, UnixMillis>,
}

/// The last good answer.
struct Snapshot {
    set: KeySet,
    fetched_at: UnixMillis,
    /// When the next fetch is due; `None` for a file.
    refresh_after: Option<Duration>,
}

#[derive(Default)]
struct Progress {
    flight: Option<Flight>,
    /// When a request last caused a fetch.
    asked_at: Option<UnixMillis>,
    next_fetch: Option<UnixMillis>,
    failures: u32,
    last_error: Option<FetchFault>,
}

/// A running fetch: `None` until it has landed.
type Flight = watch::Receiver<Option<Result<(), FetchFault>>>;

impl Cache {
    pub(super) fn new(issuer: Arc<Issuer>, fetch: Arc<dyn Fetch>, clock: Clock) -> Cache {
        Cache {
            issuer,
            clock,
            fetch,
            snapshot: ArcSwapOption::empty(),
            progress: Mutex::default(),
            absent: moka::sync::Cache::builder().max_capacity(MAX_ABSENT).time_to_live(ABSENT_FOR).build(),
        }
    }

    pub(super) fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// The key that a header names.
    pub(super) async fn find(
        self: &Arc<Self>,
        id: Option<&KeyId>,
        algorithm: Algorithm,
    ) -> Result<VerifyingKey, KeyFailure> {
        match self.look_up(id, algorithm) {
            Err(KeyFailure::Refusal(KeyRefusal::Unknown { key_id })) if !self.is_absent(&key_id) => {
                let fetched = self.fetch_for_a_request().await;
                let found = self.look_up(id, algorithm);
                if fetched && matches!(found, Err(KeyFailure::Refusal(KeyRefusal::Unknown { .. }))) {
                    self.absent.insert(key_id, self.clock.now_millis());
                }
                found
            }
            Err(KeyFailure::Unavailable { .. }) => {
                self.fetch_for_a_request().await;
                self.look_up(id, algorithm)
            }
            settled => settled,
        }
    }

    /// Fetches now, or joins the fetch that runs; without a cooldown, for the refresher and for operators.
    pub(super) async fn refresh(self: &Arc<Self>) -> Result<(), FetchFault> {
        landing(self.board()).await
    }

    /// Starts the first fetch at once, so that requests join it and none is charged for it, and goes on fetching in a
    /// task that its owner aborts.
    pub(super) fn keep_fresh(self: &Arc<Self>) -> AbortHandle {
        let mut flight = self.take_off(&mut self.progress());
        let cache = self.clone();
        let refresher = tokio::spawn(async move {
            loop {
                let wait = cache.wait_after(landing(flight).await);
                tokio::time::sleep(wait).await;
                flight = cache.board();
            }
        });
        refresher.abort_handle()
    }

    /// Reads a key set file into the snapshot; nothing for other sources.
    pub(super) fn read_own_file(&self) {
        if let Some(KeyLocation::File(path)) = self.issuer.key_location() {
            let _ = self.settle(self.clock.now_millis(), read_file(path));
        }
    }

    /// Takes over another cache's keys, for a source that this time gave none.
    pub(super) fn inherit(&self, previous: &Cache) {
        if self.snapshot.load().is_none() {
            self.snapshot.store(previous.snapshot.load_full());
        }
    }

    pub(super) fn status(&self) -> KeyStatus {
        let now = self.clock.now_millis();
        let snapshot = self.snapshot.load();
        let snapshot = snapshot.as_deref();
        let lines = |set: &KeySet| {
            set.keys().map(|key| KeyLine { id: key.id().cloned(), algorithm: key.algorithm() }).collect()
        };
        let mut keys: Vec<KeyLine> = snapshot.map(|held| lines(&held.set)).unwrap_or_default();
        keys.sort();
        let progress = self.progress();
        KeyStatus {
            issuer: self.issuer.name().clone(),
            source: self.issuer.key_location().map(ToString::to_string),
            usable: snapshot.is_some_and(|held| !held.set.is_empty() && self.is_fresh_enough(held, now)),
            keys,
            skipped: snapshot.map(|held| held.set.skipped().clone()).unwrap_or_default(),
            last_fetch: snapshot.map(|held| held.fetched_at.to_unix_time()),
            age_seconds: snapshot.map(|held| now.to_unix_time().since(held.fetched_at.to_unix_time()).as_secs()),
            next_fetch: progress.next_fetch.map(UnixMillis::to_unix_time),
            last_error: progress.last_error.as_ref().map(ToString::to_string),
            sequence: snapshot.and_then(|held| held.set.sequence()),
        }
    }

    /// What an operator reads when the keys cannot be had.
    pub(super) fn unavailable(&self) -> KeyFailure {
        let last_error = self.progress().last_error.as_ref().map(ToString::to_string);
        KeyFailure::Unavailable {
            issuer: self.issuer.name().clone(),
            last_error: last_error.unwrap_or_else(|| "they have not been fetched yet".to_owned()),
        }
    }

    fn look_up(&self, id: Option<&KeyId>, algorithm: Algorithm) -> Result<VerifyingKey, KeyFailure> {
        let snapshot = self.snapshot.load();
        let Some(held) = snapshot.as_ref().filter(|held| self.is_fresh_enough(held, self.clock.now_millis())) else {
            return Err(self.unavailable());
        };
        Ok(held.set.find(id, algorithm, self.issuer.settings().allow_missing_kid)?)
    }

    /// Old keys serve `stale_keys_for` longer than a healthy issuer would leave them in place, and not for ever: after
    /// a compromise the issuer's endpoint may be what is down.
    fn is_fresh_enough(&self, held: &Snapshot, now: UnixMillis) -> bool {
        let Some(refresh_after) = held.refresh_after else { return true };
        now.0 <= held.fetched_at.0.saturating_add(millis(refresh_after + self.issuer.stale_keys_for()))
    }

    fn is_absent(&self, id: &KeyId) -> bool {
        self.absent.get(id).is_some_and(|at| !has_passed(ABSENT_FOR, at, self.clock.now_millis()))
    }

    /// Joins the running fetch, or starts one if the cooldown is over; the cooldown is charged before the attempt,
    /// so failures and empty answers do not get around it. Whether a fetch was started for this request and landed
    /// well within the time a request may wait.
    async fn fetch_for_a_request(self: &Arc<Self>) -> bool {
        if matches!(self.issuer.key_location(), None | Some(KeyLocation::File(_))) {
            return false;
        }
        let (flight, started) = {
            let mut progress = self.progress();
            let now = self.clock.now_millis();
            match progress.running() {
                Some(flight) => (flight, false),
                None if progress.asked_at.is_some_and(|at| !has_passed(COOLDOWN, at, now)) => return false,
                None => {
                    progress.asked_at = Some(now);
                    (self.take_off(&mut progress), true)
                }
            }
        };
        let landed = tokio::time::timeout(WAIT, landing(flight)).await;
        started && matches!(landed, Ok(Ok(())))
    }

    /// The fetch that runs, or a new one.
    fn board(self: &Arc<Self>) -> Flight {
        let mut progress = self.progress();
        progress.running().unwrap_or_else(|| self.take_off(&mut progress))
    }

    /// How long the refresher sleeps after a fetch.
    fn wait_after(&self, outcome: Result<(), FetchFault>) -> Duration {
        let due = || self.snapshot.load().as_ref().and_then(|held| held.refresh_after);
        let mut progress = self.progress();
        let wait = outcome.ok().and_then(|()| due()).unwrap_or_else(|| backoff(progress.failures));
        progress.next_fetch = Some(UnixMillis(self.clock.now_millis().0.saturating_add(millis(wait))));
        wait
    }

    fn take_off(self: &Arc<Self>, progress: &mut Progress) -> Flight {
        let (sender, flight) = watch::channel(None);
        let cache = self.clone();
        tokio::spawn(async move {
            let started_at = cache.clock.now_millis();
            let fetched = match cache.issuer.key_location() {
                Some(KeyLocation::File(path)) => read_file(path),
                _ => cache.fetch.fetch(&cache.issuer).await,
            };
            let outcome = cache.settle(started_at, fetched);
            let _ = sender.send(Some(outcome));
        });
        progress.flight = Some(flight.clone());
        flight
    }

    /// Makes an answer the snapshot. One that is no key set leaves the good keys in place; one without usable keys is
    /// the issuer's word that nothing verifies any more, and replaces them.
    fn settle(&self, started_at: UnixMillis, fetched: Result<Fetched, FetchFault>) -> Result<(), FetchFault> {
        let purpose = match self.issuer.kind() {
            IssuerKind::Spiffe => KeySetUse::SpiffeJwt,
            IssuerKind::GithubActions | IssuerKind::Azure | IssuerKind::Kubernetes | IssuerKind::Oidc => {
                KeySetUse::Oidc
            }
        };
        let read = fetched
            .and_then(|answer| Ok((KeySet::parse(&answer.body, purpose, self.issuer.algorithms())?, answer.max_age)));
        self.report(&read);
        let mut progress = self.progress();
        match read {
            Ok((set, max_age)) => {
                let is_file = matches!(self.issuer.key_location(), Some(KeyLocation::File(_)));
                let refresh_after = (!is_file).then(|| self.refresh_after(&set, max_age));
                self.snapshot.store(Some(Arc::new(Snapshot { set, fetched_at: started_at, refresh_after })));
                (progress.failures, progress.last_error) = (0, None);
                Ok(())
            }
            Err(fault) => {
                progress.failures = progress.failures.saturating_add(1);
                progress.last_error = Some(fault.clone());
                Err(fault)
            }
        }
    }

    fn report(&self, read: &Result<(KeySet, Option<Duration>), FetchFault>) {
        let name = self.issuer.name().to_string();
        let outcome = read.as_ref().map_or_else(FetchFault::outcome, |_| "ok");
        metrics::counter!("countersign_key_fetches_total", "issuer" => name.clone(), "outcome" => outcome).increment(1);
        match read {
            Ok((set, _)) => {
                let skipped: usize = set.skipped().values().sum();
                metrics::gauge!("countersign_keys", "issuer" => name.clone()).set(as_metric(set.keys().count()));
                metrics::gauge!("countersign_keys_skipped", "issuer" => name.clone()).set(as_metric(skipped));
                if set.skipped().contains_key(&SkippedKey::PrivateKey) {
                    tracing::error!(issuer.name = name, "issuer {name} publishes a private key; that key is refused");
                }
                if set.is_empty() {
                    tracing::warn!(issuer.name = name, "issuer {name} has no usable key; nothing of it verifies");
                }
            }
            Err(fault) => tracing::warn!(issuer.name = name, "the keys of issuer {name} cannot be had: {fault}"),
        }
    }

    /// Half to four fifths of the set's age, so that replicas and issuers spread, and less where an operator allows
    /// only little staleness.
    fn refresh_after(&self, set: &KeySet, max_age: Option<Duration>) -> Duration {
        let age = set.refresh_hint().or(max_age).unwrap_or(MAX_AGE).clamp(MIN_AGE, MAX_AGE);
        let share = 50 + random_bytes::<1>().map_or(0, |[byte]| u32::from(byte) * 30 / 255);
        (age * share / 100).min((self.issuer.stale_keys_for() / 2).max(MIN_INTERVAL))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// The fetch that runs; one whose task is gone does not.
    fn running(&self) -> Option<Flight> {
        self.flight.as_ref().filter(|flight| flight.borrow().is_none() && flight.has_changed().is_ok()).cloned()
    }
}

async fn landing(mut flight: Flight) -> Result<(), FetchFault> {
    let landed = flight.wait_for(Option::is_some).await.map_err(|_| FetchFault::Stopped)?;
    landed.clone().unwrap_or(Err(FetchFault::Stopped))
}

fn backoff(failures: u32) -> Duration {
    let doubled = BACKOFF.0.saturating_mul(1 << failures.saturating_sub(1).min(6));
    doubled.min(BACKOFF.1)
}

/// Also true when the clock was set back: better one fetch too many than none.
fn has_passed(span: Duration, since: UnixMillis, now: UnixMillis) -> bool {
    now < since || now.0.saturating_sub(since.0) >= millis(span)
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn as_metric(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
#[path = "cache_tests.rs"]
pub(super) mod tests;
