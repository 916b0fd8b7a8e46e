//! Three brokers on one PostgreSQL, over real HTTP: what callers and verifiers see of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod support;

use std::time::{Duration, Instant};

use countersign::clock::Clock;
use countersign::vocab::UnixTime;
use serde_json::json;
use support::broker::TestBroker;
use support::postgres::{Database, Server};
use support::setup::Platforms;
use support::wire::Request;

const REPLICAS: usize = 3;

/// Brokers that share a database, and the time that they were started at: PostgreSQL's own clock decides about replays.
struct Cluster {
    brokers: Vec<TestBroker>,
    now: UnixTime,
}

impl Cluster {
    async fn start(database: &Database<'_>) -> Cluster {
        let (platforms, now) = (Platforms::new(), Clock::system().now());
        let mut brokers = Vec::new();
        for _ in 0..REPLICAS {
            let shared = TestBroker::replica(&platforms, now, |setup| {
                setup
                    .setting(&format!("store: {{ postgres: \"{}\" }}", database.url()))
                    .setting("key_encryption_key: { file: kek }")
                    .file("kek", "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0ISEhISE=")
            });
            brokers.push(shared.await);
        }
        Cluster { brokers, now }
    }

    /// A fresh assertion of an issuer whose tokens are used once.
    fn assertion(&self) -> String {
        self.brokers[0].github().assertion().issued_at(self.now.0).into()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_replica_is_verified_by_the_others() {
    let database = Server::shared().database();
    let cluster = Cluster::start(&database).await;
    let client = cluster.brokers[0].credential("ci", "legacy-job").await;
    let reply = cluster.brokers[0].token(cluster.assertion()).await;
    let token = reply.access_token();
    let sets = futures_util::future::join_all(cluster.brokers.iter().map(TestBroker::key_set)).await;
    assert!(sets.windows(2).all(|pair| pair[0] == pair[1]), "{sets:?}");
    for broker in &cluster.brokers {
        broker.minted(&reply).await;
        let fields = [("token", token.as_str()), ("client_id", &client.client_id), ("client_secret", &client.secret)];
        let answer = broker.send(&Request::token(&fields).to("POST", "/oauth2/introspect")).await.json();
        assert_eq!(answer["active"], json!(true), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_that_64_senders_post_to_three_replicas_at_once_mints_one_token() {
    let database = Server::shared().database();
    let cluster = Cluster::start(&database).await;
    for _ in 0..5 {
        let assertion = cluster.assertion();
        let senders = (0..64).map(|sender| cluster.brokers[sender % REPLICAS].token(assertion.clone()));
        let replies = futures_util::future::join_all(senders).await;
        assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
        assert_eq!(replies.iter().filter(|reply| reply.status == 400 || reply.status == 401).count(), 63);
    }
    let minted = database.sql("SELECT count(*) FROM audit WHERE outcome = 'minted'");
    let refused = database.sql("SELECT count(*) FROM audit WHERE cause = 'mint.replayed'");
    assert_eq!(
        (minted.as_str(), refused.as_str()),
        ("5", "315"),
        "{}",
        database.sql("SELECT DISTINCT cause FROM audit")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_nothing_is_minted_and_all_that_needs_none_stays_up() {
    let server = Server::start();
    let database = server.database();
    let cluster = Cluster::start(&database).await;
    let broker = &cluster.brokers[1];
    assert_eq!(broker.token(cluster.assertion()).await.status, 200);
    for how in ["fast", "hang"] {
        match how {
            "hang" => server.signal_all("STOP"),
            mode => server.down(mode),
        }
        let begun = Instant::now();
        let reply = broker.token(cluster.assertion()).await;
        assert_eq!(reply.status, 503, "{how}: {}", reply.json());
        assert!(begun.elapsed() < Duration::from_secs(2), "{how}: told after {:?}", begun.elapsed());
        for path in ["/oauth2/jwks", "/.well-known/oauth-authorization-server", "/healthz"] {
            assert_eq!(broker.send(&Request::get(path)).await.status, 200, "{how}: {path}");
        }
        assert_eq!(broker.send(&Request::get("/readyz")).await.status, 503, "{how}");
        match how {
            "hang" => server.signal_all("CONT"),
            _ => server.up(),
        }
        let begun = Instant::now();
        while broker.token(cluster.assertion()).await.status != 200 {
            assert!(begun.elapsed() < Duration::from_secs(5), "{how}: not back after {:?}", begun.elapsed());
            tokio::task::yield_now().await;
        }
        assert_eq!(broker.send(&Request::get("/readyz")).await.status, 200, "{how}");
    }
}

/// It takes ten seconds, because that is the promise.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_hears_nothing_of_revocations_stops_vouching_for_tokens() {
    let server = Server::start();
    let database = server.database();
    let cluster = Cluster::start(&database).await;
    let broker = &cluster.brokers[0];
    let client = broker.credential("ci", "legacy-job").await;
    let token = broker.token(cluster.assertion()).await.access_token();
    let fields = [("token", token.as_str()), ("client_id", &client.client_id), ("client_secret", &client.secret)];
    let ask = async || broker.send(&Request::token(&fields).to("POST", "/oauth2/introspect")).await.status;
    assert_eq!(ask().await, 200);
    server.down("fast");
    let begun = Instant::now();
    assert_eq!(ask().await, 200, "what was heard a moment ago still counts");
    while ask().await != 503 {
        assert!(begun.elapsed() < Duration::from_secs(15), "it goes on without hearing of revocations");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(8), "a short outage does not stop relying parties");
    server.up();
    let begun = Instant::now();
    while ask().await != 200 {
        assert!(begun.elapsed() < Duration::from_secs(5), "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
