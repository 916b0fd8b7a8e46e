use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::super::cache::tests::{Script, partner, set_of};
use super::super::fetch::{Fetch, FetchFault, Fetched};
use super::*;
use crate::client_auth::AssertionShape;
use crate::config::{IssuerSettings, KeySource};
use crate::issuer::tests::{assertion, issuers};
use crate::kind::IssuerKind;
use crate::vocab::{Algorithm, UnixTime};

/// A key that really signs.
struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Signer {
        Signer(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// A key set in which this key has each of these names.
    fn set_of(&self, ids: &[&str]) -> Result<Fetched, FetchFault> {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let key = |id: &&str| json!({"kty": "EC", "crv": "P-256", "kid": id, "x": x, "y": y});
        let body = json!({"keys": ids.iter().map(key).collect::<Vec<_>>()}).to_string();
        Ok(Fetched { body: body.into(), max_age: None })
    }

    fn sign(&self, header: &serde_json::Value) -> UnverifiedAssertion {
        let unsigned = assertion(AssertionShape::JwtBearer, header, &json!({"iss": "https://idp.example"}));
        let signature = self.0.sign(&SystemRandom::new(), unsigned.signing_input()).unwrap();
        let signed = str::from_utf8(unsigned.signing_input()).unwrap();
        let compact = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        UnverifiedAssertion::parse(&compact, AssertionShape::JwtBearer).unwrap()
    }
}

fn clock() -> Clock {
    Clock::manual(UnixTime(1_790_000_000))
}

fn start(issuers: &Issuers, previous: Previous<'_>, (clock, script): (&Clock, &Arc<Script>)) -> Keys {
    let fetch: Arc<dyn Fetch> = script.clone();
    Keys::start_in(&World { clock: clock.clone(), fetch, store: None }, issuers, previous)
}

async fn find(keys: &Keys, issuers: &Issuers, header: serde_json::Value) -> Result<Vec<CandidateKey>, &'static str> {
    let assertion = assertion(AssertionShape::JwtBearer, &header, &json!({"iss": "https://idp.example"}));
    find_for(keys, issuers, assertion).await
}

async fn find_for(
    keys: &Keys,
    issuers: &Issuers,
    assertion: UnverifiedAssertion,
) -> Result<Vec<CandidateKey>, &'static str> {
    let trusted = issuers.trusted(&assertion).unwrap();
    keys.find(&trusted, &assertion).await.map_err(|failure| failure.cause())
}

/// Lets spawned tasks run until they wait.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn keys_are_fetched_at_the_start_and_again_within_five_minutes() {
    let (issuers, script, clock) = (issuers(&[partner()]), Script::new([set_of(&["a"])]), clock());
    let keys = start(&issuers, Previous::Nothing, (&clock, &script));
    assert!(find(&keys, &issuers, json!({"alg": "ES256", "kid": "a"})).await.is_ok());
    assert_eq!(script.calls(), 1);
    for round in 2..5 {
        settle().await;
        clock.advance(Duration::from_secs(240));
        settle().await;
        assert_eq!(script.calls(), round);
    }
}

#[tokio::test]
async fn a_failed_fetch_is_tried_again_soon_and_sooner_if_nobody_was_asked() {
    for (fault, waits) in [
        (FetchFault::Unreachable("refused".into()), [(4, 1), (1, 2), (9, 2), (1, 3)]),
        (FetchFault::Timeout, [(29, 1), (1, 2), (59, 2), (1, 3)]),
    ] {
        let answers = [Err(fault.clone()), Err(fault), set_of(&["a"])];
        let (issuers, script, clock) = (issuers(&[partner()]), Script::new(answers), clock());
        let keys = start(&issuers, Previous::Nothing, (&clock, &script));
        for (wait, calls) in waits {
            settle().await;
            clock.advance(Duration::from_secs(wait));
            settle().await;
            assert_eq!(script.calls(), calls);
        }
        assert!(find(&keys, &issuers, json!({"alg": "ES256", "kid": "a"})).await.is_ok());
    }
}

#[tokio::test]
async fn requests_and_the_refresher_share_one_fetch_in_thirty_seconds() {
    let (issuers, clock) = (issuers(&[partner()]), clock());
    let script = Script::new([set_of(&["a"]), Err(FetchFault::Status(500))]);
    let keys = start(&issuers, Previous::Nothing, (&clock, &script));
    settle().await;
    // Ten minutes of a flood at an issuer that went down; the first fetch was before it.
    for second in 0..600 {
        let unknown = json!({"alg": "ES256", "kid": format!("random-{second}")});
        assert_eq!(find(&keys, &issuers, unknown).await.unwrap_err(), "key.unknown");
        assert!(find(&keys, &issuers, json!({"alg": "ES256", "kid": "a"})).await.is_ok());
        clock.advance(Duration::from_secs(1));
        settle().await;
    }
    assert!((15..=21).contains(&script.calls()), "{}", script.calls());
}

#[tokio::test]
async fn what_the_header_alone_decides_causes_no_fetch() {
    let settings = IssuerSettings { algorithms: Some(vec![Algorithm::ES256]), ..partner() };
    let (issuers, script) = (issuers(&[settings]), Script::new([set_of(&["a"])]));
    let keys = start(&issuers, Previous::Nothing, (&clock(), &script));
    settle().await;
    for (header, cause) in [
        (json!({"alg": "RS256", "kid": "other"}), "key.algorithm_not_allowed"),
        (json!({"alg": "ES256"}), "key.missing_kid"),
    ] {
        assert_eq!(find(&keys, &issuers, header).await.unwrap_err(), cause);
    }
    assert_eq!(script.calls(), 1);
}

#[tokio::test]
async fn a_reload_keeps_the_keys_of_unchanged_issuers_and_asks_anew_for_changed_ones() {
    let other = || IssuerSettings { name: IssuerName::parse("other").unwrap(), ..partner() };
    let moved = |mut settings: IssuerSettings, url: &str| {
        settings.url = Some(crate::vocab::IssuerUrl::parse(url).unwrap());
        settings
    };
    let script = Script::new([set_of(&["a"])]);
    let first = issuers(&[partner(), moved(other(), "https://b.example")]);
    let keys = start(&first, Previous::Nothing, (&clock(), &script));
    settle().await;
    assert_eq!(script.calls(), 2);
    let second = issuers(&[partner(), moved(other(), "https://c.example")]);
    let reloaded = start(&second, Previous::Running(&keys), (&clock(), &script));
    drop(keys);
    settle().await;
    assert_eq!(script.calls(), 3);
    assert!(reloaded.statuses().iter().all(|status| status.usable));
}

#[tokio::test]
async fn an_issuer_that_is_gone_or_disabled_is_not_asked_again() {
    let (with, script, clock) = (issuers(&[partner()]), Script::new([set_of(&["a"])]), clock());
    let keys = start(&with, Previous::Nothing, (&clock, &script));
    settle().await;
    let without = issuers(&[IssuerSettings { disabled: true, ..partner() }]);
    let reloaded = start(&without, Previous::Running(&keys), (&clock, &script));
    drop(keys);
    clock.advance(Duration::from_secs(3600));
    settle().await;
    assert_eq!((script.calls(), reloaded.statuses().len()), (1, 0));
}

#[tokio::test]
async fn other_settings_keep_the_keys_of_the_same_source_until_the_new_fetch() {
    let (first, clock) = (issuers(&[partner()]), clock());
    let script = Script::new([set_of(&["a"]), Err(FetchFault::Timeout)]);
    let keys = start(&first, Previous::Nothing, (&clock, &script));
    settle().await;
    let second = issuers(&[IssuerSettings { leeway: Some(Duration::ZERO), ..partner() }]);
    let reloaded = start(&second, Previous::Running(&keys), (&clock, &script));
    drop(keys);
    settle().await;
    assert_eq!(script.calls(), 2);
    assert!(find(&reloaded, &second, json!({"alg": "ES256", "kid": "a"})).await.is_ok());
}

#[tokio::test]
async fn clusters_that_share_an_iss_are_told_apart_by_who_has_the_key() {
    let cluster = |name: &str| IssuerSettings {
        name: IssuerName::parse(name).unwrap(),
        kind: IssuerKind::KUBERNETES,
        keys: KeySource::Url(url::Url::parse(&format!("https://{name}.example/jwks")).unwrap()),
        ..partner()
    };
    let (issuers, clock) = (issuers(&[cluster("one"), cluster("two"), cluster("three")]), clock());
    let signer = Signer::new();
    // In the order of the issuers: their first fetches begin in it.
    let script = Script::new([signer.set_of(&["a"]), signer.set_of(&["a", "b"]), Err(FetchFault::Timeout)]);
    let keys = start(&issuers, Previous::Nothing, (&clock, &script));
    settle().await;
    let names = |found: Vec<CandidateKey>| found.iter().map(|one| one.issuer.name().to_string()).collect::<Vec<_>>();
    let named = |kid: &str| json!({"alg": "ES256", "kid": kid});
    assert_eq!(names(find_for(&keys, &issuers, signer.sign(&named("b"))).await.unwrap()), ["two"]);
    assert_eq!(names(find_for(&keys, &issuers, signer.sign(&named("a"))).await.unwrap()), ["one", "two"]);
    assert_eq!(script.calls(), 3, "whoever has the key and signed is enough");
    // It may be a key of the one that cannot be asked, also where others have one of that name that did not sign.
    assert_eq!(find(&keys, &issuers, named("a")).await.unwrap_err(), "key.unavailable");
    assert_eq!(script.calls(), 4, "the two that have it have nothing to add");
    assert_eq!(find(&keys, &issuers, named("c")).await.unwrap_err(), "key.unavailable");
    assert_eq!(script.calls(), 6);
}

#[tokio::test]
async fn an_operator_can_fetch_now_and_sees_how_the_keys_stand() {
    let (issuers, script) = (issuers(&[partner()]), Script::new([set_of(&["a"]), Err(FetchFault::Status(404))]));
    let keys = start(&issuers, Previous::Nothing, (&clock(), &script));
    let name = IssuerName::parse("partner").unwrap();
    let status = keys.refresh(&name).await.unwrap();
    let shown = serde_json::to_value(&status).unwrap();
    assert_eq!(shown["keys"], json!([{"id": "a", "algorithm": "ES256"}]));
    assert_eq!((&shown["usable"], &shown["last_fetch"]), (&json!(true), &json!("2026-09-21T14:13:20Z")));
    assert_eq!(shown["source"], "https://idp.example/.well-known/openid-configuration");
    let failure = keys.refresh(&name).await.unwrap_err().to_string();
    assert!(failure.contains("status 404"), "{failure}");
    assert!(keys.statuses()[0].usable);
    assert_eq!(keys.refresh(&IssuerName::parse("nobody").unwrap()).await.unwrap_err().cause(), "key.unavailable");
}

#[tokio::test]
async fn a_key_file_is_read_at_each_reload_and_a_broken_one_keeps_the_old_keys() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json");
    let write = |ids: &[&str]| std::fs::write(&file, set_of(ids).unwrap().body).unwrap();
    let issuers = issuers(&[IssuerSettings { keys: KeySource::File(file.clone()), ..partner() }]);
    let script = Script::new([Err(FetchFault::Timeout)]);
    let held = |keys: &Keys| keys.statuses()[0].keys.iter().filter_map(|line| line.id.clone()).collect::<Vec<_>>();
    let named = |id: &str| vec![crate::vocab::KeyId::parse(id).unwrap()];
    write(&["a"]);
    let first = start(&issuers, Previous::Nothing, (&clock(), &script));
    assert_eq!(held(&first), named("a"));
    assert_eq!(find(&first, &issuers, json!({"alg": "ES256", "kid": "b"})).await.unwrap_err(), "key.unknown");
    write(&["b"]);
    let second = start(&issuers, Previous::Running(&first), (&clock(), &script));
    assert_eq!(held(&second), named("b"));
    std::fs::write(&file, "{").unwrap();
    let third = start(&issuers, Previous::Running(&second), (&clock(), &script));
    assert_eq!(held(&third), named("b"));
    assert_eq!(script.calls(), 0);
    let fresh = start(&issuers, Previous::Nothing, (&clock(), &script));
    assert_eq!(find(&fresh, &issuers, json!({"alg": "ES256", "kid": "b"})).await.unwrap_err(), "key.unavailable");
}

#[test]
fn a_missing_broken_or_useless_key_file_is_a_fault_of_that_file() {
    let directory = tempfile::tempdir().unwrap();
    let check = |name: &str, text: Option<&str>| {
        let file = directory.path().join(name);
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let mut faults = Diagnostics::new();
        Keys::check_files(&issuers(&[IssuerSettings { keys: KeySource::File(file), ..partner() }]), &mut faults);
        (faults.has_errors(), faults.to_string())
    };
    let good = String::from_utf8(set_of(&["a"]).unwrap().body).unwrap();
    assert_eq!(check("good.json", Some(&good)), (false, String::new()));
    for (name, text) in [("missing.json", None), ("broken.json", Some("{")), ("list.json", Some(r#"{"keys":5}"#))] {
        let (has_errors, message) = check(name, text);
        assert!(has_errors && message.contains(name), "{message}");
    }
    let (has_errors, message) = check("empty.json", Some(r#"{"keys":[]}"#));
    assert!(!has_errors && message.contains("empty.json:1:1: warning"), "{message}");
}
