//! What a case is about: the claims of a fixture, with changes.

use serde_json::{Map, Value};

use super::case::GIVEN_FIELDS;
use super::fixture_names;
use crate::diagnostic::{Diagnostic, Diagnostics, Source};
use crate::kind::IssuerKind;
use crate::policy::matcher::Selector;
use crate::vocab::IssuerName;
use crate::yaml::{Entry, Fields, Node, Yaml};

/// Claims, and whose they are.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    pub(super) claims: Map<String, Value>,
    /// The issuer that the file names.
    pub(super) issuer: Option<String>,
    /// Whether the file says what `iss` is; otherwise it is the fixture's.
    pub(super) says_iss: bool,
    changes: Vec<(String, Value)>,
}

/// Reads `given`; what it does not say is as in `base`.
pub(super) fn read(source: &Source, node: &Node, base: Option<&Given>, faults: &mut Diagnostics) -> Option<Given> {
    let fields = Fields::open(source, node, "`given`", &GIVEN_FIELDS, faults)?;
    let find = |name: &str| {
        let known: Vec<&str> = fixture_names().collect();
        IssuerKind::from_name(name)
            .map(|kind| kind.fixture.claims)
            .ok_or_else(|| format!("there is no fixture of this name; fixtures: {}", known.join(", ")))
    };
    let fixture = fields.parse("fixture", faults, find);
    let issuer = fields.parse("issuer", faults, |text| IssuerName::parse(text).map(|name| name.to_string()));
    if fields.entry("fixture").is_some() && fixture.is_none() || fields.entry("issuer").is_some() && issuer.is_none() {
        return None;
    }
    let mut given = match fixture {
        Some(text) => Given { claims: crate::json::object(text.as_bytes()).ok()?, ..Given::default() },
        None => base.cloned().unwrap_or_default(),
    };
    given.issuer = issuer.or_else(|| base.and_then(|base| base.issuer.clone()));
    if fixture.is_some() {
        for (key, value) in base.map(|base| base.changes.clone()).unwrap_or_default() {
            given.change(key, value);
        }
    }
    match fields.node("claims").map(|node| (&node.value, &node.place)) {
        Some((Yaml::Mapping(entries), _)) => {
            for Entry { key, value, key_place } in entries {
                if !given.change(key.clone(), to_json(value)) {
                    let message = format!("the claims have no list item at `{key}`");
                    let fault = Diagnostic::error(source, key_place, "value", message);
                    faults.push(fault.fix("name an item that is there, or write the whole list"));
                }
            }
        }
        Some((_, place)) => {
            faults.push(Diagnostic::error(source, place, "type", "`claims` must be a mapping"));
            return None;
        }
        None => {}
    }
    Some(given)
}

impl Given {
    /// Sets a claim, or removes it. A key is as in `match`: a name, or a JSON Pointer.
    /// `false` when a list has no such item.
    fn change(&mut self, key: String, value: Value) -> bool {
        self.says_iss |= key == "iss";
        let done = Selector::parse(&key).set(&mut self.claims, value.clone());
        self.changes.push((key, value));
        done
    }
}

fn to_json(node: &Node) -> Value {
    match &node.value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => Value::Bool(*value),
        Yaml::Int(number) => Value::from(*number),
        Yaml::Float(number) => Value::from(*number),
        Yaml::String(text) => Value::String(text.clone()),
        Yaml::Sequence(items) => Value::Array(items.iter().map(to_json).collect()),
        Yaml::Mapping(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), to_json(&entry.value))).collect())
        }
    }
}
