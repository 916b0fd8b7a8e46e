//! Tokens that are as large as a condition may be given, each in another way.

use serde_json::{Map, Value, json};

/// Bytes that the claims of the longest assertion leave for one text.
const TEXT: usize = 11_800;

/// Every token, named after what is in it and where.
pub(crate) fn worst() -> Vec<(String, Map<String, Value>)> {
    let mut all = Vec::new();
    for (name, value) in values() {
        for member in ["a", "b", "l", "m", "o"] {
            let mut token = small();
            token[member] = value.clone();
            all.push((format!("{name} in {member}"), token.as_object().unwrap().clone()));
        }
        for (first, second) in [("a", "b"), ("l", "m"), ("a", "l")] {
            let mut token = small();
            token[first] = half(&value);
            token[second] = half(&value);
            all.push((format!("{name} in {first} and {second}"), token.as_object().unwrap().clone()));
        }
    }
    all
}

fn small() -> Value {
    json!({ "a": "aab", "b": "zz", "l": [1, "zz"], "m": ["x"], "o": { "k1": 1 }, "t": true })
}

/// Long texts, long lists, lists of lists, objects, objects of objects, and what is deep.
fn values() -> Vec<(&'static str, Value)> {
    let object = |count: usize, name: &dyn Fn(usize) -> String, value: Value| {
        Value::Object((0..count).map(|index| (name(index), value.clone())).collect())
    };
    let long = "a".repeat(36);
    vec![
        ("a text", json!("a".repeat(TEXT))),
        ("a text with an end", json!(format!("{}b", "a".repeat(TEXT / 2)))),
        ("a text of two-byte letters", json!("é".repeat(TEXT / 2))),
        ("256 numbers", json!(vec![1; 256])),
        ("250 texts", json!((0..250).map(|index| format!("{long}{index}")).collect::<Vec<_>>())),
        ("240 lists", json!(vec![json!([1]); 240])),
        ("lists of empty lists", json!(vec![vec![json!([]); 15]; 30])),
        ("lists of empty objects", json!(vec![vec![json!({}); 15]; 30])),
        ("240 objects", json!(vec![json!({ "a": 1 }); 240])),
        ("an object of 250", object(250, &|index| format!("k{index}{long}"), json!(1))),
        ("an object of objects", object(240, &|index| format!("k{index}"), json!({ "a": 2 }))),
        ("a list in a list in a list", (0..14).fold(json!([1]), |inner, _| json!([inner]))),
    ]
}

/// Half of a value, so that two of them are as much as one.
fn half(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(text.chars().take(text.chars().count() / 2).collect::<String>()),
        Value::Array(items) => json!(items[..items.len().div_ceil(2)]),
        Value::Object(members) => Value::Object(members.clone().into_iter().take(members.len() / 2).collect()),
        other => other.clone(),
    }
}
