use std::path::PathBuf;

use super::*;

/// The shipped policies, in a directory as an operator would have them.
fn shipped() -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
    }
    let files = test_files(directory.path(), &mut Diagnostics::new());
    (directory, files)
}

fn report(directory: &Path, files: &[PathBuf]) -> (TestReport, Diagnostics) {
    let (set, mut faults) = load_from(directory);
    let report = TestBench::new(&set, &configured(), NOW).run(&TestCases::read(files, &mut faults));
    (report, faults)
}

#[test]
fn every_shipped_policy_loads_and_passes_its_tests() {
    let (directory, files) = shipped();
    let policies = std::fs::read_dir(directory.path()).unwrap().count() - files.len();
    assert_eq!(policies, files.len(), "a policy file without its tests");
    let (report, faults) = report(directory.path(), &files);
    assert!(faults.is_empty(), "{faults}");
    assert!(report.failed().next().is_none(), "{:#?}", report.failed().collect::<Vec<_>>());
    assert!(report.cases.len() >= 20);
    let (set, _) = load_from(directory.path());
    let issuers = configured();
    let kinds = set.iter().filter_map(|policy| issuers.by_name(policy.issuer.as_str())).map(|issuer| issuer.kind());
    let kinds: std::collections::HashSet<IssuerKind> = kinds.collect();
    assert_eq!(kinds.len(), IssuerKind::ALL.len(), "an issuer kind without an example");
}

#[test]
fn a_test_that_expects_something_else_fails_and_says_what_was_found() {
    let (directory, _) = shipped();
    let file = directory.path().join("github-deploy.test.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (from, to) = ("refs/heads/dev } }\n    expect: denied", "refs/heads/dev } }\n    expect: { user: someone }");
    assert!(text.contains(from));
    std::fs::write(&file, text.replace(from, to).replace("{ run_attempt: \"2\" }", "{ run_attempt: \"1\" }")).unwrap();
    let (report, _) = report(directory.path(), &[file]);
    let failures: Vec<&Failure> = report.failed().filter_map(|case| case.failure.as_ref()).collect();
    let [wrong_user, wrong_denial] = failures.as_slice() else { panic!("{failures:?}") };
    assert_eq!(wrong_user.expected, "admitted as someone");
    let miss = &wrong_user.nearest[0];
    assert_eq!((miss.policy.as_str(), miss.part.as_str(), miss.line), ("deploy-prod", "ref", 10));
    assert_eq!(wrong_denial.expected, "denied");
    let found = &wrong_denial.found;
    assert!(found.contains("admitted as prod-deployer with scopes [service:my-api] by deploy-prod ("), "{found}");
}

#[test]
fn a_malformed_test_file_is_reported_with_its_place() {
    let (directory, _) = shipped();
    let file = directory.path().join("bad.test.yaml");
    std::fs::write(&file, "cases:\n  - { name: a, given: { fixture: github-action }, expect: denied }\n  - { name: b, expect: refused }\n").unwrap();
    let (report, faults) = report(directory.path(), &[file]);
    assert!(report.cases.is_empty());
    let text = faults.to_string();
    assert!(text.contains("bad.test.yaml:2:") && text.contains("bad.test.yaml:3:"), "{text}");
}

#[test]
fn the_documentations_policy_loads_and_passes_the_documentations_tests() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policies.md")).unwrap();
    let (_, text) = text.split_once("\n## A policy\n").unwrap();
    let block =
        |start: &str| text.split("```").find(|block| block.trim_start_matches("yaml\n").starts_with(start)).unwrap();
    let block = |start: &str| block(start).trim_start_matches("yaml\n");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("p.yaml"), block("# policies/deploy-prod.yaml")).unwrap();
    let tests = directory.path().join("p.test.yaml");
    std::fs::write(&tests, block("cases:\n")).unwrap();
    let (report, faults) = report(directory.path(), &[tests]);
    assert!(faults.is_empty() && report.cases.len() == 2, "{faults}");
    assert!(report.failed().next().is_none(), "{report:#?}");
}
