//! Rotations without overlap, and removals: how soon a new key verifies, and how long an old one still does.

use std::time::Duration;

use futures_util::future::join_all;

use crate::support::faulty::Answer;
use crate::support::keys::{TestKey, jwks};
use crate::{COOLDOWN, LOOK_AGAIN, Stage};

const SECOND: Duration = Duration::from_secs(1);

/// Unknown kids, at this moment.
async fn flood(stage: &Stage, moment: usize) {
    let unknown = |count| stage.issuer.with_unknown_key(&format!("random-{moment}-{count}"));
    let causes = join_all((0..10).map(|count| stage.outcome(unknown(count)))).await;
    assert!(causes.iter().all(|cause| cause == "key.unknown"), "{causes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_without_overlap_is_found_by_the_first_request() {
    let new = TestKey::p256("new");
    let stage = Stage::warm().await;
    stage.pass(SECOND).await;
    stage.issuer.publish([new.jwk()]);
    assert_eq!(stage.outcome(stage.issuer.assertion().signed_by(&new)).await, "", "the first request with the new key");
    assert_eq!(stage.outcome(stage.issuer.assertion()).await, "key.unknown", "the old key has ended");
    assert_eq!(stage.fetches(), [0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_inside_the_cooldown_is_found_at_its_end_also_under_flood() {
    for flooded in [false, true] {
        let new = TestKey::p256("new");
        let stage = Stage::warm().await;
        stage.pass(SECOND).await;
        assert_eq!(stage.outcome(stage.issuer.with_unknown_key("spends-the-token")).await, "key.unknown");
        stage.pass(SECOND).await;
        stage.issuer.publish([new.jwk()]);
        // A caller with the new key tries each second, as does the flood; the old key serves meanwhile.
        for second in 1..COOLDOWN.as_secs() as usize {
            if flooded {
                flood(&stage, second).await;
            }
            assert_eq!(stage.outcome(stage.issuer.assertion().signed_by(&new)).await, "key.unknown", "second {second}");
            stage.serves("the old key").await;
            stage.pass(SECOND).await;
        }
        assert_eq!(stage.fetches(), [0, 1], "flooded: {flooded}");
        if flooded {
            let caller = stage.outcome(stage.issuer.assertion().signed_by(&new));
            let ((), cause) = tokio::join!(flood(&stage, 30), caller);
            assert_eq!(cause, "", "in the flood's own moment");
        }
        let cause = stage.outcome(stage.issuer.assertion().signed_by(&new)).await;
        assert_eq!(cause, "", "30 s after the last fetch; flooded: {flooded}");
        assert_eq!(stage.fetches(), [0, 1, 31]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kid_that_nobody_had_yet_is_found_once_it_is_published() {
    let early = TestKey::p256("early");
    let stage = Stage::warm().await;
    // Signed before the key is published, as replicas of an issuer do.
    for _ in 0..3 {
        assert_eq!(stage.outcome(stage.issuer.assertion().signed_by(&early)).await, "key.unknown");
    }
    stage.issuer.publish([TestKey::p256("good").jwk(), early.jwk()]);
    stage.pass(COOLDOWN).await;
    assert_eq!(stage.outcome(stage.issuer.assertion().signed_by(&early)).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_key_verifies_no_more_five_minutes_after_its_removal_whatever_max_age_says() {
    let (kept, removed) = (TestKey::p256("kept"), TestKey::p256("removed"));
    let ages =
        ["", "max-age=31536000, immutable", "max-age=100000000000000000000", "s-maxage=9, max-age=-1", "no-store"];
    for age in ages {
        let stage = Stage::warm_with(&[&kept, &removed]).await;
        let aged =
            |keys: &[&TestKey]| Answer::json(jwks(keys.iter().map(|key| key.jwk()))).header("cache-control", age);
        stage.issuer.answers(aged(&[&kept, &removed]));
        stage.pass(LOOK_AGAIN).await;
        // Fetched with this age, and removed a moment later.
        assert_eq!(stage.outcome(stage.issuer.assertion().signed_by(&removed)).await, "", "{age}");
        stage.issuer.answers(aged(&[&kept]));
        stage.pass(LOOK_AGAIN).await;
        assert_eq!(stage.outcome(stage.issuer.assertion().signed_by(&removed)).await, "key.unknown", "{age}");
        stage.serves("the key that was kept").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_is_found_without_a_kid_too_where_the_issuer_may_leave_it_out() {
    let good = TestKey::p256("good");
    for (rotated, cause) in [(TestKey::p256("new"), "claims.signature"), (TestKey::p384("new-type"), "key.unknown")] {
        let stage = Stage::warm_where("allow_missing_kid: true").await;
        let signed = |key: &TestKey| stage.issuer.assertion().signed_by(key).without_header("kid");
        stage.pass(COOLDOWN).await;
        assert_eq!(stage.outcome(signed(&good)).await, "");
        assert_eq!(stage.fetches(), [0], "the held key verifies, so nobody is asked");
        stage.issuer.publish([rotated.jwk()]);
        assert_eq!(stage.outcome(signed(&rotated)).await, "", "the first request with the new key");
        assert_eq!(stage.fetches(), [0, 30]);
        // What no key verifies is asked about once in 30 seconds, as an unknown kid is.
        for fetches in [&[0, 30][..], &[0, 30, 60]] {
            for _ in 0..10 {
                assert_eq!(stage.outcome(signed(&good)).await, cause);
            }
            assert_eq!(stage.fetches(), fetches);
            stage.pass(COOLDOWN).await;
        }
    }
}
