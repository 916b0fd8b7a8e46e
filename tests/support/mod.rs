//! What every end-to-end test stands on: issuers with keys, assertions that change one thing, a broker on port 0.
//!
//! Only `broker.rs` knows how the program is started; everything else speaks HTTP to it.

#![allow(dead_code, unreachable_pub)] // each test program uses its own part of this

pub mod api_server;
pub mod assertion;
pub mod broker;
pub mod certificates;
pub mod cluster;
pub mod faulty;
pub mod issuer;
pub mod keys;
pub mod minted;
pub mod mutual_tls;
pub mod platform;
pub mod postgres;
pub mod process;
pub mod raw_rsa;
pub mod setup;
pub mod wire;

/// When every test begins: the `iat` of the fixtures, so that their times are valid as they stand.
pub const NOW: i64 = 1_790_000_000;
/// The broker's issuer identifier, which is also the audience of every valid assertion.
pub const BROKER: &str = "https://broker.example.com";
/// RFC 7523 §2.2.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// draft-ietf-oauth-spiffe-client-auth §3.1.
pub const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
