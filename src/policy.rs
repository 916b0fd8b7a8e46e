//! Who may become whom: trust policies, decided without I/O.
//!
//! In: verified claims. Out: a [`Permit`] for exactly one user, or the reason why not. Not here: whether that user
//! exists (see `workload`).

mod claim_types;
mod compatible;
mod cover;
mod decide;
pub mod difference;
mod document;
mod evaluate;
mod explain;
mod index;
mod init;
mod intern;
mod kept;
mod json_schema;
pub mod lint;
mod load;
mod matcher;
mod overlap;
mod pattern;
mod question;
mod reach;
mod reads;
pub mod replay;
mod shape;
pub mod shadow;
pub mod stale;
mod template;
mod test_cases;
#[cfg(test)]
mod tests;
mod unmet;
mod witness;

pub use decide::{Decision, Judgement, Permit, PolicyRefusal, ShadowVerdict, TokenTerms, decide, judge};
pub use explain::{Admitting, Depth, Explanation, PolicyLines, explain};
pub use init::{FirstPolicy, Wish, first_policy, proposed_name};
pub use json_schema::{policy_json_schema, test_json_schema};
pub use kept::KeptClaims;
pub use load::{PolicySet, test_files};
pub use question::{Answer, Question};
pub use reach::Route;
pub use test_cases::{CaseResult, Coverage, Failure, Gap, Miss, TestBench, TestCases, TestReport, fixture_names};
pub use unmet::Unmet;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::condition::Condition;
use crate::vocab::{IssuerName, PolicyName, Scopes, UnixTime, UserName};
use matcher::Line;
use template::Template;

/// Whether a policy admits, or is only watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It admits.
    Enforce,
    /// It is decided and recorded, and admits nobody.
    Shadow,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Mode::Enforce => "enforce",
            Mode::Shadow => "shadow",
        })
    }
}

/// One compiled policy.
#[derive(Debug, Clone)]
pub struct Policy {
    name: PolicyName,
    issuer: IssuerName,
    /// In place, as far as they have room: elsewhere each list would be one more wait for memory.
    lines: SmallVec<[Line; 5]>,
    condition: Option<Arc<Condition>>,
    user: Template,
    scopes: Scopes,
    token: TokenTerms,
    attributes: SmallVec<[(SmolStr, Template); 1]>,
    mode: Mode,
    expires_at: Option<UnixTime>,
    file: Arc<Path>,
    /// Where its document begins in that file.
    line: u32,
    /// The lints that its comments allow, as `lint::bit` has them.
    allowed: u32,
}

/// A policy in a listing.
#[derive(Debug, Clone, Serialize)]
pub struct PolicySummary {
    /// Its name.
    pub policy: PolicyName,
    /// Its issuer.
    pub issuer: IssuerName,
    /// The user, or the user's template.
    pub user: String,
    /// The most its tokens may carry.
    pub scopes: Scopes,
    /// Whether it admits.
    pub mode: Mode,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Where it is written.
    pub file: PathBuf,
}

impl Policy {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &PolicyName {
        &self.name
    }

    /// Its issuer.
    #[must_use]
    pub fn issuer(&self) -> &IssuerName {
        &self.issuer
    }

    /// The user, when it is the same for everybody.
    #[must_use]
    pub fn fixed_user(&self) -> Option<&UserName> {
        self.user.fixed_user()
    }

    /// Whether it admits, or is only watched.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether a `# lint: allow ID because …` comment in its document names this lint: for the lints of whole sets, which
    /// have no one line.
    #[must_use]
    pub fn allows(&self, lint_id: &str) -> bool {
        self.allowed & lint::bit(lint_id) != 0
    }

    /// How it is listed.
    #[must_use]
    pub fn summary(&self) -> PolicySummary {
        PolicySummary {
            policy: self.name.clone(),
            issuer: self.issuer.clone(),
            user: self.user.source(),
            scopes: self.scopes.clone(),
            mode: self.mode,
            expires: self.expires_at.map(UnixTime::to_rfc3339),
            file: self.file.to_path_buf(),
        }
    }

    /// Its `match` lines: the claim, and what it must be in words.
    fn lines(&self) -> impl Iterator<Item = (&str, String)> {
        self.lines.iter().map(|line| (line.selector.source(), line.matcher.describe()))
    }

    fn has_expired(&self, now: UnixTime) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }
}
