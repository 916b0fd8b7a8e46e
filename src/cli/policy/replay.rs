//! `countersign policy diff OLD NEW --replay 7d`: what a change would have done to the exchanges that were seen.
//!
//! In: the running server's audit trail and two sets. Out: the workloads whose access would change.

use serde::Serialize;

use super::diff::Pair;
use crate::audit::Observed;
use crate::cli::admin_client::AdminClient;
use crate::cli::output::{self, Column, Format, OutputOption};
use crate::cli::trail::{self, Window};
use crate::cli::{Failed, Global};
use crate::policy::Question;
use crate::policy::replay::{Change, Replay, Seen, Workload};
use crate::vocab::{IssuerName, UserName};

/// The whole answer.
#[derive(Debug, Serialize)]
struct Report {
    window: String,
    replayed: u64,
    not_replayed: u64,
    left_out: u64,
    workloads: Vec<Workload>,
}

const COLUMNS: &[Column<Workload>] = &[
    ("change", |row| word(&row.change).to_owned()),
    ("issuer", |row| row.issuer.to_string()),
    ("subject", |row| row.subject.clone()),
    ("how", |row| how(&row.change)),
    ("exchanges", |row| row.exchanges.to_string()),
    ("last seen", |row| row.last_seen.clone()),
    ("trace id", |row| row.trace_id.clone()),
];

pub(super) async fn run(global: &Global, pair: &Pair, span: &str, output: OutputOption) -> Result<(), Failed> {
    let window = Window::back(span)?;
    let mut replay = Replay::default();
    trail::each(&AdminClient::of(global)?, &window, |record| add(&mut replay, pair, &record, &window)).await?;
    let report = Report {
        window: window.text,
        replayed: replay.replayed,
        not_replayed: replay.not_replayed,
        left_out: replay.left_out(),
        workloads: replay.workloads(),
    };
    output::print(&match output.output {
        Format::Table => story(&report)?,
        Format::Json => serde_json::to_string_pretty(&report).map_err(|error| Failed(error.to_string()))? + "\n",
        Format::Yaml => serde_saphyr::to_string(&report).map_err(|error| Failed(error.to_string()))?,
    })
}

/// Exchanges that never came to the policies are no concern of theirs.
fn add(replay: &mut Replay, pair: &Pair, record: &Observed, window: &Window) {
    if record.policy_digest.is_none() {
        return;
    }
    let issuer = record.issuer_name.as_deref().and_then(|name| IssuerName::parse(name).ok());
    let (Some(issuer), Some(claims)) = (issuer, record.kept()) else {
        replay.not_replayed += 1;
        return;
    };
    let wanted = record.named_user.as_deref().and_then(|name| UserName::parse(name).ok());
    let question = Question { issuer: &issuer, claims: &claims, wanted: wanted.as_ref(), now: window.until };
    let subject = record.subject.as_deref().unwrap_or_default();
    replay.add((&pair.old, &pair.new), &question, Seen { subject, time: &record.time, trace_id: &record.trace_id });
}

fn word(change: &Change) -> &'static str {
    match change {
        Change::Loses { .. } => "loses",
        Change::Gains { .. } => "gains",
        Change::User { .. } => "user",
        Change::Scopes { .. } => "scopes",
    }
}

fn how(change: &Change) -> String {
    let marked =
        |mark: char, scopes: &[String]| scopes.iter().map(|scope| format!("{mark}{scope}")).collect::<Vec<_>>();
    match change {
        Change::Loses { user, cause } => format!("was {user}, {cause}"),
        Change::Gains { user, scopes } => format!("as {user}, scopes {}", scopes.join(" ")),
        Change::User { from, to } => format!("{from} becomes {to}"),
        Change::Scopes { user, lost, gained } => {
            format!("{user}: {}", [marked('-', lost), marked('+', gained)].concat().join(" "))
        }
    }
}

fn story(report: &Report) -> Result<String, Failed> {
    let count = |which: fn(&Change) -> bool| {
        let mut who: Vec<_> = report.workloads.iter().filter(|row| which(&row.change)).map(key).collect();
        who.sort_unstable();
        who.dedup();
        match who.len() {
            0 => "no workload".to_owned(),
            1 => "1 workload".to_owned(),
            many => format!("{many} workloads"),
        }
    };
    let table = if report.workloads.is_empty() {
        String::new()
    } else {
        output::listing(Format::Table, COLUMNS, &report.workloads)? + "\n"
    };
    let mut text = format!(
        "{table}{} would lose access, {} would gain it, {} would become another user, {} would have other scopes\n\
         {} exchanges of the last {} replayed; {} could not be (no claims in the record, or not those that a policy reads)\n",
        count(|change| matches!(change, Change::Loses { .. })),
        count(|change| matches!(change, Change::Gains { .. })),
        count(|change| matches!(change, Change::User { .. })),
        count(|change| matches!(change, Change::Scopes { .. })),
        report.replayed,
        report.window,
        report.not_replayed,
    );
    if report.left_out > 0 {
        text.push_str(&format!("{} exchanges more changed than are listed\n", report.left_out));
    }
    Ok(text)
}

fn key(row: &Workload) -> (&str, &str) {
    (row.issuer.as_str(), &row.subject)
}
