//! Whatever an operator's files or a token say, reading and deciding come to an answer: the functions of the fuzz targets
//! (`fuzz/`) over random bytes, over words of each language put together at random, and over changed real files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

#[path = "../fuzz/src/lib.rs"]
mod entry;
#[path = "../benches/condition/expressions.rs"]
mod expressions;
#[path = "../benches/condition/tokens.rs"]
mod tokens;

use std::time::Duration;

use countersign::condition::Condition;
use proptest::prelude::*;

const POLICY: &str = include_str!("../policies/github-deploy.yaml");
const TEST_FILE: &str = include_str!("../policies/github-deploy.test.yaml");
const CLAIMS: &str = include_str!("../fixtures/kubernetes/claims.json");

/// Words of policies, their tests, templates and patterns.
const YAML: [&str; 40] = [
    "policy",
    "issuer",
    "match",
    "condition",
    "user",
    "scopes",
    "token",
    "cases",
    "given",
    "expect",
    "fixture",
    "github",
    "partner",
    "denied",
    "sub",
    "glob",
    "regex",
    "not",
    "present",
    "prefix",
    ": ",
    ":",
    "\n",
    "\n  ",
    "- ",
    "{ ",
    " }",
    "[",
    "]",
    ", ",
    "\"",
    "'",
    "|",
    "#",
    "~",
    "/kubernetes.io/x",
    "{a}",
    "**",
    "---\n",
    "true",
];

/// Words of conditions.
const CEL: [&str; 44] = [
    "claims",
    ".",
    "a",
    "n",
    "l",
    "o",
    "x",
    "unknown",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "'",
    "\"z\"",
    "1",
    "-1",
    "1.5",
    "null",
    "true",
    " == ",
    " != ",
    " < ",
    " >= ",
    " && ",
    " || ",
    "!",
    " + ",
    " - ",
    " in ",
    " ? ",
    ".exists(x, ",
    ".map(x, ",
    ".size()",
    ".matches(\"",
    "has(",
    "string(",
    "\\",
    "é",
    "\n",
];

/// Some of these words, in any order.
fn words(of: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(of), 0..40).prop_map(|words| words.concat().into_bytes())
}

/// A real text with a piece of it replaced.
fn changed(text: &'static str, of: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    (any::<prop::sample::Index>(), 0_usize..20, words(of)).prop_map(move |(start, length, piece)| {
        let start = start.index(text.len());
        let end = (start + length).min(text.len());
        [&text.as_bytes()[..start], &piece, &text.as_bytes()[end..]].concat()
    })
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 0..200), ".{0,120}".prop_map(String::into_bytes)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_policy_file_is_read_to_its_faults_or_decided(data in prop_oneof![bytes(), words(&YAML), changed(POLICY, &YAML)]) {
        entry::policy(&data);
    }

    #[test]
    fn any_template_makes_a_user_name_or_none(data in prop_oneof![bytes(), words(&["{", "}", "a", "b", "/b/c/0", "-", " "])]) {
        entry::template(&data);
    }

    #[test]
    fn any_pattern_compiles_or_is_a_fault(data in prop_oneof![bytes(), words(&["*", "a", "/", ":", "(", ")", "|", "\n", "[", "]", "\\"])]) {
        entry::pattern(&data);
    }

    #[test]
    fn any_condition_is_a_fault_or_quick_by_its_own_account(data in prop_oneof![bytes(), words(&CEL)]) {
        entry::condition(&data);
    }

    #[test]
    fn any_claims_are_refused_or_decided(data in prop_oneof![bytes(), changed(CLAIMS, &["{", "}", "[", "]", "\"", ",", ":", "1", "e9", "-", "\\u0000"])]) {
        entry::claims(&data);
    }

    #[test]
    fn any_test_file_is_read_and_run(data in prop_oneof![bytes(), words(&YAML), changed(TEST_FILE, &YAML)]) {
        entry::test_file(&data);
    }
}

#[test]
fn every_made_up_condition_that_loads_comes_to_an_answer_over_the_largest_tokens() {
    let tokens = tokens::worst();
    let mut loaded = 0;
    for (number, source) in expressions::MadeUp::new(7).take(1_500).chain(expressions::written()).enumerate() {
        let Ok(condition) = Condition::compile(&source, &["claims"]) else { continue };
        assert!(condition.worst_case() <= Duration::from_millis(1), "{source}");
        loaded += 1;
        let (_, token) = &tokens[number % tokens.len()];
        let first = condition.holds_over("claims", token);
        assert_eq!(first, condition.holds_over("claims", token), "{source}");
    }
    assert!(loaded > 800, "{loaded} of them load");
}
