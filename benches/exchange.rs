//! How near an exchange comes to what its cryptography and an empty HTTP request cost.
//!
//! Three figures in one run, all with the server on one core and the load on another:
//!   - the exchange: GitHub-like assertions (RS256) in, ES256 tokens out, embedded store with full sync, policy, audit;
//!   - the floor: an empty HTTP request through the same server stack;
//!   - the cryptography: one RS256 verification and one ES256 signature, measured on one thread.
//!
//! The ratio is `1 / (verify + sign + empty request)` against the exchange's rate. Run it with `scripts/bench`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]
#![allow(clippy::print_stdout, clippy::cast_precision_loss, missing_docs)]

use std::process::Command;
use std::time::Instant;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

#[allow(dead_code, unreachable_pub)] // each benchmark uses its own part of it
mod load;

use load::{Broker, assertions, exchange_request};

fn main() {
    keep_off_the_servers_core();
    let exchanges: usize = argument("--exchanges").unwrap_or(20_000);
    let rounds: usize = argument("--rounds").unwrap_or(3);
    let data = std::env::temp_dir().join(format!("countersign-bench-{}", std::process::id()));
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let broker = Broker::start(&data, &key, ("0", ""));
    println!(
        "{:<28}{:>12}{:>12}{:>12}{:>12}{:>10}",
        "round", "verify µs", "sign µs", "empty µs", "exchange µs", "ratio"
    );
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let requests = assertions(&key, exchanges).into_iter().map(|token| exchange_request(&token)).collect();
        let (verify, sign) = cryptography(&key);
        let empty = vec![b"GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n".to_vec(); exchanges];
        let empty = broker.drive(empty);
        let exchange = broker.drive(requests);
        let ratio = (verify + sign + empty.mean) / exchange.mean;
        println!(
            "{:<28}{:>12.1}{:>12.1}{:>12.1}{:>12.1}{:>10.2}   p50 {:.2} ms, p99 {:.2} ms, {:.0}/s; server CPU {:.1} µs \
             an exchange, {:.1} µs an empty request",
            format!("{round} ({exchanges} exchanges)"),
            verify,
            sign,
            empty.mean,
            exchange.mean,
            ratio,
            exchange.p50,
            exchange.p99,
            1e6 / exchange.mean,
            exchange.cpu,
            empty.cpu
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2} of 1/(verify + sign + empty request)", ratios[ratios.len() / 2]);
    drop(broker);
    let _ = std::fs::remove_dir_all(&data);
}

/// Runs this program again on core 1, so that the load takes nothing from the server's core 0.
fn keep_off_the_servers_core() {
    use std::os::unix::process::CommandExt;
    const MARK: &str = "--on-core-1";
    if std::env::args().any(|argument| argument == MARK) {
        return;
    }
    let program = std::env::current_exe().unwrap();
    let error = Command::new("taskset").args(["-c", "1"]).arg(program).args(std::env::args().skip(1)).arg(MARK).exec();
    panic!("taskset (package util-linux) cannot run: {error}");
}

fn argument(name: &str) -> Option<usize> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1).and_then(|value| value.parse().ok())
}

/// µs of one RS256 verification and one ES256 signature with prepared keys.
fn cryptography(key: &RsaKeyPair) -> (f64, f64) {
    let token = assertions(key, 1).remove(0);
    let (message, signed) = token.rsplit_once('.').unwrap();
    let signed = URL_SAFE_NO_PAD.decode(signed).unwrap();
    let public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref()).unwrap();
    let verify = mean_of(2000, || public.verify_sig(message.as_bytes(), &signed).unwrap());
    let signer = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let random = SystemRandom::new();
    let sign = mean_of(2000, || {
        std::hint::black_box(signer.sign(&random, &message.as_bytes()[..600]).unwrap());
    });
    (verify, sign)
}

fn mean_of(count: u32, mut work: impl FnMut()) -> f64 {
    (0..200).for_each(|_| work());
    let started = Instant::now();
    (0..count).for_each(|_| work());
    started.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}
