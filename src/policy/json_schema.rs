//! The schemas of policies and of their tests, from the tables that the readers use.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::document::{FIELDS, MATCHERS, MODES, REQUIRED, RESERVED, TOKEN_FIELDS};
use super::test_cases::{CASE_FIELDS, CAUSES, EXPECT_FIELDS, FILE_FIELDS, GIVEN_FIELDS, fixture_names};
use crate::issuer::REGISTERED;
use crate::json_schema::{self, DATE, DURATION, NAME, Page, SCOPE, USER, any_text, list_or_one, mapping, one_of, text};
use crate::kind::IssuerKind;

/// What the fields mean.
const PAGE: Page = Page(include_str!("../../docs/policies.md"));

/// The schema of a policy.
#[must_use]
pub fn policy_json_schema() -> Value {
    let required = REQUIRED.map(|(name, _)| name);
    let fields = FIELDS.into_iter().map(|name| (name, PAGE.describe(name, policy_field(name))));
    let mut schema = mapping(fields, &required);
    if let Some(members) = schema.as_object_mut() {
        members.insert("$defs".to_owned(), json!({ "matcher": matcher() }));
    }
    json_schema::document("A trust policy of Countersign", schema)
}

/// The schema of a policy's tests.
#[must_use]
pub fn test_json_schema() -> Value {
    let fields = FILE_FIELDS.into_iter().map(|name| {
        let schema = match name {
            "given" => given(),
            "cases" => json!({ "type": "array", "items": mapping(CASE_FIELDS.map(case_field), &["expect"]) }),
            // A test says when a field is not here; so it is below.
            _ => Value::Null,
        };
        (name, PAGE.describe(name, schema))
    });
    json_schema::document("Tests of trust policies of Countersign", mapping(fields, &["cases"]))
}

fn policy_field(name: &str) -> Value {
    match name {
        "policy" | "issuer" => text(NAME),
        "match" => matched(),
        "condition" | "user" => json!({ "type": "string", "minLength": 1 }),
        "scopes" => list_or_one(&text(SCOPE)),
        "token" => mapping(TOKEN_FIELDS.map(|name| (name, PAGE.describe(&format!("token.{name}"), term(name)))), &[]),
        "attributes" => json!({
            "type": "object", "propertyNames": { "not": one_of(RESERVED) }, "additionalProperties": any_text(),
        }),
        "mode" => one_of(MODES.map(|(name, _)| name)),
        "expires" => text(DATE),
        _ => Value::Null,
    }
}

fn term(name: &str) -> Value {
    match name {
        "lifetime" => text(DURATION),
        "audiences" => list_or_one(&json!({ "type": "string", "minLength": 1 })),
        "within_assertion" => json!({ "type": "boolean" }),
        _ => Value::Null,
    }
}

/// The claims of every kind are named for completion; which of them an issuer has, only its configuration says.
fn matched() -> Value {
    let mut whose: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (claim, claim_type) in REGISTERED {
        whose.entry(claim).or_default().push(claim_type.to_string());
    }
    for kind in IssuerKind::ALL {
        for (claim, claim_type) in kind.claims {
            whose.entry(claim).or_default().push(format!("{kind}: {claim_type}"));
        }
    }
    let (mut names, mut patterns) = (Map::new(), Map::new());
    for (claim, whose) in whose {
        let schema = json!({ "$ref": "#/$defs/matcher", "description": whose.join("; ") });
        match claim.strip_suffix('*') {
            Some(beginning) => patterns.insert(format!("^{}.", regex::escape(beginning)), schema),
            None => names.insert(claim.to_owned(), schema),
        };
    }
    json!({
        "type": "object", "minProperties": 1, "properties": names, "patternProperties": patterns,
        "additionalProperties": { "$ref": "#/$defs/matcher" },
    })
}

fn matcher() -> Value {
    let value = json!({ "type": ["string", "number", "boolean"] });
    let operators = MATCHERS.map(|name| {
        let schema = match name {
            "glob" | "regex" => any_text(),
            "prefix" => json!({ "type": "string", "minLength": 1 }),
            "present" => json!({ "type": "boolean" }),
            "not" => json!({ "$ref": "#/$defs/matcher" }),
            _ => Value::Null,
        };
        (name, PAGE.describe(name, schema))
    });
    let mut operator = mapping(operators, &[]);
    if let Some(members) = operator.as_object_mut() {
        members.extend([("minProperties".to_owned(), 1.into()), ("maxProperties".to_owned(), 1.into())]);
    }
    json!({ "anyOf": [value, { "type": "array", "items": value, "minItems": 1 }, operator] })
}

fn case_field(name: &'static str) -> (&'static str, Value) {
    let schema = match name {
        "name" => any_text(),
        "given" => given(),
        "now" => json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}", "examples": ["2027-06-30"] }),
        "client_id" => text(USER),
        "expect" => json!({ "anyOf": [{ "const": "denied" }, expect()] }),
        _ => Value::Null,
    };
    (name, PAGE.describe(&format!("case.{name}"), schema))
}

fn given() -> Value {
    let fields = GIVEN_FIELDS.map(|name| {
        let schema = match name {
            "fixture" => one_of(fixture_names()),
            "issuer" => text(NAME),
            "claims" => json!({ "type": "object" }),
            _ => Value::Null,
        };
        (name, PAGE.describe(&format!("given.{name}"), schema))
    });
    mapping(fields, &[])
}

fn expect() -> Value {
    let fields = EXPECT_FIELDS.map(|name| {
        let schema = match name {
            "user" | "shadow" => text(USER),
            "scopes" => list_or_one(&text(SCOPE)),
            "denied" => one_of(CAUSES),
            _ => Value::Null,
        };
        (name, PAGE.describe(&format!("expect.{name}"), schema))
    });
    let mut schema = mapping(fields, &[]);
    if let Some(members) = schema.as_object_mut() {
        let alternatives = ["user", "denied", "shadow"].map(|name| json!({ "required": [name] }));
        members.insert("anyOf".to_owned(), json!(alternatives));
        members.insert("not".to_owned(), json!({ "required": ["user", "denied"] }));
        members.insert("dependentRequired".to_owned(), json!({ "scopes": ["user"] }));
    }
    schema
}
