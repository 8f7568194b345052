pub mod nft;
pub mod ruleset;
