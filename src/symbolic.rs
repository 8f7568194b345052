//! What a ruleset does to all packets: the walk of `walk`, of every packet at once.
//!
//! A field of a packet is a number in pieces ([`Number`]): constants, and vectors with a set for each bit, each for its own
//! packets; each set is a function of the packet as it was first sent. A rule's match is then the set of first packets that
//! match it, whatever was translated before. Every packet is at one place at a time, so one set of fields serves for all places: a statement writes the fields of those packets that reach it, a jump follows
//! those that jump, and those that return join the others again. A chain costs as many steps as it has rules.
//!
//! The statements are those that `eval` reads. What the host decides between the chains, and fields that depend on the host, are
//! asked of `walk` and `eval` themselves, for one packet of each kind (`symbolic::leaf`). What the input leaves open becomes a
//! variable of its own ([`space::Question`]), so an answer can be taken for certain or for possible.
//!
//! Left out on purpose, and an end of its own ([`End::NotCovered`]): frames that stay on a bridge, chains of the bridge
//! family. Not walked: the answers of `reject`, ICMP errors.

mod fields;
pub mod free;
mod leaf;
mod nat;
mod rule;
pub mod space;
mod stack;
mod value;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::conntrack::Manip;
use crate::eval::{Pf, World};
use crate::hooks::Hooks;
use crate::ruleset::{ChainId, Hook, RuleId};
use crate::sets::{GaveUp, Point, Set};
use crate::walk::step::{HostDrop, Taken};

pub use fields::Fields;
pub(crate) use space::literals;
pub use space::{Input, Question, Space, place_words};
pub use value::{Number, value_of, within};

/// How a packet's way ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// Delivered to this host.
    Local,
    /// Passed on, out by this link.
    Forwarded(u16),
    /// Sent by this host, out by this link.
    Transmitted(u16),
    /// Handed to another device by a rule of a device's chain.
    Relayed,
    Dropped,
    Rejected,
    /// A program decides.
    Queued,
    Stolen,
    /// The stack dropped it.
    Host(Dropped),
    /// What happens is not known, and why.
    Unknown(String),
    /// This version does not follow such packets.
    NotCovered(&'static str),
}

impl End {
    /// Whether the packet gets where it is going; `None`: nobody here knows.
    pub fn passes(&self) -> Option<bool> {
        match self {
            End::Local | End::Forwarded(_) | End::Transmitted(_) | End::Relayed => Some(true),
            End::Dropped | End::Rejected | End::Host(_) => Some(false),
            End::Queued | End::Stolen | End::Unknown(_) | End::NotCovered(_) => None,
        }
    }
}

/// [`HostDrop`] with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dropped(pub HostDrop);

impl PartialOrd for Dropped {
    fn partial_cmp(&self, other: &Dropped) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Dropped {
    fn cmp(&self, other: &Dropped) -> std::cmp::Ordering {
        (self.0 as u8).cmp(&(other.0 as u8))
    }
}

/// Who ended a way or let a packet pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum By {
    Rule(RuleId),
    /// The policy of a base chain.
    Policy(ChainId),
    /// No rule.
    Stack,
}

/// Packets that ended in one way.
#[derive(Debug, Clone)]
pub struct Exit {
    pub end: End,
    pub by: By,
    pub packets: Set,
}

/// What a rule saw at one hook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Visit {
    /// Packets that came to the rule.
    pub reached: Option<Set>,
    /// Those for which all its matches held.
    pub matched: Option<Set>,
}

/// A verdict that ended a base chain.
#[derive(Debug, Clone)]
pub struct Decided {
    pub hook: Hook,
    pub pf: Pf,
    pub chain: ChainId,
    pub by: By,
    pub taken: Taken,
    pub packets: Set,
}

/// Which rule translated.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    pub manip: Manip,
    pub rule: RuleId,
    pub packets: Set,
}

/// All ways of all packets that come from one side.
#[derive(Debug)]
pub struct Ways {
    /// The packets that were followed.
    pub sent: Set,
    /// Disjoint, and together all that were followed.
    pub exits: Vec<Exit>,
    /// By hook and rule.
    pub visits: BTreeMap<(Hook, RuleId), Visit>,
    pub decided: Vec<Decided>,
    pub bound: Vec<Bound>,
    /// The packets at their ends; of answers without the conntrack entries.
    pub fields: Fields,
    /// Packets to many receivers, whom nobody answers.
    pub to_many: Set,
    /// By a watched pair of rules: what the first took although the second would match it.
    pub watched: BTreeMap<(RuleId, RuleId), Set>,
}

impl Ways {
    /// No packet went any way.
    pub fn nothing(&self) -> Ways {
        Ways {
            sent: Set::NONE,
            exits: Vec::new(),
            visits: BTreeMap::new(),
            decided: Vec::new(),
            bound: Vec::new(),
            fields: self.fields.clone(),
            to_many: Set::NONE,
            watched: BTreeMap::new(),
        }
    }

    /// The packets of an end.
    pub fn ended(&self, space: &mut Space, is: impl Fn(&End) -> bool) -> Set {
        let found = self.exits.iter().filter(|exit| is(&exit.end));
        let found: Vec<Set> = found.map(|exit| exit.packets).collect();
        space.sets.union(&found)
    }

    /// The packets that get where they are going.
    pub fn passed(&self, space: &mut Space) -> Set {
        self.ended(space, |end| end.passes() == Some(true))
    }

    /// What a rule saw, at whatever hook.
    pub fn visit(&self, space: &mut Space, rule: RuleId) -> (Set, Set) {
        let visits = self.visits.iter().filter(|((_, known), _)| *known == rule);
        let (mut reached, mut matched) = (Vec::new(), Vec::new());
        for (_, visit) in visits {
            reached.extend(visit.reached);
            matched.extend(visit.matched);
        }
        (space.sets.union(&reached), space.sets.union(&matched))
    }
}

/// Where packets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// From outside, by any interface.
    Outside,
    /// From a socket of this host that did not choose a source.
    Here,
}

/// Follows the first packets of conversations, all at once.
///
/// `mark` is what packets are marked with before any rule; `None`: with anything.
pub fn requests(
    space: &mut Space,
    world: World<'_>,
    hooks: &Hooks,
    from: From,
    mark: Option<u32>,
) -> Result<Ways, GaveUp> {
    requests_watched(space, world, hooks, from, mark, Watch::new())
}

/// Rules, each with others of which it shall be told what they would have matched of its packets ([`Ways::watched`]).
pub type Watch = BTreeMap<RuleId, Vec<RuleId>>;

/// [`requests`], with an eye on some rules.
pub fn requests_watched(
    space: &mut Space,
    world: World<'_>,
    hooks: &Hooks,
    from: From,
    mark: Option<u32>,
    watch: Watch,
) -> Result<Ways, GaveUp> {
    let mut walk = stack::Walk::request(space, world, hooks, from, mark);
    walk.watch = watch;
    walk.send(from);
    let ways = walk.done();
    space.check()?;
    Ok(ways)
}

/// Follows the answers to requests that were delivered; sets are still those of the requests.
pub fn replies(
    space: &mut Space,
    world: World<'_>,
    hooks: &Hooks,
    requests: &Ways,
    from: From,
) -> Result<Ways, GaveUp> {
    let ways = stack::Walk::reply(space, world, hooks, requests, from);
    space.check()?;
    Ok(ways)
}

/// What a packet looks like at its end, for one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub sport: u16,
    pub dport: u16,
}

impl Ways {
    /// One packet at its end.
    pub fn seen(&self, space: &Space, point: &Point) -> Seen {
        self.fields.seen(space, point)
    }

    /// Whom one packet is for at its end; `None`: an address of this host that nobody said.
    pub fn destination(&self, space: &Space, point: &Point) -> Option<IpAddr> {
        let is_known = !space.sets.contains(self.fields.own_dst, point);
        is_known.then(|| self.seen(space, point).dst)
    }
}
