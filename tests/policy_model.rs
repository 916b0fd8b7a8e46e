//! The engine decides as the rules say, on generated policies and claims.
//!
//! `tests/policy_model/reference.rs` is the rules. The plain suite asks some ten thousand questions;
//! `COUNTERSIGN_MODEL_SETS=20000 cargo test --release --test policy_model` asks more than a million.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "policy_model/reference.rs"]
mod reference;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;

use countersign::config;
use countersign::diagnostic::Diagnostics;
use countersign::issuer::Issuers;
use countersign::policy::{PolicySet, judge};
use countersign::vocab::{IssuerName, UnixTime, UserName};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reference::Outcome;
use serde_json::{Map, Value, json};

/// 2026-09-21.
const NOW: UnixTime = UnixTime(1_790_000_100);
const TODAY: &str = "2026-09-21";
/// Claims that each set of policies is asked about.
const QUESTIONS: usize = 64;

#[test]
fn the_index_and_the_compiler_decide_as_the_rules_say() {
    #[allow(clippy::disallowed_methods, reason = "how much to ask is for who runs it")]
    let sets = std::env::var("COUNTERSIGN_MODEL_SETS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let directory = tempfile::tempdir().unwrap();
    let issuers = issuers(directory.path());
    let mut runner = TestRunner::new(Config { cases: sets, max_global_rejects: sets * 4, ..Config::default() });
    let admitted = Cell::new(0_usize);
    let strategy = (prop::collection::vec(policy(), 1..24), prop::collection::vec((claims(), wanted()), QUESTIONS));
    let outcome = runner.run(&strategy, |(mut policies, questions)| {
        number(&mut policies);
        let set =
            load(directory.path(), &policies, &issuers).map_err(|faults| TestCaseError::reject(faults.to_string()))?;
        for (claims, wanted) in &questions {
            let expected = reference::decide(&policies, claims, wanted.as_deref(), TODAY);
            let found = decide(&set, claims, wanted.as_deref());
            let agree = match (&expected, &found) {
                (Outcome::Refused(causes), Outcome::Refused(cause)) => cause.is_subset(causes),
                (expected, found) => expected == found,
            };
            admitted.set(admitted.get() + usize::from(matches!(expected, Outcome::Admitted { .. })));
            prop_assert!(
                agree,
                "claims {claims:?}, wanted {wanted:?}: the rules say {expected:?}, the engine {found:?}"
            );
        }
        Ok(())
    });
    outcome.unwrap();
    // The questions would prove little if everything were refused.
    let admitted = admitted.get();
    assert!(admitted > sets as usize, "only {admitted} of {} questions were admitted", sets as usize * QUESTIONS);
}

#[test]
fn every_overlap_that_is_reported_is_shown_by_claims_that_both_policies_admit() {
    let directory = tempfile::tempdir().unwrap();
    let issuers = issuers(directory.path());
    let mut runner = TestRunner::new(Config { cases: 150, max_global_rejects: 600, ..Config::default() });
    let shown = Cell::new(0_usize);
    let outcome = runner.run(&prop::collection::vec(policy(), 2..16), |mut policies| {
        number(&mut policies);
        let (_, faults) = read(directory.path(), &policies, &issuers);
        if faults.has_errors() {
            return Err(TestCaseError::reject("a faulty set"));
        }
        for finding in faults.iter().filter(|fault| fault.id() == "ambiguous-overlap") {
            let text = finding.to_string();
            let named: Vec<Value> = text.split('`').skip(1).step_by(2).take(2).map(Value::from).collect();
            let two: Vec<Value> = policies.iter().filter(|policy| named.contains(&policy["policy"])).cloned().collect();
            let witness = text.split_once("For instance ").and_then(|(_, rest)| rest.lines().next()).unwrap();
            let claims: Map<String, Value> = serde_json::from_str(witness).unwrap();
            let said = reference::decide(&two, &claims, None, TODAY);
            prop_assert_eq!(two.len(), 2);
            prop_assert_eq!(said, Outcome::Refused(["policy.ambiguous"].into()), "{}", text);
            shown.set(shown.get() + 1);
        }
        Ok(())
    });
    outcome.unwrap();
    assert!(shown.get() > 100, "only {} overlaps were found", shown.get());
}

fn decide(set: &PolicySet, claims: &Map<String, Value>, wanted: Option<&str>) -> Outcome {
    let wanted = wanted.map(|name| UserName::parse(name).unwrap());
    match judge(set, &IssuerName::parse("partner").unwrap(), claims, wanted.as_ref(), NOW) {
        Ok(judged) => Outcome::Admitted {
            user: judged.user.to_string(),
            scopes: judged.scopes.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
            policies: judged.policies.iter().map(ToString::to_string).collect(),
        },
        Err(refusal) => Outcome::Refused([refusal.cause()].into()),
    }
}

fn issuers(directory: &Path) -> Issuers {
    let text =
        "issuer: https://broker.example.com\nissuers:\n  partner: { kind: oidc, url: \"https://idp.example\" }\n";
    for name in ["policies", "services", "trust-bundles"] {
        std::fs::create_dir_all(directory.join(name)).unwrap();
    }
    std::fs::write(directory.join("countersign.yaml"), text).unwrap();
    let config = config::load(&directory.join("countersign.yaml"), &[]).unwrap();
    Issuers::new(&config.issuers, &config.issuer)
}

fn load(directory: &Path, policies: &[Value], issuers: &Issuers) -> Result<PolicySet, Diagnostics> {
    let (set, faults) = read(directory, policies, issuers);
    faults.or(set)
}

/// JSON is YAML.
fn read(directory: &Path, policies: &[Value], issuers: &Issuers) -> (PolicySet, Diagnostics) {
    let documents: Vec<String> = policies.iter().map(|policy| format!("{policy}\n")).collect();
    std::fs::write(directory.join("policies/all.yaml"), documents.join("---\n")).unwrap();
    let mut faults = Diagnostics::new();
    let set = PolicySet::load(&directory.join("policies"), issuers, NOW, &mut faults);
    (set, faults)
}

fn number(policies: &mut [Value]) {
    for (number, policy) in policies.iter_mut().enumerate() {
        policy["policy"] = json!(format!("p{number}"));
    }
}

fn policy() -> impl Strategy<Value = Value> {
    let user = prop_oneof![4 => Just("u"), 2 => Just("v"), 1 => Just("t-{a}"), 1 => Just("{/n/k}-{b}")];
    let condition = prop::option::weighted(
        0.3,
        prop::sample::select(vec!["claims.a == \"x\"", "has(claims.b)", "has(claims.b) && claims.b != \"y\""]),
    );
    let audiences = prop::option::weighted(0.2, prop::sample::subsequence(vec!["one", "two"], 1..=2));
    let more = (
        prop::sample::subsequence(vec!["service:a", "service:b"], 0..=2),
        prop::option::weighted(0.15, prop::sample::select(vec!["2026-09-20", "2026-09-21", "2027-01-01"])),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    );
    let lines = prop::collection::btree_map(key(), line(), 1..4);
    (lines, user, condition, audiences, more).prop_map(|(lines, user, condition, audiences, more)| {
        let (scopes, expires, is_shadow, copies) = more;
        let mut policy = json!({ "issuer": "partner", "match": lines, "user": user, "scopes": scopes });
        if let Some(condition) = condition {
            policy["condition"] = json!(condition);
        }
        if let Some(audiences) = audiences {
            policy["token"] = json!({ "audiences": audiences });
        }
        if let Some(expires) = expires {
            policy["expires"] = json!(expires);
        }
        if is_shadow {
            policy["mode"] = json!("shadow");
        }
        if copies {
            policy["attributes"] = json!({ "copy": "{c}" });
        }
        policy
    })
}

fn key() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just("a"), 2 => Just("b"), 1 => Just("c"), 1 => Just("/n/k"), 1 => Just("/l/0"), 1 => Just("l")]
}

fn line() -> impl Strategy<Value = Value> {
    let simple = prop_oneof![
        4 => scalar(),
        2 => prop::collection::vec(scalar(), 1..4).prop_map(Value::from),
        1 => any::<bool>().prop_map(|wanted| json!({ "present": wanted })),
        2 => prop::sample::select(vec!["x*", "x/*", "x/**", "x:*", "*y", "**/y", "long-beginning-*"]).prop_map(|glob| json!({ "glob": glob })),
        1 => prop::sample::select(vec!["x|y", "x+", "[xy]/.*"]).prop_map(|regex| json!({ "regex": regex })),
        1 => prop::sample::select(vec!["x", "x/", "long-beg", "long-beginning-z"]).prop_map(|prefix| json!({ "prefix": prefix })),
    ];
    simple.prop_flat_map(|simple| prop_oneof![5 => Just(simple.clone()), 1 => Just(json!({ "not": simple }))])
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => text().prop_map(Value::from),
        1 => prop::sample::select(vec![json!(1), json!(1.0), json!(2), json!(true), json!(false)]),
    ]
}

fn text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["x", "y", "xx", "x/y", "x/y/y", "x:y", "long-beginning-z", "long-beginning-zz", ""])
}

fn claims() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![
        8 => scalar(),
        1 => Just(Value::Null),
        2 => prop::collection::vec(scalar(), 0..3).prop_map(Value::from),
    ];
    let nested = prop_oneof![4 => text().prop_map(|text| json!({ "k": text })), 1 => text().prop_map(Value::from)];
    let list = prop::collection::vec(scalar(), 0..3).prop_map(Value::from);
    let names = prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), value, 0..=3);
    (names, prop::option::of(nested), prop::option::of(list)).prop_map(|(names, nested, list)| {
        let mut claims: Map<String, Value> = names.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        claims.extend(nested.map(|nested| ("n".to_owned(), nested)));
        claims.extend(list.map(|list| ("l".to_owned(), list)));
        claims
    })
}

fn wanted() -> impl Strategy<Value = Option<String>> {
    prop::option::weighted(0.2, prop::sample::select(vec!["u".to_owned(), "v".to_owned(), "t-x".to_owned()]))
}
