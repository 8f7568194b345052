//! Results go to standard output, everything else to standard error.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::ColorChoice;
use colored::Colorize;

use crate::diagnostic::{Diagnostic, Severity};
use crate::kernel;
use crate::render::safe;
use crate::sets::Room;

use super::Failure;

/// Decides about colour once. `auto` leaves it to `colored`: NO_COLOR, CLICOLOR_FORCE, and whether it is a terminal.
pub(super) fn set_color(choice: ColorChoice) {
    match choice {
        ColorChoice::Always => colored::control::set_override(true),
        ColorChoice::Never => colored::control::set_override(false),
        ColorChoice::Auto => {
            let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|v| v != "0");
            let off = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
            colored::control::set_override(!off && (forced || io::stdout().is_terminal()));
        }
    }
}

/// Whether colour is on.
pub(super) fn color() -> bool {
    colored::control::SHOULD_COLORIZE.should_colorize()
}

/// Columns of the terminal: `COLUMNS`, else what the terminal says, else 100.
pub(super) fn width() -> usize {
    let said = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    let asked = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    said.or_else(asked).unwrap_or(100).clamp(40, 400)
}

/// Whether the locale shows more than ASCII.
pub(super) fn unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    match locale {
        Some(locale) => {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        }
        None => !io::stdout().is_terminal(),
    }
}

/// Writes a result. A reader that went away is no error.
pub(super) fn result(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::unreadable(anyhow::anyhow!(
            "standard output: {error}"
        ))),
        Ok(()) => Ok(()),
    }
}

/// Diagnostics on standard error, a few of a kind.
pub(super) fn diagnostics(diagnostics: &[Diagnostic]) {
    const MOST: usize = 10;
    let mut stderr = io::stderr().lock();
    for diagnostic in diagnostics.iter().take(MOST) {
        let severity = match diagnostic.severity {
            Severity::Note => "note".dimmed(),
            Severity::Warning => "warning".yellow(),
        };
        let text = safe::terminal(&format!("{}: {}", diagnostic.source, diagnostic.message));
        let _ = writeln!(stderr, "{severity}: {text}");
    }
    if diagnostics.len() > MOST {
        let _ = writeln!(
            stderr,
            "note: {} more remarks; `nfpath explain … --format json` has them all",
            diagnostics.len() - MOST
        );
    }
}

/// A remark on standard error.
pub(super) fn note(text: &str) {
    let _ = writeln!(
        io::stderr().lock(),
        "{} {}",
        "note:".dimmed(),
        safe::terminal(text)
    );
}

/// A bar on standard error while something takes long, when that is a terminal.
pub(super) struct Progress {
    total: u64,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(total: u64) -> Progress {
        Progress {
            total,
            shown: None,
            terminal: io::stderr().is_terminal(),
        }
    }

    /// Shows how far it is, ten times a second at most.
    pub(super) fn set(&mut self, done: u64, text: &str) {
        let recent = self
            .shown
            .is_some_and(|shown| shown.elapsed() < Duration::from_millis(100));
        if !self.terminal || recent {
            return;
        }
        self.shown = Some(Instant::now());
        let filled = (done * 20 / self.total.max(1)).min(20) as usize;
        let bar = format!("{}{}", "#".repeat(filled), ".".repeat(20 - filled));
        // a line that wraps could not be taken away
        let room = width().saturating_sub(bar.len() + 4);
        let text: String = text.chars().take(room).collect();
        let _ = write!(io::stderr().lock(), "\r\u{1b}[K[{bar}] {text}");
    }

    /// Takes the bar away.
    pub(super) fn clear(&mut self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr().lock(), "\r\u{1b}[K");
        }
    }
}

/// Does something that may take long: from two seconds on a terminal shows for how long, and Ctrl-C is for the work to see
/// ([`room`]).
pub(super) fn waiting<T>(what: &str, work: impl FnOnce() -> T) -> T {
    // without it Ctrl-C ends the program at once, as ever
    let _ = kernel::note_interrupts();
    if !io::stderr().is_terminal() {
        return work();
    }
    let (done, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let begun = Instant::now();
            let mut pause = Duration::from_secs(2);
            while let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(pause) {
                pause = Duration::from_secs(1);
                let seconds = begun.elapsed().as_secs();
                let text = format!("{what}: {seconds} s; Ctrl-C tells what was found so far");
                let text: String = text.chars().take(width().saturating_sub(1)).collect();
                let _ = write!(io::stderr().lock(), "\r\u{1b}[K{text}");
            }
            if begun.elapsed() >= Duration::from_secs(2) {
                let _ = write!(io::stderr().lock(), "\r\u{1b}[K");
            }
        });
        let answer = work();
        drop(done);
        answer
    })
}

/// Room for sets of packets that Ctrl-C stops.
pub(super) fn room() -> Room {
    Room {
        interrupted: kernel::interrupted,
        ..Room::default()
    }
}

/// An error and its causes on one line.
pub(super) fn error(error: &anyhow::Error) {
    let text = safe::terminal(&format!("{error:#}"));
    let _ = writeln!(
        io::stderr().lock(),
        "{} {text}",
        "nfpath: error:".red().bold()
    );
}
