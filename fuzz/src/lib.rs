//! Where text from outside comes in: one function for each kind of it, which must not panic, and checks what always holds.
//!
//! The fuzz targets call them with what the fuzzer makes, `tests/hostile_input.rs` with what proptest makes.

use std::sync::LazyLock;

use countersign::condition::{Condition, Schema, Type, Unknown, Values};
use countersign::config;
use countersign::diagnostic::{Diagnostics, Source};
use countersign::issuer::Issuers;
use countersign::kind::IssuerKind;
use countersign::policy::{PolicySet, TestBench, TestCases, explain, judge};
use countersign::vocab::UnixTime;
use serde_json::{Map, Value, json};

const NOW: UnixTime = UnixTime(1_790_000_100);

/// Longest time that a condition may take, by its own account.
const MOST_MICROSECONDS: u128 = 1_000;

/// An issuer with many claims, an open one, and one with claims inside claims.
static ISSUERS: LazyLock<Issuers> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["policies", "services", "trust-bundles"] {
        std::fs::create_dir(directory.path().join(name)).expect("a directory");
    }
    let text = "issuer: https://broker.example.com\nissuers:\n  github: { kind: github-actions }\n  partner: { kind: oidc, url: \
                \"https://idp.partner.example\" }\n  cluster: { kind: kubernetes, url: \"https://cluster.example\" }\n";
    let file = directory.path().join("countersign.yaml");
    std::fs::write(&file, text).expect("a file");
    let config = config::load(&file, &[]).expect("a configuration without faults");
    Issuers::new(&config.issuers, &config.issuer)
});

/// A few policies of the open issuer with everything that a policy may have.
static POLICIES: LazyLock<PolicySet> = LazyLock::new(|| {
    let text = "policy: a\nissuer: partner\nmatch: { sub: { present: true }, /realm/roles: [deployer, reader], group: { glob: \
                \"acme/*\" } }\nuser: \"p-{sub}\"\nattributes: { run: \"{/run/id}\" }\n---\npolicy: b\nissuer: partner\nmatch: { sub: { \
                regex: \"[a-z]+\" }, n: { not: 5 } }\ncondition: claims.groups.exists(g, g.startsWith(\"a\")) || claims.n < \
                7\nuser: fixed\n";
    let mut faults = Diagnostics::new();
    let set = PolicySet::of_text(&Source::new("policies/a.yaml", text), &ISSUERS, NOW, &mut faults);
    assert!(!faults.has_errors(), "{faults}");
    set
});

/// A policy file: read, and what it admits decided and explained.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let set = read(text);
    for name in ["github-actions", "kubernetes", "oidc"] {
        let fixture = IssuerKind::from_name(name).expect("a kind").fixture.claims;
        decide(&set, &object(fixture));
    }
}

/// A template of a user's name: whom it makes has a name.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let set = read(&format!("policy: p\nissuer: partner\nmatch: {{ sub: x }}\nuser: {}\n", json!(text)));
    decide(&set, &object("{ \"sub\": \"x\", \"a\": \"1\", \"b\": { \"c\": [true, 2] }, \"empty\": \"\" }"));
}

/// A glob or a regular expression, and after a line break a value. A glob without a star matches itself only.
pub fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, value) = text.split_once('\n').unwrap_or((text, text));
    for matcher in ["glob", "regex", "prefix"] {
        let line = format!("{{ {matcher}: {} }}", json!(pattern));
        let set = read(&format!("policy: p\nissuer: partner\nmatch: {{ sub: x, name: {line} }}\nuser: u\n"));
        let claims = json!({ "sub": "x", "name": value });
        let admitted = decide(&set, claims.as_object().expect("an object"));
        if matcher == "glob" && !pattern.contains('*') && !set.is_empty() {
            assert_eq!(admitted, pattern == value, "{pattern:?} {value:?}");
        }
    }
}

/// A condition, and after a line break that an object follows the claims. One that loads tells that it is quick, and
/// means the same for a decision and for the gateway.
pub fn condition(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (source, claims) = match text.find("\n{") {
        Some(end) => (text.get(..end).unwrap_or_default(), text.get(end..).unwrap_or_default()),
        None => (text, "{}"),
    };
    let condition = match Condition::compile(source, &["claims"]) {
        Ok(condition) => condition,
        Err(fault) => {
            let span = fault.span().unwrap_or_default();
            assert!(source.get(span).is_some(), "{source:?} {fault}");
            return;
        }
    };
    assert!(condition.worst_case().as_micros() <= MOST_MICROSECONDS, "{source}");
    for fault in condition.check(&Anything) {
        assert!(source.get(fault.span.clone()).is_some(), "{source:?} {fault:?}");
    }
    let Ok(claims) = countersign::json::object(claims.as_bytes()) else { return };
    let decided = condition.holds_over("claims", &claims);
    let whole = condition.holds(&Values::new(vec![("claims", Value::Object(claims))]));
    // What it does not read may be too much for the gateway's way, which converts everything.
    assert!(whole.is_err() || decided == whole, "{source}: {decided:?} {whole:?}");
}

/// Claims: read strictly, and written again they are the same; decided over.
pub fn claims(data: &[u8]) {
    let Ok(claims) = countersign::json::object(data) else { return };
    let written = serde_json::to_vec(&claims).expect("JSON");
    assert_eq!(countersign::json::object(&written).as_ref(), Ok(&claims));
    decide(&POLICIES, &claims);
}

/// A policy test file: read and run.
pub fn test_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut faults = Diagnostics::new();
    let cases = TestCases::of(&[Source::new("policies/a.test.yaml", text)], &mut faults);
    let _ = faults.to_string();
    let report = TestBench::new(&POLICIES, &ISSUERS, NOW).run(&cases);
    assert_eq!(report.cases.len(), report.cases.iter().filter(|case| case.passed).count() + report.failed().count());
}

/// Reads a policy file; one with an error makes no policies.
fn read(text: &str) -> PolicySet {
    let mut faults = Diagnostics::new();
    let set = PolicySet::of_text(&Source::new("policies/p.yaml", text), &ISSUERS, NOW, &mut faults);
    let _ = faults.to_string();
    if faults.has_errors() { PolicySet::default() } else { set }
}

/// Whether the policies of some issuer admit the claims; what is explained comes to the same.
fn decide(set: &PolicySet, claims: &Map<String, Value>) -> bool {
    let mut admitted = false;
    for issuer in ISSUERS.iter() {
        let judged = judge(set, issuer.name(), claims, None, NOW);
        let explained = explain(set, issuer, claims, None, NOW);
        assert_eq!(judged.is_ok(), explained.user.is_some(), "{judged:?}");
        admitted |= judged.is_ok();
    }
    admitted
}

fn object(text: &str) -> Map<String, Value> {
    countersign::json::object(text.as_bytes()).expect("an object")
}

/// A few known claims; of all others nothing is known.
struct Anything;

impl Schema for Anything {
    fn type_of(&self, path: &[&str]) -> Result<Type, Unknown> {
        Ok(match path {
            ["claims"] | ["claims", "o"] => Type::Object,
            ["claims", "a" | "b"] => Type::Text,
            ["claims", "n"] => Type::Number,
            ["claims", "l"] => Type::List(Box::new(Type::Text)),
            ["claims", "unknown"] => {
                return Err(Unknown { id: "claim-name", message: "no such claim".into(), fix: "none".into() });
            }
            _ => Type::Any,
        })
    }
}
