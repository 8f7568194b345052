//! The sysctls that decide a packet's path.
//!
//! How the value for `all` and the value of a device combine differs by key and follows include/linux/inetdevice.h.

use super::{Host, IpFamily};

impl Host {
    /// The number that a key holds; the key in dotted form, as sysctl(8) prints it.
    pub fn sysctl(&self, key: &str) -> Option<i64> {
        self.sysctls.get(key)?.trim().parse().ok()
    }

    /// The value of a per-device key (`net.ipv4.conf.DEV.KEY`); what a new device would get when the device itself is not listed.
    fn of_device(&self, family: IpFamily, dev: &str, key: &str) -> Option<i64> {
        // sysctl(8) writes the dots of a name as slashes.
        let dev = dev.replace('.', "/");
        let tree = tree_of(family);
        self.sysctl(&format!("net.{tree}.conf.{dev}.{key}"))
            .or_else(|| self.sysctl(&format!("net.{tree}.conf.default.{key}")))
    }

    fn of_all(&self, family: IpFamily, key: &str) -> Option<i64> {
        self.sysctl(&format!("net.{}.conf.all.{key}", tree_of(family)))
    }

    /// `IN_DEV_ORCONF`: set for all, or for the device.
    fn all_or_device(&self, dev: &str, key: &str) -> Option<bool> {
        match (
            self.of_all(IpFamily::V4, key),
            self.of_device(IpFamily::V4, dev, key),
        ) {
            (Some(all), Some(device)) => Some(all != 0 || device != 0),
            (Some(one), None) | (None, Some(one)) if one != 0 => Some(true),
            (Some(_), None) | (None, Some(_)) | (None, None) => None,
        }
    }

    /// Whether packets that came in through `dev` may be forwarded (`IN_DEV_FORWARD`, `ip6_forward`).
    /// IPv4 asks the device, IPv6 asks `all` (and the device's `force_forwarding`).
    pub fn ip_forward(&self, family: IpFamily, dev: Option<&str>) -> Option<bool> {
        match family {
            IpFamily::V4 => {
                let device = dev.and_then(|dev| {
                    self.sysctl(&format!(
                        "net.ipv4.conf.{}.forwarding",
                        dev.replace('.', "/")
                    ))
                });
                let value = device
                    .or_else(|| self.sysctl("net.ipv4.ip_forward"))
                    .or_else(|| self.of_all(family, "forwarding"));
                value.map(|value| value != 0)
            }
            IpFamily::V6 => {
                let forced = dev.and_then(|dev| self.of_device(family, dev, "force_forwarding"));
                match (self.of_all(family, "forwarding"), forced) {
                    (Some(all), forced) => {
                        Some(all != 0 || forced.is_some_and(|forced| forced != 0))
                    }
                    (None, Some(forced)) if forced != 0 => Some(true),
                    (None, _) => None,
                }
            }
        }
    }

    /// `IN_DEV_RPFILTER`: 0 off, 1 strict, 2 loose; the higher of `all` and the device. IPv6 has none.
    pub fn rp_filter(&self, dev: &str) -> Option<u8> {
        let value = match (
            self.of_all(IpFamily::V4, "rp_filter"),
            self.of_device(IpFamily::V4, dev, "rp_filter"),
        ) {
            (Some(all), Some(device)) => all.max(device),
            // 2 is the highest there is; less can still be raised by the value that is missing.
            (Some(one), None) | (None, Some(one)) if one >= 2 => one,
            (Some(_), None) | (None, Some(_)) | (None, None) => return None,
        };
        u8::try_from(value).ok()
    }

    /// `IN_DEV_ROUTE_LOCALNET`: 127.0.0.0/8 may be routed; `all` or the device.
    pub fn route_localnet(&self, dev: &str) -> Option<bool> {
        self.all_or_device(dev, "route_localnet")
    }

    /// `IN_DEV_ACCEPT_LOCAL`: a packet from one of the host's own addresses may come in; `all` or the device.
    pub fn accept_local(&self, dev: &str) -> Option<bool> {
        self.all_or_device(dev, "accept_local")
    }

    /// Whether a packet that is forwarded gets a priority by its type of service (`ip_forward_update_priority`); the kernel
    /// starts with yes.
    pub fn forward_updates_priority(&self) -> bool {
        self.sysctl("net.ipv4.ip_forward_update_priority") != Some(0)
    }

    /// Whether a sender is told a better way out of the interface that its packet came by (`IN_DEV_TX_REDIRECTS`); the kernel
    /// starts with yes.
    pub fn send_redirects(&self, dev: &str) -> bool {
        self.all_or_device(dev, "send_redirects").unwrap_or(true)
    }

    /// `ip_ignore_linkdown`, `ip6_ignore_linkdown`: routes through the device are skipped while it has no carrier. Off unless set.
    pub(super) fn ignores_linkdown(&self, family: IpFamily, dev: &str) -> bool {
        self.of_device(family, dev, "ignore_routes_with_linkdown")
            .is_some_and(|value| value != 0)
    }

    /// Whether bridged frames pass the IP hooks, by the sysctl. Without br_netfilter the key does not exist: no.
    pub fn bridge_nf_call(&self, family: IpFamily) -> Option<bool> {
        let key = match family {
            IpFamily::V4 => "net.bridge.bridge-nf-call-iptables",
            IpFamily::V6 => "net.bridge.bridge-nf-call-ip6tables",
        };
        match self.sysctl(key) {
            Some(value) => Some(value != 0),
            None => self.complete.sysctls.then_some(false),
        }
    }

    /// The same for one bridge, whose own setting adds to the sysctl's (`brnf_call_iptables`). Neither counts without br_netfilter.
    pub fn bridge_nf_call_on(&self, family: IpFamily, bridge: &str) -> Option<bool> {
        let all = self.bridge_nf_call(family);
        let own = self.link(bridge).is_some_and(|link| match family {
            IpFamily::V4 => link.nf_call.ip,
            IpFamily::V6 => link.nf_call.ip6,
        });
        let loaded = self
            .sysctls
            .keys()
            .any(|key| key.starts_with("net.bridge.bridge-nf-"));
        match all {
            Some(false) if own && loaded => Some(true),
            Some(_) | None => all,
        }
    }
}

fn tree_of(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "ipv4",
        IpFamily::V6 => "ipv6",
    }
}
