//! Who can reach what: the packets that a ruleset lets through, as rows that people can read (`nfpath reach`).
//!
//! The sets are those of [`crate::symbolic`]; this module cuts them into rows of interfaces, protocols, ports and prefixes,
//! and asks [`crate::explain`] about one flow of each row. Only first packets of conversations from outside are looked at.

pub mod v1;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::conntrack::Manip;
use crate::eval::{Iface, World};
use crate::explain::{Question, explain};
use crate::flow::{Flow, IpFamily};
use crate::hooks::Hooks;
use crate::host::{Host, Link, LinkKind, Origin};
use crate::infer::{infer, interface_names};
use crate::load::Loaded;
use crate::logic::{Known, Ranges, Source, max_of};
use crate::packet::{proto, tcp};
use crate::report::build::protocol_name;
use crate::ruleset::{Hook, Policy, Ruleset};
use crate::sets::{Point, Set, TooLarge, Var, prefixes};
use crate::symbolic::{By, End, From, Input, Space, Ways, requests};
use crate::walk::link_values;
use crate::walk::step::{Disposition, Taken, Walked};

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
    #[error("{0}; ask for less: `--to`, `--from`, `--from-iface`")]
    TooLarge(#[from] TooLarge),
}

/// Packets that have one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub v6: bool,
    pub interfaces: Vec<String>,
    /// Ranges of protocol numbers.
    pub protocols: Ranges,
    pub sources: Vec<IpNet>,
    pub destinations: Vec<IpNet>,
    /// All for protocols without ports.
    pub ports: Ranges,
    pub source_ports: Ranges,
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
}

/// How many rows are made at most.
const MOST: usize = 2000;
/// How many targets of one rule are told apart.
const TARGETS: usize = 512;

/// The host with all interfaces that packets may enter by, where the listing of links is not whole.
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
        let mut names: Vec<String> = interface_names(ruleset)
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

/// Answers who can reach what.
pub fn reach(
    loaded: &Loaded,
    hooks: &Hooks,
    host: &Host,
    query: &Query,
) -> Result<Reach, ReachError> {
    let known = imagined(&loaded.ruleset, host);
    let names = [
        ("--from-iface", &query.from_iface),
        ("--to-iface", &query.to_iface),
    ];
    for (flag, name) in names {
        if let Some(name) = name
            && known.link(name).is_none()
        {
            let all: Vec<&str> = known.links.iter().map(|link| link.name.as_str()).collect();
            return Err(ReachError::NoInterface {
                flag,
                name: name.clone(),
                known: all.join(", "),
            });
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
        let mut space = Space::new(v6, known.links.len(), crate::sets::NODES);
        let ways = requests(&mut space, world, hooks, From::Outside, Some(0))?;
        let mut cutter = Cutter {
            loaded,
            hooks,
            host,
            world,
            ways: &ways,
            query,
            answer: &mut answer,
        };
        cutter.cut(&mut space);
        space.check()?;
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
        for question in space.questions() {
            let yes = question.usual == Some(1);
            if question.source == Source::Default && question.vars.len() == 1 {
                let words = if yes {
                    question.words.clone()
                } else {
                    format!("not: {}", question.words)
                };
                if !answer.assumed.contains(&words) {
                    answer.assumed.push(words);
                }
            }
        }
    }
    if query.is_open() {
        let words = "packets to multicast and broadcast addresses, and what is only passed on; ask for them with `--to` or `--to-iface`";
        answer.not_asked.push(words.into());
    }
    answer.rows.sort_by_cached_key(order);
    Ok(answer)
}

type Order = (bool, String, Ranges, Vec<IpNet>, Ranges, Vec<IpNet>);

fn order(row: &Row) -> Order {
    (
        row.v6,
        row.interfaces.join(","),
        row.protocols.clone(),
        row.destinations.clone(),
        row.ports.clone(),
        row.sources.clone(),
    )
}

/// The set as it is where what has a usual answer has it, and headers are those of a first packet.
pub fn usual_only(space: &mut Space, set: Set) -> Set {
    let mut fixed: Vec<(Var, bool)> = Vec::new();
    let mut fix = |vars: &[Var], value: u128| {
        for (at, var) in vars.iter().rev().enumerate() {
            fixed.push((*var, at < 128 && value >> at & 1 == 1));
        }
    };
    fix(space.vars(Input::Tos), 0);
    for question in space.questions() {
        if let (Source::Default, Some(usual)) = (question.source, question.usual) {
            fix(&question.vars, usual);
        }
    }
    let mut set = set;
    for (var, yes) in fixed {
        set = space.sets.restrict(set, var, yes);
    }
    let begins = {
        let syn = u128::from(tcp::SYN);
        let flags = space.packets(Input::TcpFlags, &[(syn, syn)]);
        let tcp = space.protos(&[proto::TCP]);
        let other = space.sets.or(tcp.not(), flags);
        let hops = space.packets(Input::Ttl, &[(2, 255)]);
        space.sets.and(other, hops)
    };
    let valid = space.valid();
    let set = space.sets.and(set, begins);
    space.sets.and(set, valid)
}

/// The parts of a packet that no row names, and all questions.
fn hidden(space: &mut Space) -> Set {
    let mut vars: Vec<Var> = Vec::new();
    for input in [
        Input::TcpFlags,
        Input::Ttl,
        Input::Tos,
        Input::Length,
        Input::Mark,
        Input::EtherDst,
        Input::EtherSrc,
        Input::Rest,
    ] {
        vars.extend_from_slice(space.vars(input));
    }
    vars.extend(space.questions().flat_map(|question| question.vars.clone()));
    space.sets.cube(&vars)
}

struct Cutter<'a, 'w> {
    loaded: &'a Loaded,
    hooks: &'a Hooks,
    host: &'a Host,
    world: World<'w>,
    ways: &'a Ways,
    query: &'a Query,
    answer: &'a mut Reach,
}

/// Packets of one label.
struct Part {
    packets: Set,
    by: Vec<By>,
    translated: Option<(IpAddr, Option<u16>)>,
}

impl Cutter<'_, '_> {
    fn cut(&mut self, space: &mut Space) {
        let all = usual_only(space, Set::ALL);
        let wanted = self.wanted(space);
        for exit in &self.ways.exits {
            let leaves_by = match exit.end {
                End::Local => None,
                End::Forwarded(at) => Some(self.world.host.links[usize::from(at)].name.to_string()),
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
            if self.query.to_iface.is_some() && self.query.to_iface != leaves_by {
                continue;
            }
            let packets = usual_only(space, exit.packets);
            let mut packets = space.sets.and(packets, wanted);
            if self.query.is_open() {
                packets = space.sets.minus(packets, self.ways.to_many);
            }
            if self.query.is_open() && leaves_by.is_some() {
                // of what passes through, what this host publishes
                let bound = self.ways.bound.iter();
                let published = bound.filter(|bound| bound.manip == Manip::Dst);
                let published: Vec<Set> = published.map(|bound| bound.packets).collect();
                let published = space.sets.union(&published);
                let published = usual_only(space, published);
                packets = space.sets.and(packets, published);
            }
            for part in self.parts(space, packets) {
                self.rows(space, &part, all, leaves_by.as_deref(), &exit.end);
            }
        }
    }

    /// What the query asks for.
    fn wanted(&self, space: &mut Space) -> Set {
        let mut wanted = Set::ALL;
        let query = self.query;
        if let Some(net) = query.from {
            let range = range_of(net);
            let from = space.packets(Input::Src, &[range]);
            wanted = space.sets.and(wanted, from);
        }
        if let Some(name) = &query.from_iface {
            let links = &self.world.host.links;
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

    /// Cuts packets up by who translated them, where to, and who let them pass.
    fn parts(&self, space: &mut Space, packets: Set) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut rest = packets;
        for bound in &self.ways.bound {
            if bound.manip != Manip::Dst {
                continue;
            }
            if space.sets.and(rest, bound.packets).is_empty() {
                continue;
            }
            let all = usual_only(space, bound.packets);
            let mut own = space.sets.and(rest, all);
            rest = space.sets.minus(rest, all);
            let unknown = space.sets.and(own, self.ways.fields.own_dst);
            own = space.sets.minus(own, unknown);
            parts.push(Part {
                packets: unknown,
                by: vec![By::Rule(bound.rule)],
                translated: None,
            });
            for _ in 0..TARGETS {
                let Some(point) = space.sets.pick(own, &space.usual()) else {
                    break;
                };
                let seen = self.ways.seen(space, &point);
                let dst = self.ways.fields.dst(space).to_vec();
                let dport = self.ways.fields.dport(space).to_vec();
                let target = (number(seen.dst), u128::from(seen.dport));
                let sets = &mut space.sets;
                let mut same = crate::symbolic::within(sets, &dst, &[(target.0, target.0)]);
                let port_same = crate::symbolic::within(sets, &dport, &[(target.1, target.1)]);
                let with_port = sets.and(own, port_same);
                let first = space.get(&point, Input::Dport);
                let has_ports = proto::has_ports(space.get(&point, Input::Proto) as u8);
                let port = (has_ports && first != target.1).then_some(seen.dport);
                if port.is_some() {
                    same = space.sets.and(same, with_port);
                }
                let part = space.sets.and(own, same);
                parts.push(Part {
                    packets: part,
                    by: vec![By::Rule(bound.rule)],
                    translated: Some((seen.dst, port)),
                });
                own = space.sets.minus(own, part);
            }
            if !own.is_empty() {
                parts.push(Part {
                    packets: own,
                    by: vec![By::Rule(bound.rule)],
                    translated: None,
                });
            }
        }
        parts.push(Part {
            packets: rest,
            by: Vec::new(),
            translated: None,
        });
        let mut cut = Vec::new();
        for part in parts {
            if !part.packets.is_empty() {
                cut.extend(self.by_verdict(space, part));
            }
        }
        cut
    }

    /// Cuts packets up by the rules that let them pass, in chains that drop others.
    fn by_verdict(&self, space: &mut Space, part: Part) -> Vec<Part> {
        let decided = &self.ways.decided;
        let filters = |hook: Hook| matches!(hook, Hook::Input | Hook::Forward | Hook::Prerouting);
        let mut chains = Vec::new();
        for one in decided {
            let drops = matches!(one.taken, Taken::Drop | Taken::Reject);
            if filters(one.hook) && drops && !chains.contains(&(one.hook, one.chain)) {
                chains.push((one.hook, one.chain));
            }
        }
        let mut parts = vec![part];
        for (hook, chain) in chains {
            let mut cut: Vec<Part> = Vec::new();
            for part in parts {
                let mut rest = part.packets;
                let passes = decided.iter().filter(|one| {
                    (one.hook, one.chain) == (hook, chain) && one.taken == Taken::Accept
                });
                for one in passes {
                    if space.sets.and(rest, one.packets).is_empty() {
                        continue;
                    }
                    let all = usual_only(space, one.packets);
                    let own = space.sets.and(rest, all);
                    rest = space.sets.minus(rest, own);
                    let mut by = part.by.clone();
                    by.push(one.by);
                    match cut
                        .iter_mut()
                        .find(|known| known.by == by && known.translated == part.translated)
                    {
                        Some(known) => known.packets = space.sets.or(known.packets, own),
                        None => cut.push(Part {
                            packets: own,
                            by,
                            translated: part.translated,
                        }),
                    }
                }
                if !rest.is_empty() {
                    cut.push(Part {
                        packets: rest,
                        ..part
                    });
                }
            }
            parts = cut;
        }
        parts
    }

    fn rows(
        &mut self,
        space: &mut Space,
        part: &Part,
        all: Set,
        leaves_by: Option<&str>,
        end: &End,
    ) {
        let cube = hidden(space);
        let possible = space.sets.exists(part.packets, cube);
        let missing = space.sets.minus(all, part.packets);
        let uncertain = space.sets.exists(missing, cube);
        let certain = space.sets.minus(possible, uncertain);
        let open = space.sets.and(possible, uncertain);
        for (packets, is_open) in [(certain, false), (open, true)] {
            self.enumerate(space, part, packets, is_open, leaves_by, end);
        }
    }

    fn enumerate(
        &mut self,
        space: &mut Space,
        part: &Part,
        packets: Set,
        is_open: bool,
        leaves_by: Option<&str>,
        end: &End,
    ) {
        let fields = [
            Input::Iif,
            Input::Proto,
            Input::Dport,
            Input::Dst,
            Input::Src,
            Input::Sport,
        ];
        let mut stack: Vec<(Vec<Ranges>, Set)> = vec![(Vec::new(), packets)];
        while let Some((known, set)) = stack.pop() {
            if set.is_empty() {
                continue;
            }
            let field = match <&[Ranges; 6]>::try_from(known.as_slice()) {
                Err(_) => fields[known.len()],
                Ok(whole) => {
                    if self.answer.rows.len() >= MOST {
                        self.answer.truncated = true;
                        return;
                    }
                    let row = self.row(space, part, whole, is_open, leaves_by, end);
                    self.answer.rows.push(row);
                    continue;
                }
            };
            let vars = space.vars(field).to_vec();
            for (ranges, rest) in space.sets.parts(set, &vars).into_iter().rev() {
                let mut known = known.clone();
                known.push(ranges);
                stack.push((known, rest));
            }
        }
    }

    fn row(
        &self,
        space: &mut Space,
        part: &Part,
        known: &[Ranges; 6],
        is_open: bool,
        leaves_by: Option<&str>,
        end: &End,
    ) -> Row {
        let v6 = space.v6;
        let links = &self.world.host.links;
        let [iif, protocols, ports, dst, src, source_ports] = known;
        let interfaces = iif
            .iter()
            .flat_map(|(lo, hi)| *lo..=*hi)
            .filter_map(|at| links.get(at as usize))
            .map(|link| link.name.to_string());
        let mut inside = part.packets;
        for (input, ranges) in [
            (Input::Iif, iif),
            (Input::Proto, protocols),
            (Input::Dport, ports),
            (Input::Dst, dst),
            (Input::Src, src),
            (Input::Sport, source_ports),
        ] {
            let own = space.packets(input, ranges);
            inside = space.sets.and(inside, own);
        }
        let point = self.pick(space, inside);
        Row {
            v6,
            interfaces: interfaces.collect(),
            protocols: protocols.clone(),
            sources: nets(src, v6),
            destinations: nets(dst, v6),
            ports: ports.clone(),
            source_ports: source_ports.clone(),
            translated: part.translated,
            leaves_by: leaves_by.map(str::to_string),
            by: part
                .by
                .iter()
                .map(|by| said(&self.loaded.ruleset, *by))
                .collect(),
            rests_on: if is_open {
                rests_on(space, inside)
            } else {
                Vec::new()
            },
            witness: self.witness(space, &point, end),
        }
    }

    /// A packet as people send it, if it may be.
    fn pick(&self, space: &Space, packets: Set) -> Point {
        let mut wish = space.usual();
        let src: u128 = if space.v6 {
            0x2001_0db8 << 96 | 0x77
        } else {
            0xcb00_7107
        };
        space.put(&mut wish, Input::Src, src);
        space.sets.pick(packets, &wish).unwrap_or(wish)
    }

    fn witness(&self, space: &Space, point: &Point, end: &End) -> Witness {
        let v6 = space.v6;
        let get = |input| space.get(point, input);
        let number = get(Input::Proto) as u8;
        let ports = proto::has_ports(number);
        let flow = Flow {
            proto: number,
            family: if v6 { IpFamily::V6 } else { IpFamily::V4 },
            src: Some(address(get(Input::Src), v6)),
            sport: ports.then_some(get(Input::Sport) as u16),
            dst: address(get(Input::Dst), v6),
            dport: ports.then_some(get(Input::Dport) as u16),
        };
        let iif = self.world.host.links.get(get(Input::Iif) as usize);
        let iif = iif.map_or(String::new(), |link| link.name.to_string());
        let icmp = matches!(number, proto::ICMP | proto::ICMPV6);
        let [kind, code] = (get(Input::Sport) as u16).to_be_bytes();
        let question = Question {
            iif: Some(iif.clone()),
            icmp: icmp.then_some((kind, code)),
            ..Question::new(flow)
        };
        let seen = self.ways.seen(space, point);
        let confirmed =
            explain(self.loaded, self.hooks, self.host, &question).is_ok_and(|answer| {
                let fits = |walked: &Walked| {
                    let path = &walked.request;
                    let same_end = match end {
                        End::Local => path.disposition == Disposition::Local,
                        End::Forwarded(at) => {
                            let name = &self.world.host.links[usize::from(*at)].name;
                            let by = match path.output.oif {
                                Some(Iface::Link(at)) => {
                                    answer.host.links[usize::from(at)].name == *name
                                }
                                Some(Iface::Fact(_)) | None => true,
                            };
                            path.disposition == Disposition::Forwarded && by
                        }
                        _ => false,
                    };
                    same_end
                        && match path.output.dst {
                            Known::Value(dst) => dst == seen.dst,
                            Known::Fact(_) => true,
                        }
                };
                let others = answer
                    .explored
                    .alternatives
                    .iter()
                    .map(|other| &other.walked);
                std::iter::once(&answer.explored.primary)
                    .chain(others)
                    .any(fits)
            });
        Witness {
            flow: flow.to_string(),
            iif,
            confirmed,
        }
    }
}

/// What a set rests on: open questions and header fields that no row names.
fn rests_on(space: &Space, set: Set) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let vars = space.sets.support(set);
    for input in [Input::Length, Input::EtherDst, Input::EtherSrc, Input::Rest] {
        // which lengths there can be at all is no question
        let counts = input != Input::Length;
        if counts && space.vars(input).iter().any(|var| vars.contains(var)) {
            words.push(input.name().into());
        }
    }
    for question in space.rests_on(set) {
        words.push(question.words.clone());
    }
    if words.is_empty() {
        words.push("the packet length or the time to live".into());
    }
    words
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

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn range_of(net: IpNet) -> (u128, u128) {
    (number(net.network()), number(net.broadcast()))
}

fn address(bits: u128, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
    }
}

/// Ranges of addresses as prefixes.
fn nets(ranges: &Ranges, v6: bool) -> Vec<IpNet> {
    let width = if v6 { 128 } else { 32 };
    let found = prefixes(ranges, width).into_iter();
    found
        .filter_map(|(bits, len)| IpNet::new(address(bits, v6), len as u8).ok())
        .collect()
}

/// Protocols in words: `tcp`, `any`, `6, 17`.
pub fn protocols(ranges: &Ranges) -> String {
    if ranges.as_slice() == [(0, 255)] {
        return "any".into();
    }
    let one = |(lo, hi): &(u128, u128)| {
        if lo == hi {
            protocol_name(*lo as u8)
        } else {
            format!("{lo}-{hi}")
        }
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Numbers in words: `22, 80-90`; `None` for all of a width.
pub fn numbers(ranges: &Ranges, width: u32) -> Option<String> {
    if ranges.as_slice() == [(0, max_of(width))] {
        return None;
    }
    let one = |(lo, hi): &(u128, u128)| {
        if lo == hi {
            lo.to_string()
        } else {
            format!("{lo}-{hi}")
        }
    };
    Some(ranges.iter().map(one).collect::<Vec<_>>().join(", "))
}
