//! Google service accounts: ID tokens of the metadata server and of the IAM credentials API.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{HOUR, Identity, Kind, Lints, NamedBy, Narrow, Shared, SingleUse, TenantPin};
use crate::vocab::{Algorithm, ClaimType};

/// It signs for every Google account, people's too. Its keys are on another host, which discovery names.
const PUBLIC: &str = "https://accounts.google.com";

pub(super) static KIND: Kind = Kind {
    name: "google",
    named_by: NamedBy::Url { default: Some(PUBLIC) },
    shares_identifier: false,
    own_settings: &[],
    check_url: super::any_url,
    algorithms: &[Algorithm::RS256],
    closed_algorithms: None,
    claims: &CLAIMS,
    open: false,
    // No jti, and the metadata server hands out the same token until it is nearly over.
    single_use: SingleUse::Never,
    max_lifetime: Duration::from_secs(HOUR),
    tenant_pin: Some(TenantPin {
        shared: Shared::At(&[PUBLIC]),
        // The account's number. An email address is given to a new account after the old one is deleted.
        alternatives: &[&["sub"]],
        narrower: &["sub"],
    }),
    immutable: &["sub"],
    names: &[("email", "sub"), ("/google/compute_engine/instance_name", "/google/compute_engine/instance_id")],
    narrows: &[Narrow::Value("/google/compute_engine/project_number")],
    subject: None,
    caller_chosen: &[],
    lints: Lints::NONE,
    check_header: super::any_header,
    check_claims,
    check_key_issuer: super::any_key_issuer,
    fixture: super::fixture!("google"),
};

/// With `format=full`, `google` has the virtual machine: project, zone, instance.
const CLAIMS: [(&str, ClaimType); 12] = [
    ("azp", ClaimType::String),
    ("email", ClaimType::String),
    ("email_verified", ClaimType::Boolean),
    ("google", ClaimType::Object),
    ("/google/compute_engine/instance_confidentiality", ClaimType::Number),
    ("/google/compute_engine/instance_creation_timestamp", ClaimType::Number),
    ("/google/compute_engine/instance_id", ClaimType::String),
    ("/google/compute_engine/instance_name", ClaimType::String),
    ("/google/compute_engine/license_id", ClaimType::StringList),
    ("/google/compute_engine/project_id", ClaimType::String),
    ("/google/compute_engine/project_number", ClaimType::Number),
    ("/google/compute_engine/zone", ClaimType::String),
];

/// People's tokens come from the same issuer, for OAuth clients. What tells them is not always there, which is why
/// every policy must pin `sub`.
fn check_claims(_: &Identity<'_>, claims: &Map<String, Value>) -> Result<(), &'static str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if claims.contains_key("hd") {
        return Err("no hd: it is a person's token");
    }
    if text("azp").is_some_and(|client| client.ends_with(".apps.googleusercontent.com")) {
        return Err("no OAuth client in azp: it is a person's token");
    }
    if !claims.contains_key("email") {
        return Ok(());
    }
    let is_verified = claims.get("email_verified") == Some(&Value::Bool(true));
    if is_verified && text("email").is_some_and(|email| email.ends_with(".gserviceaccount.com")) {
        return Ok(());
    }
    Err("a service account's verified email, where it has one")
}
