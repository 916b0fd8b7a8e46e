//! Time and randomness, passed in so that every decision can be repeated in a test.
//!
//! The only file that may read the system clock (`clippy.toml` holds that).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::vocab::{UnixMillis, UnixTime};

/// Where "now" comes from.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
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
        Clock(Source::Manual(Arc::new(AtomicI64::new(start.0.saturating_mul(1000)))))
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
            Source::Manual(millis) => UnixMillis(millis.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock; the system clock stays as it is.
    pub fn advance(&self, by: std::time::Duration) {
        if let Source::Manual(millis) = &self.0 {
            millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Sets a manual clock; the system clock stays as it is.
    pub fn set(&self, to: UnixTime) {
        if let Source::Manual(millis) = &self.0 {
            millis.store(to.0.saturating_mul(1000), Ordering::SeqCst);
        }
    }
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
