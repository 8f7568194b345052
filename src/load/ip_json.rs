//! Reading the JSON of iproute2's `ip` and `bridge`.
