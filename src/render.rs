//! Renderers: each shows a report or a graph in one form, and decides nothing.

pub mod safe;
pub mod text;
