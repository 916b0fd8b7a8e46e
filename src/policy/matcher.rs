//! One line of a policy's `match`: a claim, and what it must be.

use std::sync::Arc;

use serde_json::{Map, Number, Value};
use smol_str::SmolStr;

use super::pattern::{Glob, Regular};

/// Where a line looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selector {
    /// A top-level claim, by its literal name.
    Claim(Box<str>),
    /// A JSON Pointer (RFC 6901) into nested claims.
    Pointer {
        /// As written.
        source: Box<str>,
        /// The top-level claim.
        claim: Box<str>,
        /// The way from there.
        steps: Box<[String]>,
    },
}

impl Selector {
    /// A key that starts with `/` is a pointer, every other key a name.
    pub(super) fn parse(key: &str) -> Selector {
        let Some(pointer) = key.strip_prefix('/') else { return Selector::Claim(key.into()) };
        let mut steps = pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
        let claim = steps.next().unwrap_or_default().into();
        Selector::Pointer { source: key.into(), claim, steps: steps.collect() }
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

    /// The claim and the way from there.
    pub(super) fn path(&self) -> Vec<&str> {
        std::iter::once(self.claim()).chain(self.steps().iter().map(String::as_str)).collect()
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
            Selector::Claim(name) => claims.get(&**name),
            Selector::Pointer { claim, steps, .. } => {
                steps.iter().try_fold(claims.get(&**claim)?, |value, step| match value {
                    Value::Object(members) => members.get(step),
                    Value::Array(items) => items.get(array_index(step)?),
                    _ => None,
                })
            }
        }
    }

    /// Puts a value where it looks, with the objects that lead there; `null` takes the member away. `false` when a list
    /// has no such item.
    pub(super) fn set(&self, claims: &mut Map<String, Value>, value: Value) -> bool {
        let way: Vec<&str> = std::iter::once(self.claim()).chain(self.steps().iter().map(String::as_str)).collect();
        put(claims, &way, value)
    }
}

fn put(members: &mut Map<String, Value>, way: &[&str], value: Value) -> bool {
    let Some((step, rest)) = way.split_first() else { return false };
    if rest.is_empty() && value.is_null() {
        members.remove(*step);
        return true;
    }
    put_into(members.entry(*step).or_insert(Value::Null), rest, value)
}

fn put_into(place: &mut Value, way: &[&str], value: Value) -> bool {
    let Some((step, rest)) = way.split_first() else {
        *place = value;
        return true;
    };
    match place {
        Value::Object(members) => put(members, way, value),
        Value::Array(items) => {
            let item = array_index(step).and_then(|index| items.get_mut(index));
            item.is_some_and(|item| put_into(item, rest, value))
        }
        other => {
            let mut members = Map::new();
            let done = put(&mut members, way, value);
            *other = Value::Object(members);
            done
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

/// A value to compare with. Values compare by type: `65` is not `"65"`, `true` is not `"true"`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    /// A string.
    Text(SmolStr),
    /// A number.
    Number(Number),
    /// A boolean.
    Boolean(bool),
}

impl Scalar {
    /// The JSON value that it is.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Scalar::Text(text) => Value::from(text.as_str()),
            Scalar::Number(number) => Value::Number(number.clone()),
            Scalar::Boolean(value) => Value::Bool(*value),
        }
    }

    /// Whether this JSON value is it.
    pub(super) fn is(&self, found: &Value) -> bool {
        match (self, found) {
            (Scalar::Text(wanted), Value::String(found)) => wanted == found,
            (Scalar::Boolean(wanted), Value::Bool(found)) => wanted == found,
            (Scalar::Number(wanted), Value::Number(found)) => equal(found, wanted),
            _ => false,
        }
    }
}

impl std::fmt::Display for Scalar {
    /// As in JSON.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scalar::Text(text) => Value::from(text.as_str()).fmt(formatter),
            Scalar::Number(number) => number.fmt(formatter),
            Scalar::Boolean(value) => value.fmt(formatter),
        }
    }
}

/// What a claim must be.
#[derive(Debug, Clone)]
pub(super) enum Matcher {
    /// Equal; a list claim must contain it.
    Exact(Scalar),
    /// Equal to one of them.
    OneOf(Arc<[Scalar]>),
    /// Matches this glob, whole.
    Glob(Glob),
    /// Matches this regular expression, whole.
    Regex(Arc<Regular>),
    /// Begins with this text.
    Prefix(Box<str>),
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
            Matcher::Exact(value) => contains(claim, |found| value.is(found)),
            Matcher::OneOf(values) => contains(claim, |found| values.iter().any(|value| value.is(found))),
            Matcher::Glob(glob) => contains_text(claim, |text| glob.is_match(text)),
            Matcher::Regex(regular) => contains_text(claim, |text| regular.is_match(text)),
            Matcher::Prefix(prefix) => contains_text(claim, |text| text.starts_with(&**prefix)),
            Matcher::Not(inner) => !claim.is_null() && !inner.holds(Some(claim)),
            Matcher::Present(wanted) => *wanted,
        }
    }

    /// Whether it tells callers apart by the claim's value.
    pub(super) fn says_who(&self) -> bool {
        !matches!(self, Matcher::Present(_) | Matcher::Not(_))
    }

    /// In a policy author's words.
    pub(super) fn describe(&self) -> String {
        match self {
            Matcher::Exact(value) => value.to_string(),
            Matcher::OneOf(values) => {
                let listed: Vec<String> = values.iter().map(ToString::to_string).collect();
                format!("one of [{}]", listed.join(", "))
            }
            Matcher::Glob(glob) => format!("glob {:?}", glob.source()),
            Matcher::Regex(regular) => format!("regex {:?}", regular.source()),
            Matcher::Prefix(prefix) => format!("prefix {prefix:?}"),
            Matcher::Present(true) => "present".to_owned(),
            Matcher::Present(false) => "absent".to_owned(),
            Matcher::Not(inner) => format!("not {}", inner.describe()),
        }
    }

    /// The values it admits, when it names them one by one: what a tenant pin must do, and what an index can hold.
    pub(super) fn named_values(&self) -> Option<&[Scalar]> {
        match self {
            Matcher::Exact(value) => Some(std::slice::from_ref(value)),
            Matcher::OneOf(values) => Some(values),
            _ => None,
        }
    }

    /// What every text that it admits begins with.
    pub(super) fn beginning(&self) -> Option<&str> {
        match self {
            Matcher::Prefix(prefix) => Some(prefix),
            Matcher::Glob(glob) => Some(glob.beginning()),
            _ => None,
        }
    }
}

fn contains(claim: &Value, mut holds: impl FnMut(&Value) -> bool) -> bool {
    match claim {
        Value::Array(items) => items.iter().any(holds),
        value => holds(value),
    }
}

fn contains_text(claim: &Value, holds: impl Fn(&str) -> bool) -> bool {
    contains(claim, |found| found.as_str().is_some_and(&holds))
}

/// JSON has one number type: 1 and 1.0 are equal. Whole numbers are compared as such: as floating-point numbers, two
/// neighbours beyond 2^53 would be equal.
fn equal(found: &Number, wanted: &Number) -> bool {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !found.is_f64() && !wanted.is_f64() {
        return found == wanted;
    }
    let both = found.as_f64().zip(wanted.as_f64());
    both.is_some_and(|(found, wanted)| found == wanted && found.abs() < EXACT)
}

/// A line: where to look, and what must be there.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) selector: Arc<Selector>,
    pub(super) matcher: Matcher,
}

impl Line {
    pub(super) fn holds(&self, claims: &Map<String, Value>) -> bool {
        self.matcher.holds(self.selector.select(claims))
    }

    /// Whether it names the values of this claim that it admits.
    pub(super) fn pins(&self, claim: &str) -> bool {
        self.selector.source() == claim && self.matcher.named_values().is_some()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scalar(value: Value) -> Scalar {
        match value {
            Value::String(text) => Scalar::Text(text.into()),
            Value::Number(number) => Scalar::Number(number),
            Value::Bool(value) => Scalar::Boolean(value),
            other => panic!("{other} is no scalar"),
        }
    }

    #[test]
    fn values_compare_by_type() {
        let exact = |value: Value, claim: Value| Matcher::Exact(scalar(value)).holds(Some(&claim));
        assert!(exact(json!("65"), json!("65")) && exact(json!(1), json!(1.0)) && exact(json!("a"), json!(["b", "a"])));
        assert!(
            !exact(json!(65), json!("65")) && !exact(json!(true), json!("true")) && !exact(json!("a"), json!(null))
        );
    }

    #[test]
    fn whole_numbers_compare_exactly() {
        let equal = |left: Value, right: Value| scalar(right).is(&left);
        assert!(!equal(json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992_i64)));
        assert!(!equal(json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992.0)));
        assert!(
            equal(json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_993_i64)) && equal(json!(1.0), json!(1))
        );
    }

    #[test]
    fn only_an_asked_for_absence_admits_an_absent_claim() {
        let not = Matcher::Not(Box::new(Matcher::Exact(scalar(json!("a")))));
        assert!(!not.holds(None) && !not.holds(Some(&json!(null))) && not.holds(Some(&json!("b"))));
        assert!(!not.holds(Some(&json!(["a", "b"]))));
        assert!(Matcher::Present(false).holds(None) && !Matcher::Present(true).holds(None));
        assert!(!Matcher::Exact(scalar(json!("a"))).holds(Some(&json!(null))));
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

    #[test]
    fn a_value_is_put_where_a_selector_finds_it() {
        let mut claims = json!({ "a": { "b": 1, "l": ["p", "q"] }, "c": "text" }).as_object().cloned().unwrap();
        let mut set = |key: &str, value: Value| Selector::parse(key).set(&mut claims, value);
        assert!(set("/a/b", json!(2)) && set("/a/l/1", json!("r")) && set("/new/x/y", json!(true)));
        assert!(set("c", Value::Null) && !set("/a/l/2", json!("s")) && set("/a/none", Value::Null));
        assert_eq!(Value::from(claims), json!({ "a": { "b": 2, "l": ["p", "r"] }, "new": { "x": { "y": true } } }));
    }
}
