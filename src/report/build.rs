//! Makes the report from what the walk recorded.
