pub mod flow;
pub mod nft;
pub mod ruleset;
