use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::json;
use tokio::sync::Semaphore;

use super::super::fetch::Fetching;
use super::super::schedule::{COOLDOWN, LOOK_AGAIN, WAIT};
use super::*;
use crate::config::IssuerSettings;
use crate::issuer::tests::{issuers, settings};
use crate::kind::IssuerKind;
use crate::store::sqlite::Sqlite;
use crate::vocab::{IssuerUrl, UnixTime};

const SECOND: Duration = Duration::from_secs(1);

/// Answers from a list, its last one for ever, each when the gate lets it through.
pub(in super::super) struct Script {
    calls: AtomicUsize,
    gate: Semaphore,
    answers: Mutex<VecDeque<Result<Fetched, FetchFault>>>,
}

impl Script {
    pub(in super::super) fn new(answers: impl IntoIterator<Item = Result<Fetched, FetchFault>>) -> Arc<Script> {
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Script { calls: AtomicUsize::new(0), gate: Semaphore::new(1_000_000), answers })
    }

    pub(in super::super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn then(&self, answer: Result<Fetched, FetchFault>) {
        *self.answers.lock().unwrap() = [answer].into();
    }

    fn close_gate(&self) {
        self.gate.forget_permits(usize::MAX >> 3);
    }
}

impl Fetch for Script {
    fn fetch<'a>(&'a self, _: &'a Issuer, _: Option<Arc<KeySet>>) -> Fetching<'a> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            self.gate.acquire().await.unwrap().forget();
            let mut answers = self.answers.lock().unwrap();
            if answers.len() > 1 { answers.pop_front().unwrap() } else { answers.front().cloned().unwrap() }
        })
    }
}

/// A key set with keys of these names.
pub(in super::super) fn set_of(ids: &[&str]) -> Result<Fetched, FetchFault> {
    let key = |id: &&str| {
        json!({"kty": "EC", "crv": "P-256", "kid": id,
            "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY", "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"})
    };
    let body = json!({"keys": ids.iter().map(key).collect::<Vec<_>>()}).to_string();
    Ok(Fetched { body: body.into(), max_age: None })
}

fn raw(body: &str) -> Result<Fetched, FetchFault> {
    Ok(Fetched { body: body.into(), max_age: None })
}

pub(in super::super) fn partner() -> IssuerSettings {
    IssuerSettings {
        url: Some(IssuerUrl::parse("https://idp.example").unwrap()),
        ..settings("partner", IssuerKind::OIDC)
    }
}

fn issuer_of(settings: IssuerSettings) -> Arc<Issuer> {
    issuers(&[settings]).iter().next().unwrap().clone()
}

struct Bench {
    cache: Arc<Cache>,
    script: Arc<Script>,
    clock: Clock,
}

impl Bench {
    fn new(settings: IssuerSettings, answers: impl IntoIterator<Item = Result<Fetched, FetchFault>>) -> Bench {
        let (script, clock) = (Script::new(answers), Clock::manual(UnixTime(1_790_000_000)));
        let world = World { clock: clock.clone(), fetch: script.clone(), store: None };
        Bench { cache: Arc::new(Cache::new(issuer_of(settings), world)), script, clock }
    }

    /// A cache that holds keys `a` and `b`.
    async fn with_keys() -> Bench {
        let bench = Bench::new(partner(), [set_of(&["a", "b"])]);
        bench.cache.refresh().await.unwrap();
        bench
    }

    /// As a request does: what is held, else after asking.
    async fn find(&self, id: &str) -> Result<(), &'static str> {
        let seen = self.cache.landings();
        match self.held(id) {
            Ok(()) => Ok(()),
            Err(_) => {
                self.cache.ask(seen).await;
                self.held(id)
            }
        }
    }

    fn held(&self, id: &str) -> Result<(), &'static str> {
        let id = KeyId::parse(id).unwrap();
        let found = self.cache.find(Some(&id), Algorithm::ES256);
        found.map(|key| assert_eq!(key.id(), Some(&id))).map_err(|failure| failure.cause())
    }
}

#[tokio::test]
async fn whoever_looked_before_an_answer_landed_looks_again_and_fetches_nothing() {
    let bench = Bench::with_keys().await;
    let seen = bench.cache.landings();
    bench.script.then(set_of(&["c"]));
    bench.cache.refresh().await.unwrap();
    bench.script.then(set_of(&["d"]));
    bench.cache.ask(seen).await;
    assert_eq!((bench.held("c"), bench.held("d").is_err()), (Ok(()), true));
    bench.cache.ask(bench.cache.landings()).await;
    assert_eq!(bench.held("d"), Ok(()));
}

#[tokio::test]
async fn a_known_kid_never_waits_for_a_fetch_that_runs() {
    let bench = Bench::with_keys().await;
    bench.script.close_gate();
    let unknown = bench.find("new");
    tokio::pin!(unknown);
    assert!(unknown.as_mut().now_or_never().is_none());
    assert_eq!(bench.find("a").now_or_never(), Some(Ok(())));
    bench.script.then(set_of(&["new"]));
    bench.script.gate.add_permits(1);
    assert_eq!(unknown.await, Ok(()));
}

#[tokio::test]
async fn an_unknown_kid_is_fetched_once_for_a_thousand_callers() {
    let bench = Bench::with_keys().await;
    bench.script.then(set_of(&["a", "new"]));
    bench.script.close_gate();
    let callers = futures_util::future::join_all((0..1000).map(|_| bench.find("new")));
    tokio::pin!(callers);
    assert!(callers.as_mut().now_or_never().is_none());
    bench.script.gate.add_permits(1000);
    assert!(callers.await.iter().all(Result::is_ok));
    assert_eq!(bench.script.calls(), 2);
}

#[tokio::test]
async fn a_flood_of_unknown_kids_causes_one_fetch_a_cooldown() {
    let bench = Bench::with_keys().await;
    for id in 0..1000 {
        assert_eq!(bench.find(&format!("random-{id}")).await, Err("key.unknown"));
    }
    assert_eq!(bench.script.calls(), 2);
    bench.clock.advance(COOLDOWN - SECOND);
    assert_eq!((bench.find("one-more").await, bench.script.calls()), (Err("key.unknown"), 2));
    bench.clock.advance(SECOND);
    assert_eq!((bench.find("one-more").await, bench.script.calls()), (Err("key.unknown"), 3));
}

#[tokio::test]
async fn neither_a_failed_nor_an_empty_answer_gets_around_the_cooldown() {
    for answer in [Err(FetchFault::Timeout), raw("{}"), set_of(&[])] {
        let bench = Bench::with_keys().await;
        bench.script.then(answer);
        for _ in 0..10 {
            assert_eq!(bench.find("new").await, Err("key.unknown"));
        }
        assert_eq!(bench.script.calls(), 2);
    }
}

#[tokio::test]
async fn a_kid_that_was_asked_for_too_early_is_found_a_cooldown_later() {
    let bench = Bench::with_keys().await;
    assert_eq!(bench.find("early").await, Err("key.unknown"));
    bench.script.then(set_of(&["a", "early"]));
    for id in 0..1000 {
        assert_eq!(bench.find(&format!("random-{id}")).await, Err("key.unknown"));
    }
    bench.clock.advance(COOLDOWN);
    assert_eq!((bench.find("early").await, bench.script.calls()), (Ok(()), 3));
}

#[tokio::test]
async fn a_bad_answer_leaves_good_keys_in_place() {
    let bad = [
        Err(FetchFault::Status(500)),
        Err(FetchFault::TooLarge),
        raw("<html>"),
        raw("{}"),
        raw(r#"{"keys":null}"#),
        raw(r#"{"keys":[],"keys":[]}"#),
        raw(&json!({"keys": vec![json!({}); 101]}).to_string()),
    ];
    let bench = Bench::with_keys().await;
    for answer in bad {
        bench.script.then(answer);
        assert!(bench.cache.refresh().await.is_err());
        assert_eq!(bench.find("a").await, Ok(()));
        assert!(bench.cache.status().last_error.is_some() && bench.cache.status().usable);
    }
}

/// A SPIFFE issuer with this bundle endpoint.
fn mesh() -> IssuerSettings {
    IssuerSettings {
        trust_domain: Some(::spiffe::TrustDomain::new("prod.example").unwrap()),
        keys: crate::config::KeySource::BundleEndpoint {
            url: url::Url::parse("https://spire.example/bundle").unwrap(),
            profile: crate::config::BundleProfile::HttpsWeb,
        },
        ..settings("mesh", IssuerKind::SPIFFE)
    }
}

/// Keys that can verify nothing, and why not.
const UNUSABLE: [(&str, &str); 4] = [
    (r#"{"keys":[{"kty":"AKP","kid":"a"}]}"#, "1 of an unknown kty"),
    (r#"{"keys":[{},null]}"#, "2 malformed"),
    (r#"{"keys":[{"kty":"oct","kid":"a","k":"AA"}]}"#, "1 symmetric (kty oct)"),
    (r#"{"keys":[{"kty":"RSA","kid":"a","use":"enc"}]}"#, "1 with a wrong use"),
];

#[tokio::test]
async fn an_empty_set_evicts_and_so_does_one_whose_private_key_is_known() {
    for answer in [set_of(&[]), raw(r#"{"keys":[{"kty":"EC","kid":"a","d":"AA"},{}]}"#)] {
        let bench = Bench::with_keys().await;
        bench.script.then(answer);
        bench.cache.refresh().await.unwrap();
        assert_eq!(bench.find("a").await, Err("key.unknown"));
        assert!(!bench.cache.status().usable);
    }
}

#[tokio::test]
async fn a_set_of_which_no_key_can_be_used_is_a_bad_answer_that_leaves_good_keys_in_place() {
    for (body, why) in UNUSABLE {
        let bench = Bench::with_keys().await;
        bench.script.then(raw(body));
        let fault = bench.cache.refresh().await.unwrap_err().to_string();
        assert!(fault.contains(why), "{fault}");
        assert_eq!(bench.find("a").await, Ok(()));
        let status = bench.cache.status();
        assert!(status.usable && status.last_error.is_some_and(|error| error.contains(why)));
        let never_good = Bench::new(partner(), [raw(body)]);
        assert_eq!(never_good.find("a").await, Err("key.unavailable"));
    }
}

#[tokio::test]
async fn a_spiffe_bundle_without_usable_keys_evicts() {
    let good = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a","use":"jwt-svid",
        "x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY","y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}]}"#;
    for (body, _) in UNUSABLE {
        let bench = Bench::new(mesh(), [raw(good)]);
        assert_eq!(bench.find("a").await, Ok(()));
        bench.script.then(raw(body));
        bench.cache.refresh().await.unwrap();
        assert_eq!(bench.find("a").await, Err("key.unknown"));
    }
}

#[tokio::test]
async fn a_key_that_its_issuer_removed_verifies_no_more_after_the_next_fetch() {
    let bench = Bench::with_keys().await;
    bench.script.then(set_of(&["b"]));
    bench.cache.refresh().await.unwrap();
    assert_eq!((bench.find("a").await, bench.find("b").await), (Err("key.unknown"), Ok(())));
}

#[tokio::test]
async fn an_older_spiffe_sequence_is_refused_unless_an_operator_asks() {
    let bundle = |ids: &[&str], sequence: &str| {
        let mut bundle: serde_json::Value = serde_json::from_slice(&set_of(ids).unwrap().body).unwrap();
        bundle["keys"].as_array_mut().unwrap().iter_mut().for_each(|key| key["use"] = json!("jwt-svid"));
        bundle["spiffe_sequence"] = serde_json::from_str(sequence).unwrap();
        raw(&bundle.to_string())
    };
    let bench = Bench::new(mesh(), [bundle(&["a", "b"], "7")]);
    assert_eq!(bench.find("a").await, Ok(()));
    // A key that was removed with sequence 8 does not come back with 7.
    for (ids, sequence, has_a) in
        [(&["b"][..], "8", false), (&["a", "b"], "7", false), (&["a", "b"], "9", true), (&["b"], "\"9\"", false)]
    {
        bench.script.then(bundle(ids, sequence));
        bench.clock.advance(COOLDOWN);
        bench.cache.ask(bench.cache.landings()).await;
        assert_eq!(bench.held("a").is_ok(), has_a, "{sequence}");
    }
    bench.script.then(bundle(&["b"], "9"));
    bench.clock.advance(COOLDOWN);
    bench.cache.ask(bench.cache.landings()).await;
    bench.script.then(bundle(&["a"], "1"));
    bench.clock.advance(COOLDOWN);
    bench.cache.ask(bench.cache.landings()).await;
    assert!(bench.cache.status().last_error.is_some_and(|error| error.contains("issuer refresh")));
    assert!(bench.cache.refresh().await.is_ok());
    assert_eq!((bench.held("a"), bench.held("b")), (Ok(()), Err("key.unknown")));
}

#[tokio::test]
async fn stale_keys_serve_as_long_as_configured_and_then_nothing_does() {
    let hour = Duration::from_secs(3600);
    let settings = IssuerSettings { stale_keys_for: Some(hour), ..partner() };
    let bench = Bench::new(settings, [set_of(&["a"]), Err(FetchFault::Status(503))]);
    bench.cache.refresh().await.unwrap();
    bench.clock.advance(hour);
    assert_eq!(bench.find("a").await, Ok(()));
    bench.clock.advance(LOOK_AGAIN);
    assert_eq!(bench.find("a").await, Err("key.unavailable"));
    let failure = bench.cache.held().unwrap_err().to_string();
    assert!(failure.ends_with("the answer has status 503, not 200"), "{failure}");
    bench.script.then(set_of(&["a"]));
    bench.clock.advance(COOLDOWN);
    assert_eq!(bench.find("a").await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_first_fetch_but_not_longer_than_three_seconds() {
    let bench = Bench::new(partner(), [set_of(&["a"])]);
    bench.script.close_gate();
    let start = tokio::time::Instant::now();
    assert_eq!(bench.find("a").await, Err("key.unavailable"));
    assert_eq!(start.elapsed(), WAIT);
    let again = bench.find("a");
    tokio::pin!(again);
    assert!(again.as_mut().now_or_never().is_none());
    bench.script.gate.add_permits(1);
    assert_eq!((again.await, bench.script.calls()), (Ok(()), 1));
}

#[tokio::test]
async fn keys_that_were_never_had_are_unavailable_and_the_cooldown_holds() {
    let bench = Bench::new(partner(), [Err(FetchFault::Timeout)]);
    for _ in 0..10 {
        assert_eq!(bench.find("a").await, Err("key.unavailable"));
    }
    assert_eq!(bench.script.calls(), 1);
}

#[tokio::test]
async fn a_cancelled_caller_does_not_cancel_the_fetch() {
    let bench = Bench::with_keys().await;
    bench.script.then(set_of(&["new"]));
    bench.script.close_gate();
    assert!(bench.find("new").now_or_never().is_none());
    let second = bench.find("new");
    tokio::pin!(second);
    assert!(second.as_mut().now_or_never().is_none());
    bench.script.gate.add_permits(1);
    assert_eq!((second.await, bench.script.calls()), (Ok(()), 2));
}

#[path = "cache_tests_kept.rs"]
mod kept;
