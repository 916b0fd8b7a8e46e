//! time: the broker's clock stands still at the fixtures' `iat`, so every second counts.

use std::time::Duration;

use countersign::vocab::UnixTime;
use serde_json::{Value, json};

use crate::support::NOW;
use crate::support::assertion::Assertion;

/// A valid assertion that was issued at this time and lives 300 s.
fn issued_at(row: &crate::row::Row, time: i64) -> Assertion {
    row.partner().assertion().issued_at(time)
}

rows! {
    "TM-01" an_assertion_past_its_leeway_is_refused(row) {
        row.accepts("expired 59 s ago", issued_at(&row, NOW - 300 - 59)).await;
        row.refuses("expired 61 s ago", issued_at(&row, NOW - 300 - 61), "claims.expired").await;
        row.refuses("expired 5 min ago", issued_at(&row, NOW - 600), "claims.expired").await;
    }

    "TM-02" times_within_the_leeway_are_accepted(row) {
        row.accepts("expired 30 s ago", issued_at(&row, NOW - 330)).await;
        row.accepts("nbf in 8 s", row.partner().assertion().claim("nbf", NOW + 8)).await;
        row.accepts("iat in 8 s", issued_at(&row, NOW + 8)).await;
        row.accepts("a fraction", row.partner().assertion().claim("iat", NOW as f64 + 0.5)).await;
    }

    "TM-03" an_assertion_before_its_time_is_refused(row) {
        let valid = || row.partner().assertion();
        row.accepts("nbf now", valid().claim("nbf", NOW)).await;
        row.refuses("nbf in 2 min", valid().claim("nbf", NOW + 120), "claims.not_yet_valid").await;
    }

    "TM-04" an_assertion_from_the_future_is_refused(row) {
        row.accepts("iat now", issued_at(&row, NOW)).await;
        row.refuses("iat in an hour", issued_at(&row, NOW + 3600), "claims.issued_in_future").await;
        row.refuses("iat in 61 s", issued_at(&row, NOW + 61), "claims.issued_in_future").await;
    }

    "TM-05" an_old_assertion_is_refused_even_before_its_expiry(row, |setup, _| {
        setup.key_file("partner", "kind: oidc, url: https://idp.partner.example, max_lifetime: 1h", &[&crate::support::platform::Platform::oidc().key])
    }) {
        let old = |age: i64| row.partner().assertion().claim("iat", NOW - age);
        row.accepts("50 min old", old(50 * 60)).await;
        row.refuses("25 h old", old(25 * 3600), "claims.lifetime").await;
        row.refuses("62 min old", old(62 * 60), "claims.lifetime").await;
    }

    "TM-06" an_assertion_that_lives_too_long_is_refused(row) {
        let pod = || row.broker.platforms.kubernetes.assertion();
        row.accepts("an hour", pod()).await;
        let year = pod().claim("exp", NOW + 31_536_000);
        row.refuses("Kubernetes' default mount", year, "claims.lifetime").await;
        let no_iat = pod().without("iat").claim("exp", NOW + 31_536_000);
        row.refuses("without iat", no_iat, "claims.lifetime").await;
        let github = row.github().assertion().claim("exp", NOW + 86_400);
        row.refuses("GitHub, a day", github, "claims.lifetime").await;
    }

    "TM-08" an_expiry_is_there(row) {
        let valid = || row.partner().assertion();
        row.accepts("with exp", valid()).await;
        row.refuses("missing", valid().without("exp"), "claims.malformed").await;
        row.refuses("null", valid().claim("exp", Value::Null), "claims.malformed").await;
    }

    "TM-09" an_expiry_is_a_number(row) {
        let valid = || row.partner().assertion();
        row.accepts("a number", valid()).await;
        for exp in [json!("1999999999"), json!("never"), json!(""), json!([NOW + 300]), json!({}), json!(true)] {
            row.refuses(&exp.to_string(), valid().claim("exp", exp.clone()), "claims.malformed").await;
        }
    }

    "TM-10" nbf_and_iat_are_numbers(row) {
        let valid = || row.partner().assertion();
        row.accepts("a number", valid().claim("nbf", NOW)).await;
        for text in ["99999999999", "0", "1790000000"] {
            row.refuses("nbf", valid().claim("nbf", text), "claims.malformed").await;
            row.refuses("iat", valid().claim("iat", text), "claims.malformed").await;
        }
        row.refuses("nbf null", valid().claim("nbf", Value::Null), "claims.malformed").await;
    }

    "TM-12" an_expiry_at_or_before_1970_is_refused(row) {
        let valid = || row.partner().assertion();
        row.accepts("a usual one", valid()).await;
        row.refuses("-1", valid().claim("exp", -1), "claims.malformed").await;
        row.refuses("0", valid().claim("exp", 0), "claims.expired").await;
    }

    "TM-14" times_that_contradict_each_other_are_refused(row) {
        let valid = || row.partner().assertion();
        row.accepts("in order", valid()).await;
        let before_iat = valid().claim("iat", NOW).claim("exp", NOW - 10);
        row.refuses("exp before iat", before_iat, "claims.times").await;
        let after_exp = valid().claim("exp", NOW + 5).claim("nbf", NOW + 15);
        row.refuses("nbf after exp", after_exp, "claims.times").await;
    }

    "TM-15" milliseconds_are_not_taken_for_seconds(row) {
        let valid = || row.partner().assertion();
        row.accepts("seconds", valid()).await;
        row.refuses("iat", valid().claim("iat", NOW * 1000), "claims.malformed").await;
        row.refuses("exp", valid().claim("exp", NOW * 1000), "claims.malformed").await;
        row.refuses("2^63", valid().claim("exp", 9_223_372_036_854_775_808_u64), "claims.malformed").await;
    }

    "TM-16" setting_the_clock_back_does_not_revive_a_used_assertion(row) {
        let used = row.github().assertion().compact();
        row.broker.advance(Duration::from_secs(120));
        row.accepts("first use", used.clone()).await;
        row.broker.clock.set(UnixTime(NOW));
        row.refuses("two minutes back", used.clone(), "mint.replayed").await;
        row.broker.clock.set(UnixTime(NOW + 3600));
        row.refuses("an hour later", used.clone(), "claims.expired").await;
        row.accepts("another one then", row.github().assertion().issued_at(NOW + 3600)).await;
        row.broker.clock.set(UnixTime(NOW - 3600));
        row.refuses("an hour back", used.clone(), "claims.not_yet_valid").await;
        row.broker.clock.set(UnixTime(NOW + 130));
        row.refuses("back in its time", used, "mint.replayed").await;
    }
}
