//! An issuer's outage, rotation or malice is never our outage, and no key outlives its issuer's trust in it.
//!
//! Real HTTP to issuers that can do everything wrong; hours pass by moving the broker's clock. `docs/key-cache.md` lists
//! the promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

#[path = "issuer_faults/cold_start.rs"]
mod cold_start;
#[path = "issuer_faults/flood.rs"]
mod flood;
#[path = "issuer_faults/neighbours.rs"]
mod neighbours;
#[path = "issuer_faults/outage.rs"]
mod outage;
#[path = "issuer_faults/rotation.rs"]
mod rotation;
#[path = "issuer_faults/trust.rs"]
mod trust;

use std::time::Duration;

use support::NOW;
use support::assertion::Assertion;
use support::broker::TestBroker;
use support::faulty::{FaultyIssuer, KEYS, until};
use support::keys::TestKey;
use support::setup::Setup;

const COOLDOWN: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
/// A good answer is looked at again within this.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// A broker and one issuer that it trusts as `partner`.
struct Stage {
    broker: TestBroker,
    issuer: FaultyIssuer,
}

impl Stage {
    /// Keys are held when it begins.
    async fn warm() -> Stage {
        Stage::warm_with(&[&TestKey::p256("good")]).await
    }

    async fn warm_with(keys: &[&TestKey]) -> Stage {
        Stage::start(keys, |settings| settings).await
    }

    /// Its issuer has this field too.
    async fn warm_where(field: &str) -> Stage {
        Stage::start(&[&TestKey::p256("good")], |settings| format!("{settings}, {field}")).await
    }

    async fn start(keys: &[&TestKey], change: impl FnOnce(String) -> String) -> Stage {
        let issuer = FaultyIssuer::start(keys);
        let settings = change(issuer.settings());
        let broker = TestBroker::start_with(|setup, _| admitting(setup, "partner", &settings)).await;
        issuer.follow(&broker.clock);
        let stage = Stage { broker, issuer };
        stage.serves("warm").await;
        stage
    }

    /// What a token gets: the cause, empty where it is accepted.
    async fn outcome(&self, assertion: Assertion) -> String {
        let reply = self.broker.token(assertion).await;
        let cause = self.broker.cause(&reply).await;
        let expected = match cause.as_str() {
            "" => 200,
            "key.unavailable" => 503,
            _ => 401,
        };
        assert_eq!(reply.status, expected, "{cause}: {}", reply.text());
        cause
    }

    async fn serves(&self, when: &str) {
        assert_eq!(self.outcome(self.issuer.assertion()).await, "", "{when}");
    }

    /// Lets time pass, and every fetch that is due by then come to its end.
    async fn pass(&self, span: Duration) {
        self.broker.advance(span);
        self.settled().await;
    }

    async fn settled(&self) {
        until("the planned fetch has come to an end", || planned_ahead(&self.broker, "partner")).await;
    }

    /// Seconds from the beginning at which keys were asked for.
    fn fetches(&self) -> Vec<i64> {
        self.issuer.hits_at(KEYS).iter().map(|at| at - NOW).collect()
    }

    /// At most one fetch in 30 seconds; nobody asked in the moment of the start.
    fn keeps_to_the_budget(&self) {
        let fetches = self.fetches();
        let too_close = fetches.windows(2).find(|pair| pair[1] - pair[0] < 30);
        assert_eq!(too_close, None, "{fetches:?}");
    }
}

/// The next fetch lies ahead: none that was due is still under way.
fn planned_ahead(broker: &TestBroker, issuer: &str) -> bool {
    broker.key_status(issuer).next_fetch.is_some_and(|next| next > broker.clock.now())
}

/// Trusts this issuer, and admits its one subject by a policy of its own.
fn trusting(setup: Setup, name: &str, issuer: &FaultyIssuer) -> Setup {
    admitting(setup, name, &issuer.settings())
}

fn admitting(setup: Setup, name: &str, settings: &str) -> Setup {
    let policy = format!(
        "policy: {name}-build\nissuer: {name}\nmatch: {{ sub: e6a0c5c4-52b7-4c39-9d0f-3a6f1a7b2d10 }}\n\
         user: {name}-build\nscopes: [\"service:my-api\"]\n"
    );
    setup.issuer(name, &format!("{{ {settings} }}")).policy(&format!("{name}-build"), &policy)
}

/// Does this while the issuer goes on letting go of everything it holds.
async fn while_releasing<T>(issuer: &FaultyIssuer, work: impl Future<Output = T>) -> T {
    let releasing = async {
        loop {
            issuer.release();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        done = work => done,
        never = releasing => never,
    }
}
