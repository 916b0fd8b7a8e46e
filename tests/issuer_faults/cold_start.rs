//! Starts without network: the last good answer is kept with the other records.

use std::time::{Duration, Instant};

use countersign::clock::Clock;

use crate::support::faulty::{Answer, FaultyIssuer, METADATA};
use crate::support::keys::TestKey;
use crate::support::process::ServeProcess;
use crate::support::setup::{Platforms, Setup};
use crate::support::wire::Request;
use crate::support::{JWT_BEARER, NOW};
use crate::{HOUR, Stage, trusting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_keys_serve_at_once_after_a_start_without_network_until_they_are_too_old() {
    let Stage { broker, issuer } = Stage::warm().await;
    issuer.close().await;
    let hits = issuer.connections();
    let broker = broker.restarted_after(HOUR).await;
    assert_eq!(broker.token(issuer.assertion()).await.status, 200, "an hour later");
    let status = broker.key_status("partner");
    assert!(status.usable && status.restored, "{status:?}");
    assert_eq!(status.last_fetch.map(|at| at.0), Some(NOW), "their age goes on");
    let broker = broker.restarted_after(22 * HOUR).await;
    assert_eq!(broker.token(issuer.assertion()).await.status, 200, "after another start, 23 hours old");
    let broker = broker.restarted_after(2 * HOUR).await;
    let reply = broker.token(issuer.assertion()).await;
    assert_eq!((reply.status, broker.cause(&reply).await.as_str()), (503, "key.unavailable"), "25 hours old");
    assert_eq!(issuer.connections(), hits);
    issuer.open();
    broker.advance(Duration::from_secs(60));
    crate::until("the issuer is well again", || broker.key_status("partner").usable).await;
    assert_eq!(broker.token(issuer.assertion()).await.status, 200);
    assert!(!broker.key_status("partner").restored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_keys_serve_no_other_source() {
    let Stage { broker, issuer } = Stage::warm().await;
    let stranger = FaultyIssuer::start(&[&TestKey::p256("other")]);
    stranger.close().await;
    issuer.close().await;
    let pinned = |url: &str| format!("danger_allow_http: true, keys: {{ url: \"{url}\" }}");
    broker.rewrite("danger_allow_http: true", &pinned(&stranger.keys_url()));
    let broker = broker.restarted_after(HOUR).await;
    let reply = broker.token(issuer.assertion()).await;
    assert_eq!((reply.status, broker.cause(&reply).await.as_str()), (503, "key.unavailable"));
    broker.rewrite(&pinned(&stranger.keys_url()), "danger_allow_http: true");
    let broker = broker.restarted_after(HOUR).await;
    assert_eq!(broker.token(issuer.assertion()).await.status, 200, "the source that they came from");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_key_does_not_come_back_by_a_restart() {
    let (kept, removed) = (TestKey::p256("kept"), TestKey::p256("removed"));
    let stage = Stage::warm_with(&[&kept, &removed]).await;
    stage.issuer.publish([kept.jwk()]);
    stage.pass(crate::LOOK_AGAIN).await;
    assert_eq!(stage.outcome(stage.issuer.assertion().signed_by(&removed)).await, "key.unknown");
    stage.serves("the other").await;
    let Stage { broker, issuer } = stage;
    issuer.close().await;
    let broker = broker.restarted_after(HOUR).await;
    assert_eq!(broker.token(issuer.assertion()).await.status, 200);
    let reply = broker.token(issuer.assertion().signed_by(&removed)).await;
    assert_eq!(broker.cause(&reply).await, "key.unknown");
}

/// From the start of the program to its first token.
const PROMISED: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_serves_without_network_within_two_seconds_after_kill_9() {
    let issuer = FaultyIssuer::start(&[&TestKey::p256("good")]);
    issuer.follow(&Clock::system());
    let neighbour = FaultyIssuer::start(&[&TestKey::p256("neighbour")]);
    neighbour.answers_at(METADATA, Answer::hang());
    let directory = tempfile::tempdir().unwrap();
    let setup = trusting(Setup::platforms(&Platforms::new()), "partner", &issuer);
    let setup = trusting(setup, "neighbour", &neighbour);
    let mut process = ServeProcess::start(&setup, directory.path()).await;
    let address = process.address;
    let exchange = async || {
        let assertion = issuer.assertion().compact();
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", &assertion),
        ];
        let reply = Request::token(&fields).send(address).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    for _ in 0..2 {
        exchange().await;
    }
    issuer.answers_at(METADATA, Answer::hang());
    for network in ["hangs", "refuses"] {
        // A machine that is busy with other tests may take longer once; a start that waits for a fetch takes it each time.
        let (mut quickest, mut attempts) = (Duration::MAX, 0);
        while quickest >= PROMISED {
            process.kill().await;
            if network == "refuses" {
                issuer.close().await;
            }
            let (asked, begin) = (issuer.hits_at(METADATA).len(), Instant::now());
            process = ServeProcess::restart(directory.path(), address).await;
            exchange().await;
            let took = begin.elapsed();
            println!("the issuer {network}: {took:?} from the start of the program to its first token");
            quickest = quickest.min(took);
            attempts += 1;
            assert!(quickest < PROMISED || attempts < 3, "{network}: {quickest:?}");
            if network == "hangs" {
                crate::until("it is asked", || issuer.hits_at(METADATA).len() > asked).await;
            }
        }
    }
}
