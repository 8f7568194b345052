//! Packets of pcap and pcapng files: the first of each conversation.

use std::net::IpAddr;

use etherparse::{EtherType, Ipv6ExtensionSlice, LaxNetSlice, LaxSlicedPacket, LinkSlice};
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

use crate::diagnostic::Diagnostic;
use crate::packet::proto;

use super::{Conversations, Seen, flow_of};

/// Magic numbers of pcap (both byte orders, micro- and nanoseconds) and of a pcapng section.
const MAGICS: [[u8; 4]; 5] = [
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x0a, 0x0d, 0x0d, 0x0a],
];

pub(super) fn is(content: &[u8]) -> bool {
    MAGICS.iter().any(|magic| content.starts_with(magic))
}

/// An interface of the capture.
struct Interface {
    linktype: Linktype,
    name: Option<String>,
}

pub(super) fn read(source: &str, content: &[u8]) -> Result<(Vec<Seen>, Vec<Diagnostic>), String> {
    // the reader holds the largest block; the whole file is in memory anyway
    let mut reader = create_reader(content.len().max(64), content)
        .map_err(|_| "the head of the pcap file cannot be read".to_string())?;
    let mut found = Vec::new();
    let mut diagnostics = Vec::new();
    let mut conversations = Conversations::default();
    let mut interfaces: Vec<Interface> = Vec::new();
    let (mut packets, mut others, mut fragments) = (0usize, 0usize, 0usize);
    loop {
        let mut take = |interface: Option<&Interface>, data: &[u8]| {
            packets += 1;
            let decoded = interface.and_then(|from| decode(from, data));
            match decoded {
                Some(Decoded::LaterFragment) => fragments += 1,
                Some(Decoded::Packet(mut seen)) => {
                    if conversations.is_first(&seen.question.flow) {
                        seen.at = format!("packet {packets}");
                        found.push(*seen);
                    }
                }
                None => others += 1,
            }
        };
        let what = match reader.next() {
            Ok((offset, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => interfaces.push(Interface {
                        linktype: header.network,
                        name: None,
                    }),
                    PcapBlockOwned::Legacy(packet) => take(interfaces.first(), packet.data),
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => interfaces.clear(),
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                        let name = interface
                            .options
                            .iter()
                            .find(|option| option.code == pcap_parser::OptionCode::IfName)
                            .map(|option| String::from_utf8_lossy(&option.value).into_owned())
                            .map(|name| name.trim_end_matches('\0').to_string());
                        interfaces.push(Interface {
                            linktype: interface.linktype,
                            name,
                        });
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        let length = (packet.caplen as usize).min(packet.data.len());
                        take(
                            interfaces.get(packet.if_id as usize),
                            &packet.data[..length],
                        );
                    }
                    PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                        take(interfaces.first(), packet.data);
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(offset);
                continue;
            }
            Err(PcapError::Eof) => break,
            Err(PcapError::Incomplete(_)) => None,
            Err(PcapError::UnexpectedEof) => Some("the file is cut short"),
            Err(_) => Some("the file is damaged"),
        };
        let what = match what {
            None if reader.reader_exhausted() => "the file is cut short",
            None => match reader.refill() {
                Ok(()) => continue,
                Err(_) => "the file is cut short",
            },
            Some(what) => what,
        };
        let message = format!("{what} behind packet {packets}: the packets before it are used");
        diagnostics.push(Diagnostic::warning(source, message));
        break;
    }
    if others > 0 {
        let message = format!(
            "{others} of {packets} packets are not IP, or cut too short to tell their addresses"
        );
        diagnostics.push(Diagnostic::note(source, message));
    }
    if fragments > 0 {
        let message = format!(
            "{fragments} of {packets} packets are later fragments of packets, which have no ports: left out"
        );
        diagnostics.push(Diagnostic::note(source, message));
    }
    Ok((found, diagnostics))
}

enum Decoded {
    Packet(Box<Seen>),
    /// Not the first fragment: it has no header of its protocol.
    LaterFragment,
}

/// A packet behind the header that its interface puts before it.
fn decode(from: &Interface, data: &[u8]) -> Option<Decoded> {
    let ether_type = |at: usize| {
        let pair: [u8; 2] = data.get(at..at + 2)?.try_into().ok()?;
        Some(EtherType(u16::from_be_bytes(pair)))
    };
    let (packet, sent) = match from.linktype {
        Linktype::ETHERNET => (LaxSlicedPacket::from_ethernet(data).ok()?, false),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => {
            (LaxSlicedPacket::from_ip(data).ok()?, false)
        }
        // 4 bytes of address family
        Linktype::NULL | Linktype::LOOP => (LaxSlicedPacket::from_ip(data.get(4..)?).ok()?, false),
        // packet type (4: sent by this host), hardware type, address, EtherType
        Linktype::LINUX_SLL => {
            let inner = data.get(16..)?;
            (
                LaxSlicedPacket::from_ether_type(ether_type(14)?, inner),
                data.get(1) == Some(&4),
            )
        }
        Linktype(276) => {
            let inner = data.get(20..)?;
            (
                LaxSlicedPacket::from_ether_type(ether_type(0)?, inner),
                data.get(10) == Some(&4),
            )
        }
        _ => return None,
    };
    let is_later = match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => ip.header().fragments_offset().value() != 0,
        LaxNetSlice::Ipv6(ip) => ip.extensions().clone().into_iter().any(|extension| {
            matches!(extension, Ipv6ExtensionSlice::Fragment(of) if of.fragment_offset().value() != 0)
        }),
        LaxNetSlice::Arp(_) => return None,
    };
    if is_later {
        return Some(Decoded::LaterFragment);
    }
    let (src, dst, payload, length): (IpAddr, IpAddr, _, u32) = match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let (src, dst) = (
                header.source_addr().into(),
                header.destination_addr().into(),
            );
            (src, dst, ip.payload(), u32::from(header.total_len()))
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            let (src, dst) = (
                header.source_addr().into(),
                header.destination_addr().into(),
            );
            (
                src,
                dst,
                ip.payload(),
                u32::from(header.payload_length()) + 40,
            )
        }
        LaxNetSlice::Arp(_) => return None,
    };
    let number = payload.ip_number.0;
    let port = |at: usize| {
        let pair: [u8; 2] = payload.payload.get(at..at + 2)?.try_into().ok()?;
        Some(u16::from_be_bytes(pair))
    };
    let ports = proto::has_ports(number);
    let (sport, dport) = match ports {
        true => (port(0), port(2)),
        false => (None, None),
    };
    if ports && dport.is_none() {
        return None;
    }
    let seen = flow_of(number, Some(src), sport, dst, dport).map(|flow| {
        let mut seen = Seen::new(flow);
        seen.question.length = u16::try_from(length).ok().filter(|length| *length >= 20);
        // of fragments too, which are not decoded further than IP
        let byte = |at: usize| payload.payload.get(at).copied();
        match (number, byte(0).zip(byte(1))) {
            (proto::TCP, _) => seen.flags(byte(13).unwrap_or(0)),
            (proto::ICMP | proto::ICMPV6, message) => seen.question.icmp = message,
            _ => {}
        }
        if let Some(LinkSlice::Ethernet2(ether)) = &packet.link {
            (seen.question.ether_src, seen.question.ether_dst) =
                (Some(ether.source()), Some(ether.destination()));
        }
        if payload.fragmented {
            seen.question.length = None;
            seen.remarks.push(
                "the first fragment of a packet: taken for a whole one, of the usual length".into(),
            );
        }
        match sent {
            true => seen.remarks.push(
                "captured as this host sent it: behind the ruleset, and perhaps translated".into(),
            ),
            // `any` is no interface
            false => seen.question.iif = from.name.clone().filter(|name| name != "any"),
        }
        seen
    });
    seen.ok().map(|seen| Decoded::Packet(Box::new(seen)))
}
