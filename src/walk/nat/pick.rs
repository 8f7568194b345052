//! Which address of a range a translation takes (`find_best_ips_proto` in nf_nat_core.c): a hash of both addresses
//! without any secret, so that the same client always gets the same one.
//!
//! The kernel hashes addresses as words of the machine; this is what little-endian machines do.

use std::net::IpAddr;

/// The address of `lo..=hi` for a packet from `src` to `dst`.
pub(super) fn of_range(
    (src, dst): (IpAddr, IpAddr),
    (lo, hi): (u128, u128),
    persistent: bool,
    zone: u16,
) -> u128 {
    let words = |address: IpAddr| -> [u32; 4] {
        match address {
            IpAddr::V4(v4) => [u32::from_le_bytes(v4.octets()), 0, 0, 0],
            IpAddr::V6(v6) => {
                let bytes = v6.octets();
                [0, 4, 8, 12].map(|at| {
                    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
                })
            }
        }
    };
    let count = if src.is_ipv4() { 1 } else { 4 };
    let to = words(dst);
    let seed = if persistent {
        0
    } else {
        to[count - 1] ^ u32::from(zone)
    };
    let mut hash = jhash(words(src), seed);
    let part = |value: u128, at: usize| (value >> (32 * (count - 1 - at))) as u32;
    let (mut picked, mut whole) = (0u128, false);
    for (at, other) in to.iter().enumerate().take(count) {
        // words behind one that is below the upper end may have any value
        let (least, distance) = if whole {
            (0, u32::MAX)
        } else {
            let least = part(lo, at);
            (least, part(hi, at).wrapping_sub(least).wrapping_add(1))
        };
        let scaled = (u64::from(hash) * u64::from(distance)) >> 32;
        let word = least.wrapping_add(scaled as u32);
        picked = picked << 32 | u128::from(word);
        whole |= word != part(hi, at);
        if !persistent {
            hash ^= other;
        }
    }
    picked
}

/// Jenkins' hash of four words (`jhash2`).
fn jhash(words: [u32; 4], seed: u32) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(16).wrapping_add(seed);
    let (mut a, mut b, mut c) = (
        start.wrapping_add(words[0]),
        start.wrapping_add(words[1]),
        start.wrapping_add(words[2]),
    );
    for (by, turn) in [(4, 0), (6, 1), (8, 2), (16, 0), (19, 1), (4, 2)] {
        match turn {
            0 => {
                a = a.wrapping_sub(c) ^ c.rotate_left(by);
                c = c.wrapping_add(b);
            }
            1 => {
                b = b.wrapping_sub(a) ^ a.rotate_left(by);
                a = a.wrapping_add(c);
            }
            _ => {
                c = c.wrapping_sub(b) ^ b.rotate_left(by);
                b = b.wrapping_add(a);
            }
        }
    }
    a = a.wrapping_add(words[3]);
    for (by, turn) in [(14, 0), (11, 1), (25, 2), (16, 0), (4, 1), (14, 2), (24, 0)] {
        match turn {
            0 => c = (c ^ b).wrapping_sub(b.rotate_left(by)),
            1 => a = (a ^ c).wrapping_sub(c.rotate_left(by)),
            _ => b = (b ^ a).wrapping_sub(a.rotate_left(by)),
        }
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{address, number};

    fn picked(src: &str, dst: &str, range: (&str, &str), persistent: bool) -> IpAddr {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let ends = (number(ip(range.0)), number(ip(range.1)));
        let picked = of_range((ip(src), ip(dst)), ends, persistent, 0);
        address(picked, ip(src).is_ipv6())
    }

    /// What Linux 6.18 on x86-64 made of these packets.
    #[test]
    fn the_address_of_a_range_is_the_kernels() {
        let range = ("10.0.0.1", "10.0.0.9");
        for (src, dst, taken) in [
            ("172.20.0.3", "10.0.0.9", "10.0.0.3"),
            ("10.7.0.2", "10.0.0.1", "10.0.0.8"),
            ("10.7.0.2", "10.0.0.9", "10.0.0.6"),
            ("192.0.2.7", "172.20.0.1", "10.0.0.4"),
        ] {
            assert_eq!(
                picked(src, dst, range, false).to_string(),
                taken,
                "{src} -> {dst}"
            );
        }
        // persistent: whoever is asked
        let taken = picked("127.0.0.1", "127.0.0.1", range, true);
        assert_eq!(taken.to_string(), "10.0.0.2");
        let range = ("fd00::1", "fd00::9");
        for (src, dst, taken) in [("fd02::2", "fd02::3", "fd00::7"), ("::1", "::1", "fd00::9")] {
            assert_eq!(
                picked(src, dst, range, false).to_string(),
                taken,
                "{src} -> {dst}"
            );
        }
    }
}
