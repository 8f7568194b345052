//! `nfpath show`

use clap::Args;

use crate::nft::print;
use crate::report::build;

use super::{Answer, Exit, Facts, input, output};

/// Print a ruleset as nft syntax and say what of it is not modelled.
///
/// The text can be loaded with `nft -f`. What this version gives no meaning to is listed at the end, as comments.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// A file or `-`: nft JSON, a snapshot, iptables-save, nft syntax, or a report of sos.
    #[arg(value_name = "RULESET", required_unless_present = "live")]
    ruleset: Option<String>,
    #[command(flatten)]
    facts: Facts,
}

impl Show {
    pub(super) fn run(&self) -> Answer {
        let input = input::read(self.ruleset.as_deref(), &self.facts)?;
        output::diagnostics(&input.loaded.diagnostics);
        let mut text = print::document(&input.loaded.document);
        let unknown = build::unknown_parts(&input.loaded.ruleset);
        if unknown.is_empty() {
            text.push_str("\n# all of this ruleset is modelled\n");
        } else {
            let count = match unknown.len() {
                1 => "1 part".to_string(),
                several => format!("{several} parts"),
            };
            text.push_str(&format!(
                "\n# not modelled: {count}, evaluated as unknown\n"
            ));
            for part in &unknown {
                let place = match &part.at {
                    Some(at) => at.to_string(),
                    None => "the ruleset".to_string(),
                };
                text.push_str(&format!(
                    "#   {}: {}; settled by {}\n",
                    one_line(&place),
                    one_line(&part.what),
                    part.settle
                ));
            }
        }
        output::result(&crate::render::safe::terminal_text(&text))?;
        Ok(Exit::Yes)
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}
