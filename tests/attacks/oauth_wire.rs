//! oauth-http, the wire: methods, paths, framing, time, and how often one may guess.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::row::{NO_RECORD, Row};
use crate::support::broker::TestBroker;
use crate::support::wire::{Reply, Request, raw};

/// A valid request as bytes, with these header lines in place of its `Content-Length`, and this body.
fn framed(framing: &str, body: &str) -> Vec<u8> {
    let head = "POST /oauth2/token HTTP/1.1\r\nHost: broker.example.com\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n";
    format!("{head}{framing}\r\n\r\n{body}").into_bytes()
}

/// A fresh valid body, and the same in chunks.
fn bodies(row: &Row) -> (String, String) {
    let bytes = row.broker.token_request(&row.partner().assertion().compact(), &[]).bytes();
    let text = String::from_utf8(bytes).expect("text");
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).expect("a body");
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    (body, chunked)
}

/// What is wrong with the answers to these bytes and a second request behind them: there must be one answer, a 400.
async fn smuggled(row: &Row, bytes: &[u8]) -> Option<String> {
    let both = [bytes, b"GET /healthz HTTP/1.1\r\nHost: broker.example.com\r\n\r\n"].concat();
    let answer = raw(row.broker.address, &both).await;
    let answers = String::from_utf8_lossy(&answer).matches("HTTP/1.1 ").count();
    let status = Reply::parse(&answer).status;
    ((answers, status) != (1, 400)).then(|| format!("{answers} answers, the first {status}"))
}

/// Framings that two servers would read differently, of this body and its chunked form: name, headers, in chunks.
fn framings(body: &str, chunked: &str) -> [(&'static str, String, bool); 12] {
    let (length, chunked_length, half) = (body.len(), chunked.len(), body.len() / 2);
    [
        ("CL and TE", format!("Content-Length: {chunked_length}\r\nTransfer-Encoding: chunked"), true),
        ("TE and CL", format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"), true),
        ("TE twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked".to_owned(), true),
        ("TE chunked, chunked", "Transfer-Encoding: chunked, chunked".to_owned(), true),
        ("TE identity", "Transfer-Encoding: identity".to_owned(), true),
        ("obsolete folding", format!("X-Folded: a\r\n b\r\nContent-Length: {length}"), false),
        ("two lengths", format!("Content-Length: {length}\r\nContent-Length: {half}"), false),
        ("a signed length", format!("Content-Length: +{length}"), false),
        ("a negative length", format!("Content-Length: -{length}"), false),
        ("a list of lengths", format!("Content-Length: {length}, {half}"), false),
        ("a space before the colon", format!("Content-Length : {length}"), false),
        ("a bare carriage return", format!("Content-Length: {length}\rX: y"), false),
    ]
}

/// Tries wrong secrets until one is answered 429, and gives that answer; fails when none is within `most`.
async fn guess_until_slowed(broker: &TestBroker, most: usize, client_id: impl Fn(usize) -> String) -> Reply {
    for count in 0..most {
        let reply = broker.secret(&client_id(count), "cssecret_wrong").await;
        if reply.status != 401 {
            return reply;
        }
    }
    panic!("{most} wrong secrets were not slowed");
}

rows! {
    "OA-38" only_post_is_answered_at_the_token_endpoint(row) {
        let valid = || row.broker.token_request(&row.partner().assertion().compact(), &[]);
        row.accepts("POST", valid()).await;
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"] {
            let reply = row.broker.send(&valid().to(method, "/oauth2/token")).await;
            assert_eq!(reply.status, 405, "{method}");
            assert_eq!(reply.header("allow"), Some("POST"), "{method}");
            assert_eq!(reply.header("access-control-allow-origin"), None, "{method}");
        }
        row.refuses("PUT", valid().to("PUT", "/oauth2/token"), NO_RECORD).await;
        for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
            row.accepts("an override is ignored", valid().header(name, "PUT")).await;
            let posted = valid().to("PUT", "/oauth2/token").header(name, "POST");
            row.refuses("an override is ignored", posted, NO_RECORD).await;
        }
    }

    "OA-39" ambiguous_framing_is_refused_and_the_connection_closed(row) {
        row.accepts("one framing", row.partner().assertion()).await;
        let (body, _) = bodies(&row);
        let by_length = framed(&format!("Content-Length: {}\r\nConnection: close", body.len()), &body);
        assert_eq!(Reply::parse(&raw(row.broker.address, &by_length).await).status, 200, "by length");
        let (_, other) = bodies(&row);
        let in_chunks = framed("Transfer-Encoding: chunked\r\nConnection: close", &other);
        assert_eq!(Reply::parse(&raw(row.broker.address, &in_chunks).await).status, 200, "in chunks");
        let mut wrong = Vec::new();
        for index in 0..12 {
            let (body, chunked) = bodies(&row);
            let (what, framing, in_chunks) = framings(&body, &chunked)[index].clone();
            let bytes = framed(&framing, if in_chunks { &chunked } else { &body });
            wrong.extend(smuggled(&row, &bytes).await.map(|found| format!("{what}: {found}")));
        }
        let (body, _) = bodies(&row);
        let by_length = framed(&format!("Content-Length: {}", body.len()), &body);
        let bare = String::from_utf8(by_length).expect("text").replace("\r\n", "\n");
        wrong.extend(smuggled(&row, bare.as_bytes()).await.map(|found| format!("bare line feeds: {found}")));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        row.was_checked();
    }

    "OA-41" a_body_that_trickles_is_given_up(row) {
        row.accepts("at once", row.partner().assertion()).await;
        let began = Instant::now();
        let unfinished = framed("Content-Length: 1000", "grant_type=");
        let reply = Reply::parse(&raw(row.broker.address, &unfinished).await);
        assert!(matches!(reply.status, 408 | 0), "{}", reply.text());
        assert!(began.elapsed() < Duration::from_secs(30), "the deadline is far too long");
        row.was_checked();
    }

    "OA-45" only_the_one_spelling_of_the_path_is_the_token_endpoint(row) {
        let valid = || row.broker.token_request(&row.partner().assertion().compact(), &[]);
        row.accepts("the one", valid()).await;
        for path in [
            "//oauth2/token",
            "/oauth2//token",
            "/oauth2/token/",
            "/OAUTH2/TOKEN",
            "/oauth2/token;x",
            "/oauth2/%74oken",
            "/.well-known/../oauth2/token",
            "/oauth2/./token",
            "/oauth2/token%00",
            "/token",
        ] {
            row.refuses(path, valid().to("POST", path), NO_RECORD).await;
        }
    }

    "OA-47" guessing_secrets_is_slowed(row) {
        let client = row.broker.credential("victim", "partner-build").await;
        let own = || Request::token(&[
            ("grant_type", "client_credentials"),
            ("client_id", &client.client_id),
            ("client_secret", &client.secret),
        ]);
        row.accepts("the right secret", own()).await;
        let slowed = guess_until_slowed(&row.broker, 200, |_| client.client_id.clone()).await;
        assert_eq!(slowed.status, 429, "{}", slowed.text());
        let seconds: u64 = slowed.header("retry-after").and_then(|text| text.parse().ok()).expect("Retry-After");
        row.refuses("the same client again", own(), "client_auth.throttled").await;
        row.broker.advance(Duration::from_secs(seconds));
        row.accepts("after Retry-After", own()).await;
        let slowed = guess_until_slowed(&row.broker, 400, |count| format!("cs-guess-{count}")).await;
        assert_eq!(slowed.status, 429, "one address, many clients: {}", slowed.text());
        assert!(slowed.header("retry-after").is_some());
    }

    "OA-48" guessing_does_not_lock_the_owner_out(row) {
        let client = row.broker.credential("victim", "partner-build").await;
        let slowed = guess_until_slowed(&row.broker, 200, |_| client.client_id.clone()).await;
        assert_eq!(slowed.status, 429, "{}", slowed.text());
        let own = Request::token(&[
            ("grant_type", "client_credentials"),
            ("client_id", &client.client_id),
            ("client_secret", &client.secret),
        ]);
        row.accepts("the owner, from elsewhere", own.clone().from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)))).await;
        let forwarded = own.header("X-Forwarded-For", "127.0.0.2").header("Forwarded", "for=127.0.0.2");
        let posing = row.broker.send(&forwarded).await;
        assert_eq!(posing.status, 429, "a header moved the guesser elsewhere");
    }
}

/// A broker behind TLS, and its certificate.
async fn tls_broker() -> (TestBroker, rcgen::Certificate) {
    let pair = rcgen::KeyPair::generate().expect("a key");
    let names = rcgen::CertificateParams::new(vec!["broker.example.com".to_owned()]).expect("a name");
    let certificate = names.self_signed(&pair).expect("a certificate");
    let broker = TestBroker::start_with(|setup, _| {
        setup
            .setting("tls: { cert: ./tls.crt, key: ./tls.key }")
            .file("tls.crt", &certificate.pem())
            .file("tls.key", &pair.serialize_pem())
    })
    .await;
    (broker, certificate)
}

/// Sends bytes over TLS and gives what comes back until the connection is closed.
fn raw_tls(to: SocketAddr, certificate: &rcgen::Certificate, bytes: &[u8]) -> Vec<u8> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a root");
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "broker.example.com".try_into().expect("a name");
    let session = rustls::ClientConnection::new(Arc::new(config), name).expect("a session");
    let mut stream = rustls::StreamOwned::new(session, TcpStream::connect(to).expect("a connection"));
    stream.write_all(bytes).expect("the broker reads");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// OA-39 again, where the bytes come out of TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_framing_inside_tls_is_refused_too() {
    let (broker, certificate) = tls_broker().await;
    let health = "GET /healthz HTTP/1.1\r\nHost: broker.example.com\r\n";
    let valid = format!("{health}\r\n{health}Connection: close\r\n\r\n");
    // Answered 200 by whoever sees one framing only.
    let both = format!("{health}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let ambiguous = format!("{health}\r\n{both}{valid}");
    for (bytes, expected) in [(valid, ["200", "200"]), (ambiguous, ["200", "400"])] {
        let answer = tokio::task::block_in_place(|| raw_tls(broker.address, &certificate, bytes.as_bytes()));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let statuses: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.get(..3)).collect();
        assert_eq!(statuses, expected, "{answer}");
    }
}

/// OA-46 answers on a connection that never becomes HTTP, so it has no row of statuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_listener_gives_plain_http_nothing_and_no_redirect() {
    let (broker, _) = tls_broker().await;
    let request = broker.token_request(&broker.partner().assertion().compact(), &[]);
    let answer = String::from_utf8_lossy(&raw(broker.address, &request.bytes()).await).into_owned();
    assert!(!answer.contains("access_token") && !answer.to_ascii_lowercase().contains("location:"), "{answer}");
    assert!(!answer.starts_with("HTTP/1.1 2") && !answer.starts_with("HTTP/1.1 3"), "{answer}");
}
