//! What the cases would not notice: a policy that none of them is admitted by, and a line that could go.
//!
//! A line is covered when some case would fail without it. That is asked of the decision itself, with the line left out,
//! so it cannot be right by accident: a case that two lines refuse covers neither.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value};

use super::case::Case;
use super::places::Places;
use super::{TestBench, TestCases};
use crate::issuer::Issuer;
use crate::policy::Policy;
use crate::vocab::{PolicyName, UnixTime};

/// What the cases cover.
#[derive(Debug, Clone, Serialize)]
pub struct Coverage {
    /// How many policies were looked at.
    pub policies: usize,
    /// How many lines, conditions and ends they have together.
    pub lines: usize,
    /// What no case covers.
    pub gaps: Vec<Gap>,
}

/// Something that no case covers.
#[derive(Debug, Clone, Serialize)]
pub struct Gap {
    /// The policy's file.
    pub file: PathBuf,
    /// Which line of it.
    pub line: usize,
    /// The policy.
    pub policy: PolicyName,
    /// The key of `match`, `condition` or `expires`; none: no case is admitted by the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

/// What can be left out of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Line(usize),
    Condition,
    End,
}

/// By name, of which a set has each once.
#[derive(Default)]
struct Covered<'a> {
    admitting: HashSet<&'a PolicyName>,
    parts: HashSet<(&'a PolicyName, Part)>,
}

impl<'a> TestBench<'a> {
    /// What these cases cover of the policies that `counts` takes. Only a case that passes says anything.
    #[must_use]
    pub fn coverage(&self, cases: &TestCases, counts: impl Fn(&Policy) -> bool) -> Coverage {
        let mut covered = Covered::default();
        for case in &cases.0 {
            if let Ok((issuer, claims)) = self.question(case) {
                self.cover(case, issuer, &claims, &mut covered);
            }
        }
        let mut coverage = Coverage { policies: 0, lines: 0, gaps: Vec::new() };
        let mut places = Places::default();
        for policy in self.policies.iter().filter(|policy| counts(policy)) {
            let mut gap = |part: Option<String>| {
                let line = part.as_deref().map_or(policy.line as usize, |part| places.of_part(policy, part));
                let (file, policy) = (policy.file.to_path_buf(), policy.name.clone());
                coverage.gaps.push(Gap { file, line, policy, part });
            };
            if !covered.admitting.contains(&policy.name) {
                gap(None);
            }
            let parts = policy.parts();
            let uncovered = parts.iter().filter(|part| !covered.parts.contains(&(&policy.name, **part)));
            uncovered.for_each(|part| gap(Some(policy.part_name(*part))));
            coverage.policies += 1;
            coverage.lines += parts.len();
        }
        coverage
    }

    fn cover(&self, case: &Case, issuer: &Issuer, claims: &Map<String, Value>, covered: &mut Covered<'a>) {
        let policies = self.policies.of_issuer(issuer.name());
        let outcome = self.outcome(case, claims, policies);
        if !outcome.is(&case.expected) {
            return;
        }
        let now = case.now.unwrap_or(self.now);
        for policy in policies {
            match policy.unmet(claims, now) {
                Misses::None if outcome.is_by(policy, &case.expected) => {
                    covered.admitting.insert(&policy.name);
                }
                Misses::Only(part) if !covered.parts.contains(&(&policy.name, part)) => {
                    let weaker = policy.without(part);
                    let all = policies.iter().map(|one| if one.name == policy.name { &weaker } else { one });
                    if !self.outcome(case, claims, all).is(&case.expected) {
                        covered.parts.insert((&policy.name, part));
                    }
                }
                Misses::None | Misses::Only(_) | Misses::Several => {}
            }
        }
    }
}

/// Which parts of a policy do not hold.
enum Misses {
    None,
    Only(Part),
    Several,
}

impl Policy {
    fn parts(&self) -> Vec<Part> {
        let lines = (0..self.lines.len()).map(Part::Line);
        let condition = self.condition.as_ref().map(|_| Part::Condition);
        let end = self.expires_at.map(|_| Part::End);
        lines.chain(condition).chain(end).collect()
    }

    fn part_name(&self, part: Part) -> String {
        match part {
            Part::Line(number) => {
                self.lines.get(number).map(|line| line.selector.source().to_owned()).unwrap_or_default()
            }
            Part::Condition => "condition".to_owned(),
            Part::End => "expires".to_owned(),
        }
    }

    fn unmet(&self, claims: &Map<String, Value>, now: UnixTime) -> Misses {
        let lines = self.lines.iter().enumerate().filter(|(_, line)| !line.holds(claims));
        let mut missed = lines.map(|(number, _)| Part::Line(number)).take(2).collect::<Vec<_>>();
        missed.extend(self.has_expired(now).then_some(Part::End));
        // A condition costs more than all lines; where two of them refuse, it does not matter.
        if missed.len() < 2 && self.condition_holds(claims) != Some(true) {
            missed.push(Part::Condition);
        }
        match missed.as_slice() {
            [] => Misses::None,
            [only] => Misses::Only(*only),
            [_, _, ..] => Misses::Several,
        }
    }

    fn without(&self, part: Part) -> Policy {
        let mut weaker = self.clone();
        match part {
            Part::Line(number) => {
                let others = self.lines.iter().enumerate().filter(|(other, _)| *other != number);
                weaker.lines = others.map(|(_, line)| line.clone()).collect();
            }
            Part::Condition => weaker.condition = None,
            Part::End => weaker.expires_at = None,
        }
        weaker
    }
}
