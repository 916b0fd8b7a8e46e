//! What conditions cost: those that policies have, and the worst that load, over the worst tokens.
//!
//! The worst are searched for: expressions written for it, and as many made up as asked for, each over every token of
//! `condition/tokens.rs`. The run fails when one evaluation takes a millisecond, or more than its tree told. Run it
//! with `scripts/bench --bench condition`, or with more expressions: `scripts/bench --bench condition -- 200000`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::cast_precision_loss, missing_docs)]

#[path = "condition/expressions.rs"]
mod expressions;
#[path = "condition/tokens.rs"]
mod tokens;

use std::time::{Duration, Instant};

use countersign::condition::Condition;
use serde_json::{Map, Value};

const LIMIT: Duration = Duration::from_millis(1);
/// Measured over told, on a core like the one of docs/performance.md.
const MOST_OVER_TOLD: f64 = 1.0;
/// A slow evaluation is repeated, and the fastest counts: the others were interrupted. Those that stand out in the end
/// are repeated more often.
const REPEATS: usize = 5;
const REPEATS_OF_THE_SLOWEST: usize = 60;
const SLOWEST: usize = 200;

/// One evaluation that stands out.
struct Found {
    took: Duration,
    told: Duration,
    token: String,
    source: String,
}

impl Found {
    fn ratio(&self) -> f64 {
        self.took.as_secs_f64() / self.told.as_secs_f64()
    }
}

fn main() {
    let made_up = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(20_000);
    typical();
    let tokens = tokens::worst();
    let mut found: Vec<Found> = Vec::new();
    let (mut compiled, mut refused) = (0_usize, 0_usize);
    let written = expressions::written().into_iter();
    for source in written.chain(expressions::MadeUp::new(88_172_645_463_325_252).take(made_up)) {
        match Condition::compile(&source, &["claims"]) {
            Ok(condition) => {
                compiled += 1;
                found.extend(worst_of(&condition, &tokens));
            }
            Err(_) => refused += 1,
        }
    }
    println!("\n{compiled} expressions over {} tokens ({refused} more do not load)\n", tokens.len());
    report("slowest", &mut found, &tokens, |one| one.took.as_secs_f64());
    report("most over what the tree told", &mut found, &tokens, Found::ratio);
    let slowest = found.iter().map(|one| one.took).max().unwrap_or_default();
    let ratio = found.iter().map(Found::ratio).fold(0.0, f64::max);
    assert!(slowest < LIMIT, "an evaluation takes {slowest:?}");
    assert!(ratio < MOST_OVER_TOLD, "an evaluation takes {ratio:.2} times what its tree tells");
}

/// What policies say, over what a platform sends.
fn typical() {
    let github: Map<String, Value> =
        serde_json::from_str(include_str!("../fixtures/github-actions/claims.json")).expect("the fixture");
    let groups = serde_json::from_str(include_str!("../fixtures/gitlab/claims.json")).expect("the fixture");
    println!("{:>12}{:>12}{:>14}", "compile µs", "µs", "at most µs");
    for (source, claims) in [
        ("claims.run_attempt == \"1\" && claims.runner_environment == \"github-hosted\"", &github),
        ("claims.ref in [\"refs/heads/main\", \"refs/heads/next\"] || claims.ref_protected == \"true\"", &github),
        ("claims.job_workflow_ref.matches(\"^acme/ci/.*@refs/tags/v[0-9]+$\")", &github),
        ("claims.groups_direct.exists(g, g.startsWith(\"acme/\"))", &groups),
    ] {
        let compile = fastest(200, || Condition::compile(source, &["claims"]).map(|_| ()).unwrap());
        let condition = Condition::compile(source, &["claims"]).unwrap();
        let took = fastest(200, || assert_eq!(condition.holds_over("claims", claims), Ok(true)));
        let most = condition.worst_case();
        println!("{:>12.1}{:>12.2}{:>14.0}  {source}", micros(compile), micros(took), micros(most));
    }
}

/// The token over which it takes longest.
fn worst_of(condition: &Condition, tokens: &[(String, Map<String, Value>)]) -> Option<Found> {
    let told = condition.worst_case();
    let mut worst: Option<(Duration, &str)> = None;
    for (name, token) in tokens {
        let once = || {
            let started = Instant::now();
            // An error is an answer as well.
            let _ = condition.holds_over("claims", token);
            started.elapsed()
        };
        let mut took = once();
        for _ in 0..REPEATS {
            if worst.is_some_and(|(most, _)| took <= most) {
                break;
            }
            took = took.min(once());
        }
        if worst.is_none_or(|(most, _)| took > most) {
            worst = Some((took, name));
        }
    }
    worst.map(|(took, token)| Found { took, told, token: token.to_owned(), source: condition.source().to_owned() })
}

/// Measures those that stand out again, and shows them.
fn report(what: &str, found: &mut [Found], tokens: &[(String, Map<String, Value>)], by: impl Fn(&Found) -> f64) {
    found.sort_by(|left, right| by(right).total_cmp(&by(left)));
    for one in found.iter_mut().take(SLOWEST) {
        let condition = Condition::compile(&one.source, &["claims"]).unwrap();
        let (_, token) = tokens.iter().find(|(name, _)| *name == one.token).unwrap();
        let again = || {
            let _ = condition.holds_over("claims", token);
        };
        one.took = one.took.min(fastest(REPEATS_OF_THE_SLOWEST, again));
    }
    found.sort_by(|left, right| by(right).total_cmp(&by(left)));
    println!("{what}:");
    println!("{:>10}{:>10}{:>8}", "µs", "told µs", "ratio");
    for one in found.iter().take(5) {
        let source: String = one.source.chars().take(90).collect();
        println!(
            "{:>10.0}{:>10.0}{:>8.2}  {source} over {}",
            micros(one.took),
            micros(one.told),
            one.ratio(),
            one.token
        );
    }
}

/// The fastest of many.
fn fastest(times: usize, run: impl Fn()) -> Duration {
    let times = (0..times).map(|_| {
        let started = Instant::now();
        run();
        started.elapsed()
    });
    times.min().unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
