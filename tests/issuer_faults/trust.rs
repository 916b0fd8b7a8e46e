//! What an issuer says of its keys is believed; what is no such word changes nothing.

use crate::support::faulty::{Answer, Delivery};
use crate::support::keys::{TestKey, jwks};
use crate::{COOLDOWN, Stage};

impl Stage {
    /// Twenty unknown kids in one moment.
    async fn asks_often(&self) {
        for count in 0..20 {
            assert_eq!(self.outcome(self.issuer.with_unknown_key(&format!("random-{count}"))).await, "key.unknown");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_set_evicts_and_is_asked_about_no_more_often_than_any_other() {
    let mut leaked = TestKey::p256("good").jwk();
    leaked["d"] = "AQAB".into();
    for evicting in [Answer::keys([]), Answer::keys([leaked])] {
        let stage = Stage::warm().await;
        stage.issuer.answers(evicting);
        stage.pass(COOLDOWN).await;
        stage.asks_often().await;
        for _ in 0..20 {
            assert_eq!(stage.outcome(stage.issuer.assertion()).await, "key.unknown", "the old key");
        }
        assert_eq!(stage.fetches(), [0, 30]);
        for _ in 0..3 {
            stage.pass(COOLDOWN).await;
            stage.asks_often().await;
        }
        stage.keeps_to_the_budget();
        stage.issuer.mend();
        stage.pass(COOLDOWN).await;
        stage.serves("well again").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_answer_evicts_nothing_and_is_asked_about_no_more_often_than_a_good_one() {
    let good = jwks([TestKey::p256("good").jwk()]);
    let half = good.len() / 2;
    let bad = [
        Answer::status(500),
        Answer::status(404),
        Answer::json(good.as_str()).with_status(203),
        Answer::json(good.as_str()).replace_header("content-type", "text/html"),
        Answer::json("{}"),
        Answer::json("{\"keys\":null}"),
        Answer::json("{\"keys\":[],\"keys\":[]}"),
        Answer::json("{\"keys\":[{\"kty\":\"AKP\",\"kid\":\"good\"}]}"),
        Answer::json(&good.as_bytes()[..half]),
        Answer::json(good.as_str()).and(good.as_str(), 1),
        Answer::json(good.as_str()).brought(Delivery::CutAfter(half + 100)),
        Answer::json(good.as_str()).brought(Delivery::ResetInBody),
        Answer::json("{\"keys\":[").and(" ", 2_000_000),
        Answer::json(""),
        Answer::redirect(302, "http://127.0.0.1/"),
    ];
    let stage = Stage::warm().await;
    for answer in bad {
        stage.issuer.answers(answer);
        stage.pass(COOLDOWN).await;
        let asked = stage.issuer.key_hits();
        stage.asks_often().await;
        stage.serves("the last good keys").await;
        assert!(stage.issuer.key_hits() <= asked + 1);
        assert!(stage.broker.key_status("partner").last_error.is_some());
    }
    stage.keeps_to_the_budget();
    assert!(stage.fetches().len() >= 15, "{:?}", stage.fetches());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_signature_under_a_known_kid_causes_no_fetch() {
    let stage = Stage::warm().await;
    stage.pass(COOLDOWN).await;
    for _ in 0..20 {
        let forged = stage.issuer.assertion().secretly_signed_by(&TestKey::p256("other"));
        assert_eq!(stage.outcome(forged).await, "claims.signature");
    }
    assert_eq!(stage.fetches(), [0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_fetch_follows_the_last_one_whoever_caused_it() {
    let stage = Stage::warm().await;
    stage.issuer.answers(Answer::status(500));
    stage.pass(COOLDOWN).await;
    assert_eq!(stage.outcome(stage.issuer.with_unknown_key("random")).await, "key.unknown");
    assert_eq!(stage.fetches(), [0, 30]);
    // Nobody asks any more; the failure is tried again as any other.
    stage.pass(COOLDOWN).await;
    crate::until("it is tried again", || stage.fetches() == [0, 30, 60]).await;
}
