//! Headers and options that a packet must be searched for: IPv6 extension headers, TCP and IPv4 options, SCTP
//! chunks.
//!
//! Offsets count from the first byte of the header or option that was found. A packet without it ends the rule,
//! save for the presence test (`exists`, `missing`: no field), which gives 1 or 0. The search itself checks the
//! protocol: a packet that is no TCP has no TCP option (`nft_exthdr_tcp_eval`).

use super::DataType;
use crate::ruleset::expr::OptionOf;

/// Bits of an extension header, option or chunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OptionField {
    /// Next-header number, option kind or chunk type to search for.
    pub kind: u8,
    /// In bits.
    pub offset: u32,
    /// In bits.
    pub len: u32,
    pub data_type: DataType,
}

type Fields = &'static [(&'static str, u32, u32, DataType)];

fn find(kind: u8, groups: &[Fields], field: &str) -> Option<OptionField> {
    let &(_, offset, len, data_type) = groups
        .iter()
        .copied()
        .flatten()
        .find(|(name, ..)| *name == field)?;
    Some(OptionField {
        kind,
        offset,
        len,
        data_type,
    })
}

/// The next-header number of an IPv6 extension header.
pub fn exthdr_kind(name: &str) -> Option<u8> {
    Some(match name {
        "hbh" => 0,
        "rt" | "rt0" | "rt2" | "rt4" | "srh" => 43,
        "frag" => 44,
        "dst" => 60,
        "mh" => 135,
        _ => return None,
    })
}

/// Where a field of an IPv6 extension header lies; `sid[2]` is the second address. The kinds of routing header
/// have the same number, and nft does not check which one a packet carries.
pub fn exthdr_field(name: &str, field: &str) -> Option<OptionField> {
    const NEXT: Fields = &[
        ("nexthdr", 0, 8, DataType::InetProto),
        ("hdrlength", 8, 8, DataType::Integer),
    ];
    const ROUTE: Fields = &[
        ("type", 16, 8, DataType::Integer),
        ("seg-left", 24, 8, DataType::Integer),
    ];
    let kind = exthdr_kind(name)?;
    let fields: &[Fields] = match name {
        "hbh" | "dst" => &[NEXT],
        "rt" | "rt0" => &[NEXT, ROUTE],
        "rt2" => &[NEXT, ROUTE, &[("addr", 64, 128, DataType::Ipv6Addr)]],
        "rt4" | "srh" => &[
            NEXT,
            ROUTE,
            &[
                ("last-entry", 32, 8, DataType::Integer),
                ("flags", 40, 8, DataType::Integer),
                ("tag", 48, 16, DataType::Integer),
            ],
        ],
        "frag" => &[&[
            ("nexthdr", 0, 8, DataType::InetProto),
            ("reserved", 8, 8, DataType::Integer),
            ("frag-off", 16, 13, DataType::Integer),
            ("reserved2", 29, 2, DataType::Integer),
            ("more-fragments", 31, 1, DataType::Integer),
            ("id", 32, 32, DataType::Integer),
        ]],
        "mh" => &[
            NEXT,
            &[
                ("type", 16, 8, DataType::MhType),
                ("reserved", 24, 8, DataType::Integer),
                ("checksum", 32, 16, DataType::Integer),
            ],
        ],
        _ => &[],
    };
    find(kind, fields, field).or_else(|| {
        let list = match name {
            "rt0" => "addr",
            "rt4" | "srh" => "sid",
            _ => return None,
        };
        let index = field
            .strip_prefix(list)?
            .strip_prefix('[')?
            .strip_suffix(']')?;
        // The length of the header is one byte of 8-byte units: 127 addresses.
        let index: u32 = index
            .parse()
            .ok()
            .filter(|index| (1..=127).contains(index))?;
        Some(OptionField {
            kind,
            offset: 64 + 128 * (index - 1),
            len: 128,
            data_type: DataType::Ipv6Addr,
        })
    })
}

/// The kind of a TCP option, by name or number.
pub fn tcp_option_kind(name: &str) -> Option<u8> {
    Some(match name {
        "eol" => 0,
        "nop" | "noop" => 1,
        "maxseg" => 2,
        "window" => 3,
        "sack-perm" | "sack-permitted" => 4,
        "sack" | "sack0" | "sack1" | "sack2" | "sack3" => 5,
        "timestamp" => 8,
        "md5sig" => 19,
        "mptcp" => 30,
        "fastopen" => 34,
        _ => return name.parse().ok(),
    })
}

/// Where a field of a TCP option lies.
pub fn tcp_option_field(name: &str, field: &str) -> Option<OptionField> {
    const KIND: Fields = &[("kind", 0, 8, DataType::Integer)];
    const LENGTH: Fields = &[("length", 8, 8, DataType::Integer)];
    let kind = tcp_option_kind(name)?;
    let fields: &[Fields] = match name {
        "eol" | "nop" | "noop" => &[KIND],
        "maxseg" => &[KIND, LENGTH, &[("size", 16, 16, DataType::Integer)]],
        "window" => &[KIND, LENGTH, &[("count", 16, 8, DataType::Integer)]],
        "sack" | "sack0" => &[
            KIND,
            LENGTH,
            &[
                ("left", 16, 32, DataType::Integer),
                ("right", 48, 32, DataType::Integer),
            ],
        ],
        "sack1" => &[
            KIND,
            LENGTH,
            &[
                ("left", 80, 32, DataType::Integer),
                ("right", 112, 32, DataType::Integer),
            ],
        ],
        "sack2" => &[
            KIND,
            LENGTH,
            &[
                ("left", 144, 32, DataType::Integer),
                ("right", 176, 32, DataType::Integer),
            ],
        ],
        "sack3" => &[
            KIND,
            LENGTH,
            &[
                ("left", 208, 32, DataType::Integer),
                ("right", 240, 32, DataType::Integer),
            ],
        ],
        "timestamp" => &[
            KIND,
            LENGTH,
            &[
                ("tsval", 16, 32, DataType::Integer),
                ("tsecr", 48, 32, DataType::Integer),
            ],
        ],
        "mptcp" => &[KIND, LENGTH, &[("subtype", 16, 4, DataType::Integer)]],
        _ => &[KIND, LENGTH],
    };
    find(kind, fields, field)
}

/// The type of an IPv4 option.
pub fn ip_option_kind(name: &str) -> Option<u8> {
    Some(match name {
        "rr" => 7,
        "lsrr" => 131,
        "ssrr" => 137,
        "ra" => 148,
        _ => return None,
    })
}

/// Where a field of an IPv4 option lies.
pub fn ip_option_field(name: &str, field: &str) -> Option<OptionField> {
    const TYPE: Fields = &[
        ("type", 0, 8, DataType::Integer),
        ("length", 8, 8, DataType::Integer),
    ];
    const ROUTE: Fields = &[
        ("ptr", 16, 8, DataType::Integer),
        ("addr", 24, 32, DataType::Integer),
    ];
    const ALERT: Fields = &[("value", 16, 16, DataType::Integer)];
    let kind = ip_option_kind(name)?;
    find(
        kind,
        &[TYPE, if name == "ra" { ALERT } else { ROUTE }],
        field,
    )
}

/// The type of an SCTP chunk.
pub fn sctp_chunk_kind(name: &str) -> Option<u8> {
    Some(match name {
        "data" => 0,
        "init" => 1,
        "init-ack" => 2,
        "sack" => 3,
        "heartbeat" => 4,
        "heartbeat-ack" => 5,
        "abort" => 6,
        "shutdown" => 7,
        "shutdown-ack" => 8,
        "error" => 9,
        "cookie-echo" => 10,
        "cookie-ack" => 11,
        "ecne" => 12,
        "cwr" => 13,
        "shutdown-complete" => 14,
        "asconf-ack" => 128,
        "forward-tsn" => 192,
        "asconf" => 193,
        _ => return None,
    })
}

/// Where a field of an SCTP chunk lies.
pub fn sctp_chunk_field(name: &str, field: &str) -> Option<OptionField> {
    const COMMON: Fields = &[
        ("type", 0, 8, DataType::Integer),
        ("flags", 8, 8, DataType::Integer),
        ("length", 16, 16, DataType::Integer),
    ];
    let kind = sctp_chunk_kind(name)?;
    let own: Fields = match name {
        "data" => &[
            ("tsn", 32, 32, DataType::Integer),
            ("stream", 64, 16, DataType::Integer),
            ("ssn", 80, 16, DataType::Integer),
            ("ppid", 96, 32, DataType::Integer),
        ],
        "init" | "init-ack" => &[
            ("init-tag", 32, 32, DataType::Integer),
            ("a-rwnd", 64, 32, DataType::Integer),
            ("num-outbound-streams", 96, 16, DataType::Integer),
            ("num-inbound-streams", 112, 16, DataType::Integer),
            ("initial-tsn", 128, 32, DataType::Integer),
        ],
        "sack" => &[
            ("cum-tsn-ack", 32, 32, DataType::Integer),
            ("a-rwnd", 64, 32, DataType::Integer),
            ("num-gap-ack-blocks", 96, 16, DataType::Integer),
            ("num-dup-tsns", 112, 16, DataType::Integer),
        ],
        "shutdown" => &[("cum-tsn-ack", 32, 32, DataType::Integer)],
        "ecne" | "cwr" => &[("lowest-tsn", 32, 32, DataType::Integer)],
        "asconf" | "asconf-ack" => &[("seqno", 32, 32, DataType::Integer)],
        "forward-tsn" => &[("new-cum-tsn", 32, 32, DataType::Integer)],
        _ => &[],
    };
    find(kind, &[COMMON, own], field)
}

/// nft's name of an IPv6 extension header.
pub fn exthdr_name(kind: u8) -> String {
    let names = ["hbh", "rt", "frag", "dst", "mh"];
    let name = names.iter().find(|name| exthdr_kind(name) == Some(kind));
    name.map_or_else(|| format!("exthdr {kind}"), ToString::to_string)
}

/// nft's name of an option or chunk (`tcp option maxseg`), or of its field at an offset and of a length in bits, and the
/// type of the field's values.
pub fn option_name(of: OptionOf, kind: u8, field: Option<(u32, u32)>) -> (String, DataType) {
    type Kind = fn(&str) -> Option<u8>;
    type Find = fn(&str, &str) -> Option<OptionField>;
    let none: Find = |_, _| None;
    let (of, names, kind_of, field_of): (&str, &[&str], Kind, Find) = match of {
        OptionOf::Tcp => (
            "tcp option",
            &[
                "eol",
                "nop",
                "maxseg",
                "window",
                "sack-perm",
                "sack",
                "timestamp",
                "md5sig",
                "mptcp",
                "fastopen",
            ],
            tcp_option_kind,
            tcp_option_field,
        ),
        OptionOf::Ip => (
            "ip option",
            &["rr", "lsrr", "ssrr", "ra"],
            ip_option_kind,
            ip_option_field,
        ),
        OptionOf::Sctp => (
            "sctp chunk",
            &[
                "data",
                "init",
                "init-ack",
                "sack",
                "heartbeat",
                "heartbeat-ack",
                "abort",
                "shutdown",
                "shutdown-ack",
                "error",
                "cookie-echo",
                "cookie-ack",
                "ecne",
                "cwr",
                "shutdown-complete",
                "asconf-ack",
                "forward-tsn",
                "asconf",
            ],
            sctp_chunk_kind,
            sctp_chunk_field,
        ),
        OptionOf::Dccp => ("dccp option", &[], |_| None, none),
    };
    const FIELDS: [&str; 16] = [
        "kind", "type", "length", "size", "count", "left", "right", "tsval", "tsecr", "subtype",
        "ptr", "addr", "value", "flags", "chunk", "option",
    ];
    let name = names.iter().find(|name| kind_of(name) == Some(kind));
    let named = name.map_or_else(|| kind.to_string(), ToString::to_string);
    let whole = format!("{of} {named}");
    let Some((offset, len)) = field else {
        return (whole, DataType::Boolean);
    };
    let found = FIELDS.iter().find_map(|field| {
        let place = field_of(name?, field)?;
        (place.offset == offset && place.len == len).then_some((*field, place.data_type))
    });
    match found {
        Some((field, data_type)) => (format!("{whole} {field}"), data_type),
        None => (format!("{whole} @{offset},{len}"), DataType::Integer),
    }
}
