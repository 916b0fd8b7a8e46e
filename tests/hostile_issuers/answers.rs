//! Hostile answers: heads, bodies, and members of the document.

use crate::support::faulty::{Answer, Delivery, METADATA, gzip_bomb};
use crate::{Case, Effect, case, good_key, good_svid_key};

use Effect::{Evicts, Refused, Taken};

fn good() -> String {
    format!("{{\"keys\":[{}]}}", good_key())
}

/// The good set with more members after its keys.
fn with(members: &str) -> Answer {
    Answer::json(format!("{{\"keys\":[{}],{members}}}", good_key()))
}

/// The good set with something before its keys.
fn after(bytes: &[u8]) -> Answer {
    Answer::json([bytes, good().as_bytes()].concat())
}

pub(crate) fn all() -> Vec<Case> {
    [heads(), bodies(), documents(), truncated(), metadata()].into_iter().flatten().collect()
}

fn heads() -> Vec<Case> {
    let raw = |head: &str| Answer::raw(format!("{head}\r\n\r\n{}", good()));
    let typed = "Content-Type: application/json\r\nConnection: close";
    let header = |name: &str, value: &[u8]| Answer::json(good()).header(name, value);
    let mut thousands = Answer::json(good());
    for count in 0..5000 {
        thousands = thousands.header(&format!("x-{count}"), "y");
    }
    vec![
        case("5,000 headers", thousands, Refused),
        case("a header of 1 MiB", header("x-long", &[b'y'; 1024 * 1024]), Refused),
        case("a header that is not UTF-8", header("cache-control", b"max-age=60, \xff\xfe"), Taken),
        case("a control character in a header", header("x-control", b"a\x00b"), Refused),
        case("Cache-Control a thousand times", header("cache-control", "max-age=0, ".repeat(1000).as_bytes()), Taken),
        case("Cache-Control of commas", header("cache-control", ",=,;=\"\\\",,max-age".as_bytes()), Taken),
        case("HTTP/0.9", Answer::raw(good()), Refused),
        case("HTTP/9.9", raw(&format!("HTTP/9.9 200 OK\r\n{typed}")), Refused),
        case("status 20", raw(&format!("HTTP/1.1 20 OK\r\n{typed}")), Refused),
        case("status 99999", raw(&format!("HTTP/1.1 99999 OK\r\n{typed}")), Refused),
        case(
            "two lengths",
            raw(&format!("HTTP/1.1 200 OK\r\n{typed}\r\nContent-Length: 5\r\nContent-Length: 7")),
            Refused,
        ),
        case(
            "a length of 2^64",
            raw(&format!("HTTP/1.1 200 OK\r\n{typed}\r\nContent-Length: 18446744073709551616")),
            Refused,
        ),
        case("a negative length", raw(&format!("HTTP/1.1 200 OK\r\n{typed}\r\nContent-Length: -1")), Refused),
        case(
            "a chunk of 2^64",
            raw(&format!("HTTP/1.1 200 OK\r\n{typed}\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n")),
            Refused,
        ),
        case("chunks without end", Answer::json("{").and("x", 3).brought(Delivery::Endless), Refused),
        case("interim answers without end", Answer::raw("").and("HTTP/1.1 103 Early Hints\r\n\r\n", 20_000), Refused),
        case("two types", Answer::json(good()).header("content-type", "text/html"), Taken),
        case("a longer length than the body", Answer::json(good()).claiming_length(9_999_999_999), Refused),
    ]
}

fn bodies() -> Vec<Case> {
    vec![
        case("nothing", Answer::json(""), Refused),
        case("a zero byte", Answer::json([0]), Refused),
        case("a BOM", after(b"\xef\xbb\xbf"), Refused),
        case("UTF-16", Answer::json(good().encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()), Refused),
        case(
            "bytes that are not UTF-8",
            Answer::json([b"{\"keys\":[],\"x\":\"\xff\xfe\"}".as_slice()].concat()),
            Refused,
        ),
        case("a lone surrogate", with("\"x\":\"\\ud800\""), Refused),
        case("something after the document", Answer::json(good()).and("x", 1), Refused),
        case("two documents", Answer::json(good()).and(good(), 1), Refused),
        case("a comment", after(b"/* */"), Refused),
        case("HTML", Answer::json("<html><body>Sign in to the Wi-Fi</body></html>"), Refused),
        case("1 MiB of spaces", Answer::json("").and(" ", 1024 * 1024), Refused),
        case("a MiB and one byte", after(&vec![b' '; 1024 * 1024]), Refused),
        case("100 MiB", Answer::json("{").and(vec![b' '; 1024 * 1024], 100), Refused),
        case("100,000 opening brackets", Answer::json("").and("[", 100_000), Refused),
        case("500,000 opening braces", Answer::json("").and("{\"\":", 200_000), Refused),
        case("100,000 keys", Answer::json("{\"keys\":[{}").and(",{}", 100_000).and("]}", 1), Refused),
        case("350,000 empty lists", Answer::json("{\"keys\":[[]").and(",[]", 340_000).and("]}", 1), Refused),
        case("500,000 numbers", Answer::json("{\"keys\":[0").and(",0", 500_000).and("]}", 1), Refused),
        case("gzip", Answer::json(gzip_bomb(900 * 1024)).header("content-encoding", "gzip"), Refused),
        case("gzip that nobody announced", Answer::json(gzip_bomb(900 * 1024)), Refused),
    ]
}

fn documents() -> Vec<Case> {
    let deep = |levels: usize| format!("\"x\":{}{}", "[".repeat(levels), "]".repeat(levels));
    vec![
        case("100 levels", with(&deep(100)), Refused),
        case("10 levels", with(&deep(10)), Taken),
        case("the keys twice", with("\"keys\":[]"), Refused),
        case("the keys twice, once escaped", with("\"\\u006beys\":[]"), Refused),
        case("a member twice, deep inside", with("\"x\":{\"y\":[{\"z\":1,\"z\":2}]}"), Refused),
        case("NaN", with("\"x\":NaN"), Refused),
        case("Infinity", with("\"x\":-Infinity"), Refused),
        case("1e400", with("\"x\":1e400"), Refused),
        case("an integer of 1,000 digits", with(&format!("\"x\":{}", "9".repeat(1000))), Refused),
        case("a member name of 500 KiB", with(&format!("\"{}\":1", "n".repeat(500 * 1024))), Taken),
        case(
            "20,000 more members",
            with(&(0..20_000).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(",")),
            Taken,
        ),
        case("keys in an object", Answer::json(format!("{{\"keys\":{{\"0\":{}}}}}", good_key())), Refused),
        case("keys as text", Answer::json("{\"keys\":\"[]\"}"), Refused),
        case("Keys", Answer::json(format!("{{\"Keys\":[{}]}}", good_key())), Refused),
        case("a list alone", Answer::json(format!("[{}]", good_key())), Refused),
        case("null", Answer::json("null"), Refused),
        case("no keys", Answer::json("{\"keys\":[]}"), Evicts),
        case("a hundred times null", Answer::json("{\"keys\":[null").and(",null", 99).and("]}", 1), Refused),
    ]
}

/// The good set, cut at every tenth of its length: of the document, and on the way.
fn truncated() -> Vec<Case> {
    let good = good();
    let tenths: Vec<(usize, usize)> = (1..10).map(|tenth| (tenth, good.len() * tenth / 10)).collect();
    let in_document = tenths.iter().map(|(tenth, bytes)| {
        case(format!("{tenth}0 % of the document"), Answer::json(&good.as_bytes()[..*bytes]), Refused)
    });
    let on_the_way = tenths.iter().map(|(tenth, bytes)| {
        let cut = Answer::json(good.as_str()).brought(Delivery::CutAfter(80 + bytes));
        case(format!("{tenth}0 % of the answer"), cut, Refused)
    });
    in_document.chain(on_the_way).collect()
}

fn metadata() -> Vec<Case> {
    let at_metadata = |what: &str, answer| Case { path: METADATA, ..case(what, answer, Refused) };
    vec![
        at_metadata("metadata: nothing", Answer::json("")),
        at_metadata("metadata: a list", Answer::json("[]")),
        at_metadata("metadata: 10 MiB", Answer::json("{").and(vec![b' '; 1024 * 1024], 10)),
        at_metadata("metadata: deep", Answer::json("").and("[", 100_000)),
        at_metadata("metadata: a key set", Answer::json(good())),
        at_metadata("metadata: a redirect to itself", Answer::redirect(302, METADATA)),
        at_metadata("metadata: a redirect of 64 KiB", Answer::redirect(302, &"/x".repeat(32 * 1024))),
    ]
}

/// What only a SPIFFE bundle can say.
pub(crate) fn bundles() -> Vec<Case> {
    let with = |members: &str| Answer::json(format!("{{\"keys\":[{}],{members}}}", good_svid_key()));
    let mut cases = Vec::new();
    for value in ["18446744073709551615", "18446744073709551616", "1.5", "\"7\"", "-1", "null", "[]", "{}", "true"] {
        cases.push(case(format!("sequence {value}"), with(&format!("\"spiffe_sequence\":{value}")), Taken));
    }
    for value in ["0", "-1", "1", "18446744073709551615", "18446744073709551616", "1.5", "\"7\"", "null", "[]"] {
        cases.push(case(format!("refresh hint {value}"), with(&format!("\"spiffe_refresh_hint\":{value}")), Taken));
    }
    cases.push(case("sequence 1e400", with("\"spiffe_sequence\":1e400"), Refused));
    cases.push(case("an empty bundle", Answer::json("{\"keys\":[],\"spiffe_sequence\":1}"), Evicts));
    cases.push(case("a JWKS without uses", Answer::json(format!("{{\"keys\":[{}]}}", good_key())), Evicts));
    cases
}
