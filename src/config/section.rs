//! One mapping of the file, read field by field; every fault shows how the field is written.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source};
use crate::yaml::{self, Entry, Fields, Node, Yaml, duration_text};

use super::schema::{Field, Shape};

/// A mapping whose fields are all known.
pub(super) struct Section<'a> {
    source: &'a Source,
    fields: Fields<'a>,
    known: &'static [Field],
}

impl<'a> Section<'a> {
    /// Opens a mapping; unknown fields are reported. `None`, and a fault, when it is no mapping.
    pub(super) fn open(
        source: &'a Source,
        node: &'a Node,
        (what, known): (&'static str, &'static [Field]),
        faults: &mut Diagnostics,
    ) -> Option<Section<'a>> {
        if !matches!(node.value, Yaml::Mapping(_)) {
            let message = format!("{what} must be a mapping, found {}", node.value.type_name());
            let fix = format!("write its fields, as in `{}`", Shape::Fields(known).example());
            faults.push(Diagnostic::error(source, &node.place, "type", message).fix(fix));
            return None;
        }
        let names: Vec<&'static str> = known.iter().map(|(name, _)| *name).collect();
        Some(Section { source, fields: Fields::open(source, node, what, &names, faults)?, known })
    }

    /// The mapping under a field.
    pub(super) fn section(
        &self,
        name: &str,
        what: (&'static str, &'static [Field]),
        faults: &mut Diagnostics,
    ) -> Option<Section<'a>> {
        Section::open(self.source, self.fields.node(name)?, what, faults)
    }

    /// The field's entry, if it is set.
    pub(super) fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.fields.entry(name)
    }

    /// Whether the field is set.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Whether the field's value is a default.
    pub(super) fn is_default(&self, name: &str) -> bool {
        self.entry(name).is_some_and(|entry| entry.value.place == Place::File)
    }

    /// A fault at the field's value, or at the mapping when it is not set.
    pub(super) fn fault(&self, name: &str, id: &'static str, message: impl Into<String>) -> Diagnostic {
        let place = self.entry(name).map_or(self.fields.place, |entry| &entry.value.place);
        self.fields.fault(place, id, message)
    }

    /// A fault at the field's name.
    pub(super) fn fault_at_key(&self, name: &str, id: &'static str, message: impl Into<String>) -> Diagnostic {
        let place = self.entry(name).map_or(self.fields.place, |entry| &entry.key_place);
        self.fields.fault(place, id, message)
    }

    /// Reports a field that must be set and is not.
    pub(super) fn require(&self, name: &str, faults: &mut Diagnostics) {
        self.fields.require(name, &format!("add `{name}: {}`", self.example(name)), faults);
    }

    /// The field as text, read by `parse`.
    pub(super) fn text<T, E: Display>(
        &self,
        name: &str,
        faults: &mut Diagnostics,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.value(name, self.fields.node(name)?, faults, parse)
    }

    /// The field as a list of texts (one text counts as a list of one), each read by `parse`; empty is a fault.
    pub(super) fn list<T, E: Display>(
        &self,
        name: &str,
        faults: &mut Diagnostics,
        mut parse: impl FnMut(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let node = self.fields.node(name)?;
        let Yaml::Sequence(items) = &node.value else {
            return self.value(name, node, faults, parse).map(|value| vec![value]);
        };
        if items.is_empty() {
            let fault = self.fault(name, "value", format!("`{name}` must not be empty"));
            faults.push(fault.fix(format!("{}, or leave `{name}` out", self.written(name))));
        }
        Some(items.iter().filter_map(|item| self.value(name, item, faults, &mut parse)).collect())
    }

    fn value<T, E: Display>(
        &self,
        name: &str,
        node: &Node,
        faults: &mut Diagnostics,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (id, message) = match &node.value {
            Yaml::String(text) => match parse(text) {
                Ok(value) => return Some(value),
                Err(error) => ("value", format!("`{name}`: {error}")),
            },
            other => ("type", format!("`{name}` must be a string, found {}", other.type_name())),
        };
        faults.push(self.fields.fault(&node.place, id, message).fix(self.written(name)));
        None
    }

    /// The field as a boolean.
    pub(super) fn boolean(&self, name: &str, faults: &mut Diagnostics) -> Option<bool> {
        let node = self.fields.node(name)?;
        if let Yaml::Bool(value) = node.value {
            return Some(value);
        }
        let message = format!("`{name}` must be true or false, found {}", node.value.type_name());
        faults.push(self.fault(name, "type", message).fix("write true or false, without quotes"));
        None
    }

    /// The field as a boolean that is false unless set.
    pub(super) fn flag(&self, name: &str, faults: &mut Diagnostics) -> bool {
        self.boolean(name, faults).unwrap_or(false)
    }

    /// The field as a duration within these limits.
    pub(super) fn duration(
        &self,
        name: &str,
        (shortest, longest): (Duration, Duration),
        faults: &mut Diagnostics,
    ) -> Option<Duration> {
        self.text(name, faults, |text| match yaml::duration(text) {
            Err(rule) => Err(rule.to_owned()),
            Ok(found) if found < shortest => Err(format!("must be at least {}", duration_text(shortest))),
            Ok(found) if found > longest => Err(format!("must be at most {}", duration_text(longest))),
            Ok(found) => Ok(found),
        })
    }

    /// The field as a path; a relative one starts at `base`.
    pub(super) fn path(&self, name: &str, base: &Path, faults: &mut Diagnostics) -> Option<PathBuf> {
        self.text(name, faults, |text| match text {
            "" => Err("must not be empty"),
            _ if text.contains('\0') => Err("must not have a NUL character"),
            // Collecting the components drops the `.` in the middle of `./data/./x`.
            _ => Ok(base.join(text).components().collect()),
        })
    }

    /// The field as the path of a file that exists.
    pub(super) fn existing_file(&self, name: &str, base: &Path, faults: &mut Diagnostics) -> Option<PathBuf> {
        let path = self.path(name, base, faults)?;
        let message = match std::fs::metadata(&path) {
            Ok(found) if !found.is_dir() => return Some(path),
            Ok(_) => format!("`{name}`: {} is a directory", path.display()),
            Err(error) => format!("`{name}`: {}: {error}", path.display()),
        };
        let fix = format!("create it, or correct the path (relative paths start at {})", base.display());
        faults.push(self.fault(name, "missing-file", message).fix(fix));
        None
    }

    fn example(&self, name: &str) -> String {
        self.known.iter().find(|(known, _)| *known == name).map(|(_, shape)| Shape::example(shape)).unwrap_or_default()
    }

    fn written(&self, name: &str) -> String {
        format!("write it as in `{name}: {}`", self.example(name))
    }
}
