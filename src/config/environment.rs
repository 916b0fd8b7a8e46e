//! `COUNTERSIGN__SECTION__FIELD`: environment variables as a layer over the file.
//!
//! A segment names a key of the file or of the schema, whatever its case and with `_` for `-` and `.`, because a
//! variable's name can have neither. `COUNTERSIGN_CONFIG` has one underscore and so is no setting.

use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source};
use crate::yaml::{Entry, Node, Yaml};

use super::schema::{CONFIG, Shape};

/// What a setting's variable starts with.
const PREFIX: &str = "COUNTERSIGN__";

/// The settings among these variables, as a tree that merges over `file`.
pub(super) fn layer(environment: &[(String, String)], file: &Node, source: &Source, faults: &mut Diagnostics) -> Node {
    let mut root = Node { place: Place::File, value: Yaml::Mapping(Vec::new()) };
    let mut settings: Vec<_> =
        environment.iter().filter_map(|(name, text)| Some((name, name.strip_prefix(PREFIX)?, text))).collect();
    settings.sort_unstable();
    for (variable, path, text) in settings {
        let place = Place::Environment(variable.clone());
        match resolve(path, file) {
            Ok((keys, shape)) => insert(&mut root, &keys, &place, typed(text, shape, &place)),
            Err(message) => {
                let fault = Diagnostic::error(source, &place, "environment", message);
                faults.push(fault.fix(format!("name a field, as in {PREFIX}TOKEN__LIFETIME")));
            }
        }
    }
    root
}

const WHOLE_FILE: Shape = Shape::Fields(CONFIG);

/// The keys that a variable's path means, and the shape of what it sets. An unknown name stays as it is, for the
/// reader to report it as it does in the file.
fn resolve(path: &str, file: &Node) -> Result<(Vec<String>, Option<&'static Shape>), String> {
    let mut keys = Vec::new();
    let mut shape: Option<&'static Shape> = Some(&WHOLE_FILE);
    let mut node = Some(file);
    for segment in path.split("__") {
        if segment.is_empty() {
            return Err("its name has an empty part between double underscores".to_owned());
        }
        let key = key(segment, shape, node)?;
        shape = match shape {
            Some(Shape::Fields(fields) | Shape::BooleanOrFields(fields)) => {
                fields.iter().find(|(name, _)| *name == key).map(|(_, shape)| shape)
            }
            Some(Shape::Named(each)) => Some(each),
            _ => None,
        };
        node = node.and_then(|node| entries(node).iter().find(|entry| entry.key == key)).map(|entry| &entry.value);
        keys.push(key);
    }
    Ok((keys, shape))
}

fn key(segment: &str, shape: Option<&Shape>, node: Option<&Node>) -> Result<String, String> {
    if let Some(Shape::Fields(fields) | Shape::BooleanOrFields(fields)) = shape {
        let known = fields.iter().find(|(name, _)| folded(name) == folded(segment));
        return Ok(known.map_or_else(|| segment.to_ascii_lowercase(), |(name, _)| (*name).to_owned()));
    }
    let mut same = node.map(entries).unwrap_or_default().iter().filter(|entry| folded(&entry.key) == folded(segment));
    match (same.next(), same.next()) {
        (Some(first), Some(second)) => {
            Err(format!("`{segment}` could be `{}` or `{}`; set it in the file", first.key, second.key))
        }
        (Some(only), None) => Ok(only.key.clone()),
        (None, _) => Ok(folded(segment)),
    }
}

fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Yaml::Mapping(entries) => entries,
        _ => &[],
    }
}

/// The variable's text as a value of the field's shape; text that does not fit stays a string, for the reader to
/// refuse.
fn typed(text: &str, shape: Option<&Shape>, place: &Place) -> Yaml {
    let string = || Yaml::String(text.to_owned());
    match shape {
        Some(Shape::Boolean | Shape::BooleanOrText(_) | Shape::BooleanOrFields(_)) => {
            text.parse().map_or_else(|_| string(), Yaml::Bool)
        }
        Some(Shape::List(_)) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let node = |item: &str| Node { place: place.clone(), value: Yaml::String(item.to_owned()) };
            Yaml::Sequence(items.map(node).collect())
        }
        _ => string(),
    }
}

fn insert(node: &mut Node, keys: &[String], place: &Place, value: Yaml) {
    let Some((first, rest)) = keys.split_first() else {
        *node = Node { place: place.clone(), value };
        return;
    };
    if !matches!(node.value, Yaml::Mapping(_)) {
        node.value = Yaml::Mapping(Vec::new());
    }
    let Yaml::Mapping(entries) = &mut node.value else { return };
    if let Some(entry) = entries.iter_mut().find(|entry| entry.key == *first) {
        return insert(&mut entry.value, rest, place, value);
    }
    let mut inner = Node { place: place.clone(), value: Yaml::Null };
    insert(&mut inner, rest, place, value);
    entries.push(Entry { key: first.clone(), key_place: place.clone(), value: inner });
}
