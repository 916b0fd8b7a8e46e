//! `countersign policy schema`, and the copies in `schemas/` that editors read.

use std::path::{Path, PathBuf};

use countersign::diagnostic::{Diagnostics, Source};
use countersign::yaml::{self, Node, Yaml};
use serde_json::{Value, json};

use crate::place::{CONFIG, Place, repository};

const FILES: [&str; 4] = ["policy", "test", "config", "service"];

fn to_json(node: &Node) -> Value {
    match &node.value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => json!(value),
        Yaml::Int(number) => json!(number),
        Yaml::Float(number) => json!(number),
        Yaml::String(text) => json!(text),
        Yaml::Sequence(items) => items.iter().map(to_json).collect(),
        Yaml::Mapping(entries) => entries.iter().map(|entry| (entry.key.clone(), to_json(&entry.value))).collect(),
    }
}

/// The documents of a text, as an editor's validator sees them.
fn documents(text: &str) -> Vec<Value> {
    let mut faults = Diagnostics::new();
    let documents = yaml::documents(&Source::new("text", text), &mut faults);
    assert!(faults.is_empty(), "{faults}");
    documents.iter().map(to_json).collect()
}

/// Why the shipped schema of these files refuses a text; `None` when it does not.
fn refused(of: &str, text: &str) -> Option<String> {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    let path = repository().join(format!("schemas/{of}.schema.json"));
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    compiler.add_resource("schema.json", schema).unwrap();
    let schema = compiler.compile("schema.json", &mut schemas).unwrap();
    documents(text).iter().find_map(|one| schemas.validate(one, schema).err().map(|error| error.to_string()))
}

fn yaml_files(directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository().join(directory)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
}

/// The YAML blocks of a page that begin so.
fn blocks(page: &str, beginning: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository().join(page)).unwrap();
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.lines().any(|line| line.starts_with(beginning))).map(str::to_owned).collect()
}

#[test]
fn the_schemas_in_the_tree_are_what_the_command_prints() {
    let place = Place::empty();
    std::fs::remove_file(place.path().join("countersign.yaml")).unwrap();
    for of in FILES {
        let printed = place.policy(&["schema", of]).out;
        let kept = std::fs::read_to_string(repository().join(format!("schemas/{of}.schema.json"))).unwrap();
        assert!(printed == kept, "run: countersign policy schema {of} > schemas/{of}.schema.json");
    }
    assert_eq!(place.policy(&["schema"]).out, place.policy(&["schema", "policy"]).out);
}

#[test]
fn every_field_has_a_schema_and_says_what_it_is() {
    fn check(schema: &Value, path: &str) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let is_section = field.to_string().contains("\"properties\"");
            assert!(!field.is_null(), "{path}: the schema does not know it");
            assert!(field.is_boolean() || is_section || field["description"].is_string(), "{path}: no row in its page");
            check(field, &path);
        }
        for inner in ["additionalProperties", "items", "$defs"].into_iter().filter_map(|name| schema.get(name)) {
            check(inner, path);
        }
        schema["anyOf"].as_array().into_iter().flatten().for_each(|one| check(one, path));
    }
    let place = Place::empty();
    for of in FILES {
        let schema: Value = serde_json::from_str(&place.policy(&["schema", of]).out).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        check(&schema, of);
    }
}

#[test]
fn every_file_that_is_shipped_is_what_its_schema_says() {
    let mut checked = 0;
    let mut accept = |of: &str, text: &str, name: &Path| {
        assert_eq!(refused(of, text), None, "{}", name.display());
        checked += 1;
    };
    for path in yaml_files("policies").into_iter().chain(yaml_files("services")) {
        let of = match path.to_str().unwrap() {
            name if name.ends_with(".test.yaml") => "test",
            name if name.contains("/services/") => "service",
            _ => "policy",
        };
        accept(of, &std::fs::read_to_string(&path).unwrap(), &path);
    }
    accept("config", CONFIG, Path::new("CONFIG"));
    for (of, page, beginning) in [
        ("config", "docs/configuration.md", "issuer: https"),
        ("config", "README.md", "issuer: https"),
        ("policy", "README.md", "policy: "),
        ("policy", "docs/policies.md", "policy: "),
        ("test", "docs/policies.md", "cases:"),
        ("service", "docs/services.md", "service: "),
    ] {
        let found = blocks(page, beginning);
        assert!(!found.is_empty(), "{page} has no example");
        found.iter().for_each(|block| accept(of, block, Path::new(page)));
    }
    assert!(checked > 30, "{checked}");
}

const POLICY: &str = "policy: p\nissuer: partner\nmatch: { sub: a }\nuser: u\n";

/// What to write after a valid file, or in place of a part of it, and whether it is wrong.
#[test]
fn a_policy_that_its_schema_refuses_does_not_load_and_one_that_loads_is_taken() {
    let changed = |from: &str, to: &str| POLICY.replace(from, to);
    let bad = [
        changed("user: u\n", ""),
        changed("user:", "usr:"),
        changed("policy: p", "policy: \"p q\""),
        changed("{ sub: a }", "{}"),
        changed("{ sub: a }", "[sub]"),
        changed("sub: a", "sub: []"),
        changed("sub: a", "sub: { globb: a }"),
        changed("sub: a", "sub: { glob: a, prefix: b }"),
        changed("sub: a", "sub: { present: \"yes\" }"),
        changed("sub: a", "sub: { not: { prefix: \"\" } }"),
        changed("sub: a", "sub: [[a]]"),
        format!("{POLICY}scopes: [\"a b\"]\n"),
        format!("{POLICY}token: {{ lifetime: 10 }}\n"),
        format!("{POLICY}token: {{ lifetim: 10m }}\n"),
        format!("{POLICY}mode: audit\n"),
        format!("{POLICY}expires: soon\n"),
        format!("{POLICY}attributes: {{ sub: \"{{sub}}\" }}\n"),
    ];
    let good = [
        POLICY.to_owned(),
        changed("sub: a", "sub: { not: { regex: \"a+\" } }, level: 3, vip: true, /a/b: [x, 1]"),
        format!(
            "{POLICY}scopes: service:a\ntoken: {{ lifetime: 10m, audiences: https://a.example, within_assertion: true }}\n"
        ),
        format!(
            "{POLICY}mode: shadow\nexpires: 2030-01-01\nattributes: {{ a: \"{{sub}}\" }}\ncondition: claims.sub == \"a\"\n"
        ),
    ];
    for (texts, is_bad) in [(&bad[..], true), (&good[..], false)] {
        for text in texts {
            let loads = Place::with(text, "cases: []\n").policy(&["check"]);
            assert_eq!(loads.code == Some(1), is_bad, "{text}\n{}", loads.err);
            assert_eq!(refused("policy", text).is_some(), is_bad, "{text}\n{:?}", refused("policy", text));
        }
    }
}

#[test]
fn a_test_file_that_its_schema_refuses_does_not_run_and_one_that_runs_is_taken() {
    let case = |case: &str| format!("cases:\n  - {{ given: {{ fixture: oidc, claims: {{ sub: a }} }}, {case} }}\n");
    let bad = [
        "case: []\n".to_owned(),
        case("expected: denied"),
        case("expect: refused"),
        case("expect: { user: u, denied: policy.none }"),
        case("expect: { scopes: [a] }"),
        case("expect: { denied: policy.nome }"),
        case("expect: { user: \"a b\" }"),
        case("expect: denied, now: tomorrow"),
        case("expect: denied, client_id: \"a b\""),
        "cases:\n  - { given: { fixture: oicd }, expect: denied }\n".to_owned(),
        "given: { claim: {} }\ncases:\n  - { expect: denied }\n".to_owned(),
    ];
    let good = [
        case("expect: { user: u, scopes: [] }"),
        case("expect: { user: u }, now: 2027-06-30, client_id: u, name: it is"),
        case("expect: { user: u }, now: \"2027-06-30T12:00:00Z\""),
        "given: { fixture: oidc, issuer: partner }\ncases:\n  - { expect: { denied: policy.none } }\n".to_owned(),
    ];
    for (texts, is_bad) in [(&bad[..], true), (&good[..], false)] {
        for text in texts {
            let ran = Place::with(POLICY, text).policy(&["test"]);
            assert_eq!(ran.code == Some(1), is_bad, "{text}\n{}{}", ran.out, ran.err);
            assert_eq!(refused("test", text).is_some(), is_bad, "{text}\n{:?}", refused("test", text));
        }
    }
}

#[test]
fn a_configuration_that_its_schema_refuses_does_not_load_and_one_that_loads_is_taken() {
    let with = |more: &str| format!("issuer: https://broker.example.com\n{more}\n");
    let issuer = |settings: &str| with(&format!("issuers: {{ one: {{ {settings} }} }}"));
    let bad = [
        with("lisen: 127.0.0.1:8443"),
        with("store: { mysql: \"mysql://h/d\" }"),
        with("token: { lifetime: 15 }"),
        with("token: { signing_algorithm: HS256 }"),
        with("danger_plain_http: \"yes\""),
        with("issuers: { \"a b\": { kind: github-actions } }"),
        issuer("kind: github"),
        issuer("url: https://idp.example"),
        issuer("kind: oidc"),
        issuer("kind: github-actions, tenant: 6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94"),
        issuer("kind: azure"),
        issuer("kind: azure, tenant: 6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94, cloud: mars"),
        issuer("kind: spiffe, trust_domain: a.example, url: https://a.example, bundle: { workload_api: unix:///a }"),
        issuer("kind: spiffe, trust_domain: a.example, bundle: { url: https://a.example }"),
        issuer("kind: spiffe, trust_domain: a.example"),
        issuer("kind: spiffe, trust_domain: a.example, bundle: { url: https://a.example, profile: web }"),
        issuer("kind: oidc, url: https://idp.example, algorithms: [none]"),
        issuer("kind: oidc, url: https://idp.example, claims: { level: int }"),
        issuer("kind: oidc, url: https://idp.example, leeway: 1 minute"),
    ];
    let good = [
        with(""),
        with("listen: 127.0.0.1:8443\ndata: ./d\ntoken: { lifetime: 10m, signing_algorithm: EdDSA }\nproxy: system"),
        issuer("kind: oidc, url: https://idp.example, algorithms: ES256, claims: { level: number }, leeway: 30s"),
        issuer("kind: azure, tenants: [6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94], cloud: china, disabled: true"),
        issuer("kind: kubernetes, url: https://c.example, keys: { discovery: https://k.example }, single_use: false"),
        issuer("kind: spiffe, trust_domain: a.example, bundle: { url: https://a.example, profile: https_web }"),
        issuer("kind: spiffe, trust_domain: a.example, bundle: { workload_api: \"unix:///run/agent.sock\" }"),
    ];
    for (texts, is_bad) in [(&bad[..], true), (&good[..], false)] {
        for text in texts {
            let place = Place::empty();
            place.write("countersign.yaml", text);
            let loads = place.policy(&["list"]);
            assert_eq!(loads.code == Some(1), is_bad, "{text}\n{}", loads.err);
            assert_eq!(refused("config", text).is_some(), is_bad, "{text}\n{:?}", refused("config", text));
        }
    }
}

#[test]
fn a_service_that_its_schema_refuses_is_one_that_the_reader_refuses() {
    let service = "service: a\nhosts: [a.example]\nupstream: http://127.0.0.1:9000\nallow: [{ users: [u] }]\n";
    assert_eq!(refused("service", service), None);
    for (from, to) in [
        ("service: a\n", ""),
        ("[a.example]", "[]"),
        ("http://127", "https://127"),
        ("{ users: [u] }", "{}"),
        ("{ users: [u] }", "{ user: [u] }"),
        ("{ users: [u] }", "{ users: [] }"),
        ("[{ users: [u] }]", "[]"),
    ] {
        let text = service.replace(from, to);
        assert!(refused("service", &text).is_some(), "{text}");
        let mut faults = Diagnostics::new();
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("s.yaml"), &text).unwrap();
        let _ = countersign::gateway::Services::load(place.path(), &mut faults);
        assert!(faults.has_errors(), "{text}");
    }
}
