//! Conntrack's work at prerouting and output (`nf_conntrack_in`) and at the end (`nf_conntrack_confirm`).

use crate::conntrack::{CtInfo, CtRef, Entry, Tuple, Zone, asks, status};
use crate::eval::{Pf, Skb};
use crate::logic::Known;
use crate::packet::{Packet, proto, tcp};
use crate::ruleset::Hook;

use super::step::{ConntrackStep, StepKind};
use super::{GivenState, Record, Walker};

impl<R: Record> Walker<'_, R> {
    /// Puts the entry in place that the user says there is.
    pub(super) fn given_state(&mut self, skb: &mut Skb, state: GivenState) {
        let seen =
            status::SEEN_REPLY | status::CONFIRMED | status::SRC_NAT_DONE | status::DST_NAT_DONE;
        match state {
            GivenState::New | GivenState::Invalid | GivenState::Related => {}
            GivenState::Established => {
                let mut entry = Entry::new(tuple_of(&skb.packet), Zone::default());
                entry.status = seen;
                if skb.packet.proto == proto::TCP {
                    entry.status |= status::ASSURED;
                }
                self.entries.push(entry);
            }
            GivenState::Untracked => skb.ct = CtRef::Untracked,
        }
        self.forced = matches!(state, GivenState::Invalid | GivenState::Related).then_some(state);
    }

    /// Looks the packet's conversation up, or begins one.
    pub(super) fn conntrack_in(&mut self, skb: &mut Skb, pf: Pf, hook: Hook) {
        // already seen: loopback, or a frame that passed inside a bridge
        match skb.ct {
            CtRef::None => {}
            CtRef::Template => skb.ct = CtRef::None,
            CtRef::Untracked | CtRef::Tracked(_) => return,
        }
        match self.forced.take() {
            Some(GivenState::Invalid) => {
                self.step(skb, pf, hook, StepKind::Conntrack(ConntrackStep::Invalid));
                return;
            }
            Some(GivenState::Related) => {
                let entry = Entry::new(tuple_of(&skb.packet), skb.zone);
                self.entries.push(entry);
                skb.entry = self.entries.len() - 1;
                skb.ct = CtRef::Tracked(CtInfo::Related);
                let step = ConntrackStep::Tracked {
                    info: CtInfo::Related,
                    new_entry: true,
                };
                self.step(skb, pf, hook, StepKind::Conntrack(step));
                return;
            }
            _ => {}
        }
        if untracked_by_nature(&skb.packet) {
            skb.ct = CtRef::Untracked;
            self.step(skb, pf, hook, StepKind::Conntrack(ConntrackStep::Untracked));
            return;
        }
        let tuple = tuple_of(&skb.packet);
        for (at, entry) in self.entries.iter_mut().enumerate() {
            let zoned = |reply: bool| entry.zone.of(reply) == skb.zone.of(reply);
            let (answers, asks) = (zoned(true), zoned(false));
            let info = if tuple == entry.reply && answers {
                entry.status |= status::SEEN_REPLY;
                CtInfo::EstablishedReply
            } else if tuple == entry.original && asks {
                if entry.status & status::SEEN_REPLY != 0 {
                    CtInfo::Established
                } else {
                    CtInfo::New
                }
            } else {
                continue;
            };
            skb.entry = at;
            skb.ct = CtRef::Tracked(info);
            self.step(
                skb,
                pf,
                hook,
                StepKind::Conntrack(ConntrackStep::Tracked {
                    info,
                    new_entry: false,
                }),
            );
            return;
        }
        // sctp_new: an answer (INIT ACK) begins no association
        let answers = skb.packet.proto == proto::SCTP && self.know.walks_reply();
        if answers || !may_begin(&skb.packet) {
            self.step(skb, pf, hook, StepKind::Conntrack(ConntrackStep::Invalid));
            return;
        }
        self.entries.push(Entry::new(tuple, skb.zone));
        skb.entry = self.entries.len() - 1;
        skb.ct = CtRef::Tracked(CtInfo::New);
        let step = ConntrackStep::Tracked {
            info: CtInfo::New,
            new_entry: true,
        };
        self.step(skb, pf, hook, StepKind::Conntrack(step));
    }

    /// The entry becomes visible to the packets of the other direction.
    pub(super) fn confirm(&mut self, skb: &mut Skb, pf: Pf, hook: Hook) {
        // __nf_conntrack_confirm: not by a packet of the other direction
        let CtRef::Tracked(info) = skb.ct else {
            return;
        };
        if info.is_reply() {
            return;
        }
        let Some(entry) = self.entries.get_mut(skb.entry) else {
            return;
        };
        if entry.status & status::CONFIRMED == 0 {
            entry.status |= status::CONFIRMED;
            self.step(skb, pf, hook, StepKind::Conntrack(ConntrackStep::Confirmed));
        }
    }
}

/// The packet's own tuple (`nf_ct_get_tuple`).
pub(super) fn tuple_of(packet: &Packet) -> Tuple {
    let (sport, dport) = match (packet.sport(), packet.dport(), packet.icmp()) {
        (Some(sport), Some(dport), _) => (sport, dport),
        (_, _, Some((kind, code))) => (
            Known::Value(0),
            Known::Value(u16::from_be_bytes([kind, code])),
        ),
        _ => (Known::Value(0), Known::Value(0)),
    };
    Tuple {
        src: packet.src(),
        dst: packet.dst(),
        proto: packet.proto,
        sport,
        dport,
    }
}

/// Neighbour discovery and multicast listener messages are never tracked (`noct_valid_new`).
fn untracked_by_nature(packet: &Packet) -> bool {
    packet.v6
        && packet.proto == proto::ICMPV6
        && matches!(packet.icmp(), Some((130..=137 | 143, _)))
}

/// Whether a packet may be the first of a conversation (`nf_conntrack_tcp_packet`, `nf_conntrack_icmp_packet`).
fn may_begin(packet: &Packet) -> bool {
    match (packet.proto, packet.tcp_flags(), packet.icmp()) {
        (proto::TCP, Some(flags), _) => {
            let flags = flags & (tcp::SYN | tcp::ACK | tcp::RST | tcp::FIN);
            // a lone SYN, or (nf_conntrack_tcp_loose) an ACK in the middle of a connection, not at its end
            matches!(flags, tcp::SYN | tcp::ACK)
        }
        // the ICMP of the other IP version never does
        (proto::ICMP, _, Some((kind, _))) => !packet.v6 && asks(packet.proto, kind),
        (proto::ICMPV6, _, Some((kind, _))) => packet.v6 && asks(packet.proto, kind),
        _ => true,
    }
}
