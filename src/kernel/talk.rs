//! One conversation in the lab: the first packet is sent, the receiver answers, and what the kernel did is sorted.
//!
//! Packets from outside are frames on a wire. Packets of the host come from real sockets: a datagram socket for UDP, a
//! connecting one for TCP, raw ones for the rest. What reaches the host is seen by a raw socket of the protocol, and
//! answered by the kernel itself (TCP, by a listening socket; echo) or by a socket of the lab.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::conntrack::{asks, inverse_icmp};
use crate::host::{AddressType, Mac, TypeAnswer};
use crate::packet::{proto, tcp};

use super::frame::{Content, Headers};
use super::lab::{Lab, LabError, Listener, fail, is_ours};
use super::sys::{self, Kind as SocketKind, Socket};
use super::tracing::QUIET;
use crate::trace::{self, Event, EventKind};

/// The first packet, and where it comes from.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Its source is unspecified when the host is to choose it.
    pub headers: Headers,
    pub from: From,
    /// Mark of the sending socket.
    pub mark: u32,
    /// User of the sending socket.
    pub uid: Option<u32>,
}

#[derive(Debug, Clone)]
pub enum From {
    /// Into a link, as a frame with these Ethernet addresses.
    Outside { device: String, dst: Mac, src: Mac },
    /// By a socket of the host, bound to a device if one is named.
    Host { oif: Option<String> },
}

/// What the kernel did with a packet.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Rules and policies, in order.
    pub events: Vec<Event>,
    pub end: Ending,
}

/// Where a packet was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It left by this link (a bridge's: by this port).
    Left { device: String, headers: Headers },
    /// A socket of the host got it.
    Local(Headers),
    /// Nowhere.
    Gone,
}

/// A conversation as the kernel had it.
#[derive(Debug, Clone)]
pub struct Conversation {
    pub request: Seen,
    /// `None` when the receiver sent nothing back.
    pub reply: Option<Seen>,
    /// The reset or ICMP error that the host sent for the request.
    pub answer: Option<Seen>,
    /// Everything nft printed.
    pub lines: Vec<String>,
    /// The host took the request and refused it with a reset.
    refused: bool,
}

/// Which packet of the conversation one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Request,
    Reply,
    /// An error or a reset, for the request.
    Answer,
    /// An error or a reset for the reply, the end of a handshake.
    Other,
}

/// Tells the packets of a conversation apart.
struct Sorter<'a>(&'a Headers);

impl Sorter<'_> {
    /// `by_time`: what it is when it does not show.
    fn part(
        &self,
        proto: Option<u8>,
        flags: Option<u8>,
        icmp: Option<u8>,
        by_time: Part,
    ) -> Option<Part> {
        let opening = self.0;
        // nobody is told of an error about an error
        let is_error = match (proto?, icmp) {
            (proto::ICMP, Some(3 | 11)) => {
                let is_error = |(kind, _)| matches!(kind, 3 | 4 | 5 | 11 | 12);
                !opening.icmp.is_some_and(is_error)
            }
            (proto::ICMPV6, Some(1 | 3)) => opening.icmp.is_none_or(|(kind, _)| kind >= 128),
            (proto::TCP, _) if opening.proto == proto::TCP => {
                flags? & tcp::RST != 0 && opening.tcp_flags & tcp::RST == 0
            }
            _ => false,
        };
        if is_error && by_time == Part::Request {
            return Some(Part::Answer);
        }
        if proto? != opening.proto {
            return Some(Part::Other);
        }
        match opening.proto {
            proto::TCP => {
                let (sent, seen) = (opening.tcp_flags, flags?);
                Some(if seen & tcp::RST != 0 && sent & tcp::RST == 0 {
                    Part::Other
                } else if sent & tcp::ACK != 0 {
                    by_time
                } else if seen == sent {
                    Part::Request
                } else if seen == (sent | tcp::ACK) & !tcp::RST {
                    Part::Reply
                } else {
                    Part::Other
                })
            }
            proto::ICMP | proto::ICMPV6 => {
                let (kind, _) = opening.icmp?;
                let seen = icmp?;
                Some(if seen == kind {
                    Part::Request
                } else if asks(opening.proto, kind)
                    && inverse_icmp(opening.proto, kind) == Some(seen)
                {
                    Part::Reply
                } else {
                    Part::Other
                })
            }
            _ => Some(by_time),
        }
    }

    fn of(&self, headers: &Headers, by_time: Part) -> Part {
        self.part(
            Some(headers.proto),
            Some(headers.tcp_flags),
            headers.icmp.map(|(kind, _)| kind),
            by_time,
        )
        .unwrap_or(by_time)
    }
}

/// Has a conversation.
pub fn converse(lab: &mut Lab, opening: &Opening) -> Result<Conversation, LabError> {
    let mut ports = BTreeSet::from([opening.headers.dport]);
    let (mut introduced, mut refused) = (0, 0);
    loop {
        let (conversation, missed) = attempt(lab, opening, &ports)?;
        // a translation led to a port where nobody listened: again, with somebody there
        if let Some(port) = missed
            && ports.len() < 3
        {
            ports.insert(port);
            continue;
        }
        // a service of the conversation before was still in the way
        if conversation.refused && refused < 2 {
            refused += 1;
            continue;
        }
        // the ruleset keeps the host from finding its neighbours: again, with neighbours that it knows
        let ends = [
            Some(&conversation.request),
            conversation.reply.as_ref(),
            conversation.answer.as_ref(),
        ];
        let lost = ends.into_iter().flatten().any(|seen| {
            let dropped = |event: &Event| match &event.kind {
                EventKind::Rule { verdict, .. } | EventKind::Policy { verdict } => {
                    verdict == "drop"
                }
                EventKind::Packet(_) => false,
            };
            seen.end == Ending::Gone && !seen.events.last().is_some_and(dropped)
        });
        if lost && introduced < 3 && lab.introduce()? {
            introduced += 1;
            continue;
        }
        return Ok(conversation);
    }
}

/// Sockets that take what arrives, so that the kernel does not refuse it.
fn services(opening: &Opening, ports: &BTreeSet<u16>) -> Vec<Socket> {
    let headers = &opening.headers;
    // a host that sends from the port that it sends to needs the port itself
    let shared = matches!(opening.from, From::Host { .. }) && headers.sport == headers.dport;
    let v6 = headers.dst.is_ipv6();
    let kind = match headers.proto {
        proto::TCP => SocketKind::Stream,
        proto::UDP => SocketKind::Datagram,
        _ => return Vec::new(),
    };
    let mut sockets = Vec::new();
    for &port in ports {
        let open = || -> io::Result<Socket> {
            let socket = Socket::open(v6, kind)?;
            let address = if shared { headers.dst } else { sys::any(v6) };
            socket.bind(SocketAddr::new(address, port))?;
            if kind == SocketKind::Stream {
                socket.listen()?;
            }
            Ok(socket)
        };
        // without it the kernel answers with an error, which is no part of the conversation
        sockets.extend(open());
    }
    sockets
}

fn attempt(
    lab: &mut Lab,
    opening: &Opening,
    ports: &BTreeSet<u16>,
) -> Result<(Conversation, Option<u16>), LabError> {
    let headers = &opening.headers;
    if headers.proto == proto::ICMPV6
        && let Some((kind, _)) = headers.icmp
        && QUIET.contains(&u32::from(kind))
    {
        return fail(format!(
            "the lab does not trace neighbour discovery and group memberships (ICMPv6 type {kind}): the kernel sends such messages all the time"
        ));
    }
    let v6 = headers.dst.is_ipv6();
    let trouble = |error: io::Error| LabError(format!("a socket of the lab: {error}"));
    let services = services(opening, ports);
    let raw = Socket::open(v6, SocketKind::Raw(headers.proto)).map_err(trouble)?;
    let listeners = [Listener {
        socket: raw,
        proto: headers.proto,
        received: RefCell::new(Vec::new()),
    }];
    lab.settle(&listeners)?;
    listeners[0].received.borrow_mut().clear();
    lab.forget()?;
    let sender = match &opening.from {
        From::Outside { device, dst, src } => {
            lab.inject(device, *dst, *src, &headers.encode())?;
            None
        }
        From::Host { oif } => Some(send_from_host(opening, oif.as_deref())?),
    };
    lab.settle(&listeners)?;
    let sorter = Sorter(headers);
    let first_lines = lab.lines().len();
    let (first_frames, first_local) = (lab.frames().len(), listeners[0].received.borrow().len());
    let end = |lab: &Lab, part: Part, proto: Option<u8>| {
        let is = |headers: &Headers, by_time: Part| {
            sorter.of(headers, by_time) == part && proto.is_none_or(|proto| headers.proto == proto)
        };
        let by_time = |at: usize, first: usize| {
            if at < first {
                Part::Request
            } else {
                Part::Reply
            }
        };
        let local = listeners[0].received.borrow();
        let mut local = local.iter().enumerate();
        let local = local.find(|(at, headers)| is(headers, by_time(*at, first_local)));
        if let Some((_, headers)) = local {
            return Ending::Local(headers.clone());
        }
        for (at, (device, frame)) in lab.frames().iter().enumerate() {
            if let Content::Ip(headers) = &frame.content
                && is(headers, by_time(at, first_frames))
            {
                return Ending::Left {
                    device: device.clone(),
                    headers: headers.clone(),
                };
            }
        }
        Ending::Gone
    };
    let request = end(lab, Part::Request, None);
    let mut missed = None;
    let mut replied = end(lab, Part::Reply, None) != Ending::Gone;
    match &request {
        Ending::Left { device, headers } => {
            if let Some(answer) = headers.answer() {
                let (src, dst) = super::addressed(lab, device, &answer)?;
                lab.inject(device, dst, src, &answer.encode())?;
                replied = true;
            }
        }
        Ending::Local(arrived) => match arrived.proto {
            proto::TCP if arrived.tcp_flags == tcp::SYN => {
                replied = true;
                missed = (!ports.contains(&arrived.dport)).then_some(arrived.dport);
            }
            // the kernel answers with a reset, if at all
            proto::TCP => {}
            proto::ICMP | proto::ICMPV6 => replied |= arrived.answer().is_some(),
            _ => {
                // a broadcast asks for no answer
                let kind = lab.host().address_type(arrived.dst, None);
                let to_many = matches!(kind, TypeAnswer::Known(AddressType::Broadcast, _));
                if let Some(answer) = arrived.answer().filter(|_| !to_many) {
                    answer_from_host(&answer)?;
                    replied = true;
                }
            }
        },
        Ending::Gone => {}
    }
    lab.settle(&listeners)?;
    let reply_end = end(lab, Part::Reply, None);
    let (first, rest) = lab.lines().split_at(first_lines);
    let (mut lines, rest) = (trace::join(first), trace::join(rest));
    let mut parts = HashMap::new();
    let mut sorted = Sorted::default();
    sort(&sorter, &lines, Part::Request, &mut parts, &mut sorted);
    sort(&sorter, &rest, Part::Reply, &mut parts, &mut sorted);
    lines.extend(rest);
    let reply = (replied || !sorted.reply.is_empty()).then_some(Seen {
        events: sorted.reply,
        end: reply_end,
    });
    let answer_end = end(lab, Part::Answer, sorted.answered_by);
    let answer = (answer_end != Ending::Gone || !sorted.answer.is_empty()).then_some(Seen {
        events: sorted.answer,
        end: answer_end,
    });
    let reset =
        |headers: &Headers| headers.proto == proto::TCP && headers.tcp_flags & tcp::RST != 0;
    let local = matches!(&request, Ending::Local(headers) if headers.tcp_flags == tcp::SYN);
    let refused = local
        && (listeners[0].received.borrow().iter().any(reset)
            || lab.frames().iter().any(|(_, frame)| match &frame.content {
                Content::Ip(headers) => reset(headers),
                Content::WhoHas { .. } | Content::Other => false,
            }));
    if let Some(sender) = &sender {
        // a connection that nobody wants ends without a word
        let _ = sender.close_abruptly();
    }
    drop((sender, services));
    let conversation = Conversation {
        request: Seen {
            events: sorted.request,
            end: request,
        },
        reply,
        answer,
        lines,
        refused,
    };
    Ok((conversation, missed))
}

/// Rules and policies by packet.
#[derive(Default)]
struct Sorted {
    request: Vec<Event>,
    reply: Vec<Event>,
    answer: Vec<Event>,
    /// The protocol of the answer.
    answered_by: Option<u8>,
}

/// Puts each rule and policy to its packet. Every base chain a packet enters begins with a packet line of the same
/// trace id, which says whose the next ones are.
fn sort(
    sorter: &Sorter<'_>,
    lines: &[String],
    by_time: Part,
    parts: &mut HashMap<String, Part>,
    sorted: &mut Sorted,
) {
    for event in lines.iter().filter_map(|line| trace::parse(line)) {
        match &event.kind {
            EventKind::Packet(seen) => {
                let part = sorter.part(seen.proto, seen.tcp_flags, seen.icmp, by_time);
                let known = parts.get(&event.id).copied();
                let mut part = part.or(known).unwrap_or(by_time);
                if part == Part::Answer
                    && sorted.answered_by.is_some_and(|by| Some(by) != seen.proto)
                {
                    // an error about the reset
                    part = Part::Other;
                }
                if part == Part::Answer {
                    sorted.answered_by = seen.proto;
                }
                parts.insert(event.id.clone(), part);
            }
            EventKind::Rule { .. } | EventKind::Policy { .. } => {
                if is_ours(&event.table) {
                    continue;
                }
                match parts.get(&event.id).copied().unwrap_or(by_time) {
                    Part::Request => sorted.request.push(event),
                    Part::Reply => sorted.reply.push(event),
                    Part::Answer => sorted.answer.push(event),
                    Part::Other => {}
                }
            }
        }
    }
}

fn send_from_host(opening: &Opening, oif: Option<&str>) -> Result<Socket, LabError> {
    if let Some(uid) = opening.uid {
        sys::own_sockets_as(uid);
    }
    let sent = send_by_socket(opening, oif);
    if opening.uid.is_some() {
        sys::own_sockets_as(0);
    }
    sent
}

fn send_by_socket(opening: &Opening, oif: Option<&str>) -> Result<Socket, LabError> {
    let headers = &opening.headers;
    let v6 = headers.dst.is_ipv6();
    let kind = match headers.proto {
        proto::UDP => SocketKind::Datagram,
        proto::TCP if headers.tcp_flags == tcp::SYN => SocketKind::Stream,
        other => SocketKind::Raw(other),
    };
    let trouble = |error: io::Error| LabError(format!("a socket of the lab: {error}"));
    let socket = Socket::open(v6, kind).map_err(trouble)?;
    if opening.mark != 0 {
        socket.set_mark(opening.mark).map_err(trouble)?;
    }
    if let Some(device) = oif {
        socket.set_device(device).map_err(trouble)?;
    }
    let port = |port: u16| match kind {
        SocketKind::Raw(_) => 0,
        SocketKind::Datagram | SocketKind::Stream => port,
    };
    let chosen = headers.src.is_unspecified();
    if chosen && v6 && matches!(kind, SocketKind::Raw(_)) {
        return fail(
            "say the source address in the flow: the lab cannot leave it to the host here",
        );
    }
    if !chosen || port(headers.sport) != 0 {
        socket
            .bind(SocketAddr::new(headers.src, port(headers.sport)))
            .map_err(|error| {
                LabError(format!(
                    "the host cannot send from {}: {error}",
                    SocketAddr::new(headers.src, port(headers.sport))
                ))
            })?;
    }
    let towards = SocketAddr::new(headers.dst, port(headers.dport));
    let padding = vec![0; usize::from(headers.padding)];
    let sent = match kind {
        SocketKind::Stream => socket.connect(towards),
        SocketKind::Datagram => socket
            .allow_broadcast()
            .and_then(|()| socket.send_to(&padding, towards)),
        SocketKind::Raw(_) => socket.send_to(&headers.encode(), towards),
    };
    match sent {
        Ok(()) => Ok(socket),
        // a rule or the lack of a route fails the sender
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(
                    libc::EPERM
                        | libc::EACCES
                        | libc::EINVAL
                        | libc::ENETUNREACH
                        | libc::EHOSTUNREACH
                        | libc::ECONNREFUSED
                        | libc::ENETDOWN
                )
            ) =>
        {
            Ok(socket)
        }
        Err(error) => fail(format!("the host cannot send to {towards}: {error}")),
    }
}

/// The answer of a service of the host.
fn answer_from_host(answer: &Headers) -> Result<(), LabError> {
    let (from, to): (IpAddr, IpAddr) = (answer.src, answer.dst);
    let sent = if answer.proto == proto::UDP {
        Socket::open(to.is_ipv6(), SocketKind::Datagram).and_then(|socket| {
            socket.bind(SocketAddr::new(from, answer.sport))?;
            socket.send_to(&[], SocketAddr::new(to, answer.dport))
        })
    } else {
        // the route of a service's answer is chosen for its own source, not for any
        Socket::open(to.is_ipv6(), SocketKind::Raw(answer.proto)).and_then(|socket| {
            socket.bind(SocketAddr::new(from, 0))?;
            socket.send_to(&answer.encode(), SocketAddr::new(to, 0))
        })
    };
    match sent {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            fail(format!("the host cannot answer from {from}: {error}"))
        }
        // refused on the way: that is an answer, too
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(proto: u8) -> Headers {
        Headers {
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
            proto,
            sport: 40000,
            dport: 80,
            icmp: (proto == proto::ICMP).then_some((8, 0)),
            query: (0, 0),
            tcp_flags: tcp::SYN,
            seq: 0,
            ack: 0,
            ttl: 64,
            padding: 0,
        }
    }

    #[test]
    fn the_packets_of_a_conversation_are_told_apart() {
        let syn = opening(proto::TCP);
        let tcp = |flags| Sorter(&syn).part(Some(6), Some(flags), None, Part::Request);
        assert_eq!(tcp(0x02), Some(Part::Request));
        assert_eq!(tcp(0x12), Some(Part::Reply));
        assert_eq!(tcp(0x10), Some(Part::Other));
        assert_eq!(tcp(0x14), Some(Part::Answer));
        let ping = opening(proto::ICMP);
        let icmp = |kind| Sorter(&ping).part(Some(1), None, Some(kind), Part::Request);
        assert_eq!(icmp(8), Some(Part::Request));
        assert_eq!(icmp(0), Some(Part::Reply));
        assert_eq!(icmp(3), Some(Part::Answer));
        let pong = Headers {
            icmp: Some((0, 0)),
            ..opening(proto::ICMP)
        };
        let icmp = |kind| Sorter(&pong).part(Some(1), None, Some(kind), Part::Request);
        assert_eq!(icmp(3), Some(Part::Answer));
        let unreachable = Headers {
            icmp: Some((3, 1)),
            ..opening(proto::ICMP)
        };
        let icmp = |kind| Sorter(&unreachable).part(Some(1), None, Some(kind), Part::Request);
        assert_eq!(icmp(3), Some(Part::Request));
        let udp = opening(proto::UDP);
        let sorter = Sorter(&udp);
        assert_eq!(
            sorter.part(Some(17), None, None, Part::Reply),
            Some(Part::Reply)
        );
        assert_eq!(
            sorter.part(Some(1), None, Some(3), Part::Reply),
            Some(Part::Other)
        );
    }

    #[test]
    fn the_answer_to_a_rejected_packet_is_kept_apart() {
        let udp = opening(proto::UDP);
        let lines: Vec<String> = [
            "trace id a ip nfpath-trace p packet: iif \"eth0\" ip saddr 10.0.0.1 ip daddr 10.0.0.2 ip protocol 17 udp sport 40000 udp dport 80",
            "trace id a ip nfpath-trace p policy accept",
            "trace id b inet t output packet: oif \"eth0\" ip saddr 10.0.0.2 ip daddr 10.0.0.1 ip protocol 1 icmp type 3 icmp code 3",
            "trace id b inet t output policy accept",
            "trace id a inet t forward packet: iif \"eth0\" ip saddr 10.0.0.1 ip daddr 10.0.0.2 ip protocol 17 udp sport 40000 udp dport 80",
            "trace id a inet t forward rule udp dport 80 reject # handle 4 (verdict drop)",
        ]
        .map(String::from)
        .into();
        let mut sorted = Sorted::default();
        let mut parts = HashMap::new();
        sort(
            &Sorter(&udp),
            &lines,
            Part::Request,
            &mut parts,
            &mut sorted,
        );
        assert_eq!(sorted.request.len(), 1);
        assert_eq!(sorted.answer.len(), 1);
        assert_eq!(sorted.reply, []);
    }
}
