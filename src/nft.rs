//! nft's own language: the syntax tree, its JSON, and its text.
//!
//! Nothing in here decides what a rule means; see `load::lower` for that.

pub mod ast;
pub mod json;
pub mod print;
