//! The schema of a service file, from the tables that the reader uses.

use serde_json::{Value, json};

use super::services::{ENTRY_FIELDS, FIELDS, REQUIRED};
use crate::json_schema::{self, NAME, Page, SCOPE, USER, any_text, list_or_one, mapping, text};

/// What the fields mean.
const PAGE: Page = Page(include_str!("../../docs/services.md"));

/// The schema of a service file.
#[must_use]
pub fn json_schema() -> Value {
    let required = REQUIRED.map(|(name, _)| name);
    let fields = FIELDS.into_iter().map(|name| (name, PAGE.describe(name, field(name))));
    json_schema::document("A protected service of Countersign", mapping(fields, &required))
}

fn field(name: &str) -> Value {
    match name {
        "service" => text(NAME),
        "hosts" => some(&any_text()),
        "upstream" => json!({ "type": "string", "pattern": "^http://[^@?#]+$", "examples": ["http://127.0.0.1:9000"] }),
        "allow" => json!({ "type": "array", "items": entry(), "minItems": 1 }),
        "audiences" => list_or_one(&any_text()),
        // A test says when a field is not here.
        _ => Value::Null,
    }
}

fn entry() -> Value {
    let fields = ENTRY_FIELDS.into_iter().map(|name| {
        let schema = match name {
            "scopes" => some(&text(SCOPE)),
            "users" => some(&text(USER)),
            "condition" => any_text(),
            _ => Value::Null,
        };
        (name, PAGE.describe(&format!("allow.{name}"), schema))
    });
    let mut entry = mapping(fields, &[]);
    if let Some(members) = entry.as_object_mut() {
        members.insert("minProperties".to_owned(), 1.into());
    }
    entry
}

/// One, or a list that is not empty.
fn some(item: &Value) -> Value {
    json!({ "anyOf": [item, { "type": "array", "items": item, "minItems": 1 }] })
}
