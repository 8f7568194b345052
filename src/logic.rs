//! Three-valued logic: what a walk knows, what it was told, and what it had to choose.
//!
//! A [`Fact`] is something that the ruleset asks for and that the input does not say (the client's source port, a
//! packet mark, an opaque match). Its domain is the set of values it can still have. A test on a fact is
//! answered from the domain when all remaining values agree, and is a [`Choice`] otherwise; the choice then narrows the
//! domain, so that no path contradicts itself. Walking again with another script of choices gives the alternatives.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How questions name the packet that comes back.
const REPLY: &str = "the reply";

/// What settles a number that the kernel draws anew for each packet: nothing does, and every value comes up.
pub const DRAWN: &str = "the kernel draws it";

/// Inclusive ranges, sorted and disjoint.
pub type Ranges = Vec<(u128, u128)>;

/// Index of a fact in [`Knowledge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FactId(pub u16);

/// A value that is known, or a fact that stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Known<T> {
    Value(T),
    Fact(FactId),
}

impl<T: Copy> Known<T> {
    /// The value when it is known.
    pub fn value(self) -> Option<T> {
        match self {
            Known::Value(value) => Some(value),
            Known::Fact(_) => None,
        }
    }
}

/// Where the answer to an open question came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// Worked out from the ruleset itself.
    Inferred,
    /// The customary answer (a limit is not exceeded, TTL 64).
    Default,
    /// Said by the user.
    Flag,
    /// Nobody knows: one of several answers was tried.
    Open,
}

/// Something that the input does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// In words, without article: `source port`.
    pub name: String,
    /// What would settle it: `--flow with a source port`.
    pub settle: String,
    /// Values it can still have on this path.
    pub domain: Ranges,
    /// True for an address of this host, whichever it is.
    pub own_address: bool,
    /// The customary value, and what it is worth.
    pub usual: Option<(u128, Source)>,
}

/// A statement about the world that may hold or not, worded for both.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    subject: String,
    verb: (&'static str, &'static str),
    object: String,
}

impl Claim {
    /// `Claim::new("source port", ("is", "is not"), "53")`
    pub fn new(
        subject: impl Into<String>,
        verb: (&'static str, &'static str),
        object: impl Into<String>,
    ) -> Claim {
        Claim {
            subject: subject.into(),
            verb,
            object: object.into(),
        }
    }

    /// The sentence, without capital and period: `source port is not 53`.
    pub fn said(&self, holds: bool) -> String {
        let verb = if holds { self.verb.0 } else { self.verb.1 };
        format!("{} {verb} {}", self.subject, self.object)
            .trim_end()
            .to_string()
    }
}

/// A question that the input left open, and the answer this path took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The question as a claim: `source port is 5353`.
    pub claim: Claim,
    pub holds: bool,
    /// The answer when nothing says otherwise.
    pub usual: bool,
    /// Why it was asked and what would settle it.
    pub because: String,
    pub source: Source,
}

impl Claim {
    /// Whether words say that the claim holds, or that it does not. What stands behind it (the rule, which packet) may
    /// be left out.
    fn said_by(&self, words: &str) -> Option<bool> {
        [true, false].into_iter().find(|&holds| {
            let said = self.said(holds);
            let rest = said.strip_prefix(words);
            rest.is_some_and(|rest| {
                rest.is_empty() || [" (", " in ", ", for "].iter().any(|p| rest.starts_with(p))
            })
        })
    }
}

/// An answer that the user gave beforehand (`--assume FACT=VALUE`).
#[derive(Debug, Default)]
struct Assumed {
    /// The name of a fact, or a claim.
    words: String,
    value: String,
    /// Something asked for it.
    used: AtomicBool,
}

impl Assumed {
    /// Whether it settles a claim, and how.
    fn settles(&self, claim: &Claim) -> Option<bool> {
        let yes = match self.value.as_str() {
            "yes" => true,
            "no" => false,
            _ => return None,
        };
        let holds = claim.said_by(&self.words)?;
        self.used.store(true, Ordering::Relaxed);
        Some(holds == yes)
    }
}

/// What one walk knows about open facts.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    facts: Vec<Fact>,
    /// Shared by all walks of a question.
    assumed: Arc<[Assumed]>,
    /// Facts that had the value which the user gave: name and value.
    pub said: Vec<(String, String)>,
    /// Answers to tests that do not narrow a domain, so that the same question gets the same answer.
    answered: HashMap<Claim, bool>,
    /// Addresses of which it is settled whether they are this host's.
    own: Vec<(IpAddr, bool)>,
    /// Which packet is walked, after the request.
    packet: Option<&'static str>,
    script: Vec<bool>,
    /// Every choice made so far, in order.
    pub choices: Vec<Choice>,
}

impl Knowledge {
    /// Knowledge whose first choices are prescribed; later ones take their default.
    pub fn with_script(script: Vec<bool>) -> Knowledge {
        Knowledge {
            script,
            ..Knowledge::default()
        }
    }

    /// Answers that hold whatever is usual: facts by name or claims in words, each with its value.
    pub fn assume(&mut self, answers: &[(String, String)]) {
        let assumed = answers.iter().map(|(words, value)| Assumed {
            words: words.clone(),
            value: value.clone(),
            used: AtomicBool::new(false),
        });
        self.assumed = assumed.collect();
    }

    /// Which of the answers given beforehand nothing asked for, by position. Walks share this.
    pub fn unused(&self) -> Vec<usize> {
        let assumed = self.assumed.iter().enumerate();
        let unused = assumed.filter(|(_, assumed)| !assumed.used.load(Ordering::Relaxed));
        unused.map(|(at, _)| at).collect()
    }

    /// Whether the user says what value a fact has.
    pub fn is_assumed(&self, name: &str) -> bool {
        self.assumed.iter().any(|given| given.words == name)
    }

    /// Gives a new fact the value that the user says it has; `read` makes a number of the text. The rule that a fact is
    /// of may be left out.
    fn take_assumed(&mut self, id: FactId, read: impl Fn(&str) -> Option<u128>) {
        let assumed = Arc::clone(&self.assumed);
        let fact = &mut self.facts[id.0 as usize];
        let names = |given: &&Assumed| {
            let rest = fact.name.strip_prefix(given.words.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" in "))
        };
        for given in assumed.iter().filter(names) {
            let Some(value) = read(&given.value) else {
                continue;
            };
            let left = intersect(&fact.domain, &[(value, value)]);
            if !left.is_empty() {
                fact.domain = left;
                given.used.store(true, Ordering::Relaxed);
                self.said.push((given.words.clone(), given.value.clone()));
            }
        }
    }

    /// Prescribes the answers to the first choices.
    pub fn prescribe(&mut self, script: Vec<bool>) {
        self.script = script;
    }

    /// Adds a fact.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        settle: impl Into<String>,
        domain: Ranges,
    ) -> FactId {
        let id = self.push(name.into(), settle.into(), domain);
        self.take_assumed(id, |text| text.parse().ok());
        id
    }

    fn push(&mut self, name: String, settle: String, domain: Ranges) -> FactId {
        let id = FactId(self.facts.len() as u16);
        self.facts.push(Fact {
            name,
            settle,
            domain,
            own_address: false,
            usual: None,
        });
        id
    }

    /// The address of an interface of this host that nobody said.
    pub fn own_address(&mut self, dev: &str) -> FactId {
        let name = format!("the address of {dev}");
        let settle = "say it with `--iface NAME=ADDR/LEN`, or give a snapshot";
        let id = self.named(&name, settle, || vec![(0, u128::MAX)]);
        self.facts[id.0 as usize].own_address = true;
        id
    }

    /// The fact of this name, added when it is new. `read` makes a number of what the user says of it.
    pub fn named_as(
        &mut self,
        name: &str,
        settle: &str,
        domain: (u128, u128),
        read: impl Fn(&str) -> Option<u128>,
    ) -> FactId {
        if let Some(at) = self.facts.iter().position(|fact| fact.name == name) {
            return FactId(at as u16);
        }
        let id = self.push(name.into(), settle.into(), vec![domain]);
        self.take_assumed(id, read);
        id
    }

    /// The fact of this name, added when it is new.
    pub fn named(&mut self, name: &str, settle: &str, domain: impl FnOnce() -> Ranges) -> FactId {
        match self.facts.iter().position(|fact| fact.name == name) {
            Some(at) => FactId(at as u16),
            None => self.add(name, settle, domain()),
        }
    }

    /// Says what is usual about a fact.
    pub fn usually(&mut self, id: FactId, value: u128, source: Source) {
        self.facts[id.0 as usize].usual = Some((value, source));
    }

    /// A name for a property of the packet on its way: the reply has another.
    pub fn of_packet(&self, name: &str) -> String {
        match self.packet {
            Some(packet) => format!("{name} of {packet}"),
            None => name.to_string(),
        }
    }

    pub fn fact(&self, id: FactId) -> &Fact {
        &self.facts[id.0 as usize]
    }

    /// The fact's value when only one is left.
    pub fn single(&self, id: FactId) -> Option<u128> {
        match self.fact(id).domain.as_slice() {
            [(lo, hi)] if lo == hi => Some(*lo),
            _ => None,
        }
    }

    /// Whether the fact lies in `ranges` (sorted, disjoint); a choice when the domain does not decide.
    ///
    /// `claim` words the question and is called only when it is one.
    pub fn test(
        &mut self,
        id: FactId,
        ranges: &[(u128, u128)],
        claim: impl FnOnce() -> Claim,
    ) -> bool {
        let usual = match self.fact(id).usual {
            Some((value, source)) => (ranges.iter().any(|r| r.0 <= value && value <= r.1), source),
            None => (false, Source::Open),
        };
        self.test_with(id, ranges, usual, claim)
    }

    /// As [`Knowledge::test`], with the answer that is usual, and who says so.
    pub fn test_with(
        &mut self,
        id: FactId,
        ranges: &[(u128, u128)],
        (usual, source): (bool, Source),
        claim: impl FnOnce() -> Claim,
    ) -> bool {
        let inside = intersect(&self.fact(id).domain, ranges);
        if inside.is_empty() {
            return false;
        }
        let outside = subtract(&self.fact(id).domain, ranges);
        if outside.is_empty() {
            return true;
        }
        let because = self.fact(id).settle.clone();
        let holds = self.choose(claim(), because, source, usual);
        self.facts[id.0 as usize].domain = if holds { inside } else { outside };
        holds
    }

    /// A yes-or-no question that no domain decides; asked once, then answered the same.
    ///
    /// `usual` is the answer when no script says otherwise.
    pub fn ask(
        &mut self,
        claim: Claim,
        because: impl Into<String>,
        source: Source,
        usual: bool,
    ) -> bool {
        if let Some(&holds) = self.answered.get(&claim) {
            return holds;
        }
        let holds = self.choose(claim.clone(), because.into(), source, usual);
        self.answered.insert(claim, holds);
        holds
    }

    /// A yes-or-no question about the packet on its way: another packet may have another answer.
    pub fn ask_of_packet(
        &mut self,
        mut claim: Claim,
        because: impl Into<String>,
        source: Source,
        usual: bool,
    ) -> bool {
        if let Some(packet) = self.packet {
            claim.object.push_str(", for ");
            claim.object.push_str(packet);
        }
        self.ask(claim, because, source, usual)
    }

    /// Answers a question before it is asked: no choice is made of it.
    pub fn presume(&mut self, claim: Claim, holds: bool) {
        self.answered.insert(claim, holds);
    }

    /// Settles whether an address is one of this host; for a packet this is said of its source, so it costs no words.
    pub fn settle_own(&mut self, address: IpAddr, own: bool) {
        match self.own.iter_mut().find(|(known, _)| *known == address) {
            Some(known) => known.1 = own,
            None => self.own.push((address, own)),
        }
    }

    /// Whether an address is one of this host, when that is settled.
    pub fn settled_own(&self, address: IpAddr) -> Option<bool> {
        let known = self.own.iter().find(|(known, _)| *known == address);
        known.map(|(_, own)| *own)
    }

    /// Whether the reply is walked.
    pub fn walks_reply(&self) -> bool {
        self.packet == Some(REPLY)
    }

    /// From now on the reply is walked.
    pub fn begin_reply(&mut self) {
        self.packet = Some(REPLY);
    }

    /// From now on the answer to a refused packet is walked; gives what was walked before.
    pub fn begin_answer(&mut self) -> Option<&'static str> {
        self.packet.replace("the answer")
    }

    /// The answer has gone.
    pub fn end_answer(&mut self, before: Option<&'static str>) {
        self.packet = before;
    }

    fn choose(&mut self, claim: Claim, because: String, source: Source, usual: bool) -> bool {
        let assumed = Arc::clone(&self.assumed);
        if let Some(holds) = assumed.iter().rev().find_map(|given| given.settles(&claim)) {
            self.choices.push(Choice {
                claim,
                holds,
                usual: holds,
                because: "said by `--assume`".into(),
                source: Source::Flag,
            });
            return holds;
        }
        let holds = self
            .script
            .get(self.choices.len())
            .copied()
            .unwrap_or(usual);
        self.choices.push(Choice {
            claim,
            holds,
            usual,
            because,
            source,
        });
        holds
    }
}

/// Values in both.
pub fn intersect(a: &[(u128, u128)], b: &[(u128, u128)]) -> Ranges {
    let mut out = Ranges::new();
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let lo = x.0.max(y.0);
        let hi = x.1.min(y.1);
        if lo <= hi {
            out.push((lo, hi));
        }
        if x.1 < y.1 {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

/// Values in `a` and not in `b`.
pub fn subtract(a: &[(u128, u128)], b: &[(u128, u128)]) -> Ranges {
    let mut out = Ranges::new();
    for &(lo, hi) in a {
        let mut from = Some(lo);
        for &(blo, bhi) in b {
            let Some(start) = from else { break };
            if bhi < start || blo > hi {
                continue;
            }
            if blo > start {
                out.push((start, blo - 1));
            }
            from = bhi.checked_add(1).filter(|next| *next <= hi);
        }
        if let Some(start) = from {
            out.push((start, hi));
        }
    }
    out
}

/// The largest value of a width in bits.
pub fn max_of(width: u32) -> u128 {
    if width >= 128 {
        u128::MAX
    } else {
        (1u128 << width) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_narrows_the_fact_so_that_a_path_never_contradicts_itself() {
        let mut know = Knowledge::with_script(vec![true]);
        let port = know.add("source port", "", vec![(1024, 65535)]);
        assert!(!know.test(port, &[(53, 53)], || unreachable!()));
        assert!(know.test(port, &[(2000, 3000)], || Claim::new(
            "source port",
            ("is", "is not"),
            "2000-3000"
        )));
        assert!(!know.test(port, &[(4000, 4000)], || unreachable!()));
        assert!(know.test(port, &[(1000, 5000)], || unreachable!()));
        assert_eq!(know.choices.len(), 1);
    }

    #[test]
    fn what_the_user_says_settles_claims_and_facts_whatever_is_usual() {
        let mut know = Knowledge::default();
        let given = [
            ("the rate limit is exceeded", "yes"),
            ("tcp window", "5"),
            ("nothing", "1"),
        ];
        let given = given.map(|(words, value)| (words.to_string(), value.to_string()));
        know.assume(&given);
        let within = Claim::new(
            "the rate limit",
            ("is not", "is"),
            "exceeded (chain c rule #4)",
        );
        assert!(!know.ask(within, "", Source::Default, true));
        assert_eq!(know.choices[0].source, Source::Flag);
        let read = |text: &str| text.parse().ok();
        let window = know.named_as("tcp window", "", (0, 65535), read);
        assert_eq!(know.single(window), Some(5));
        assert_eq!(know.said, [("tcp window".to_string(), "5".to_string())]);
        assert_eq!(know.clone().unused(), [2]);
    }

    #[test]
    fn ranges_subtract_and_intersect_at_the_edges() {
        assert_eq!(subtract(&[(0, u128::MAX)], &[(5, u128::MAX)]), vec![(0, 4)]);
        assert_eq!(
            subtract(&[(0, 9)], &[(0, 0), (9, 9), (4, 5)][..2]),
            vec![(1, 8)]
        );
        assert_eq!(subtract(&[(3, 3)], &[(3, 3)]), vec![]);
        assert_eq!(
            intersect(&[(0, 5), (8, 9)], &[(5, 8)]),
            vec![(5, 5), (8, 8)]
        );
    }
}
