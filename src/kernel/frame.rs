//! Ethernet frames: the packets that the lab sends, those that it gets, and the ARP and ND questions it answers.
//!
//! Headers only, as short as they can be: what rules ask of a packet's length is what the model assumes. Left out: IP
//! options, extension headers, fragments.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::conntrack::{asks, inverse_icmp};
use crate::host::Mac;
use crate::packet::{proto, tcp};

/// A packet's headers, as far as the lab tells packets apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub proto: u8,
    /// 0 for protocols without ports.
    pub sport: u16,
    pub dport: u16,
    /// Type and code.
    pub icmp: Option<(u8, u8)>,
    /// Identifier and sequence of an ICMP query.
    pub query: (u16, u16),
    pub tcp_flags: u8,
    pub seq: u32,
    pub ack: u32,
    pub ttl: u8,
    /// Bytes behind the transport header.
    pub padding: u16,
}

/// What is in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// Who has `target`? Asked by ARP, or by ND when it is IPv6.
    WhoHas {
        asker: IpAddr,
        target: IpAddr,
    },
    Ip(Headers),
    Other,
}

/// A frame that came out of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub dst: Mac,
    pub src: Mac,
    pub vlan: Option<u16>,
    pub content: Content,
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

impl Headers {
    /// The bytes of the IP packet, checksums right.
    pub fn encode(&self) -> Vec<u8> {
        let body = self.transport();
        self.with_ip_header(&body)
    }

    fn with_ip_header(&self, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(40 + body.len());
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let length = (20 + body.len()) as u16;
                bytes.extend([0x45, 0]);
                bytes.extend(length.to_be_bytes());
                bytes.extend([0x4e, 0x46, 0x40, 0, self.ttl, self.proto, 0, 0]);
                bytes.extend(src.octets());
                bytes.extend(dst.octets());
                let sum = checksum(&[&bytes]);
                bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            (src, dst) => {
                bytes.extend([0x60, 0, 0, 0]);
                bytes.extend((body.len() as u16).to_be_bytes());
                bytes.extend([self.proto, self.ttl]);
                bytes.extend(six(src).octets());
                bytes.extend(six(dst).octets());
            }
        }
        bytes.extend(body);
        bytes
    }

    /// The bytes behind the IP header.
    fn transport(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let ports = |body: &mut Vec<u8>| {
            body.extend(self.sport.to_be_bytes());
            body.extend(self.dport.to_be_bytes());
        };
        let mut sum_at = None;
        match self.proto {
            proto::TCP => {
                ports(&mut body);
                body.extend(self.seq.to_be_bytes());
                body.extend(self.ack.to_be_bytes());
                body.extend([0x50, self.tcp_flags, 0xfa, 0xf0, 0, 0, 0, 0]);
                sum_at = Some(16);
            }
            proto::UDP | proto::UDPLITE => {
                ports(&mut body);
                body.extend((8 + self.padding).to_be_bytes());
                body.extend([0, 0]);
                sum_at = Some(6);
            }
            proto::ICMP | proto::ICMPV6 => {
                let (kind, code) = self.icmp.unwrap_or((8, 0));
                body.extend([kind, code, 0, 0]);
                body.extend(self.query.0.to_be_bytes());
                body.extend(self.query.1.to_be_bytes());
                sum_at = Some(2);
            }
            proto::SCTP => {
                // an INIT or INIT ACK chunk: conntrack takes no association without
                ports(&mut body);
                let answers = self.ack != 0;
                body.extend(self.ack.to_be_bytes());
                body.extend([0; 4]);
                body.extend([if answers { 2 } else { 1 }, 0, 0, 20]);
                body.extend(1u32.to_be_bytes());
                body.extend(0xffffu32.to_be_bytes());
                body.extend([0, 1, 0, 1]);
                body.extend(1u32.to_be_bytes());
                let sum = crc32c(&body);
                body[8..12].copy_from_slice(&sum.to_le_bytes());
            }
            _ => body.extend([0; 8]),
        }
        body.extend(std::iter::repeat_n(0, usize::from(self.padding)));
        if let Some(at) = sum_at {
            let pseudo = self.pseudo_header(body.len());
            let sum = if self.proto == proto::ICMP {
                checksum(&[&body])
            } else {
                checksum(&[&pseudo, &body])
            };
            let sum = if sum == 0 { 0xffff } else { sum };
            body[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        body
    }

    fn pseudo_header(&self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(40);
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                bytes.extend(src.octets());
                bytes.extend(dst.octets());
                bytes.extend([0, self.proto]);
                bytes.extend((length as u16).to_be_bytes());
            }
            (src, dst) => {
                bytes.extend(six(src).octets());
                bytes.extend(six(dst).octets());
                bytes.extend((length as u32).to_be_bytes());
                bytes.extend([0, 0, 0, self.proto]);
            }
        }
        bytes
    }

    /// Reads an IP packet.
    pub fn decode(bytes: &[u8]) -> Option<Headers> {
        match bytes.first()? >> 4 {
            4 => {
                let header = usize::from(bytes[0] & 0xf) * 4;
                let address = |at: usize| -> Option<IpAddr> {
                    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
                    Some(Ipv4Addr::from(octets).into())
                };
                let proto = *bytes.get(9)?;
                let (src, dst) = (address(12)?, address(16)?);
                Self::decode_transport(src, dst, proto, *bytes.get(8)?, bytes.get(header..)?)
            }
            6 => {
                let address = |at: usize| -> Option<IpAddr> {
                    let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
                    Some(Ipv6Addr::from(octets).into())
                };
                let (src, dst) = (address(8)?, address(24)?);
                Self::decode_transport(src, dst, *bytes.get(6)?, *bytes.get(7)?, bytes.get(40..)?)
            }
            _ => None,
        }
    }

    /// Reads what is behind an IP header.
    pub fn decode_transport(
        src: IpAddr,
        dst: IpAddr,
        proto: u8,
        ttl: u8,
        body: &[u8],
    ) -> Option<Headers> {
        let word = |at: usize| -> Option<u16> {
            Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?))
        };
        let long = |at: usize| -> Option<u32> {
            Some(u32::from_be_bytes(body.get(at..at + 4)?.try_into().ok()?))
        };
        let mut headers = Headers {
            src,
            dst,
            proto,
            sport: 0,
            dport: 0,
            icmp: None,
            query: (0, 0),
            tcp_flags: 0,
            seq: 0,
            ack: 0,
            ttl,
            padding: 0,
        };
        if proto::has_ports(proto) {
            (headers.sport, headers.dport) = (word(0)?, word(2)?);
        }
        match proto {
            proto::TCP => {
                headers.seq = long(4)?;
                headers.ack = long(8)?;
                headers.tcp_flags = *body.get(13)?;
            }
            proto::ICMP | proto::ICMPV6 => {
                headers.icmp = Some((*body.first()?, *body.get(1)?));
                headers.query = (word(4)?, word(6)?);
            }
            _ => {}
        }
        Some(headers)
    }

    /// What the receiver of this packet answers; `None` when it does not.
    pub fn answer(&self) -> Option<Headers> {
        let broadcast = matches!(self.dst, IpAddr::V4(v4) if v4.is_broadcast());
        let is_reset = self.proto == proto::TCP && self.tcp_flags & tcp::RST != 0;
        if self.dst.is_multicast() || broadcast || is_reset {
            return None;
        }
        let icmp = match self.icmp {
            None => None,
            Some((kind, code)) if asks(self.proto, kind) => {
                Some((inverse_icmp(self.proto, kind)?, code))
            }
            Some(_) => return None,
        };
        Some(Headers {
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
            icmp,
            tcp_flags: (self.tcp_flags | tcp::ACK) & !tcp::RST,
            seq: 1,
            ack: if self.proto == proto::SCTP {
                1
            } else {
                self.seq.wrapping_add(1)
            },
            ttl: 64,
            ..self.clone()
        })
    }
}

fn six(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0x82f6_3b78 & 0u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

/// A frame around an IP packet.
pub(super) fn ethernet(dst: Mac, src: Mac, vlan: Option<u16>, packet: &[u8]) -> Vec<u8> {
    let ethertype = match packet.first().map(|byte| byte >> 4) {
        Some(6) => IPV6,
        _ => IPV4,
    };
    tagged(dst, src, vlan, ethertype, packet)
}

fn tagged(dst: Mac, src: Mac, vlan: Option<u16>, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(64 + payload.len());
    frame.extend(dst);
    frame.extend(src);
    if let Some(id) = vlan {
        frame.extend(VLAN.to_be_bytes());
        frame.extend(id.to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Reads a frame.
pub(super) fn decode(bytes: &[u8], taken_off: Option<u16>) -> Option<Frame> {
    let mac = |at: usize| -> Option<Mac> { bytes.get(at..at + 6)?.try_into().ok() };
    let word = |at: usize| -> Option<u16> {
        Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
    };
    let (mut at, mut vlan) = (12, taken_off);
    if word(at)? == VLAN {
        vlan = Some(word(at + 2)? & 0xfff);
        at += 4;
    }
    let payload = bytes.get(at + 2..)?;
    let content = match word(at)? {
        ARP => who_has(payload).unwrap_or(Content::Other),
        IPV4 | IPV6 => match Headers::decode(payload) {
            Some(headers) if headers.icmp == Some((NEIGHBOUR_SOLICITATION, 0)) => {
                solicited(payload).unwrap_or(Content::Other)
            }
            Some(headers) => Content::Ip(headers),
            None => Content::Other,
        },
        _ => Content::Other,
    };
    Some(Frame {
        dst: mac(0)?,
        src: mac(6)?,
        vlan,
        content,
    })
}

fn who_has(arp: &[u8]) -> Option<Content> {
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 4] = arp.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets).into())
    };
    let asks = arp.get(6..8)? == [0, 1];
    let (asker, target) = (address(14)?, address(24)?);
    asks.then_some(Content::WhoHas { asker, target })
}

fn solicited(packet: &[u8]) -> Option<Content> {
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets).into())
    };
    Some(Content::WhoHas {
        asker: address(8)?,
        target: address(48)?,
    })
}

/// The answer of `mac`, which has `target`.
pub(super) fn i_have(
    target: IpAddr,
    mac: Mac,
    asker: IpAddr,
    asker_mac: Mac,
    vlan: Option<u16>,
) -> Vec<u8> {
    match (target, asker) {
        (IpAddr::V4(target), IpAddr::V4(asker)) => {
            let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 2];
            arp.extend(mac);
            arp.extend(target.octets());
            arp.extend(asker_mac);
            arp.extend(asker.octets());
            tagged(asker_mac, mac, vlan, ARP, &arp)
        }
        (target, asker) => {
            let mut body = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, 0x60, 0, 0, 0];
            body.extend(six(target).octets());
            body.extend([2, 1]);
            body.extend(mac);
            let headers = Headers {
                src: target,
                dst: asker,
                proto: proto::ICMPV6,
                sport: 0,
                dport: 0,
                icmp: None,
                query: (0, 0),
                tcp_flags: 0,
                seq: 0,
                ack: 0,
                ttl: 255,
                padding: 0,
            };
            let sum = checksum(&[&headers.pseudo_header(body.len()), &body]);
            body[2..4].copy_from_slice(&sum.to_be_bytes());
            let packet = headers.with_ip_header(&body);
            tagged(asker_mac, mac, vlan, IPV6, &packet)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str, proto: u8) -> Headers {
        let (src, dst) = text.split_once(' ').expect("two addresses");
        Headers {
            src: src.parse().expect("address"),
            dst: dst.parse().expect("address"),
            proto,
            sport: 40000,
            dport: 53,
            icmp: None,
            query: (0, 0),
            tcp_flags: 0,
            seq: 0,
            ack: 0,
            ttl: 64,
            padding: 0,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for addresses in ["10.0.0.1 10.0.0.2", "fd00::1 fd00::2"] {
            let udp = headers(addresses, proto::UDP);
            assert_eq!(Headers::decode(&udp.encode()), Some(udp.clone()));
            let tcp = Headers {
                tcp_flags: tcp::SYN,
                seq: 7,
                ..headers(addresses, proto::TCP)
            };
            assert_eq!(Headers::decode(&tcp.encode()), Some(tcp));
            let frame = ethernet([1; 6], [2; 6], Some(10), &udp.encode());
            let read = decode(&frame, None).expect("a frame");
            assert_eq!(read.vlan, Some(10));
            assert_eq!(read.content, Content::Ip(udp));
        }
    }

    #[test]
    fn checksums_add_up() {
        let udp = Headers {
            padding: 3,
            ..headers("10.0.0.1 10.0.0.2", proto::UDP)
        };
        let bytes = udp.encode();
        assert_eq!(checksum(&[&bytes[..20]]), 0);
        assert_eq!(
            checksum(&[&udp.pseudo_header(bytes.len() - 20), &bytes[20..]]),
            0
        );
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn answers_turn_the_packet_round() {
        let syn = Headers {
            tcp_flags: tcp::SYN,
            seq: 9,
            ..headers("10.0.0.1 10.0.0.2", proto::TCP)
        };
        let answer = syn.answer().expect("an answer");
        assert_eq!(answer.tcp_flags, tcp::SYN | tcp::ACK);
        assert_eq!((answer.sport, answer.dport, answer.ack), (53, 40000, 10));
        let ping = Headers {
            icmp: Some((8, 0)),
            ..headers("10.0.0.1 10.0.0.2", proto::ICMP)
        };
        assert_eq!(ping.answer().and_then(|a| a.icmp), Some((0, 0)));
        let error = Headers {
            icmp: Some((3, 1)),
            ..ping
        };
        assert_eq!(error.answer(), None);
        let reset = Headers {
            tcp_flags: tcp::RST,
            ..syn
        };
        assert_eq!(reset.answer(), None);
    }
}
