//! Which claims policies look at: what an audit record must keep for them to be asked again.

use std::collections::BTreeSet;

use super::Policy;

/// The top-level claims that the policies of an issuer read.
pub(super) type ClaimsRead = BTreeSet<Box<str>>;

impl Policy {
    /// The top-level claims that its lines, condition and templates name.
    pub(super) fn reads(&self) -> impl Iterator<Item = &str> {
        let lines = self.lines.iter().map(|line| line.selector.claim());
        let condition = self.condition.iter().flat_map(|condition| condition.members_read("claims"));
        let templates = self.attributes.iter().map(|(_, template)| template).chain([&self.user]);
        lines.chain(condition).chain(templates.flat_map(|template| template.selectors()).map(|found| found.claim()))
    }

    /// Whether its condition looks at the claims as a whole (`"x" in claims`), so that none may be missing.
    pub(super) fn reads_all(&self) -> bool {
        self.condition.as_ref().is_some_and(|condition| condition.reads_whole("claims"))
    }
}

/// What these policies read. A name is kept once, however many policies read it.
pub(super) fn of(policies: &[Policy]) -> ClaimsRead {
    let mut read = ClaimsRead::new();
    for name in policies.iter().flat_map(Policy::reads) {
        if !read.contains(name) {
            read.insert(name.into());
        }
    }
    read
}
