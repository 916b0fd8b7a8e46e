//! `application/x-www-form-urlencoded`, read strictly (RFC 6749 appendix B).
//!
//! A lenient reader lets `%ZZ` and bad UTF-8 through unchanged, which two parsers then read differently.

use std::borrow::Cow;

use super::RequestRefusal;

/// Whether a `Content-Type` is a form in UTF-8.
pub(super) fn is_utf8_form(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let is_form = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    is_form && parts.all(|parameter| parameter.is_empty() || is_utf8_charset(parameter))
}

fn is_utf8_charset(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let value = value.trim_matches('"');
    !name.eq_ignore_ascii_case("charset") || value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
}

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The body's pairs, decoded.
pub(super) fn pairs(body: &[u8]) -> impl Iterator<Item = Result<Pair<'_>, RequestRefusal>> {
    body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, rest) = pair.split_at_checked(equals).unwrap_or((pair, &[]));
        let value = rest.get(1..).unwrap_or_default();
        let decoded = decode(name).zip(decode_bytes(value)).ok_or(RequestRefusal::Malformed)?;
        if has_control(&decoded.1) && !judged_later(&decoded.0, &decoded.1) {
            return Err(RequestRefusal::Malformed);
        }
        Ok(decoded)
    })
}

/// The names in a query string, decoded where that is possible.
pub(super) fn names(query: &str) -> impl Iterator<Item = Cow<'_, str>> {
    query.split(['&', ';']).filter_map(|pair| decode(pair.split('=').next().unwrap_or_default().as_bytes()))
}

/// Whether a later stage refuses the control character in its own words: an assertion is one token or none, and a tab
/// between scopes is a matter of the scope's grammar.
fn judged_later(name: &str, value: &str) -> bool {
    match name {
        "client_assertion" | "assertion" | "subject_token" => true,
        "scope" => value.bytes().all(|byte| byte == b'\t' || byte >= b' ' && byte != 0x7f),
        _ => false,
    }
}

/// RFC 6749 appendix A allows control characters nowhere.
fn has_control(text: &str) -> bool {
    // A fold, not `any`: without an early exit the compiler looks at many bytes at once.
    text.bytes().fold(false, |found, byte| found | (byte < b' ') | (byte == 0x7f))
}

/// Decodes one name or value that may have no control characters.
pub(crate) fn decode(text: &[u8]) -> Option<Cow<'_, str>> {
    decode_bytes(text).filter(|decoded| !has_control(decoded))
}

/// `+` is a space, `%HH` a byte. `None` for broken escapes and bytes that are not UTF-8.
fn decode_bytes(text: &[u8]) -> Option<Cow<'_, str>> {
    let escaped = text.iter().fold(false, |found, byte| found | (*byte == b'%') | (*byte == b'+'));
    if !escaped {
        return std::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    String::from_utf8(unescape(text)?).ok().map(Cow::Owned)
}

fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = text.iter();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => (hex_digit(*bytes.next()?)? << 4) | hex_digit(*bytes.next()?)?,
            other => *other,
        });
    }
    Some(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_escapes_bad_utf8_and_control_characters_are_refused() {
        for bad in ["%ZZ", "%", "%G0", "%4", "%ff", "a%00b", "%0d%0a", "\u{7f}"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(decode(b"a+b%2Bc%C3%BC").as_deref(), Some("a b+c\u{fc}"));
    }

    #[test]
    fn only_a_utf8_form_is_a_form() {
        for good in ["application/x-www-form-urlencoded", "Application/X-WWW-form-urlencoded; charset=\"UTF-8\""] {
            assert!(is_utf8_form(good), "{good}");
        }
        for bad in ["application/json", "application/x-www-form-urlencoded; charset=ISO-8859-1", "multipart/form-data"]
        {
            assert!(!is_utf8_form(bad), "{bad}");
        }
    }
}
