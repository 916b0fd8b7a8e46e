//! What a fetch leaves in the log and the metrics. Labels are configured names and a closed list of outcomes: nothing
//! an issuer or a caller writes becomes a label.

use super::fetch::FetchFault;
use super::{KeySet, KeyStatus, SkippedKey};
use crate::vocab::IssuerName;

/// How a fetch ended.
pub(super) fn fetched(name: &IssuerName, read: Result<&KeySet, &FetchFault>) {
    let outcome = read.map_or_else(FetchFault::outcome, |_| "ok");
    let label = name.to_string();
    metrics::counter!("countersign_key_fetches_total", "issuer" => label, "outcome" => outcome).increment(1);
    match read {
        Ok(set) => {
            if set.skipped().contains_key(&SkippedKey::PrivateKey) {
                tracing::error!(issuer.name = %name, "issuer {name} publishes a private key; that key is refused");
            }
            if set.is_empty() {
                tracing::warn!(issuer.name = %name, "issuer {name} has no usable key; nothing of it verifies");
            }
        }
        Err(fault) => tracing::warn!(issuer.name = %name, "the keys of issuer {name} cannot be had: {fault}"),
    }
}

/// How the keys stand, as gauges: read when metrics are, since keys grow too old without an event.
pub(super) fn gauges(status: &KeyStatus) {
    let set = |name: &'static str, value: f64| {
        metrics::gauge!(name, "issuer" => status.issuer.to_string()).set(value);
    };
    set("countersign_keys", whole(status.keys.len()));
    skipped(status);
    set("countersign_keys_usable", if status.usable { 1.0 } else { 0.0 });
    set("countersign_keys_fetch_failing", if status.last_error.is_some() { 1.0 } else { 0.0 });
    #[allow(clippy::cast_precision_loss)] // seconds since 1970 are exact in a double for 285 million years
    for (name, time) in [
        ("countersign_keys_last_fetch_timestamp_seconds", status.last_fetch),
        ("countersign_keys_next_fetch_timestamp_seconds", status.next_fetch),
    ] {
        set(name, time.map_or(0.0, |time| time.0 as f64));
    }
}

/// Each reason, also those of no key: an alert on one must see it end.
fn skipped(status: &KeyStatus) {
    for reason in SkippedKey::ALL {
        let count = status.skipped.get(&reason).copied().unwrap_or_default();
        let issuer = status.issuer.to_string();
        metrics::gauge!("countersign_keys_skipped", "issuer" => issuer, "reason" => reason.name()).set(whole(count));
    }
}

fn whole(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
