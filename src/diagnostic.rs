//! What loading has to say about its input: never fatal, always with its source.

/// How much a diagnostic matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something was left out or may be wrong.
    Warning,
    /// Worth knowing; nothing was lost.
    Note,
}

/// One remark about an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The file or command that it is about, with a line number where there is one.
    pub source: String,
    pub message: String,
}
