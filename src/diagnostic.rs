//! What loading has to say about an input that it could use only in part.
//!
//! Loading returns the value and a list of these; an input that is of no use at all is an error of its loader instead.

use std::fmt;

/// How much a diagnostic may change what the tool answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something was left out that cannot change an answer by itself.
    Note,
    /// Something was left out or read in part; answers that depend on it may be wrong or unknown.
    Warning,
}

/// One remark on one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The input it is about: a file name, a part of a bundle, a flag.
    pub source: String,
    /// One line, lower case, without a final period.
    pub message: String,
}

impl Diagnostic {
    pub fn warning(source: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            source: source.into(),
            message: message.into(),
        }
    }

    pub fn note(source: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            source: source.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}: {}", self.source, self.message)
    }
}
