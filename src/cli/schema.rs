//! `nfpath schema`

use clap::{Args, ValueEnum};

use crate::report::v1;

use super::{Answer, Exit, output};

/// Print the JSON Schema of an output format.
#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Which format.
    #[arg(value_name = "FORMAT")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// `nfpath explain --format json`
    Report,
}

impl Schema {
    pub(super) fn run(&self) -> Answer {
        let schema = match self.format {
            Format::Report => v1::schema(),
        };
        output::result(&format!("{schema:#}\n"))?;
        Ok(Exit::Yes)
    }
}
