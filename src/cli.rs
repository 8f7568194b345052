//! The command line: one file per command, and the exit status of each (docs/formats/report.md).

mod audit;
mod batch;
mod completions;
mod diff;
mod explain;
mod explain_trace;
mod graph;
mod input;
mod man;
mod output;
mod reach;
mod schema;
mod show;
mod snapshot;
mod test;
mod verify;

use std::process::ExitCode;

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

/// Where did my packet go? Traces a flow and its reply through an nftables ruleset, rule by rule.
#[derive(Debug, Parser)]
#[command(name = "nfpath", version, max_term_width = 100, after_help = AFTER)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// When to use colour. NO_COLOR and CLICOLOR_FORCE are respected.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

const AFTER: &str = "\
RULESET is a file or `-`: `nft -j list ruleset`, a snapshot of `nfpath snapshot`, `iptables-save` text, or nft syntax.

Exit status: 0 yes (the flow is accepted both ways); 1 no; 2 usage; 3 the input could not be read; 4 undetermined.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Explain what happens to a flow and to its reply.
    Explain(Box<explain::Explain>),
    /// Tell what a kernel traced as a report.
    ExplainTrace(Box<explain_trace::ExplainTrace>),
    /// Answer many flows, a line each.
    Batch(Box<batch::Batch>),
    /// Who can reach what: all packets that get through, as rows.
    Reach(Box<reach::Reach>),
    /// Print a ruleset as nft syntax and say what of it is not modelled.
    Show(Box<show::Show>),
    /// Find what the ruleset does that nobody will have meant.
    Audit(Box<audit::Audit>),
    /// Tell which packets two rulesets treat otherwise.
    Diff(Box<diff::Diff>),
    /// Draw the hooks, chains and jumps of a ruleset.
    Graph(Box<graph::Graph>),
    /// Write this host's ruleset, addresses, routes and settings into one file.
    Snapshot(snapshot::Snapshot),
    /// Send the packet through a real kernel and compare what it does with the model.
    Verify(Box<verify::Verify>),
    /// Check flows against what is expected of them.
    Test(Box<test::Test>),
    /// Print the JSON Schema of an output format.
    Schema(schema::Schema),
    /// Print the shell completions.
    Completions(completions::Completions),
    /// Print the man page.
    Man(man::Man),
}

/// What a command's answer was (docs/formats/report.md, exit status).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Yes,
    No,
    Usage,
    Unreadable,
    Undetermined,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Yes => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::Unreadable => 3,
            Exit::Undetermined => 4,
        })
    }
}

/// An error with the exit status it gives.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    fn usage(error: impl Into<anyhow::Error>) -> Failure {
        Failure {
            exit: Exit::Usage,
            error: error.into(),
        }
    }

    fn undetermined(error: impl Into<anyhow::Error>) -> Failure {
        Failure {
            exit: Exit::Undetermined,
            error: error.into(),
        }
    }

    fn unreadable(error: impl Into<anyhow::Error>) -> Failure {
        Failure {
            exit: Exit::Unreadable,
            error: error.into(),
        }
    }
}

type Answer = Result<Exit, Failure>;

/// Facts about the host, in the trust order of the report contract. In a file of expectations they have the same names.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Facts about the host")]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Facts {
    /// A snapshot of the host (`nfpath snapshot`), or a report of sos.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
    /// Ask the running host.
    #[arg(long, conflicts_with = "context")]
    #[serde(skip)]
    live: bool,
    /// An address of this host.
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    local: Vec<String>,
    /// An interface with its addresses.
    #[arg(long, value_name = "NAME=ADDR/LEN[,ADDR/LEN]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    iface: Vec<String>,
    /// A route.
    #[arg(long, value_name = "PREFIX,dev=IF[,via=ADDR]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    route: Vec<String>,
    /// A bridge and its ports.
    #[arg(long, value_name = "NAME=PORT[,PORT]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bridge: Vec<String>,
    /// A kernel setting.
    #[arg(long, value_name = "KEY=VALUE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sysctl: Vec<String>,
    /// Output of `ip -j -d addr`.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addr: Vec<String>,
    /// Output of `ip -j -d link`.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    link: Vec<String>,
    /// Output of `ip -j route show table all` (and of `ip -6 …`).
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<String>,
    /// Output of `ip -j rule` (and of `ip -6 …`).
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<String>,
    /// Output of `sysctl -a`.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sysctls: Vec<String>,
    /// Output of `iptables-save` of the same host: the meaning of rules that iptables-nft wrote.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    iptables_save: Option<String>,
    /// Output of `ip6tables-save` of the same host.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    ip6tables_save: Option<String>,
    /// Output of `iptables-legacy-save`: tables that stand beside those of nft, which does not list them.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    iptables_legacy_save: Option<String>,
    /// Output of `ip6tables-legacy-save`.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    ip6tables_legacy_save: Option<String>,
    /// Output of `ebtables-save` of the same host: the meaning of rules that ebtables-nft wrote in family bridge.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    ebtables_save: Option<String>,
    /// Output of `ebtables-legacy-save`: tables that stand beside those of nft, which does not list them.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    ebtables_legacy_save: Option<String>,
    /// Output of `ipset save`, as text or with `-o xml`: the sets that `-m set` asks for.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    ipset: Option<String>,
    /// Output of `nft -a list ruleset` of the same host: what its JSON leaves out, such as iptables extensions in nft's words.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    nft_text: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CtState {
    New,
    Established,
    Related,
    Invalid,
    Untracked,
}

/// Flows, and what refines their first packets. In a file of expectations that has the same names.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "The packet")]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Packet {
    /// The flow: `udp:10.0.0.2->10.0.0.1:53`. A comma in place of `->` needs no quotes. A log line of the kernel, or a line of
    /// `conntrack -L`, does as well.
    #[arg(long, value_name = "PROTO:SRC[:PORT]->DST[:PORT]")]
    #[serde(skip)]
    flow: Vec<String>,
    /// Flows of a file or `-`: one a line, kernel log lines, `conntrack -L`, `ss -n`, `tcpdump -n`, pcap, CSV, JSON lines.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    flows: Vec<String>,
    /// Interface the packet enters by. Default: by the route back to its source.
    #[arg(long, value_name = "IF")]
    #[serde(skip_serializing_if = "Option::is_none")]
    iif: Option<String>,
    /// Interface that a packet of this host is bound to.
    #[arg(long, value_name = "IF")]
    #[serde(skip_serializing_if = "Option::is_none")]
    oif: Option<String>,
    /// Bridge port the packet enters by.
    #[arg(long, value_name = "PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    in_port: Option<String>,
    /// Packet mark as it enters. Default: 0.
    #[arg(long, value_name = "MARK")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
    /// What conntrack makes of the request.
    #[arg(long, value_name = "STATE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    ct_state: Option<CtState>,
    /// Ethernet addresses of the frame.
    #[arg(long, value_name = "SRC[,DST]")]
    #[serde(skip_serializing_if = "Option::is_none")]
    ether: Option<String>,
    /// TCP flags of the request. Default: syn.
    #[arg(long, value_name = "FLAGS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_flags: Option<String>,
    /// ICMP type of the request, by name or number, with `/CODE`. Default: echo-request.
    #[arg(long, value_name = "TYPE[/CODE]")]
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_type: Option<String>,
    /// Length of the IP packet in bytes.
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u16>,
    /// User id of the sending socket.
    #[arg(long, value_name = "UID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    /// A fact that no input says, in the words of the report: `limit=over`, `tcp option maxseg size=1400`, `@s contains
    /// 10.0.0.1`.
    #[arg(long, value_name = "FACT[=VALUE]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assume: Vec<String>,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    output::set_color(cli.color);
    let answer = match &cli.command {
        Command::Explain(command) => command.run(),
        Command::ExplainTrace(command) => command.run(),
        Command::Audit(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Batch(command) => command.run(),
        Command::Reach(command) => command.run(),
        Command::Show(command) => command.run(),
        Command::Graph(command) => command.run(),
        Command::Snapshot(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    };
    match answer {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::error(&failure.error);
            failure.exit.into()
        }
    }
}
