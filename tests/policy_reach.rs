//! `countersign policy who-can` and `policy diff` over files: no server is running.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may fail the test")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const CONFIG: &str = "issuer: https://broker.example.com
issuers:
  partner: { kind: oidc, url: https://idp.partner.example }
";
const DEPLOY: &str = "policy: deploy
issuer: partner
match:
  team: platform
  ref: main
condition: claims.stage == \"prod\"
user: deployer
scopes: [\"service:my-api\", \"service:billing/*\"]
";
const TEAMS: &str = "policy: teams
issuer: partner
match:
  team: { glob: \"team-*\" }
user: \"t-{team}\"
scopes: [\"service:my-api\"]
";
const SERVICE: &str = "service: my-api
hosts: [my-api.example.com]
upstream: http://127.0.0.1:9000
allow:
  - { scopes: [\"service:my-api\"] }
  - { users: [auditor], condition: request.method == \"GET\" }
";

/// A directory with a configuration, a service and these policies.
fn place(policies: &[&str]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("countersign.yaml"), CONFIG).unwrap();
    for directory in ["policies", "services", "trust-bundles"] {
        std::fs::create_dir(place.path().join(directory)).unwrap();
    }
    std::fs::write(place.path().join("services/my-api.yaml"), SERVICE).unwrap();
    write(&place.path().join("policies"), policies);
    place
}

fn write(directory: &Path, policies: &[&str]) {
    std::fs::create_dir_all(directory).unwrap();
    std::fs::write(directory.join("all.yaml"), policies.join("---\n")).unwrap();
}

fn policy(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.current_dir(place).env_clear().arg("policy").args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(&out(output)).unwrap()
}

#[test]
fn who_can_shows_every_way_into_a_service_as_a_tree() {
    let place = place(&[DEPLOY, TEAMS]);
    let expected = "service my-api
├─ scope service:my-api
│  ├─ policy deploy (policies/all.yaml:1)
│  │  tokens of partner become deployer with [service:billing/* service:my-api] when
│  │    team: \"platform\"
│  │    ref: \"main\"
│  │    condition: claims.stage == \"prod\"
│  └─ policy teams (policies/all.yaml:10)
│     tokens of partner become t-{team} with [service:my-api] when
│       team: glob \"team-*\"
└─ user auditor, condition request.method == \"GET\"
   └─ no policy leads here
";
    assert_eq!(out(&policy(place.path(), &["who-can", "my-api"])), expected);
}

#[test]
fn who_can_finds_users_also_through_templates_and_scopes_also_through_wider_ones() {
    let place = place(&[DEPLOY, TEAMS]);
    let policies = |name: &str, what: &str| -> Vec<Value> {
        let answer = json_of(&policy(place.path(), &["who-can", name, "--as", what, "--output", "json"]));
        answer[0]["ways"][0]["routes"].as_array().unwrap().iter().map(|route| route["policy"].clone()).collect()
    };
    assert_eq!(policies("deployer", "user"), [json!("deploy")]);
    assert_eq!(policies("t-team-a", "user"), [json!("teams")]);
    assert_eq!(policies("service:billing/read", "scope"), [json!("deploy")]);
    let nobody = policy(place.path(), &["who-can", "stranger"]);
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(nobody.status.code() == Some(1) && said.contains("no policy leads to `stranger`"), "{said}");
}

#[test]
fn diff_says_who_is_newly_admitted_and_who_no_longer_is() {
    let place = place(&[DEPLOY, TEAMS]);
    let wider = DEPLOY.replace("  ref: main\n", "").replace("\"service:billing/*\"", "\"service:audit\"");
    let added = TEAMS.replace("policy: teams", "policy: guests").replace("t-{team}", "guest");
    write(&place.path().join("new"), &[&wider, &added]);
    let expected = "policy deploy (new/all.yaml:1): admits more
  scopes                   service:billing/* service:my-api → service:audit service:my-api
  match ref                - \"main\"

policy guests (new/all.yaml:9): newly admits
  issuer                   + partner
  match team               + glob \"team-*\"
  user                     + guest
  scopes                   + service:my-api
  mode                     + enforce

policy teams (policies/all.yaml:10): no longer admits
  issuer                   - partner
  match team               - glob \"team-*\"
  user                     - t-{team}
  scopes                   - service:my-api
  mode                     - enforce

user deployer: +service:audit -service:billing/*
user guest (new: no policy admitted it): +service:my-api
user t-{team} (no policy admits it any longer): -service:my-api
";
    assert_eq!(out(&policy(place.path(), &["diff", "policies", "new"])), expected);
    let same = out(&policy(place.path(), &["diff", "policies", "policies"]));
    assert_eq!(same, "the policies say the same\n");
}

#[test]
fn diff_tells_wider_from_narrower_from_other() {
    let place = place(&[DEPLOY]);
    let effect = |new: &str| {
        write(&place.path().join("new"), &[new]);
        let answer = json_of(&policy(place.path(), &["diff", "policies", "new", "--output", "json"]));
        answer["policies"][0]["effect"].as_str().unwrap().to_owned()
    };
    assert_eq!(effect(&DEPLOY.replace("ref: main", "ref: [main, next]")), "admits_more");
    assert_eq!(effect(&DEPLOY.replace("team: platform\n", "team: platform\n  env: prod\n")), "admits_less");
    assert_eq!(effect(&DEPLOY.replace("ref: main", "ref: next")), "admits_others");
    assert_eq!(effect(&DEPLOY.replace("user: deployer", "user: other")), "admits_the_same");
    assert_eq!(effect(&DEPLOY.replace("user:", "mode: shadow\nuser:")), "no_longer_admits");
    assert_eq!(effect(&DEPLOY.replace("user:", "expires: 2999-01-01\nuser:")), "admits_less");
}
