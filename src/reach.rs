//! Who can reach what: the packets that a ruleset lets through, as rows that people can read (`nfpath reach`).
//!
//! The sets are those of [`crate::symbolic`]; this module cuts them into rows of interfaces, protocols, ports and prefixes,
//! and asks [`crate::explain`] about one flow of each row. First packets of conversations are looked at, and first answers.

pub mod class;
pub mod v1;
pub mod whole;
mod zone;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::conntrack::Manip;
use crate::eval::{Pf, World};
use crate::explain::explain;
use crate::flow::{Flow, IpFamily};
use crate::hooks::Hooks;
use crate::host::{Host, Link, LinkKind, Origin};
use crate::infer::{infer, interface_patterns};
use crate::load::Loaded;
use crate::logic::Ranges;
use crate::packet::{proto, range_of};
use crate::report::build::{Sources, rule_text};
use crate::ruleset::{Policy, Ruleset};
use crate::sets::{GaveUp, Point, Room, Set};
use crate::symbolic::{By, End, Exit, From, Input, Space, Ways, replies, requests};
use crate::walk::link_values;

use class::{
    AsSeen, Cell, Class, Customary, Cutting, Ending, MARTIAN, Part, Target, add_assumed, agrees,
    parts, question, unusual_icmp, usual_headers, usual_only,
};

/// What conntrack makes of the packets that are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// The first packet of a conversation.
    #[default]
    New,
    /// The first answer to a conversation that is let through.
    Established,
    /// What begins no conversation and belongs to none.
    Invalid,
    /// What is spared conntrack.
    Untracked,
}

impl State {
    /// The word of `ct state`.
    pub fn name(self) -> &'static str {
        match self {
            State::New => "new",
            State::Established => "established",
            State::Invalid => "invalid",
            State::Untracked => "untracked",
        }
    }
}

/// Which packets are asked for; what is `None` is not asked. Of answers it is the conversation that is asked for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub state: State,
    /// Where the packet is delivered, behind all translations.
    pub to: Option<IpNet>,
    pub to_port: Option<u16>,
    pub from: Option<IpNet>,
    pub from_iface: Option<String>,
    pub to_iface: Option<String>,
    pub proto: Option<u8>,
}

impl Query {
    /// Whether nothing is asked: then the exposure of the host itself and of what it publishes is told.
    pub fn is_open(&self) -> bool {
        self.to.is_none()
            && self.to_port.is_none()
            && self.from.is_none()
            && self.from_iface.is_none()
            && self.to_iface.is_none()
            && self.proto.is_none()
    }
}

/// Why there is no answer. One line, lower case, no final period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReachError {
    #[error("`{flag} {name}`: this host has no such interface; it has {known}")]
    NoInterface {
        flag: &'static str,
        name: String,
        known: String,
    },
    #[error(transparent)]
    GaveUp(#[from] GaveUp),
}

/// Packets that have one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The packets; of answers the first packets of their conversations.
    pub class: Class,
    /// The zone of the interfaces, by the program that dispatches packets by it.
    pub zone: Option<String>,
    /// Conversations of this host.
    pub sent_here: bool,
    /// Where the destination is translated to; not told of answers.
    pub translated: Option<Target>,
    pub delivered: Delivered,
    /// The interface it leaves by; `None`: this host is where it goes.
    pub leaves_by: Option<String>,
    /// The rules and policies that translate and let pass.
    pub by: Vec<Cited>,
    /// What the row rests on; empty: the input says it all.
    pub rests_on: Vec<String>,
    pub witness: Witness,
}

/// A rule or policy, and the rule's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cited {
    /// `ip filter INPUT #7`
    pub place: String,
    /// Empty for a policy.
    pub text: String,
}

/// How a packet gets where it is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delivered {
    Local,
    Forwarded,
    /// An answer of this host.
    Transmitted,
}

impl Delivered {
    /// `None`: it does not get there.
    fn of(end: &End) -> Option<(Delivered, Option<u16>)> {
        match end {
            End::Local => Some((Delivered::Local, None)),
            End::Forwarded(at) => Some((Delivered::Forwarded, Some(*at))),
            End::Transmitted(at) => Some((Delivered::Transmitted, Some(*at))),
            End::Relayed
            | End::Dropped
            | End::Rejected
            | End::Queued
            | End::Stolen
            | End::Host(_)
            | End::Unknown(_)
            | End::NotCovered(_) => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Delivered::Local => "local",
            Delivered::Forwarded => "forwarded",
            Delivered::Transmitted => "transmitted",
        }
    }
}

/// One flow of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    pub flow: String,
    /// `None` for conversations of this host.
    pub iif: Option<String>,
    /// Where they are not SYN alone.
    pub tcp_flags: Option<u8>,
    /// Type and code, where it is no echo request.
    pub icmp: Option<(u8, u8)>,
    /// Whether `explain` says the same of it.
    pub confirmed: bool,
}

/// The answer.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    pub state: State,
    pub rows: Vec<Row>,
    /// Kinds of packets that were left out, in words.
    pub left_out: Vec<String>,
    /// What the question does not cover, in words.
    pub not_asked: Vec<String>,
    /// What was taken for usual, in words.
    pub assumed: Vec<String>,
    /// There were more rows than are told.
    pub truncated: bool,
    /// Why the rows are not all that there are, in words.
    pub given_up: Option<String>,
}

/// How many rows are made at most.
const MOST: usize = 2000;

/// How many other sources are tried for a flow of a row.
const TRIES: usize = 16;

/// The host with all interfaces that packets may enter by, where the listing of links is not whole: those that rules name,
/// one for each wildcard (`ppp*`), and one that no rule names.
pub fn imagined(ruleset: &Ruleset, host: &Host) -> Host {
    let mut host = host.clone();
    for (family, dst) in [
        (IpFamily::V4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        (IpFamily::V6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    ] {
        let flow = Flow {
            proto: proto::TCP,
            family,
            src: None,
            sport: None,
            dst,
            dport: None,
        };
        infer(ruleset, &mut host, &flow);
    }
    if !host.complete.links {
        let mut names: Vec<String> = interface_patterns(ruleset)
            .iter()
            .map(ToString::to_string)
            .collect();
        names.push("other".into());
        for name in names {
            if host.link(&name).is_none() {
                let link = Link::named(name, LinkKind::Physical, Origin::Given);
                host.links.push(link);
            }
        }
    }
    host
}

/// The place of an interface among the links of a host.
fn link_at(host: &Host, flag: &'static str, name: &str) -> Result<usize, ReachError> {
    let at = host.links.iter().position(|link| link.name == name);
    at.ok_or_else(|| {
        let all: Vec<&str> = host.links.iter().map(|link| link.name.as_str()).collect();
        ReachError::NoInterface {
            flag,
            name: name.to_string(),
            known: all.join(", "),
        }
    })
}

/// Answers who can reach what.
pub fn reach(
    loaded: &Loaded,
    hooks: &Hooks,
    host: &Host,
    query: &Query,
    room: Room,
) -> Result<Reach, ReachError> {
    let known = imagined(&loaded.ruleset, host);
    for (flag, name) in [
        ("--from-iface", &query.from_iface),
        ("--to-iface", &query.to_iface),
    ] {
        if let Some(name) = name {
            link_at(&known, flag, name)?;
        }
    }
    let values = link_values(&known);
    let world = World {
        ruleset: &loaded.ruleset,
        host: &known,
        link_values: &values,
    };
    let unread = loaded.unread().into_iter();
    let mut answer = Reach {
        state: query.state,
        left_out: unread.map(|what| format!("not read: {what}")).collect(),
        ..Reach::default()
    };
    for v6 in [false, true] {
        let other = |net: &IpNet| matches!(net, IpNet::V6(_)) != v6;
        if query.to.as_ref().is_some_and(other) || query.from.as_ref().is_some_and(other) {
            continue;
        }
        let asked = Asked {
            loaded,
            hooks,
            host,
            world,
            query,
        };
        match asked.of_version(v6, room, &mut answer) {
            Ok(()) => {}
            Err(GaveUp::Interrupted) => {
                answer.given_up = Some("interrupted".into());
                break;
            }
            Err(error) => {
                let words = format!(
                    "IPv{}: {error}; ask for less: `--to`, `--from`, `--from-iface`",
                    if v6 { 6 } else { 4 }
                );
                answer.given_up = Some(words);
            }
        }
    }
    if query.is_open() {
        let words = "packets to multicast and broadcast addresses, and what is only passed on; ask for them with `--to` or `--to-iface`";
        answer.not_asked.push(words.into());
    }
    if query.state == State::Established {
        let words = "packets of a conversation after its first answer";
        answer.not_asked.push(words.into());
    }
    answer.rows.sort_by_cached_key(order);
    Ok(answer)
}

/// The question and what it is asked about.
struct Asked<'a> {
    loaded: &'a Loaded,
    hooks: &'a Hooks,
    host: &'a Host,
    world: World<'a>,
    query: &'a Query,
}

impl Asked<'_> {
    /// Adds the rows of one IP version; those that were made before it gives up are right.
    fn of_version(&self, v6: bool, room: Room, answer: &mut Reach) -> Result<(), GaveUp> {
        let version = if v6 { 6 } else { 4 };
        let (pf, state) = (if v6 { Pf::Ip6 } else { Pf::Ip }, self.query.state);
        let needs_conntrack = matches!(state, State::Invalid | State::Untracked);
        if needs_conntrack && !self.hooks.tracks(pf) {
            let words = format!(
                "IPv{version}: no rule asks for conntrack, so no packet is {}",
                state.name()
            );
            answer.not_asked.push(words);
            return Ok(());
        }
        let mut space = Space::new(v6, self.world.host.links.len(), room);
        self.of_side(&mut space, From::Outside, answer)?;
        let outside_only = self.query.from.is_some() || self.query.from_iface.is_some();
        if state == State::Established && !outside_only {
            self.of_side(&mut space, From::Here, answer)?;
        }
        add_assumed(&space, &mut answer.assumed);
        Ok(())
    }

    fn of_side(&self, space: &mut Space, from: From, answer: &mut Reach) -> Result<(), GaveUp> {
        let ways = requests(space, self.world, self.hooks, from, Some(0))?;
        let back = match self.query.state {
            State::Established => Some(replies(space, self.world, self.hooks, &ways, from)?),
            State::New | State::Invalid | State::Untracked => None,
        };
        let as_seen: AsSeen = match self.query.state {
            State::Invalid => usual_headers,
            State::New | State::Established | State::Untracked => usual_only,
        };
        let in_state = in_state(space, &ways, self.query.state);
        let all = as_seen(space, in_state);
        let martians = ways.ended(space, |end| *end == MARTIAN);
        let links = &self.world.host.links;
        let mut cutter = Cutter {
            asked: self,
            from,
            ways: &ways,
            followed: back.as_ref().unwrap_or(&ways),
            as_seen,
            cutting: Cutting::new(space, all, martians),
            customary: Customary::of(self.world.host, space.v6),
            zones: zone::zones(space, &self.loaded.ruleset, links, &ways),
            answer,
        };
        cutter.cut(space)?;
        for exit in ways
            .exits
            .iter()
            .chain(back.iter().flat_map(|back| &back.exits))
        {
            left_out(space, exit, as_seen, answer);
        }
        Ok(())
    }
}

/// Packets that have a state when they get where they are going; of answers all first packets.
fn in_state(space: &mut Space, ways: &Ways, state: State) -> Set {
    let ct = &ways.fields.ct;
    match state {
        State::New | State::Established => Set::ALL,
        State::Untracked => ct.untracked,
        State::Invalid => {
            let known = space
                .sets
                .union(&[ct.untracked, ct.template, ct.new, ct.reply]);
            known.not()
        }
    }
}

/// Tells of packets of which the end is not known or not followed.
fn left_out(space: &mut Space, exit: &Exit, as_seen: AsSeen, answer: &mut Reach) {
    let words = match &exit.end {
        End::NotCovered(what) => format!("{what} (IPv{})", if space.v6 { 6 } else { 4 }),
        End::Unknown(why) => why.clone(),
        End::Queued => "packets that a program decides about (queue)".into(),
        End::Stolen => "packets that synproxy or fwd takes".into(),
        End::Relayed => "packets that a device's chain hands to another device".into(),
        End::Local
        | End::Forwarded(_)
        | End::Transmitted(_)
        | End::Dropped
        | End::Rejected
        | End::Host(_) => return,
    };
    if !as_seen(space, exit.packets).is_empty() && !answer.left_out.contains(&words) {
        answer.left_out.push(words);
    }
}

type Order = (
    bool,
    bool,
    Option<String>,
    String,
    Ranges,
    Vec<IpNet>,
    Ranges,
    Vec<IpNet>,
);

fn order(row: &Row) -> Order {
    let class = &row.class;
    (
        class.v6,
        row.sent_here,
        row.zone.clone(),
        class.interfaces.join(","),
        class.protocols.clone(),
        class.destinations.clone(),
        class.ports.clone(),
        class.sources.clone(),
    )
}

/// Makes the rows of one IP version and side.
struct Cutter<'a> {
    asked: &'a Asked<'a>,
    from: From,
    /// The first packets.
    ways: &'a Ways,
    /// The packets that are asked for.
    followed: &'a Ways,
    as_seen: AsSeen,
    cutting: Cutting,
    customary: Customary,
    /// By interface.
    zones: Vec<Option<String>>,
    answer: &'a mut Reach,
}

impl Cutter<'_> {
    fn cut(&mut self, space: &mut Space) -> Result<(), GaveUp> {
        let wanted = self.wanted(space);
        let wanted = space.sets.and(wanted, self.cutting.all);
        for exit in &self.followed.exits {
            if Delivered::of(&exit.end).is_none() || self.is_done() {
                continue;
            }
            let packets = (self.as_seen)(space, exit.packets);
            let packets = space.sets.and(packets, wanted);
            for part in parts(space, self.followed, packets, self.as_seen) {
                let mark = space.sets.mark();
                let right = self.answer.rows.len();
                if self.is_done() {
                    break;
                }
                self.rows(space, &part, &exit.end);
                if let Err(error) = space.check() {
                    self.answer.rows.truncate(right);
                    return Err(error);
                }
                space.sets.release(mark);
            }
        }
        space.check()
    }

    /// There are as many rows as are told, and more.
    fn is_done(&self) -> bool {
        self.answer.truncated && self.answer.rows.len() >= MOST
    }

    /// The name of a link of the host.
    fn link(&self, at: u16) -> String {
        self.asked.world.host.links[usize::from(at)]
            .name
            .to_string()
    }

    /// First packets that leave by an interface of this name.
    fn leaving_by(&self, space: &mut Space, name: &str) -> Set {
        self.ways.ended(space, |end| {
            let oif = Delivered::of(end).and_then(|(_, oif)| oif);
            oif.is_some_and(|at| self.link(at) == name)
        })
    }

    /// First packets that reach this host or that its rules translate to elsewhere, but to one receiver.
    fn exposed(&self, space: &mut Space) -> Set {
        let local = self.ways.ended(space, |end| *end == End::Local);
        let bound = self.ways.bound.iter();
        let published = bound.filter(|bound| bound.manip == Manip::Dst);
        let mut all: Vec<Set> = published.map(|bound| bound.packets).collect();
        all.push(local);
        let exposed = space.sets.union(&all);
        let exposed = (self.as_seen)(space, exposed);
        let many = (self.as_seen)(space, self.ways.to_many);
        space.sets.minus(exposed, many)
    }

    /// What the query asks for.
    fn wanted(&self, space: &mut Space) -> Set {
        let query = self.asked.query;
        let mut wanted = match self.from {
            From::Outside if query.is_open() => self.exposed(space),
            From::Outside | From::Here => Set::ALL,
        };
        if let Some(name) = &query.to_iface {
            let leaving = self.leaving_by(space, name);
            wanted = (self.as_seen)(space, leaving);
        }
        if let Some(net) = query.from {
            let range = range_of(net);
            let from = space.packets(Input::Src, &[range]);
            wanted = space.sets.and(wanted, from);
        }
        if let Some(name) = &query.from_iface {
            let links = &self.asked.world.host.links;
            let at = links.iter().position(|link| link.name == name.as_str());
            let at = at.unwrap_or(0) as u128;
            let iif = space.packets(Input::Iif, &[(at, at)]);
            wanted = space.sets.and(wanted, iif);
        }
        if let Some(number) = query.proto {
            let of = space.protos(&[number]);
            wanted = space.sets.and(wanted, of);
        }
        if let Some(net) = query.to {
            let dst = self.ways.fields.dst(space);
            let to = dst.within(&mut space.sets, &[range_of(net)]);
            let to = (self.as_seen)(space, to);
            wanted = space.sets.and(wanted, to);
        }
        if let Some(port) = query.to_port {
            let ports = space.with_ports();
            let dport = self.ways.fields.dport(space);
            let to = dport.equals(&mut space.sets, u128::from(port));
            let to = space.sets.and(to, ports);
            let to = (self.as_seen)(space, to);
            wanted = space.sets.and(wanted, to);
        }
        wanted
    }

    fn rows(&mut self, space: &mut Space, part: &Part, end: &End) {
        let Some((delivered, oif)) = Delivered::of(end) else {
            return;
        };
        let room = MOST.saturating_sub(self.answer.rows.len());
        let links = &self.asked.world.host.links;
        let (cells, more) = self.cutting.cells(space, links, part.packets, room);
        self.answer.truncated |= more;
        let is_answer = self.asked.query.state == State::Established;
        let by = cited(self.asked.loaded, self.asked.host, &part.by);
        for cell in cells {
            let rests_on = cell.rests_on(space, self.cutting.all);
            for (zone, cell) in self.by_zone(space, cell) {
                let witness = self.shown(space, cell.packets, !rests_on.is_empty(), end, part);
                let row = Row {
                    zone,
                    sent_here: self.from == From::Here,
                    translated: part.translated.filter(|_| !is_answer),
                    delivered,
                    leaves_by: oif.map(|at| self.link(at)),
                    by: by.clone(),
                    rests_on: rests_on.clone(),
                    class: cell.class,
                    witness,
                };
                self.answer.rows.push(row);
            }
        }
    }

    /// One flow of some packets. What rests on a choice that the kernel makes by the addresses holds for some sources only: a
    /// few are tried.
    fn shown(
        &self,
        space: &mut Space,
        packets: Set,
        is_open: bool,
        end: &End,
        part: &Part,
    ) -> Witness {
        let point = self.customary.pick(space, packets);
        let first = self.witness(space, &point, is_open, end, part.translated);
        let (mut rest, mut at) = (packets, point);
        for _ in 0..TRIES {
            if first.confirmed || !is_open {
                break;
            }
            let src = space.get(&at, Input::Src);
            let same = space.packets(Input::Src, &[(src, src)]);
            rest = space.sets.minus(rest, same);
            if rest.is_empty() {
                break;
            }
            at = self.customary.pick(space, rest);
            let other = self.witness(space, &at, is_open, end, part.translated);
            if other.confirmed {
                return other;
            }
        }
        first
    }

    /// The packets of each zone.
    fn by_zone(&self, space: &mut Space, cell: Cell) -> Vec<(Option<String>, Cell)> {
        if self.from == From::Here {
            let mut cell = cell;
            cell.class.interfaces.clear();
            return vec![(None, cell)];
        }
        let links = &self.asked.world.host.links;
        let mut zones: Vec<(Option<String>, Vec<u128>)> = Vec::new();
        for name in &cell.class.interfaces {
            let Some(at) = links.iter().position(|link| link.name == name.as_str()) else {
                continue;
            };
            let zone = self.zones.get(at).cloned().flatten();
            match zones.iter_mut().find(|(known, _)| *known == zone) {
                Some((_, all)) => all.push(at as u128),
                None => zones.push((zone, vec![at as u128])),
            }
        }
        let one = |(zone, mut all): (Option<String>, Vec<u128>)| {
            all.sort_unstable();
            let ranges: Ranges = all.iter().map(|at| (*at, *at)).collect();
            let own = space.packets(Input::Iif, &ranges);
            let names = all.iter().map(|at| links[*at as usize].name.to_string());
            let class = Class {
                interfaces: names.collect(),
                ..cell.class.clone()
            };
            let cell = Cell {
                class,
                packets: space.sets.and(cell.packets, own),
                is_open: cell.is_open,
                patterns: cell.patterns.clone(),
            };
            (zone, cell)
        };
        zones.into_iter().map(one).collect()
    }

    fn witness(
        &self,
        space: &Space,
        point: &Point,
        is_open: bool,
        end: &End,
        translated: Option<Target>,
    ) -> Witness {
        let asked = self.asked;
        let question = question(space, &asked.world.host.links, point, self.from);
        let stays = self.followed.destination(space, point);
        let ending = Ending::of(asked.world.host, end, translated, stays);
        let answer = explain(asked.loaded, asked.hooks, asked.host, &question);
        let confirmed = answer.is_ok_and(|answer| {
            agrees(&answer, is_open, |walked| {
                let path = match asked.query.state {
                    State::Established => walked.reply.as_ref(),
                    State::New | State::Invalid | State::Untracked => Some(&walked.request),
                };
                path.is_some_and(|path| ending.is_of(&answer, path))
            })
        });
        Witness {
            flow: question.flow.to_string(),
            icmp: unusual_icmp(&question),
            iif: question.iif,
            tcp_flags: question.tcp_flags,
            confirmed,
        }
    }
}

/// Rules and policies with their texts.
pub(crate) fn cited(loaded: &Loaded, host: &Host, by: &[By]) -> Vec<Cited> {
    let sources = Sources::of(loaded, host);
    by.iter()
        .filter(|by| **by != By::Stack)
        .map(|by| Cited {
            place: said(&loaded.ruleset, *by),
            text: match by {
                By::Rule(rule) => rule_text(sources, *rule),
                By::Policy(_) | By::Stack => String::new(),
            },
        })
        .collect()
}

fn said(ruleset: &Ruleset, by: By) -> String {
    match by {
        By::Rule(id) => {
            let rule = ruleset.rule(id);
            let chain = ruleset.chain(rule.chain);
            let table = ruleset.table(chain.table);
            let which = match rule.handle.0 {
                0 => format!("rule {}", rule.index + 1),
                _ => rule.handle.to_string(),
            };
            format!("{} {} {} {which}", table.family, table.name, chain.name)
        }
        By::Policy(id) => {
            let chain = ruleset.chain(id);
            let table = ruleset.table(chain.table);
            let policy = chain
                .base
                .as_ref()
                .map_or(Policy::Accept, |base| base.policy);
            format!(
                "{} {} {} policy {}",
                table.family,
                table.name,
                chain.name,
                policy.name()
            )
        }
        By::Stack => "the host".into(),
    }
}
