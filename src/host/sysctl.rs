//! The sysctls that decide a packet's path.
//!
//! How the value for `all` and the value of a device combine differs by key and follows include/linux/inetdevice.h.

use super::{Host, IpFamily};

impl Host {
    /// The number that a key holds; the key in dotted form, as sysctl(8) prints it.
    pub fn sysctl(&self, key: &str) -> Option<i64> {
        self.sysctls.get(key)?.trim().parse().ok()
    }

    /// Whether packets that came in through `dev` may be forwarded (`IN_DEV_FORWARD`, `ip6_forward`).
    /// IPv4 asks the device, IPv6 asks `all` (and the device's `force_forwarding`).
    pub fn ip_forward(&self, _family: IpFamily, _dev: Option<&str>) -> Option<bool> {
        None
    }

    /// `IN_DEV_RPFILTER`: 0 off, 1 strict, 2 loose; the higher of `all` and the device.
    pub fn rp_filter(&self, _dev: &str) -> Option<u8> {
        None
    }

    /// `IN_DEV_ROUTE_LOCALNET`: 127.0.0.0/8 may be routed; `all` or the device.
    pub fn route_localnet(&self, _dev: &str) -> Option<bool> {
        None
    }

    /// `IN_DEV_ACCEPT_LOCAL`: a packet from one of the host's own addresses may come in; `all` or the device.
    pub fn accept_local(&self, _dev: &str) -> Option<bool> {
        None
    }

    /// Whether bridged frames pass the IP hooks, by the sysctl. Without br_netfilter the key does not exist: no.
    pub fn bridge_nf_call(&self, _family: IpFamily) -> Option<bool> {
        None
    }

    /// The same for one bridge, whose own setting adds to the sysctl's.
    pub fn bridge_nf_call_on(&self, _family: IpFamily, _bridge: &str) -> Option<bool> {
        None
    }
}
