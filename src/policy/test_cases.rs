//! `NAME.test.yaml`: what a policy set must admit and must not, on real claim shapes.
//!
//! A case takes the claims of a built-in fixture, changes some, and asks the same evaluation that a decision uses.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use super::PolicySet;
use super::decide::judge;
use super::explain::explain;
use crate::diagnostic::{Diagnostic, Diagnostics, Source};
use crate::issuer::{Issuer, Issuers};
use crate::kind::IssuerKind;
use crate::vocab::{Scope, Scopes, UnixTime, UserName};
use crate::yaml::{self, Fields, Node, Yaml};

/// How one case went.
#[derive(Debug, Clone, Serialize)]
pub struct CaseResult {
    /// The test file.
    pub file: PathBuf,
    /// The case's name.
    pub name: String,
    /// What was expected and what was found, when they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// How all cases went.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TestReport {
    /// Every case, in the files' order.
    pub cases: Vec<CaseResult>,
}

impl TestReport {
    /// The cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = &CaseResult> {
        self.cases.iter().filter(|case| case.failure.is_some())
    }
}

/// The built-in fixtures' names: one a kind.
pub fn fixture_names() -> impl Iterator<Item = &'static str> {
    IssuerKind::ALL.iter().map(|kind| kind.name())
}

/// Runs the cases of these files; a file that is no test file is reported.
#[must_use]
pub fn run_tests(
    files: &[PathBuf],
    policies: &PolicySet,
    issuers: &Issuers,
    now: UnixTime,
    faults: &mut Diagnostics,
) -> TestReport {
    let mut report = TestReport::default();
    let runner = Runner { policies, issuers, now };
    for file in files {
        let Some(source) = Source::read(file, faults) else { continue };
        for document in yaml::documents(&source, faults) {
            let Some(fields) = Fields::open(&source, &document, "a test file", &["cases"], faults) else { continue };
            fields.require("cases", "cases: [{ name: …, given: …, expect: … }]", faults);
            match fields.node("cases").map(|node| &node.value) {
                Some(Yaml::Sequence(cases)) => {
                    report.cases.extend(cases.iter().filter_map(|case| runner.case(&source, case, faults)));
                }
                Some(_) => faults.push(Diagnostic::error(&source, &document.place, "type", "`cases` must be a list")),
                None => {}
            }
        }
    }
    report
}

enum Expected {
    Denied,
    Admitted { user: UserName, scopes: Option<Scopes> },
}

struct Runner<'a> {
    policies: &'a PolicySet,
    issuers: &'a Issuers,
    now: UnixTime,
}

impl Runner<'_> {
    fn case(&self, source: &Source, node: &Node, faults: &mut Diagnostics) -> Option<CaseResult> {
        let fields = Fields::open(source, node, "a case", &["name", "given", "expect"], faults)?;
        fields.require("given", "given: { fixture: github-actions, claims: { ref: refs/heads/dev } }", faults);
        fields.require("expect", "expect: denied, or expect: { user: …, scopes: […] }", faults);
        let name = fields.parse("name", faults, |text| Ok::<_, String>(text.to_owned())).unwrap_or_default();
        let claims = given(source, fields.node("given")?, faults)?;
        let expected = expected(source, fields.node("expect")?, faults)?;
        let Some(issuer) = self.issuer(source.path(), &claims) else {
            let failure =
                "no configured issuer has these claims' iss, and no policy stands beside this file".to_owned();
            return Some(CaseResult { file: source.path().to_owned(), name, failure: Some(failure) });
        };
        let failure = self.compare(issuer, &claims, &expected);
        Some(CaseResult { file: source.path().to_owned(), name, failure })
    }

    /// The issuer of the claims' `iss`, else that of the policy beside the test.
    fn issuer(&self, file: &Path, claims: &Map<String, Value>) -> Option<&Issuer> {
        let named = self.issuers.by_claims(claims);
        if let [issuer] = named {
            return Some(issuer);
        }
        let name = file.file_name()?.to_str()?;
        let beside = file.with_file_name(name.replace(".test.", "."));
        let policy = self.policies.iter().find(|policy| *policy.file == *beside);
        let of_policy = policy.and_then(|policy| self.issuers.by_name(policy.issuer().as_str()));
        // Clusters that share the iss: the policy beside the test says which is meant.
        of_policy.or(named.first()).map(|issuer| &**issuer)
    }

    fn compare(&self, issuer: &Issuer, claims: &Map<String, Value>, expected: &Expected) -> Option<String> {
        let outcome = judge(self.policies, issuer.name(), claims, None, self.now).ok();
        let found = outcome.map(|judged| (judged.user, judged.scopes));
        let describe = |user: &UserName, scopes: &Scopes| format!("{user} with scopes [{}]", scopes.to_wire());
        match (expected, found) {
            (Expected::Denied, None) => None,
            (Expected::Denied, Some((user, scopes))) => {
                Some(format!("expected: denied\nfound:    admitted as {}", describe(&user, &scopes)))
            }
            (Expected::Admitted { user, .. }, None) => {
                let why = explain(self.policies, issuer, claims, None, self.now).nearest();
                Some(format!("expected: admitted as {user}\nfound:    {why}"))
            }
            (Expected::Admitted { user, scopes }, Some((found_user, found_scopes))) => {
                let same = *user == found_user && scopes.as_ref().is_none_or(|scopes| *scopes == found_scopes);
                let wanted = scopes.as_ref().map_or(user.to_string(), |scopes| describe(user, scopes));
                (!same).then(|| format!("expected: {wanted}\nfound:    {}", describe(&found_user, &found_scopes)))
            }
        }
    }
}

fn given(source: &Source, node: &Node, faults: &mut Diagnostics) -> Option<Map<String, Value>> {
    let fields = Fields::open(source, node, "`given`", &["fixture", "claims"], faults)?;
    let find = |name: &str| {
        let known: Vec<&str> = fixture_names().collect();
        IssuerKind::from_name(name)
            .map(|kind| kind.fixture.claims)
            .ok_or_else(|| format!("there is no fixture of this name; fixtures: {}", known.join(", ")))
    };
    let mut claims = match fields.parse("fixture", faults, find) {
        Some(text) => crate::json::object(text.as_bytes()).ok()?,
        None if fields.entry("fixture").is_some() => return None,
        None => Map::new(),
    };
    if let Some(node) = fields.node("claims") {
        let Value::Object(changes) = to_json(node) else {
            faults.push(Diagnostic::error(source, &node.place, "type", "`claims` must be a mapping"));
            return None;
        };
        for (name, value) in changes {
            if value.is_null() {
                claims.remove(&name)
            } else {
                claims.insert(name, value)
            };
        }
    }
    Some(claims)
}

fn to_json(node: &Node) -> Value {
    match &node.value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => Value::Bool(*value),
        Yaml::Int(number) => Value::from(*number),
        Yaml::Float(number) => Value::from(*number),
        Yaml::String(text) => Value::String(text.clone()),
        Yaml::Sequence(items) => Value::Array(items.iter().map(to_json).collect()),
        Yaml::Mapping(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), to_json(&entry.value))).collect())
        }
    }
}

fn expected(source: &Source, node: &Node, faults: &mut Diagnostics) -> Option<Expected> {
    if node.value == Yaml::String("denied".to_owned()) {
        return Some(Expected::Denied);
    }
    let fields = Fields::open(source, node, "`expect` (`denied`, or a user)", &["user", "scopes"], faults)?;
    fields.require("user", "user: the name the claims should become", faults);
    let scopes = fields.parse_list("scopes", faults, Scope::parse).map(Scopes::new);
    Some(Expected::Admitted { user: fields.parse("user", faults, UserName::parse)?, scopes })
}
