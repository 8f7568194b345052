//! A packet's fields as the kernel's loggers and `xtables-monitor` write them: `KEY=VALUE` words, and TCP flags as bare words
//! (`nf_log_dump_packet`, net/netfilter/nf_log_syslog.c).

use crate::packet::{proto, tcp};

use super::{FlowError, parse_protocol};

const FLAGS: [(&str, u8); 8] = [
    ("CWR", tcp::CWR),
    ("ECE", tcp::ECE),
    ("URG", tcp::URG),
    ("ACK", tcp::ACK),
    ("PSH", tcp::PSH),
    ("RST", tcp::RST),
    ("SYN", tcp::SYN),
    ("FIN", tcp::FIN),
];

/// The first value of a key; `None` for one that is empty, too.
pub fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.split_whitespace()
        .filter_map(|word| word.split_once('='))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value)
        .filter(|value| !value.is_empty())
}

/// The value of `PROTO=`, as loggers spell it.
///
/// # Errors
/// [`FlowError::UnknownProtocol`].
pub fn protocol(name: &str) -> Result<u8, FlowError> {
    match name {
        "ICMPv6" => Ok(proto::ICMPV6),
        name => parse_protocol(name),
    }
}

/// The flags that stand among the words.
pub fn tcp_flags(text: &str) -> u8 {
    text.split_whitespace()
        .filter_map(|word| FLAGS.iter().find(|(name, _)| *name == word))
        .fold(0, |flags, (_, bit)| flags | bit)
}
