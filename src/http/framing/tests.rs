//! What the guard refuses, what it passes on, and that no cut of the bytes changes either.

mod generated;
mod sockets;

use super::boundaries::{Ambiguous, Boundaries};

/// The first verdict on bytes that come in these pieces, with the offset counted from the first of all.
fn follow<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Ambiguous> {
    let mut boundaries = Boundaries::default();
    let mut before = 0;
    for piece in pieces {
        let verdict = boundaries.follow(piece);
        verdict.map_err(|found| Ambiguous { offset: before + found.offset, ..found })?;
        before += piece.len();
    }
    Ok(())
}

fn head(fields: &str) -> String {
    format!("POST /oauth2/token HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

/// Asserts that these bytes are passed on, and that the next byte begins a new message (where no line feed may stand).
fn assert_whole(bytes: &str) {
    let more = format!("{bytes}\n");
    assert_eq!(follow([more.as_bytes()]), Err(Ambiguous { offset: bytes.len(), in_body: false }), "{bytes:?}");
}

#[test]
fn a_head_with_two_readings_is_refused_before_its_last_byte_is_passed_on() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nX: y\r\ntransfer-encoding: chunked",
        "Content-Length: 5\r\nCONTENT-LENGTH: 5",
        "Content-Length: 0\r\nContent-Length: 0",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunke",
        "Transfer-Encoding: ch unked",
        "Transfer-Encoding:",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Content-Length:",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 5, 5",
        "Content-Length: 5 5",
        "Content-Length: 0x5",
        "Content-Length: 18446744073709551616",
        "Content-Length : 5",
        "Content-Length\t: 5",
        "X : y",
        "X: y\r\n z",
        "X: y\r\n\tz",
        "X: y\nZ: z",
        "X: y\rZ: z",
        "X: y\r\rZ: z",
        "X: y\r\n\n",
        "X: y\r\n\rZ: z",
        "X",
    ] {
        let bytes = head(fields);
        let found = follow([bytes.as_bytes()]).expect_err(fields);
        assert!(!found.in_body && found.offset < bytes.len(), "{fields:?}: {found:?}");
    }
    for start in
        ["\n", "\r\n\n", "\rGET / HTTP/1.1\r\n", "GET / HTTP/1.1\n", "GET /\rX HTTP/1.1\r\n", "G / HTTP/1.1\r\n A: b"]
    {
        assert!(follow([start.as_bytes()]).is_err_and(|found| !found.in_body), "{start:?}");
    }
}

#[test]
fn a_message_with_one_reading_ends_where_it_ends() {
    assert_whole(&head("Content-Length: 0"));
    assert_whole(&head("X: Content-Length: 7\r\nX-Transfer-Encoding: gzip\r\nContent-Lengths: x\r\nEmpty:"));
    for fields in ["Content-Length: 5", "content-length:5", "CONTENT-LENGTH:\t 0005 \t"] {
        assert_whole(&format!("{}a\n\n\0b", head(fields)));
    }
    for fields in ["Transfer-Encoding: chunked", "transfer-encoding:CHUNKED \t"] {
        assert_whole(&format!("{}0\r\n\r\n", head(fields)));
        assert_whole(&format!(
            "{}5;a=\"b\";c\r\na\r\n\nb\r\n0A\r\n0123456789\r\n00\r\nX: y\r\nZ: \r\n\r\n",
            head(fields)
        ));
    }
    assert_whole(&format!("\r\n\r\n{}", head(&format!("X: {}", "y".repeat(70_000)))));
}

#[test]
fn a_chunk_or_trailer_with_two_readings_breaks_the_body() {
    for body in [
        "\r\n",
        ";a\r\n",
        " 5\r\n",
        "5 \r\n",
        "5 ;a\r\n",
        "0x5\r\n",
        "+5\r\n",
        "5g\r\n",
        "5\n",
        "5\rx",
        "5;a\nb\r\n",
        "5;a\rb\r\n",
        "00000000000000005\r\n",
        "1\r\nab",
        "1\r\na\n",
        "1\r\na\rb",
        "0\r\n\n",
        "0\r\n\rX",
        "0\r\nX: y\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX: y\r\n z\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let bytes = head("Transfer-Encoding: chunked") + body;
        let found = follow([bytes.as_bytes()]).expect_err(body);
        assert!(found.in_body && found.offset < bytes.len(), "{body:?}: {found:?}");
    }
}

#[test]
fn only_the_whole_preface_of_http_2_switches_the_guard_off() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_eq!(follow([preface.as_bytes(), b"\n\n\n"]), Ok(()));
    assert_eq!(follow([format!("{preface}\n\n\n").as_bytes()]), Ok(()));
    for start in [
        "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
        "pri * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        assert_whole(start);
    }
}
