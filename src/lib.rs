//! Countersign: a workload's own identity token in, a short-lived cluster access token out.
//!
//! The modules stand in the order of a token's path; each imports only modules above it (`tests/layering.rs`).
//! Start reading at [`exchange`].

pub mod vocab;
pub mod clock;
pub mod json;
pub mod json_schema;
pub mod diagnostic;
pub mod yaml;
pub mod condition;
pub mod kind;
pub mod config;
pub mod store;
pub mod request;
pub mod client_auth;
pub mod issuer;
pub mod key;
pub mod claims;
pub mod policy;
pub mod review;
pub mod workload;
pub mod mint;
pub mod audit;
pub mod exchange;
pub mod relying_party;
pub mod gateway;
pub mod platform;
pub mod broker;
pub mod http;
pub mod admin;
pub mod cli;
