//! `NAME.test.yaml`: what a policy set must admit and must not, on real claim shapes.
//!
//! In: test files and a policy set. Out: what each case expected and found, and which lines of the policies no case would
//! miss. A case asks the same evaluation that a decision uses. Not here: how a report is printed (`cli`).

mod case;
mod coverage;
mod given;
mod places;

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value};

use super::decide::{admitted, terms};
use super::explain::explain;
use super::{Policy, PolicyRefusal, PolicySet, ShadowVerdict};
use crate::diagnostic::{Diagnostics, Source};
use crate::issuer::{Issuer, Issuers};
use crate::kind::IssuerKind;
use crate::vocab::{PolicyName, Scopes, UnixTime, UserName};
pub(super) use case::{CASE_FIELDS, CAUSES, EXPECT_FIELDS, FILE_FIELDS, GIVEN_FIELDS};
use case::{Case, Expected};
pub use coverage::{Coverage, Gap};
use places::Places;

/// Failing lines of the nearest policy that a failure shows.
const SHOWN_MISSES: usize = 3;

/// How one case went.
#[derive(Debug, Clone, Serialize)]
pub struct CaseResult {
    /// The test file.
    pub file: PathBuf,
    /// Where in it the case begins.
    pub line: usize,
    /// The case's name.
    pub name: String,
    /// Whether what was expected was found.
    pub passed: bool,
    /// What was expected and what was found, when they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Why a case failed.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// What the case expects.
    pub expected: String,
    /// What came.
    pub found: String,
    /// The lines that refuse the claims, of the policy that is nearest to admitting them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nearest: Vec<Miss>,
}

/// A line of a policy that does not hold.
#[derive(Debug, Clone, Serialize)]
pub struct Miss {
    /// Which policy.
    pub policy: PolicyName,
    /// Where it is written.
    pub file: PathBuf,
    /// Which line of that file.
    pub line: usize,
    /// The claim, or `condition`, `expires`, `user`.
    pub part: String,
    /// What the policy wants.
    pub expected: String,
    /// What the claims have.
    pub found: String,
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

/// The cases of some files, ready to run.
#[derive(Debug)]
pub struct TestCases(Vec<Case>);

impl TestCases {
    /// Reads these files; what is wrong in them is reported, and left out.
    #[must_use]
    pub fn read(files: &[PathBuf], faults: &mut Diagnostics) -> TestCases {
        let sources = files.iter().filter_map(|file| Source::read(file, faults)).collect::<Vec<_>>();
        TestCases::of(&sources, faults)
    }

    /// The same, of texts.
    #[must_use]
    pub fn of(sources: &[Source], faults: &mut Diagnostics) -> TestCases {
        TestCases(sources.iter().flat_map(|source| case::read(source, faults)).collect())
    }
}

/// What cases are run against.
#[derive(Debug, Clone, Copy)]
pub struct TestBench<'a> {
    policies: &'a PolicySet,
    issuers: &'a Issuers,
    now: UnixTime,
}

impl<'a> TestBench<'a> {
    /// All policies take part, as in the server. `now` is the time of cases that say none.
    #[must_use]
    pub fn new(policies: &'a PolicySet, issuers: &'a Issuers, now: UnixTime) -> TestBench<'a> {
        TestBench { policies, issuers, now }
    }

    /// Runs the cases.
    #[must_use]
    pub fn run(&self, cases: &TestCases) -> TestReport {
        let mut places = Places::default();
        let results = cases.0.iter().map(|case| {
            let failure = self.failure(case, &mut places);
            let (file, name) = (case.file.clone(), case.name.clone());
            CaseResult { file, line: case.line, name, passed: failure.is_none(), failure }
        });
        TestReport { cases: results.collect() }
    }

    fn failure(&self, case: &Case, places: &mut Places) -> Option<Failure> {
        let differs = |found: String| Failure { expected: case.expected.to_string(), found, nearest: Vec::new() };
        let (issuer, claims) = match self.question(case) {
            Ok(question) => question,
            Err(fault) => return Some(differs(fault)),
        };
        let outcome = self.outcome(case, &claims, self.policies.of_issuer(issuer.name()));
        if outcome.is(&case.expected) {
            // Policies alone would admit claims that no token of this issuer may have.
            case.expected.user()?;
            let refusal = issuer.check_claims(&claims).err()?;
            return Some(differs(format!("refused before any policy: {refusal}")));
        }
        let nearest = match outcome.admitted {
            Err(_) => self.misses(case, issuer, &claims, places),
            Ok(_) => Vec::new(),
        };
        Some(Failure { nearest, ..differs(outcome.describe(places)) })
    }

    /// Whose claims they are, and what the case asks about.
    fn question(&self, case: &Case) -> Result<(&'a Issuer, Map<String, Value>), String> {
        let issuer = self.issuer(case).ok_or_else(|| match &case.given.issuer {
            Some(name) => format!("no issuer `{name}` is configured"),
            None => "no configured issuer has these claims' iss, and no policy stands beside this file".to_owned(),
        })?;
        let mut claims = case.given.claims.clone();
        let is_own = |iss: &Value| issuer.identifiers().iter().any(|own| iss == own.as_str());
        // A fixture is some installation's token; the case is about one of this issuer.
        if !case.given.says_iss && claims.get("iss").is_some_and(|iss| !is_own(iss)) {
            claims.insert("iss".to_owned(), Value::from(issuer.identifier()));
        }
        Ok((issuer, claims))
    }

    /// The issuer that the case names, else that of the claims' `iss`, else that of the policy beside the test.
    fn issuer(&self, case: &Case) -> Option<&'a Issuer> {
        if let Some(name) = &case.given.issuer {
            return self.issuers.by_name(name).map(|issuer| &**issuer);
        }
        let named = self.issuers.by_claims(&case.given.claims);
        if let [issuer] = named {
            return Some(issuer);
        }
        let name = case.file.file_name()?.to_str()?;
        let beside = case.file.with_file_name(name.replace(".test.", "."));
        let policy = self.policies.iter().find(|policy| *policy.file == *beside);
        let of_policy = policy.and_then(|policy| self.issuers.by_name(policy.issuer().as_str()));
        // Clusters that share the iss: the policy beside the test says which is meant.
        of_policy.or(named.first()).map(|issuer| &**issuer)
    }

    /// What these policies make of the claims.
    fn outcome<'p>(
        &self,
        case: &Case,
        claims: &Map<String, Value>,
        policies: impl IntoIterator<Item = &'p Policy>,
    ) -> Outcome<'p> {
        let decided =
            admitted(policies.into_iter().collect(), claims, case.wanted.as_ref(), case.now.unwrap_or(self.now));
        let (admitted, shadow) = match decided {
            Err((refusal, shadow)) => (Err(refusal), shadow),
            Ok((admitted, shadow)) => {
                let admitted = terms(&admitted.policies).map(|_| {
                    let scopes = admitted.scopes();
                    Become { user: admitted.user, scopes, policies: admitted.policies }
                });
                (admitted, shadow)
            }
        };
        Outcome { admitted, shadow }
    }

    /// The failing lines of the nearest policy: of one that makes the expected user, where there is one.
    fn misses(&self, case: &Case, issuer: &Issuer, claims: &Map<String, Value>, places: &mut Places) -> Vec<Miss> {
        let now = case.now.unwrap_or(self.now);
        let explained = explain(self.policies, issuer, claims, case.wanted.as_ref(), now);
        let find = |name: &PolicyName| self.policies.of_issuer(issuer.name()).iter().find(|one| one.name == *name);
        let mut nearest = explained.policies.iter().filter_map(|lines| Some((find(&lines.policy)?, lines)));
        let is_meant = |policy: &Policy| case.expected.user().is_some_and(|user| policy.fixed_user() == Some(user));
        let Some((policy, lines)) = nearest.clone().find(|(policy, _)| is_meant(policy)).or_else(|| nearest.next())
        else {
            return Vec::new();
        };
        let misses = lines.lines.iter().filter(|line| line.holds != Some(true)).take(SHOWN_MISSES).map(|line| Miss {
            policy: policy.name.clone(),
            file: policy.file.to_path_buf(),
            line: places.of_part(policy, &line.line),
            part: line.line.clone(),
            expected: line.expected.clone(),
            found: line.found.clone(),
        });
        misses.collect()
    }
}

/// What policies make of a case's claims.
struct Outcome<'p> {
    admitted: Result<Become<'p>, PolicyRefusal>,
    shadow: Vec<ShadowVerdict>,
}

/// Whom the claims become, and by which policies.
struct Become<'p> {
    user: UserName,
    scopes: Scopes,
    policies: Vec<&'p Policy>,
}

impl Outcome<'_> {
    fn is(&self, expected: &Expected) -> bool {
        let as_decided = match (expected, &self.admitted) {
            (Expected::Denied { cause, .. }, Err(refusal)) => cause.is_none_or(|cause| cause == refusal.cause()),
            (Expected::Admitted { user, scopes, .. }, Ok(found)) => {
                *user == found.user && scopes.as_ref().is_none_or(|scopes| *scopes == found.scopes)
            }
            (Expected::Denied { .. }, Ok(_)) | (Expected::Admitted { .. }, Err(_)) => false,
        };
        as_decided && expected.shadow().is_none_or(|user| self.shadow.iter().any(|verdict| verdict.user == *user))
    }

    /// Whether it is this policy that gives a case what it expects.
    fn is_by(&self, policy: &Policy, expected: &Expected) -> bool {
        let admits = self.admitted.as_ref().is_ok_and(|found| found.policies.iter().any(|one| one.name == policy.name));
        let is_meant =
            |verdict: &ShadowVerdict| verdict.policy == policy.name && Some(&verdict.user) == expected.shadow();
        admits || self.shadow.iter().any(is_meant)
    }

    fn describe(&self, places: &Places) -> String {
        let decided = match &self.admitted {
            Err(refusal) => format!("denied ({}: {refusal})", refusal.cause()),
            Ok(found) => {
                let by: Vec<String> = found.policies.iter().map(|policy| places.describe(policy)).collect();
                let (user, scopes) = (&found.user, found.scopes.to_wire());
                format!("admitted as {user} with scopes [{scopes}] by {}", by.join(", "))
            }
        };
        let shadow: Vec<&str> = self.shadow.iter().map(|verdict| verdict.user.as_str()).collect();
        if shadow.is_empty() { decided } else { format!("{decided}; in shadow mode {}", shadow.join(", ")) }
    }
}
