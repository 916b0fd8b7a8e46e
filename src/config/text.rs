//! The file's text: what is read, and what a fault may quote of it.
//!
//! A fault quotes its line, and an operator who writes a password into a URL must not find it in a log. So the text
//! that faults quote has `*` for the user information of every URL, character for character.

use std::path::Path;

use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source};
use crate::yaml::{self, Node, Yaml};

/// A configuration file's text.
pub(super) struct Text {
    whole: Source,
    shown: Source,
}

impl Text {
    /// Reads the file; `None`, and a fault, when it cannot be read.
    pub(super) fn read(path: &Path, faults: &mut Diagnostics) -> Option<Text> {
        match std::fs::read_to_string(path) {
            Ok(text) => Some(Text { shown: Source::new(path, without_secrets(&text)), whole: Source::new(path, text) }),
            Err(error) => {
                let fix = "name the file with --config or COUNTERSIGN_CONFIG; to see a working one, run \
                           `countersign quickstart`";
                faults.push(Diagnostic::file(path, format!("cannot be read: {error}")).fix(fix));
                None
            }
        }
    }

    /// The text that faults may quote.
    pub(super) fn shown(&self) -> &Source {
        &self.shown
    }

    /// The file's one mapping. An empty file is an empty mapping; `None`, and a fault, when there is another thing.
    pub(super) fn mapping(&self, faults: &mut Diagnostics) -> Option<Node> {
        // Read twice: the faults of the first reading quote the text without secrets, the second has the values.
        let mut found = Diagnostics::new();
        yaml::documents(&self.shown, &mut found);
        let mut documents = yaml::documents(&self.whole, &mut Diagnostics::new()).into_iter();
        let unreadable = found.has_errors();
        faults.extend(found);
        let Some(first) = documents.next() else {
            let empty = Node { place: Place::File, value: Yaml::Mapping(Vec::new()) };
            return (!unreadable).then_some(empty);
        };
        if let Some(second) = documents.next() {
            let fault = Diagnostic::error(&self.shown, &second.place, "yaml", "a configuration is one document");
            faults.push(fault.fix("remove the `---` line and what follows it"));
        }
        match first.value {
            Yaml::Mapping(_) => Some(first),
            Yaml::Null => Some(Node { place: first.place, value: Yaml::Mapping(Vec::new()) }),
            other => {
                let message = format!("a configuration must be a mapping, found {}", other.type_name());
                let fault = Diagnostic::error(&self.shown, &first.place, "type", message);
                faults.push(fault.fix("write fields, as in `issuer: https://broker.example.com`"));
                None
            }
        }
    }
}

/// The text with `*` for everything between a `://` and the last `@` before a space, a quote or the line's end.
fn without_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let authority_end = after.find(|end: char| end.is_whitespace() || end == '"' || end == '\'');
        let (authority, following) = after.split_at(authority_end.unwrap_or(after.len()));
        shown.push_str(before);
        shown.push_str("://");
        match authority.rsplit_once('@') {
            Some((secret, public)) => {
                shown.extend(secret.chars().map(|_| '*'));
                shown.push('@');
                shown.push_str(public);
            }
            None => shown.push_str(authority),
        }
        rest = following;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_is_not_quoted_and_columns_stay() {
        let text = "a: postgres://u:p@ss@h/d\nb: { c: \"https://k@h\", d: https://h/x }\n";
        let shown = without_secrets(text);
        assert_eq!(shown, "a: postgres://******@h/d\nb: { c: \"https://*@h\", d: https://h/x }\n");
        assert_eq!(shown.chars().count(), text.chars().count());
    }
}
