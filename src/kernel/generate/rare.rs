//! What real rulesets seldom have: templates, each with the places that nft 1.0.6 and the kernel take it in.
//!
//! `$ip` is the family's word (`ip`, `ip6`), `$own`, `$out` and `$net` are addresses of the pools, `$l4` is the
//! protocol that the rule is about, `$port`, `$mark` and `$link` are of the pools, `$not` negates in some cases. A
//! packet may decide a match or leave it open; then the kernel's way has to be among the model's.

use crate::ruleset::{Family, Hook};

use super::Place;
use super::host::{LINKS, MARKS, NETS4, NETS6, OUT4, OUT6, OWN4, OWN6, PORTS};
use super::numbers::{Numbers, not};

/// Templates that fit the same places.
type Group = (fn(&Place) -> bool, &'static [&'static str]);

fn anywhere(_: &Place) -> bool {
    true
}

/// Chains of the IP stack: behind conntrack or not, but not on a device.
fn in_stack(place: &Place) -> bool {
    place.in_stack()
}

/// On a device.
fn on_device(place: &Place) -> bool {
    place.family == Family::Netdev || place.hook == Hook::Ingress
}

fn filters(place: &Place) -> bool {
    !place.nat
}

fn v4(place: &Place) -> bool {
    !place.v6
}

fn v6(place: &Place) -> bool {
    place.v6
}

/// The rule's addresses are of the type that the table's sets have.
fn of_the_table(place: &Place) -> bool {
    place.v6 == (place.family == Family::Ip6)
}

fn tcp(place: &Place) -> bool {
    place.l4 == "tcp"
}

fn udp(place: &Place) -> bool {
    place.l4 == "udp"
}

fn ports(place: &Place) -> bool {
    tcp(place) || udp(place)
}

fn icmp(place: &Place) -> bool {
    place.l4 == "icmp"
}

fn icmpv6(place: &Place) -> bool {
    place.l4 == "icmpv6"
}

/// Before a packet's way out is known.
fn early(place: &Place) -> bool {
    matches!(place.hook, Hook::Ingress | Hook::Prerouting | Hook::Input)
}

/// Where a packet has its way out.
fn late(place: &Place) -> bool {
    matches!(
        place.hook,
        Hook::Forward | Hook::Output | Hook::Postrouting | Hook::Egress
    )
}

fn stack_v4(place: &Place) -> bool {
    in_stack(place) && v4(place)
}

fn stack_v6(place: &Place) -> bool {
    in_stack(place) && v6(place)
}

const MATCHES: &[Group] = &[
    (
        anywhere,
        &[
            "meta length $not40-1500",
            "meta length >= 60",
            "meta priority $not0",
            "meta priority 1:2",
            "meta random > 100",
            "meta cpu 0",
            "meta cpu 0-63",
            "meta cgroup != 5",
            "meta time > \"2020-01-01 00:00:00\"",
            "meta day { 0, 1, 2, 3, 4, 5, 6 }",
            "meta day 1",
            "meta hour >= \"08:00\"",
            "meta rtclassid 0",
            "meta mark & 0xf0 != 0",
            "meta mark & 0x3 == 0x1",
            "meta mark <= 5",
            "meta mark >= $mark",
            "meta mark < 0x10",
            "meta mark > 0x1",
            "meta pkttype { host, broadcast, multicast }",
            "meta pkttype $notmulticast",
            "numgen inc mod 2 0",
            "numgen random mod 4 < 2",
            "jhash $ip saddr mod 2 0",
            "jhash $ip saddr . $ip daddr mod 4 seed 0xbeef 1",
            "symhash mod 2 1",
            "@ih,0,16 0",
        ],
    ),
    (
        early,
        &[
            "meta iifgroup $not0",
            "meta iiftype ether",
            "meta iifkind \"veth\"",
            "meta iifkind != \"bridge\"",
            "iif $not$link",
            "iif { $link, \"lo\" }",
            "iifname . $ip saddr { $link . $out }",
        ],
    ),
    (
        late,
        &[
            "meta oifgroup 0",
            "meta oiftype ether",
            "meta oiftype loopback",
            "meta oifkind \"bridge\"",
            "meta oifkind \"veth\"",
            "oif $not$link",
            "oifname . $ip daddr { $link . $out }",
        ],
    ),
    (
        anywhere,
        &[
            "$ip dscp cs0",
            "$ip dscp { cs0, af11, ef }",
            "$ip dscp != ef",
            "$ip ecn not-ect",
            "$ip ecn != ce",
            "$ip length > 20",
            "$ip version != 5",
            "$ip saddr . $ip daddr { $out . $own, $out . $out }",
            "$ip daddr { $own, $net }",
        ],
    ),
    (
        of_the_table,
        &[
            "$ip saddr @catch",
            "$ip daddr != @catch",
            "$ip saddr @changing",
            "$ip daddr @changing",
            "$ip saddr != @timed",
        ],
    ),
    (
        v4,
        &[
            "@nh,64,8 64",
            "@nh,96,32 0x0a000002",
            "@nh,72,8 6",
            "@nh,128,8 10",
            "ip version 4",
            "ip hdrlength 5",
            "ip length 20-1500",
            "ip id != 7",
            "ip frag-off & 0x1fff == 0",
            "ip ttl 63-64",
            "ip ttl != 64",
            "ip ttl < 65",
            "ip ttl >= 2",
            "ip checksum != 0",
            "ip saddr & 255.255.255.0 == 10.0.0.0",
            "ip daddr & 0.0.0.255 == 0.0.0.2",
            "ip option lsrr exists",
            "ip option rr missing",
            "ip option ra value 0",
            "ip option rr type 1",
            "ip daddr 224.0.0.0/4",
            "ip daddr { 10.0.0.255, 255.255.255.255 }",
        ],
    ),
    (
        v6,
        &[
            "ip6 version 6",
            "ip6 flowlabel 0",
            "ip6 flowlabel != 5",
            "ip6 length > 0",
            "ip6 hoplimit 63-64",
            "ip6 hoplimit < 65",
            "ip6 saddr & ffff:: == fd00::",
            "ip6 daddr ff00::/8",
            "exthdr frag missing",
            "exthdr hbh exists",
            "exthdr dst missing",
            "exthdr mh exists",
            "frag id 1",
            "frag more-fragments 1",
            "hbh nexthdr 6",
            "dst nexthdr 6",
            "mh type 1",
            "rt type 0",
            "@nh,56,8 64",
            "@nh,64,16 0xfd00",
        ],
    ),
    (
        tcp,
        &[
            "tcp option maxseg exists",
            "tcp option maxseg size 1-1460",
            "tcp option sack-perm exists",
            "tcp option timestamp exists",
            "tcp option window count 7",
            "tcp option sack left 1",
            "tcp option fastopen exists",
            "tcp sequence > 0",
            "tcp ackseq 0",
            "tcp doff >= 5",
            "tcp reserved 0",
            "tcp window > 0",
            "tcp checksum != 0",
            "tcp urgptr 0",
            "tcp flags & (syn | rst) != 0",
            "tcp flags & (fin | syn | rst | psh | ack | urg) == syn",
            "tcp flags & (syn | rst) == (syn | rst)",
            "tcp flags ! ack",
            "tcp flags fin,ack / fin,ack",
            "tcp dport & 0xff == 0x50",
            "tcp sport . tcp dport { 40000 . 80, 33333 . 443 }",
        ],
    ),
    (
        udp,
        &[
            "udp length > 7",
            "udp length 8",
            "udp checksum != 0",
            "udp sport . udp dport { 53 . 5000, 40000 . 53 }",
            "udp sport 1-65535",
        ],
    ),
    (
        ports,
        &[
            "$l4 dport . $ip saddr { $port . $out, 80 . $out }",
            "$ip saddr . $l4 dport { $out . 80-443, $net . 1-65535 }",
            "$l4 dport != { 22, 5000-5999 }",
        ],
    ),
    (
        |place| place.l4 == "sctp",
        &[
            "sctp dport $not{ 80, 443 }",
            "sctp sport 40000",
            "sctp vtag 0",
            "sctp checksum != 0",
            "sctp chunk init exists",
            "sctp chunk init num-inbound-streams 1",
            "sctp chunk data flags 0",
        ],
    ),
    (
        |place| place.l4 == "udplite",
        &[
            "udplite dport $port",
            "udplite sport 1024-65535",
            "udplite csumcov 8",
            "udplite checksum != 0",
        ],
    ),
    (
        |place| place.l4 == "esp",
        &["esp spi 0", "esp spi 1-1000", "esp sequence 0"],
    ),
    (
        |place| place.l4 == "ah",
        &[
            "ah spi 0",
            "ah sequence 0",
            "ah hdrlength 0",
            "ah nexthdr 0",
            "ah reserved 0",
        ],
    ),
    (
        |place| place.l4 == "other" && v4(place),
        &["igmp type membership-query", "igmp mrt 0"],
    ),
    (
        |place| place.l4 == "other",
        &["dccp dport 80", "dccp type request", "comp cpi 0"],
    ),
    (
        icmp,
        &[
            "icmp code 0",
            "icmp id 20038",
            "icmp sequence 1",
            "icmp checksum != 0",
            "icmp type != echo-reply",
            "icmp type { destination-unreachable, time-exceeded, echo-request }",
        ],
    ),
    (
        icmpv6,
        &[
            "icmpv6 code 0",
            "icmpv6 id 20038",
            "icmpv6 sequence 1",
            "icmpv6 checksum != 0",
            "icmpv6 type $notecho-reply",
        ],
    ),
    (
        in_stack,
        &[
            "ct expiration > 1s",
            "ct helper \"ftp\"",
            "ct label 1",
            "ct bytes > 0",
            "ct original bytes < 1000",
            "ct packets > 0",
            "ct reply packets 0",
            "ct avgpkt > 10",
            "ct zone $not0",
            "ct original zone 5",
            "ct id 1",
            "ct status assured",
            "ct status expected",
            "ct status ! dnat",
            "ct state ! new",
            "ct mark & 0xff == 0x1",
            "ct mark <= 5",
            "ct mark >= $mark",
            "ct state . ct direction { new . original, established . reply }",
            "ct status . ct mark { confirmed . 0x1 }",
            "ct count 500",
            "ct count over 500",
            "rt classid 0",
            "fib saddr . mark type $notlocal",
            "fib daddr type { blackhole, prohibit, unreachable, anycast, multicast }",
            "fib daddr . mark type unicast",
        ],
    ),
    (
        stack_v4,
        &[
            "ct original ip saddr . meta mark { $out . 0x1, $out . 0x0 }",
            "ct reply ip saddr $out",
            "ct original ip saddr $net",
            "ct reply ip daddr $own",
        ],
    ),
    (
        stack_v6,
        &[
            "ct original ip6 saddr $out",
            "ct reply ip6 saddr $net",
            "ct reply ip6 daddr $own",
        ],
    ),
    (
        |place| stack_v4(place) && late(place),
        &[
            "rt ip nexthop 10.0.0.254",
            "rt ip nexthop != 10.0.0.2",
            "rt ip nexthop $out",
        ],
    ),
    (
        |place| stack_v6(place) && late(place),
        &["rt ip6 nexthop fd00::fe", "rt ip6 nexthop $out"],
    ),
    (
        |place| in_stack(place) && late(place) && filters(place),
        &["rt mtu > 500", "rt ipsec missing", "ipsec out spi 1"],
    ),
    (
        |place| in_stack(place) && early(place) && filters(place),
        &[
            "meta secpath missing",
            "ipsec in reqid 1",
            "ipsec in spi 1",
            "socket transparent 1",
            "socket mark 0x1",
            "socket wildcard 0",
            "fib saddr oif $link",
            "fib saddr . iif oifname $link",
            "fib saddr . iif oif $link",
            "fib daddr oifname $link",
            "fib saddr . mark oif exists",
        ],
    ),
    (
        |place| {
            in_stack(place) && matches!(place.hook, Hook::Input | Hook::Forward) && filters(place)
        },
        &["meta sdif 0", "meta sdif \"lo\"", "meta sdifname \"eth0\""],
    ),
    (
        |place| stack_v4(place) && tcp(place) && early(place) && filters(place),
        &["osf name \"Linux\"", "osf ttl loose name \"Linux\""],
    ),
    (
        |place| in_stack(place) && matches!(place.hook, Hook::Output | Hook::Postrouting),
        &[
            "meta skgid 0",
            "meta skgid != 0",
            "meta skuid { 0, 1000 }",
            "meta skuid 1000",
        ],
    ),
    (
        |place| place.family == Family::Bridge || on_device(place),
        &[
            "ether daddr != ff:ff:ff:ff:ff:ff",
            "ether saddr 02:4e:00:00:00:01",
            "ether saddr { 02:42:ac:14:00:02, 02:42:ac:14:00:03 }",
            "ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00",
            "@ll,96,16 0x800",
            "@ll,0,8 2",
        ],
    ),
];

/// Matches that say what protocol a packet may have, so that nft takes no other beside them.
const ALONE: &[Group] = &[
    (
        of_the_table,
        &["$ip saddr . meta l4proto . th dport @triple"],
    ),
    (
        anywhere,
        &[
            "meta protocol { ip, ip6 }",
            "meta protocol ip",
            "meta mark . meta l4proto { 0x1 . tcp, 0x0 . udp }",
            "meta l4proto . th dport { tcp . 80, udp . 53, sctp . 80 }",
            "meta l4proto { tcp, udp } th dport { 53, 80, 5000 }",
            "meta l4proto $not{ 132, 136, 50, 51 }",
            "meta l4proto != icmp",
            "meta l4proto > 20",
            "@th,16,16 $port",
            "@th,0,16 40000",
            "@th,16,16 { 80, 443, 5000 }",
            "th sport 40000",
            "th dport . meta mark { 80 . 0x1, 5000 . 0x0 }",
            "$ip saddr . $ip daddr . meta l4proto { $net . $net . tcp, $out . $own . udp }",
        ],
    ),
    (
        early,
        &["iifname . meta l4proto { $link . tcp, \"lo\" . udp }"],
    ),
    (
        v4,
        &[
            "ip protocol { tcp, udp }",
            "ip protocol != tcp",
            "ip protocol { esp, 99, sctp }",
        ],
    ),
    (
        v6,
        &["ip6 nexthdr { tcp, udp }", "ip6 nexthdr $notipv6-icmp"],
    ),
    (in_stack, &["ct protocol tcp", "ct original protocol udp"]),
    (
        |place| place.family == Family::Bridge || on_device(place),
        &[
            "ether type $notip",
            "ether type { ip, ip6 }",
            "ether saddr . ip saddr { 02:42:ac:14:00:02 . 172.20.0.2 }",
            "vlan id 10",
        ],
    ),
];

/// The same, with a verdict.
const ALONE_ENDS: &[Group] = &[(
    anywhere,
    &[
        "meta l4proto vmap { tcp : continue, udp : accept }",
        "meta l4proto . th dport vmap { tcp . 80 : accept, udp . 53-1000 : accept }",
        "$ip saddr . meta l4proto vmap { $out . tcp : drop, $net . udp : accept }",
    ],
)];

/// Verdict maps and what else ends a rule.
const ENDS: &[Group] = &[
    (
        anywhere,
        &[
            "continue",
            "counter continue",
            "accept comment \"why not\"",
            "meta mark vmap { 0x1 : accept, 0x10-0x20 : drop, 0x0 : continue }",
            "meta pkttype vmap { host : continue, broadcast : drop, other : accept }",
            "$ip daddr vmap { $net : accept, * : continue }",
            "$ip dscp vmap { cs0 : continue, ef : accept }",
            "numgen inc mod 3 vmap { 0 : accept, 1 : continue }",
            "jhash $ip saddr mod 2 vmap { 0 : accept, 1 : continue }",
        ],
    ),
    (of_the_table, &["$ip saddr vmap @vcatch"]),
    (
        early,
        &[
            "iifname vmap { \"eth0\" : accept, \"p*\" : continue }",
            "iif vmap { $link : accept }",
        ],
    ),
    (
        ports,
        &[
            "$l4 dport vmap { 1-1023 : accept, 1024-65535 : continue }",
            "$l4 dport vmap @services",
            "$ip saddr . $l4 dport vmap { $out . 80-443 : accept, $net . 1-65535 : continue }",
        ],
    ),
    (
        tcp,
        &["tcp flags vmap { syn : continue, syn | ack : accept }"],
    ),
    (
        |place| icmp(place) || icmpv6(place),
        &["$l4 type vmap { echo-request : accept, echo-reply : continue }"],
    ),
    (
        in_stack,
        &[
            "ct state vmap { new : continue, established : accept, related : accept }",
            "ct mark vmap { 0x1 : accept, 0x0 : continue }",
            "ct direction vmap { original : continue, reply : accept }",
            "fib daddr type vmap { local : accept, unicast : continue, broadcast : drop }",
        ],
    ),
    (
        |place| in_stack(place) && filters(place) && place.family == Family::Ip && rejects(place),
        &[
            "reject with icmp net-unreachable",
            "reject with icmp admin-prohibited",
        ],
    ),
    (
        |place| in_stack(place) && filters(place) && place.family == Family::Ip6 && rejects(place),
        &[
            "reject with icmpv6 no-route",
            "reject with icmpv6 admin-prohibited",
        ],
    ),
    (
        |place| in_stack(place) && filters(place) && place.family == Family::Inet && rejects(place),
        &[
            "reject with icmpx no-route",
            "reject with icmpx host-unreachable",
        ],
    ),
    (
        |place| place.family == Family::Inet && in_stack(place),
        &["meta nfproto vmap { ipv4 : continue, ipv6 : continue }"],
    ),
];

fn rejects(place: &Place) -> bool {
    matches!(place.hook, Hook::Input | Hook::Forward | Hook::Output)
}

/// Where `tproxy` may stand.
fn transparent(place: &Place) -> bool {
    in_stack(place) && filters(place) && place.hook == Hook::Prerouting
}

/// What a rule does besides its verdict.
const EFFECTS: &[Group] = &[
    (
        anywhere,
        &[
            "log",
            "log prefix \"hello \" level debug",
            "log group 5",
            "log group 3 snaplen 64 queue-threshold 4 prefix \"g\"",
            "log flags all",
            "limit rate 10000/second",
            "limit rate over 100000/second",
            "limit rate 100 mbytes/second",
            "limit rate over 100 mbytes/second",
            "quota 100 mbytes",
            "quota over 100 mbytes",
            "counter name \"count\"",
            "quota name \"ration\"",
            "limit name \"pace\"",
            "counter name th dport map { 80 : \"count\", 443 : \"count\" }",
            "meta priority set 1:2",
            "meta mark set numgen inc mod 2",
            "meta mark set numgen random mod 4 offset 10",
            "meta mark set jhash $ip saddr mod 4",
            "meta mark set symhash mod 4",
            "meta mark set meta mark & 0xff",
            "meta mark set meta mark ^ 0x3",
            "meta mark set meta mark << 4",
            "meta mark set meta mark >> 1",
            "meta mark set meta mark & 0xf0 | 0x1",
            "meta mark set $ip saddr map { $out : 0x1, $own : 0x2 }",
            "meta mark set th dport map { 80 : 0x1, 1024-65535 : 0x2 }",
            "meta mark set $ip saddr . th dport map { $out . 80-443 : 0x1, $net . 1-65535 : 0x2 }",
            "meter little$ip { $ip saddr limit rate 10000/second }",
            "meta nftrace set 1",
        ],
    ),
    (
        of_the_table,
        &[
            "meta mark set $ip saddr map @marked",
            "add @changing { $ip saddr }",
            "update @changing { $ip daddr }",
            "delete @changing { $ip saddr }",
            "add @changing { $ip saddr limit rate 10000/second }",
            "add @changing { $ip saddr counter }",
            "update @timed { $ip saddr timeout 60s }",
            "add @timed { $ip daddr }",
            "add @twofold { $ip saddr . th dport }",
            "add @marked { $ip saddr : 0x1 }",
        ],
    ),
    (
        |place| in_stack(place) && of_the_table(place),
        &["add @counted { $ip saddr ct count over 500 }"],
    ),
    (
        early,
        &["meta mark set iifname map { \"eth0\" : 0x1, \"eth1\" : 0x2, \"p1\" : 0x10 }"],
    ),
    (
        v4,
        &[
            "ip dscp set af21",
            "ip ecn set ce",
            "ip ttl set 10",
            "ip ttl set 64",
        ],
    ),
    (
        v6,
        &[
            "ip6 dscp set ef",
            "ip6 hoplimit set 9",
            "ip6 flowlabel set 3",
            "ip6 ecn set ect0",
        ],
    ),
    (
        tcp,
        &[
            "tcp option maxseg size set 1300",
            "reset tcp option timestamp",
            "tcp window set 1000",
        ],
    ),
    (
        in_stack,
        &[
            "ct mark set ct mark | 0x4",
            "ct mark set meta mark & 0xf",
            "ct mark set meta mark << 4",
            "ct mark set jhash $ip saddr mod 4",
            "ct mark set meta mark & 0xff | 0x10",
            "meta mark set ct mark & 0xff",
            "meta mark set ct mark << 8",
            "meta mark set ct mark & 0xff | 0x10",
            "meta mark set ct state map { new : 0x1, established : 0x2 }",
            "ct label set 1",
            "ct event set new,destroy",
        ],
    ),
    (
        |place| {
            in_stack(place)
                && place.priority < -200
                && matches!(place.hook, Hook::Prerouting | Hook::Output)
                && filters(place)
        },
        &[
            "ct zone set 5",
            "ct zone set 0",
            "ct original zone set 3",
            "ct zone set iifname map { \"eth0\" : 1, \"eth1\" : 2 }",
            "notrack",
        ],
    ),
    (
        |place| in_stack(place) && tcp(place) && filters(place),
        &["ct helper set \"assistant\"", "ct timeout set \"patience\""],
    ),
    (
        |place| place.family == Family::Ip && tcp(place) && filters(place) && in_stack(place),
        &["ct state new ct expectation set \"hope\""],
    ),
    (
        |place| transparent(place) && tcp(place) && place.family != Family::Inet,
        &[
            "meta l4proto tcp tproxy to :$port",
            "meta l4proto tcp meta mark set 0x1 tproxy to :80",
        ],
    ),
    (
        |place| transparent(place) && udp(place) && v4(place),
        &[
            "meta l4proto udp tproxy $famto 10.0.0.1:5000",
            "meta l4proto udp tproxy $famto 10.0.0.1",
        ],
    ),
    (
        |place| place.family == Family::Netdev && place.hook == Hook::Ingress,
        &["fwd to \"eth1\""],
    ),
    (
        |place| in_stack(place) && tcp(place) && late(place) && filters(place),
        &["tcp option maxseg size set rt mtu"],
    ),
];

/// Where a packet's destination is translated.
fn to_elsewhere(place: &Place) -> bool {
    place.nat && matches!(place.hook, Hook::Prerouting | Hook::Output)
}

/// Translations.
const NATS: &[Group] = &[
    (
        |place| to_elsewhere(place) && v4(place),
        &[
            "tcp dport $port dnat $famto $out:8000-8010",
            "udp dport $port dnat $famto $out random",
            "udp dport $port dnat $famto $out:5000 persistent",
            "dnat ip prefix to ip daddr map { 10.0.0.0/24 : 10.5.1.0/24, 192.0.2.0/24 : 172.20.0.0/24 }",
            "dnat $famto ip daddr map { 10.0.0.1 : $out, 10.0.0.9 : $out }",
            "dnat ip addr . port to ip daddr . tcp dport map { 10.0.0.1 . 80 : $out . 8080, 10.0.0.9 . 443 : $out . 5000 }",
            "dnat ip addr . port to udp dport map { 53 : 172.20.0.2 . 5000, 1812 : 10.1.0.2 . 1812 }",
            "meta l4proto tcp dnat $famto $own:22",
            "udp dport $port dnat $famto 172.20.0.2-172.20.0.3",
            "tcp dport $port dnat $famto 10.0.0.1-10.0.0.9 persistent",
        ],
    ),
    (
        |place| to_elsewhere(place) && v6(place),
        &[
            "tcp dport $port dnat $famto [$out]:8000-8010",
            "udp dport $port dnat $famto $out random",
            "tcp dport $port dnat $famto fd02::2-fd02::3",
            "dnat ip6 prefix to ip6 daddr map { fd00::/64 : fd02::/64 }",
            "dnat $famto ip6 daddr map { fd00::1 : $out, 2001:db8::7 : $out }",
        ],
    ),
    (
        to_elsewhere,
        &[
            "tcp dport $port redirect to :8080-8090",
            "udp dport $port redirect to :5000 random",
            "udp dport $port redirect to :1812 persistent",
            "meta l4proto tcp redirect to :tcp dport map { 80 : 8080, 443 : 5000 }",
            "$ip daddr $out redirect",
        ],
    ),
    (
        |place| place.nat && place.hook == Hook::Postrouting,
        &[
            "masquerade random",
            "masquerade fully-random,persistent",
            "meta l4proto tcp masquerade to :2000-3000",
            "meta l4proto udp masquerade to :2000",
            "meta l4proto tcp masquerade to :1024-65535 random",
        ],
    ),
    (
        |place| place.nat && !to_elsewhere(place) && v4(place),
        &[
            "snat $famto 10.0.0.1-10.0.0.9",
            "snat $famto 10.0.0.1-10.0.0.9 persistent",
        ],
    ),
    (
        |place| place.nat && !to_elsewhere(place) && v6(place),
        &["snat $famto fd00::1-fd00::9", "snat $famto fd00::5-fd02::9"],
    ),
    (
        |place| place.nat && !to_elsewhere(place) && v4(place),
        &[
            "meta l4proto tcp snat $famto 10.0.0.1:2000-3000",
            "meta l4proto udp snat $famto 10.0.0.9:1-1023",
            "snat $famto 10.0.0.1 fully-random",
            "snat ip prefix to ip saddr map { 172.20.0.0/24 : 10.5.7.0/24, 10.1.0.0/24 : 10.5.8.0/24 }",
            "snat $famto ip saddr map { $net : 10.0.0.9 }",
            "meta l4proto { tcp, udp } snat $famto 10.0.0.1:2000",
        ],
    ),
    (
        |place| place.nat && !to_elsewhere(place) && v6(place),
        &[
            "meta l4proto tcp snat $famto [fd00::1]:2000-3000",
            "snat $famto fd00::1 fully-random",
            "snat ip6 prefix to ip6 saddr map { fd02::/64 : fd00::/64 }",
        ],
    ),
];

/// A translation.
pub(super) fn nat(numbers: &mut Numbers, place: &Place) -> String {
    one_of(NATS, numbers, place)
}

/// A match.
pub(super) fn a_match(numbers: &mut Numbers, place: &Place) -> String {
    one_of(MATCHES, numbers, place)
}

/// A rule about the protocol alone.
pub(super) fn alone(numbers: &mut Numbers, place: &Place) -> String {
    if numbers.chance(30) {
        return one_of(ALONE_ENDS, numbers, place);
    }
    let test = one_of(ALONE, numbers, place);
    let rejects = in_stack(place) && filters(place) && rejects(place);
    if rejects && numbers.chance(15) {
        return "meta l4proto tcp reject with tcp reset".into();
    }
    let end = numbers.pick(&["accept", "counter", "return", "meta mark set 0x1", "drop"]);
    format!(
        "{test} {}",
        if place.nat && end == "drop" {
            "accept"
        } else {
            end
        }
    )
}

/// A verdict.
pub(super) fn end(numbers: &mut Numbers, place: &Place) -> String {
    one_of(ENDS, numbers, place)
}

/// A statement that is no verdict.
pub(super) fn effect(numbers: &mut Numbers, place: &Place) -> String {
    one_of(EFFECTS, numbers, place)
}

/// A template of those that fit, filled in.
fn one_of(groups: &[Group], numbers: &mut Numbers, place: &Place) -> String {
    let fitting = || groups.iter().filter(|(fits, _)| fits(place));
    let mut at = numbers.below(fitting().map(|(_, templates)| templates.len()).sum());
    for (_, templates) in fitting() {
        match templates.get(at) {
            Some(template) => return fill(template, numbers, place),
            None => at -= templates.len(),
        }
    }
    String::new()
}

/// Puts values in for the words of a template, from left to right.
pub(super) fn fill(template: &str, numbers: &mut Numbers, place: &Place) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let words = [
            "fam", "ip", "own", "out", "net", "l4", "port", "mark", "link", "not",
        ];
        let word = words
            .into_iter()
            .find(|word| rest.starts_with(word))
            .unwrap_or("");
        rest = &rest[word.len()..];
        let value: &str = match word {
            "fam" => match (place.family, place.v6) {
                (Family::Inet, false) => "ip ",
                (Family::Inet, true) => "ip6 ",
                _ => "",
            },
            "ip" if place.v6 => "ip6",
            "ip" => "ip",
            "own" if place.v6 => numbers.pick(&OWN6),
            "own" => numbers.pick(&OWN4),
            "out" if place.v6 => numbers.pick(&OUT6),
            "out" => numbers.pick(&OUT4),
            "net" if place.v6 => numbers.pick(&NETS6),
            "net" => numbers.pick(&NETS4[..6]),
            "l4" => place.l4,
            "port" => numbers.pick(&PORTS),
            "mark" => numbers.pick(&MARKS),
            "link" => {
                out.push('"');
                out.push_str(numbers.pick(&LINKS));
                "\""
            }
            "not" => not(numbers),
            _ => "$",
        };
        out.push_str(value);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_a_template_is_filled_in() {
        let place = Place {
            family: Family::Ip,
            hook: Hook::Input,
            nat: false,
            priority: 0,
            below: Vec::new(),
            v6: false,
            l4: "tcp",
        };
        let mut numbers = Numbers::new(1, 1);
        for (_, templates) in MATCHES
            .iter()
            .chain(ENDS)
            .chain(EFFECTS)
            .chain(NATS)
            .chain(ALONE)
            .chain(ALONE_ENDS)
        {
            for template in *templates {
                let filled = fill(template, &mut numbers, &place);
                assert!(!filled.contains('$'), "{filled}");
            }
        }
    }
}
