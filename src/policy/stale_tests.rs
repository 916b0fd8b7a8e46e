use serde_json::json;

use super::super::tests::{NOW, claims, configured, load, policy};
use super::*;

fn set(policies: &[String]) -> PolicySet {
    let (set, faults) = load(&[("p.yaml", &policies.join("---\n"))]);
    assert!(!faults.has_errors(), "{faults}");
    set
}

/// What has drifted after tokens with these names and ids of a repository.
fn drifted(matching: &str, seen: &[(&str, &str)]) -> Vec<String> {
    let (set, issuers) = (set(&[policy("deploy", "acme-ghes", matching, "user: u")]), configured());
    let mut usage = Usage::of(&set, &issuers);
    for (index, (name, id)) in seen.iter().enumerate() {
        let members = json!({ "repository": name, "repository_id": id, "sub": format!("repo:{name}:ref:x") });
        let kept = KeptClaims::whole(claims(&members));
        let (time, trace_id) = (format!("t{index}"), format!("trace-{index}"));
        let seen = Use { issuer: "acme-ghes", policies: &[], claims: Some(&kept), time: &time, trace_id: &trace_id };
        usage.add(seen);
    }
    usage.drifted().into_iter().map(|drift| format!("{} ({})", drift.detail, drift.trace_id)).collect()
}

const BOTH: &str = "{ repository: acme/shop, repository_id: \"1\" }";

#[test]
fn a_renamed_repository_and_a_name_given_to_somebody_else_are_told_apart() {
    assert_eq!(drifted(BOTH, &[("acme/shop", "1"), ("other/x", "2")]), [""; 0]);
    let renamed =
        "renamed: tokens with repository_id 1 now say repository acme/store, the policy says acme/shop (trace-1)";
    assert_eq!(drifted(BOTH, &[("acme/shop", "1"), ("acme/store", "1")]), [renamed]);
    assert_eq!(drifted(BOTH, &[("acme/store", "1"), ("acme/shop", "1")]), [""; 0], "it was renamed back");
    let given = "given to somebody else: tokens that say repository acme/shop have repository_id 9, the policy pins 1 (trace-1)";
    assert_eq!(drifted(BOTH, &[("acme/shop", "1"), ("acme/shop", "9"), ("acme/shop", "1")]), [given]);
}

#[test]
fn a_name_alone_that_two_had_asks_for_an_id() {
    let name = "{ repository: acme/shop }";
    let several =
        "had by several: tokens that say repository acme/shop have repository_id 1, 2; pin one of them (trace-1)";
    assert_eq!(drifted(name, &[("acme/shop", "1"), ("acme/shop", "2")]), [several]);
    assert_eq!(drifted(name, &[("acme/shop", "1"), ("acme/shop", "1")]), [""; 0]);
    assert_eq!(drifted("{ repository_id: \"1\" }", &[("a/b", "1"), ("c/d", "1")]), [""; 0], "an id alone cannot drift");
}

#[test]
fn lists_of_pins_are_one_pin_and_memory_stays_small() {
    let lists = "{ repository: [acme/shop, acme/store], repository_id: [\"1\", \"2\"] }";
    assert_eq!(drifted(lists, &[("acme/shop", "1"), ("acme/store", "2"), ("acme/store", "1")]), [""; 0]);
    let mut partners = Partners::new();
    for index in 0..100 {
        latest(&mut partners, Seen { value: index.to_string(), time: String::new(), trace_id: String::new() });
    }
    assert_eq!((partners.len(), partners.last().unwrap().value.as_str()), (PARTNERS, "99"));
}

#[test]
fn a_policy_that_admitted_nothing_is_unused_and_says_when_that_is_no_wonder() {
    let set = set(&[
        policy("used", "partner", "{ sub: a }", "user: a"),
        policy("shadow-used", "partner", "{ sub: b }", "user: b\nmode: shadow"),
        policy("unused", "partner", "{ sub: c }", "user: c"),
        policy("ended", "partner", "{ sub: d }", "user: d\nexpires: 2020-01-01"),
        policy("quiet", "partner", "{ sub: e }", "user: e\nmode: shadow"),
        policy("off", "old", "{ sub: f }", "user: f"),
    ]);
    let issuers = configured();
    let mut usage = Usage::of(&set, &issuers);
    let policies = ["used", "shadow-used", "gone-since"];
    usage.add(Use { issuer: "partner", policies: &policies, claims: None, time: "t", trace_id: "x" });
    let unused = usage.unused(&issuers, NOW);
    let mut rows: Vec<_> = unused.iter().map(|row| (row.policy.as_str(), row.because)).collect();
    rows.sort_unstable();
    let expected = [
        ("ended", Some("it has ended")),
        ("off", Some("its issuer is disabled")),
        ("quiet", Some("it is in shadow mode, and would have admitted nothing")),
        ("unused", None),
    ];
    assert_eq!(rows, expected);
}
