//! The files that a set is read from, and whether they changed.
//!
//! In: paths of the configuration. Out: a [`Glance`], which costs one `stat` a file, and a [`Contents`], which reads them
//! all. What a fetch or a review reads anew each time (CA and bearer token files) is no part of a set, so its rotation is
//! no change.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

use crate::config::{BundleProfile, Config, KeySource};

/// As deep as policies are read.
const MAX_DEPTH: usize = 16;
/// Read at a time.
const CHUNK: usize = 16 * 1024;

/// Files, and trees of files, that a load reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    single: BTreeSet<PathBuf>,
    trees: Vec<(PathBuf, Wanted)>,
    passed_over: BTreeSet<PathBuf>,
}

/// Which files of a tree count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// `*.yaml` and `*.yml` that are no tests.
    Policies,
    /// `*.yaml` and `*.yml`.
    Yaml,
    /// `*.json`, `*.pem` and `*.crt`. Those that issuers name are in [`Files::single`] whatever they are called; these may be
    /// named by a configuration that cannot be read before they are there.
    Bundles,
}

/// What `stat` says of all the files: names, identities, sizes and times. The identity is that of the file behind any
/// links, so a swapped link is a change wherever on the way it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Glance {
    entries: u64,
    sum: u64,
}

/// What is in all the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contents([u8; SHA256_OUTPUT_LEN]);

impl Files {
    /// The files that a load of this configuration reads.
    pub(super) fn of(config: &Config) -> Files {
        let mut single = BTreeSet::from([config.file.clone()]);
        // Somebody may keep everything in one directory; what we write ourselves is no change.
        let mut passed_over = BTreeSet::from([config.data.clone()]);
        for issuer in &config.issuers {
            match &issuer.keys {
                KeySource::File(path)
                | KeySource::BundleEndpoint { profile: BundleProfile::HttpsSpiffe { bootstrap: path, .. }, .. } => {
                    single.insert(path.clone());
                }
                _ => {}
            }
            let review = issuer.review.as_ref();
            let of_review = review.and_then(|review| review.ca_file.clone());
            let token_of_review = review.map(|review| review.bearer_token_file.clone());
            passed_over.extend(issuer.ca_file.clone().into_iter().chain(issuer.bearer_token_file.clone()));
            passed_over.extend(of_review.into_iter().chain(token_of_review));
        }
        let trees = vec![
            (config.policies.clone(), Wanted::Policies),
            (config.services.clone(), Wanted::Yaml),
            (config.trust_bundles.clone(), Wanted::Bundles),
        ];
        Files { single, trees, passed_over }
    }

    /// A look at them from outside.
    pub(super) fn glance(&self) -> Glance {
        let mut glance = Glance::default();
        self.each(&mut |path, found| glance.add(path, found));
        glance
    }

    /// All of them, read.
    pub(super) fn contents(&self) -> Contents {
        let mut contents = Contents([0; SHA256_OUTPUT_LEN]);
        self.each(&mut |path, found| contents.add(path, found));
        contents
    }

    /// Every file, in no particular order; what cannot be looked at, too.
    fn each(&self, visit: &mut impl FnMut(&Path, &std::io::Result<Metadata>)) {
        for path in &self.single {
            visit(path, &std::fs::metadata(path));
        }
        for (tree, wanted) in &self.trees {
            self.each_below(tree, *wanted, MAX_DEPTH, visit);
        }
    }

    fn each_below(
        &self,
        directory: &Path,
        wanted: Wanted,
        depth: usize,
        visit: &mut impl FnMut(&Path, &std::io::Result<Metadata>),
    ) {
        let Some(depth) = depth.checked_sub(1) else { return };
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => return visit(directory, &Err(error)),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return visit(directory, &Err(error)),
            };
            // Hidden entries are passed over by the loaders too: a ConfigMap keeps its generations there.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            if self.passed_over.contains(&path) {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.each_below(&path, wanted, depth, visit);
            } else if wanted.has(&path) {
                match std::fs::metadata(&path) {
                    Ok(found) if found.is_dir() => self.each_below(&path, wanted, depth, visit),
                    found => visit(&path, &found),
                }
            } else if entry.file_type().is_ok_and(|kind| kind.is_symlink()) && path.is_dir() {
                self.each_below(&path, wanted, depth, visit);
            }
        }
    }
}

impl Wanted {
    fn has(self, path: &Path) -> bool {
        // A name that is not UTF-8 is a fault that should be seen when it appears.
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return true };
        let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
        match self {
            Wanted::Policies => is_yaml && !name.ends_with(".test.yaml") && !name.ends_with(".test.yml"),
            Wanted::Yaml => is_yaml,
            Wanted::Bundles => [".json", ".pem", ".crt"].iter().any(|end| name.ends_with(end)),
        }
    }
}

impl Glance {
    /// A sum, so that the order in which a directory lists its files does not count.
    fn add(&mut self, path: &Path, found: &std::io::Result<Metadata>) {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        match found {
            Ok(found) => {
                (found.dev(), found.ino(), found.len(), found.mode()).hash(&mut hasher);
                (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()).hash(&mut hasher);
            }
            Err(error) => error.kind().hash(&mut hasher),
        }
        self.entries += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

impl Contents {
    /// Order does not count here either. A sum, in which a file that is listed twice does not cancel itself out.
    fn add(&mut self, path: &Path, found: &std::io::Result<Metadata>) {
        let mut digest = Context::new(&SHA256);
        digest.update(path.as_os_str().as_encoded_bytes());
        let read = match found {
            // What is no file (a pipe, say) is not opened: that could wait for ever.
            Ok(found) if found.is_file() => feed(path, &mut digest),
            Ok(_) => Ok(()),
            Err(error) => Err(std::io::Error::from(error.kind())),
        };
        if let Err(error) = read {
            digest.update(format!("\0{:?}", error.kind()).as_bytes());
        }
        for (sum, byte) in self.0.iter_mut().zip(digest.finish().as_ref()) {
            *sum = sum.wrapping_add(*byte);
        }
    }
}

fn feed(path: &Path, digest: &mut Context) -> std::io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    let mut chunk = [0; CHUNK];
    digest.update(b"\0\0");
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(()),
            length => digest.update(chunk.get(..length).unwrap_or_default()),
        }
    }
}
