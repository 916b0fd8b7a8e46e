//! How the configuration stands: what is in force since when, and whether a newer one was refused.

use serde::Serialize;

use crate::audit::{LoadedSet, Trigger};
use crate::vocab::UnixMillis;

/// What is in force, and how the last reloads went.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What is in force.
    pub in_force: LoadedSet,
    /// Since when.
    pub loaded_at: UnixMillis,
    /// Who asked for it; nobody, when it is what the broker started with.
    pub loaded_by: Option<Trigger>,
    /// The last refusal, whether or not a set was loaded since.
    pub last_refusal: Option<Refusal>,
    /// Whether the files are not what is in force: since when the newer set is refused.
    pub refused_since: Option<UnixMillis>,
}

/// A reload that kept the old set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When it was last tried.
    pub at: UnixMillis,
    /// Who asked.
    pub by: Trigger,
    /// The dotted cause.
    pub cause: &'static str,
    /// How many faults there are.
    pub faults: usize,
    /// The faults, as `check` shows them; the first ones, when there are many.
    pub text: String,
}

/// How the last reload went, as probes and commands show it.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum LastReload {
    /// What the files said when they were last read is in force.
    Ok,
    /// A newer set has faults; the old one is in force.
    Refused {
        /// Since when.
        since: String,
        /// How many.
        faults: usize,
    },
}

impl Standing {
    pub(super) fn at_start(in_force: LoadedSet, now: UnixMillis) -> Standing {
        Standing { in_force, loaded_at: now, loaded_by: None, last_refusal: None, refused_since: None }
    }

    /// Another set is in force from now on.
    pub(super) fn loaded(&self, in_force: LoadedSet, by: Trigger, now: UnixMillis) -> Standing {
        let last_refusal = self.last_refusal.clone();
        Standing { in_force, loaded_at: now, loaded_by: Some(by), last_refusal, refused_since: None }
    }

    /// A newer set was refused.
    pub(super) fn refused(&self, refusal: Refusal) -> Standing {
        let refused_since = self.refused_since.or(Some(refusal.at));
        Standing { last_refusal: Some(refusal), refused_since, ..self.clone() }
    }

    /// Whether the newest set is refused, for these very faults.
    pub(super) fn is_known(&self, text: &str) -> bool {
        self.refused_since.is_some() && self.last_refusal.as_ref().is_some_and(|refusal| refusal.text == text)
    }

    /// How the last reload went.
    #[must_use]
    pub fn last_reload(&self) -> LastReload {
        match (self.refused_since, &self.last_refusal) {
            (Some(since), Some(refusal)) => LastReload::Refused { since: since.to_rfc3339(), faults: refusal.faults },
            _ => LastReload::Ok,
        }
    }
}
