//! Reading text into the domain: every reader gives the value and the diagnostics, and does no I/O itself.

pub mod bundle;
pub mod ip_json;
pub mod lower;
pub mod sysctl;
