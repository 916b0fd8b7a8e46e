//! Who does not pass, and what it hears.

use super::*;

const CHALLENGE: &str = "Bearer realm=\"countersign\"";

#[tokio::test]
async fn without_a_token_the_challenge_has_no_error_code() {
    let stage = Stage::plain().await;
    for lines in ["", "Authorization: Basic Og==\r\n"] {
        let answer = stage.get(lines).await;
        assert_eq!(answer.refusal(), (401, "unauthorized".into(), vec![CHALLENGE]), "{lines}");
        assert_eq!(answer.header("cache-control"), ["no-store"]);
        assert_eq!((answer.header("x-trace-id"), answer.json()["trace_id"].clone()), (vec![TRACE], TRACE.into()));
    }
    let query =
        format!("GET /?access_token={} HTTP/1.1\r\nHost: my-api.localhost\r\n", stage.fixture.token(&json!({})));
    assert_eq!(stage.send(&query).await.refusal(), (401, "unauthorized".into(), vec![CHALLENGE]));
}

#[tokio::test]
async fn a_refused_token_is_invalid_token_whatever_the_cause() {
    let mut stage = Stage::plain().await;
    assert_eq!(stage.get(&stage.bearer()).await.status, 201);
    stage.seen.try_recv().unwrap();
    let fixture = &stage.fixture;
    let header = json!({ "alg": "ES256", "kid": "key-1", "typ": "JWT" });
    let tokens = [
        "garbage".to_owned(),
        fixture.token(&json!({ "aud": "https://other.example" })),
        fixture.token(&json!({ "exp": NOW.0 })),
        fixture.token(&json!({ "credential": "unknown" })),
        fixture.sign(&header, &json!({ "iss": "https://token.actions.githubusercontent.com" })),
    ];
    let challenge = format!("{CHALLENGE}, error=\"invalid_token\"");
    let mut bodies = Vec::new();
    for token in tokens {
        let answer = stage.get(&format!("Authorization: Bearer {token}\r\n")).await;
        assert_eq!(answer.refusal(), (401, "invalid_token".into(), vec![challenge.as_str()]), "{token}");
        bodies.push(answer.body);
    }
    stage.fixture.disable_user().await;
    bodies.push(stage.get(&stage.bearer()).await.body);
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "the cause does not show");
    assert!(stage.seen.try_recv().is_err(), "nothing reached the service");
}

#[tokio::test]
async fn a_service_accepts_its_own_audiences_and_the_brokers() {
    let stage = Stage::plain().await;
    for (audience, status) in
        [(ISSUER, 201), ("https://my-api.localhost", 201), ("https://127.0.0.1", 201), ("https://my-api", 401)]
    {
        let token = stage.fixture.token(&json!({ "aud": audience }));
        assert_eq!(stage.get(&format!("X-Countersign-Auth: {token}\r\n")).await.status, status, "{audience}");
    }
}

#[tokio::test]
async fn a_caller_that_no_entry_admits_learns_the_scopes_it_lacks() {
    let allow = "{ scopes: ['service:billing/read', 'service:a'] }, { users: [other] }, { scopes: ['service:b'] }";
    let stage = Stage::new(allow, "").await;
    let answer = stage.get(&stage.bearer()).await;
    let challenge =
        format!("{CHALLENGE}, error=\"insufficient_scope\", scope=\"service:a service:b service:billing/read\"");
    assert_eq!(answer.refusal(), (403, "insufficient_scope".into(), vec![challenge.as_str()]));
    for (scopes, status) in
        [("service:a", 403), ("service:a service:billing/*", 201), ("service:b", 201), ("service:*", 201)]
    {
        let token = stage.fixture.token(&json!({ "scope": scopes }));
        assert_eq!(stage.get(&format!("X-Countersign-Auth: {token}\r\n")).await.status, status, "{scopes}");
    }
}

#[tokio::test]
async fn a_condition_reads_the_request_and_the_caller() {
    let allow = r#"{ users: [deployer], condition: 'request.method == "GET" && request.path.startsWith("/public/") && request.host == "my-api.localhost" && "service:my-api" in caller.scopes && caller.user == "deployer"' }"#;
    let stage = Stage::new(allow, "").await;
    for (line, status) in [
        ("GET /public/a%20b?x=/..", 201),
        ("POST /public/a", 403),
        ("GET /private", 403),
        ("GET /public/../private", 400),
        ("GET /public/%2e%2E/private", 400),
        ("GET /public/..%2fprivate", 400),
        ("GET /public/..;x/private", 400),
        ("GET //public/", 400),
        ("GET /%70rivate", 400),
        ("GET /public/%", 400),
    ] {
        let head = format!("{line} HTTP/1.1\r\nHost: my-api.localhost\r\n{}", stage.bearer());
        assert_eq!(stage.send(&head).await.status, status, "{line}");
    }
}

#[tokio::test]
async fn two_tokens_or_one_header_twice_is_a_malformed_request() {
    let stage = Stage::plain().await;
    let token = stage.fixture.token(&json!({}));
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(stage.get(&format!("{bearer}X-Countersign-Auth: {token}\r\n")).await.status, 201, "the same twice");
    for lines in [
        format!("{bearer}X-Countersign-Auth: other\r\n"),
        format!("{bearer}{bearer}"),
        format!("X-Countersign-Auth: {token}\r\nx-countersign-auth: {token}\r\n"),
        "Authorization: Bearer\r\n".to_owned(),
    ] {
        let answer = stage.get(&lines).await;
        let challenge = format!("{CHALLENGE}, error=\"invalid_request\"");
        assert_eq!(answer.refusal(), (400, "invalid_request".into(), vec![challenge.as_str()]), "{lines}");
    }
}

#[tokio::test]
async fn a_request_must_name_one_host_and_a_path() {
    let mut stage = Stage::plain().await;
    let bearer = stage.bearer();
    for head in [
        format!("GET / HTTP/1.1\r\n{bearer}"),
        format!("GET / HTTP/1.1\r\nHost: my-api.localhost\r\nHost: my-api.localhost\r\n{bearer}"),
        format!("GET http://other.localhost/ HTTP/1.1\r\nHost: my-api.localhost\r\n{bearer}"),
        format!("GET / HTTP/1.1\r\nHost: other.localhost\r\n{bearer}"),
        format!("OPTIONS * HTTP/1.1\r\nHost: my-api.localhost\r\n{bearer}"),
        format!("CONNECT my-api.localhost:80 HTTP/1.1\r\nHost: my-api.localhost:80\r\n{bearer}"),
    ] {
        assert_eq!(stage.send(&head).await.status, 400, "{head}");
    }
    assert!(stage.seen.try_recv().is_err());
}

#[tokio::test]
async fn the_gateway_takes_every_request_that_could_be_for_a_service() {
    let fixture = Fixture::new().await;
    let gateway = Gateway::new(service("http://127.0.0.1:9", "{ users: [a] }"), fixture.verifier, Clock::manual(NOW));
    for (hosts, ours) in [
        (&["my-api.localhost"][..], true),
        (&["MY-API.localhost:8443"], true),
        (&["broker.example.com", "my-api.localhost"], true),
        (&["broker.example.com"], false),
        (&["x.my-api.localhost"], false),
        (&[], false),
    ] {
        let builder = hosts.iter().fold(http::Request::builder().uri("/"), |builder, host| builder.header(HOST, *host));
        assert_eq!(gateway.matches(&builder.body(Body::empty()).unwrap()), ours, "{hosts:?}");
    }
    gateway.replace(Services::default());
    let request = http::Request::builder().header(HOST, "my-api.localhost").body(Body::empty()).unwrap();
    assert!(!gateway.matches(&request));
}

#[tokio::test]
async fn an_upgrade_is_not_implemented() {
    let stage = Stage::plain().await;
    let answer = stage.get(&format!("{}Upgrade: websocket\r\n", stage.bearer())).await;
    assert_eq!((answer.status, answer.json()["error"].clone()), (501, "not_implemented".into()));
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_bad_gateway_and_one_that_is_silent_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let fixture = Fixture::new().await;
    let short = Duration::from_millis(50);
    let allow = "{ scopes: ['service:my-api'] }";
    let gateway = gateway_to(service(&format!("http://{silent}"), allow), &fixture, short).await;
    let head = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Countersign-Auth: {}\r\n", fixture.token(&json!({})));
    let answer = send(gateway, &head).await;
    assert_eq!((answer.status, answer.json()["error"].clone()), (504, "gateway_timeout".into()));
    drop(listener);
    let gateway = gateway_to(service(&format!("http://{silent}"), allow), &fixture, PATIENCE).await;
    let answer = send(gateway, &head).await;
    assert_eq!((answer.status, answer.json()["error"].clone()), (502, "bad_gateway".into()));
    assert_eq!(answer.header("x-trace-id"), [TRACE]);
}

#[test]
fn faulty_service_files_say_where_and_what() {
    let good = "service: a\nhosts: [a.example]\nupstream: http://127.0.0.1:9000/base\nallow: [{ users: [u] }]\n";
    assert!(loaded(good).1.is_empty());
    for (from, to, expected) in [
        ("service: a\n", "", "missing-field"),
        ("a.example", "'*.example'", "a.yaml:2:9: error[value]"),
        ("[a.example]", "[a.example, A.example:80]", "duplicate-host"),
        ("[a.example]", "[]", "error[hosts]"),
        ("http://127.0.0.1:9000/base", "https://127.0.0.1:9000", "does not speak TLS"),
        ("http://127.0.0.1:9000/base", "http://127.0.0.1", "needs a port"),
        ("http://127.0.0.1:9000/base", "127.0.0.1:9000", "error[value]"),
        ("http://127.0.0.1:9000/base", "http://u@h:1", "error[value]"),
        ("http://127.0.0.1:9000/base", "http://h:1/?q", "error[value]"),
        ("[{ users: [u] }]", "[]", "error[empty-allow]"),
        ("[{ users: [u] }]", "[{}]", "error[empty-allow]"),
        ("[{ users: [u] }]", "[{ users: [] }]", "error[empty-allow]"),
        ("[{ users: [u] }]", "{ users: [u] }", "error[type]"),
        ("[{ users: [u] }]", "[{ user: [u] }]", "did you mean `users`?"),
        ("[{ users: [u] }]", "[{ scopes: ['a b'] }]", "error[value]"),
        ("[{ users: [u] }]", "[{ condition: claims.a }]", "error[value]"),
        ("[{ users: [u] }]", "[{ condition: request.method == 1 }]", "error[condition-type]"),
        ("[{ users: [u] }]", "[{ condition: request.pth == \"/\" }]", "error[condition-name]"),
        ("allow:", "colour: blue\nallow:", "unknown-field"),
        (
            "service: a\n",
            "service: a\nhosts: [b]\nupstream: http://b:1\nallow: [{ users: [u] }]\n---\nservice: a\n",
            "duplicate-service",
        ),
    ] {
        let faults = loaded(&good.replace(from, to)).1.to_string();
        assert!(faults.contains(expected), "{to}: {faults}");
    }
    assert!(loaded(&good.replace("hosts", "audiences: [x]\nhosts")).1.is_empty());
}

#[test]
fn a_service_may_not_claim_the_brokers_own_host() {
    let services = service("http://127.0.0.1:9", "{ users: [a] }");
    for (issuer, clash) in [("https://MY-API.localhost:8443/path", true), ("https://localhost", false)] {
        let mut faults = Diagnostics::new();
        services.keep_clear_of(&crate::vocab::IssuerUrl::parse(issuer).unwrap(), &mut faults);
        assert_eq!(faults.has_errors(), clash, "{issuer}");
    }
}

#[test]
fn the_shipped_services_load_and_a_missing_directory_is_empty() {
    let mut faults = Diagnostics::new();
    let shipped = Services::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("services"), &mut faults);
    let missing = Services::load(Path::new("/nonexistent/services"), &mut faults);
    assert!(faults.is_empty(), "{faults}");
    assert_eq!((shipped.len(), missing.is_empty()), (2, true));
}
