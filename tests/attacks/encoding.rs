//! encoding: a token that two parsers could read differently is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;

use crate::row::{NO_RECORD, Row};
use crate::support::NOW;
use crate::support::assertion::Assertion;
use crate::support::keys::base64url;

const KIB: usize = 1024;

/// A valid assertion's claims as text.
fn claims_text(assertion: &Assertion) -> String {
    Value::Object(assertion.claims().clone()).to_string()
}

/// A token over these two parts as they stand, with a signature that holds over them.
fn signed_over(row: &Row, header: &str, claims: &str) -> String {
    let input = format!("{header}.{claims}");
    let signature = base64url(row.partner().key.sign("RS256", input.as_bytes()));
    format!("{input}.{signature}")
}

/// The two encoded parts of a valid assertion.
fn encoded_parts(row: &Row) -> (String, String) {
    let input = row.partner().assertion().claim("note", "???>>>").signing_input();
    input.split_once('.').map(|(header, claims)| (header.to_owned(), claims.to_owned())).expect("two parts")
}

/// A valid assertion of exactly this many bytes.
fn of_length(row: &Row, wanted: usize) -> String {
    let base = row.partner().assertion();
    for header_padding in 0..4 {
        let mut padding = wanted - wanted / 4 - 1500;
        while padding < wanted {
            let padded = base.clone().header("x5t", "x".repeat(20 + header_padding)).claim("pad", "x".repeat(padding));
            let length = padded.signing_input().len() + 1 + 342;
            if length == wanted {
                return padded.compact();
            }
            if length > wanted {
                break;
            }
            padding += ((wanted - length) * 3 / 4).max(1);
        }
    }
    panic!("no assertion of {wanted} bytes");
}

/// This text in place of `exp`'s value.
fn with_expiry_text(row: &Row, text: &str) -> Assertion {
    let valid = row.partner().assertion().claim("exp", 1);
    let claims = claims_text(&valid).replace("\"exp\":1,", &format!("\"exp\":{text},"));
    valid.raw_claims(claims)
}

rows! {
    "EN-01" a_mebibyte_of_dots_is_refused(row) {
        row.accepts("two dots", row.partner().assertion()).await;
        row.refuses("1 MiB of dots", ".".repeat(KIB * KIB), "assertion.too_large").await;
        row.refuses("16 KiB of dots", ".".repeat(16 * KIB), "assertion.not_compact").await;
    }

    "EN-02" a_token_has_three_parts_and_none_is_empty(row) {
        let valid = row.partner().assertion().compact();
        row.accepts("three parts", valid.clone()).await;
        let parts: Vec<&str> = valid.split('.').collect();
        let (header, claims, signature) = (parts[0], parts[1], parts[2]);
        let wrong = [
            header.to_owned(),
            format!("{header}.{claims}"),
            format!("{valid}.{signature}"),
            format!("{valid}.{signature}.{signature}"),
            format!("{valid}.{signature}.{signature}.{signature}"),
            format!(".{claims}.{signature}"),
            format!("{header}..{signature}"),
            format!("{header}.{claims}."),
            format!(".{valid}"),
            format!("{valid}."),
            "..".to_owned(),
        ];
        for text in wrong {
            row.refuses(&text.clone(), text, "assertion.not_compact").await;
        }
    }

    "EN-03" base64_padding_is_refused(row) {
        let (header, claims) = encoded_parts(&row);
        let valid = signed_over(&row, &header, &claims);
        row.accepts("no padding", valid).await;
        for padding in ["=", "=="] {
            let padded = signed_over(&row, &format!("{header}{padding}"), &claims);
            row.refuses("header", padded, "assertion.not_compact").await;
            let padded = signed_over(&row, &header, &format!("{claims}{padding}"));
            row.refuses("claims", padded, "assertion.not_compact").await;
            let padded = format!("{}{padding}", row.partner().assertion().compact());
            row.refuses("signature", padded, "assertion.not_compact").await;
        }
    }

    "EN-04" the_standard_alphabet_is_refused(row) {
        let (header, claims) = encoded_parts(&row);
        assert!(claims.contains('_') || claims.contains('-'), "nothing would change");
        row.accepts("base64url", signed_over(&row, &header, &claims)).await;
        let standard = claims.replace('-', "+").replace('_', "/");
        row.refuses("claims", signed_over(&row, &header, &standard), "assertion.not_compact").await;
        let assertion = row.partner().assertion();
        let input = assertion.signing_input();
        let signature = STANDARD_NO_PAD.encode(row.partner().key.sign("RS256", input.as_bytes()));
        row.refuses("signature", format!("{input}.{signature}"), "assertion.not_compact").await;
    }

    "EN-06" white_space_is_refused(row) {
        let valid = row.partner().assertion().compact();
        row.accepts("none", row.partner().assertion()).await;
        for text in [format!(" {valid}"), format!("{valid} "), format!("{valid}\t")] {
            row.refuses("around", text, "assertion.not_compact").await;
        }
        let (header, claims) = encoded_parts(&row);
        let (first, rest) = claims.split_at(20);
        row.refuses("inside", signed_over(&row, &header, &format!("{first} {rest}")), "assertion.not_compact").await;
        for broken in [format!("{valid}\n"), signed_over(&row, &header, &format!("{first}\r\n{rest}"))] {
            row.refuses("a line break", broken, "assertion.not_compact").await;
        }
    }

    "EN-07" a_character_that_a_lax_decoder_drops_is_refused(row) {
        let (header, claims) = encoded_parts(&row);
        row.accepts("without", signed_over(&row, &header, &claims)).await;
        for strange in ['?', '!', '*', '~', 'é'] {
            let in_header = format!("{}{strange}{}", &header[..8], &header[8..]);
            row.refuses("header", signed_over(&row, &in_header, &claims), "assertion.not_compact").await;
            let in_claims = format!("{}{strange}{}", &claims[..8], &claims[8..]);
            row.refuses("claims", signed_over(&row, &header, &in_claims), "assertion.not_compact").await;
        }
    }

    "EN-08" claims_are_utf_8_without_a_byte_order_mark(row) {
        let valid = || row.partner().assertion();
        let text = claims_text(&valid());
        row.accepts("UTF-8", valid().raw_claims(text.as_str())).await;
        let big_endian: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let little_endian: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let mark = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        let with_note = |note: &[u8]| [b"{\"note\":\"", note, b"\",", &text.as_bytes()[1..]].concat();
        let wrong = [
            ("UTF-16", big_endian),
            ("UTF-16 with mark", little_endian),
            ("mark", mark),
            ("overlong", with_note(b"\xc0\xaf")),
            ("Latin-1", with_note(b"\xe9")),
            ("lone high surrogate", with_note(b"\\ud800")),
            ("lone low surrogate", with_note(b"\\udc00x")),
            ("encoded surrogate", with_note(b"\xed\xa0\x80")),
        ];
        let fresh = claims_text(&valid());
        let good = [b"{\"note\":\"\xc3\xa9\",", &fresh.as_bytes()[1..]].concat();
        row.accepts("another member", valid().raw_claims(good)).await;
        for (what, bytes) in wrong {
            row.refuses(what, valid().raw_claims(bytes), "assertion.json").await;
        }
    }

    "EN-10" a_claim_stands_once(row) {
        let valid = || row.partner().assertion();
        let text = claims_text(&valid());
        row.accepts("each once", valid().raw_claims(text.as_str())).await;
        for name in ["sub", "iss", "aud", "exp", "azp", "\\u0073ub", "\\u0061ud"] {
            let value = if name == "exp" { (NOW + 300).to_string() } else { "\"x\"".to_owned() };
            let first = text.replacen('{', &format!("{{\"{name}\":{value},"), 1);
            row.refuses(name, valid().raw_claims(first), "assertion.json").await;
            let last = format!("{},\"{name}\":{value}}}", text.trim_end_matches('}'));
            row.refuses(name, valid().raw_claims(last), "assertion.json").await;
        }
        let inside = text.replacen('{', "{\"x\":{\"a\":1,\"a\":2},", 1);
        row.refuses("at any depth", valid().raw_claims(inside), "assertion.json").await;
    }

    "EN-12" deeply_nested_claims_are_refused(row) {
        let valid = || row.partner().assertion();
        let text = claims_text(&valid());
        let nested = |levels: usize| {
            let deep = format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
            valid().raw_claims(text.replacen('{', &format!("{{\"deep\":{deep},"), 1))
        };
        row.accepts("ten levels", nested(10)).await;
        row.refuses("200 levels", nested(200), "assertion.json").await;
        row.refuses("2,000 levels", nested(2_000), "assertion.json").await;
        row.refuses("100,000 levels", nested(100_000), "assertion.too_large").await;
        let objects = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
        let objects = valid().raw_claims(text.replacen('{', &format!("{{\"deep\":{objects},"), 1));
        row.refuses("200 objects", objects, "assertion.json").await;
    }

    "EN-13" an_assertion_of_more_than_16_kib_is_refused(row) {
        row.accepts("16 KiB", of_length(&row, 16 * KIB)).await;
        row.refuses("one byte more", of_length(&row, 16 * KIB + 1), "assertion.too_large").await;
        row.refuses("1 MiB", of_length(&row, KIB * KIB), "assertion.too_large").await;
        let vast = "x".repeat(10 * KIB * KIB);
        row.refuses_as((413, "invalid_request"), "10 MiB: the body's limit first", vast, NO_RECORD).await;
    }

    "EN-14" nothing_follows_the_claims(row) {
        let valid = || row.partner().assertion();
        let text = claims_text(&valid());
        row.accepts("nothing", valid().raw_claims(text.as_str())).await;
        for garbage in ["garbage", "{}", ",", "\u{0}", "}"] {
            row.refuses(garbage, valid().raw_claims(format!("{text}{garbage}")), "assertion.json").await;
        }
    }

    "EN-15" exp_is_a_json_number(row) {
        row.accepts("a number", with_expiry_text(&row, &(NOW + 200).to_string())).await;
        for text in ["NaN", "Infinity", "-Infinity", "1e400", "0x6ab13b80", "+1790000200", "01790000200"] {
            row.refuses(text, with_expiry_text(&row, text), "assertion.json").await;
        }
        row.refuses("5,000 digits", with_expiry_text(&row, &"9".repeat(5_000)), "assertion.json").await;
    }
}
