//! Looking at the files now and then, and reloading when what is in them changed.
//!
//! In: the clock. Out: reloads. It polls, with one `stat` a file: that works alike on every file system, under links that
//! are swapped (a ConfigMap, a release directory) and for a checkout of many files, where events of the kernel are lost or
//! come too early. A change counts when two looks agree on it, so that a half-written set is not read.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Broker;
use super::files::{Contents, Files, Glance};
use crate::audit::Trigger;
use crate::config::ReloadSettings;
use crate::vocab::UnixMillis;

/// Looking, and trying again, take at most one part in so many of the time.
const SHARE: u32 = 20;
/// However long a look takes, there is another one by then.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Looks that may each see another change before somebody is told that nothing is loaded meanwhile.
const PATIENCE: u32 = 30;
/// A refused set is read again after this long, though no watched file changed: what was missing may be elsewhere.
const RETRY: Duration = Duration::from_secs(60);

/// What is watched, and what it was when it was last read.
#[derive(Debug)]
pub(super) struct Watched {
    /// As the file last said.
    pub(super) settings: ReloadSettings,
    /// What the last reading read, or was to read.
    pub(super) files: Files,
    /// From outside, just before that reading.
    seen: Glance,
    /// What that reading read; not known until there was time to look.
    contents: Option<Contents>,
    /// How long it took.
    pub(super) took: Duration,
    /// A change that the last look saw, and how many have seen another one by then.
    pending: Option<(Glance, u32)>,
    looks: u64,
    looked_at: Option<UnixMillis>,
}

/// How the watch goes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct WatchStanding {
    /// Whether files are looked at.
    pub on: bool,
    /// How often they were.
    pub looks: u64,
    /// When they were last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<String>,
}

impl Watched {
    pub(super) fn new(settings: ReloadSettings, seen: Glance, files: Files) -> Watched {
        let (took, looks) = (Duration::ZERO, 0);
        Watched { settings, files, seen, contents: None, took, pending: None, looks, looked_at: None }
    }

    /// These files are about to be read, as they are.
    pub(super) fn reads(&mut self, files: &Files, seen: Glance) {
        if (&self.files, self.seen) != (files, seen) {
            (self.files, self.seen, self.contents) = (files.clone(), seen, None);
        }
    }

    fn has_looked(&mut self, at: UnixMillis) {
        (self.looks, self.looked_at) = (self.looks + 1, Some(at));
    }

    /// What was read is this, if it was read when the files looked so.
    fn knows(&mut self, seen: Glance, contents: Contents) {
        if self.seen == seen {
            self.contents = Some(contents);
        }
    }
}

/// Watches for as long as the future is polled.
pub async fn watch(broker: Arc<Broker>) {
    let clock = broker.exchange.clock.clone();
    loop {
        let looking = Arc::clone(&broker);
        let pause = tokio::task::spawn_blocking(move || looking.look()).await.unwrap_or_else(|error| {
            tracing::error!("the files could not be looked at: {error}");
            LONGEST_PAUSE
        });
        // Asleep before it is said that the look is over, so that whoever waits for that may move the clock.
        let asleep = clock.sleep(pause);
        broker.watched().has_looked(clock.now_millis());
        asleep.await;
    }
}

impl Broker {
    /// How the watch goes.
    #[must_use]
    pub fn watch_standing(&self) -> WatchStanding {
        let watched = self.watched();
        let looked_at = watched.looked_at.map(UnixMillis::to_rfc3339);
        WatchStanding { on: watched.settings.watch, looks: watched.looks, looked_at }
    }

    /// Looks once, and reloads if need be; gives the pause until the next look.
    fn look(&self) -> Duration {
        let (settings, files) = {
            let watched = self.watched();
            (watched.settings, watched.files.clone())
        };
        if !settings.watch {
            return settings.every;
        }
        let clock = &self.exchange.clock;
        let began = clock.now_millis();
        let found = files.glance();
        let took = clock.now_millis().since(began);
        if self.is_pending(found) {
            return settings.every.max(took);
        }
        self.settle(&files, found);
        (took * SHARE).min(LONGEST_PAUSE).max(settings.every)
    }

    /// Whether this is a change that another look should confirm.
    fn is_pending(&self, found: Glance) -> bool {
        let mut watched = self.watched();
        let before = watched.pending.take();
        if found == watched.seen || before.is_some_and(|(before, _)| before == found) {
            return false;
        }
        let streak = before.map_or(1, |(_, streak)| streak.saturating_add(1));
        watched.pending = Some((found, streak));
        if streak == PATIENCE {
            tracing::warn!("the files have been changing at each of {PATIENCE} looks; they are read when they rest");
        }
        true
    }

    /// Two looks agree. Reloads when the contents are others than those that were read last, not for a mere `touch`.
    fn settle(&self, files: &Files, found: Glance) {
        let (seen, known) = {
            let watched = self.watched();
            (watched.seen, watched.contents)
        };
        if found == seen && known.is_some() {
            if self.is_due_again() {
                // A refusal is in the log already, or is there now.
                let _ = self.reload(Trigger::FileWatch);
            }
            return;
        }
        let contents = files.contents();
        if found == seen {
            // Were the files changed meanwhile, these contents are not what was read.
            let still = files.glance() == found;
            return if still {
                self.watched().knows(found, contents)
            };
        }
        if known == Some(contents) {
            self.watched().reads(files, found);
        } else {
            // A refusal is in the log.
            let _ = self.reload(Trigger::FileWatch);
        }
        self.watched().knows(found, contents);
    }

    /// Whether a refused set should be tried again.
    fn is_due_again(&self) -> bool {
        let standing = self.standing();
        let Some(refusal) = standing.last_refusal.as_ref().filter(|_| standing.refused_since.is_some()) else {
            return false;
        };
        let pause = RETRY.max(self.watched().took * SHARE);
        self.exchange.clock.now_millis().since(refusal.at) >= pause
    }
}
