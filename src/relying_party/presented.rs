//! Where a request carries its access token: `Authorization: Bearer …`, or raw in `X-Countersign-Auth`.
//!
//! In: a request's header fields. Out: the token's text, unverified. A token in the query or in a form body is never
//! looked for (RFC 6750 §2.2 and §2.3 are optional; RFC 9700 §4.3.2 advises against the query).

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

/// The header that carries a raw token, for callers whose `Authorization` is already taken.
pub const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-countersign-auth");

/// Why it cannot be said which token was shown; each is RFC 6750's `invalid_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PresentedFault {
    /// A header stands there twice, so two readers could take different ones.
    #[error("{0} is there twice")]
    Repeated(&'static str),
    /// A header has no token, or bytes that are not visible ASCII.
    #[error("{0} holds no token")]
    Empty(&'static str),
    /// Both headers, with different tokens (RFC 6750 §2: one method at a time).
    #[error("two different tokens were shown")]
    TwoTokens,
}

impl PresentedFault {
    /// The dotted cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            PresentedFault::Repeated(_) => "token.repeated",
            PresentedFault::Empty(_) => "token.empty",
            PresentedFault::TwoTokens => "token.two_tokens",
        }
    }
}

/// The token that a request shows; `None` when it shows none.
///
/// # Errors
/// See [`PresentedFault`].
pub fn presented_token(headers: &HeaderMap) -> Result<Option<&str>, PresentedFault> {
    let bearer = match single(headers, &AUTHORIZATION, "Authorization")? {
        Some(value) => bearer(value)?,
        None => None,
    };
    let raw = match single(headers, &TOKEN_HEADER, "X-Countersign-Auth")? {
        Some(value) => Some(visible(value, "X-Countersign-Auth")?),
        None => None,
    };
    match (bearer, raw) {
        (Some(one), Some(other)) if one != other => Err(PresentedFault::TwoTokens),
        (one, other) => Ok(one.or(other)),
    }
}

fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<&'a HeaderValue>, PresentedFault> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(PresentedFault::Repeated(shown)),
        (value, None) => Ok(value),
    }
}

/// The token of a `Bearer` value; another scheme is not ours to read. Schemes compare without case (RFC 9110 §11.1).
fn bearer(value: &HeaderValue) -> Result<Option<&str>, PresentedFault> {
    let scheme_ends = value.as_bytes().iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let scheme = value.as_bytes().get(..scheme_ends).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    let text = visible(value, "Authorization")?;
    let token = text.get(scheme_ends..).unwrap_or_default().trim_matches(' ');
    if token.is_empty() { Err(PresentedFault::Empty("Authorization")) } else { Ok(Some(token)) }
}

fn visible<'a>(value: &'a HeaderValue, shown: &'static str) -> Result<&'a str, PresentedFault> {
    match value.to_str() {
        Ok(text) if !text.is_empty() => Ok(text),
        _ => Err(PresentedFault::Empty(shown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_token_is_taken_from_either_header_and_the_scheme_has_no_case() {
        for fields in [
            &[("authorization", "Bearer a.b.c")][..],
            &[("authorization", "bEARER  a.b.c")],
            &[("x-countersign-auth", "a.b.c")],
            &[("authorization", "Basic Og=="), ("x-countersign-auth", "a.b.c")],
            &[("authorization", "Bearer a.b.c"), ("x-countersign-auth", "a.b.c")],
        ] {
            assert_eq!(presented_token(&headers(fields)), Ok(Some("a.b.c")), "{fields:?}");
        }
    }

    #[test]
    fn no_token_is_not_a_fault() {
        for fields in [&[][..], &[("authorization", "Basic Og==")], &[("authorization", "Bearerish a.b.c")]] {
            assert_eq!(presented_token(&headers(fields)), Ok(None), "{fields:?}");
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let two = [("authorization", "Bearer a"), ("x-countersign-auth", "b")];
        assert_eq!(presented_token(&headers(&two)), Err(PresentedFault::TwoTokens));
        let repeated = [("authorization", "Bearer a"), ("authorization", "Bearer a")];
        assert_eq!(presented_token(&headers(&repeated)), Err(PresentedFault::Repeated("Authorization")));
        let mixed = [("authorization", "Bearer a"), ("authorization", "Basic Og==")];
        assert_eq!(presented_token(&headers(&mixed)), Err(PresentedFault::Repeated("Authorization")));
        let raw = [("x-countersign-auth", "a"), ("x-countersign-auth", "a")];
        assert_eq!(presented_token(&headers(&raw)), Err(PresentedFault::Repeated("X-Countersign-Auth")));
        let empty = [("authorization", "Bearer ")];
        assert_eq!(presented_token(&headers(&empty)), Err(PresentedFault::Empty("Authorization")));
        let blank = [("x-countersign-auth", "")];
        assert_eq!(presented_token(&headers(&blank)), Err(PresentedFault::Empty("X-Countersign-Auth")));
    }
}
