//! The header fields of nft, and the matches that a listing leaves out.
