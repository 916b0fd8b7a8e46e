//! `/metrics`. One test in a program of its own: counters belong to the process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;

use support::broker::{AdminSocket, TestBroker};
use support::wire::Request;

const OTHER: &str =
    "policy: other\nissuer: partner\nmatch: { sub: other }\nuser: other\nscopes: [\"service:my-api\"]\n";
const BAD: &str = "policy: bad\nissuer: nobody\nmatch: { sub: x }\nuser: x\nscopes: []\n";

/// The value of a metric with exactly these labels, written as they are.
async fn metric(admin: &AdminSocket, name: &str) -> Option<String> {
    let text = admin.send(&Request::get("/metrics")).await.text();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
}

#[tokio::test]
async fn metrics_tell_which_policies_are_in_force_and_how_exchanges_and_reloads_end() {
    let broker = TestBroker::start().await;
    let admin = broker.serve_admin().await;
    let digest = admin.send(&Request::get("/readyz")).await.json()["policy_digest"].as_str().unwrap().to_owned();
    let info = |digest: &str| format!("countersign_policy_set_info{{digest=\"{digest}\"}}");
    assert_eq!(metric(&admin, &info(&digest)).await.as_deref(), Some("1"));
    assert_eq!(metric(&admin, "countersign_policies").await.as_deref(), Some("5"));
    assert_eq!(
        metric(&admin, "countersign_reload_last_success_timestamp_seconds").await.as_deref(),
        Some("1790000000")
    );

    assert_eq!(broker.token(broker.partner().assertion()).await.status, 200);
    assert_eq!(broker.token(broker.partner().assertion().claim("sub", "nobody")).await.status, 401);
    assert_eq!(metric(&admin, "countersign_exchanges_total{outcome=\"minted\"}").await.as_deref(), Some("1"));
    let refused = "countersign_exchanges_total{outcome=\"refused\",cause=\"policy.none\"}";
    assert_eq!(metric(&admin, refused).await.as_deref(), Some("1"));

    let file = broker.directory().join("policies/bad.yaml");
    std::fs::write(&file, BAD).unwrap();
    broker.reload().unwrap_err();
    assert_eq!(metric(&admin, "countersign_reload_refused").await.as_deref(), Some("1"));
    let counted = |outcome: &str| format!("countersign_reloads_total{{outcome=\"{outcome}\",trigger=\"signal\"}}");
    assert_eq!(metric(&admin, &counted("refused")).await.as_deref(), Some("1"));
    std::fs::write(&file, OTHER).unwrap();
    broker.reload().unwrap();
    assert_eq!(metric(&admin, "countersign_reload_refused").await.as_deref(), Some("0"));
    assert_eq!(metric(&admin, &counted("reloaded")).await.as_deref(), Some("1"));
    assert_eq!(metric(&admin, &info(&digest)).await, None, "the old digest is gone");
    every_metric_is_documented(&admin).await;
}

/// Every family that is scraped has a line of help and one in docs/operations.md; and the page has no other.
async fn every_metric_is_documented(admin: &AdminSocket) {
    let text = admin.send(&Request::get("/metrics")).await.text();
    let named = |prefix: &str| -> BTreeSet<String> {
        let rest = text.lines().filter_map(|line| line.strip_prefix(prefix)?.split(' ').next().map(str::to_owned));
        rest.collect()
    };
    let (typed, helped) = (named("# TYPE "), named("# HELP "));
    assert_eq!(typed, helped, "each has its help");
    let page = include_str!("../docs/operations.md");
    let cells = page.lines().filter_map(|line| line.strip_prefix("| `countersign_")?.split('`').next());
    let documented: BTreeSet<String> =
        cells.map(|cell| format!("countersign_{}", cell.split('{').next().unwrap())).collect();
    // Nobody asked for a service here, keys are in files, and no signing key changes.
    let others = [
        "countersign_gateway_requests_total",
        "countersign_key_fetches_total",
        "countersign_signing_key_changes_total",
    ]
    .map(str::to_owned);
    let here: BTreeSet<String> = typed.into_iter().chain(others).collect();
    assert_eq!(here, documented);
}
