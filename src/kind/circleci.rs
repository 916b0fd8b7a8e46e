//! CircleCI: one organization's jobs.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Fixed, HOUR, Identity, Kind, Lints, NamedBy, Narrow, SingleUse, Workload};
use crate::vocab::{Algorithm, ClaimType};

const SSH_RERUN: &str = "oidc.circleci.com/ssh-rerun";

pub(super) static KIND: Kind = Kind {
    name: "circleci",
    named_by: NamedBy::Url { default: None },
    shares_identifier: false,
    own_settings: &[],
    check_url,
    algorithms: &[Algorithm::RS256],
    closed_algorithms: None,
    claims: &CLAIMS,
    open: false,
    single_use: SingleUse::Always,
    max_lifetime: Duration::from_secs(HOUR),
    tenant_pin: None,
    immutable: &["oidc.circleci.com/project-id", "oidc.circleci.com/org-id"],
    names: &[("oidc.circleci.com/vcs-origin", "oidc.circleci.com/project-id")],
    narrows: &[
        Narrow::Value("oidc.circleci.com/pipeline-definition-id"),
        Narrow::Value("oidc.circleci.com/vcs-ref"),
        Narrow::Value("oidc.circleci.com/context-ids"),
    ],
    subject: None,
    caller_chosen: &[],
    lints: Lints {
        workload: Some(Workload {
            noun: "project",
            lint: "wide-subject",
            ids: &[&["oidc.circleci.com/project-id"]],
            names: &[("oidc.circleci.com/vcs-origin", ""), ("sub", "org/*/project/*/")],
            others: &["oidc.circleci.com/context-ids"],
        }),
        definition: Some(Fixed { claims: &[&["oidc.circleci.com/pipeline-definition-id"]], in_subject: "" }),
        reference: Some(Fixed { claims: &[&["oidc.circleci.com/vcs-ref"]], in_subject: "/vcs-ref/" }),
        always: &["oidc.circleci.com/project-id"],
        ..Lints::NONE
    },
    check_header: super::any_header,
    check_claims,
    check_key_issuer: super::any_key_issuer,
    fixture: super::fixture!("circleci"),
};

const CLAIMS: [(&str, ClaimType); 10] = [
    ("oidc.circleci.com/context-ids", ClaimType::StringList),
    ("oidc.circleci.com/job-id", ClaimType::String),
    ("oidc.circleci.com/org-id", ClaimType::String),
    ("oidc.circleci.com/pipeline-definition-id", ClaimType::String),
    ("oidc.circleci.com/pipeline-id", ClaimType::String),
    ("oidc.circleci.com/project-id", ClaimType::String),
    (SSH_RERUN, ClaimType::Boolean),
    ("oidc.circleci.com/vcs-origin", ClaimType::String),
    ("oidc.circleci.com/vcs-ref", ClaimType::String),
    ("oidc.circleci.com/workflow-id", ClaimType::String),
];

/// Each organization has an issuer, and `aud` is its id unless the job asks for another.
fn check_url(url: &str) -> Result<(), &'static str> {
    match url.strip_prefix("https://oidc.circleci.com") {
        Some(path) if path.strip_prefix("/org/").is_none_or(|id| id.is_empty() || id.contains('/')) => {
            Err("must name your organization: https://oidc.circleci.com/org/ORGANIZATION_ID")
        }
        Some(_) | None => Ok(()),
    }
}

/// A job that was run again with SSH does what the person in its shell types.
fn check_claims(_: &Identity<'_>, claims: &Map<String, Value>) -> Result<(), &'static str> {
    if claims.get(SSH_RERUN).is_some_and(|rerun| *rerun != Value::Bool(false)) {
        return Err("oidc.circleci.com/ssh-rerun false: somebody has a shell in this job");
    }
    Ok(())
}
