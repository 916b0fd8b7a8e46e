//! One line of a policy's `match`: a claim, and what it must be.

use regex::Regex;
use serde_json::{Map, Value};

/// Where a line looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selector {
    /// A top-level claim, by its literal name.
    Claim(String),
    /// A JSON Pointer (RFC 6901) into nested claims.
    Pointer {
        /// As written.
        source: String,
        /// The top-level claim.
        claim: String,
        /// The way from there.
        steps: Vec<String>,
    },
}

impl Selector {
    /// A key that starts with `/` is a pointer, every other key a name.
    pub(super) fn parse(key: &str) -> Selector {
        let Some(pointer) = key.strip_prefix('/') else { return Selector::Claim(key.to_owned()) };
        let mut steps = pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
        let claim = steps.next().unwrap_or_default();
        Selector::Pointer { source: key.to_owned(), claim, steps: steps.collect() }
    }

    pub(super) fn source(&self) -> &str {
        match self {
            Selector::Claim(name) => name,
            Selector::Pointer { source, .. } => source,
        }
    }

    /// The top-level claim it looks into.
    pub(super) fn claim(&self) -> &str {
        match self {
            Selector::Claim(claim) | Selector::Pointer { claim, .. } => claim,
        }
    }

    /// Whether it looks inside that claim.
    pub(super) fn is_nested(&self) -> bool {
        matches!(self, Selector::Pointer { steps, .. } if !steps.is_empty())
    }

    /// Whether it selects this value, or one inside it.
    pub(super) fn is_within(&self, other: &Selector) -> bool {
        self.claim() == other.claim() && self.steps().starts_with(other.steps())
    }

    /// The innermost member's name.
    pub(super) fn last_step(&self) -> Option<&str> {
        self.steps().last().map(String::as_str)
    }

    fn steps(&self) -> &[String] {
        match self {
            Selector::Claim(_) => &[],
            Selector::Pointer { steps, .. } => steps,
        }
    }

    pub(super) fn select<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        match self {
            Selector::Claim(name) => claims.get(name),
            Selector::Pointer { claim, steps, .. } => {
                steps.iter().try_fold(claims.get(claim)?, |value, step| match value {
                    Value::Object(members) => members.get(step),
                    Value::Array(items) => items.get(array_index(step)?),
                    _ => None,
                })
            }
        }
    }
}

/// RFC 6901 §4: digits without leading zeros.
fn array_index(step: &str) -> Option<usize> {
    if step.len() > 1 && step.starts_with('0') || !step.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    step.parse().ok()
}

/// What a claim must be. Values compare by type: `65` is not `"65"`, `true` is not `"true"`.
#[derive(Debug, Clone)]
pub(super) enum Matcher {
    /// Equal; a list claim must contain it.
    Exact(Value),
    /// Equal to one of them.
    OneOf(Vec<Value>),
    /// A glob or an anchored regular expression, with its source.
    Pattern { pattern: Regex, source: String },
    /// Begins with this text.
    Prefix(String),
    /// Is there, or is not.
    Present(bool),
    /// Is there, and is not this.
    Not(Box<Matcher>),
}

impl Matcher {
    /// Whether the claim is what the line says. Only `present: false` admits an absent claim.
    pub(super) fn holds(&self, claim: Option<&Value>) -> bool {
        let claim = match (self, claim) {
            (Matcher::Present(wanted), claim) => return *wanted == claim.is_some_and(|value| !value.is_null()),
            (_, None) => return false,
            (_, Some(claim)) => claim,
        };
        match self {
            Matcher::Exact(value) => contains(claim, |found| equal(found, value)),
            Matcher::OneOf(values) => contains(claim, |found| values.iter().any(|value| equal(found, value))),
            Matcher::Pattern { pattern, .. } => {
                contains(claim, |found| found.as_str().is_some_and(|s| pattern.is_match(s)))
            }
            Matcher::Prefix(prefix) => contains(claim, |found| found.as_str().is_some_and(|s| s.starts_with(prefix))),
            Matcher::Not(inner) => !claim.is_null() && !inner.holds(Some(claim)),
            Matcher::Present(wanted) => *wanted,
        }
    }

    /// Whether it tells callers apart by the claim's value.
    pub(super) fn says_who(&self) -> bool {
        match self {
            Matcher::Exact(_) | Matcher::OneOf(_) | Matcher::Pattern { .. } | Matcher::Prefix(_) => true,
            Matcher::Present(_) | Matcher::Not(_) => false,
        }
    }

    /// In a policy author's words.
    pub(super) fn describe(&self) -> String {
        match self {
            Matcher::Exact(value) => value.to_string(),
            Matcher::OneOf(values) => {
                let listed: Vec<String> = values.iter().map(ToString::to_string).collect();
                format!("one of [{}]", listed.join(", "))
            }
            Matcher::Pattern { source, .. } => source.clone(),
            Matcher::Prefix(prefix) => format!("prefix {prefix:?}"),
            Matcher::Present(true) => "present".to_owned(),
            Matcher::Present(false) => "absent".to_owned(),
            Matcher::Not(inner) => format!("not {}", inner.describe()),
        }
    }

    /// Whether it names the value, or values, it admits: what a tenant pin must do.
    pub(super) fn is_exact(&self) -> bool {
        matches!(self, Matcher::Exact(_) | Matcher::OneOf(_))
    }
}

fn contains(claim: &Value, mut holds: impl FnMut(&Value) -> bool) -> bool {
    match claim {
        Value::Array(items) => items.iter().any(holds),
        value => holds(value),
    }
}

/// JSON has one number type: 1 and 1.0 are equal. Whole numbers are compared as such: as floating-point numbers, two
/// neighbours beyond 2^53 would be equal.
fn equal(found: &Value, wanted: &Value) -> bool {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match (found, wanted) {
        (Value::Number(found), Value::Number(wanted)) if found.is_f64() || wanted.is_f64() => {
            let both = found.as_f64().zip(wanted.as_f64());
            both.is_some_and(|(found, wanted)| found == wanted && found.abs() < EXACT)
        }
        (found, wanted) => found == wanted,
    }
}

/// A line: where to look, and what must be there.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) selector: Selector,
    pub(super) matcher: Matcher,
}

impl Line {
    pub(super) fn holds(&self, claims: &Map<String, Value>) -> bool {
        self.matcher.holds(self.selector.select(claims))
    }

    /// Whether it names the values of this claim that it admits.
    pub(super) fn pins(&self, claim: &str) -> bool {
        self.selector.source() == claim && self.matcher.is_exact()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_compare_by_type() {
        let exact = |value: Value, claim: Value| Matcher::Exact(value).holds(Some(&claim));
        assert!(exact(json!("65"), json!("65")) && exact(json!(1), json!(1.0)) && exact(json!("a"), json!(["b", "a"])));
        assert!(
            !exact(json!(65), json!("65")) && !exact(json!(true), json!("true")) && !exact(json!("a"), json!(null))
        );
    }

    #[test]
    fn whole_numbers_compare_exactly() {
        let equal = |left: Value, right: Value| equal(&left, &right);
        assert!(!equal(json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992_i64)));
        assert!(!equal(json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992.0)));
        assert!(
            equal(json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_993_i64)) && equal(json!(1.0), json!(1))
        );
    }

    #[test]
    fn only_an_asked_for_absence_admits_an_absent_claim() {
        let not = Matcher::Not(Box::new(Matcher::Exact(json!("a"))));
        assert!(!not.holds(None) && !not.holds(Some(&json!(null))) && not.holds(Some(&json!("b"))));
        assert!(!not.holds(Some(&json!(["a", "b"]))));
        assert!(Matcher::Present(false).holds(None) && !Matcher::Present(true).holds(None));
        assert!(!Matcher::Exact(json!(null)).holds(None));
    }

    #[test]
    fn a_key_is_a_literal_name_unless_it_is_a_pointer() {
        let claims = json!({ "a/b": "x", "kubernetes.io": { "namespace": "n", "l": ["p", "q"] }, "o~/": { "x": 1 } });
        let claims = claims.as_object().unwrap();
        let select = |key: &str| Selector::parse(key).select(claims).cloned();
        assert_eq!(select("a/b"), Some(json!("x")));
        assert_eq!(select("/kubernetes.io/namespace"), Some(json!("n")));
        assert_eq!(select("/kubernetes.io/l/1"), Some(json!("q")));
        assert_eq!(select("/o~0~1/x"), Some(json!(1)));
        assert_eq!(select("/kubernetes.io/l/01"), None);
        assert_eq!(select("kubernetes.io.namespace"), None);
        assert_eq!(Selector::parse("/o~0~1/x").claim(), "o~/");
    }
}
