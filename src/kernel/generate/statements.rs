//! What rules do: verdicts, and writes to the packet.

use crate::ruleset::{Family, Hook};

use super::Place;
use super::host::{MARKS, OUT4, PORTS};
use super::numbers::Numbers;

pub(super) fn effect(numbers: &mut Numbers, place: &Place) -> String {
    if !place.in_stack() {
        return format!("meta mark set {}", numbers.pick(&MARKS));
    }
    let raw = place.priority < -200 && matches!(place.hook, Hook::Prerouting | Hook::Output);
    if raw && !place.nat && numbers.chance(40) {
        return "notrack".into();
    }
    match numbers.below(6) {
        0 => "meta mark set ct mark".into(),
        1 => "ct mark set meta mark".into(),
        2 => format!("ct mark set {}", numbers.pick(&MARKS)),
        3 => format!("meta mark set meta mark | {}", numbers.pick(&MARKS)),
        4 if place.l4 == "tcp" => "meta mark set tcp dport map @marks".into(),
        _ => format!("meta mark set {}", numbers.pick(&MARKS)),
    }
}

pub(super) fn verdict(numbers: &mut Numbers, place: &Place) -> String {
    let rejects = !place.nat
        && place.in_stack()
        && matches!(place.hook, Hook::Input | Hook::Forward | Hook::Output);
    match numbers.below(16) {
        0..=4 => "accept".into(),
        5 if !place.nat => "drop".into(),
        6 if rejects => match place.family {
            Family::Ip => numbers
                .pick(&["reject", "reject with icmp host-prohibited"])
                .to_string(),
            Family::Ip6 => "reject".into(),
            _ => numbers
                .pick(&["reject", "reject with icmpx admin-prohibited"])
                .to_string(),
        },
        7 => "return".into(),
        8..=10 if !place.below.is_empty() => {
            let target = &place.below[numbers.below(place.below.len())];
            format!(
                "{} {target}",
                numbers.pick(&["jump", "jump", "jump", "goto"])
            )
        }
        11 if !place.below.is_empty() && place.has_ports() => {
            let target = &place.below[numbers.below(place.below.len())];
            let proto = place.l4;
            format!(
                "{proto} dport vmap {{ {} : jump {target}, {} : accept, {} : {} }}",
                PORTS[numbers.below(3)],
                PORTS[3 + numbers.below(2)],
                PORTS[5 + numbers.below(3)],
                numbers.pick(&["return", "drop", "continue"]),
            )
        }
        12 => match place.v6 {
            false => format!(
                "ip saddr vmap {{ {} : accept, {} : {} }}",
                OUT4[numbers.below(3)],
                OUT4[3 + numbers.below(4)],
                numbers.pick(&["return", "drop", "continue"])
            ),
            true => "ip6 saddr vmap { fd00::2 : accept, fd00::/64 : return }"
                .replace("fd00::/64", "fd02::2"),
        },
        _ => String::new(),
    }
}
