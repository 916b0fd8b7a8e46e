//! `countersign policy diff --replay | shadow | stale`: what the audit trail says about policies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod support;
#[path = "policy_evidence/trail.rs"]
mod trail;

#[path = "policy_evidence/replay.rs"]
mod replay;
#[path = "policy_evidence/shadow.rs"]
mod shadow;
#[path = "policy_evidence/stale.rs"]
mod stale;
