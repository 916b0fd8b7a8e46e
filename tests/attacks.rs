//! Bad input gets what `attacks/catalogue.tsv` says: every row is a test through HTTP that first shows the nearest valid
//! input accepted, then sends each bad variant and reads the audit record, so that it is refused for its own reason.
//!
//! Rows that wait for a feature are in [`LEFT_OUT`], with the reason; a test holds that no row is forgotten.

#![allow(
    clippy::string_slice,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

#[path = "attacks/row.rs"]
#[macro_use]
mod row;
#[path = "attacks/issuer_row.rs"]
#[macro_use]
mod issuer_row;

#[path = "attacks/audience.rs"]
mod audience;
#[path = "attacks/crypto_curves.rs"]
mod crypto_curves;
#[path = "attacks/crypto_rsa.rs"]
mod crypto_rsa;
#[path = "attacks/encoding.rs"]
mod encoding;
#[path = "attacks/issuer.rs"]
mod issuer;
#[path = "attacks/jose_algorithm.rs"]
mod jose_algorithm;
#[path = "attacks/jose_header.rs"]
mod jose_header;
#[path = "attacks/jwks_content.rs"]
mod jwks_content;
#[path = "attacks/jwks_fetch.rs"]
mod jwks_fetch;
#[path = "attacks/jwks_network.rs"]
mod jwks_network;
#[path = "attacks/mapping.rs"]
mod mapping;
#[path = "attacks/oauth_authentication.rs"]
mod oauth_authentication;
#[path = "attacks/oauth_request.rs"]
mod oauth_request;
#[path = "attacks/oauth_wire.rs"]
mod oauth_wire;
#[path = "attacks/secret.rs"]
mod secret;
#[path = "attacks/spiffe.rs"]
mod spiffe;
#[path = "attacks/spiffe_bundle.rs"]
mod spiffe_bundle;
#[path = "attacks/spiffe_certificate.rs"]
mod spiffe_certificate;
#[path = "attacks/spiffe_endpoint.rs"]
mod spiffe_endpoint;
#[path = "attacks/time.rs"]
mod time;

use std::collections::BTreeSet;

/// Rows without a test, and why.
const LEFT_OUT: [(&str, &str); 0] = [];

#[test]
fn every_row_of_the_catalogue_is_tested_or_left_out_with_a_reason() {
    let areas = [
        audience::TESTED,
        crypto_curves::TESTED,
        crypto_rsa::TESTED,
        encoding::TESTED,
        issuer::TESTED,
        jose_algorithm::TESTED,
        jose_header::TESTED,
        jwks_content::TESTED,
        jwks_fetch::TESTED,
        jwks_network::TESTED,
        mapping::TESTED,
        oauth_authentication::TESTED,
        oauth_request::TESTED,
        oauth_wire::TESTED,
        secret::TESTED,
        spiffe::TESTED,
        spiffe_bundle::TESTED,
        spiffe_certificate::TESTED,
        spiffe_endpoint::TESTED,
        time::TESTED,
    ];
    let tested: Vec<&str> = areas.concat();
    let left_out = LEFT_OUT.iter().map(|(id, _)| *id);
    let covered: BTreeSet<&str> = tested.iter().copied().chain(left_out).collect();
    let catalogue: BTreeSet<&str> = row::catalogue().map(|entry| entry.id).collect();
    assert_eq!(covered, catalogue);
    assert_eq!(covered.len(), tested.len() + LEFT_OUT.len(), "a row has two tests, or is tested and left out");
}
