pub mod diagnostic;
pub mod iptables;
pub mod nft;
