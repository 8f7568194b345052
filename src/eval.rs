//! Evaluation of one rule for one packet: the kernel's `nft_do_chain` inner loop, three-valued.
//!
//! Statements run in order; the first that does not hold ends the rule. What the input does not say is asked of
//! [`Knowledge`], never taken for "does not match". Translations, rejects and the like are not carried out here; the
//! walk does that with the stack's state ([`RuleEnd::Nat`], …).

mod field;

pub(crate) use field::{is_own_address, mark_for_routing, own_address_claim};

use std::net::IpAddr;

use crate::conntrack::{CtRef, Entry, Zone, status};
use crate::host::{Host, Origin};
use crate::logic::{Claim, DRAWN, FactId, Knowledge, Known, Ranges, Source, max_of};
use crate::packet::{Packet, proto, tcp};
use crate::ruleset::datatype::DataType;
use crate::ruleset::expr::{OpaqueField, SocketKey};
use crate::ruleset::protocol::{PacketKind, exthdr_name, option_name, payload_name};
use crate::ruleset::set::{Element, MAX_KEY, NO_DATUM};
use crate::ruleset::{
    BitOp, ChainId, CtDir, CtKey, Data, Effect, Expr, Field, Gate, GateKind, Hook, Match, MetaKey,
    Name, Nat, Op, Operand, Reject, RuleId, Ruleset, Set, SetId, Stmt, Target, UnknownId, Verdict,
};

/// An interface: a link of the host, or one that the input does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Iface {
    /// Position in [`Host::links`].
    Link(u16),
    Fact(FactId),
}

/// The protocol family whose hook runs (`nft_pf`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pf {
    Ip,
    Ip6,
    Bridge,
    Arp,
    Netdev,
}

/// Whom a packet goes to next by the route that it has (`skb_dst`, `rt_nexthop`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextHop {
    /// Its destination.
    Direct,
    Via(IpAddr),
    Unknown,
}

/// The socket that a packet comes from (`skb->sk`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// None of this host.
    Outside,
    /// One that a program has open.
    Program,
    /// One of the kernel itself, which belongs to no user: echo replies, errors.
    Kernel,
    /// None, though it is this host that sends it: resets of `reject` (`nf_send_reset`).
    Nobody,
    /// None, but the packet is for a program's socket, which is found before the input hook (`ip_rcv_finish_core`).
    Receiver {
        /// False when it is found only if the program has connected it.
        sure: bool,
    },
}

/// A packet with its context (`struct sk_buff`).
#[derive(Debug, Clone)]
pub struct Skb {
    pub packet: Packet,
    pub iif: Option<Iface>,
    pub oif: Option<Iface>,
    /// The bridge port a frame came in by or leaves by, while it is in the bridge.
    pub in_port: Option<Iface>,
    pub out_port: Option<Iface>,
    pub mark: Known<u32>,
    pub priority: Option<Known<u32>>,
    /// `host` 0, `broadcast` 1, `multicast` 2, `other` 3, `loopback` 5.
    pub pkttype: u8,
    pub ct: CtRef,
    /// Position of its conversation among the walk's entries, when tracked.
    pub entry: usize,
    pub sender: Sender,
    /// br_netfilter has had it (`nf_bridge_info`).
    pub nf_bridge: bool,
    /// The route, once it has one.
    pub route: Option<NextHop>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// `ct zone set` before the look-up.
    pub zone: Zone,
    /// `tproxy` has given it to a socket.
    pub socket: bool,
}

/// What does not change during a walk.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    pub ruleset: &'a Ruleset,
    pub host: &'a Host,
    /// The name of each of the host's links as a value, by position.
    pub link_values: &'a [u128],
}

/// Everything a rule can look at.
pub struct Env<'a, 'w> {
    pub world: World<'w>,
    pub know: &'a mut Knowledge,
    pub skb: &'a mut Skb,
    /// All conversations of this walk; [`Skb::entry`] is the packet's own.
    pub entries: &'a mut Vec<Entry>,
    pub hook: Hook,
    pub pf: Pf,
    /// The rule being evaluated, for the wording of questions.
    pub rule: RuleId,
}

/// The value of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    Value(u128),
    /// The kernel's NFT_BREAK: the rule does not match, whatever the operator.
    Absent,
    /// One fact, all of it.
    Fact(FactId),
    /// Something computed from what is not known.
    Unknown,
}

/// What a failed statement saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actual {
    Value(u128),
    Tuple(Vec<u128>),
    /// There is no such header, entry or interface.
    Absent,
    /// A fact that was taken not to fit on this path.
    Fact(FactId),
    /// A choice of this path.
    Chosen,
}

/// How the evaluation of a rule ended.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleEnd {
    /// The statement at this position did not hold.
    NoMatch {
        statement: usize,
        actual: Actual,
    },
    /// All statements held, without a verdict.
    Continue,
    Accept,
    Drop,
    Return,
    Jump(ChainId),
    Goto(ChainId),
    /// A translation is to be made; it implies accept.
    Nat {
        statement: usize,
    },
    Reject(Reject),
    Queue {
        /// A program takes the packet.
        listens: bool,
        bypass: bool,
    },
    /// The packet leaves by another device.
    Fwd(Name),
    /// The packet is taken away (synproxy, fwd to a device that is looked up).
    Stolen {
        statement: usize,
    },
    /// The rule does something that this version gives no meaning to.
    Unknown(UnknownId),
    /// Jump to a chain that the listing does not have.
    Missing {
        statement: usize,
    },
}

/// Told of everything that was not given and yet used.
pub trait Observer {
    /// A fact about the host was used that came from somewhere.
    fn origin(&mut self, origin: Origin);
    /// The rule used the customary value of something nobody gave.
    fn assumed(
        &mut self,
        fact: impl FnOnce() -> String,
        value: u128,
        data_type: DataType,
        settle: &'static str,
    );
}

impl<'w> Env<'_, 'w> {
    /// Evaluates one rule.
    pub fn rule<O: Observer>(&mut self, id: RuleId, observer: &mut O) -> RuleEnd {
        self.rule = id;
        let ruleset = self.world.ruleset;
        for (position, statement) in ruleset.rule(id).statements.iter().enumerate() {
            let end = match &statement.kind {
                Stmt::Match(test) => match self.test(test, observer) {
                    Ok(()) => continue,
                    Err(Actual::Absent) if test.or_absent => continue,
                    Err(actual) => RuleEnd::NoMatch {
                        statement: position,
                        actual,
                    },
                },
                Stmt::Verdict(verdict) => match self.verdict(verdict, position) {
                    Some(end) => end,
                    None => continue,
                },
                Stmt::Vmap { key, map } => match self.lookup(key, *map, observer) {
                    Err(actual) => RuleEnd::NoMatch {
                        statement: position,
                        actual,
                    },
                    Ok(Some(Data::Verdict(verdict))) => match self.verdict(verdict, position) {
                        Some(end) => end,
                        None => continue,
                    },
                    Ok(_) => match self.unreadable(*map) {
                        Some(end) => end,
                        None => continue,
                    },
                },
                Stmt::ObjectMap { key, map } => match self.lookup(key, *map, observer) {
                    Err(actual) => RuleEnd::NoMatch {
                        statement: position,
                        actual,
                    },
                    Ok(_) => continue,
                },
                Stmt::Mangle {
                    target,
                    value,
                    or_nothing,
                } => match self.mangle(target, value, observer) {
                    Ok(()) => continue,
                    Err(Actual::Absent) if *or_nothing => continue,
                    Err(actual) => RuleEnd::NoMatch {
                        statement: position,
                        actual,
                    },
                },
                Stmt::Gate(gate) => {
                    if self.gate(gate) {
                        continue;
                    }
                    RuleEnd::NoMatch {
                        statement: position,
                        actual: Actual::Chosen,
                    }
                }
                Stmt::Nat(_) => RuleEnd::Nat {
                    statement: position,
                },
                Stmt::Reject(reject) => RuleEnd::Reject(*reject),
                Stmt::Notrack => {
                    // nft_notrack_eval: a packet that has an entry keeps it
                    if self.skb.ct == CtRef::None {
                        self.skb.ct = CtRef::Untracked;
                    }
                    continue;
                }
                Stmt::Queue { bypass } => RuleEnd::Queue {
                    listens: self.listens(),
                    bypass: *bypass,
                },
                Stmt::Fwd {
                    device: Some(device),
                } => RuleEnd::Fwd(device.clone()),
                Stmt::Fwd { device: None } | Stmt::Synproxy => RuleEnd::Stolen {
                    statement: position,
                },
                Stmt::FlowOffload { .. } => {
                    if self.offload() {
                        continue;
                    }
                    RuleEnd::NoMatch {
                        statement: position,
                        actual: Actual::Absent,
                    }
                }
                Stmt::Tproxy { or_drop, .. } => {
                    let question = Claim::new(
                        "a local socket",
                        ("takes", "does not take"),
                        "the packet by tproxy",
                    );
                    let because = "sockets are not part of a ruleset; see `ss -lntu` on the host";
                    if self.know.ask(question, because, Source::Default, true) {
                        self.skb.socket = true;
                        continue;
                    }
                    if *or_drop {
                        RuleEnd::Drop
                    } else {
                        RuleEnd::NoMatch {
                            statement: position,
                            actual: Actual::Chosen,
                        }
                    }
                }
                Stmt::SetUpdate { set, delete, key } => {
                    let mut values = [0u128; MAX_KEY];
                    match self.key(key, &mut values, observer) {
                        Err(actual @ Actual::Absent) => RuleEnd::NoMatch {
                            statement: position,
                            actual,
                        },
                        Ok(len) => {
                            self.set_updated(*set, *delete, &values[..len]);
                            continue;
                        }
                        Err(_) => continue,
                    }
                }
                // nft_exthdr_tcp_strip_eval
                Stmt::NoEffect(Effect::ResetOption)
                    if self.skb.packet.proto != crate::packet::proto::TCP =>
                {
                    RuleEnd::NoMatch {
                        statement: position,
                        actual: Actual::Absent,
                    }
                }
                // nft_ct_expect_obj_eval
                Stmt::NoEffect(Effect::CtExpectation) if !self.is_unconfirmed() => {
                    RuleEnd::NoMatch {
                        statement: position,
                        actual: Actual::Absent,
                    }
                }
                Stmt::Dup | Stmt::NoEffect(_) => continue,
                Stmt::Unknown(unknown) => match self.unknown_statement(*unknown) {
                    Some(true) => continue,
                    Some(false) => RuleEnd::NoMatch {
                        statement: position,
                        actual: Actual::Chosen,
                    },
                    None => RuleEnd::Unknown(*unknown),
                },
            };
            return end;
        }
        RuleEnd::Continue
    }

    fn verdict(&self, verdict: &Verdict, statement: usize) -> Option<RuleEnd> {
        Some(match verdict {
            Verdict::Accept => RuleEnd::Accept,
            Verdict::Drop => RuleEnd::Drop,
            Verdict::Continue => return None,
            Verdict::Return => RuleEnd::Return,
            Verdict::Jump(Target::Chain(chain)) => RuleEnd::Jump(*chain),
            Verdict::Goto(Target::Chain(chain)) => RuleEnd::Goto(*chain),
            Verdict::Jump(Target::Missing(_)) | Verdict::Goto(Target::Missing(_)) => {
                RuleEnd::Missing { statement }
            }
        })
    }

    /// A verdict map whose datum could not be read.
    fn unreadable(&mut self, map: SetId) -> Option<RuleEnd> {
        let ruleset = self.world.ruleset;
        let mut unknowns = ruleset.unknowns.iter();
        let of_rule = unknowns.position(|unknown| unknown.rule == Some(self.rule));
        of_rule
            .map(|at| UnknownId(at as u32))
            .or(ruleset.set(map).unread)
            .map(RuleEnd::Unknown)
    }

    /// `Some` for a match that may or may not hold, `None` for a target.
    fn unknown_statement(&mut self, id: UnknownId) -> Option<bool> {
        let unknown = self.world.ruleset.unknown(id);
        if !unknown.is_match {
            return None;
        }
        let rule = self.world.ruleset.rule(self.rule);
        let chain = &self.world.ruleset.chain(rule.chain).name;
        let question = Claim::new(
            unknown.what.clone(),
            ("holds", "does not hold"),
            format!("in chain {chain} rule {}", rule.number()),
        );
        Some(
            self.know
                .ask_of_packet(question, unknown.settle.clone(), Source::Open, false),
        )
    }

    /// Gives the connection to the flowtable (`nft_flow_offload_eval`). What cannot be given ends the rule: a connection
    /// that is not confirmed yet, TCP before and after it is established, what has a helper, and what is given already.
    fn offload(&mut self) -> bool {
        let CtRef::Tracked(_) = self.skb.ct else {
            return false;
        };
        let Some(entry) = self.entries.get_mut(self.skb.entry) else {
            return false;
        };
        let fits = match self.skb.packet.proto {
            proto::TCP => {
                let flags = self.skb.packet.tcp_flags().unwrap_or(0);
                flags & (tcp::FIN | tcp::RST) == 0 && entry.status & status::ASSURED != 0
            }
            proto::UDP => true,
            proto::GRE => entry.status & (status::SRC_NAT | status::DST_NAT) == 0,
            _ => false,
        };
        let confirmed = entry.status & status::CONFIRMED != 0;
        if !fits || !confirmed || entry.helper.is_some() || entry.status & status::OFFLOAD != 0 {
            return false;
        }
        entry.status |= status::OFFLOAD;
        true
    }

    /// Whether a program waits behind a queue.
    fn listens(&mut self) -> bool {
        let claim = Claim::new(
            "a program",
            ("listens", "does not listen"),
            format!("to the queue in {}", self.place()),
        );
        let settle = "see `/proc/net/netfilter/nfnetlink_queue` on the host";
        self.know.ask(claim, settle, Source::Default, true)
    }

    fn gate(&mut self, gate: &Gate) -> bool {
        let rule = self.world.ruleset.rule(self.rule);
        let chain = &self.world.ruleset.chain(rule.chain).name;
        let (what, how) = match gate.kind {
            GateKind::Limit => ("the rate limit", "exceeded"),
            GateKind::Quota => ("the quota", "used up"),
            GateKind::CtCount => ("the connection count", "exceeded"),
        };
        let question = Claim::new(
            what,
            ("is not", "is"),
            format!("{how} (chain {chain} rule {})", rule.number()),
        );
        let because = "it depends on earlier traffic; say `--assume limit=over`, `quota=over` or `count=over` for the other case";
        let within = self
            .know
            .ask_of_packet(question, because, Source::Default, true);
        within != gate.over
    }

    /// Evaluates a relational expression; `Err` tells what the packet had instead.
    fn test<O: Observer>(&mut self, test: &Match, observer: &mut O) -> Result<(), Actual> {
        if let Operand::Set(set) = test.right {
            return self.member(&test.left, set, test.op == Op::Ne, observer);
        }
        let left = self.load(&test.left, observer);
        let (lo, hi) = match &test.right {
            Operand::Value(value) => (*value, *value),
            Operand::Range(lo, hi) => (*lo, *hi),
            Operand::Expr(expr) => match self.load(expr, observer) {
                Loaded::Value(value) => (value, value),
                Loaded::Absent => return Err(Actual::Absent),
                Loaded::Fact(_) | Loaded::Unknown => return self.ask_match(test),
            },
            Operand::Set(_) => return Ok(()),
        };
        match left {
            Loaded::Value(value) => {
                if compare(test.op, value, lo, hi) {
                    Ok(())
                } else {
                    Err(Actual::Value(value))
                }
            }
            Loaded::Absent => Err(Actual::Absent),
            Loaded::Fact(fact) => match ranges_of(test.op, lo, hi) {
                Some(ranges) => {
                    let data_type = test.data_type;
                    let name = self.know.fact(fact).name.clone();
                    let statement = || word_test(&name, test.op, lo, hi, data_type);
                    if self.know.test(fact, &ranges, statement) {
                        Ok(())
                    } else {
                        Err(Actual::Fact(fact))
                    }
                }
                None => self.ask_match(test),
            },
            Loaded::Unknown => match self.masked(test, lo, hi, observer) {
                Some((fact, ranges)) => {
                    let name = self.know.fact(fact).name.clone();
                    let object = format!("{}-{}", ranges[0].0, ranges[0].1);
                    let inside = self
                        .know
                        .test(fact, &ranges, || Claim::new(name, ("is", "is not"), object));
                    if inside == (test.op == Op::Eq) {
                        Ok(())
                    } else {
                        Err(Actual::Fact(fact))
                    }
                }
                None => self.ask_match(test),
            },
        }
    }

    /// A fact under a mask that keeps its first bits, compared with a value: the fact and the range that gives it.
    fn masked<O: Observer>(
        &mut self,
        test: &Match,
        lo: u128,
        hi: u128,
        observer: &mut O,
    ) -> Option<(FactId, Ranges)> {
        let Expr::Bitwise { of, mask, xor: 0 } = &test.left else {
            return None;
        };
        if lo != hi || !matches!(test.op, Op::Eq | Op::Ne) {
            return None;
        }
        let Loaded::Fact(fact) = self.load(of, observer) else {
            return None;
        };
        let top = self.know.fact(fact).domain.last()?.1;
        let all = u128::MAX >> top.leading_zeros();
        let free = all & !mask;
        let is_prefix = free & free.wrapping_add(1) == 0;
        (is_prefix && lo & free == 0 && lo <= all).then(|| (fact, vec![(lo, lo | free)]))
    }

    /// A test on something that is not known at all.
    fn ask_match(&mut self, test: &Match) -> Result<(), Actual> {
        let shown = |value: u128| test.data_type.display(value);
        let right = match &test.right {
            Operand::Value(value) => shown(*value),
            Operand::Range(lo, hi) => test.data_type.display_range(*lo, *hi),
            Operand::Expr(expr) => describe(expr),
            Operand::Set(_) => "in its set".into(),
        };
        let question = self.word_unknown(&test.left, word_op(test.op), &right);
        self.ask_open(question)
    }

    fn ask_open(&mut self, question: Claim) -> Result<(), Actual> {
        let because = "the input does not say it";
        if self
            .know
            .ask_of_packet(question, because, Source::Open, false)
        {
            Ok(())
        } else {
            Err(Actual::Chosen)
        }
    }

    fn word_unknown(&self, left: &Expr, verb: (&'static str, &'static str), rest: &str) -> Claim {
        Claim::new(describe(left), verb, format!("{rest} in {}", self.place()))
    }

    /// Set membership (`nft_lookup_eval`).
    fn member<O: Observer>(
        &mut self,
        left: &Expr,
        id: SetId,
        inverted: bool,
        observer: &mut O,
    ) -> Result<(), Actual> {
        let set = self.world.ruleset.set(id);
        let mut values = [0u128; MAX_KEY];
        let len = match self.key(left, &mut values, observer) {
            Ok(len) => len,
            Err(Actual::Fact(fact)) => {
                let ranges: Ranges = set
                    .ranges()
                    .into_iter()
                    .map(|(lo, hi, _)| (lo, hi))
                    .collect();
                let name = self.know.fact(fact).name.clone();
                let object = self.set_words(id);
                let inside = set.catch_all.is_some()
                    || self.know.test(fact, &ranges, || {
                        Claim::new(name.as_str(), ("is", "is not"), object)
                    });
                return if inside != inverted {
                    Ok(())
                } else {
                    Err(Actual::Fact(fact))
                };
            }
            Err(Actual::Chosen) => {
                let inside = match self.one_unknown(left, id, observer) {
                    Some((fact, candidates)) => {
                        let ranges = union(candidates.iter().map(|&(lo, hi, _)| (lo, hi)));
                        let name = self.know.fact(fact).name.clone();
                        let object = self.set_words(id);
                        set.catch_all.is_some()
                            || self
                                .know
                                .test(fact, &ranges, || Claim::new(name, ("is", "is not"), object))
                    }
                    None => {
                        let claim =
                            Claim::new(describe(left), ("is", "is not"), self.set_words(id));
                        self.ask_open(claim).is_ok()
                    }
                };
                return if inside != inverted {
                    Ok(())
                } else {
                    Err(Actual::Chosen)
                };
            }
            Err(actual) => return Err(actual),
        };
        let key = &values[..len];
        let found = self.find(id, key)?.is_some();
        if found != inverted {
            Ok(())
        } else {
            Err(actual_of(key))
        }
    }

    /// Looks a key up; asks about what a listing of a volatile set cannot say.
    fn find(&mut self, id: SetId, key: &[u128]) -> Result<Option<u32>, Actual> {
        let set = self.world.ruleset.set(id);
        let found = set.find(key);
        if found.is_none() && set.incomplete {
            let name = set.name.as_deref().unwrap_or("anonymous");
            let question = Claim::new(
                format!("one of the elements of set {name} that could not be read"),
                ("fits", "does not fit"),
                set.display_key(key),
            );
            if self.know.ask(
                question,
                "see the list of unknown parts",
                Source::Open,
                false,
            ) {
                // of a map nobody knows to what
                return Ok(Some(NO_DATUM));
            }
        }
        if set.volatile {
            let (question, because) = as_listed(self.world.ruleset, id, key, found.is_some());
            let as_listed = self.know.ask(question, because, Source::Default, true);
            if !as_listed {
                return Ok(if found.is_some() {
                    None
                } else {
                    Some(NO_DATUM)
                });
            }
        }
        Ok(found)
    }

    /// Whether the packet has a conntrack entry that is not confirmed yet: it is the first of its connection.
    fn is_unconfirmed(&self) -> bool {
        let tracked = matches!(self.skb.ct, CtRef::Tracked(_));
        let entry = self.entries.get(self.skb.entry).filter(|_| tracked);
        entry.is_some_and(|entry| entry.status & status::CONFIRMED == 0)
    }

    /// From now on the set has, or has not, an element (`nft_dynset_eval`; docs/semantics/sets.md). Of maps the data would
    /// have to be known as well.
    fn set_updated(&mut self, id: SetId, delete: bool, key: &[u128]) {
        let set = self.world.ruleset.set(id);
        if !set.volatile || set.data_kind.is_some() {
            return;
        }
        let listed = set.find(key).is_some();
        let (claim, _) = as_listed(self.world.ruleset, id, key, listed);
        self.know.presume(claim, listed != delete);
    }

    /// Map look-up: the datum, or why there is none.
    fn lookup<O: Observer>(
        &mut self,
        key: &Expr,
        id: SetId,
        observer: &mut O,
    ) -> Result<Option<&'w Data>, Actual> {
        let mut values = [0u128; MAX_KEY];
        let ruleset: &'w Ruleset = self.world.ruleset;
        let set = ruleset.set(id);
        let len = match self.key(key, &mut values, observer) {
            Ok(len) => len,
            Err(Actual::Fact(fact)) => return self.pick(set, fact, set.ranges()),
            Err(Actual::Chosen) => {
                if let Some((fact, candidates)) = self.one_unknown(key, id, observer) {
                    return self.pick(set, fact, candidates);
                }
                // the key is unknown: which element it hits is too
                let place = match &set.name {
                    Some(name) => format!("an element of @{name}"),
                    None => format!("an element of the map of {}", self.place()),
                };
                let question = Claim::new(describe(key), ("hits", "does not hit"), place);
                self.ask_open(question)?;
                return Err(Actual::Chosen);
            }
            Err(actual) => return Err(actual),
        };
        match self.find(id, &values[..len])? {
            Some(datum) => Ok(set.datum(datum)),
            None => Err(actual_of(&values[..len])),
        }
    }

    /// Which datum a fact leads to: one after the other, the first that the fact is said to be in. Where there are too many,
    /// only whether one is hit.
    fn pick(
        &mut self,
        set: &'w Set,
        fact: FactId,
        candidates: Vec<Candidate>,
    ) -> Result<Option<&'w Data>, Actual> {
        const MOST: usize = 32;
        let mut candidates = candidates;
        // the customary value goes first, so that no other one has to be refused before it
        if let Some((usual, _)) = self.know.fact(fact).usual
            && let Some(first) = candidates
                .iter()
                .find(|(lo, hi, _)| (*lo..=*hi).contains(&usual))
                .map(|(_, _, datum)| *datum)
        {
            let own = candidates.iter().filter(|(_, _, datum)| *datum == first);
            let ranges = union(own.map(|&(lo, hi, _)| (lo, hi)));
            let name = self.know.fact(fact).name.clone();
            let object = shown_ranges(set, &ranges);
            let claim = || Claim::new(name, ("is", "is not"), object);
            if self.know.test(fact, &ranges, claim) {
                return Ok(set.datum(first));
            }
            candidates.retain(|(_, _, datum)| *datum != first);
        }
        let mut groups: Vec<(u32, Vec<(u128, u128)>)> = Vec::new();
        for &(lo, hi, datum) in &candidates {
            match groups.iter().position(|(of, _)| *of == datum) {
                Some(at) => groups[at].1.push((lo, hi)),
                None if groups.len() < MOST => groups.push((datum, vec![(lo, hi)])),
                None => {
                    let all = union(candidates.iter().map(|&(lo, hi, _)| (lo, hi)));
                    let name = self.know.fact(fact).name.clone();
                    let hit = self.know.test(fact, &all, || {
                        Claim::new(name, ("hits", "does not hit"), "an element of the map")
                    });
                    return Err(if hit {
                        Actual::Chosen
                    } else {
                        Actual::Fact(fact)
                    });
                }
            }
        }
        for (datum, ranges) in groups {
            let ranges = union(ranges.into_iter());
            let name = self.know.fact(fact).name.clone();
            if ranges.is_empty() {
                continue;
            }
            let object = shown_ranges(set, &ranges);
            let claim = || Claim::new(name, ("is", "is not"), object);
            if self.know.test(fact, &ranges, claim) {
                return Ok(set.datum(datum));
            }
        }
        match set.catch_all {
            Some(datum) => Ok(set.datum(datum)),
            None => Err(Actual::Fact(fact)),
        }
    }

    /// A key of which one component is a fact and all others are known: the fact, and the elements that fit the others,
    /// with their range of that component.
    fn one_unknown<O: Observer>(
        &mut self,
        key: &Expr,
        id: SetId,
        observer: &mut O,
    ) -> Option<(FactId, Vec<Candidate>)> {
        let Expr::Concat(parts) = key else {
            return None;
        };
        let mut known = Vec::with_capacity(parts.len());
        let mut unknown = None;
        for part in parts.iter() {
            let value = match self.load(part, observer) {
                Loaded::Value(value) => Some(value),
                Loaded::Fact(fact) => match self.know.single(fact) {
                    Some(value) => Some(value),
                    None if unknown.is_none() => {
                        unknown = Some((known.len(), fact));
                        None
                    }
                    None => return None,
                },
                Loaded::Absent | Loaded::Unknown => return None,
            };
            known.push(value);
        }
        let (at, fact) = unknown?;
        let fits =
            |element: &Element| {
                element.key.len() == known.len()
                    && element.key.iter().zip(&known).all(|((lo, hi), value)| {
                        value.is_none_or(|value| *lo <= value && value <= *hi)
                    })
            };
        let elements = self.world.ruleset.set(id).elements();
        let candidates = elements
            .iter()
            .filter(|element| fits(element))
            .map(|element| (element.key[at].0, element.key[at].1, element.datum))
            .collect();
        Some((fact, candidates))
    }

    /// `in @name`, or `in the set of RULE`.
    fn set_words(&self, id: SetId) -> String {
        match &self.world.ruleset.set(id).name {
            Some(name) => format!("in @{name}"),
            None => format!("in the set of {}", self.place()),
        }
    }

    /// Loads a key of one or more components. `Err(Fact)` only for a single fact, `Err(Chosen)` for unknown parts.
    fn key<O: Observer>(
        &mut self,
        expr: &Expr,
        values: &mut [u128; MAX_KEY],
        observer: &mut O,
    ) -> Result<usize, Actual> {
        let parts: &[Expr] = match expr {
            Expr::Concat(parts) => parts,
            single => std::slice::from_ref(single),
        };
        if parts.len() > MAX_KEY {
            return Err(Actual::Chosen);
        }
        let mut unknown = None;
        for (slot, part) in values.iter_mut().zip(parts) {
            match self.load(part, observer) {
                Loaded::Value(value) => *slot = value,
                Loaded::Absent => return Err(Actual::Absent),
                Loaded::Fact(fact) => match self.know.single(fact) {
                    Some(value) => *slot = value,
                    None if parts.len() == 1 => unknown = Some(Actual::Fact(fact)),
                    None => unknown = Some(Actual::Chosen),
                },
                Loaded::Unknown => unknown = Some(Actual::Chosen),
            }
        }
        match unknown {
            Some(actual) => Err(actual),
            None => Ok(parts.len()),
        }
    }

    /// The value of an expression for this packet.
    pub fn load<O: Observer>(&mut self, expr: &Expr, observer: &mut O) -> Loaded {
        match expr {
            Expr::Const(value) => Loaded::Value(*value),
            Expr::Field(field) => self.field(field, observer),
            Expr::Bitwise { of, mask, xor } => {
                map_value(self.load(of, observer), |v| (v & mask) ^ xor)
            }
            Expr::Binary { op, left, right } => {
                let (left, right) = (self.load(left, observer), self.load(right, observer));
                match (left, right) {
                    (Loaded::Absent, _) | (_, Loaded::Absent) => Loaded::Absent,
                    (Loaded::Value(a), Loaded::Value(b)) => Loaded::Value(match op {
                        BitOp::And => a & b,
                        BitOp::Or => a | b,
                        BitOp::Xor => a ^ b,
                    }),
                    _ => Loaded::Unknown,
                }
            }
            Expr::Shift {
                of,
                left,
                by,
                width,
            } => map_value(self.load(of, observer), |v| {
                let by = (*by).min(127);
                if *left {
                    (v << by) & max_of(*width)
                } else {
                    v >> by
                }
            }),
            Expr::Lookup { key, map } => match self.lookup(key, *map, observer) {
                Ok(Some(Data::Value(value))) if value.len() == 1 => Loaded::Value(value[0]),
                Ok(_) => Loaded::Unknown,
                Err(Actual::Chosen) => Loaded::Unknown,
                Err(_) => Loaded::Absent,
            },
            Expr::Numgen {
                modulus, offset, ..
            } => self.drawn("numgen", *modulus, *offset),
            Expr::Hash { modulus, offset } => self.drawn("hash", *modulus, *offset),
            Expr::Unknown(_) | Expr::Concat(_) => Loaded::Unknown,
        }
    }

    /// A number of `modulus` many that the packet and the listing do not say (`numgen`, `jhash`, `symhash`).
    fn drawn(&mut self, what: &str, modulus: u32, offset: u32) -> Loaded {
        let lo = u128::from(offset);
        let hi = lo + u128::from(modulus.max(1)) - 1;
        if lo == hi {
            return Loaded::Value(lo);
        }
        let name = format!("{what} in {}", self.place());
        Loaded::Fact(self.know.add(name, DRAWN, vec![(lo, hi)]))
    }

    /// The current rule in words.
    fn place(&self) -> String {
        let rule = self.world.ruleset.rule(self.rule);
        let chain = self.world.ruleset.chain(rule.chain);
        let table = self.world.ruleset.table(chain.table);
        format!(
            "{} {} {} {}",
            table.family,
            table.name,
            chain.name,
            rule.number()
        )
    }

    /// The datum of a nat map, which may be several values.
    pub fn load_data<O: Observer>(
        &mut self,
        expr: &Expr,
        observer: &mut O,
    ) -> Result<Data, Loaded> {
        if let Expr::Lookup { key, map } = expr {
            return match self.lookup(key, *map, observer) {
                Ok(Some(data)) => Ok(data.clone()),
                Ok(None) | Err(Actual::Chosen) => Err(Loaded::Unknown),
                Err(_) => Err(Loaded::Absent),
            };
        }
        if let Expr::Concat(parts) = expr {
            let mut values = Vec::with_capacity(parts.len());
            for part in parts.iter() {
                match self.load(part, observer) {
                    Loaded::Value(value) => values.push(value),
                    other => return Err(other),
                }
            }
            return Ok(Data::Value(values.into()));
        }
        match self.load(expr, observer) {
            Loaded::Value(value) => Ok(Data::Value(Box::new([value]))),
            other => Err(other),
        }
    }

    fn mangle<O: Observer>(
        &mut self,
        target: &Field,
        value: &Expr,
        observer: &mut O,
    ) -> Result<(), Actual> {
        let loaded = match self.load(value, observer) {
            Loaded::Absent => return Err(Actual::Absent),
            Loaded::Value(value) => Known::Value(value),
            Loaded::Fact(fact) => match self.know.single(fact) {
                Some(value) => Known::Value(value),
                None => Known::Fact(fact),
            },
            Loaded::Unknown => {
                let name = format!("the value computed by {}", self.place());
                let settle = "it is computed from what the input does not say";
                Known::Fact(self.know.add(name, settle, vec![(0, written_max(target))]))
            }
        };
        self.store(target, loaded)
    }

    /// The translation at a statement of the current rule.
    pub fn nat_at(&self, statement: usize) -> Option<&'static str> {
        match &self
            .world
            .ruleset
            .rule(self.rule)
            .statements
            .get(statement)?
            .kind
        {
            Stmt::Nat(Nat { kind, .. }) => Some(kind.name()),
            _ => None,
        }
    }
}

/// The largest value of a field that a statement can write.
fn written_max(target: &Field) -> u128 {
    match target {
        Field::Payload { len, .. } => max_of(*len),
        Field::Ct {
            key: CtKey::Label, ..
        } => u128::MAX,
        Field::Meta(_)
        | Field::Ct { .. }
        | Field::Exthdr { .. }
        | Field::Option { .. }
        | Field::Fib { .. }
        | Field::Rt(_)
        | Field::Socket(_)
        | Field::Opaque(_) => max_of(32),
    }
}

/// A range of the unknown part of a key, and the datum's position of the element it belongs to.
type Candidate = (u128, u128, u32);

/// Sorted and disjoint.
fn union(ranges: impl Iterator<Item = (u128, u128)>) -> Ranges {
    let mut sorted: Ranges = ranges.collect();
    sorted.sort_unstable();
    let mut joined = Ranges::with_capacity(sorted.len());
    for (lo, hi) in sorted {
        match joined.last_mut() {
            Some((_, end)) if lo <= end.saturating_add(1) => *end = hi.max(*end),
            _ => joined.push((lo, hi)),
        }
    }
    joined
}

fn map_value(loaded: Loaded, f: impl FnOnce(u128) -> u128) -> Loaded {
    match loaded {
        Loaded::Value(value) => Loaded::Value(f(value)),
        Loaded::Absent => Loaded::Absent,
        Loaded::Fact(_) | Loaded::Unknown => Loaded::Unknown,
    }
}

fn actual_of(key: &[u128]) -> Actual {
    match key {
        [one] => Actual::Value(*one),
        many => Actual::Tuple(many.to_vec()),
    }
}

/// Whether a known value satisfies an operator; for a range `Eq` means inside.
pub fn compare(op: Op, value: u128, lo: u128, hi: u128) -> bool {
    match op {
        Op::Eq => lo <= value && value <= hi,
        Op::Ne => value < lo || value > hi,
        Op::Lt => value < lo,
        Op::Gt => value > hi,
        Op::Le => value <= hi,
        Op::Ge => value >= lo,
        Op::AnyBit => value & lo != 0,
        Op::NoBit => value & lo == 0,
    }
}

/// The values that satisfy an operator, when they are ranges.
pub fn ranges_of(op: Op, lo: u128, hi: u128) -> Option<Ranges> {
    let below = |end: u128| end.checked_sub(1).map(|end| (0, end));
    let above = |start: u128| start.checked_add(1).map(|start| (start, u128::MAX));
    Some(match op {
        Op::Eq => vec![(lo, hi)],
        Op::Ne => below(lo).into_iter().chain(above(hi)).collect(),
        Op::Lt => below(lo).into_iter().collect(),
        Op::Gt => above(hi).into_iter().collect(),
        Op::Le => vec![(0, hi)],
        Op::Ge => vec![(lo, u128::MAX)],
        Op::AnyBit | Op::NoBit => return None,
    })
}

fn word_op(op: Op) -> (&'static str, &'static str) {
    match op {
        Op::Eq => ("is", "is not"),
        Op::Ne => ("is not", "is"),
        Op::Lt => ("is below", "is not below"),
        Op::Gt => ("is above", "is not above"),
        Op::Le => ("is at most", "is above"),
        Op::Ge => ("is at least", "is below"),
        Op::AnyBit => ("has a bit of", "has no bit of"),
        Op::NoBit => ("has no bit of", "has a bit of"),
    }
}

fn word_test(name: &str, op: Op, lo: u128, hi: u128, data_type: DataType) -> Claim {
    Claim::new(name, word_op(op), data_type.display_range(lo, hi))
}

/// A field in words.
pub fn describe(expr: &Expr) -> String {
    match expr {
        Expr::Field(field) => describe_field(field, PacketKind::ANY),
        Expr::Bitwise { of, .. } | Expr::Shift { of, .. } => describe(of),
        Expr::Binary { left, .. } => describe(left),
        Expr::Numgen { .. } => "numgen".into(),
        Expr::Hash { .. } => "the hash".into(),
        Expr::Concat(parts) => parts.iter().map(describe).collect::<Vec<_>>().join(" . "),
        Expr::Lookup { .. } => "the looked-up value".into(),
        Expr::Const(_) | Expr::Unknown(_) => "an expression".into(),
    }
}

/// A field in nft's words; the kind of packet tells headers apart.
pub fn describe_field(field: &Field, of: PacketKind) -> String {
    match field {
        Field::Meta(key) => format!("meta {}", key.name()),
        Field::Ct { key, dir } => match dir {
            None => format!("ct {}", ct_name(*key)),
            Some(CtDir::Original) => format!("ct original {}", ct_name(*key)),
            Some(CtDir::Reply) => format!("ct reply {}", ct_name(*key)),
        },
        Field::Payload { base, offset, len } => payload_name(*base, *offset, *len, of).0,
        Field::Exthdr { header, .. } => format!("{} header", exthdr_name(*header)),
        Field::Option {
            of,
            kind,
            offset,
            len,
            presence,
        } => option_name(*of, *kind, (!presence).then_some((*offset, *len))).0,
        Field::Fib { .. } => "the fib look-up".into(),
        Field::Rt(key) => format!("rt {}", key.name()),
        Field::Socket(key) => format!("socket {}", key.name()),
        Field::Opaque(what) => match what {
            OpaqueField::Osf => "osf name".into(),
            OpaqueField::Ipsec => "a property of the ipsec tunnel".into(),
            OpaqueField::Tunnel => "a property of the tunnel".into(),
            OpaqueField::Inner => "a field of the packet inside".into(),
        },
    }
}

/// The type of a field's values, for what the user says of it.
pub fn field_type(field: &Field, of: PacketKind) -> DataType {
    match field {
        Field::Meta(key) => key.data_type(),
        Field::Payload { base, offset, len } => payload_name(*base, *offset, *len, of).1,
        Field::Option {
            of,
            kind,
            offset,
            len,
            presence,
        } => option_name(*of, *kind, (!presence).then_some((*offset, *len))).1,
        Field::Ct { key, .. } => match key {
            CtKey::Expiration => DataType::Time,
            CtKey::Label => DataType::CtLabel,
            CtKey::Mark => DataType::Mark,
            _ => DataType::Integer,
        },
        Field::Socket(SocketKey::Mark) => DataType::Mark,
        Field::Exthdr { .. }
        | Field::Fib { .. }
        | Field::Rt(_)
        | Field::Socket(_)
        | Field::Opaque(_) => DataType::Integer,
    }
}

/// nft's name of a conntrack key.
pub fn ct_name(key: CtKey) -> &'static str {
    match key {
        CtKey::State => "state",
        CtKey::Direction => "direction",
        CtKey::Status => "status",
        CtKey::Mark => "mark",
        CtKey::Expiration => "expiration",
        CtKey::Helper => "helper",
        CtKey::Label => "label",
        CtKey::L3proto => "l3proto",
        CtKey::Saddr { .. } => "saddr",
        CtKey::Daddr { .. } => "daddr",
        CtKey::Protocol => "protocol",
        CtKey::ProtoSrc => "proto-src",
        CtKey::ProtoDst => "proto-dst",
        CtKey::Bytes => "bytes",
        CtKey::Packets => "packets",
        CtKey::Avgpkt => "avgpkt",
        CtKey::Zone => "zone",
        CtKey::Event => "event",
        CtKey::Id => "id",
        CtKey::Secmark => "secmark",
    }
}

/// True for keys whose value never changes along a path and that only the packet's sender knows.
pub fn is_sender_fact(key: MetaKey) -> bool {
    matches!(key, MetaKey::Skuid | MetaKey::Skgid | MetaKey::Cgroup)
}

/// Whether a set that changes has an element, or has it not, as its listing says; and why that may be otherwise.
fn as_listed(ruleset: &Ruleset, id: SetId, key: &[u128], listed: bool) -> (Claim, &'static str) {
    let set = ruleset.set(id);
    let mut name = format!("@{}", set.name.as_deref().unwrap_or("anonymous"));
    if set.shares_name {
        let table = ruleset.table(set.table);
        name = format!("{name} of {} {}", table.family, table.name);
    }
    let key = set.display_key(key);
    if listed {
        (
            Claim::new(name, ("still contains", "no longer contains"), key),
            "its elements expire or change with traffic; the listing is a moment's picture",
        )
    } else {
        (
            Claim::new(name, ("does not contain", "contains"), key),
            "packets or programs add to it; the listing is a moment's picture",
        )
    }
}

/// Keys of a set in few words: `10`, `one of 10-20, …`.
fn shown_ranges(set: &Set, ranges: &[(u128, u128)]) -> String {
    let data_type = match set.key.as_slice() {
        [one] => one.data_type,
        _ => DataType::Integer,
    };
    let shown = |&(lo, hi): &(u128, u128)| data_type.display_range(lo, hi);
    match ranges {
        [] => "none".into(),
        [one] => shown(one),
        [first, ..] => format!("one of {}, …", shown(first)),
    }
}
