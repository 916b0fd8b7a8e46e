//! The audit trail's questions.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{AdminState, Asked, Problem};
use crate::store::AuditFilter;
use crate::store::chain::{Link, hex};
use crate::vocab::{IssuerName, PolicyName, TraceId, UnixMillis, UserName};
use crate::yaml;

/// Records in an answer when the request does not say, and at most.
const LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 10_000;

/// Which records are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    since: Option<String>,
    until: Option<String>,
    after: Option<i64>,
    trace_id: Option<String>,
    outcome: Option<String>,
    cause: Option<String>,
    user: Option<String>,
    policy: Option<String>,
    issuer: Option<String>,
    limit: Option<u32>,
}

/// The newest records that match, oldest first; with `after` the ones that follow it.
#[derive(Debug, Serialize)]
pub(super) struct AuditList {
    records: Vec<Record>,
}

#[derive(Debug, Serialize)]
struct Record {
    position: i64,
    record: Box<RawValue>,
}

pub(super) async fn list(
    State(admin): State<AdminState>,
    Asked(asked): Asked<Filter>,
) -> Result<Json<AuditList>, Problem> {
    let filter = read(asked, admin.clock.now_millis())?;
    let found = admin.store.audit(filter).await?.into_iter().map(|entry| {
        let record = RawValue::from_string(entry.json)
            .map_err(|_| Problem::unavailable(format!("audit record {} is not JSON", entry.position)))?;
        Ok(Record { position: entry.position, record })
    });
    Ok(Json(AuditList { records: found.collect::<Result<_, Problem>>()? }))
}

/// Which records with links are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<i64>,
    limit: Option<u32>,
}

/// The trail as it is stored, for whoever checks it: records with their links and the columns they are found by, and
/// where each chain ends. Nothing here is believed by the checker; it only reads it.
pub(super) async fn chain(State(admin): State<AdminState>, Asked(page): Asked<Page>) -> Result<Json<Value>, Problem> {
    let limit = page.limit.unwrap_or(LIMIT).clamp(1, MAX_LIMIT);
    // The heads first: records that come meanwhile are then behind them, never missing.
    let heads = admin.store.chain_heads().await?;
    let rows = admin.store.chained(page.after.unwrap_or(i64::MIN), limit).await?;
    let records: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "position": row.position, "time": row.time.0, "json": row.json,
                "found_by": row.found_by.iter().map(|(name, value)| json!([name, value])).collect::<Vec<_>>(),
                "link": row.link.as_ref().map(link),
            })
        })
        .collect();
    Ok(Json(json!({ "heads": heads.iter().map(link).collect::<Vec<_>>(), "records": records })))
}

fn link(link: &Link) -> Value {
    json!({ "chain": link.chain, "sequence": link.sequence, "hash": hex(&link.hash) })
}

fn read(asked: Filter, now: UnixMillis) -> Result<AuditFilter, Problem> {
    let limit = asked.limit.unwrap_or(LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::invalid(format!("limit must be 1 to {MAX_LIMIT}")));
    }
    if let Some(outcome) = asked.outcome.as_deref()
        && !["minted", "refused", "fault", "reloaded", "changed"].contains(&outcome)
    {
        return Err(Problem::invalid("outcome must be minted, refused, fault, reloaded or changed"));
    }
    Ok(AuditFilter {
        since: asked.since.map(|text| time(&text, now)).transpose()?,
        until: asked.until.map(|text| time(&text, now)).transpose()?,
        after_position: asked.after,
        trace_id: asked.trace_id.as_deref().map(TraceId::parse).transpose()?,
        outcome: asked.outcome,
        cause: asked.cause,
        user: asked.user.as_deref().map(UserName::parse).transpose()?,
        policy: asked.policy.as_deref().map(PolicyName::parse).transpose()?,
        issuer_name: asked.issuer.as_deref().map(IssuerName::parse).transpose()?,
        limit,
    })
}

/// A point in time: RFC 3339, or how long ago.
pub(super) fn time(text: &str, now: UnixMillis) -> Result<UnixMillis, Problem> {
    if let Ok(ago) = yaml::duration(text) {
        let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        return Ok(UnixMillis(now.0.saturating_sub(ago)));
    }
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    let time =
        parsed.map_err(|_| Problem::invalid("a time must be RFC 3339 (2026-11-23T20:00:00Z) or how long ago (1h)"))?;
    Ok(UnixMillis(time.as_millisecond()))
}
