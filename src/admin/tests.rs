//! What the admin API answers, and whom.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use axum::body::Body as HttpBody;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::serve::bind_socket;
use super::*;
use crate::config::{AdminListener, AdminSettings};
use crate::store::sqlite::Sqlite;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

async fn api(data: &Path) -> Router {
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(data).unwrap());
    let hasher = Arc::new(SecretHasher::open(&*store).await.unwrap());
    let tokens = Arc::new(|_: &AccessTokenRequest| Err(TokenFault("no key".to_owned())));
    router(AdminState::new(store, Clock::manual(UnixTime(1_800_000_000)), hasher, tokens))
}

async fn answer(router: &Router, method: &str, path: &str, body: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).body(HttpBody::from(body.to_owned())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_malformed_request_is_400_and_says_what_is_wrong() {
    let data = tempfile::tempdir().unwrap();
    let api = api(data.path()).await;
    assert_eq!(answer(&api, "POST", "/admin/v1/users", r#"{"name":"alice"}"#).await.0, 201);
    let credential = |change: &str| format!(r#"{{"name":"ci","user":"alice","type":"oauth2"{change}}}"#);
    let bad = [
        ("/admin/v1/users", r#"{"name":"bob","admin":true}"#.to_owned(), "unknown field `admin`"),
        ("/admin/v1/users", r#"{"name":"bob","name":"eve"}"#.to_owned(), "a member twice"),
        ("/admin/v1/users", r#"{"name":{"a":1,"a":2}}"#.to_owned(), "a member twice"),
        ("/admin/v1/users", "{".to_owned(), "the body"),
        ("/admin/v1/users", String::new(), "missing field `name`"),
        ("/admin/v1/users", "[]".to_owned(), "the body"),
        ("/admin/v1/credentials", credential(r#","expires_in":"0s""#), "expires_in must be more than 0s"),
        ("/admin/v1/credentials", credential(r#","expires_in":"forever""#), "expires_in must be a whole number"),
        ("/admin/v1/credentials", credential(r#","scopes":["a b"]"#), "scope must be"),
        ("/admin/v1/credentials", credential("").replace("oauth2", "password"), "unknown variant"),
        ("/admin/v1/credentials/ci/rotate", r#"{"overlap":"31d"}"#.to_owned(), "at most 30d"),
    ];
    for (path, body, expected) in bad {
        let (status, problem) = answer(&api, "POST", path, &body).await;
        assert_eq!((status, &problem["error"]), (400, &json!("invalid_request")), "{body}");
        assert!(problem["message"].as_str().unwrap().contains(expected), "{problem}");
    }
    assert_eq!(answer(&api, "POST", "/admin/v1/users", &"x".repeat(65 * 1024)).await.0, 400);
    assert_eq!(answer(&api, "GET", "/admin/v1/audit?sincee=1h", "").await.0, 400);
    assert_eq!(answer(&api, "GET", "/admin/v1/audit?limit=10001", "").await.0, 400);
    assert_eq!(answer(&api, "POST", "/admin/v1/credentials", &credential("")).await.0, 201);
}

#[tokio::test]
async fn missing_is_404_and_taken_is_409() {
    let data = tempfile::tempdir().unwrap();
    let api = api(data.path()).await;
    let new = r#"{"name":"ci","user":"a/b:c","type":"oauth2"}"#;
    assert_eq!(answer(&api, "POST", "/admin/v1/credentials", new).await.0, 404);
    assert_eq!(answer(&api, "GET", "/admin/v1/users/a%2Fb%3Ac", "").await.0, 404);
    assert_eq!(answer(&api, "POST", "/admin/v1/users", r#"{"name":"a/b:c"}"#).await.0, 201);
    assert_eq!(answer(&api, "POST", "/admin/v1/users", r#"{"name":"a/b:c"}"#).await.0, 409);
    assert_eq!(answer(&api, "GET", "/admin/v1/users/a%2Fb%3Ac", "").await.1["name"], "a/b:c");
    assert_eq!(answer(&api, "POST", "/admin/v1/credentials", new).await.0, 201);
    assert_eq!(answer(&api, "POST", "/admin/v1/credentials", new).await.0, 409);
    assert_eq!(answer(&api, "DELETE", "/admin/v1/users/a%2Fb%3Ac", "").await, (204, Value::Null));
    assert_eq!(answer(&api, "GET", "/admin/v1/credentials/ci", "").await.0, 404);
}

#[tokio::test]
async fn a_token_that_cannot_be_signed_leaves_no_credential() {
    let data = tempfile::tempdir().unwrap();
    let api = api(data.path()).await;
    answer(&api, "POST", "/admin/v1/users", r#"{"name":"alice"}"#).await;
    let new = r#"{"name":"bot","user":"alice","type":"access-token"}"#;
    assert_eq!(answer(&api, "POST", "/admin/v1/credentials", new).await.0, 503);
    assert_eq!(answer(&api, "GET", "/admin/v1/credentials", "").await.1, json!({ "credentials": [] }));
}

#[tokio::test]
async fn the_guarded_api_opens_for_its_own_tokens_only() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("tokens");
    std::fs::write(&file, format!("# ours\n\n{TOKEN}\nsecond-{TOKEN}\n")).unwrap();
    let guarded = guarded(api(data.path()).await, AdminTokens::read(&file).unwrap());
    let cases: [(&[&str], StatusCode, Option<&str>); 9] = [
        (&["Bearer 0123456789abcdef0123456789abcdef"], StatusCode::OK, None),
        (&["bearer second-0123456789abcdef0123456789abcdef"], StatusCode::OK, None),
        (&[], StatusCode::UNAUTHORIZED, Some("Bearer realm=")),
        (&["Bearer 0123456789abcdef0123456789abcdeF"], StatusCode::UNAUTHORIZED, Some("error=\"invalid_token\"")),
        (&["Bearer "], StatusCode::UNAUTHORIZED, Some("error=\"invalid_token\"")),
        (&["Bearer # ours"], StatusCode::UNAUTHORIZED, Some("error=\"invalid_token\"")),
        (&["Basic 0123456789abcdef0123456789abcdef"], StatusCode::UNAUTHORIZED, Some("Bearer realm=")),
        (&["Bearer eyJhbGciOiJFUzI1NiJ9.e30.AAAA"], StatusCode::FORBIDDEN, Some("error=\"insufficient_scope\"")),
        (&["Bearer 0123456789abcdef0123456789abcdef", "Bearer x"], StatusCode::UNAUTHORIZED, Some("Bearer realm=")),
    ];
    for (headers, status, challenge) in cases {
        let mut request = Request::builder().uri("/admin/v1/users");
        for header in headers {
            request = request.header("authorization", *header);
        }
        let response = guarded.clone().oneshot(request.body(HttpBody::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{headers:?}");
        let shown = response.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
        assert_eq!(shown.is_some(), challenge.is_some(), "{headers:?}");
        assert!(shown.unwrap_or_default().contains(challenge.unwrap_or_default()), "{headers:?}: {shown:?}");
    }
}

#[test]
fn a_token_file_without_a_long_token_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    assert!(AdminTokens::read(&file).unwrap_err().contains("cannot be read"));
    for (text, expected) in [("# none\n", "has no token"), ("short\n", "less than 32")] {
        std::fs::write(&file, text).unwrap();
        assert!(AdminTokens::read(&file).unwrap_err().contains(expected));
    }
}

#[tokio::test]
async fn the_socket_is_its_owners_replaces_a_dead_one_and_goes_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/admin.sock");
    let mode = |path: &Path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    let socket = bind_socket(&path).await.unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    let taken = bind_socket(&path).await.unwrap_err();
    assert!(taken.to_string().contains("another server answers"), "{taken}");
    drop(socket);
    assert!(!path.exists());

    drop(std::os::unix::net::UnixListener::bind(&path).unwrap()); // as after `kill -9`
    assert!(path.exists());
    drop(bind_socket(&path).await.unwrap());
    std::fs::write(&path, "a file").unwrap();
    assert!(bind_socket(&path).await.unwrap_err().to_string().contains("no socket"));
}

#[tokio::test]
async fn both_listeners_serve_until_they_are_stopped() {
    let data = tempfile::tempdir().unwrap();
    let token_file = data.path().join("tokens");
    std::fs::write(&token_file, TOKEN).unwrap();
    let listener = Some(AdminListener { listen: "127.0.0.1:0".parse().unwrap(), token_file });
    let settings = AdminSettings { socket: data.path().join("admin.sock"), listener };
    let probes = axum::Router::new().route("/healthz", axum::routing::get(async || "well"));
    let listening = Listening::start(&settings, api(&data.path().join("data")).await, probes).await.unwrap();
    let address = listening.address.unwrap();

    let status = async |path: &str, authorization: &str| {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder().uri(path).header("host", "localhost");
        let request = request.header("authorization", authorization).body(HttpBody::empty()).unwrap();
        sender.send_request(request).await.unwrap().status().as_u16()
    };
    assert_eq!(status("/admin/v1/users", &format!("Bearer {TOKEN}")).await, 200);
    assert_eq!(status("/admin/v1/users", "Bearer wrong").await, 401);
    assert_eq!(status("/healthz", "").await, 200, "a probe has no token to show");
    assert!(tokio::net::UnixStream::connect(&settings.socket).await.is_ok());
    listening.stop().await;
    assert!(!settings.socket.exists());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
