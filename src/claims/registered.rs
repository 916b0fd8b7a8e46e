//! The registered claims (RFC 7519 §4.1), each with its type, and the times.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::issuer::{Issuer, KindRefusal};
use crate::vocab::{Algorithm, Subject, UnixTime, shown};

/// Latest NumericDate that can be meant: the end of the year 9999. Milliseconds and 2^63 are past it.
const LATEST_SECONDS: f64 = 253_402_300_799.0;
/// Longest `jti`; it is hashed before it is kept.
const MAX_TOKEN_ID_BYTES: usize = 1024;

/// Most characters of a signed text that an operator is shown, and most audiences.
const SHOWN_CHARACTERS: usize = 120;
const SHOWN_AUDIENCES: usize = 4;
/// The rule of a claim that must be there.
const MISSING: &str = "is missing";

/// Why a signed assertion is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsRefusal {
    /// The header's `alg` is not the key's.
    #[error("the header's alg is {said}, which is not the key's")]
    Algorithm {
        /// The header's `alg`.
        said: Algorithm,
    },
    /// The signature does not hold under the issuer's key.
    #[error("the signature does not verify")]
    Signature,
    /// The keys of several clusters that share the `iss` verify it; which cluster it is of cannot be told.
    #[error("several issuers with this iss have the key that signed it")]
    SeveralIssuers,
    /// The header's `typ` says it is another kind of token (RFC 8725 §3.11).
    #[error("the header's typ is \"{found}\", another kind of token; an identity token has JWT or none")]
    TokenType {
        /// The header's `typ`, as it may be shown.
        found: String,
    },
    /// A rule of the issuer's kind.
    #[error(transparent)]
    Kind(#[from] KindRefusal),
    /// A claim that must be there is not, or a claim has the wrong JSON type.
    #[error("the claim {0} {1}")]
    Claim(&'static str, &'static str),
    /// No accepted audience.
    #[error("the audience is not accepted; expected {expected}, found {found}")]
    Audience {
        /// What the issuer's configuration accepts.
        expected: String,
        /// What the token has, as it may be shown.
        found: String,
    },
    /// An accepted audience, but not alone.
    #[error("the token is meant for other audiences too: {found}")]
    AdditionalAudience {
        /// What the token has, as it may be shown.
        found: String,
    },
    /// Past `exp` and the leeway.
    #[error(
        "expired {} s ago, at {expires_at}; {} s of leeway are allowed",
        now.since(*expires_at).as_secs(), leeway.as_secs()
    )]
    Expired {
        /// The `exp` claim.
        expires_at: UnixTime,
        /// When it was read.
        now: UnixTime,
        /// The clock difference that is allowed.
        leeway: Duration,
    },
    /// Before `nbf`.
    #[error("not valid for another {} s, before {not_before}; read at {now}", not_before.since(*now).as_secs())]
    NotYetValid {
        /// The `nbf` claim.
        not_before: UnixTime,
        /// When it was read.
        now: UnixTime,
    },
    /// `iat` lies in the future.
    #[error("issued {} s in the future, at {issued_at}; read at {now}", issued_at.since(*now).as_secs())]
    IssuedInFuture {
        /// The `iat` claim.
        issued_at: UnixTime,
        /// When it was read.
        now: UnixTime,
    },
    /// Lives longer than the issuer's tokens may.
    #[error(
        "{what}: {seconds} s, {} s over the {limit_seconds} s that are allowed",
        seconds.saturating_sub(*limit_seconds)
    )]
    Lifetime {
        /// What is too long, as the beginning of a sentence.
        what: &'static str,
        /// How long it is.
        seconds: u64,
        /// The issuer's limit.
        limit_seconds: u64,
    },
    /// `exp` is not after `iat`, or `nbf` is not before `exp`.
    #[error("the times contradict each other: {0}")]
    Times(&'static str),
}

impl ClaimsRefusal {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            ClaimsRefusal::Algorithm { .. } => "claims.algorithm",
            ClaimsRefusal::Signature => "claims.signature",
            ClaimsRefusal::SeveralIssuers => "claims.several_issuers",
            ClaimsRefusal::TokenType { .. } => "claims.token_type",
            ClaimsRefusal::Kind(refusal) => refusal.cause(),
            ClaimsRefusal::Claim(..) => "claims.malformed",
            ClaimsRefusal::Audience { .. } => "claims.audience",
            ClaimsRefusal::AdditionalAudience { .. } => "claims.additional_audience",
            ClaimsRefusal::Expired { .. } => "claims.expired",
            ClaimsRefusal::NotYetValid { .. } => "claims.not_yet_valid",
            ClaimsRefusal::IssuedInFuture { .. } => "claims.issued_in_future",
            ClaimsRefusal::Lifetime { .. } => "claims.lifetime",
            ClaimsRefusal::Times(_) => "claims.times",
        }
    }
}

/// `typ` may be absent, or one of the names under which identity tokens and client assertions travel
/// (RFC 7519 §5.1, JWT-SVID §2.3, draft-ietf-oauth-rfc7523bis §4). Names compare without case and `application/`.
pub(super) fn check_token_type(token_type: Option<&str>) -> Result<(), ClaimsRefusal> {
    let Some(token_type) = token_type else { return Ok(()) };
    let lower = token_type.to_ascii_lowercase();
    match lower.strip_prefix("application/").unwrap_or(&lower) {
        "jwt" | "jose" | "client-authentication+jwt" => Ok(()),
        _ => Err(ClaimsRefusal::TokenType { found: shown(token_type, SHOWN_CHARACTERS) }),
    }
}

/// The registered claims, typed.
pub(super) struct Registered {
    pub(super) subject: Subject,
    pub(super) audience: String,
    pub(super) token_id: Option<String>,
    pub(super) expires_at: UnixTime,
    not_before: Option<UnixTime>,
    issued_at: Option<UnixTime>,
}

impl Registered {
    pub(super) fn read(members: &Map<String, Value>, issuer: &Issuer) -> Result<Registered, ClaimsRefusal> {
        check_issuer_type(members)?;
        let subject = members.get("sub").and_then(Value::as_str).and_then(|text| Subject::parse(text).ok());
        Ok(Registered {
            subject: subject.ok_or_else(|| ClaimsRefusal::Claim("sub", why_no_subject(members.get("sub"))))?,
            audience: audience(members.get("aud"), issuer)?,
            token_id: token_id(members.get("jti"))?,
            expires_at: numeric_date(members, "exp")?.ok_or(ClaimsRefusal::Claim("exp", MISSING))?,
            not_before: numeric_date(members, "nbf")?,
            issued_at: numeric_date(members, "iat")?,
        })
    }

    /// RFC 7519 §4.1.4 to §4.1.6, RFC 7523 §3 items 4 to 6.
    pub(super) fn check_times(&self, issuer: &Issuer, now: UnixTime) -> Result<(), ClaimsRefusal> {
        let (leeway, limit) = (issuer.leeway(), issuer.max_lifetime());
        let expires_at = self.expires_at;
        if now >= expires_at.plus(leeway) {
            return Err(ClaimsRefusal::Expired { expires_at, now, leeway });
        }
        if let Some(not_before) = self.not_before {
            if not_before >= expires_at {
                return Err(ClaimsRefusal::Times("nbf is not before exp"));
            }
            if not_before > now.plus(leeway) {
                return Err(ClaimsRefusal::NotYetValid { not_before, now });
            }
        }
        self.check_age(leeway, limit, now)
    }

    fn check_age(&self, leeway: Duration, limit: Duration, now: UnixTime) -> Result<(), ClaimsRefusal> {
        let too_long = |what: &'static str, span: Duration| {
            Err(ClaimsRefusal::Lifetime { what, seconds: span.as_secs(), limit_seconds: limit.as_secs() })
        };
        if self.expires_at > now.plus(limit).plus(leeway) {
            return too_long("still lives too long", self.expires_at.since(now));
        }
        let Some(issued_at) = self.issued_at else { return Ok(()) };
        if issued_at > now.plus(leeway) {
            return Err(ClaimsRefusal::IssuedInFuture { issued_at, now });
        }
        if self.expires_at <= issued_at {
            return Err(ClaimsRefusal::Times("exp is not after iat"));
        }
        if self.expires_at > issued_at.plus(limit) {
            return too_long("lives too long", self.expires_at.since(issued_at));
        }
        if now > issued_at.plus(limit).plus(leeway) {
            return too_long("was issued too long ago", now.since(issued_at));
        }
        Ok(())
    }
}

/// The look-up already compared a string `iss` byte for byte; any other type must not pass where the issuer was found
/// by something else (a trust domain).
fn check_issuer_type(members: &Map<String, Value>) -> Result<(), ClaimsRefusal> {
    match members.get("iss") {
        None | Some(Value::String(_)) => Ok(()),
        Some(_) => Err(ClaimsRefusal::Claim("iss", "is no string")),
    }
}

/// The accepted audience: one of the issuer's, byte for byte (RFC 3986 §6.2.1 simple string comparison), and alone
/// unless the operator allowed more.
fn audience(claim: Option<&Value>, issuer: &Issuer) -> Result<String, ClaimsRefusal> {
    let values = match claim {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(items)) => {
            let strings: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            strings.ok_or(ClaimsRefusal::Claim("aud", "has an item that is no string"))?
        }
        Some(_) => return Err(ClaimsRefusal::Claim("aud", "is neither a string nor a list")),
        None => return Err(ClaimsRefusal::Claim("aud", MISSING)),
    };
    let accepted = values.iter().find(|value| issuer.audiences().iter().any(|known| known.as_str() == **value));
    let Some(accepted) = accepted else {
        let expected: Vec<&str> = issuer.audiences().iter().map(crate::vocab::Audience::as_str).collect();
        return Err(ClaimsRefusal::Audience { expected: expected.join(" or "), found: several(&values) });
    };
    if values.len() > 1 && !issuer.settings().allow_additional_audiences {
        return Err(ClaimsRefusal::AdditionalAudience { found: several(&values) });
    }
    Ok((*accepted).to_owned())
}

/// Some of the audiences, as they may be shown.
fn several(audiences: &[&str]) -> String {
    let listed: Vec<String> =
        audiences.iter().take(SHOWN_AUDIENCES).map(|audience| shown(audience, SHOWN_CHARACTERS)).collect();
    let more = if audiences.len() > SHOWN_AUDIENCES { ", …" } else { "" };
    if listed.is_empty() { "none".to_owned() } else { listed.join(", ") + more }
}

fn why_no_subject(claim: Option<&Value>) -> &'static str {
    match claim {
        None => MISSING,
        Some(Value::String(_)) => "is empty, longer than 2,048 bytes or has control characters",
        Some(_) => "is no string",
    }
}

fn token_id(claim: Option<&Value>) -> Result<Option<String>, ClaimsRefusal> {
    match claim {
        None => Ok(None),
        Some(Value::String(id))
            if !id.is_empty() && id.len() <= MAX_TOKEN_ID_BYTES && !id.chars().any(char::is_control) =>
        {
            Ok(Some(id.clone()))
        }
        Some(_) => Err(ClaimsRefusal::Claim("jti", "is no string of 1 to 1,024 bytes without control characters")),
    }
}

/// A NumericDate may have a fraction (RFC 7519 §2); it is cut off. A string is never one (CVE-2026-25537).
fn numeric_date(members: &Map<String, Value>, name: &'static str) -> Result<Option<UnixTime>, ClaimsRefusal> {
    let Some(claim) = members.get(name) else { return Ok(None) };
    let seconds = claim.as_f64().ok_or(ClaimsRefusal::Claim(name, "is no number"))?;
    if !(0.0..=LATEST_SECONDS).contains(&seconds) {
        return Err(ClaimsRefusal::Claim(name, "is no time in seconds before the year 10000"));
    }
    #[allow(clippy::cast_possible_truncation)] // in range by the check above
    Ok(Some(UnixTime(seconds as i64)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_identity_tokens_and_client_assertions_pass_by_typ() {
        for good in [None, Some("JWT"), Some("jwt"), Some("JOSE"), Some("application/client-authentication+jwt")] {
            assert!(check_token_type(good).is_ok(), "{good:?}");
        }
        for bad in ["at+jwt", "application/at+jwt", "dpop+jwt", "wit+jwt", "logout+jwt", "", "JWT "] {
            assert!(check_token_type(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_says_by_how_much() {
        let (now, at) = (UnixTime(1_800_000_000), |seconds: i64| UnixTime(1_800_000_000 + seconds));
        let leeway = Duration::from_secs(60);
        for (refusal, words) in [
            (
                ClaimsRefusal::Expired { expires_at: at(-3600), now, leeway },
                "expired 3600 s ago, at 2027-01-15T07:00:00Z; 60 s of leeway are allowed",
            ),
            (
                ClaimsRefusal::NotYetValid { not_before: at(90), now },
                "not valid for another 90 s, before 2027-01-15T08:01:30Z; read at 2027-01-15T08:00:00Z",
            ),
            (
                ClaimsRefusal::Lifetime { what: "lives too long", seconds: 7200, limit_seconds: 3600 },
                "lives too long: 7200 s, 3600 s over the 3600 s that are allowed",
            ),
        ] {
            assert_eq!(refusal.to_string(), words);
        }
        assert_eq!(several(&["a", "b\n", "c", "d", "e"]), "a, b\\u{a}, c, d, …");
    }

    #[test]
    fn a_numeric_date_is_a_number_before_the_year_ten_thousand() {
        let read = |value: Value| numeric_date(json!({ "exp": value }).as_object().unwrap(), "exp");
        assert_eq!(read(json!(1_800_000_000)), Ok(Some(UnixTime(1_800_000_000))));
        assert_eq!(read(json!(1_800_000_000.9)), Ok(Some(UnixTime(1_800_000_000))));
        for bad in
            [json!("1800000000"), json!(null), json!(-1), json!(1_800_000_000_000_i64), json!(u64::MAX), json!([1])]
        {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
