//! The ruleset as it is evaluated.

pub mod datatype;
pub mod protocol;
