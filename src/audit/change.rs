//! The record of what an operator changed, or a reload took away.

use serde_json::{Map, Value, json};

use crate::clock::{Clock, EntropyFault, random_bytes};
use crate::store::{AuditRow, Made};
use crate::vocab::{PolicyName, TraceId, UserName};

/// A change of users, credentials or sessions.
#[derive(Debug, Clone)]
pub struct ChangeEvent {
    event: &'static str,
    change: &'static str,
    by: &'static str,
    user: Option<UserName>,
    policy: Option<PolicyName>,
    facts: Map<String, Value>,
}

impl ChangeEvent {
    /// A change of this kind (`user`, `credential`, `session`): what was done, and who asked for it.
    #[must_use]
    pub fn new(event: &'static str, change: &'static str, by: &'static str) -> ChangeEvent {
        ChangeEvent { event, change, by, user: None, policy: None, facts: Map::new() }
    }

    /// Whom it concerns.
    #[must_use]
    pub fn user(mut self, user: &UserName) -> ChangeEvent {
        self.user = Some(user.clone());
        self
    }

    /// Which policy it concerns.
    #[must_use]
    pub fn policy(mut self, policy: &PolicyName) -> ChangeEvent {
        self.policy = Some(policy.clone());
        self
    }

    /// One more fact; never a secret.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Into<Value>) -> ChangeEvent {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// Now, with the record.
    ///
    /// # Errors
    /// The system has no randomness for a trace id.
    pub fn made(self, clock: &Clock) -> Result<Made, EntropyFault> {
        let time = clock.now_millis();
        let trace_id = TraceId::new(time, random_bytes()?);
        let mut record = json!({
            "time": time.to_rfc3339(), "event": self.event, "outcome": "changed", "trace_id": trace_id.as_str(),
            "change": self.change, "by": self.by,
        });
        if let Value::Object(record) = &mut record {
            record.extend(self.user.iter().map(|user| ("user".to_owned(), json!(user))));
            record.extend(self.policy.iter().map(|policy| ("policy".to_owned(), json!(policy))));
            record.extend(self.facts);
        }
        let audit = AuditRow {
            time,
            trace_id,
            outcome: "changed",
            cause: None,
            user: self.user,
            policy: self.policy,
            issuer_name: None,
            json: record.to_string(),
        };
        Ok(Made { at: clock.now(), audit: Some(audit) })
    }
}
