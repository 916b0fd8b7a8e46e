//! `countersign audit verify`: whether the trail is whole, by its hash chain and its signed checkpoints.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::admin_client::{AdminClient, rows};
use super::{Failed, Global, output};
use crate::audit::{Entry, Report, TrailVerifier};
use crate::store::chain::{Link, from_hex};
use crate::vocab::UnixMillis;

/// Records fetched at once.
const PAGE: u32 = 10_000;

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// Exported JSON lines, for instance data/audit.jsonl [default: the running server's store]
    file: Option<PathBuf>,
    /// The audit keys, as `countersign key list --output json` or /admin/v1/keys gave them [default: the running server's]
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Lines of this trail that were kept elsewhere, for instance its last checkpoint: they must still be in it
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// What cannot be read; or the faults that were found.
pub async fn run(global: &Global, verify: Verify) -> Result<(), Failed> {
    let keys = match &verify.keys {
        Some(file) => {
            let keys = serde_json::from_str(&read(file)?);
            keys.map_err(|error| Failed(format!("{} is not JSON: {error}", file.display())))?
        }
        None => AdminClient::of(global)?.get("/admin/v1/keys").await?,
    };
    let kept = match &verify.checkpoint {
        Some(file) => kept(file)?,
        None => Vec::new(),
    };
    let verifier = TrailVerifier::new(&rows(&keys, "audit_jwks"), kept);
    let report = match &verify.file {
        Some(file) => of_file(verifier, &read(file)?),
        None => of_store(verifier, &AdminClient::of(global)?).await?,
    };
    let text =
        if verify.json { serde_json::to_string_pretty(&report).unwrap_or_default() + "\n" } else { shown(&report) };
    output::print(&text)?;
    match report.fault_count {
        0 => Ok(()),
        count => Err(Failed(format!("the audit trail is not whole: {count} faults"))),
    }
}

fn read(file: &Path) -> Result<String, Failed> {
    std::fs::read_to_string(file).map_err(|error| Failed(format!("{} cannot be read: {error}", file.display())))
}

fn kept(file: &Path) -> Result<Vec<Link>, Failed> {
    let links: Vec<_> = read(file)?.lines().filter_map(Link::parse).map(|(_, link)| link).collect();
    if links.is_empty() {
        return Err(Failed(format!("{} has no line of an audit trail with its link", file.display())));
    }
    Ok(links)
}

/// Lines of `data/audit.jsonl` or of another sink.
fn of_file(mut verifier: TrailVerifier, text: &str) -> Report {
    for (line, number) in text.lines().zip(1_u64..).filter(|(line, _)| !line.is_empty()) {
        let (json, link) = match Link::parse(line) {
            Some((json, link)) => (json, Some(link)),
            None => (line.to_owned(), None),
        };
        verifier.read(&Entry { place: format!("line {number}"), json, link, found_by: None });
    }
    verifier.finish(None)
}

async fn of_store(mut verifier: TrailVerifier, server: &AdminClient) -> Result<Report, Failed> {
    let unreadable = || Failed("the server's answer is not understood; is it of another version?".to_owned());
    let mut after = i64::MIN;
    let mut begun = false;
    let heads = loop {
        let page = server.get(&format!("/admin/v1/audit/chain?after={after}&limit={PAGE}")).await?;
        let records = rows(&page, "records");
        let heads: Option<Vec<Link>> = rows(&page, "heads").iter().map(link).collect();
        let heads = heads.ok_or_else(unreadable)?;
        // The trail grows while it is read: where it ended at the beginning must be among what is read.
        if !std::mem::replace(&mut begun, true) {
            verifier.expect(heads.clone());
        }
        let Some(last) = records.last() else { break heads };
        after = last.get("position").and_then(Value::as_i64).ok_or_else(unreadable)?;
        for record in &records {
            verifier.read(&entry(record).ok_or_else(unreadable)?);
        }
    };
    Ok(verifier.finish(Some(&heads)))
}

fn entry(record: &Value) -> Option<Entry> {
    let columns = record.get("found_by")?.as_array()?.iter();
    let columns =
        columns.map(|pair| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_str().map(str::to_owned))));
    Some(Entry {
        place: format!("position {}", record.get("position")?.as_i64()?),
        json: record.get("json")?.as_str()?.to_owned(),
        link: record.get("link").and_then(link),
        found_by: Some((UnixMillis(record.get("time")?.as_i64()?), columns.collect::<Option<_>>()?)),
    })
}

fn link(value: &Value) -> Option<Link> {
    Some(Link {
        chain: value.get("chain")?.as_str()?.to_owned(),
        sequence: value.get("sequence")?.as_u64()?,
        hash: from_hex(value.get("hash")?.as_str()?)?,
    })
}

fn shown(report: &Report) -> String {
    let mut text = String::new();
    for chain in &report.chains {
        let keys = if chain.keys.is_empty() { "no key".to_owned() } else { chain.keys.join(", ") };
        text.push_str(&format!(
            "chain {}: records {} to {}, signed through {} by {keys}\n",
            chain.chain, chain.first, chain.last, chain.signed_through
        ));
        if chain.unknown_keys > 0 {
            text.push_str(&format!("  {} checkpoints are by keys that are not given\n", chain.unknown_keys));
        }
    }
    if report.unchained > 0 {
        text.push_str(&format!("{} records are from before the chain: nothing proves them\n", report.unchained));
    }
    for fault in &report.faults {
        text.push_str(&format!("FAULT: {fault}\n"));
    }
    if report.fault_count == 0 {
        text.push_str("whole: no record was edited, removed, added or moved\n");
    }
    text
}
