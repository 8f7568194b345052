//! The walk of all packets at once against the walk of one: for made-up packets both say the same end, the same rules, the
//! same translation.
//!
//! `walk` is compared with kernels (docs/verification.md), so it is right where the two differ. A fixed number of packets
//! from a fixed seed; `NFPATH_CASES=N` takes that many times as many. A failing packet is printed with its ruleset.

#[path = "properties/hosts.rs"]
#[allow(dead_code)]
mod hosts;
#[path = "properties/rulesets.rs"]
#[allow(dead_code)]
mod rulesets;
mod support;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use nfpath::eval::{Iface, World};
use nfpath::hooks::Hooks;
use nfpath::host::Host;
use nfpath::load::{Loaded, load};
use nfpath::logic::{Knowledge, Known};
use nfpath::packet::{Spec, proto};
use nfpath::reach::imagined;
use nfpath::ruleset::{Data, Expr, Hook, Operand, RuleId, Ruleset, Stmt};
use nfpath::sets::{GaveUp, Point, Room, Set};
use nfpath::symbolic::{Dropped, End, From, Input, Space, Ways, replies, requests};
use nfpath::walk::step::{Disposition, Path as Way, RuleOutcome, StepKind};
use nfpath::walk::{Entrance, GivenState, Probe, link_values, walk};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use support::{captured, files_below, shared_or_skip, testdata};

/// Made-up numbers (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        all.get(self.below(all.len())).copied()
    }
}

fn times() -> usize {
    let times = std::env::var("NFPATH_CASES").ok();
    times.and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// One made-up packet.
#[derive(Debug, Clone, Copy)]
struct Packet {
    /// `None`: sent by this host.
    iif: Option<u16>,
    proto: u8,
    src: u128,
    dst: u128,
    sport: u16,
    dport: u16,
    flags: u8,
    icmp: (u8, u8),
    mark: u32,
}

/// What packets are made from: numbers that the ruleset and the host know.
struct Pool {
    addresses: Vec<u128>,
    ports: Vec<u16>,
    links: Vec<u16>,
}

impl Pool {
    fn of(ruleset: &Ruleset, host: &Host, v6: bool) -> Pool {
        let mut numbers: BTreeSet<u128> = BTreeSet::new();
        let mut add = |value: u128| {
            numbers.extend([value.saturating_sub(1), value, value.saturating_add(1)]);
        };
        for rule in &ruleset.rules {
            for statement in &rule.statements {
                match &statement.kind {
                    Stmt::Match(test) => match &test.right {
                        Operand::Value(value) => add(*value),
                        Operand::Range(lo, hi) => [*lo, *hi].into_iter().for_each(&mut add),
                        Operand::Expr(_) | Operand::Set(_) => {}
                    },
                    Stmt::Nat(nat) => {
                        if let nfpath::ruleset::NatRange::One(Expr::Const(value)) = &nat.addr {
                            add(*value);
                        }
                    }
                    _ => {}
                }
            }
        }
        for set in &ruleset.sets {
            for element in set.elements().iter().take(200) {
                for (lo, hi) in &element.key {
                    [*lo, *hi].into_iter().for_each(&mut add);
                }
            }
            for datum in set.data().iter().take(200) {
                if let Data::Value(values) = datum {
                    values.iter().copied().for_each(&mut add);
                }
            }
        }
        for address in &host.addresses {
            add(number(address.ip));
            if let Some(net) = address.subnet() {
                add(number(net.broadcast()));
                add(number(net.network()) + 77);
            }
        }
        for route in &host.routes {
            add(number(route.prefix.network()) + 1);
        }
        let top = if v6 { u128::MAX } else { u128::from(u32::MAX) };
        let least = if v6 { 1 << 64 } else { 1 << 24 };
        let mut addresses: Vec<u128> = numbers
            .iter()
            .copied()
            .filter(|n| (least..=top).contains(n))
            .collect();
        if v6 {
            addresses.extend([1, 0, 0xfe80 << 112 | 9, 0xff02 << 112 | 1]);
        } else {
            addresses.extend([
                0x7f00_0001,
                0x0808_0808,
                0xe000_0001,
                0xe000_0105,
                u128::from(u32::MAX),
                0,
            ]);
        }
        let ports = numbers
            .iter()
            .filter_map(|n| u16::try_from(*n).ok())
            .chain([0, 22, 53, 80, 443, 1023, 1024, 40000, 65535])
            .collect();
        let links = (0..host.links.len() as u16)
            .filter(|at| {
                let link = &host.links[usize::from(*at)];
                link.name != "lo"
            })
            .collect();
        Pool {
            addresses,
            ports,
            links,
        }
    }

    fn packet(&self, random: &mut Random, v6: bool) -> Packet {
        let protos = [
            proto::TCP,
            proto::TCP,
            proto::TCP,
            proto::UDP,
            proto::UDP,
            proto::SCTP,
            proto::GRE,
            if v6 { proto::ICMPV6 } else { proto::ICMP },
            // of the other IP version
            if random.below(8) > 0 {
                proto::UDP
            } else if v6 {
                proto::ICMP
            } else {
                proto::ICMPV6
            },
        ];
        let address = |random: &mut Random| match random.below(8) {
            0 => {
                let wide = u128::from(random.next()) << 64 | u128::from(random.next());
                if v6 { wide } else { wide & 0xffff_ffff }
            }
            _ => random.one_of(&self.addresses).unwrap_or(0),
        };
        let port = |random: &mut Random| match random.below(3) {
            0 => random.next() as u16,
            _ => random.one_of(&self.ports).unwrap_or(0),
        };
        let here = random.below(4) == 0;
        let kinds: &[u8] = if v6 {
            &[128, 128, 129, 1, 134, 135]
        } else {
            &[8, 8, 8, 0, 3, 13, 5]
        };
        let (src, dst) = (address(random), address(random));
        // a packet to its own source is taken for any other one (docs/limitations.md)
        let src = if src == dst { src ^ 1 } else { src };
        Packet {
            iif: if here {
                None
            } else {
                random.one_of(&self.links)
            },
            proto: random.one_of(&protos).unwrap_or(proto::TCP),
            src: if here { 0 } else { src },
            dst,
            sport: port(random),
            dport: port(random),
            flags: random.one_of(&[2, 2, 2, 2, 16, 18, 4, 1]).unwrap_or(2),
            icmp: (random.one_of(kinds).unwrap_or(8), 0),
            mark: 0,
        }
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address(number: u128, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(number.into())
    } else {
        IpAddr::V4((number as u32).into())
    }
}

/// All ways of one ruleset and host, in one IP version.
struct Case<'c> {
    space: Space,
    world: World<'c>,
    hooks: &'c Hooks,
    outside: (Ways, Ways),
    here: (Ways, Ways),
}

/// What comparing came to.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    packets: usize,
    exact: usize,
    open: usize,
    not_covered: usize,
    replies: usize,
}

impl<'c> Case<'c> {
    fn new(world: World<'c>, hooks: &'c Hooks, v6: bool, room: Room) -> Result<Case<'c>, GaveUp> {
        let mut space = Space::new(v6, world.host.links.len(), room);
        let mut ways = |from| {
            let asked = requests(&mut space, world, hooks, from, Some(0))?;
            let answered = replies(&mut space, world, hooks, &asked, from)?;
            Ok((asked, answered))
        };
        let outside = ways(From::Outside)?;
        let here = ways(From::Here)?;
        Ok(Case {
            space,
            world,
            hooks,
            outside,
            here,
        })
    }

    fn point(&self, packet: &Packet) -> Point {
        let space = &self.space;
        let mut point = space.usual();
        let header = match packet.proto {
            proto::TCP => 20,
            proto::SCTP | proto::DCCP => 12,
            _ => 8,
        };
        let length = if space.v6 { header } else { header + 20 };
        let (mut sport, mut dport) = (packet.sport, packet.dport);
        if matches!(packet.proto, proto::ICMP | proto::ICMPV6) {
            sport = u16::from_be_bytes([packet.icmp.0, packet.icmp.1]);
            dport = 0;
        }
        for (input, value) in [
            (Input::Iif, u128::from(packet.iif.unwrap_or(0))),
            (Input::Proto, packet.proto.into()),
            (Input::Src, packet.src),
            (Input::Dst, packet.dst),
            (Input::Sport, sport.into()),
            (Input::Dport, dport.into()),
            (Input::TcpFlags, packet.flags.into()),
            (Input::Ttl, 64),
            (Input::Tos, 0),
            (Input::Length, length),
            (Input::Mark, 0),
        ] {
            space.put(&mut point, input, value);
        }
        point
    }

    fn probe(&self, packet: &Packet) -> Probe {
        let v6 = self.space.v6;
        let header = match packet.proto {
            proto::TCP => 20,
            proto::SCTP | proto::DCCP => 12,
            _ => 8,
        };
        let icmp = matches!(packet.proto, proto::ICMP | proto::ICMPV6);
        Probe {
            spec: Spec {
                v6,
                src: Known::Value(address(packet.src, v6)),
                dst: Known::Value(address(packet.dst, v6)),
                proto: packet.proto,
                sport: Known::Value(packet.sport),
                dport: Known::Value(packet.dport),
                icmp: icmp.then_some(packet.icmp),
                tcp_flags: (packet.proto == proto::TCP).then_some(packet.flags),
                ttl: Some(64),
                tos: Some(0),
                length: Some(header + if v6 { 40 } else { 20 }),
                ether_src: None,
                ether_dst: None,
            },
            entrance: match packet.iif {
                Some(at) => Entrance::Iface(Iface::Link(at)),
                None => Entrance::Local,
            },
            in_port: None,
            oif: None,
            mark: packet.mark,
            state: GivenState::New,
            uid: None,
            gid: None,
        }
    }

    /// Whether a set has the packet, for some answers to open questions and for all.
    fn has(&mut self, set: Set, point: &Point) -> (bool, bool) {
        let valid = self.space.answers(self.space.valid(), point);
        let answers = self.space.answers(set, point);
        let possible = self.space.sets.and(answers, valid);
        let missing = self.space.sets.minus(valid, answers);
        // what the kernel picks by a hash is computed by the walk and a question here
        (
            !possible.is_empty(),
            missing.is_empty() && !possible.is_empty(),
        )
    }

    /// Whether it rests on what the kernel picks: the walk computes that, and here it is a question.
    fn is_picked(&self, set: Set, point: &Point) -> bool {
        let answers = self.space.answers(set, point);
        let asked = self.space.rests_on(answers);
        asked.iter().any(|question| picks(&question.words))
    }

    fn compare(
        &mut self,
        which: (bool, bool),
        path: &Way,
        point: &Point,
        has_choices: bool,
    ) -> Result<bool, String> {
        let (here, reply) = which;
        let pair = if here { &self.here } else { &self.outside };
        let ways = if reply { &pair.1 } else { &pair.0 };
        let exits = ways.exits.clone();
        let visits = ways.visits.clone();
        let not_covered: Vec<Set> = exits
            .iter()
            .filter(|exit| matches!(exit.end, End::NotCovered(_)))
            .map(|exit| exit.packets)
            .collect();
        for set in not_covered {
            if self.has(set, point).0 {
                return Ok(false);
            }
        }
        let oif = match path.output.oif {
            Some(Iface::Link(at)) => Some(at),
            Some(Iface::Fact(_)) | None => None,
        };
        let fits = |end: &End| match (&path.disposition, end) {
            (Disposition::Local, End::Local)
            | (Disposition::Dropped, End::Dropped)
            | (Disposition::Rejected, End::Rejected)
            | (Disposition::Queued, End::Queued)
            | (Disposition::Relayed, End::Relayed)
            | (Disposition::Stolen, End::Stolen)
            | (Disposition::Unknown { .. }, End::Unknown(_)) => true,
            (Disposition::Forwarded, End::Forwarded(at)) => oif.is_none_or(|oif| oif == *at),
            (Disposition::Transmitted, End::Transmitted(at)) => oif.is_none_or(|oif| oif == *at),
            (Disposition::Host(a), End::Host(Dropped(b))) => a == b,
            _ => false,
        };
        let mut found = Vec::new();
        for exit in &exits {
            if self.has(exit.packets, point).0 {
                found.push((exit.end.clone(), exit.by));
            }
        }
        // the interface towards an address may be open to both without a question
        let fitting = exits.iter().filter(|exit| fits(&exit.end));
        let fitting: Vec<Set> = fitting.map(|exit| exit.packets).collect();
        let fitting = self.space.sets.union(&fitting);
        let (possible, certain) = self.has(fitting, point);
        if !possible {
            let end = &path.disposition;
            return Err(format!(
                "the walk ends {end:?} by {oif:?}, the sets say {found:?}"
            ));
        }
        let exact = !has_choices && certain;
        if !has_choices && !certain {
            // only what the kernel picks, or what the rules of a hook with questions in common come to
            let mut asked = Vec::new();
            for exit in &exits {
                let answers = self.space.answers(exit.packets, point);
                asked.extend(self.space.rests_on(answers).iter().map(|q| q.words.clone()));
            }
            if !asked.iter().any(|words| picks(words)) {
                return Err(format!(
                    "no question of the walk's own, and yet it rests on {asked:?}"
                ));
            }
        }
        let mut walked: BTreeSet<(Hook, RuleId)> = BTreeSet::new();
        let mut matched: BTreeSet<(Hook, RuleId)> = BTreeSet::new();
        for step in &path.steps {
            if let StepKind::Rule(rule) = &step.kind {
                walked.insert((step.point.hook, rule.rule));
                if matches!(rule.outcome, RuleOutcome::Matched(_)) {
                    matched.insert((step.point.hook, rule.rule));
                }
            }
        }
        for (key, visit) in &visits {
            for (set, own, word) in [
                (visit.reached, &walked, "reaches"),
                (visit.matched, &matched, "matches"),
            ] {
                let (may, must) = self.has(set.unwrap_or_default(), point);
                let says = own.contains(key);
                let picked = self.is_picked(set.unwrap_or_default(), point);
                if says && !may || exact && !picked && says != must {
                    return Err(format!(
                        "{key:?}: the walk says {word}: {says}, the sets {may}"
                    ));
                }
            }
        }
        if let Some(missing) = walked.iter().find(|key| !visits.contains_key(key)) {
            return Err(format!("{missing:?} was walked and never visited"));
        }
        let passed = matches!(
            path.disposition,
            Disposition::Local | Disposition::Forwarded | Disposition::Transmitted
        );
        if exact && passed {
            let pair = if here { &self.here } else { &self.outside };
            let ways = if reply { &pair.1 } else { &pair.0 };
            let seen = ways.seen(&self.space, point);
            let out = &path.output;
            let ports = out.sport.is_some();
            // what the kernel picks is a question here (docs/limitations.md)
            let src = ways.fields.src(&self.space).bits(&mut self.space.sets);
            let dst = ways.fields.dst(&self.space).bits(&mut self.space.sets);
            let picked = |bits: &[Set]| {
                let mut bits = bits.iter().map(|bit| self.space.answers(*bit, point));
                bits.any(|bit| !bit.is_all() && !bit.is_empty())
            };
            let (src, dst) = (picked(&src), picked(&dst));
            let same = (src || out.src.value().is_none_or(|ip| ip == seen.src))
                && (dst || out.dst.value().is_none_or(|ip| ip == seen.dst))
                && (!ports
                    || out
                        .sport
                        .and_then(Known::value)
                        .is_none_or(|p| p == seen.sport)
                        && out
                            .dport
                            .and_then(Known::value)
                            .is_none_or(|p| p == seen.dport));
            if !same {
                return Err(format!("the walk leaves {out:?}, the sets say {seen:?}"));
            }
        }
        Ok(true)
    }

    fn check(&mut self, packet: &Packet, tally: &mut Tally) {
        let probe = self.probe(packet);
        let (walked, _) = walk(self.world, self.hooks, &probe, Knowledge::default());
        let point = self.point(packet);
        let here = packet.iif.is_none();
        let (_, asked) = walked.request.choices;
        tally.packets += 1;
        let result = self.compare((here, false), &walked.request, &point, asked > 0);
        // what follows the header of another protocol is no port, and the walk asks for it
        let blind = packet.proto == proto::GRE && !walked.choices.is_empty();
        let result = if blind { Ok(true) } else { result };
        let covered = result.unwrap_or_else(told_to(packet, &walked, self.space.v6));
        if !covered {
            tally.not_covered += 1;
            return;
        }
        if asked > 0 {
            tally.open += 1;
        } else {
            tally.exact += 1;
        }
        if let Some(reply) = walked.reply.as_ref().filter(|_| !blind) {
            tally.replies += 1;
            let any = !walked.choices.is_empty();
            let result = self.compare((here, true), reply, &point, any);
            result.unwrap_or_else(|error| {
                told_to(packet, &walked, self.space.v6)(format!("reply: {error}"))
            });
        }
    }
}

fn picks(words: &str) -> bool {
    words.contains("translates to") || words.starts_with("the address that")
}

fn told_to<'a>(
    packet: &'a Packet,
    walked: &'a nfpath::walk::step::Walked,
    v6: bool,
) -> impl Fn(String) -> bool + 'a {
    move |error| {
        panic!(
            "{error}\npacket {packet:?}\n{} -> {}\nend {:?}, reply {:?}\nchoices {:?}",
            address(packet.src, v6),
            address(packet.dst, v6),
            walked.request.disposition,
            walked.reply.as_ref().map(|reply| &reply.disposition),
            walked
                .choices
                .iter()
                .map(|c| c.claim.said(c.holds))
                .collect::<Vec<_>>(),
        )
    }
}

/// Compares so many packets of each IP version, if their sets fit.
fn compare_all(
    loaded: &Loaded,
    host: &Host,
    random: &mut Random,
    packets: usize,
    room: Room,
) -> Result<Tally, GaveUp> {
    let hooks = Hooks::new(&loaded.ruleset);
    let values = link_values(host);
    let world = World {
        ruleset: &loaded.ruleset,
        host,
        link_values: &values,
    };
    let mut tally = Tally::default();
    for v6 in [false, true] {
        let mut case = Case::new(world, &hooks, v6, room)?;
        let pool = Pool::of(&loaded.ruleset, host, v6);
        for _ in 0..packets {
            let packet = pool.packet(random, v6);
            case.check(&packet, &mut tally);
        }
    }
    Ok(tally)
}

/// The hosts of the captures: one of each software, or all when more cases are asked for.
fn folders(shared: &Path) -> Vec<std::path::PathBuf> {
    let only = std::env::var("NFPATH_ONLY").ok();
    let mut software: BTreeSet<String> = BTreeSet::new();
    let files = files_below(&shared.join("corpus"), "ruleset.json");
    let folders = files.iter().filter_map(|file| file.parent());
    let chosen = folders.filter(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if let Some(only) = &only {
            return name.contains(only.as_str());
        }
        // the hosts of the largest sets only when more is asked for
        let large = name.ends_with("ip6") || name.starts_with("blocklist");
        let first = name.split('-').next().unwrap_or_default().to_string();
        times() > 1 || !large && software.insert(first)
    });
    chosen.map(Path::to_path_buf).collect()
}

#[test]
fn captured_hosts_do_to_all_packets_what_they_do_to_each() {
    let test = "captured_hosts_do_to_all_packets_what_they_do_to_each";
    let Some(shared) = shared_or_skip(test) else {
        return;
    };
    let folders = folders(&shared);
    assert!(!folders.is_empty());
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(folder) =
                    folders.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let name = folder.file_name().unwrap_or_default().to_string_lossy();
                    let Some((loaded, host)) = captured(folder) else {
                        continue;
                    };
                    let mut random = Random(0x9e37_79b9_7f4a_7c15);
                    let began = Instant::now();
                    eprintln!("{name}");
                    let tally =
                        compare_all(&loaded, &host, &mut random, 60 * times(), Room::default());
                    let tally = tally.expect("room");
                    assert!(tally.exact > 0);
                    eprintln!("{name}: {tally:?} {:?}", began.elapsed());
                }
            });
        }
    });
}

/// Nothing is known of the host, so whose an address is and where a packet leaves stay open.
#[test]
fn bare_listings_do_to_all_packets_what_they_do_to_each() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let room = Room {
        nodes: 4_000_000,
        ..Room::default()
    };
    let mut fitting = 0;
    let step = if times() > 1 { 1 } else { 6 };
    let listings = files_below(&testdata("small"), "ruleset.json");
    for path in listings.iter().step_by(step) {
        let text = std::fs::read_to_string(path).expect("a listing");
        let loaded = load("listing", &text, &[]).expect("a ruleset");
        if loaded.ruleset.rules.len() > 30 {
            continue;
        }
        let host = imagined(&loaded.ruleset, &loaded.host);
        // answers of a few are too many to follow
        match compare_all(&loaded, &host, &mut random, 40 * times(), room) {
            Ok(_) => fitting += 1,
            Err(error) => eprintln!("{}: {error}", path.display()),
        }
    }
    assert!(fitting > 3, "{fitting}");
}

#[test]
fn made_up_rulesets_do_to_all_packets_what_they_do_to_each() {
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let seed = std::env::var("NFPATH_SEED").ok();
    let seed: u8 = seed.and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let mut random = Random(0x1234_5678_9abc_def1 ^ u64::from(seed));
    let withheld = hosts::Withheld::default();
    let mut all = Tally::default();
    for number in 0..12 * times() {
        let made = (
            rulesets::ruleset(rulesets::Taste::Loadable),
            hosts::setting(),
        );
        let (ruleset, setting) = made.new_tree(&mut runner).expect("a case").current();
        let text = ruleset.json();
        let loaded = load("made up", &text, &[]).expect("a listing");
        let host = hosts::host(&setting, &withheld);
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            compare_all(&loaded, &host, &mut random, 60, Room::default()).expect("room")
        }));
        match done {
            Ok(tally) => {
                all.packets += tally.packets;
                all.exact += tally.exact;
                all.open += tally.open;
                all.not_covered += tally.not_covered;
                all.replies += tally.replies;
            }
            Err(_) => panic!("case {number} of seed {seed}: {setting:?}\n{ruleset:#?}"),
        }
    }
    eprintln!("{all:?}");
    assert!(all.exact > 0);
}
