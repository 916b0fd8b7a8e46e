//! HCP Terraform and Terraform Enterprise: workload identity of a run.

use std::time::Duration;

use super::{Events, HOUR, Kind, Lints, NamedBy, Narrow, Shared, SingleUse, TenantPin, Workload};
use crate::vocab::{Algorithm, ClaimType};

/// The issuer of all organizations; `sub` has their names, and spaces in them.
const PUBLIC: &str = "https://app.terraform.io";

pub(super) static KIND: Kind = Kind {
    name: "terraform-cloud",
    named_by: NamedBy::Url { default: Some(PUBLIC) },
    shares_identifier: false,
    own_settings: &[],
    check_url: super::any_url,
    algorithms: &[Algorithm::RS256],
    closed_algorithms: None,
    claims: &CLAIMS,
    open: false,
    single_use: SingleUse::Always,
    // A token lives as long as its run may take.
    max_lifetime: Duration::from_secs(24 * HOUR),
    tenant_pin: Some(TenantPin {
        shared: Shared::At(&[PUBLIC, "https://app.eu.terraform.io"]),
        // Names of organizations and workspaces are given to somebody else after a rename.
        alternatives: &[&["terraform_workspace_id"], &["terraform_organization_id"]],
        narrower: &[
            "terraform_workspace_id",
            "terraform_workspace_name",
            "terraform_project_id",
            "terraform_full_workspace",
            "sub",
        ],
    }),
    immutable: &["terraform_workspace_id", "terraform_organization_id", "terraform_project_id"],
    names: &[
        ("terraform_workspace_name", "terraform_workspace_id"),
        ("terraform_full_workspace", "terraform_workspace_id"),
        ("terraform_project_name", "terraform_project_id"),
        ("terraform_organization_name", "terraform_organization_id"),
        ("sub", "terraform_workspace_id"),
    ],
    narrows: &[Narrow::Value("terraform_run_phase")],
    subject: None,
    caller_chosen: &[],
    lints: Lints {
        workload: Some(Workload {
            noun: "workspace",
            lint: "wide-subject",
            ids: &[&["terraform_workspace_id"]],
            names: &[
                ("terraform_workspace_name", ""),
                ("terraform_full_workspace", ""),
                ("sub", "organization:*:project:*:workspace:*:"),
            ],
            others: &[],
        }),
        // A pull request starts a plan, and a plan runs the providers and programs that it names.
        events: Some(Events { claim: "terraform_run_phase", reachable: &["plan"] }),
        always: &["terraform_organization_id", "terraform_workspace_id", "terraform_run_phase", "terraform_run_id"],
        values: &[("terraform_run_phase", &["plan", "apply"])],
        ..Lints::NONE
    },
    check_header: super::any_header,
    check_claims: super::any_claims,
    check_key_issuer: super::any_key_issuer,
    fixture: super::fixture!("terraform-cloud"),
};

const CLAIMS: [(&str, ClaimType); 9] = [
    ("terraform_full_workspace", ClaimType::String),
    ("terraform_organization_id", ClaimType::String),
    ("terraform_organization_name", ClaimType::String),
    ("terraform_project_id", ClaimType::String),
    ("terraform_project_name", ClaimType::String),
    ("terraform_run_id", ClaimType::String),
    ("terraform_run_phase", ClaimType::String),
    ("terraform_workspace_id", ClaimType::String),
    ("terraform_workspace_name", ClaimType::String),
];
