//! Which host a request is for.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::Request;
use http::header::HOST;

/// A host name or address: lower case, without a port; an IPv6 address in brackets, in its shortest form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Box<str>);

impl Host {
    /// Reads `name`, `name:port`, `address`, `address:port` or `[v6]:port`. The port is not part of what matches: the
    /// same service may be reached through several listeners.
    ///
    /// # Errors
    /// The rule that does not hold.
    pub fn parse(text: &str) -> Result<Host, &'static str> {
        const RULE: &str = "must be a host name or an IP address, such as my-api.example.com";
        let (name, port) = split_port(text).ok_or(RULE)?;
        if port.is_some_and(|port| port.parse::<u16>().is_err() || !port.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err("has a port that is no number from 0 to 65535");
        }
        if let Some(inside) = name.strip_prefix('[') {
            let address = inside.strip_suffix(']').and_then(|inside| inside.parse::<Ipv6Addr>().ok()).ok_or(RULE)?;
            return Ok(Host(format!("[{address}]").into()));
        }
        let lower = name.to_ascii_lowercase();
        if lower.parse::<Ipv4Addr>().is_ok() || (is_dns_name(&lower) && !ends_in_number(&lower)) {
            return Ok(Host(lower.into()));
        }
        Err(RULE)
    }

    /// The host as it is compared.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    let colon = match text.rfind(']') {
        Some(bracket) => text.get(bracket..)?.find(':').map(|at| bracket + at),
        None => text.find(':'),
    };
    match colon {
        Some(colon) => Some((text.get(..colon)?, text.get(colon + 1..))),
        None => Some((text, None)),
    }
}

fn is_dns_name(name: &str) -> bool {
    let label_fits = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    !name.is_empty() && name.len() <= 253 && name.split('.').all(label_fits)
}

/// `127.1` or `10.0.0.010`: some resolvers take it for an address, so it is no name.
fn ends_in_number(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Why a request names no single host (RFC 9112 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request must name exactly one host")]
pub struct HostFault;

/// The one host that a request is for: its `Host` field or, in HTTP/2 and in the absolute form, the authority of its
/// target, and then no other `Host` beside it.
///
/// # Errors
/// None, several, or one that is no host.
pub fn requested(request: &Request) -> Result<Host, HostFault> {
    let mut named = named(request);
    let first = named.next().ok_or(HostFault)?;
    let host = Host::parse(first.ok_or(HostFault)?).map_err(|_| HostFault)?;
    let mut fields = request.headers().get_all(HOST).iter();
    let repeated = fields.next().is_some() && fields.next().is_some();
    if repeated || named.any(|other| other != first) { Err(HostFault) } else { Ok(host) }
}

/// Every host that some reader could take the request to be for.
pub(super) fn candidates(request: &Request) -> impl Iterator<Item = Host> {
    named(request).filter_map(|text| Host::parse(text?).ok())
}

fn named(request: &Request) -> impl Iterator<Item = Option<&str>> {
    let authority = request.uri().authority().map(|authority| Some(authority.as_str()));
    let fields = request.headers().get_all(HOST).iter().map(|value| value.to_str().ok());
    authority.into_iter().chain(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_compare_without_case_and_port() {
        for (written, compared) in [
            ("My-API.Example.com", "my-api.example.com"),
            ("my-api.example.com:8443", "my-api.example.com"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ] {
            assert_eq!(Host::parse(written).unwrap().as_str(), compared);
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [
            "",
            "*.example.com",
            "a b",
            "a..b",
            "a.",
            "-a.b",
            "a:x",
            "a:+1",
            "a:1:2",
            "::1",
            "[::1",
            "127.1",
            "a/b",
            "u@h",
        ] {
            assert!(Host::parse(bad).is_err(), "{bad}");
        }
    }

    fn request(uri: &str, hosts: &[&str]) -> Request {
        let builder =
            hosts.iter().fold(http::Request::builder().uri(uri), |builder, host| builder.header("host", *host));
        builder.body(axum::body::Body::empty()).unwrap()
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        assert_eq!(requested(&request("/", &["A.example:1"])).unwrap().as_str(), "a.example");
        assert_eq!(requested(&request("http://a.example/", &["a.example"])).unwrap().as_str(), "a.example");
        assert!(requested(&request("http://a.example/", &[])).is_ok(), "HTTP/2 has only the authority");
        for (uri, hosts) in [
            ("/", &[][..]),
            ("/", &["a.example", "b.example"]),
            ("/", &["a.example", "a.example"]),
            ("http://b.example/", &["a.example"]),
            ("/", &["a.example, b.example"]),
        ] {
            assert!(requested(&request(uri, hosts)).is_err(), "{uri} {hosts:?}");
        }
    }
}
