//! OAuth clients that have never heard of us, unchanged, against a started broker and a service behind its gateway.
//!
//! Everything is a process: the broker, its command line and the clients of `examples/`, which `scripts/prepare-clients`
//! builds. The issuer's keys are a file, so nothing leaves loopback.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::disallowed_methods, unreachable_pub)]

#[path = "clients/stage.rs"]
mod stage;

use stage::{BROKER, Stage, text};

const BY_SECRET: &str = "user=build-bot scopes=service:my-api\n";
const BY_ASSERTION: &str = "user=partner-build scopes=service:my-api\n";

#[tokio::test(flavor = "multi_thread")]
async fn curl_signs_in_with_a_client_secret_and_calls_the_service_both_ways() {
    let stage = Stage::start().await;
    let output = stage.with_secret(&mut stage.shell()).output().await.unwrap();
    assert_eq!(text(&output), BY_SECRET.repeat(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn go_signs_in_with_a_client_secret_and_with_only_an_assertion() {
    let stage = Stage::start().await;
    let mut client = stage.client(stage.built("go-client"));
    let output = stage.with_assertion(stage.with_secret(&mut client)).output().await.unwrap();
    assert_eq!(text(&output), BY_SECRET.repeat(2) + &BY_ASSERTION.repeat(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn axios_signs_in_with_a_client_secret_and_with_an_assertion() {
    let stage = Stage::start().await;
    let mut client = stage.client("node");
    client.arg(stage::example("clients/typescript/build/exchange.js"));
    let output = stage.with_assertion(stage.with_secret(&mut client)).output().await.unwrap();
    assert_eq!(text(&output), BY_SECRET.repeat(2) + &BY_ASSERTION.repeat(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn python_without_any_package_signs_in_with_a_client_secret_and_with_an_assertion() {
    let stage = Stage::start().await;
    let mut client = stage.client("python3");
    client.arg("-B").arg(stage::example("clients/python/exchange.py"));
    let output = stage.with_assertion(stage.with_secret(&mut client)).output().await.unwrap();
    assert_eq!(text(&output), BY_SECRET.repeat(2) + &BY_ASSERTION.repeat(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_ends_a_client_with_the_oauth_error() {
    let stage = Stage::start().await;
    let mut client = stage.shell();
    let output = stage.with_secret(&mut client).env("CLIENT_SECRET", "wrong").output().await.unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("\"invalid_client\""), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pyjwt_verifies_a_token_by_the_published_keys_and_refuses_one_that_was_changed() {
    let stage = Stage::start().await;
    let mut client = stage.shell();
    let output = stage.with_secret(&mut client).env_remove("SERVICE_URL").output().await.unwrap();
    let token = text(&output).trim().to_owned();

    let service = stage.verifying_service(&[("ISSUER", BROKER)]).await;
    let (status, caller) = service.call(&token).await;
    assert_eq!((status, caller["user"].as_str()), (200, Some("build-bot")), "{caller}");

    let (head, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let changed = format!("{head}.{other}{}", &signature.get(1..).unwrap());
    assert_eq!(service.call(&changed).await.0, 401);

    let elsewhere = stage.verifying_service(&[("ISSUER", BROKER), ("AUDIENCE", "https://billing.example.com")]).await;
    assert_eq!(elsewhere.call(&token).await.0, 401, "a token for one audience is none for another");
}
