//! The host around the ruleset: links, addresses, routes, routing rules, neighbours, bridge ports, sysctls.
//!
//! Plain facts and pure questions about them; each question mirrors the kernel function that its documentation names.
//! Reading the facts from text is `load`, asking a running machine is `capture`, and this module does neither.
//! A fact that is missing is never made up: whether a list is whole is written in [`Complete`], and a question that a
//! partial list cannot decide is answered with unknown.
//!
//! Left out on purpose: the neighbour state machine, route caches and exceptions (redirects, path MTU), the hash that
//! picks one next hop of a multipath route, and multicast routing.

mod address;
mod bridge;
mod fib;
mod source;
mod sysctl;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use compact_str::CompactString;
use ipnet::IpNet;

pub use address::{AddressType, TypeAnswer};
pub use fib::{FoundRoute, RouteAnswer, RouteQuery};

/// The name of a network device.
pub type Name = CompactString;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// An Ethernet address as `ip` prints it.
pub fn mac_text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The two IP protocols, which have separate addresses, routes and rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpFamily {
    V4,
    V6,
}

impl IpFamily {
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    pub fn of_net(net: IpNet) -> Self {
        match net {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for IpFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Where a fact came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Origin {
    /// Read from the host's own listings, or a thing that every host has (loopback, the default rules).
    #[default]
    Given,
    /// Said on the command line.
    Flag,
    /// Concluded from the ruleset; see [`Host::inferences`].
    Inferred(InferenceId),
}

/// Index into [`Host::inferences`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InferenceId(pub u32);

/// A fact that nobody gave, concluded from something else, and how to confirm it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inference {
    /// What it is about, for example `interface docker0`.
    pub fact: String,
    pub value: String,
    /// What it was concluded from.
    pub because: String,
    /// What the user can give to make it certain, for example a flag or a command to run.
    pub confirm: String,
}

/// Everything known about a host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Host {
    pub links: Vec<Link>,
    /// In the kernel's order: for each device, the first primary address first.
    pub addresses: Vec<Address>,
    /// In the kernel's order; of two routes that are otherwise equal the first wins.
    pub routes: Vec<Route>,
    /// Sorted by priority within a family, later additions behind earlier ones.
    pub rules: Vec<RoutingRule>,
    pub neighbours: Vec<Neighbour>,
    pub fdb: Vec<FdbEntry>,
    /// Key in dotted form (a dot within a device name is `/`, as sysctl(8) prints it), value as text.
    pub sysctls: BTreeMap<CompactString, CompactString>,
    pub inferences: Vec<Inference>,
    pub tables: TableNames,
    pub complete: Complete,
}

/// Which lists are whole, so that what they lack does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Complete {
    pub links: bool,
    pub addresses: bool,
    pub routes4: bool,
    pub routes6: bool,
    pub rules4: bool,
    pub rules6: bool,
    pub sysctls: bool,
}

impl Complete {
    pub fn routes(&self, family: IpFamily) -> bool {
        match family {
            IpFamily::V4 => self.routes4,
            IpFamily::V6 => self.routes6,
        }
    }

    pub fn rules(&self, family: IpFamily) -> bool {
        match family {
            IpFamily::V4 => self.rules4,
            IpFamily::V6 => self.rules6,
        }
    }
}

/// What a network device is (`info_kind` of `ip -d link`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    Loopback,
    Physical,
    Bridge,
    Veth,
    Vlan { parent: Option<Name>, id: u16 },
    Bond,
    Tun,
    Wireguard,
    Dummy,
    Vrf { table: TableId },
    Macvlan { parent: Option<Name> },
    Ipvlan { parent: Option<Name> },
    Other(String),
}

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: Option<u32>,
    pub name: Name,
    pub kind: LinkKind,
    /// The bridge, bond or VRF that it is a port of.
    pub master: Option<Name>,
    pub mac: Option<Mac>,
    /// `IFF_UP`: administratively up.
    pub up: bool,
    /// `IFF_LOWER_UP`: the other end is there.
    pub carrier: bool,
    pub mtu: Option<u32>,
    /// The device group, by name (`default`) or number.
    pub group: Option<CompactString>,
    /// A bridge port may send a frame back out of the port it came from.
    pub hairpin: Option<bool>,
    /// A bridge port that does not talk to other isolated ports.
    pub isolated: Option<bool>,
    /// A bridge's own `nf_call_iptables` and `nf_call_ip6tables`, which add to the sysctls of the same name.
    pub nf_call: NfCall,
    pub origin: Origin,
}

impl Link {
    /// A device of which nothing but the name is known, taken to be up.
    pub fn named(name: impl Into<Name>, kind: LinkKind, origin: Origin) -> Self {
        Self {
            index: None,
            name: name.into(),
            kind,
            master: None,
            mac: None,
            up: true,
            carrier: true,
            mtu: None,
            group: None,
            hairpin: None,
            isolated: None,
            nf_call: NfCall::default(),
            origin,
        }
    }
}

/// Whether one bridge hands its frames to the IP hooks, apart from the sysctls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NfCall {
    pub ip: bool,
    pub ip6: bool,
}

/// `RT_SCOPE_*`: how far away a destination is, or how far an address may be used. Higher is nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(pub u8);

impl Scope {
    pub const GLOBAL: Self = Self(0);
    pub const SITE: Self = Self(200);
    pub const LINK: Self = Self(253);
    pub const HOST: Self = Self(254);
    pub const NOWHERE: Self = Self(255);
}

/// An IP address of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub ip: IpAddr,
    pub prefix_len: u8,
    pub dev: Name,
    pub scope: Scope,
    /// An IPv4 address in the subnet of an earlier address of the device; never chosen as a source.
    pub secondary: bool,
    /// The other end of a point-to-point address; the subnet is the peer's.
    pub peer: Option<IpAddr>,
    /// IPv6: not chosen as a source while another address fits.
    pub deprecated: bool,
    /// IPv6: duplicate address detection has not finished, the address is not in use yet.
    pub tentative: bool,
    /// The kernel was told to add no route to the subnet.
    pub noprefixroute: bool,
    pub origin: Origin,
}

impl Address {
    /// An ordinary address of global scope (host scope in 127.0.0.0/8 and ::1, link scope in fe80::/10).
    pub fn of(ip: IpAddr, prefix_len: u8, dev: impl Into<Name>, origin: Origin) -> Self {
        let scope = match ip {
            _ if ip.is_loopback() => Scope::HOST,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Scope::LINK,
            IpAddr::V4(_) | IpAddr::V6(_) => Scope::GLOBAL,
        };
        Self {
            ip,
            prefix_len,
            dev: dev.into(),
            scope,
            secondary: false,
            peer: None,
            deprecated: false,
            tentative: false,
            noprefixroute: false,
            origin,
        }
    }

    /// The subnet that the address makes reachable on its device.
    pub fn subnet(&self) -> Option<IpNet> {
        IpNet::new(self.peer.unwrap_or(self.ip), self.prefix_len)
            .ok()
            .map(|net| net.trunc())
    }
}

/// `RTN_*`: what happens to a packet that takes a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteType {
    Unicast,
    Local,
    Broadcast,
    Multicast,
    Anycast,
    Blackhole,
    Unreachable,
    Prohibit,
    /// The look-up in this table fails; the next rule goes on.
    Throw,
    Nat,
    /// A type that this program does not know; it decides nothing.
    Other,
}

/// The number of a routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

impl TableId {
    pub const UNSPEC: Self = Self(0);
    pub const DEFAULT: Self = Self(253);
    pub const MAIN: Self = Self(254);
    pub const LOCAL: Self = Self(255);
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::DEFAULT => f.write_str("default"),
            Self::MAIN => f.write_str("main"),
            Self::LOCAL => f.write_str("local"),
            Self(number) => write!(f, "{number}"),
        }
    }
}

/// The names of routing tables (`/etc/iproute2/rt_tables`), which listings print in place of numbers.
///
/// A listing does not say which number a name stands for; a name without a known number gets one that no real table of the
/// host is likely to have, counted down from the top.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableNames {
    names: Vec<Name>,
}

impl TableNames {
    const TOP: u32 = u32::MAX - 1;

    /// The table of a name or a number in text.
    pub fn id_of(&mut self, text: &str) -> TableId {
        match text {
            "local" => return TableId::LOCAL,
            "main" => return TableId::MAIN,
            "default" => return TableId::DEFAULT,
            "unspec" => return TableId::UNSPEC,
            _ => {}
        }
        if let Ok(number) = text.parse() {
            return TableId(number);
        }
        let at = self
            .names
            .iter()
            .position(|name| name == text)
            .unwrap_or_else(|| {
                self.names.push(text.into());
                self.names.len() - 1
            });
        TableId(u32::try_from(at).map_or(0, |at| Self::TOP - at))
    }

    /// The name of a table, for people.
    pub fn name_of(&self, table: TableId) -> CompactString {
        let named = Self::TOP
            .checked_sub(table.0)
            .and_then(|at| self.names.get(at as usize));
        named
            .cloned()
            .unwrap_or_else(|| compact_str::format_compact!("{table}"))
    }
}

/// One way that a route can go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NextHop {
    pub dev: Option<Name>,
    pub via: Option<IpAddr>,
    /// Share of the flows, 1 for a route with a single next hop.
    pub weight: u32,
    pub onlink: bool,
    pub dead: bool,
    /// The device has no carrier; skipped when `ignore_routes_with_linkdown` is set for it.
    pub linkdown: bool,
}

impl NextHop {
    pub fn dev(dev: impl Into<Name>) -> Self {
        Self {
            dev: Some(dev.into()),
            via: None,
            weight: 1,
            onlink: false,
            dead: false,
            linkdown: false,
        }
    }
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    pub kind: RouteType,
    pub prefix: IpNet,
    /// IPv6 source-specific routing: only packets from here.
    pub from: Option<IpNet>,
    pub table: TableId,
    /// Empty for routes that lead nowhere (blackhole, …).
    pub nexthops: Vec<NextHop>,
    /// Lower is better. 0 for IPv4 routes that name none.
    pub metric: u32,
    pub prefsrc: Option<IpAddr>,
    pub scope: Scope,
    pub tos: u8,
    pub origin: Origin,
}

impl Route {
    /// Whether this is the subnet of an interface whose address is not known, concluded from the ruleset.
    pub fn is_inferred_subnet_of(&self, dev: &str) -> bool {
        let direct = self.scope == Scope::LINK && matches!(self.origin, Origin::Inferred(_));
        let mut hops = self.nexthops.iter();
        direct && hops.any(|hop| hop.dev.as_deref() == Some(dev))
    }
}

/// What a routing rule does with the packets that it selects (`FR_ACT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    Table(TableId),
    /// Go on at the first rule of this priority; ignored when there is none.
    Goto(u32),
    Blackhole,
    Unreachable,
    Prohibit,
    Nop,
    /// The table of the VRF that the packet's device belongs to.
    L3mdev,
    /// An action that this program does not know.
    Other,
}

/// A rule of `ip rule`: which packets look in which table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingRule {
    pub priority: u32,
    pub family: IpFamily,
    /// The rule selects the packets that its selectors do not.
    pub not: bool,
    pub from: Option<IpNet>,
    pub to: Option<IpNet>,
    pub iif: Option<Name>,
    pub oif: Option<Name>,
    /// Value and mask.
    pub fwmark: Option<(u32, u32)>,
    pub tos: u8,
    /// DSCP (six bits).
    pub dscp: Option<u8>,
    pub ipproto: Option<u8>,
    pub sport: Option<(u16, u16)>,
    pub dport: Option<(u16, u16)>,
    pub uidrange: Option<(u32, u32)>,
    /// Selectors that this program does not know, by name; a rule that has one is neither taken nor skipped.
    pub unread: Vec<CompactString>,
    pub action: RuleAction,
    /// A route of this prefix length or shorter does not count as found.
    pub suppress_prefixlength: Option<u8>,
    /// A route out of a device of this group does not count as found.
    pub suppress_ifgroup: Option<CompactString>,
    pub origin: Origin,
}

impl RoutingRule {
    /// A rule without selectors: every packet of the family.
    pub fn all(priority: u32, family: IpFamily, action: RuleAction, origin: Origin) -> Self {
        Self {
            priority,
            family,
            not: false,
            from: None,
            to: None,
            iif: None,
            oif: None,
            fwmark: None,
            tos: 0,
            dscp: None,
            ipproto: None,
            sport: None,
            dport: None,
            uidrange: None,
            unread: Vec::new(),
            action,
            suppress_prefixlength: None,
            suppress_ifgroup: None,
            origin,
        }
    }

    /// Whether it selects every packet of its family and counts every route.
    pub fn selects_all(&self) -> bool {
        let RoutingRule {
            priority: _,
            family: _,
            not,
            from,
            to,
            iif,
            oif,
            fwmark,
            tos,
            dscp,
            ipproto,
            sport,
            dport,
            uidrange,
            unread,
            action: _,
            suppress_prefixlength,
            suppress_ifgroup,
            origin: _,
        } = self;
        !not && *tos == 0
            && from.is_none()
            && to.is_none()
            && iif.is_none()
            && oif.is_none()
            && fwmark.is_none()
            && dscp.is_none()
            && ipproto.is_none()
            && sport.is_none()
            && dport.is_none()
            && uidrange.is_none()
            && unread.is_empty()
            && suppress_prefixlength.is_none()
            && suppress_ifgroup.is_none()
    }
}

/// A neighbour: the Ethernet address behind an IP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    pub ip: IpAddr,
    pub dev: Name,
    pub mac: Option<Mac>,
    /// The kernel gave up on finding it.
    pub failed: bool,
}

/// An entry of a bridge's forwarding database: the port behind an Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdbEntry {
    pub mac: Mac,
    /// The port, or the bridge itself for its own addresses.
    pub dev: Name,
    pub master: Option<Name>,
    pub vlan: Option<u16>,
    /// The address of the device itself, not of something behind it.
    pub permanent: bool,
}

impl Host {
    /// Where the device of this name stands among the links.
    pub fn link_at(&self, name: &str) -> Option<usize> {
        self.links.iter().position(|link| link.name == name)
    }

    /// The device of this name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// Where a fact with this origin was concluded from, if it was.
    pub fn inference(&self, origin: Origin) -> Option<&Inference> {
        match origin {
            Origin::Given | Origin::Flag => None,
            Origin::Inferred(InferenceId(id)) => self.inferences.get(id as usize),
        }
    }

    /// Notes an inference and returns the origin that facts drawn from it carry.
    pub fn infer(&mut self, inference: Inference) -> Origin {
        let id = match self.inferences.iter().position(|known| *known == inference) {
            Some(position) => position,
            None => {
                self.inferences.push(inference);
                self.inferences.len() - 1
            }
        };
        Origin::Inferred(InferenceId(u32::try_from(id).unwrap_or(u32::MAX)))
    }
}
