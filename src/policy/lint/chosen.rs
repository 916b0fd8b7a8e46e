//! Lines that say less about the caller than their author thinks, by what the issuer's kind knows of its claims.

use super::{CALLER_CHOSEN, CHOSEN_LINE, Draft, Findings, SUBJECT_FORM};
use crate::policy::matcher::Selector;
use crate::yaml::{Node, Yaml};

/// Reports values that the caller of the platform chooses: as the user's name, or as all that a policy asks for, they
/// are an error; beside a line that is its identity, they only narrow it, which is worth a warning.
pub(super) fn check(draft: &Draft<'_>, findings: &mut Findings<'_>) {
    let chosen: Vec<Selector> = draft.issuer.kind().caller_chosen.iter().map(|path| Selector::parse(path)).collect();
    if chosen.is_empty() {
        return;
    }
    let is_chosen = |selector: &Selector| chosen.iter().any(|path| selector.is_within(path));
    if let (Some(node), Some(user)) = (draft.fields.node("user"), draft.user)
        && let Some(selector) = user.selectors().find(|selector| is_chosen(selector))
    {
        findings.report(CALLER_CHOSEN, &node.place, || {
            let message = format!("the caller chooses `{}`, and so whom it becomes", selector.source());
            (message, "name the user by a claim that the platform sets".to_owned())
        });
    }
    let has_identity = draft.lines.iter().any(|line| !is_chosen(&line.selector) && line.matcher.says_who());
    if let Some(Node { value: Yaml::String(condition), place }) = draft.fields.node("condition")
        && !has_identity
        && let Some(name) = chosen.iter().filter_map(Selector::last_step).find(|name| condition.contains(name))
    {
        findings.report(CALLER_CHOSEN, place, || {
            let message = format!("the caller chooses `{name}`, and no line of `match` says who the caller is");
            (message, "match claims that the platform sets; a condition on this one can only narrow them".to_owned())
        });
    }
    for (entry, line) in draft.written().filter(|(_, line)| is_chosen(&line.selector)) {
        findings.report(if has_identity { CHOSEN_LINE } else { CALLER_CHOSEN }, &entry.key_place, || {
            let message = format!("the caller chooses `{}`: whoever asks for it has it", line.selector.source());
            (message, "match claims that the platform sets; this one tells no caller from another".to_owned())
        });
    }
}

/// Warns of lines that rest on a form of `sub` which somebody else can come to have.
pub(super) fn check_subject(draft: &Draft<'_>, findings: &mut Findings<'_>) {
    let kind = draft.issuer.kind();
    let (Some(forms), Some(pin)) = (&kind.subject, &kind.tenant_pin) else { return };
    let has_id = pin.alternatives.iter().any(|claims| claims.iter().all(|claim| draft.pins(claim)));
    // Where strangers share the issuer, a policy without an id does not load at all.
    if !has_id && draft.issuer.shared_by_tenants().is_some() {
        return;
    }
    let Some((entry, _)) = draft.written().find(|(entry, _)| entry.key == "sub") else { return };
    if let Some(doubt) = texts(&entry.value).into_iter().find_map(|subject| (forms.doubt)(subject, has_id)) {
        findings.report(SUBJECT_FORM, &entry.value.place, || {
            let ids: Vec<String> = pin.alternatives.iter().map(|claims| claims.join(" and ")).collect();
            (format!("this subject {doubt}"), format!("match {} in its place", ids.join(" or ")))
        });
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
