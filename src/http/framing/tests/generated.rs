//! Generated connections: against a reader that has all bytes at once, in every cut, and through the stream itself.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::super::Guarded;
use super::follow;

/// What a plain reader of the whole bytes says.
#[derive(Debug, PartialEq)]
enum Reading {
    /// Complete messages, and nothing behind.
    Whole,
    Unfinished,
    Ambiguous,
    /// The preface of another protocol.
    Http2,
}

type Read<T> = Result<T, Reading>;

fn line<'a>(rest: &mut &'a str) -> Read<&'a str> {
    let Some((line, after)) = rest.split_once("\r\n") else { return Err(Reading::Unfinished) };
    *rest = after;
    if line.contains(['\r', '\n']) { Err(Reading::Ambiguous) } else { Ok(line) }
}

/// The fields up to the empty line: names in lower case, values trimmed.
fn fields(rest: &mut &str) -> Read<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = line(rest)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let Some((name, value)) = line.split_once(':') else { return Err(Reading::Ambiguous) };
        if name.contains([' ', '\t']) {
            return Err(Reading::Ambiguous);
        }
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

fn frames((name, _): &&(String, String)) -> bool {
    name == "content-length" || name == "transfer-encoding"
}

fn take(rest: &mut &str, length: usize) -> Read<()> {
    *rest = rest.get(length..).ok_or(Reading::Unfinished)?;
    Ok(())
}

fn message(rest: &mut &str) -> Read<()> {
    if line(rest)?.is_empty() {
        return Ok(());
    }
    let fields_of_head = fields(rest)?;
    let framing: Vec<_> = fields_of_head.iter().filter(frames).collect();
    match framing.as_slice() {
        [] => Ok(()),
        [(name, value)] if name == "content-length" && value.bytes().all(|byte| byte.is_ascii_digit()) => {
            take(rest, value.parse().map_err(|_| Reading::Ambiguous)?)
        }
        [(name, value)] if name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked") => chunks(rest),
        _ => Err(Reading::Ambiguous),
    }
}

fn chunks(rest: &mut &str) -> Read<()> {
    loop {
        let line = line(rest)?;
        let size = line.split(';').next().unwrap_or_default();
        if !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Reading::Ambiguous);
        }
        let size = usize::from_str_radix(size, 16).map_err(|_| Reading::Ambiguous)?;
        if size == 0 {
            let trailers = fields(rest)?;
            return if trailers.iter().any(|field| frames(&field)) { Err(Reading::Ambiguous) } else { Ok(()) };
        }
        take(rest, size)?;
        match rest.get(..2) {
            Some("\r\n") => take(rest, 2)?,
            Some(_) => return Err(Reading::Ambiguous),
            None => return Err(Reading::Unfinished),
        }
    }
}

fn reading(bytes: &str) -> Reading {
    if bytes.starts_with("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") {
        return Reading::Http2;
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Err(reading) = message(&mut rest) {
            return reading;
        }
    }
    Reading::Whole
}

/// Bytes that are mostly HTTP, and mostly a little wrong.
fn almost_http() -> impl Strategy<Value = String> {
    let word = select(vec![
        "GET / HTTP/1.1\r\n",
        "POST / HTTP/1.1\r\n",
        "\r\n",
        "\r\n\r\n",
        "Content-Length: 3\r\n",
        "content-length:0\r\n",
        "Content-Length: 1 ",
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding:\tCHUNKED",
        "Host: a\r\n",
        "X:",
        "abc",
        "3\r\nabc\r\n",
        "2;x=y\r\n",
        "0\r\n",
        "0\r\n\r\n",
        "\r",
        "\n",
        ":",
        " ",
        "7",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n",
    ]);
    proptest::collection::vec(word, 0..14).prop_map(|words| words.concat())
}

/// A request with one reading, and a body that looks like anything.
fn valid_request() -> impl Strategy<Value = String> {
    let body =
        proptest::collection::vec(select(vec!["a", "\r\n", "\n", "0\r\n\r\n", "GET / HTTP/1.1\r\n", "\0"]), 0..9);
    let name = select(vec!["Content-Length: ", "content-length:", "X: y\r\nContent-Length:\t"]);
    (body.prop_map(|words| words.concat()), name, 0..3).prop_map(|(body, name, kind)| match kind {
        0 => "GET /a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        1 => format!("POST /b HTTP/1.1\r\n{name}{}\r\n\r\n{body}", body.len()),
        _ if body.is_empty() => "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        _ => format!(
            "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{0:x};e\r\n{body}\r\n{0:02X}\r\n{body}\r\n0\r\nT: t\r\n\r\n",
            body.len()
        ),
    })
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// A connection that gives one piece at each read, then ends.
struct Pieces(VecDeque<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let later = piece.split_off(piece.len().min(buffer.remaining()));
            buffer.put_slice(&piece);
            if !later.is_empty() {
                self.0.push_front(later);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What hyper would read, with the error at its end.
fn through(pieces: &[&[u8]]) -> (Vec<u8>, io::Result<usize>) {
    let pieces = pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec()).collect();
    let mut read = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let end = runtime.block_on(Guarded::new(Pieces(pieces)).read_to_end(&mut read));
    (read, end)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_reader_of_the_whole_bytes_agrees(bytes in almost_http()) {
        let verdict = follow([bytes.as_bytes()]);
        match reading(&bytes) {
            Reading::Ambiguous => prop_assert!(verdict.is_err(), "{bytes:?} was passed on"),
            Reading::Whole => {
                prop_assert_eq!(verdict, Ok(()), "{:?}", &bytes);
                // A line feed is refused at a message's start only with the offset of that start.
                let more = format!("{bytes}\n");
                prop_assert_eq!(follow([more.as_bytes()]).map_err(|found| found.offset), Err(bytes.len()));
            }
            Reading::Http2 => prop_assert_eq!(verdict, Ok(())),
            // What is unfinished may be ambiguous already.
            Reading::Unfinished => {}
        }
    }

    #[test]
    fn the_verdict_is_the_same_in_any_pieces(bytes in almost_http(), cuts: Vec<prop::sample::Index>) {
        let whole = follow([bytes.as_bytes()]);
        prop_assert_eq!(follow(pieces(bytes.as_bytes(), &cuts)), whole);
        prop_assert_eq!(follow(bytes.as_bytes().chunks(1)), whole);
    }

    #[test]
    fn any_bytes_in_any_pieces_have_one_verdict(bytes: Vec<u8>, cuts: Vec<prop::sample::Index>) {
        prop_assert_eq!(follow(pieces(&bytes, &cuts)), follow([bytes.as_slice()]));
    }
}

proptest! {
    #[test]
    fn valid_requests_in_a_row_pass_byte_for_byte(
        requests in proptest::collection::vec(valid_request(), 0..6),
        cuts: Vec<prop::sample::Index>,
    ) {
        let bytes = requests.concat();
        let (read, end) = through(&pieces(bytes.as_bytes(), &cuts));
        prop_assert_eq!(String::from_utf8_lossy(&read), bytes);
        prop_assert!(end.is_ok());
    }

    #[test]
    fn nothing_is_read_behind_an_ambiguous_byte(
        before in valid_request(),
        bytes in almost_http(),
        cuts: Vec<prop::sample::Index>,
    ) {
        let bytes = format!("{before}{bytes}\n\nGET /never HTTP/1.1\r\n\r\n");
        let (read, end) = through(&pieces(bytes.as_bytes(), &cuts));
        match follow([bytes.as_bytes()]) {
            Ok(()) => prop_assert_eq!(read, bytes.as_bytes()),
            Err(found) if found.in_body => {
                prop_assert_eq!(read, &bytes.as_bytes()[..found.offset]);
                prop_assert!(end.is_err());
            }
            Err(found) => prop_assert_eq!(read, [&bytes.as_bytes()[..found.offset], super::super::POISON].concat()),
        }
    }
}
