//! Answers that are made to cost: too long, too slow, too large, or packed.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

const SHORT: Limits = Limits { total: Duration::from_millis(400), ..Limits::DEFAULT };

/// A server that reads a request's first bytes and then does this with each connection; its base URL.
async fn serve_raw<F>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            tokio::spawn(answer(stream));
        }
    });
    format!("http://{address}")
}

/// Sends this and then nothing, for as long as the client stays.
async fn then_silent(mut stream: TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
    let _ = stream.read(&mut [0; 1]).await;
}

#[tokio::test]
async fn headers_that_never_finish_end_at_the_total_deadline() {
    for start in ["", "HTTP/1.1", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx: y"] {
        let base = serve_raw(move |stream| then_silent(stream, start.as_bytes())).await;
        assert_eq!(fetch_within(SHORT, keys_at(&base)).await, Err(FetchFault::Timeout), "{start}");
    }
}

#[tokio::test]
async fn the_total_deadline_counts_discovery_too() {
    let served = Arc::new(std::sync::OnceLock::<String>::new());
    let metadata = served.clone();
    let router = Router::new().route("/keys", get(std::future::pending::<()>)).route(
        "/.well-known/openid-configuration",
        get(move || async move { json_reply(metadata.get().unwrap().clone()) }),
    );
    let base = serve(router).await;
    served.set(json!({"issuer": base, "jwks_uri": format!("{base}/keys")}).to_string()).unwrap();
    let settings = IssuerSettings { url: Some(IssuerUrl::parse(&base).unwrap()), ..lab(KeySource::Discovery(None)) };
    assert_eq!(fetch_within(SHORT, settings).await, Err(FetchFault::Timeout));
}

#[tokio::test]
async fn a_server_that_says_nothing_to_a_tls_hello_ends_at_the_connect_deadline() {
    let base = serve_raw(|stream| then_silent(stream, b"")).await;
    let limits = Limits { connect: Duration::from_millis(300), ..Limits::DEFAULT };
    assert_eq!(fetch_within(limits, keys_at(&base.replace("http:", "https:"))).await, Err(FetchFault::Timeout));
}

#[tokio::test]
async fn endless_headers_are_cut_off() {
    let base = serve_raw(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n").await;
        while stream.write_all(b"x-padding: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await.is_ok()
        {
        }
    })
    .await;
    assert!(matches!(fetch(keys_at(&base)).await, Err(FetchFault::Connection(_))));
    let base = serve_raw(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while stream.write_all(&[b'a'; 4096]).await.is_ok() {}
    })
    .await;
    assert!(matches!(fetch(keys_at(&base)).await, Err(FetchFault::Connection(_))));
}

#[tokio::test]
async fn a_reset_or_truncated_answer_is_no_answer() {
    for start in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"keys\":[]}",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nb\r\n{\"keys\":[]}\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n",
    ] {
        let base = serve_raw(move |mut stream| async move {
            let _ = stream.write_all(start.as_bytes()).await;
        })
        .await;
        assert!(matches!(fetch(keys_at(&base)).await, Err(FetchFault::Connection(_))), "{start}");
    }
}

#[tokio::test]
async fn a_packed_answer_is_refused_without_unpacking_it() {
    for encoding in ["gzip", "br", "deflate", "zstd", "x-gzip", "identity, gzip", "GZIP"] {
        let packed = move || {
            let mut reply = json_reply(KEYS);
            reply.headers_mut().insert("content-encoding", HeaderValue::from_static(encoding));
            reply
        };
        assert_eq!(answer(packed).await, Err(FetchFault::Encoding), "{encoding}");
    }
    let plain = || {
        let mut reply = json_reply(KEYS);
        reply.headers_mut().insert("content-encoding", HeaderValue::from_static("Identity"));
        reply
    };
    assert!(answer(plain).await.is_ok());
}

#[tokio::test]
async fn an_answer_is_asked_for_as_plain_json() {
    let asked = get(|headers: RequestHeaders| async move {
        let as_meant = headers["accept"] == "application/json" && headers["accept-encoding"] == "identity";
        let bare = !headers.contains_key("authorization") && !headers.contains_key("referer");
        if as_meant && bare { json_reply(KEYS) } else { reply(400, "x", "y") }
    });
    let base = serve(Router::new().route("/keys", asked)).await;
    assert!(fetch(keys_at(&format!("{base}/keys"))).await.is_ok());
}
