use serde_json::{Value, json};

use super::super::tests::{NOW, claims, load, policy};
use super::super::{Depth, KeptClaims};
use super::*;

fn set(policies: &[String]) -> PolicySet {
    let (set, faults) = load(&[("p.yaml", &policies.join("---\n"))]);
    assert!(!faults.has_errors(), "{faults}");
    set
}

fn partner(name: &str, matching: &str, more: &str) -> String {
    policy(name, "partner", matching, more)
}

fn kept(given: &Value, omitted: &[&str]) -> KeptClaims {
    KeptClaims::recorded(claims(given), omitted.iter().map(|name| (*name).to_owned()).collect())
}

fn compared(old: &[String], new: &[String], kept: &KeptClaims) -> Compared {
    let issuer = IssuerName::parse("partner").unwrap();
    compare(&set(old), &set(new), &Question { issuer: &issuer, claims: kept, wanted: None, now: NOW })
}

#[test]
fn a_narrower_policy_loses_a_workload_and_says_why() {
    let wide = [partner("p", "{ team: t }", "user: u\nscopes: [a]")];
    let narrow = [partner("p", "{ team: t, env: prod }", "user: u\nscopes: [a]")];
    let dev = kept(&json!({ "team": "t", "env": "dev" }), &[]);
    let user = UserName::parse("u").unwrap();
    let loses = Change::Loses { user: user.clone(), cause: "policy.none" };
    assert_eq!(compared(&wide, &narrow, &dev), Compared::Changed(loses));
    let gains = Change::Gains { user, scopes: vec!["a".to_owned()] };
    assert_eq!(compared(&narrow, &wide, &dev), Compared::Changed(gains));
    let prod = kept(&json!({ "team": "t", "env": "prod" }), &[]);
    assert_eq!(compared(&wide, &narrow, &prod), Compared::Same);
}

#[test]
fn another_user_and_other_scopes_are_changes_and_a_wider_pattern_is_a_gain_only() {
    let with = |more: &str| [partner("p", "{ team: t }", more)];
    let given = kept(&json!({ "team": "t" }), &[]);
    let (from, to) = (UserName::parse("u").unwrap(), UserName::parse("v").unwrap());
    let change = compared(&with("user: u"), &with("user: v"), &given);
    assert_eq!(change, Compared::Changed(Change::User { from: from.clone(), to }));
    let change = compared(&with("user: u\nscopes: [\"service:a\"]"), &with("user: u\nscopes: [\"service:*\"]"), &given);
    let gained = vec!["service:*".to_owned()];
    assert_eq!(change, Compared::Changed(Change::Scopes { user: from, lost: Vec::new(), gained }));
}

#[test]
fn a_claim_that_was_not_kept_is_unknown_and_never_absent() {
    let old = [partner("p", "{ team: t }", "user: u")];
    let absent = [partner("p", "{ team: t, email: { present: false } }", "user: u")];
    let condition = [partner("p", "{ team: t }", "user: u\ncondition: \"!has(claims.email)\"")];
    let template = [partner("p", "{ team: t }", "user: \"u-{email}\"")];
    let whole = [partner("p", "{ team: t }", "user: u\ncondition: \"!('email' in claims)\"")];
    let left_out = kept(&json!({ "team": "t" }), &["email"]);
    for new in [absent, condition, template, whole] {
        assert_eq!(compared(&old, &new, &left_out), Compared::Unknown, "{new:?}");
    }
    let elsewhere = [partner("p", "{ team: other, email: x }", "user: u")];
    let loses = Change::Loses { user: UserName::parse("u").unwrap(), cause: "policy.none" };
    assert_eq!(compared(&old, &elsewhere, &left_out), Compared::Changed(loses), "a known line settles it");
    assert_eq!(compared(&old, &old, &left_out), Compared::Same, "nobody reads it");
}

#[test]
fn an_explanation_of_a_record_marks_what_was_not_kept() {
    let set = set(&[
        partner("reads-email", "{ team: t, email: a@example.com }", "user: u"),
        partner("far", "{ team: x, email: a@example.com }", "user: u"),
        partner("near", "{ team: t }", "user: v"),
    ]);
    let (issuer, claims) = (IssuerName::parse("partner").unwrap(), kept(&json!({ "team": "t" }), &["email"]));
    let question = Question { issuer: &issuer, claims: &claims, wanted: None, now: NOW };
    let explained = question.explain(&set, Depth::Listed);
    assert!(explained.user.is_none() && explained.refusal.is_none() && explained.unknown.contains("email"));
    let verdicts: Vec<_> = explained.policies.iter().map(|found| (found.policy.as_str(), found.verdict)).collect();
    assert_eq!(verdicts, [("near", "admits"), ("reads-email", "cannot be told"), ("far", "refuses")]);
    let line = &explained.policies[1].lines[1];
    assert_eq!((line.line.as_str(), line.holds, line.found.as_str()), ("email", None, "not kept in the record"));
    assert!(explained.to_string().starts_with("cannot be told: the record does not have email\n"), "{explained}");
    let admitting: Vec<_> = explained.admitting.iter().map(|found| found.policy.as_str()).collect();
    assert_eq!(admitting, ["near"]);
}

#[test]
fn fifty_policies_are_listed_unless_all_are_asked_for_and_three_are_recorded() {
    let many: Vec<String> = (0..60)
        .map(|index| partner(&format!("p{index:02}"), &format!("{{ team: t, n: \"{index}\" }}"), "user: u"))
        .collect();
    let set = set(&many);
    let (issuer, claims) = (IssuerName::parse("partner").unwrap(), kept(&json!({ "team": "t", "n": "59" }), &[]));
    let question = Question { issuer: &issuer, claims: &claims, wanted: None, now: NOW };
    let listed = |depth: Depth| {
        let explained = question.explain(&set, depth);
        assert_eq!(explained.policies[0].policy.as_str(), "p59");
        (explained.policies.len(), explained.omitted)
    };
    assert_eq!((listed(Depth::Listed), listed(Depth::All), listed(Depth::Record)), ((50, 10), (60, 0), (3, 57)));
}

#[test]
fn workloads_are_counted_with_their_last_exchange_and_losses_come_first() {
    let old = set(&[partner("p", "{ team: t }", "user: u")]);
    let new = set(&[partner("p", "{ team: { not: t } }", "user: u")]);
    let issuer = IssuerName::parse("partner").unwrap();
    let mut replay = Replay::default();
    for (index, (subject, team)) in [("a", "x"), ("b", "t"), ("b", "t")].into_iter().enumerate() {
        let claims = kept(&json!({ "team": team }), &[]);
        let question = Question { issuer: &issuer, claims: &claims, wanted: None, now: NOW };
        let (time, trace_id) = (format!("2026-01-0{index}"), format!("trace-{index}"));
        replay.add((&old, &new), &question, Seen { subject, time: &time, trace_id: &trace_id });
    }
    let rows: Vec<_> = replay
        .workloads()
        .into_iter()
        .map(|row| (row.subject, matches!(row.change, Change::Loses { .. }), row.exchanges, row.trace_id))
        .collect();
    assert_eq!(rows, [("b".into(), true, 2, "trace-2".into()), ("a".into(), false, 1, "trace-0".into())]);
    assert_eq!((replay.replayed, replay.not_replayed, replay.left_out()), (3, 0, 0));
}
