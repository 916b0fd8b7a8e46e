//! Keys that the store keeps for the next start.

use super::*;

#[tokio::test]
async fn good_keys_survive_a_restart_in_the_store_and_their_age_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(directory.path()).unwrap());
    let before = Bench::new(partner(), [set_of(&["a"])]);
    let world = World { store: Some(Arc::clone(&store)), ..before.cache.world.clone() };
    let cache = Arc::new(Cache::new(issuer_of(partner()), world));
    cache.refresh().await.unwrap();
    cache.keep().await;

    let restart = |settings: IssuerSettings| {
        let bench = Bench::new(settings, [Err(FetchFault::Timeout)]);
        let kept = Arc::clone(&store);
        async move {
            for record in kept.key_sets().await.unwrap() {
                bench.cache.restore(record);
            }
            bench
        }
    };
    let after = restart(partner()).await;
    assert_eq!((after.held("a"), after.script.calls(), after.cache.status().restored), (Ok(()), 0, true));
    after.clock.advance(after.cache.issuer.stale_keys_for() + LOOK_AGAIN);
    assert_eq!(after.find("a").await, Err("key.unavailable"));

    let moved = IssuerSettings { url: Some(IssuerUrl::parse("https://other.example").unwrap()), ..partner() };
    assert_eq!(restart(moved).await.find("a").await, Err("key.unavailable"));
}

#[tokio::test]
async fn kept_keys_that_cannot_be_read_are_left() {
    let bench = Bench::new(partner(), [set_of(&["a"])]);
    let source = bench.cache.issuer.key_source();
    let issuer = bench.cache.issuer.name().clone();
    let record = |body: &[u8]| KeySetRecord {
        issuer: issuer.clone(),
        source: source.clone(),
        body: body.to_vec(),
        fetched_at: UnixMillis(i64::MAX),
        max_age: None,
    };
    bench.cache.restore(record(b"{"));
    assert_eq!(bench.held("a"), Err("key.unavailable"));
    // A time that has not come yet does not make them fresh for ever.
    bench.cache.restore(record(&set_of(&["a"]).unwrap().body));
    assert_eq!(bench.held("a"), Ok(()));
    assert_eq!(bench.cache.status().last_fetch, Some(bench.clock.now()));
}
