//! `countersign check`: a good configuration is summed up, a bad one is refused with every fault.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn check(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign"))
        .arg("check")
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn directory_with(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    for empty in ["policies", "trust-bundles", "services"] {
        std::fs::create_dir(directory.path().join(empty)).unwrap();
    }
    let file = directory.path().join("countersign.yaml");
    std::fs::write(&file, text).unwrap();
    (directory, file)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const GOOD: &str = "issuer: https://broker.example.com\nissuers:\n  github: { kind: github-actions }\n";
const BAD: &str = "isuer: https://broker.example.com\nissuers:\n  github: { kind: github-action }\n";

#[test]
fn a_good_configuration_is_summed_up() {
    let (directory, _) = directory_with(GOOD);
    let done = check(directory.path(), &[], &[]);
    assert_eq!((done.status.code(), text(&done.stderr)), (Some(0), ""));
    let summary = text(&done.stdout);
    assert!(summary.starts_with("./countersign.yaml: valid\n"), "{summary}");
    assert!(summary.contains("https://broker.example.com") && summary.contains("github (github-actions)"), "{summary}");
}

#[test]
fn a_bad_configuration_is_refused_with_every_fault_and_how_to_mend_it() {
    let (directory, _) = directory_with(BAD);
    let done = check(directory.path(), &[], &[]);
    assert_eq!((done.status.code(), text(&done.stdout)), (Some(1), ""));
    let faults = text(&done.stderr);
    for expected in [
        "countersign.yaml:1:1: error[unknown-field]: the configuration has no field `isuer`",
        "did you mean `issuer`?",
        "countersign.yaml:1:1: error[missing-field]: the configuration needs `issuer`",
        "countersign.yaml:3:19: error[value]: `kind`",
        "3 errors",
    ] {
        assert!(faults.contains(expected), "no `{expected}` in:\n{faults}");
    }
}

#[test]
fn the_file_is_named_by_the_option_else_by_the_variable_else_found_here() {
    let (good, file) = directory_with(GOOD);
    let (bad, bad_file) = directory_with(BAD);
    let (file, bad_file) = (file.to_str().unwrap(), bad_file.to_str().unwrap());
    let status =
        |arguments: &[&str], environment: &[(&str, &str)]| check(bad.path(), arguments, environment).status.code();
    assert_eq!(status(&["--config", file], &[("COUNTERSIGN_CONFIG", bad_file)]), Some(0));
    assert_eq!(status(&[], &[("COUNTERSIGN_CONFIG", file)]), Some(0));
    assert_eq!(status(&[], &[]), Some(1));
    assert_eq!(check(good.path(), &[], &[]).status.code(), Some(0));
}

#[test]
fn no_file_says_how_to_name_one() {
    let directory = tempfile::tempdir().unwrap();
    let done = check(directory.path(), &[], &[]);
    assert_eq!(done.status.code(), Some(1));
    let fault = text(&done.stderr);
    assert!(fault.starts_with("countersign.yaml: error[file]: cannot be read: "), "{fault}");
    assert!(fault.contains("--config") && fault.contains("countersign quickstart"), "{fault}");
}

#[test]
fn a_variable_overrides_the_file_and_is_named_when_it_is_wrong() {
    let (directory, _) = directory_with(GOOD);
    let done = check(directory.path(), &[], &[("COUNTERSIGN__LISTEN", "127.0.0.1:9999")]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert!(text(&done.stdout).contains("127.0.0.1:9999"));
    let done = check(directory.path(), &[], &[("COUNTERSIGN__ISSUERS__GITHUB__KIND", "gitea")]);
    assert_eq!(done.status.code(), Some(1));
    let fault = text(&done.stderr);
    assert!(fault.starts_with("environment variable COUNTERSIGN__ISSUERS__GITHUB__KIND: error[value]: "), "{fault}");
}

#[test]
fn an_agents_socket_that_is_not_there_is_a_warning() {
    let mesh =
        "issuer: https://broker.example.com\nissuers:\n  mesh: { kind: spiffe, trust_domain: a.example, bundle: ";
    let socket = "{ workload_api: \"unix:///no-such-directory/agent.sock\" } }\n";
    let (directory, _) = directory_with(&format!("{mesh}{socket}"));
    let done = check(directory.path(), &[], &[]);
    assert_eq!((done.status.code(), text(&done.stderr)), (Some(0), ""));
    let summary = text(&done.stdout);
    assert!(summary.contains("/no-such-directory/agent.sock: warning"), "{summary}");
    assert!(summary.contains("start the SPIFFE agent"), "{summary}");
}
