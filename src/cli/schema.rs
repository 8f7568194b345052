//! `nfpath schema`

use clap::{Args, ValueEnum};

use crate::{diff, reach, report};

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
    /// `nfpath reach --format json`
    Reach,
    /// `nfpath diff --format json`
    Diff,
}

impl Schema {
    pub(super) fn run(&self) -> Answer {
        let schema = match self.format {
            Format::Report => report::v1::schema(),
            Format::Reach => reach::v1::schema(),
            Format::Diff => diff::v1::schema(),
        };
        output::result(&format!("{schema:#}\n"))?;
        Ok(Exit::Yes)
    }
}
