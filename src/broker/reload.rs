//! Reading everything again: build aside, swap, say what became of it.
//!
//! In: the files as they are now. Out: a whole new set in force, or the old one, and a record either way. Nothing here
//! runs on the threads that serve: [`Broker::reload`] blocks its own, and requests go on with the set they began with.

use std::sync::Arc;
use std::time::Duration;

use super::removed::Removed;
use super::standing::Refusal;
use super::{Broker, Loaded, load, log_warnings};
use crate::audit::{LoadedSet, ReloadEvent, ReloadOutcome, Trigger};
use crate::clock::random_bytes;
use crate::config;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::exchange::Rules;
use crate::key::{Keys, Previous};
use crate::review::Reviews;
use crate::store::ExchangeCommit;
use crate::vocab::TraceId;

/// How often a set is read that changes while it is read, or whose directories do.
const ATTEMPTS: usize = 4;
/// Faults that a log line and an answer show at most; `check` shows all.
const SHOWN_FAULTS: usize = 100;
/// How often a set that was replaced is looked at, and for how long: longer than any request takes.
const RETIRING: (Duration, u32) = (Duration::from_millis(20), 3000);

/// Why the old set stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadRefusal {
    /// Files have faults.
    #[error("{}", shown(.0))]
    Faults(Diagnostics),
    /// What was read may be half old and half new.
    #[error("the files went on changing while they were read; try again when they are all in place")]
    Unsettled,
}

impl ReloadRefusal {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            ReloadRefusal::Faults(_) => "reload.faults",
            ReloadRefusal::Unsettled => "reload.unsettled",
        }
    }

    /// How many faults there are.
    #[must_use]
    pub fn faults(&self) -> usize {
        match self {
            ReloadRefusal::Faults(faults) => errors(faults).count(),
            ReloadRefusal::Unsettled => 1,
        }
    }
}

impl From<Diagnostics> for ReloadRefusal {
    fn from(faults: Diagnostics) -> ReloadRefusal {
        ReloadRefusal::Faults(faults)
    }
}

impl Broker {
    /// Reads issuers, bundles, policies and services again. All of them take effect together; on any fault the old ones
    /// stay. Our issuer identifier, listeners, store and token settings stay as they were at the start; changed ones are
    /// named in the log.
    ///
    /// It blocks for as long as reading takes: call it where that is allowed (`spawn_blocking`), within a Tokio runtime.
    ///
    /// # Errors
    /// See [`ReloadRefusal`].
    pub fn reload(&self, by: Trigger) -> Result<LoadedSet, ReloadRefusal> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let began = self.exchange.clock.now_millis();
        let read = self.read_again();
        self.watched().took = self.exchange.clock.now_millis().since(began);
        let outcome = if read.is_ok() { "reloaded" } else { "refused" };
        metrics::counter!("countersign_reloads_total", "outcome" => outcome, "trigger" => by.as_str()).increment(1);
        match read {
            Ok(loaded) => Ok(self.install(loaded, by)),
            Err(refusal) => {
                self.refuse(&refusal, by);
                Err(refusal)
            }
        }
    }

    /// The set that the files are, unless they change faster than they can be read.
    fn read_again(&self) -> Result<Loaded, ReloadRefusal> {
        let mut files = self.watched().files.clone();
        for _ in 0..ATTEMPTS {
            let glance = files.glance();
            self.watched().reads(&files, glance);
            let mut config = config::load(&self.origin.file, &self.origin.environment)?;
            self.watched().settings = config.reload;
            let named = super::files::Files::of(&config);
            if named != files {
                files = named;
                continue;
            }
            let changed: Vec<&str> = config.fixed_until_restart(&self.config).collect();
            // Tokens go on naming the old issuer identifier, so assertions must be meant for it too.
            config.issuer.clone_from(&self.config.issuer);
            let loaded = load(&config, self.exchange.clock.now());
            if files.glance() != glance {
                continue;
            }
            for setting in changed {
                tracing::warn!(setting, "`{setting}` was changed; that takes effect at the next start");
            }
            return Ok(loaded?);
        }
        Err(ReloadRefusal::Unsettled)
    }

    fn install(&self, loaded: Loaded, by: Trigger) -> LoadedSet {
        let exchange = &self.exchange;
        let in_force = loaded.summary();
        let warnings = loaded.warnings.iter().count();
        log_warnings(&loaded.warnings);
        let old = exchange.rules.load_full();
        let (running, store) = (Previous::Running(&old.keys), Some(Arc::clone(&exchange.store)));
        let keys = Keys::start(&loaded.issuers, running, &exchange.clock, store, self.config.proxy.as_ref());
        let reviews = Reviews::new(&loaded.issuers);
        let rules = Rules { reviews, issuers: loaded.issuers, keys, policies: loaded.policies };
        let standing = self.standing();
        let outcome = ReloadOutcome::Reloaded { before: &standing.in_force, warnings };
        self.record(ReloadEvent { trigger: by, outcome, in_force: &in_force });
        exchange.rules.store(Arc::new(rules));
        self.gateway.replace(loaded.services);
        self.standing.store(Arc::new(standing.loaded(in_force.clone(), by, exchange.clock.now_millis())));
        tracing::info!(
            reload.trigger = by.as_str(),
            policy.digest = in_force.policy_digest,
            policy.count = in_force.policies,
            "configuration reloaded"
        );
        let removed = Removed::between(&old, &exchange.rules.load());
        let end = removed.end(Arc::clone(&exchange.store), exchange.clock.clone(), "reload");
        let runtime = tokio::runtime::Handle::current();
        // Once no request is decided by the old set any more, every session that it admitted is in the store.
        retire(old, move || drop(runtime.spawn(end)));
        in_force
    }

    fn refuse(&self, refusal: &ReloadRefusal, by: Trigger) {
        let text = refusal.to_string();
        let standing = self.standing();
        // The watch tries again by itself; what it was told already is no news. Whoever asks is answered.
        let is_news = by != Trigger::FileWatch || !standing.is_known(&text);
        if is_news {
            tracing::error!(
                reload.trigger = by.as_str(),
                reload.cause = refusal.cause(),
                reload.faults = refusal.faults(),
                "reload refused, the old configuration stays in force:\n{text}"
            );
            let detail = text.lines().next().unwrap_or_default();
            let outcome = ReloadOutcome::Refused { cause: refusal.cause(), detail, faults: refusal.faults() };
            self.record(ReloadEvent { trigger: by, outcome, in_force: &standing.in_force });
        }
        let at = self.exchange.clock.now_millis();
        let refusal = Refusal { at, by, cause: refusal.cause(), faults: refusal.faults(), text };
        self.standing.store(Arc::new(standing.refused(refusal)));
    }

    /// Leaves the record before the set counts. A store that cannot take it keeps no policy in force that an operator
    /// took away: while it fails no token leaves anyway.
    fn record(&self, event: ReloadEvent<'_>) {
        let (store, clock) = (&self.exchange.store, &self.exchange.clock);
        let recorded = random_bytes().map_err(|fault| fault.to_string()).and_then(|random| {
            let trace_id = TraceId::new(clock.now_millis(), random);
            let audit = event.finish(trace_id, clock.now_millis());
            let now = clock.now();
            let commit = ExchangeCommit { replay: None, secret: None, new_user: None, session: None, audit, now };
            let committed = tokio::runtime::Handle::current().block_on(store.commit(commit));
            committed.map_err(|fault| fault.to_string())
        });
        if let Err(fault) = recorded {
            tracing::error!("the reload has no audit record: {fault}");
        }
    }
}

/// The faults that keep a set from loading.
fn errors(faults: &Diagnostics) -> impl Iterator<Item = &Diagnostic> {
    faults.iter().filter(|fault| fault.severity() == Severity::Error)
}

fn shown(faults: &Diagnostics) -> String {
    let all = errors(faults).count();
    let mut texts: Vec<String> = errors(faults).take(SHOWN_FAULTS).map(ToString::to_string).collect();
    if all > SHOWN_FAULTS {
        texts.push(format!("and {} more; `countersign check` shows all", all - SHOWN_FAULTS));
    }
    texts.join("\n\n")
}

/// Gives a replaced set back when its last request has ended. Freeing a million policies takes long, so it must not be
/// done by the thread of that request. What is to come then runs whether or not there was one.
fn retire<T: Send + Sync + 'static>(old: Arc<T>, then: impl FnOnce() + Send + 'static) {
    let (pause, looks) = RETIRING;
    let wait = move || {
        for _ in 0..looks {
            if Arc::strong_count(&old) == 1 {
                break;
            }
            std::thread::sleep(pause);
        }
        drop(old);
        then();
    };
    // Without a thread to wait in, the last request frees it after all.
    let _ = std::thread::Builder::new().name("retire".to_owned()).spawn(wait);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Tells which thread freed it.
    struct Freed(Sender<Option<String>>);

    impl Drop for Freed {
        fn drop(&mut self) {
            self.0.send(std::thread::current().name().map(str::to_owned)).unwrap();
        }
    }

    #[test]
    fn a_request_that_ends_after_a_reload_does_not_free_the_old_set_itself() {
        let (tell, told) = channel();
        let old = Arc::new(Freed(tell));
        let request = Arc::clone(&old);
        let (after, ended) = channel();
        retire(old, move || after.send(()).unwrap());
        assert!(told.try_recv().is_err(), "the request still uses it");
        drop(request);
        assert_eq!(told.recv_timeout(Duration::from_secs(60)).unwrap().as_deref(), Some("retire"));
        ended.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}
