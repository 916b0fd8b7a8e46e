//! oauth-http, the form: one well-formed OAuth request, each parameter once, in the body.

use crate::row::NO_RECORD;
use crate::support::JWT_BEARER;
use crate::support::wire::{Request, form};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const KIB: usize = 1024;

/// A valid request's form.
fn valid_form(row: &crate::row::Row) -> String {
    let assertion = row.partner().assertion().compact();
    form(&[
        ("grant_type", "client_credentials"),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", &assertion),
    ])
}

rows! {
    "OA-01" get_is_refused_at_the_token_endpoint(row) {
        row.accepts("POST", row.partner().assertion()).await;
        let query = Request::get(&format!("/oauth2/token?{}", valid_form(&row)));
        let reply = row.refuses("GET", query, NO_RECORD).await;
        assert_eq!(reply.header("allow"), Some("POST"));
    }

    "OA-02" credentials_in_the_query_are_refused(row) {
        row.accepts("in the body", row.partner().assertion()).await;
        let in_query = |query: &str, body: &str| Request::token_body(body).to("POST", &format!("/oauth2/token?{query}"));
        let all = in_query(&valid_form(&row), "");
        row.refuses("all in the query", all, "request.parameter_in_query").await;
        let both = in_query("client_secret=x&client_assertion=y", &valid_form(&row));
        row.refuses("beside a good body", both, "request.parameter_in_query").await;
        let encoded = in_query("client%5Fsecret=x", &valid_form(&row));
        row.refuses("with an encoded name", encoded, "request.parameter_in_query").await;
    }

    "OA-03" a_grant_type_is_there(row) {
        row.accepts("with it", row.partner().assertion()).await;
        let rest = valid_form(&row).replace("grant_type=client_credentials&", "");
        row.refuses("missing", Request::token_body(rest.as_str()), "request.missing_parameter").await;
        let empty = Request::token_body(format!("grant_type=&{rest}"));
        row.refuses("empty", empty, "request.missing_parameter").await;
        row.refuses("an empty body", Request::token_body(""), "request.missing_parameter").await;
    }

    "OA-04" an_unknown_grant_type_is_refused(row) {
        row.accepts("a known one", row.partner().assertion()).await;
        for grant in ["password", "foo", "CLIENT_CREDENTIALS", "authorization_code", "refresh_token"] {
            let request = Request::token_body(valid_form(&row).replace("client_credentials", grant));
            row.refuses(grant, request, "request.unsupported_grant").await;
        }
    }

    "OA-05" a_client_with_a_secret_may_not_exchange_tokens(row) {
        let client = row.broker.credential("secret", "partner-build").await;
        let subject = row.partner().assertion().compact();
        let with = |fields: &[(&str, &str)]| {
            let own = [("client_id", client.client_id.as_str()), ("client_secret", client.secret.as_str())];
            Request::token(&[fields, &own].concat())
        };
        row.accepts("client_credentials", with(&[("grant_type", "client_credentials")])).await;
        let exchange = with(&[
            ("grant_type", EXCHANGE),
            ("subject_token", &subject),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ]);
        row.refuses("token exchange", exchange, "client_auth.grant_not_allowed").await;
    }

    "OA-06" a_core_parameter_stands_once(row) {
        row.accepts("each once", Request::token_body(format!("{}&scope=service%3Amy-api", valid_form(&row)))).await;
        for name in ["grant_type", "client_id", "client_secret", "scope", "client_assertion", "client_assertion_type"] {
            for (first, second) in [("a", "a"), ("a", "b"), ("a", ""), ("", "a"), ("", "")] {
                let body = format!("{name}={first}&{name}={second}&{}", valid_form(&row));
                row.refuses(name, Request::token_body(body), "request.repeated_parameter").await;
            }
            let encoded = format!("{}&{name}=a&%{:02x}{}=a", valid_form(&row), name.as_bytes()[0], &name[1..]);
            row.refuses("an encoded name", Request::token_body(encoded), "request.repeated_parameter").await;
        }
        let unknown = format!("{}&x=1&x=2&resource=https%3A%2F%2Fbroker.example.com", valid_form(&row));
        row.accepts("an unknown one may", Request::token_body(unknown)).await;
    }

    "OA-09" a_json_body_is_refused(row) {
        row.accepts("a form", row.partner().assertion()).await;
        let json = Request::token_body(r#"{"grant_type":"client_credentials"}"#);
        let json = json.replace_header("Content-Type", "application/json");
        row.refuses("JSON", json, "request.not_a_form").await;
        let labelled = Request::token_body(valid_form(&row)).replace_header("Content-Type", "application/json");
        row.refuses("a form labelled JSON", labelled, "request.not_a_form").await;
    }

    "OA-10" any_other_content_type_is_refused(row) {
        let valid = || Request::token_body(valid_form(&row));
        row.accepts("a form", valid()).await;
        for kind in ["multipart/form-data; boundary=x", "text/plain", "application/x-www-form-urlencoded-x", ""] {
            row.refuses(kind, valid().replace_header("Content-Type", kind), "request.not_a_form").await;
        }
        row.refuses("none", valid().without_header("Content-Type"), "request.not_a_form").await;
        let twice = valid().header("Content-Type", "text/plain");
        row.refuses("two", twice, "request.not_a_form").await;
    }

    "OA-11" a_form_is_in_utf_8(row) {
        let labelled = |charset: &str| {
            let kind = format!("application/x-www-form-urlencoded; charset={charset}");
            Request::token_body(valid_form(&row)).replace_header("Content-Type", &kind)
        };
        for charset in ["UTF-8", "utf-8", "\"UTF-8\""] {
            row.accepts(charset, labelled(charset)).await;
        }
        for charset in ["ISO-8859-1", "UTF-16", "utf-7", "\"\""] {
            row.refuses_as((400, "invalid_request"), charset, labelled(charset), "request.not_a_form").await;
        }
    }

    "OA-12" broken_percent_encoding_is_refused(row) {
        row.accepts("none broken", row.partner().assertion()).await;
        for broken in ["%ZZ", "%", "%G0", "%4", "%ff", "%c0%af"] {
            let value = Request::token_body(format!("{}&state={broken}", valid_form(&row)));
            row.refuses(broken, value, "request.malformed").await;
            let name = Request::token_body(format!("{}&{broken}=x", valid_form(&row)));
            row.refuses(broken, name, "request.malformed").await;
        }
    }

    "OA-14" a_semicolon_does_not_separate_parameters(row) {
        row.accepts("ampersands", row.partner().assertion()).await;
        let body = Request::token_body("a=1;grant_type=client_credentials");
        row.refuses("one pair", body, "request.missing_parameter").await;
        let all = Request::token_body(valid_form(&row).replace('&', ";"));
        row.refuses_as((400, "unsupported_grant_type"), "all pairs", all, "request.unsupported_grant").await;
    }

    "OA-15" control_characters_are_refused(row) {
        row.accepts("none", row.partner().assertion()).await;
        for (name, value) in [("client_id", "a%00b"), ("scope", "a%0d%0ab"), ("client_id", "a%0ab"), ("scope", "a%7fb")] {
            let body = Request::token_body(format!("{}&{name}={value}", valid_form(&row)));
            row.refuses(value, body, "request.malformed").await;
        }
        let name = Request::token_body(format!("{}&a%00=b", valid_form(&row)));
        row.refuses("in a name", name, "request.malformed").await;
        let raw = Request::token_body([valid_form(&row).as_bytes(), b"&client_id=a\x01b"].concat());
        row.refuses("unescaped", raw, "request.malformed").await;
    }

    "OA-16" an_oversized_body_is_refused(row) {
        let padded = |length: usize| {
            let form = valid_form(&row);
            let padding = "x".repeat(length - form.len() - 3);
            Request::token_body(format!("{form}&p={padding}"))
        };
        row.accepts("1 MiB", padded(KIB * KIB)).await;
        row.refuses("one byte more", padded(KIB * KIB + 1), "request.too_large").await;
        row.refuses("8 MiB", padded(8 * KIB * KIB), NO_RECORD).await;
        let many = (0..10_000).fold(valid_form(&row), |many, count| format!("{many}&p{count}=1"));
        row.refuses("10,000 parameters", Request::token_body(many), "request.too_large").await;
        let just_over = format!("p={}&{}", "x".repeat(KIB * KIB), valid_form(&row));
        row.refuses("1 MiB beside the assertion", Request::token_body(just_over), "request.too_large").await;
    }

    "OA-17" a_compressed_body_is_refused(row) {
        let valid = || Request::token_body(valid_form(&row));
        row.accepts("plain", valid()).await;
        row.accepts("identity", valid().header("Content-Encoding", "identity")).await;
        for coding in ["gzip", "br", "deflate", "gzip, identity"] {
            row.refuses(coding, valid().header("Content-Encoding", coding), "request.content_coding").await;
        }
        let gzip = Request::token_body(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03".to_vec());
        row.refuses("gzip bytes", gzip.header("Content-Encoding", "gzip"), "request.content_coding").await;
    }

    "OA-31" a_scope_follows_its_grammar(row) {
        let asking = |scope: &str| row.broker.token_request(&row.partner().assertion().compact(), &[("scope", scope)]);
        row.accepts("one", asking("service:my-api")).await;
        row.accepts("two", asking("service:my-api service:billing/read")).await;
        for scope in ["a\"b", "a\\b", "service:my-api  service:billing/read", " service:my-api", "service:my-api ", "é"] {
            row.refuses(scope, asking(scope), "request.scope").await;
        }
        row.refuses("twice", asking("service:my-api service:my-api"), "request.scope").await;
        let many: Vec<String> = (0..10_000).map(|count| format!("s{count}")).collect();
        row.refuses("10,000", asking(&many.join(" ")), "request.scope").await;
        row.refuses("257 bytes", asking(&"s".repeat(257)), "request.scope").await;
        row.refuses("a tab", asking("service:my-api\tservice:billing/read"), "request.scope").await;
    }

    "OA-32" a_scope_nobody_granted_is_refused(row) {
        let asking = |scope: &str| row.broker.token_request(&row.partner().assertion().compact(), &[("scope", scope)]);
        row.accepts("a granted one", asking("service:my-api")).await;
        for scope in ["admin", "service:*", "service:billing", "service:billing/", "service:my-api admin"] {
            row.refuses(scope, asking(scope), "mint.scope").await;
        }
    }

    "OA-33" a_success_has_no_refresh_token(row) {
        let reply = row.accepts("client_credentials", row.partner().assertion()).await;
        assert!(reply.json().get("refresh_token").is_none());
        assert!(reply.json().get("id_token").is_none());
    }
}
