//! Fly.io: one organization's machines.

use std::time::Duration;

use super::{HOUR, Kind, Lints, NamedBy, SingleUse, Workload};
use crate::vocab::{Algorithm, ClaimType};

pub(super) static KIND: Kind = Kind {
    name: "fly",
    named_by: NamedBy::Url { default: None },
    shares_identifier: false,
    own_settings: &[],
    check_url,
    algorithms: &[Algorithm::RS256],
    closed_algorithms: None,
    claims: &CLAIMS,
    open: false,
    // The machine's socket makes a new token at each request.
    single_use: SingleUse::WhenTokenId,
    max_lifetime: Duration::from_secs(HOUR),
    tenant_pin: None,
    immutable: &["app_id", "org_id"],
    names: &[("app_name", "app_id"), ("org_name", "org_id"), ("machine_name", "machine_id"), ("sub", "app_id")],
    narrows: &[],
    subject: None,
    caller_chosen: &[],
    lints: Lints {
        workload: Some(Workload {
            noun: "app",
            lint: "wide-subject",
            ids: &[&["app_id"]],
            names: &[("app_name", ""), ("sub", "*:*:")],
            others: &["machine_id", "image_digest"],
        }),
        always: &["app_id", "app_name", "org_id", "org_name", "machine_id"],
        ..Lints::NONE
    },
    check_header: super::any_header,
    check_claims: super::any_claims,
    check_key_issuer: super::any_key_issuer,
    fixture: super::fixture!("fly"),
};

const CLAIMS: [(&str, ClaimType); 10] = [
    ("app_id", ClaimType::String),
    ("app_name", ClaimType::String),
    ("image", ClaimType::String),
    ("image_digest", ClaimType::String),
    ("machine_id", ClaimType::String),
    ("machine_name", ClaimType::String),
    ("machine_version", ClaimType::String),
    ("org_id", ClaimType::String),
    ("org_name", ClaimType::String),
    ("region", ClaimType::String),
];

fn check_url(url: &str) -> Result<(), &'static str> {
    match url.strip_prefix("https://oidc.fly.io") {
        Some(path) if path.strip_prefix('/').is_none_or(|org| org.is_empty() || org.contains('/')) => {
            Err("must name your organization: https://oidc.fly.io/ORGANIZATION")
        }
        Some(_) | None => Ok(()),
    }
}
