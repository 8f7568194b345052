//! What sets of packets are made of: the variables of a packet as it is first sent, and those of the questions that the input
//! leaves open.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::logic::{Choice, Fact, Ranges, Source, max_of};
use crate::packet::proto;
use crate::ruleset::{RuleId, Ruleset};
use crate::sets::{GaveUp, Point, Room, Set, Sets, Var};

use super::value::{self, Bits};

/// Bits of an Ethernet header.
pub const LINK: usize = 112;
/// Bits of a transport header that are kept.
pub const TRANSPORT: usize = 160;

/// A part of the packet as it is first sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Input {
    /// Position of the interface that it enters by, among the links of the host.
    Iif,
    Proto,
    /// Destination port; of ICMP part of the identifier.
    Dport,
    /// Source port; of ICMP type and code.
    Sport,
    Dst,
    Src,
    TcpFlags,
    Ttl,
    /// Type of service or traffic class.
    Tos,
    /// Length of the IPv4 packet, or of what an IPv6 packet carries.
    Length,
    Mark,
    EtherDst,
    EtherSrc,
    /// Every other bit of the headers.
    Rest,
}

impl Input {
    /// All parts, in the order of their variables: what rules ask for together stands together.
    pub const ALL: [Input; 14] = [
        Input::Iif,
        Input::Proto,
        Input::Src,
        Input::Dst,
        Input::Dport,
        Input::Sport,
        Input::TcpFlags,
        Input::Ttl,
        Input::Tos,
        Input::Length,
        Input::Mark,
        Input::EtherDst,
        Input::EtherSrc,
        Input::Rest,
    ];

    /// The part in words.
    pub fn name(self) -> &'static str {
        match self {
            Input::Iif => "the incoming interface",
            Input::Proto => "the protocol",
            Input::Dport => "the destination port",
            Input::Sport => "the source port",
            Input::Dst => "the destination",
            Input::Src => "the source",
            Input::TcpFlags => "the TCP flags",
            Input::Ttl => "the time to live",
            Input::Tos => "the type of service",
            Input::Length => "the packet length",
            Input::Mark => "the packet mark",
            Input::EtherDst => "the Ethernet destination",
            Input::EtherSrc => "the Ethernet source",
            Input::Rest => "other fields of the headers",
        }
    }
}

/// Something that the input does not say, with variables of its own.
#[derive(Debug, Clone)]
pub struct Question {
    /// A claim that may hold or not, or the name of a fact.
    pub words: String,
    /// What would settle it.
    pub settle: String,
    pub source: Source,
    /// The answer when nothing says otherwise; of a claim 1 for yes. `None`: there is none.
    pub usual: Option<u128>,
    /// One for a claim; of a number the bits in which its possible values differ, the last ones.
    pub vars: Vec<Var>,
    /// The bits before them, the same in all values, and how many bits there are in all.
    high: (u128, usize),
}

impl Question {
    /// Where it has its usual answer; everywhere when there is none.
    pub fn as_usual(&self, sets: &mut Sets) -> Set {
        let Some(usual) = self.usual else {
            return Set::ALL;
        };
        let literals: Vec<_> = literals(&self.vars, usual).collect();
        sets.literals(&literals)
    }

    /// When it has another one, in words.
    pub fn otherwise(&self) -> String {
        let words = &self.words;
        match self.usual {
            Some(1) if self.is_claim() => format!("unless {words}"),
            Some(usual) if !self.is_claim() => format!("unless {words} is {usual}"),
            Some(_) | None => format!("when {words}"),
        }
    }

    /// A claim that holds or not, and no number.
    pub fn is_claim(&self) -> bool {
        self.high.1 == 1
    }
}

/// The variables of one IP version, and the arena of sets over them.
#[derive(Debug)]
pub struct Space {
    pub sets: Sets,
    pub v6: bool,
    inputs: Vec<(Input, Vec<Var>)>,
    questions: IndexMap<String, Question>,
    /// How questions name rules, where that is not their place.
    names: BTreeMap<RuleId, String>,
    /// Where all facts have values that they can have.
    valid: Set,
    /// Where all questions have their usual answers, of so many questions, after sets were forgotten so often.
    answered: Option<(usize, usize, Set)>,
}

impl Space {
    /// A space for packets that may enter by so many interfaces.
    pub fn new(v6: bool, links: usize, room: Room) -> Space {
        let mut sets = Sets::new(room);
        let address = if v6 { 128 } else { 32 };
        let count = (usize::BITS - links.max(1).saturating_sub(1).leading_zeros()) as usize;
        let inputs = Input::ALL
            .iter()
            .map(|input| {
                let width = match input {
                    Input::Iif => count,
                    Input::Proto | Input::TcpFlags | Input::Ttl | Input::Tos => 8,
                    Input::Dport | Input::Sport | Input::Length => 16,
                    Input::Dst | Input::Src => address,
                    Input::Mark => 32,
                    Input::EtherDst | Input::EtherSrc => 48,
                    // the transport header but ports and TCP flags, and id and checksum or the flow label
                    Input::Rest => TRANSPORT - 32 - 8 + if v6 { 20 } else { 32 },
                };
                (*input, sets.variables(width))
            })
            .collect();
        let mut space = Space {
            sets,
            v6,
            inputs,
            questions: IndexMap::new(),
            names: BTreeMap::new(),
            valid: Set::ALL,
            answered: None,
        };
        let all = space.input(Input::Iif);
        let links = links.max(1) as u128;
        space.valid = value::within(&mut space.sets, &all, &[(0, links - 1)]);
        let length = space.input(Input::Length);
        for (protos, least) in [
            (&[(proto::TCP, proto::TCP)][..], 20u128),
            (
                &[(proto::SCTP, proto::SCTP), (proto::DCCP, proto::DCCP)],
                12,
            ),
            (&[(0, 255)], 8),
        ] {
            let least = least + if v6 { 0 } else { 20 };
            let enough = value::within(&mut space.sets, &length, &[(least, 0xffff)]);
            let mut ranges: Ranges = protos
                .iter()
                .map(|(lo, hi)| (u128::from(*lo), u128::from(*hi)))
                .collect();
            ranges.sort_unstable();
            let of = space.protocols(&ranges);
            let fine = space.sets.or(of.not(), enough);
            space.valid = space.sets.and(space.valid, fine);
        }
        // a TCP header is at least five words long; in front of its length stand the flow label, or identification and
        // checksum, and the sequence and acknowledgement numbers
        let rest = space.input(Input::Rest);
        let before = if v6 { 20 } else { 16 + 16 } + 64;
        let words = value::within(&mut space.sets, &rest[before..before + 4], &[(5, 15)]);
        let tcp = space.protos(&[proto::TCP]);
        let fine = space.sets.or(tcp.not(), words);
        space.valid = space.sets.and(space.valid, fine);
        space
    }

    /// The variables of a part of the packet, the bit that counts most first.
    pub fn vars(&self, input: Input) -> &[Var] {
        let found = self.inputs.iter().find(|(known, _)| *known == input);
        found.map_or(&[], |(_, vars)| vars)
    }

    /// A part of the packet as a number.
    pub fn input(&mut self, input: Input) -> Bits {
        let vars = self.vars(input).to_vec();
        value::of_vars(&mut self.sets, &vars)
    }

    /// Packets of which a part lies in ranges.
    pub fn packets(&mut self, input: Input, ranges: &[(u128, u128)]) -> Set {
        let bits = self.input(input);
        value::within(&mut self.sets, &bits, ranges)
    }

    /// Packets of protocols in ranges.
    pub fn protocols(&mut self, ranges: &[(u128, u128)]) -> Set {
        self.packets(Input::Proto, ranges)
    }

    /// Packets of one of these protocols.
    pub fn protos(&mut self, protos: &[u8]) -> Set {
        let mut ranges: Ranges = protos
            .iter()
            .map(|p| (u128::from(*p), u128::from(*p)))
            .collect();
        ranges.sort_unstable();
        self.protocols(&ranges)
    }

    /// Packets whose header begins with ports.
    pub fn with_ports(&mut self) -> Set {
        self.protos(&[
            proto::TCP,
            proto::UDP,
            proto::DCCP,
            proto::SCTP,
            proto::UDPLITE,
        ])
    }

    /// What there can be at all: headers that are whole, interfaces that exist, facts with a value they can have.
    pub fn valid(&self) -> Set {
        self.valid
    }

    /// Says how questions of the next walks name rules. Two rulesets in one space have the same questions where a rule of the
    /// one has the name of a rule of the other; a rule without a name here is named by its place.
    pub fn name_rules(&mut self, names: BTreeMap<RuleId, String>) {
        self.names = names;
    }

    /// How questions name a rule.
    pub(super) fn rule_words(&self, ruleset: &Ruleset, rule: RuleId) -> String {
        match self.names.get(&rule) {
            Some(name) => name.clone(),
            None => place_words(ruleset, rule),
        }
    }

    /// All questions so far.
    pub fn questions(&self) -> impl Iterator<Item = &Question> {
        self.questions.values()
    }

    /// Where every question that the input leaves to what is usual has its usual answer.
    pub fn usual_answers(&mut self) -> Set {
        let now = (self.questions.len(), self.sets.forgotten());
        if let Some((questions, forgotten, known)) = self.answered
            && (questions, forgotten) == now
        {
            return known;
        }
        let mut fixed: Vec<(Var, bool)> = Vec::new();
        for question in self.questions.values() {
            if let (Source::Default, Some(usual)) = (question.source, question.usual) {
                fixed.extend(literals(&question.vars, usual));
            }
        }
        let all = self.sets.literals(&fixed);
        self.answered = Some((now.0, now.1, all));
        all
    }

    /// A set whatever values facts have: what is in it for some of them.
    pub(super) fn for_some_facts(&mut self, set: Set) -> Set {
        let facts = self.facts();
        self.sets.exists(set, facts)
    }

    /// The variables of all facts, for [`Sets::exists`].
    pub(super) fn facts(&mut self) -> Set {
        let facts = self.questions.values().filter(|q| !q.is_claim());
        let vars: Vec<Var> = facts.flat_map(|q| q.vars.iter().copied()).collect();
        self.sets.cube(&vars)
    }

    /// Whether anything had to be given up for want of room.
    pub fn check(&self) -> Result<(), GaveUp> {
        self.sets.check()
    }

    /// The bits of the whole packet as it is first sent, from the Ethernet header on.
    pub(super) fn packet(&mut self) -> Vec<Set> {
        let mut rest = self.input(Input::Rest).into_iter();
        let mut packet = self.input(Input::EtherDst);
        packet.extend(self.input(Input::EtherSrc));
        packet.extend(value::constant(if self.v6 { 0x86dd } else { 0x0800 }, 16));
        let length = self.input(Input::Length);
        if self.v6 {
            packet.extend(value::constant(6, 4));
            packet.extend(self.input(Input::Tos));
            packet.extend(rest.by_ref().take(20));
            packet.extend_from_slice(&length);
            packet.extend(self.input(Input::Proto));
            packet.extend(self.input(Input::Ttl));
        } else {
            packet.extend(value::constant(0x45, 8));
            packet.extend(self.input(Input::Tos));
            packet.extend_from_slice(&length);
            packet.extend(rest.by_ref().take(16));
            packet.extend(value::constant(0x4000, 16));
            packet.extend(self.input(Input::Ttl));
            packet.extend(self.input(Input::Proto));
            packet.extend(rest.by_ref().take(16));
        }
        packet.extend(self.input(Input::Src));
        packet.extend(self.input(Input::Dst));
        // the transport header
        packet.extend(self.input(Input::Sport));
        packet.extend(self.input(Input::Dport));
        let udp = self.protos(&[proto::UDP, proto::UDPLITE]);
        let whole = match self.v6 {
            true => length,
            false => value::minus(&mut self.sets, &length, 20),
        };
        let fourth: Bits = rest.by_ref().take(16).collect();
        packet.extend(value::ite(&mut self.sets, udp, &whole, &fourth));
        packet.extend(rest.by_ref().take(48));
        // the length of a TCP header and its reserved bits
        packet.extend(rest.by_ref().take(8));
        packet.extend(self.input(Input::TcpFlags));
        packet.extend(rest.by_ref().take(32));
        // the urgent pointer of TCP
        packet.extend(rest);
        packet
    }

    /// Where a claim holds that the input leaves open. The same words are the same question.
    pub fn ask(&mut self, words: &str, settle: &str, source: Source, usual: bool) -> Set {
        let key = format!("{words} {source:?} {usual}");
        if let Some(known) = self.questions.get(&key) {
            let var = known.vars[0];
            return self.sets.of(var);
        }
        let var = self.sets.variable();
        let question = Question {
            words: words.into(),
            settle: settle.into(),
            source,
            usual: Some(u128::from(usual)),
            vars: vec![var],
            high: (0, 1),
        };
        self.questions.insert(key, question);
        self.sets.of(var)
    }

    /// Where the claim of a walk's choice holds, in words that are not of one packet alone.
    pub(super) fn ask_choice(&mut self, choice: &Choice, words: &str) -> Set {
        self.ask(words, &choice.because, choice.source, choice.usual)
    }

    /// The value of something that the input does not say. The same name is the same fact.
    pub fn fact(
        &mut self,
        name: &str,
        settle: &str,
        domain: &Ranges,
        usual: Option<(u128, Source)>,
    ) -> Bits {
        if let Some(known) = self.questions.get(name) {
            let (vars, high) = (known.vars.clone(), known.high);
            return self.number(&vars, high);
        }
        let bottom = domain.first().map_or(0, |(lo, _)| *lo);
        let top = domain.last().map_or(0, |(_, hi)| *hi);
        let width = (128 - top.leading_zeros()).max(1);
        // two numbers of which both are variables cannot be compared in little room, so there are as few as may be
        let free = (128 - (bottom ^ top).leading_zeros()).max(1);
        let high = (top.checked_shr(free).unwrap_or(0), width as usize);
        let vars = self.sets.variables(free as usize);
        let bits = self.number(&vars, high);
        if domain.as_slice() != [(0, max_of(width))] {
            let fits = value::within(&mut self.sets, &bits, domain);
            self.valid = self.sets.and(self.valid, fits);
        }
        let question = Question {
            words: name.into(),
            settle: settle.into(),
            source: usual.map_or(Source::Open, |(_, source)| source),
            usual: usual.map(|(value, _)| value),
            vars,
            high,
        };
        self.questions.insert(name.into(), question);
        bits
    }

    /// A number of which the last bits are variables.
    fn number(&mut self, vars: &[Var], (high, width): (u128, usize)) -> Bits {
        let mut bits = value::constant(high, width - vars.len());
        bits.extend(value::of_vars(&mut self.sets, vars));
        bits
    }

    /// The value of a walk's fact.
    pub(super) fn fact_of(&mut self, fact: &Fact, name: &str) -> Bits {
        self.fact(name, &fact.settle, &fact.domain, fact.usual)
    }

    /// For one packet, the answers to questions with which it is in a set.
    pub fn answers(&self, set: Set, point: &Point) -> Set {
        let inputs: usize = self.inputs.iter().map(|(_, vars)| vars.len()).sum();
        self.sets.under(set, point, inputs)
    }

    /// The questions that a set rests on.
    pub fn rests_on(&self, set: Set) -> Vec<&Question> {
        let vars = self.sets.support(set);
        self.questions
            .values()
            .filter(|question| question.vars.iter().any(|var| vars.contains(var)))
            .collect()
    }

    /// A packet as people send it: what is not asked for has its usual value, and so has every question.
    pub fn usual(&self) -> Point {
        let mut point = Point::default();
        let length = if self.v6 { 20 } else { 40 };
        for (input, value) in [
            (Input::Proto, u128::from(proto::TCP)),
            (Input::Sport, 40000),
            (Input::Dport, 80),
            (Input::TcpFlags, u128::from(crate::packet::tcp::SYN)),
            (Input::Ttl, 64),
            (Input::Length, length),
        ] {
            self.put(&mut point, input, value);
        }
        for question in self.questions.values() {
            if let Some(usual) = question.usual {
                put(&mut point, &question.vars, usual);
            }
        }
        // a fact without a usual value has one of those that it can have
        self.sets.pick(self.valid, &point).unwrap_or(point)
    }

    /// Gives a part of one packet a value.
    pub fn put(&self, point: &mut Point, input: Input, value: u128) {
        put(point, self.vars(input), value);
    }

    /// A part of one packet.
    pub fn get(&self, point: &Point, input: Input) -> u128 {
        let vars = self.vars(input).iter();
        vars.fold(0, |value, var| value << 1 | u128::from(point.get(*var)))
    }
}

/// `ip filter INPUT rule 7`: the handle, or the place for rules without one.
pub fn place_words(ruleset: &Ruleset, rule: RuleId) -> String {
    let rule = ruleset.rule(rule);
    let chain = ruleset.chain(rule.chain);
    let table = ruleset.table(chain.table);
    let which = rule.number();
    format!(
        "{} {} {} rule {which}",
        table.family, table.name, chain.name
    )
}

fn put(point: &mut Point, vars: &[Var], value: u128) {
    for (var, bit) in literals(vars, value) {
        point.set(var, bit);
    }
}

/// What the variables of a number are where it has this value; the bit that counts most is the first variable.
pub(crate) fn literals(vars: &[Var], value: u128) -> impl Iterator<Item = (Var, bool)> {
    let vars = vars.iter().rev().enumerate();
    vars.map(move |(at, var)| (*var, at < 128 && value >> at & 1 == 1))
}
