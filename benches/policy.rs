//! What a decision, a load and a reload cost with 10, 1,000, 100,000 and 1,000,000 policies.
//!
//! The sets are the mix that a large organization would have: ten issuers of five kinds, exact ids, globs, prefixes,
//! conditions and templates, a hundred policies a file. Memory is what the process holds more after the load. Run it with
//! `scripts/bench --bench policy`, or with sizes of your own: `scripts/bench --bench policy -- 10 1000`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::cast_precision_loss, missing_docs)]

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use countersign::clock::Clock;
use countersign::config;
use countersign::diagnostic::Diagnostics;
use countersign::issuer::Issuers;
use countersign::policy::{PolicySet, judge};
use countersign::vocab::{IssuerName, UnixTime};
use serde_json::{Map, Value, json};

/// Policies a file.
const FILE: usize = 100;
/// Issuers; policy `n` is of issuer `n % 10`.
const ISSUERS: usize = 10;
/// Decisions that are timed; claims of as many policies, spread over the set.
const DECISIONS: usize = 20_000;

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![10, 1_000, 100_000, 1_000_000] } else { sizes };
    println!(
        "{:>10}{:>12}{:>16}{:>14}{:>14}{:>14}{:>14}",
        "policies", "load s", "bytes a policy", "admitted µs", "refused µs", "p99 µs", "to first size"
    );
    let mut first = None;
    for size in sizes {
        let directory = tempfile::tempdir().unwrap();
        let issuers = write(directory.path(), size);
        let before = resident();
        let started = Instant::now();
        let mut faults = Diagnostics::new();
        let now = Clock::system().now();
        let set = PolicySet::load(&directory.path().join("policies"), &issuers, now, &mut faults);
        let load = started.elapsed();
        assert!(!faults.has_errors() && set.len() == size, "{faults}");
        let memory = resident().saturating_sub(before);
        let admitted = decide(&set, size, now, true);
        let refused = decide(&set, size, now, false);
        let mean = |times: &[Duration]| times.iter().sum::<Duration>().as_secs_f64() * 1e6 / times.len() as f64;
        let p99 = admitted[admitted.len() * 99 / 100].as_secs_f64() * 1e6;
        let ratio = mean(&admitted) / *first.get_or_insert(mean(&admitted));
        println!(
            "{size:>10}{:>12.2}{:>16.0}{:>14.2}{:>14.2}{p99:>14.2}{ratio:>14.2}",
            load.as_secs_f64(),
            memory as f64 / size as f64,
            mean(&admitted),
            mean(&refused),
        );
    }
}

/// How long decisions take, ascending.
fn decide(set: &PolicySet, size: usize, now: UnixTime, admitted: bool) -> Vec<Duration> {
    let all: Vec<(IssuerName, Map<String, Value>)> = (0..DECISIONS)
        .map(|turn| {
            let number = turn.wrapping_mul(7_919) % size;
            let mut claims = claims(number);
            if !admitted {
                spoil(&mut claims);
            }
            (IssuerName::parse(&format!("issuer-{}", number % ISSUERS)).unwrap(), claims)
        })
        .collect();
    let mut times: Vec<Duration> = all
        .iter()
        .map(|(issuer, claims)| {
            let started = Instant::now();
            let outcome = judge(set, issuer, claims, None, now);
            let time = started.elapsed();
            assert_eq!(outcome.is_ok(), admitted, "{claims:?}: {outcome:?}");
            time
        })
        .collect();
    times.sort();
    times
}

fn spoil(claims: &mut Map<String, Value>) {
    let nested = claims.get_mut("kubernetes.io").and_then(|nested| nested.pointer_mut("/serviceaccount/uid"));
    if let Some(uid) = nested {
        *uid = json!("another");
    }
    for name in ["ref", "oid", "sub"] {
        if let Some(Value::String(text)) = claims.get_mut(name) {
            text.insert(0, 'x');
        }
    }
}

/// Writes configuration and policies, and reads the configuration.
fn write(directory: &Path, size: usize) -> Issuers {
    let mut issuers = String::new();
    for number in 0..ISSUERS {
        let settings = match number {
            0..4 => format!("kind: github-actions, url: \"https://ghes-{number}.example/_services/token\""),
            4 | 5 => format!("kind: gitlab, url: \"https://gitlab-{number}.example\""),
            6 | 7 => format!("kind: kubernetes, url: \"https://cluster-{number}.example\""),
            8 => "kind: azure, tenant: 6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94".to_owned(),
            _ => "kind: spiffe, trust_domain: prod.acme.example, \
                  bundle: { url: \"https://spire.example\", profile: https_web }"
                .to_owned(),
        };
        writeln!(issuers, "  issuer-{number}: {{ {settings} }}").unwrap();
    }
    let text = format!("issuer: https://broker.example.com\nissuers:\n{issuers}");
    for name in ["policies", "services", "trust-bundles"] {
        std::fs::create_dir_all(directory.join(name)).unwrap();
    }
    std::fs::write(directory.join("countersign.yaml"), text).unwrap();
    for file in 0..size.div_ceil(FILE) {
        let numbers = file * FILE..size.min((file + 1) * FILE);
        let text: Vec<String> = numbers.map(policy).collect();
        std::fs::write(directory.join(format!("policies/{file}.yaml")), text.join("---\n")).unwrap();
    }
    let config = config::load(&directory.join("countersign.yaml"), &[]).unwrap();
    Issuers::new(&config.issuers, &config.issuer)
}

fn policy(number: usize) -> String {
    let matching = match number % ISSUERS {
        0..4 => {
            let workflow = format!("{{ glob: \"acme/ci/.github/workflows/app-{number}.yml@refs/tags/*\" }}");
            let workflow =
                if number.is_multiple_of(3) { workflow } else { "acme/ci/.github/workflows/d.yml@v1".into() };
            format!(
                "  repository_owner_id: \"65\"\n  repository_id: \"{number}\"\n  event_name: [push, workflow_dispatch]\n  \
                 ref: refs/heads/main\n  job_workflow_ref: {workflow}\n"
            )
        }
        4 | 5 => format!("  project_id: \"{number}\"\n  ref: main\n  ref_type: branch\n  ref_protected: \"true\"\n"),
        6 | 7 => format!(
            "  /kubernetes.io/namespace: team-{}\n  /kubernetes.io/serviceaccount/name: app-{number}\n  \
             /kubernetes.io/serviceaccount/uid: uid-{number}\n",
            number / 50
        ),
        8 => format!("  tid: 6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94\n  oid: 00000000-0000-4000-8000-{number:012}\n"),
        _ if number % 20 == 9 => {
            format!("  sub: spiffe://prod.acme.example/ns/team-{}/sa/app-{number}\n", number / 50)
        }
        _ => format!("  sub: {{ glob: \"spiffe://prod.acme.example/ns/app-{number}/*\" }}\n"),
    };
    let condition = match number % 20 {
        1 => "condition: claims.run_attempt == \"1\" && claims.runner_environment == \"github-hosted\"\n",
        _ => "",
    };
    format!(
        "policy: policy-{number}\nissuer: issuer-{}\nmatch:\n{matching}{condition}user: user-{number}\nscopes: \
         [\"service:app-{number}\", \"service:shared\"]\ntoken: {{ lifetime: 10m }}\nattributes: {{ team: \
         \"team-{}\" }}\n",
        number % ISSUERS,
        number / 50
    )
}

/// Claims that policy `number` admits, in the size of real ones.
fn claims(number: usize) -> Map<String, Value> {
    let value = match number % ISSUERS {
        0..4 => json!({
            "repository": format!("acme/app-{number}"), "repository_id": number.to_string(), "repository_owner": "acme",
            "repository_owner_id": "65", "event_name": "push", "ref": "refs/heads/main", "ref_type": "branch",
            "ref_protected": "true", "run_id": "1", "run_attempt": "1", "run_number": "7", "actor": "ann",
            "actor_id": "12", "sha": "0123456789abcdef0123456789abcdef01234567", "workflow": "deploy",
            "runner_environment": "github-hosted", "repository_visibility": "private",
            "workflow_ref": format!("acme/app-{number}/.github/workflows/deploy.yml@refs/heads/main"),
            "job_workflow_ref": if number.is_multiple_of(3) {
                format!("acme/ci/.github/workflows/app-{number}.yml@refs/tags/v1")
            } else {
                "acme/ci/.github/workflows/d.yml@v1".to_owned()
            },
            "sub": format!("repo:acme/app-{number}:ref:refs/heads/main"),
        }),
        4 | 5 => json!({
            "project_id": number.to_string(), "project_path": format!("acme/app-{number}"), "namespace_id": "72",
            "ref": "main", "ref_type": "branch", "ref_protected": "true", "pipeline_id": "1", "job_id": "302",
            "sub": format!("project_path:acme/app-{number}:ref_type:branch:ref:main"), "environment": "prod",
        }),
        6 | 7 => json!({
            "sub": format!("system:serviceaccount:team-{}:app-{number}", number / 50),
            "ref": "", "kubernetes.io": {
                "namespace": format!("team-{}", number / 50),
                "serviceaccount": { "name": format!("app-{number}"), "uid": format!("uid-{number}") },
                "pod": { "name": "app-1", "uid": "p" }, "node": { "name": "n", "uid": "n" },
            },
        }),
        8 => json!({
            "tid": "6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94", "oid": format!("00000000-0000-4000-8000-{number:012}"),
            "sub": format!("00000000-0000-4000-8000-{number:012}"), "appid": "a", "ver": "2.0",
        }),
        _ if number % 20 == 9 => {
            json!({ "sub": format!("spiffe://prod.acme.example/ns/team-{}/sa/app-{number}", number / 50) })
        }
        _ => json!({ "sub": format!("spiffe://prod.acme.example/ns/app-{number}/web") }),
    };
    value.as_object().unwrap().clone()
}

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
