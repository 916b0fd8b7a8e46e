use countersign::store::unrecorded::Unrecorded as _;
use std::path::Path;

use countersign::store::sqlite::Sqlite;
use countersign::store::{UserOrigin, UserRecord, UserState};
use countersign::vocab::{UnixTime, UserName};
use serde_json::{Value, json};

use super::support::process::run;
use super::support::setup::{Platforms, Setup};
use super::trail::{Exchange, minted, policy, refused, serving, table};

/// Users that were made so many days ago.
async fn users(directory: &Path, made: &[(&str, i64)]) {
    let store = Sqlite::open(&directory.join("data")).unwrap();
    let now = countersign::clock::Clock::system().now().0;
    for (name, days) in made {
        let (name, created_at) = (UserName::parse(name).unwrap(), UnixTime(now - days * 24 * 3600));
        let user = UserRecord { name, origin: UserOrigin::Operator, state: UserState::Enabled, created_at };
        store.create_user(user).await.unwrap();
    }
}

fn of_github(exchange: Exchange, repository: &str, id: &str) -> Exchange {
    let claims = json!({ "repository": repository, "repository_id": id, "repository_owner_id": "65" });
    exchange.with("issuer_name", "github").of(&format!("repo:{repository}:ref:refs/heads/main"), claims)
}

#[tokio::test]
async fn policies_and_users_without_an_exchange_and_drifted_pins_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    users(directory.path(), &[("old-unused", 90), ("partner-build", 90), ("new-unused", 3), ("bot", 90)]).await;
    let pinned =
        "policy: shop\nissuer: github\nmatch: { repository: acme/shop, repository_id: \"123456\" }\nuser: shop\n";
    let trail = vec![
        minted(50, "deploy-prod", "prod-deployer"),
        of_github(minted(20, "shop", "shop"), "acme/shop", "123456"),
        of_github(minted(9, "shop", "shop"), "acme/store", "123456"),
        of_github(refused(2), "acme/shop", "999999"),
        minted(3, "partner-build", "partner-build").with("policies", json!(["partner-build", "also"])),
        refused(1).with("shadow", json!([{ "policy": "trial", "user": "t" }])),
    ];
    let trial = "policy: trial\nissuer: partner\nmatch: { azp: x }\nuser: t\nmode: shadow\n";
    let also = "policy: also\nissuer: partner\nmatch: { azp: x }\nuser: partner-build\n";
    let setup = Setup::platforms(&Platforms::new()).policy("shop", pinned).policy("trial", trial).policy("also", also);
    let _broker = serving(&setup, directory.path(), trail).await;
    let made =
        run(directory.path(), &["credential", "create", "bot-token", "--user", "bot", "--type", "access-token"]).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);

    let rows = policy(directory.path(), &["stale"]).await;
    let names = |what: &str| -> Vec<String> {
        let of_kind = rows.as_array().unwrap().iter().filter(|row| row["what"] == what);
        of_kind.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("policy"), ["payments-vm", "deploy-prod", "mesh-api", "payments-pod"]);
    assert_eq!(names("user"), ["bot", "old-unused"]);
    assert_eq!(names("drift"), ["shop", "shop"]);
    let details = rows.to_string();
    for expected in [
        "renamed: tokens with repository_id 123456 now say repository acme/store, the policy says acme/shop",
        "given to somebody else: tokens that say repository acme/shop have repository_id 999999, the policy pins 123456",
        "admitted nothing in 30 days",
        "it has a long-lived access token, whose use leaves no record",
    ] {
        assert!(details.contains(expected), "no {expected:?} in {details}");
    }
    let drifted: Vec<&Value> = rows.as_array().unwrap().iter().filter(|row| row["what"] == "drift").collect();
    assert_eq!(drifted[0]["trace_id"], format!("{:032x}", 2));

    let long = policy(directory.path(), &["stale", "--days", "60"]).await;
    assert!(!long.to_string().contains("deploy-prod"), "it was used 50 days ago: {long}");
    let told = table(directory.path(), &["stale", "--days", "60"]).await.stdout;
    assert!(told.starts_with("WHAT") && told.contains("\nthe audit trail begins at 20"), "{told}");
    assert!(!table(directory.path(), &["stale", "--days", "40"]).await.stdout.contains("the audit trail begins"));
}
