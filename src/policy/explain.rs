//! Why policies admit some claims or not, line by line. The same evaluation as a decision, asked more fully.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::evaluate::Verdict;
use super::matcher::{Line, Selector};
use super::question::{Answer, Question};
use super::{KeptClaims, Mode, Policy, PolicySet};
use crate::issuer::Issuer;
use crate::vocab::{IssuerName, PolicyName, Scopes, UnixTime, UserName};

/// Policies kept in an audit record.
const NEAREST: usize = 3;
/// Policies that are compared for it beside those that may admit: a refusal must not cost more the more policies there are.
const COMPARED: usize = 1000;
/// Policies that an operator is shown unless all are asked for.
const LISTED: usize = 50;
/// Stands for the value of a claim that `audit_exclude` names.
const EXCLUDED: &str = "a value that audit_exclude keeps out";
/// Stands for the value of a claim that was not kept.
const UNKNOWN: &str = "not kept in the record";
/// Longest shown claim value, in characters.
const SHOWN_CHARACTERS: usize = 120;

/// The policies of the issuer, the nearest miss first.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The issuer.
    pub issuer: IssuerName,
    /// The user the claims become, if there is exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The dotted cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// The claims that policies read and that were not kept, when the answer depends on them: then there is no user and
    /// no refusal.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown: BTreeSet<String>,
    /// Which policies admit the claims, each as whom; several users make them ambiguous.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub admitting: Vec<Admitting>,
    /// The policies.
    pub policies: Vec<PolicyLines>,
    /// How many more there are than are listed.
    pub omitted: usize,
}

/// A policy that admits the claims.
#[derive(Debug, Clone, Serialize)]
pub struct Admitting {
    /// Which.
    pub policy: PolicyName,
    /// As whom.
    pub user: UserName,
    /// What it grants.
    pub scopes: Scopes,
    /// In shadow mode it only would.
    pub mode: Mode,
}

/// One policy, line by line.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyLines {
    /// Which.
    pub policy: PolicyName,
    /// `admits`, `refuses` or `error`; `would admit` in shadow mode; `cannot be told`, when it reads an unknown claim.
    pub verdict: &'static str,
    /// The lines.
    pub lines: Vec<LineVerdict>,
}

/// One line.
#[derive(Debug, Clone, Serialize)]
pub struct LineVerdict {
    /// The claim, or `condition`, `user`, `expires`.
    pub line: String,
    /// What the policy wants.
    pub expected: String,
    /// What the claims have.
    pub found: String,
    /// Whether it holds; unknown, when it reads a claim that was not kept.
    pub holds: Option<bool>,
}

/// How many policies an explanation looks at and lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The three nearest misses among those that may admit and the first thousand: for an audit record.
    Record,
    /// The fifty nearest of all.
    Listed,
    /// All.
    All,
}

impl Explanation {
    /// The dotted cause, when the claims are refused.
    #[must_use]
    pub fn refusal(&self) -> Option<&'static str> {
        self.cause
    }

    /// The same without the values of these claims.
    #[must_use]
    pub fn without(mut self, excluded: &BTreeSet<String>) -> Explanation {
        let lines = self.policies.iter_mut().flat_map(|policy| &mut policy.lines);
        for line in lines.filter(|line| excluded.contains(Selector::parse(&line.line).claim())) {
            EXCLUDED.clone_into(&mut line.found);
        }
        self
    }

    /// Only the nearest misses.
    #[must_use]
    pub fn nearest(mut self) -> Explanation {
        self.omitted += self.policies.len().saturating_sub(NEAREST);
        self.policies.truncate(NEAREST);
        self
    }
}

/// Explains what all the issuer's policies say of claims, verified or not.
#[must_use]
pub fn explain(
    policies: &PolicySet,
    issuer: &Issuer,
    claims: &Map<String, Value>,
    wanted: Option<&UserName>,
    now: UnixTime,
) -> Explanation {
    let claims = KeptClaims::whole(claims.clone());
    Question { issuer: issuer.name(), claims: &claims, wanted, now }.explain(policies, Depth::All)
}

impl Question<'_> {
    /// What the policies say, line by line.
    #[must_use]
    pub fn explain(&self, policies: &PolicySet, depth: Depth) -> Explanation {
        let all = policies.of_issuer(self.issuer);
        let nearest = self.nearest(policies, depth);
        let mut explained: Vec<PolicyLines> = nearest.iter().map(|policy| self.lines(policy)).collect();
        explained.sort_by_key(PolicyLines::distance);
        let mut explanation = Explanation {
            issuer: self.issuer.clone(),
            user: None,
            refusal: None,
            cause: None,
            unknown: BTreeSet::new(),
            admitting: if depth == Depth::Record { Vec::new() } else { self.admitting(&nearest) },
            omitted: all.len().saturating_sub(explained.len()),
            policies: explained,
        };
        match self.answer(policies) {
            Answer::Admitted(judged) => explanation.user = Some(judged.user),
            Answer::Unknown(claims) => explanation.unknown = claims,
            Answer::Refused(refusal) => {
                explanation.cause = Some(refusal.cause());
                explanation.refusal = Some(refusal.to_string());
            }
        }
        explanation
    }

    fn nearest<'p>(&self, policies: &'p PolicySet, depth: Depth) -> Vec<&'p Policy> {
        let listed = match depth {
            Depth::Record => NEAREST,
            Depth::Listed => LISTED,
            Depth::All => usize::MAX,
        };
        let mut ranked = self.ranked(policies, depth);
        ranked.truncate(listed);
        ranked
    }

    /// The policies that are looked at, those that the fewest lines keep from admitting first, then in the files' order.
    pub(super) fn ranked<'p>(&self, policies: &'p PolicySet, depth: Depth) -> Vec<&'p Policy> {
        let all = policies.of_issuer(self.issuer);
        let looked_at: Vec<&Policy> = if depth == Depth::Record {
            let mut some = policies.candidates(self.issuer, self.claims.claims());
            some.truncate(COMPARED);
            some.extend(all.iter().take(COMPARED));
            some
        } else {
            all.iter().collect()
        };
        let mut ranked: Vec<(usize, usize, &Policy)> =
            (0..).zip(looked_at).map(|(place, policy)| (self.certain_misses(policy), place, policy)).collect();
        ranked.sort_by_key(|(misses, place, _)| (*misses, *place));
        let mut seen = BTreeSet::new();
        let once = ranked.into_iter().filter(|(.., policy)| depth != Depth::Record || seen.insert(policy.name()));
        once.map(|(.., policy)| policy).collect()
    }

    /// Every policy that admits has no misses, so they are all among the nearest, unless there are more than are listed.
    fn admitting(&self, nearest: &[&Policy]) -> Vec<Admitting> {
        let verdicts = nearest.iter().map(|policy| (policy, self.verdict(policy)));
        let admits = verdicts.filter_map(|(policy, verdict)| match verdict {
            Ok(Verdict::Admits { user, .. }) => {
                Some(Admitting { policy: policy.name.clone(), user, scopes: policy.scopes.clone(), mode: policy.mode })
            }
            _ => None,
        });
        admits.collect()
    }

    fn lines(&self, policy: &Policy) -> PolicyLines {
        let claims = self.claims.claims();
        let mut lines: Vec<LineVerdict> = policy.lines.iter().map(|line| self.line(line)).collect();
        let mut add = |line: &str, expected: String, found: String, holds: Option<bool>| {
            lines.push(LineVerdict { line: line.to_owned(), expected, found, holds });
        };
        let verdict = self.verdict(policy);
        if let Some(condition) = &policy.condition {
            let reads_unknown = condition.reads_whole("claims") && !self.claims.omitted().is_empty()
                || condition.members_read("claims").any(|name| self.claims.is_unknown(name));
            let held = if reads_unknown { None } else { policy.condition_holds(claims) };
            let found = match held {
                Some(held) => held.to_string(),
                None if reads_unknown => UNKNOWN.to_owned(),
                None => "cannot be evaluated".to_owned(),
            };
            add(
                "condition",
                condition.source().to_owned(),
                found,
                if reads_unknown { None } else { Some(held == Some(true)) },
            );
        }
        if let Some(end) = policy.expires_at.filter(|_| policy.has_expired(self.now)) {
            add("expires", format!("before {end}"), self.now.to_string(), Some(false));
        }
        if let (Some(wanted), Some(user)) = (self.wanted, policy.user.user(claims))
            && *wanted != user
        {
            add("user", wanted.to_string(), user.to_string(), Some(false));
        }
        let verdict = match verdict {
            Err(_) => "cannot be told",
            Ok(Verdict::Silent) => "refuses",
            Ok(Verdict::Error(why)) => {
                add("evaluation", "no error".to_owned(), why.to_owned(), Some(false));
                "error"
            }
            Ok(Verdict::Admits { .. }) if policy.mode == Mode::Shadow => "would admit",
            Ok(Verdict::Admits { .. }) => "admits",
        };
        PolicyLines { policy: policy.name.clone(), verdict, lines }
    }

    fn line(&self, line: &Line) -> LineVerdict {
        let is_unknown = self.claims.is_unknown(line.selector.claim());
        let found = line.selector.select(self.claims.claims());
        LineVerdict {
            line: line.selector.source().to_owned(),
            expected: line.matcher.describe(),
            found: if is_unknown { UNKNOWN.to_owned() } else { shown(found) },
            holds: (!is_unknown).then(|| line.holds(self.claims.claims())),
        }
    }
}

impl PolicyLines {
    /// What does not hold counts more than what is unknown.
    fn distance(&self) -> (usize, usize) {
        let count = |holds: Option<bool>| self.lines.iter().filter(|line| line.holds == holds).count();
        (count(Some(false)), count(None))
    }
}

/// A claim's value as it may be shown: bounded, and without anything a terminal or a log would act on.
fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), |value| crate::vocab::shown(&value.to_string(), SHOWN_CHARACTERS))
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.user, &self.refusal) {
            (Some(user), _) => writeln!(formatter, "admitted as {user}")?,
            (None, Some(refusal)) => writeln!(formatter, "refused: {refusal}")?,
            (None, None) => {
                let unknown: Vec<&str> = self.unknown.iter().map(String::as_str).collect();
                writeln!(formatter, "cannot be told: the record does not have {}", unknown.join(", "))?;
            }
        }
        for policy in &self.policies {
            writeln!(formatter, "\npolicy {} {}", policy.policy, policy.verdict)?;
            for line in &policy.lines {
                let mark = match line.holds {
                    Some(true) => '✓',
                    Some(false) => '✗',
                    None => '?',
                };
                writeln!(formatter, "  {mark} {}: expected {}, found {}", line.line, line.expected, line.found)?;
            }
        }
        if self.omitted > 0 {
            writeln!(formatter, "\n({} more policies are further away)", self.omitted)?;
        }
        Ok(())
    }
}
