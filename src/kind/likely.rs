//! Which platform a token of an unknown issuer seems to be of. A suggestion for an operator; nothing is decided by it.

use serde_json::{Map, Value};

use super::{Cloud, Identity, IssuerKind, NamedBy, Shared, spiffe};
use crate::vocab::IssuerUrl;

/// Fewer claims than this are no sign of a kind that has many.
const FEW: usize = 3;

/// The kind whose tokens look like this; `oidc` where none does.
#[must_use]
pub fn likely(claims: &Map<String, Value>) -> IssuerKind {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let by_issuer = text("iss").and_then(|iss| IssuerKind::ALL.iter().find(|kind| is_issuer_of(**kind, iss)));
    if let Some(kind) = by_issuer {
        return *kind;
    }
    if text("sub").is_some_and(|sub| spiffe::parse_id(sub).is_ok()) {
        return IssuerKind::SPIFFE;
    }
    let closed = IssuerKind::ALL.iter().filter(|kind| !kind.open && takes(**kind, claims));
    let scored = closed.filter_map(|kind| Some((score(*kind, claims)?, *kind)));
    scored.max_by_key(|(score, _)| *score).map_or(IssuerKind::OIDC, |(_, kind)| kind)
}

/// Whether the kind's own issuers are at the place of this one.
fn is_issuer_of(kind: IssuerKind, iss: &str) -> bool {
    let default = matches!(kind.named_by, NamedBy::Url { default: Some(default) } if default == iss);
    let shared = kind.tenant_pin.as_ref().map(|pin| &pin.shared);
    let public = matches!(shared, Some(Shared::At(issuers)) if issuers.contains(&iss));
    // Where each customer has an issuer, all are on one host: that of the fixture.
    let host = |url: &str| url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let fixture = crate::json::object(kind.fixture.claims.as_bytes()).unwrap_or_default();
    let fixture = fixture.get("iss").and_then(Value::as_str).filter(|_| !kind.open);
    default || public || host(iss).is_some_and(|found| fixture.and_then(host) == Some(found))
}

/// Whether the kind's own rules let such a token in at all.
fn takes(kind: IssuerKind, claims: &Map<String, Value>) -> bool {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let url = text("iss").and_then(|iss| IssuerUrl::parse(iss).ok());
    let tenants: Vec<String> = text("tid").map(str::to_owned).into_iter().collect();
    let identity = Identity { url: url.as_ref(), tenants: &tenants, cloud: Cloud::Public, trust_domain: None };
    (kind.check_claims)(&identity, claims).is_ok()
}

/// How many of the claims are the kind's; `None` when they are too few to say so.
fn score(kind: IssuerKind, claims: &Map<String, Value>) -> Option<usize> {
    const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];
    let own = || kind.claims.iter().map(|(name, _)| *name).filter(|name| !name.starts_with('/'));
    let is_own =
        |name: &str| own().any(|known| known.strip_suffix('*').map_or(known == name, |start| name.starts_with(start)));
    let further = claims.keys().filter(|name| !REGISTERED.contains(&name.as_str()));
    let (known, unknown): (Vec<&String>, Vec<&String>) = further.partition(|name| is_own(name));
    let is_enough = known.len() >= FEW || known.len() == own().count();
    (is_enough && known.len() >= unknown.len() && !known.is_empty()).then_some(known.len())
}
