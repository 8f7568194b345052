//! nft's data types: width, symbolic constants, and how a value is written (nft(8), DATA TYPES).
//!
//! Every single value is one `u128`. Header fields and addresses are big-endian numbers (`10.0.0.1` is
//! 0x0a000001), interface names and other strings are 16 bytes, NUL-padded, read as a big-endian number, and
//! numbers of the host (marks, lengths) are plain numbers. Names that only the host knows (interface indices,
//! users, cgroup paths, connection labels) have no value here.

mod symbols;

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use symbols::Symbols;

/// The longest interface name in bytes, without the final NUL.
pub const IFNAME_MAX: usize = 15;

/// Seconds of a day.
const DAY_SECONDS: u128 = 86_400;

/// A data type of nft. Open: [`DataType::Other`] is a type of unknown width and no constants.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DataType {
    /// A number whose width the context gives.
    Integer,
    /// Bits whose width the context gives.
    Bitmask,
    Verdict,
    NfProto,
    String,
    Ifname,
    IfIndex,
    /// A hardware address whose width the context gives.
    LlAddr,
    Ipv4Addr,
    Ipv6Addr,
    EtherAddr,
    EtherType,
    ArpOp,
    InetProto,
    InetService,
    IcmpType,
    IcmpCode,
    Icmpv6Type,
    Icmpv6Code,
    IcmpxCode,
    IgmpType,
    TcpFlag,
    Mark,
    Realm,
    ClassId,
    Uid,
    Gid,
    /// A hardware type (`ARPHRD_*`): `meta iiftype`.
    IfaceType,
    PktType,
    CtState,
    CtDir,
    CtStatus,
    CtLabel,
    CtEvent,
    /// `meta time` counts nanoseconds since the epoch, `ct expiration` milliseconds.
    Time,
    Boolean,
    Dscp,
    Ecn,
    FibAddrType,
    DevGroup,
    CgroupV2,
    /// Day of the week, Sunday is 0.
    Day,
    /// Seconds since midnight.
    Hour,
    DccpPktType,
    MhType,
    /// A type this version does not know.
    Other,
}

/// Every type with its name in `type` specifications of sets, and its width in bits.
const TYPES: &[(DataType, &str, Option<u32>)] = &[
    (DataType::Integer, "integer", None),
    (DataType::Bitmask, "bitmask", None),
    (DataType::Verdict, "verdict", None),
    (DataType::NfProto, "nf_proto", Some(8)),
    (DataType::String, "string", None),
    (DataType::Ifname, "ifname", Some(128)),
    (DataType::IfIndex, "iface_index", Some(32)),
    (DataType::LlAddr, "ll_addr", None),
    (DataType::Ipv4Addr, "ipv4_addr", Some(32)),
    (DataType::Ipv6Addr, "ipv6_addr", Some(128)),
    (DataType::EtherAddr, "ether_addr", Some(48)),
    (DataType::EtherType, "ether_type", Some(16)),
    (DataType::ArpOp, "arp_op", Some(16)),
    (DataType::InetProto, "inet_proto", Some(8)),
    (DataType::InetService, "inet_service", Some(16)),
    (DataType::IcmpType, "icmp_type", Some(8)),
    (DataType::IcmpCode, "icmp_code", Some(8)),
    (DataType::Icmpv6Type, "icmpv6_type", Some(8)),
    (DataType::Icmpv6Code, "icmpv6_code", Some(8)),
    (DataType::IcmpxCode, "icmpx_code", Some(8)),
    (DataType::IgmpType, "igmp_type", Some(8)),
    (DataType::TcpFlag, "tcp_flag", Some(8)),
    (DataType::Mark, "mark", Some(32)),
    (DataType::Realm, "realm", Some(32)),
    (DataType::ClassId, "classid", Some(32)),
    (DataType::Uid, "uid", Some(32)),
    (DataType::Gid, "gid", Some(32)),
    (DataType::IfaceType, "iface_type", Some(16)),
    (DataType::PktType, "pkt_type", Some(8)),
    (DataType::CtState, "ct_state", Some(32)),
    (DataType::CtDir, "ct_dir", Some(8)),
    (DataType::CtStatus, "ct_status", Some(32)),
    (DataType::CtLabel, "ct_label", Some(128)),
    (DataType::CtEvent, "ct_event", Some(32)),
    (DataType::Time, "time", Some(64)),
    (DataType::Boolean, "boolean", Some(1)),
    (DataType::Dscp, "dscp", Some(6)),
    (DataType::Ecn, "ecn", Some(2)),
    (DataType::FibAddrType, "fib_addrtype", Some(32)),
    (DataType::DevGroup, "devgroup", Some(32)),
    (DataType::CgroupV2, "cgroupsv2", Some(64)),
    (DataType::Day, "day", Some(8)),
    (DataType::Hour, "hour", Some(32)),
    (DataType::DccpPktType, "dccp_pkttype", Some(4)),
    (DataType::MhType, "mh_type", Some(8)),
];

impl DataType {
    /// The type that nft calls `name` in a set's `type`; `None` for a name this version does not know.
    pub fn from_name(name: &str) -> Option<Self> {
        TYPES
            .iter()
            .find(|(_, known, _)| *known == name)
            .map(|(data_type, ..)| *data_type)
    }

    /// The name in a set's `type`.
    pub fn name(self) -> &'static str {
        self.entry().map_or("unknown", |(_, name, _)| name)
    }

    /// The width in bits; `None` when the context gives it (integer, string) or it is unknown.
    pub fn width(self) -> Option<u32> {
        self.entry().and_then(|(.., width)| *width)
    }

    /// True when a bare `==` against a constant means "any of these bits" and lists of constants are joined bits.
    pub fn is_bitmask(self) -> bool {
        matches!(
            self,
            Self::Bitmask
                | Self::TcpFlag
                | Self::CtState
                | Self::CtStatus
                | Self::CtLabel
                | Self::CtEvent
        )
    }

    /// True when a value is text: 16 bytes, NUL-padded (see [`ifname_value`]).
    pub fn is_text(self) -> bool {
        matches!(self, Self::String | Self::Ifname)
    }

    /// The number behind a constant as nft writes it: a symbol (`established`, `tcp`, `cs0`), an address, a
    /// name of an interface, or a decimal or 0x number. `None` when the text means nothing to this type or only
    /// the host knows (an interface index or a user by name).
    pub fn constant(self, text: &str) -> Option<u128> {
        if let Some(&(_, value)) = self.symbols().iter().find(|(name, _)| *name == text) {
            return Some(value);
        }
        let value = match self {
            Self::Ifname | Self::String => return text_value(text),
            Self::Ipv4Addr => {
                return text
                    .parse::<Ipv4Addr>()
                    .ok()
                    .map(|addr| u128::from(u32::from(addr)));
            }
            Self::Ipv6Addr => return text.parse::<Ipv6Addr>().ok().map(u128::from),
            Self::EtherAddr | Self::LlAddr => return parse_hardware_address(text),
            Self::InetProto | Self::Day => self
                .symbols()
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(text))
                .map(|(_, value)| *value)
                .or_else(|| parse_number(text)),
            Self::ClassId => parse_class_id(text).or_else(|| parse_number(text)),
            Self::Hour => parse_time_of_day(text).or_else(|| parse_number(text)),
            Self::Time => parse_date_time(text).or_else(|| parse_number(text)),
            Self::CtLabel => return parse_number(text).and_then(label_bit),
            Self::Verdict | Self::Other => None,
            _ => parse_number(text),
        }?;
        match self.width() {
            Some(width) if width < 128 && value >> width != 0 => None,
            _ => Some(value),
        }
    }

    /// The value that a JSON number of this type stands for: itself, save for connection labels, where nft
    /// writes the number of the bit. `None` when negative.
    pub fn number(self, number: i128) -> Option<u128> {
        let number = u128::try_from(number).ok()?;
        if self == Self::CtLabel {
            label_bit(number)
        } else {
            Some(number)
        }
    }

    /// The symbolic name of a value, for messages. Bitmasks: the name of that one bit.
    pub fn symbol(self, value: u128) -> Option<&'static str> {
        self.symbols()
            .iter()
            .find(|(_, known)| *known == value)
            .map(|(name, _)| *name)
    }

    /// The values of a range as nft would print them; names that begin alike as `eth*`.
    pub fn display_range(self, low: u128, high: u128) -> String {
        let rest = u128::MAX.checked_shr((low ^ high).leading_zeros());
        let rest = rest.unwrap_or(0);
        if low == high {
            self.display(low)
        } else if self == Self::Ifname && low & rest == 0 && high & rest == rest {
            format!("{}*", ifname_text(low))
        } else {
            format!("{}-{}", self.display(low), self.display(high))
        }
    }

    /// The value as nft would print it: addresses as addresses, marks in hex, flags joined with `,`, else the
    /// symbol, else the number. Ports are numbers (nft names them only when asked to).
    pub fn display(self, value: u128) -> String {
        match self {
            Self::Ipv4Addr => match u32::try_from(value) {
                Ok(addr) => Ipv4Addr::from(addr).to_string(),
                Err(_) => format!("0x{value:x}"),
            },
            Self::Ipv6Addr => Ipv6Addr::from(value).to_string(),
            Self::EtherAddr | Self::LlAddr => display_hardware_address(value),
            Self::Ifname | Self::String => ifname_text(value),
            Self::Mark => format!("0x{value:08x}"),
            Self::InetService => value.to_string(),
            Self::CtLabel => display_labels(value),
            Self::ClassId => self.symbol(value).map_or_else(
                || format!("{:x}:{:x}", value >> 16, value & 0xffff),
                str::to_owned,
            ),
            Self::Hour => display_time_of_day(value),
            Self::Bitmask => format!("0x{value:x}"),
            Self::CtStatus => display_ct_status(value),
            _ if self.is_bitmask() => self.display_flags(value),
            Self::EtherType => self
                .symbol(value)
                .map_or_else(|| format!("0x{value:04x}"), str::to_owned),
            Self::Dscp | Self::Ecn | Self::DccpPktType => self
                .symbol(value)
                .map_or_else(|| format!("0x{value:02x}"), str::to_owned),
            _ => self
                .symbol(value)
                .map_or_else(|| value.to_string(), str::to_owned),
        }
    }

    fn entry(self) -> Option<&'static (DataType, &'static str, Option<u32>)> {
        TYPES.iter().find(|(known, ..)| *known == self)
    }

    fn symbols(self) -> Symbols {
        match self {
            Self::NfProto => symbols::NF_PROTO,
            Self::EtherType => symbols::ETHER_TYPE,
            Self::ArpOp => symbols::ARP_OP,
            Self::InetProto => symbols::INET_PROTO,
            Self::InetService => symbols::INET_SERVICE,
            Self::IcmpType => symbols::ICMP_TYPE,
            Self::IcmpCode => symbols::ICMP_CODE,
            Self::Icmpv6Type => symbols::ICMPV6_TYPE,
            Self::Icmpv6Code => symbols::ICMPV6_CODE,
            Self::IcmpxCode => symbols::ICMPX_CODE,
            Self::IgmpType => symbols::IGMP_TYPE,
            Self::TcpFlag => symbols::TCP_FLAG,
            Self::Realm => symbols::REALM,
            Self::ClassId => symbols::CLASS_ID,
            Self::Uid | Self::Gid => symbols::OWNER,
            Self::IfaceType => symbols::IFACE_TYPE,
            Self::PktType => symbols::PKT_TYPE,
            Self::CtState => symbols::CT_STATE,
            Self::CtDir => symbols::CT_DIR,
            Self::CtStatus => symbols::CT_STATUS,
            Self::CtEvent => symbols::CT_EVENT,
            Self::Boolean => symbols::BOOLEAN,
            Self::Dscp => symbols::DSCP,
            Self::Ecn => symbols::ECN,
            Self::FibAddrType => symbols::FIB_ADDRTYPE,
            Self::DevGroup => symbols::DEV_GROUP,
            Self::Day => symbols::DAY,
            Self::DccpPktType => symbols::DCCP_PKTTYPE,
            Self::MhType => symbols::MH_TYPE,
            Self::Integer
            | Self::Bitmask
            | Self::Verdict
            | Self::String
            | Self::Ifname
            | Self::IfIndex
            | Self::LlAddr
            | Self::Ipv4Addr
            | Self::Ipv6Addr
            | Self::EtherAddr
            | Self::Mark
            | Self::CtLabel
            | Self::Time
            | Self::CgroupV2
            | Self::Hour
            | Self::Other => &[],
        }
    }

    /// The names of the set bits, lowest bit first, then what has no name in hex.
    fn display_flags(self, value: u128) -> String {
        let mut rest = value;
        let mut names: Vec<Cow<'static, str>> = Vec::new();
        for bit in (0..u128::BITS).map(|shift| 1u128 << shift) {
            if rest & bit != 0
                && let Some(name) = self.symbol(bit)
            {
                names.push(name.into());
                rest &= !bit;
            }
        }
        if rest != 0 || names.is_empty() {
            names.push(format!("0x{rest:x}").into());
        }
        names.join(",")
    }
}

/// The flags of a conntrack entry (`enum ip_conntrack_status`): those that nft has names for, then the kernel's own.
fn display_ct_status(value: u128) -> String {
    let own = symbols::CT_STATUS.iter().chain(symbols::CT_STATUS_UNNAMED);
    let mut rest = value;
    let mut names: Vec<Cow<'static, str>> = Vec::new();
    for (name, bit) in own {
        if rest & bit != 0 {
            names.push((*name).into());
            rest &= !bit;
        }
    }
    if rest != 0 {
        names.push(format!("0x{rest:x}").into());
    }
    match names.is_empty() {
        true => "none".into(),
        false => names.join(","),
    }
}

/// The value of an interface name: 16 bytes, NUL-padded, big-endian. `None` when empty or longer than 15 bytes.
pub fn ifname_value(name: &str) -> Option<u128> {
    if name.is_empty() || name.len() > IFNAME_MAX {
        None
    } else {
        text_value(name)
    }
}

/// The text of a value made by [`ifname_value`], up to the first NUL; bytes that are no UTF-8 are replaced.
pub fn ifname_text(value: u128) -> String {
    let bytes = value.to_be_bytes();
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Up to 16 bytes of text as a value.
fn text_value(text: &str) -> Option<u128> {
    let mut bytes = [0; 16];
    bytes
        .get_mut(..text.len())?
        .copy_from_slice(text.as_bytes());
    Some(u128::from_be_bytes(bytes))
}

/// A decimal or `0x` number; signs are refused.
fn parse_number(text: &str) -> Option<u128> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    u128::from_str_radix(digits, radix).ok()
}

fn parse_hardware_address(text: &str) -> Option<u128> {
    let mut value: u128 = 0;
    let mut bytes = 0;
    for part in text.split(':') {
        if part.is_empty() || part.len() > 2 || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        bytes += 1;
        value = value << 8 | u128::from(u8::from_str_radix(part, 16).ok()?);
    }
    (bytes == 6).then_some(value)
}

fn display_hardware_address(value: u128) -> String {
    let bytes = value.to_be_bytes();
    // Longer addresses than Ethernet's show all their bytes.
    let first = bytes
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(bytes.len())
        .min(10);
    bytes[first..]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}

/// `major:minor`, both hex.
fn parse_class_id(text: &str) -> Option<u128> {
    let (major, minor) = text.split_once(':')?;
    let half = |digits: &str| match digits {
        "" => Some(0),
        _ if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u16::from_str_radix(digits, 16).ok()
        }
        _ => None,
    };
    Some(u128::from(half(major)?) << 16 | u128::from(half(minor)?))
}

/// `HH:MM` or `HH:MM:SS`: seconds since midnight, in the time zone the text was written in.
fn parse_time_of_day(text: &str) -> Option<u128> {
    let mut parts = text.split(':').map(two_digits);
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    let ends = parts.next().is_none();
    (ends && hour < 24 && minute < 60 && second < 60).then(|| hour * 3600 + minute * 60 + second)
}

fn two_digits(text: &str) -> Option<u128> {
    let fits = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

fn display_time_of_day(value: u128) -> String {
    let (hour, minute, second) = (value / 3600, value / 60 % 60, value % 60);
    match second {
        0 => format!("{hour:02}:{minute:02}"),
        _ => format!("{hour:02}:{minute:02}:{second:02}"),
    }
}

/// `YYYY-MM-DD[ HH:MM[:SS]]`, taken as UTC: nanoseconds since the epoch.
fn parse_date_time(text: &str) -> Option<u128> {
    let (date, time) = text.split_once(' ').unwrap_or((text, "00:00"));
    let mut parts = date.split('-');
    let year = parts
        .next()
        .filter(|year| year.len() == 4)
        .and_then(|year| year.parse::<u32>().ok())?;
    let (month, day) = (two_digits(parts.next()?)?, two_digits(parts.next()?)?);
    let (month, day) = (u32::try_from(month).ok()?, u32::try_from(day).ok()?);
    let days = days_since_epoch(year, month, day).filter(|_| parts.next().is_none())?;
    let seconds = u128::from(days) * DAY_SECONDS + parse_time_of_day(time)?;
    Some(seconds * 1_000_000_000)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` for dates before or that do not exist.
fn days_since_epoch(year: u32, month: u32, day: u32) -> Option<u32> {
    let leap = |year: u32| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let days_of = |month: u32| match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year < 1970 || !(1..=12).contains(&month) || day == 0 || day > days_of(month) {
        return None;
    }
    let years: u32 = (1970..year)
        .map(|year| if leap(year) { 366 } else { 365 })
        .sum();
    Some(years + (1..month).map(days_of).sum::<u32>() + day - 1)
}

fn label_bit(bit: u128) -> Option<u128> {
    u32::try_from(bit)
        .ok()
        .and_then(|bit| 1u128.checked_shl(bit))
}

fn display_labels(value: u128) -> String {
    let bits: Vec<String> = (0..u128::BITS)
        .filter(|bit| value >> bit & 1 == 1)
        .map(|bit| bit.to_string())
        .collect();
    if bits.is_empty() {
        "0x0".to_owned()
    } else {
        bits.join(",")
    }
}

#[cfg(test)]
mod tests;
