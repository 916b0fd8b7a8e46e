//! How listings look: a table for people, JSON or YAML for programs.

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::Failed;

/// How a listing is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// A JSON list
    Json,
    /// A YAML list
    Yaml,
}

/// The `--output` option of every listing.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct OutputOption {
    /// How to print it
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// A column's head, and what a row has under it.
pub type Column<T> = (&'static str, fn(&T) -> String);

/// Rows as text that ends with a line break. JSON and YAML have every field of a row, the table its columns.
///
/// # Errors
/// When a row cannot be serialized.
pub fn listing<T: Serialize>(format: Format, columns: &[Column<T>], rows: &[T]) -> Result<String, Failed> {
    let failed = |error: &dyn std::fmt::Display| Failed(format!("the listing cannot be written: {error}"));
    match format {
        Format::Table => Ok(table(columns, rows)),
        Format::Json => serde_json::to_string_pretty(rows).map(|text| text + "\n").map_err(|error| failed(&error)),
        Format::Yaml => serde_saphyr::to_string(&rows).map_err(|error| failed(&error)),
    }
}

fn table<T>(columns: &[Column<T>], rows: &[T]) -> String {
    let mut table = Table::new();
    // No width limit and no wrapping: `grep` and `awk` see a row as a line.
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|(head, _)| head.to_uppercase()));
    for row in rows {
        table.add_row(columns.iter().map(|(_, cell)| harmless(&cell(row))));
    }
    let lines = table.lines().map(|line| line.trim_end().strip_prefix(' ').unwrap_or_default().to_owned() + "\n");
    lines.collect()
}

/// Text that cannot move the cursor, colour the terminal or turn the direction of writing: such characters are shown
/// as their escapes.
#[must_use]
pub fn harmless(text: &str) -> String {
    let is_harmful = |shown: char| {
        shown.is_control()
            || matches!(shown, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut safe, shown| {
        if is_harmful(shown) {
            safe.extend(shown.escape_default());
        } else {
            safe.push(shown);
        }
        safe
    })
}

/// Writes text to standard output. A reader that has seen enough (`| head`) is no failure.
///
/// # Errors
/// When standard output cannot be written, for instance because the disk is full.
pub fn print(text: &str) -> Result<(), Failed> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failed(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Row {
        name: &'static str,
        uses: u32,
        note: Option<&'static str>,
    }

    const COLUMNS: &[Column<Row>] = &[("name", |row| row.name.to_owned()), ("uses", |row| row.uses.to_string())];

    fn rows() -> Vec<Row> {
        vec![Row { name: "a", uses: 1, note: None }, Row { name: "a-longer-name", uses: 20, note: Some("no") }]
    }

    #[test]
    fn a_table_has_one_plain_line_a_row() {
        let text = listing(Format::Table, COLUMNS, &rows()).unwrap();
        assert_eq!(text, "NAME           USES\na              1\na-longer-name  20\n");
        assert_eq!(listing(Format::Table, COLUMNS, &[]).unwrap(), "NAME  USES\n");
    }

    #[test]
    fn json_and_yaml_have_every_field_and_keep_types() {
        let json = listing(Format::Json, COLUMNS, &rows()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value[1], serde_json::json!({ "name": "a-longer-name", "uses": 20, "note": "no" }));
        let yaml = listing(Format::Yaml, COLUMNS, &rows()).unwrap();
        assert_eq!(yaml, "- name: a\n  uses: 1\n  note: null\n- name: a-longer-name\n  uses: 20\n  note: \"no\"\n");
        assert_eq!(listing(Format::Yaml, COLUMNS, &[]).unwrap(), "[]\n");
    }

    #[test]
    fn a_cell_cannot_write_to_the_terminal() {
        let row = [Row { name: "a\u{1b}[2J\nb\u{202e}\r", uses: 1, note: None }];
        let text = listing(Format::Table, COLUMNS, &row).unwrap();
        assert_eq!(text.lines().nth(1).unwrap().split_whitespace().next(), Some("a\\u{1b}[2J\\nb\\u{202e}\\r"));
        assert_eq!(text.lines().count(), 2);
        let yaml = listing(Format::Yaml, COLUMNS, &row).unwrap();
        assert!(!yaml.contains('\u{1b}') && !yaml.contains('\r'), "{yaml}");
    }
}
