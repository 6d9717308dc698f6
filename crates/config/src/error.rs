//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// One thing wrong with the configuration, at the place where a person wrote it.
///
/// Prints as `config.json:3:5: gateway.prot: unknown key (did you mean `gateway.port`?)`.
/// Never holds a value that was read, except words that a key does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the configuration or the including file named it.
    pub file: PathBuf,
    /// Counted from 1; 0 when the whole file is meant.
    pub line: u32,
    /// In characters, counted from 1; 0 when the whole file is meant.
    pub column: u32,
    /// The key in OpenClaw's words; empty when no key is meant.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// One thing that a person can do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with a whole file.
    pub(crate) fn file(file: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            path: String::new(),
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}
