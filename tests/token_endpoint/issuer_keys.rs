//! Where keys come from, what happens without them, and that ours survive.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::broker::TestBroker;
use crate::support::issuer::TestIssuer;
use crate::support::keys::TestKey;
use crate::support::minted::Minted;
use crate::support::platform::Platform;
use crate::support::process::{ServeProcess, client_secret};
use crate::support::setup::{Platforms, Setup};
use crate::support::wire::Request;
use crate::support::{JWT_BEARER, NOW};

/// An issuer on loopback, as a platform that the broker asks for its keys.
async fn served(key: &TestKey) -> (TestIssuer, Platform) {
    let issuer = TestIssuer::start(&[key]).await;
    let platform = Platform::oidc().at(&issuer.url()).with_key(key.clone());
    (issuer, platform)
}

fn trusting(setup: Setup, issuer: &TestIssuer) -> Setup {
    let settings = format!("{{ kind: oidc, url: \"{}\", danger_allow_http: true }}", issuer.url());
    setup.issuer("partner", &settings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_by_discovery_and_an_unknown_kid_asks_again_once() {
    let (old, new) = (TestKey::p256("old"), TestKey::p256("new"));
    let (issuer, platform) = served(&old).await;
    let broker = TestBroker::start_with(|setup, _| trusting(setup, &issuer)).await;
    assert_eq!(broker.token(platform.assertion()).await.status, 200);
    let asked = issuer.key_hits();
    assert_eq!(broker.token(platform.assertion()).await.status, 200);
    assert_eq!(issuer.key_hits(), asked, "known keys are not asked for again");
    issuer.publish([old.jwk(), new.jwk()]);
    broker.advance(Duration::from_secs(60));
    let rotated = platform.assertion().issued_at(NOW + 60).signed_by(&new);
    assert_eq!(broker.token(rotated).await.status, 200, "a new key is found");
    let asked = issuer.key_hits();
    for count in 0..20 {
        let unknown = platform.assertion().issued_at(NOW + 60).header("kid", format!("random-{count}"));
        assert_eq!(broker.cause(&broker.token(unknown).await).await, "key.unknown");
    }
    assert!(issuer.key_hits() <= asked + 1, "random kids made {} fetches", issuer.key_hits() - asked);
}

#[tokio::test]
async fn a_caller_that_hangs_up_leaves_its_record_all_the_same() {
    let (issuer, platform) = served(&TestKey::p256("p")).await;
    let broker = TestBroker::start_with(|setup, _| trusting(setup, &issuer)).await;
    assert_eq!(broker.token(platform.assertion()).await.status, 200);
    broker.advance(Duration::from_secs(60));
    let asked = issuer.key_hits();
    issuer.hold();
    let unknown = platform.assertion().issued_at(NOW + 60).header("kid", "unknown").compact();
    let mut caller = TcpStream::connect(broker.address).await.unwrap();
    caller.write_all(&broker.token_request(&unknown, &[]).bytes()).await.unwrap();
    until("the exchange waits for keys", || issuer.key_hits() > asked).await;
    drop(caller);
    for _ in 0..10_000 {
        tokio::task::yield_now().await; // the server sees the connection end
    }
    issuer.release();
    let trail = broker.directory().join("data/audit.jsonl");
    let recorded = || std::fs::read_to_string(&trail).is_ok_and(|trail| trail.contains("key.unknown"));
    until("the refusal is recorded", recorded).await;
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect(what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_whose_keys_cannot_be_had_is_a_fault_of_ours_not_the_caller_s() {
    let (issuer, platform) = served(&TestKey::p256("p")).await;
    issuer.set_down(true);
    let broker = TestBroker::start_with(|setup, _| trusting(setup, &issuer)).await;
    let reply = broker.token(platform.assertion()).await;
    assert_eq!((reply.status, reply.oauth_error().as_str()), (503, "temporarily_unavailable"), "{}", reply.text());
    assert!(reply.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0)));
    let record = broker.audit_of(&reply).await.expect("a record");
    assert_eq!((record["outcome"].as_str(), record["cause"].as_str()), (Some("fault"), Some("key.unavailable")));
    assert_eq!(broker.token(broker.github().assertion()).await.status, 200, "other issuers are served");
}

/// A key set's keys; their order means nothing (RFC 7517 §5.1).
fn by_id(set: &Value) -> BTreeSet<String> {
    set["keys"].as_array().expect("keys").iter().map(Value::to_string).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_users_and_credentials_survive_kill_9() {
    let platforms = Platforms::new();
    let directory = tempfile::tempdir().unwrap();
    let process = ServeProcess::start(&Setup::platforms(&platforms), directory.path()).await;
    let address = process.address;
    let client = client_secret(directory.path(), "legacy-job").await;
    let now = countersign::clock::Clock::system().now().0;
    let once = platforms.github.assertion().issued_at(now).compact();
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", once.as_str()),
    ];
    let before = Request::token(&fields).send(address).await;
    let keys_before = Request::get("/oauth2/jwks").send(address).await.json();
    assert_eq!(before.status, 200, "{}", before.text());
    process.kill().await;

    let process = ServeProcess::restart(directory.path(), address).await;
    let keys = Request::get("/oauth2/jwks").send(process.address).await.json();
    assert_eq!(by_id(&keys), by_id(&keys_before), "the signing keys are kept");
    Minted::verify(&before.access_token(), &keys);
    assert_eq!(Request::token(&fields).send(address).await.status, 401, "the assertion stays used");
    let own =
        [("grant_type", "client_credentials"), ("client_id", &client.client_id), ("client_secret", &client.secret)];
    let after = Request::token(&own).send(address).await;
    assert_eq!(Minted::verify(&after.access_token(), &keys).text("sub"), "legacy-job");
}
