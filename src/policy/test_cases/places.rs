//! Where the parts of a policy are written. Compiled policies do not keep it: a million of them need it never.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::diagnostic::{Diagnostics, Place, Source};
use crate::policy::Policy;
use crate::vocab::PolicyName;
use crate::yaml::{self, Entry, Node, Yaml};

/// The policy files that were asked about, as they are now.
#[derive(Default)]
pub(super) struct Places {
    files: HashMap<PathBuf, Vec<Node>>,
}

impl Places {
    /// `NAME (FILE:LINE)`.
    pub(super) fn describe(&self, policy: &Policy) -> String {
        format!("{} ({}:{})", policy.name, policy.file.display(), policy.line)
    }

    /// The line of a key of `match`, or of a field; that of the policy where it cannot be told.
    pub(super) fn of_part(&mut self, policy: &Policy, part: &str) -> usize {
        let first = policy.line as usize;
        let documents = self.files.entry(policy.file.to_path_buf()).or_insert_with_key(|file| {
            let unreadable = &mut Diagnostics::new();
            let source = Source::read(file, unreadable);
            source.map(|source| yaml::documents(&source, unreadable)).unwrap_or_default()
        });
        let Some(document) = documents.iter().find(|document| is_of(document, &policy.name)) else { return first };
        let matched = field(document, "match").and_then(|entry| field(&entry.value, part));
        let found = matched.or_else(|| field(document, part)).map(|entry| &entry.key_place);
        if let Some(Place::At { line, .. }) = found { *line } else { first }
    }
}

fn is_of(document: &Node, policy: &PolicyName) -> bool {
    field(document, "policy").is_some_and(|entry| entry.value.value == Yaml::String(policy.to_string()))
}

fn field<'a>(node: &'a Node, name: &str) -> Option<&'a Entry> {
    match &node.value {
        Yaml::Mapping(entries) => entries.iter().find(|entry| entry.key == name),
        _ => None,
    }
}
