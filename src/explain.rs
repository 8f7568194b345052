//! From a question about a flow to the report of it: works out where the packet enters, asks the walk, builds the report.

use std::net::IpAddr;

use crate::eval::{Iface, World};
use crate::flow::Flow;
use crate::hooks::Hooks;
use crate::host::{
    AddressType, Host, Link, LinkKind, Origin, RouteAnswer, RouteQuery, RouteType, TypeAnswer,
};
use crate::infer::{infer, leaves_by};
use crate::load::Loaded;
use crate::logic::{Choice, Claim, Knowledge, Known, Source, max_of, subtract};
use crate::packet::{Spec, proto};
use crate::report::build::{self, Sources, protocol_name};
use crate::report::{Assumption, FlowInfo, FlowReport};
use crate::ruleset::datatype::ifname_value;
use crate::walk::explore::{Alternative, Explored, explore};
use crate::walk::{Entrance, GivenState, Probe, link_values, named_values};

/// A flow and what refines its first packet.
#[derive(Debug, Clone)]
pub struct Question {
    pub flow: Flow,
    /// True when this host is known to send the packet, whatever is known of its addresses.
    pub sent_here: bool,
    pub iif: Option<String>,
    pub oif: Option<String>,
    /// The interface that the packet is known to be forwarded to.
    pub leaves_by: Option<String>,
    pub in_port: Option<String>,
    pub mark: u32,
    pub state: GivenState,
    pub tcp_flags: Option<u8>,
    /// Type and code.
    pub icmp: Option<(u8, u8)>,
    /// Bytes of the IP packet.
    pub length: Option<u16>,
    pub uid: Option<u32>,
    pub ether_src: Option<[u8; 6]>,
    pub ether_dst: Option<[u8; 6]>,
    /// `--assume`: facts by name or claims in words, each with its value.
    pub assume: Vec<(String, String)>,
}

impl Question {
    /// A question without refinements.
    pub fn new(flow: Flow) -> Question {
        Question {
            flow,
            sent_here: false,
            iif: None,
            oif: None,
            leaves_by: None,
            in_port: None,
            mark: 0,
            state: GivenState::New,
            tcp_flags: None,
            icmp: None,
            length: None,
            uid: None,
            ether_src: None,
            ether_dst: None,
            assume: Vec::new(),
        }
    }
}

/// Why a question makes no sense for this host. One line, lower case, no final period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    #[error("`{flag} {name}`: this host has no such interface; it has {known}")]
    NoInterface {
        flag: &'static str,
        name: String,
        known: String,
    },
    #[error(
        "`{flag}` is for packets that this host sends; this one comes in from outside: leave it out, or leave out the source"
    )]
    NotFromHere { flag: &'static str },
    #[error("`--in-port {port}`: not a port of bridge {bridge}; its ports are {known}")]
    NotAPort {
        port: String,
        bridge: String,
        known: String,
    },
}

/// The answer to one question, with everything that the pictures need.
#[derive(Debug)]
pub struct Answer {
    pub report: FlowReport,
    pub explored: Explored,
    /// The host as it was taken to be: with what was inferred.
    pub host: Host,
    /// Positions in [`Question::assume`] of what no walk asked for.
    pub unused: Vec<usize>,
}

/// Answers a question.
pub fn explain(
    loaded: &Loaded,
    hooks: &Hooks,
    host: &Host,
    question: &Question,
) -> Result<Answer, QuestionError> {
    let mut host = host.clone();
    let flow = &question.flow;
    let named = [
        ("--iif", &question.iif),
        ("--oif", &question.oif),
        ("--in-port", &question.in_port),
    ];
    for (flag, name) in named {
        if let Some(name) = name {
            require_link(&mut host, flag, name)?;
        }
    }
    infer(&loaded.ruleset, &mut host, flow);
    if let Some(dev) = &question.leaves_by {
        leaves_by(&mut host, flow, dev);
    }
    if let (Some(bridge), Some(port)) = (&question.iif, &question.in_port) {
        join(&mut host, bridge, port)?;
    }
    let mut know = Knowledge::default();
    know.assume(&question.assume);
    let mut given = Vec::new();
    let entrance = entrance(&mut host, question, &mut know, &mut given);
    let sent_here = [
        ("--oif", question.oif.is_some()),
        ("--uid", question.uid.is_some()),
    ];
    if let Entrance::Iface(_) = entrance
        && let Some((flag, _)) = sent_here.into_iter().find(|(_, given)| *given)
    {
        return Err(QuestionError::NotFromHere { flag });
    }
    let in_port = question
        .in_port
        .as_deref()
        .and_then(|name| link(&host, name));
    // a packet that is said to come in by a port enters there, whatever bridge was named
    let entrance = match (entrance, in_port) {
        (Entrance::Iface(_), Some(port)) if question.iif.is_none() => Entrance::Iface(port),
        (entrance, _) => entrance,
    };
    let port = |port: Option<u16>, name: &str, low: u128, know: &mut Knowledge| match port {
        Some(port) => Known::Value(port),
        None if proto::has_ports(flow.proto) => {
            let settle = format!("say the {name} in the flow");
            Known::Fact(know.add(name, settle, vec![(low, 65535)]))
        }
        None => Known::Value(0),
    };
    let sport = port(flow.sport, "source port", 1024, &mut know);
    let dport = port(flow.dport, "destination port", 0, &mut know);
    let unspecified: IpAddr = if flow.dst.is_ipv6() {
        [0u8; 16].into()
    } else {
        [0u8; 4].into()
    };
    let probe = Probe {
        spec: Spec {
            v6: flow.dst.is_ipv6(),
            src: Known::Value(flow.src.unwrap_or(unspecified)),
            dst: Known::Value(flow.dst),
            proto: flow.proto,
            sport,
            dport,
            icmp: question.icmp,
            tcp_flags: question.tcp_flags,
            ttl: None,
            tos: None,
            length: question.length,
            ether_src: question.ether_src,
            ether_dst: question.ether_dst,
        },
        entrance,
        in_port,
        oif: question.oif.as_deref().and_then(|name| link(&host, name)),
        mark: question.mark,
        state: question.state,
        uid: question.uid,
        gid: None,
    };
    let values = link_values(&host);
    let world = World {
        ruleset: &loaded.ruleset,
        host: &host,
        link_values: &values,
    };
    let mut explored = explore(world, hooks, &probe, &know);
    if let Some(other) = elsewhere(world, hooks, question, &probe, &know)
        && other.walked.outcome() != explored.primary.outcome()
    {
        explored.alternatives.push(other);
    }
    let info = FlowInfo {
        text: flow.to_string(),
        proto: flow.proto,
        proto_name: protocol_name(flow.proto),
        src: flow.src,
        sport: flow.sport,
        dst: flow.dst,
        dport: flow.dport,
        iif: match entrance {
            Entrance::Local | Entrance::Kernel => None,
            Entrance::Iface(Iface::Link(at)) => Some(host.links[at as usize].name.to_string()),
            Entrance::Iface(Iface::Fact(fact)) => explored
                .knowledge
                .single(fact)
                .map(crate::ruleset::datatype::ifname_text),
        },
        mark: question.mark,
    };
    let sources = Sources::of(loaded, &host);
    let report = build::flow(sources, info, &explored, &given);
    Ok(Answer {
        report,
        explored,
        host,
        unused: know.unused(),
    })
}

/// The walk of a packet that enters by another interface than the one that was worked out for want of routes.
fn elsewhere(
    world: World<'_>,
    hooks: &Hooks,
    question: &Question,
    probe: &Probe,
    know: &Knowledge,
) -> Option<Alternative> {
    let (None, Some(src)) = (&question.iif, question.flow.src) else {
        return None;
    };
    let Entrance::Iface(Iface::Link(at)) = probe.entrance else {
        return None;
    };
    let RouteAnswer::Found(back) = world.host.route(&RouteQuery::to(src)) else {
        return None;
    };
    if back.prefix.prefix_len() != 0 || !matches!(back.origin, Origin::Inferred(_)) {
        return None;
    }
    let name = world.host.links[at as usize].name.clone();
    ifname_value(&name)?;
    let mut know = know.clone();
    let settle = "say it with `--iif NAME`, or give the routes with a snapshot";
    let others = named_values(
        world
            .host
            .links
            .iter()
            .filter(|link| link.name == name || link.kind == LinkKind::Loopback),
    );
    let domain = subtract(&[(1, max_of(128))], &others);
    let fact = know.add("the incoming interface", settle, domain);
    let probe = Probe {
        entrance: Entrance::Iface(Iface::Fact(fact)),
        ..probe.clone()
    };
    let explored = explore(world, hooks, &probe, &know);
    let claim = Claim::new(
        "the packet",
        ("enters", "does not enter"),
        format!("by {name}"),
    );
    Some(Alternative {
        walked: explored.primary,
        knowledge: explored.knowledge,
        when: vec![Choice {
            claim,
            holds: false,
            usual: true,
            because: settle.into(),
            source: Source::Open,
        }],
    })
}

fn link(host: &Host, name: &str) -> Option<Iface> {
    host.links
        .iter()
        .position(|link| link.name == name)
        .map(|at| Iface::Link(at as u16))
}

fn require_link(host: &mut Host, flag: &'static str, name: &str) -> Result<(), QuestionError> {
    if host.link(name).is_some() {
        return Ok(());
    }
    if host.complete.links {
        let known: Vec<&str> = host.links.iter().map(|link| link.name.as_str()).collect();
        return Err(QuestionError::NoInterface {
            flag,
            name: name.into(),
            known: known.join(", "),
        });
    }
    host.links
        .push(Link::named(name, LinkKind::Physical, Origin::Flag));
    Ok(())
}

/// Makes a port part of a bridge when nobody said otherwise.
fn join(host: &mut Host, bridge: &str, port: &str) -> Result<(), QuestionError> {
    if host.bridge_of(port) == Some(bridge) {
        return Ok(());
    }
    if host.complete.links {
        let known: Vec<&str> = host.ports(bridge).map(|link| link.name.as_str()).collect();
        return Err(QuestionError::NotAPort {
            port: port.into(),
            bridge: bridge.into(),
            known: known.join(", "),
        });
    }
    for link in &mut host.links {
        if link.name == bridge {
            link.kind = LinkKind::Bridge;
        } else if link.name == port {
            link.master = Some(bridge.into());
        }
    }
    Ok(())
}

/// Where the packet enters: as said, or by the route back to its source.
fn entrance(
    host: &mut Host,
    question: &Question,
    know: &mut Knowledge,
    given: &mut Vec<Assumption>,
) -> Entrance {
    if let Some(iface) = question.iif.as_deref().and_then(|name| link(host, name)) {
        return Entrance::Iface(iface);
    }
    let Some(src) = question.flow.src.filter(|_| !question.sent_here) else {
        return Entrance::Local;
    };
    if let TypeAnswer::Known(AddressType::Local, _) = host.address_type(src, None) {
        return Entrance::Local;
    }
    let back = host.route(&RouteQuery::to(src));
    if let RouteAnswer::Found(route) = back
        && route.kind == RouteType::Unicast
        && let Some(dev) = route.nexthops.first().and_then(|hop| hop.dev.clone())
        && let Some(iface) = link(host, &dev)
    {
        let because = match host.inference(route.origin) {
            Some(inference) => inference.because.clone(),
            None => format!("the route back to {src} is by {dev}"),
        };
        given.push(Assumption {
            words: format!("the packet enters by {dev}"),
            fact: "incoming interface".into(),
            value: dev.to_string(),
            because,
            source: "inferred",
            confirm: "`--iif NAME`".into(),
        });
        return Entrance::Iface(iface);
    }
    let settle = "say it with `--iif NAME`, or give the routes with a snapshot";
    let is_inside = |link: &&Link| {
        link.kind == LinkKind::Loopback
            || host
                .addresses
                .iter()
                .any(|a| a.dev == link.name && !a.ip.is_loopback())
            || host
                .routes
                .iter()
                .any(|route| route.is_inferred_subnet_of(&link.name))
    };
    let inside = named_values(host.links.iter().filter(is_inside));
    let all = [(1, max_of(128))];
    // nobody else's packet comes in by the loopback device
    let is_foreign = |link: &&Link| link.kind != LinkKind::Loopback;
    let known = named_values(host.links.iter().filter(is_foreign));
    let domain = if host.complete.links && !known.is_empty() {
        known
    } else {
        subtract(&all, &inside)
    };
    Entrance::Iface(Iface::Fact(know.add(
        "the incoming interface",
        settle,
        domain,
    )))
}
