//! The regular expressions of an expression, compiled once: the interpreter would compile them at every call.
//!
//! Each is an automaton with one step a byte. A regular expression of a few bytes can need more states than that allows;
//! it is refused, where other engines would take their time over the wrong text.

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::{Input, util::syntax};

/// Largest automaton: a processor keeps it near.
const MAX_AUTOMATON_BYTES: usize = 64 * 1024;
/// Most memory that making one may take.
const MAX_MAKING_BYTES: usize = 1024 * 1024;
/// Largest list of instructions that one is made from.
const MAX_INSTRUCTION_BYTES: usize = 128 * 1024;

/// A compiled pattern.
pub(super) struct Pattern(dense::DFA<Vec<u32>>);

impl Pattern {
    /// Compiles one.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub(super) fn compile(source: &str) -> Result<Pattern, String> {
        let making = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(MAX_AUTOMATON_BYTES))
            .determinize_size_limit(Some(MAX_MAKING_BYTES));
        let compiled = dense::Builder::new()
            .syntax(syntax::Config::new())
            .thompson(thompson::Config::new().nfa_size_limit(Some(MAX_INSTRUCTION_BYTES)))
            .configure(making)
            .build(&with_ascii_classes(source));
        compiled.map(Pattern).map_err(|error| match syntax_fault(source) {
            Some(fault) => format!("that is no regular expression: {fault}"),
            None => {
                format!("that is too much for one step a byte ({error}); use smaller repetitions, and ASCII letters")
            }
        })
    }

    /// Whether it is somewhere in the text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        // It fails only on bytes that a pattern gives up at, and none of these does.
        matches!(self.0.try_search_fwd(&Input::new(text).earliest(true)), Ok(Some(_)))
    }
}

/// `\d`, `\w`, `\s` and `\b` with ASCII's letters only, as CEL has them (RE2): a policy that asks for digits does not mean
/// those of every script.
fn with_ascii_classes(source: &str) -> String {
    let mut written = String::with_capacity(source.len());
    let mut letters = source.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            written.push(letter);
            continue;
        }
        match letters.next() {
            Some('d') => written.push_str("[0-9]"),
            Some('D') => written.push_str("[^0-9]"),
            Some('w') => written.push_str("[0-9A-Za-z_]"),
            Some('W') => written.push_str("[^0-9A-Za-z_]"),
            Some('s') => written.push_str(r"[\t\n\x0B\f\r ]"),
            Some('S') => written.push_str(r"[^\t\n\x0B\f\r ]"),
            Some('b') => written.push_str(r"(?-u:\b)"),
            other => written.extend([Some('\\'), other].into_iter().flatten()),
        }
    }
    written
}

/// What the grammar of regular expressions says against it.
fn syntax_fault(source: &str) -> Option<String> {
    match regex::RegexBuilder::new(source).size_limit(MAX_INSTRUCTION_BYTES).build() {
        Err(regex::Error::Syntax(text)) => {
            Some(text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned())
        }
        _ => None,
    }
}
