//! When an issuer is asked for its keys: pure rules about time.
//!
//! In: what an answer said, and how the last tries went. Out: how long to wait. Not here: the asking (see `cache`).

use std::time::Duration;

use super::fetch::FetchFault;
use crate::vocab::UnixMillis;

/// A request waits no longer than this for a fetch: the workload's own timeout is often ten seconds.
pub(super) const WAIT: Duration = Duration::from_secs(3);
/// The one token of an issuer's bucket comes back after this; an unknown `kid` costs an attacker nothing.
pub(super) const COOLDOWN: Duration = Duration::from_secs(30);
/// Bounds of an answer's own age (`max-age`, `spiffe_refresh_hint`): `no-store` must not mean a fetch a request, and
/// nothing is believed for longer than a day.
const AGE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
/// However old an answer may get, it is looked at again within this: a key that its issuer removed must stop verifying.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(300);
/// First and longest wait after a failure of an issuer that nobody answers for: asking again costs it nothing.
const UNREACHABLE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// First and longest wait after a failure of one that was reached.
const REACHED: (Duration, Duration) = (COOLDOWN, Duration::from_secs(60));

/// How long a good answer is kept before the next fetch: half to four fifths of its age (`share` of 256 between them), so
/// that replicas and issuers spread, and less where an operator allows only little staleness.
pub(super) fn refresh_after(stated_age: Option<Duration>, stale_keys_for: Duration, share: u8) -> Duration {
    let age = stated_age.unwrap_or(LOOK_AGAIN).clamp(AGE.0, AGE.1).min(LOOK_AGAIN);
    let percent = 50 + u32::from(share) * 30 / 255;
    (age * percent / 100).min((stale_keys_for / 2).max(COOLDOWN))
}

/// How long to wait after this many failures in a row.
pub(super) fn retry_after(failures: u32, fault: &FetchFault) -> Duration {
    let (first, longest) = if fault.reached_nobody() { UNREACHABLE } else { REACHED };
    first.saturating_mul(1 << failures.saturating_sub(1).min(6)).min(longest)
}

/// Also true when the clock was set back: better one fetch too many than none.
pub(super) fn has_passed(span: Duration, since: UnixMillis, now: UnixMillis) -> bool {
    now < since || now.0.saturating_sub(since.0) >= millis(span)
}

/// How long until `due`. A time further off than any wait was planned before the clock was set back.
pub(super) fn until(due: UnixMillis, now: UnixMillis) -> Duration {
    let wait = Duration::from_millis(u64::try_from(due.0.saturating_sub(now.0)).unwrap_or(0));
    if wait > LOOK_AGAIN { Duration::ZERO } else { wait }
}

pub(super) fn later(time: UnixMillis, by: Duration) -> UnixMillis {
    UnixMillis(time.0.saturating_add(millis(by)))
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn the_next_fetch_is_due_within_five_minutes_whatever_the_issuer_says() {
        for (age, least, most) in [
            (None, 150, 240),
            (Some(0), 30, 48),
            (Some(100), 50, 80),
            (Some(31_536_000), 150, 240),
            (Some(u64::MAX), 150, 240),
        ] {
            let due = |share| refresh_after(age.map(Duration::from_secs), DAY, share).as_secs();
            assert_eq!((due(0), due(255)), (least, most), "{age:?}");
            assert!((0..=255).all(|share| (least..=most).contains(&due(share))), "{age:?}");
        }
    }

    #[test]
    fn little_staleness_means_more_fetches_but_never_two_in_a_cooldown() {
        let due = |stale| refresh_after(None, Duration::from_secs(stale), 0).as_secs();
        assert_eq!((due(0), due(90), due(200), due(3600)), (30, 45, 100, 150));
    }

    #[test]
    fn an_issuer_that_answers_badly_is_left_alone_longer_than_one_that_nobody_answers_for() {
        let waits =
            |fault: &FetchFault| (1..=6).map(|failures| retry_after(failures, fault).as_secs()).collect::<Vec<_>>();
        assert_eq!(waits(&FetchFault::Unreachable("refused".into())), [5, 10, 20, 40, 60, 60]);
        assert_eq!(waits(&FetchFault::Timeout), [30, 60, 60, 60, 60, 60]);
        assert_eq!(retry_after(u32::MAX, &FetchFault::Timeout), REACHED.1);
    }

    #[test]
    fn a_clock_that_is_set_back_delays_no_fetch() {
        let (now, due) = (UnixMillis(1_000_000_000), UnixMillis(1_000_090_000));
        assert_eq!(until(due, now), Duration::from_secs(90));
        assert_eq!(until(due, UnixMillis(0)), Duration::ZERO);
        assert_eq!(until(now, due), Duration::ZERO);
        assert!(has_passed(COOLDOWN, due, now) && !has_passed(COOLDOWN, now, later(now, Duration::from_secs(29))));
    }
}
