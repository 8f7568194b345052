use super::*;

#[test]
fn names_lead_back_to_their_type() {
    for (data_type, name, width) in TYPES {
        assert_eq!(DataType::from_name(name), Some(*data_type));
        assert_eq!(data_type.name(), *name);
        assert_eq!(data_type.width(), *width);
    }
    assert_eq!(DataType::from_name("no_such_type"), None);
    assert_eq!(DataType::Other.width(), None);
    assert_eq!(DataType::Other.constant("tcp"), None);
}

#[test]
fn every_symbol_is_a_constant_that_fits_its_type() {
    for (data_type, name, width) in TYPES {
        for (symbol, value) in data_type.symbols() {
            assert_eq!(data_type.constant(symbol), Some(*value), "{name} {symbol}");
            assert!(data_type.symbol(*value).is_some(), "{name} {symbol}");
            assert!(
                width.is_some_and(|width| value >> width == 0),
                "{name} {symbol}"
            );
        }
    }
}

#[test]
fn constants() {
    for (data_type, text, value) in [
        (DataType::CtState, "established", 2),
        (DataType::CtState, "invalid", 1),
        (DataType::CtState, "untracked", 0x40),
        (DataType::InetProto, "tcp", 6),
        (DataType::InetProto, "TCP", 6),
        (DataType::InetProto, "icmpv6", 58),
        (DataType::InetProto, "ipv6-icmp", 58),
        (DataType::InetProto, "250", 250),
        (DataType::Dscp, "cs0", 0),
        (DataType::Dscp, "df", 0),
        (DataType::Dscp, "0x3f", 0x3f),
        (DataType::IcmpType, "echo-request", 8),
        (DataType::Icmpv6Type, "echo-request", 128),
        (DataType::Icmpv6Type, "mld-listener-reduction", 132),
        (DataType::InetService, "ssh", 22),
        (DataType::InetService, "domain", 53),
        (DataType::InetService, "https", 443),
        (DataType::InetService, "65535", 65535),
        (DataType::FibAddrType, "local", 2),
        (DataType::Day, "Monday", 1),
        (DataType::Day, "monday", 1),
        (DataType::EtherType, "8021q", 0x8100),
        (DataType::EtherType, "8021ad", 0x88a8),
        (DataType::ArpOp, "reply", 2),
        (DataType::IfaceType, "loopback", 772),
        (DataType::ClassId, "1:2", 0x1_0002),
        (DataType::ClassId, "none", 0),
        (DataType::Hour, "17:00", 61_200),
        (DataType::Hour, "17:00:05", 61_205),
        (DataType::Time, "1970-01-02 00:00:01", 86_401_000_000_000),
        (DataType::Time, "2024-03-01", 1_709_251_200_000_000_000),
        (DataType::CtLabel, "5", 1 << 5),
        (DataType::Ipv4Addr, "10.0.0.1", 0x0a00_0001),
        (DataType::Ipv6Addr, "fd00::1", 0xfd00 << 112 | 1),
        (DataType::EtherAddr, "00:01:02:03:04:ff", 0x0001_0203_04ff),
        (DataType::Mark, "0x10", 16),
        (DataType::Boolean, "exists", 1),
        (DataType::Uid, "root", 0),
    ] {
        assert_eq!(
            data_type.constant(text),
            Some(value),
            "{data_type:?} {text}"
        );
    }
}

#[test]
fn what_is_no_constant() {
    for (data_type, text) in [
        (DataType::InetProto, "nosuch"),
        (DataType::InetProto, "256"),
        (DataType::InetService, "65536"),
        (DataType::Integer, "+5"),
        (DataType::Integer, ""),
        (DataType::Integer, "0x"),
        (DataType::IfIndex, "eth0"),
        (DataType::Uid, "nobody"),
        (DataType::Ipv4Addr, "example.com"),
        (DataType::EtherAddr, "00:01:02:03:04"),
        (DataType::EtherAddr, "00:01:02:03:04:+5"),
        (DataType::Hour, "24:00"),
        (DataType::Hour, "17:00:00:00"),
        (DataType::Time, "2023-02-29"),
        (DataType::CtLabel, "128"),
        (DataType::Ifname, "seventeen-bytes-!"),
    ] {
        assert_eq!(data_type.constant(text), None, "{data_type:?} {text}");
    }
}

#[test]
fn values_as_nft_prints_them() {
    for (data_type, value, text) in [
        (DataType::Ipv4Addr, 0x0a00_0001, "10.0.0.1"),
        (DataType::Ipv6Addr, 0xfd00 << 112 | 1, "fd00::1"),
        (DataType::EtherAddr, 0x0001_0203_04ff, "00:01:02:03:04:ff"),
        (DataType::Mark, 16, "0x00000010"),
        (DataType::TcpFlag, 0x12, "syn,ack"),
        (DataType::CtState, 0x0a, "established,new"),
        (DataType::CtState, 0x82, "established,0x80"),
        (DataType::CtState, 0, "0x0"),
        (DataType::InetProto, 58, "ipv6-icmp"),
        (DataType::InetProto, 254, "254"),
        (DataType::InetService, 22, "22"),
        (DataType::Dscp, 8, "cs1"),
        (DataType::Dscp, 2, "0x02"),
        (DataType::EtherType, 0x8100, "8021q"),
        (DataType::EtherType, 0x88b5, "0x88b5"),
        (DataType::ClassId, 0x1_0002, "1:2"),
        (DataType::Hour, 61_200, "17:00"),
        (DataType::CtLabel, 0b101, "0,2"),
        (DataType::FibAddrType, 2, "local"),
        (DataType::Integer, 5, "5"),
    ] {
        assert_eq!(data_type.display(value), text, "{data_type:?}");
    }
}

#[test]
fn numbers_of_labels_are_bits() {
    assert_eq!(DataType::CtLabel.number(127), Some(1 << 127));
    assert_eq!(DataType::CtLabel.number(128), None);
    assert_eq!(DataType::Mark.number(0xffff_ffff), Some(0xffff_ffff));
    assert_eq!(DataType::Integer.number(-1), None);
}

#[test]
fn interface_names() {
    assert_eq!(ifname_value("lo"), Some(0x6c6f << 112));
    assert_eq!(
        ifname_value("fifteen-bytes-x").map(ifname_text).as_deref(),
        Some("fifteen-bytes-x")
    );
    assert_eq!(ifname_value("sixteen-bytes-xx"), None);
    assert_eq!(ifname_value(""), None);
    assert_eq!(DataType::Ifname.display(0x6c6f << 112), "lo");
    let (low, rest) = (0x6c6f << 112, u128::MAX >> 16);
    assert_eq!(DataType::Ifname.display_range(low, low | rest), "lo*");
    assert_eq!(DataType::Ifname.display_range(low, low), "lo");
    assert_eq!(DataType::InetService.display_range(0, 1023), "0-1023");
}
