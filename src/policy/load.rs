//! Policies from a directory tree: all files, all faults, in a fixed order.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};
use serde_json::{Map, Value};

use super::document::Desk;
use super::index::Index;
use super::intern::Interner;
use super::lint::{Linter, Most, SetFindings};
use super::reads::ClaimsRead;
use super::{Policy, document, overlap};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source};
use crate::issuer::Issuers;
use crate::vocab::{IssuerName, PolicyName, UnixTime};
use crate::yaml;

/// Deepest directory below `policies`: more is a loop of links.
const MAX_DIRECTORY_DEPTH: usize = 16;
/// How many files a reader takes at a time.
const FILES_AT_A_TIME: usize = 32;

/// The policies in force.
#[derive(Debug, Default)]
pub struct PolicySet {
    by_issuer: BTreeMap<IssuerName, Issued>,
    digest: String,
}

/// The policies of one issuer.
#[derive(Debug, Default)]
struct Issued {
    policies: Vec<Policy>,
    index: Index,
    claims_read: ClaimsRead,
}

impl PolicySet {
    /// Reads `directory/**/*.yaml`, on every core. Whether the set may be used is for the caller to say: not when `faults`
    /// has errors. `now` is for policies that have ended or soon will.
    #[must_use]
    pub fn load(directory: &Path, issuers: &Issuers, now: UnixTime, faults: &mut Diagnostics) -> PolicySet {
        let files = files(directory, is_policy, faults);
        let mut digest = Context::new(&SHA256);
        let (mut names, mut most) = (Names::default(), Most::default());
        let mut by_issuer: BTreeMap<IssuerName, Vec<Policy>> = BTreeMap::new();
        read_all(&files, (issuers, now), |file, found| {
            let mut here = found.faults;
            digest.update(file.strip_prefix(directory).unwrap_or(file).as_os_str().as_encoded_bytes());
            digest.update(b"\0");
            digest.update(found.digest.as_ref().map(Digest::as_ref).unwrap_or_default());
            for policy in found.policies {
                names.check(&policy, &mut here);
                by_issuer.entry(policy.issuer.clone()).or_default().push(policy);
            }
            here.sort_by_line();
            faults.extend(most.keep(here));
        });
        let mut together = Diagnostics::new();
        let findings = (!faults.has_errors()).then(|| SetFindings::new(now, &mut together));
        let by_issuer = issued(by_issuer, issuers, findings);
        faults.extend(most.keep(together));
        most.rest(directory, faults);
        PolicySet { by_issuer, digest: hex(digest.finish().as_ref()) }
    }

    /// The set of one text, as if its file were the only one.
    #[must_use]
    pub fn of_text(source: &Source, issuers: &Issuers, now: UnixTime, faults: &mut Diagnostics) -> PolicySet {
        let mut found = Found::default();
        read_text(source, (issuers, now), &mut Interner::default(), &mut found);
        let mut by_issuer: BTreeMap<IssuerName, Vec<Policy>> = BTreeMap::new();
        for policy in found.policies {
            by_issuer.entry(policy.issuer.clone()).or_default().push(policy);
        }
        faults.extend(found.faults);
        let mut together = Diagnostics::new();
        let findings = (!faults.has_errors()).then(|| SetFindings::new(now, &mut together));
        let by_issuer = issued(by_issuer, issuers, findings);
        faults.extend(together);
        PolicySet { by_issuer, digest: hex(digest(&SHA256, source.text().as_bytes()).as_ref()) }
    }

    /// SHA-256 over the files' names and contents.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What the policies of an issuer read; none, when it has no policies.
    pub(super) fn claims_read(&self, issuer: &IssuerName) -> Option<&ClaimsRead> {
        self.by_issuer.get(issuer).map(|issued| &issued.claims_read)
    }

    /// Every policy, by issuer and then in the order of the files.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.by_issuer.values().flat_map(|issued| &issued.policies)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_issuer.values().map(|issued| issued.policies.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All policies of an issuer.
    pub(super) fn of_issuer(&self, issuer: &IssuerName) -> &[Policy] {
        self.by_issuer.get(issuer).map(|issued| issued.policies.as_slice()).unwrap_or_default()
    }

    /// Those policies of an issuer that can admit these claims, and some more, in the order of the files.
    pub(super) fn candidates(&self, issuer: &IssuerName, claims: &Map<String, Value>) -> Vec<&Policy> {
        let Some(issued) = self.by_issuer.get(issuer) else { return Vec::new() };
        let numbers = issued.index.candidates(claims);
        numbers.into_iter().filter_map(|number| issued.policies.get(number as usize)).collect()
    }
}

/// What one file has.
#[derive(Default)]
struct Found {
    policies: Vec<Policy>,
    /// Of its content; none, when it could not be read.
    digest: Option<Digest>,
    faults: Diagnostics,
}

/// Reads the files on every core, and gives what they have to `merge` in their order. Little waits to be merged, so that
/// a large set is in memory once.
fn read_all(files: &[PathBuf], with: (&Issuers, UnixTime), mut merge: impl FnMut(&Path, Found)) {
    let chunks: Vec<&[PathBuf]> = files.chunks(FILES_AT_A_TIME).collect();
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(cores);
        for _ in 0..cores.min(chunks.len()) {
            let (sender, chunks, next) = (sender.clone(), &chunks, &next);
            scope.spawn(move || {
                let mut intern = Interner::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(chunk) = chunks.get(number) else { return };
                    let found: Vec<Found> = chunk.iter().map(|file| read(file, with, &mut intern)).collect();
                    if sender.send((number, found)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        for (number, chunk) in chunks.iter().enumerate() {
            let found = loop {
                if let Some(found) = early.remove(&number) {
                    break found;
                }
                // A reader that panics takes the whole load with it, when the scope ends.
                let Ok((number, found)) = receiver.recv() else { return };
                early.insert(number, found);
            };
            chunk.iter().zip(found).for_each(|(file, found)| merge(file, found));
        }
    });
}

fn read(file: &Path, with: (&Issuers, UnixTime), intern: &mut Interner) -> Found {
    let mut found = Found::default();
    let Some(source) = Source::read(file, &mut found.faults) else { return found };
    found.digest = Some(digest(&SHA256, source.text().as_bytes()));
    read_text(&source, with, intern, &mut found);
    found
}

fn read_text(source: &Source, (issuers, now): (&Issuers, UnixTime), intern: &mut Interner, found: &mut Found) {
    let mut desk = Desk { source, issuers, intern, linter: Linter::open(source, now) };
    yaml::each_document(source, &mut found.faults, |node, faults| {
        found.policies.extend(document::read(node, &mut desk, faults));
    });
}

/// Indexes the policies of each issuer, and looks through them together unless the set is faulty: nobody knows yet what
/// such a set will say.
fn issued(
    by_issuer: BTreeMap<IssuerName, Vec<Policy>>,
    issuers: &Issuers,
    mut findings: Option<SetFindings<'_>>,
) -> BTreeMap<IssuerName, Issued> {
    let issued = by_issuer.into_iter().map(|(name, mut policies)| {
        policies.shrink_to_fit();
        let (index, claims_read) = (Index::build(&policies), ClaimsRead::of(&policies));
        if let (Some(issuer), Some(findings)) = (issuers.by_name(name.as_str()), &mut findings) {
            overlap::check(&policies, &index, issuer, findings);
        }
        (name, Issued { policies, index, claims_read })
    });
    issued.collect()
}

/// Where each name was first used.
#[derive(Default)]
struct Names(HashMap<PolicyName, (Arc<Path>, u32)>);

impl Names {
    fn check(&mut self, policy: &Policy, faults: &mut Diagnostics) {
        let here = (Arc::clone(&policy.file), policy.line);
        let Some((file, line)) = self.0.insert(policy.name.clone(), here) else { return };
        let Some(source) = Source::read(&policy.file, faults) else { return };
        let place = Place::At { line: policy.line as usize, column: 1, width: 1 };
        let message = format!("policy `{}` is also in {}:{line}", policy.name, file.display());
        let fault = Diagnostic::error(&source, &place, "duplicate-policy", message);
        faults.push(fault.fix("give one of them another name"));
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
