//! spiffe, where the row is about a bundle endpoint: what its documents and its faults do to the trust domain.

use std::time::Duration;

use serde_json::{Value, json};

use crate::issuer_row::TOO_STALE;
use crate::row::Row;
use crate::spiffe::{bundle_key, svid};
use crate::support::faulty::{Answer, FaultyIssuer, KEYS, until};
use crate::support::platform::Platform;
use crate::support::setup::Setup;
use crate::support::wire::Request;

/// Trusts the domain of `mesh` by the bundle that the issuer serves.
fn as_mesh(setup: Setup, issuer: &FaultyIssuer) -> Setup {
    issuer.publish([bundle_key(&Platform::spiffe().key)]);
    setup.issuer("mesh", &crate::spiffe::fetched_from(issuer))
}

fn valid(row: &Row) -> Request {
    svid(Platform::spiffe().assertion().issued_at(row.broker.clock.now().0))
}

/// A bundle with its good key and these members.
fn bundle(members: &[(&str, &str)]) -> Answer {
    let members: String = members.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
    Answer::json(format!("{{\"keys\":[{}]{members}}}", bundle_key(&Platform::spiffe().key)))
}

/// How long after the last fetch the next one is due.
fn next_fetch_is_due(row: &Row, within: &std::ops::RangeInclusive<i64>, what: &str) {
    let status = row.broker.key_status("mesh");
    let wait = status.next_fetch.expect("it is planned").0 - status.last_fetch.expect("just now").0;
    assert!(within.contains(&wait), "{what}: the next fetch comes {wait} s after the last");
}

/// Lets time pass until the next planned poll, which is the only one, has come to its end.
async fn polled(row: &Row, issuer: &FaultyIssuer) {
    let (now, asked) = (row.broker.clock.now(), issuer.key_hits());
    let planned = || row.broker.key_status("mesh").next_fetch.expect("it is planned");
    let due = planned();
    row.broker.advance(due.since(now) - Duration::from_secs(1));
    tokio::task::yield_now().await;
    assert_eq!(issuer.key_hits(), asked, "not before");
    row.broker.advance(Duration::from_secs(1));
    until("it is polled", || issuer.key_hits() == asked + 1 && planned() > due).await;
}

issuer_rows! {
    "SP-15" a_sequence_that_is_no_whole_number_changes_nothing(row, issuer, as_mesh) {
        row.accepts("a bundle", valid(&row)).await;
        for (sequence, read) in [("18446744073709551615", Some(u64::MAX)), ("0", Some(0)), ("7", Some(7))] {
            issuer.answers(bundle(&[("spiffe_sequence", sequence)]));
            row.broker.refresh_keys("mesh").await.unwrap();
            assert_eq!(row.broker.key_status("mesh").sequence, read, "{sequence}");
            row.accepts(sequence, valid(&row)).await;
        }
        for sequence in ["18446744073709551616", "1.5", "\"7\"", "-1", "1e400", "null", "[7]", "1e2", "NaN"] {
            issuer.answers(bundle(&[("spiffe_sequence", sequence)]));
            let outcome = row.broker.refresh_keys("mesh").await;
            let read = row.broker.key_status("mesh").sequence;
            // Refused as a whole, and then the last good bundle stays; or read without it.
            assert_eq!(read, if outcome.is_err() { Some(7) } else { None }, "{sequence}");
            row.accepts(sequence, valid(&row)).await;
            issuer.answers(bundle(&[("spiffe_sequence", "7")]));
            row.broker.refresh_keys("mesh").await.unwrap();
        }
    }

    "SP-16" a_refresh_hint_is_held_within_bounds(row, issuer, as_mesh) {
        row.accepts("a bundle", valid(&row)).await;
        for (hint, within) in [
            ("0", 30..=60),
            ("1", 30..=60),
            ("60", 30..=60),
            ("120", 60..=120),
            ("2419200", 120..=300),
            ("18446744073709551615", 120..=300),
            ("-1", 120..=300),
            ("1.5", 120..=300),
            ("\"60\"", 120..=300),
            ("null", 120..=300),
        ] {
            issuer.answers(bundle(&[("spiffe_refresh_hint", hint)]).header("cache-control", "max-age=31536000"));
            row.broker.refresh_keys("mesh").await.unwrap();
            next_fetch_is_due(&row, &within, hint);
            row.accepts(hint, valid(&row)).await;
            row.broker.advance(Duration::from_secs(1));
        }
        issuer.answers(bundle(&[]).header("cache-control", "max-age=60"));
        row.broker.refresh_keys("mesh").await.unwrap();
        // SPIFFE Trust Domain and Bundle §4.1.2: five minutes, whatever HTTP says.
        next_fetch_is_due(&row, &(120..=300), "absent");
    }

    "SP-17" a_failed_poll_is_tried_again_and_the_old_bundle_serves_until_it_is_too_old(row, issuer, as_mesh) {
        row.accepts("fresh", valid(&row)).await;
        issuer.answers(Answer::status(500));
        // Sooner than at the next interval (SPIFFE Federation §6.2); docs/key-cache.md says why.
        for wait in [30, 60, 60] {
            polled(&row, &issuer).await;
            let next = row.broker.key_status("mesh").next_fetch.expect("it is planned");
            assert_eq!(next.0 - row.broker.clock.now().0, wait);
            row.accepts("the old bundle", valid(&row)).await;
        }
        issuer.mend();
        polled(&row, &issuer).await;
        next_fetch_is_due(&row, &(150..=240), "back at the interval");
        issuer.answers(Answer::status(500));
        row.broker.advance(TOO_STALE);
        let gone = (503, "temporarily_unavailable");
        row.refuses_as(gone, "too old", valid(&row), "key.unavailable").await;
        issuer.mend();
        row.broker.advance(Duration::from_secs(300));
        until("mended", || row.broker.key_status("mesh").usable).await;
        row.accepts("mended", valid(&row)).await;
    }

    "SP-18" an_empty_bundle_shuts_the_trust_domain(row, issuer, as_mesh) {
        row.accepts("a bundle", valid(&row)).await;
        let empty = json!({ "keys": [], "spiffe_sequence": 9, "spiffe_refresh_hint": 60 });
        issuer.answers(Answer::json(empty.to_string()));
        row.broker.refresh_keys("mesh").await.expect("an empty bundle is an answer");
        row.refuses("an SVID", valid(&row), "key.unknown").await;
        row.broker.advance(Duration::from_secs(31));
        row.refuses("an SVID, later", valid(&row), "key.unknown").await;
        issuer.mend();
        row.broker.refresh_keys("mesh").await.unwrap();
        row.accepts("open again", valid(&row)).await;
    }

    "SP-23" each_poll_starts_at_the_configured_url(row, issuer, as_mesh) {
        row.accepts("a bundle", valid(&row)).await;
        let moved: Value = json!({ "keys": [bundle_key(&Platform::spiffe().key)], "spiffe_sequence": 5 });
        issuer.answers_at("/moved", Answer::json(moved.to_string()));
        for (status, polls) in [(301, 1), (308, 2)] {
            issuer.answers(Answer::redirect(status, "/moved"));
            row.broker.refresh_keys("mesh").await.unwrap();
            assert_eq!((row.broker.key_status("mesh").sequence, issuer.hits_at("/moved").len()), (Some(5), polls));
            row.accepts("moved", valid(&row)).await;
        }
        let asked = issuer.hits_at(KEYS).len();
        issuer.answers(bundle(&[]));
        row.broker.refresh_keys("mesh").await.unwrap();
        assert_eq!((issuer.hits_at(KEYS).len(), issuer.hits_at("/moved").len()), (asked + 1, 2));
        assert_eq!(row.broker.key_status("mesh").sequence, None);
        row.accepts("back", valid(&row)).await;
    }
}
