//! What the host decides about one packet between the chains, for callers that walk whole sets of packets: they ask for one
//! packet of each kind. The decisions are the walk's own.

use std::net::IpAddr;

use crate::conntrack::Entry;
use crate::eval::{Iface, Skb, World};
use crate::hooks::Hooks;
use crate::logic::{Knowledge, Known};
use crate::ruleset::Hook;

use super::ip::Decision;
use super::step::Disposition;
use super::{Silent, Walker};

/// What the walk had come to know when the decision is to be made.
#[derive(Debug, Clone)]
pub struct Asked {
    pub know: Knowledge,
    pub entries: Vec<Entry>,
    /// Whom the request came from, and by which interface.
    pub peer: Option<(IpAddr, Iface)>,
}

/// Where a packet goes behind prerouting.
#[derive(Debug, Clone, PartialEq)]
pub enum Way {
    Local {
        to_many: bool,
    },
    Forward {
        oif: Iface,
        next_hop: Option<IpAddr>,
    },
    Ends(Disposition),
}

fn walker<'w>(world: World<'w>, hooks: &'w Hooks, asked: Asked) -> Walker<'w, Silent> {
    let mut walker = Walker::new(world, hooks, asked.know, Silent);
    walker.entries = asked.entries;
    walker.peer = asked.peer;
    walker
}

/// The routing decision of a packet that came in, with all checks that belong to it.
pub fn received(world: World<'_>, hooks: &Hooks, skb: &mut Skb, asked: Asked) -> (Way, Knowledge) {
    let mut walker = walker(world, hooks, asked);
    let way = match walker.route_input(skb) {
        Err(ended) => Way::Ends(ended),
        Ok(Decision::Input) => Way::Local {
            to_many: walker.to_many,
        },
        Ok(Decision::Refused(why)) => Way::Ends(Disposition::Host(why)),
        Ok(Decision::Forward { .. }) if skb.packet.v6 && !walker.forwarding(skb) => {
            Way::Ends(Disposition::Host(super::step::HostDrop::ForwardingOff))
        }
        Ok(Decision::Forward { oif, next_hop }) => Way::Forward { oif, next_hop },
    };
    (way, walker.know)
}

/// The routing decision of a packet of this host: its device, its route, and its source where it has none. True when it
/// goes to many.
pub fn sent(
    world: World<'_>,
    hooks: &Hooks,
    skb: &mut Skb,
    again: bool,
    asked: Asked,
) -> (Result<bool, Disposition>, Knowledge) {
    let mut walker = walker(world, hooks, asked);
    let found = walker.route_output(skb, again);
    (found.map(|()| walker.to_many), walker.know)
}

/// The address that masquerade takes; `None`: the device has none.
pub fn masquerade(
    world: World<'_>,
    hooks: &Hooks,
    skb: &Skb,
    next_hop: Option<IpAddr>,
    asked: Asked,
) -> (Option<Known<IpAddr>>, Knowledge) {
    let mut walker = walker(world, hooks, asked);
    walker.next_hop = next_hop;
    let found = walker.masquerade_address(skb);
    (found, walker.know)
}

/// The address that redirect takes; `None`: the device has none.
pub fn redirect(
    world: World<'_>,
    hooks: &Hooks,
    skb: &Skb,
    hook: Hook,
    asked: Asked,
) -> (Option<Known<IpAddr>>, Knowledge) {
    let mut walker = walker(world, hooks, asked);
    let found = walker.redirect_address(skb, hook);
    (found, walker.know)
}

/// Whether a frame that comes in by a bridge goes up to the host, not across to another port.
pub fn goes_up(
    world: World<'_>,
    hooks: &Hooks,
    skb: &Skb,
    bridge: Iface,
    asked: Asked,
) -> (bool, Knowledge) {
    let mut walker = walker(world, hooks, asked);
    let up = walker.comes_up(skb, bridge);
    (up, walker.know)
}

/// The packet type that a received packet has (`eth_type_trans`).
pub fn packet_type(world: World<'_>, hooks: &Hooks, skb: &Skb, asked: Asked) -> u8 {
    let walker = walker(world, hooks, asked);
    skb.iif
        .map_or(super::HOST, |iif| walker.pkttype(&skb.packet, iif))
}
