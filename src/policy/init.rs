//! A first policy from claims in hand: everything that makes the workload this one is pinned, and each pin has its test.
//!
//! In: an issuer, and claims that nobody has verified. Out: the texts of a policy file and of its test file. Not here:
//! whether they load (the reader says), and where they are written (`cli`).

use serde_json::{Map, Value};

use super::matcher::Selector;
use crate::issuer::Issuer;
use crate::kind::Narrow;
use crate::vocab::{PolicyName, Scopes, UserName};
use crate::yaml::scalar_text;

/// Longest proposed name, without the issuer's.
const MAX_SLUG: usize = 60;
/// Of a name with more parts, such as a resource's path in Azure, the last one is enough.
const LONGEST_PATH: usize = 6;
/// The column where comments begin, where lines are shorter.
const COMMENT_COLUMN: usize = 44;
/// Longest value that a comment shows, in characters.
const MAX_SHOWN: usize = 80;

/// What the author decides.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The policy's name.
    pub name: PolicyName,
    /// Whom the workload becomes.
    pub user: UserName,
    /// What its tokens may carry.
    pub scopes: Scopes,
}

/// The texts of the two files.
#[derive(Debug, Clone)]
pub struct FirstPolicy {
    /// `NAME.yaml`
    pub policy: String,
    /// `NAME.test.yaml`
    pub test: String,
    /// How many lines `match` has.
    pub lines: usize,
}

/// A line of `match`.
struct Pin<'a> {
    key: &'a str,
    matcher: String,
    /// A value that the line refuses; `null`: the claim's absence.
    another: Value,
    comment: Option<String>,
}

/// Writes a policy that admits these claims, and its tests. Claims of one run (ids of jobs, times, `jti`) are left out:
/// only what the issuer's kind names as lasting is taken.
#[must_use]
pub fn first_policy(issuer: &Issuer, claims: &Map<String, Value>, wish: &Wish) -> FirstPolicy {
    let pins = pins(issuer, claims);
    FirstPolicy {
        policy: policy_text(issuer, claims, wish, &pins),
        test: test_text(issuer, claims, wish, &pins),
        lines: pins.len(),
    }
}

/// A name for the policy and its user: the issuer's, and that of the workload.
#[must_use]
pub fn proposed_name(issuer: &Issuer, claims: &Map<String, Value>) -> Option<PolicyName> {
    let text = |key: &str| Selector::parse(key).select(claims).and_then(Value::as_str);
    let names = issuer.kind().names.iter().filter(|(name, _)| *name != "sub");
    let name = names.filter_map(|(name, _)| text(name)).next().or_else(|| text("sub"))?;
    // Of an address the part before the @, of a path its end.
    let local = name.split_once('@').map_or(name, |(local, _)| local);
    let parts: Vec<&str> = local.split(['/', ':']).filter(|part| !part.is_empty()).collect();
    let kept = if parts.len() > LONGEST_PATH { 1 } else { 2 };
    let end = parts.get(parts.len().saturating_sub(kept)..).unwrap_or_default().join("-");
    let plain = |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '-' };
    let slug: String = end.chars().map(plain).take(MAX_SLUG).collect();
    let words: Vec<&str> = slug.split('-').filter(|word| !word.is_empty()).collect();
    PolicyName::parse(format!("{}-{}", issuer.name(), words.join("-")).trim_end_matches('-')).ok()
}

fn pins<'a>(issuer: &Issuer, claims: &Map<String, Value>) -> Vec<Pin<'a>> {
    let kind = issuer.kind();
    let value_of = |key: &str| Selector::parse(key).select(claims).and_then(only_value);
    let exact = |key: &'static str, only: Option<&str>| {
        let value = value_of(key)?;
        let matcher = scalar_text(value)?;
        let is_wanted = only.is_none_or(|only| value.as_str() == Some(only));
        is_wanted.then(|| Pin { key, matcher, another: another(value), comment: None })
    };
    let ids = kind.immutable.iter().filter_map(|key| exact(key, None));
    let narrows = kind.narrows.iter().filter_map(|narrow| match *narrow {
        Narrow::Value(key) => exact(key, None),
        Narrow::Only(key, value) => exact(key, Some(value)),
        Narrow::Presence(key) => {
            let matcher = "{ present: true }".to_owned();
            value_of(key).map(|_| Pin { key, matcher, another: Value::Null, comment: None })
        }
    });
    let mut pins: Vec<Pin<'_>> = ids.chain(narrows).collect();
    let keys: Vec<&str> = pins.iter().map(|pin| pin.key).collect();
    for pin in pins.iter_mut().filter(|pin| !pin.another.is_null()) {
        let names = kind.names.iter().filter(|(name, id)| *id == pin.key && !keys.contains(name) && *name != "sub");
        pin.comment = names.filter_map(|(name, _)| value_of(name)).next().map(shown);
    }
    pins
}

/// The one value that a claim has; a list of several has none that is safe to choose.
fn only_value(claim: &Value) -> Option<&Value> {
    match claim {
        Value::Array(items) => items.first().filter(|item| items.len() == 1 && is_scalar(item)),
        Value::String(text) if text.is_empty() => None,
        value => Some(value).filter(|value| is_scalar(value)),
    }
}

fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

/// Another value of the same kind: the last part of a path, address or id is another one.
fn another(value: &Value) -> Value {
    match value {
        Value::String(text) if text == "true" => Value::from("false"),
        Value::String(text) => {
            let parent = text.rfind(['/', ':', '@']).map_or("", |end| text.get(..=end).unwrap_or_default());
            let word = if text.ends_with("another") { "other" } else { "another" };
            Value::from(format!("{parent}{word}"))
        }
        Value::Bool(value) => Value::from(!value),
        Value::Number(number) if number.as_i64() == Some(0) => Value::from(1),
        _ => Value::from(0),
    }
}

/// A claim's value for a comment: one line, and nothing a terminal or an editor would act on.
fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let written = scalar_text(&Value::from(text.as_str())).unwrap_or_default();
    let plain = if text.chars().all(|character| (' '..='~').contains(&character)) { text } else { written };
    if plain.chars().count() <= MAX_SHOWN { plain } else { plain.chars().take(MAX_SHOWN).chain(['…']).collect() }
}

fn policy_text(issuer: &Issuer, claims: &Map<String, Value>, wish: &Wish, pins: &[Pin<'_>]) -> String {
    let subject = claims.get("sub").map(shown).unwrap_or_default();
    let mut text = format!(
        "# Made by `countersign policy init` from a token of {subject}.\n# Nobody has verified its signature: see that \
         these are the values you mean. Every line must hold; take one away\n# only where more than this workload is meant.\n"
    );
    text += &format!("policy: {}\nissuer: {}\nmatch:\n", wish.name, issuer.name());
    for pin in pins {
        let line = format!("  {}: {}", key_text(pin.key), pin.matcher);
        text += &commented(&line, pin.comment.as_deref());
    }
    text += &format!("user: {}\n", key_text(wish.user.as_str()));
    let scopes: Vec<String> = wish.scopes.iter().map(|scope| Value::from(scope.as_str()).to_string()).collect();
    let advice = scopes.is_empty().then_some("what its tokens may carry, for instance [\"service:my-api\"]");
    text += &commented(&format!("scopes: [{}]", scopes.join(", ")), advice);
    text
}

fn commented(line: &str, comment: Option<&str>) -> String {
    match comment {
        None => format!("{line}\n"),
        Some(comment) => {
            let room = COMMENT_COLUMN.saturating_sub(line.chars().count()).max(2);
            format!("{line}{}# {comment}\n", " ".repeat(room))
        }
    }
}

fn key_text(key: &str) -> String {
    scalar_text(&Value::from(key)).unwrap_or_default()
}

fn test_text(issuer: &Issuer, claims: &Map<String, Value>, wish: &Wish, pins: &[Pin<'_>]) -> String {
    let mut text = format!(
        "# The claims that `{}` was made from; each case changes one of them.\ngiven:\n  fixture: {}\n  issuer: {}\n  claims:\n",
        wish.name,
        issuer.kind(),
        issuer.name()
    );
    let is_pinned = |id: &str| pins.iter().any(|pin| pin.key == id && !pin.another.is_null());
    let names = issuer.kind().names.iter().filter(|(_, id)| is_pinned(id)).map(|(name, _)| *name);
    let mut written: Vec<&str> = Vec::new();
    for key in ["iss", "sub"].into_iter().chain(pins.iter().map(|pin| pin.key)).chain(names) {
        let value = Selector::parse(key).select(claims).and_then(only_value).and_then(scalar_text);
        if let Some(value) = value.filter(|_| !written.contains(&key)) {
            text += &format!("    {}: {value}\n", key_text(key));
            written.push(key);
        }
    }
    let scopes: Vec<String> = wish.scopes.iter().map(|scope| Value::from(scope.as_str()).to_string()).collect();
    let scopes = if scopes.is_empty() { String::new() } else { format!(", scopes: [{}]", scopes.join(", ")) };
    let user = key_text(wish.user.as_str());
    text += &format!("cases:\n  - name: the workload is admitted\n    expect: {{ user: {user}{scopes} }}\n");
    for pin in pins {
        let (key, another) = (key_text(pin.key), scalar_text(&pin.another));
        let name = match another {
            Some(_) => format!("another {} is not", pin.key),
            None => format!("a token without {} is not", pin.key),
        };
        let another = another.unwrap_or_else(|| "null".to_owned());
        let name = sentence_text(&name);
        text += &format!("  - name: {name}\n    given: {{ claims: {{ {key}: {another} }} }}\n    expect: denied\n");
    }
    text
}

/// A sentence needs no quotes unless something in it means something in YAML.
fn sentence_text(sentence: &str) -> String {
    if sentence.contains(": ") || sentence.contains(" #") {
        Value::from(sentence).to_string()
    } else {
        sentence.to_owned()
    }
}
