//! jose-header, the rest of the header: `kid` is only compared, nothing changes what the token means.

use serde_json::{Value, json};

use crate::jose_algorithm::partner_settings;
use crate::support::keys::{TestKey, base64url};
use crate::support::setup::{Platforms, Setup};

/// The partner with three keys that could all have signed.
fn three_keys(setup: Setup, platforms: &Platforms) -> Setup {
    let keys = [&platforms.partner.key, &TestKey::rsa("rsa-b"), &TestKey::rsa("rsa-c")];
    setup.key_file("partner", &partner_settings(""), &keys)
}

/// A header with this text after its opening brace.
fn header_text(row: &crate::row::Row, first: &str) -> String {
    let whole = Value::Object(row.partner().assertion().header_members().clone()).to_string();
    whole.replacen('{', &format!("{{{first}"), 1)
}

rows! {
    "JH-17" a_kid_is_never_a_path(row) {
        let valid = || row.partner().assertion();
        row.accepts("its own kid", valid()).await;
        for path in ["../../../../dev/null", "/proc/self/environ", "/dev/null"] {
            let unkeyed = valid().header("kid", path).compact_with_hmac("HS256", b"");
            row.refuses(path, unkeyed, "assertion.algorithm").await;
            row.refuses(path, valid().header("kid", path), "key.unknown").await;
        }
    }

    "JH-18" a_kid_is_never_a_query(row) {
        let valid = || row.partner().assertion();
        row.accepts("its own kid", valid()).await;
        for kid in ["' UNION SELECT 'AAAA' -- ", "x' OR '1'='1", "1; DROP TABLE users; --"] {
            row.refuses(kid, valid().header("kid", kid), "key.unknown").await;
        }
        row.accepts("the tables are still there", valid()).await;
    }

    "JH-19" a_kid_is_never_a_format_or_a_command(row) {
        let valid = || row.partner().assertion();
        row.accepts("its own kid", valid()).await;
        for kid in ["$(id)", "`id`", "{{7*7}}", "${jndi:ldap://x}", "%n%n", "<script>"] {
            row.refuses(kid, valid().header("kid", kid), "key.unknown").await;
        }
        for kid in ["a\r\nSet-Cookie: b", "a\nlevel=error", "\u{1b}[2J", "a\u{0}b", "\u{9b}31m"] {
            row.refuses("control characters", valid().header("kid", kid), "assertion.key_id").await;
        }
        row.refuses("257 bytes", valid().header("kid", "k".repeat(257)), "assertion.key_id").await;
        row.refuses("64 KiB", valid().header("kid", "k".repeat(64 * 1024)), "assertion.too_large").await;
    }

    "JH-20" a_kid_is_a_string(row) {
        let valid = || row.partner().assertion();
        row.accepts("a string", valid()).await;
        for kid in [json!(5), Value::Null, json!(["partner-1"]), json!({}), json!("")] {
            row.refuses(&kid.to_string(), valid().header("kid", kid.clone()), "assertion.key_id").await;
        }
    }

    "JH-21" a_token_without_kid_is_accepted_where_one_key_fits_and_the_issuer_allows_it(row, |setup, platforms: &Platforms| {
        let keys = [&platforms.partner.key, &TestKey::p256("jh-21")];
        setup.key_file("partner", &partner_settings(", allow_missing_kid: true"), &keys)
    }) {
        row.accepts("no kid", row.partner().assertion().without_header("kid")).await;
    }

    "JH-22" a_token_without_kid_is_refused_where_several_keys_fit(row, three_keys) {
        let valid = || row.partner().assertion();
        row.accepts("its kid", valid()).await;
        row.refuses("no kid", valid().without_header("kid"), "key.missing_kid").await;
    }

    "JH-23" an_unknown_critical_member_is_refused(row) {
        let valid = || row.partner().assertion();
        row.accepts("no crit", valid()).await;
        let crits = [json!(["bork"]), json!(["b64"]), json!([]), json!(["alg"]), json!("bork"), Value::Null];
        for crit in crits {
            let critical = valid().header("crit", crit.clone()).header("bork", 1);
            row.refuses(&crit.to_string(), critical, "assertion.forbidden_header").await;
        }
        row.refuses("b64", valid().header("b64", false), "assertion.forbidden_header").await;
    }

    "JH-26" a_header_member_stands_once(row) {
        let valid = || row.partner().assertion();
        row.accepts("each once", valid().raw_header(header_text(&row, ""))).await;
        for first in [r#""alg":"none","#, r#""alg":"RS256","#, r#""kid":"partner-1","#, r#""\u0061lg":"none","#] {
            row.refuses(first, valid().raw_header(header_text(&row, first)), "assertion.json").await;
        }
        let last = header_text(&row, "").replacen('}', r#","alg":"none"}"#, 1);
        row.refuses("alg none last", valid().raw_header(last), "assertion.json").await;
    }

    "JH-27" a_token_of_another_kind_is_refused(row) {
        let valid = || row.partner().assertion();
        row.accepts("an assertion", valid()).await;
        let kinds = ["at+jwt", "wit+jwt", "dpop+jwt", "secevent+jwt", "logout+jwt", "application/at+jwt", "AT+JWT"];
        for kind in kinds {
            row.refuses(kind, valid().header("typ", kind), "claims.token_type").await;
        }
        row.refuses("typ is a number", valid().header("typ", 1), "assertion.header_type").await;
    }

    "JH-28" every_usual_typ_is_accepted_and_none_at_all(row) {
        let valid = || row.partner().assertion();
        for kind in ["JWT", "JOSE", "client-authentication+jwt"] {
            row.accepts(kind, valid().header("typ", kind)).await;
        }
        row.accepts("no typ", valid().without_header("typ")).await;
        row.accepts("Kubernetes, no typ", row.broker.platforms.kubernetes.assertion()).await;
    }

    "JH-29" typ_is_compared_without_case_or_prefix(row) {
        let valid = || row.partner().assertion();
        for kind in ["jwt", "application/client-authentication+jwt", "application/jwt"] {
            row.accepts(kind, valid().header("typ", kind)).await;
        }
    }

    "JH-30" a_token_inside_a_token_is_refused(row) {
        let valid = || row.partner().assertion();
        row.accepts("not nested", valid()).await;
        let inner = valid().header("alg", "none").signature(b"").compact();
        let nested = valid().raw_claims(inner);
        row.refuses("cty", nested.clone().header("cty", "JWT"), "assertion.forbidden_header").await;
        row.refuses("no cty", nested, "assertion.json").await;
    }

    "JH-32" an_encrypted_token_is_refused_before_it_is_opened(row) {
        let valid = || row.partner().assertion();
        row.accepts("signed", valid()).await;
        let header = json!({ "alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2_147_483_648u64, "p2s": "c2FsdA" });
        let encrypted = format!("{}.AAAA.AAAA.AAAA.AAAA", base64url(header.to_string()));
        row.refuses("five parts", encrypted, "assertion.not_compact").await;
        for (name, value) in [("zip", json!("DEF")), ("p2c", json!(2_147_483_648u64)), ("enc", json!("A128GCM"))] {
            row.refuses(name, valid().header(name, value), "assertion.forbidden_header").await;
        }
        let dense = base64url([0; 4096]);
        row.refuses("zip, five parts", format!("{dense}.{dense}.AAAA.{dense}.AAAA"), "assertion.too_large").await;
    }

    "JH-33" json_serialization_is_refused(row) {
        let valid = row.partner().assertion().compact();
        row.accepts("compact", valid.clone()).await;
        let parts: Vec<&str> = valid.split('.').collect();
        let one = json!({ "protected": parts[0], "signature": parts[2] });
        let flattened = json!({ "payload": parts[1], "protected": parts[0], "signature": parts[2] });
        let general = json!({ "payload": parts[1], "signatures": [one] });
        let polyglot = json!({ "payload": parts[1], "signatures": [one], "x": valid });
        let other_polyglot = format!("{{\"x\":\"{}\",\"y\":\"{}.{}\"}}", parts[0], parts[1], parts[2]);
        for text in [flattened.to_string(), general.to_string(), polyglot.to_string(), other_polyglot] {
            row.refuses(&text.clone(), text, "assertion.not_compact").await;
        }
    }

    "JH-35" a_header_is_an_object(row) {
        let valid = || row.partner().assertion();
        row.accepts("an object", valid()).await;
        for header in ["[]", "\"x\"", "1", "null", r#"["RS256","partner-1","JWT"]"#, ""] {
            let cause = if header.is_empty() { "assertion.not_compact" } else { "assertion.json" };
            row.refuses(header, valid().raw_header(header), cause).await;
        }
    }

    "JH-36" a_huge_header_is_refused_before_it_is_parsed(row) {
        let valid = || row.partner().assertion();
        row.accepts("a usual one", valid()).await;
        row.refuses("100 KiB", valid().header("x", "x".repeat(100 * 1024)), "assertion.too_large").await;
        let many = (0..10_000).fold(valid(), |many, count| many.header(&format!("x{count}"), 1));
        row.refuses("10,000 members", many, "assertion.too_large").await;
        let deep = header_text(&row, &format!("\"x\":{}1{},", "[".repeat(500), "]".repeat(500)));
        row.refuses("500 levels", valid().raw_header(deep), "assertion.json").await;
    }
}
