//! Who can reach what: the packets that a ruleset lets through, as rows that people can read (`nfpath reach`).
//!
//! The sets are those of [`crate::symbolic`]; this module cuts them into rows of interfaces, protocols, ports and prefixes,
//! and asks [`crate::explain`] about one flow of each row. Only first packets of conversations from outside are looked at.

pub mod class;
pub mod v1;
pub mod whole;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::conntrack::Manip;
use crate::eval::World;
use crate::explain::explain;
use crate::flow::{Flow, IpFamily};
use crate::hooks::Hooks;
use crate::host::{Host, Link, LinkKind, Origin};
use crate::infer::{infer, interface_patterns};
use crate::load::Loaded;
use crate::logic::Ranges;
use crate::packet::{proto, range_of};
use crate::ruleset::{Policy, Ruleset};
use crate::sets::{GaveUp, Point, Room, Set};
use crate::symbolic::{By, End, From, Input, Space, Ways, requests};
use crate::walk::link_values;

use class::{
    Class, Customary, Cutting, MARTIAN, Part, add_assumed, all_ways, ends_so, parts, question,
    rests_on, unusual_icmp, usual_only,
};

/// Which packets are asked for; what is `None` is not asked.
#[derive(Debug, Clone, Default)]
pub struct Query {
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
    pub class: Class,
    /// Where the destination is translated to.
    pub translated: Option<(IpAddr, Option<u16>)>,
    /// The interface it leaves by; `None`: this host is where it goes.
    pub leaves_by: Option<String>,
    /// The rules and policies that translate and let pass, in words.
    pub by: Vec<String>,
    /// What the row rests on; empty: the input says it all.
    pub rests_on: Vec<String>,
    pub witness: Witness,
}

/// One flow of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    pub flow: String,
    pub iif: String,
    /// Type and code, where it is no echo request.
    pub icmp: Option<(u8, u8)>,
    /// Whether `explain` says the same of it.
    pub confirmed: bool,
}

/// The answer.
#[derive(Debug, Clone, Default)]
pub struct Reach {
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
    let mut answer = Reach::default();
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
    answer.rows.sort_by_key(order);
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
        let mut space = Space::new(v6, self.world.host.links.len(), room);
        let ways = requests(&mut space, self.world, self.hooks, From::Outside, Some(0))?;
        let all = usual_only(&mut space, Set::ALL);
        let martians = ways.ended(&mut space, |end| *end == MARTIAN);
        let mut cutter = Cutter {
            asked: self,
            ways: &ways,
            cutting: Cutting::new(&mut space, all, martians),
            customary: Customary::of(self.world.host, v6),
            answer,
        };
        cutter.cut(&mut space)?;
        for exit in &ways.exits {
            let usual = usual_only(&mut space, exit.packets);
            if usual.is_empty() {
                continue;
            }
            let words = match &exit.end {
                End::NotCovered(what) => format!("{what} (IPv{})", if v6 { 6 } else { 4 }),
                End::Unknown(why) => why.clone(),
                End::Queued => "packets that a program decides about (queue)".into(),
                End::Stolen => "packets that synproxy or fwd takes".into(),
                End::Relayed => "packets that a device's chain hands to another device".into(),
                End::Local
                | End::Forwarded(_)
                | End::Transmitted(_)
                | End::Dropped
                | End::Rejected
                | End::Host(_) => continue,
            };
            if !answer.left_out.contains(&words) {
                answer.left_out.push(words);
            }
        }
        add_assumed(&space, &mut answer.assumed);
        Ok(())
    }
}

type Order = (bool, String, Ranges, Vec<IpNet>, Ranges, Vec<IpNet>);

fn order(row: &Row) -> Order {
    let class = &row.class;
    (
        class.v6,
        class.interfaces.join(","),
        class.protocols.clone(),
        class.destinations.clone(),
        class.ports.clone(),
        class.sources.clone(),
    )
}

/// Makes the rows of one IP version.
struct Cutter<'a> {
    asked: &'a Asked<'a>,
    ways: &'a Ways,
    cutting: Cutting,
    customary: Customary,
    answer: &'a mut Reach,
}

impl Cutter<'_> {
    fn cut(&mut self, space: &mut Space) -> Result<(), GaveUp> {
        let query = self.asked.query;
        let wanted = self.wanted(space);
        for exit in &self.ways.exits {
            let leaves_by = match exit.end {
                End::Local => None,
                End::Forwarded(at) => Some(
                    self.asked.world.host.links[usize::from(at)]
                        .name
                        .to_string(),
                ),
                End::Transmitted(_)
                | End::Relayed
                | End::Dropped
                | End::Rejected
                | End::Queued
                | End::Stolen
                | End::Host(_)
                | End::Unknown(_)
                | End::NotCovered(_) => continue,
            };
            if query.to_iface.is_some() && query.to_iface != leaves_by {
                continue;
            }
            let packets = usual_only(space, exit.packets);
            let mut packets = space.sets.and(packets, wanted);
            if query.is_open() {
                packets = space.sets.minus(packets, self.ways.to_many);
            }
            if query.is_open() && leaves_by.is_some() {
                // of what passes through, what this host publishes
                let bound = self.ways.bound.iter();
                let published = bound.filter(|bound| bound.manip == Manip::Dst);
                let published: Vec<Set> = published.map(|bound| bound.packets).collect();
                let published = space.sets.union(&published);
                let published = usual_only(space, published);
                packets = space.sets.and(packets, published);
            }
            for part in parts(space, self.ways, packets, usual_only) {
                let mark = space.sets.mark();
                let right = self.answer.rows.len();
                self.rows(space, &part, leaves_by.as_deref(), &exit.end);
                if let Err(error) = space.check() {
                    self.answer.rows.truncate(right);
                    return Err(error);
                }
                space.sets.release(mark);
            }
        }
        space.check()
    }

    /// What the query asks for.
    fn wanted(&self, space: &mut Space) -> Set {
        let mut wanted = Set::ALL;
        let query = self.asked.query;
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
            let dst = self.ways.fields.dst(space).to_vec();
            let to = crate::symbolic::within(&mut space.sets, &dst, &[range_of(net)]);
            wanted = space.sets.and(wanted, to);
        }
        if let Some(port) = query.to_port {
            let ports = space.with_ports();
            let dport = self.ways.fields.dport(space).to_vec();
            let range = [(u128::from(port), u128::from(port))];
            let to = crate::symbolic::within(&mut space.sets, &dport, &range);
            let to = space.sets.and(to, ports);
            wanted = space.sets.and(wanted, to);
        }
        wanted
    }

    fn rows(&mut self, space: &mut Space, part: &Part, leaves_by: Option<&str>, end: &End) {
        let room = MOST - self.answer.rows.len();
        let links = &self.asked.world.host.links;
        let (cells, more) = self.cutting.cells(space, links, part.packets, room);
        self.answer.truncated |= more;
        for cell in cells {
            let point = self.customary.pick(space, cell.packets);
            let by = part.by.iter();
            let row = Row {
                translated: part.translated,
                leaves_by: leaves_by.map(str::to_string),
                by: by.map(|by| said(&self.asked.loaded.ruleset, *by)).collect(),
                rests_on: match cell.is_open {
                    true => rests_on(space, cell.packets, self.cutting.all),
                    false => Vec::new(),
                },
                class: cell.class,
                witness: self.witness(space, &point, end),
            };
            self.answer.rows.push(row);
        }
    }

    fn witness(&self, space: &Space, point: &Point, end: &End) -> Witness {
        let asked = self.asked;
        let host = asked.world.host;
        let question = question(space, &host.links, point, From::Outside);
        let dst = self.ways.seen(space, point).dst;
        let answer = explain(asked.loaded, asked.hooks, asked.host, &question);
        let confirmed = answer.is_ok_and(|answer| {
            all_ways(&answer).any(|walked| ends_so(&answer, &walked.request, host, end, dst))
        });
        Witness {
            flow: question.flow.to_string(),
            iif: question.iif.clone().unwrap_or_default(),
            icmp: unusual_icmp(&question),
            confirmed,
        }
    }
}

pub(crate) fn said(ruleset: &Ruleset, by: By) -> String {
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
