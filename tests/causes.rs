//! The list of causes is closed: what the source can say and what `docs/causes.md` explains are the same.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;

const STAGES: [&str; 17] = [
    "request.",
    "client_auth.",
    "assertion.",
    "certificate.",
    "issuer.",
    "key.",
    "claims.",
    "policy.",
    "review.",
    "secret.",
    "workload.",
    "mint.",
    "store.",
    "token.",
    "gateway.",
    "upstream.",
    "reload.",
];

#[test]
fn every_cause_is_explained_and_every_explained_cause_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut said = BTreeSet::new();
    sources(&root.join("src"), &mut said);
    let page = std::fs::read_to_string(root.join("docs/causes.md")).unwrap();
    let first_cells = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let explained: BTreeSet<String> = first_cells.flat_map(|cell| quoted(cell, '`').collect::<Vec<_>>()).collect();
    assert!(said.len() > 60, "the source was not read: {said:?}");
    let unexplained: Vec<_> = said.difference(&explained).collect();
    let unknown: Vec<_> = explained.difference(&said).collect();
    assert!(unexplained.is_empty() && unknown.is_empty(), "not in docs/causes.md: {unexplained:?}; gone: {unknown:?}");
}

/// The dotted causes that functions named `cause` can give.
fn sources(directory: &Path, said: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, said);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let functions = text.split("fn cause").skip(1).filter_map(|rest| rest.split("\n    }\n").next());
            said.extend(functions.flat_map(|body| quoted(body, '"').collect::<Vec<_>>()));
        }
    }
}

fn quoted(text: &str, quote: char) -> impl Iterator<Item = String> {
    text.split(quote).skip(1).step_by(2).filter(|word| is_cause(word)).map(str::to_owned)
}

fn is_cause(word: &str) -> bool {
    let plain = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.' || byte == b'_');
    plain
        && STAGES
            .iter()
            .any(|stage| word.strip_prefix(stage).is_some_and(|rest| !rest.is_empty() && !rest.contains('.')))
}
