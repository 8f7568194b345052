use serde_json::{Value, json};

use super::*;
use crate::nft::ast::Object;

fn read(value: Value) -> Document {
    crate::nft::json::read(&value.to_string()).unwrap().0
}

fn read_rule(expr: Value) -> Rule {
    let rule = json!({ "family": "inet", "table": "t", "chain": "c", "comment": "why \"so\"", "expr": expr });
    match read(json!({ "nftables": [{ "rule": rule }] }))
        .objects
        .pop()
    {
        Some(Object::Rule(rule)) => rule,
        other => panic!("{other:?}"),
    }
}

fn check(expr: Value, text: &str) {
    assert_eq!(rule(&read_rule(expr)), text);
}

fn payload(protocol: &str, field: &str) -> Value {
    json!({ "payload": { "protocol": protocol, "field": field } })
}

fn is(left: Value, right: Value) -> Value {
    json!({ "match": { "op": "==", "left": left, "right": right } })
}

#[test]
fn counts_and_comments_are_printed_when_asked_for() {
    let it = read_rule(json!([{ "counter": { "packets": 3, "bytes": 180 } }, { "accept": null }]));
    assert_eq!(rule(&it), "counter accept");
    let all = Style {
        state: true,
        comment: true,
    };
    assert_eq!(
        rule_with(&it, all),
        "counter packets 3 bytes 180 accept comment \"why 'so'\""
    );
}

#[test]
fn literals_are_spelled_as_their_left_side_needs() {
    check(
        json!([is(json!({ "meta": { "key": "mark" } }), json!(16))]),
        "meta mark 0x00000010",
    );
    check(
        json!([is(
            json!({ "meta": { "key": "iifname" } }),
            json!("br-lan*")
        )]),
        "iifname \"br-lan*\"",
    );
    check(
        json!([is(json!({ "meta": { "key": "iif" } }), json!("7"))]),
        "iif 7",
    );
    check(
        json!([is(json!({ "meta": { "key": "hour" } }), json!("17:00"))]),
        "meta hour \"17:00\"",
    );
    check(
        json!([is(json!({ "ct": { "key": "expiration" } }), json!(90))]),
        "ct expiration 1m30s",
    );
    check(
        json!([is(payload("ether", "type"), json!("8021q"))]),
        "ether type \"8021q\"",
    );
    check(
        json!([is(payload("ip6", "saddr"), json!("fe80::1"))]),
        "ip6 saddr fe80::1",
    );
    check(
        json!([is(
            json!({ "payload": { "base": "nh", "offset": 96, "len": 32 } }),
            json!(16_909_060)
        )]),
        "@nh,96,32 0x1020304",
    );
    let concat = json!({ "concat": [{ "meta": { "key": "oifname" } }, payload("tcp", "dport")] });
    check(
        json!([is(
            concat,
            json!({ "set": [{ "concat": ["ppp0", { "range": [1, 9] }] }] })
        )]),
        "oifname . tcp dport { \"ppp0\" . 1-9 }",
    );
    check(
        json!([is(
            payload("icmp", "type"),
            json!({ "range": ["echo-reply", "echo-request"] })
        )]),
        "icmp type echo-reply - echo-request",
    );
}

#[test]
fn bit_masks_say_whether_they_are_equal_or_any_of() {
    let state = json!({ "ct": { "key": "state" } });
    let any =
        json!({ "match": { "op": "in", "left": state, "right": ["established", "related"] } });
    check(json!([any]), "ct state established,related");
    check(json!([is(state, json!("new"))]), "ct state == new");
    let flags = json!({ "&": [payload("tcp", "flags"), ["fin", "syn"]] });
    check(
        json!([is(flags, json!("syn"))]),
        "tcp flags & (fin | syn) == syn",
    );
    let none =
        json!({ "match": { "op": "!", "left": payload("tcp", "flags"), "right": ["fin", "rst"] } });
    check(json!([none]), "tcp flags ! fin,rst");
    let mark = json!({ "|": [{ "&": [{ "meta": { "key": "mark" } }, 255, 15] }, 1] });
    check(
        json!([{ "mangle": { "key": { "ct": { "key": "mark" } }, "value": mark } }]),
        "ct mark set (meta mark & 0x000000ff & 0x0000000f) | 0x00000001",
    );
}

#[test]
fn presence_is_worded() {
    check(
        json!([is(json!({ "exthdr": { "name": "frag" } }), json!(true))]),
        "exthdr frag exists",
    );
    check(
        json!([is(
            json!({ "exthdr": { "name": "frag", "field": "id" } }),
            json!(1)
        )]),
        "frag id 1",
    );
    let fib = json!({ "fib": { "result": "oif", "flags": ["saddr", "iif"] } });
    check(
        json!([is(fib, json!(false))]),
        "fib saddr . iif oif missing",
    );
    let option = json!({ "tcp option": { "base": 6, "offset": 0, "len": 8 } });
    check(json!([is(option, json!(true))]), "tcp option 6 exists");
}

#[test]
fn addresses_and_ports_of_nat_are_told_apart() {
    check(
        json!([{ "dnat": { "family": "ip6", "addr": "2001:db8::1", "port": 80 } }]),
        "dnat ip6 to [2001:db8::1]:80",
    );
    check(
        json!([{ "snat": { "addr": { "range": ["10.0.0.1", "10.0.0.9"] }, "port": { "range": [1, 2] }, "flags": ["random"] } }]),
        "snat to 10.0.0.1-10.0.0.9:1-2 random",
    );
    check(
        json!([{ "redirect": { "port": 8080 } }]),
        "redirect to :8080",
    );
    check(json!([{ "masquerade": null }]), "masquerade");
    check(json!([{ "tproxy": { "port": 50080 } }]), "tproxy to :50080");
    let map = json!({ "map": { "key": payload("ip", "daddr"), "data": "@m" } });
    check(
        json!([{ "dnat": { "family": "ip", "addr": map, "type_flags": "prefix", "flags": "netmap" } }]),
        "dnat ip prefix to ip daddr map @m",
    );
}

#[test]
fn statements_with_parameters() {
    check(
        json!([{ "limit": { "rate": 10, "burst": 5, "per": "second" } }]),
        "limit rate 10/second",
    );
    check(
        json!([{ "limit": { "rate": 1, "burst": 2, "per": "second", "inv": true, "rate_unit": "mbytes", "burst_unit": "kbytes" } }]),
        "limit rate over 1 mbytes/second burst 2 kbytes",
    );
    check(
        json!([{ "quota": { "val": 5, "val_unit": "mbytes", "used": 1, "inv": true } }]),
        "quota over 5 mbytes",
    );
    check(
        json!([{ "log": { "prefix": "in\nor \"out\"", "level": "info", "flags": ["tcp sequence", "tcp options", "skuid"] } }]),
        "log prefix \"in or 'out'\" level info flags tcp sequence,options flags skuid",
    );
    check(
        json!([{ "reject": { "type": "tcp reset" } }]),
        "reject with tcp reset",
    );
    check(
        json!([{ "queue": { "num": { "range": [1, 3] }, "flags": ["bypass", "fanout"] } }]),
        "queue flags bypass,fanout to 1-3",
    );
    check(
        json!([{ "ct helper": "h" }, { "synproxy": null }, { "notrack": null }]),
        "ct helper set \"h\" synproxy notrack",
    );
    check(
        json!([{ "reset": { "tcp option": { "name": "sack-perm" } } }]),
        "reset tcp option sack-perm",
    );
    check(
        json!([{ "xt": { "type": "match", "name": "addrtype" } }]),
        "xt match \"addrtype\"",
    );
    check(
        json!(["jump {\n\t\t\tip saddr { 1.1.1.1,\n\t\t\t\t2.2.2.2 } accept\n\t\t\tdrop\n\t\t}"]),
        "jump { ip saddr { 1.1.1.1, 2.2.2.2 } accept; drop; }",
    );
    check(
        json!([{ "dup": { "addr": "d1" } }, { "fwd": { "dev": "d1", "family": "ip", "addr": "10.0.0.1" } }]),
        "dup to \"d1\" fwd ip to 10.0.0.1 device \"d1\"",
    );
    let elem = json!({ "elem": { "val": payload("ip", "saddr"), "timeout": 90 } });
    check(
        json!([{ "map": { "op": "update", "elem": elem, "data": 5, "map": "@m", "stmt": [{ "counter": null }] } }]),
        "update @m { ip saddr timeout 1m30s counter : 5 }",
    );
}

#[test]
fn names_that_nft_cannot_read_are_quoted() {
    check(
        json!([{ "jump": { "target": "DOCKER-USER" } }]),
        "jump DOCKER-USER",
    );
    check(
        json!([{ "jump": { "target": "x; } drop\n\"" } }]),
        "jump \"x; } drop '\"",
    );
}

#[test]
fn unknown_parts_are_shown_and_commented_out_in_a_document() {
    check(
        json!([{ "teleport": { "to": 1 } }, { "accept": null }]),
        "‹unknown: {\"teleport\":{\"to\":1}}› accept",
    );
    let document = read(json!({ "nftables": [
        { "frobnicate": { "x": 1 } },
        { "rule": { "family": "ip", "table": "t", "chain": "c", "expr": [{ "frob": null }, { "drop": null }] } },
        { "rule": { "family": "ip", "table": "t", "chain": "c", "expr": [{ "accept": null }] } },
    ]}));
    let text = super::document(&document);
    assert_eq!(
        text,
        "# not known to this version: {\"frobnicate\":{\"x\":1}}\n\ntable ip t {\n\tchain c {\n\
         \t\t# not known to this version: ‹unknown: {\"frob\":null}› drop\n\t\taccept\n\t}\n}\n"
    );
}

#[test]
fn priorities_have_the_names_of_their_family_and_hook() {
    let words = [
        ("inet", "input", 0, "filter"),
        ("inet", "input", -1, "filter - 1"),
        ("ip", "forward", 10, "filter + 10"),
        ("ip", "forward", 11, "11"),
        ("ip", "prerouting", -100, "dstnat"),
        ("ip", "output", -100, "-100"),
        ("ip", "postrouting", 105, "srcnat + 5"),
        ("ip", "output", -300, "raw"),
        ("arp", "input", 0, "filter"),
        ("arp", "input", -150, "-150"),
        ("netdev", "ingress", -5, "filter - 5"),
        ("bridge", "forward", -200, "filter"),
        ("bridge", "prerouting", -300, "dstnat"),
        ("bridge", "output", 100, "out"),
        ("bridge", "postrouting", 300, "srcnat"),
        ("bridge", "forward", 0, "0"),
        ("ip", "input", i64::MIN, "-9223372036854775808"),
    ];
    for (family, hook, prio, expected) in words {
        assert_eq!(
            priority_words(family, hook, prio),
            expected,
            "{family} {hook} {prio}"
        );
    }
}

#[test]
fn a_set_without_width_is_declared_by_what_rules_look_up() {
    let document = read(json!({ "nftables": [
        { "set": { "family": "bridge", "table": "t", "name": "s", "type": "integer", "elem": [1] } },
        { "map": { "family": "bridge", "table": "t", "name": "m", "type": "ipv4_addr", "map": "ipv4_addr", "flags": ["interval"],
                   "elem": [["10.0.0.1", { "range": ["10.0.1.1", "10.0.1.9"] }]] } },
        { "rule": { "family": "bridge", "table": "t", "chain": "c", "expr": [is(payload("vlan", "id"), json!("@s"))] } },
    ]}));
    let text = super::document(&document);
    assert!(
        text.contains("set s {\n\t\ttypeof vlan id\n\t\telements = { 1 }"),
        "{text}"
    );
    assert!(
        text.contains("type ipv4_addr : interval ipv4_addr\n"),
        "{text}"
    );
}
