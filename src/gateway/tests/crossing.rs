//! What crosses, in both directions.

use super::*;

#[tokio::test]
async fn the_service_hears_who_calls_and_nothing_a_caller_could_forge() {
    let mut stage = Stage::plain().await;
    let forged = "X-Countersign-User: root\r\nx_countersign_user: root\r\nX-COUNTERSIGN_Scopes: service:*\r\n\
                  X.Countersign.User: root\r\nX-Countersign-Anything: root\r\nX-Countersign-Trace-Id: forged\r\n\
                  X-Forwarded-For: 10.0.0.1\r\nX_Forwarded_Proto: gopher\r\nX-Forwarded-User: root\r\n\
                  Forwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nProxy-Authorization: Basic Og==\r\nProxy: evil\r\n\
                  Keep-Alive: 5\r\nTE: trailers\r\nX-Hop: gone\r\nExpect: 100-continue\r\n\
                  Connection: X-Hop, X-Countersign-User, Host\r\nX-Kept: yes\r\nCookie: a=b\r\n";
    let answer = stage.get(&format!("{}{forged}", stage.bearer())).await;
    assert_eq!((answer.status, answer.body.as_str()), (201, "hello"));
    let seen = stage.seen.recv().await.unwrap();
    let mut names: Vec<_> = seen.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    names.sort_unstable();
    let expected = [
        ("cookie", "a=b"),
        ("host", "my-api.localhost"),
        ("x-countersign-scopes", "service:my-api"),
        ("x-countersign-trace-id", TRACE),
        ("x-countersign-user", "deployer"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "my-api.localhost"),
        ("x-forwarded-proto", "https"),
        ("x-kept", "yes"),
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn the_token_stays_here_and_another_authorization_crosses() {
    let mut stage = Stage::plain().await;
    let token = stage.fixture.token(&json!({}));
    for (lines, authorization) in [
        (stage.bearer(), None),
        (format!("authorization: bearer {token}\r\nX-Countersign-Auth: {token}\r\n"), None),
        (format!("Authorization: Basic dXNlcjpwYXNz\r\nX-Countersign-Auth: {token}\r\n"), Some("Basic dXNlcjpwYXNz")),
    ] {
        assert_eq!(stage.get(&lines).await.status, 201);
        let seen = stage.seen.recv().await.unwrap();
        let crossed = seen.headers.get("authorization").map(|value| value.to_str().unwrap());
        assert_eq!(crossed, authorization);
        assert!(!format!("{seen:?}").contains(&token), "{seen:?}");
    }
}

#[tokio::test]
async fn an_answer_crosses_without_fields_that_speak_for_us() {
    let stage = Stage::plain().await;
    let answer = stage.get(&stage.bearer()).await;
    assert_eq!((answer.status, answer.body.as_str()), (201, "hello"));
    assert_eq!((answer.header("x-service"), answer.header("x-trace-id")), (vec!["yes"], vec![TRACE]));
    assert!(answer.header("x-countersign-user").is_empty() && answer.header("keep-alive").is_empty());
}

#[tokio::test]
async fn path_and_query_cross_byte_for_byte_below_the_base() {
    let mut stage = Stage::new("{ users: [deployer] }", "/base/").await;
    for target in ["/", "/a%2Fb/%2e%2e/../c;d//e?x=%41&y=a+b&&", "/?", "/a?b?c=http://x/"] {
        let head = format!("PATCH {target} HTTP/1.1\r\nHost: my-api.localhost\r\n{}", stage.bearer());
        assert_eq!(stage.send(&head).await.status, 201);
        assert_eq!(stage.seen.recv().await.unwrap().line, format!("PATCH /base{target}"));
    }
}

#[tokio::test]
async fn bodies_cross_whole_by_length_and_by_chunks() {
    let mut stage = Stage::plain().await;
    let (bearer, big) = (stage.bearer(), "x".repeat(3_000_000));
    let head = format!("POST / HTTP/1.1\r\nHost: my-api.localhost\r\n{bearer}Connection: close\r\n");
    let length = format!("{head}Content-Length: {}\r\n\r\n{big}", big.len());
    assert_eq!(stage.send(&length).await.status, 201);
    let seen = stage.seen.recv().await.unwrap();
    assert_eq!((seen.body.len(), seen.headers["content-length"].to_str().unwrap()), (big.len(), "3000000"));
    let trailer = "Trailer: X-Countersign-User\r\n";
    let chunks = format!(
        "{head}{trailer}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Countersign-User: root\r\n\r\n"
    );
    assert_eq!(stage.send(&chunks).await.status, 201);
    let seen = stage.seen.recv().await.unwrap();
    assert_eq!((seen.body.as_ref(), seen.headers["x-countersign-user"].to_str().unwrap()), (&b"abcde"[..], "deployer"));
    assert!(!seen.headers.contains_key("trailer"));
}

#[tokio::test]
async fn a_request_with_two_lengths_reaches_the_service_as_one_request_or_not_at_all() {
    let mut stage = Stage::plain().await;
    let head = format!("POST / HTTP/1.1\r\nHost: my-api.localhost\r\n{}", stage.bearer());
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: my-api.localhost\r\n\r\n";
    for lengths in
        ["Content-Length: 66\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 66"]
    {
        stage.send(&format!("{head}{lengths}\r\n\r\n{smuggled}")).await;
        let seen = stage.seen.recv().await.unwrap();
        assert!(seen.body.is_empty() && seen.line == "POST /", "{seen:?}");
        assert!(stage.seen.try_recv().is_err(), "{lengths}");
    }
    for lengths in
        ["Content-Length: 1\r\nContent-Length: 2", "Transfer-Encoding: chunked, identity", "Content-Length: +1"]
    {
        assert_eq!(stage.send(&format!("{head}{lengths}\r\n\r\n{smuggled}")).await.status, 400, "{lengths}");
    }
    assert!(stage.seen.try_recv().is_err());
}

#[tokio::test]
async fn an_answers_second_piece_may_wait_until_the_caller_has_read_the_first() {
    let (pieces, source) = mpsc::unbounded_channel::<Result<Bytes, std::io::Error>>();
    let source = Arc::new(std::sync::Mutex::new(Some(source)));
    let upstream = serve(move |_| {
        let mut source = source.lock().unwrap().take().unwrap();
        let stream = futures_util::stream::poll_fn(move |context| source.poll_recv(context));
        async move { Response::new(Body::from_stream(stream)) }
    })
    .await;
    let fixture = Fixture::new().await;
    let gateway = gateway_to(service(&format!("http://{upstream}"), "{ users: [deployer] }"), &fixture, PATIENCE).await;
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let head =
        format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Countersign-Auth: {}\r\n\r\n", fixture.token(&json!({})));
    stream.write_all(head.as_bytes()).await.unwrap();
    pieces.send(Ok("first".into())).unwrap();
    read_until(&mut stream, "first").await;
    pieces.send(Ok("second".into())).unwrap();
    read_until(&mut stream, "second").await;
}

#[tokio::test]
async fn a_requests_second_piece_may_wait_until_the_service_has_read_the_first() {
    let (sender, mut got) = mpsc::unbounded_channel();
    let upstream = serve(move |request: Request| {
        let sender = sender.clone();
        async move {
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                sender.send(frame.into_data().unwrap()).unwrap();
            }
            Response::new("done".into())
        }
    })
    .await;
    let fixture = Fixture::new().await;
    let gateway = gateway_to(service(&format!("http://{upstream}"), "{ users: [deployer] }"), &fixture, PATIENCE).await;
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Countersign-Auth: {}\r\nContent-Length: 11\r\n\r\nfirst",
        fixture.token(&json!({}))
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(tokio::time::timeout(PATIENCE, got.recv()).await.unwrap().unwrap(), "first");
    stream.write_all(b"second").await.unwrap();
    assert_eq!(tokio::time::timeout(PATIENCE, got.recv()).await.unwrap().unwrap(), "second");
    read_until(&mut stream, "done").await;
}
