//! `countersign policy test`.

use serde_json::Value;

use crate::place::{Place, Ran};

const POLICY: &str = "policy: build
issuer: partner
match:
  sub: builder
  branch: main
condition: claims.level == 3
user: build-user
scopes: [\"service:a\"]
expires: 2030-06-30
";

fn cases(cases: &str) -> String {
    format!("given: {{ fixture: oidc, claims: {{ sub: builder, branch: main, level: 3 }} }}\ncases:\n{cases}")
}

const ADMITTED: &str = "  - { name: admitted, expect: { user: build-user }, now: 2030-06-30 }\n";
const ALL: &str = "  - { name: admitted, expect: { user: build-user }, now: 2030-06-30 }
  - { name: ended, expect: denied, now: 2030-07-01 }
  - { name: another, given: { claims: { sub: other } }, expect: denied }
  - { name: branch, given: { claims: { branch: dev } }, expect: denied }
  - { name: level, given: { claims: { level: 2 } }, expect: denied }
";

fn gaps(ran: &Ran) -> Vec<(u64, Option<String>)> {
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let gaps = report["coverage"]["gaps"].as_array().unwrap();
    gaps.iter().map(|gap| (gap["line"].as_u64().unwrap(), gap["part"].as_str().map(str::to_owned))).collect()
}

#[test]
fn a_failure_says_what_was_expected_what_came_and_which_line_of_the_nearest_policy_refused() {
    let other = "---\npolicy: farther\nissuer: partner\nmatch: { sub: x, branch: y, azp: z }\nuser: build-user\n";
    let policy = format!("{POLICY}{other}");
    let test = cases(
        "  - { name: on a branch, given: { claims: { branch: dev } }, expect: { user: build-user, scopes: [\"service:a\"] } }\n",
    );
    let ran = Place::with(&policy, &test).policy(&["test"]);
    assert_eq!(ran.code, Some(1));
    let expected = "FAILED  policies/p.test.yaml:3: on a branch
        expected: admitted as build-user with scopes [service:a]
        found:    denied (policy.none: no policy admits the claims)
        policies/p.yaml:5: build: branch must be \"main\", is \"dev\"

0 passed, 1 failed
";
    assert_eq!(ran.out, expected);
    let denied = cases("  - { name: no, expect: denied }\n");
    let ran = Place::with(&policy, &denied).policy(&["test"]);
    let found = "found:    admitted as build-user with scopes [service:a] by build (policies/p.yaml:1)";
    assert!(ran.out.contains(found), "{}", ran.out);
}

#[test]
fn a_line_is_covered_only_by_a_case_that_would_fail_without_it() {
    let covered = Place::with(POLICY, &cases(ALL));
    let ran = covered.policy(&["test", "--deny-uncovered", "--output", "json"]);
    assert_eq!((ran.code, gaps(&ran)), (Some(0), vec![]), "{}", ran.err);
    // Each case left out uncovers exactly its line.
    let parts = [(9, "expires"), (4, "sub"), (5, "branch"), (6, "condition")];
    for (index, (line, part)) in parts.into_iter().enumerate() {
        let fewer: Vec<&str> =
            ALL.lines().enumerate().filter(|(at, _)| *at != index + 1).map(|(_, case)| case).collect();
        let place = Place::with(POLICY, &cases(&(fewer.join("\n") + "\n")));
        let ran = place.policy(&["test", "--coverage", "--output", "json"]);
        assert_eq!((ran.code, gaps(&ran)), (Some(0), vec![(line, Some(part.to_owned()))]));
    }
    // Two lines that refuse: either could go.
    let both = ALL.replace("{ sub: other }", "{ sub: other, branch: dev }");
    let ran = Place::with(POLICY, &cases(&both)).policy(&["test", "--coverage", "--output", "json"]);
    assert_eq!(gaps(&ran), [(4, Some("sub".to_owned()))]);
}

#[test]
fn what_is_not_covered_is_listed_and_fails_only_when_asked_to() {
    let place =
        Place::with(POLICY, &cases("  - { name: another, given: { claims: { sub: other } }, expect: denied }\n"));
    let listed = place.policy(&["test", "--coverage"]);
    assert_eq!(listed.code, Some(0));
    let expected = "policies/p.yaml:1: build: no case is admitted by this policy
policies/p.yaml:5: build: no case would fail without `branch`
policies/p.yaml:6: build: no case would fail without `condition`
policies/p.yaml:9: build: no case would fail without `expires`
covered: 0 of 1 policies, 1 of 4 lines
";
    assert!(listed.out.ends_with(expected), "{}", listed.out);
    let denied = place.policy(&["test", "--deny-uncovered"]);
    assert_eq!((denied.code, denied.err.contains("4 things are not covered")), (Some(1), true), "{}", denied.err);
}

#[test]
fn named_files_are_asked_about_the_policies_beside_them() {
    let place = Place::shipped();
    let ran = place.policy(&["test", "--deny-uncovered", "policies/fly-payments.test.yaml"]);
    assert!(ran.code == Some(0) && ran.out.contains("covered: 1 of 1 policies, 2 of 2 lines"), "{}", ran.out);
}

#[test]
fn every_line_of_every_shipped_policy_is_covered() {
    let ran = Place::shipped().policy(&["test", "--deny-uncovered"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
}

#[test]
fn the_request_may_name_a_user_and_a_denial_its_cause() {
    let second = "---\npolicy: second\nissuer: partner\nmatch: { sub: builder }\nuser: other-user\n";
    let test = cases(
        "  - { name: two users, now: 2030-01-01, expect: { denied: policy.ambiguous } }
  - { name: one of them, now: 2030-01-01, client_id: other-user, expect: { user: other-user } }
  - { name: neither, now: 2030-01-01, client_id: nobody, expect: { denied: policy.none } }
  - { name: wrongly, now: 2030-01-01, expect: { denied: policy.none } }
",
    );
    let ran = Place::with(&format!("{POLICY}{second}"), &test).policy(&["test"]);
    assert!(ran.out.contains("3 passed, 1 failed"), "{}", ran.out);
    assert!(
        ran.out.contains("expected: denied (policy.none)\n        found:    denied (policy.ambiguous: "),
        "{}",
        ran.out
    );
}

#[test]
fn a_policy_in_shadow_mode_is_tested_by_whom_it_would_admit() {
    let policy = format!("{POLICY}mode: shadow\n");
    let shadow = ALL.replace("{ user: build-user }", "{ shadow: build-user }");
    let ran = Place::with(&policy, &cases(&shadow)).policy(&["test", "--coverage", "--output", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&report["failed"], report["coverage"]["gaps"][0].get("part").is_some()), (&Value::from(0), true));
    let ran = Place::with(&policy, &cases(ADMITTED)).policy(&["test"]);
    assert!(
        ran.out.contains("found:    denied (policy.none: no policy admits the claims); in shadow mode build-user"),
        "{}",
        ran.out
    );
}

#[test]
fn an_issuer_is_named_where_several_share_the_iss() {
    let place = Place::with(
        "policy: blue\nissuer: blue\nmatch: { sub: \"system:serviceaccount:a:b\" }\nuser: blue-user\n---\npolicy: green\nissuer: green\nmatch: { sub: \"system:serviceaccount:a:b\" }\nuser: green-user\n",
        "given: { fixture: kubernetes, claims: { iss: https://kubernetes.default.svc, sub: \"system:serviceaccount:a:b\" } }
cases:
  - { name: green, given: { issuer: green }, expect: { user: green-user } }
  - { name: blue, given: { issuer: blue }, expect: { user: blue-user } }
  - { name: red, given: { issuer: red }, expect: denied }
",
    );
    let clusters = "issuer: https://broker.example.com
listen: 127.0.0.1:8443
issuers:
  blue: { kind: kubernetes, url: https://kubernetes.default.svc, keys: { url: https://blue.example/jwks } }
  green: { kind: kubernetes, url: https://kubernetes.default.svc, keys: { url: https://green.example/jwks } }
";
    place.write("countersign.yaml", clusters);
    let ran = place.policy(&["test"]);
    assert!(
        ran.out.contains("2 passed, 1 failed") && ran.out.contains("no issuer `red` is configured"),
        "{}{}",
        ran.out,
        ran.err
    );
}

#[test]
fn an_admitted_case_has_claims_that_the_platform_can_have_signed() {
    let policy = "policy: p\nissuer: gitlab\nmatch: { project_id: \"20411\" }\nuser: u\n";
    let test =
        "cases:\n  - { name: a person, given: { fixture: gitlab, claims: { job_id: null } }, expect: { user: u } }\n";
    let ran = Place::with(policy, test).policy(&["test"]);
    assert!(
        ran.out.contains("found:    refused before any policy: ") && ran.out.contains("a person's token"),
        "{}",
        ran.out
    );
}

#[test]
fn what_a_test_file_cannot_say_is_reported_with_its_place() {
    let faults = [
        ("  - { name: a, expect: denied, wanted: x }", "3:32: error[unknown-field]"),
        ("  - { name: a, expect: denied, now: tomorrow }", "3:37: error[value]"),
        ("  - { name: a, expect: { denied: policy.nome } }", "3:34: error[value]"),
        ("  - { name: a, expect: { user: a, denied: policy.none } }", "3:26: error[conflict]"),
        ("  - { name: a, expect: {} }", "error[missing-field]"),
        ("  - { name: a, expect: { denied: policy.none, scopes: [s] } }", "3:47: error[conflict]"),
        ("  - { name: a, given: { fixtures: oidc }, expect: denied }", "3:25: error[unknown-field]"),
        ("  - { name: a, given: { claims: { /groups/7: x } }, expect: denied }", "3:35: error[value]"),
        ("  - { name: a, client_id: \"a b\", expect: denied }", "3:27: error[value]"),
    ];
    for (case, expected) in faults {
        let ran = Place::with(POLICY, &cases(&format!("{case}\n"))).policy(&["test"]);
        assert!(ran.code == Some(1) && ran.err.contains(expected), "{case}\n{}", ran.err);
    }
}

#[test]
fn results_are_for_programs_too() {
    let place = Place::with(POLICY, &cases(ADMITTED));
    let report: Value = serde_json::from_str(&place.policy(&["test", "--output", "json"]).out).unwrap();
    let case = serde_json::json!({ "file": "policies/p.test.yaml", "line": 3, "name": "admitted", "passed": true });
    assert_eq!(report, serde_json::json!({ "passed": 1, "failed": 0, "cases": [case] }));
    let yaml = place.policy(&["test", "--output", "yaml"]).out;
    assert!(yaml.starts_with("passed: 1\nfailed: 0\ncases:\n"), "{yaml}");
}

#[test]
fn junit_results_are_xml_whatever_a_case_is_called() {
    let name = r#"<a href=\"x\">&amp; ]]> \u0001\uFFFE café \uD83D"#.replace("\\uD83D", "\u{1f600}");
    let fails = format!(
        "  - {{ name: \"{name}\", given: {{ claims: {{ sub: \"</failure>\" }} }}, expect: {{ user: build-user }} }}\n"
    );
    let place = Place::with(POLICY, &cases(&format!("{ADMITTED}{fails}")));
    place.write("policies/broken.test.yaml", "cases: [\n");
    let ran = place.policy(&["test", "--junit", "out.xml", "--deny-uncovered"]);
    assert_eq!(ran.code, Some(1));
    let text = place.read("out.xml");
    let document = roxmltree::Document::parse(&text).unwrap();
    let suites: Vec<_> = document.descendants().filter(|node| node.has_tag_name("testsuite")).collect();
    let names: Vec<_> = suites.iter().map(|suite| suite.attribute("name").unwrap()).collect();
    assert_eq!(names, ["policies/p.test.yaml", "test files", "coverage"]);
    let counts: Vec<_> =
        suites.iter().map(|suite| ["tests", "failures", "errors"].map(|name| suite.attribute(name).unwrap())).collect();
    assert_eq!(counts, [["2", "1", "0"], ["1", "0", "1"], ["4", "4", "0"]]);
    let failed = document.descendants().find(|node| node.has_tag_name("failure")).unwrap();
    let shown = failed.parent().unwrap().attribute("name").unwrap();
    assert_eq!(shown, "<a href=\"x\">&amp; ]]> \\u{1}\\u{fffe} café \u{1f600}");
    assert!(failed.text().unwrap().contains("sub must be \"builder\", is \"</failure>\""), "{text}");
    assert_eq!(failed.attribute("message"), Some("expected: admitted as build-user"));
}
