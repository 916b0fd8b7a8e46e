//! Lines that say less about the caller than their author thinks, by what the issuer's kind knows of its claims.

use super::matcher::{Line, Selector};
use super::template::Template;
use crate::diagnostic::Diagnostics;
use crate::issuer::Issuer;
use crate::yaml::{Fields, Yaml};

/// What of a policy is looked at.
pub(super) struct Policy<'a> {
    pub(super) issuer: &'a Issuer,
    /// As many as `match` has entries.
    pub(super) lines: &'a [Line],
    pub(super) user: Option<&'a Template>,
}

/// Reports values that the caller of the platform chooses: as the user's name, or as all that a policy asks for, they
/// are an error; beside a line that is its identity, they only narrow it, which is worth a warning.
pub(super) fn check(fields: &Fields<'_>, policy: &Policy<'_>, faults: &mut Diagnostics) {
    let chosen: Vec<Selector> = policy.issuer.kind().caller_chosen.iter().map(|path| Selector::parse(path)).collect();
    let is_chosen = |selector: &Selector| chosen.iter().any(|path| selector.is_within(path));
    if let (Some(node), Some(user)) = (fields.node("user"), policy.user)
        && let Some(selector) = user.selectors().find(|selector| is_chosen(selector))
    {
        let message = format!("the caller chooses `{}`, and so whom it becomes", selector.source());
        let fault = fields.fault(&node.place, "caller-chosen", message);
        faults.push(fault.fix("name the user by a claim that the platform sets"));
    }
    let has_identity = policy.lines.iter().any(|line| !is_chosen(&line.selector) && line.matcher.says_who());
    let Some(Yaml::Mapping(entries)) = fields.node("match").map(|node| &node.value) else { return };
    for (entry, line) in entries.iter().zip(policy.lines).filter(|(_, line)| is_chosen(&line.selector)) {
        let message = format!("the caller chooses `{}`: whoever asks for it has it", line.selector.source());
        let fault = fields.fault(&entry.key_place, "caller-chosen", message);
        let fault = fault.fix("match claims that the platform sets; this one tells no caller from another");
        faults.push(if has_identity { fault.as_warning() } else { fault });
    }
}
