//! Translations.

use crate::ruleset::{Family, Hook};

use super::Place;
use super::host::{LINKS, NETS4, NETS6, OUT4, OUT6, OWN4, OWN6, PORT_RANGES, PORTS};
use super::matches::fib;
use super::numbers::{Numbers, braces, not};

pub(super) fn nat_rule(numbers: &mut Numbers, place: &Place) -> String {
    let v6 = place.v6;
    let l4 = format!(
        "{} dport {}",
        numbers.pick(&["tcp", "udp"]),
        match numbers.below(3) {
            0 => braces(&numbers.some(&PORTS, 3)),
            1 => numbers.pick(&PORT_RANGES).to_string(),
            _ => numbers.pick(&PORTS).to_string(),
        }
    );
    let more = if numbers.chance(40) {
        match numbers.below(3) {
            0 => fib(numbers, place) + " ",
            1 => {
                let key = if matches!(place.hook, Hook::Postrouting | Hook::Output) {
                    "oifname"
                } else {
                    "iifname"
                };
                format!("{key} {}\"{}\" ", not(numbers), numbers.pick(&LINKS))
            }
            _ => {
                let key = if v6 { "ip6" } else { "ip" };
                let nets: &[&str] = if v6 { &NETS6 } else { &NETS4 };
                let side = numbers.pick(&["saddr", "daddr"]);
                format!("{key} {side} {} ", numbers.pick(nets))
            }
        }
    } else {
        String::new()
    };
    let family = match (place.family, v6) {
        (Family::Inet, false) => "ip ",
        (Family::Inet, true) => "ip6 ",
        _ => "",
    };
    let port = numbers.pick(&["", ":80", ":8080", ":5000", ":1812"]);
    let target = |numbers: &mut Numbers, own: bool| {
        let address = match (v6, own) {
            (false, false) => numbers.pick(&OUT4[..4]),
            (false, true) => numbers.pick(&OWN4[..4]),
            (true, false) => numbers.pick(&OUT6[..4]),
            (true, true) => numbers.pick(&OWN6[..3]),
        };
        match (v6, port) {
            (true, "") => address.to_string(),
            (true, port) => format!("[{address}]{port}"),
            (false, port) => format!("{address}{port}"),
        }
    };
    match place.hook {
        Hook::Prerouting | Hook::Output => {
            if numbers.chance(20) {
                return format!(
                    "{more}{l4} redirect{}",
                    if port.is_empty() {
                        String::new()
                    } else {
                        format!(" to {port}")
                    }
                );
            }
            if !v6 && numbers.chance(10) {
                return format!(
                    "{more}dnat {family}to tcp dport map {{ 80 : {}, 443 : {} }}",
                    OUT4[1], OUT4[2]
                );
            }
            let own = numbers.chance(15);
            let to = target(numbers, own);
            format!("{more}{l4} dnat {family}to {to}")
        }
        Hook::Postrouting => {
            if numbers.chance(60) {
                return format!("{more}masquerade");
            }
            let own = numbers.chance(80);
            let to = target(numbers, own);
            format!("{more}{l4} snat {family}to {to}")
        }
        _ => {
            let to = target(numbers, true);
            format!("{more}{l4} snat {family}to {to}")
        }
    }
}
