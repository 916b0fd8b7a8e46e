//! What durability costs: the same exchanges with the data in memory (a tmpfs: a sync costs nothing), on the disk (the
//! embedded store, full sync), and in PostgreSQL on the same cores.
//!
//! Server, load and database share all cores. Each round measures all three, first at full load, then at half the rate of
//! the one without durability, for the times. Run it with `scripts/bench --bench durability`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::disallowed_methods, missing_docs)]

use std::path::{Path, PathBuf};

use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;

#[allow(dead_code, unreachable_pub)]
mod load;
#[path = "../tests/support/postgres.rs"]
#[allow(dead_code, unreachable_pub)]
mod postgres;

use load::{Broker, assertions, exchange_request};

fn main() {
    let exchanges = argument("--exchanges").unwrap_or(15_000);
    let rounds = argument("--rounds").unwrap_or(3);
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let server = postgres::Server::start();
    println!(
        "{:<8}{:<12}{:>12}{:>10}{:>22}{:>10}",
        "round", "store", "exchanges/s", "ratio", "p99 ms, half load", "ratio"
    );
    for round in 1..=rounds {
        let database = server.database();
        let shared = format!(
            "store: {{ postgres: \"{}\" }}\nkey_encryption_key: {{ environment: BENCH_KEK }}\n",
            database.url()
        );
        let stores = [
            ("memory", PathBuf::from("/dev/shm"), ""),
            ("disk", std::env::temp_dir(), ""),
            ("postgresql", std::env::temp_dir(), shared.as_str()),
        ];
        let (mut first_rate, mut first_p99) = (0.0, 0.0);
        for (name, place, more) in stores {
            let (rate, p99) = measured(&key, &place, more, (exchanges, first_rate));
            if first_rate == 0.0 {
                (first_rate, first_p99) = (rate, p99);
            }
            println!("{round:<8}{name:<12}{rate:>12.0}{:>10.2}{p99:>22.2}{:>10.2}", rate / first_rate, p99 / first_p99);
        }
    }
}

/// Exchanges a second at full load, and the 99th percentile at half of `reference` (half of its own rate when that is 0).
fn measured(key: &RsaKeyPair, place: &Path, more: &str, (exchanges, reference): (usize, f64)) -> (f64, f64) {
    let data = place.join(format!("countersign-durability-{}", std::process::id()));
    let broker = Broker::start(&data, key, ("0-1", more));
    let requests = || assertions(key, exchanges).into_iter().map(|token| exchange_request(&token)).collect::<Vec<_>>();
    let rate = 1e6 / broker.drive(requests()).mean;
    let half = if reference == 0.0 { rate } else { reference.min(rate) } / 2.0;
    let p99 = broker.paced(requests(), half).p99;
    drop(broker);
    let _ = std::fs::remove_dir_all(&data);
    (rate, p99)
}

fn argument(name: &str) -> Option<usize> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1).and_then(|value| value.parse().ok())
}
