//! Remarks that answer questions people have.
