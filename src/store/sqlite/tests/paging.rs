//! Going through the trail from a time on, page by page, without reading what is older.

use super::*;

const HOUR: i64 = 3_600_000;

/// Records an hour apart, every third written some minutes late, and a piece of the trail deleted by an operator.
async fn trail_of_days() -> (Fixture, Vec<i64>) {
    let fixture = store().with_user("alice").await;
    let mut times = Vec::new();
    for number in 0..60_u16 {
        let late = if number % 3 == 0 { 5 * 60_000 } else { 0 };
        let mut exchange = exchange(number, "alice");
        exchange.audit.time = UnixMillis(NOW.0 * 1000 + i64::from(number) * HOUR - late);
        if !(20..30).contains(&number) {
            times.push(exchange.audit.time.0);
        }
        fixture.store.commit(exchange).await.unwrap();
    }
    let connection = rusqlite::Connection::open(fixture.path().join(files::DATABASE)).unwrap();
    connection.execute("DELETE FROM audit WHERE position BETWEEN 21 AND 30", []).unwrap();
    (fixture, times)
}

#[tokio::test]
async fn every_record_since_a_time_is_found_wherever_it_stands() {
    let (fixture, times) = trail_of_days().await;
    for hours in -2..62 {
        let since = NOW.0 * 1000 + hours * HOUR;
        let filter = AuditFilter { since: Some(UnixMillis(since)), limit: 1000, ..AuditFilter::default() };
        let following = AuditFilter { after_position: Some(0), ..filter.clone() };
        let expected = times.iter().filter(|time| **time >= since).count();
        assert_eq!(fixture.store.audit(filter).await.unwrap().len(), expected, "{hours}");
        assert_eq!(fixture.store.audit(following).await.unwrap().len(), expected, "{hours}");
    }
}

#[tokio::test]
async fn pages_follow_one_another_without_a_gap_or_a_repeat() {
    let (fixture, times) = trail_of_days().await;
    let since = Some(UnixMillis(times[7]));
    let (mut positions, mut after) = (Vec::new(), 0);
    loop {
        let filter = AuditFilter { since, after_position: Some(after), limit: 4, ..AuditFilter::default() };
        let page = fixture.store.audit(filter).await.unwrap();
        positions.extend(page.iter().map(|entry| entry.position));
        let Some(last) = page.last() else { break };
        after = last.position;
    }
    let expected: Vec<i64> = (8..=60).filter(|position| !(21..=30).contains(position)).collect();
    assert_eq!(positions, expected);
}

#[tokio::test]
async fn an_empty_trail_has_no_page() {
    let filter =
        AuditFilter { since: Some(UnixMillis(0)), after_position: Some(0), limit: 9, ..AuditFilter::default() };
    assert_eq!(store().store.audit(filter).await.unwrap(), []);
}
