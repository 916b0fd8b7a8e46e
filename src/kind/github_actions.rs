//! GitHub Actions: github.com, an enterprise's own issuer there, data residency and GitHub Enterprise Server.

mod subject;

use std::time::Duration;

use super::{Events, Fixed, HOUR, Kind, Lints, NamedBy, Narrow, Shared, SingleUse, Subject, TenantPin, Workload};
use crate::vocab::{Algorithm, ClaimType};

/// The issuer of every repository on github.com. All others are one enterprise's own: `/SLUG` behind it, a host below
/// ghe.com, or a server's `/_services/token`.
const PUBLIC: &str = "https://token.actions.githubusercontent.com";

pub(super) static KIND: Kind = Kind {
    name: "github-actions",
    named_by: NamedBy::Url { default: Some(PUBLIC) },
    shares_identifier: false,
    own_settings: &[],
    check_url,
    algorithms: &[Algorithm::RS256],
    closed_algorithms: None,
    claims: &CLAIMS,
    open: false,
    single_use: SingleUse::Always,
    // Samples live 5 minutes with an nbf 10 minutes back; an hour leaves room for other servers.
    max_lifetime: Duration::from_secs(HOUR),
    // Names are given to somebody else after a rename; numbers are not. `sub` is no pin: templates replace it whole.
    tenant_pin: Some(TenantPin {
        shared: Shared::At(&[PUBLIC]),
        alternatives: &[&["repository_id"], &["repository_owner_id"]],
        narrower: &["repository_id", "repository", "sub", "workflow_ref", "job_workflow_ref", "environment"],
    }),
    immutable: &["repository_id", "repository_owner_id", "enterprise_id"],
    // `sub` has ids in one of its forms; see `subject`.
    names: &[
        ("repository", "repository_id"),
        ("repository_owner", "repository_owner_id"),
        ("enterprise", "enterprise_id"),
        ("actor", "actor_id"),
    ],
    narrows: &[
        Narrow::Value("ref"),
        Narrow::Only("ref_protected", "true"),
        Narrow::Value("event_name"),
        Narrow::Value("environment"),
        Narrow::Value("job_workflow_ref"),
        Narrow::Value("runner_environment"),
    ],
    subject: Some(Subject { describe: subject::describe, doubt: subject::doubt }),
    caller_chosen: &[],
    lints: Lints {
        workload: Some(Workload {
            noun: "repository",
            lint: "wide-subject",
            ids: &[&["repository_id"]],
            names: &[("repository", ""), ("sub", "repo:*/*:")],
            others: &["job_workflow_ref", "workflow_ref"],
        }),
        events: Some(Events { claim: "event_name", reachable: &REACHABLE }),
        runner: Some("runner_environment"),
        definition: Some(Fixed {
            claims: &[&["job_workflow_ref"], &["workflow_ref"], &["job_workflow_sha"], &["workflow_sha"]],
            in_subject: "job_workflow_ref:",
        }),
        // The file of the workflow is named with the ref that it ran for.
        reference: Some(Fixed {
            claims: &[&["ref"], &["ref_protected"], &["workflow_ref"], &["sha"]],
            in_subject: ":ref:",
        }),
        always: &ALWAYS,
        values: &[
            ("ref_protected", &["true", "false"]),
            ("ref_type", &["branch", "tag"]),
            ("runner_environment", &["github-hosted", "self-hosted"]),
        ],
        ..Lints::NONE
    },
    check_header: super::any_header,
    check_claims: super::any_claims,
    check_key_issuer: super::any_key_issuer,
    fixture: super::fixture!("github-actions"),
};

/// What somebody without write access can cause, and what runs after that. Forks' pull requests themselves get no token
/// as a rule; the others run with the repository's own rights, on what a stranger wrote.
const REACHABLE: [&str; 11] = [
    "pull_request",
    "pull_request_target",
    "pull_request_review",
    "pull_request_review_comment",
    "issue_comment",
    "issues",
    "discussion",
    "discussion_comment",
    "workflow_run",
    "fork",
    "watch",
];

/// In tokens of every version of the server.
const ALWAYS: [&str; 12] = [
    "actor",
    "event_name",
    "ref",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "run_id",
    "run_number",
    "sha",
    "workflow",
];

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

/// Where the hosts are GitHub's, only the forms that tokens have; a server of one's own may be called anything.
fn check_url(url: &str) -> Result<(), &'static str> {
    let rest = url.strip_prefix("https://").unwrap_or_default();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let slug = path.strip_prefix('/').unwrap_or_default();
    let is_slug =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let residency = host.strip_prefix("token.actions.").and_then(|rest| rest.strip_suffix(".ghe.com"));
    if host == "token.actions.githubusercontent.com" && !path.is_empty() && !is_slug(slug) {
        return Err("must end with the enterprise's slug: https://token.actions.githubusercontent.com/SLUG");
    }
    if residency.is_some_and(|name| !path.is_empty() && slug != name) {
        return Err("must be https://token.actions.NAME.ghe.com, or that with /NAME behind it");
    }
    if residency.is_none() && (host == "ghe.com" || host.ends_with(".ghe.com")) {
        return Err("must start with https://token.actions. as the tokens' iss does");
    }
    if host == "github.com" || host.ends_with(".github.com") {
        return Err("is no issuer; github.com needs no `url`");
    }
    Ok(())
}
