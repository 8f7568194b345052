//! Base chains and the chains they call (`nft_do_chain`).

use crate::eval::{Pf, RuleEnd, Skb};
use crate::logic::{Claim, Source};
use crate::ruleset::{ChainId, Dormancy, Hook, Policy, RuleId};

use super::step::{Disposition, RuleOutcome, RuleStep, StepKind, Taken};
use super::{Ended, Record, Walker};

/// A chain to resume: where, and how many chains lead to it.
pub(super) type Frame = (ChainId, usize, usize);

/// How deep chains may call each other before the walk takes it for a circle; nft itself refuses more than 16.
const MAX_DEPTH: usize = 64;

impl<R: Record> Walker<'_, R> {
    /// Runs a base chain to its verdict. `Ok` is accept: the next work of the hook goes on.
    pub(super) fn base_chain(
        &mut self,
        skb: &mut Skb,
        pf: Pf,
        hook: Hook,
        id: ChainId,
    ) -> Result<(), Ended> {
        let table = self.ruleset().table_of(id);
        if table.dormancy == Dormancy::Possibly {
            let question = Claim::new(
                format!("table {} {}", table.family, table.name),
                ("is", "is not"),
                "dormant",
            );
            let because = "nft 1.0.6 garbles the flags of tables; see `nft list table`, or list it with a newer nft";
            if self.know.ask(question, because, Source::Open, false) {
                return Ok(());
            }
        }
        self.step(skb, pf, hook, StepKind::Chain(id));
        let mut frames = std::mem::take(&mut self.frames);
        let base = frames.len();
        let ended = self.rules(skb, pf, hook, id, &mut frames, base);
        frames.truncate(base);
        self.frames = frames;
        match ended {
            Some(ended) => ended,
            None => {
                let policy = self
                    .ruleset()
                    .chain(id)
                    .base
                    .as_ref()
                    .map_or(Policy::Accept, |b| b.policy);
                self.step(skb, pf, hook, StepKind::Policy { chain: id, policy });
                match policy {
                    Policy::Accept => Ok(()),
                    Policy::Drop => Err(Disposition::Dropped),
                }
            }
        }
    }

    /// `None`: the end of the base chain was reached.
    fn rules(
        &mut self,
        skb: &mut Skb,
        pf: Pf,
        hook: Hook,
        id: ChainId,
        frames: &mut Vec<Frame>,
        base: usize,
    ) -> Option<Result<(), Ended>> {
        let ruleset = self.ruleset();
        let mut chain = id;
        let mut at = 0;
        // how many chains lead here; as for the kernel (`nft_chain_validate`), goto counts as jump does
        let mut depth = 0;
        loop {
            let Some(&rule) = ruleset.chain(chain).rules.get(at) else {
                if frames.len() == base {
                    return None;
                }
                (chain, at, depth) = frames.pop()?;
                continue;
            };
            at += 1;
            let before = self.know.choices.len();
            let (mut env, record) = self.env(skb, pf, hook);
            let end = env.rule(rule, record);
            if self.budget == 0 {
                self.note(skb, pf, hook, rule, before, Taken::Loop);
                return Some(Err(Disposition::Unknown {
                    because: "the packet passes more rules than are followed here (250,000)".into(),
                    settle: "see `nfpath graph`: chains call each other so often that each packet passes this many rules".into(),
                }));
            }
            self.budget -= 1;
            let mut queue = (true, false);
            let taken = match end {
                RuleEnd::NoMatch { statement, actual } => {
                    let after = self.know.choices.len();
                    self.record.step(|| super::Step {
                        point: super::Point { pf, hook },
                        packet: super::view(skb),
                        kind: StepKind::Rule(RuleStep {
                            rule,
                            outcome: RuleOutcome::NoMatch { statement, actual },
                            choices: (before, after),
                        }),
                    });
                    continue;
                }
                RuleEnd::Continue => Taken::Continue,
                RuleEnd::Accept => Taken::Accept,
                RuleEnd::Drop => Taken::Drop,
                RuleEnd::Return => Taken::Return,
                RuleEnd::Jump(target) => Taken::Jump(target),
                RuleEnd::Goto(target) => Taken::Goto(target),
                RuleEnd::Reject(reject) => {
                    self.reject(skb, pf, hook, reject);
                    Taken::Reject
                }
                RuleEnd::Queue { listens, bypass } => {
                    queue = (listens, bypass);
                    Taken::Queue
                }
                RuleEnd::Fwd(device) => {
                    // the packet is on its way before the rule has its verdict
                    let ended = self.relay(skb, hook, &device);
                    self.note(skb, pf, hook, rule, before, Taken::Stolen);
                    return Some(Err(ended));
                }
                RuleEnd::Stolen { .. } => Taken::Stolen,
                RuleEnd::Unknown(unknown) => Taken::Unknown(unknown),
                RuleEnd::Missing { .. } => Taken::Missing,
                RuleEnd::Nat { statement } => {
                    match self.translate(skb, pf, hook, rule, statement) {
                        Ok(Some(kind)) => Taken::Nat(kind),
                        Ok(None) => Taken::Continue,
                        Err(Some(ended)) => {
                            self.note(skb, pf, hook, rule, before, Taken::Drop);
                            if let Disposition::Host(why) = ended {
                                return Some(Err(self.host_drop(skb, pf, hook, why)));
                            }
                            return Some(Err(ended));
                        }
                        // the address to take is looked up in a map that has none: the rule does not match
                        Err(None) => {
                            self.record.step(|| super::Step {
                                point: super::Point { pf, hook },
                                packet: super::view(skb),
                                kind: StepKind::Rule(RuleStep {
                                    rule,
                                    outcome: RuleOutcome::NoMatch {
                                        statement,
                                        actual: crate::eval::Actual::Absent,
                                    },
                                    choices: (before, before),
                                }),
                            });
                            continue;
                        }
                    }
                }
            };
            self.note(skb, pf, hook, rule, before, taken);
            match taken {
                Taken::Continue => {}
                Taken::Accept | Taken::Nat(_) => return Some(Ok(())),
                Taken::Drop => return Some(Err(Disposition::Dropped)),
                Taken::Reject => return Some(Err(Disposition::Rejected)),
                // nf_queue: without a program the packet is lost, or goes on behind the chain
                Taken::Queue => {
                    return Some(match queue {
                        (true, _) => Err(Disposition::Queued),
                        (false, true) => Ok(()),
                        (false, false) => Err(Disposition::Dropped),
                    });
                }
                Taken::Stolen => return Some(Err(Disposition::Stolen)),
                Taken::Return => {
                    if frames.len() == base {
                        return None;
                    }
                    (chain, at, depth) = frames.pop()?;
                }
                Taken::Jump(_) | Taken::Goto(_) if depth >= MAX_DEPTH => {
                    return Some(Err(circle(&ruleset.chain(chain).name)));
                }
                Taken::Jump(target) => {
                    frames.push((chain, at, depth));
                    (chain, at, depth) = (target, 0, depth + 1);
                }
                Taken::Goto(target) => (chain, at, depth) = (target, 0, depth + 1),
                Taken::Unknown(unknown) => {
                    let unknown = ruleset.unknown(unknown);
                    return Some(Err(Disposition::Unknown {
                        because: format!(
                            "{} in chain {} rule {} is not known",
                            unknown.what,
                            ruleset.chain(chain).name,
                            ruleset.rule(rule).number()
                        ),
                        settle: unknown.settle.clone(),
                    }));
                }
                Taken::Missing => {
                    return Some(Err(Disposition::Unknown {
                        because: format!(
                            "rule {} of chain {} leads to a chain that the listing does not have",
                            ruleset.rule(rule).number(),
                            ruleset.chain(chain).name
                        ),
                        settle: "a complete listing: `nft -j list ruleset`".into(),
                    }));
                }
                Taken::Loop => return Some(Err(circle(&ruleset.chain(chain).name))),
            }
        }
    }

    /// Out by another device, past everything else (`nf_fwd_netdev_egress`).
    fn relay(&mut self, skb: &mut Skb, hook: Hook, device: &str) -> Ended {
        let device = self.iface(device);
        (skb.oif, skb.out_port) = (Some(device), None);
        // what egress chains hand to each other in a circle is not followed
        if hook == Hook::Ingress
            && let Err(ended) = self.egress(skb, device)
        {
            return ended;
        }
        if self.is_bridge(Some(device))
            && let Err(ended) = self.bridge_out(skb, device)
        {
            return ended;
        }
        self.step(skb, Pf::Netdev, hook, StepKind::Leaves);
        Disposition::Relayed
    }

    fn note(&mut self, skb: &Skb, pf: Pf, hook: Hook, rule: RuleId, before: usize, taken: Taken) {
        let choices = (before, self.know.choices.len());
        self.step(
            skb,
            pf,
            hook,
            StepKind::Rule(RuleStep {
                rule,
                outcome: RuleOutcome::Matched(taken),
                choices,
            }),
        );
    }
}

fn circle(chain: &str) -> Disposition {
    Disposition::Unknown {
        because: format!(
            "chain {chain} is part of a circle of jumps, which the kernel would not load"
        ),
        settle: "a listing made by nft itself: `nft -j list ruleset`".into(),
    }
}
