//! Renderers: each shows a report or a graph in one form, and decides nothing.

pub mod audit;
pub mod checks;
pub mod diff;
pub mod dot;
pub mod json;
pub mod mermaid;
pub mod painted;
pub mod reach;
pub mod rows;
pub mod safe;
pub mod text;
