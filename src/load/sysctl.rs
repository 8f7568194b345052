//! Reading `sysctl -a`.
