//! Which claims policies look at: what an audit record must keep for them to be asked again.

use std::collections::BTreeSet;

use super::{KeptClaims, Policy};

/// The top-level claims that the policies of an issuer read.
#[derive(Debug, Default)]
pub(super) struct ClaimsRead {
    names: BTreeSet<Box<str>>,
    /// Whether a condition looks at the claims as a whole.
    all: bool,
}

impl ClaimsRead {
    /// What these policies read. A name is kept once, however many policies read it.
    pub(super) fn of(policies: &[Policy]) -> ClaimsRead {
        let mut read = ClaimsRead::default();
        for policy in policies {
            read.all |= policy.reads_all();
            for name in policy.reads() {
                if !read.names.contains(name) {
                    read.names.insert(name.into());
                }
            }
        }
        read
    }

    /// Whether a policy names this claim.
    pub(super) fn names(&self, claim: &str) -> bool {
        self.names.contains(claim)
    }

    /// Whether a policy may read a claim that was not kept.
    pub(super) fn miss(&self, kept: &KeptClaims) -> bool {
        !kept.omitted().is_empty() && (self.all || self.names.iter().any(|name| kept.is_unknown(name)))
    }
}

impl Policy {
    /// The top-level claims that its lines, condition and templates name.
    pub(super) fn reads(&self) -> impl Iterator<Item = &str> {
        let lines = self.lines.iter().map(|line| line.selector.claim());
        let condition = self.condition.iter().flat_map(|condition| condition.members_read("claims"));
        let templates = self.attributes.iter().map(|(_, template)| template).chain([&self.user]);
        lines.chain(condition).chain(templates.flat_map(|template| template.selectors()).map(|found| found.claim()))
    }

    /// Whether its condition looks at the claims as a whole (`"x" in claims`), so that none may be missing.
    fn reads_all(&self) -> bool {
        self.condition.as_ref().is_some_and(|condition| condition.reads_whole("claims"))
    }

    /// The claims that it reads and that were not kept: what it says of the others is no answer.
    pub(super) fn misses(&self, kept: &KeptClaims) -> BTreeSet<String> {
        if kept.omitted().is_empty() {
            return BTreeSet::new();
        }
        let unknown = self.reads().filter(|name| kept.is_unknown(name)).map(str::to_owned);
        unknown.chain(self.reads_all().then(|| kept.omitted().to_vec()).into_iter().flatten()).collect()
    }
}
