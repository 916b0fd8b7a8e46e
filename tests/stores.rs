//! What every store promises, asked of each of them: the embedded one and PostgreSQL.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    unreachable_pub
)]

mod support;

#[path = "stores/backend.rs"]
mod backend;
#[path = "stores/conformance.rs"]
mod conformance;
#[path = "stores/ended.rs"]
mod ended;
#[path = "stores/outages.rs"]
mod outages;
#[path = "stores/records.rs"]
mod records;
#[path = "stores/replicas.rs"]
mod replicas;
