//! One mapping, field by field, with every fault in it.

use super::{Entry, Node, Yaml};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source, did_you_mean};

/// Reads one mapping's fields and reports what is wrong with them.
pub struct Fields<'a> {
    source: &'a Source,
    entries: &'a [Entry],
    /// Where the mapping stands.
    pub place: &'a Place,
    what: &'static str,
}

impl<'a> Fields<'a> {
    /// Opens a mapping whose fields are all in `known`; unknown ones are reported with the nearest known name. `what`
    /// names the thing in messages ("a policy"). `None`, and a fault, when the node is no mapping.
    pub fn open(
        source: &'a Source,
        node: &'a Node,
        what: &'static str,
        known: &[&'static str],
        faults: &mut Diagnostics,
    ) -> Option<Fields<'a>> {
        let Yaml::Mapping(entries) = &node.value else {
            let message = format!("{what} must be a mapping, found {}", node.value.type_name());
            faults.push(Diagnostic::error(source, &node.place, "type", message));
            return None;
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let message = format!("{what} has no field `{}`", entry.key);
            let fix = match did_you_mean(&entry.key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known fields: {}", known.join(", ")),
            };
            faults.push(Diagnostic::error(source, &entry.key_place, "unknown-field", message).fix(fix));
        }
        Some(Fields { source, entries, place: &node.place, what })
    }

    /// The field's entry, if it is set (a field set to nothing counts as absent).
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == name && entry.value.value != Yaml::Null)
    }

    /// The field's value, if it is set.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&'a Node> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// A fault at a place of this file.
    #[must_use]
    pub fn fault(&self, place: &Place, id: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.source, place, id, message)
    }

    /// Where these bytes of a text of this file stand.
    #[must_use]
    pub fn place_of(&self, node: &Node, bytes: &std::ops::Range<usize>) -> Place {
        node.place_of(self.source, bytes)
    }

    /// The field as a string, read by `parse`; a fault and `None` when it is no string or `parse` refuses it.
    pub fn parse<T, E: std::fmt::Display>(
        &self,
        name: &str,
        faults: &mut Diagnostics,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let node = self.node(name)?;
        self.parse_node(name, node, faults, parse)
    }

    /// Reads a node that must be a string; `name` says what it is.
    pub fn parse_node<T, E: std::fmt::Display>(
        &self,
        name: &str,
        node: &Node,
        faults: &mut Diagnostics,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let Yaml::String(text) = &node.value else {
            let message = format!("`{name}` must be a string, found {}", node.value.type_name());
            let fault = self.fault(&node.place, "type", message);
            let written = match &node.value {
                Yaml::Int(number) => Some(number.to_string()),
                Yaml::Bool(value) => Some(value.to_string()),
                _ => None,
            };
            faults.push(fault.fix(match written {
                Some(written) => format!("quote it: \"{written}\""),
                None => written_as(name),
            }));
            return None;
        };
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                let fault = self.fault(&node.place, "value", format!("`{name}`: {error}"));
                faults.push(fault.fix(written_as(name)));
                None
            }
        }
    }

    /// The field as a list of strings (one string counts as a list of one), each read by `parse`.
    pub fn parse_list<T, E: std::fmt::Display>(
        &self,
        name: &str,
        faults: &mut Diagnostics,
        mut parse: impl FnMut(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let node = self.node(name)?;
        match &node.value {
            Yaml::Sequence(items) => {
                Some(items.iter().filter_map(|item| self.parse_node(name, item, faults, &mut parse)).collect())
            }
            _ => self.parse_node(name, node, faults, &mut parse).map(|value| vec![value]),
        }
    }

    /// The field as a boolean.
    pub fn boolean(&self, name: &str, faults: &mut Diagnostics) -> Option<bool> {
        let node = self.node(name)?;
        if let Yaml::Bool(value) = node.value {
            return Some(value);
        }
        let message = format!("`{name}` must be true or false, found {}", node.value.type_name());
        faults.push(self.fault(&node.place, "type", message).fix("write true or false, without quotes"));
        None
    }

    /// Reports a field that must be set and is not; `fix` shows how.
    pub fn require(&self, name: &str, fix: &str, faults: &mut Diagnostics) {
        if self.entry(name).is_none() {
            let message = format!("{} needs `{name}`", self.what);
            faults.push(self.fault(self.place, "missing-field", message).fix(fix));
        }
    }
}

/// What to write in a field's place: an example where the field has one form.
fn written_as(name: &str) -> String {
    let example = match name {
        "scopes" => "[\"service:my-api\"]",
        "audiences" => "[\"https://my-api.example.com\"]",
        "users" => "[prod-deployer]",
        "hosts" => "[my-api.example.com]",
        "user" => "prod-deployer, or \"gha-{repository_id}\"",
        "mode" => "enforce",
        "expires" => "2027-06-30",
        "lifetime" => "10m",
        "upstream" => "http://127.0.0.1:9000",
        _ => return format!("correct `{name}` as this says"),
    };
    format!("write it as in `{name}: {example}`")
}
