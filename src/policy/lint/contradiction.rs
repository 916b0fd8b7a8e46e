//! Policies that no token can satisfy: what an author thinks is in force, and is not.

use serde_json::Value;

use super::{CONTRADICTION, Draft, Findings};
use crate::diagnostic::Place;
use crate::kind::NamedBy;
use crate::policy::matcher::{Line, Matcher, Scalar, Selector};
use crate::policy::template::Template;
use crate::vocab::ClaimType;
use crate::yaml::{Entry, Yaml};

/// What every kind's tokens have.
const ALWAYS: [&str; 3] = ["sub", "aud", "exp"];

/// Refuses lines that never hold, lines that never hold together, and templates of claims that a line says are absent.
pub(super) fn check(draft: &Draft<'_>, findings: &mut Findings<'_>) {
    for (entry, line) in draft.written() {
        let never = match &line.matcher {
            matcher if never_holds(matcher) => Some("no value is this".to_owned()),
            Matcher::Present(false) => always_present(draft, &line.selector),
            _ => never_of_this_issuer(draft, line),
        };
        if let Some(message) = never {
            refuse(&entry.value.place, &message, findings);
        }
        check_absence(draft, line, findings);
        check_pointer(draft, (entry, line), findings);
    }
    let condition =
        draft.fields.node("condition").filter(|_| draft.condition.is_some_and(|it| it.source().trim() == "false"));
    if let Some(node) = condition {
        refuse(&node.place, "the condition is never true", findings);
    }
}

fn refuse(place: &Place, message: &str, findings: &mut Findings<'_>) {
    findings.report(CONTRADICTION, place, || {
        (format!("{message}: the policy admits nobody"), "correct the line, or remove it".to_owned())
    });
}

/// Of a value that is there.
fn never_holds(matcher: &Matcher) -> bool {
    matches!(matcher, Matcher::Not(inner) if always_holds(inner))
}

fn always_holds(matcher: &Matcher) -> bool {
    match matcher {
        Matcher::Present(wanted) => *wanted,
        Matcher::Not(inner) => never_holds(inner) || matches!(**inner, Matcher::Present(false)),
        _ => false,
    }
}

fn always_present(draft: &Draft<'_>, selector: &Selector) -> Option<String> {
    let mut always = draft.issuer.kind().lints.always.iter().chain(&ALWAYS);
    let is_always = always.any(|claim| same(selector, &Selector::parse(claim)));
    is_always.then(|| format!("every token of `{}` has `{}`", draft.issuer.name(), selector.source()))
}

/// What the issuer's tokens never say.
fn never_of_this_issuer(draft: &Draft<'_>, line: &Line) -> Option<String> {
    if line.selector.last_step().is_some() {
        return None;
    }
    let (issuer, claim) = (draft.issuer, line.selector.claim());
    let kind = issuer.kind();
    let admits = |value: &str| line.matcher.holds(Some(&Value::from(value)));
    if let Some((_, values)) = kind.lints.values.iter().find(|(name, _)| *name == claim)
        && !values.iter().any(|value| admits(value))
    {
        return Some(format!("`{claim}` is one of {}", values.join(", ")));
    }
    let is_spiffe_like = matches!(kind.named_by, NamedBy::TrustDomain);
    if claim == "iss" && !is_spiffe_like && !issuer.identifiers().iter().any(|identifier| admits(identifier)) {
        return Some(format!("the `iss` of `{}` is {}", issuer.name(), issuer.identifiers().join(" or ")));
    }
    let audiences = issuer.audiences();
    if claim == "aud"
        && !issuer.settings().allow_additional_audiences
        && !audiences.iter().any(|audience| admits(audience.as_str()))
    {
        let accepted: Vec<&str> = audiences.iter().map(|audience| audience.as_str()).collect();
        return Some(format!("of `{}` only tokens for {} are accepted", issuer.name(), accepted.join(" or ")));
    }
    let identity = issuer.settings().identity();
    let mut rule = None;
    for value in line.matcher.named_values()? {
        let Scalar::Text(text) = value else { return None };
        match (kind.lints.can_say)(&identity, claim, text) {
            Ok(()) => return None,
            Err(broken) => rule = Some(format!("tokens of `{}` have {broken}", issuer.name())),
        }
    }
    rule
}

/// A template that reads what this line says is not there is an evaluation error in every decision.
fn check_absence(draft: &Draft<'_>, line: &Line, findings: &mut Findings<'_>) {
    if !matches!(line.matcher, Matcher::Present(false)) {
        return;
    }
    let mut refuse_reading = |template: &Template, place: &Place| {
        if let Some(read) = template.selectors().find(|read| read.is_within(&line.selector)) {
            let message = format!("this reads `{}`, and a line says that it is absent", read.source());
            refuse(place, &message, findings);
        }
    };
    if let Some((node, user)) = draft.fields.node("user").zip(draft.user) {
        refuse_reading(user, &node.place);
    }
    let Some(Yaml::Mapping(entries)) = draft.fields.node("attributes").map(|node| &node.value) else { return };
    for (name, template) in draft.attributes {
        if let Some(entry) = entries.iter().find(|entry| *entry.key == **name) {
            refuse_reading(template, &entry.value.place);
        }
    }
}

/// Two lines can only be about the same claim when one of them is a pointer.
fn check_pointer(draft: &Draft<'_>, (entry, line): (&Entry, &Line), findings: &mut Findings<'_>) {
    if !matches!(*line.selector, Selector::Pointer { .. }) {
        return;
    }
    let others = draft.written().filter(|(other, _)| !std::ptr::eq(*other, entry));
    for (other_entry, other) in others {
        // Of two pointers the later one reports.
        let is_earlier = line_of(&other_entry.key_place) <= line_of(&entry.key_place);
        if matches!(*other.selector, Selector::Pointer { .. }) && !is_earlier {
            continue;
        }
        if exclude(draft, line, other) || exclude(draft, other, line) {
            let message = format!("this and the line on `{}` never hold together", other.selector.source());
            refuse(&entry.value.place, &message, findings);
        }
    }
}

fn line_of(place: &Place) -> (usize, usize) {
    if let Place::At { line, column, .. } = place { (*line, *column) } else { (0, 0) }
}

/// Whether what the first asks for keeps the second from holding.
fn exclude(draft: &Draft<'_>, first: &Line, second: &Line) -> bool {
    if !second.selector.is_within(&first.selector) {
        return false;
    }
    match &first.matcher {
        Matcher::Present(false) => !matches!(second.matcher, Matcher::Present(false)),
        matcher if same(&first.selector, &second.selector) && is_single(draft, &first.selector) => {
            let values = matcher.named_values();
            values.is_some_and(|values| !values.iter().any(|value| second.matcher.holds(Some(&json(value)))))
        }
        _ => false,
    }
}

fn same(left: &Selector, right: &Selector) -> bool {
    left.is_within(right) && right.is_within(left)
}

/// Whether the claim has one value: of a list two lines may hold by two items.
fn is_single(draft: &Draft<'_>, selector: &Selector) -> bool {
    let claim_type = draft.issuer.schema().type_at(&selector.path());
    matches!(claim_type, Ok(ClaimType::String | ClaimType::Number | ClaimType::Boolean))
}

fn json(value: &Scalar) -> Value {
    match value {
        Scalar::Text(text) => Value::from(text.as_str()),
        Scalar::Number(number) => Value::Number(number.clone()),
        Scalar::Boolean(value) => Value::Bool(*value),
    }
}
