//! New policies, issuers and bundles take effect together, or not at all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use support::broker::TestBroker;
use support::keys::{TestKey, jwks};
use support::process::ServeProcess;
use support::setup::{Platforms, Setup};
use support::wire::Request;
use support::{BROKER, JWT_BEARER};

fn write(broker: &TestBroker, path: &str, text: &str) {
    std::fs::write(broker.directory().join(path), text).unwrap();
}

const OTHER_SUBJECT: &str = "policy: other
issuer: partner
match: { sub: somebody-new }
user: somebody-new
scopes: [\"service:my-api\"]
";

#[tokio::test]
async fn a_new_policy_counts_after_a_reload_and_not_before() {
    let broker = TestBroker::start().await;
    let newcomer = || broker.partner().assertion().claim("sub", "somebody-new");
    write(&broker, "policies/other.yaml", OTHER_SUBJECT);
    assert_eq!(broker.token(newcomer()).await.status, 401);
    broker.reload().unwrap();
    assert_eq!(broker.minted(&broker.token(newcomer()).await).await.text("sub"), "somebody-new");
    std::fs::remove_file(broker.directory().join("policies/other.yaml")).unwrap();
    broker.reload().unwrap();
    assert_eq!(broker.token(newcomer()).await.status, 401, "a policy that is gone admits nobody");
}

#[tokio::test]
async fn a_bad_file_keeps_the_whole_old_set_and_is_named() {
    let broker = TestBroker::start().await;
    write(&broker, "policies/other.yaml", OTHER_SUBJECT);
    write(&broker, "policies/bad.yaml", "policy: bad\nissuer: nobody\nmatch: { sub: x }\nuser: x\nscopes: []\n");
    std::fs::remove_file(broker.directory().join("policies/partner-build.yaml")).unwrap();
    let faults = broker.reload().unwrap_err();
    assert!(faults.contains("bad.yaml:2:"), "{faults}");
    assert_eq!(broker.token(broker.partner().assertion()).await.status, 200, "the old policy is in force");
    let newcomer = broker.partner().assertion().claim("sub", "somebody-new");
    assert_eq!(broker.token(newcomer).await.status, 401, "nothing of the new set is");
    std::fs::remove_file(broker.directory().join("policies/bad.yaml")).unwrap();
    broker.reload().unwrap();
    assert_eq!(broker.token(broker.partner().assertion()).await.status, 401, "mended, the new set counts");
}

#[tokio::test]
async fn a_reload_leaves_our_own_identifier_alone_for_assertions_as_for_tokens() {
    let broker = TestBroker::start().await;
    let file = std::fs::read_to_string(broker.directory().join("countersign.yaml")).unwrap();
    let renamed = file.replace(&format!("issuer: {BROKER}\n"), "issuer: https://another.example.com\n");
    assert_ne!(file, renamed);
    write(&broker, "countersign.yaml", &renamed);
    broker.reload().unwrap();
    let reply = broker.token(broker.partner().assertion()).await;
    assert_eq!(broker.minted(&reply).await.text("iss"), BROKER);
    let other = broker.token(broker.partner().assertion().claim("aud", "https://another.example.com")).await;
    assert_eq!(broker.cause(&other).await, "claims.audience");
}

#[tokio::test]
async fn a_bad_bundle_or_configuration_keeps_the_old_one_too() {
    let broker = TestBroker::start().await;
    let bundle = std::fs::read_to_string(broker.directory().join("trust-bundles/partner.json")).unwrap();
    for broken in ["{", "{}", "[]", ""] {
        write(&broker, "trust-bundles/partner.json", broken);
        let faults = broker.reload().unwrap_err();
        assert!(faults.contains("partner.json"), "{broken}: {faults}");
        assert_eq!(broker.token(broker.partner().assertion()).await.status, 200, "{broken}");
    }
    write(&broker, "trust-bundles/partner.json", &bundle);
    let config = std::fs::read_to_string(broker.directory().join("countersign.yaml")).unwrap();
    write(&broker, "countersign.yaml", &config.replace("kind: oidc", "kind: oidcc"));
    let faults = broker.reload().unwrap_err();
    assert!(faults.contains("countersign.yaml:"), "{faults}");
    assert_eq!(broker.token(broker.partner().assertion()).await.status, 200);
}

#[tokio::test]
async fn a_rotated_bundle_counts_after_a_reload() {
    let broker = TestBroker::start().await;
    let new = TestKey::p256("reload-new");
    let signed = || broker.partner().assertion().signed_by(&new);
    assert_eq!(broker.token(signed()).await.status, 401);
    write(&broker, "trust-bundles/partner.json", &jwks([new.jwk()]));
    broker.reload().unwrap();
    assert_eq!(broker.token(signed()).await.status, 200);
    assert_eq!(broker.cause(&broker.token(broker.partner().assertion()).await).await, "key.unknown");
}

#[tokio::test]
async fn a_removed_or_disabled_issuer_is_refused_after_a_reload() {
    let broker = TestBroker::start().await;
    let path = broker.directory().join("countersign.yaml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace("kind: oidc,", "kind: oidc, disabled: true,")).unwrap();
    broker.reload().unwrap();
    let refused = broker.token(broker.partner().assertion()).await;
    assert_eq!((refused.status, broker.cause(&refused).await.as_str()), (401, "issuer.disabled"));
    assert_eq!(broker.token(broker.github().assertion()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reloads_and_a_bad_file_is_only_said() {
    let platforms = Platforms::new();
    let directory = tempfile::tempdir().unwrap();
    let mut process = ServeProcess::start(&Setup::platforms(&platforms), directory.path()).await;
    let now = countersign::clock::Clock::system().now().0;
    let address = process.address;
    let status = async |subject: &str| {
        let assertion = platforms.partner.assertion().issued_at(now).claim("sub", subject).compact();
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", &assertion),
        ];
        Request::token(&fields).send(address).await.status
    };
    assert_eq!(status("somebody-new").await, 401);
    std::fs::write(directory.path().join("policies/other.yaml"), OTHER_SUBJECT).unwrap();
    process.signal("HUP").await;
    process.says("reloaded").await;
    assert_eq!(status("somebody-new").await, 200);
    std::fs::write(directory.path().join("policies/other.yaml"), "policy: [").unwrap();
    process.signal("HUP").await;
    let said = process.says("other.yaml").await;
    assert!(said.contains("old configuration"), "{said}");
    assert_eq!(status("somebody-new").await, 200, "the old set is in force");
}

/// A policy file that cannot be read before somebody opens it for writing.
fn pipe(broker: &TestBroker) -> std::path::PathBuf {
    let path = broker.directory().join("policies/pipe.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

fn open_pipe(path: &std::path::Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().write(true).open(path)
}

#[tokio::test]
async fn a_file_that_changes_while_the_set_is_read_is_read_again() {
    let broker = TestBroker::start().await;
    let (path, other) = (pipe(&broker), broker.directory().join("policies/other.yaml"));
    std::fs::write(&other, OTHER_SUBJECT.replace("somebody-new", "somebody-else")).unwrap();
    std::thread::spawn(move || {
        // The set is being read: it waits for this file.
        let opened = open_pipe(&path).unwrap();
        std::fs::write(other, OTHER_SUBJECT).unwrap();
        drop(opened);
        while open_pipe(&path).is_ok() {}
    });
    broker.reload().unwrap();
    let newcomer = broker.partner().assertion().claim("sub", "somebody-new");
    assert_eq!(broker.token(newcomer).await.status, 200, "what was written last counts");
    let earlier = broker.partner().assertion().claim("sub", "somebody-else");
    assert_eq!(broker.token(earlier).await.status, 401);
    assert_eq!(broker.reload_records().await.len(), 1);
}

#[tokio::test]
async fn a_set_that_changes_whenever_it_is_read_is_refused() {
    let broker = TestBroker::start().await;
    let path = pipe(&broker);
    std::thread::spawn({
        let path = path.clone();
        move || {
            while let Ok(mut opened) = open_pipe(&path) {
                let _ = std::io::Write::write_all(&mut opened, OTHER_SUBJECT.as_bytes());
            }
        }
    });
    let refused = broker.reload().unwrap_err();
    assert!(refused.contains("went on changing"), "{refused}");
    assert_eq!(broker.reload_records().await[0]["cause"], "reload.unsettled");
    std::fs::remove_file(path).unwrap();
    write(&broker, "policies/other.yaml", OTHER_SUBJECT);
    broker.reload().unwrap();
    let newcomer = broker.partner().assertion().claim("sub", "somebody-new");
    assert_eq!(broker.token(newcomer).await.status, 200, "at rest, it counts");
}

#[tokio::test]
async fn exchanges_are_served_while_a_large_set_is_read() {
    let broker = TestBroker::start().await;
    let admin = broker.serve_admin().await;
    let large: Vec<String> = (0..3000).map(|number| OTHER_SUBJECT.replace("other", &format!("p{number}"))).collect();
    write(&broker, "policies/large.yaml", &large.join("---\n"));
    let request = Request::new("POST", "/admin/v1/reload");
    let mut reloading = std::pin::pin!(admin.send(&request));
    let mut served = 0;
    let reloaded = loop {
        tokio::select! {
            biased;
            reloaded = &mut reloading => break reloaded,
            reply = broker.token(broker.partner().assertion()) => {
                assert_eq!(reply.status, 200);
                served += 1;
            }
        }
    };
    assert_eq!((reloaded.status, &reloaded.json()["in_force"]["policies"]), (200, &serde_json::json!(3005)));
    assert!(served > 3, "only {served} exchanges in the meantime");
}
