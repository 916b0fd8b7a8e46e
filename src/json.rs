//! Strict JSON: UTF-8, no member twice at any depth, bounded nesting, nothing after the value.
//!
//! In: bytes from a stranger. Out: a `serde_json::Value` that every parser would read alike (RFC 7515 §4, RFC 8259).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deepest nesting of arrays and objects in a token, an issuer's metadata or a key set.
const MAX_DEPTH: u8 = 16;

/// Why some JSON was refused; carries no part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// Not JSON, not UTF-8, or something follows the value.
    #[error("is not well-formed JSON")]
    Malformed,
    /// An object has the same member twice.
    #[error("has a member twice")]
    Duplicate,
    /// Nested deeper than 16 levels.
    #[error("is nested too deeply")]
    TooDeep,
    /// The value is not an object.
    #[error("is not a JSON object")]
    NotAnObject,
}

/// Reads one JSON object.
///
/// # Errors
/// See [`JsonFault`].
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonFault> {
    match value(bytes)? {
        Value::Object(members) => Ok(members),
        _ => Err(JsonFault::NotAnObject),
    }
}

/// Reads one JSON value.
///
/// # Errors
/// See [`JsonFault`].
pub fn value(bytes: &[u8]) -> Result<Value, JsonFault> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = Strict(MAX_DEPTH).deserialize(&mut deserializer).map_err(|error| classify(&error))?;
    deserializer.end().map_err(|_| JsonFault::Malformed)?;
    Ok(parsed)
}

/// Where a text that [`value`] refuses goes wrong, as line and column, for people who can correct it.
#[must_use]
pub fn fault_position(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = Strict(MAX_DEPTH).deserialize(&mut deserializer).and_then(|_| deserializer.end());
    parsed.err().map(|error| (error.line().max(1), error.column().max(1)))
}

const DUPLICATE: &str = "strict-json: duplicate member";
const TOO_DEEP: &str = "strict-json: too deep";

fn classify(error: &serde_json::Error) -> JsonFault {
    let text = error.to_string();
    if text.starts_with(DUPLICATE) {
        JsonFault::Duplicate
    } else if text.starts_with(TOO_DEEP) || text.starts_with("recursion limit") {
        JsonFault::TooDeep
    } else {
        JsonFault::Malformed
    }
}

/// Deserializes a value with this many levels of nesting left.
struct Strict(u8);

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Strict {
    fn inside<E: serde::de::Error>(&self) -> Result<Strict, E> {
        self.0.checked_sub(1).map(Strict).ok_or_else(|| E::custom(TOO_DEEP))
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(self.inside()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let member = map.next_value_seed(self.inside()?)?;
            if members.insert(name, member).is_some() {
                return Err(A::Error::custom(DUPLICATE));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_twice_is_refused_at_every_depth_and_in_every_spelling() {
        for bad in
            [r#"{"a":1,"a":1}"#, r#"{"x":{"a":1,"b":2,"a":3}}"#, r#"{"sub":1,"\u0073ub":2}"#, r#"[{"a":1,"a":2}]"#]
        {
            assert_eq!(value(bad.as_bytes()), Err(JsonFault::Duplicate), "{bad}");
        }
        assert!(object(br#"{"a":{"a":{"a":1}}}"#).is_ok());
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(value(nested(16).as_bytes()).is_ok());
        assert_eq!(value(nested(17).as_bytes()), Err(JsonFault::TooDeep));
        assert_eq!(value(nested(100_000).as_bytes()), Err(JsonFault::TooDeep));
    }

    #[test]
    fn what_is_not_one_utf8_json_value_is_refused() {
        let bad: [&[u8]; 8] = [
            b"{} {}",
            b"{}x",
            b"\xef\xbb\xbf{}",
            b"{\"a\":NaN}",
            b"{\"a\":1e400}",
            b"{\"a\":\"\\ud800\"}",
            b"\xff",
            b"",
        ];
        for bytes in bad {
            assert_eq!(value(bytes), Err(JsonFault::Malformed), "{bytes:?}");
        }
        assert_eq!(object(b"[]"), Err(JsonFault::NotAnObject));
    }
}
