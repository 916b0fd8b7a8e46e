//! Time and randomness, passed in so that every decision can be repeated in a test.
//!
//! The only file that may read the system clock (`clippy.toml` holds that).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::vocab::{UnixMillis, UnixTime};

/// Where "now" comes from.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    millis: AtomicI64,
    /// Wakes sleepers whenever the clock was moved.
    moved: Notify,
}

impl Clock {
    /// The machine's wall clock.
    #[must_use]
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that stands still until [`Clock::set`] or [`Clock::advance`] moves it; its clones move with it.
    #[must_use]
    pub fn manual(start: UnixTime) -> Clock {
        let millis = AtomicI64::new(start.0.saturating_mul(1000));
        Clock(Source::Manual(Arc::new(Manual { millis, moved: Notify::new() })))
    }

    /// Now, in whole seconds.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.now_millis().to_unix_time()
    }

    /// Now, in milliseconds.
    #[must_use]
    pub fn now_millis(&self) -> UnixMillis {
        match &self.0 {
            Source::System => UnixMillis(system_millis()),
            Source::Manual(manual) => UnixMillis(manual.millis.load(Ordering::SeqCst)),
        }
    }

    /// Waits until this clock says that `span` has passed since the call: hours of waiting are one [`Clock::advance`] in a
    /// test.
    pub fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + '_ {
        let until = self.now_millis().0.saturating_add(millis(span));
        async move {
            match &self.0 {
                Source::System => tokio::time::sleep(span).await,
                Source::Manual(manual) => manual.reaches(until).await,
            }
        }
    }

    /// Moves a manual clock; the system clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(manual) = &self.0 {
            manual.millis.fetch_add(millis(by), Ordering::SeqCst);
            manual.moved.notify_waiters();
        }
    }

    /// Sets a manual clock; the system clock stays as it is.
    pub fn set(&self, to: UnixTime) {
        if let Source::Manual(manual) = &self.0 {
            manual.millis.store(to.0.saturating_mul(1000), Ordering::SeqCst);
            manual.moved.notify_waiters();
        }
    }
}

impl Manual {
    async fn reaches(&self, until: i64) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // Listening before looking, so that no move falls between.
            moved.as_mut().enable();
            if self.millis.load(Ordering::SeqCst) >= until {
                return;
            }
            moved.await;
        }
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[allow(clippy::disallowed_methods)] // the one place that reads it
fn system_millis() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// The system's random source failed; nothing may be minted.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the random number generator failed")]
pub struct EntropyFault;

/// Cryptographically strong random bytes.
///
/// # Errors
/// When the generator fails.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], EntropyFault> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| EntropyFault)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn sleepers_of_a_manual_clock_wake_when_it_has_moved_far_enough() {
        let clock = Clock::manual(UnixTime(1_790_000_000));
        let sleeper = clock.clone();
        let asleep = sleeper.sleep(Duration::from_secs(10));
        tokio::pin!(asleep);
        for _ in 0..9 {
            clock.advance(Duration::from_secs(1));
            assert!(asleep.as_mut().now_or_never().is_none());
        }
        clock.advance(Duration::from_secs(1));
        assert!(asleep.now_or_never().is_some());
    }
}
