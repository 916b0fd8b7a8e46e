//! Where a redirect may lead, and what goes along.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Path as Segment;

use super::tls::Authority;
use super::*;

fn to(target: &str) -> axum::routing::MethodRouter {
    let target = target.to_owned();
    get(move || async move { reply(302, "location", &target) })
}

fn keys_route() -> axum::routing::MethodRouter {
    get(|| async { json_reply(KEYS) })
}

/// What is fetched from a server whose `/start` redirects there.
async fn redirected(target: &str, change: impl Fn(&mut IssuerSettings)) -> Result<Fetched, FetchFault> {
    let base = serve(Router::new().route("/keys", keys_route()).route("/start", to(target))).await;
    let mut settings = keys_at(&format!("{base}/start"));
    change(&mut settings);
    fetch(settings).await
}

#[tokio::test]
async fn two_redirects_within_the_origin_are_followed_and_a_third_is_not() {
    let router = Router::new()
        .route("/keys", keys_route())
        .route("/one", to("/keys"))
        .route("/two", to("one"))
        .route("/three", to("/two"));
    let base = serve(router).await;
    for good in ["keys", "one", "two"] {
        assert!(fetch(keys_at(&format!("{base}/{good}"))).await.is_ok(), "{good}");
    }
    assert_eq!(fetch(keys_at(&format!("{base}/three"))).await, Err(FetchFault::Redirect("more than twice")));
}

#[tokio::test]
async fn loops_and_long_chains_end_after_three_requests() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = hits.clone();
    let hop = move |Segment(hop): Segment<usize>| async move {
        counted.fetch_add(1, Ordering::SeqCst);
        if hop == 20 { json_reply(KEYS) } else { reply(301, "location", &format!("/hop/{}", hop + 1)) }
    };
    let looping = hits.clone();
    let round = move || async move {
        looping.fetch_add(1, Ordering::SeqCst);
        reply(301, "location", "/loop")
    };
    let base = serve(Router::new().route("/hop/{hop}", get(hop)).route("/loop", get(round))).await;
    for (path, requests) in [("hop/0", 3), ("loop", 6)] {
        let got = fetch(keys_at(&format!("{base}/{path}"))).await;
        assert_eq!(got, Err(FetchFault::Redirect("more than twice")), "{path}");
        assert_eq!(hits.load(Ordering::SeqCst), requests, "{path}");
    }
    assert!(fetch(keys_at(&format!("{base}/hop/18"))).await.is_ok());
}

#[tokio::test]
async fn another_origin_is_followed_only_where_the_operator_wrote_it() {
    const ELSEWHERE: Result<Fetched, FetchFault> =
        Err(FetchFault::Redirect("to another origin, which is not configured"));
    let own = serve(Router::new().route("/keys", keys_route())).await;
    let away = format!("{own}/keys");
    assert_eq!(redirected(&away, |_| ()).await, ELSEWHERE);
    let pinned = |settings: &mut IssuerSettings| settings.url = Some(IssuerUrl::parse(&own).unwrap());
    assert!(redirected(&away, pinned).await.is_ok());
    for origin in
        ["http://169.254.169.254/", "https://idp.example/keys", "http://localhost/keys", "http://127.0.0.1:1/"]
    {
        assert_eq!(redirected(origin, pinned).await, ELSEWHERE, "{origin}");
    }
    for nowhere in ["http://", "https://[::1", "\u{7f}"] {
        assert!(redirected(nowhere, pinned).await.is_err(), "{nowhere}");
    }
    let base = serve(Router::new().route("/keys", get(|| async { reply(302, "x", "y") }))).await;
    assert_eq!(fetch(keys_at(&format!("{base}/keys"))).await, Err(FetchFault::Redirect("to no URL")));
}

#[tokio::test]
async fn a_redirect_does_not_reach_a_metadata_service_however_it_is_spelt() {
    for target in [
        "https://169.254.169.254/latest/meta-data/",
        "https://2852039166/",
        "https://0xa9fea9fe/",
        "https://0251.0376.0251.0376/",
        "https://[::ffff:169.254.169.254]/",
        "https://[::ffff:a9fe:a9fe]/",
        "https://[fd00:ec2::254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://100.100.100.200/",
        "https://168.63.129.16/",
    ] {
        // Even where an operator wrote that origin, and opened private networks.
        let opened = |settings: &mut IssuerSettings| {
            settings.url = Some(IssuerUrl::parse(target.trim_end_matches('/')).unwrap());
            settings.allow_private_network = true;
        };
        let got = redirected(target, opened).await;
        assert!(matches!(got, Err(FetchFault::AddressRefused)), "{target}: {got:?}");
        assert!(matches!(redirected(target, |_| ()).await, Err(FetchFault::Redirect(_))), "{target}");
    }
    for target in ["https://0x7f000001/", "https://127.1/", "https://[::1]/", "https://10.0.0.1/"] {
        let written = |settings: &mut IssuerSettings| {
            settings.url = Some(IssuerUrl::parse(target.trim_end_matches('/')).unwrap());
            settings.danger_allow_http = target.contains("10.");
        };
        let got = redirected(target, written).await;
        assert!(matches!(got, Err(FetchFault::AddressRefused | FetchFault::Url(_))), "{target}: {got:?}");
    }
}

#[tokio::test]
async fn https_is_never_left_for_plain_http() {
    let plain = serve(Router::new().route("/keys", keys_route())).await;
    let authority = Authority::new();
    let router = Router::new().route("/keys", to(&format!("{plain}/keys")));
    let base = authority.leaf(&["localhost"]).serve(router).await;
    let mut settings = authority.trusted_by(keys_at(&format!("{base}/keys")));
    (settings.url, settings.danger_allow_http) = (Some(IssuerUrl::parse(&plain).unwrap()), true);
    assert_eq!(fetch(settings).await, Err(FetchFault::Redirect("from https to another scheme")));
    // Nor by metadata.
    let served = Arc::new(std::sync::OnceLock::<String>::new());
    let metadata = served.clone();
    let router = Router::new().route(
        "/.well-known/openid-configuration",
        get(move || async move { json_reply(metadata.get().unwrap().clone()) }),
    );
    let base = authority.leaf(&["localhost"]).serve(router).await;
    served.set(json!({"issuer": base, "jwks_uri": format!("{plain}/keys")}).to_string()).unwrap();
    let mut settings = authority.trusted_by(lab(KeySource::Discovery(None)));
    (settings.url, settings.danger_allow_http) = (Some(IssuerUrl::parse(&base).unwrap()), true);
    assert_eq!(fetch(settings).await, Err(FetchFault::Url(plain)));
}

#[tokio::test]
async fn a_permanent_redirect_is_not_remembered() {
    for status in [301, 308] {
        let hits = Arc::new(AtomicUsize::new(0));
        let counted = hits.clone();
        let start = move || async move {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut answer = reply(status, "location", "/keys");
            answer.headers_mut().insert("cache-control", HeaderValue::from_static("max-age=31536000, immutable"));
            answer
        };
        let base = serve(Router::new().route("/start", get(start)).route("/keys", keys_route())).await;
        let issuers = issuers(&[keys_at(&format!("{base}/start"))]);
        let http = HttpFetch { limits: Limits::DEFAULT, proxy: None };
        for round in 1..=3 {
            http.fetch(issuers.iter().next().unwrap(), None).await.unwrap();
            assert_eq!(hits.load(Ordering::SeqCst), round);
        }
    }
}

#[tokio::test]
async fn the_bearer_token_is_never_sent_after_a_redirect() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let record = |name: &'static str, target: &str| {
        let (seen, target) = (seen.clone(), target.to_owned());
        get(move |headers: RequestHeaders| async move {
            seen.lock().unwrap().push((name, headers.contains_key("authorization")));
            if target.is_empty() { json_reply(KEYS) } else { reply(307, "location", &target) }
        })
    };
    let other = serve(Router::new().route("/keys", record("other", ""))).await;
    let own = Router::new()
        .route("/same", record("same", "/keys"))
        .route("/away", record("away", &format!("{other}/keys")))
        .route("/keys", record("keys", ""));
    let own = serve(own).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "secret").unwrap();
    for path in ["keys", "same", "away"] {
        let mut settings = keys_at(&format!("{own}/{path}"));
        settings.url = Some(IssuerUrl::parse(&other).unwrap());
        settings.bearer_token_file = Some(file.clone());
        fetch(settings).await.unwrap();
    }
    let expected = [("keys", true), ("same", true), ("keys", false), ("away", true), ("other", false)];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn the_bearer_token_goes_from_metadata_to_keys_unless_the_metadata_was_redirected() {
    for (metadata_moved, keys_get_it) in [(false, true), (true, false)] {
        let base = Arc::new(std::sync::OnceLock::<String>::new());
        let (named, seen) = (base.clone(), Arc::new(std::sync::Mutex::new(None)));
        let metadata = move || async move {
            let base = named.get().unwrap();
            json_reply(json!({"issuer": base, "jwks_uri": format!("{base}/keys")}).to_string())
        };
        let recording = seen.clone();
        let keys = move |headers: RequestHeaders| async move {
            *recording.lock().unwrap() = Some(headers.contains_key("authorization"));
            json_reply(KEYS)
        };
        let well_known = if metadata_moved { to("/moved") } else { get(metadata.clone()) };
        let router = Router::new()
            .route("/.well-known/openid-configuration", well_known)
            .route("/moved", get(metadata))
            .route("/keys", get(keys));
        let at = serve(router).await;
        base.set(at.clone()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "secret").unwrap();
        let mut settings = lab(KeySource::Discovery(None));
        (settings.url, settings.bearer_token_file) = (Some(IssuerUrl::parse(&at).unwrap()), Some(file));
        fetch(settings).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), Some(keys_get_it), "metadata moved: {metadata_moved}");
    }
}
