//! The guard before a real server, over real sockets.

use std::net::{SocketAddr, TcpListener};

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::post;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::GuardedAcceptor;
use super::head;

/// Answers with the number of bytes in the body; a broken body is a 422.
async fn count(mut body: Body) -> Result<String, StatusCode> {
    let mut counted = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| StatusCode::UNPROCESSABLE_ENTITY)?;
        counted += frame.data_ref().map_or(0, bytes::Bytes::len);
    }
    Ok(format!("counted {counted}\n"))
}

async fn serve() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = axum_server::from_tcp(socket).unwrap().map(GuardedAcceptor::new);
    let router = Router::new().fallback(post(count));
    tokio::spawn(server.serve(router.into_make_service()));
    address
}

/// Writes the pieces, each in a packet of its own, and reads until the server closes.
async fn converse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut stream = TcpStream::connect(serve().await).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        // A server that has refused may have closed already.
        let _ = stream.write_all(piece).await;
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of all answers.
fn statuses(answer: &str) -> Vec<&str> {
    answer.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.get(..3)).collect()
}

const LAST: &str = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn valid_requests_in_a_row_are_all_served() {
    let chunked = head("Transfer-Encoding: chunked") + "3;x=\"y\"\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n";
    let row = head("Content-Length: 5") + "a\n\n\nb" + &chunked + "\r\n" + &head("X: y") + LAST;
    for pieces in [vec![row.as_bytes()], row.as_bytes().chunks(1).collect(), row.as_bytes().chunks(7).collect()] {
        let answer = converse(pieces).await;
        assert_eq!(statuses(&answer), ["200"; 4], "{answer}");
        let counts: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("counted ")).collect();
        assert_eq!(counts, ["5", "13", "0", "0"]);
    }
}

#[tokio::test]
async fn an_ambiguous_head_is_answered_400_and_nothing_behind_it_is_served() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: +5",
        "X: y\nZ: z",
        "X: y\r\n z",
    ] {
        let row = head("Content-Length: 1") + "a" + &head(fields) + "0\r\n\r\n" + LAST;
        for pieces in [vec![row.as_bytes()], row.as_bytes().chunks(1).collect(), row.as_bytes().chunks(7).collect()] {
            let answer = converse(pieces).await;
            assert_eq!(statuses(&answer), ["200", "400"], "{fields:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn an_ambiguous_head_is_refused_before_it_is_whole() {
    for start in ["\n", "POST / HTTP/1.1\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length:"] {
        for pieces in [vec![start.as_bytes()], start.as_bytes().chunks(1).collect()] {
            let answer = converse(pieces).await;
            assert_eq!(statuses(&answer), ["400"], "{start:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_broken_chunk_breaks_the_body_and_ends_the_connection() {
    for body in ["3\r\nabc\r\n3 \r\nabc\r\n0\r\n\r\n", "0;a\nb\r\n\r\n", "0\r\nContent-Length: 3\r\n\r\n", "3\nabc\r\n"]
    {
        let row = head("Transfer-Encoding: chunked") + body + LAST;
        let answer = converse([row.as_bytes()]).await;
        assert_eq!(statuses(&answer), ["422"], "{body:?}: {answer}");
    }
}

#[tokio::test]
async fn a_large_upload_arrives_whole_by_length_and_in_chunks() {
    const PIECE: &[u8] = &[b'\n'; 100_000];
    const COUNT: usize = 200;
    let by_length = head(&format!("Connection: close\r\nContent-Length: {}", PIECE.len() * COUNT));
    let answer = converse([by_length.as_bytes()].into_iter().chain([PIECE; COUNT])).await;
    assert!(answer.ends_with("counted 20000000\n"), "{answer}");
    let in_chunks = head("Connection: close\r\nTransfer-Encoding: chunked");
    let chunk = [format!("{:x}\r\n", PIECE.len()).as_bytes(), PIECE, b"\r\n"].concat();
    let chunks = std::iter::repeat_n(chunk.as_slice(), COUNT);
    let answer = converse([in_chunks.as_bytes()].into_iter().chain(chunks).chain([b"0\r\n\r\n".as_slice()])).await;
    assert!(answer.ends_with("counted 20000000\n"), "{answer}");
}

#[tokio::test]
async fn http_2_is_not_watched() {
    // Frames of RFC 9113 §4.1: empty SETTINGS; a PING whose payload no HTTP/1 head could hold; GOAWAY, to end.
    let ping = [b"\0\0\x08\x06\0\0\0\0\0".as_slice(), b"\n \n \n \n "].concat();
    let frames = [b"\0\0\0\x04\0\0\0\0\0".as_slice(), &ping, b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0"].concat();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice();
    for pieces in [vec![[preface, &frames].concat()], vec![preface.to_vec(), frames]] {
        let answer = converse(pieces.iter().map(Vec::as_slice)).await;
        assert!(answer.contains("\n \n \n \n "), "{answer:?}");
    }
}
