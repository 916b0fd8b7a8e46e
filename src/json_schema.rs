//! JSON Schema (draft 2020-12) for the files an operator writes, so that an editor completes and checks them.
//!
//! In: the field tables that the readers use, and the documentation's tables, which say what a field means. Out: schemas.
//! Not here: what the fields are (`config`, `policy`, `gateway`), and the rules that only a reader can check.

use serde_json::{Map, Value, json};

/// A name that an operator gives: an issuer's, a policy's, a service's.
pub const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$";
/// A user's name.
pub const USER: &str = "^[A-Za-z0-9][A-Za-z0-9._@:/+~=-]{0,255}$";
/// One scope.
pub const SCOPE: &str = r"^[!#-\[\]-~]{1,256}$";
/// A duration.
pub const DURATION: &str = "^[0-9]{1,9}[smhd]$";
/// A day.
pub const DATE: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$";

/// A page of the documentation: the tables in it whose rows begin with a field's name.
#[derive(Debug, Clone, Copy)]
pub struct Page(pub &'static str);

impl Page {
    /// The last cell of the first row that has this name, in backticks, in its first cell.
    #[must_use]
    pub fn meaning(&self, field: &str) -> Option<&'static str> {
        let rows = self.0.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
        let mut cells = rows.filter_map(|row| Some((row.split_once(" | ")?.0, row.rsplit_once(" | ")?.1)));
        cells.find(|(first, _)| first.split('`').skip(1).step_by(2).any(|name| name == field)).map(|(_, last)| last)
    }

    /// The schema, with what the page says of the field.
    #[must_use]
    pub fn describe(&self, field: &str, mut schema: Value) -> Value {
        if let (Some(members), Some(meaning)) = (schema.as_object_mut(), self.meaning(field)) {
            members.insert("description".to_owned(), Value::from(meaning));
        }
        schema
    }
}

/// A whole schema.
#[must_use]
pub fn document(title: &str, mut schema: Value) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        members.insert("title".to_owned(), title.into());
    }
    schema
}

/// A mapping of these fields and no others.
#[must_use]
pub fn mapping(fields: impl IntoIterator<Item = (&'static str, Value)>, required: &[&str]) -> Value {
    let fields: Map<String, Value> = fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let mut schema = json!({ "type": "object", "properties": fields, "additionalProperties": false });
    if let (Some(members), false) = (schema.as_object_mut(), required.is_empty()) {
        members.insert("required".to_owned(), required.into());
    }
    schema
}

/// Text of this form.
#[must_use]
pub fn text(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

/// Any text.
#[must_use]
pub fn any_text() -> Value {
    json!({ "type": "string" })
}

/// One of these words.
#[must_use]
pub fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> Value {
    json!({ "enum": words.into_iter().collect::<Vec<_>>() })
}

/// A list, of which one may be written as the value alone.
#[must_use]
pub fn list_or_one(item: &Value) -> Value {
    json!({ "anyOf": [item, { "type": "array", "items": item }] })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;
    use crate::vocab::{PolicyName, Scope, UserName};

    #[test]
    fn a_field_means_what_its_row_says() {
        let page = Page("| field | meaning |\n|---|---|\n| `a`, `b.c` | number | the `b` of it |\n| `b` | last |\n");
        assert_eq!(page.meaning("b.c"), Some("the `b` of it"));
        assert_eq!((page.meaning("b"), page.meaning("c")), (Some("last"), None));
    }

    proptest! {
        #[test]
        fn a_pattern_takes_what_the_reader_takes(word in "[ -~é]{0,6}", long in "[a-z]{120,300}") {
            for word in [word, long] {
                let says = |pattern: &str| Regex::new(pattern).unwrap().is_match(&word);
                prop_assert_eq!(says(NAME), PolicyName::parse(&word).is_ok());
                prop_assert_eq!(says(USER), UserName::parse(&word).is_ok());
                prop_assert_eq!(says(SCOPE), Scope::parse(&word).is_ok());
            }
        }

        #[test]
        fn a_duration_is_what_the_reader_takes(word in "[0-9]{0,11}[smhdw ]?") {
            prop_assert_eq!(Regex::new(DURATION).unwrap().is_match(&word), crate::yaml::duration(&word).is_ok());
        }
    }
}
