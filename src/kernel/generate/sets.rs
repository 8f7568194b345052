//! Named sets, maps and objects of a table: those that its rules name.

use std::fmt::Write;

use crate::ruleset::Family;

use super::host::{LINKS, MARKS, NETS4, NETS6, OUT4, OUT6, PORTS};
use super::numbers::Numbers;

/// Named sets and maps, the same names in every table.
pub(super) fn sets(text: &mut String, numbers: &mut Numbers, family: Family) {
    let nets: Vec<String> = if family == Family::Ip6 {
        vec![numbers.pick(&NETS6).to_string()]
    } else {
        vec![numbers.pick(&NETS4[..6]).to_string()]
    };
    let (kind, one) = if family == Family::Ip6 {
        ("ipv6_addr", numbers.some(&OUT6, 3))
    } else {
        ("ipv4_addr", numbers.some(&OUT4, 3))
    };
    let ports = numbers.some(&PORTS, 4).join(", ");
    let _ = writeln!(
        text,
        "  set nets {{ type {kind}; flags interval; elements = {{ {} }}; }}
  set hosts {{ type {kind}; elements = {{ {} }}; }}
  set ports {{ type inet_service; elements = {{ {ports} }}; }}
  set pairs {{ type {kind} . inet_service; elements = {{ {} }}; }}
  set links {{ type ifname; elements = {{ {} }}; }}
  map marks {{ type inet_service : mark; elements = {{ {} : {}, {} : {} }}; }}",
        nets.join(", "),
        one.join(", "),
        one.iter()
            .map(|address| format!("{address} . {}", numbers.pick(&PORTS)))
            .collect::<Vec<_>>()
            .join(", "),
        numbers
            .some(&LINKS, 3)
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect::<Vec<_>>()
            .join(", "),
        PORTS[0],
        numbers.pick(&MARKS),
        numbers.pick(&PORTS[1..]),
        numbers.pick(&MARKS),
    );
}

/// What rules of a table name, each with the line that makes it; `ADDR` is the type of the table's addresses.
const OBJECTS: [(&str, &str); 15] = [
    ("@catch", "set catch { type ADDR; elements = { ONE, * }; }"),
    (
        "@changing",
        "set changing { type ADDR; size 1000; flags dynamic; elements = { ONE }; }",
    ),
    (
        "@counted",
        "set counted { type ADDR; size 1000; flags dynamic; }",
    ),
    (
        "@timed",
        "set timed { type ADDR; size 1000; flags dynamic,timeout; timeout 1h; elements = { ONE timeout 2h comment \"one\" }; }",
    ),
    (
        "@twofold",
        "set twofold { type ADDR . inet_service; size 1000; flags dynamic; }",
    ),
    (
        "@marked",
        "map marked { type ADDR : mark; size 1000; flags dynamic; elements = { ONE : 0x1 }; }",
    ),
    (
        "@triple",
        "set triple { type ADDR . inet_proto . inet_service; flags interval; elements = { NET . tcp . 1-1023, ONE . udp . 1-65535 }; }",
    ),
    (
        "@vcatch",
        "map vcatch { type ADDR : verdict; elements = { ONE : accept, * : continue }; }",
    ),
    (
        "@services",
        "map services { type inet_service : verdict; flags interval; elements = { 22 : accept, 80-443 : continue, 5000-5999 : drop }; }",
    ),
    ("\"count\"", "counter count { comment \"of all\" }"),
    ("\"ration\"", "quota ration { 200 mbytes }"),
    ("\"pace\"", "limit pace { rate 20000/second }"),
    (
        "\"assistant\"",
        "ct helper assistant { type \"ftp\" protocol tcp; }",
    ),
    (
        "\"patience\"",
        "ct timeout patience { protocol tcp; policy = { established : 100, close : 4 }; }",
    ),
    (
        "\"hope\"",
        "ct expectation hope { protocol tcp; dport 9876; timeout 2m; size 12; }",
    ),
];

/// The objects that these rules name and that only some tables have.
pub(super) fn objects(text: &mut String, numbers: &mut Numbers, v6: bool, rules: &str) {
    let (kind, one, net) = if v6 {
        ("ipv6_addr", numbers.pick(&OUT6), numbers.pick(&NETS6))
    } else {
        ("ipv4_addr", numbers.pick(&OUT4), numbers.pick(&NETS4[..6]))
    };
    for (name, line) in OBJECTS {
        if rules.contains(name) {
            let line = line.replace("ADDR", kind).replace("ONE", one);
            let _ = writeln!(text, "  {}", line.replace("NET", net));
        }
    }
}
