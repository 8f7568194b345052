//! Which of the host's addresses a packet gets as its source.
//!
//! Mirrors `inet_select_addr` (IPv4), `ipv6_dev_get_saddr` (IPv6; RFC 6724 without home, temporary and ORCHID addresses), and
//! the address that `nf_nat_redirect_ipv4` and `nf_nat_redirect_ipv6` take.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

use super::{Address, Host, IpFamily, Origin, Scope};

impl Host {
    /// The address that packets leaving through `dev` get: what masquerade takes.
    /// `towards` is the gateway, or the destination when it is on the link; for IPv6 it is the destination.
    /// `None` when the device's addresses are not known or none fits.
    pub fn source_address(
        &self,
        dev: &str,
        towards: Option<IpAddr>,
        family: IpFamily,
    ) -> Option<(IpAddr, Origin)> {
        self.source_address_within(dev, towards, family, Scope::GLOBAL)
    }

    /// The same with addresses up to `scope`: a route of link scope may use addresses of link scope (`fib_info_update_nhc_saddr`).
    pub fn source_address_within(
        &self,
        dev: &str,
        towards: Option<IpAddr>,
        family: IpFamily,
        scope: Scope,
    ) -> Option<(IpAddr, Origin)> {
        match family {
            IpFamily::V4 => {
                let towards = towards.and_then(|ip| match ip {
                    IpAddr::V4(ip) => Some(ip),
                    IpAddr::V6(_) => None,
                });
                self.select_v4(dev, towards, scope)
            }
            IpFamily::V6 => {
                let towards = towards.and_then(|ip| match ip {
                    IpAddr::V4(_) => None,
                    IpAddr::V6(ip) => Some(ip),
                });
                self.select_v6(dev, towards)
            }
        }
    }

    /// `inet_select_addr`.
    fn select_v4(
        &self,
        dev: &str,
        towards: Option<Ipv4Addr>,
        scope: Scope,
    ) -> Option<(IpAddr, Origin)> {
        // With route_localnet an address of host scope counts as one of link scope.
        let nearest = if self.route_localnet(dev) == Some(true) {
            Scope::LINK
        } else {
            Scope::HOST
        };
        let of_dev = self
            .addresses_of(dev, IpFamily::V4)
            .filter(|address| !address.secondary && address.scope.min(nearest) <= scope);
        let in_subnet = |address: &&Address| {
            towards.is_none_or(|ip| {
                address
                    .subnet()
                    .is_some_and(|net| net.contains(&IpAddr::V4(ip)))
            })
        };
        let chosen = of_dev
            .clone()
            .find(in_subnet)
            .or_else(|| of_dev.clone().next());
        if chosen.is_some() || !self.knows_addresses_of(dev) {
            return chosen.map(answer);
        }
        // A device without an address borrows one.
        let borrowed = self.addresses.iter().find(|address| {
            address.ip.is_ipv4()
                && !address.secondary
                && address.scope != Scope::LINK
                && address.scope <= scope
        });
        borrowed.map(answer)
    }

    /// `ipv6_dev_get_saddr`.
    fn select_v6(&self, dev: &str, towards: Option<Ipv6Addr>) -> Option<(IpAddr, Origin)> {
        if !self.knows_addresses_of(dev) {
            return None;
        }
        let dst = towards.unwrap_or(Ipv6Addr::UNSPECIFIED);
        let dst_scope = scope_of(dst);
        let only_dev = towards.is_some_and(|dst| dst.is_multicast())
            || (towards.is_some() && dst_scope <= SCOPE_LINK);
        let mut best: Option<([i32; 6], &Address)> = None;
        for address in self
            .addresses
            .iter()
            .filter(|address| !address.tentative && (!only_dev || address.dev == dev))
        {
            let IpAddr::V6(ip) = address.ip else { continue };
            let reach = i32::from(scope_of(ip));
            let score = [
                i32::from(ip == dst),
                if reach >= i32::from(dst_scope) {
                    -reach
                } else {
                    reach - 128
                },
                i32::from(!address.deprecated),
                i32::from(address.dev == dev),
                i32::from(label_of(ip) == label_of(dst)),
                i32::try_from(common_bits(ip, dst).min(u32::from(address.prefix_len))).unwrap_or(0),
            ];
            if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
                best = Some((score, address));
            }
        }
        best.map(|(_, address)| answer(address))
    }

    /// The first address of `dev`: what redirect takes. For IPv6 the first of global scope.
    pub fn first_address(&self, dev: &str, family: IpFamily) -> Option<(IpAddr, Origin)> {
        match family {
            IpFamily::V4 => self.addresses_of(dev, family).next().map(answer),
            IpFamily::V6 => self.first_of_scope(dev, SCOPE_GLOBAL),
        }
    }

    /// What redirect makes of a packet to `dst` that came in through `dev`; for IPv6 the address has the scope of `dst`.
    pub fn redirect_address(&self, dev: &str, dst: IpAddr) -> Option<(IpAddr, Origin)> {
        match dst {
            IpAddr::V4(_) => self.first_address(dev, IpFamily::V4),
            IpAddr::V6(dst) => self.first_of_scope(dev, scope_of(dst)),
        }
    }

    fn first_of_scope(&self, dev: &str, scope: u8) -> Option<(IpAddr, Origin)> {
        let fits = |address: &&Address| match address.ip {
            IpAddr::V4(_) => false,
            IpAddr::V6(ip) => !address.tentative && scope_of(ip) == scope,
        };
        self.addresses_of(dev, IpFamily::V6).find(fits).map(answer)
    }

    fn addresses_of<'a>(
        &'a self,
        dev: &'a str,
        family: IpFamily,
    ) -> impl Iterator<Item = &'a Address> + Clone {
        self.addresses
            .iter()
            .filter(move |address| address.dev == dev && IpFamily::of(address.ip) == family)
    }

    /// Whether the addresses of a device are known: the list is whole, or it has some of the device.
    fn knows_addresses_of(&self, dev: &str) -> bool {
        self.complete.addresses || self.addresses.iter().any(|address| address.dev == dev)
    }
}

const SCOPE_LINK: u8 = 2;
const SCOPE_SITE: u8 = 5;
const SCOPE_GLOBAL: u8 = 14;

/// `__ipv6_addr_src_scope`, in the numbers of multicast scopes.
fn scope_of(ip: Ipv6Addr) -> u8 {
    let [first, second, ..] = ip.octets();
    if ip.is_multicast() {
        second & 0x0f
    } else if ip.is_loopback() || ip.is_unicast_link_local() {
        SCOPE_LINK
    } else if first == 0xfe && second & 0xc0 == 0xc0 {
        SCOPE_SITE
    } else {
        SCOPE_GLOBAL
    }
}

/// The kernel's default address labels (`ip addrlabel`).
fn label_of(ip: Ipv6Addr) -> u8 {
    const LABELS: [(Ipv6Addr, u8, u8); 9] = [
        (Ipv6Addr::LOCALHOST, 128, 0),
        (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 4),
        (Ipv6Addr::UNSPECIFIED, 96, 3),
        (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, 6),
        (Ipv6Addr::new(0x2001, 0x10, 0, 0, 0, 0, 0, 0), 28, 7),
        (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 2),
        (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, 12),
        (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, 11),
        (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, 5),
    ];
    let holds = |&&(net, len, _): &&(Ipv6Addr, u8, u8)| {
        Ipv6Net::new(net, len).is_ok_and(|net| net.contains(&ip))
    };
    LABELS.iter().find(holds).map_or(1, |&(_, _, label)| label)
}

/// `ipv6_addr_diff`: the length of the longest prefix that both share.
fn common_bits(a: Ipv6Addr, b: Ipv6Addr) -> u32 {
    (u128::from(a) ^ u128::from(b)).leading_zeros()
}

fn answer(address: &Address) -> (IpAddr, Origin) {
    (address.ip, address.origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn host(addresses: &[(&str, &str)]) -> Host {
        let mut host = Host::default();
        for (dev, text) in addresses {
            let (address, len) = text.split_once('/').expect("a length");
            host.addresses.push(Address::of(
                ip(address),
                len.parse().expect("a length"),
                *dev,
                Origin::Given,
            ));
        }
        host.complete.addresses = true;
        host
    }

    #[test]
    fn ipv4_prefers_the_subnet_of_the_gateway() {
        let mut host = host(&[
            ("eth0", "10.0.0.1/24"),
            ("eth0", "10.0.9.1/24"),
            ("lo", "127.0.0.1/8"),
            ("lo", "10.99.0.1/32"),
        ]);
        let chosen = |host: &Host, dev: &str, towards: &str| {
            host.source_address(dev, Some(ip(towards)), IpFamily::V4)
                .map(|(ip, _)| ip.to_string())
                .unwrap_or_default()
        };
        assert_eq!(chosen(&host, "eth0", "10.0.9.254"), "10.0.9.1");
        assert_eq!(chosen(&host, "eth0", "192.0.2.1"), "10.0.0.1");
        // A device without an address borrows the first there is of global scope.
        assert_eq!(chosen(&host, "tun0", "192.0.2.1"), "10.0.0.1");
        assert_eq!(chosen(&host, "lo", "127.0.0.1"), "10.99.0.1");
        host.addresses[1].secondary = true;
        assert_eq!(chosen(&host, "eth0", "10.0.9.254"), "10.0.0.1");
        host.complete.addresses = false;
        assert_eq!(chosen(&host, "tun0", "192.0.2.1"), "");
    }

    #[test]
    fn ipv6_prefers_scope_then_device_then_label_then_prefix() {
        let host = host(&[
            ("eth0", "fe80::1/64"),
            ("eth0", "fd00::1/64"),
            ("eth0", "2001:db8:1::1/64"),
            ("eth0", "2001:db8:2::1/64"),
            ("eth1", "2001:db8:9::1/64"),
        ]);
        let chosen = |towards: &str| {
            host.source_address("eth0", Some(ip(towards)), IpFamily::V6)
                .map(|(ip, _)| ip.to_string())
                .unwrap_or_default()
        };
        assert_eq!(chosen("2001:db8:2::9"), "2001:db8:2::1");
        assert_eq!(chosen("2001:db8:9::9"), "2001:db8:1::1");
        assert_eq!(chosen("fd77::1"), "fd00::1");
        assert_eq!(chosen("fe80::9"), "fe80::1");
    }

    #[test]
    fn redirect_takes_the_first_address() {
        let host = host(&[
            ("eth0", "fe80::1/64"),
            ("eth0", "fd00::1/64"),
            ("eth0", "10.0.0.1/24"),
            ("eth0", "10.0.0.2/24"),
        ]);
        assert_eq!(
            host.first_address("eth0", IpFamily::V4).map(|(ip, _)| ip),
            Some(ip("10.0.0.1"))
        );
        assert_eq!(
            host.first_address("eth0", IpFamily::V6).map(|(ip, _)| ip),
            Some(ip("fd00::1"))
        );
        assert_eq!(
            host.redirect_address("eth0", ip("fe80::99"))
                .map(|(ip, _)| ip),
            Some(ip("fe80::1"))
        );
        assert_eq!(host.redirect_address("eth1", ip("10.0.0.9")), None);
    }
}
