//! Whatever an issuer answers, the good keys serve on, nothing panics, and memory stays bounded.
//!
//! One broker, one issuer, one answer after the other. A test program of its own, since the bound is the process's: its
//! peak may grow by [`MOST_GROWTH`] over all of them, the issuer's own side included. One MiB of JSON is at worst
//! 350,000 values of 32 bytes, twice while a list grows, and the pieces of text in it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

mod support;

#[path = "hostile_issuers/answers.rs"]
mod answers;
#[path = "hostile_issuers/keys.rs"]
mod keys;

use std::time::Duration;

use support::broker::TestBroker;
use support::faulty::{Answer, FaultyIssuer, KEYS};
use support::keys::TestKey;
use support::platform::Platform;

/// Bytes.
const MOST_GROWTH: usize = 96 * 1024 * 1024;

/// What an answer does to the keys that were held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Effect {
    /// The fetch fails and they stay.
    Refused,
    /// It is a key set; the good key is in it.
    Taken,
    /// It says that no key verifies any more.
    Evicts,
}

/// One row: what it is, where it is answered, the answer, its effect.
struct Case {
    what: String,
    path: &'static str,
    answer: Answer,
    effect: Effect,
}

fn case(what: impl Into<String>, answer: Answer, effect: Effect) -> Case {
    Case { what: what.into(), path: KEYS, answer, effect }
}

/// The good key as a set of each kind has it.
fn good_key() -> String {
    TestKey::p256("good").jwk().to_string()
}

fn good_svid_key() -> String {
    let mut jwk = TestKey::p256("svid-1").jwk();
    jwk["use"] = "jwt-svid".into();
    jwk.to_string()
}

/// The most memory this process ever had (proc(5)).
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    1024 * line.trim().trim_end_matches("kB").trim().parse::<usize>().expect("a number")
}

struct Stage {
    broker: TestBroker,
    issuer: FaultyIssuer,
    bundles: FaultyIssuer,
}

impl Stage {
    async fn start() -> Stage {
        let issuer = FaultyIssuer::start(&[&TestKey::p256("good")]);
        let bundles = FaultyIssuer::start(&[]);
        bundles.publish([serde_json::from_str(&good_svid_key()).unwrap()]);
        let mesh = format!(
            "{{ kind: spiffe, trust_domain: prod.acme.example, danger_allow_http: true, \
             bundle: {{ url: \"{}\", profile: https_web }} }}",
            bundles.keys_url()
        );
        let broker = TestBroker::start_with(|setup, _| {
            setup.issuer("partner", &format!("{{ {} }}", issuer.settings())).issuer("mesh", &mesh)
        })
        .await;
        issuer.follow(&broker.clock);
        Stage { broker, issuer, bundles }
    }

    async fn try_all(&self, name: &str, issuer: &FaultyIssuer, cases: Vec<Case>) {
        for Case { what, path, answer, effect } in cases {
            issuer.answers_at(path, answer);
            let refreshed = self.broker.refresh_keys(name).await;
            assert_eq!(refreshed.is_err(), effect == Effect::Refused, "{what}: {refreshed:?}");
            let served = self.signs_in(name).await;
            let expected = if effect == Effect::Evicts { (401, "key.unknown") } else { (200, "") };
            assert_eq!((served.0, served.1.as_str()), expected, "{what}");
            issuer.mend();
            if effect == Effect::Evicts {
                self.broker.refresh_keys(name).await.unwrap_or_else(|said| panic!("after {what}: {said}"));
                assert_eq!(self.signs_in(name).await.0, 200, "after {what}");
            }
            self.broker.advance(Duration::from_secs(1));
        }
    }

    async fn signs_in(&self, name: &str) -> (u16, String) {
        let now = self.broker.clock.now().0;
        let reply = match name {
            "mesh" => self.broker.svid(Platform::spiffe().assertion().issued_at(now)).await,
            _ => self.broker.token(self.issuer.assertion()).await,
        };
        let cause = self.broker.cause(&reply).await;
        (reply.status, cause)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_of_an_issuer_harms_its_good_keys_or_takes_more_memory_than_its_bound() {
    let stage = Stage::start().await;
    assert_eq!((stage.signs_in("partner").await.0, stage.signs_in("mesh").await.0), (200, 200));
    let (at_rest, count) = (peak(), answers::all().len() + keys::all().len() + answers::bundles().len());
    assert!(count >= 60, "only {count} cases");
    stage.try_all("partner", &stage.issuer, answers::all()).await;
    stage.try_all("partner", &stage.issuer, keys::all()).await;
    stage.try_all("mesh", &stage.bundles, answers::bundles()).await;
    let growth = peak() - at_rest;
    assert!(growth < MOST_GROWTH, "{} MiB more than at rest", growth / 1024 / 1024);
    println!("{count} answers; the peak grew by {} MiB", growth / 1024 / 1024);
}
