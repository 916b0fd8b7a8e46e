//! A broker under load: the release binary, GitHub-like assertions, keep-alive connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

const CONNECTIONS: usize = 64;
const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// The release binary.
pub struct Broker {
    process: Child,
    address: SocketAddr,
}

impl Broker {
    /// Starts it on these cores, with more lines of configuration.
    pub fn start(data: &std::path::Path, key: &RsaKeyPair, (cores, more): (&str, &str)) -> Broker {
        for directory in ["policies", "services", "trust-bundles"] {
            std::fs::create_dir_all(data.join(directory)).unwrap();
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "issuer: https://broker.example.com\nlisten: 127.0.0.1:{port}\nissuers:\n  github: {{ kind: github-actions, \
             keys: {{ file: github.json }} }}\n{more}"
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
            .args(["-c", cores, env!("CARGO_BIN_EXE_countersign"), "serve", "--config"])
            .arg(data.join("countersign.yaml"))
            .env("RUST_LOG", "error")
            .env("BENCH_KEK", "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0ISEhISE=")
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
    pub fn drive(&self, requests: Vec<Vec<u8>>) -> Driven {
        let (before, count) = (self.cpu_micros(), requests.len() as f64);
        let driven = drive(self.address, requests, 200);
        Driven { cpu: (self.cpu_micros() - before) / count, ..driven }
    }

    /// Sends exchanges at this rate.
    pub fn paced(&self, requests: Vec<Vec<u8>>, rate: f64) -> Driven {
        paced(self.address, requests, rate)
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
pub fn assertions(key: &RsaKeyPair, count: usize) -> Vec<String> {
    let fixture: Value = serde_json::from_str(include_str!("../../fixtures/github-actions/claims.json")).unwrap();
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

pub fn exchange_request(assertion: &str) -> Vec<u8> {
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

pub struct Driven {
    /// Wall µs a request, at full load.
    pub mean: f64,
    /// ms.
    pub p50: f64,
    pub p99: f64,
    /// Server CPU µs a request.
    pub cpu: f64,
}

/// Sends the requests at this rate (a second), whether or not earlier ones were answered on other connections. A request's
/// time counts from when it was due.
pub fn paced(address: SocketAddr, requests: Vec<Vec<u8>>, rate: f64) -> Driven {
    let requests = Arc::new(requests);
    let started = Instant::now();
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            let requests = Arc::clone(&requests);
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut buffer = vec![0; 16 * 1024];
                let mine = requests.iter().enumerate().skip(connection).step_by(CONNECTIONS);
                let times = mine.map(|(index, request)| {
                    let due = started + Duration::from_secs_f64(index as f64 / rate);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    stream.write_all(request).unwrap();
                    assert_eq!(read_answer(&mut stream, &mut buffer), 200);
                    due.elapsed()
                });
                times.collect::<Vec<_>>()
            })
        })
        .collect();
    summary(started, threads)
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
    summary(started, threads)
}

fn summary(started: Instant, threads: Vec<std::thread::JoinHandle<Vec<Duration>>>) -> Driven {
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
