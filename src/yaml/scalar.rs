//! One value as YAML text, for files that the program writes.

use serde_json::Value;

/// A string, number or boolean that reads back as itself, in YAML 1.2 and in the older readers of other tools; `None` for
/// anything else.
#[must_use]
pub fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text_of(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Plain where nobody could read it as anything but this string; else between double quotes, with nothing in it that
/// moves a cursor or turns the direction of writing.
fn text_of(text: &str) -> String {
    // YAML 1.1 has these as booleans, and so do many editors.
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_./@+~=:".contains(character);
    let is_word = WORDS.contains(&text.to_ascii_lowercase().as_str());
    if begins_well && text.chars().all(is_plain) && !text.ends_with(':') && !is_word {
        return text.to_owned();
    }
    let quoted = Value::from(text).to_string();
    quoted.chars().fold(String::with_capacity(quoted.len()), |mut written, character| {
        match u32::from(character) {
            code @ (0x7f..=0x9f | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x2069 | 0xfeff | 0xfffe..=0xffff) => {
                written.push_str(&format!("\\u{code:04x}"));
            }
            _ => written.push(character),
        }
        written
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnostic::{Diagnostics, Source};
    use crate::yaml::{Yaml, documents};

    /// What stands behind a key, in the words of the reader.
    fn read(text: &str) -> Option<Yaml> {
        let mut faults = Diagnostics::new();
        let document = documents(&Source::new("a.yaml", format!("k: {text}   # c\n")), &mut faults).pop()?;
        let Yaml::Mapping(entries) = document.value else { return None };
        faults.is_empty().then(|| entries.into_iter().next()).flatten().map(|entry| entry.value.value)
    }

    #[test]
    fn what_needs_no_quotes_has_none_and_what_reads_as_another_type_has_them() {
        let written = |text: &str| scalar_text(&Value::from(text)).unwrap();
        for plain in
            ["refs/heads/main", "acme/shop", "/kubernetes.io/pod/uid", "system:serviceaccount:a:b", "yesterday"]
        {
            assert_eq!(written(plain), plain);
        }
        for quoted in ["123456", "true", "No", "2027-06-30", "0x1f", "", "a: b", "a #b", "~", "*a", "a:", "-", "null"] {
            assert_eq!(written(quoted), format!("\"{quoted}\""));
        }
        assert_eq!(written("a\u{202e}\n\"b\u{7f}"), "\"a\\u202e\\n\\\"b\\u007f\"");
        let other = [Value::from(65), Value::from(true), Value::from(1.5)].map(|value| scalar_text(&value).unwrap());
        assert_eq!(other, ["65", "true", "1.5"]);
    }

    proptest! {
        #[test]
        fn every_string_reads_back_as_itself(text in r#"[ -~\n\té\u{85}\u{2028}\u{feff}😀]{0,12}|[a-z/:#-]{0,8}|\PC{0,6}"#) {
            prop_assert_eq!(read(&scalar_text(&Value::from(text.as_str())).unwrap()), Some(Yaml::String(text)));
        }
    }
}
