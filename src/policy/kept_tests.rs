use serde_json::json;

use super::super::tests::{claims, configured, load, policy};
use super::*;
use crate::config::IssuerSettings;
use crate::issuer::tests::{issuers, settings};
use crate::kind::IssuerKind;

fn kept_of(issuer: &str, members: &Value) -> KeptClaims {
    let (set, faults) = load(&[
        (
            "partner.yaml",
            &policy("p", "partner", "{ sub: x, team: t }", "user: \"u-{zone}\"\ncondition: claims.env == \"prod\""),
        ),
        ("github.yaml", &policy("g", "github", "{ repository_id: \"1\" }", "user: g")),
    ]);
    assert!(!faults.has_errors(), "{faults}");
    KeptClaims::select(&claims(members), configured().by_name(issuer).unwrap(), &set)
}

#[test]
fn of_an_open_issuer_only_what_policies_read_and_the_registered_claims_are_kept() {
    let mut members = json!({ "sub": "x", "exp": 5, "team": "t", "zone": "z", "env": "prod" });
    members["email"] = json!("a@example.com");
    members["at_hash"] = json!("h");
    let kept = kept_of("partner", &members);
    let names: Vec<&str> = kept.claims().keys().map(String::as_str).collect();
    assert_eq!(names, ["env", "exp", "sub", "team", "zone"]);
    assert_eq!(kept.omitted(), ["at_hash", "email"]);
    assert!(kept.is_unknown("email") && !kept.is_unknown("never-there") && !kept.is_unknown("sub"));
}

#[test]
fn of_a_known_kind_its_claims_are_kept_and_strange_ones_are_not() {
    let members = json!({ "sub": "x", "repository_id": "1", "repo_property_tier": "1", "surprise": { "a": 1 } });
    let kept = kept_of("github", &members);
    assert_eq!(kept.claims().len(), 3);
    assert_eq!(kept.omitted(), ["surprise"]);
}

#[test]
fn an_excluded_claim_leaves_its_name_only_even_when_a_policy_reads_it() {
    let (set, _) = load(&[("p.yaml", &policy("p", "partner", "{ email: a@example.com }", "user: u"))]);
    let partner =
        IssuerSettings { audit_exclude: ["email".to_owned()].into(), ..settings("partner", IssuerKind::OIDC) };
    let configured = issuers(&[partner]);
    let members = claims(&json!({ "sub": "x", "email": "a@example.com" }));
    let kept = KeptClaims::select(&members, configured.by_name("partner").unwrap(), &set);
    let text = serde_json::to_string(&kept).unwrap();
    assert_eq!(text, r#"{"claims":{"sub":"x"},"claims_omitted":["email"]}"#);
}

#[test]
fn eight_kibibytes_are_kept_and_what_policies_read_comes_first() {
    let long = "a".repeat(5000);
    let kept = kept_of("github", &json!({ "actor": long, "environment": long, "repository_id": "1", "workflow": "w" }));
    let names: Vec<&str> = kept.claims().keys().map(String::as_str).collect();
    assert_eq!((names, kept.omitted()), (vec!["actor", "repository_id", "workflow"], &["environment".to_owned()][..]));
    // The escaped form counts: it is what fills the disk.
    let escaped = "\u{1}".repeat(2000);
    assert_eq!(kept_of("github", &json!({ "actor": escaped })).omitted(), ["actor"]);
    let text =
        serde_json::to_string(&kept_of("github", &json!({ "repository_id": "a".repeat(8170), "ref": 1 })).claims);
    assert!(text.unwrap().len() <= MAX_BYTES);
}

#[test]
fn a_token_cannot_fill_the_record_with_names() {
    let many: Map<String, Value> = (0..500).map(|index| (format!("c{index:03}"), json!(1))).collect();
    let kept = kept_of("github", &Value::Object(many));
    assert_eq!((kept.omitted().len(), kept.omitted().last().unwrap().as_str()), (MAX_NAMES + 1, "*"));
    assert!(kept.is_unknown("anything") && kept.claims().is_empty());
    let long = kept_of("github", &json!({ "n".repeat(200): 1, "zz": 2 }));
    assert_eq!(long.omitted(), ["*", "zz"]);
    let long = kept_of("github", &json!({ "n".repeat(200): 1, "o".repeat(200): 1 }));
    assert_eq!(long.omitted(), ["*"]);
}
