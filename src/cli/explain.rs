//! `countersign explain`: why an exchange was refused, or what would become of a token or of claims.

use std::io::Read;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::admin_client::{AdminClient, rows};
use super::output::{self, Format};
use super::{Failed, Global};
use crate::clock::Clock;
use crate::exchange::{Verdict, explain_claims};

/// Largest token or claims file that is read.
const MAX_INPUT_BYTES: u64 = 1024 * 1024;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    subject: Subject,
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
    /// The trace id of an answer; asks the running server's audit trail
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
}

/// Runs it.
///
/// # Errors
/// What failed, and the next step. A refusal that could be explained is no failure.
pub async fn run(global: &Global, arguments: Arguments) -> Result<(), Failed> {
    let answer = match arguments.subject {
        Subject { claims: Some(file), .. } => claims(global, &file)?,
        Subject { token: Some(file), .. } => {
            let body = json!({ "token": read(&file)?.trim() });
            AdminClient::of(global)?.post("/admin/v1/explain", &body).await?
        }
        Subject { trace, .. } => trace_record(global, &trace.unwrap_or_default()).await?,
    };
    let text = match arguments.output {
        Format::Table => story(&answer),
        Format::Json => serde_json::to_string_pretty(&answer).map_err(|error| Failed(error.to_string()))? + "\n",
        Format::Yaml => serde_saphyr::to_string(&answer).map_err(|error| Failed(error.to_string()))?,
    };
    output::print(&text)
}

/// Claims are explained against the files, without a server: so a policy's author can ask before it is in force.
fn claims(global: &Global, file: &std::path::Path) -> Result<Value, Failed> {
    let checked = super::check::offline(&global.config, &super::environment());
    let checked = checked.map_err(|faults| Failed(super::check::report(&faults)))?;
    let claims: Map<String, Value> = crate::json::object(read(file)?.as_bytes())
        .map_err(|fault| Failed(format!("{}: {fault}; a claims set is one JSON object", file.display())))?;
    let verdict: Verdict =
        explain_claims(&checked.loaded.issuers, &checked.loaded.policies, &claims, Clock::system().now());
    serde_json::to_value(verdict).map_err(|error| Failed(error.to_string()))
}

async fn trace_record(global: &Global, trace: &str) -> Result<Value, Failed> {
    let trace = crate::vocab::TraceId::parse(trace).map_err(|fault| Failed(fault.to_string()))?;
    let answer = AdminClient::of(global)?.get(&format!("/admin/v1/audit?trace_id={trace}")).await?;
    let newest = rows(&answer, "records").into_iter().next_back();
    newest.and_then(|entry| entry.get("record").cloned()).ok_or_else(|| {
        Failed(format!("no audit record has the trace id {trace}; it may be another broker's, or no exchange's"))
    })
}

fn read(file: &std::path::Path) -> Result<String, Failed> {
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

/// A verdict or an audit record in words.
fn story(answer: &Value) -> String {
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(output::harmless);
    let mut lines = Vec::new();
    let admitted =
        answer.get("admitted").and_then(Value::as_bool).unwrap_or(text("outcome").as_deref() == Some("minted"));
    lines.push(if admitted { "admitted".to_owned() } else { "refused".to_owned() });
    for (label, name) in [
        ("time", "time"),
        ("stage", "stage"),
        ("cause", "cause"),
        ("because", "detail"),
        ("method", "method"),
        ("issuer", "issuer_name"),
        ("issuer", "issuer"),
        ("subject", "subject"),
        ("sub says", "subject_says"),
        ("user", "user"),
        ("policy", "policy"),
        ("trace", "trace_id"),
        ("said iss", "unverified_issuer"),
        ("said sub", "unverified_subject"),
        ("said kid", "unverified_key_id"),
    ] {
        lines.extend(text(name).map(|value| format!("  {label:<9} {value}")));
    }
    if let Some(explanation) = answer.get("policies").or_else(|| answer.get("explanation")) {
        lines.extend(policies(explanation));
    }
    lines.join("\n") + "\n"
}

/// Every policy, line by line, the nearest miss first.
fn policies(explanation: &Value) -> Vec<String> {
    let shown =
        |value: &Value, name: &str| output::harmless(value.get(name).and_then(Value::as_str).unwrap_or_default());
    let mut lines = Vec::new();
    lines.extend(
        explanation.get("user").and_then(Value::as_str).map(|user| format!("  as user   {}", output::harmless(user))),
    );
    for policy in rows(explanation, "policies") {
        lines.push(format!("\n  policy {} {}", shown(&policy, "policy"), shown(&policy, "verdict")));
        for line in rows(&policy, "lines") {
            let mark = if line.get("holds").and_then(Value::as_bool) == Some(true) { '✓' } else { '✗' };
            let (name, expected, found) = (shown(&line, "line"), shown(&line, "expected"), shown(&line, "found"));
            lines.push(format!("    {mark} {name}: expected {expected}, found {found}"));
        }
    }
    lines
}
