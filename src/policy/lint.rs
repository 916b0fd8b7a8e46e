//! Lines that say less about the caller than their author thinks, by what the issuer's kind knows of its claims.

use super::matcher::{Line, Selector};
use super::template::Template;
use crate::diagnostic::Diagnostics;
use crate::issuer::Issuer;
use crate::yaml::{Entry, Fields, Node, Yaml};

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
    let Some(Yaml::Mapping(entries)) = fields.node("match").map(|node| &node.value) else { return };
    let has_identity = policy.lines.iter().any(|line| !is_chosen(&line.selector) && line.matcher.says_who());
    if let Some(Node { value: Yaml::String(condition), place }) = fields.node("condition")
        && !has_identity
        && let Some(name) = chosen.iter().filter_map(Selector::last_step).find(|name| condition.contains(name))
    {
        let message = format!("the caller chooses `{name}`, and no line of `match` says who the caller is");
        let fault = fields.fault(place, "caller-chosen", message);
        faults.push(fault.fix("match claims that the platform sets; a condition on this one can only narrow them"));
    }
    for (entry, line) in entries.iter().zip(policy.lines).filter(|(_, line)| is_chosen(&line.selector)) {
        let message = format!("the caller chooses `{}`: whoever asks for it has it", line.selector.source());
        let fault = fields.fault(&entry.key_place, "caller-chosen", message);
        let fault = fault.fix("match claims that the platform sets; this one tells no caller from another");
        faults.push(if has_identity { fault.as_warning() } else { fault });
    }
}

/// Warns of lines that rest on a form of `sub` which somebody else can come to have.
pub(super) fn check_subject(fields: &Fields<'_>, policy: &Policy<'_>, faults: &mut Diagnostics) {
    let kind = policy.issuer.kind();
    let (Some(forms), Some(pin)) = (&kind.subject, &kind.tenant_pin) else { return };
    let pinned = |claim: &&str| policy.lines.iter().any(|line| line.pins(claim));
    let has_id = pin.alternatives.iter().any(|claims| claims.iter().all(pinned));
    // Where strangers share the issuer, a policy without an id does not load at all.
    if !has_id && policy.issuer.shared_by_tenants().is_some() {
        return;
    }
    let Some(Yaml::Mapping(entries)) = fields.node("match").map(|node| &node.value) else { return };
    let Some(Entry { value: node, .. }) = entries.iter().find(|entry| entry.key == "sub") else { return };
    if let Some(doubt) = texts(node).into_iter().find_map(|subject| (forms.doubt)(subject, has_id)) {
        let ids: Vec<String> = pin.alternatives.iter().map(|claims| claims.join(" and ")).collect();
        let fault = fields.fault(&node.place, "subject-form", format!("this subject {doubt}"));
        faults.push(fault.fix(format!("match {} in its place", ids.join(" or "))).as_warning());
    }
}

/// The subjects, beginnings and patterns that a line admits.
fn texts(node: &Node) -> Vec<&str> {
    match &node.value {
        Yaml::String(text) => vec![text],
        Yaml::Sequence(items) => items.iter().flat_map(texts).collect(),
        Yaml::Mapping(entries) => {
            entries.iter().filter(|entry| entry.key != "not").flat_map(|entry| texts(&entry.value)).collect()
        }
        Yaml::Null | Yaml::Bool(_) | Yaml::Int(_) | Yaml::Float(_) => Vec::new(),
    }
}
