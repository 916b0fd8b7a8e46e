//! The schema of `countersign.yaml`, from the tables that the reader uses.

use serde_json::{Value, json};

use super::schema::{CONFIG, Field, Shape};
use crate::diagnostic::{Diagnostics, Source};
use crate::json_schema::{self, DURATION, NAME, Page, list_or_one, mapping, one_of, text};
use crate::kind::{Cloud, IssuerKind, NamedBy};
use crate::vocab::{Algorithm, ClaimType};
use crate::yaml::{self, Node, Yaml};

/// What the fields mean.
const PAGE: Page = Page(include_str!("../../docs/configuration.md"));

/// The schema of the configuration file. Nothing is required at its top: environment variables may say it.
#[must_use]
pub fn json_schema() -> Value {
    json_schema::document("countersign.yaml: the configuration of Countersign", fields(CONFIG, ""))
}

/// Below this, fields are those of an issuer.
const OF_ISSUER: &str = "issuers.";

fn fields(known: &'static [Field], prefix: &str) -> Value {
    let named = |(name, shape): &'static Field| {
        let path = format!("{prefix}{name}");
        let in_table = path.strip_prefix(OF_ISSUER).unwrap_or(&path);
        // A field of an issuer's `keys` may also be one of the issuer.
        let described = if PAGE.meaning(in_table).is_some() { in_table } else { *name };
        let schema = match path.as_str() {
            // Known only so that it can be refused with a reason.
            "store" => Value::Bool(false),
            "issuers.bundle" => with_profile(of_shape(name, shape, &path)),
            _ => of_shape(name, shape, &path),
        };
        (*name, PAGE.describe(described, schema))
    };
    mapping(known.iter().map(named), &[])
}

/// A URL does not say how the server there proves itself.
fn with_profile(mut bundle: Value) -> Value {
    if let Some(members) = bundle.as_object_mut() {
        members.insert("dependentRequired".to_owned(), json!({ "url": ["profile"] }));
    }
    bundle
}

fn of_shape(name: &str, shape: &'static Shape, path: &str) -> Value {
    match shape {
        Shape::Text(example) => value(name, example),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::BooleanOrText(example) => json!({ "anyOf": [{ "type": "boolean" }, value(name, example)] }),
        Shape::BooleanOrFields(known) => {
            json!({ "anyOf": [{ "type": "boolean" }, fields(known, &format!("{path}."))] })
        }
        Shape::List(example) => match words(name) {
            Some(known) => list_or_one(&one_of(known)),
            None => list_or_one(&json!({ "type": "string", "examples": examples(example) })),
        },
        Shape::Fields(known) => fields(known, &format!("{path}.")),
        Shape::Named(Shape::Fields(known)) => {
            let one = issuer(fields(known, OF_ISSUER));
            json!({ "type": "object", "propertyNames": { "pattern": NAME }, "additionalProperties": one })
        }
        Shape::Named(shape) => json!({ "type": "object", "additionalProperties": of_shape(name, shape, path) }),
    }
}

fn value(name: &str, example: &str) -> Value {
    if let Some(known) = words(name) {
        return one_of(known);
    }
    match yaml::duration(example) {
        Ok(_) => text(DURATION),
        Err(_) => json!({ "type": "string", "examples": examples(example) }),
    }
}

/// The words that a field can be, where they are a closed list.
fn words(name: &str) -> Option<Vec<&'static str>> {
    match name {
        "kind" => Some(IssuerKind::ALL.iter().map(|kind| kind.name()).collect()),
        "cloud" => Some(Cloud::ALL.map(Cloud::name).to_vec()),
        "claims" => Some(ClaimType::ALL.map(ClaimType::name).to_vec()),
        // RFC 9864 gives EdDSA with Ed25519 a second name.
        "algorithms" => Some(Algorithm::ALL.map(Algorithm::name).into_iter().chain(["Ed25519"]).collect()),
        "signing_algorithm" => Some(super::broker::SIGNING_ALGORITHMS.map(|(name, _)| name).to_vec()),
        "client_certificates" => Some(super::broker::CLIENT_CERTIFICATES.map(|(name, _)| name).to_vec()),
        "mode" => Some(super::issuers::MODES.to_vec()),
        "profile" => Some(super::bundle_endpoint::PROFILES.to_vec()),
        _ => None,
    }
}

/// An example as values, one for each item of a list.
fn examples(example: &str) -> Vec<Value> {
    let read = yaml::documents(&Source::new("example", example), &mut Diagnostics::new()).pop();
    let texts = |node: Node| match node.value {
        Yaml::Sequence(items) => items.into_iter().map(|item| item.value).collect(),
        one => vec![one],
    };
    let texts = read.map(texts).unwrap_or_default().into_iter();
    texts.filter_map(|one| if let Yaml::String(text) = one { Some(Value::from(text)) } else { None }).collect()
}

/// An issuer's fields depend on its kind.
fn issuer(mut schema: Value) -> Value {
    let rules: Vec<Value> = IssuerKind::ALL.iter().map(|kind| rule(*kind)).collect();
    if let Some(members) = schema.as_object_mut() {
        members.insert("required".to_owned(), json!(["kind"]));
        members.insert("allOf".to_owned(), rules.into());
    }
    schema
}

fn rule(kind: IssuerKind) -> Value {
    let others = IssuerKind::ALL.iter().flat_map(|other| other.own_settings);
    let mut foreign: Vec<&str> = others.copied().filter(|name| !kind.own_settings.contains(name)).collect();
    let needs = match &kind.named_by {
        NamedBy::TrustDomain => {
            foreign.push("url");
            json!([{ "required": ["trust_domain", "bundle"] }, { "required": ["trust_domain", "keys"] }])
        }
        NamedBy::Tenants { .. } => {
            json!([{ "required": ["tenant"] }, { "required": ["tenants"] }, { "required": ["url"] }])
        }
        NamedBy::Url { default: None } if kind.own_settings.contains(&"in_cluster") => {
            json!([{ "required": ["url"] }, { "required": ["in_cluster"] }])
        }
        NamedBy::Url { default: None } => json!([{ "required": ["url"] }]),
        NamedBy::Url { default: Some(_) } => json!([{}]),
    };
    let foreign: serde_json::Map<String, Value> =
        foreign.into_iter().map(|name| (name.to_owned(), Value::Bool(false))).collect();
    json!({
        "if": { "properties": { "kind": { "const": kind.name() } }, "required": ["kind"] },
        "then": { "properties": foreign, "anyOf": needs },
    })
}
