//! Files that change are read again by themselves: once, when they are all in place, and only when what is in them changed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use support::broker::TestBroker;
use support::keys::{TestKey, jwks};

/// A policy for one subject of the partner, who becomes the user of that name.
fn policy(name: &str) -> String {
    format!("policy: {name}\nissuer: partner\nmatch: {{ sub: {name} }}\nuser: {name}\nscopes: [\"service:my-api\"]\n")
}

fn write(broker: &TestBroker, path: &str, text: &str) {
    std::fs::write(broker.directory().join(path), text).unwrap();
}

fn policies(broker: &TestBroker) -> PathBuf {
    broker.directory().join("policies")
}

/// Whether the partner's workload of this name gets a token.
async fn admits(broker: &TestBroker, name: &str) -> bool {
    let reply = broker.token(broker.partner().assertion().claim("sub", name)).await;
    assert!([200, 401].contains(&reply.status), "{}", reply.text());
    reply.status == 200
}

async fn reloads(broker: &TestBroker) -> usize {
    broker.reload_records().await.len()
}

#[tokio::test]
async fn a_change_counts_when_two_looks_agree_on_it() {
    let broker = TestBroker::start().await;
    let watching = broker.watch().await;
    write(&broker, "policies/first.yaml", &policy("first"));
    broker.looks(&watching).await;
    assert!(!admits(&broker, "first").await, "seen once: more may be on its way");
    write(&broker, "policies/second.yaml", &policy("second"));
    broker.looks(&watching).await;
    assert!(!admits(&broker, "first").await, "it goes on changing");
    broker.looks(&watching).await;
    assert!(admits(&broker, "first").await && admits(&broker, "second").await, "it has settled");
    assert_eq!(reloads(&broker).await, 1, "both in one reload");
    std::fs::remove_file(policies(&broker).join("first.yaml")).unwrap();
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    assert!(!admits(&broker, "first").await, "what is gone admits nobody");
}

#[tokio::test]
async fn a_half_written_set_is_never_read() {
    let broker = TestBroker::start().await;
    let watching = broker.watch().await;
    for written in 10..15 {
        let half: String = policy("other").chars().take(written).collect();
        write(&broker, "policies/other.yaml", &half);
        broker.looks(&watching).await;
    }
    write(&broker, "policies/other.yaml", &policy("other"));
    broker.looks(&watching).await;
    assert_eq!(reloads(&broker).await, 0);
    broker.looks(&watching).await;
    let records = broker.reload_records().await;
    assert_eq!((records.len(), records[0]["outcome"].as_str()), (1, Some("reloaded")));
    assert!(admits(&broker, "other").await);
}

#[tokio::test]
async fn files_that_are_only_touched_cause_no_reload() {
    let broker = TestBroker::start().await;
    let watching = broker.watch().await;
    let file = policies(&broker).join("partner-build.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    // What a checkout of the same commit does: another file, the same text.
    std::fs::write(file.with_extension("new"), &text).unwrap();
    std::fs::rename(file.with_extension("new"), &file).unwrap();
    for _ in 0..3 {
        broker.looks(&watching).await;
    }
    assert_eq!(reloads(&broker).await, 0);
    std::fs::write(&file, text.replace("service:my-api", "service:my-web")).unwrap();
    for _ in 0..3 {
        broker.looks(&watching).await;
    }
    assert_eq!(reloads(&broker).await, 1, "the same length, another text");
}

#[tokio::test]
async fn an_editor_that_renames_over_the_file_is_followed() {
    let broker = TestBroker::start().await;
    let watching = broker.watch().await;
    let swap = policies(&broker).join(".partner-build.yaml.swp");
    std::fs::write(&swap, policy("renamed")).unwrap();
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    assert_eq!(reloads(&broker).await, 0, "a hidden file is no policy");
    std::fs::rename(&swap, policies(&broker).join("partner-build.yaml")).unwrap();
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    assert!(admits(&broker, "renamed").await);
}

/// Makes `link` point at `target` in one step, as the kubelet and deployment tools do.
fn swap(link: &Path, target: &Path) {
    let fresh = link.with_file_name("..tmp");
    symlink(target, &fresh).unwrap();
    std::fs::rename(&fresh, link).unwrap();
}

#[tokio::test]
async fn a_config_map_that_swaps_its_data_link_is_followed() {
    let broker = TestBroker::start().await;
    let mounted = policies(&broker);
    let generation = |name: &str, policy_name: &str| {
        std::fs::create_dir(mounted.join(name)).unwrap();
        std::fs::write(mounted.join(name).join("mapped.yaml"), policy(policy_name)).unwrap();
    };
    generation("..2026_01", "first");
    swap(&mounted.join("..data"), Path::new("..2026_01"));
    symlink("..data/mapped.yaml", mounted.join("mapped.yaml")).unwrap();
    broker.reload().unwrap();
    assert!(admits(&broker, "first").await);
    let watching = broker.watch().await;
    generation("..2026_02", "other");
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    assert_eq!(reloads(&broker).await, 1, "a generation that nothing points at is no change");
    swap(&mounted.join("..data"), Path::new("..2026_02"));
    std::fs::remove_dir_all(mounted.join("..2026_01")).unwrap();
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    assert!(admits(&broker, "other").await && !admits(&broker, "first").await);
}

#[tokio::test]
async fn a_directory_that_is_a_link_may_be_swapped_for_another() {
    let broker = TestBroker::start().await;
    let releases = broker.directory().join("releases");
    for name in ["one", "two"] {
        std::fs::create_dir_all(releases.join(name).join("deep")).unwrap();
        std::fs::write(releases.join(name).join("deep/policy.yaml"), policy(name)).unwrap();
    }
    std::fs::remove_dir_all(policies(&broker)).unwrap();
    swap(&policies(&broker), &releases.join("one"));
    broker.reload().unwrap();
    let watching = broker.watch().await;
    swap(&policies(&broker), &releases.join("two"));
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    assert!(admits(&broker, "two").await && !admits(&broker, "one").await);
    assert_eq!(reloads(&broker).await, 2);
}

#[tokio::test]
async fn a_bad_set_keeps_the_old_one_and_a_mended_one_counts() {
    let broker = TestBroker::start().await;
    let watching = broker.watch().await;
    write(&broker, "policies/other.yaml", &policy("other"));
    write(&broker, "policies/bad.yaml", "policy: [\n");
    for _ in 0..10 {
        broker.looks(&watching).await;
    }
    assert!(!admits(&broker, "other").await);
    assert_eq!(broker.token(broker.partner().assertion()).await.status, 200, "the old set serves");
    let records = broker.reload_records().await;
    assert_eq!(records.len(), 1, "said once, not at every look: {records:?}");
    assert_eq!(
        (records[0]["cause"].as_str(), records[0]["trigger"].as_str()),
        (Some("reload.faults"), Some("file_watch"))
    );
    std::fs::remove_file(policies(&broker).join("bad.yaml")).unwrap();
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    assert!(admits(&broker, "other").await);
}

#[tokio::test]
async fn bundles_services_and_the_configuration_itself_are_watched() {
    let broker = TestBroker::start().await;
    let watching = broker.watch().await;
    let new = TestKey::p256("watched-new");
    let signed = || broker.partner().assertion().signed_by(&new);
    write(&broker, "trust-bundles/partner.json", &jwks([new.jwk()]));
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    assert_eq!(broker.token(signed()).await.status, 200);

    let service =
        "service: my-api\nhosts: [my-api.example.com]\nupstream: http://127.0.0.1:9\nallow: [{ scopes: [a] }]\n";
    write(&broker, "services/my-api.yaml", service);
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    assert_eq!(broker.reload_records().await[1]["in_force"]["services"], 1);

    broker.rewrite("kind: oidc,", "kind: oidc, disabled: true,");
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    let refused = broker.token(signed()).await;
    assert_eq!(broker.cause(&refused).await, "issuer.disabled");
}

#[tokio::test]
async fn a_directory_that_the_configuration_names_newly_is_watched_from_then_on() {
    let broker = TestBroker::start_with(|setup, _| setup.setting("policies: ./policies")).await;
    let watching = broker.watch().await;
    std::fs::create_dir(broker.directory().join("rules")).unwrap();
    write(&broker, "rules/bad.yaml", "policy: [\n");
    broker.rewrite("policies: ./policies", "policies: ./rules");
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    assert_eq!(broker.reload_records().await.len(), 1, "refused");
    write(&broker, "rules/bad.yaml", &policy("mended"));
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    assert!(admits(&broker, "mended").await, "though that directory was never in force");
}

#[tokio::test]
async fn a_refused_set_is_tried_again_when_what_it_lacked_is_elsewhere() {
    let broker = TestBroker::start().await;
    let watching = broker.watch().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let ca = elsewhere.path().join("ca.pem");
    broker.rewrite("kind: oidc,", &format!("kind: oidc, disabled: true, ca_file: {},", ca.display()));
    for _ in 0..3 {
        broker.looks(&watching).await;
    }
    assert_eq!(broker.reload_records().await[0]["outcome"], "refused");
    std::fs::write(&ca, "").unwrap();
    for _ in 0..40 {
        broker.looks(&watching).await;
    }
    let outcomes: Vec<_> = broker.reload_records().await.iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["refused", "reloaded"]);
}

#[tokio::test]
async fn a_link_that_leads_nowhere_is_a_fault_until_there_is_something() {
    let broker = TestBroker::start().await;
    let watching = broker.watch().await;
    let file = policies(&broker).join("dangling.yaml");
    symlink("nowhere", &file).unwrap();
    for _ in 0..3 {
        broker.looks(&watching).await;
    }
    assert_eq!(broker.reload_records().await[0]["outcome"], "refused");
    std::fs::write(policies(&broker).join("nowhere"), policy("found")).unwrap();
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    assert!(admits(&broker, "found").await);
}

#[tokio::test]
async fn nothing_is_looked_at_where_the_watch_is_off() {
    let broker = TestBroker::start_with(|setup, _| setup.setting("reload: { watch: false }")).await;
    let watching = broker.watch().await;
    write(&broker, "policies/other.yaml", &policy("other"));
    for _ in 0..4 {
        broker.looks(&watching).await;
    }
    assert!(!admits(&broker, "other").await);
    broker.rewrite("watch: false", "watch: true");
    broker.reload().unwrap();
    assert!(admits(&broker, "other").await, "asked for, it is read");
    write(&broker, "policies/other.yaml", &policy("third"));
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    assert!(admits(&broker, "third").await, "and switched on by a reload");
}

#[tokio::test]
async fn what_the_broker_writes_itself_is_no_change_where_everything_is_in_one_directory() {
    let broker = TestBroker::start_with(|setup, platforms| {
        let kept = support::keys::jwks([platforms.partner.key.jwk()]);
        let settings = format!("{{ kind: oidc, url: {}, keys: {{ file: partner.keys }} }}", platforms.partner.issuer());
        let setup = setup.setting("trust_bundles: .").file("partner.keys", &kept).issuer("partner", &settings);
        ["github", "azure", "prod", "mesh"].into_iter().fold(setup, |setup, name| {
            let keys = if name == "mesh" { "bundle" } else { "keys" };
            setup.in_issuer(name, &format!("{keys}: {{ file: "), &format!("{keys}: {{ file: trust-bundles/"))
        })
    })
    .await;
    let watching = broker.watch().await;
    for _ in 0..3 {
        assert_eq!(broker.token(broker.partner().assertion()).await.status, 200, "leaves a record in data");
        broker.looks(&watching).await;
    }
    write(&broker, "policies/other.yaml", &policy("other"));
    broker.looks(&watching).await;
    assert!(!admits(&broker, "other").await, "leaves a record too");
    broker.looks(&watching).await;
    assert!(admits(&broker, "other").await);
    let new = TestKey::p256("watched-newer");
    write(&broker, "partner.keys", &jwks([new.jwk()]));
    broker.looks(&watching).await;
    broker.looks(&watching).await;
    let signed = broker.partner().assertion().signed_by(&new);
    assert_eq!(broker.token(signed).await.status, 200, "a key file may have any name");
}
