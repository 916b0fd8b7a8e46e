//! `/metrics`: counters as they were counted, gauges as they are when asked.
//!
//! Labels are configured names, closed lists and our own digest: nothing that a caller or an issuer writes becomes one.
//! `docs/operations.md` lists every metric.

use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use metrics::{describe_counter, describe_gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::broker::{Broker, LastReload, Standing};
use crate::vocab::UnixMillis;

/// One recorder for the process, however many brokers a test starts in it.
static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

const COUNTERS: [(&str, &str); 5] = [
    ("countersign_exchanges_total", "Requests at the token endpoint, by outcome and, where they were refused, cause."),
    ("countersign_gateway_requests_total", "Requests for protected services, by service and outcome."),
    ("countersign_key_fetches_total", "Fetches of issuers' keys, by issuer and outcome."),
    ("countersign_signing_key_changes_total", "Changes of signing keys that this replica made, by change."),
    ("countersign_reloads_total", "Reloads, by outcome and who asked."),
];

const GAUGES: [(&str, &str); 11] = [
    ("countersign_keys", "Usable keys that are held of an issuer."),
    ("countersign_keys_skipped", "Keys in an issuer's last answer that cannot be used, by reason."),
    ("countersign_keys_usable", "Whether an issuer's keys verify tokens now."),
    ("countersign_keys_fetch_failing", "Whether the last fetch of an issuer's keys failed."),
    ("countersign_keys_last_fetch_timestamp_seconds", "When an issuer's keys were last fetched."),
    ("countersign_keys_next_fetch_timestamp_seconds", "When an issuer's keys will be fetched next."),
    ("countersign_signing_keys", "Signing keys of the ring, by state."),
    ("countersign_replicas", "Replicas that were seen in the last ten seconds."),
    ("countersign_policies", "Policies in force."),
    ("countersign_reload_refused", "Whether the files are refused and an older set is in force."),
    ("countersign_reload_last_success_timestamp_seconds", "When the set in force was loaded."),
];

/// Starts counting; what was counted before is lost.
pub(super) fn install() {
    METRICS.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        // Another recorder in the process keeps what it has; then this one stays empty.
        let _ = metrics::set_global_recorder(recorder);
        COUNTERS.iter().for_each(|(name, help)| describe_counter!(*name, *help));
        GAUGES.iter().for_each(|(name, help)| describe_gauge!(*name, *help));
        handle
    });
}

pub(super) async fn show(State(broker): State<Arc<Broker>>) -> Response {
    let standing = broker.standing();
    broker.exchange.rules.load().keys.publish_gauges();
    broker.exchange.signer.publish_gauges().await;
    publish(&standing);
    let counted = METRICS.get().map(PrometheusHandle::render).unwrap_or_default();
    let text = counted + &policy_set_info(&standing);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

fn publish(standing: &Standing) {
    let is_refused = matches!(standing.last_reload(), LastReload::Refused { .. });
    let policies = u32::try_from(standing.in_force.policies).unwrap_or(u32::MAX);
    metrics::gauge!("countersign_policies").set(policies);
    metrics::gauge!("countersign_reload_refused").set(if is_refused { 1.0 } else { 0.0 });
    metrics::gauge!("countersign_reload_last_success_timestamp_seconds").set(seconds(standing.loaded_at));
}

/// Written by hand: a recorder would go on showing every digest there ever was.
fn policy_set_info(standing: &Standing) -> String {
    let digest = &standing.in_force.policy_digest;
    format!(
        "# HELP countersign_policy_set_info The policies in force: SHA-256 over their files' names and contents.\n\
         # TYPE countersign_policy_set_info gauge\ncountersign_policy_set_info{{digest=\"{digest}\"}} 1\n"
    )
}

#[allow(clippy::cast_precision_loss)] // milliseconds since 1970 are exact in a double for 285,000 years
fn seconds(time: UnixMillis) -> f64 {
    time.0 as f64 / 1000.0
}
