//! YAML with positions: the reader of configuration, policy, test and service files.
//!
//! In: text. Out: [`Node`]s that know where they stand, and [`Fields`], which reads a mapping and reports every fault
//! in it. Anchors, aliases, tags and merge keys are refused: a reviewer should see the whole value where it is used.

mod fields;
mod scalar;
mod inside;

pub use fields::Fields;
pub use scalar::scalar_text;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source};

/// Deepest nesting of a file.
const MAX_DEPTH: usize = 32;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where.
    pub place: Place,
    /// What.
    pub value: Yaml,
}

/// A YAML 1.2 value (core schema: `yes` and `no` are strings).
#[derive(Debug, Clone, PartialEq)]
pub enum Yaml {
    /// `null`, `~` or nothing.
    Null,
    /// A plain `true` or `false`.
    Bool(bool),
    /// A plain whole number.
    Int(i64),
    /// Any other plain number.
    Float(f64),
    /// Everything else that is one value.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping, in the file's order, no key twice.
    Mapping(Vec<Entry>),
}

/// One line of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, as written.
    pub key: String,
    /// Where the key stands.
    pub key_place: Place,
    /// Its value.
    pub value: Node,
}

impl Yaml {
    /// What to call it in a message.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Yaml::Null => "nothing",
            Yaml::Bool(_) => "a boolean",
            Yaml::Int(_) | Yaml::Float(_) => "a number",
            Yaml::String(_) => "a string",
            Yaml::Sequence(_) => "a list",
            Yaml::Mapping(_) => "a mapping",
        }
    }
}

/// The documents of a file. An empty file has none; a document that is faulty is reported and left out.
pub fn documents(source: &Source, faults: &mut Diagnostics) -> Vec<Node> {
    let mut found = Vec::new();
    each_document(source, faults, |node, _| found.push(node.clone()));
    found
}

/// Gives each document of a file to `read`, one after the other: a file may have more than should be in memory at once.
pub fn each_document(source: &Source, faults: &mut Diagnostics, mut read: impl FnMut(&Node, &mut Diagnostics)) {
    let mut reader = Reader { source, faults, events: Parser::new_from_str(source.text()) };
    loop {
        match reader.next() {
            Ok((Event::DocumentStart(..), _)) => match reader.root() {
                Ok(node) => read(&node, reader.faults),
                Err(Stop) => return,
            },
            Ok((Event::StreamEnd, _)) | Err(Stop) => return,
            Ok(_) => {}
        }
    }
}

/// What a file has beside its values.
#[derive(Debug, Default)]
pub struct Notes {
    /// The comments, in their order.
    pub comments: Vec<Comment>,
    /// The lines that the documents begin on.
    pub documents: Vec<usize>,
}

/// One comment.
#[derive(Debug)]
pub struct Comment {
    /// Its line, from 1.
    pub line: usize,
    /// The column of its `#`, from 1.
    pub column: usize,
    /// Whether nothing stands before it.
    pub alone: bool,
    /// What stands behind the `#`.
    pub text: String,
}

/// The comments of a file, up to where it can no longer be read; a `#` in a string is none.
#[must_use]
pub fn notes(source: &Source) -> Notes {
    let mut notes = Notes::default();
    for (event, span) in Parser::new_from_str(source.text()).map_while(Result::ok) {
        let (line, column) = (span.start.line(), span.start.col());
        match event {
            Event::Comment(text, _) => {
                let before = source.line(line).unwrap_or_default().chars().take(column);
                let alone = before.into_iter().all(char::is_whitespace);
                notes.comments.push(Comment { line, column: column + 1, alone, text: text.into_owned() });
            }
            Event::DocumentStart(..) => notes.documents.push(line),
            _ => {}
        }
    }
    notes
}

/// A syntax fault was reported; the rest of the file cannot be read.
struct Stop;

struct Reader<'a> {
    source: &'a Source,
    faults: &'a mut Diagnostics,
    events: Parser<'a, granit_parser::StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Place), Stop> {
        // Comments are events where any crate in the build asks the parser for them.
        match self.events.by_ref().find(|event| !matches!(event, Ok((Event::Comment(..), _)))) {
            Some(Ok((event, span))) => Ok((event, place_of(&span))),
            Some(Err(error)) => {
                let marker = error.marker();
                let place = Place::At { line: marker.line(), column: marker.col() + 1, width: 1 };
                Err(self.stop(&place, error.info().clone()))
            }
            None => Err(self.stop(&Place::File, "the file ends too early".to_owned())),
        }
    }

    fn stop(&mut self, place: &Place, message: String) -> Stop {
        let fault = Diagnostic::error(self.source, place, "yaml", message);
        self.faults.push(fault.fix("correct the YAML there; indentation, quotes and brackets are the usual reasons"));
        Stop
    }

    fn root(&mut self) -> Result<Node, Stop> {
        let (event, place) = self.next()?;
        self.node(event, place, MAX_DEPTH)
    }

    fn node(&mut self, event: Event<'a>, place: Place, depth: usize) -> Result<Node, Stop> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.stop(&place, format!("nested deeper than {MAX_DEPTH} levels")));
        };
        let value = match event {
            Event::Scalar(text, style, 0, None) => scalar(&text, style),
            Event::SequenceStart(_, 0, None) => self.sequence(depth)?,
            Event::MappingStart(_, 0, None) => self.mapping(depth)?,
            Event::DocumentEnd | Event::StreamEnd => Yaml::Null,
            _ => {
                return Err(
                    self.stop(&place, "anchors, aliases and tags are not supported; write the value out".into())
                );
            }
        };
        Ok(Node { place, value })
    }

    fn sequence(&mut self, depth: usize) -> Result<Yaml, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, place) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Yaml::Sequence(items));
            }
            items.push(self.node(event, place, depth)?);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Yaml, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, key_place) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Yaml::Mapping(entries)),
                Event::Scalar(text, _, 0, None) => text.into_owned(),
                _ => return Err(self.stop(&key_place, "a key must be a plain or quoted string".into())),
            };
            let (event, place) = self.next()?;
            let value = self.node(event, place, depth)?;
            if entries.iter().any(|entry| entry.key == key) {
                let fault =
                    Diagnostic::error(self.source, &key_place, "duplicate-key", format!("`{key}` is set twice"));
                self.faults.push(fault.fix("keep one of the two lines"));
                continue;
            }
            entries.push(Entry { key, key_place, value });
        }
    }
}

fn place_of(span: &Span) -> Place {
    let one_line = span.start.line() == span.end.line();
    let width = if one_line { span.end.col().saturating_sub(span.start.col()).max(1) } else { 1 };
    Place::At { line: span.start.line(), column: span.start.col() + 1, width }
}

fn scalar(text: &str, style: ScalarStyle) -> Yaml {
    if style != ScalarStyle::Plain {
        return Yaml::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Yaml::Null,
        "true" | "True" | "TRUE" => return Yaml::Bool(true),
        "false" | "False" | "FALSE" => return Yaml::Bool(false),
        _ => {}
    }
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && text.bytes().any(|byte| byte.is_ascii_digit());
    if !numeric {
        return Yaml::String(text.to_owned());
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Yaml::Int(whole);
    }
    text.parse::<f64>().map_or_else(|_| Yaml::String(text.to_owned()), Yaml::Float)
}

/// Reads a duration: a whole number and a unit, `30s`, `15m`, `1h`, `90d`.
///
/// # Errors
/// The rule, when it is not one.
pub fn duration(text: &str) -> Result<std::time::Duration, &'static str> {
    const RULE: &str = "must be a whole number with a unit: 30s, 15m, 1h or 90d";
    let unit_seconds = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(RULE),
    };
    let digits = text.get(..text.len() - 1).unwrap_or_default();
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RULE);
    }
    let count: u64 = digits.parse().map_err(|_| RULE)?;
    Ok(std::time::Duration::from_secs(count.saturating_mul(unit_seconds)))
}

/// A duration as [`duration`] reads it, in the largest unit that is whole: `90s`, `15m`, `1h`.
#[must_use]
pub fn duration_text(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds % 60, seconds % 3600) {
        _ if seconds == 0 => "0s".to_owned(),
        (0, 0) => format!("{}h", seconds / 3600),
        (0, _) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Node>, Diagnostics) {
        let mut faults = Diagnostics::new();
        let nodes = documents(&Source::new("a.yaml", text), &mut faults);
        (nodes, faults)
    }

    #[test]
    fn values_have_the_types_of_the_core_schema_and_their_places() {
        let (nodes, faults) = read("a: 65\nb: \"65\"\nc: no\nd: [true, 1.5, ~]\n---\nx: y\n");
        assert!(faults.is_empty() && nodes.len() == 2);
        let Yaml::Mapping(entries) = &nodes[0].value else { panic!("no mapping") };
        assert_eq!(entries[0].value.value, Yaml::Int(65));
        assert_eq!(entries[1].value.value, Yaml::String("65".into()));
        assert_eq!(entries[2].value.value, Yaml::String("no".into()));
        assert_eq!(entries[1].value.place, Place::At { line: 2, column: 4, width: 4 });
        assert!(matches!(&entries[3].value.value, Yaml::Sequence(items) if items[1].value == Yaml::Float(1.5)));
    }

    #[test]
    fn what_hides_a_value_from_a_reviewer_is_refused() {
        for bad in ["a: &x 1\nb: *x\n", "a: !!str 1\n", "a: 1\na: 2\n", "a: [1\n", "? [x]\n: 1\n"] {
            assert!(read(bad).1.has_errors(), "{bad}");
        }
        assert!(read(&"[".repeat(100)).1.has_errors());
    }

    #[test]
    fn an_unknown_field_is_reported_with_the_nearest_known_one() {
        let source = Source::new("a.yaml", "lisen: x\nflag: maybe\n");
        let mut faults = Diagnostics::new();
        let nodes = documents(&source, &mut faults);
        let fields = Fields::open(&source, &nodes[0], "the file", &["listen", "flag"], &mut faults).unwrap();
        assert_eq!(fields.boolean("flag", &mut faults), None);
        fields.require("listen", "listen: 127.0.0.1:8443", &mut faults);
        let text = faults.to_string();
        assert!(text.contains("a.yaml:1:1: error[unknown-field]: the file has no field `lisen`"), "{text}");
        assert!(text.contains("did you mean `listen`?") && text.contains("error[missing-field]"), "{text}");
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("15m").unwrap().as_secs(), 900);
        for text in ["0s", "90s", "15m", "1h", "25h"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
        for bad in ["15", "m", "1.5h", "-1s", "1w", ""] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
