//! The audit trail as JSON lines beside the database, for log shippers.
//!
//! The database is the trail; this file follows it. A failure to write it is logged and stops nothing.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::files::private_file;

/// The file's name in the data directory.
const MIRROR: &str = "audit.jsonl";

/// The open file.
pub(super) struct Mirror {
    path: PathBuf,
    file: Option<File>,
    /// The last write failed, perhaps in the middle of a line.
    torn: bool,
}

impl Mirror {
    /// The mirror in this directory; opened at the first record.
    pub(super) fn new(directory: &Path) -> Mirror {
        Mirror { path: directory.join(MIRROR), file: None, torn: false }
    }

    /// Appends whole lines with one write.
    pub(super) fn append(&mut self, lines: &str) {
        if lines.is_empty() {
            return;
        }
        match self.write(lines) {
            Ok(()) if self.torn => {
                self.torn = false;
                tracing::info!(file.path = %self.path.display(), "the audit mirror is written again");
            }
            Ok(()) => {}
            Err(cause) => {
                if !self.torn {
                    tracing::warn!(file.path = %self.path.display(), "the audit mirror cannot be written: {cause}");
                }
                self.torn = true;
                self.file = None;
            }
        }
    }

    fn write(&mut self, lines: &str) -> Result<(), String> {
        let torn = self.torn;
        let mut file = self.current()?;
        let written =
            if torn { file.write_all(format!("\n{lines}").as_bytes()) } else { file.write_all(lines.as_bytes()) };
        written.map_err(|error| error.to_string())
    }

    /// The open file, unless log rotation has moved it away: then a new one.
    fn current(&mut self) -> Result<&File, String> {
        let at_path = std::fs::metadata(&self.path).ok().map(|file| (file.dev(), file.ino()));
        let opened = self.file.as_ref().and_then(|file| file.metadata().ok()).map(|file| (file.dev(), file.ino()));
        if opened.is_none() || opened != at_path {
            self.file = Some(private_file(&self.path).map_err(|error| error.0)?);
        }
        self.file.as_ref().ok_or_else(|| "it is not open".to_owned())
    }
}
