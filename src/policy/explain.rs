//! Why policies admit some claims or not, line by line. The same evaluation as a decision, asked more fully.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::decide::judge;
use super::evaluate::Verdict;
use super::matcher::Selector;
use super::{Mode, Policy, PolicySet};
use crate::issuer::Issuer;
use crate::vocab::{IssuerName, PolicyName, UnixTime, UserName};

/// Policies kept in an audit record.
const NEAREST: usize = 3;
/// Stands for the value of a claim that `audit_exclude` names.
const EXCLUDED: &str = "a value that audit_exclude keeps out";
/// Longest shown claim value, in characters.
const SHOWN_CHARACTERS: usize = 120;

/// Every policy of the issuer, the nearest miss first.
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
    /// The policies.
    pub policies: Vec<PolicyLines>,
    /// How many more there are than are listed.
    pub omitted: usize,
}

/// One policy, line by line.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyLines {
    /// Which.
    pub policy: PolicyName,
    /// `admits`, `refuses` or `error`, and `would admit` in shadow mode.
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
    /// Whether it holds.
    pub holds: bool,
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

    /// Only the nearest misses, for an audit record.
    #[must_use]
    pub fn nearest(mut self) -> Explanation {
        self.omitted += self.policies.len().saturating_sub(NEAREST);
        self.policies.truncate(NEAREST);
        self
    }
}

/// Explains what the policies say of claims, verified or not.
#[must_use]
pub fn explain(
    policies: &PolicySet,
    issuer: &Issuer,
    claims: &Map<String, Value>,
    wanted: Option<&UserName>,
    now: UnixTime,
) -> Explanation {
    let candidates = policies.of_issuer(issuer.name());
    let outcome = judge(policies, issuer.name(), claims, wanted, now).map(|judged| judged.user);
    let mut explained: Vec<PolicyLines> = candidates.iter().map(|policy| lines(policy, claims, wanted, now)).collect();
    explained.sort_by_key(PolicyLines::misses);
    Explanation {
        issuer: issuer.name().clone(),
        cause: outcome.as_ref().err().map(super::PolicyRefusal::cause),
        refusal: outcome.as_ref().err().map(ToString::to_string),
        user: outcome.ok(),
        policies: explained,
        omitted: 0,
    }
}

fn lines(policy: &Policy, claims: &Map<String, Value>, wanted: Option<&UserName>, now: UnixTime) -> PolicyLines {
    let mut lines: Vec<LineVerdict> = policy
        .lines
        .iter()
        .map(|line| LineVerdict {
            line: line.selector.source().to_owned(),
            expected: line.matcher.describe(),
            found: shown(line.selector.select(claims)),
            holds: line.holds(claims),
        })
        .collect();
    if let Some(condition) = &policy.condition {
        let held = policy.condition_holds(claims);
        lines.push(LineVerdict {
            line: "condition".to_owned(),
            expected: condition.source().to_owned(),
            found: held.map_or("cannot be evaluated".to_owned(), |held| held.to_string()),
            holds: held == Some(true),
        });
    }
    if let Some(end) = policy.expires_at.filter(|_| policy.has_expired(now)) {
        let (expected, found) = (format!("before {end}"), now.to_string());
        lines.push(LineVerdict { line: "expires".to_owned(), expected, found, holds: false });
    }
    if let (Some(wanted), Some(user)) = (wanted, policy.user.user(claims))
        && *wanted != user
    {
        let (expected, found) = (wanted.to_string(), user.to_string());
        lines.push(LineVerdict { line: "user".to_owned(), expected, found, holds: false });
    }
    let verdict = match policy.verdict(claims, wanted, now) {
        Verdict::Silent => "refuses",
        Verdict::Error(why) => {
            let (line, expected) = ("evaluation".to_owned(), "no error".to_owned());
            lines.push(LineVerdict { line, expected, found: why.to_owned(), holds: false });
            "error"
        }
        Verdict::Admits { .. } if policy.mode == Mode::Shadow => "would admit",
        Verdict::Admits { .. } => "admits",
    };
    PolicyLines { policy: policy.name.clone(), verdict, lines }
}

impl PolicyLines {
    fn misses(&self) -> usize {
        self.lines.iter().filter(|line| !line.holds).count()
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
            (None, refusal) => writeln!(formatter, "refused: {}", refusal.as_deref().unwrap_or("no policy"))?,
        }
        for policy in &self.policies {
            writeln!(formatter, "\npolicy {} {}", policy.policy, policy.verdict)?;
            for line in &policy.lines {
                let mark = if line.holds { '✓' } else { '✗' };
                writeln!(formatter, "  {mark} {}: expected {}, found {}", line.line, line.expected, line.found)?;
            }
        }
        if self.omitted > 0 {
            writeln!(formatter, "\n({} more policies are further away)", self.omitted)?;
        }
        Ok(())
    }
}
