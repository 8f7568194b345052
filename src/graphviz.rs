//! Runs Graphviz. The one place where a drawing leaves this program to be laid out.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use thiserror::Error;

/// Why there is no picture.
#[derive(Debug, Error)]
pub enum GraphvizError {
    #[error(
        "graphviz is not installed: svg needs its program `dot`; install the package `graphviz`, or use `--format dot` \
         or `--format mermaid`"
    )]
    Missing,
    #[error("cannot run `dot`: {0}")]
    Run(#[from] std::io::Error),
    #[error("`dot` failed: {0}")]
    Failed(String),
}

/// Lays out a drawing as SVG.
pub fn svg(dot: &str) -> Result<String, GraphvizError> {
    svg_by("dot", dot)
}

fn svg_by(program: &str, dot: &str) -> Result<String, GraphvizError> {
    let child = Command::new(program)
        .arg("-Tsvg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        // a folder of PATH that may not be read hides that the program is in none of them
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::PermissionDenied
            ) =>
        {
            return Err(GraphvizError::Missing);
        }
        child => child?,
    };
    // Written from a thread of its own, so that neither side waits for the other.
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        let writer = scope.spawn(move || match stdin {
            Some(mut stdin) => stdin.write_all(dot.as_bytes()),
            None => Ok(()),
        });
        let output = child.wait_with_output();
        // Where writing failed, `dot` itself says why.
        let _ = writer.join();
        output
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("it said nothing");
        return Err(GraphvizError::Failed(line.trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_said_with_what_to_do() {
        let error = svg_by("no-such-program-as-this", "digraph {}").expect_err("there is none");
        assert!(matches!(error, GraphvizError::Missing));
        let text = error.to_string();
        assert!(
            text.contains("not installed") && !text.contains('\n'),
            "{text}"
        );
    }
}
