use super::*;

/// The canonical form of what was read, or the message.
fn read(text: &str) -> String {
    match parse(text) {
        Ok(flow) => flow.to_string(),
        Err(error) => format!("error: {error}"),
    }
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(read(text), *expected, "{text}");
    }
}

#[test]
fn flows() {
    check(&[
        (
            "udp:10.254.10.105->10.254.10.252:1812",
            "udp:10.254.10.105->10.254.10.252:1812",
        ),
        (
            "udp:10.254.10.105,10.254.10.252:1812",
            "udp:10.254.10.105->10.254.10.252:1812",
        ),
        (
            "tcp:10.0.0.1:40000->10.0.0.2:80",
            "tcp:10.0.0.1:40000->10.0.0.2:80",
        ),
        ("TCP:10.0.0.1 -> 10.0.0.2:80", "tcp:10.0.0.1->10.0.0.2:80"),
        ("  tcp:10.0.0.1->10.0.0.2  ", "tcp:10.0.0.1->10.0.0.2"),
        (
            "tcp:[fd00::1]:40000->[fd00::2]:443",
            "tcp:[fd00::1]:40000->[fd00::2]:443",
        ),
        ("tcp:fd00::1->fd00::2", "tcp:[fd00::1]->[fd00::2]"),
        ("tcp:fd00::1,[fd00::2]:443", "tcp:[fd00::1]->[fd00::2]:443"),
        ("tcp:[fd00::2:443]->::1", "tcp:[fd00::2:443]->[::1]"),
        (
            "tcp:2001:db8:0:0:0:0:0:1->fe80::aaaa:bbff",
            "tcp:[2001:db8::1]->[fe80::aaaa:bbff]",
        ),
        ("icmp:10.0.0.1->10.0.0.2", "icmp:10.0.0.1->10.0.0.2"),
        ("1:10.0.0.1->10.0.0.2", "icmp:10.0.0.1->10.0.0.2"),
        ("icmp6:fd00::1->fd00::2", "icmp6:fd00::1->fd00::2"),
        ("icmpv6:fd00::1->fd00::2:443", "icmp6:fd00::1->fd00::2:443"),
        ("ipv6-icmp:[fd00::1]->[fd00::2]", "icmp6:fd00::1->fd00::2"),
        ("47:10.0.0.1->10.0.0.2", "gre:10.0.0.1->10.0.0.2"),
        ("ospf:10.0.0.1->224.0.0.5", "89:10.0.0.1->224.0.0.5"),
        ("253:fd00::1->fd00::2", "253:fd00::1->fd00::2"),
        (
            "sctp:10.0.0.1->10.0.0.2:36412",
            "sctp:10.0.0.1->10.0.0.2:36412",
        ),
        ("tcp:->1.2.3.4:80", "tcp:->1.2.3.4:80"),
        ("tcp:,1.2.3.4:80", "tcp:->1.2.3.4:80"),
        ("tcp::40000->1.2.3.4:80", "tcp::40000->1.2.3.4:80"),
        ("icmp6:->fd00::2", "icmp6:->fd00::2"),
    ]);
}

#[test]
fn parts_of_a_flow() {
    assert_eq!(
        parse("tcp:[fd00::1]:40000->[fd00::2]:443"),
        Ok(Flow {
            proto: 6,
            family: IpFamily::V6,
            src: Some("fd00::1".parse().expect("an address")),
            sport: Some(40000),
            dst: "fd00::2".parse().expect("an address"),
            dport: Some(443),
        })
    );
    let local = parse("udp:->10.0.0.2").expect("a flow");
    assert_eq!(
        (local.src, local.sport, local.dport, local.family),
        (None, None, None, IpFamily::V4)
    );
}

#[test]
fn the_canonical_form_reads_back() {
    for text in [
        "tcp:[fd00::1]->[fd00::2]:443",
        "tcp:->1.2.3.4",
        "icmp6:fd00::1->fd00::2:443",
        "253:1.2.3.4->5.6.7.8",
        "dccp:1.2.3.4:1->5.6.7.8:2",
    ] {
        let flow: Flow = text.parse().expect("a flow");
        assert_eq!(flow.to_string().parse(), Ok(flow), "{text}");
    }
}

#[test]
fn the_shell_took_the_arrow() {
    check(&[
        (
            "tcp:10.0.0.1:5-",
            "error: `tcp:10.0.0.1:5-` ends in `-`: the shell took `>` as a redirection; \
             quote the flow, or write `,` in place of `->`",
        ),
        (
            "tcp:-",
            "error: `tcp:-` ends in `-`: the shell took `>` as a redirection; \
             quote the flow, or write `,` in place of `->`",
        ),
    ]);
}

#[test]
fn protocols_that_are_none() {
    check(&[
        (
            "tpc:10.0.0.1->10.0.0.2:80",
            "error: unknown protocol `tpc`: did you mean `tcp`?",
        ),
        (
            "ucp:10.0.0.1->10.0.0.2:80",
            "error: unknown protocol `ucp`: did you mean `tcp`?",
        ),
        (
            "icmp4:10.0.0.1->10.0.0.2",
            "error: unknown protocol `icmp4`: did you mean `icmp`?",
        ),
        (
            "http:10.0.0.1->10.0.0.2:80",
            "error: unknown protocol `http`: write a name as nft does, or a number",
        ),
        (
            "256:10.0.0.1->10.0.0.2",
            "error: unknown protocol `256`: write a name as nft does, or a number",
        ),
        (
            "10.0.0.1->10.0.0.2",
            "error: `10.0.0.1->10.0.0.2` does not begin with a protocol: write e.g. `tcp:10.0.0.1->10.0.0.2`",
        ),
        (
            "10.0.0.1:5->10.0.0.2:80",
            "error: `10.0.0.1:5->10.0.0.2:80` does not begin with a protocol: \
             write e.g. `tcp:10.0.0.1:5->10.0.0.2:80`",
        ),
        (
            "fd00::1->fd00::2",
            "error: `fd00::1->fd00::2` does not begin with a protocol: write e.g. `tcp:fd00::1->fd00::2`",
        ),
        (
            "",
            "error: the flow is empty: write `PROTO:SRC[:SPORT]->DST[:DPORT]`, e.g. `tcp:10.0.0.1->10.0.0.2:80`",
        ),
    ]);
}

#[test]
fn ends_that_are_missing() {
    check(&[
        (
            "tcp:10.0.0.1",
            "error: `tcp:10.0.0.1` has no `->` between source and destination: write `PROTO:SRC->DST`",
        ),
        (
            "tcp:10.0.0.1->",
            "error: `tcp:10.0.0.1->` has no destination: write an address behind `->`",
        ),
        (
            "tcp:10.0.0.1,",
            "error: `tcp:10.0.0.1,` has no destination: write an address behind `->`",
        ),
        (
            "tcp:10.0.0.1->:80",
            "error: `:80` has a port but no address: write `10.0.0.2:80`",
        ),
        (
            "tcp:10.0.0.1->10.0.0.2,10.0.0.3",
            "error: `tcp:10.0.0.1->10.0.0.2,10.0.0.3` has more than one destination: \
             give each flow an argument of its own",
        ),
    ]);
}

#[test]
fn addresses_that_are_none() {
    check(&[
        (
            "tcp:10.0.0.1->www.example.com:80",
            "error: `www.example.com` is a name: give the address, e.g. from `getent hosts www.example.com`",
        ),
        (
            "tcp:localhost->10.0.0.2:80",
            "error: `localhost` is a name: give the address, e.g. from `getent hosts localhost`",
        ),
        (
            "tcp:10.0.0.256->10.0.0.2:80",
            "error: `10.0.0.256` is not an IPv4 or IPv6 address",
        ),
        (
            "tcp:10.0.0->10.0.0.2:80",
            "error: `10.0.0` is not an IPv4 or IPv6 address",
        ),
        (
            "tcp:[]->10.0.0.2:80",
            "error: `[]` is not an IPv4 or IPv6 address",
        ),
        (
            "tcp:[fd00::1]80->fd00::2",
            "error: `[fd00::1]80` is not an IPv4 or IPv6 address",
        ),
        (
            "tcp:fd00::x->fd00::2",
            "error: `fd00::x` is not an IPv4 or IPv6 address",
        ),
        (
            "tcp:10.0.0.0/24->10.0.1.2:80",
            "error: `10.0.0.0/24` is a network: give one address of it",
        ),
        (
            "icmp6:fe80::1%eth0->fe80::2",
            "error: `fe80::1%eth0` names an interface: write `fe80::1` and give the interface with `--iif`",
        ),
        (
            "tcp:[fd00::1->fd00::2",
            "error: `[fd00::1` lacks the closing `]`: write `[ADDRESS]:PORT`",
        ),
    ]);
}

#[test]
fn ports() {
    check(&[
        (
            "tcp:10.0.0.1->10.0.0.2:0",
            "error: port `0` is not a number from 1 to 65535",
        ),
        (
            "tcp:10.0.0.1->10.0.0.2:65536",
            "error: port `65536` is not a number from 1 to 65535",
        ),
        (
            "tcp:10.0.0.1->10.0.0.2:http",
            "error: port `http` is not a number from 1 to 65535",
        ),
        (
            "tcp:10.0.0.1->10.0.0.2:+80",
            "error: port `+80` is not a number from 1 to 65535",
        ),
        (
            "tcp:10.0.0.1->10.0.0.2:",
            "error: no port after `:`: write a number, or leave out the `:`",
        ),
        (
            "icmp:10.0.0.1->10.0.0.2:80",
            "error: `icmp` has no ports: leave out `:80` (`--icmp-type` sets the type)",
        ),
        (
            "icmp6:fd00::1->[fd00::2]:80",
            "error: `icmp6` has no ports: leave out `:80` (`--icmp-type` sets the type)",
        ),
        (
            "gre:10.0.0.1:5->10.0.0.2",
            "error: `gre` has no ports: leave out `:5`",
        ),
        (
            "253:10.0.0.1:5->10.0.0.2",
            "error: `253` has no ports: leave out `:5`",
        ),
        (
            "tcp:fd00::1->fd00::2:443",
            "error: `fd00::2:443` may be an address or an address and a port: \
             write `[fd00::2]:443`, or `[fd00::2:443]` for no port",
        ),
        (
            "tcp:fd00::1:65000->fd00::2",
            "error: `fd00::1:65000` is an IPv6 address without brackets before a port: write `[fd00::1]:65000`",
        ),
        (
            "tcp:2001:db8:0:0:0:0:0:1:443->fd00::2",
            "error: `2001:db8:0:0:0:0:0:1:443` is an IPv6 address without brackets before a port: \
             write `[2001:db8:0:0:0:0:0:1]:443`",
        ),
    ]);
}

#[test]
fn families() {
    check(&[
        (
            "tcp:10.0.0.1->[fd00::2]:80",
            "error: `10.0.0.1` and `fd00::2` are of different families: give two IPv4 or two IPv6 addresses",
        ),
        (
            "icmp:fd00::1->fd00::2",
            "error: `icmp` does not carry `fd00::1`: write `icmp6` for IPv6 addresses",
        ),
        (
            "icmp6:10.0.0.1->10.0.0.2",
            "error: `icmp6` does not carry `10.0.0.1`: write `icmp` for IPv4 addresses",
        ),
        // whoever writes the number means it
        ("58:10.0.0.1->10.0.0.2", "58:10.0.0.1->10.0.0.2"),
    ]);
}

#[test]
fn messages_stay_on_one_line() {
    let long = "x".repeat(500);
    for text in [
        "t\ncp:10.0.0.1->10.0.0.2",
        "tcp:\u{1b}[31m->10.0.0.2",
        long.as_str(),
    ] {
        let message = read(text);
        assert!(message.starts_with("error: "), "{message}");
        assert!(!message.chars().any(char::is_control), "{message}");
        assert!(message.len() < 400, "{message}");
    }
}

#[test]
fn icmp_types() {
    let message = |kind, code| Ok(IcmpMessage { kind, code });
    assert_eq!(
        parse_icmp_type("echo-request", IpFamily::V4),
        message(8, None)
    );
    assert_eq!(
        parse_icmp_type("echo-request", IpFamily::V6),
        message(128, None)
    );
    assert_eq!(parse_icmp_type("3/4", IpFamily::V4), message(3, Some(4)));
    assert_eq!(
        parse_icmp_type("destination-unreachable/frag-needed", IpFamily::V4),
        message(3, Some(4))
    );
    assert_eq!(
        parse_icmp_type("echo-requst", IpFamily::V4).map_err(|error| error.to_string()),
        Err("unknown ICMP type `echo-requst`: did you mean `echo-request`?".to_owned())
    );
    assert!(parse_icmp_type("256", IpFamily::V4).is_err());
    assert!(parse_icmp_type("8/", IpFamily::V4).is_err());
}

#[test]
fn tcp_flags() {
    assert_eq!(parse_tcp_flags("syn"), Ok(2));
    assert_eq!(parse_tcp_flags("syn,ack"), Ok(0x12));
    assert_eq!(parse_tcp_flags("SYN, ACK"), Ok(0x12));
    assert_eq!(parse_tcp_flags("0x12"), Ok(0x12));
    assert_eq!(parse_tcp_flags("none"), Ok(0));
    assert_eq!(
        parse_tcp_flags("sny").map_err(|error| error.to_string()),
        Err("unknown TCP flag `sny`: did you mean `syn`?".to_owned())
    );
    assert!(parse_tcp_flags("syn,").is_err());
    assert!(parse_tcp_flags("0x100").is_err());
}

#[test]
fn marks() {
    assert_eq!(parse_mark("0x10"), Ok(16));
    assert_eq!(parse_mark("10"), Ok(10));
    assert_eq!(parse_mark("0xffffffff"), Ok(u32::MAX));
    for text in ["0x100000000", "-1", "", "ten"] {
        assert_eq!(
            parse_mark(text).map_err(|error| error.to_string()),
            Err(format!(
                "mark `{text}` is not a number from 0 to 0xffffffff"
            ))
        );
    }
}
