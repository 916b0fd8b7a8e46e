//! Buildkite: tokens that the agent requests for its job.

use std::time::Duration;

use super::{Fixed, HOUR, Kind, Lints, NamedBy, Narrow, Shared, SingleUse, TenantPin, Workload};
use crate::vocab::{Algorithm, ClaimType};

/// The issuer of all organizations.
const PUBLIC: &str = "https://agent.buildkite.com";

pub(super) static KIND: Kind = Kind {
    name: "buildkite",
    named_by: NamedBy::Url { default: Some(PUBLIC) },
    shares_identifier: false,
    own_settings: &[],
    check_url: super::any_url,
    algorithms: &[Algorithm::RS256],
    closed_algorithms: None,
    claims: &CLAIMS,
    open: false,
    // There is no jti: the assertion itself is what was used. A job asks for as many as it needs.
    single_use: SingleUse::Always,
    // Five minutes unless `--lifetime` says otherwise.
    max_lifetime: Duration::from_secs(HOUR),
    tenant_pin: Some(TenantPin {
        shared: Shared::At(&[PUBLIC]),
        // In a token only when the job asks: `oidc request-token --claim organization_id --claim pipeline_id`.
        alternatives: &[&["pipeline_id"], &["organization_id"]],
        narrower: &["pipeline_id", "pipeline_slug", "cluster_id", "queue_id", "sub"],
    }),
    immutable: &["pipeline_id", "organization_id", "cluster_id"],
    names: &[
        ("pipeline_slug", "pipeline_id"),
        ("organization_slug", "organization_id"),
        ("cluster_name", "cluster_id"),
        ("queue_key", "queue_id"),
        ("sub", "pipeline_id"),
    ],
    narrows: &[
        Narrow::Value("build_branch"),
        Narrow::Value("build_source"),
        Narrow::Value("step_key"),
        Narrow::Value("runner_environment"),
    ],
    subject: None,
    caller_chosen: &[],
    lints: Lints {
        workload: Some(Workload {
            noun: "pipeline",
            lint: "wide-subject",
            ids: &[&["pipeline_id"]],
            names: &[("pipeline_slug", ""), ("sub", "organization:*:pipeline:*:")],
            others: &["cluster_id", "queue_id"],
        }),
        // Agents are the customer's own as a rule, and the source of a build does not tell forks from branches.
        reference: Some(Fixed { claims: &[&["build_branch"], &["build_tag"], &["build_commit"]], in_subject: ":ref:" }),
        always: &["organization_slug", "pipeline_slug", "build_number", "build_branch", "build_commit", "job_id"],
        ..Lints::NONE
    },
    check_header: super::any_header,
    check_claims: super::any_claims,
    check_key_issuer: super::any_key_issuer,
    fixture: super::fixture!("buildkite"),
};

/// Those from `agent_tag`, `build_id`, the ids and the tags for AWS are there when the job asks for them by `--claim`.
/// `step_key` and `build_tag` may be null.
const CLAIMS: [(&str, ClaimType); 20] = [
    ("agent_tag:*", ClaimType::String),
    ("agent_id", ClaimType::String),
    ("build_branch", ClaimType::String),
    ("build_commit", ClaimType::String),
    ("build_id", ClaimType::String),
    ("build_number", ClaimType::Number),
    ("build_source", ClaimType::String),
    ("build_tag", ClaimType::String),
    ("cluster_id", ClaimType::String),
    ("cluster_name", ClaimType::String),
    ("job_id", ClaimType::String),
    ("organization_id", ClaimType::String),
    ("organization_slug", ClaimType::String),
    ("pipeline_id", ClaimType::String),
    ("pipeline_slug", ClaimType::String),
    ("queue_id", ClaimType::String),
    ("queue_key", ClaimType::String),
    ("runner_environment", ClaimType::String),
    ("step_key", ClaimType::String),
    ("https://aws.amazon.com/tags", ClaimType::Object),
];
