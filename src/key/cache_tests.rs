use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use serde_json::json;
use tokio::sync::Semaphore;

use super::super::fetch::Fetching;
use super::*;
use crate::config::IssuerSettings;
use crate::issuer::tests::{issuers, settings};
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
    fn fetch<'a>(&'a self, _: &'a Issuer) -> Fetching<'a> {
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
        ..settings("partner", IssuerKind::Oidc)
    }
}

struct Bench {
    cache: Arc<Cache>,
    script: Arc<Script>,
    clock: Clock,
}

impl Bench {
    fn new(settings: IssuerSettings, answers: impl IntoIterator<Item = Result<Fetched, FetchFault>>) -> Bench {
        let (script, clock) = (Script::new(answers), Clock::manual(UnixTime(1_790_000_000)));
        let issuer = issuers(&[settings]).iter().next().unwrap().clone();
        Bench { cache: Arc::new(Cache::new(issuer, script.clone(), clock.clone())), script, clock }
    }

    /// A cache that holds keys `a` and `b`.
    async fn with_keys() -> Bench {
        let bench = Bench::new(partner(), [set_of(&["a", "b"])]);
        bench.cache.refresh().await.unwrap();
        bench
    }

    async fn find(&self, id: &str) -> Result<(), &'static str> {
        let id = KeyId::parse(id).unwrap();
        let found = self.cache.find(Some(&id), Algorithm::ES256).await;
        found.map(|key| assert_eq!(key.id(), Some(&id))).map_err(|failure| failure.cause())
    }
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
async fn a_kid_the_issuer_did_not_have_is_not_asked_for_again_soon() {
    let bench = Bench::with_keys().await;
    assert_eq!(bench.find("absent").await, Err("key.unknown"));
    bench.clock.advance(ABSENT_FOR - SECOND);
    assert_eq!((bench.find("absent").await, bench.script.calls()), (Err("key.unknown"), 2));
    bench.script.then(set_of(&["absent"]));
    bench.clock.advance(SECOND);
    assert_eq!((bench.find("absent").await, bench.script.calls()), (Ok(()), 3));
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

#[tokio::test]
async fn an_empty_set_or_one_without_usable_keys_evicts() {
    for answer in [set_of(&[]), raw(r#"{"keys":[{"kty":"AKP","kid":"a"}]}"#)] {
        let bench = Bench::with_keys().await;
        bench.script.then(answer);
        bench.cache.refresh().await.unwrap();
        assert_eq!(bench.find("a").await, Err("key.unknown"));
        assert!(!bench.cache.status().usable);
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
async fn stale_keys_serve_as_long_as_configured_and_then_nothing_does() {
    let hour = Duration::from_secs(3600);
    let settings = IssuerSettings { stale_keys_for: Some(hour), ..partner() };
    let bench = Bench::new(settings, [set_of(&["a"]), Err(FetchFault::Status(503))]);
    bench.cache.refresh().await.unwrap();
    bench.clock.advance(hour);
    assert_eq!(bench.find("a").await, Ok(()));
    bench.clock.advance(MAX_AGE);
    assert_eq!(bench.find("a").await, Err("key.unavailable"));
    let failure = bench.cache.unavailable().to_string();
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

#[tokio::test]
async fn the_next_fetch_is_due_within_five_minutes_whatever_the_issuer_says() {
    let bench = Bench::with_keys().await;
    let set = KeySet::default();
    let due = |max_age: Option<u64>| bench.cache.refresh_after(&set, max_age.map(Duration::from_secs)).as_secs_f64();
    for _ in 0..100 {
        for (age, least, most) in [
            (None, 150.0, 240.0),
            (Some(0), 30.0, 48.0),
            (Some(100), 50.0, 80.0),
            (Some(31_536_000), 150.0, 240.0),
            (Some(u64::MAX), 150.0, 240.0),
        ] {
            assert!((least..=most).contains(&due(age)), "{age:?}: {}", due(age));
        }
    }
}

#[test]
fn failures_are_retried_after_five_seconds_and_at_most_a_minute() {
    let waits: Vec<u64> = (1..=6).map(|failures| backoff(failures).as_secs()).collect();
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
    assert_eq!(backoff(u32::MAX), BACKOFF.1);
}
