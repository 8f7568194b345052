//! Asking a running host for its facts and writing them down as a snapshot bundle.

use std::io;

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

/// The machine to be asked; a test gives its own.
pub trait Run {
    /// Runs a command to its end.
    fn run(&self, program: &str, args: &[&str]) -> io::Result<Ran>;

    /// Reads a file of the machine.
    fn read(&self, path: &str) -> io::Result<String>;

    /// The names in a directory of the machine, sorted.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    /// The time, RFC 3339, UTC.
    fn now(&self) -> String;
}

/// Asks the machine for everything that a trace can need; the text is a snapshot bundle. Never fails as a whole: a part that could
/// not be had says why.
pub fn snapshot(_runner: &dyn Run) -> String {
    String::new()
}
