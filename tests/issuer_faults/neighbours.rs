//! A hundred issuers, of which one is well.

use crate::support::broker::TestBroker;
use crate::support::faulty::{Answer, FaultyIssuer, METADATA, until};
use crate::support::keys::TestKey;
use crate::{LOOK_AGAIN, trusting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninety_nine_hanging_issuers_cost_the_healthy_one_nothing() {
    let healthy = FaultyIssuer::start(&[&TestKey::p256("good")]);
    let hanging: Vec<FaultyIssuer> = (0..99).map(|_| FaultyIssuer::start(&[])).collect();
    hanging.iter().for_each(|issuer| issuer.answers_at(METADATA, Answer::hang()));
    let broker = TestBroker::start_with(|setup, _| {
        let others = hanging.iter().enumerate();
        let setup = others.fold(setup, |setup, (index, issuer)| {
            setup.issuer(&format!("hangs-{index}"), &format!("{{ {} }}", issuer.settings()))
        });
        trusting(setup, "partner", &healthy)
    })
    .await;
    healthy.follow(&broker.clock);
    until("the healthy one's keys are here", || broker.key_status("partner").usable).await;
    assert_eq!(broker.token(healthy.assertion()).await.status, 200, "at the start");
    until("all of them are asked", || hanging.iter().all(|issuer| issuer.metadata_hits() > 0)).await;
    for round in 1..=5 {
        let asked = healthy.key_hits();
        broker.advance(LOOK_AGAIN);
        for _ in 0..5 {
            assert_eq!(broker.token(healthy.assertion()).await.status, 200, "round {round}");
        }
        until("the healthy one is refreshed", || healthy.key_hits() > asked).await;
    }
    let status = broker.key_status("partner");
    assert!(status.usable && status.last_error.is_none(), "{status:?}");
    assert!((0..99).all(|index| !broker.key_status(&format!("hangs-{index}")).usable), "none of them ever answered");
}
