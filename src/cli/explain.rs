//! `countersign explain`, also as `countersign policy explain`: why an exchange was refused, or what would become of a
//! token or of claims.

use std::io::Read;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::admin_client::{AdminClient, cell, rows};
use super::output::{self, Format};
use super::{Failed, Global};
use crate::clock::Clock;
use crate::exchange::{Verdict, explain_claims};
use crate::policy::Depth;

/// Largest token or claims file that is read.
const MAX_INPUT_BYTES: u64 = 1024 * 1024;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    subject: Subject,
    /// List every policy of the issuer, not only the fifty nearest
    #[arg(long)]
    all: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// A file with a claims set as JSON (`-`: standard input); asks the files, not a server
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// A file with a token (`-`: standard input); asks the running server, and uses nothing up
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// The trace id of an answer; asks the running server's audit trail, and its policies again
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
}

/// Runs it.
///
/// # Errors
/// What failed, and the next step. A refusal that could be explained is no failure.
pub async fn run(global: &Global, arguments: Arguments) -> Result<(), Failed> {
    let all = arguments.all;
    let question = match arguments.subject {
        Subject { claims: Some(file), .. } => Err(file),
        Subject { token: Some(file), .. } => Ok(json!({ "token": read(&file)?.trim(), "all": all })),
        Subject { trace, .. } => Ok(json!({ "trace": trace.unwrap_or_default(), "all": all })),
    };
    let answer = match question {
        Ok(question) => AdminClient::of(global)?.post("/admin/v1/explain", &question).await?,
        Err(file) => claims(global, &file, if all { Depth::All } else { Depth::Listed })?,
    };
    let text = match arguments.output {
        Format::Table => story(&answer),
        Format::Json => serde_json::to_string_pretty(&answer).map_err(|error| Failed(error.to_string()))? + "\n",
        Format::Yaml => serde_saphyr::to_string(&answer).map_err(|error| Failed(error.to_string()))?,
    };
    output::print(&text)
}

/// Claims are explained against the files, without a server: so a policy's author can ask before it is in force.
fn claims(global: &Global, file: &std::path::Path, depth: Depth) -> Result<Value, Failed> {
    let checked = super::check::offline(&global.config, &super::environment());
    let checked = checked.map_err(|faults| Failed(super::check::report(&faults)))?;
    let claims: Map<String, Value> = crate::json::object(read(file)?.as_bytes())
        .map_err(|fault| Failed(format!("{}: {fault}; a claims set is one JSON object", file.display())))?;
    let rules = (&checked.loaded.issuers, &checked.loaded.policies);
    let verdict: Verdict = explain_claims(rules, &claims, depth, Clock::system().now());
    serde_json::to_value(verdict).map_err(|error| Failed(error.to_string()))
}

/// A file's text, or that of standard input (`-`).
pub(super) fn read(file: &std::path::Path) -> Result<String, Failed> {
    let failed = |error: std::io::Error| Failed(format!("{}: cannot be read: {error}", file.display()));
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().take(MAX_INPUT_BYTES).read_to_string(&mut text).map_err(failed)?;
    } else {
        let opened = std::fs::File::open(file).map_err(failed)?;
        opened.take(MAX_INPUT_BYTES).read_to_string(&mut text).map_err(failed)?;
    }
    Ok(text)
}

/// The answer in words.
fn story(answer: &Value) -> String {
    let record = answer.get("recorded").unwrap_or(answer);
    let mut lines = vec![headline(answer).to_owned()];
    for (label, from, name) in [
        ("time", answer, "time"),
        ("stage", answer, "stage"),
        ("cause", answer, "cause"),
        ("because", answer, "detail"),
        ("means", answer, "means"),
        ("do", answer, "what_to_do"),
        ("method", record, "method"),
        ("issuer", answer, "issuer"),
        ("subject", record, "subject"),
        ("sub says", answer, "subject_says"),
        ("client id", record, "client_id"),
        ("user", record, "user"),
        ("policy", record, "policy"),
        ("trace", answer, "trace_id"),
        ("said iss", record, "unverified_issuer"),
        ("said sub", record, "unverified_subject"),
        ("said kid", record, "unverified_key_id"),
        ("said id", record, "unverified_client_id"),
    ] {
        let value = from.get(name).and_then(Value::as_str);
        lines.extend(value.map(|value| format!("  {label:<9} {}", output::harmless(value))));
    }
    for note in rows(answer, "notes") {
        lines.push(format!("  {:<9} {}", "note", output::harmless(note.as_str().unwrap_or_default())));
    }
    lines.extend(answer.get("policies").map(policies).unwrap_or_default());
    if answer.get("same_policies") == Some(&Value::Bool(false))
        && let Some(then) = record.get("explanation")
    {
        lines.push("\nwhat was recorded then:".to_owned());
        lines.extend(policies(then));
    }
    lines.join("\n") + "\n"
}

fn headline(answer: &Value) -> &'static str {
    match (answer.get("admitted").and_then(Value::as_bool), answer.get("outcome").and_then(Value::as_str)) {
        (Some(true), _) => "admitted",
        (_, Some("fault")) => "failed",
        _ => "refused",
    }
}

/// What the policies say, and each of them line by line, the nearest miss first.
fn policies(explanation: &Value) -> Vec<String> {
    let shown = |value: &Value, name: &str| output::harmless(&cell(value, name));
    let mut lines = Vec::new();
    for (label, name) in [("as user", "user"), ("refusal", "refusal"), ("unknown", "unknown")] {
        lines.extend(explanation.get(name).map(|_| format!("  {label:<9} {}", shown(explanation, name))));
    }
    for found in rows(explanation, "admitting") {
        let verb = if shown(&found, "mode") == "shadow" { "would admit (shadow)" } else { "admits" };
        let (policy, user, scopes) = (shown(&found, "policy"), shown(&found, "user"), shown(&found, "scopes"));
        lines.push(format!("  {verb:<9} {policy} as {user}, scopes {scopes}"));
    }
    for policy in rows(explanation, "policies") {
        lines.push(format!("\n  policy {} {}", shown(&policy, "policy"), shown(&policy, "verdict")));
        for line in rows(&policy, "lines") {
            let mark = match line.get("holds").and_then(Value::as_bool) {
                Some(true) => '✓',
                Some(false) => '✗',
                None => '?',
            };
            let (name, expected, found) = (shown(&line, "line"), shown(&line, "expected"), shown(&line, "found"));
            lines.push(format!("    {mark} {name}: expected {expected}, found {found}"));
        }
    }
    if let Some(more) = explanation.get("omitted").and_then(Value::as_u64).filter(|more| *more > 0) {
        lines.push(format!("\n  and {more} more of this issuer"));
    }
    lines
}
