//! Renderers: each shows a report or a graph in one form, and decides nothing.

pub mod dot;
pub mod mermaid;
pub mod painted;
pub mod safe;
