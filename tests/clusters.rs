//! Clusters that share one `iss`: the key that verifies a token tells whose it is, and nobody else's policies apply.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use support::NOW;
use support::assertion::Assertion;
use support::broker::TestBroker;
use support::cluster::TestCluster;
use support::keys::TestKey;
use support::platform::Platform;

/// What the operators of both clusters left as it was.
const SHARED: &str = "https://kubernetes.default.svc.cluster.local";
/// Longer than the cooldown between two fetches, shorter than the time to the next regular one.
const COOLDOWN: Duration = Duration::from_secs(31);

/// Two clusters with the same issuer, the same namespaces and the same names in them.
struct Two {
    broker: TestBroker,
    first: TestCluster,
    second: TestCluster,
}

fn key_of_first() -> TestKey {
    TestKey::p256("first-cluster")
}

fn key_of_second() -> TestKey {
    TestKey::p256("second-cluster")
}

impl Two {
    async fn publishing(first: &[&TestKey], second: &[&TestKey]) -> Two {
        Two::publishing_while_first_is(false, first, second).await
    }

    async fn publishing_while_first_is(down: bool, first: &[&TestKey], second: &[&TestKey]) -> Two {
        let (first, second) = (TestCluster::start("", first).await, TestCluster::start("", second).await);
        first.set_down(down);
        let settings = |cluster: &TestCluster| {
            let keys = cluster.keys_url();
            format!("{{ kind: kubernetes, url: \"{SHARED}\", keys: {{ url: \"{keys}\" }}, danger_allow_http: true }}")
        };
        let broker = TestBroker::start_with(|setup, _| {
            ["first", "second"].iter().zip([&first, &second]).fold(setup, |setup, (name, cluster)| {
                let policy = format!(
                    "policy: pod-of-{name}\nissuer: {name}\nmatch: {{ sub: system:serviceaccount:payments:payments-api }}\n\
                     user: pod-of-{name}\nscopes: [\"service:my-api\"]\n"
                );
                setup.issuer(name, &settings(cluster)).policy(&format!("pod-of-{name}"), &policy)
            })
        })
        .await;
        Two { broker, first, second }
    }

    async fn user(&self, assertion: Assertion) -> String {
        let reply = self.broker.token(assertion).await;
        assert_eq!(reply.status, 200, "{}: {}", reply.text(), self.broker.cause(&reply).await);
        self.broker.minted(&reply).await.text("sub").to_owned()
    }

    async fn refusal(&self, assertion: Assertion) -> (u16, String) {
        let reply = self.broker.token(assertion).await;
        (reply.status, self.broker.cause(&reply).await)
    }

    fn asked(&self) -> (usize, usize) {
        (self.first.asked_for_keys().len(), self.second.asked_for_keys().len())
    }
}

/// The same pod, as either cluster would say it; only the key tells them apart.
fn pod(key: &TestKey) -> Assertion {
    Platform::kubernetes().at(SHARED).with_key(key.clone()).assertion()
}

#[tokio::test]
async fn a_token_gets_the_user_of_the_cluster_whose_key_signed_it() {
    let two = Two::publishing(&[&key_of_first()], &[&key_of_second()]).await;
    for _ in 0..2 {
        assert_eq!(two.user(pod(&key_of_first())).await, "pod-of-first");
        assert_eq!(two.user(pod(&key_of_second())).await, "pod-of-second");
    }
    let reply = two.broker.token(pod(&key_of_second())).await;
    let record = two.broker.audit_of(&reply).await.unwrap();
    assert_eq!(
        (record["issuer"].as_str(), record["policy"].as_str()),
        (Some(SHARED), Some("pod-of-second")),
        "{record}"
    );
}

#[tokio::test]
async fn a_policy_of_one_cluster_says_nothing_about_the_other() {
    let two = Two::publishing(&[&key_of_first()], &[&key_of_second()]).await;
    for (client_id, cause) in [("pod-of-first", ""), ("pod-of-second", "policy.none")] {
        let reply = two.broker.token_and(pod(&key_of_first()), &[("client_id", client_id)]).await;
        assert_eq!(two.broker.cause(&reply).await, cause, "{client_id}");
    }
}

#[tokio::test]
async fn a_cluster_that_publishes_another_s_kid_does_not_become_it() {
    let posing = key_of_second().named(&key_of_first().id);
    let two = Two::publishing(&[&key_of_first()], &[&posing]).await;
    assert_eq!(two.user(pod(&key_of_first())).await, "pod-of-first");
    assert_eq!(two.user(pod(&posing)).await, "pod-of-second", "signed by the second, whatever its kid says");
    let forged = pod(&key_of_first()).secretly_signed_by(&TestKey::p256("nobody").named(&key_of_first().id));
    assert_eq!(two.refusal(forged).await, (401, "claims.signature".to_owned()));
}

#[tokio::test]
async fn a_cluster_that_publishes_another_s_next_kid_does_not_hold_up_its_rotation() {
    let next = TestKey::p256("next-of-first");
    let posing = key_of_second().named(&next.id);
    let two = Two::publishing(&[&key_of_first()], &[&posing]).await;
    assert_eq!(two.user(pod(&key_of_first())).await, "pod-of-first");
    assert_eq!(two.user(pod(&posing)).await, "pod-of-second");
    two.broker.advance(COOLDOWN);
    two.first.publish(&[&next]);
    let (first, second) = two.asked();
    assert_eq!(two.user(pod(&next).issued_at(NOW + 31)).await, "pod-of-first", "by the first request");
    assert_eq!(two.asked(), (first + 1, second), "only the cluster that has no key of that name is asked");
    // A forged signature is asked about no more often than an unknown kid.
    let nobody = TestKey::p256("nobody");
    two.broker.advance(COOLDOWN);
    for _ in 0..10 {
        let forged = pod(&posing).issued_at(NOW + 62).header("kid", "first-cluster").secretly_signed_by(&nobody);
        assert_eq!(two.refusal(forged).await, (401, "key.unknown".to_owned()));
        let forged = pod(&posing).issued_at(NOW + 62).secretly_signed_by(&nobody);
        assert_eq!(two.refusal(forged).await, (401, "claims.signature".to_owned()));
    }
    assert_eq!(two.asked(), (first + 2, second + 1));
}

#[tokio::test]
async fn a_cluster_that_publishes_the_kid_of_one_that_cannot_be_had_does_not_turn_503_into_401() {
    let posing = key_of_second().named(&key_of_first().id);
    let two = Two::publishing_while_first_is(true, &[&key_of_first()], &[&posing]).await;
    assert_eq!(two.user(pod(&posing)).await, "pod-of-second");
    assert_eq!(two.refusal(pod(&key_of_first())).await, (503, "key.unavailable".to_owned()), "it may be the first's");
    two.first.set_down(false);
    two.broker.advance(COOLDOWN);
    assert_eq!(two.user(pod(&key_of_first()).issued_at(NOW + 31)).await, "pod-of-first");
}

#[tokio::test]
async fn a_key_that_both_clusters_publish_is_nobody_s() {
    let two = Two::publishing(&[&key_of_first()], &[&key_of_first(), &key_of_second()]).await;
    let (status, cause) = two.refusal(pod(&key_of_first())).await;
    assert_eq!((status, cause.starts_with("claims.")), (401, true), "{cause}: choosing one would be a guess");
    assert_eq!(two.user(pod(&key_of_second())).await, "pod-of-second");
}

#[tokio::test]
async fn an_unknown_kid_asks_each_cluster_once() {
    let two = Two::publishing(&[&key_of_first()], &[&key_of_second()]).await;
    assert_eq!(two.user(pod(&key_of_first())).await, "pod-of-first");
    assert_eq!(two.user(pod(&key_of_second())).await, "pod-of-second");
    two.broker.advance(COOLDOWN);
    let (first, second) = two.asked();
    let late = || pod(&key_of_first()).issued_at(NOW + 31);
    for count in 0..10 {
        let (status, cause) = two.refusal(late().header("kid", format!("random-{count}"))).await;
        assert_eq!((status, cause.as_str()), (401, "key.unknown"));
    }
    assert_eq!(two.asked(), (first + 1, second + 1), "ten unknown kids within one cooldown");

    let fresh = TestKey::p256("rotated-second");
    two.second.publish(&[&key_of_second(), &fresh]);
    two.broker.advance(COOLDOWN);
    let rotated = pod(&fresh).issued_at(NOW + 62);
    assert_eq!(two.user(rotated).await, "pod-of-second", "a rotation is found behind the shared iss");
}

#[tokio::test]
async fn one_cluster_s_outage_is_not_the_other_s() {
    let two = Two::publishing(&[&key_of_first()], &[&key_of_second()]).await;
    assert_eq!(two.user(pod(&key_of_first())).await, "pod-of-first");
    two.first.set_down(true);
    two.broker.advance(COOLDOWN);
    let unknown = pod(&key_of_first()).issued_at(NOW + 31).header("kid", "unknown");
    assert_eq!(two.refusal(unknown).await, (401, "key.unknown".to_owned()));
    assert_eq!(two.user(pod(&key_of_second()).issued_at(NOW + 31)).await, "pod-of-second");
    assert_eq!(two.user(pod(&key_of_first()).issued_at(NOW + 31)).await, "pod-of-first", "held keys serve");
}

#[tokio::test]
async fn a_cluster_that_never_answered_costs_the_other_nothing() {
    let (first, second) = (TestCluster::start("", &[]).await, TestCluster::start("", &[&key_of_second()]).await);
    first.set_down(true);
    let settings = |keys: &str| {
        format!("{{ kind: kubernetes, url: \"{SHARED}\", keys: {{ url: \"{keys}\" }}, danger_allow_http: true }}")
    };
    let broker = TestBroker::start_with(|setup, _| {
        let policy = "policy: second\nissuer: second\nmatch: { sub: system:serviceaccount:payments:payments-api }\n\
                      user: pod-of-second\nscopes: [\"service:my-api\"]\n";
        let setup = setup.issuer("first", &settings(&first.keys_url())).issuer("second", &settings(&second.keys_url()));
        setup.policy("second", policy)
    })
    .await;
    let reply = broker.token(pod(&key_of_second())).await;
    assert_eq!(broker.minted(&reply).await.text("sub"), "pod-of-second", "{}", reply.text());
    let unknown = broker.token(pod(&key_of_first())).await;
    assert_eq!(
        (unknown.status, broker.cause(&unknown).await.as_str()),
        (503, "key.unavailable"),
        "it may be the first's"
    );
}
