mod hostile;
mod redirects;
mod tls;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap as RequestHeaders, Response as Reply};
use axum::routing::get;
use reqwest::header::HeaderValue;
use serde_json::json;

use super::*;
use crate::config::{IssuerSettings, KeySource};
use crate::issuer::tests::{issuers, settings};
use crate::kind::IssuerKind;
use crate::vocab::IssuerUrl;

const KEYS: &str = r#"{"keys":[]}"#;
/// Serves a router on loopback; gives its base URL.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn json_reply(body: impl Into<Body>) -> Reply<Body> {
    Reply::builder().header("content-type", "application/json").body(body.into()).unwrap()
}

fn reply(status: u16, name: &str, value: &str) -> Reply<Body> {
    Reply::builder().status(status).header(name, value).body(Body::from(KEYS)).unwrap()
}

fn lab(keys: KeySource) -> IssuerSettings {
    IssuerSettings { danger_allow_http: true, keys, ..settings("lab", IssuerKind::OIDC) }
}

fn keys_at(url: &str) -> IssuerSettings {
    lab(KeySource::Url(Url::parse(url).unwrap()))
}

async fn fetch(settings: IssuerSettings) -> Result<Fetched, FetchFault> {
    fetch_within(Limits::DEFAULT, settings).await
}

async fn fetch_within(limits: Limits, settings: IssuerSettings) -> Result<Fetched, FetchFault> {
    let issuers = issuers(&[settings]);
    HttpFetch { limits, proxy: None }.fetch(issuers.iter().next().unwrap(), None).await
}

/// The answer to `GET /keys` of a server that answers so.
async fn answer(reply: impl Fn() -> Reply<Body> + Clone + Send + Sync + 'static) -> Result<Fetched, FetchFault> {
    let base = serve(Router::new().route("/keys", get(move || std::future::ready(reply())))).await;
    fetch(keys_at(&format!("{base}/keys"))).await
}

#[tokio::test]
async fn a_key_set_is_read_with_its_age() {
    let aged = || {
        let mut reply = json_reply(KEYS);
        reply.headers_mut().insert("cache-control", HeaderValue::from_static("public, max-age=600"));
        reply
    };
    let fetched = answer(aged).await.unwrap();
    assert_eq!((fetched.body, fetched.max_age), (KEYS.into(), Some(Duration::from_secs(600))));
}

#[tokio::test]
async fn only_status_200_with_a_json_type_is_an_answer() {
    for status in [201, 203, 204, 206, 300, 304, 400, 401, 404, 500, 503] {
        let got = answer(move || reply(status, "content-type", "application/json")).await;
        assert_eq!(got, Err(FetchFault::Status(status)));
    }
    for good in ["application/jwk-set+json", "Application/JSON; charset=utf-8", "application/x.y+json"] {
        assert!(answer(move || reply(200, "content-type", good)).await.is_ok(), "{good}");
    }
    for bad in ["text/html", "image/png", "application/jsonp", "text/json; application/json", "+json", ""] {
        let got = answer(move || reply(200, "content-type", bad)).await;
        assert_eq!(got, Err(FetchFault::ContentType), "{bad}");
    }
}

#[tokio::test]
async fn an_answer_is_counted_as_it_arrives() {
    let exact = answer(|| json_reply(vec![b' '; key_set::MAX_BYTES])).await.unwrap();
    assert_eq!(exact.body.len(), key_set::MAX_BYTES);
    let endless = || {
        let chunk = bytes::Bytes::from_static(&[b' '; 8192]);
        json_reply(Body::from_stream(futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()))))
    };
    assert_eq!(answer(endless).await, Err(FetchFault::TooLarge));
}

#[tokio::test]
async fn a_drip_ends_at_the_total_deadline() {
    let never_ends = || {
        let start = futures_util::stream::iter([Ok::<_, std::io::Error>("{")]);
        json_reply(Body::from_stream(futures_util::StreamExt::chain(start, futures_util::stream::pending())))
    };
    let base = serve(Router::new().route("/keys", get(move || std::future::ready(never_ends())))).await;
    let limits = Limits { total: Duration::from_millis(300), ..Limits::DEFAULT };
    assert_eq!(fetch_within(limits, keys_at(&format!("{base}/keys"))).await, Err(FetchFault::Timeout));
}

/// An issuer that answers discovery with this metadata, and what fetching from it gives.
async fn discovered(
    metadata: impl Fn(&str) -> Value,
    change: impl Fn(&mut IssuerSettings),
) -> Result<Fetched, FetchFault> {
    let text = Arc::new(std::sync::OnceLock::<String>::new());
    let served = text.clone();
    let router = Router::new().route("/keys", get(|| async { json_reply(KEYS) })).route(
        "/.well-known/openid-configuration",
        get(move || async move { json_reply(served.get().unwrap().clone()) }),
    );
    let base = serve(router).await;
    text.set(metadata(&base).to_string()).unwrap();
    let mut settings = lab(KeySource::Discovery(None));
    settings.url = Some(IssuerUrl::parse(&base).unwrap());
    change(&mut settings);
    fetch(settings).await
}

#[tokio::test]
async fn discovery_must_name_the_issuer_byte_for_byte() {
    let good = |base: &str| json!({"issuer": base, "jwks_uri": format!("{base}/keys")});
    assert!(discovered(good, |_| ()).await.is_ok());
    let bad: [fn(&str) -> Value; 4] = [
        |base| json!({"issuer": format!("{base}/"), "jwks_uri": format!("{base}/keys")}),
        |base| json!({"issuer": base.to_uppercase(), "jwks_uri": format!("{base}/keys")}),
        |base| json!({"issuer": [base], "jwks_uri": format!("{base}/keys")}),
        |base| json!({"jwks_uri": format!("{base}/keys")}),
    ];
    for metadata in bad {
        assert!(matches!(discovered(metadata, |_| ()).await, Err(FetchFault::Metadata(_))));
    }
    assert!(matches!(discovered(|base| json!({"issuer": base}), |_| ()).await, Err(FetchFault::Metadata(_))));
}

#[tokio::test]
async fn metadata_cannot_steer_a_fetch_inside() {
    for target in [
        "http://10.0.0.1/keys",
        "file:///etc/passwd",
        "ftp://idp.example/",
        "data:application/json,{}",
        "gopher://idp.example/",
        "https://u:p@idp.example/",
    ] {
        let got = discovered(|base| json!({"issuer": base, "jwks_uri": target}), |_| ()).await;
        assert!(matches!(got, Err(FetchFault::Url(_))), "{target}: {got:?}");
    }
    for target in ["https://10.0.0.1/keys", "https://169.254.169.254/", "https://[::ffff:127.0.0.1]/"] {
        let got = discovered(
            |base| json!({"issuer": base, "jwks_uri": target}),
            |settings| settings.allow_private_network = true,
        )
        .await;
        assert_eq!(got, Err(FetchFault::AddressRefused), "{target}");
    }
}

#[tokio::test]
async fn plain_http_and_private_addresses_need_their_settings() {
    let base = serve(Router::new().route("/keys", get(|| async { json_reply(KEYS) }))).await;
    let safe = IssuerSettings { danger_allow_http: false, ..keys_at(&format!("{base}/keys")) };
    assert!(matches!(fetch(safe).await, Err(FetchFault::Url(_))));
    let over_tls = base.replace("http:", "https:");
    let private = IssuerSettings { danger_allow_http: false, ..keys_at(&over_tls) };
    assert_eq!(fetch(private.clone()).await, Err(FetchFault::AddressRefused));
    let named = IssuerSettings { danger_allow_http: false, ..keys_at(&over_tls.replace("127.0.0.1", "localhost")) };
    assert_eq!(fetch(named).await, Err(FetchFault::AddressRefused));
    let allowed = IssuerSettings { allow_private_network: true, ..private };
    assert!(matches!(fetch(allowed).await, Err(FetchFault::Tls(_))));
}

#[tokio::test]
async fn the_bearer_token_is_read_anew_and_goes_to_the_configured_origin_only() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let record = |seen: Arc<std::sync::Mutex<Vec<String>>>| {
        get(move |headers: RequestHeaders| async move {
            let shown = headers.get("authorization").map_or("none", |value| value.to_str().unwrap()).to_owned();
            seen.lock().unwrap().push(shown);
            json_reply(KEYS)
        })
    };
    let other = serve(Router::new().route("/keys", record(seen.clone()))).await;
    let own = serve(Router::new().route("/keys", record(seen.clone()))).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let with_token = |url: &str| IssuerSettings { bearer_token_file: Some(file.clone()), ..keys_at(url) };
    for token in ["first\n", "second"] {
        std::fs::write(&file, token).unwrap();
        fetch(with_token(&format!("{own}/keys"))).await.unwrap();
    }
    let metadata = move |base: &str| json!({"issuer": base, "jwks_uri": format!("{other}/keys")});
    discovered(metadata, |settings| settings.bearer_token_file = Some(file.clone())).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), ["Bearer first", "Bearer second", "none"]);
    let missing = IssuerSettings { bearer_token_file: Some(directory.path().join("no")), ..keys_at(&own) };
    assert!(matches!(fetch(missing).await, Err(FetchFault::LocalFile { .. })));
}
