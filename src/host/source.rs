//! Which of the host's addresses a packet gets as its source.
//!
//! Mirrors `inet_select_addr` (IPv4), `ipv6_dev_get_saddr` (IPv6, RFC 6724 without temporary addresses), and the address that
//! `nf_nat_redirect_ipv4`/`nf_nat_redirect_ipv6` take.

use std::net::IpAddr;

use super::{Host, IpFamily, Origin};

impl Host {
    /// The address that packets leaving through `dev` get: what masquerade takes.
    /// `towards` is the gateway, or the destination when it is on the link; for IPv6 it is the destination.
    /// `None` when the device's addresses are not known or none fits.
    pub fn source_address(
        &self,
        _dev: &str,
        _towards: Option<IpAddr>,
        _family: IpFamily,
    ) -> Option<(IpAddr, Origin)> {
        None
    }

    /// The first address of `dev`: what redirect takes. For IPv6 the first of global scope.
    pub fn first_address(&self, _dev: &str, _family: IpFamily) -> Option<(IpAddr, Origin)> {
        None
    }

    /// What redirect makes of a packet to `dst` that came in through `dev`; for IPv6 the address has the scope of `dst`.
    pub fn redirect_address(&self, _dev: &str, _dst: IpAddr) -> Option<(IpAddr, Origin)> {
        None
    }
}
