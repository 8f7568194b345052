//! The packet that a new rule is for, in the words of each program: nft's JSON, iptables, firewalld's rich rules, ufw.

use std::borrow::Cow;
use std::net::IpAddr;

use nftables::expr::{CT, Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField};
use nftables::schema::{NfListObject, NfObject, Nftables, Rule};
use nftables::stmt::{Match, Operator, Statement};
use nftables::types::NfFamily;

use crate::eval::Iface;
use crate::host::Host;
use crate::logic::{Knowledge, Known};
use crate::nft::ast::{Object, Stmt};
use crate::nft::json;
use crate::packet::proto;
use crate::ruleset::datatype::{DataType, ifname_text};
use crate::ruleset::{Family, Hook};
use crate::walk::step::PacketView;

/// ICMP and ICMPv6 echo requests.
const ECHO: [(u8, u8); 2] = [(proto::ICMP, 8), (proto::ICMPV6, 128)];

/// What a new rule accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matching {
    pub v6: bool,
    pub iif: Option<String>,
    pub oif: Option<String>,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// Packets of one kind between two addresses.
    Flow(Ends),
    /// Packets of connections that were let in: `ct state established,related`.
    Answers,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ends {
    pub src: Option<IpAddr>,
    pub dst: Option<IpAddr>,
    pub proto: u8,
    /// For an answer that conntrack does not know.
    pub sport: Option<u16>,
    pub dport: Option<u16>,
    /// The type of an ICMP or ICMPv6 message.
    pub icmp: Option<u8>,
}

/// What the packet's fields are resolved against.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub host: &'a Host,
    pub know: &'a Knowledge,
}

impl Matching {
    /// The packet as it is in front of a rule of this family at this hook.
    pub(super) fn packet(
        packet: &PacketView,
        v6: bool,
        place: (Family, Hook),
        facts: Facts<'_>,
        is_answer: bool,
    ) -> Matching {
        let known = |ip: Known<IpAddr>| ip.value().filter(|ip| !ip.is_unspecified());
        let port = |port: Option<Known<u16>>| match port? {
            Known::Value(port) => Some(port),
            Known::Fact(fact) => facts.know.single(fact).map(|port| port as u16),
        };
        let ends = Ends {
            src: known(packet.src),
            dst: known(packet.dst),
            proto: packet.proto,
            sport: port(packet.sport).filter(|_| is_answer),
            dport: port(packet.dport).filter(|_| !is_answer),
            icmp: packet.icmp.map(|(kind, _)| kind),
        };
        let (iif, oif) = between(packet, place, facts);
        Matching {
            v6,
            iif,
            oif,
            what: What::Flow(ends),
        }
    }

    /// Packets of known connections that go the same way.
    pub(super) fn answers(
        packet: &PacketView,
        v6: bool,
        place: (Family, Hook),
        facts: Facts<'_>,
    ) -> Matching {
        let (iif, oif) = between(packet, place, facts);
        let what = What::Answers;
        Matching { v6, iif, oif, what }
    }

    /// The same without interfaces.
    pub(super) fn anywhere(self) -> Matching {
        Matching {
            iif: None,
            oif: None,
            ..self
        }
    }

    /// The statements of the rule, an accept at the end.
    pub(super) fn statements(&self) -> Vec<Statement<'static>> {
        let mut all = Vec::new();
        let named = |key, name: &str| equals(meta(key), Expression::String(name.to_owned().into()));
        all.extend(self.iif.as_deref().map(|dev| named(MetaKey::Iifname, dev)));
        all.extend(self.oif.as_deref().map(|dev| named(MetaKey::Oifname, dev)));
        match &self.what {
            What::Answers => all.push(Statement::Match(Match {
                left: Expression::Named(NamedExpression::CT(CT {
                    key: "state".into(),
                    family: None,
                    dir: None,
                })),
                op: Operator::IN,
                right: Expression::List(vec![
                    Expression::String("established".into()),
                    Expression::String("related".into()),
                ]),
            })),
            What::Flow(ends) => {
                let ip = if self.v6 { "ip6" } else { "ip" };
                let text = |ip: IpAddr| Expression::String(ip.to_string().into());
                all.extend(ends.src.map(|src| equals(field(ip, "saddr"), text(src))));
                all.extend(ends.dst.map(|dst| equals(field(ip, "daddr"), text(dst))));
                all.extend(ends.transport());
            }
        }
        all.push(Statement::Accept(None));
        all
    }

    /// The same as the syntax tree has them: read from what is written for nft.
    pub(super) fn syntax(&self) -> Vec<Stmt> {
        let rule = Rule {
            family: NfFamily::IP,
            expr: Cow::Owned(self.statements()),
            ..Rule::default()
        };
        let whole = Nftables {
            objects: Cow::Owned(vec![NfObject::ListObject(NfListObject::Rule(rule))]),
        };
        let text = serde_json::to_string(&whole).unwrap_or_default();
        let read = json::read(&text).map(|(document, _)| document.objects);
        let mut statements = Vec::new();
        for object in read.unwrap_or_default() {
            if let Object::Rule(rule) = object {
                statements.extend(rule.expr.unwrap_or_default());
            }
        }
        statements
    }

    /// Arguments of `iptables` and `ip6tables` (iptables(8), iptables-extensions(8)).
    pub(super) fn iptables(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.iif.as_ref().map(|dev| format!("-i {dev}")));
        words.extend(self.oif.as_ref().map(|dev| format!("-o {dev}")));
        match &self.what {
            What::Answers => words.push("-m conntrack --ctstate RELATED,ESTABLISHED".into()),
            What::Flow(ends) => {
                words.extend(ends.src.map(|src| format!("-s {src}")));
                words.extend(ends.dst.map(|dst| format!("-d {dst}")));
                let name = match ends.proto {
                    proto::ICMPV6 => "ipv6-icmp".to_string(),
                    number => ends.name(number),
                };
                words.push(format!("-p {name}"));
                words.extend(ends.sport.map(|port| format!("--sport {port}")));
                words.extend(ends.dport.map(|port| format!("--dport {port}")));
                words.extend(ends.icmp.map(|kind| match ends.proto {
                    proto::ICMPV6 => format!("--icmpv6-type {kind}"),
                    _ => format!("--icmp-type {kind}"),
                }));
            }
        }
        words.push("-j ACCEPT".into());
        words.join(" ")
    }

    /// Arguments of `ebtables` (ebtables(8)); `None` for what it cannot say.
    pub(super) fn ebtables(&self) -> Option<String> {
        let What::Flow(ends) = &self.what else {
            return None;
        };
        let (name, ip) = if self.v6 {
            ("IPv6", "ip6")
        } else {
            ("IPv4", "ip")
        };
        let mut words = vec![format!("-p {name}")];
        words.extend(self.iif.as_ref().map(|dev| format!("-i {dev}")));
        words.extend(self.oif.as_ref().map(|dev| format!("-o {dev}")));
        words.extend(ends.src.map(|src| format!("--{ip}-src {src}")));
        words.extend(ends.dst.map(|dst| format!("--{ip}-dst {dst}")));
        words.push(format!("--{ip}-proto {}", ends.proto));
        words.extend(ends.sport.map(|port| format!("--{ip}-sport {port}")));
        words.extend(ends.dport.map(|port| format!("--{ip}-dport {port}")));
        words.extend(ends.icmp.map(|kind| format!("--{ip}-icmp-type {kind}")));
        words.push("-j ACCEPT".into());
        Some(words.join(" "))
    }

    /// A rich rule of firewalld (firewalld.richlanguage(5)); `None` for what none can say.
    pub(super) fn rich_rule(&self, first: bool) -> Option<String> {
        let ends = self.plain_flow()?;
        let mut words = vec!["rule".to_string()];
        if first {
            words.push("priority=\"-32768\"".into());
        }
        let family = if self.v6 { "ipv6" } else { "ipv4" };
        words.push(format!("family=\"{family}\""));
        words.extend(ends.src.map(|ip| format!("source address=\"{ip}\"")));
        words.extend(ends.dst.map(|ip| format!("destination address=\"{ip}\"")));
        words.push(match (ends.dport, ends.icmp) {
            (Some(port), _) => {
                let name = ends.name(ends.proto);
                format!("port port=\"{port}\" protocol=\"{name}\"")
            }
            (None, Some(kind)) if ECHO.contains(&(ends.proto, kind)) => {
                "icmp-type name=\"echo-request\"".into()
            }
            (None, Some(_)) => return None,
            (None, None) => format!("protocol value=\"{}\"", ends.name(ends.proto)),
        });
        words.push("accept".into());
        Some(words.join(" "))
    }

    /// What stands behind `ufw allow` (ufw(8)); `None` for what it cannot say.
    pub(super) fn ufw(&self) -> Option<String> {
        let ends = self.plain_flow()?;
        if ![proto::TCP, proto::UDP].contains(&ends.proto) {
            return None;
        }
        let mut words = Vec::new();
        words.extend(self.iif.as_ref().map(|dev| format!("in on {dev}")));
        words.extend(self.oif.as_ref().map(|dev| format!("out on {dev}")));
        words.push(format!("proto {}", ends.name(ends.proto)));
        let any = |ip: Option<IpAddr>| ip.map_or("any".to_string(), |ip| ip.to_string());
        words.push(format!("from {}", any(ends.src)));
        words.push(format!("to {}", any(ends.dst)));
        words.extend(ends.dport.map(|port| format!("port {port}")));
        Some(words.join(" "))
    }

    fn plain_flow(&self) -> Option<&Ends> {
        match &self.what {
            What::Flow(ends) if ends.sport.is_none() => Some(ends),
            What::Flow(_) | What::Answers => None,
        }
    }

    /// What such a rule lets pass, in words.
    pub(super) fn effect(&self) -> String {
        let by = match (&self.iif, &self.oif) {
            (Some(iif), Some(oif)) => format!(", from {iif} to {oif}"),
            (Some(iif), None) => format!(", in by {iif}"),
            (None, Some(oif)) => format!(", out by {oif}"),
            (None, None) => String::new(),
        };
        match &self.what {
            What::Answers => {
                format!(
                    "lets pass packets of connections that were let in, and errors about them{by}"
                )
            }
            What::Flow(ends) => {
                let any = |ip: Option<IpAddr>| ip.map_or("anyone".to_string(), |ip| ip.to_string());
                let name = ends.name(ends.proto);
                let what = match (ends.sport, ends.dport, ends.icmp) {
                    (_, Some(port), _) => format!("{name} to port {port}"),
                    (Some(port), None, _) => format!("{name} from port {port}"),
                    (None, None, Some(kind)) => format!("{name} {}", ends.kind(kind)),
                    (None, None, None) if proto::has_ports(ends.proto) => {
                        format!("{name}, whatever the port")
                    }
                    (None, None, None) => name,
                };
                let (src, dst) = (any(ends.src), any(ends.dst));
                format!("lets pass {what}, {src} → {dst}{by}; nothing else")
            }
        }
    }
}

impl Ends {
    fn name(&self, number: u8) -> String {
        proto::name(number).map_or_else(|| number.to_string(), str::to_string)
    }

    /// The name of an ICMP type, or its number.
    fn kind(&self, kind: u8) -> String {
        let data_type = match self.proto {
            proto::ICMPV6 => DataType::Icmpv6Type,
            _ => DataType::IcmpType,
        };
        data_type.display(u128::from(kind))
    }

    fn transport(&self) -> Vec<Statement<'static>> {
        let number = |port: u16| Expression::Number(u32::from(port));
        // the protocols whose header nft knows by name
        let header = match self.proto {
            proto::TCP => "tcp",
            proto::UDP => "udp",
            proto::UDPLITE => "udplite",
            proto::SCTP => "sctp",
            proto::DCCP => "dccp",
            proto::ICMP => "icmp",
            proto::ICMPV6 => "icmpv6",
            _ => "",
        };
        let mut all = Vec::new();
        if !header.is_empty() {
            let sport = self.sport.map(|port| ("sport", number(port)));
            let dport = self.dport.map(|port| ("dport", number(port)));
            let icmp = self
                .icmp
                .map(|kind| ("type", Expression::String(self.kind(kind).into())));
            let tests = [sport, dport, icmp].into_iter().flatten();
            all.extend(tests.map(|(name, value)| equals(field(header, name), value)));
        }
        if all.is_empty() {
            let value = match header {
                "" => Expression::Number(u32::from(self.proto)),
                "icmpv6" => Expression::String("ipv6-icmp".into()),
                name => Expression::String(name.into()),
            };
            all.push(equals(meta(MetaKey::L4proto), value));
        }
        all
    }
}

fn equals(left: Expression<'static>, right: Expression<'static>) -> Statement<'static> {
    let op = Operator::EQ;
    Statement::Match(Match { left, right, op })
}

fn meta(key: MetaKey) -> Expression<'static> {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

fn field(protocol: &'static str, field: &'static str) -> Expression<'static> {
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(
        PayloadField {
            protocol: protocol.into(),
            field: field.into(),
        },
    )))
}

/// The interfaces that rules for forwarded packets name; elsewhere the addresses say enough.
fn between(
    packet: &PacketView,
    (family, hook): (Family, Hook),
    facts: Facts<'_>,
) -> (Option<String>, Option<String>) {
    let routed = matches!(family, Family::Ip | Family::Ip6 | Family::Inet);
    if !routed || hook != Hook::Forward {
        return (None, None);
    }
    (name(packet.iif, facts), name(packet.oif, facts))
}

/// The name of an interface where it is known and means the same to every program.
pub(super) fn name(iface: Option<Iface>, facts: Facts<'_>) -> Option<String> {
    let name = match iface? {
        Iface::Link(at) => facts.host.links.get(at as usize)?.name.to_string(),
        Iface::Fact(fact) => ifname_text(facts.know.single(fact)?),
    };
    // `eth+` and `eth*` are many names for some programs, and others mean something to the shell
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    (name.chars().all(plain) && !name.starts_with('-')).then_some(name)
}
