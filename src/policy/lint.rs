//! Lints: what a policy says that its author would rather not have said. One table of ids; one file a family of lints.
//!
//! In: one policy document, with its places, and what its issuer's kind knows of its claims. Out: findings, each with an
//! id that `docs/lints.md` has a section of. Not here: whether it reads as a policy at all (see `document`).

mod allow;
mod breadth;
mod chosen;
mod contradiction;
mod findings;
mod grants;
mod issuers;
mod names;
mod origin;
mod patterns;
mod set;
mod strict;
mod tenant;

pub(super) use findings::{Findings, Linter, Most};
pub use issuers::check_issuers;
pub(super) use set::SetFindings;
pub use strict::{check_services, check_users};

use std::time::Duration;

use crate::condition::Condition;
use crate::diagnostic::{Place, Severity};
use crate::issuer::Issuer;
use crate::vocab::{Scopes, UnixTime};
use crate::yaml::{Entry, Fields, Yaml};

use super::matcher::{Line, Selector};
use super::template::Template;
use smol_str::SmolStr;

/// One thing that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lint {
    /// Its stable word, also the name of its section in `docs/lints.md`.
    pub id: &'static str,
    /// Whether it keeps the set from loading. Only a warning can be allowed by a comment.
    pub severity: Severity,
    /// What it finds, in a few words.
    pub summary: &'static str,
    /// What has to be known to find it.
    pub reach: Reach,
}

/// What a lint looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One document: `# lint: allow` stands at the line.
    Document,
    /// The policies together: `# lint: allow` stands anywhere in the policy's document.
    Set,
}

macro_rules! lints {
    ($($constant:ident: $severity:ident, $reach:ident, $id:literal, $summary:literal;)*) => {
        $(pub(super) const $constant: Lint =
            Lint { id: $id, severity: Severity::$severity, summary: $summary, reach: Reach::$reach };)*

        /// Every lint, in the order of `docs/lints.md`.
        pub const LINTS: &[Lint] = &[$($constant),*];
    };
}

lints! {
    TENANT_PIN: Error, Document, "tenant-pin", "an issuer that strangers share, without an id of the tenant";
    MATCHES_EVERYTHING: Error, Document, "matches-everything", "a matcher that every value satisfies";
    CONTRADICTION: Error, Document, "contradiction", "a policy that no token can satisfy";
    CALLER_CHOSEN: Error, Document, "caller-chosen", "an identity that the caller writes itself";
    CHOSEN_LINE: Warning, Document, "caller-chosen-line", "a line on what the caller writes itself";
    NAME_WITHOUT_ID: Warning, Document, "name-without-id", "a name that can come to be somebody else's, without its id";
    SUBJECT_FORM: Warning, Document, "subject-form", "a form of `sub` that can come to be somebody else's";
    WIDE_SUBJECT: Warning, Document, "wide-subject", "more than one repository, project, app or role";
    AZURE_IDENTITY: Warning, Document, "azure-identity", "an Azure policy without `tid` and `oid`";
    KUBERNETES_NAMESPACE: Warning, Document, "kubernetes-namespace", "more than one service account";
    SPIFFE_WILDCARD: Warning, Document, "spiffe-wildcard", "more than one SPIFFE ID";
    CROSSES_SEPARATOR: Warning, Document, "crosses-separator", "a wildcard that matches `/` or `:` as well";
    OPEN_PREFIX: Warning, Document, "open-prefix", "a prefix that ends inside a name";
    FORK_EVENT: Warning, Document, "fork-event", "scopes for events that strangers can cause";
    SELF_HOSTED_RUNNER: Warning, Document, "self-hosted-runner", "jobs on anybody's machine";
    WORKFLOW_UNPINNED: Warning, Document, "workflow-unpinned", "any workflow of the repository";
    UNPROTECTED_REF: Warning, Document, "unprotected-ref", "any branch or tag";
    ALL_SCOPES: Warning, Document, "all-scopes", "a scope for everything";
    LONG_LIFETIME: Warning, Document, "long-lifetime", "tokens that live longer than an hour";
    SHARED_AUDIENCE: Warning, Document, "shared-audience", "an issuer whose tokens are for somebody else as well";
    EXPIRED: Warning, Document, "expired", "a policy that has ended";
    EXPIRES_SOON: Warning, Document, "expires-soon", "a policy that ends within 30 days";
    DISABLED_ISSUER: Warning, Document, "disabled-issuer", "a policy of an issuer that is disabled";
    LINT_ALLOW: Warning, Document, "lint-allow", "a `# lint: allow` that allows nothing, or gives no reason";
    AMBIGUOUS_OVERLAP: Warning, Set, "ambiguous-overlap", "tokens that two policies admit as different users";
    SHADOWED_POLICY: Warning, Set, "shadowed-policy", "a policy that another one makes superfluous";
    UNKNOWN_USER: Error, Set, "unknown-user", "strict: a user that does not exist";
    UNKNOWN_SERVICE: Error, Set, "unknown-service", "strict: a scope of a service that does not exist";
}

/// The lints whose bits [`allowed_bits`] uses must fit.
const _: () = assert!(LINTS.len() <= u32::BITS as usize);

/// Lints that the mere passing of time answers differently. A setting never makes errors of them: a broker that started
/// yesterday must start today.
pub const TIMED: &[&str] = &[EXPIRED.id, EXPIRES_SOON.id];

/// The lint with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Lint> {
    LINTS.iter().find(|lint| lint.id == id)
}

/// A set of lints, as a policy keeps it.
pub(super) fn bit(id: &str) -> u32 {
    LINTS.iter().position(|lint| lint.id == id).map_or(0, |place| 1 << place)
}

/// What of a policy is looked at.
pub(super) struct Draft<'a> {
    pub(super) fields: &'a Fields<'a>,
    pub(super) issuer: &'a Issuer,
    pub(super) lines: &'a [Line],
    pub(super) condition: Option<&'a Condition>,
    pub(super) user: Option<&'a Template>,
    pub(super) scopes: &'a Scopes,
    pub(super) lifetime: Option<Duration>,
    pub(super) attributes: &'a [(SmolStr, Template)],
    pub(super) expires_at: Option<UnixTime>,
    pub(super) now: UnixTime,
}

impl<'a> Draft<'a> {
    /// The entries of `match`: as many as there are lines, or none when some could not be read.
    fn entries(&self) -> &'a [Entry] {
        match self.fields.node("match").map(|node| &node.value) {
            Some(Yaml::Mapping(entries)) if entries.len() == self.lines.len() => entries,
            _ => &[],
        }
    }

    /// Where what `match` lacks is reported.
    fn match_place(&self) -> &'a Place {
        self.fields.entry("match").map_or(self.fields.place, |entry| &entry.key_place)
    }

    /// Whether a line names the values of this claim that it admits.
    fn pins(&self, claim: &str) -> bool {
        self.lines.iter().any(|line| line.pins(claim))
    }

    /// Whether a line tells callers apart by this claim's value.
    fn says_who(&self, claim: &str) -> bool {
        self.lines.iter().any(|line| line.selector.source() == claim && line.matcher.says_who())
    }

    /// Whether the policy says itself what this claim must be: a line names its values, or the condition reads it.
    fn settles(&self, claim: &str) -> bool {
        self.pins(claim) || self.condition_reads(claim)
    }

    /// Whether the condition reads this claim. What it makes of it is believed.
    fn condition_reads(&self, claim: &str) -> bool {
        let Some(condition) = self.condition else { return false };
        let selector = Selector::parse(claim);
        condition.members_read("claims").any(|read| read == selector.claim())
    }

    /// The lines, each with where it stands.
    fn written(&self) -> impl Iterator<Item = (&'a Entry, &'a Line)> {
        self.entries().iter().zip(self.lines)
    }
}

/// Looks for everything that one document shows.
pub(super) fn check(draft: &Draft<'_>, findings: &mut Findings<'_>) {
    if draft.issuer.settings().disabled {
        findings.report(DISABLED_ISSUER, draft.fields.place, || {
            let message = format!("issuer `{}` is disabled, so this policy admits nobody", draft.issuer.name());
            (message, "enable the issuer, or remove the policy".to_owned())
        });
    }
    grants::check(draft, findings);
    // Of a line that could not be read nobody knows whether it pins the tenant.
    if draft.entries().is_empty() {
        return;
    }
    contradiction::check(draft, findings);
    chosen::check(draft, findings);
    chosen::check_subject(draft, findings);
    // What lets strangers in is mended first.
    if tenant::check(draft, findings) {
        let wide = breadth::check(draft, findings);
        names::check(draft, &wide, findings);
        patterns::check(draft, &wide, findings);
        origin::check(draft, findings);
    }
    findings.check_allows(draft.fields.place);
}
