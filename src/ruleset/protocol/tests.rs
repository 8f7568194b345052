//! Expected values are those of the bytecode that nft 1.0.6 makes of the rule in the comment or the name.

use super::*;

fn place(base: Base, offset: u32, len: u32, data_type: DataType) -> PayloadField {
    PayloadField {
        base,
        offset,
        len,
        data_type,
    }
}

fn ether_type(value: u128) -> Implied {
    Implied::Payload(place(Base::Ll, 96, 16, DataType::EtherType), value)
}

/// The ether type behind the n-th tag.
fn vlan_type(tag: u32, value: u128) -> Implied {
    Implied::Payload(
        place(Base::Ll, 96 + 32 * tag, 16, DataType::EtherType),
        value,
    )
}

const L4_TCP: Implied = Implied::Meta("l4proto", 6);
const IIF_ETHER: Implied = Implied::Meta("iiftype", 1);

#[test]
fn fields_on_and_off_byte_borders() {
    for (protocol, field, base, offset, len, data_type) in [
        ("ip", "dscp", Base::Nh, 8, 6, DataType::Dscp),
        ("ip6", "dscp", Base::Nh, 4, 6, DataType::Dscp),
        ("ip6", "ecn", Base::Nh, 10, 2, DataType::Ecn),
        ("ip6", "flowlabel", Base::Nh, 12, 20, DataType::Integer),
        ("ip", "saddr", Base::Nh, 96, 32, DataType::Ipv4Addr),
        ("ip6", "daddr", Base::Nh, 192, 128, DataType::Ipv6Addr),
        ("ether", "saddr", Base::Ll, 48, 48, DataType::EtherAddr),
        ("vlan", "id", Base::Ll, 116, 12, DataType::Integer),
        ("vlan", "pcp", Base::Ll, 112, 3, DataType::Integer),
        ("arp", "daddr ip", Base::Nh, 192, 32, DataType::Ipv4Addr),
        ("tcp", "doff", Base::Th, 96, 4, DataType::Integer),
        ("tcp", "flags", Base::Th, 104, 8, DataType::TcpFlag),
        ("dccp", "type", Base::Th, 67, 4, DataType::DccpPktType),
        ("icmp", "mtu", Base::Th, 48, 16, DataType::Integer),
        ("comp", "cpi", Base::Th, 16, 16, DataType::Integer),
        ("th", "dport", Base::Th, 16, 16, DataType::InetService),
    ] {
        assert_eq!(
            payload_field(protocol, field),
            Some(place(base, offset, len, data_type)),
            "{protocol} {field}"
        );
    }
    assert_eq!(payload_field("ip", "tos"), None);
    assert_eq!(payload_field("nosuch", "saddr"), None);
}

#[test]
fn a_field_is_as_wide_as_its_type() {
    for (protocol, _, fields) in HEADERS {
        for (field, _, len, data_type) in *fields {
            assert!(
                data_type.width().is_none_or(|width| width == *len),
                "{protocol} {field}"
            );
        }
    }
}

#[test]
fn network_fields_by_family() {
    assert_eq!(implied("ip", "ip", "saddr"), []);
    assert_eq!(implied("ip6", "ip6", "saddr"), []);
    assert_eq!(implied("arp", "arp", "operation"), []);
    assert_eq!(
        implied("inet", "ip", "saddr"),
        [Implied::Meta("nfproto", 2)]
    );
    assert_eq!(
        implied("inet", "ip6", "saddr"),
        [Implied::Meta("nfproto", 10)]
    );
    for family in ["bridge", "netdev"] {
        assert_eq!(
            implied(family, "ip", "protocol"),
            [Implied::Meta("protocol", 0x0800)]
        );
        assert_eq!(
            implied(family, "ip6", "nexthdr"),
            [Implied::Meta("protocol", 0x86dd)]
        );
    }
    assert_eq!(implied("bridge", "arp", "operation"), [ether_type(0x0806)]);
    assert_eq!(
        implied("netdev", "arp", "operation"),
        [Implied::Meta("protocol", 0x0806)]
    );
}

#[test]
fn transport_fields_are_the_same_in_every_family() {
    for family in ["ip", "ip6", "inet", "bridge", "netdev"] {
        assert_eq!(implied(family, "tcp", "dport"), [L4_TCP]);
        assert_eq!(
            implied(family, "udp", "dport"),
            [Implied::Meta("l4proto", 17)]
        );
        assert_eq!(
            implied(family, "dccp", "type"),
            [Implied::Meta("l4proto", 33)]
        );
        assert_eq!(implied(family, "ah", "spi"), [Implied::Meta("l4proto", 51)]);
        assert_eq!(
            implied(family, "esp", "spi"),
            [Implied::Meta("l4proto", 50)]
        );
        assert_eq!(
            implied(family, "comp", "cpi"),
            [Implied::Meta("l4proto", 108)]
        );
        assert_eq!(implied(family, "th", "dport"), []);
        assert_eq!(implied_for_tcp_option(family), []);
    }
}

#[test]
fn icmp_by_family() {
    let icmp = Implied::Meta("l4proto", 1);
    let icmpv6 = Implied::Meta("l4proto", 58);
    for family in ["ip", "ip6"] {
        assert_eq!(implied(family, "icmp", "type"), [icmp]);
        assert_eq!(implied(family, "icmpv6", "type"), [icmpv6]);
    }
    assert_eq!(
        implied("inet", "icmp", "type"),
        [Implied::Meta("nfproto", 2), icmp]
    );
    assert_eq!(
        implied("inet", "icmpv6", "code"),
        [Implied::Meta("nfproto", 10), icmpv6]
    );
    assert_eq!(
        implied("inet", "igmp", "type"),
        [Implied::Meta("nfproto", 2), Implied::Meta("l4proto", 2)]
    );
    assert_eq!(
        implied("bridge", "icmp", "type"),
        [ether_type(0x0800), icmp]
    );
    assert_eq!(
        implied("bridge", "icmpv6", "type"),
        [ether_type(0x86dd), icmpv6]
    );
    assert_eq!(
        implied("netdev", "icmp", "type"),
        [Implied::Meta("protocol", 0x0800), icmp]
    );
}

#[test]
fn icmp_fields_that_only_some_types_have() {
    let icmp_type = place(Base::Th, 0, 8, DataType::IcmpType);
    let icmpv6_type = place(Base::Th, 0, 8, DataType::Icmpv6Type);
    let icmp = Implied::Meta("l4proto", 1);
    let icmpv6 = Implied::Meta("l4proto", 58);
    assert_eq!(
        implied("ip", "icmp", "id"),
        [icmp, Implied::OneOf(icmp_type, &[0, 8])]
    );
    assert_eq!(
        implied("ip", "icmp", "mtu"),
        [icmp, Implied::Payload(icmp_type, 3)]
    );
    assert_eq!(
        implied("ip", "icmp", "gateway"),
        [icmp, Implied::Payload(icmp_type, 5)]
    );
    assert_eq!(
        implied("ip6", "icmpv6", "sequence"),
        [icmpv6, Implied::OneOf(icmpv6_type, &[128, 129])]
    );
    assert_eq!(
        implied("ip6", "icmpv6", "mtu"),
        [icmpv6, Implied::Payload(icmpv6_type, 2)]
    );
    assert_eq!(
        implied("ip6", "icmpv6", "max-delay"),
        [icmpv6, Implied::Payload(icmpv6_type, 130)]
    );

    // `icmp type echo-request icmp id 5`: the type is loaded once.
    let mut context = Context::default();
    context.record("icmp", "type", Some(8));
    assert_eq!(context.implied("ip", "icmp", "id"), []);
}

#[test]
fn link_layer_fields_need_ethernet() {
    for family in ["ip", "ip6", "inet", "netdev", "arp"] {
        assert_eq!(implied(family, "ether", "saddr"), [IIF_ETHER]);
        assert_eq!(
            implied(family, "vlan", "id"),
            [IIF_ETHER, ether_type(0x8100)]
        );
    }
    assert_eq!(implied("bridge", "ether", "type"), []);
    assert_eq!(implied("bridge", "vlan", "id"), [ether_type(0x8100)]);
}

/// `vlan id 5` followed by each of these, bridge.
#[test]
fn behind_a_vlan_tag() {
    let mut context = Context::default();
    context.record("vlan", "id", Some(5));
    assert_eq!(context.implied("bridge", "vlan", "pcp"), []);
    assert_eq!(
        context.implied("bridge", "ip", "saddr"),
        [vlan_type(1, 0x0800)]
    );
    assert_eq!(
        context.implied("inet", "ip", "saddr"),
        [vlan_type(1, 0x0800)]
    );
    assert_eq!(context.implied("ip", "ip", "saddr"), []);
    assert_eq!(
        context.implied("bridge", "arp", "operation"),
        [vlan_type(1, 0x0806)]
    );
    assert_eq!(context.implied("bridge", "tcp", "dport"), [L4_TCP]);
    assert_eq!(
        context.implied("bridge", "icmp", "type"),
        [vlan_type(1, 0x0800), Implied::Meta("l4proto", 1)]
    );
    assert_eq!(context.implied_for_exthdr("bridge"), []);
}

/// `ether type 8021ad vlan id 10 vlan type 8021q vlan id 20 ip saddr 1.2.3.4`, bridge.
#[test]
fn behind_two_vlan_tags() {
    let mut context = Context::default();
    context.record("ether", "type", Some(0x88a8));
    assert_eq!(context.implied("bridge", "vlan", "id"), []);
    assert_eq!(
        context
            .payload_field("vlan", "id")
            .map(|place| place.offset),
        Some(116)
    );
    context.record("vlan", "id", Some(10));
    assert_eq!(
        context
            .payload_field("vlan", "type")
            .map(|place| place.offset),
        Some(128)
    );
    context.record("vlan", "type", Some(0x8100));
    assert_eq!(context.implied("bridge", "vlan", "id"), []);
    assert_eq!(
        context
            .payload_field("vlan", "id")
            .map(|place| place.offset),
        Some(148)
    );
    context.record("vlan", "id", Some(20));
    assert_eq!(
        context.implied("bridge", "ip", "saddr"),
        [vlan_type(2, 0x0800)]
    );
}

#[test]
fn what_was_matched_is_not_added_again() {
    // `ip saddr 1.2.3.4 icmp type echo-request`, bridge
    let mut context = Context::default();
    context.record("ip", "saddr", Some(0x0102_0304));
    assert_eq!(
        context.implied("bridge", "icmp", "type"),
        [Implied::Meta("l4proto", 1)]
    );
    assert_eq!(context.implied_for_ip_option("bridge"), []);

    // `meta l4proto tcp meta mark set 1 tcp dport 22`, inet
    let mut context = Context::default();
    context.record_meta("l4proto", Some(6));
    assert_eq!(context.implied("inet", "tcp", "dport"), []);
    assert_eq!(
        context.implied("inet", "ip", "saddr"),
        [Implied::Meta("nfproto", 2)]
    );

    // `ip protocol icmp icmp type echo-request`, inet
    let mut context = Context::default();
    context.record("ip", "protocol", Some(1));
    assert_eq!(context.implied("inet", "icmp", "type"), []);

    // `meta l4proto != tcp tcp dport 22` and sets of protocols leave it open.
    let mut context = Context::default();
    context.record_meta("l4proto", None);
    assert_eq!(context.implied("inet", "tcp", "dport"), [L4_TCP]);

    // `exthdr frag exists ip6 saddr fd00::1`, bridge
    let mut context = Context::default();
    context.record_exthdr();
    assert_eq!(context.implied("bridge", "ip6", "saddr"), []);
}

#[test]
fn extension_headers_and_ip_options_by_family() {
    assert_eq!(implied_for_exthdr("ip6"), []);
    assert_eq!(implied_for_exthdr("inet"), [Implied::Meta("nfproto", 10)]);
    assert_eq!(implied_for_exthdr("bridge"), [ether_type(0x86dd)]);
    assert_eq!(
        implied_for_exthdr("netdev"),
        [Implied::Meta("protocol", 0x86dd)]
    );
    assert_eq!(implied_for_ip_option("ip"), []);
    assert_eq!(implied_for_ip_option("inet"), [Implied::Meta("nfproto", 2)]);
    assert_eq!(implied_for_ip_option("bridge"), [ether_type(0x0800)]);
    assert_eq!(
        implied_for_ip_option("netdev"),
        [Implied::Meta("protocol", 0x0800)]
    );
}

#[test]
fn reject_by_family() {
    assert_eq!(implied_for_reject("ip", Some("icmp")), []);
    assert_eq!(
        implied_for_reject("inet", Some("icmp")),
        [Implied::Meta("nfproto", 2)]
    );
    assert_eq!(
        implied_for_reject("inet", Some("icmpv6")),
        [Implied::Meta("nfproto", 10)]
    );
    assert_eq!(
        implied_for_reject("netdev", Some("icmp")),
        [Implied::Meta("protocol", 0x0800)]
    );
    assert_eq!(
        implied_for_reject("bridge", Some("icmpv6")),
        [Implied::Meta("protocol", 0x86dd)]
    );
    for kind in [None, Some("icmpx")] {
        assert_eq!(implied_for_reject("inet", kind), []);
    }
    // nft --debug=netlink: [ meta load l4proto ] [ cmp eq 6 ] [ reject type 1 code 0 ]
    let tcp = [Implied::Meta("l4proto", 6)];
    assert_eq!(implied_for_reject("ip", Some("tcp reset")), tcp);
    let mut context = Context::default();
    context.record("tcp", "dport", Some(80));
    assert_eq!(context.implied_for_reject("ip", Some("tcp reset")), []);
    // `ip saddr 1.2.3.4 reject`, inet
    let mut context = Context::default();
    context.record("ip", "saddr", Some(0x0102_0304));
    assert_eq!(context.implied_for_reject("inet", Some("icmp")), []);
}

#[test]
fn tunnels_need_their_carrier() {
    assert_eq!(implied_for_tunnel("vxlan"), [Implied::Meta("l4proto", 17)]);
    assert_eq!(implied_for_tunnel("gretap"), [Implied::Meta("l4proto", 47)]);
    assert_eq!(implied_for_tunnel("nosuch"), []);
}

#[test]
fn requirements_name_the_layers_in_order() {
    assert_eq!(requirements("tcp", "dport"), [Requirement::L4Proto(&[6])]);
    assert_eq!(
        requirements("icmp", "id"),
        [
            Requirement::EtherType(0x0800),
            Requirement::L4Proto(&[1]),
            Requirement::IcmpType(&[0, 8])
        ]
    );
    assert_eq!(requirements("th", "dport"), []);
    for (protocol, ..) in HEADERS
        .iter()
        .filter(|(protocol, ..)| !matches!(*protocol, "ether" | "th"))
    {
        assert!(!requirements(protocol, "checksum").is_empty(), "{protocol}");
    }
}

fn at(kind: u8, offset: u32, len: u32, data_type: DataType) -> Option<OptionField> {
    Some(OptionField {
        kind,
        offset,
        len,
        data_type,
    })
}

#[test]
fn extension_header_fields() {
    assert_eq!(
        exthdr_field("hbh", "nexthdr"),
        at(0, 0, 8, DataType::InetProto)
    );
    assert_eq!(
        exthdr_field("rt", "seg-left"),
        at(43, 24, 8, DataType::Integer)
    );
    assert_eq!(
        exthdr_field("rt0", "addr[2]"),
        at(43, 192, 128, DataType::Ipv6Addr)
    );
    assert_eq!(
        exthdr_field("srh", "tag"),
        at(43, 48, 16, DataType::Integer)
    );
    assert_eq!(
        exthdr_field("srh", "sid[1]"),
        at(43, 64, 128, DataType::Ipv6Addr)
    );
    assert_eq!(exthdr_field("srh", "sid[0]"), None);
    assert_eq!(exthdr_field("srh", "sid[4294967295]"), None);
    assert_eq!(
        exthdr_field("frag", "frag-off"),
        at(44, 16, 13, DataType::Integer)
    );
    assert_eq!(
        exthdr_field("frag", "more-fragments"),
        at(44, 31, 1, DataType::Integer)
    );
    assert_eq!(
        exthdr_field("dst", "hdrlength"),
        at(60, 8, 8, DataType::Integer)
    );
    assert_eq!(exthdr_field("mh", "type"), at(135, 16, 8, DataType::MhType));
    assert_eq!(exthdr_field("frag", "type"), None);
    assert_eq!(exthdr_field("nosuch", "type"), None);
}

#[test]
fn tcp_option_fields() {
    assert_eq!(
        tcp_option_field("maxseg", "size"),
        at(2, 16, 16, DataType::Integer)
    );
    assert_eq!(
        tcp_option_field("window", "count"),
        at(3, 16, 8, DataType::Integer)
    );
    assert_eq!(
        tcp_option_field("sack-perm", "length"),
        at(4, 8, 8, DataType::Integer)
    );
    assert_eq!(
        tcp_option_field("sack", "right"),
        at(5, 48, 32, DataType::Integer)
    );
    assert_eq!(
        tcp_option_field("sack3", "left"),
        at(5, 208, 32, DataType::Integer)
    );
    assert_eq!(
        tcp_option_field("timestamp", "tsecr"),
        at(8, 48, 32, DataType::Integer)
    );
    assert_eq!(
        tcp_option_field("mptcp", "subtype"),
        at(30, 16, 4, DataType::Integer)
    );
    assert_eq!(tcp_option_field("nop", "length"), None);
    assert_eq!(tcp_option_kind("fastopen"), Some(34));
    assert_eq!(tcp_option_kind("md5sig"), Some(19));
    assert_eq!(tcp_option_kind("253"), Some(253));
    assert_eq!(tcp_option_kind("256"), None);
}

#[test]
fn ip_option_fields() {
    assert_eq!(
        ip_option_field("lsrr", "addr"),
        at(131, 24, 32, DataType::Integer)
    );
    assert_eq!(
        ip_option_field("rr", "ptr"),
        at(7, 16, 8, DataType::Integer)
    );
    assert_eq!(
        ip_option_field("ra", "value"),
        at(148, 16, 16, DataType::Integer)
    );
    assert_eq!(ip_option_field("ra", "ptr"), None);
    assert_eq!(ip_option_kind("ssrr"), Some(137));
}

#[test]
fn sctp_chunk_fields() {
    assert_eq!(
        sctp_chunk_field("data", "ppid"),
        at(0, 96, 32, DataType::Integer)
    );
    assert_eq!(
        sctp_chunk_field("init-ack", "initial-tsn"),
        at(2, 128, 32, DataType::Integer)
    );
    assert_eq!(
        sctp_chunk_field("sack", "num-dup-tsns"),
        at(3, 112, 16, DataType::Integer)
    );
    assert_eq!(
        sctp_chunk_field("asconf", "seqno"),
        at(193, 32, 32, DataType::Integer)
    );
    assert_eq!(
        sctp_chunk_field("abort", "flags"),
        at(6, 8, 8, DataType::Integer)
    );
    assert_eq!(sctp_chunk_field("abort", "tsn"), None);
    assert_eq!(sctp_chunk_kind("forward-tsn"), Some(192));
}
