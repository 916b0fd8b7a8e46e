use std::time::Duration;

use serde_json::json;

use super::super::cache::tests::{Script, partner, set_of};
use super::super::fetch::FetchFault;
use super::*;
use crate::client_auth::AssertionShape;
use crate::config::{IssuerSettings, KeySource};
use crate::issuer::tests::{assertion, issuers};
use crate::vocab::{Algorithm, UnixTime};

fn clock() -> Clock {
    Clock::manual(UnixTime(1_790_000_000))
}

async fn find(keys: &Keys, issuers: &Issuers, header: serde_json::Value) -> Result<VerifyingKey, &'static str> {
    let assertion = assertion(AssertionShape::JwtBearer, &header, &json!({"iss": "https://idp.example"}));
    let issuer = issuers.trusted(&assertion).unwrap();
    keys.find(&issuer, &assertion).await.map_err(|failure| failure.cause())
}

/// Lets spawned tasks run until they wait.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_at_the_start_and_again_within_five_minutes() {
    let (issuers, script) = (issuers(&[partner()]), Script::new([set_of(&["a"])]));
    let keys = Keys::start_with(&issuers, None, &clock(), script.clone());
    assert!(find(&keys, &issuers, json!({"alg": "ES256", "kid": "a"})).await.is_ok());
    assert_eq!(script.calls(), 1);
    for round in 2..5 {
        tokio::time::advance(Duration::from_secs(240)).await;
        settle().await;
        assert_eq!(script.calls(), round);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_fetch_is_tried_again_after_five_seconds() {
    let answers = [Err(FetchFault::Timeout), Err(FetchFault::Timeout), set_of(&["a"])];
    let (issuers, script) = (issuers(&[partner()]), Script::new(answers));
    let keys = Keys::start_with(&issuers, None, &clock(), script.clone());
    settle().await;
    for (wait, calls) in [(4, 1), (1, 2), (9, 2), (1, 3)] {
        tokio::time::advance(Duration::from_secs(wait)).await;
        settle().await;
        assert_eq!(script.calls(), calls);
    }
    assert!(find(&keys, &issuers, json!({"alg": "ES256", "kid": "a"})).await.is_ok());
}

#[tokio::test]
async fn what_the_header_alone_decides_causes_no_fetch() {
    let settings = IssuerSettings { algorithms: Some(vec![Algorithm::ES256]), ..partner() };
    let (issuers, script) = (issuers(&[settings]), Script::new([set_of(&["a"])]));
    let keys = Keys::start_with(&issuers, None, &clock(), script.clone());
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
    let keys = Keys::start_with(&first, None, &clock(), script.clone());
    settle().await;
    assert_eq!(script.calls(), 2);
    let second = issuers(&[partner(), moved(other(), "https://c.example")]);
    let reloaded = Keys::start_with(&second, Some(&keys), &clock(), script.clone());
    drop(keys);
    settle().await;
    assert_eq!(script.calls(), 3);
    assert!(reloaded.statuses().iter().all(|status| status.usable));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_gone_or_disabled_is_not_asked_again() {
    let (with, script) = (issuers(&[partner()]), Script::new([set_of(&["a"])]));
    let keys = Keys::start_with(&with, None, &clock(), script.clone());
    settle().await;
    let without = issuers(&[IssuerSettings { disabled: true, ..partner() }]);
    let reloaded = Keys::start_with(&without, Some(&keys), &clock(), script.clone());
    drop(keys);
    tokio::time::advance(Duration::from_secs(3600)).await;
    settle().await;
    assert_eq!((script.calls(), reloaded.statuses().len()), (1, 0));
}

#[tokio::test]
async fn an_operator_can_fetch_now_and_sees_how_the_keys_stand() {
    let (issuers, script) = (issuers(&[partner()]), Script::new([set_of(&["a"]), Err(FetchFault::Status(404))]));
    let keys = Keys::start_with(&issuers, None, &clock(), script.clone());
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
    let first = Keys::start_with(&issuers, None, &clock(), script.clone());
    assert_eq!(held(&first), named("a"));
    assert_eq!(find(&first, &issuers, json!({"alg": "ES256", "kid": "b"})).await.unwrap_err(), "key.unknown");
    write(&["b"]);
    let second = Keys::start_with(&issuers, Some(&first), &clock(), script.clone());
    assert_eq!(held(&second), named("b"));
    std::fs::write(&file, "{").unwrap();
    let third = Keys::start_with(&issuers, Some(&second), &clock(), script.clone());
    assert_eq!(held(&third), named("b"));
    assert_eq!(script.calls(), 0);
    let fresh = Keys::start_with(&issuers, None, &clock(), script.clone());
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
