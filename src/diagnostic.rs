//! Faults in files an operator writes: file, line, column, excerpt and fix, all of them in one run.
//!
//! `policies/deploy-prod.yaml:4:3: error[claim-type]: …` is the form, so editors and CI annotations can follow it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A file's name and text, shared by everything read from it.
#[derive(Debug, Clone)]
pub struct Source(Arc<File>);

#[derive(Debug)]
struct File {
    path: PathBuf,
    text: String,
    /// Where each line begins, once somebody asked.
    lines: OnceLock<Vec<usize>>,
}

impl Source {
    /// A file's text under the name that faults show; `./policies/a.yaml` is shown as `policies/a.yaml`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Source {
        let path: PathBuf = path.into();
        let shown = path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
        Source(Arc::new(File { path: shown, text: text.into(), lines: OnceLock::new() }))
    }

    /// Reads a file; `None`, and a fault, when it cannot be read.
    pub fn read(path: &Path, faults: &mut Diagnostics) -> Option<Source> {
        match std::fs::read_to_string(path) {
            Ok(text) => Some(Source::new(path, text)),
            Err(error) => {
                faults.push(Diagnostic::file(path, format!("cannot be read: {error}")));
                None
            }
        }
    }

    /// The name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// One line, counted from 1, without its end.
    #[must_use]
    pub fn line(&self, number: usize) -> Option<&str> {
        let starts = self.0.lines.get_or_init(|| {
            let ends = self.0.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).collect()
        });
        let start = *starts.get(number.checked_sub(1)?)?;
        self.0.text.get(start..)?.lines().next()
    }
}

/// Where in a file something stands, or why it stands in none. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file.
    At {
        /// Line.
        line: usize,
        /// Column of its first character.
        column: usize,
        /// How many characters of that line it covers.
        width: usize,
    },
    /// In this environment variable.
    Environment(String),
    /// Nowhere: the file as a whole.
    File,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth a look; loads all the same.
    Warning,
    /// Nothing of the set loads.
    Error,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    path: PathBuf,
    place: Place,
    severity: Severity,
    id: &'static str,
    message: String,
    excerpt: Option<String>,
    fix: Option<String>,
    explained: bool,
}

impl Diagnostic {
    /// A fault at a place in a source. `id` is a short, stable, dashed word such as `claim-type`.
    #[must_use]
    pub fn error(source: &Source, place: &Place, id: &'static str, message: impl Into<String>) -> Diagnostic {
        let excerpt = match place {
            Place::At { line, .. } => source.line(*line).map(str::to_owned),
            Place::Environment(_) | Place::File => None,
        };
        Diagnostic {
            path: source.path().to_owned(),
            place: place.clone(),
            severity: Severity::Error,
            id,
            message: message.into(),
            excerpt,
            fix: None,
            explained: false,
        }
    }

    /// A fault of a whole file or directory.
    #[must_use]
    pub fn file(path: &Path, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(&Source::new(path, ""), &Place::File, "file", message)
    }

    /// The same, as a warning.
    #[must_use]
    pub fn as_warning(mut self) -> Diagnostic {
        self.severity = Severity::Warning;
        self
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Diagnostic {
        self.fix = Some(fix.into());
        self
    }

    /// The same, with a pointer to its section of `docs/lints.md`.
    #[must_use]
    pub fn explained(mut self) -> Diagnostic {
        self.explained = true;
        self
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The stable word for its kind.
    #[must_use]
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.severity == Severity::Error { "error" } else { "warning" };
        match &self.place {
            Place::At { line, column, .. } => write!(formatter, "{}:{line}:{column}: ", self.path.display())?,
            Place::Environment(variable) => write!(formatter, "environment variable {variable}: ")?,
            Place::File => write!(formatter, "{}: ", self.path.display())?,
        }
        write!(formatter, "{severity}[{}]: {}", self.id, self.message)?;
        if let (Some(excerpt), Place::At { line, column, width }) = (&self.excerpt, &self.place) {
            let gutter = line.to_string();
            let blank = " ".repeat(gutter.len());
            let shown: String = excerpt.chars().map(|shown| if shown.is_control() { ' ' } else { shown }).collect();
            let room = shown.chars().count().saturating_sub(column.saturating_sub(1)).max(1);
            let indent = " ".repeat(column.saturating_sub(1));
            let carets = "^".repeat((*width).clamp(1, room));
            write!(formatter, "\n {blank} |\n {gutter} | {shown}\n {blank} | {indent}{carets}")?;
        }
        if let Some(fix) = &self.fix {
            write!(formatter, "\n   = fix: {fix}")?;
        }
        if self.explained { write!(formatter, "\n   = see docs/lints.md#{}", self.id) } else { Ok(()) }
    }
}

/// Every fault of a run, in the order found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// None yet.
    #[must_use]
    pub fn new() -> Diagnostics {
        Diagnostics::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds all of another run's.
    pub fn extend(&mut self, other: Diagnostics) {
        self.0.extend(other.0);
    }

    /// Leaves out those for which it is false.
    pub fn retain(&mut self, keep: impl FnMut(&Diagnostic) -> bool) {
        self.0.retain(keep);
    }

    /// Makes an error of every warning whose id is not among `but`.
    pub fn deny_warnings(&mut self, but: &[&str]) {
        for fault in self.0.iter_mut().filter(|fault| !but.contains(&fault.id)) {
            fault.severity = Severity::Error;
        }
    }

    /// Puts the faults of one file in the order of its lines.
    pub fn sort_by_line(&mut self) {
        self.0.sort_by_key(|fault| match fault.place {
            Place::At { line, .. } => line,
            Place::Environment(_) | Place::File => 0,
        });
    }

    /// Whether any of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there are none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// `value`, unless there are errors.
    ///
    /// # Errors
    /// Itself, when it has any.
    pub fn or<T>(self, value: T) -> Result<T, Diagnostics> {
        if self.has_errors() { Err(self) } else { Ok(value) }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n\n")?;
            }
            diagnostic.fmt(formatter)?;
        }
        Ok(())
    }
}

/// The known word nearest to a misspelt one, if one is near enough to be meant.
#[must_use]
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wrong.chars().count() / 3).max(1);
    let distances = known.into_iter().map(|word| (edit_distance(wrong, word), word));
    distances.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// Levenshtein distance.
fn edit_distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (index, left) in from.chars().enumerate() {
        let mut diagonal = index;
        let mut previous = index + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(to.chars()) {
            let substituted = diagonal + usize::from(left != right);
            diagonal = *cell;
            previous = substituted.min(previous + 1).min(*cell + 1);
            *cell = previous;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_where_what_and_how_to_mend_it() {
        let source = Source::new("./policies/a.yaml", "policy: a\nissuer: gihub\n");
        let fault = Diagnostic::error(&source, &Place::At { line: 2, column: 9, width: 5 }, "issuer", "unknown issuer")
            .fix("write `github`");
        let expected = "policies/a.yaml:2:9: error[issuer]: unknown issuer\n   |\n 2 | issuer: gihub\n   |         ^^^^^\n   \
                        = fix: write `github`";
        assert_eq!(fault.to_string(), expected);
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        assert_eq!(did_you_mean("repositry_id", ["repository_id", "ref"]), Some("repository_id"));
        assert_eq!(did_you_mean("colour", ["repository_id", "ref"]), None);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}
