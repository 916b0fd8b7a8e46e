//! Which header fields cross the gateway.
//!
//! In: a caller's or an upstream's fields. Out: those the other side may see. What says who the caller is comes from
//! the verified token alone: every inbound field that an upstream could mistake for it is dropped first.

use std::net::SocketAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use crate::relying_party::Caller;
use crate::vocab::TraceId;

const USER: HeaderName = HeaderName::from_static("x-countersign-user");
const SCOPES: HeaderName = HeaderName::from_static("x-countersign-scopes");
const TRACE_ID: HeaderName = HeaderName::from_static("x-countersign-trace-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Fields of one connection (RFC 9110 §7.6.1). `Trailer` goes with them, so that no trailer section crosses and merges
/// into an upstream's header fields; `Expect`, because the gateway itself has answered it.
const HOP_BY_HOP: [HeaderName; 6] = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, EXPECT];

/// What the upstream is told beside the caller's own fields.
pub(super) struct Introduction<'a> {
    pub(super) caller: &'a Caller,
    pub(super) trace_id: &'a TraceId,
    pub(super) peer: Option<SocketAddr>,
    pub(super) host: &'a str,
    pub(super) https: bool,
}

/// Makes a caller's fields fit for the upstream. `None` when a value of ours is no header value, which the grammars of
/// user names and scopes rule out.
pub(super) fn for_upstream(headers: &mut HeaderMap, introduction: &Introduction<'_>) -> Option<()> {
    drop_connection_fields(headers);
    drop_where(headers, |folded| {
        folded.starts_with("x-countersign-") || folded.starts_with("x-forwarded-") || folded == "x-real-ip"
    });
    headers.remove(FORWARDED);
    if headers.get(AUTHORIZATION).is_some_and(is_bearer) {
        headers.remove(AUTHORIZATION);
    }
    join_cookies(headers);
    headers.insert(USER, HeaderValue::from_str(introduction.caller.user().as_str()).ok()?);
    headers.insert(SCOPES, HeaderValue::from_str(&introduction.caller.scopes().to_wire()).ok()?);
    headers.insert(TRACE_ID, HeaderValue::from_str(introduction.trace_id.as_str()).ok()?);
    if let Some(peer) = introduction.peer {
        headers.insert(FORWARDED_FOR, HeaderValue::from_str(&peer.ip().to_canonical().to_string()).ok()?);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if introduction.https { "https" } else { "http" }));
    let host = HeaderValue::from_str(introduction.host).ok()?;
    headers.insert(FORWARDED_HOST, host.clone());
    headers.insert(HOST, host);
    Some(())
}

/// Makes an upstream's fields fit for the caller. An upstream does not speak in our name.
pub(super) fn for_caller(headers: &mut HeaderMap) {
    drop_connection_fields(headers);
    drop_where(headers, |folded| folded.starts_with("x-countersign-") || folded == "x-trace-id");
}

fn drop_connection_fields(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // Host and length say what the message is; a caller cannot have them taken out.
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    // `Proxy` is no field of HTTP, but CGI programs read it as HTTP_PROXY (CVE-2016-5385).
    drop_where(headers, |folded| folded == "keep-alive" || folded == "proxy" || folded.starts_with("proxy-"));
}

/// Removes fields by their folded name: lower case, and everything that is no letter or digit as `-`, because CGI-like
/// upstreams see `X_Countersign.User` and `X-Countersign-User` as one variable (RFC 3875 §4.1.18).
fn drop_where(headers: &mut HeaderMap, drop: impl Fn(&str) -> bool) {
    let fold = |name: &HeaderName| -> String {
        name.as_str().chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect()
    };
    let dropped: Vec<HeaderName> = headers.keys().filter(|name| drop(&fold(name))).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
}

fn is_bearer(value: &HeaderValue) -> bool {
    value.as_bytes().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
}

/// HTTP/2 may split the cookie field; HTTP/1.1 must not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}
