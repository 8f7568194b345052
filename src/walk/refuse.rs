//! What this host sends to the sender of a packet that it refuses: the answer of `reject` (`nf_send_reset`,
//! `nf_send_unreach`) and the ICMP errors of the stack (`icmp_send`, `icmpv6_send`), and the way out of the host that it
//! takes.
//!
//! Left out on purpose: answers of bridge and netdev chains, which are written to the wire as frames, rate limits, and
//! what an answer would be answered with.

use std::net::IpAddr;

use crate::conntrack::{CtInfo, CtRef};
use crate::eval::{Pf, Sender, Skb};
use crate::host::{AddressType, TypeAnswer};
use crate::logic::Known;
use crate::packet::{self, Packet, proto, tcp};
use crate::ruleset::datatype::DataType;
use crate::ruleset::{Hook, Reject};

use super::step::{Disposition, HostDrop, Path};
use super::{Entrance, GivenState, HOST, Probe, Record, Walker, take_path};

/// What a sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    Reset,
    /// ICMP type and code, of the packet's own IP version.
    Icmp(u8, u8),
}

impl Told {
    /// What `reject` tells (`nft_reject_inet_eval`).
    pub(crate) fn by(reject: Reject, v6: bool) -> Told {
        match reject {
            Reject::TcpReset => Told::Reset,
            Reject::Icmp(code) => Told::Icmp(3, code),
            Reject::Icmpv6(code) => Told::Icmp(1, code),
            // icmp_code_v4, icmp_code_v6
            Reject::Icmpx(code) => match (v6, code) {
                (false, 0) => Told::Icmp(3, 0),
                (false, 1) => Told::Icmp(3, 3),
                (false, 2) => Told::Icmp(3, 1),
                (false, _) => Told::Icmp(3, 13),
                (true, 0) => Told::Icmp(1, 0),
                (true, 1) => Told::Icmp(1, 4),
                (true, 2) => Told::Icmp(1, 3),
                (true, _) => Told::Icmp(1, 1),
            },
        }
    }

    /// `tcp reset`, `icmp port-unreachable`, in the words of nft.
    pub(crate) fn words(self, v6: bool) -> String {
        let (family, codes) = match v6 {
            true => ("icmpv6", DataType::Icmpv6Code),
            false => ("icmp", DataType::IcmpCode),
        };
        match self {
            Told::Reset => "tcp reset".into(),
            Told::Icmp(_, code) => format!("{family} {}", codes.display(code.into())),
        }
    }
}

impl<R: Record> Walker<'_, R> {
    /// The answer of a rule that rejects; its way is over before the rule's own (`nft_reject_inet_eval`).
    pub(super) fn reject(&mut self, skb: &Skb, pf: Pf, hook: Hook, reject: Reject) {
        if matches!(pf, Pf::Bridge | Pf::Netdev | Pf::Arp) {
            return;
        }
        let told = Told::by(reject, skb.packet.v6);
        self.tell(skb, hook, told);
    }

    /// The error that the stack sends for a packet which it does not pass on (`ip_error`, `ip6_pkt_drop`, `ip_forward`,
    /// `ip6_forward`).
    pub(super) fn complain(&mut self, skb: &Skb, why: HostDrop) {
        let told = match (why, skb.packet.v6) {
            (HostDrop::TtlExceeded, false) => Told::Icmp(11, 0),
            (HostDrop::TtlExceeded, true) => Told::Icmp(3, 0),
            (HostDrop::NoRoute, false) => Told::Icmp(3, 0),
            (HostDrop::Unreachable, false) => Told::Icmp(3, 1),
            (HostDrop::Prohibit, false) => Told::Icmp(3, 13),
            (HostDrop::NoRoute | HostDrop::Unreachable, true) => Told::Icmp(1, 0),
            (HostDrop::Prohibit, true) => Told::Icmp(1, 1),
            (HostDrop::LinkLocalSource, true) => Told::Icmp(1, 2),
            (
                HostDrop::Blackhole
                | HostDrop::ForwardingOff
                | HostDrop::RpFilter
                | HostDrop::MartianSource
                | HostDrop::MartianDestination
                | HostDrop::NoAddress
                | HostDrop::SamePort
                | HostDrop::IsolatedPort
                | HostDrop::LinkLocalSource
                | HostDrop::NotJoined
                | HostDrop::OtherHost
                | HostDrop::OfSocket,
                _,
            ) => return,
        };
        // ip_error: IPv4 says nothing where it does not forward
        let refused = matches!(
            why,
            HostDrop::NoRoute | HostDrop::Unreachable | HostDrop::Prohibit
        );
        if refused && !skb.packet.v6 && !self.forwarding(skb) {
            return;
        }
        self.tell(skb, Hook::Forward, told);
    }

    /// Whether a refused packet was for an address of this host: for IPv4 by the route that it has (`RTCF_LOCAL`), which in
    /// prerouting is not yet its own, for IPv6 by its destination (`ipv6_chk_addr`).
    fn is_for_host(&self, refused: &Skb, hook: Hook) -> bool {
        let looped = self.is_loopback(refused.oif) || self.is_loopback(refused.iif);
        let own = || match refused.packet.dst() {
            Known::Value(dst) => matches!(
                self.host().address_type(dst, None),
                TypeAnswer::Known(AddressType::Local, _)
            ),
            Known::Fact(fact) => self.know.fact(fact).own_address,
        };
        hook == Hook::Input || looped || refused.packet.v6 && own()
    }

    fn tell(&mut self, refused: &Skb, hook: Hook, told: Told) {
        if !self.record.keeps() || self.telling || !may_be_told(refused, told) {
            return;
        }
        let packet = &refused.packet;
        let header = if packet.v6 { 40 } else { 20 };
        let (length, assumed) = packet.length();
        let (proto, icmp, tcp_flags, length) = match told {
            Told::Reset => {
                let acked = packet.tcp_flags().unwrap_or(0) & tcp::ACK != 0;
                let flags = if acked { tcp::RST } else { tcp::RST | tcp::ACK };
                (proto::TCP, None, Some(flags), Some(header + 20))
            }
            Told::Icmp(kind, code) => {
                let proto = if packet.v6 {
                    proto::ICMPV6
                } else {
                    proto::ICMP
                };
                let most = if packet.v6 { 1280 } else { 576 };
                let length = (length + 8 + u32::from(header)).min(most) as u16;
                (
                    proto,
                    Some((kind, code)),
                    None,
                    (!assumed).then_some(length),
                )
            }
        };
        // icmp_send: what was for this host is answered from the address that it was for, all else by the route
        let src = match told {
            Told::Reset => packet.dst(),
            Told::Icmp(..) if self.is_for_host(refused, hook) => packet.dst(),
            Told::Icmp(..) => Known::Value(match packet.v6 {
                true => IpAddr::from([0u8; 16]),
                false => IpAddr::from([0u8; 4]),
            }),
        };
        let tos = match told {
            Told::Reset => 0,
            // IPTOS_PREC_INTERNETCONTROL
            Told::Icmp(..) if !packet.v6 => packet.tos() & 0x1e | 0xc0,
            Told::Icmp(..) => 0,
        };
        let probe = Probe {
            spec: packet::Spec {
                v6: packet.v6,
                src,
                dst: packet.src(),
                proto,
                sport: packet.dport().unwrap_or(Known::Value(0)),
                dport: packet.sport().unwrap_or(Known::Value(0)),
                icmp,
                tcp_flags,
                ttl: Some(64),
                tos: Some(tos),
                length,
                ether_src: None,
                ether_dst: None,
            },
            entrance: Entrance::Kernel,
            in_port: None,
            oif: None,
            mark: 0,
            state: GivenState::New,
            uid: None,
            gid: None,
        };
        let mut skb = self.skb(&probe);
        skb.sender = match told {
            Told::Reset => Sender::Nobody,
            Told::Icmp(..) => Sender::Kernel,
        };
        skb.packet = skb.packet.without_link_header();
        let family = if packet.v6 { "ipv6" } else { "ipv4" };
        if self.host().sysctl(&format!("net.{family}.fwmark_reflect")) == Some(1) {
            skb.mark = refused.mark;
        }
        // nf_ct_attach
        if let CtRef::Tracked(info) = refused.ct {
            skb.entry = refused.entry;
            skb.ct = CtRef::Tracked(if info.is_reply() {
                CtInfo::Related
            } else {
                CtInfo::RelatedReply
            });
        }
        self.telling = true;
        let kept = (
            self.next_hop,
            self.to_many,
            self.routed_again.take(),
            self.know.begin_answer(),
        );
        let before = self.know.choices.len();
        let steps = self.record.set_aside();
        // nf_send_reset: what came in through br_netfilter is answered by its port, past all hooks
        let disposition = if told == Told::Reset && refused.nf_bridge {
            (skb.oif, skb.out_port) = (refused.iif, refused.in_port);
            Disposition::Transmitted
        } else {
            self.output(&mut skb)
        };
        let path: Path = take_path(
            self.record.set_aside(),
            &self.know,
            &probe,
            &skb,
            disposition,
            before,
        );
        self.record.resume(steps);
        (self.next_hop, self.to_many, self.routed_again, _) = kept;
        self.know.end_answer(kept.3);
        self.telling = false;
        self.answer = Some(Box::new(path));
    }
}

/// Whether there is somebody who may be told (`icmp_send`, `icmp6_send`, `nf_send_reset`).
fn may_be_told(refused: &Skb, told: Told) -> bool {
    let packet: &Packet = &refused.packet;
    let to_many =
        |ip: IpAddr| ip.is_multicast() || matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    let sender = match packet.src() {
        Known::Value(src) => !to_many(src) && !src.is_unspecified(),
        Known::Fact(_) => true,
    };
    let to_one = !packet.dst().value().is_some_and(to_many);
    let about = match (told, packet.icmp()) {
        (Told::Reset, _) => packet
            .tcp_flags()
            .is_some_and(|flags| flags & tcp::RST == 0),
        (Told::Icmp(..), None) => true,
        // no error is told about an error
        (Told::Icmp(..), Some((kind, _))) if packet.v6 => kind >= 128,
        // icmp_pointers: 8, 0, and 13 to 18 are no errors
        (Told::Icmp(..), Some((kind, _))) => matches!(kind, 0 | 8 | 13..=18),
    };
    let for_host = packet.v6 || told == Told::Reset || refused.pkttype == HOST;
    sender && to_one && about && for_host
}
