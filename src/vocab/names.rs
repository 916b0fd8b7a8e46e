//! Names and identifiers: each is a string with a grammar and a length limit.

use serde::Serialize;
use smol_str::SmolStr;

/// Why a text is not the word it should be. Carries the rule, never the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {rule}")]
pub struct WordFault {
    /// Which word was expected, for instance `user name`.
    pub what: &'static str,
    /// The rule that does not hold.
    pub rule: &'static str,
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(SmolStr);

        impl $name {
            /// Reads the word.
            ///
            /// # Errors
            /// The rule that the text breaks.
            pub fn parse(text: &str) -> Result<Self, WordFault> {
                let check: fn(&str) -> Result<(), &'static str> = $check;
                check(text).map_err(|rule| WordFault { what: $what, rule })?;
                Ok(Self(text.into()))
            }

            /// The word as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = WordFault;
            fn from_str(text: &str) -> Result<Self, WordFault> {
                Self::parse(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

word!(
    /// An issuer identifier, kept and compared byte for byte (RFC 8414 §2, RFC 7523 §3: simple string comparison).
    /// `https` only, except `http` on a loopback host, which a caller must have allowed before it parses.
    IssuerUrl, "issuer URL", issuer_url
);
word!(
    /// The name an operator gave an issuer in the configuration file.
    IssuerName, "issuer name", short_name
);
word!(
    /// A policy's unique name.
    PolicyName, "policy name", short_name
);
word!(
    /// The name of a protected service.
    ServiceName, "service name", short_name
);
word!(
    /// The name an operator gave a credential.
    CredentialName, "credential name", short_name
);
word!(
    /// A WORKLOAD user's name. Visible ASCII without spaces or quotes, so it is safe in a header and in a log line.
    UserName, "user name", user_name
);
word!(
    /// A `sub` claim: 1 to 2,048 bytes, no control characters.
    Subject, "subject", |text| bounded(text, 2048)
);
word!(
    /// One `aud` value.
    Audience, "audience", |text| bounded(text, 1024)
);
word!(
    /// A `kid`: only ever compared, never used as a path, a query or a format (RFC 8725 §3.10).
    KeyId, "key id", |text| bounded(text, 256)
);
word!(
    /// An OAuth client id (RFC 6749 §2.2, VSCHAR).
    ClientId, "client id", client_id
);
word!(
    /// A minted token's `jti`.
    TokenId, "token id", |text| bounded(text, 128)
);
word!(
    /// The id that ties an answer to its audit record: 32 lower-case hexadecimal digits, as in W3C Trace Context.
    TraceId, "trace id", trace_id
);

impl TraceId {
    /// A fresh id: 48 bits of time, then 80 random bits. Ids made later sort later, which keeps the store's index
    /// appending at its end.
    #[must_use]
    pub fn new(now: super::UnixMillis, random: [u8; 10]) -> TraceId {
        Self(time_ordered_hex(now, random).into())
    }
}

impl TokenId {
    /// A fresh id; see [`TraceId::new`].
    #[must_use]
    pub fn new(now: super::UnixMillis, random: [u8; 10]) -> TokenId {
        Self(time_ordered_hex(now, random).into())
    }
}

fn time_ordered_hex(now: super::UnixMillis, random: [u8; 10]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let time = now.0.to_be_bytes();
    time.iter()
        .skip(2)
        .chain(random.iter())
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| DIGITS.get(usize::from(nibble)))
        .map(|digit| char::from(*digit))
        .collect()
}

impl IssuerUrl {
    /// Whether the identifier is a plain-http URL, which only a loopback issuer may be.
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        self.as_str().starts_with("http://")
    }
}

fn issuer_url(text: &str) -> Result<(), &'static str> {
    if !text.is_ascii() || text.len() > 1024 || text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err("must be ASCII without spaces, at most 1,024 bytes");
    }
    let Ok(parsed) = url::Url::parse(text) else { return Err("must be a URL such as https://issuer.example") };
    if text.contains(['?', '#']) {
        return Err("must have no query and no fragment (RFC 8414 section 2)");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() || text.contains('@') {
        return Err("must have no user information");
    }
    match (parsed.scheme(), is_loopback_host(&parsed)) {
        _ if parsed.host().is_none() => Err("must have a host"),
        ("https", _) if text.starts_with("https://") => Ok(()),
        ("http", true) if text.starts_with("http://") => Ok(()),
        _ => Err("must start with https:// (http:// only on a loopback address)"),
    }
}

/// Whether a URL's host is a loopback address or `localhost`.
#[must_use]
pub fn is_loopback_host(parsed: &url::Url) -> bool {
    match parsed.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

fn short_name(text: &str) -> Result<(), &'static str> {
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    let rest_is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if starts_well && rest_is_plain && text.len() <= 128 {
        return Ok(());
    }
    Err("must be 1 to 128 letters, digits, '-', '_' or '.', and start with a letter or digit")
}

fn user_name(text: &str) -> Result<(), &'static str> {
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    let rest_is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@:/+~=".contains(&byte));
    if starts_well && rest_is_plain && text.len() <= 256 {
        return Ok(());
    }
    Err("must be 1 to 256 letters, digits or -_.@:/+~= and start with a letter or digit")
}

fn client_id(text: &str) -> Result<(), &'static str> {
    if !text.is_empty() && text.len() <= 2048 && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        return Ok(());
    }
    Err("must be 1 to 2,048 printable ASCII characters (RFC 6749 appendix A.1)")
}

fn trace_id(text: &str) -> Result<(), &'static str> {
    if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        return Ok(());
    }
    Err("must be 32 lower-case hexadecimal digits")
}

fn bounded(text: &str, limit: usize) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("must not be empty");
    }
    if text.len() > limit {
        return Err("is too long");
    }
    if text.chars().any(char::is_control) {
        return Err("must have no control characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::UnixMillis;

    #[test]
    fn an_issuer_url_is_https_without_query_fragment_or_user() {
        assert!(IssuerUrl::parse("https://issuer.example/path/").is_ok());
        assert!(IssuerUrl::parse("http://127.0.0.1:8080").is_ok());
        for bad in [
            "http://issuer.example",
            "HTTPS://issuer.example",
            "https://user@issuer.example",
            "https://issuer.example/?a=b",
            "https://issuer.example/#f",
            "https://issuer.example/ x",
            "file:///etc/passwd",
            "",
        ] {
            assert!(IssuerUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_user_name_cannot_carry_a_header_or_a_log_line() {
        assert!(UserName::parse("spiffe://prod.example/ns/a").is_ok());
        for bad in ["a b", "a\nb", "", "-a", "a\"b", "ü"] {
            assert!(UserName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn later_trace_ids_sort_later() {
        let early = TraceId::new(UnixMillis(1_000), [255; 10]);
        let late = TraceId::new(UnixMillis(1_001), [0; 10]);
        assert!(early < late && TraceId::parse(early.as_str()).is_ok());
    }
}
