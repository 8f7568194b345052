//! The value of each field, as the kernel's `nft_meta_get_eval`, `nft_ct_get_eval`, `nft_payload_eval`,
//! `nft_fib4_eval` and their kin load it; and the writes of their `set` counterparts.

use std::net::{IpAddr, Ipv4Addr};

use super::describe_field;
use crate::conntrack::{CtRef, Entry, state, status};
use crate::host::{AddressType, Host, LinkKind, RouteAnswer, RouteQuery, RouteType, TypeAnswer};
use crate::logic::{Claim, Knowledge, Known, Source, max_of};
use crate::packet::{Bits, assumed_field};
use crate::ruleset::datatype::{DataType, ifname_value};
use crate::ruleset::expr::{OptionOf, RtKey, SocketKey};
use crate::ruleset::{CtDir, CtKey, FibFlags, FibResult, Field, Hook, MetaKey};

use super::{Actual, Env, Iface, Loaded, Observer, Pf, Sender};

impl Env<'_, '_> {
    /// Loads a field.
    pub(super) fn field<O: Observer>(&mut self, field: &Field, observer: &mut O) -> Loaded {
        match field {
            Field::Meta(key) => self.meta(*key, observer),
            Field::Ct { key, dir } => self.ct(*key, *dir),
            Field::Payload { base, offset, len } => {
                match self.skb.packet.load(*base, *offset, *len) {
                    Bits::Value(value) => Loaded::Value(value),
                    Bits::Absent => Loaded::Absent,
                    Bits::Fact(fact) => self.known_fact(fact),
                    Bits::Unknown => self.unknown_bits(field, *len),
                    Bits::Assumed(value) => self.customary(field, value, observer),
                }
            }
            Field::Exthdr { presence, .. } => {
                observer.assumed(
                    "extension headers",
                    0,
                    DataType::Integer,
                    "the packet is taken to have none",
                );
                if !self.skb.packet.v6 {
                    Loaded::Absent
                } else if *presence {
                    Loaded::Value(0)
                } else {
                    Loaded::Absent
                }
            }
            Field::Option { of, presence, .. } => self.option(*of, *presence, observer),
            Field::Fib { result, flags } => self.fib(*result, *flags, observer),
            Field::Rt(key) => match key {
                RtKey::ClassId | RtKey::Nexthop4 | RtKey::Nexthop6 | RtKey::Mtu | RtKey::Ipsec => {
                    if self.skb.oif.is_none() && self.hook == Hook::Prerouting {
                        Loaded::Absent
                    } else {
                        Loaded::Unknown
                    }
                }
            },
            Field::Socket(key) => match key {
                SocketKey::Transparent
                | SocketKey::Mark
                | SocketKey::Wildcard
                | SocketKey::Cgroupv2 => {
                    let question = Claim::new(
                        "a local socket",
                        ("belongs", "does not belong"),
                        "to the packet",
                    );
                    let because = "sockets are not part of a ruleset; see `ss -lntu` on the host";
                    if self.know.ask(question, because, Source::Default, false) {
                        Loaded::Unknown
                    } else {
                        Loaded::Absent
                    }
                }
            },
            Field::Opaque(_) => Loaded::Unknown,
        }
    }

    fn known_fact(&self, fact: crate::logic::FactId) -> Loaded {
        match self.know.single(fact) {
            Some(value) => Loaded::Value(value),
            None => Loaded::Fact(fact),
        }
    }

    /// The mark, for routing.
    fn mark(&mut self) -> u32 {
        mark_for_routing(self.world.host, self.know, self.skb.mark)
    }

    fn known_number(&self, number: Known<u32>) -> Loaded {
        match number {
            Known::Value(value) => Loaded::Value(u128::from(value)),
            Known::Fact(fact) => self.known_fact(fact),
        }
    }

    fn option<O: Observer>(&mut self, of: OptionOf, presence: bool, observer: &mut O) -> Loaded {
        let packet = &self.skb.packet;
        let fits = match of {
            OptionOf::Tcp => packet.proto == crate::packet::proto::TCP,
            OptionOf::Ip => !packet.v6,
            OptionOf::Sctp => packet.proto == crate::packet::proto::SCTP,
            OptionOf::Dccp => packet.proto == crate::packet::proto::DCCP,
        };
        if !fits {
            return Loaded::Absent;
        }
        match of {
            OptionOf::Ip => {
                observer.assumed(
                    "ip options",
                    0,
                    DataType::Integer,
                    "the packet is taken to have none",
                );
                if presence {
                    Loaded::Value(0)
                } else {
                    Loaded::Absent
                }
            }
            OptionOf::Tcp | OptionOf::Sctp | OptionOf::Dccp => Loaded::Unknown,
        }
    }

    fn iface_value(&self, iface: Option<Iface>) -> Loaded {
        match iface {
            // nft_meta_store_ifname: without a device the name is empty and the index 0
            None => Loaded::Value(0),
            Some(Iface::Link(at)) => Loaded::Value(self.world.link_values[at as usize]),
            Some(Iface::Fact(fact)) => self.known_fact(fact),
        }
    }

    fn with_link(
        &self,
        iface: Option<Iface>,
        value: impl FnOnce(&crate::host::Link) -> Loaded,
    ) -> Loaded {
        match iface {
            None => Loaded::Absent,
            Some(Iface::Link(at)) => value(&self.world.host.links[at as usize]),
            Some(Iface::Fact(_)) => Loaded::Unknown,
        }
    }

    /// Whether the kernel knows a socket of this host for the packet.
    fn has_socket(&mut self) -> bool {
        match self.skb.sender {
            Sender::Outside => false,
            Sender::Program | Sender::Kernel | Sender::Receiver { sure: true } => true,
            Sender::Receiver { sure: false } => {
                let claim = Claim::new("the receiving socket", ("is", "is not"), "connected");
                let settle = "see `ss -nu` on the host: a connected socket has a peer address";
                self.know.ask(claim, settle, Source::Open, false)
            }
        }
    }

    fn meta<O: Observer>(&mut self, key: MetaKey, observer: &mut O) -> Loaded {
        match key {
            MetaKey::Length => {
                let (length, assumed) = self.skb.packet.length();
                let length = u128::from(length);
                if assumed {
                    let domain = (length, max_of(16));
                    let settle = "say `--length BYTES`";
                    return self.usual("packet length", settle, domain, (length, Source::Open));
                }
                Loaded::Value(length)
            }
            MetaKey::Protocol => Loaded::Value(if self.skb.packet.v6 { 0x86dd } else { 0x0800 }),
            MetaKey::Nfproto => Loaded::Value(match self.pf {
                Pf::Ip => 2,
                Pf::Ip6 => 10,
                Pf::Bridge => 7,
                Pf::Arp => 3,
                Pf::Netdev => 5,
            }),
            MetaKey::L4proto => Loaded::Value(u128::from(self.skb.packet.proto)),
            MetaKey::Mark => self.known_number(self.skb.mark),
            MetaKey::Priority => {
                let Some(priority) = self.skb.priority else {
                    let settle = "no flag says it; 0 is usual";
                    let usual = (0, Source::Default);
                    return self.usual("packet priority", settle, (0, max_of(32)), usual);
                };
                self.known_number(priority)
            }
            MetaKey::Iif | MetaKey::Iifname => self.iface_value(self.skb.iif),
            MetaKey::Oif | MetaKey::Oifname => self.iface_value(self.skb.oif),
            MetaKey::Ibrname => self.bridge_name(self.skb.in_port.or(self.skb.iif)),
            MetaKey::Obrname => self.bridge_name(self.skb.out_port.or(self.skb.oif)),
            MetaKey::Iiftype => self.with_link(self.skb.iif, link_type),
            MetaKey::Oiftype => self.with_link(self.skb.oif, link_type),
            MetaKey::Iifgroup => self.with_link(self.skb.iif, group),
            MetaKey::Oifgroup => self.with_link(self.skb.oif, group),
            MetaKey::Iifkind => self.with_link(self.skb.iif, kind),
            MetaKey::Oifkind => self.with_link(self.skb.oif, kind),
            MetaKey::Skuid | MetaKey::Skgid => {
                // nft_meta_get_eval_skugid: a socket without a file ends the rule
                if self.skb.sender == Sender::Kernel || !self.has_socket() {
                    return Loaded::Absent;
                }
                let given = if key == MetaKey::Skuid {
                    self.skb.uid
                } else {
                    self.skb.gid
                };
                match given {
                    Some(id) => Loaded::Value(u128::from(id)),
                    None => self.fact(
                        if key == MetaKey::Skuid {
                            "user of the sending socket"
                        } else {
                            "group of the sending socket"
                        },
                        "say it with `--uid`",
                        32,
                    ),
                }
            }
            MetaKey::Pkttype => Loaded::Value(u128::from(self.skb.pkttype)),
            MetaKey::Nftrace => Loaded::Value(0),
            MetaKey::Secpath => {
                observer.assumed(
                    "ipsec",
                    0,
                    DataType::Boolean,
                    "the packet is taken not to come out of an ipsec tunnel",
                );
                Loaded::Value(0)
            }
            MetaKey::Sdif => Loaded::Value(0),
            MetaKey::Sdifname => Loaded::Value(0),
            MetaKey::Cpu => self.fact("processor", "a dump cannot say it", 32),
            MetaKey::Random => Loaded::Unknown,
            MetaKey::Cgroup if !self.has_socket() => Loaded::Absent,
            MetaKey::Cgroup if self.skb.sender == Sender::Kernel => Loaded::Value(0),
            MetaKey::Cgroup => {
                self.fact("cgroup of the sending socket", "a dump cannot say it", 32)
            }
            MetaKey::Time => self.fact("time", "a dump cannot say it", 64),
            MetaKey::Day => self.fact("day of the week", "a dump cannot say it", 8),
            MetaKey::Hour => self.fact("time of the day", "a dump cannot say it", 32),
            MetaKey::Rtclassid
            | MetaKey::Ibrpvid
            | MetaKey::Ibrvproto
            | MetaKey::Ibrhwaddr
            | MetaKey::Secmark
            | MetaKey::Broute => Loaded::Unknown,
        }
    }

    /// A header field that nobody gave.
    fn customary<O: Observer>(&mut self, field: &Field, value: u128, observer: &mut O) -> Loaded {
        let Field::Payload { base, offset, len } = field else {
            return Loaded::Value(value);
        };
        let packet = &self.skb.packet;
        let (v6, proto) = (packet.v6, packet.proto);
        let assumed = assumed_field(v6, proto, *base, *offset);
        let Some(source) = assumed.varies else {
            observer.assumed(assumed.name, value, DataType::Integer, assumed.settle);
            return Loaded::Value(value);
        };
        // the lengths that are assumed are those of the bare headers
        let least = if assumed.name.ends_with("length") {
            value
        } else {
            0
        };
        let behind = if assumed.name == "time to live" && value == 63 {
            " behind this router"
        } else {
            ""
        };
        let name = format!("{}{behind}", describe_field(field, proto));
        self.usual(
            &name,
            assumed.settle,
            (least, max_of(*len)),
            (value, source),
        )
    }

    fn usual(
        &mut self,
        name: &str,
        settle: &str,
        domain: (u128, u128),
        (value, source): (u128, Source),
    ) -> Loaded {
        let fact = self.know.named_of_packet(name, settle, || vec![domain]);
        self.know.usually(fact, value, source);
        self.known_fact(fact)
    }

    /// Bits of the packet that nobody knows: one fact, so that all rules agree on it.
    fn unknown_bits(&mut self, field: &Field, len: u32) -> Loaded {
        let name = describe_field(field, self.skb.packet.proto);
        let settle = "the flow does not say it";
        let domain = || vec![(0, max_of(len.min(128)))];
        let fact = self.know.named_of_packet(&name, settle, domain);
        self.known_fact(fact)
    }

    fn fact(&mut self, name: &str, settle: &str, width: u32) -> Loaded {
        let fact = self.know.named(name, settle, || vec![(0, max_of(width))]);
        self.known_fact(fact)
    }

    fn bridge_name(&self, port: Option<Iface>) -> Loaded {
        match port {
            None => Loaded::Absent,
            Some(Iface::Fact(_)) => Loaded::Unknown,
            Some(Iface::Link(at)) => {
                let name = &self.world.host.links[at as usize].name;
                match self.world.host.bridge_of(name).and_then(ifname_value) {
                    Some(value) => Loaded::Value(value),
                    None => Loaded::Absent,
                }
            }
        }
    }

    fn ct(&mut self, key: CtKey, dir: Option<CtDir>) -> Loaded {
        if key == CtKey::State {
            return Loaded::Value(u128::from(match self.skb.ct {
                CtRef::None => state::INVALID,
                CtRef::Untracked => state::UNTRACKED,
                CtRef::Tracked(info) => info.state(),
            }));
        }
        let CtRef::Tracked(info) = self.skb.ct else {
            return Loaded::Absent;
        };
        let Some(entry) = self.entries.get(self.skb.entry) else {
            return Loaded::Absent;
        };
        let towards_reply = match dir {
            Some(CtDir::Original) => false,
            Some(CtDir::Reply) => true,
            None => info.is_reply(),
        };
        let tuple = if towards_reply {
            &entry.reply
        } else {
            &entry.original
        };
        match key {
            CtKey::State => Loaded::Absent,
            CtKey::Direction => Loaded::Value(u128::from(info.is_reply())),
            CtKey::Status => Loaded::Value(u128::from(entry.status)),
            CtKey::Mark => self.known_number(entry.mark),
            CtKey::Label => match entry.label {
                Known::Value(label) => Loaded::Value(label),
                Known::Fact(fact) => self.known_fact(fact),
            },
            CtKey::Zone => Loaded::Value(u128::from(entry.zone)),
            CtKey::L3proto => Loaded::Value(if self.skb.packet.v6 { 10 } else { 2 }),
            CtKey::Protocol => Loaded::Value(u128::from(tuple.proto)),
            CtKey::Saddr { v6 } => self.ct_address(tuple.src, v6),
            CtKey::Daddr { v6 } => self.ct_address(tuple.dst, v6),
            CtKey::ProtoSrc => self.ct_port(tuple.sport),
            CtKey::ProtoDst => self.ct_port(tuple.dport),
            CtKey::Helper => match &entry.helper {
                Some(name) => ifname_value(name).map_or(Loaded::Unknown, Loaded::Value),
                None => Loaded::Absent,
            },
            CtKey::Expiration
            | CtKey::Bytes
            | CtKey::Packets
            | CtKey::Avgpkt
            | CtKey::Event
            | CtKey::Id
            | CtKey::Secmark => Loaded::Unknown,
        }
    }

    fn ct_address(&self, address: Known<IpAddr>, v6: bool) -> Loaded {
        match address {
            Known::Value(IpAddr::V4(ip)) if !v6 => Loaded::Value(u128::from(ip.to_bits())),
            Known::Value(IpAddr::V6(ip)) if v6 => Loaded::Value(ip.to_bits()),
            // nft_ct_get_eval: a key of the other family ends the rule
            Known::Value(_) => Loaded::Absent,
            Known::Fact(fact) => self.known_fact(fact),
        }
    }

    fn ct_port(&self, port: Known<u16>) -> Loaded {
        match port {
            Known::Value(port) => Loaded::Value(u128::from(port)),
            Known::Fact(fact) => self.known_fact(fact),
        }
    }

    /// `nft_fib4_eval`, `nft_fib4_eval_type` and the IPv6 pair.
    fn fib<O: Observer>(&mut self, result: FibResult, flags: FibFlags, observer: &mut O) -> Loaded {
        let packet = &self.skb.packet;
        let asked = if flags.saddr {
            packet.src()
        } else {
            packet.dst()
        };
        let address = match asked {
            Known::Value(address) => address,
            Known::Fact(fact)
                if result == FibResult::Type
                    && !flags.iif
                    && !flags.oif
                    && self.know.fact(fact).own_address =>
            {
                return Loaded::Value(address_type_value(AddressType::Local));
            }
            Known::Fact(_) => return Loaded::Unknown,
        };
        let dev = if flags.iif {
            self.skb.iif
        } else if flags.oif {
            self.skb.oif
        } else {
            None
        };
        let dev_name = match dev {
            None => None,
            Some(Iface::Link(at)) => Some(self.world.host.links[at as usize].name.clone()),
            Some(Iface::Fact(_)) => return Loaded::Unknown,
        };
        if result == FibResult::Type {
            return match self.world.host.address_type(address, dev_name.as_deref()) {
                TypeAnswer::Known(kind, origin) => {
                    observer.origin(origin);
                    Loaded::Value(address_type_value(kind))
                }
                TypeAnswer::Unknown { .. } => self.unknown_type(address),
            };
        }
        let found = self.fib_device(address, flags, dev_name.as_deref(), observer);
        match (found, result) {
            (Err(()), _) => Loaded::Unknown,
            (Ok(name), FibResult::Present) => Loaded::Value(u128::from(name.is_some())),
            (Ok(None), _) => Loaded::Value(0),
            (Ok(Some(name)), _) => ifname_value(&name).map_or(Loaded::Unknown, Loaded::Value),
        }
    }

    /// The type of an address of which the input does not say whether it is the host's own.
    fn unknown_type(&mut self, address: IpAddr) -> Loaded {
        if is_own_address(self.world.host, self.know, address, self.skb.iif) {
            Loaded::Value(address_type_value(AddressType::Local))
        } else {
            Loaded::Value(address_type_value(AddressType::Unicast))
        }
    }

    fn fib_device<O: Observer>(
        &mut self,
        address: IpAddr,
        flags: FibFlags,
        dev: Option<&str>,
        observer: &mut O,
    ) -> Result<Option<String>, ()> {
        let host = self.world.host;
        let loopback = |at: u16| host.links[at as usize].kind == LinkKind::Loopback;
        // nft_fib_can_skip
        if matches!(self.hook, Hook::Prerouting | Hook::Ingress | Hook::Input)
            && let Some(Iface::Link(at)) = self.skb.iif
            && loopback(at)
        {
            return Ok(Some(host.links[at as usize].name.to_string()));
        }
        if let IpAddr::V4(v4) = address
            && v4.octets()[0] == 0
            && flags.saddr
            && let Known::Value(IpAddr::V4(dst)) = self.skb.packet.dst()
            && (dst == Ipv4Addr::BROADCAST || dst.octets()[..3] == [224, 0, 0])
        {
            return match self.skb.iif {
                Some(Iface::Link(at)) => Ok(Some(host.links[at as usize].name.to_string())),
                _ => Err(()),
            };
        }
        let other = if flags.saddr {
            self.skb.packet.dst()
        } else {
            self.skb.packet.src()
        };
        let query = RouteQuery {
            src: other.value(),
            mark: if flags.mark { self.mark() } else { 0 },
            tos: self.skb.packet.tos(),
            ..RouteQuery::to(address)
        };
        match host.route(&query) {
            RouteAnswer::Unknown { .. } => Err(()),
            RouteAnswer::NoRoute => Ok(None),
            RouteAnswer::Found(route) => {
                observer.origin(route.origin);
                if matches!(
                    route.kind,
                    RouteType::Local
                        | RouteType::Blackhole
                        | RouteType::Unreachable
                        | RouteType::Prohibit
                ) {
                    return Ok(None);
                }
                let mut devices = route.nexthops.iter().filter_map(|hop| hop.dev.as_deref());
                Ok(match dev {
                    Some(dev) => devices.find(|name| *name == dev).map(str::to_string),
                    None => devices.next().map(str::to_string),
                })
            }
        }
    }

    /// Writes a field (`nft_meta_set_eval`, `nft_ct_set_eval`, `nft_payload_set_eval`).
    pub(super) fn store(&mut self, target: &Field, value: Known<u128>) -> Result<(), Actual> {
        match target {
            Field::Meta(key) => match key {
                MetaKey::Mark => self.skb.mark = narrowed(value),
                MetaKey::Priority => self.skb.priority = Some(narrowed(value)),
                MetaKey::Pkttype => self.skb.pkttype = self.decided("packet type", value) as u8,
                _ => {}
            },
            Field::Ct { key, .. } => {
                if *key == CtKey::Zone {
                    if self.skb.ct == CtRef::None {
                        self.skb.zone = self.decided("conntrack zone", value) as u16;
                    }
                    return Ok(());
                }
                if !matches!(self.skb.ct, CtRef::Tracked(_)) {
                    return Ok(());
                }
                let Some(entry) = self.entries.get_mut(self.skb.entry) else {
                    return Ok(());
                };
                write_entry(entry, *key, value);
            }
            Field::Payload { base, offset, len } => {
                if !self.skb.packet.store(*base, *offset, *len, value) {
                    return Err(Actual::Absent);
                }
            }
            Field::Exthdr { .. } | Field::Option { .. } => {}
            Field::Fib { .. } | Field::Rt(_) | Field::Socket(_) | Field::Opaque(_) => {}
        }
        Ok(())
    }

    /// A value that the rest of the way cannot leave open: 0 or another one.
    fn decided(&mut self, what: &str, value: Known<u128>) -> u128 {
        match value {
            Known::Value(value) => value,
            Known::Fact(fact) => {
                let name = format!("the {what}, {}", self.know.fact(fact).name);
                let claim = || Claim::new(name, ("is", "is not"), "0");
                u128::from(!self.know.test(fact, &[(0, 0)], claim))
            }
        }
    }
}

/// Whether an address of which the input does not say it is one of this host. Open, except where a route leads on by
/// another interface than the packet came by: then it usually is not.
pub(crate) fn is_own_address(
    host: &Host,
    know: &mut Knowledge,
    address: IpAddr,
    iif: Option<Iface>,
) -> bool {
    if let Some(own) = know.settled_own(address) {
        return own;
    }
    let came_by = match iif {
        Some(Iface::Link(at)) => Some(host.links[at as usize].name.as_str()),
        Some(Iface::Fact(_)) | None => None,
    };
    // what a host of a known subnet sends elsewhere goes on
    let from_inside = came_by.is_some_and(|dev| {
        let mut subnets = host
            .addresses
            .iter()
            .filter(|a| a.dev == dev && !a.ip.is_loopback());
        subnets.any(|a| {
            a.subnet()
                .is_some_and(|net| net.prefix_len() < 31 && !net.contains(&address))
        })
    });
    let leads_on = from_inside
        || match host.route(&RouteQuery::to(address)) {
            RouteAnswer::Found(route) => {
                let mut devices = route.nexthops.iter().filter_map(|hop| hop.dev.as_deref());
                route.kind == RouteType::Unicast && devices.all(|dev| Some(dev) != came_by)
            }
            RouteAnswer::NoRoute | RouteAnswer::Unknown { .. } => false,
        };
    let source = if leads_on {
        Source::Default
    } else {
        Source::Open
    };
    let claim = own_address_claim(address);
    let settle = "say `--local ADDR` when it is, or give the addresses with `--addr` or a snapshot";
    // what comes in and would go back where it came from is most likely meant for this host
    know.ask(claim, settle, source, iif.is_some() && !leads_on)
}

/// `10.0.0.1 is an address of this host`
pub(crate) fn own_address_claim(address: IpAddr) -> Claim {
    Claim::new(
        address.to_string(),
        ("is", "is not"),
        "an address of this host",
    )
}

/// The mark that the rules of routing see. One that is not known is asked for as far as these rules tell it apart.
pub(crate) fn mark_for_routing(host: &Host, know: &mut Knowledge, mark: Known<u32>) -> u32 {
    let fact = match mark {
        Known::Value(mark) => return mark,
        Known::Fact(fact) => fact,
    };
    let tests = host.rules.iter().filter_map(|rule| rule.fwmark);
    for (value, mask) in tests {
        let name = know.fact(fact).name.clone();
        let holds = if mask == u32::MAX {
            let claim = || Claim::new(name, ("is", "is not"), format!("{value:#x}"));
            know.test(fact, &[(u128::from(value), u128::from(value))], claim)
        } else {
            let settle = know.fact(fact).settle.clone();
            let object = format!("{value:#x} under mask {mask:#x}");
            let claim = Claim::new(name, ("is", "is not"), object);
            know.ask(claim, settle, Source::Open, false)
        };
        if holds {
            return value;
        }
    }
    know.fact(fact)
        .domain
        .first()
        .map_or(0, |(lo, _)| *lo as u32)
}

fn narrowed(value: Known<u128>) -> Known<u32> {
    match value {
        Known::Value(value) => Known::Value(value as u32),
        Known::Fact(fact) => Known::Fact(fact),
    }
}

fn write_entry(entry: &mut Entry, key: CtKey, value: Known<u128>) {
    match key {
        CtKey::Mark => entry.mark = narrowed(value),
        CtKey::Label => {
            entry.label = match (entry.label, value) {
                (Known::Value(old), Known::Value(new)) => Known::Value(old | new),
                (fact @ Known::Fact(_), _) | (_, fact) => fact,
            }
        }
        CtKey::Event | CtKey::Secmark | CtKey::Zone | CtKey::Helper => {}
        CtKey::State
        | CtKey::Direction
        | CtKey::Status
        | CtKey::Expiration
        | CtKey::L3proto
        | CtKey::Saddr { .. }
        | CtKey::Daddr { .. }
        | CtKey::Protocol
        | CtKey::ProtoSrc
        | CtKey::ProtoDst
        | CtKey::Bytes
        | CtKey::Packets
        | CtKey::Avgpkt
        | CtKey::Id => {}
    }
    debug_assert!(entry.status & status::SRC_NAT == 0 || entry.bound(crate::conntrack::Manip::Src));
}

fn link_type(link: &crate::host::Link) -> Loaded {
    match link.kind {
        LinkKind::Loopback => Loaded::Value(772),
        LinkKind::Physical
        | LinkKind::Bridge
        | LinkKind::Veth
        | LinkKind::Vlan { .. }
        | LinkKind::Bond
        | LinkKind::Dummy
        | LinkKind::Macvlan { .. } => Loaded::Value(1),
        LinkKind::Wireguard => Loaded::Value(65534),
        LinkKind::Tun | LinkKind::Vrf { .. } | LinkKind::Ipvlan { .. } | LinkKind::Other(_) => {
            Loaded::Unknown
        }
    }
}

fn group(link: &crate::host::Link) -> Loaded {
    match link.group.as_deref() {
        None | Some("default") => Loaded::Value(0),
        Some(text) => text.parse().map_or(Loaded::Unknown, Loaded::Value),
    }
}

fn kind(link: &crate::host::Link) -> Loaded {
    let name = match &link.kind {
        LinkKind::Loopback | LinkKind::Physical => return Loaded::Absent,
        LinkKind::Bridge => "bridge",
        LinkKind::Veth => "veth",
        LinkKind::Vlan { .. } => "vlan",
        LinkKind::Bond => "bond",
        LinkKind::Tun => "tun",
        LinkKind::Wireguard => "wireguard",
        LinkKind::Dummy => "dummy",
        LinkKind::Vrf { .. } => "vrf",
        LinkKind::Macvlan { .. } => "macvlan",
        LinkKind::Ipvlan { .. } => "ipvlan",
        LinkKind::Other(name) => name,
    };
    ifname_value(name).map_or(Loaded::Unknown, Loaded::Value)
}

/// `RTN_*`
fn address_type_value(kind: AddressType) -> u128 {
    match kind {
        AddressType::Unspec => 0,
        AddressType::Unicast => 1,
        AddressType::Local => 2,
        AddressType::Broadcast => 3,
        AddressType::Anycast => 4,
        AddressType::Multicast => 5,
        AddressType::Blackhole => 6,
        AddressType::Unreachable => 7,
        AddressType::Prohibit => 8,
    }
}
