//! The report as JSON, schema `nfpath.report/1`.
