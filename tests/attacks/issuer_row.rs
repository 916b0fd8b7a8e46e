//! Rows about what an issuer answers: a broker that fetches its keys from a faulty one.

use std::time::Duration;

use crate::row::Row;
use crate::support::faulty::{Answer, FaultyIssuer, KEYS};
use crate::support::setup::Setup;

/// Longer than stale keys serve.
pub const TOO_STALE: Duration = Duration::from_secs(25 * 3600);

/// Trusts it as `partner`, by discovery.
pub fn as_partner(setup: Setup, issuer: &FaultyIssuer) -> Setup {
    setup.issuer("partner", &format!("{{ {} }}", issuer.settings()))
}

/// An answer that must fail the fetch, and what the operator then reads.
pub struct Fault<'a> {
    what: &'a str,
    path: &'a str,
    answer: Answer,
    reason: &'a str,
}

/// A bad answer about the keys.
pub fn fault<'a>(what: &'a str, answer: Answer, reason: &'a str) -> Fault<'a> {
    Fault { what, path: KEYS, answer, reason }
}

impl<'a> Fault<'a> {
    /// The answer at another path.
    pub fn at(mut self, path: &'a str) -> Fault<'a> {
        self.path = path;
        self
    }
}

impl Row {
    /// Each bad answer fails the fetch for its own reason and leaves the good keys in place; once those are too old,
    /// the answer is the row's, until the issuer is well again.
    pub async fn refuses_the_answer(&self, issuer: &FaultyIssuer, Fault { what, path, answer, reason }: Fault<'_>) {
        self.accepts("good keys", issuer.assertion()).await;
        issuer.answers_at(path, answer);
        let said = self.broker.refresh_keys("partner").await.expect_err(what);
        assert!(said.contains(reason), "{what}: {said}");
        self.accepts("the last good keys", issuer.assertion()).await;
        self.broker.advance(TOO_STALE);
        self.refuses(what, issuer.assertion(), "key.unavailable").await;
        assert!(!self.broker.key_status("partner").usable, "{what}");
        issuer.mend();
        self.recovers().await;
        self.accepts("mended", issuer.assertion()).await;
    }

    /// Keys are fetched with success; a fetch that was under way may fail once more.
    pub async fn recovers(&self) {
        if self.broker.refresh_keys("partner").await.is_err() {
            self.broker.refresh_keys("partner").await.expect("the issuer is well");
        }
    }
}

/// Rows as in `rows!`, with a faulty issuer that the broker trusts as `partner`, or as the third name says.
macro_rules! issuer_rows {
    ($($id:literal $promise:ident($row:ident, $issuer:ident $(, $change:expr)?) $body:block)*) => {
        pub const TESTED: &[&str] = &[$($id),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let $issuer = issuer_rows!(@issuer);
                let change = issuer_rows!(@change $($change)?);
                let $row = $crate::row::Row::start($id, |setup, _| change(setup, &$issuer)).await;
                $issuer.follow(&$row.broker.clock);
                $body
                $row.finish();
            }
        )*
    };
    (@issuer) => {
        $crate::support::faulty::FaultyIssuer::start(&[&$crate::support::keys::TestKey::p256("good")])
    };
    (@change) => { $crate::issuer_row::as_partner };
    (@change $change:expr) => { $change };
}
