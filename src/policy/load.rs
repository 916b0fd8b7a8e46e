//! Policies from a directory tree: all files, all faults, in a fixed order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::{Policy, document};
use crate::diagnostic::{Diagnostic, Diagnostics, Source};
use crate::issuer::Issuers;
use crate::vocab::IssuerName;
use crate::yaml;

/// Deepest directory below `policies`: more is a loop of links.
const MAX_DIRECTORY_DEPTH: usize = 16;

/// The policies in force.
#[derive(Debug, Default)]
pub struct PolicySet {
    by_issuer: BTreeMap<IssuerName, Vec<Policy>>,
    digest: String,
}

impl PolicySet {
    /// Reads `directory/**/*.yaml`. Whether the set may be used is for the caller to say: not when `faults` has errors.
    #[must_use]
    pub fn load(directory: &Path, issuers: &Issuers, faults: &mut Diagnostics) -> PolicySet {
        let mut set = PolicySet::default();
        let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut digest = Context::new(&SHA256);
        for file in files(directory, is_policy, faults) {
            let Some(source) = Source::read(&file, faults) else { continue };
            digest.update(file.strip_prefix(directory).unwrap_or(&file).as_os_str().as_encoded_bytes());
            digest.update(b"\0");
            digest.update(source.text().as_bytes());
            digest.update(b"\0");
            for node in yaml::documents(&source, faults) {
                let Some(policy) = document::read(&source, &node, issuers, faults) else { continue };
                if let Some(first) = names.insert(policy.name.to_string(), file.clone()) {
                    let message = format!("policy `{}` is also in {}", policy.name, first.display());
                    let fault = Diagnostic::error(&source, &node.place, "duplicate-policy", message);
                    faults.push(fault.fix("give one of them another name"));
                }
                set.by_issuer.entry(policy.issuer.clone()).or_default().push(policy);
            }
        }
        set.digest = hex(digest.finish().as_ref());
        set
    }

    /// SHA-256 over the files' names and contents.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Every policy, by issuer and then in the order of the files.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.by_issuer.values().flatten()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_issuer.values().map(Vec::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The policies that may concern an issuer's claims.
    pub(super) fn of_issuer(&self, issuer: &IssuerName) -> &[Policy] {
        self.by_issuer.get(issuer).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The test files below a directory.
#[must_use]
pub fn test_files(directory: &Path, faults: &mut Diagnostics) -> Vec<PathBuf> {
    files(directory, |name| name.ends_with(".test.yaml") || name.ends_with(".test.yml"), faults)
}

fn is_policy(name: &str) -> bool {
    let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
    is_yaml && !name.ends_with(".test.yaml") && !name.ends_with(".test.yml")
}

/// Files with such names, by path. Hidden entries are passed over: a Kubernetes ConfigMap keeps its generations there
/// and shows the current one by links.
fn files(directory: &Path, wanted: fn(&str) -> bool, faults: &mut Diagnostics) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if directory.is_dir() {
        collect(directory, wanted, MAX_DIRECTORY_DEPTH, &mut found, faults);
    } else {
        let fault = Diagnostic::file(directory, "is no directory");
        faults.push(fault.fix(format!("create it: mkdir -p {}", directory.display())));
    }
    found.sort();
    found
}

fn collect(
    directory: &Path,
    wanted: fn(&str) -> bool,
    depth: usize,
    found: &mut Vec<PathBuf>,
    faults: &mut Diagnostics,
) {
    let Some(depth) = depth.checked_sub(1) else {
        faults.push(Diagnostic::file(directory, "is nested too deeply"));
        return;
    };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return faults.push(Diagnostic::file(directory, format!("cannot be read: {error}"))),
    };
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                faults.push(Diagnostic::file(directory, format!("cannot be read: {error}")));
                continue;
            }
        };
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            faults.push(Diagnostic::file(&path, "has a name that is not UTF-8"));
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            collect(&path, wanted, depth, found, faults);
        } else if wanted(name) {
            found.push(path.clone());
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
