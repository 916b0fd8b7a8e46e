//! What becomes of sessions, replay ids and the audit trail afterwards.

use super::*;
use crate::store::chain::Link;
use crate::store::unrecorded::Unrecorded as _;

#[tokio::test]
async fn a_lost_mirror_does_not_stop_the_trail_and_is_made_anew() {
    let fixture = store().with_user("alice").await;
    let mirror = fixture.path().join("audit.jsonl");
    std::fs::create_dir(&mirror).unwrap();
    fixture.store.commit(exchange(1, "alice")).await.unwrap();
    std::fs::remove_dir(&mirror).unwrap();
    fixture.store.commit(exchange(2, "alice")).await.unwrap();
    fixture.store.commit(exchange(3, "alice")).await.unwrap();
    let lines = std::fs::read_to_string(&mirror).unwrap();
    let written: Vec<_> = lines.lines().filter_map(Link::parse).map(|(json, _)| json).collect();
    assert_eq!(written, [exchange(2, "alice").audit.json, exchange(3, "alice").audit.json]);
    assert_eq!(trail(&fixture.store).await.len(), 3);
}

#[tokio::test]
async fn a_rotated_mirror_continues_in_a_new_file() {
    let fixture = store().with_user("alice").await;
    let mirror = fixture.path().join("audit.jsonl");
    fixture.store.commit(exchange(1, "alice")).await.unwrap();
    std::fs::rename(&mirror, fixture.path().join("audit.jsonl.1")).unwrap();
    fixture.store.commit(exchange(2, "alice")).await.unwrap();
    let line = std::fs::read_to_string(&mirror).unwrap();
    let (json, link) = Link::parse(line.strip_suffix('\n').unwrap()).unwrap();
    assert_eq!((json, link.sequence), (exchange(2, "alice").audit.json, 2));
}

#[tokio::test]
async fn a_revoked_session_says_when_it_ended_first() {
    let fixture = store().with_user("alice").await;
    fixture.store.commit(exchange(1, "alice")).await.unwrap();
    assert!(fixture.store.revoke_session(&token(1), NOW).await.unwrap());
    assert!(!fixture.store.revoke_session(&token(1), NOW.plus(Duration::from_secs(9))).await.unwrap());
    assert!(!fixture.store.revoke_session(&token(2), NOW).await.unwrap());
    assert_eq!(fixture.store.session(&token(1)).await.unwrap().unwrap().revoked_at, Some(NOW));
}

#[tokio::test]
async fn pruning_removes_what_has_ended_and_nothing_else() {
    let fixture = store().with_user("alice").await;
    for number in 0..300 {
        fixture.store.commit(exchange(number, "alice")).await.unwrap();
    }
    let mut lasting = single_use(400, "alice", 1);
    lasting.session.as_mut().unwrap().expires_at = NOW.plus(Duration::from_secs(9000));
    fixture.store.commit(lasting).await.unwrap();
    assert_eq!(fixture.store.prune(NOW.plus(Duration::from_secs(900))).await.unwrap(), 1, "the claim only");
    assert_eq!(fixture.store.prune(NOW.plus(Duration::from_secs(901))).await.unwrap(), 300);
    assert!(fixture.store.session(&token(400)).await.unwrap().is_some());
    assert_eq!(trail(&fixture.store).await.len(), 301, "the trail stays");
}

#[tokio::test]
async fn the_trail_is_found_by_each_of_its_facts() {
    let fixture = store().with_user("alice").await.with_user("bob").await;
    for (number, name) in [(1, "alice"), (2, "bob"), (3, "alice")] {
        fixture.store.commit(exchange(number, name)).await.unwrap();
    }
    let mut refused = ExchangeCommit { session: None, ..exchange(4, "bob") };
    refused.audit = AuditRow { outcome: "refused", cause: Some("claims.expired"), ..refused.audit };
    fixture.store.commit(refused).await.unwrap();

    let any = AuditFilter { limit: 10, ..AuditFilter::default() };
    let millis = |number: i64| Some(UnixMillis(NOW.0 * 1000 + number));
    let trace_id = TraceId::parse(token(2).as_str()).ok();
    let questions = [
        (AuditFilter { since: millis(3), ..any.clone() }, vec![3, 4]),
        (AuditFilter { until: millis(2), ..any.clone() }, vec![1, 2]),
        (AuditFilter { after_position: Some(1), limit: 2, ..any.clone() }, vec![2, 3]),
        (AuditFilter { trace_id, ..any.clone() }, vec![2]),
        (AuditFilter { outcome: Some("refused".to_owned()), ..any.clone() }, vec![4]),
        (AuditFilter { cause: Some("claims.expired".to_owned()), ..any.clone() }, vec![4]),
        (AuditFilter { user: Some(named("alice")), ..any.clone() }, vec![1, 3]),
        (AuditFilter { policy: PolicyName::parse("other").ok(), ..any.clone() }, vec![]),
        (AuditFilter { issuer_name: IssuerName::parse("github").ok(), limit: 2, ..any.clone() }, vec![3, 4]),
        (AuditFilter { user: Some(named("bob")), outcome: Some("minted".to_owned()), ..any }, vec![2]),
    ];
    for (filter, expected) in questions {
        let found = fixture.store.audit(filter.clone()).await.unwrap();
        let positions: Vec<_> = found.iter().map(|entry| entry.position).collect();
        assert_eq!(positions, expected, "{filter:?}");
    }
}
