//! Patterns that match more than they seem to.

use super::{CROSSES_SEPARATOR, Draft, Findings, OPEN_PREFIX};
use crate::policy::matcher::Matcher;
use crate::yaml::Entry;

/// Warns of wildcards that cross `/` or `:`, and of beginnings that end inside a name. Entries that were found too wide
/// altogether need not be told so twice.
pub(super) fn check(draft: &Draft<'_>, told: &[&Entry], findings: &mut Findings<'_>) {
    for (entry, line) in draft.written() {
        if told.iter().any(|wide| std::ptr::eq(*wide, entry)) {
            continue;
        }
        let place = &entry.value.place;
        match &line.matcher {
            Matcher::Glob(glob) if glob.source().contains("**") => findings.report(CROSSES_SEPARATOR, place, || {
                let message = "`**` crosses `/`: it matches names of any depth".to_owned();
                (message, "write `*` for each segment, `refs/tags/*/*` for one more".to_owned())
            }),
            Matcher::Regex(regular) if regular.shape().crosses => findings.report(CROSSES_SEPARATOR, place, || {
                let message = "this expression has a `.` or a class that also matches `/` or `:`".to_owned();
                (message, "write `[^/:]` in place of `.`, `\\.` for a dot; or use a glob".to_owned())
            }),
            Matcher::Prefix(prefix) if prefix.ends_with(|last: char| last.is_ascii_alphanumeric()) => {
                findings.report(OPEN_PREFIX, place, || {
                    let message = format!("`{prefix}` ends inside a name: `{prefix}-evil` begins so, too");
                    (message, format!("end it with a separator, or write {{ glob: \"{prefix}*\" }}"))
                });
            }
            _ => {}
        }
    }
}
