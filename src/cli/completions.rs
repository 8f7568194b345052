//! `nfpath completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Answer, Cli, Exit, output};

/// Print the shell completions.
#[derive(Debug, Args)]
pub(super) struct Completions {
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Answer {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "nfpath", &mut text);
        output::result(&String::from_utf8_lossy(&text))?;
        Ok(Exit::Yes)
    }
}
