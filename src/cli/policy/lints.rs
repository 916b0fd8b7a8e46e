//! `countersign policy lints`: what is looked for in policies. It needs no configuration.

use serde::Serialize;

use crate::cli::Failed;
use crate::cli::output::{self, Column, OutputOption};
use crate::diagnostic::Severity;
use crate::policy::lint::LINTS;

#[derive(Debug, Serialize)]
struct Row {
    id: &'static str,
    severity: &'static str,
    summary: &'static str,
}

const COLUMNS: &[Column<Row>] = &[
    ("id", |row| row.id.to_owned()),
    ("severity", |row| row.severity.to_owned()),
    ("finds", |row| row.summary.to_owned()),
];

pub(super) fn run(output: OutputOption) -> Result<(), Failed> {
    let rows: Vec<Row> = LINTS
        .iter()
        .map(|lint| {
            let severity = if lint.severity == Severity::Error { "error" } else { "warning" };
            Row { id: lint.id, severity, summary: lint.summary }
        })
        .collect();
    output::print(&output::listing(output.output, COLUMNS, &rows)?)
}
