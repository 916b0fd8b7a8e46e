//! The whole story of a past exchange: what its record says, and what the policies in force say of the claims it kept.

use serde_json::Value;

use super::super::{Exchange, Rules};
use super::notes::{Said, World};
use super::{Past, Verdict, caused};
use crate::audit::Observed;
use crate::issuer::Issuer;
use crate::policy::{Depth, KeptClaims, Question};
use crate::store::{AuditFilter, StoreFault};
use crate::vocab::{TraceId, UnixMillis, UserName};

impl Exchange {
    /// Explains the exchange with this trace id; `None` when the trail has none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn explain_trace(&self, trace_id: &TraceId, depth: Depth) -> Result<Option<Verdict>, StoreFault> {
        let filter = AuditFilter { trace_id: Some(trace_id.clone()), limit: 1, ..AuditFilter::default() };
        let Some(entry) = self.store.audit(filter).await?.pop() else { return Ok(None) };
        let Some(record) = Observed::parse(&entry.json) else {
            return Err(StoreFault(format!("audit record {} cannot be read", entry.position)));
        };
        // A reload has a trace id too, and no token to explain.
        if record.event != "exchange" {
            return Ok(None);
        }
        let rules = self.rules.load_full();
        let issuer = record.issuer_name.as_deref().and_then(|name| rules.issuers.by_name(name)).map(|issuer| &**issuer);
        let mut verdict = self.told(&record, &rules, issuer).await;
        let kept = record.kept();
        if let (Some(issuer), Some(kept)) = (issuer, &kept) {
            verdict.policies = Some(asked_again(&record, &rules, (issuer, kept), depth));
            verdict.subject_says = issuer.kind().subject_says(kept.claims());
        }
        let same_policies = record.policy_digest.as_deref().map(|digest| digest == rules.policies.digest());
        verdict.notes.extend(about_policies(&record, kept.as_ref(), (issuer, same_policies)));
        verdict.admitted = record.outcome == "minted";
        verdict.issuer = issuer.map(|issuer| issuer.name().clone());
        verdict.recorded = serde_json::from_str::<Value>(&entry.json).ok();
        verdict.exchange = Some(Past {
            time: record.time,
            trace_id: record.trace_id,
            outcome: record.outcome,
            subject: record.subject,
            user: record.user,
            same_policies,
        });
        Ok(Some(verdict))
    }

    /// What the record says, and what an operator would look up next.
    async fn told(&self, record: &Observed, rules: &Rules, issuer: Option<&Issuer>) -> Verdict {
        let Some(cause) = record.cause.as_deref() else { return Verdict::default() };
        let mut verdict = caused(record.stage.as_deref().unwrap_or_default(), cause, record.detail.clone());
        let said = Said {
            issuer: record.unverified_issuer.as_deref(),
            subject: record.unverified_subject.as_deref(),
            key_id: record.unverified_key_id.as_deref(),
        };
        let world = World { issuers: &rules.issuers, keys: Some(&rules.keys) };
        verdict.notes = world.notes(cause, said, issuer);
        let found = match (cause, issuer, at(record)) {
            ("key.unknown", Some(issuer), Some(time)) => {
                self.unknown_since(issuer, said.key_id.unwrap_or_default(), time).await
            }
            ("mint.replayed", Some(issuer), Some(time)) => {
                self.used(issuer, record.assertion_sha256.as_deref().unwrap_or_default(), time).await
            }
            _ => Ok(None),
        };
        verdict.notes.extend(found.ok().flatten());
        verdict
    }
}

/// The policies in force, at the time of the exchange and for the user that it named.
fn asked_again(
    record: &Observed,
    rules: &Rules,
    (issuer, kept): (&Issuer, &KeptClaims),
    depth: Depth,
) -> crate::policy::Explanation {
    let wanted = record.named_user.as_deref().and_then(|name| UserName::parse(name).ok());
    let now = at(record).unwrap_or(UnixMillis(0)).to_unix_time();
    Question { issuer: issuer.name(), claims: kept, wanted: wanted.as_ref(), now }.explain(&rules.policies, depth)
}

fn about_policies(
    record: &Observed,
    kept: Option<&KeptClaims>,
    (issuer, same_policies): (Option<&Issuer>, Option<bool>),
) -> Vec<String> {
    let mut notes = Vec::new();
    if let (Some(name), None) = (&record.issuer_name, issuer) {
        notes.push(format!("issuer {name} is not configured any more"));
    }
    if record.policy_digest.is_some() && kept.is_none() {
        notes.push("an older version wrote the record, without claims: the policies cannot be asked again".to_owned());
    }
    if same_policies == Some(false) && kept.is_some() {
        let decided = "the policies in force are not those that decided; `recorded` has what was said then";
        notes.push(decided.to_owned());
    }
    if let Some(user) = &record.named_user {
        notes.push(format!("the request named the user {user}, so only that user's policies count"));
    }
    notes
}

fn at(record: &Observed) -> Option<UnixMillis> {
    record.time.parse::<jiff::Timestamp>().ok().map(|time| UnixMillis(time.as_millisecond()))
}
