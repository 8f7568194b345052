//! Bridges and their ports.
//!
//! Mirrors `br_fdb_find_rcu` and the neighbour look-up before it, as far as a listing can tell.

use std::net::IpAddr;

use super::{Host, Link, LinkKind, Mac};

impl Host {
    /// The ports of a bridge, in the order of the listing.
    pub fn ports<'a>(&'a self, bridge: &'a str) -> impl Iterator<Item = &'a Link> {
        self.links
            .iter()
            .filter(move |link| link.master.as_deref() == Some(bridge))
    }

    /// The bridge that a device is a port of.
    pub fn bridge_of(&self, port: &str) -> Option<&str> {
        let master = self.link(port)?.master.as_deref()?;
        match self.link(master) {
            Some(link) if link.kind == LinkKind::Bridge => Some(master),
            Some(_) | None => None,
        }
    }

    /// The Ethernet address of a neighbour of `dev`.
    pub fn mac_of(&self, dev: &str, ip: IpAddr) -> Option<Mac> {
        self.neighbours
            .iter()
            .find(|neighbour| neighbour.ip == ip && neighbour.dev == dev)
            .and_then(|neighbour| neighbour.mac)
    }

    /// The port of `bridge` behind which an address lives: by the forwarding database when the Ethernet address is known
    /// (given, or the neighbour entry of `ip`), else the only port when there is just one. `None`: not known.
    pub fn port_towards(&self, bridge: &str, ip: Option<IpAddr>, mac: Option<Mac>) -> Option<&str> {
        let mac = mac.or_else(|| ip.and_then(|ip| self.mac_of(bridge, ip)));
        if let Some(mac) = mac {
            let learned = self.fdb.iter().find(|entry| {
                entry.mac == mac
                    && entry.dev != bridge
                    && self.bridge_of(&entry.dev).or(entry.master.as_deref()) == Some(bridge)
            });
            if let Some(entry) = learned {
                return Some(&entry.dev);
            }
        }
        let mut ports = self
            .links
            .iter()
            .filter(|link| link.master.as_deref() == Some(bridge));
        match (ports.next(), ports.next()) {
            (Some(only), None) => Some(&only.name),
            (None, _) | (Some(_), Some(_)) => None,
        }
    }
}
