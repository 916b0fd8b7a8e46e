use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Response};
use axum::routing::post;
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::super::{Keys, Previous};
use super::*;
use crate::config::{IssuerSettings, KeySource};
use crate::issuer::tests::{issuers, settings};
use crate::kind::IssuerKind;
use crate::vocab::{IssuerName, UnixTime};

const SECOND: Duration = Duration::from_secs(1);
const OURS: &str = "spiffe://prod.example.com";
const THEIRS: &str = "spiffe://other.example.com";

/// Bundles by trust domain, as the agent's messages have them.
type Bundles = BTreeMap<&'static str, Vec<u8>>;

/// What a fake agent holds.
#[derive(Clone, Default)]
struct Held {
    jwt: Bundles,
    /// `None`: this agent has no such method.
    x509: Option<Bundles>,
    denies: bool,
}

/// A fake agent: the Workload API's two bundle streams in real gRPC over a unix socket.
struct Agent {
    held: watch::Sender<Held>,
    opened: Arc<AtomicUsize>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Agent {
    fn start(socket: &PathBuf, held: Held) -> Agent {
        let _ = std::fs::remove_file(socket);
        let (sender, receiver) = watch::channel(held);
        let opened = Arc::new(AtomicUsize::new(0));
        let method = |pick: fn(&Held) -> Option<Vec<u8>>| {
            let (receiver, opened) = (receiver.clone(), opened.clone());
            post(move |headers: HeaderMap| async move { answer(&headers, receiver, &opened, pick) })
        };
        let router = Router::new()
            .route("/SpiffeWorkloadAPI/FetchJWTBundles", method(|held| Some(message(1, &held.jwt))))
            .route("/SpiffeWorkloadAPI/FetchX509Bundles", method(|held| Some(message(2, held.x509.as_ref()?))));
        let listener = UnixListener::bind(socket).unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Agent { held: sender, opened, server }
    }

    fn holds(&self, change: impl FnOnce(&mut Held)) {
        self.held.send_modify(change);
    }

    /// Ends its streams and its socket.
    fn stop(self, socket: &PathBuf) {
        self.server.abort();
        std::fs::remove_file(socket).unwrap();
    }
}

/// One call: a message now and at every change, until the agent stops.
fn answer(
    headers: &HeaderMap,
    held: watch::Receiver<Held>,
    opened: &AtomicUsize,
    pick: fn(&Held) -> Option<Vec<u8>>,
) -> Response<Body> {
    let status = |code: &str, message: &str| {
        let response = Response::builder().header("content-type", "application/grpc");
        response.header("grpc-status", code).header("grpc-message", message).body(Body::empty()).unwrap()
    };
    // SPIFFE Workload Endpoint §3: without it the call may come from a browser that somebody steers.
    if headers.get("workload.spiffe.io").is_none_or(|value| value != "true") {
        return status("3", "security header missing from request");
    }
    if held.borrow().denies {
        return status("7", "no identity issued");
    }
    if pick(&held.borrow()).is_none() {
        return status("12", "unknown method");
    }
    opened.fetch_add(1, Ordering::SeqCst);
    let messages = stream::unfold((held, true), move |(mut held, first)| async move {
        if !first {
            held.changed().await.ok()?;
        }
        let bytes = pick(&held.borrow_and_update())?;
        Some((Ok::<_, std::io::Error>(bytes), (held, false)))
    });
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(Body::from_stream(messages)).unwrap()
}

/// A gRPC frame with a message whose only field is a map from names to bytes.
fn message(field: u8, bundles: &Bundles) -> Vec<u8> {
    let entries = bundles.iter().flat_map(|(name, bytes)| {
        let entry = [bytes_field(1, name.as_bytes()), bytes_field(2, bytes)].concat();
        bytes_field(field, &entry)
    });
    let body: Vec<u8> = entries.collect();
    [vec![0], u32::try_from(body.len()).unwrap().to_be_bytes().to_vec(), body].concat()
}

fn bytes_field(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut encoded = vec![field << 3 | 2];
    let mut rest = bytes.len();
    while rest > 0x7f {
        encoded.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    encoded.push(u8::try_from(rest).unwrap());
    [encoded, bytes.to_vec()].concat()
}

/// A JWT bundle with keys of these names, each with a `use` or none.
fn jwks(keys: &[(&str, Option<&str>)]) -> Vec<u8> {
    let key = |(id, used): &(&str, Option<&str>)| {
        let mut key = json!({"kty": "EC", "crv": "P-256", "kid": id,
            "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY", "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"});
        if let Some(used) = used {
            key["use"] = (*used).into();
        }
        key
    };
    json!({"keys": keys.iter().map(key).collect::<Vec<_>>()}).to_string().into_bytes()
}

fn jwt(id: &str) -> Bundles {
    Bundles::from([(OURS, jwks(&[(id, None)])), (THEIRS, jwks(&[("theirs", None)]))])
}

/// A certificate authority's certificate.
fn authority() -> Vec<u8> {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn trust_domain() -> TrustDomain {
    TrustDomain::new("prod.example.com").unwrap()
}

/// A socket's path and an issuer that follows it.
struct Bench {
    directory: tempfile::TempDir,
    clock: Clock,
}

impl Bench {
    fn new() -> Bench {
        Bench { directory: tempfile::tempdir().unwrap(), clock: Clock::manual(UnixTime(1_790_000_000)) }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("agent.sock")
    }

    fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn keys(&self) -> Keys {
        let mesh = IssuerSettings {
            trust_domain: Some(trust_domain()),
            keys: KeySource::WorkloadApi(self.socket()),
            ..settings("mesh", IssuerKind::SPIFFE)
        };
        Keys::start(&issuers(&[mesh]), Previous::Nothing, &self.clock, None, None)
    }

    /// Waits in real time, at most ten seconds, until the issuer's key ids are these.
    async fn until_ids_are(&self, keys: &Keys, expected: &[&str]) {
        let ids = || {
            let status = keys.statuses().remove(0);
            status.keys.iter().filter_map(|line| line.id.as_ref().map(ToString::to_string)).collect::<Vec<_>>()
        };
        until(|| ids() == expected).await;
    }
}

async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(10 * SECOND, waiting).await.expect("it never came to hold");
}

/// The keys of a fetched document, as `(kid, use)`.
fn listed(fetched: &Fetched) -> Vec<(Option<String>, String)> {
    let document: Value = serde_json::from_slice(&fetched.body).unwrap();
    let text = |key: &Value, name: &str| key[name].as_str().map(str::to_owned);
    let keys = document["keys"].as_array().unwrap().iter();
    keys.map(|key| (text(key, "kid"), text(key, "use").unwrap_or_default())).collect()
}

#[tokio::test]
async fn both_bundles_of_the_trust_domain_become_one_document_and_no_other_domains() {
    let bench = Bench::new();
    let keys =
        [("b", Some("sig")), ("a", None), ("c", Some("jwt-svid")), ("x", Some("x509-svid")), ("w", Some("wit-svid"))];
    let (one, two) = (authority(), authority());
    let x509 = Bundles::from([(OURS, [one.clone(), two.clone()].concat()), (THEIRS, authority())]);
    let jwt = Bundles::from([(OURS, jwks(&keys)), (THEIRS, jwks(&[("theirs", None)]))]);
    let _agent = Agent::start(&bench.socket(), Held { jwt, x509: Some(x509), denies: false });
    let fetched = fetch(&bench.endpoint(), &trust_domain()).await.unwrap();
    let named = |id: &str, used: &str| (Some(id.to_owned()), used.to_owned());
    let unnamed = (None, "x509-svid".to_owned());
    let expected = [named("a", "jwt-svid"), named("b", "jwt-svid"), named("c", "jwt-svid")];
    let expected =
        [&expected[..], &[named("w", "wit-svid"), named("x", "x509-svid")], &[unnamed.clone(), unnamed]].concat();
    assert_eq!(listed(&fetched), expected);
    let document: Value = serde_json::from_slice(&fetched.body).unwrap();
    let certificates: Vec<&str> =
        document["keys"].as_array().unwrap().iter().filter_map(|key| key["x5c"][0].as_str()).collect();
    assert_eq!(certificates, [STANDARD.encode(one), STANDARD.encode(two)]);
    let stranger = TrustDomain::new("nobody.example.com").unwrap();
    assert_eq!(listed(&fetch(&bench.endpoint(), &stranger).await.unwrap()), []);
}

#[tokio::test]
async fn a_rotation_and_a_removal_are_taken_up_without_a_planned_fetch() {
    let bench = Bench::new();
    let agent = Agent::start(&bench.socket(), Held { jwt: jwt("one"), ..Held::default() });
    let keys = bench.keys();
    bench.until_ids_are(&keys, &["one"]).await;
    // The clock stands still, so that nothing planned happens.
    agent.holds(|held| held.jwt = jwt("two"));
    bench.until_ids_are(&keys, &["two"]).await;
    agent.holds(|held| held.jwt.insert(OURS, jwks(&[("two", None), ("three", None)])).map_or((), drop));
    bench.until_ids_are(&keys, &["three", "two"]).await;
    agent.holds(|held| held.jwt.remove(OURS).map_or((), drop));
    bench.until_ids_are(&keys, &[]).await;
    let status = keys.statuses().remove(0);
    assert_eq!((status.usable, status.last_error), (false, None));
}

#[tokio::test]
async fn an_agent_that_is_gone_leaves_the_last_good_keys_and_is_followed_again_when_it_is_back() {
    let bench = Bench::new();
    let agent = Agent::start(&bench.socket(), Held { jwt: jwt("one"), ..Held::default() });
    let keys = bench.keys();
    bench.until_ids_are(&keys, &["one"]).await;
    agent.stop(&bench.socket());
    let name = IssuerName::parse("mesh").unwrap();
    let failure = keys.refresh(&name).await.unwrap_err().to_string();
    assert!(failure.contains("cannot reach it"), "{failure}");
    assert!(keys.statuses()[0].usable);
    let agent = Agent::start(&bench.socket(), Held { jwt: jwt("two"), ..Held::default() });
    // Well before the next planned fetch, which is two minutes off.
    for _ in 0..60 {
        bench.clock.advance(SECOND);
        for _ in 0..500 {
            tokio::task::yield_now().await;
        }
    }
    bench.until_ids_are(&keys, &["two"]).await;
    agent.holds(|held| held.jwt = jwt("three"));
    bench.until_ids_are(&keys, &["three"]).await;
}

#[tokio::test]
async fn keys_of_an_agent_that_stays_away_end_with_the_stale_bound() {
    let bench = Bench::new();
    let agent = Agent::start(&bench.socket(), Held { jwt: jwt("one"), ..Held::default() });
    let keys = bench.keys();
    bench.until_ids_are(&keys, &["one"]).await;
    agent.stop(&bench.socket());
    bench.clock.advance(Duration::from_secs(24 * 3600));
    until(|| keys.statuses()[0].last_error.is_some()).await;
    assert!(keys.statuses()[0].usable);
    bench.clock.advance(Duration::from_secs(300));
    assert!(!keys.statuses()[0].usable);
}

#[tokio::test]
async fn an_agent_that_denies_or_has_no_x509_bundles_is_told_apart() {
    let bench = Bench::new();
    let agent = Agent::start(&bench.socket(), Held { jwt: jwt("one"), ..Held::default() });
    let only_jwt = fetch(&bench.endpoint(), &trust_domain()).await.unwrap();
    assert_eq!(listed(&only_jwt), [(Some("one".to_owned()), "jwt-svid".to_owned())]);
    agent.holds(|held| held.denies = true);
    let denied = fetch(&bench.endpoint(), &trust_domain()).await.unwrap_err();
    assert!(denied.to_string().contains("no registration entry for this broker"), "{denied}");
    assert_eq!((denied.outcome(), denied.reached_nobody()), ("agent", false));
    agent.holds(|held| (held.denies, held.jwt) = (false, Bundles::from([(OURS, b"{".to_vec())])));
    let malformed = fetch(&bench.endpoint(), &trust_domain()).await.unwrap_err();
    assert_eq!(malformed.outcome(), "agent");
}

#[tokio::test]
async fn the_streams_are_opened_once_while_the_agent_stays() {
    let bench = Bench::new();
    let held = Held { jwt: jwt("one"), x509: Some(Bundles::from([(OURS, authority())])), denies: false };
    let agent = Agent::start(&bench.socket(), held);
    let changes = AtomicUsize::new(0);
    let endpoint = bench.endpoint();
    let follow = follow(&endpoint, &bench.clock, || async {
        changes.fetch_add(1, Ordering::SeqCst);
    });
    let watch = async {
        until(|| changes.load(Ordering::SeqCst) > 0).await;
        for id in ["two", "three"] {
            let before = changes.load(Ordering::SeqCst);
            agent.holds(|held| held.jwt = jwt(id));
            until(|| changes.load(Ordering::SeqCst) > before).await;
        }
    };
    tokio::select! {
        () = follow => {}
        () = watch => {}
    }
    assert_eq!(agent.opened.load(Ordering::SeqCst), 2);
}
