//! Where did my packet go? Traces a flow and its reply through an nftables ruleset.
//!
//! docs/architecture.md tells which module is responsible for what; `tests/layers.rs` keeps the layers.

pub mod audit;
pub mod capture;
pub mod cli;
pub mod conntrack;
pub mod diagnostic;
pub mod diff;
pub mod eval;
pub mod expect;
pub mod explain;
pub mod flow;
pub mod graph;
pub mod graphviz;
pub mod hooks;
pub mod host;
pub mod infer;
pub mod iptables;
pub mod json;
pub mod kernel;
pub mod load;
pub mod logic;
pub mod nft;
pub mod nft_tool;
pub mod owner;
pub mod packet;
pub mod reach;
pub mod remedy;
pub mod render;
pub mod report;
pub mod ruleset;
pub mod seen;
pub mod sets;
pub mod symbolic;
pub mod trace;
pub mod walk;
