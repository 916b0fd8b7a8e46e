//! `countersign policy shadow`: what enforcing the policies in shadow mode would change.
//!
//! In: the policy files and the running server's audit trail. Out: a row for each policy that is in shadow mode, in a
//! shadow issuer too, or was when the trail was written.

use serde::Serialize;

use super::set::Set;
use crate::audit::Observed;
use crate::cli::admin_client::AdminClient;
use crate::cli::output::{self, Column, Format, OutputOption};
use crate::cli::trail::{self, Window};
use crate::cli::{Failed, Global};
use crate::policy::Mode;
use crate::policy::shadow::{Decided, Effect, Effects};

/// What to look at.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How far back to look
    #[arg(long, value_name = "DURATION", default_value = "7d")]
    since: String,
    #[command(flatten)]
    output: OutputOption,
}

#[derive(Debug, Serialize)]
struct Row {
    policy: String,
    /// `shadow`; `enforce`, when it is enforced by now; `gone`.
    now: &'static str,
    #[serde(flatten)]
    effect: Effect,
}

const COLUMNS: &[Column<Row>] = &[
    ("policy", |row| row.policy.clone()),
    ("now", |row| row.now.to_owned()),
    ("exchanges", |row| row.effect.exchanges.to_string()),
    ("would admit", |row| row.effect.would_admit.to_string()),
    ("would break", |row| row.effect.would_break.to_string()),
    ("no change", |row| row.effect.no_change.to_string()),
    ("conflicts", |row| row.effect.conflicts.to_string()),
    ("users", |row| row.effect.users.iter().map(String::as_str).collect::<Vec<_>>().join(" ")),
    ("last seen", |row| row.effect.last_seen.clone().unwrap_or_else(|| "-".to_owned())),
    ("trace id", |row| row.effect.trace_id.clone().unwrap_or_else(|| "-".to_owned())),
];

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<(), Failed> {
    let set = Set::read(global)?;
    let window = Window::back(&arguments.since)?;
    let mut effects = Effects::default();
    trail::each(&AdminClient::of(global)?, &window, |record| add(&mut effects, &record)).await?;
    let rows = rows(&set, &effects);
    let format = arguments.output.output;
    output::print(&output::listing(format, COLUMNS, &rows)?)?;
    if format != Format::Table {
        return Ok(());
    }
    let sum = |count: fn(&Effect) -> u64| rows.iter().map(|row| count(&row.effect)).sum::<u64>();
    output::print(&format!(
        "\nof the exchanges of the last {}: {} refused ones would be admitted, {} admitted ones would be refused as ambiguous\n",
        window.text,
        sum(|effect| effect.would_admit),
        sum(|effect| effect.would_break),
    ))
}

fn add(effects: &mut Effects, record: &Observed) {
    let verdicts: Vec<(&str, &str)> = record.shadow.iter().map(|found| (&*found.policy, &*found.user)).collect();
    let decided = match (&record.policy, &record.user, record.cause.as_deref()) {
        // Whatever became of it after that: the policies had admitted it.
        (Some(_), Some(user), _) => Decided::Admitted(user),
        (_, _, Some("policy.none")) => Decided::None,
        _ => Decided::Refused,
    };
    effects.add(&verdicts, decided, (&record.time, &record.trace_id));
}

/// Those in shadow mode now, also when nothing came their way; then those that were.
fn rows(set: &Set, effects: &Effects) -> Vec<Row> {
    let row = |policy: &str, now: &'static str, effect: Effect| Row { policy: policy.to_owned(), now, effect };
    let mode = |name: &str| set.policies.iter().find(|policy| policy.name().as_str() == name).map(|found| found.mode());
    let shadow =
        set.policies.iter().filter(|policy| policy.mode() == Mode::Shadow).map(|policy| policy.name().as_str());
    let mut rows: Vec<Row> = shadow.map(|name| row(name, "shadow", effects.of(name))).collect();
    rows.extend(effects.iter().filter_map(|(name, effect)| match mode(name) {
        Some(Mode::Shadow) => None,
        Some(Mode::Enforce) => Some(row(name, "enforce", effect.clone())),
        None => Some(row(name, "gone", effect.clone())),
    }));
    rows
}
