//! What another set of policies would have done with tokens that were seen: asked of the claims that their records kept.
//!
//! In: two sets and kept claims, record by record. Out: a [`Change`] each, and in a [`Replay`] the workloads whose access
//! would change. Not here: where records come from (see `cli`).

use std::collections::BTreeMap;

use serde::Serialize;

use super::question::{Answer, Question};
use super::{Judgement, PolicySet};
use crate::vocab::{IssuerName, Scopes, UserName};

/// Workloads listed; a set that changes more is not reviewed one by one.
const MAX_ROWS: usize = 10_000;

/// What a change of the policies does to one token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// It was admitted and would be refused.
    Loses {
        /// Whom it was.
        user: UserName,
        /// Why it would be refused: the dotted cause.
        cause: &'static str,
    },
    /// It was refused and would be admitted.
    Gains {
        /// Whom it would be.
        user: UserName,
        /// What its token could carry.
        scopes: Vec<String>,
    },
    /// It would be somebody else.
    User {
        /// Whom it was.
        from: UserName,
        /// Whom it would be.
        to: UserName,
    },
    /// It would be the same user with other scopes.
    Scopes {
        /// Who it is.
        user: UserName,
        /// What its token could carry no longer.
        lost: Vec<String>,
        /// What it could carry anew.
        gained: Vec<String>,
    },
}

/// What two sets make of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// The same.
    Same,
    /// Something else.
    Changed(Change),
    /// One of them reads claims that were not kept.
    Unknown,
}

/// Asks both sets the same question.
#[must_use]
pub fn compare(old: &PolicySet, new: &PolicySet, question: &Question<'_>) -> Compared {
    match (question.answer(old), question.answer(new)) {
        (Answer::Unknown(_), _) | (_, Answer::Unknown(_)) => Compared::Unknown,
        (Answer::Refused(_), Answer::Refused(_)) => Compared::Same,
        (Answer::Admitted(old), Answer::Refused(refusal)) => {
            Compared::Changed(Change::Loses { user: old.user, cause: refusal.cause() })
        }
        (Answer::Refused(_), Answer::Admitted(new)) => {
            Compared::Changed(Change::Gains { user: new.user, scopes: words(&new.scopes) })
        }
        (Answer::Admitted(old), Answer::Admitted(new)) => both(old, new),
    }
}

fn both(old: Judgement, new: Judgement) -> Compared {
    if old.user != new.user {
        return Compared::Changed(Change::User { from: old.user, to: new.user });
    }
    let missing_in = |from: &Scopes, other: &Scopes| -> Vec<String> {
        from.iter().filter(|scope| !other.cover(scope)).map(ToString::to_string).collect()
    };
    let (lost, gained) = (missing_in(&old.scopes, &new.scopes), missing_in(&new.scopes, &old.scopes));
    if lost.is_empty() && gained.is_empty() {
        return Compared::Same;
    }
    Compared::Changed(Change::Scopes { user: new.user, lost, gained })
}

fn words(scopes: &Scopes) -> Vec<String> {
    scopes.iter().map(ToString::to_string).collect()
}

/// One workload whose access would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// Who signed its tokens.
    pub issuer: IssuerName,
    /// Its subject.
    pub subject: String,
    /// What would change.
    #[serde(flatten)]
    pub change: Change,
    /// In how many exchanges.
    pub exchanges: u64,
    /// When it was seen last.
    pub last_seen: String,
    /// The trace id of that exchange: `explain --trace` shows its claims line by line.
    pub trace_id: String,
}

/// One exchange that is asked about again.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Its subject.
    pub subject: &'a str,
    /// When it was.
    pub time: &'a str,
    /// Its trace id.
    pub trace_id: &'a str,
}

/// Counts what a change of the policies does, exchange by exchange.
#[derive(Debug, Default)]
pub struct Replay {
    changed: BTreeMap<(IssuerName, String, Change), (u64, String, String)>,
    left_out: u64,
    /// Exchanges asked about.
    pub replayed: u64,
    /// Exchanges whose records do not have the claims that the policies read, or no claims at all.
    pub not_replayed: u64,
}

impl Replay {
    /// Adds one exchange; the latest of several is shown, so they come in their order.
    pub fn add(&mut self, (old, new): (&PolicySet, &PolicySet), question: &Question<'_>, seen: Seen<'_>) {
        let change = match compare(old, new, question) {
            Compared::Unknown => {
                self.not_replayed += 1;
                return;
            }
            Compared::Same => {
                self.replayed += 1;
                return;
            }
            Compared::Changed(change) => change,
        };
        self.replayed += 1;
        let key = (question.issuer.clone(), seen.subject.to_owned(), change);
        if self.changed.len() >= MAX_ROWS && !self.changed.contains_key(&key) {
            self.left_out += 1;
            return;
        }
        let (exchanges, last_seen, trace_id) = self.changed.entry(key).or_default();
        *exchanges += 1;
        seen.time.clone_into(last_seen);
        seen.trace_id.clone_into(trace_id);
    }

    /// Exchanges whose change is not among the workloads, because those are too many to list.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The workloads whose access would change: losses first, then changed ones, then gains.
    #[must_use]
    pub fn workloads(&self) -> Vec<Workload> {
        let rows = self.changed.iter().map(|((issuer, subject, change), (exchanges, last_seen, trace_id))| Workload {
            issuer: issuer.clone(),
            subject: subject.clone(),
            change: change.clone(),
            exchanges: *exchanges,
            last_seen: last_seen.clone(),
            trace_id: trace_id.clone(),
        });
        let mut rows: Vec<Workload> = rows.collect();
        rows.sort_by_key(|row| match row.change {
            Change::Loses { .. } => 0,
            Change::User { .. } => 1,
            Change::Scopes { .. } => 2,
            Change::Gains { .. } => 3,
        });
        rows
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
