//! Outages, of every kind at once: one broker, one issuer for each way to be down.

use std::time::Duration;

use crate::support::broker::TestBroker;
use crate::support::faulty::{Answer, Delivery, FaultyIssuer, until};
use crate::support::keys::TestKey;
use crate::{HOUR, planned_ahead, trusting, while_releasing};

const KINDS: [&str; 5] = ["status-500", "hang", "reset", "refused", "garbage"];
/// The default of `stale_keys_for`.
const STALE: Duration = Duration::from_secs(24 * 3600);

async fn breaks(kind: &str, issuer: &FaultyIssuer) {
    match kind {
        "status-500" => issuer.answers(Answer::status(500)),
        "hang" => issuer.answers(Answer::hang()),
        "reset" => issuer.answers(Answer::json("{}").brought(Delivery::Reset)),
        "refused" => issuer.close().await,
        _ => issuer.answers(Answer::raw("\u{0}\u{7f} nothing like HTTP")),
    }
}

/// Each issuer's request, with whatever hangs let go after it was answered.
async fn statuses(broker: &TestBroker, issuers: &[(&str, FaultyIssuer)]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for (_, issuer) in issuers {
        statuses.push(broker.token(issuer.assertion()).await.status);
    }
    statuses
}

async fn settled(broker: &TestBroker, issuers: &[(&str, FaultyIssuer)]) {
    for (name, issuer) in issuers {
        let landed = until("the attempt ends", || planned_ahead(broker, name));
        if *name == "hang" { while_releasing(issuer, landed).await } else { landed.await }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_keys_serve_through_twelve_hours_of_outage_and_close_a_minute_after_their_end() {
    let issuers = KINDS.map(|kind| (kind, FaultyIssuer::start(&[&TestKey::p256(kind)])));
    let trusted = |setup, _: &_| issuers.iter().fold(setup, |setup, (name, issuer)| trusting(setup, name, issuer));
    let broker = TestBroker::start_with(trusted).await;
    issuers.iter().for_each(|(_, issuer)| issuer.follow(&broker.clock));
    assert_eq!(statuses(&broker, &issuers).await, [200; 5]);
    let end_of = |name: &str| broker.key_status(name).next_fetch.expect("planned").0 + STALE.as_secs() as i64;
    let ends = KINDS.map(end_of);
    let begin = broker.clock.now().0;
    for (kind, issuer) in &issuers {
        breaks(kind, issuer).await;
    }
    let attempts: Vec<usize> = issuers.iter().map(|(_, issuer)| issuer.connections()).collect();
    for quarter in 1..=48 {
        broker.advance(HOUR / 4);
        assert_eq!(statuses(&broker, &issuers).await, [200; 5], "while it is tried, quarter {quarter}");
        settled(&broker, &issuers).await;
        assert_eq!(statuses(&broker, &issuers).await, [200; 5], "after it failed, quarter {quarter}");
    }
    assert_eq!(broker.clock.now().0 - begin, 12 * 3600);
    for ((kind, issuer), before) in issuers.iter().zip(attempts) {
        let tried = issuer.connections() - before;
        assert!(*kind == "refused" || tried >= 48, "{kind} was tried {tried} times");
    }
    close_in_time(&broker, &issuers, ends).await;
    for (kind, issuer) in &issuers {
        issuer.mend();
        if *kind == "refused" {
            issuer.open();
        }
    }
    broker.advance(Duration::from_secs(60));
    let usable = || KINDS.iter().all(|kind| broker.key_status(kind).usable);
    while_releasing(&issuers[1].1, until("the issuers are well again", usable)).await;
    assert_eq!(statuses(&broker, &issuers).await, [200; 5]);
}

/// Every issuer's keys serve until their end, and none a minute later.
async fn close_in_time(broker: &TestBroker, issuers: &[(&str, FaultyIssuer)], ends: [i64; 5]) {
    let (first, last) = (ends.iter().min().expect("five"), ends.iter().max().expect("five"));
    broker.clock.set(countersign::vocab::UnixTime(*first));
    while broker.clock.now().0 <= last + 60 {
        let now = broker.clock.now().0;
        for ((kind, issuer), end) in issuers.iter().zip(ends) {
            let asked = broker.token(issuer.assertion());
            let reply = if *kind == "hang" && now > end { while_releasing(issuer, asked).await } else { asked.await };
            let cause = broker.cause(&reply).await;
            if now <= end {
                assert_eq!(reply.status, 200, "{kind}, {} s before the end", end - now);
            } else if now >= end + 60 {
                assert_eq!(
                    (reply.status, cause.as_str()),
                    (503, "key.unavailable"),
                    "{kind}, {} s after it",
                    now - end
                );
            }
        }
        settled(broker, issuers).await;
        broker.advance(Duration::from_secs(20));
    }
}
