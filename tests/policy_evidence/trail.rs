//! A trail as weeks of exchanges leave it, written before the server starts.

use std::path::Path;

use countersign::store::sqlite::Sqlite;
use countersign::store::{AuditRow, ExchangeCommit, Store as _};
use countersign::vocab::{IssuerName, PolicyName, TraceId, UnixMillis, UnixTime, UserName};
use serde_json::{Map, Value, json};

use super::support::process::{Finished, ServeProcess, run};
use super::support::setup::Setup;

const DAY: i64 = 24 * 3600;

/// One exchange of the issuer `partner`.
pub struct Exchange(Map<String, Value>, i64);

/// An exchange so many days ago, admitted by `policy` as `user`.
pub fn minted(days_ago: i64, policy: &str, user: &str) -> Exchange {
    exchange(days_ago).with("outcome", "minted").with("policy", policy).with("user", user)
}

/// An exchange so many days ago that no policy admitted.
pub fn refused(days_ago: i64) -> Exchange {
    exchange(days_ago).with("outcome", "refused").with("stage", "policy").with("cause", "policy.none")
}

fn exchange(days_ago: i64) -> Exchange {
    let time = countersign::clock::Clock::system().now().0 - days_ago * DAY - 60;
    let facts = json!({ "event": "exchange", "issuer_name": "partner", "policy_digest": "d", "subject": "s" });
    Exchange(facts.as_object().unwrap().clone(), time)
}

impl Exchange {
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Exchange {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// The token's subject, and the claims that were kept.
    pub fn of(self, subject: &str, claims: Value) -> Exchange {
        self.with("subject", subject).with("claims", claims)
    }

    fn commit(mut self, number: usize) -> ExchangeCommit {
        let trace_id = TraceId::parse(&format!("{number:032x}")).unwrap();
        let time = UnixMillis(self.1 * 1000);
        self.0.insert("time".to_owned(), json!(time.to_rfc3339()));
        self.0.insert("trace_id".to_owned(), json!(trace_id));
        let text = |name: &str| self.0.get(name).and_then(Value::as_str);
        let audit = AuditRow {
            time,
            trace_id,
            outcome: if text("outcome") == Some("minted") { "minted" } else { "refused" },
            cause: text("cause").map(|_| "policy.none"),
            user: text("user").map(|name| UserName::parse(name).unwrap()),
            policy: text("policy").map(|name| PolicyName::parse(name).unwrap()),
            issuer_name: text("issuer_name").map(|name| IssuerName::parse(name).unwrap()),
            json: Value::Object(self.0.clone()).to_string(),
        };
        ExchangeCommit { replay: None, secret: None, new_user: None, session: None, audit, now: UnixTime(self.1) }
    }
}

/// A server whose trail has these exchanges, oldest first.
pub async fn serving(setup: &Setup, directory: &Path, exchanges: Vec<Exchange>) -> ServeProcess {
    let store = Sqlite::open(&directory.join("data")).unwrap();
    for (number, exchange) in exchanges.into_iter().enumerate() {
        store.commit(exchange.commit(number)).await.unwrap();
    }
    drop(store);
    ServeProcess::start(setup, directory).await
}

/// What `countersign policy` answers as JSON.
pub async fn policy(directory: &Path, arguments: &[&str]) -> Value {
    let told = table(directory, &[arguments, &["--output", "json"]].concat()).await;
    serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", told.stdout, told.stderr))
}

/// What it answers for people.
pub async fn table(directory: &Path, arguments: &[&str]) -> Finished {
    let told = run(directory, &[&["policy"], arguments].concat()).await;
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    told
}
