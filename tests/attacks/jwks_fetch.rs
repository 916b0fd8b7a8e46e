//! jwks-fetch: only configured issuers are asked, only where they may be, in bounded time; a failed fetch is nobody
//! else's, and no key serves for ever.

use std::time::Duration;

use futures_util::future::join_all;

use crate::issuer_row::{as_partner, fault};
use crate::support::faulty::{Answer, Delivery, FaultyIssuer, KEYS, METADATA, gzip_bomb, until};
use crate::support::issuer::TestIssuer;
use crate::support::keys::{TestKey, jwks};
use crate::support::setup::Setup;

const SECOND: Duration = Duration::from_secs(1);
const COOLDOWN: Duration = Duration::from_secs(30);

/// The good keys, as text.
fn good() -> String {
    jwks([TestKey::p256("good").jwk()])
}

/// A server on `127.0.0.1` that nobody configured, and its port.
async fn stranger() -> (TestIssuer, u16) {
    let stranger = TestIssuer::start(&[&TestKey::p256("good")]).await;
    let port = stranger.address.port();
    (stranger, port)
}

/// Its keys are held back from the start.
fn held_from_the_start(setup: Setup, issuer: &FaultyIssuer) -> Setup {
    issuer.answers(Answer::json(good()).brought(Delivery::HeldBeforeHead));
    as_partner(setup, issuer)
}

issuer_rows! {
    "JC-01" a_token_s_iss_causes_no_connection(row, issuer) {
        row.accepts("the configured one", issuer.assertion()).await;
        let (stranger, port) = stranger().await;
        let connections = issuer.connections();
        let issuers = [
            "http://169.254.169.254/".to_owned(),
            "http://[fd00:ec2::254]/".to_owned(),
            "https://10.0.0.1/".to_owned(),
            format!("http://127.0.0.1:{port}"),
            format!("{}/", issuer.url()),
            issuer.keys_url(),
        ];
        for iss in issuers {
            let unsigned = issuer.assertion().claim("iss", iss.as_str()).header("kid", iss.as_str()).signature([]);
            row.refuses(&iss, unsigned, "assertion.not_compact").await;
            row.refuses(&iss, issuer.assertion().claim("iss", iss.as_str()), "issuer.unknown").await;
        }
        assert_eq!((stranger.hits(), issuer.connections()), (0, connections), "something was contacted");
    }

    "JC-02" metadata_cannot_send_a_fetch_to_another_kind_of_place(row, issuer) {
        let own = issuer.address;
        let targets = [
            "http://10.0.0.1/".to_owned(),
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "file:///etc/passwd".to_owned(),
            "gopher://127.0.0.1/".to_owned(),
            "ftp://idp.example/jwks".to_owned(),
            "data:application/json,{\"keys\":[]}".to_owned(),
            format!("http://user:pw@{own}/jwks"),
            format!("http://idp.example@{own}/jwks"),
        ];
        for target in &targets {
            let metadata = format!("{{\"issuer\":\"{}\",\"jwks_uri\":{}}}", issuer.url(), serde_json::json!(target));
            let refused = fault(target, Answer::json(metadata), "is not a URL that keys may be fetched from");
            row.refuses_the_answer(&issuer, refused.at(METADATA)).await;
        }
        for target in ["null", "7", "[\"/jwks\"]", "\"\"", "\"/jwks\""] {
            let metadata = format!("{{\"issuer\":\"{}\",\"jwks_uri\":{target}}}", issuer.url());
            let refused = fault(target, Answer::json(metadata), "has no jwks_uri that is a URL");
            row.refuses_the_answer(&issuer, refused.at(METADATA)).await;
        }
    }

    "JC-03" a_redirect_does_not_lead_to_another_address(row, issuer) {
        let (stranger, port) = stranger().await;
        let targets = [
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "http://[fd00:ec2::254]/".to_owned(),
            "http://[::ffff:169.254.169.254]/".to_owned(),
            format!("http://0x7f000001:{port}/jwks"),
            format!("http://127.1:{port}/jwks"),
            format!("http://2130706433:{port}/jwks"),
            format!("http://localhost:{port}/jwks"),
            format!("//127.0.0.1:{port}/jwks"),
        ];
        for (status, target) in [301, 302, 303, 307, 308].into_iter().cycle().zip(&targets) {
            let away = fault(target, Answer::redirect(status, target), "redirects to another origin");
            row.refuses_the_answer(&issuer, away).await;
        }
        let from_metadata = Answer::redirect(302, &targets[4]);
        row.refuses_the_answer(&issuer, fault("metadata", from_metadata, "redirects").at(METADATA)).await;
        assert_eq!(stranger.hits(), 0, "a redirect was followed to another origin");
    }

    "JC-05" redirects_are_few_and_stay_where_they_began(row, issuer) {
        issuer.answers(Answer::redirect(301, "/hop/1"));
        issuer.answers_at("/hop/1", Answer::redirect(302, "2"));
        issuer.answers_at("/hop/2", Answer::json(good()));
        row.broker.refresh_keys("partner").await.expect("two redirects");
        for (what, location) in [("a loop", KEYS), ("nowhere", "http://"), ("a file", "file:///etc/passwd")] {
            row.refuses_the_answer(&issuer, fault(what, Answer::redirect(301, location), "redirects")).await;
        }
        row.refuses_the_answer(&issuer, fault("without a place", Answer::status(302), "redirects")).await;
        for hop in 1..=20 {
            issuer.answers_at(&format!("/hop/{hop}"), Answer::redirect(307, &format!("/hop/{}", hop + 1)));
        }
        issuer.answers(Answer::redirect(307, "/hop/1"));
        row.broker.refresh_keys("partner").await.expect_err("a chain");
        assert_eq!(issuer.hits_at("/hop/3").len(), 0, "it was followed further than two hops");
    }

    "JC-07" a_flood_of_unknown_kids_is_one_fetch_a_cooldown(row, issuer) {
        row.accepts("a known kid", issuer.assertion()).await;
        for round in 0..2 {
            let from = issuer.key_hits();
            for burst in 0..100 {
                let unknown = |count| issuer.with_unknown_key(&format!("random-{round}-{burst}-{count}"));
                join_all((0..50).map(|count| row.refuses("an unknown kid", unknown(count), "key.unknown"))).await;
            }
            assert!(issuer.key_hits() <= from + 1, "{} fetches", issuer.key_hits() - from);
            row.accepts("a known kid in between", issuer.assertion()).await;
            row.broker.advance(COOLDOWN);
        }
    }

    "JC-11" a_herd_of_first_requests_is_one_fetch(row, issuer, held_from_the_start) {
        // Signed before: the callers should wait for the keys, and not for one another's signatures.
        let signed: Vec<String> = (0..1_000).map(|_| issuer.assertion().compact()).collect();
        let callers = join_all(signed.iter().map(|token| async { row.broker.token(token.as_str()).await.status }));
        let letting_go = async {
            until("the keys are asked for", || issuer.key_hits() == 1).await;
            issuer.release();
        };
        let (answered, ()) = tokio::join!(callers, letting_go);
        assert!(answered.iter().all(|status| *status == 200), "{answered:?}");
        assert_eq!((issuer.metadata_hits(), issuer.key_hits()), (1, 1));
        row.accepts("one more", issuer.assertion()).await;
    }

    "JC-14" no_max_age_makes_keys_older_than_five_minutes_or_a_fetch_per_request(row, issuer) {
        let ages = [
            "max-age=31536000",
            "max-age=0",
            "max-age=-1",
            "max-age=100000000000000000000",
            "max-age=1.5",
            "max-age=",
            "max-age=\"3600\"",
            "no-store, no-cache, must-revalidate",
            "max-age=1, max-age=31536000, \u{ff}",
            "immutable, s-maxage=31536000",
        ];
        for age in ages {
            issuer.answers(Answer::json(good()).header("cache-control", age));
            row.broker.refresh_keys("partner").await.unwrap();
            let status = row.broker.key_status("partner");
            let fetched = status.last_fetch.expect("just now");
            let hits = issuer.key_hits();
            for _ in 0..3 {
                row.accepts(age, issuer.assertion()).await;
            }
            assert_eq!(issuer.key_hits(), hits, "{age}: a request caused a fetch");
            let wait = row.broker.key_status("partner").next_fetch.expect("it is planned").0 - fetched.0;
            assert!((30..=240).contains(&wait), "{age}: the next fetch comes {wait} s after the last");
            row.broker.advance(SECOND);
        }
    }

    "JC-15" stale_keys_do_not_serve_for_ever(row, issuer) {
        row.accepts("fresh", issuer.assertion()).await;
        issuer.answers(Answer::status(500));
        for hours in 1..=23 {
            row.broker.advance(Duration::from_secs(3600));
            row.accepts(&format!("{hours} hours old"), issuer.assertion()).await;
        }
        row.broker.advance(Duration::from_secs(2 * 3600));
        for day in 1..=3 {
            row.refuses(&format!("day {day}"), issuer.assertion(), "key.unavailable").await;
            row.broker.advance(Duration::from_secs(24 * 3600));
        }
        issuer.mend();
        row.recovers().await;
        row.accepts("mended", issuer.assertion()).await;
    }

    "JC-16" metadata_of_another_issuer_gives_no_keys(row, issuer) {
        let (own, keys) = (issuer.url(), issuer.keys_url());
        let others = [
            serde_json::json!(format!("{own}/")),
            serde_json::json!(own.replace("http:", "HTTP:")),
            serde_json::json!(own.replace("http:", "https:")),
            serde_json::json!("https://idp.example"),
            serde_json::json!(own.replace("127.", "0127.")),
            serde_json::json!([own]),
            serde_json::Value::Null,
        ];
        for other in others {
            let what = other.to_string();
            let answer = Answer::json(serde_json::json!({ "issuer": other, "jwks_uri": keys }).to_string());
            row.refuses_the_answer(&issuer, fault(&what, answer, "names another issuer").at(METADATA)).await;
        }
        let absent = Answer::json(serde_json::json!({ "jwks_uri": keys }).to_string());
        row.refuses_the_answer(&issuer, fault("absent", absent, "names another issuer").at(METADATA)).await;
    }

    "JC-19" keys_may_lie_on_another_origin_that_the_metadata_names(row, issuer) {
        let other = FaultyIssuer::start(&[&TestKey::p256("elsewhere")]);
        issuer.names_keys_at(other.keys_url());
        row.broker.refresh_keys("partner").await.unwrap();
        row.accepts("a key from there", issuer.assertion().signed_by(&TestKey::p256("elsewhere"))).await;
        assert_eq!(other.key_hits(), 1);
        let pinned = format!("danger_allow_http: true, keys: {{ url: \"{}\" }}", other.keys_url());
        row.broker.rewrite("danger_allow_http: true", &pinned);
        row.broker.reload().unwrap();
        row.accepts("pinned there", issuer.assertion().signed_by(&TestKey::p256("elsewhere"))).await;
    }

    "JC-21" only_status_200_is_an_answer(row, issuer) {
        for status in [201, 203, 204, 206, 304, 400, 401, 403, 404, 429, 500, 503, 599] {
            let (what, answer) = (status.to_string(), Answer::json(good()).with_status(status));
            row.refuses_the_answer(&issuer, fault(&what, answer, "")).await;
        }
    }

    "JC-22" a_compressed_key_set_is_not_expanded(row, issuer) {
        for coding in ["gzip", "br", "deflate", "zstd"] {
            let sent = issuer.bytes_sent();
            let bomb = Answer::json(gzip_bomb(900 * 1024)).header("content-encoding", coding);
            row.refuses_the_answer(&issuer, fault(coding, bomb, "")).await;
            assert!(issuer.bytes_sent() - sent < 8 * 1024 * 1024);
        }
    }
}
