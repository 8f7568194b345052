//! Flows as they are written on the command line: `PROTO:SRC[:SPORT]->DST[:DPORT]`.
//!
//! Only the text is judged here. Which interface the packet enters, and which source a flow without one has, is
//! worked out from the host's facts later.

pub mod asked;
pub(crate) mod logged;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::packet::proto::{self, has_ports};
use crate::ruleset::datatype::DataType;

/// Characters of an offending text that a message repeats.
const QUOTED_MAX: usize = 80;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IpFamily {
    V4,
    V6,
}

impl IpFamily {
    /// The family of an address.
    pub fn of(addr: IpAddr) -> Self {
        if addr.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// What one packet of a conversation looks like from outside: its protocol, addresses and ports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flow {
    /// Number of the transport protocol.
    pub proto: u8,
    pub family: IpFamily,
    /// `None`: this host.
    pub src: Option<IpAddr>,
    /// `None`: any unprivileged port, or a protocol without ports.
    pub sport: Option<u16>,
    pub dst: IpAddr,
    pub dport: Option<u16>,
}

/// An ICMP or ICMPv6 type, with the code where one was given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IcmpMessage {
    pub kind: u8,
    pub code: Option<u8>,
}

/// Why a text is no flow (or no mark, flags, type), and what to write instead; one line each.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    #[error(
        "the flow is empty: write `PROTO:SRC[:SPORT]->DST[:DPORT]`, e.g. `tcp:10.0.0.1->10.0.0.2:80`"
    )]
    Empty,
    #[error(
        "`{0}` ends in `-`: the shell took `>` as a redirection; quote the flow, or write `,` in place of `->`"
    )]
    Redirected(String),
    #[error("`{0}` does not begin with a protocol: write e.g. `tcp:{0}`")]
    NoProtocol(String),
    #[error("unknown protocol `{name}`: {}", suggestion(*.near))]
    UnknownProtocol {
        name: String,
        near: Option<&'static str>,
    },
    #[error("`{0}` has no `->` between source and destination: write `PROTO:SRC->DST`")]
    NoArrow(String),
    #[error("`{0}` has more than one destination: give each flow an argument of its own")]
    ManyArrows(String),
    #[error("`{0}` has no destination: write an address behind `->`")]
    NoDestination(String),
    #[error("`{text}` has a port but no address: write `{example}:{port}`")]
    NoAddress {
        text: String,
        example: &'static str,
        port: String,
    },
    #[error("`{0}` is a name: give the address, e.g. from `getent hosts {0}`")]
    HostName(String),
    #[error("`{0}` is not an IPv4 or IPv6 address")]
    BadAddress(String),
    #[error("`{0}` is a network: give one address of it")]
    Network(String),
    #[error("`{text}` names an interface: write `{addr}` and give the interface with `--iif`")]
    Zone { text: String, addr: String },
    #[error("`{0}` lacks the closing `]`: write `[ADDRESS]:PORT`")]
    OpenBracket(String),
    #[error("`{text}` is an IPv6 address without brackets before a port: write `[{addr}]:{port}`")]
    Unbracketed {
        text: String,
        addr: String,
        port: String,
    },
    #[error(
        "`{text}` may be an address or an address and a port: write `[{addr}]:{port}`, or `[{text}]` for no port"
    )]
    Ambiguous {
        text: String,
        addr: String,
        port: String,
    },
    #[error("port `{0}` is not a number from 1 to 65535")]
    BadPort(String),
    #[error("no port after `:`: write a number, or leave out the `:`")]
    NoPort,
    #[error("`{protocol}` has no ports: leave out `:{port}`{}", icmp_hint(.protocol))]
    Portless { protocol: String, port: String },
    #[error("`{src}` and `{dst}` are of different families: give two IPv4 or two IPv6 addresses")]
    MixedFamilies { src: IpAddr, dst: IpAddr },
    #[error("`icmp` does not carry `{0}`: write `icmp6` for IPv6 addresses")]
    IcmpOverV6(IpAddr),
    #[error("`icmp6` does not carry `{0}`: write `icmp` for IPv4 addresses")]
    Icmp6OverV4(IpAddr),
    #[error("unknown ICMP type `{name}`: {}", suggestion(*.near))]
    UnknownIcmpType {
        name: String,
        near: Option<&'static str>,
    },
    #[error("unknown ICMP code `{0}`: write a number from 0 to 255, or a name of nft's")]
    UnknownIcmpCode(String),
    #[error("unknown TCP flag `{name}`: {}", suggestion(*.near))]
    UnknownTcpFlag {
        name: String,
        near: Option<&'static str>,
    },
    #[error("mark `{0}` is not a number from 0 to 0xffffffff")]
    BadMark(String),
}

fn suggestion(near: Option<&'static str>) -> String {
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write a name as nft does, or a number".to_owned(),
    }
}

fn icmp_hint(protocol: &str) -> &'static str {
    if protocol.starts_with("icmp") {
        " (`--icmp-type` sets the type)"
    } else {
        ""
    }
}

/// Reads a flow.
///
/// # Errors
/// The first thing that is wrong, from left to right, with what to write instead.
pub fn parse(text: &str) -> Result<Flow, FlowError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(FlowError::Empty);
    }
    if text.ends_with('-') {
        return Err(FlowError::Redirected(quoted(text)));
    }
    let no_protocol = || FlowError::NoProtocol(quoted(text));
    let (name, ends) = text.split_once(':').ok_or_else(no_protocol)?;
    let (src, dst) = match split_ends(ends) {
        Ends::Two(src, dst) => (src, dst),
        Ends::One => return Err(FlowError::NoArrow(quoted(text))),
        Ends::Many => return Err(FlowError::ManyArrows(quoted(text))),
    };
    let proto = match parse_protocol(name) {
        Ok(proto) => proto,
        Err(_) if starts_with_address(text, name) => return Err(no_protocol()),
        Err(error) => return Err(error),
    };
    let (src, sport) = parse_end(proto, src)?;
    if dst.is_empty() {
        return Err(FlowError::NoDestination(quoted(text)));
    }
    let (dst_addr, dport) = parse_end(proto, dst)?;
    let Some(dst_addr) = dst_addr else {
        let port = quoted(dst.trim_start_matches(':'));
        return Err(FlowError::NoAddress {
            text: quoted(dst),
            example: "10.0.0.2",
            port,
        });
    };
    // whoever writes a number means it
    let named = name.trim().parse::<u8>().is_err();
    for addr in src.into_iter().chain([dst_addr]).filter(|_| named) {
        match (proto, IpFamily::of(addr)) {
            (proto::ICMP, IpFamily::V6) => return Err(FlowError::IcmpOverV6(addr)),
            (proto::ICMPV6, IpFamily::V4) => return Err(FlowError::Icmp6OverV4(addr)),
            _ => {}
        }
    }
    match src {
        Some(src) if src.is_ipv4() != dst_addr.is_ipv4() => {
            Err(FlowError::MixedFamilies { src, dst: dst_addr })
        }
        _ => Ok(Flow {
            proto,
            family: IpFamily::of(dst_addr),
            src,
            sport,
            dst: dst_addr,
            dport,
        }),
    }
}

/// Reads a transport protocol, by name or number.
///
/// # Errors
/// [`FlowError::UnknownProtocol`].
pub fn parse_protocol(text: &str) -> Result<u8, FlowError> {
    let lower = text.to_ascii_lowercase();
    let listed = proto::NAMES
        .iter()
        .find(|(name, _)| *name == lower)
        .map(|(_, number)| *number);
    let number = listed.or_else(|| {
        let number = DataType::InetProto.constant(&lower)?;
        u8::try_from(number).ok()
    });
    number.ok_or_else(|| FlowError::UnknownProtocol {
        name: quoted(text),
        near: nearest(&lower, proto::NAMES.iter().map(|(name, _)| *name)),
    })
}

/// Reads `TYPE` or `TYPE/CODE` of the ICMP that belongs to `family`, names (those of nft) or numbers.
///
/// # Errors
/// [`FlowError::UnknownIcmpType`], [`FlowError::UnknownIcmpCode`].
pub fn parse_icmp_type(text: &str, family: IpFamily) -> Result<IcmpMessage, FlowError> {
    let (types, codes) = match family {
        IpFamily::V4 => (DataType::IcmpType, DataType::IcmpCode),
        IpFamily::V6 => (DataType::Icmpv6Type, DataType::Icmpv6Code),
    };
    let number = |data_type: DataType, text: &str| {
        data_type
            .constant(&text.to_ascii_lowercase())
            .and_then(|value| u8::try_from(value).ok())
    };
    let (name, code) = match text.split_once('/') {
        Some((name, code)) => (name, Some(code)),
        None => (text, None),
    };
    let kind = number(types, name).ok_or_else(|| FlowError::UnknownIcmpType {
        name: quoted(name),
        near: nearest(name, (0..=255).filter_map(|value| types.symbol(value))),
    })?;
    let code = match code {
        Some(code) => {
            Some(number(codes, code).ok_or_else(|| FlowError::UnknownIcmpCode(quoted(code)))?)
        }
        None => None,
    };
    Ok(IcmpMessage { kind, code })
}

/// Reads TCP flags: names joined with `,` (`syn,ack`), a number, or `none`.
///
/// # Errors
/// [`FlowError::UnknownTcpFlag`].
pub fn parse_tcp_flags(text: &str) -> Result<u8, FlowError> {
    if text == "none" {
        return Ok(0);
    }
    text.split(',').try_fold(0, |flags, name| {
        let lower = name.trim().to_ascii_lowercase();
        let flag = DataType::TcpFlag
            .constant(&lower)
            .and_then(|value| u8::try_from(value).ok());
        flag.map(|flag| flags | flag)
            .ok_or_else(|| FlowError::UnknownTcpFlag {
                name: quoted(name),
                near: nearest(
                    &lower,
                    (0..8).filter_map(|bit| DataType::TcpFlag.symbol(1 << bit)),
                ),
            })
    })
}

/// Reads a packet mark: decimal, or hexadecimal with `0x`.
///
/// # Errors
/// [`FlowError::BadMark`].
pub fn parse_mark(text: &str) -> Result<u32, FlowError> {
    DataType::Mark
        .constant(text)
        .and_then(|mark| u32::try_from(mark).ok())
        .ok_or_else(|| FlowError::BadMark(quoted(text)))
}

enum Ends<'a> {
    One,
    Two(&'a str, &'a str),
    Many,
}

/// Splits at the one `->`, or at the one `,`.
fn split_ends(text: &str) -> Ends<'_> {
    for arrow in ["->", ","] {
        if let Some((src, dst)) = text.split_once(arrow) {
            let again = dst.contains("->") || dst.contains(',') || src.contains(',');
            return if again {
                Ends::Many
            } else {
                Ends::Two(src.trim(), dst.trim())
            };
        }
    }
    Ends::One
}

/// True when the text begins with an address where the protocol should be.
fn starts_with_address(text: &str, name: &str) -> bool {
    let src = match split_ends(text) {
        Ends::Two(src, _) => src,
        Ends::One | Ends::Many => text,
    };
    name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok() || src.parse::<IpAddr>().is_ok()
}

/// Reads `ADDR`, `ADDR:PORT`, `[ADDR]:PORT`, `:PORT` or nothing.
fn parse_end(proto: u8, text: &str) -> Result<(Option<IpAddr>, Option<u16>), FlowError> {
    let (addr, port) = split_port(proto, text)?;
    let addr = match addr {
        "" => None,
        addr => Some(parse_addr(addr)?),
    };
    let port = match port {
        None => None,
        Some(port) if has_ports(proto) => Some(parse_port(port)?),
        Some(port) => {
            let protocol = proto::name(proto).map_or_else(|| proto.to_string(), str::to_owned);
            return Err(FlowError::Portless {
                protocol,
                port: quoted(port),
            });
        }
    };
    Ok((addr, port))
}

fn split_port(proto: u8, text: &str) -> Result<(&str, Option<&str>), FlowError> {
    if let Some(inside) = text.strip_prefix('[') {
        let (addr, rest) = inside
            .split_once(']')
            .ok_or_else(|| FlowError::OpenBracket(quoted(text)))?;
        return match rest.strip_prefix(':') {
            _ if addr.is_empty() => Err(FlowError::BadAddress(quoted(text))),
            Some(port) => Ok((addr, Some(port))),
            None if rest.is_empty() => Ok((addr, None)),
            None => Err(FlowError::BadAddress(quoted(text))),
        };
    }
    let Some((addr, port)) = text.rsplit_once(':') else {
        return Ok((text, None));
    };
    if !addr.contains(':') {
        return Ok((addr, Some(port)));
    }
    // Two colons or more: an IPv6 address, perhaps with a port at its end.
    let whole = text.parse::<Ipv6Addr>().is_ok();
    let parts =
        addr.parse::<Ipv6Addr>().is_ok() && port.bytes().all(|digit| digit.is_ascii_digit());
    let named = || (quoted(text), quoted(addr), quoted(port));
    match (whole, parts && !port.is_empty()) {
        (true, true) if has_ports(proto) => {
            let (text, addr, port) = named();
            Err(FlowError::Ambiguous { text, addr, port })
        }
        (false, true) if has_ports(proto) => {
            let (text, addr, port) = named();
            Err(FlowError::Unbracketed { text, addr, port })
        }
        (false, true) => Ok((addr, Some(port))),
        _ => Ok((text, None)),
    }
}

fn parse_addr(text: &str) -> Result<IpAddr, FlowError> {
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    if let Some((addr, _)) = text.split_once('%')
        && addr.parse::<Ipv6Addr>().is_ok()
    {
        return Err(FlowError::Zone {
            text: quoted(text),
            addr: addr.to_owned(),
        });
    }
    if let Some((addr, len)) = text.split_once('/')
        && addr.parse::<IpAddr>().is_ok()
        && len.parse::<u8>().is_ok()
    {
        return Err(FlowError::Network(quoted(text)));
    }
    let name = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    Err(if name {
        FlowError::HostName(quoted(text))
    } else {
        FlowError::BadAddress(quoted(text))
    })
}

fn parse_port(text: &str) -> Result<u16, FlowError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if text.is_empty() {
        return Err(FlowError::NoPort);
    }
    let port = if digits { text.parse().ok() } else { None };
    port.filter(|port| *port != 0)
        .ok_or_else(|| FlowError::BadPort(quoted(text)))
}

/// The text as a message repeats it: on one line, without control characters, not too long.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(QUOTED_MAX)
        .map(|symbol| {
            if symbol.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                symbol
            }
        })
        .collect();
    if text.chars().nth(QUOTED_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// The name that differs least from `text`, if it differs little.
pub(crate) fn nearest(
    text: &str,
    names: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    if text.len() > QUOTED_MAX {
        return None;
    }
    let limit = if text.len() > 4 { 2 } else { 1 };
    names
        .map(|name| (distance(text, name), name))
        .filter(|(far, _)| *far <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other.
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, byte) in one.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, against) in other.iter().enumerate() {
            let replaced = above[column] + usize::from(byte != against);
            let mut least = replaced.min(above[column + 1] + 1).min(line[column] + 1);
            if row > 0 && column > 0 && one[row - 1] == *against && other[column - 1] == *byte {
                least = least.min(before[column - 1] + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut above, line);
    }
    above[other.len()]
}

impl FromStr for Flow {
    type Err = FlowError;

    fn from_str(text: &str) -> Result<Self, FlowError> {
        parse(text)
    }
}

impl fmt::Display for Flow {
    /// The canonical form, which [`parse`] reads back to the same flow.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let foreign = matches!(
            (self.proto, self.dst),
            (proto::ICMP, IpAddr::V6(_)) | (proto::ICMPV6, IpAddr::V4(_))
        );
        match proto::name(self.proto) {
            Some(name) if !foreign => write!(f, "{name}:")?,
            Some(_) | None => write!(f, "{}:", self.proto)?,
        }
        let end = |f: &mut fmt::Formatter<'_>, addr: Option<IpAddr>, port: Option<u16>| {
            match addr {
                Some(IpAddr::V6(addr)) if has_ports(self.proto) => write!(f, "[{addr}]")?,
                Some(addr) => write!(f, "{addr}")?,
                None => {}
            }
            port.map_or(Ok(()), |port| write!(f, ":{port}"))
        };
        end(f, self.src, self.sport)?;
        f.write_str("->")?;
        end(f, Some(self.dst), self.dport)
    }
}

#[cfg(test)]
mod tests;
