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

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

const CONNECTIONS: usize = 64;
const ISSUER: &str = "https://token.actions.githubusercontent.com";

fn main() {
    keep_off_the_servers_core();
    let exchanges: usize = argument("--exchanges").unwrap_or(20_000);
    let rounds: usize = argument("--rounds").unwrap_or(3);
    let data = std::env::temp_dir().join(format!("countersign-bench-{}", std::process::id()));
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let broker = Broker::start(&data, &key);
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

/// The release binary, on core 0.
struct Broker {
    process: Child,
    address: SocketAddr,
}

impl Broker {
    fn start(data: &std::path::Path, key: &RsaKeyPair) -> Broker {
        for directory in ["policies", "services", "trust-bundles"] {
            std::fs::create_dir_all(data.join(directory)).unwrap();
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "issuer: https://broker.example.com\nlisten: 127.0.0.1:{port}\nissuers:\n  github: {{ kind: github-actions, \
             keys: {{ file: github.json }} }}\n"
        );
        std::fs::write(data.join("countersign.yaml"), config).unwrap();
        std::fs::write(data.join("trust-bundles/github.json"), jwks(key).to_string()).unwrap();
        for index in 0..10 {
            let (user, repository) = (format!("deployer-{index}"), 123_456 + index);
            let policy = format!(
                "policy: deploy-{index}\nissuer: github\nmatch:\n  repository_owner_id: \"65\"\n  repository_id: \
                 \"{repository}\"\n  event_name: [push, workflow_dispatch]\n  ref: refs/heads/main\n  environment: \
                 production\n  job_workflow_ref: {{ glob: \"acme/ci/.github/workflows/*.yml@refs/tags/*\" }}\nuser: \
                 {user}\nscopes: [\"service:my-api\"]\n"
            );
            std::fs::write(data.join(format!("policies/deploy-{index}.yaml")), policy).unwrap();
        }
        let process = Command::new("taskset")
            .args(["-c", "0", env!("CARGO_BIN_EXE_countersign"), "serve", "--config"])
            .arg(data.join("countersign.yaml"))
            .env("RUST_LOG", "error")
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("taskset (package util-linux) and the countersign binary");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(started.elapsed() < Duration::from_secs(30), "the broker did not start");
            std::thread::yield_now();
        }
        Broker { process, address }
    }
}

impl Broker {
    /// Sends the requests, and reads what CPU time they cost the server.
    fn drive(&self, requests: Vec<Vec<u8>>) -> Driven {
        let (before, count) = (self.cpu_micros(), requests.len() as f64);
        let driven = drive(self.address, requests, 200);
        Driven { cpu: (self.cpu_micros() - before) / count, ..driven }
    }

    /// User and system time of the server so far, from `/proc` (ticks of 10 ms).
    fn cpu_micros(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        ticks * 10_000.0
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn jwks(key: &RsaKeyPair) -> Value {
    let public = key.public_key();
    let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({ "keys": [{
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "bench",
        "n": number(public.modulus().big_endian_without_leading_zero()),
        "e": number(public.exponent().big_endian_without_leading_zero()),
    }] })
}

/// Assertions in the size and shape of GitHub's: about 2,000 characters, 30 claims.
fn assertions(key: &RsaKeyPair, count: usize) -> Vec<String> {
    let fixture: Value = serde_json::from_str(include_str!("../fixtures/github-actions/claims.json")).unwrap();
    let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"RS256","kid":"bench","x5t":"c2lnLXgI"}"#);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let random = SystemRandom::new();
    let sign = |index: usize| {
        let mut claims = fixture.clone();
        claims["iss"] = ISSUER.into();
        claims["aud"] = "https://broker.example.com".into();
        claims["jti"] = format!("bench-{now}-{}-{index}", NEXT.fetch_add(1, Ordering::Relaxed)).into();
        claims["iat"] = now.into();
        claims["nbf"] = (now - 600).into();
        claims["exp"] = (now + 3000).into();
        let mut token = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signed = vec![0; key.public_modulus_len()];
        key.sign(&signature::RSA_PKCS1_SHA256, &random, token.as_bytes(), &mut signed).unwrap();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signed, &mut token);
        token
    };
    (0..count).map(sign).collect()
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

fn exchange_request(assertion: &str) -> Vec<u8> {
    let body = format!(
        "grant_type=client_credentials&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
         &client_assertion={assertion}"
    );
    format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: b\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: \
         {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
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

struct Driven {
    /// Wall µs a request, at full load.
    mean: f64,
    /// ms.
    p50: f64,
    p99: f64,
    /// Server CPU µs a request.
    cpu: f64,
}

/// Sends every request once over 64 keep-alive connections, one outstanding each, from the other core.
fn drive(address: SocketAddr, requests: Vec<Vec<u8>>, expected: u16) -> Driven {
    let requests = Arc::new(requests);
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
            std::thread::spawn(move || one_connection(address, &requests, &next, expected))
        })
        .collect();
    let mut times: Vec<Duration> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let mean = started.elapsed().as_secs_f64() * 1e6 / times.len() as f64;
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    Driven { mean, p50: at(50), p99: at(99), cpu: 0.0 }
}

fn one_connection(address: SocketAddr, requests: &[Vec<u8>], next: &AtomicUsize, expected: u16) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut times = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        let sent = Instant::now();
        stream.write_all(request).unwrap();
        let status = read_answer(&mut stream, &mut buffer);
        assert_eq!(status, expected, "an exchange was refused: the figures would mean nothing");
        times.push(sent.elapsed());
    }
    times
}

fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> u16 {
    let mut filled = 0;
    loop {
        filled += stream.read(&mut buffer[filled..]).unwrap();
        let text = &buffer[..filled];
        let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&text[..end]).unwrap().to_ascii_lowercase();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |text| text.parse().unwrap());
        if filled >= end + 4 + length {
            return head[9..12].parse().unwrap();
        }
    }
}
