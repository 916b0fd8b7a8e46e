//! GitHub Actions, github.com and GitHub Enterprise Server.

use std::time::Duration;

use super::{HOUR, Kind, NamedBy, SingleUse, TenantPin};
use crate::vocab::{Algorithm, ClaimType};

/// The issuer of every repository on github.com; an enterprise's own issuer has a path or another host.
const PUBLIC: &str = "https://token.actions.githubusercontent.com";

pub(super) static KIND: Kind = Kind {
    name: "github-actions",
    named_by: NamedBy::Url { default: Some(PUBLIC) },
    shares_identifier: false,
    own_settings: &[],
    check_url: super::any_url,
    algorithms: &[Algorithm::RS256],
    closed_algorithms: None,
    claims: &CLAIMS,
    open: false,
    single_use: SingleUse::Always,
    // Samples live 5 minutes with an nbf 10 minutes back; an hour leaves room for other servers.
    max_lifetime: Duration::from_secs(HOUR),
    // Names are given to somebody else after a rename; numbers are not. `sub` is no pin: templates replace it whole.
    tenant_pin: Some(TenantPin {
        shared_at: &[PUBLIC],
        alternatives: &[&["repository_id"], &["repository_owner_id"]],
        narrower: &["repository_id", "repository", "sub", "workflow_ref", "job_workflow_ref", "environment"],
    }),
    immutable: &["repository_id", "repository_owner_id", "enterprise_id"],
    caller_chosen: &[],
    check_header: super::any_header,
    check_claims: super::any_claims,
    check_key_issuer: super::any_key_issuer,
    fixture: super::fixture!("github-actions"),
};

/// All strings, ids and booleans too; `exp`, `nbf` and `iat` are the only numbers.
const CLAIMS: [(&str, ClaimType); 28] = [
    ("actor", ClaimType::String),
    ("actor_id", ClaimType::String),
    ("base_ref", ClaimType::String),
    ("check_run_id", ClaimType::String),
    ("enterprise", ClaimType::String),
    ("enterprise_id", ClaimType::String),
    ("environment", ClaimType::String),
    ("event_name", ClaimType::String),
    ("head_ref", ClaimType::String),
    ("job_workflow_ref", ClaimType::String),
    ("job_workflow_sha", ClaimType::String),
    ("ref", ClaimType::String),
    ("ref_protected", ClaimType::String),
    ("ref_type", ClaimType::String),
    // Custom properties of the repository; one with several values has them joined by commas.
    ("repo_property_*", ClaimType::String),
    ("repository", ClaimType::String),
    ("repository_id", ClaimType::String),
    ("repository_owner", ClaimType::String),
    ("repository_owner_id", ClaimType::String),
    ("repository_visibility", ClaimType::String),
    ("run_attempt", ClaimType::String),
    ("run_id", ClaimType::String),
    ("run_number", ClaimType::String),
    ("runner_environment", ClaimType::String),
    ("sha", ClaimType::String),
    ("workflow", ClaimType::String),
    ("workflow_ref", ClaimType::String),
    ("workflow_sha", ClaimType::String),
];
