//! The rules of deciding as docs/policies.md states them, over the documents as they are written: slow, obvious, and
//! without a line of the broker's own code.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What the rules say of one set of claims.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Admitted {
        user: String,
        scopes: BTreeSet<String>,
        policies: Vec<String>,
    },
    /// With every cause that the rules would allow to be named.
    Refused(BTreeSet<&'static str>),
}

enum Verdict {
    Silent,
    Error,
    Admits(String),
}

/// Decides. `today` is a date as in `expires`.
pub(crate) fn decide(policies: &[Value], claims: &Map<String, Value>, wanted: Option<&str>, today: &str) -> Outcome {
    let mut causes = BTreeSet::new();
    let mut users = BTreeSet::new();
    let mut admitting = Vec::new();
    for policy in policies.iter().filter(|policy| policy["mode"] != "shadow") {
        match verdict(policy, claims, wanted, today) {
            Verdict::Silent => {}
            Verdict::Error => {
                causes.insert("policy.evaluation_error");
            }
            Verdict::Admits(user) => {
                users.insert(user);
                admitting.push(policy);
            }
        }
    }
    if users.len() > 1 {
        causes.insert("policy.ambiguous");
    }
    if !causes.is_empty() {
        return Outcome::Refused(causes);
    }
    let Some(user) = users.into_iter().next() else { return Outcome::Refused(["policy.none"].into()) };
    if !share_an_audience(&admitting) {
        return Outcome::Refused(["policy.token_terms"].into());
    }
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    Outcome::Admitted {
        user,
        scopes: admitting.iter().flat_map(|policy| texts(&policy["scopes"])).collect(),
        policies: admitting.iter().filter_map(|policy| policy["policy"].as_str()).map(str::to_owned).collect(),
    }
}

fn verdict(policy: &Value, claims: &Map<String, Value>, wanted: Option<&str>, today: &str) -> Verdict {
    let has_ended = policy["expires"].as_str().is_some_and(|last_day| today > last_day);
    let lines = policy["match"].as_object().unwrap();
    if has_ended || !lines.iter().all(|(key, line)| holds(line, select(key, claims))) {
        return Verdict::Silent;
    }
    let user = policy["user"].as_str().unwrap();
    // Only the wanted user's policies count, so far as it can be known whose a policy is.
    let name = fill(user, claims).filter(|name| is_user_name(name));
    if wanted.is_some_and(|wanted| name.as_deref().is_some_and(|name| name != wanted)) {
        return Verdict::Silent;
    }
    match policy["condition"].as_str().map(|text| condition(text, claims)) {
        None | Some(Some(true)) => {}
        Some(Some(false)) => return Verdict::Silent,
        Some(None) => return Verdict::Error,
    }
    let attributes = policy["attributes"].as_object().into_iter().flatten();
    let all_filled =
        attributes.map(|(_, template)| fill(template.as_str().unwrap(), claims)).all(|text| text.is_some());
    match name {
        Some(name) if all_filled => Verdict::Admits(name),
        _ => Verdict::Error,
    }
}

/// A key is a name, or a JSON Pointer when it begins with a slash.
fn select<'a>(key: &str, claims: &'a Map<String, Value>) -> Option<&'a Value> {
    let Some(pointer) = key.strip_prefix('/') else { return claims.get(key) };
    let (first, rest) =
        pointer.split_once('/').map_or((pointer, String::new()), |(first, rest)| (first, format!("/{rest}")));
    claims.get(first)?.pointer(&rest)
}

fn holds(line: &Value, claim: Option<&Value>) -> bool {
    let is_there = claim.is_some_and(|claim| !claim.is_null());
    if let Some(wanted) = line.get("present") {
        return is_there == wanted.as_bool().unwrap();
    }
    let Some(claim) = claim.filter(|_| is_there) else { return false };
    if let Some(inner) = line.get("not") {
        return !holds(inner, Some(claim));
    }
    let items = claim.as_array().map_or(std::slice::from_ref(claim), Vec::as_slice);
    items.iter().any(|item| item_holds(line, item))
}

fn item_holds(line: &Value, item: &Value) -> bool {
    let text: Option<Vec<char>> = item.as_str().map(|text| text.chars().collect());
    let chars = |pattern: &Value| pattern.as_str().unwrap().chars().collect::<Vec<char>>();
    match line {
        Value::Array(values) => values.iter().any(|value| same(value, item)),
        Value::Object(operator) => {
            let (name, pattern) = operator.iter().next().unwrap();
            text.is_some_and(|text| match name.as_str() {
                "glob" => glob(&chars(pattern), &text),
                "regex" => regular(pattern.as_str().unwrap(), &text.iter().collect::<String>()),
                "prefix" => text.starts_with(&chars(pattern)),
                other => panic!("no matcher {other}"),
            })
        }
        value => same(value, item),
    }
}

/// By type; and 1 is 1.0.
fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

/// `*` takes anything but `/` and `:`, `**` anything but `:`.
fn glob(pattern: &[char], value: &[char]) -> bool {
    let takes = |rest: &[char], never: &[char]| {
        let free = value.iter().take_while(|character| !never.contains(character)).count();
        (0..=free).any(|end| glob(rest, &value[end..]))
    };
    match pattern {
        [] => value.is_empty(),
        ['*', '*', rest @ ..] => takes(rest, &[':']),
        ['*', rest @ ..] => takes(rest, &['/', ':']),
        [first, rest @ ..] => value.first() == Some(first) && glob(rest, &value[1..]),
    }
}

/// The few expressions that the generator writes.
fn regular(expression: &str, value: &str) -> bool {
    match expression {
        "x|y" => value == "x" || value == "y",
        "x+" => !value.is_empty() && value.chars().all(|character| character == 'x'),
        "[xy]/.*" => value.starts_with("x/") || value.starts_with("y/"),
        other => panic!("no regular expression {other}"),
    }
}

/// The few conditions that the generator writes; `None` when they cannot be evaluated.
fn condition(text: &str, claims: &Map<String, Value>) -> Option<bool> {
    match text {
        "claims.a == \"x\"" => claims.get("a").map(|claim| claim.as_str() == Some("x")),
        "has(claims.b)" => Some(claims.contains_key("b")),
        "has(claims.b) && claims.b != \"y\"" => Some(claims.get("b").is_some_and(|claim| claim.as_str() != Some("y"))),
        other => panic!("no condition {other}"),
    }
}

/// The texts and claims of a template; `None` when a claim is absent, empty, or no single value.
fn fill(template: &str, claims: &Map<String, Value>) -> Option<String> {
    let Some((before, rest)) = template.split_once('{') else { return Some(template.to_owned()) };
    let (name, after) = rest.split_once('}').unwrap();
    let value = match select(name, claims)? {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => return None,
    };
    Some(format!("{before}{value}{}", fill(after, claims)?))
}

fn is_user_name(text: &str) -> bool {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.@:/+~=".contains(character);
    !text.is_empty() && text.len() <= 256 && text.chars().all(plain)
}

/// Whether the lists of audiences, where there are any, have one in common.
fn share_an_audience(policies: &[&Value]) -> bool {
    let mut lists = policies.iter().filter_map(|policy| policy["token"]["audiences"].as_array());
    let Some(first) = lists.next() else { return true };
    let others: Vec<_> = lists.collect();
    first.iter().any(|audience| others.iter().all(|list| list.contains(audience)))
}
