//! `countersign policy list`: one row a policy.

use super::set::Set;
use crate::cli::Failed;
use crate::cli::output::{self, Column, OutputOption};
use crate::policy::PolicySummary;

const COLUMNS: &[Column<PolicySummary>] = &[
    ("policy", |row| row.policy.to_string()),
    ("issuer", |row| row.issuer.to_string()),
    ("user", |row| row.user.clone()),
    ("scopes", |row| row.scopes.to_wire()),
    ("mode", |row| row.mode.to_string()),
    ("expires", |row| row.expires.clone().unwrap_or_default()),
    ("file", |row| row.file.display().to_string()),
];

pub(super) fn run(set: &Set, output: OutputOption) -> Result<(), Failed> {
    let rows: Vec<PolicySummary> = set.policies.iter().map(|policy| policy.summary()).collect();
    output::print(&output::listing(output.output, COLUMNS, &rows)?)
}
