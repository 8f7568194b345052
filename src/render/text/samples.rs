//! Reports made by hand, as the builder makes them.

use std::net::IpAddr;

use crate::owner::Owner;
use crate::report::{
    Alternative, Assumption, BridgeWhat, ChainStep, ConntrackStep, ContextInfo, Field, FlowInfo,
    FlowReport, NatStep, Note, Packet, PathReport, Report, RoutingStep, RuleRef, RuleStep,
    RulesetInfo, Step, StepKind, UnknownPart, Verdict,
};
use crate::ruleset::{Family, Handle, Hook};

/// A path under construction.
struct Way {
    layer: &'static str,
    hook: Hook,
    input: Packet,
    now: Packet,
    steps: Vec<Step>,
    deciding: Vec<usize>,
    table: (Family, String),
}

fn known(text: &str) -> Field {
    Field::Known(text.to_string())
}

fn packet(src: (&str, u16), dst: (&str, u16), iif: Option<&str>) -> Packet {
    Packet {
        src: known(src.0),
        dst: known(dst.0),
        sport: Some(match src.1 {
            0 => Field::Unknown("any unprivileged port".to_string()),
            port => known(&port.to_string()),
        }),
        dport: Some(match dst.1 {
            0 => Field::Unknown("any unprivileged port".to_string()),
            port => known(&port.to_string()),
        }),
        proto: 17,
        icmp: None,
        iif: iif.map(|name| Field::Known(name.to_string())),
        oif: None,
        in_port: None,
        out_port: None,
        mark: Some(0),
        ttl: 64,
        ct_state: None,
    }
}

impl Way {
    fn new(packet: Packet) -> Way {
        Way {
            layer: "ip",
            hook: Hook::Prerouting,
            input: packet.clone(),
            now: packet,
            steps: Vec::new(),
            deciding: Vec::new(),
            table: (Family::Ip, String::new()),
        }
    }

    fn at(mut self, layer: &'static str, hook: Hook) -> Way {
        (self.layer, self.hook) = (layer, hook);
        self
    }

    fn step(mut self, kind: StepKind) -> Way {
        self.steps.push(Step {
            hook: self.hook,
            layer: self.layer,
            packet: self.now.clone().into(),
            kind,
        });
        self
    }

    /// `chain` is `family table chain`, `setting` is `type priority words`.
    fn chain(mut self, chain: &str, setting: &str, policy_accept: bool) -> Way {
        let words: Vec<&str> = chain.split(' ').collect();
        let family = Family::from_name(words[0]).unwrap();
        self.table = (family, words[1].to_string());
        let mut setting = setting.splitn(3, ' ');
        let chain_type = setting.next().unwrap().to_string();
        let priority = setting.next().unwrap().parse().unwrap();
        self.step(StepKind::Chain(ChainStep {
            family,
            table: words[1].to_string(),
            chain: words[2].to_string(),
            priority,
            priority_words: setting.next().unwrap_or_default().to_string(),
            chain_type,
            policy_accept,
            owner: Owner::by_name(words[1], words[2]),
        }))
    }

    fn rule(self, chain: &str, handle: u64, text: &str, verdict: &str, why: Option<&str>) -> Way {
        let at = RuleRef {
            family: self.table.0,
            table: self.table.1.clone(),
            chain: chain.to_string(),
            handle: Handle(handle),
            index: 0,
        };
        let target = ["jump ", "goto "]
            .iter()
            .find_map(|call| verdict.strip_prefix(call));
        self.step(StepKind::Rule(RuleStep {
            owner: Owner::by_name(&at.table, chain),
            leads_to: target.and_then(|target| Owner::by_name(&at.table, target)),
            at,
            text: text.to_string(),
            comment: None,
            matched: why.is_none(),
            verdict: verdict.to_string(),
            why: why.map(str::to_string).into_iter().collect(),
            depth: 0,
            assumed: false,
        }))
    }

    fn yes(self, chain: &str, handle: u64, text: &str, verdict: &str) -> Way {
        self.rule(chain, handle, text, verdict, None)
    }

    fn no(self, chain: &str, handle: u64, text: &str, why: &str) -> Way {
        self.rule(chain, handle, text, "continue", Some(why))
    }

    fn comment(mut self, comment: &str) -> Way {
        if let Some(StepKind::Rule(rule)) = self.steps.last_mut().map(|step| &mut step.kind) {
            rule.comment = Some(comment.to_string());
        }
        self
    }

    fn assumed(mut self) -> Way {
        if let Some(StepKind::Rule(rule)) = self.steps.last_mut().map(|step| &mut step.kind) {
            rule.assumed = true;
        }
        self
    }

    fn decides(mut self) -> Way {
        self.deciding.push(self.steps.len() - 1);
        self
    }

    fn policy(self, chain: &str, accept: bool) -> Way {
        let (family, table) = self.table.clone();
        self.step(StepKind::Policy {
            family,
            table,
            chain: chain.to_string(),
            accept,
        })
        .decides()
    }

    fn conntrack(mut self, state: &'static str, reply: bool) -> Way {
        if state != "confirmed" {
            self.now.ct_state = Some(state);
        }
        self.step(StepKind::Conntrack(ConntrackStep { state, reply }))
    }

    /// Rewrites the source or the destination.
    fn nat(
        mut self,
        source: bool,
        to: (&str, u16),
        by: Option<(&str, u64, &'static str)>,
        reply: bool,
    ) -> Way {
        let (addr, port) = match source {
            true => (&mut self.now.src, &mut self.now.sport),
            false => (&mut self.now.dst, &mut self.now.dport),
        };
        let words = |addr: &Field, port: &Option<Field>| super::words::end(addr, port.as_ref());
        let from = words(addr, port);
        *addr = known(to.0);
        if to.1 != 0 {
            *port = Some(known(&to.1.to_string()));
        }
        let to = words(addr, port);
        let at = by.map(|(chain, handle, _)| RuleRef {
            family: self.table.0,
            table: self.table.1.clone(),
            chain: chain.to_string(),
            handle: Handle(handle),
            index: 0,
        });
        self.step(StepKind::Nat(NatStep {
            source,
            from,
            to,
            by: at,
            statement: by.map(|(_, _, statement)| statement),
            reply,
        }))
    }

    fn route(mut self, decision: &'static str, oif: Option<&str>, route: &str) -> Way {
        self.now.oif = oif.map(|name| Field::Known(name.to_string()));
        self.step(StepKind::Routing(RoutingStep {
            decision,
            oif: oif.map(|name| Field::Known(name.to_string())),
            route: Some(route.to_string()),
            again: false,
        }))
    }

    fn forward_hop(mut self) -> Way {
        self = self.at("ip", Hook::Forward);
        let before = self.now.ttl;
        self.now.ttl -= 1;
        let after = self.now.ttl;
        self.step(StepKind::Ttl { before, after })
    }

    fn bridge(self, what: BridgeWhat, text: &str) -> Way {
        self.step(StepKind::Bridge {
            what,
            text: text.to_string(),
        })
    }

    fn ends(self, verdict: Verdict, disposition: &'static str) -> PathReport {
        PathReport {
            verdict,
            disposition,
            unknown: None,
            input: self.input,
            output: self.now,
            steps: self.steps,
            deciding: self.deciding,
            answer: None,
        }
    }
}

fn info(proto: &str, src: Option<&str>, dst: &str, dport: u16, iif: Option<&str>) -> FlowInfo {
    let number = match proto {
        "tcp" => 6,
        "icmp" => 1,
        _ => 17,
    };
    let dst: IpAddr = dst.parse().unwrap();
    FlowInfo {
        text: format!("{proto}:{}->{dst}:{dport}", src.unwrap_or_default()),
        proto: number,
        proto_name: proto.to_string(),
        src: src.map(|src| src.parse().unwrap()),
        sport: None,
        dst,
        dport: Some(dport),
        iif: iif.map(str::to_string),
        mark: 0,
    }
}

fn flow(info: FlowInfo, request: PathReport, reply: Option<PathReport>) -> FlowReport {
    let verdict = super::words::conversation(&request, reply.as_ref());
    FlowReport {
        flow: info,
        verdict,
        request,
        reply,
        assumptions: Vec::new(),
        alternatives: Vec::new(),
        notes: Vec::new(),
        why_not: Vec::new(),
        advice: None,
        truncated: false,
    }
}

pub(super) fn report(flows: Vec<FlowReport>) -> Report {
    Report {
        ruleset: RulesetInfo {
            source: "ruleset.json".to_string(),
            nft_version: Some("1.1.3".to_string()),
            tables: 6,
            chains: 64,
            rules: 102,
            sets: 0,
            unknown: Vec::new(),
        },
        context: ContextInfo::default(),
        flows,
        diagnostics: Vec::new(),
    }
}

/// The calls that every zone of firewalld makes in vain.
fn empty_zone(mut way: Way, prefix: &str, first: u64) -> Way {
    for (at, name) in ["log", "deny", "allow"].into_iter().enumerate() {
        let call = format!("jump {prefix}_{name}");
        way = way.yes(prefix, first + at as u64, &call, &call);
    }
    way
}

/// firewalld's chains before conntrack and behind it, up to the nat chains.
fn firewalld_prerouting(mut way: Way, zone: &str, tracked: (&'static str, bool)) -> Way {
    let jump = "jump raw_PREROUTING_ZONES";
    way = way
        .chain(
            "inet firewalld raw_PREROUTING",
            "filter -290 raw + 10",
            true,
        )
        .no(
            "raw_PREROUTING",
            32,
            "icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept",
            "protocol is udp",
        )
        .no(
            "raw_PREROUTING",
            33,
            "meta nfproto ipv6 fib saddr . iif oif missing drop",
            "meta nfproto is ipv4",
        )
        .yes("raw_PREROUTING", 34, jump, jump);
    way = match zone {
        "ens192" => way.yes(
            "raw_PREROUTING_ZONES",
            35,
            "iifname \"ens192\" goto raw_PRE_public",
            "goto raw_PRE_public",
        ),
        _ => way
            .no(
                "raw_PREROUTING_ZONES",
                35,
                "iifname \"ens192\" goto raw_PRE_public",
                "iifname is \"docker1\"",
            )
            .yes(
                "raw_PREROUTING_ZONES",
                36,
                "goto raw_PRE_public",
                "goto raw_PRE_public",
            ),
    };
    way = empty_zone(way, "raw_PRE_public", 37)
        .policy("raw_PREROUTING", true)
        .conntrack(tracked.0, tracked.1);
    let jump = "jump mangle_PREROUTING_ZONES";
    way = way
        .chain(
            "inet firewalld mangle_PREROUTING",
            "filter -140 mangle + 10",
            true,
        )
        .yes("mangle_PREROUTING", 40, jump, jump);
    way = match zone {
        "ens192" => way.yes(
            "mangle_PREROUTING_ZONES",
            41,
            "iifname \"ens192\" goto mangle_PRE_public",
            "goto mangle_PRE_public",
        ),
        _ => way
            .no(
                "mangle_PREROUTING_ZONES",
                41,
                "iifname \"ens192\" goto mangle_PRE_public",
                "iifname is \"docker1\"",
            )
            .yes(
                "mangle_PREROUTING_ZONES",
                42,
                "goto mangle_PRE_public",
                "goto mangle_PRE_public",
            ),
    };
    empty_zone(way, "mangle_PRE_public", 43).policy("mangle_PREROUTING", true)
}

fn docker_accept(port: &str, container: u8) -> String {
    format!(
        "iifname != \"docker1\" oifname \"docker1\" ip daddr 172.20.0.{container} {port} counter accept"
    )
}

fn c1_request() -> PathReport {
    let way = Way::new(packet(
        ("10.254.10.105", 0),
        ("10.254.10.252", 1812),
        Some("ens192"),
    ));
    let way = firewalld_prerouting(way, "ens192", ("new", false))
        .chain("ip nat PREROUTING", "nat -100 dstnat", true)
        .yes(
            "PREROUTING",
            10,
            "fib daddr type local counter jump DOCKER",
            "jump DOCKER",
        )
        .no(
            "DOCKER",
            6,
            "tcp dport 8080 counter dnat to 172.20.0.2:8080",
            "protocol is udp",
        )
        .no(
            "DOCKER",
            7,
            "udp dport 514 counter dnat to 172.20.0.3:514",
            "udp dport is 1812",
        )
        .yes(
            "DOCKER",
            8,
            "udp dport 1812 counter dnat to 172.20.0.4:1812",
            "accept",
        )
        .decides()
        .nat(
            false,
            ("172.20.0.4", 1812),
            Some(("DOCKER", 8, "dnat")),
            false,
        )
        .route("forward", Some("docker1"), "172.20.0.0/24 dev docker1")
        .forward_hop()
        .chain("ip filter FORWARD", "filter 0 filter", false)
        .yes(
            "FORWARD",
            17,
            "counter jump DOCKER-USER",
            "jump DOCKER-USER",
        )
        .yes("DOCKER-USER", 16, "counter return", "return")
        .yes(
            "FORWARD",
            18,
            "counter jump DOCKER-ISOLATION-STAGE-1",
            "jump DOCKER-ISOLATION-STAGE-1",
        )
        .no(
            "DOCKER-ISOLATION-STAGE-1",
            14,
            "iifname \"docker1\" oifname != \"docker1\" counter jump DOCKER-ISOLATION-STAGE-2",
            "iifname is \"ens192\"",
        )
        .yes("DOCKER-ISOLATION-STAGE-1", 15, "counter return", "return")
        .no(
            "FORWARD",
            19,
            "oifname \"docker1\" ct state established,related counter accept",
            "ct state is new",
        )
        .yes(
            "FORWARD",
            20,
            "oifname \"docker1\" counter jump DOCKER",
            "jump DOCKER",
        )
        .no(
            "DOCKER",
            8,
            &docker_accept("tcp dport 8080", 2),
            "ip daddr is 172.20.0.4",
        )
        .no(
            "DOCKER",
            9,
            &docker_accept("udp dport 514", 3),
            "ip daddr is 172.20.0.4",
        )
        .yes("DOCKER", 10, &docker_accept("udp dport 1812", 4), "accept")
        .decides()
        .chain(
            "inet firewalld filter_FORWARD",
            "filter 10 filter + 10",
            true,
        )
        .no(
            "filter_FORWARD",
            54,
            "ct state { established, related } accept",
            "ct state is new",
        )
        .yes("filter_FORWARD", 55, "ct status dnat accept", "accept")
        .decides()
        .at("ip", Hook::Postrouting)
        .chain("ip nat POSTROUTING", "nat 100 srcnat", true)
        .no(
            "POSTROUTING",
            12,
            "oifname \"docker1\" fib saddr type local counter masquerade",
            "fib saddr type is unicast",
        )
        .no(
            "POSTROUTING",
            13,
            "oifname != \"docker1\" ip saddr 172.20.0.0/24 counter masquerade",
            "oifname is \"docker1\"",
        )
        .policy("POSTROUTING", true)
        .chain("ip firewalld nat_POSTROUTING", "nat 110 srcnat + 10", true)
        .yes(
            "nat_POSTROUTING",
            19,
            "jump nat_POSTROUTING_ZONES",
            "jump nat_POSTROUTING_ZONES",
        )
        .no(
            "nat_POSTROUTING_ZONES",
            20,
            "oifname \"ens192\" goto nat_POST_public",
            "oifname is \"docker1\"",
        )
        .yes(
            "nat_POSTROUTING_ZONES",
            21,
            "goto nat_POST_public",
            "goto nat_POST_public",
        );
    let mut way = empty_zone(way, "nat_POST_public", 22)
        .yes(
            "nat_POST_public_allow",
            25,
            "oifname != \"lo\" masquerade",
            "accept",
        )
        .decides()
        .nat(
            true,
            ("172.20.0.1", 0),
            Some(("nat_POST_public_allow", 25, "masquerade")),
            false,
        )
        .conntrack("confirmed", false)
        .bridge(
            BridgeWhat::Down,
            "docker1 is a bridge: the packet goes down to its port vethradius",
        )
        .at("bridge", Hook::Output);
    way.now.out_port = Some(Field::Known("vethradius".to_string()));
    way.chain("bridge filter OUTPUT", "filter -200 filter", true)
        .yes("OUTPUT", 6, "ether type ip counter", "continue")
        .policy("OUTPUT", true)
        .at("ip", Hook::Postrouting)
        .step(StepKind::Leaves)
        .ends(Verdict::Accept, "forwarded")
}

fn c1_reply() -> PathReport {
    let mut packet = packet(("172.20.0.4", 1812), ("172.20.0.1", 0), Some("docker1"));
    packet.in_port = Some(Field::Known("vethradius".to_string()));
    let way = Way::new(packet)
        .at("bridge", Hook::Prerouting)
        .bridge(
            BridgeWhat::Enters,
            "the frame comes in by port vethradius of docker1",
        )
        .bridge(
            BridgeWhat::CallsIp,
            "br_netfilter runs the prerouting chains of ip from inside the bridge",
        )
        .at("ip", Hook::Prerouting);
    firewalld_prerouting(way, "docker1", ("established", true))
        .nat(false, ("10.254.10.105", 0), None, true)
        .at("bridge", Hook::Prerouting)
        .bridge(
            BridgeWhat::Up,
            "the frame is addressed to docker1 itself: it goes up to the IP stack through bridge input",
        )
        .at("bridge", Hook::Input)
        .chain("bridge filter INPUT", "filter -200 filter", true)
        .yes("INPUT", 4, "ether type ip counter", "continue")
        .policy("INPUT", true)
        .at("ip", Hook::Prerouting)
        .bridge(
            BridgeWhat::PreroutingDone,
            "prerouting of ip is not run again, it ran inside the bridge",
        )
        .route("forward", Some("ens192"), "10.254.10.0/24 dev ens192")
        .forward_hop()
        .chain("ip filter FORWARD", "filter 0 filter", false)
        .yes("FORWARD", 17, "counter jump DOCKER-USER", "jump DOCKER-USER")
        .yes("DOCKER-USER", 16, "counter return", "return")
        .yes(
            "FORWARD",
            18,
            "counter jump DOCKER-ISOLATION-STAGE-1",
            "jump DOCKER-ISOLATION-STAGE-1",
        )
        .yes(
            "DOCKER-ISOLATION-STAGE-1",
            14,
            "iifname \"docker1\" oifname != \"docker1\" counter jump DOCKER-ISOLATION-STAGE-2",
            "jump DOCKER-ISOLATION-STAGE-2",
        )
        .no(
            "DOCKER-ISOLATION-STAGE-2",
            12,
            "oifname \"docker1\" counter drop",
            "oifname is \"ens192\"",
        )
        .yes("DOCKER-ISOLATION-STAGE-2", 13, "counter return", "return")
        .yes("DOCKER-ISOLATION-STAGE-1", 15, "counter return", "return")
        .no(
            "FORWARD",
            19,
            "oifname \"docker1\" ct state established,related counter accept",
            "oifname is \"ens192\"",
        )
        .no(
            "FORWARD",
            20,
            "oifname \"docker1\" counter jump DOCKER",
            "oifname is \"ens192\"",
        )
        .yes(
            "FORWARD",
            21,
            "iifname \"docker1\" oifname != \"docker1\" counter accept",
            "accept",
        )
        .decides()
        .chain("inet firewalld filter_FORWARD", "filter 10 filter + 10", true)
        .yes(
            "filter_FORWARD",
            54,
            "ct state { established, related } accept",
            "accept",
        )
        .decides()
        .at("ip", Hook::Postrouting)
        .nat(true, ("10.254.10.252", 1812), None, true)
        .step(StepKind::Leaves)
        .ends(Verdict::Accept, "forwarded")
}

/// A request to a port that Docker publishes, behind firewalld.
pub(super) fn published_port() -> FlowReport {
    let mut flow = flow(
        info(
            "udp",
            Some("10.254.10.105"),
            "10.254.10.252",
            1812,
            Some("ens192"),
        ),
        c1_request(),
        Some(c1_reply()),
    );
    flow.assumptions = vec![
        Assumption {
            words: "address of docker1: 172.20.0.1/24".to_string(),
            fact: "address of docker1".to_string(),
            value: "172.20.0.1/24".to_string(),
            because:
                "ip nat POSTROUTING #13 masquerades 172.20.0.0/24 that leaves by another interface"
                    .to_string(),
            source: "inferred",
            confirm: "`nfpath snapshot` on the host, or `--iface docker1=172.20.0.1/24`"
                .to_string(),
        },
        Assumption {
            words: "net.bridge.bridge-nf-call-iptables = 1".to_string(),
            fact: "net.bridge.bridge-nf-call-iptables".to_string(),
            value: "1".to_string(),
            because: "Docker switches it on".to_string(),
            source: "default",
            confirm: "`--sysctl net.bridge.bridge-nf-call-iptables=1`".to_string(),
        },
    ];
    flow.notes = vec![
        Note {
            code: "reply-skips-nat",
            message: "The reply passes no nat chain: nat chains see the first packet of a connection only, conntrack translates all others.".to_string(),
            at: None,
        },
        Note {
            code: "reply-in-input-and-forward",
            message: "The reply shows up in input and in forward: input is the bridge's, for a frame that is addressed to docker1; forward is the IP stack's.".to_string(),
            at: None,
        },
        Note {
            code: "forward-sees-translated",
            message: "Rules in forward see the container's address and port; the published ones are in `ct original`.".to_string(),
            at: Some(RuleRef {
                family: Family::Ip,
                table: "filter".to_string(),
                chain: "DOCKER".to_string(),
                handle: Handle(10),
                index: 2,
            }),
        },
    ];
    flow
}

fn input_way(src: &str, dport: u16) -> Way {
    let mut packet = packet((src, 0), ("192.0.2.10", dport), Some("eth0"));
    packet.proto = 6;
    Way::new(packet)
        .conntrack("new", false)
        .route("local", None, "local 192.0.2.10 dev eth0")
        .at("ip", Hook::Input)
        .chain("inet filter input", "filter 0 filter", false)
        .no(
            "input",
            4,
            "ct state established,related accept",
            "ct state is new",
        )
        .no("input", 5, "iifname \"lo\" accept", "iifname is \"eth0\"")
}

/// A rule drops it.
pub(super) fn dropped_by_rule() -> FlowReport {
    let request = input_way("203.0.113.9", 22)
        .yes(
            "input",
            7,
            "ip saddr 203.0.113.0/24 log prefix \"blocked \" drop",
            "drop",
        )
        .comment("scanners, ticket 4711")
        .decides()
        .ends(Verdict::Drop, "dropped");
    flow(
        info("tcp", Some("203.0.113.9"), "192.0.2.10", 22, Some("eth0")),
        request,
        None,
    )
}

/// No rule accepts it.
pub(super) fn dropped_by_policy() -> FlowReport {
    let request = input_way("198.51.100.7", 8443)
        .no(
            "input",
            7,
            "ip saddr 203.0.113.0/24 log prefix \"blocked \" drop",
            "ip saddr is 198.51.100.7",
        )
        .yes("input", 8, "jump services", "jump services")
        .no("services", 12, "tcp dport 22 accept", "tcp dport is 8443")
        .no(
            "services",
            13,
            "ip saddr 198.51.100.0/28 tcp dport { 443, 8443 } accept",
            "tcp dport is 8443",
        )
        .no("services", 14, "tcp dport 443 accept", "tcp dport is 8443")
        .comment("web")
        .policy("input", false)
        .ends(Verdict::Drop, "dropped");
    flow(
        info(
            "tcp",
            Some("198.51.100.7"),
            "192.0.2.10",
            8443,
            Some("eth0"),
        ),
        request,
        None,
    )
}

/// The stack drops it.
pub(super) fn dropped_by_host() -> FlowReport {
    let request = Way::new(packet(("10.9.0.5", 0), ("192.0.2.10", 53), Some("eth1")))
        .conntrack("new", false)
        .chain("inet filter prerouting", "filter -300 raw", true)
        .policy("prerouting", true)
        .step(StepKind::Drop {
            disposition: "rp-filter",
            text: "the way back to 10.9.0.5 is by eth0, not by eth1, and the reverse path filter of eth1 is strict; `sysctl net.ipv4.conf.eth1.rp_filter=2` lets it pass".to_string(),
        })
        .decides()
        .ends(Verdict::Drop, "rp-filter");
    flow(
        info("udp", Some("10.9.0.5"), "192.0.2.10", 53, Some("eth1")),
        request,
        None,
    )
}

/// The last rule rejects what nothing accepted.
pub(super) fn rejected() -> FlowReport {
    let way = Way::new(packet(
        ("10.254.10.105", 0),
        ("10.254.10.252", 5432),
        Some("ens192"),
    ));
    let way = firewalld_prerouting(way, "ens192", ("new", false))
        .route("local", None, "local 10.254.10.252 dev ens192")
        .at("ip", Hook::Input)
        .chain("ip filter INPUT", "filter 0 filter", true)
        .policy("INPUT", true)
        .chain("inet firewalld filter_INPUT", "filter 10 filter + 10", true)
        .no(
            "filter_INPUT",
            47,
            "ct state { established, related } accept",
            "ct state is new",
        )
        .no(
            "filter_INPUT",
            48,
            "ct status dnat accept",
            "ct status is none",
        )
        .no(
            "filter_INPUT",
            49,
            "iifname \"lo\" accept",
            "iifname is \"ens192\"",
        )
        .yes(
            "filter_INPUT",
            50,
            "jump filter_INPUT_ZONES",
            "jump filter_INPUT_ZONES",
        )
        .yes(
            "filter_INPUT_ZONES",
            62,
            "iifname \"ens192\" goto filter_IN_public",
            "goto filter_IN_public",
        );
    let request = empty_zone(way, "filter_IN_public", 68)
        .no(
            "filter_IN_public_allow",
            74,
            "tcp dport 22 ct state { new, untracked } accept",
            "tcp dport is 5432",
        )
        .no(
            "filter_IN_public_allow",
            76,
            "ip6 daddr fe80::/64 udp dport 546 ct state { new, untracked } accept",
            "meta nfproto is ipv4",
        )
        .no(
            "filter_IN_public_allow",
            78,
            "tcp dport 9090 ct state { new, untracked } accept",
            "tcp dport is 5432",
        )
        .no(
            "filter_IN_public",
            72,
            "meta l4proto { icmp, ipv6-icmp } accept",
            "meta l4proto is tcp",
        )
        .no(
            "filter_INPUT",
            51,
            "ct state invalid drop",
            "ct state is new",
        )
        .yes(
            "filter_INPUT",
            52,
            "reject with icmpx admin-prohibited",
            "drop",
        )
        .decides()
        .ends(Verdict::Reject, "rejected");
    flow(
        info(
            "tcp",
            Some("10.254.10.105"),
            "10.254.10.252",
            5432,
            Some("ens192"),
        ),
        request,
        None,
    )
}

/// What a set holds decides it.
pub(super) fn unknown() -> FlowReport {
    let accepted = || {
        input_way("198.51.100.7", 443)
            .no(
                "input",
                9,
                "ip saddr @blocked drop",
                "198.51.100.7 is taken not to be in @blocked",
            )
            .assumed()
            .yes(
                "input",
                10,
                "tcp dport 443 limit rate 100/second accept",
                "accept",
            )
            .assumed()
            .comment("https")
            .decides()
            .step(StepKind::Local)
    };
    let dropped = input_way("198.51.100.7", 443)
        .yes("input", 9, "ip saddr @blocked drop", "drop")
        .decides()
        .ends(Verdict::Drop, "dropped");
    let limited = input_way("198.51.100.7", 443)
        .no(
            "input",
            10,
            "tcp dport 443 limit rate 100/second accept",
            "the limit is exceeded",
        )
        .policy("input", false)
        .ends(Verdict::Drop, "dropped");
    let reply = Way::new(packet(("192.0.2.10", 443), ("198.51.100.7", 0), None))
        .at("ip", Hook::Output)
        .route("output", Some("eth0"), "default via 192.0.2.1 dev eth0")
        .conntrack("established", true)
        .at("ip", Hook::Postrouting)
        .step(StepKind::Leaves)
        .ends(Verdict::Accept, "transmitted");
    let mut flow = flow(
        info("tcp", Some("198.51.100.7"), "192.0.2.10", 443, Some("eth0")),
        accepted().ends(Verdict::Accept, "local"),
        Some(reply),
    );
    flow.verdict = Verdict::Unknown;
    flow.alternatives = vec![
        Alternative {
            when: vec!["the limit of inet filter input #10 is exceeded".to_string()],
            questions: vec![(
                "the limit of inet filter input #10 is exceeded".to_string(),
                "say `--assume limit=over`".to_string(),
            )],
            settle: Vec::new(),
            unusual: true,
            verdict: Verdict::Drop,
            request: limited,
            reply: None,
        },
        Alternative {
            when: vec!["198.51.100.7 is in set inet filter @blocked".to_string()],
            questions: vec![(
                "198.51.100.7 is in set inet filter @blocked".to_string(),
                "list the set again".to_string(),
            )],
            settle: vec![
                "the elements, which packets add: `nft list set inet filter blocked`".to_string(),
            ],
            unusual: false,
            verdict: Verdict::Drop,
            request: dropped,
            reply: None,
        },
    ];
    flow
}

/// A rule without a meaning ends it.
pub(super) fn not_understood() -> FlowReport {
    let mut request = input_way("198.51.100.7", 443)
        .yes("input", 11, "xt match \"bpf\" accept", "unknown")
        .decides()
        .ends(Verdict::Unknown, "unknown");
    request.unknown = Some((
        "xt match `bpf` in chain input rule 11 is not known".to_string(),
        "the rule in iptables-save, given with `--iptables-save F`".to_string(),
    ));
    flow(
        info("tcp", Some("198.51.100.7"), "192.0.2.10", 443, Some("eth0")),
        request,
        None,
    )
}

/// This host sends it; a mark changes its route.
pub(super) fn from_this_host() -> FlowReport {
    let mut way = Way::new(packet(("192.0.2.10", 0), ("203.0.113.53", 53), None))
        .at("ip", Hook::Output)
        .route("output", Some("eth0"), "default via 192.0.2.1 dev eth0")
        .conntrack("new", false)
        .chain("inet mangle output", "route -150 mangle", true);
    way.now.mark = Some(0x10);
    let mut way = way
        .yes(
            "output",
            3,
            "udp dport 53 meta mark set 0x00000010",
            "continue",
        )
        .policy("output", true)
        .chain("inet filter output", "filter 0 filter", true)
        .no("output", 5, "oifname \"eth1\" drop", "oifname is \"eth0\"")
        .policy("output", true)
        .route("output", Some("wg0"), "default dev wg0 table 100");
    if let Some(StepKind::Routing(routing)) = way.steps.last_mut().map(|step| &mut step.kind) {
        routing.again = true;
    }
    let request = way
        .at("ip", Hook::Postrouting)
        .step(StepKind::Leaves)
        .ends(Verdict::Accept, "transmitted");
    let reply = Way::new(packet(("203.0.113.53", 53), ("192.0.2.10", 0), Some("wg0")))
        .conntrack("established", true)
        .route("local", None, "local 192.0.2.10 dev eth0")
        .at("ip", Hook::Input)
        .chain("inet filter input", "filter 0 filter", false)
        .no("input", 4, "iifname \"lo\" accept", "iifname is \"wg0\"")
        .no(
            "input",
            5,
            "iifname \"eth0\" ct state established accept",
            "iifname is \"wg0\"",
        )
        .policy("input", false)
        .ends(Verdict::Drop, "dropped");
    flow(
        info("udp", None, "203.0.113.53", 53, None),
        request,
        Some(reply),
    )
}

/// Two containers on one bridge.
pub(super) fn bridged() -> FlowReport {
    let path = |src: (&str, u16), dst: (&str, u16), ports: (&str, &str), state: &'static str| {
        let mut packet = packet(src, dst, Some("br0"));
        packet.in_port = Some(Field::Known(ports.0.to_string()));
        let mut way = Way::new(packet)
            .at("bridge", Hook::Prerouting)
            .bridge(
                BridgeWhat::Enters,
                &format!("the frame comes in by port {} of br0", ports.0),
            )
            .bridge(
                BridgeWhat::CallsIp,
                "br_netfilter runs the prerouting chains of ip from inside the bridge",
            )
            .at("ip", Hook::Prerouting)
            .conntrack(state, state == "established")
            .at("bridge", Hook::Forward);
        way.now.out_port = Some(Field::Known(ports.1.to_string()));
        way.now.oif = Some(Field::Known("br0".to_string()));
        way.bridge(
            BridgeWhat::Across,
            &format!("the frame stays on br0: out by port {}", ports.1),
        )
        .at("ip", Hook::Forward)
        .chain("ip filter FORWARD", "filter 0 filter", false)
        .yes(
            "FORWARD",
            22,
            "iifname \"br0\" oifname \"br0\" counter accept",
            "accept",
        )
        .decides()
        .at("bridge", Hook::Forward)
        .chain("bridge filter FORWARD", "filter 0 0", true)
        .yes("FORWARD", 5, "ether type ip counter accept", "accept")
        .decides()
        .at("bridge", Hook::Postrouting)
        .step(StepKind::Leaves)
        .ends(Verdict::Accept, "bridged")
    };
    flow(
        info("udp", Some("172.20.0.2"), "172.20.0.4", 1812, Some("br0")),
        path(
            ("172.20.0.2", 0),
            ("172.20.0.4", 1812),
            ("veth2", "veth4"),
            "new",
        ),
        Some(path(
            ("172.20.0.4", 1812),
            ("172.20.0.2", 0),
            ("veth4", "veth2"),
            "established",
        )),
    )
}

/// Names and comments that would play with the terminal.
pub(super) fn hostile() -> FlowReport {
    let chain = "in\u{1b}[2J\u{1b}]0;owned\u{7}";
    let request = Way::new(packet(
        ("10.0.0.1", 0),
        ("10.0.0.2", 80),
        Some("eth0\u{202e}"),
    ))
    .at("ip", Hook::Input)
    .chain("inet evil\u{1b}[31m input\r", "filter 0 filter", false)
    .yes(
        "input\r",
        2,
        &format!("jump {chain}"),
        &format!("jump {chain}"),
    )
    .yes(
        chain,
        3,
        "tcp dport 80 log prefix \"\u{1b}[1A\u{1b}[2K ACCEPTED, both ways\" drop",
        "drop",
    )
    .comment("line\nACCEPTED \u{9b}31m 防火墙 grün")
    .decides()
    .ends(Verdict::Drop, "dropped");
    flow(
        info("tcp", Some("10.0.0.1"), "10.0.0.2", 80, None),
        request,
        None,
    )
}

/// A rule with a set of 200 addresses.
pub(super) fn long_rule() -> FlowReport {
    let set: Vec<String> = (0..200).map(|n| format!("198.51.100.{n}")).collect();
    let request = input_way("198.51.100.7", 25)
        .yes(
            "input",
            15,
            &format!(
                "iifname \"eth0\" ip saddr {{ {} }} tcp dport {{ 25, 465, 587 }} ct state new counter log prefix \"mail from a listed network: \" level warn limit rate over 10/minute burst 5 packets reject with icmp admin-prohibited",
                set.join(", ")
            ),
            "drop",
        )
        .decides()
        .ends(Verdict::Reject, "rejected");
    flow(
        info("tcp", Some("198.51.100.7"), "192.0.2.10", 25, Some("eth0")),
        request,
        None,
    )
}

/// Parts of a ruleset without a meaning.
pub(super) fn unknown_parts(number: u64) -> Vec<UnknownPart> {
    (0..number)
        .map(|n| UnknownPart {
            at: Some(RuleRef {
                family: Family::Ip,
                table: "filter".to_string(),
                chain: "FORWARD".to_string(),
                handle: Handle(30 + n),
                index: 0,
            }),
            what: "xt match `bpf`".to_string(),
            settle: "`--iptables-save F`".to_string(),
        })
        .collect()
}
