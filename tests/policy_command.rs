//! `countersign policy list | check | test`, as a policy's author uses them: no server is running.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may fail the test")]

use std::path::Path;
use std::process::{Command, Output};

const CONFIG: &str = "issuer: https://broker.example.com
listen: 127.0.0.1:8443
issuers:
  github: { kind: github-actions }
  azure: { kind: azure, tenant: 6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94, audiences: [\"api://countersign\"] }
  kubernetes: { kind: kubernetes, url: https://cluster.example }
  spiffe: { kind: spiffe, trust_domain: prod.acme.example, bundle: { url: https://spire.acme.example/bundle, profile: https_web } }
  gitlab: { kind: gitlab }
  buildkite: { kind: buildkite }
  circleci: { kind: circleci, url: https://oidc.circleci.com/org/b9291e0d-a11e-41fb-8517-c545388b5953 }
  google: { kind: google }
  aws: { kind: aws, url: https://a1b2c3d4-5e6f-4a0b-8c1d-2e3f4a5b6c7d.tokens.sts.global.api.aws }
  terraform-cloud: { kind: terraform-cloud }
  fly: { kind: fly, url: https://oidc.fly.io/acme }
  partner: { kind: oidc, url: https://idp.partner.example }
";

/// A directory with a configuration and the shipped policies.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("countersign.yaml"), CONFIG).unwrap();
    std::fs::create_dir(place.path().join("policies")).unwrap();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, place.path().join("policies").join(path.file_name().unwrap())).unwrap();
    }
    place
}

fn policy(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.current_dir(place).env_clear().arg("policy").args(arguments);
    command.output().unwrap()
}

fn replace(place: &Path, file: &str, from: &str, to: &str) {
    let file = place.join("policies").join(file);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from));
    std::fs::write(file, text.replace(from, to)).unwrap();
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_policies_are_listed_for_people_and_for_programs() {
    let place = place();
    let table = policy(place.path(), &["list"]);
    assert!(out(&table).contains("deploy-prod") && out(&table).starts_with("POLICY"), "{}", out(&table));
    let json = policy(place.path(), &["list", "--output", "json"]);
    let rows: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let names: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["policy"].as_str().unwrap()).collect();
    let expected = [
        "aws-payments",
        "azure-payments",
        "buildkite-deploy",
        "circleci-deploy",
        "fly-payments",
        "deploy-prod",
        "gitlab-deploy",
        "google-payments",
        "kubernetes-payments",
        "partner-build",
        "mesh-payments",
        "terraform-cloud-apply",
    ];
    assert_eq!(names, expected);
}

#[test]
fn check_reports_every_fault_with_its_place_and_its_fix() {
    let place = place();
    let valid = policy(place.path(), &["check"]);
    assert!(valid.status.success() && out(&valid).contains("12 policies, valid"), "{}", err(&valid));
    replace(place.path(), "github-deploy.yaml", "repository_id: \"123456\"", "repository_id: 123456");
    replace(place.path(), "spiffe-mesh.yaml", "issuer: spiffe", "issuer: spife");
    let bad = policy(place.path(), &["check"]);
    assert_eq!(bad.status.code(), Some(1));
    let text = err(&bad);
    assert!(
        text.contains("github-deploy.yaml:9:18: error[claim-type]") && text.contains("quote it: \"123456\""),
        "{text}"
    );
    assert!(text.contains("did you mean `spiffe`?") && text.contains("2 errors"), "{text}");
}

#[test]
fn test_runs_every_test_and_fails_when_one_does() {
    let place = place();
    let passed = policy(place.path(), &["test"]);
    assert!(passed.status.success() && out(&passed).contains(" passed, 0 failed"), "{}{}", out(&passed), err(&passed));
    replace(place.path(), "github-deploy.yaml", "  ref: refs/heads/main\n", "");
    let failed = policy(place.path(), &["test", "policies/github-deploy.test.yaml"]);
    assert_eq!(failed.status.code(), Some(1));
    let text = out(&failed);
    assert!(text.contains("FAILED  policies/github-deploy.test.yaml:9: another branch is not"), "{text}");
    assert!(text.contains("expected: denied") && text.contains("found:    admitted as prod-deployer"), "{text}");
    assert!(text.contains("11 passed, 1 failed"), "{text}");
}
