//! What a check found, in words.

use std::ops::Range;

use super::{Checker, Found, Type};

/// A part of an expression that cannot mean what its author meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeFault {
    /// A stable word for it: `condition-type`, `condition-constant`, or what the schema says.
    pub id: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub fix: Option<String>,
    /// The bytes of the source that it is about.
    pub span: Range<usize>,
}

impl Checker<'_> {
    pub(super) fn fault(&mut self, id: u64, message: String, fix: Option<String>) {
        self.faults.push(TypeFault { id: "condition-type", message, fix, span: self.spans.of(id) });
    }

    /// What is asked for its truth must have one, and not always the same.
    pub(super) fn boolean(&mut self, found: &Found, what: &str) {
        if !Type::Boolean.meets(&found.kind) {
            let fix = match (&found.kind, found.path.is_empty()) {
                (Type::Text, false) => Some(format!("compare it: {} == \"…\"", written(&found.path))),
                (Type::Number, false) => Some(format!("compare it: {} == 1", written(&found.path))),
                _ => None,
            };
            self.fault(found.id, format!("{what} must be true or false; {}", is(found)), fix);
        } else if !found.varies {
            self.constant(found.id, "this reads nothing, so it is always the same");
        }
    }

    pub(super) fn constant(&mut self, id: u64, message: &str) {
        let fix = Some("remove it, or say what it should depend on".to_owned());
        let fault = TypeFault { id: "condition-constant", message: message.to_owned(), fix, span: self.spans.of(id) };
        self.faults.push(fault);
    }

    /// Two values that are compared must have a type in common.
    pub(super) fn comparable(&mut self, operator: u64, left: &Found, right: &Found, consequence: &str) {
        if left.kind.meets(&right.kind) {
            return;
        }
        let fix = retyped(left, right).or_else(|| retyped(right, left));
        let id = [left, right].into_iter().find(|side| side.literal.is_some()).map_or(operator, |side| side.id);
        self.fault(id, format!("{}, and {}: {consequence}", is(left), is(right)), fix);
    }
}

/// "`claims.run_attempt` is a string".
pub(super) fn is(found: &Found) -> String {
    let kind = found.kind.name();
    match (&found.literal, found.path.is_empty()) {
        (Some(text), _) if found.kind == Type::Text => format!("{text:?} is {kind}"),
        (Some(_), _) if matches!(found.kind, Type::Null | Type::Bytes) => format!("this is {kind}"),
        (Some(text), _) => format!("`{text}` is {kind}"),
        (None, false) => format!("`{}` is {kind}", written(&found.path)),
        (None, true) => format!("this is {kind}"),
    }
}

/// `claims["a/b"].c`.
pub(super) fn written(path: &[String]) -> String {
    let is_plain = |step: &str| {
        step.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
            && !step.starts_with(|first: char| first.is_ascii_digit())
    };
    path.iter().enumerate().fold(String::new(), |text, (index, step)| match (index, is_plain(step)) {
        (0, _) => step.clone(),
        (_, true) => format!("{text}.{step}"),
        (_, false) => format!("{text}[{step:?}]"),
    })
}

/// The literal as the other side would have it.
fn retyped(literal: &Found, other: &Found) -> Option<String> {
    let text = literal.literal.as_ref()?;
    match (&literal.kind, &other.kind) {
        (_, Type::List(_)) if !other.path.is_empty() => {
            let item = if literal.kind == Type::Text { format!("{text:?}") } else { text.clone() };
            Some(format!("write `{item} in {}`", written(&other.path)))
        }
        (Type::Number | Type::Boolean, Type::Text | Type::TextOrList) => Some(format!("quote it: \"{text}\"")),
        (Type::Text, Type::Number) if text.parse::<f64>().is_ok() => Some(format!("without quotes: {text}")),
        (Type::Text, Type::Boolean) if text.parse::<bool>().is_ok() => Some(format!("without quotes: {text}")),
        _ => None,
    }
}
