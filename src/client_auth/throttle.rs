//! Guessing client secrets is slowed (RFC 6749 §2.3.1) without a lock-out.
//!
//! Failures are counted for an address together with a client, and for an address alone; never for a client alone, or
//! anyone could lock its owner out (CWE-645).

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use crate::vocab::{ClientId, UnixTime};

/// How long failures count.
const WINDOW_SECONDS: i64 = 10;
/// Failures of one address for one client in a window.
const PER_CLIENT: u32 = 30;
/// Failures of one address in a window.
const PER_ADDRESS: u32 = 150;
/// Counters kept; the least used ones are forgotten first, so memory is bounded.
const MAX_COUNTERS: u64 = 100_000;

/// Too many failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failed secrets; try again in {retry_after_seconds} s")]
pub struct Throttled {
    /// When to try again.
    pub retry_after_seconds: u64,
}

/// Counts failed secrets.
#[derive(Debug)]
pub struct Throttle {
    counters: moka::sync::Cache<(IpAddr, Option<u64>), Arc<Window>>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Window {
    began: AtomicI64,
    failures: AtomicU32,
}

/// One attempt that may go on.
#[derive(Debug)]
pub struct Attempt {
    windows: [Arc<Window>; 2],
}

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle { counters: moka::sync::Cache::new(MAX_COUNTERS), hasher: RandomState::new() }
    }
}

impl Throttle {
    /// Whether this address may try a secret of this client now. Without an address (a Unix socket) all callers count
    /// as one.
    ///
    /// # Errors
    /// When too many of its attempts failed in the last seconds.
    pub fn attempt(&self, address: Option<IpAddr>, client: &ClientId, now: UnixTime) -> Result<Attempt, Throttled> {
        let network = network(address.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)));
        // The address first: once it is over its limit, further client ids of its invention get no counters.
        let alone = self.counters.get_with((network, None), Arc::default);
        alone.check(PER_ADDRESS, now)?;
        let client = self.counters.get_with((network, Some(self.hasher.hash_one(client))), Arc::default);
        client.check(PER_CLIENT, now)?;
        Ok(Attempt { windows: [client, alone] })
    }
}

impl Attempt {
    /// The secret was wrong.
    pub fn failed(&self) {
        for window in &self.windows {
            window.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Window {
    fn check(&self, limit: u32, now: UnixTime) -> Result<(), Throttled> {
        let began = self.began.load(Ordering::Relaxed);
        let age = now.0.saturating_sub(began);
        if !(0..WINDOW_SECONDS).contains(&age) {
            self.began.store(now.0, Ordering::Relaxed);
            self.failures.store(0, Ordering::Relaxed);
            return Ok(());
        }
        if self.failures.load(Ordering::Relaxed) < limit {
            return Ok(());
        }
        Err(Throttled { retry_after_seconds: u64::try_from(WINDOW_SECONDS - age).unwrap_or(1).max(1) })
    }
}

/// A household has one IPv4 address, but a whole /64 of IPv6 addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(four) => IpAddr::V4(four),
        IpAddr::V6(six) => IpAddr::V6((u128::from(six) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(throttle: &Throttle, address: &str, client: &str, now: i64) -> Result<(), Throttled> {
        let client = ClientId::parse(client).unwrap();
        throttle.attempt(Some(address.parse().unwrap()), &client, UnixTime(now)).map(|attempt| attempt.failed())
    }

    #[test]
    fn one_address_guessing_one_client_is_slowed_and_the_owner_elsewhere_is_not() {
        let throttle = Throttle::default();
        for _ in 0..PER_CLIENT {
            fail(&throttle, "192.0.2.1", "victim", 100).unwrap();
        }
        assert_eq!(fail(&throttle, "192.0.2.1", "victim", 103), Err(Throttled { retry_after_seconds: 7 }));
        assert!(fail(&throttle, "192.0.2.2", "victim", 103).is_ok());
        assert!(fail(&throttle, "192.0.2.1", "other", 103).is_ok());
        assert!(fail(&throttle, "192.0.2.1", "victim", 110).is_ok());
    }

    #[test]
    fn one_address_guessing_many_clients_is_slowed() {
        let throttle = Throttle::default();
        let tries = (0..1000).map(|index| fail(&throttle, "2001:db8::1", &format!("client-{index}"), 100));
        assert_eq!(tries.filter(Result::is_ok).count(), PER_ADDRESS as usize);
        assert!(fail(&throttle, "2001:db8::2", "any", 100).is_err(), "the same /64");
    }
}
