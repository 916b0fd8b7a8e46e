//! What a stranger with the contract in hand sees at the command line of a running broker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::process::{ServeProcess, run};
use support::setup::{Platforms, Setup};
use support::wire::Request;

/// A broker process on a setup of every platform.
async fn serving(directory: &Path) -> ServeProcess {
    ServeProcess::start(&Setup::platforms(&Platforms::new()), directory).await
}

#[tokio::test]
async fn a_trace_is_explained_with_its_cause() {
    let directory = tempfile::tempdir().unwrap();
    let broker = serving(directory.path()).await;
    let reply =
        Request::token(&[("grant_type", "client_credentials")]).basic("nobody", "wrong").send(broker.address).await;
    let trace = reply.trace_id();
    let told = run(directory.path(), &["explain", "--trace", trace]).await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    for expected in ["refused\n", "secret.unknown_client", "no credential has this client id"] {
        assert!(told.stdout.contains(expected), "no `{expected}` in:\n{}", told.stdout);
    }
    let told = run(directory.path(), &["explain", "--trace", trace, "--output", "json"]).await;
    let record: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(record["cause"], "secret.unknown_client");
}

#[tokio::test]
async fn issuers_are_listed_with_times_that_people_read() {
    let directory = tempfile::tempdir().unwrap();
    let _broker = serving(directory.path()).await;
    let listed = run(directory.path(), &["issuer", "list", "--output", "json"]).await;
    let rows: Value = serde_json::from_str(&listed.stdout).unwrap();
    let fetched = rows[0]["last_fetch"].as_str().expect("a time in RFC 3339");
    assert!(fetched.len() == 20 && fetched.ends_with('Z'), "{fetched}");
    assert_eq!(rows[0]["next_fetch"], json!(null));
}

#[tokio::test]
async fn an_issuer_that_is_not_there_is_called_that() {
    let directory = tempfile::tempdir().unwrap();
    let _broker = serving(directory.path()).await;
    for command in ["status", "refresh"] {
        let told = run(directory.path(), &["issuer", command, "nope"]).await;
        assert_eq!(told.code, Some(1));
        assert_eq!(told.stderr.trim(), "there is no issuer nope; `countersign issuer list` shows them");
    }
}

#[tokio::test]
async fn a_bad_bundle_is_refused_at_its_line_with_the_fix() {
    let directory = tempfile::tempdir().unwrap();
    let platforms = Platforms::new();
    let cases = [
        ("{\n  \"keys\": [\n    {,\n", "3:6: error[key-set]: the key set is not well-formed JSON"),
        ("{ \"keys\": [],\n  \"keys\": [] }", "2:14: error[key-set]: the key set has a member twice"),
        ("{ \"kyes\": [] }", "1:1: error[key-set]: the key set has no list `keys`"),
    ];
    for (text, expected) in cases {
        let setup = Setup::platforms(&platforms).key_set("partner", "kind: oidc, url: https://idp.example", text);
        setup.write(directory.path(), "127.0.0.1:0");
        let told = run(directory.path(), &["check"]).await;
        assert_eq!(told.code, Some(1), "{text}");
        let place = format!("trust-bundles/partner.json:{expected}");
        assert!(told.stderr.contains(&place), "no `{place}` in:\n{}", told.stderr);
        assert!(told.stderr.contains("= fix: write a JWKS"), "{}", told.stderr);
    }
}

#[tokio::test]
async fn a_bundle_without_a_usable_key_says_why_and_shows_no_private_key() {
    let directory = tempfile::tempdir().unwrap();
    let text = r#"{"keys":[{"kty":"oct","k":"c2VjcmV0LXNlY3JldA"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"cHJpdmF0ZQ"}]}"#;
    let setup = Setup::platforms(&Platforms::new()).key_set("partner", "kind: oidc, url: https://idp.example", text);
    setup.write(directory.path(), "127.0.0.1:0");
    let told = run(directory.path(), &["check"]).await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let said = "trust-bundles/partner.json:1:1: warning[key-set]: issuer `partner` has no usable key in it: 1 symmetric (kty oct), 1 with private members";
    assert!(told.stdout.contains(said), "no `{said}` in:\n{}", told.stdout);
    assert!(!told.stdout.contains("c2VjcmV0") && !told.stdout.contains("cHJpdmF0ZQ"), "{}", told.stdout);
}

#[tokio::test]
async fn every_fault_of_a_policy_or_a_service_has_its_fix() {
    let policy = "policy: p\nissuer: github\nmatch: { repository_id: \"1\", ref: x }\nuser: u\n";
    let service = "service: s\nhosts: [a.example]\nupstream: http://127.0.0.1:1\nallow: [{ scopes: [a] }]\n";
    let cases = [
        ("policies", policy.replace("ref: x", "ref: { regex: \"(\" }"), "3:44: error[pattern]"),
        ("policies", policy.replace("ref: x", "ref: { glob: a, prefix: b }"), "3:35: error[matcher]"),
        ("policies", policy.replace("ref: x", "ref: { present: \"yes\" }"), "3:46: error[type]"),
        ("policies", format!("{policy}mode: maybe\n"), "5:7: error[value]"),
        ("policies", format!("{policy}expires: tomorrow\n"), "5:10: error[value]"),
        ("policies", format!("{policy}condition: claims.ref ==\n"), "5:25: error[value]"),
        ("policies", format!("{policy}scopes: [\n"), "5:9: error[yaml]"),
        ("services", service.replace("http:", "ftp:"), "3:11: error[value]"),
    ];
    for (kind, text, place) in cases {
        let directory = tempfile::tempdir().unwrap();
        Setup::platforms(&Platforms::new())
            .file(&format!("{kind}/bad.yaml"), &text)
            .write(directory.path(), "127.0.0.1:0");
        let told = run(directory.path(), &["check"]).await;
        assert_eq!(told.code, Some(1), "{text}");
        assert!(told.stderr.contains(&format!("{kind}/bad.yaml:{place}")), "no {place} in:\n{}", told.stderr);
        let count = |text: &str| told.stderr.matches(text).count();
        let (faults, fixes) = (count(": error[") + count(": warning["), count("= fix: "));
        assert_eq!(faults, fixes, "{}", told.stderr);
    }
}

#[tokio::test]
async fn explain_says_what_a_github_subject_means_in_each_of_its_forms() {
    let directory = tempfile::tempdir().unwrap();
    Setup::platforms(&Platforms::new()).write(directory.path(), "127.0.0.1:0");
    let github = Platforms::new().github;
    for (subject, expected) in [
        (
            "repo:acme/shop:environment:production",
            "acme/shop by its names, which can be taken over; environment production",
        ),
        ("repo:acme@65/shop@123456:ref:refs/heads/main", "acme/shop, ids 65/123456; ref refs/heads/main"),
        ("repository_id:123456", "made by a customisation template; the claims say who it is"),
    ] {
        let mut claims = github.claims.clone();
        claims.insert("sub".into(), subject.into());
        let file = directory.path().join("claims.json");
        std::fs::write(&file, Value::Object(claims).to_string()).unwrap();
        let told = run(directory.path(), &["explain", "--claims", file.to_str().unwrap()]).await;
        assert!(told.stdout.starts_with("admitted\n"), "{}{}", told.stdout, told.stderr);
        assert!(told.stdout.contains(&format!("  sub says  {expected}\n")), "{}", told.stdout);
    }
}
