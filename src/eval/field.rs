//! The value of each field, as the kernel's `nft_meta_get_eval`, `nft_ct_get_eval`, `nft_payload_eval`,
//! `nft_fib4_eval` and their kin load it; and the writes of their `set` counterparts.

use std::net::{IpAddr, Ipv4Addr};

use super::{describe_field, field_type};
use crate::conntrack::{CtRef, Entry, Zone, state, status};
use crate::host::{AddressType, Host, LinkKind, RouteAnswer, RouteQuery, RouteType, TypeAnswer};
use crate::logic::{Claim, Knowledge, Known, Source, max_of};
use crate::packet::{Bits, assumed_field, proto, tcp};
use crate::ruleset::datatype::{DataType, ifname_value};
use crate::ruleset::expr::{OpaqueField, OptionOf, RtKey, SocketKey};
use crate::ruleset::protocol::{PacketKind, option_name};
use crate::ruleset::{CtDir, CtKey, FibFlags, FibResult, Field, Hook, MetaKey};

use super::{Actual, Env, Iface, Loaded, NextHop, Observer, Pf, Sender};

impl<'w> Env<'_, 'w> {
    /// Loads a field.
    pub(super) fn field<O: Observer>(&mut self, field: &Field, observer: &mut O) -> Loaded {
        match field {
            Field::Meta(key) => self.meta(*key),
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
            // nft_exthdr_ipv6_eval
            Field::Exthdr { .. } if !self.skb.packet.v6 => Loaded::Absent,
            Field::Exthdr { presence, .. } => {
                let name = describe_field(field, PacketKind::ANY);
                let claim = Claim::new("the packet", ("has no", "has a"), name);
                self.found(field, *presence, claim, Source::Default, true)
            }
            Field::Option { of, presence, .. } => self.option(field, *of, *presence),
            Field::Fib { result, flags } => self.fib(*result, *flags, observer),
            Field::Rt(key) => self.rt(*key),
            Field::Socket(key) => self.socket(field, *key),
            Field::Opaque(what) => self.opaque(*what),
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

    /// An option or chunk (`nft_exthdr_tcp_eval`, `_ipv4_`, `_sctp_`, `_dccp_`): without it the test for its presence
    /// gives 0, and everything else ends the rule.
    fn option(&mut self, field: &Field, of: OptionOf, presence: bool) -> Loaded {
        let packet = &self.skb.packet;
        let (fits, source) = match of {
            OptionOf::Tcp => (packet.proto == proto::TCP, Source::Open),
            OptionOf::Ip => (!packet.v6, Source::Default),
            OptionOf::Sctp => (packet.proto == proto::SCTP, Source::Open),
            OptionOf::Dccp => (packet.proto == proto::DCCP, Source::Open),
        };
        if !fits {
            return none(presence);
        }
        let name = match field {
            Field::Option { of, kind, .. } => option_name(*of, *kind, None).0,
            other => describe_field(other, PacketKind::ANY),
        };
        let claim = Claim::new("the packet", ("has no", "has the"), name);
        self.found(field, presence, claim, source, true)
    }

    /// A header or option that the packet may have or not. `claim` says that it is not there.
    fn found(
        &mut self,
        field: &Field,
        presence: bool,
        claim: Claim,
        source: Source,
        usually_none: bool,
    ) -> Loaded {
        let name = describe_field(field, self.skb.packet.kind());
        let is_said = !presence && self.know.is_assumed(&self.know.of_packet(&name));
        let settle = "no flag says it; `--assume` does";
        if !is_said && self.know.ask_of_packet(claim, settle, source, usually_none) {
            return none(presence);
        }
        if presence {
            return Loaded::Value(1);
        }
        let len = match field {
            Field::Exthdr { len, .. } | Field::Option { len, .. } => *len,
            _ => 128,
        };
        self.open_field(field, &name, "no flag says it; `--assume` does", len)
    }

    /// A property of the route that the packet has (`nft_rt_get_eval`).
    fn rt(&mut self, key: RtKey) -> Loaded {
        let packet = &self.skb.packet;
        let Some(route) = self.skb.route else {
            return Loaded::Absent;
        };
        match key {
            RtKey::Nexthop4 if packet.v6 => Loaded::Absent,
            RtKey::Nexthop6 if !packet.v6 => Loaded::Absent,
            RtKey::Nexthop4 | RtKey::Nexthop6 => match route {
                NextHop::Direct => self.address_value(self.skb.packet.dst()),
                NextHop::Via(gateway) => self.address_value(Known::Value(gateway)),
                NextHop::Unknown => Loaded::Unknown,
            },
            RtKey::ClassId => self.realm("rt classid"),
            RtKey::Mtu => self.segment_size(),
            RtKey::Ipsec => {
                let claim = Claim::new(
                    "the packet",
                    ("is not", "is"),
                    "sent through an ipsec tunnel",
                );
                let settle = "see `ip xfrm policy` on the host";
                Loaded::Value(u128::from(!self.know.ask_of_packet(
                    claim,
                    settle,
                    Source::Default,
                    true,
                )))
            }
        }
    }

    fn realm(&mut self, name: &str) -> Loaded {
        let settle = "see `realm` in `ip route show` on the host";
        let usual = (0, Source::Default);
        self.usual(name, settle, (0, max_of(32)), usual, DataType::Realm)
    }

    /// What a TCP segment may hold on its way, whatever the packet's protocol is (`get_tcpmss`): by the device it leaves
    /// by, and by the one that leads back.
    fn segment_size(&mut self) -> Loaded {
        let v6 = self.skb.packet.v6;
        let headers = if v6 { 60 } else { 40 };
        let host = self.world.host;
        let out = match self.skb.oif {
            Some(Iface::Link(at)) => host.links[at as usize].mtu,
            _ => None,
        };
        let mtu_of = |dev: &str| host.link(dev).and_then(|link| link.mtu);
        let back = match self.skb.packet.src() {
            Known::Value(src) => match host.route(&RouteQuery::to(src)) {
                // what is for this host goes by the loopback device, whatever device the address is on
                RouteAnswer::Found(route) if route.kind == RouteType::Local => mtu_of("lo"),
                RouteAnswer::Found(route) => {
                    let hop = route.nexthops.first();
                    hop.and_then(|hop| hop.dev.as_deref()).and_then(mtu_of)
                }
                RouteAnswer::NoRoute => out,
                RouteAnswer::Unknown { .. } => None,
            },
            Known::Fact(_) => None,
        };
        match (out, back) {
            (Some(out), Some(back)) => {
                // IP_MAX_MTU, which is less than the loopback device has
                let most = if v6 { u32::MAX } else { 0xffff };
                let mtu = u128::from(out.min(back).min(most));
                let fits = mtu > headers && mtu <= 0xffff;
                Loaded::Value(if fits { mtu - headers } else { 536 })
            }
            _ => {
                let settle = "give the links with a snapshot";
                let usual = (1500 - headers, Source::Default);
                self.usual("rt mtu", settle, (0, max_of(16)), usual, DataType::Integer)
            }
        }
    }

    fn address_value(&self, address: Known<IpAddr>) -> Loaded {
        match address {
            Known::Value(IpAddr::V4(ip)) => Loaded::Value(u128::from(ip.to_bits())),
            Known::Value(IpAddr::V6(ip)) => Loaded::Value(ip.to_bits()),
            Known::Fact(fact) => self.known_fact(fact),
        }
    }

    /// The socket of the packet (`nft_socket_eval`): that which sent it, or that which a look-up finds.
    fn socket(&mut self, field: &Field, key: SocketKey) -> Loaded {
        let looked_up = matches!(self.skb.packet.proto, proto::TCP | proto::UDP);
        let found = match self.skb.sender {
            Sender::Program | Sender::Kernel | Sender::Receiver { sure: true } => true,
            Sender::Outside | Sender::Nobody | Sender::Receiver { sure: false } if !looked_up => {
                false
            }
            Sender::Outside | Sender::Nobody | Sender::Receiver { sure: false } => {
                let question = Claim::new(
                    "a local socket",
                    ("belongs", "does not belong"),
                    "to the packet",
                );
                let because = "sockets are not part of a ruleset; see `ss -lntu` on the host";
                self.know.ask(question, because, Source::Default, false)
            }
        };
        if !found {
            return Loaded::Absent;
        }
        let name = format!("socket {}", key.name());
        let settle = "sockets are not part of a ruleset; see `ss -ntuae` on the host";
        match key {
            SocketKey::Transparent => {
                let usual = (0, Source::Default);
                self.usual(&name, settle, (0, 1), usual, DataType::Boolean)
            }
            SocketKey::Mark => {
                let usual = (0, Source::Default);
                self.usual(&name, settle, (0, max_of(32)), usual, DataType::Mark)
            }
            SocketKey::Wildcard => self.open_field(field, &name, settle, 1),
            SocketKey::Cgroupv2 => self.open_field(field, &name, settle, 64),
        }
    }

    fn opaque(&mut self, what: OpaqueField) -> Loaded {
        match what {
            OpaqueField::Osf => {
                // nft_osf_eval: only a SYN tells
                let flags = self.skb.packet.tcp_flags();
                if flags.is_some_and(|flags| flags & tcp::SYN != 0) {
                    Loaded::Unknown
                } else {
                    Loaded::Absent
                }
            }
            OpaqueField::Ipsec if self.was_in_ipsec() => Loaded::Unknown,
            OpaqueField::Ipsec => Loaded::Absent,
            OpaqueField::Tunnel => {
                let claim = Claim::new(
                    "the packet",
                    ("does not come", "comes"),
                    "out of a tunnel device with metadata",
                );
                let settle = "see `external` in `ip -d link` on the host";
                if self
                    .know
                    .ask_of_packet(claim, settle, Source::Default, true)
                {
                    Loaded::Absent
                } else {
                    Loaded::Unknown
                }
            }
            OpaqueField::Inner => Loaded::Unknown,
        }
    }

    fn was_in_ipsec(&mut self) -> bool {
        let claim = Claim::new(
            "the packet",
            ("does not come", "comes"),
            "out of an ipsec tunnel",
        );
        let settle = "see `ip xfrm state` on the host";
        !self
            .know
            .ask_of_packet(claim, settle, Source::Default, true)
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
            Sender::Outside | Sender::Nobody => false,
            Sender::Program | Sender::Kernel | Sender::Receiver { sure: true } => true,
            Sender::Receiver { sure: false } => {
                let claim = Claim::new("the receiving socket", ("is", "is not"), "connected");
                let settle = "see `ss -nu` on the host: a connected socket has a peer address";
                self.know.ask(claim, settle, Source::Open, false)
            }
        }
    }

    fn meta(&mut self, key: MetaKey) -> Loaded {
        match key {
            MetaKey::Length => {
                let (length, assumed) = self.skb.packet.length();
                // at egress the Ethernet header counts (skb->len)
                let header = if self.hook == Hook::Egress { 14 } else { 0 };
                let length = u128::from(length + header);
                if assumed {
                    let domain = (length, max_of(16));
                    let settle = "say `--length BYTES`";
                    let usual = (length, Source::Open);
                    return self.usual("packet length", settle, domain, usual, DataType::Integer);
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
                    let all = (0, max_of(32));
                    return self.usual("packet priority", settle, all, usual, DataType::ClassId);
                };
                self.known_number(priority)
            }
            MetaKey::Iif | MetaKey::Iifname => self.iface_value(self.skb.iif),
            MetaKey::Oif | MetaKey::Oifname => self.iface_value(self.skb.oif),
            MetaKey::Ibrname => self.bridge_name(self.skb.in_port.or(self.skb.iif)),
            MetaKey::Obrname => self.bridge_name(self.skb.out_port.or(self.skb.oif)),
            // skb->dev: the outgoing device from postrouting on, and in output none yet
            MetaKey::Iiftype => {
                let device = match (self.hook, self.pf) {
                    (Hook::Postrouting | Hook::Egress, _) | (Hook::Output, Pf::Bridge) => {
                        self.skb.oif
                    }
                    _ => self.skb.iif,
                };
                self.with_link(device, link_type)
            }
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
            MetaKey::Secpath => Loaded::Value(u128::from(self.was_in_ipsec())),
            MetaKey::Sdif => Loaded::Value(0),
            MetaKey::Sdifname => Loaded::Value(0),
            MetaKey::Cpu => self.meta_fact(key, 32),
            MetaKey::Random => Loaded::Unknown,
            MetaKey::Cgroup if !self.has_socket() => Loaded::Absent,
            MetaKey::Cgroup if self.skb.sender == Sender::Kernel => Loaded::Value(0),
            MetaKey::Cgroup => self.meta_fact(key, 32),
            MetaKey::Time => self.meta_fact(key, 64),
            MetaKey::Day => self.meta_fact(key, 8),
            MetaKey::Hour => self.meta_fact(key, 32),
            MetaKey::Rtclassid if self.skb.route.is_none() => Loaded::Absent,
            MetaKey::Rtclassid => self.realm("meta rtclassid"),
            // nft_meta_bridge_get_eval: a plain bridge has none
            MetaKey::Ibrpvid | MetaKey::Ibrvproto => {
                if !matches!(
                    self.bridge_name(self.skb.in_port.or(self.skb.iif)),
                    Loaded::Value(_)
                ) {
                    return Loaded::Absent;
                }
                let claim = Claim::new("the bridge", ("does not look", "looks"), "at VLAN tags");
                let settle = "see `vlan_filtering` in `ip -d link` on the host";
                if self.know.ask(claim, settle, Source::Default, true) {
                    Loaded::Absent
                } else {
                    self.meta_fact(key, 16)
                }
            }
            MetaKey::Ibrhwaddr => self.bridge_address(),
            MetaKey::Physin if self.skb.nf_bridge => self.iface_value(self.skb.in_port),
            MetaKey::Physout if self.skb.nf_bridge => self.iface_value(self.skb.out_port),
            MetaKey::Physin | MetaKey::Physout => Loaded::Value(0),
            MetaKey::Secmark | MetaKey::Broute => self.meta_fact(key, 32),
        }
    }

    /// A header field that nobody gave.
    fn customary<O: Observer>(&mut self, field: &Field, value: u128, observer: &mut O) -> Loaded {
        let Field::Payload { base, offset, len } = field else {
            return Loaded::Value(value);
        };
        let packet = &self.skb.packet;
        let (v6, proto, kind) = (packet.v6, packet.proto, packet.kind());
        let assumed = assumed_field(v6, proto, *base, *offset);
        let Some(source) = assumed.varies else {
            let name = || describe_field(field, kind);
            observer.assumed(name, value, field_type(field, kind), assumed.settle);
            return Loaded::Value(value);
        };
        // the lengths that are assumed are those of the bare headers
        let least = match assumed.name {
            "packet length" | "udp length" | "tcp doff" => value,
            _ => 0,
        };
        let behind = if assumed.name == "time to live" && value == 63 {
            " behind this router"
        } else {
            ""
        };
        let name = format!("{}{behind}", describe_field(field, kind));
        self.usual(
            &name,
            assumed.settle,
            (least, max_of(*len)),
            (value, source),
            field_type(field, kind),
        )
    }

    /// A property of the packet that nobody gave and that has a customary value.
    fn usual(
        &mut self,
        name: &str,
        settle: &str,
        domain: (u128, u128),
        (value, source): (u128, Source),
        data_type: DataType,
    ) -> Loaded {
        let name = self.know.of_packet(name);
        let read = |text: &str| data_type.constant(text);
        let fact = self.know.named_as(&name, settle, domain, read);
        self.know.usually(fact, value, source);
        self.known_fact(fact)
    }

    /// Bits of the packet that nobody knows: one fact, so that all rules agree on it.
    fn unknown_bits(&mut self, field: &Field, len: u32) -> Loaded {
        let name = describe_field(field, self.skb.packet.kind());
        let settle = match field {
            Field::Payload {
                base: crate::ruleset::protocol::Base::Ll,
                offset: 0..96,
                ..
            } => "say it with `--ether SRC,DST`",
            _ => "the flow does not say it",
        };
        self.open_field(field, &name, settle, len)
    }

    /// A property of the packet that nobody gave, without a customary value.
    fn open_field(&mut self, field: &Field, name: &str, settle: &str, len: u32) -> Loaded {
        let name = self.know.of_packet(name);
        let data_type = field_type(field, self.skb.packet.kind());
        let read = |text: &str| data_type.constant(text);
        let domain = (0, max_of(len.min(128)));
        let fact = self.know.named_as(&name, settle, domain, read);
        self.known_fact(fact)
    }

    /// A `meta` key whose value a dump cannot say.
    fn meta_fact(&mut self, key: MetaKey, width: u32) -> Loaded {
        let name = format!("meta {}", key.name());
        let read = |text: &str| key.data_type().constant(text);
        let settle = match key {
            MetaKey::Ibrhwaddr => "give `ip -d link` of the host with `--link FILE`, or a snapshot",
            _ => "a dump cannot say it; `--assume` can",
        };
        let fact = self.know.named_as(&name, settle, (0, max_of(width)), read);
        self.known_fact(fact)
    }

    fn fact(&mut self, name: &str, settle: &str, width: u32) -> Loaded {
        let read = |text: &str| DataType::Integer.constant(text);
        let fact = self.know.named_as(name, settle, (0, max_of(width)), read);
        self.known_fact(fact)
    }

    /// The Ethernet address of the bridge that a frame came in by.
    fn bridge_address(&mut self) -> Loaded {
        let host = self.world.host;
        let Some(port) = self.skb.in_port.or(self.skb.iif) else {
            return Loaded::Absent;
        };
        let bridge = match self.bridge_behind(port) {
            None => return self.meta_fact(MetaKey::Ibrhwaddr, 48),
            Some(None) => return Loaded::Absent,
            Some(Some(bridge)) => bridge,
        };
        match host.link(bridge).and_then(|link| link.mac) {
            Some(mac) => Loaded::Value(mac.iter().fold(0, |v, byte| v << 8 | u128::from(*byte))),
            None => self.meta_fact(MetaKey::Ibrhwaddr, 48),
        }
    }

    fn bridge_name(&self, port: Option<Iface>) -> Loaded {
        let Some(port) = port else {
            return Loaded::Absent;
        };
        match self.bridge_behind(port) {
            None => Loaded::Unknown,
            Some(bridge) => bridge
                .and_then(ifname_value)
                .map_or(Loaded::Absent, Loaded::Value),
        }
    }

    /// The bridge that an interface is a port of, if it is one; `None` where that is not known. Of a port that is not
    /// known it is when all that it can be belong to one bridge.
    fn bridge_behind(&self, port: Iface) -> Option<Option<&'w str>> {
        let (host, link_values) = (self.world.host, self.world.link_values);
        let fact = match port {
            Iface::Link(at) => return Some(host.bridge_of(&host.links[at as usize].name)),
            Iface::Fact(fact) => fact,
        };
        let mut bridges = self.know.fact(fact).domain.iter().map(|(low, high)| {
            let at = link_values.iter().position(|value| value == low)?;
            (low == high).then(|| host.bridge_of(&host.links[at].name))
        });
        let first = bridges.next()??;
        bridges.all(|bridge| bridge == Some(first)).then_some(first)
    }

    fn ct(&mut self, key: CtKey, dir: Option<CtDir>) -> Loaded {
        if key == CtKey::State {
            return Loaded::Value(u128::from(match self.skb.ct {
                CtRef::None => state::INVALID,
                CtRef::Untracked => state::UNTRACKED,
                CtRef::Template => state::NEW,
                CtRef::Tracked(info) => info.state(),
            }));
        }
        // a template has a state and nothing else
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
        let unconfirmed = entry.status & status::CONFIRMED == 0;
        match key {
            CtKey::State => Loaded::Absent,
            CtKey::Direction => Loaded::Value(u128::from(info.is_reply())),
            CtKey::Status => Loaded::Value(u128::from(entry.status)),
            CtKey::Mark => self.known_number(entry.mark),
            CtKey::Label => match entry.label {
                Known::Value(label) => Loaded::Value(label),
                Known::Fact(fact) => self.known_fact(fact),
            },
            CtKey::Zone => Loaded::Value(u128::from(match dir {
                Some(dir) => entry.zone.of(dir == CtDir::Reply),
                None => entry.zone.id,
            })),
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
            // nf_ct_expires: its time does not run yet
            CtKey::Expiration if unconfirmed => Loaded::Value(0),
            CtKey::Id => self.ct_fact(key, dir, (1, max_of(32))),
            CtKey::Expiration => self.ct_fact(key, dir, (1, max_of(64))),
            CtKey::Bytes | CtKey::Packets | CtKey::Avgpkt => {
                self.ct_fact(key, dir, (0, max_of(64)))
            }
            CtKey::Event | CtKey::Secmark => self.ct_fact(key, dir, (0, max_of(32))),
        }
    }

    /// A property of the entry that only the running kernel knows.
    fn ct_fact(&mut self, key: CtKey, dir: Option<CtDir>, domain: (u128, u128)) -> Loaded {
        let field = Field::Ct { key, dir };
        let mut name = describe_field(&field, PacketKind::ANY);
        // what counts goes on counting
        if key != CtKey::Id {
            name = self.know.of_packet(&name);
        }
        let read = |text: &str| field_type(&field, PacketKind::ANY).constant(text);
        let settle = "see `conntrack -L` on the host; `--assume` says it";
        let fact = self.know.named_as(&name, settle, domain, read);
        self.known_fact(fact)
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
            Field::Ct { key, dir } => {
                if *key == CtKey::Zone {
                    // what conntrack has seen, or another rule has given a zone, keeps it
                    if matches!(self.skb.ct, CtRef::None | CtRef::Untracked) {
                        self.skb.zone = Zone {
                            id: self.decided("conntrack zone", value) as u16,
                            original: *dir != Some(CtDir::Reply),
                            reply: *dir != Some(CtDir::Original),
                        };
                        self.skb.ct = CtRef::Template;
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
            // nft_exthdr_tcp_set_eval: what is no TCP ends the rule
            Field::Option {
                of: OptionOf::Tcp, ..
            } if self.skb.packet.proto != proto::TCP => return Err(Actual::Absent),
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
    let settle = "say this host's addresses: `--local ADDR`, `--addr FILE`, or a snapshot";
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
            know.ask_of_packet(claim, settle, Source::Open, false)
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

/// What a header or option that is not there gives.
fn none(presence: bool) -> Loaded {
    if presence {
        Loaded::Value(0)
    } else {
        Loaded::Absent
    }
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
