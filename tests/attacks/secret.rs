//! secret: only the secret that was handed out, byte for byte, while it lasts.
//!
//! SE-01's time is not measured: on a shared machine such a test would fail or pass by chance. What it can show is that
//! every kind of wrong secret takes the same way to the same answer; the constant-time comparison is held beside its code.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::row::NO_RECORD;
use crate::support::wire::Request;

/// A form with this client id and secret.
fn post(client_id: &str, secret: &str) -> Request {
    Request::token(&[("grant_type", "client_credentials"), ("client_id", client_id), ("client_secret", secret)])
}

/// `text` with the character at `at` changed.
fn changed_at(text: &str, at: usize) -> String {
    let change = |(index, found): (usize, char)| match (index == at, found) {
        (true, 'x') => 'y',
        (true, _) => 'x',
        (false, same) => same,
    };
    text.chars().enumerate().map(change).collect()
}

rows! {
    "SE-01" a_secret_is_wrong_wherever_it_differs(row) {
        let client = row.broker.credential("client", "partner-build").await;
        row.accepts("right", post(&client.client_id, &client.secret)).await;
        let last = client.secret.len() - 1;
        for at in [0, 9, last / 2, last] {
            let wrong = changed_at(&client.secret, at);
            row.refuses("one character", post(&client.client_id, &wrong), "secret.wrong").await;
        }
        let shorter = &client.secret[..last];
        row.refuses("without its end", post(&client.client_id, shorter), "secret.wrong").await;
        let longer = format!("{}x", client.secret);
        row.refuses("with more", post(&client.client_id, &longer), "secret.wrong").await;
        row.refuses("an unknown client", post("cs-unknown", &client.secret), "secret.unknown_client").await;
        let other = row.broker.credential("other", "partner-build").await;
        row.refuses("another client's", post(&client.client_id, &other.secret), "secret.wrong").await;
    }

    "SE-03" an_empty_secret_is_no_secret(row) {
        let client = row.broker.credential("client", "partner-build").await;
        row.accepts("right", post(&client.client_id, &client.secret)).await;
        row.refuses("empty", post(&client.client_id, ""), "client_auth.none").await;
        row.refuses("a space", post(&client.client_id, " "), "secret.wrong").await;
        let bare = || Request::token(&[("grant_type", "client_credentials")]);
        row.refuses("empty by Basic", bare().basic(&client.client_id, ""), "secret.wrong").await;
        row.refuses("a space by Basic", bare().basic(&client.client_id, "+"), "secret.wrong").await;
    }

    "SE-04" the_stored_hash_is_not_the_secret(row) {
        let client = row.broker.credential("client", "partner-build").await;
        row.accepts("right", post(&client.client_id, &client.secret)).await;
        let hash = row.broker.stored_hash("client").await;
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        for text in [hex, STANDARD.encode(hash), URL_SAFE_NO_PAD.encode(hash)] {
            let prefixed = format!("cssecret_{text}");
            row.refuses("the hash", post(&client.client_id, &text), "secret.wrong").await;
            row.refuses("the hash with its prefix", post(&client.client_id, &prefixed), "secret.wrong").await;
        }
    }

    "SE-05" both_secrets_work_while_a_rotation_overlaps(row) {
        let client = row.broker.credential("client", "partner-build").await;
        row.accepts("before", post(&client.client_id, &client.secret)).await;
        let new = row.broker.rotate("client", Duration::from_secs(3600)).await;
        row.accepts("the new one", post(&client.client_id, &new)).await;
        row.accepts("the old one", post(&client.client_id, &client.secret)).await;
        row.broker.advance(Duration::from_secs(3599));
        row.accepts("the old one, a second before its end", post(&client.client_id, &client.secret)).await;
        row.broker.advance(Duration::from_secs(1));
        row.accepts("the new one, after the overlap", post(&client.client_id, &new)).await;
        let refused = (401, "invalid_client");
        row.refuses_as(refused, "the old one", post(&client.client_id, &client.secret), "secret.expired").await;
    }

    "SE-08" a_secret_is_compared_byte_for_byte(row) {
        let client = row.broker.credential("client", "partner-build").await;
        row.accepts("right", post(&client.client_id, &client.secret)).await;
        for more in ["\u{e9}", "e\u{301}", "\u{200b}"] {
            let wrong = format!("{}{more}", client.secret);
            row.refuses("in the form", post(&client.client_id, &wrong), "secret.wrong").await;
            let basic = Request::token(&[("grant_type", "client_credentials")]).basic(&client.client_id, &wrong);
            row.refuses("by Basic, UTF-8", basic, "secret.wrong").await;
        }
        let full_width: String = client.secret.replace('c', "\u{ff43}");
        row.refuses("full-width letters", post(&client.client_id, &full_width), "secret.wrong").await;
        let latin = STANDARD.encode([client.client_id.as_bytes(), b":", client.secret.as_bytes(), b"\xe9"].concat());
        let basic = Request::token(&[("grant_type", "client_credentials")]).header("Authorization", &format!("Basic {latin}"));
        row.refuses("by Basic, Latin-1", basic, "client_auth.authorization_header").await;
    }

    "SE-09" a_huge_secret_is_refused_before_it_is_hashed(row) {
        let client = row.broker.credential("client", "partner-build").await;
        row.accepts("right", post(&client.client_id, &client.secret)).await;
        row.refuses("600 bytes", post(&client.client_id, &"x".repeat(600)), "secret.wrong").await;
        row.refuses("900 KiB", post(&client.client_id, &"x".repeat(900 * 1024)), "secret.wrong").await;
        let vast = post(&client.client_id, &"x".repeat(1024 * 1024));
        row.refuses_as((413, "invalid_request"), "1 MiB: the body's limit first", vast, NO_RECORD).await;
    }
}
