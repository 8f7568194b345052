pub mod capture;
pub mod diagnostic;
pub mod host;
pub mod load;
pub mod nft;
