//! `nfpath man`

use clap::{Args, CommandFactory};

use super::{Answer, Cli, Exit, Failure, output};

/// Print the man page.
#[derive(Debug, Args)]
pub(super) struct Man {}

impl Man {
    pub(super) fn run(&self) -> Answer {
        let mut text = Vec::new();
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        let mut pages = vec![command.clone()];
        pages.extend(
            command
                .get_subcommands()
                .filter(|sub| !sub.is_hide_set())
                .cloned(),
        );
        for page in pages {
            clap_mangen::Man::new(page)
                .render(&mut text)
                .map_err(|error| Failure::unreadable(anyhow::anyhow!("man page: {error}")))?;
        }
        output::result(&String::from_utf8_lossy(&text))?;
        Ok(Exit::Yes)
    }
}
