use serde_json::{Value, json};

use super::support::process::run;
use super::support::setup::{Platforms, Setup};
use super::support::wire::Request;
use super::trail::{minted, policy, refused, serving, table};

fn shadow(name: &str, user: &str) -> String {
    format!("policy: {name}\nissuer: partner\nmatch: {{ azp: {{ present: true }} }}\nuser: {user}\nmode: shadow\n")
}

fn said(policy: &str, user: &str) -> Value {
    json!({ "policy": policy, "user": user })
}

#[tokio::test]
async fn each_shadow_policy_says_what_enforcing_it_would_have_changed() {
    let directory = tempfile::tempdir().unwrap();
    let trail = vec![
        refused(9).with("shadow", json!([said("trial", "t")])),
        refused(3).with("shadow", json!([said("trial", "t"), said("rival", "r")])),
        refused(3).with("shadow", json!([said("trial", "t")])),
        minted(2, "partner-build", "partner-build").with("shadow", json!([said("trial", "t")])),
        minted(1, "partner-build", "t").with("shadow", json!([said("trial", "t")])),
        refused(1).with("cause", "policy.ambiguous").with("shadow", json!([said("trial", "t")])),
        refused(1).with("shadow", json!([said("deploy-prod", "x")])),
        refused(1),
    ];
    let setup = Setup::platforms(&Platforms::new())
        .policy("trial", &shadow("trial", "t"))
        .policy("quiet", &shadow("quiet", "q"));
    let _broker = serving(&setup, directory.path(), trail).await;
    let rows = policy(directory.path(), &["shadow"]).await;
    let row = |name: &str| rows.as_array().unwrap().iter().find(|row| row["policy"] == name).unwrap().clone();
    let counts = |row: &Value| {
        ["exchanges", "would_admit", "would_break", "no_change", "conflicts"].map(|name| row[name].as_u64().unwrap())
    };
    assert_eq!(counts(&row("trial")), [5, 2, 1, 2, 1]);
    assert_eq!((&row("trial")["users"], &row("trial")["trace_id"]), (&json!(["t"]), &json!(format!("{:032x}", 3))));
    assert_eq!((counts(&row("quiet")), &row("quiet")["now"]), ([0; 5], &json!("shadow")));
    assert_eq!((&row("rival")["now"], &row("deploy-prod")["now"]), (&json!("gone"), &json!("enforce")));
    let all = policy(directory.path(), &["shadow", "--since", "30d"]).await;
    assert_eq!(all[1]["would_admit"].as_u64().max(all[0]["would_admit"].as_u64()), Some(3));

    let told = table(directory.path(), &["shadow"]).await.stdout;
    assert!(
        told.starts_with("POLICY")
            && told.contains("\nof the exchanges of the last 7d: 4 refused ones would be admitted, 1 admitted"),
        "{told}"
    );
    let bad = run(directory.path(), &["policy", "shadow", "--since", "yesterday"]).await;
    assert_eq!(bad.code, Some(1), "{}", bad.stdout);
}

#[tokio::test]
async fn an_exchange_over_http_counts_for_the_shadow_policy_that_would_have_admitted_it() {
    let (directory, platforms) = (tempfile::tempdir().unwrap(), Platforms::new());
    let setup = Setup::platforms(&platforms).policy("trial", &shadow("trial", "t"));
    let broker = serving(&setup, directory.path(), Vec::new()).await;
    let now = countersign::clock::Clock::system().now().0;
    let assertion = platforms.partner.assertion().issued_at(now).claim("sub", "nobody").compact();
    let fields = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion.as_str())];
    let reply = Request::token(&fields).send(broker.address).await;
    assert_eq!(reply.status, 400, "it admits nobody");
    let rows = policy(directory.path(), &["shadow", "--since", "1h"]).await;
    assert_eq!(
        (&rows[0]["policy"], &rows[0]["would_admit"], &rows[0]["trace_id"]),
        (&json!("trial"), &json!(1), &json!(reply.trace_id()))
    );
}
