//! Names where ids are to be had: a name is given to somebody else after a rename, a deletion or a takeover.

use super::{Draft, Findings, NAME_WITHOUT_ID};
use crate::yaml::Entry;

/// Warns of lines, and of a user's name, that rest on a name whose id nothing asks for.
pub(super) fn check(draft: &Draft<'_>, told: &[&Entry], findings: &mut Findings<'_>) {
    let kind = draft.issuer.kind();
    let names = kind.names;
    for (entry, line) in draft.written().filter(|(_, line)| line.matcher.says_who()) {
        if told.iter().any(|wide| std::ptr::eq(*wide, entry)) {
            continue;
        }
        let Some((name, id)) = names.iter().find(|(name, _)| *name == line.selector.source()) else { continue };
        // A pattern of names has no one id; then any id keeps strangers out.
        let is_pattern = line.matcher.named_values().is_none();
        if draft.settles(id) || is_pattern && kind.immutable.iter().any(|claim| draft.settles(claim)) {
            continue;
        }
        findings.report(NAME_WITHOUT_ID, &entry.key_place, || {
            let message = format!("`{name}` is a name, which somebody else can come to have; `{id}` is its id");
            (message, format!("add a line for `{id}`, or match it in place of the name"))
        });
    }
    let Some((node, user)) = draft.fields.node("user").zip(draft.user) else { return };
    let reads = |claim: &str| user.selectors().any(|selector| selector.source() == claim);
    for (name, id) in names.iter().filter(|(name, _)| reads(name)) {
        if !draft.settles(id) && !reads(id) {
            findings.report(NAME_WITHOUT_ID, &node.place, || {
                let message = format!("the user is named by `{name}`, which somebody else can come to have");
                (message, format!("name it by `{{{id}}}`, or add a line for `{id}`"))
            });
        }
    }
}
