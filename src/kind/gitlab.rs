//! GitLab CI/CD: ID tokens of jobs, gitlab.com and own instances.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Events, Fixed, HOUR, Identity, Kind, Lints, NamedBy, Narrow, Shared, SingleUse, TenantPin, Workload};
use crate::vocab::{Algorithm, ClaimType};

/// The instance that everybody shares.
const PUBLIC: &str = "https://gitlab.com";

pub(super) static KIND: Kind = Kind {
    name: "gitlab",
    named_by: NamedBy::Url { default: Some(PUBLIC) },
    shares_identifier: false,
    own_settings: &[],
    check_url: super::any_url,
    algorithms: &[Algorithm::RS256],
    closed_algorithms: None,
    claims: &CLAIMS,
    open: false,
    single_use: SingleUse::Always,
    // A token lives as long as its job may run: an hour by default, and the operator of runners may allow more.
    max_lifetime: Duration::from_secs(24 * HOUR),
    tenant_pin: Some(TenantPin {
        shared: Shared::At(&[PUBLIC]),
        // Paths of groups and projects are given to somebody else after a rename.
        alternatives: &[&["project_id"], &["namespace_id"]],
        narrower: &["project_id", "project_path", "sub", "ci_config_ref_uri"],
    }),
    immutable: &["project_id", "namespace_id"],
    names: &[
        ("project_path", "project_id"),
        ("namespace_path", "namespace_id"),
        ("user_login", "user_id"),
        ("sub", "project_id"),
    ],
    narrows: &[
        Narrow::Value("ref_path"),
        Narrow::Only("ref_protected", "true"),
        Narrow::Value("pipeline_source"),
        Narrow::Value("environment"),
        Narrow::Value("ci_config_ref_uri"),
        Narrow::Value("runner_environment"),
    ],
    subject: None,
    caller_chosen: &[],
    lints: Lints {
        workload: Some(Workload {
            noun: "project",
            lint: "wide-subject",
            ids: &[&["project_id"]],
            names: &[("project_path", ""), ("sub", "project_path:*:")],
            others: &["ci_config_ref_uri"],
        }),
        events: Some(Events {
            claim: "pipeline_source",
            reachable: &["merge_request_event", "external_pull_request_event"],
        }),
        runner: Some("runner_environment"),
        definition: Some(Fixed { claims: &[&["ci_config_ref_uri"], &["ci_config_sha"]], in_subject: "" }),
        // A tag may have the name of a branch: `ref` by itself says neither.
        reference: Some(Fixed {
            claims: &[&["ref_path"], &["ref", "ref_type"], &["ref_protected"], &["sha"]],
            in_subject: ":ref:",
        }),
        always: &ALWAYS,
        values: &[
            ("ref_protected", &["true", "false"]),
            ("environment_protected", &["true", "false"]),
            ("ref_type", &["branch", "tag"]),
            ("runner_environment", &["gitlab-hosted", "self-hosted"]),
        ],
        ..Lints::NONE
    },
    check_header: super::any_header,
    check_claims,
    check_key_issuer: super::any_key_issuer,
    fixture: super::fixture!("gitlab"),
};

const ALWAYS: [&str; 10] = [
    "job_id",
    "namespace_id",
    "namespace_path",
    "pipeline_id",
    "pipeline_source",
    "project_id",
    "project_path",
    "ref",
    "ref_protected",
    "ref_type",
];

/// Ids and booleans are strings; the runner's id is a number, and the user's identities are a list of objects.
const CLAIMS: [(&str, ClaimType); 27] = [
    ("ci_config_ref_uri", ClaimType::String),
    ("ci_config_sha", ClaimType::String),
    ("deployment_tier", ClaimType::String),
    ("environment", ClaimType::String),
    ("environment_action", ClaimType::String),
    ("environment_protected", ClaimType::String),
    ("groups_direct", ClaimType::StringList),
    ("job_id", ClaimType::String),
    ("namespace_id", ClaimType::String),
    ("namespace_path", ClaimType::String),
    ("pipeline_id", ClaimType::String),
    ("pipeline_source", ClaimType::String),
    ("project_id", ClaimType::String),
    ("project_path", ClaimType::String),
    ("project_visibility", ClaimType::String),
    ("ref", ClaimType::String),
    ("ref_path", ClaimType::String),
    ("ref_protected", ClaimType::String),
    ("ref_type", ClaimType::String),
    ("runner_environment", ClaimType::String),
    ("runner_id", ClaimType::Number),
    ("sha", ClaimType::String),
    ("user_access_level", ClaimType::String),
    ("user_email", ClaimType::String),
    ("user_id", ClaimType::String),
    ("user_identities", ClaimType::Any),
    ("user_login", ClaimType::String),
];

/// GitLab also signs in people at other sites, with the same issuer and keys; their tokens are of no job.
fn check_claims(_: &Identity<'_>, claims: &Map<String, Value>) -> Result<(), &'static str> {
    match claims.get("job_id") {
        Some(Value::String(_)) => Ok(()),
        _ => Err("a job_id: without one it is a person's token"),
    }
}
