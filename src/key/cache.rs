//! One issuer's keys: a snapshot that requests read without a lock, and the fetches that replace it.
//!
//! In: a `kid` and an algorithm. Out: a key, a refusal, or the word that keys cannot be had. A request whose `kid` is
//! known never waits. At most one fetch runs at a time, and the last good answer survives a restart in the store.
//! `docs/key-cache.md` lists the promises and their tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::fetch::{Fetch, FetchFault, Fetched, read_file};
use super::flight::{Flight, Landed};
use super::key_set::KeySet;
use super::source::{purpose, source};
use super::{
    Held, KeyFailure, KeyLine, KeyRefusal, KeyStatus, VerifyingKey, report, schedule, workload_api, x509_svid,
};
use crate::clock::{Clock, random_bytes};
use crate::issuer::{Issuer, KeyLocation};
use crate::store::{KeySetRecord, Store};
use crate::vocab::{Algorithm, KeyId, UnixMillis};

/// What a cache needs of the world.
#[derive(Clone)]
pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) fetch: Arc<dyn Fetch>,
    /// Where good answers are kept for the next start; none for commands that only look.
    pub(super) store: Option<Arc<dyn Store>>,
}

/// See the module.
pub(super) struct Cache {
    issuer: Arc<Issuer>,
    /// See [`source`].
    source: Option<String>,
    world: World,
    snapshot: ArcSwapOption<Snapshot>,
    progress: Mutex<Progress>,
    /// Fetches that have ended, well or not.
    landings: AtomicU64,
    /// Told whenever the next fetch was planned anew.
    planned: Notify,
}

/// The last good answer.
struct Snapshot {
    set: Arc<KeySet>,
    answer: Fetched,
    fetched_at: UnixMillis,
    /// Whether it came from the store and the issuer has not confirmed it yet.
    is_restored: bool,
    /// How long it is fresh; `None` for a file.
    refresh_after: Option<std::time::Duration>,
}

#[derive(Default)]
struct Progress {
    flight: Option<Flight>,
    /// When the bucket's token was last taken.
    charged_at: Option<UnixMillis>,
    /// When the next planned fetch is due.
    due_at: Option<UnixMillis>,
    failures: u32,
    last_error: Option<FetchFault>,
    /// An operator asked, and knows better than a sequence number.
    accept_older: bool,
}

impl Cache {
    pub(super) fn new(issuer: Arc<Issuer>, world: World) -> Cache {
        let (source, snapshot) = (source(&issuer), ArcSwapOption::empty());
        Cache {
            issuer,
            source,
            world,
            snapshot,
            progress: Mutex::default(),
            landings: AtomicU64::new(0),
            planned: Notify::new(),
        }
    }

    /// Whether it goes on at a reload that says this of its issuer. A bootstrap file that cannot be read now is no other.
    pub(super) fn is_as_before(&self, issuer: &Issuer) -> bool {
        self.issuer.settings() == issuer.settings() && source(issuer).is_none_or(|now| self.is_from(&now))
    }

    fn is_from(&self, source: &str) -> bool {
        self.source.as_deref() == Some(source)
    }

    /// The key that a header names, among those held now.
    pub(super) fn find(&self, id: Option<&KeyId>, algorithm: Algorithm) -> Result<VerifyingKey, KeyFailure> {
        let found = self.held()?.find(id, algorithm, self.issuer.settings().allow_missing_kid);
        Ok(found.map_err(|refusal| match refusal {
            KeyRefusal::Unknown { key_id, .. } => KeyRefusal::Unknown { key_id, held: self.instead() },
            other => other,
        })?)
    }

    /// What an operator reads beside an unknown `kid`.
    fn instead(&self) -> Option<Held> {
        let snapshot = self.snapshot.load_full()?;
        let now = self.world.clock.now_millis();
        let again = self.progress().charged_at.map_or(now, |at| schedule::later(at, schedule::COOLDOWN).max(now));
        let ids = snapshot.set.keys().filter_map(|key| key.id().cloned()).collect();
        let again = snapshot.refresh_after.map(|_| again.to_unix_time());
        Some(Held::new(ids, snapshot.fetched_at.to_unix_time(), again))
    }

    /// The keys held now.
    pub(super) fn held(&self) -> Result<Arc<KeySet>, KeyFailure> {
        let now = self.world.clock.now_millis();
        let snapshot = self.snapshot.load();
        let fresh = snapshot.as_ref().filter(|held| self.is_fresh_enough(held, now));
        fresh.map(|held| Arc::clone(&held.set)).ok_or_else(|| self.unavailable())
    }

    /// How many fetches have landed: what a caller who looks, and then asks, has seen.
    pub(super) fn landings(&self) -> u64 {
        self.landings.load(Ordering::Acquire)
    }

    /// Joins the running fetch, or starts one if the bucket has a token, and waits for it as long as a request may. The
    /// token is taken before the attempt, so failures and empty answers do not give it back. Nothing, when a fetch has
    /// landed since the caller looked: what it brought is to be looked at first.
    pub(super) async fn ask(self: &Arc<Self>, seen: u64) {
        if matches!(self.issuer.key_location(), None | Some(KeyLocation::File(_))) {
            return;
        }
        let flight = {
            let mut progress = self.progress();
            let now = self.world.clock.now_millis();
            match progress.running() {
                Some(flight) => flight,
                None if self.landings() != seen || !progress.has_token(now) => return,
                None => self.take_off(&mut progress, Some(now)),
            }
        };
        // Too late is not an error: the caller looks at what is held by then.
        let _ = tokio::time::timeout(schedule::WAIT, flight.landing()).await;
    }

    /// Fetches now, or joins the fetch that runs; an operator's wish costs no token, and takes an older bundle too.
    pub(super) async fn refresh(self: &Arc<Self>) -> Landed {
        self.progress().accept_older = true;
        self.board(None).landing().await
    }

    /// Starts the first fetch at once, so that requests join it and none is charged for it, and goes on fetching in a
    /// task that ends when the handle is aborted.
    pub(super) fn keep_fresh(self: &Arc<Self>) -> AbortHandle {
        let mut flight = self.board(None);
        let cache = Arc::clone(self);
        let watcher = Arc::clone(self);
        let refresher = async move {
            loop {
                let _ = flight.landing().await;
                while let wait = cache.until_due()
                    && !wait.is_zero()
                {
                    tokio::select! {
                        () = cache.world.clock.sleep(wait) => {}
                        // A fetch that a request or an operator caused moves the planned one, also nearer.
                        () = cache.planned.notified() => {}
                    }
                }
                flight = cache.board(Some(cache.world.clock.now_millis()));
            }
        };
        tokio::spawn(async move { tokio::join!(refresher, watcher.watch_agent()) }).abort_handle()
    }

    /// A SPIFFE agent says when bundles change, so that nobody waits for the next planned fetch.
    async fn watch_agent(self: Arc<Self>) {
        let Some(KeyLocation::WorkloadApi { endpoint }) = self.issuer.key_location() else { return };
        let fetch = || async {
            // One that runs may have asked before the change.
            let running = self.progress().running();
            if let Some(flight) = running {
                let _ = flight.landing().await;
            }
            let _ = self.board(None).landing().await;
        };
        workload_api::follow(endpoint, &self.world.clock, fetch).await;
    }

    /// Reads a key set file into the snapshot; nothing for other sources.
    pub(super) fn read_own_file(&self) {
        if let Some(KeyLocation::File(path)) = self.issuer.key_location() {
            let _ = self.settle(self.world.clock.now_millis(), read_file(path));
        }
    }

    /// Takes up an answer that was good before a restart. Its age goes on counting from when it was fetched.
    pub(super) fn restore(&self, record: KeySetRecord) {
        if !self.is_from(&record.source) {
            return;
        }
        let answer = Fetched { body: record.body, max_age: record.max_age };
        // A time that has not come yet was written before the clock was set back.
        let fetched_at = record.fetched_at.min(self.world.clock.now_millis());
        match self.read(answer, fetched_at, true) {
            Ok(snapshot) => self.snapshot.store(Some(Arc::new(snapshot))),
            Err(fault) => tracing::warn!(
                issuer.name = %self.issuer.name(),
                "the kept keys of issuer {} cannot be used: {fault}", self.issuer.name()
            ),
        }
    }

    /// Takes over what another cache holds, if that has the same source and this one has nothing yet.
    pub(super) fn inherit(&self, previous: &Cache) {
        if self.snapshot.load().is_none()
            && previous.source.as_deref().is_some_and(|source| self.is_from(source))
            && let Some(held) = previous.snapshot.load_full()
            // Read again: the algorithms that the issuer may use are part of its settings.
            && let Ok(snapshot) = self.read(held.answer.clone(), held.fetched_at, held.is_restored)
        {
            self.snapshot.store(Some(Arc::new(snapshot)));
        }
    }

    pub(super) fn status(&self) -> KeyStatus {
        let now = self.world.clock.now_millis();
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
            x509_authorities: snapshot.map_or(0, |held| held.set.x509_authorities().len()),
            skipped: snapshot.map(|held| held.set.skipped().clone()).unwrap_or_default(),
            last_fetch: snapshot.map(|held| held.fetched_at.to_unix_time()),
            restored: snapshot.is_some_and(|held| held.is_restored),
            age_seconds: snapshot.map(|held| now.to_unix_time().since(held.fetched_at.to_unix_time()).as_secs()),
            next_fetch: progress.due_at.map(UnixMillis::to_unix_time),
            last_error: progress.last_error.as_ref().map(ToString::to_string),
            sequence: snapshot.and_then(|held| held.set.sequence()),
        }
    }

    /// What an operator reads when the keys cannot be had.
    fn unavailable(&self) -> KeyFailure {
        let last_error = self.progress().last_error.as_ref().map(ToString::to_string);
        KeyFailure::Unavailable {
            issuer: self.issuer.name().clone(),
            last_error: last_error.unwrap_or_else(|| "they have not been fetched yet".to_owned()),
        }
    }

    /// Old keys serve `stale_keys_for` longer than a healthy issuer would leave them in place, and not for ever: after
    /// a compromise the issuer's endpoint may be what is down.
    fn is_fresh_enough(&self, held: &Snapshot, now: UnixMillis) -> bool {
        let Some(refresh_after) = held.refresh_after else { return true };
        now <= schedule::later(held.fetched_at, refresh_after + self.issuer.stale_keys_for())
    }

    fn until_due(&self) -> std::time::Duration {
        let now = self.world.clock.now_millis();
        self.progress().due_at.map_or(std::time::Duration::ZERO, |due| schedule::until(due, now))
    }

    /// The fetch that runs, or a new one.
    fn board(self: &Arc<Self>, charge: Option<UnixMillis>) -> Flight {
        let mut progress = self.progress();
        progress.running().unwrap_or_else(|| self.take_off(&mut progress, charge))
    }

    fn take_off(self: &Arc<Self>, progress: &mut Progress, charge: Option<UnixMillis>) -> Flight {
        progress.charged_at = charge.or(progress.charged_at);
        let (sender, flight) = Flight::new();
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            let started_at = cache.world.clock.now_millis();
            let fetched = match cache.issuer.key_location() {
                Some(KeyLocation::File(path)) => read_file(path),
                _ => cache.world.fetch.fetch(&cache.issuer, cache.vouching(started_at)).await,
            };
            let landed = cache.settle(started_at, fetched);
            cache.planned.notify_one();
            let is_good = landed.is_ok();
            // Nobody waits for the store: the keys serve from now on, also when it fails.
            let _ = sender.send(Some(landed));
            if is_good {
                cache.keep().await;
            }
        });
        progress.flight = Some(flight.clone());
        flight
    }

    /// What the next answer's sender has to prove itself with, whatever its age. A bundle whose authorities have all ended
    /// can check nobody ever again, so then it is as if none was held; one that has none is its domain's word.
    fn vouching(&self, now: UnixMillis) -> Option<Arc<KeySet>> {
        let held = self.snapshot.load_full().map(|held| Arc::clone(&held.set));
        held.filter(|set| !x509_svid::have_all_ended(set.x509_authorities(), now.to_unix_time()))
    }

    /// Makes an answer the snapshot. One that is no key set leaves the good keys in place; an empty one is the issuer's
    /// word that nothing verifies any more, and replaces them.
    fn settle(&self, started_at: UnixMillis, fetched: Result<Fetched, FetchFault>) -> Landed {
        let mut progress = self.progress();
        let accept_older = std::mem::take(&mut progress.accept_older);
        let read = fetched.and_then(|answer| self.read(answer, started_at, false));
        let read = read.and_then(|snapshot| if accept_older { Ok(snapshot) } else { self.in_order(snapshot) });
        report::fetched(self.issuer.name(), read.as_ref().map(|snapshot| &*snapshot.set));
        let landed = match read {
            Ok(snapshot) => {
                progress.due_at = snapshot.refresh_after.map(|wait| schedule::later(started_at, wait));
                (progress.failures, progress.last_error) = (0, None);
                self.snapshot.store(Some(Arc::new(snapshot)));
                Ok(())
            }
            Err(fault) => {
                progress.failures = progress.failures.saturating_add(1);
                let wait = schedule::retry_after(progress.failures, &fault);
                progress.due_at = Some(schedule::later(self.world.clock.now_millis(), wait));
                progress.last_error = Some(fault.clone());
                Err(fault)
            }
        };
        // Last: whoever sees the count sees the keys.
        self.landings.fetch_add(1, Ordering::Release);
        landed
    }

    /// SPIFFE Trust Domain and Bundle §4.1.1: the sequence orders bundles. One without is taken as it comes.
    fn in_order(&self, next: Snapshot) -> Result<Snapshot, FetchFault> {
        let held = self.snapshot.load().as_ref().and_then(|held| held.set.sequence());
        match (next.set.sequence(), held) {
            (Some(found), Some(held)) if found < held => Err(FetchFault::OlderSequence { found, held }),
            _ => Ok(next),
        }
    }

    fn read(&self, answer: Fetched, fetched_at: UnixMillis, is_restored: bool) -> Result<Snapshot, FetchFault> {
        let purpose = purpose(&self.issuer);
        let set = KeySet::parse(&answer.body, purpose, self.issuer.algorithms())?.meant(purpose)?;
        let is_file = matches!(self.issuer.key_location(), Some(KeyLocation::File(_)));
        let stated_age = set.refresh_hint().or(answer.max_age);
        let share = random_bytes::<1>().map_or(0, |[share]| share);
        let refresh_after =
            (!is_file).then(|| schedule::refresh_after(stated_age, self.issuer.stale_keys_for(), share));
        Ok(Snapshot { set: Arc::new(set), answer, fetched_at, is_restored, refresh_after })
    }

    /// Writes the last good answer to the store, for a start without network.
    async fn keep(&self) {
        let (store, held) = (self.world.store.as_ref(), self.snapshot.load_full());
        let (Some(store), Some(held), Some(source)) = (store, held, self.source.clone()) else { return };
        let record = KeySetRecord {
            issuer: self.issuer.name().clone(),
            source,
            body: held.answer.body.clone(),
            fetched_at: held.fetched_at,
            max_age: held.answer.max_age,
        };
        if let Err(fault) = store.keep_key_set(record).await {
            let name = self.issuer.name();
            tracing::warn!(issuer.name = %name, "the keys of issuer {name} cannot be kept for the next start: {fault}");
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn running(&self) -> Option<Flight> {
        self.flight.as_ref().filter(|flight| flight.is_running()).cloned()
    }

    fn has_token(&self, now: UnixMillis) -> bool {
        self.charged_at.is_none_or(|at| schedule::has_passed(schedule::COOLDOWN, at, now))
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
pub(super) mod tests;
