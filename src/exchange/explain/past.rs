//! What the trail knows of a token that is explained: whether it was used, and since when its key is unknown.

use std::time::Duration;

use super::super::Exchange;
use crate::audit::{Observed, assertion_sha256};
use crate::issuer::Issuer;
use crate::store::{AuditFilter, StoreFault};
use crate::vocab::{UnixMillis, UnixTime};

/// Most records looked through.
const LOOKED_AT: u32 = 10_000;
/// How far back an unknown key is followed.
const UNKNOWN_KEYS: Duration = Duration::from_secs(24 * 3600);

impl Exchange {
    /// Notes on a live token: what happened to it, or to others like it.
    pub(super) async fn earlier(
        &self,
        issuer: &Issuer,
        cause: &str,
        (key_id, token): (Option<&str>, &str),
    ) -> Vec<String> {
        let now = self.clock.now_millis();
        let found = match (cause, key_id) {
            ("key.unknown", Some(key_id)) => self.unknown_since(issuer, key_id, now).await,
            ("", _) | ("policy.none" | "policy.ambiguous" | "claims.expired", _) => {
                self.used(issuer, &assertion_sha256(token), now).await
            }
            _ => Ok(None),
        };
        // A store that cannot be read leaves a note out, and the explanation stands.
        found.ok().flatten().into_iter().collect()
    }

    /// Since when this issuer's tokens have been refused for this key.
    pub(super) async fn unknown_since(
        &self,
        issuer: &Issuer,
        key_id: &str,
        until: UnixMillis,
    ) -> Result<Option<String>, StoreFault> {
        let filter = AuditFilter {
            since: Some(before(until, UNKNOWN_KEYS)),
            until: Some(until),
            cause: Some("key.unknown".to_owned()),
            issuer_name: Some(issuer.name().clone()),
            limit: LOOKED_AT,
            ..AuditFilter::default()
        };
        let records = self.store.audit(filter).await?;
        let records = records.iter().filter_map(|entry| Observed::parse(&entry.json));
        let mut same = records.filter(|record| record.unverified_key_id.as_deref() == Some(key_id));
        let Some(first) = same.next() else { return Ok(None) };
        let count = 1 + same.count();
        Ok(Some(format!("unknown since {}: {count} exchanges in a day were refused for this kid", first.time)))
    }

    /// Where an assertion was used: single-use ones are refused from then on.
    pub(super) async fn used(
        &self,
        issuer: &Issuer,
        sha256: &str,
        until: UnixMillis,
    ) -> Result<Option<String>, StoreFault> {
        let filter = AuditFilter {
            since: Some(before(until, issuer.max_lifetime() + issuer.leeway())),
            until: Some(until),
            outcome: Some("minted".to_owned()),
            issuer_name: Some(issuer.name().clone()),
            limit: LOOKED_AT,
            ..AuditFilter::default()
        };
        let records = self.store.audit(filter).await?;
        let mut records = records.iter().filter_map(|entry| Observed::parse(&entry.json));
        let found = records.find(|record| record.assertion_sha256.as_deref() == Some(sha256));
        Ok(found.map(|record| format!("it was used at {}, trace id {}", record.time, record.trace_id)))
    }
}

fn before(time: UnixMillis, span: Duration) -> UnixMillis {
    let UnixTime(seconds) = time.to_unix_time().minus(span);
    UnixMillis(seconds.saturating_mul(1000))
}
