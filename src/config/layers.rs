//! Defaults, file and environment, merged by the `config` crate, and turned back into nodes that know where they stand.
//!
//! In: the file's text and the environment. Out: one [`Node`] in which every value has the place it was set at.
//! Not here: what the fields mean.

use config::{ConfigError, Map, Value, ValueKind};

use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source};
use crate::yaml::{self, Entry, Node, Yaml};

use super::environment;
use super::text::Text;

/// What holds when neither the file nor the environment says otherwise. `admin.socket` follows `data`.
const DEFAULTS: &str = "
listen: 127.0.0.1:8443
data: ./data
policies: ./policies
trust_bundles: ./trust-bundles
services: ./services
reload: { watch: true, every: 2s }
token: { lifetime: 15m, max_lifetime: 1h, signing_algorithm: ES256 }
signing: { rotate_every: 30d, jwks_max_age: 5m }
";

/// All trees hang under one key: the crate reads a top-level key as a path expression (`a.b`), deeper ones literally.
const ROOT: &str = "countersign";

/// The merged configuration; `None`, and a fault, when the file cannot be read as one mapping.
pub(super) fn merge(text: &Text, environment: &[(String, String)], faults: &mut Diagnostics) -> Option<Node> {
    let file = text.mapping(faults)?;
    let environment = environment::layer(environment, &file, text.shown(), faults);
    let defaults = nowhere(yaml::documents(&Source::new("defaults", DEFAULTS), faults).pop()?);
    let builder = config::Config::builder()
        .add_source(Layer(defaults.clone()))
        .add_source(Layer(file.clone()))
        .add_source(Layer(environment.clone()));
    match builder.build() {
        Ok(mut merged) => take_root(&mut merged.cache).map(|value| node(&value, &[&file, &environment, &defaults])),
        Err(error) => {
            faults.push(Diagnostic::file(text.shown().path(), format!("cannot be merged: {error}")));
            None
        }
    }
}

/// A default stands on no line of the operator's file.
fn nowhere(node: Node) -> Node {
    let value = match node.value {
        Yaml::Mapping(entries) => Yaml::Mapping(
            entries
                .into_iter()
                .map(|entry| Entry { key: entry.key, key_place: Place::File, value: nowhere(entry.value) })
                .collect(),
        ),
        other => other,
    };
    Node { place: Place::File, value }
}

fn take_root(merged: &mut Value) -> Option<Value> {
    match &mut merged.kind {
        ValueKind::Table(table) => table.remove(ROOT),
        _ => None,
    }
}

/// One tree as a source of the `config` crate; a value's origin is the place it was set at.
#[derive(Debug, Clone)]
struct Layer(Node);

impl config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(Map::from([(ROOT.to_owned(), value(&self.0))]))
    }
}

fn value(node: &Node) -> Value {
    let kind = match &node.value {
        Yaml::Null => ValueKind::Nil,
        Yaml::Bool(value) => ValueKind::Boolean(*value),
        Yaml::Int(number) => ValueKind::I64(*number),
        Yaml::Float(number) => ValueKind::Float(*number),
        Yaml::String(text) => ValueKind::String(text.clone()),
        Yaml::Sequence(items) => ValueKind::Array(items.iter().map(value).collect()),
        Yaml::Mapping(entries) => {
            ValueKind::Table(entries.iter().map(|entry| (entry.key.clone(), value(&entry.value))).collect())
        }
    };
    Value::new(origin(&node.place).as_ref(), kind)
}

/// `LINE:COLUMN:WIDTH`, or a variable's name, which cannot start with a digit.
fn origin(place: &Place) -> Option<String> {
    match place {
        Place::At { line, column, width } => Some(format!("{line}:{column}:{width}")),
        Place::Environment(variable) => Some(variable.clone()),
        Place::File => None,
    }
}

fn place(origin: Option<&str>) -> Place {
    let Some(origin) = origin else { return Place::File };
    let mut numbers = origin.split(':').map(str::parse::<usize>);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(line)), Some(Ok(column)), Some(Ok(width))) => Place::At { line, column, width },
        _ => Place::Environment(origin.to_owned()),
    }
}

/// A merged value as a node. The merge keeps the origins of values, not those of tables and of keys, nor their order:
/// those come from the layers, the first that has them.
fn node(merged: &Value, layers: &[&Node]) -> Node {
    let own_place = place(merged.origin());
    let value = match &merged.kind {
        // A field set to nothing counts as absent, so a lower layer's value still holds.
        ValueKind::Nil => match layers.iter().find(|layer| layer.value != Yaml::Null) {
            Some(lower) => return Node::clone(lower),
            None => Yaml::Null,
        },
        ValueKind::Boolean(value) => Yaml::Bool(*value),
        ValueKind::I64(number) => Yaml::Int(*number),
        ValueKind::Float(number) => Yaml::Float(*number),
        ValueKind::Array(items) => Yaml::Sequence(items.iter().map(|item| node(item, &[])).collect()),
        ValueKind::Table(table) => return mapping(table, layers, own_place),
        other => Yaml::String(other.to_string()),
    };
    Node { place: own_place, value }
}

fn mapping(table: &Map<String, Value>, layers: &[&Node], own_place: Place) -> Node {
    let layers: Vec<(&Place, &[Entry])> = layers
        .iter()
        .filter_map(|layer| match &layer.value {
            Yaml::Mapping(entries) => Some((&layer.place, entries.as_slice())),
            _ => None,
        })
        .collect();
    let mut keys: Vec<&String> = Vec::new();
    for key in layers.iter().flat_map(|(_, entries)| entries.iter().map(|entry| &entry.key)).chain(table.keys()) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let entry = |key: &String| {
        let set: Vec<&Entry> =
            layers.iter().filter_map(|(_, entries)| entries.iter().find(|entry| entry.key == *key)).collect();
        let value = node(table.get(key)?, &set.iter().map(|entry| &entry.value).collect::<Vec<_>>());
        let key_place = match (&value.place, set.first()) {
            (Place::At { .. }, Some(entry)) => entry.key_place.clone(),
            (place, _) => place.clone(),
        };
        Some(Entry { key: key.clone(), key_place, value })
    };
    let entries = keys.into_iter().filter_map(entry).collect();
    Node { place: layers.first().map_or(own_place, |(place, _)| Place::clone(place)), value: Yaml::Mapping(entries) }
}
