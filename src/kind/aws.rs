//! AWS: outbound identity federation of one account (`sts:GetWebIdentityToken`).

use std::time::Duration;

use serde_json::{Map, Value};

use super::{HOUR, Identity, Kind, NamedBy, SingleUse};
use crate::vocab::{Algorithm, ClaimType};

pub(super) static KIND: Kind = Kind {
    name: "aws",
    named_by: NamedBy::Url { default: None },
    shares_identifier: false,
    own_settings: &[],
    check_url: super::any_url,
    algorithms: &[Algorithm::RS256, Algorithm::ES384],
    closed_algorithms: None,
    claims: &CLAIMS,
    open: false,
    // Each call makes a new token, with a jti.
    single_use: SingleUse::Always,
    max_lifetime: Duration::from_secs(HOUR),
    tenant_pin: None,
    immutable: &["sub"],
    // The role of an ARN can be made again, and the token has no id of it.
    names: &[],
    subject: None,
    caller_chosen: &["/https:~1~1sts.amazonaws.com~1/request_tags"],
    check_header: super::any_header,
    check_claims,
    check_key_issuer: super::any_key_issuer,
    fixture: super::fixture!("aws"),
};

/// All of AWS's own claims are inside one: account, region, organization, tags, where the code runs.
const CLAIMS: [(&str, ClaimType); 1] = [("https://sts.amazonaws.com/", ClaimType::Object)];

/// The role or user that asked; a session of a role is its role here.
fn check_claims(_: &Identity<'_>, claims: &Map<String, Value>) -> Result<(), &'static str> {
    match claims.get("sub").and_then(Value::as_str) {
        Some(arn) if arn.starts_with("arn:aws") => Ok(()),
        _ => Err("the ARN of an AWS principal in sub"),
    }
}
