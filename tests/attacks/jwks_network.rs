//! jwks-fetch, where the row needs issuers of its own making: slow ones, and ones behind TLS.

use futures_util::future::join_all;

use crate::issuer_row::TOO_STALE;
use crate::row::Row;
use crate::support::faulty::{Answer, Delivery, FaultyIssuer, Shown};
use crate::support::keys::{TestKey, jwks};
use crate::support::setup::Setup;

pub const TESTED: &[&str] = &["JC-06", "JC-20", "JC-24"];

const GONE: (u16, &str) = (503, "temporarily_unavailable");

fn good() -> Answer {
    Answer::json(jwks([TestKey::p256("good").jwk()]))
}

/// More issuers, each with a policy of its own.
fn with_slow(setup: Setup, slow: &[FaultyIssuer]) -> Setup {
    slow.iter().enumerate().fold(setup, |setup, (index, issuer)| {
        let name = format!("slow-{index}");
        let policy = format!(
            "policy: {name}\nissuer: {name}\nmatch: {{ sub: e6a0c5c4-52b7-4c39-9d0f-3a6f1a7b2d10 }}\n\
             user: {name}\nscopes: [\"service:my-api\"]\n"
        );
        setup.issuer(&name, &format!("{{ {} }}", issuer.settings())).policy(&name, &policy)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_key_set_costs_its_own_issuer_s_callers_three_seconds_and_others_nothing() {
    let slow: Vec<_> = (0..4).map(|_| FaultyIssuer::start(&[&TestKey::p256("good")])).collect();
    let row = Row::start("JC-06", |setup, _| with_slow(setup, &slow)).await;
    slow.iter().for_each(|issuer| issuer.follow(&row.broker.clock));
    for issuer in &slow {
        row.accepts("in time", issuer.assertion()).await;
    }
    let cases = [Delivery::Drip, Delivery::Hang, Delivery::HeldInBody, Delivery::HeldBeforeHead];
    for (issuer, delivery) in slow.iter().zip(cases) {
        issuer.answers(good().brought(delivery));
        issuer.drip(20);
    }
    row.broker.advance(TOO_STALE);
    let waiting = join_all(slow.iter().map(|issuer| row.refuses("slow", issuer.assertion(), "key.unavailable")));
    let other = async {
        for _ in 0..20 {
            let now = row.broker.clock.now().0;
            row.accepts("another issuer", row.github().assertion().issued_at(now)).await;
        }
        std::time::Instant::now()
    };
    let waited = async {
        waiting.await;
        std::time::Instant::now()
    };
    let (waited, served) = tokio::join!(waited, other);
    assert!(served < waited, "the other issuer's callers waited too");
    // The fetches are still under way: of their five seconds at least one is left.
    let endings = (0..slow.len()).map(async |index| row.broker.refresh_keys(&format!("slow-{index}")).await);
    for said in join_all(endings).await {
        let said = said.expect_err("it never came to an end");
        assert!(said.contains("no answer within the time limit"), "{said}");
    }
    row.finish();
}

/// Trusts it as `partner`, with its authority.
fn over_tls(setup: Setup, issuer: &FaultyIssuer) -> Setup {
    let settings = format!("{{ {}, ca_file: ca.pem }}", issuer.settings());
    setup.issuer("partner", &settings).file("trust-bundles/ca.pem", issuer.authority())
}

async fn tls_row(id: &str) -> (Row, FaultyIssuer) {
    let issuer = FaultyIssuer::start_tls(&[&TestKey::p256("good")]);
    let row = Row::start(id, |setup, _| over_tls(setup, &issuer)).await;
    issuer.follow(&row.broker.clock);
    (row, issuer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_only_from_a_server_whose_certificate_holds() {
    let (row, issuer) = tls_row("JC-20").await;
    row.accepts("its authority's certificate", issuer.assertion()).await;
    for (shown, reason) in [
        (Shown::Expired, "expired"),
        (Shown::NotYetValid, "not valid yet"),
        (Shown::SelfSigned, "not signed by a CA that is trusted"),
        (Shown::OtherHost, "for another host"),
        (Shown::OtherAuthority, "not signed by a CA that is trusted"),
        (Shown::Version10, "neither TLS 1.2 nor TLS 1.3"),
        (Shown::Plaintext, ""),
    ] {
        let asked = issuer.key_hits();
        issuer.shows(shown);
        let said = row.broker.refresh_keys("partner").await.expect_err("a TLS fault");
        assert!(said.contains("cannot connect") && said.contains(reason), "{shown:?}: {said}");
        row.accepts("the last good keys", issuer.assertion()).await;
        row.broker.advance(TOO_STALE);
        row.refuses(&format!("{shown:?}"), issuer.assertion(), "key.unavailable").await;
        assert_eq!(issuer.key_hits(), asked, "{shown:?}: keys were asked for");
        issuer.shows(Shown::Good);
        row.recovers().await;
    }
    issuer.answers(Answer::redirect(302, &issuer.keys_url().replace("https:", "http:")));
    let said = row.broker.refresh_keys("partner").await.unwrap_err();
    assert!(said.contains("redirects from https to another scheme"), "https to http: {said}");
    row.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_address_is_open_for_the_exact_configured_origin_only() {
    let (row, issuer) = tls_row("JC-24").await;
    row.accepts("the configured origin", issuer.assertion()).await;
    let (over_http, neighbour) = (FaultyIssuer::start(&[&TestKey::p256("good")]), issuer.neighbour());
    let (own, other) = (issuer.address, neighbour.address);
    for target in [
        format!("https://{other}/jwks"),
        format!("https://localhost:{}/jwks", other.port()),
        "https://10.0.0.1/jwks".to_owned(),
        "https://192.168.1.1/jwks".to_owned(),
        format!("http://{own}/jwks"),
        over_http.keys_url(),
    ] {
        issuer.names_keys_at(target.as_str());
        let said = row.broker.refresh_keys("partner").await.expect_err(&target);
        assert!(said.contains("may be fetched from"), "{target}: {said}");
        row.broker.advance(TOO_STALE);
        row.refuses_as(GONE, &target, issuer.assertion(), "key.unavailable").await;
        issuer.mend();
        row.recovers().await;
        row.accepts("the configured origin again", issuer.assertion()).await;
    }
    assert_eq!((neighbour.connections(), over_http.connections()), (0, 0), "something inside was contacted");
    row.broker.rewrite(", allow_private_network: true", "");
    row.broker.reload().unwrap();
    let said = row.broker.refresh_keys("partner").await.unwrap_err();
    assert!(said.contains("may be fetched from"), "without the setting: {said}");
    row.broker.advance(TOO_STALE);
    row.refuses_as(GONE, "without the setting", issuer.assertion(), "key.unavailable").await;
    row.finish();
}
