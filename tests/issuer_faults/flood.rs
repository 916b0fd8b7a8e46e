//! Floods of unknown `kid`s. Each burst falls into one moment of the simulated clock, so its rate is above any.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use crate::support::NOW;
use crate::support::faulty::{Answer, Delivery, METADATA, until};
use crate::support::keys::TestKey;
use crate::{COOLDOWN, Stage, while_releasing};

const BURST: usize = 40;

impl Stage {
    /// A burst of tokens with kids that nobody has, and one with a known kid in its middle. Whether the known one was
    /// answered while the issuer held a fetch back.
    async fn burst(&self, count: &AtomicUsize) -> bool {
        let (over, held) = (AtomicBool::new(false), self.issuer.key_hits());
        let unknown = join_all((0..BURST).map(|_| {
            let id = format!("random-{}", count.fetch_add(1, Ordering::SeqCst));
            self.outcome(self.issuer.with_unknown_key(&id))
        }));
        let unknown = async {
            let causes = unknown.await;
            over.store(true, Ordering::SeqCst);
            assert!(causes.iter().all(|cause| cause == "key.unknown"), "{causes:?}");
        };
        let known = async {
            self.serves("within the burst").await;
            let is_held = || self.issuer.key_hits() > held;
            until("a fetch, or none", || is_held() || over.load(Ordering::SeqCst)).await;
            self.serves("late in the burst").await;
            let was_held = is_held() && !over.load(Ordering::SeqCst);
            while !over.load(Ordering::SeqCst) {
                self.issuer.release();
                tokio::task::yield_now().await;
            }
            was_held
        };
        let ((), was_held) = tokio::join!(unknown, known);
        was_held
    }

    /// Three simulated minutes of it; how often a known kid was answered while a fetch was held back.
    async fn flooded(&self) -> usize {
        let (count, mut while_held) = (AtomicUsize::new(0), 0);
        for _ in 0..36 {
            while_held += usize::from(self.burst(&count).await);
            self.broker.advance(Duration::from_secs(5));
            while_releasing(&self.issuer, self.settled()).await;
        }
        assert_eq!(count.load(Ordering::SeqCst), 36 * BURST);
        // The fetch of the start is free, so the flood's first one is not held up by it.
        assert_eq!(self.fetches(), [0, 0, 30, 60, 90, 120, 150]);
        while_held
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_kids_is_one_fetch_in_thirty_seconds() {
    let stage = Stage::warm().await;
    stage.flooded().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_one_fetch_in_thirty_seconds_also_when_the_issuer_fails() {
    let stage = Stage::warm().await;
    stage.issuer.answers(Answer::status(500));
    stage.flooded().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_one_fetch_in_thirty_seconds_also_when_the_issuer_hangs_and_known_kids_never_wait() {
    let stage = Stage::warm().await;
    stage.issuer.answers(Answer::hang());
    let while_held = stage.flooded().await;
    assert!(while_held >= 2, "a known kid was answered only {while_held} times while a fetch was held back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_kid_is_served_while_the_fetch_for_an_unknown_one_is_held_back() {
    let new = TestKey::p256("new");
    let stage = Stage::warm().await;
    stage.issuer.publish([TestKey::p256("good").jwk(), new.jwk()]);
    let answer = Answer::keys([TestKey::p256("good").jwk(), new.jwk()]);
    stage.issuer.answers(answer.brought(Delivery::HeldBeforeHead));
    let over = AtomicBool::new(false);
    let waiting = async {
        let cause = stage.outcome(stage.issuer.assertion().signed_by(&new)).await;
        over.store(true, Ordering::SeqCst);
        cause
    };
    let known = async {
        until("the issuer is asked", || stage.issuer.key_hits() == 2).await;
        for _ in 0..20 {
            stage.serves("while it is held").await;
        }
        assert!(!over.load(Ordering::SeqCst), "nothing was held back");
        stage.issuer.release();
    };
    let (cause, ()) = tokio::join!(waiting, known);
    assert_eq!(cause, "", "the new key came with the answer that was held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_leads_nowhere_does_not_get_around_the_thirty_seconds() {
    let nowhere =
        ["http://127.7.255.254:9/jwks", "file:///etc/passwd", "http://10.0.0.1/jwks", "https://169.254.169.254/"];
    for keys in nowhere {
        let stage = Stage::warm().await;
        stage.issuer.names_keys_at(keys);
        stage.pass(crate::LOOK_AGAIN).await;
        for _ in 0..24 {
            stage.outcome(stage.issuer.with_unknown_key("random")).await;
            stage.pass(Duration::from_secs(5)).await;
        }
        let asked: Vec<i64> = stage.issuer.hits_at(METADATA).iter().map(|at| at - NOW).collect();
        assert_eq!(asked, [0, 300, 330, 360, 390], "{keys}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn free_are_the_fetches_of_a_start_of_a_reload_that_changed_the_issuer_and_of_an_operator() {
    let stage = Stage::warm_where("leeway: 60s").await;
    let asks = async || {
        for count in 0..5 {
            assert_eq!(stage.outcome(stage.issuer.with_unknown_key(&format!("random-{count}"))).await, "key.unknown");
        }
    };
    assert_eq!(stage.fetches(), [0], "the start's");
    asks().await;
    assert_eq!(stage.fetches(), [0; 2], "one more for whoever asks");
    stage.broker.refresh_keys("partner").await.unwrap();
    asks().await;
    assert_eq!(stage.fetches(), [0; 3], "an operator's, and none for others");
    stage.broker.reload().unwrap();
    asks().await;
    assert_eq!(stage.fetches(), [0; 3], "a reload that leaves the issuer as it was asks nobody");
    stage.broker.rewrite("leeway: 60s", "leeway: 50s");
    stage.broker.reload().unwrap();
    until("it has fetched", || stage.issuer.key_hits() == 4 && stage.broker.key_status("partner").usable).await;
    stage.settled().await;
    asks().await;
    assert_eq!(stage.fetches(), [0; 5], "its own, and one more for whoever asks");
    stage.pass(COOLDOWN).await;
    asks().await;
    assert_eq!(stage.fetches(), [0, 0, 0, 0, 0, 30]);
}
