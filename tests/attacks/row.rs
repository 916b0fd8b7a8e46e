//! One row of the catalogue as a test: the broker it runs against and what every answer must be.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::assertion::Assertion;
use crate::support::broker::TestBroker;
use crate::support::certificates::Leaf;
use crate::support::mutual_tls::Client;
use crate::support::platform::Platform;
use crate::support::setup::{Platforms, Setup};
use crate::support::wire::{Reply, Request};

/// A row of `catalogue.tsv`; status 0 stands for `CONFIG`.
#[derive(Clone, Copy)]
pub struct Entry {
    pub id: &'static str,
    pub status: u16,
    pub error: &'static str,
}

/// Every row.
pub fn catalogue() -> impl Iterator<Item = Entry> {
    include_str!("catalogue.tsv").lines().skip(1).map(|line| {
        let [id, _area, _input, status, error] = line.split('\t').collect::<Vec<_>>().try_into().expect("five columns");
        // Refused before there is a request to answer.
        let status = if status == "CONFIG" { 0 } else { status.parse().expect("a status") };
        Entry { id, status, error }
    })
}

/// Written in place of a cause where an exit comes before the exchange begins, so that no record is due.
pub const NO_RECORD: &str = "-";

/// A row under test.
pub struct Row {
    pub broker: TestBroker,
    entry: Entry,
    accepted: AtomicBool,
    checked: AtomicBool,
}

/// Something to send: an assertion, or a whole request.
pub enum Attempt {
    Assertion(String),
    Request(Request),
    /// Over TLS, by a client that has this certificate.
    Certified(Box<(Request, Leaf)>),
}

impl From<(Request, Leaf)> for Attempt {
    fn from(certified: (Request, Leaf)) -> Attempt {
        Attempt::Certified(Box::new(certified))
    }
}

impl From<Assertion> for Attempt {
    fn from(assertion: Assertion) -> Attempt {
        Attempt::Assertion(assertion.compact())
    }
}

impl From<String> for Attempt {
    fn from(assertion: String) -> Attempt {
        Attempt::Assertion(assertion)
    }
}

impl From<Request> for Attempt {
    fn from(request: Request) -> Attempt {
        Attempt::Request(request)
    }
}

impl Row {
    /// The row of this id, against a broker whose setup was changed.
    pub async fn start(id: &str, change: impl FnOnce(Setup, &Platforms) -> Setup) -> Row {
        let entry = catalogue().find(|entry| entry.id == id).expect("the row is in the catalogue");
        let broker = TestBroker::start_with(change).await;
        Row { broker, entry, accepted: AtomicBool::new(false), checked: AtomicBool::new(false) }
    }

    pub fn partner(&self) -> &Platform {
        &self.broker.platforms.partner
    }

    pub fn github(&self) -> &Platform {
        &self.broker.platforms.github
    }

    /// The nearest valid input gets a token.
    pub async fn accepts(&self, what: &str, attempt: impl Into<Attempt>) -> Reply {
        let reply = self.send(attempt).await;
        let cause = self.broker.cause(&reply).await;
        assert_eq!((reply.status, cause.as_str()), (200, ""), "{} {what}: {}", self.entry.id, reply.text());
        assert!(!reply.access_token().is_empty());
        always_holds(&reply, what);
        self.accepted.store(true, Ordering::SeqCst);
        if self.entry.status == 200 {
            self.checked.store(true, Ordering::SeqCst);
        }
        reply
    }

    /// The bad input gets what the catalogue says, and the audit record has this cause.
    pub async fn refuses(&self, what: &str, attempt: impl Into<Attempt>, cause: &str) -> Reply {
        let Entry { status, error, .. } = self.entry;
        let reply = self.refuses_as((status, error), what, attempt, cause).await;
        self.checked.store(true, Ordering::SeqCst);
        reply
    }

    /// The bad input gets this status and error where the row allows another one than the catalogue's.
    pub async fn refuses_as(
        &self,
        (status, error): (u16, &str),
        what: &str,
        attempt: impl Into<Attempt>,
        cause: &str,
    ) -> Reply {
        assert!(self.accepted.load(Ordering::SeqCst), "{}: show the valid counterpart first", self.entry.id);
        let reply = self.send(attempt).await;
        let found = (reply.status, reply.oauth_error());
        let expected = (status, if error == "-" { found.1.clone() } else { error.to_owned() });
        assert_eq!(found, expected, "{} {what}: {}", self.entry.id, reply.text());
        always_holds(&reply, what);
        if status == 401 {
            is_the_one_answer(&reply, what);
        }
        if cause != NO_RECORD {
            assert_eq!(self.broker.cause(&reply).await, cause, "{} {what}", self.entry.id);
        }
        reply
    }

    /// With this in place of a text of the configuration nothing loads, for a reason in these words; the old one stays.
    pub async fn is_no_configuration(&self, old: &str, new: &str, reason: &str) {
        assert!(self.accepted.load(Ordering::SeqCst), "{}: show the valid counterpart first", self.entry.id);
        let file = self.broker.directory().join("countersign.yaml");
        let good = std::fs::read(&file).expect("it is there");
        self.broker.rewrite(old, new);
        let said = self.broker.reload().expect_err(new);
        assert!(said.contains(reason), "{} {new}: {said}", self.entry.id);
        std::fs::write(&file, good).expect("it can be written");
        self.broker.reload().expect("the old one is good");
        self.checked.store(true, Ordering::SeqCst);
    }

    /// For a row whose answer the test reads by itself.
    pub fn was_checked(&self) {
        self.checked.store(true, Ordering::SeqCst);
    }

    /// Called at the end of every row: something of it must have been checked.
    pub fn finish(&self) {
        assert!(self.checked.load(Ordering::SeqCst), "{} checked nothing", self.entry.id);
    }

    async fn send(&self, attempt: impl Into<Attempt>) -> Reply {
        match attempt.into() {
            Attempt::Assertion(assertion) => self.broker.token(assertion).await,
            Attempt::Request(request) => self.broker.send(&request).await,
            Attempt::Certified(certified) => {
                let (request, leaf) = *certified;
                Client::new(Some(&leaf)).send(&self.broker, &request).await
            }
        }
    }
}

/// No answer may be cached, redirect, or come without its trace id.
fn always_holds(reply: &Reply, what: &str) {
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}");
    assert_eq!(reply.header("pragma"), Some("no-cache"), "{what}: RFC 6749 §5.1");
    assert_eq!(reply.header("location"), None, "{what}");
    assert_eq!(reply.trace_id().len(), 32, "{what}: no trace id");
    if reply.status != 200 {
        assert_eq!(reply.member("trace_id"), reply.trace_id(), "{what}");
        let description = reply.member("error_description");
        let allowed = |byte: u8| matches!(byte, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        assert!(!description.is_empty() && description.bytes().all(allowed), "{what}: RFC 6749 §5.2: {description:?}");
    }
}

/// Every failed authentication of the whole run is answered alike, so that nothing can be learnt from it.
fn is_the_one_answer(reply: &Reply, what: &str) {
    static FIRST: OnceLock<String> = OnceLock::new();
    assert!(reply.header("www-authenticate").is_some(), "{what}: RFC 9110 §11.6.1");
    let shown = reply.without_what_differs();
    assert_eq!(&shown, FIRST.get_or_init(|| shown.clone()), "{what}");
}

/// Rows as tests: `"ID" promise(row) { … }`, with an optional change of the setup after `row`.
macro_rules! rows {
    ($($id:literal $promise:ident($row:ident $(, $change:expr)?) $body:block)*) => {
        pub const TESTED: &[&str] = &[$($id),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let $row = rows!(@start $id $(, $change)?).await;
                $body
                $row.finish();
            }
        )*
    };
    (@start $id:literal) => { $crate::row::Row::start($id, |setup, _| setup) };
    (@start $id:literal, $change:expr) => { $crate::row::Row::start($id, $change) };
}
