//! Packets, and the interfaces that they come in by.
//!
//! Left out, because the model is known to differ: packets to many (broadcast, multicast), frames for somebody else,
//! UDP-Lite, which this kernel's conntrack calls invalid.

use std::net::IpAddr;

use crate::explain::Question;
use crate::flow::{Flow, IpFamily};
use crate::packet::proto;

use super::host::{DOTTED, OUT4, OUT6, OWN4, OWN6, PORTS};
use super::numbers::Numbers;

/// A packet and the interface that it comes in by.
pub fn question(numbers: &mut Numbers) -> Question {
    let v6 = numbers.chance(20);
    let number = match numbers.below(40) {
        0..=14 => proto::TCP,
        15..=27 => proto::UDP,
        28..=34 if v6 => proto::ICMPV6,
        28..=34 => proto::ICMP,
        35 => proto::SCTP,
        36 => proto::ESP,
        // of IPv6 it is an extension header
        37 if !v6 => proto::AH,
        _ => proto::GRE,
    };
    let (own, out): (&[&str], &[&str]) = if v6 { (&OWN6, &OUT6) } else { (&OWN4, &OUT4) };
    // who sends, and by which interface
    let outside: &[(&str, &str)] = if v6 {
        &[
            ("fd00::2", "eth0"),
            ("2001:db8::7", "eth0"),
            ("fd01::2", "eth1"),
            ("fd02::2", "p1"),
            ("fd02::3", "p2"),
        ]
    } else {
        &[
            ("10.0.0.2", "eth0"),
            ("192.0.2.7", "eth0"),
            ("10.1.0.2", "eth1"),
            ("10.7.0.2", DOTTED),
            ("172.20.0.2", "p1"),
            ("172.20.0.3", "p2"),
        ]
    };
    let local = numbers.chance(20);
    let (src, iif) = if local {
        let of_own = own[numbers.below(own.len())];
        (numbers.chance(60).then_some(of_own), None)
    } else {
        let (src, iif) = outside[numbers.below(outside.len())];
        (Some(src), Some(iif))
    };
    let others: Vec<&str> = out
        .iter()
        .filter(|dst| Some(**dst) != src)
        .copied()
        .collect();
    let dst = if numbers.chance(40) {
        own[numbers.below(own.len() - usize::from(!local))]
    } else {
        others[numbers.below(others.len())]
    };
    // a loopback source goes nowhere else, and no other source goes to loopback
    let (mut src, mut dst) = (src, dst);
    let loop_end = if v6 { "::1" } else { "127.0.0.1" };
    if src == Some(loop_end) || dst == loop_end {
        (src, dst) = (Some(loop_end), loop_end);
    }
    // the kernel fills in the source of a raw IPv4 packet, not of IPv6
    if src.is_none() && v6 && !matches!(number, proto::TCP | proto::UDP) {
        src = Some(own[0]);
    }
    let address = |text: &str| -> IpAddr { text.parse().unwrap_or(IpAddr::from([0, 0, 0, 0])) };
    let number_of = |text: &str| text.parse::<u16>().unwrap_or(1);
    let ports = proto::has_ports(number);
    let flow = Flow {
        proto: number,
        family: if v6 { IpFamily::V6 } else { IpFamily::V4 },
        src: src.map(address),
        // a port for itself, also when it talks to itself
        sport: ports.then(|| numbers.of(&[40000, 33333, if local { 1024 } else { 53 }, 1023])),
        dst: address(dst),
        dport: ports.then(|| number_of(numbers.pick(&PORTS[..7]))),
    };
    let mut question = Question::new(flow);
    question.iif = iif.map(str::to_string);
    match number {
        proto::TCP => {
            let flags = if numbers.chance(6) && !local {
                numbers.of(&[0x10, 0x04, 0x11])
            } else {
                0x02
            };
            question.tcp_flags = Some(flags);
        }
        proto::ICMP => {
            let others = [(0, 0), (3, 3), (11, 0)];
            let other = !local && numbers.chance(10);
            question.icmp = Some(if other { numbers.of(&others) } else { (8, 0) });
        }
        proto::ICMPV6 => {
            let others = [(129, 0), (1, 4), (3, 0)];
            let other = !local && numbers.chance(10);
            question.icmp = Some(if other { numbers.of(&others) } else { (128, 0) });
        }
        _ => {}
    }
    if !local && matches!(number, proto::UDP | proto::ICMP | proto::ICMPV6) && numbers.chance(10) {
        question.length = Some(numbers.of(&[100, 300, 1400]));
    }
    if local && numbers.chance(20) {
        question.uid = Some(1000);
    }
    if local && numbers.chance(20) {
        question.mark = 1;
    }
    question
}
