//! What counts as an answer, and how much of it is read.

use std::time::Duration;

use reqwest::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use reqwest::{Response, StatusCode};

use super::fault::connection;
use super::{FetchFault, Fetched};

pub(super) async fn read(mut response: Response, limit: usize) -> Result<Fetched, FetchFault> {
    if response.status() != StatusCode::OK {
        return Err(FetchFault::Status(response.status().as_u16()));
    }
    if !is_plain(response.headers()) {
        return Err(FetchFault::Encoding);
    }
    if !is_json(response.headers()) {
        return Err(FetchFault::ContentType);
    }
    let max_age = max_age(response.headers());
    let mut body = Vec::new();
    // The announced length is only a claim; what arrives is counted.
    while let Some(chunk) = response.chunk().await.map_err(|error| connection(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(FetchFault::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Fetched { body, max_age })
}

/// We ask for `identity`. What is encoded all the same is not decoded, so nothing can unfold to more than was counted.
fn is_plain(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// `application/json`, `application/jwk-set+json` (RFC 7517 §8.5) or any other `+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.contains('/') && essence.ends_with("+json"))
}

/// RFC 9111 §5.2.2.1; a number too large to read counts as very long (§1.2.2).
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = directives.flat_map(|value| value.split(',')).map(str::trim);
    directives.find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        let digits = value.trim().trim_matches('"');
        let numeric = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        (name.trim().eq_ignore_ascii_case("max-age") && numeric)
            .then(|| Duration::from_secs(digits.parse::<u32>().unwrap_or(u32::MAX).into()))
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn a_max_age_is_read_in_every_form() {
        let read = |text: &'static str| {
            max_age(&HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(text))])).map(|age| age.as_secs())
        };
        assert_eq!(read("public, Max-Age=\"60\""), Some(60));
        assert_eq!(read("max-age=100000000000000000000"), Some(u32::MAX.into()));
        for none in ["max-age=-1", "max-age", "max-age=", "s-maxage=60", "no-store", "max-age=1.5"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
