//! The record of a reload: what is in force from now on, or why the old set stays, and who asked.
//!
//! In: what the broker did. Out: an [`AuditRow`], told from an exchange's by `event`.

use serde::Serialize;

use super::bounded;
use crate::store::AuditRow;
use crate::vocab::{TraceId, UnixMillis};

/// Who or what caused a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// SIGHUP.
    Signal,
    /// The files changed.
    FileWatch,
    /// The admin API.
    AdminApi,
}

impl Trigger {
    /// As records, metrics and logs write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::Signal => "signal",
            Trigger::FileWatch => "file_watch",
            Trigger::AdminApi => "admin_api",
        }
    }
}

/// A loaded set in a few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadedSet {
    /// SHA-256 over the policy files' names and contents.
    pub policy_digest: String,
    /// How many policies.
    pub policies: usize,
    /// How many issuers.
    pub issuers: usize,
    /// How many hosts of protected services.
    pub services: usize,
}

/// How a reload ended.
#[derive(Debug, Clone, Copy)]
pub enum ReloadOutcome<'a> {
    /// A new set is in force.
    Reloaded {
        /// The one before.
        before: &'a LoadedSet,
        /// How many warnings the log has of it.
        warnings: usize,
    },
    /// The old set stays in force.
    Refused {
        /// The dotted cause.
        cause: &'static str,
        /// The first fault, in words.
        detail: &'a str,
        /// How many faults there are.
        faults: usize,
    },
}

/// One reload.
#[derive(Debug, Clone, Copy)]
pub struct ReloadEvent<'a> {
    /// Who asked.
    pub trigger: Trigger,
    /// How it ended.
    pub outcome: ReloadOutcome<'a>,
    /// What is in force after it.
    pub in_force: &'a LoadedSet,
}

#[derive(Serialize)]
struct Record<'a> {
    time: String,
    trace_id: &'a TraceId,
    event: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    faults: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<usize>,
    trigger: Trigger,
    /// As an exchange's record has it. The counts are not beside it: an exchange's `policies` are names.
    policy_digest: &'a str,
    in_force: &'a LoadedSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a LoadedSet>,
}

impl ReloadEvent<'_> {
    /// The record, as it is kept.
    #[must_use]
    pub fn finish(&self, trace_id: TraceId, time: UnixMillis) -> AuditRow {
        let mut record = Record {
            time: time.to_rfc3339(),
            trace_id: &trace_id,
            event: "reload",
            outcome: "reloaded",
            cause: None,
            detail: None,
            faults: None,
            warnings: None,
            trigger: self.trigger,
            policy_digest: &self.in_force.policy_digest,
            in_force: self.in_force,
            before: None,
        };
        match self.outcome {
            ReloadOutcome::Reloaded { before, warnings } => {
                record.before = Some(before);
                record.warnings = Some(warnings);
            }
            ReloadOutcome::Refused { cause, detail, faults } => {
                record.outcome = "refused";
                record.cause = Some(cause);
                record.detail = Some(bounded(detail));
                record.faults = Some(faults);
            }
        }
        AuditRow {
            time,
            outcome: record.outcome,
            cause: record.cause,
            user: None,
            policy: None,
            issuer_name: None,
            // Strings and numbers only: writing them cannot fail.
            json: serde_json::to_string(&record).unwrap_or_default(),
            trace_id,
        }
    }
}
