//! What the reader sees: sections of steps, each with its mark; coloured on a terminal, plain in a pipe.

use std::io::Write;

use anstyle::{AnsiColor, Style};

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const STRONG: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const COMMAND: Style = AnsiColor::Cyan.on_default();

/// Widest first column; names are shorter.
const NAME_WIDTH: usize = 17;

/// Writes the report and counts what failed.
pub struct Report {
    out: Box<dyn Write + Send>,
    failures: usize,
}

impl Report {
    /// To this stream; a stream that knows colour strips it when it is no terminal.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>) -> Report {
        Report { out, failures: 0 }
    }

    /// How many steps failed.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// A heading with its explanation.
    pub fn section(&mut self, title: &str, explanation: &str) {
        self.line(&format!("\n{STRONG}{title}{STRONG:#}  {FAINT}{explanation}{FAINT:#}"));
    }

    /// Something to know: a name and its value.
    pub fn fact(&mut self, name: &str, value: &str) {
        self.line(&format!("    {name:<NAME_WIDTH$} {value}"));
    }

    /// One step: ✓ and what came of it, or ✗ and the reason. Gives back whether it went well.
    pub fn step(&mut self, name: &str, outcome: &Result<String, String>) -> bool {
        let (mark, style, text) = match outcome {
            Ok(text) => ("✓", GOOD, text),
            Err(reason) => ("✗", BAD, reason),
        };
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        self.line(&format!("  {style}{mark}{style:#} {name:<NAME_WIDTH$} {first}"));
        for more in lines {
            self.line(&format!("    {:NAME_WIDTH$} {more}", ""));
        }
        self.failures += usize::from(outcome.is_err());
        outcome.is_ok()
    }

    /// Another program's answer, set apart.
    pub fn quote(&mut self, text: &str) {
        for line in text.trim_end().lines() {
            self.line(&format!("    {FAINT}│{FAINT:#} {line}"));
        }
    }

    /// A command to paste, under what it does.
    pub fn command(&mut self, does: &str, command: &str) {
        self.line(&format!("  {FAINT}# {does}{FAINT:#}"));
        for line in command.lines() {
            self.line(&format!("  {COMMAND}{line}{COMMAND:#}"));
        }
    }

    /// A line of its own.
    pub fn say(&mut self, text: &str) {
        self.line(text);
    }

    /// A reader that went away (`| head`) is no failure of the demonstration.
    fn line(&mut self, text: &str) {
        let written = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        if let Err(fault) = written {
            tracing::debug!("the report has no reader: {fault}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn text(page: &Page) -> String {
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn steps_are_aligned_marked_and_counted() {
        let page = Page::default();
        let mut report =
            Report::new(Box::new(anstream::StripStream::new(Box::new(page.clone()) as Box<dyn Write + Send>)));
        assert!(report.step("github", &Ok("fine".into())));
        assert!(!report.step("kubernetes", &Err("401\nmore".into())));
        assert_eq!(report.failures(), 1);
        assert_eq!(text(&page), "  ✓ github            fine\n  ✗ kubernetes        401\n                      more\n");
    }
}
