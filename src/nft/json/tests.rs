use serde_json::json;

use super::*;
use crate::nft::ast::*;

fn read_value(value: &Value) -> (Document, Vec<String>) {
    let (document, notes) = read(&value.to_string()).unwrap();
    assert_eq!(&serde_json::to_value(&document).unwrap(), value);
    (document, notes.iter().map(ToString::to_string).collect())
}

/// Reads the statements of one rule and checks that they are written the same.
fn stmts(expr: Value) -> (Vec<Stmt>, Vec<String>) {
    let rule = json!({ "family": "ip", "table": "t", "chain": "c", "handle": 7, "expr": expr });
    let (document, notes) = read_value(&json!({ "nftables": [{ "rule": rule }] }));
    match document.objects.into_iter().next() {
        Some(Object::Rule(rule)) => (rule.expr.unwrap(), notes),
        other => panic!("{other:?}"),
    }
}

fn stmt(value: Value) -> Stmt {
    let (mut stmts, notes) = stmts(json!([value]));
    assert_eq!(notes, Vec::<String>::new());
    stmts.remove(0)
}

/// The right side of a match.
fn right(value: Value) -> Expr {
    match stmt(
        json!({ "match": { "op": "==", "left": { "meta": { "key": "mark" } }, "right": value } }),
    ) {
        Stmt::Match(it) => it.right,
        other => panic!("{other:?}"),
    }
}

fn object(value: Value) -> Object {
    let (mut document, notes) = read_value(&json!({ "nftables": [value] }));
    assert_eq!(notes, Vec::<String>::new());
    document.objects.remove(0)
}

fn error(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn numbers_keep_their_whole_range() {
    for number in [
        json!(-1),
        json!(0),
        json!(4_294_967_295u64),
        json!(5_000_000_000u64),
        json!(u64::MAX),
        json!(i64::MIN),
    ] {
        assert!(matches!(right(number.clone()), Expr::Number(_)), "{number}");
    }
    assert_eq!(right(json!(u64::MAX)), Expr::Number(u64::MAX.into()));
}

#[test]
fn a_fraction_is_kept_but_unknown() {
    let (stmts, notes) = stmts(
        json!([{ "match": { "op": "==", "left": { "meta": { "key": "mark" } }, "right": 1.5 } }]),
    );
    let Stmt::Match(it) = &stmts[0] else { panic!() };
    assert_eq!(it.right, Expr::Unknown(Box::new(json!(1.5))));
    assert_eq!(notes, ["ip t c handle 7: a literal of an unknown shape"]);
}

#[test]
fn flags_and_devices_are_one_or_many() {
    for (value, count) in [
        (json!("random"), 1),
        (json!(["random"]), 1),
        (json!(["random", "persistent"]), 2),
    ] {
        let Stmt::Nat(nat) = stmt(json!({ "masquerade": { "flags": value } })) else {
            panic!()
        };
        assert_eq!(nat.flags.unwrap().as_slice().len(), count);
    }
    for value in [json!("d0"), json!(["d0", "d1"])] {
        let chain = json!({ "family": "netdev", "table": "t", "name": "c", "dev": value });
        assert!(matches!(
            object(json!({ "chain": chain })),
            Object::Chain(Chain { dev: Some(_), .. })
        ));
    }
}

#[test]
fn types_come_in_every_spelling() {
    let of_ip = json!({ "typeof": { "payload": { "protocol": "ip", "field": "saddr" } } });
    let port = json!("inet_service");
    for spec in [
        json!("ipv4_addr"),
        json!("a . b"),
        json!(["ipv4_addr", port]),
        of_ip.clone(),
        json!([of_ip, port]),
    ] {
        let set = json!({ "family": "ip", "name": "s", "table": "t", "type": spec, "map": spec });
        let Object::Map(map) = object(json!({ "map": set })) else {
            panic!()
        };
        assert!(map.key_type.is_some() && map.data_type.is_some() && map.extra.is_empty());
    }
}

#[test]
fn priorities_are_numbers_or_names() {
    for prio in [json!(-300), json!("filter"), json!("srcnat + 5")] {
        let chain =
            json!({ "family": "ip", "table": "t", "name": "c", "hook": "input", "prio": prio });
        assert!(matches!(
            object(json!({ "chain": chain })),
            Object::Chain(Chain { prio: Some(_), .. })
        ));
    }
}

#[test]
fn null_and_an_object_stay_apart() {
    for key in [
        "masquerade",
        "redirect",
        "reject",
        "xt",
        "log",
        "last",
        "counter",
        "synproxy",
    ] {
        stmt(json!({ key: null }));
        stmt(json!({ key: {} }));
    }
    assert!(matches!(
        stmt(json!({ "xt": null })),
        Stmt::Xt(Xt { null: true, .. })
    ));
    assert!(matches!(
        stmt(json!({ "reject": null })),
        Stmt::Reject(Reject { null: true, .. })
    ));
    assert!(
        matches!(stmt(json!({ "snat": {} })), Stmt::Nat(nat) if nat.kind == NatKind::Snat && !nat.null)
    );
}

#[test]
fn objects_are_in_place_by_name_or_looked_up() {
    let map = json!({ "map": { "key": { "payload": { "protocol": "tcp", "field": "dport" } },
                               "data": { "set": [[21, "ftp"]] } } });
    for key in [
        "counter",
        "quota",
        "limit",
        "ct helper",
        "ct timeout",
        "ct expectation",
        "synproxy",
        "secmark",
    ] {
        stmt(json!({ key: "name" }));
        stmt(json!({ key: map }));
    }
    assert!(
        matches!(stmt(json!({ "limit": "l" })), Stmt::Limit(ObjectRef::Name(name)) if name == "l")
    );
    let Stmt::CtHelper(ObjectRef::Map(map)) = stmt(json!({ "ct helper": map })) else {
        panic!()
    };
    let Expr::Set(elements) = map.data else {
        panic!()
    };
    assert!(matches!(elements.as_slice(), [Expr::Pair(_)]));
}

#[test]
fn only_the_elements_of_maps_are_pairs() {
    let Expr::Set(elements) = right(json!({ "set": [["syn", "ack"]] })) else {
        panic!()
    };
    assert!(matches!(elements.as_slice(), [Expr::List(_)]));
    let vmap = json!({ "vmap": { "key": { "meta": { "key": "mark" } },
        "data": { "set": [[1, { "accept": null }], [{ "elem": { "val": 2, "comment": "x" } }, { "goto": { "target": "c" } }]] } } });
    let Stmt::Vmap(vmap) = stmt(vmap) else {
        panic!()
    };
    let Expr::Set(elements) = vmap.data else {
        panic!()
    };
    let [Expr::Pair(first), Expr::Pair(second)] = elements.as_slice() else {
        panic!()
    };
    assert_eq!(first.1, Expr::Verdict(Verdict::Accept));
    assert!(matches!(second.0, Expr::Elem(_)));
    let map = json!({ "family": "ip", "name": "m", "table": "t", "type": "mark", "map": "verdict",
        "elem": [{ "elem": { "val": [5, { "drop": null }], "timeout": 9, "expires": 8, "counter": { "packets": 0, "bytes": 0 } } }] });
    let Object::Map(map) = object(json!({ "map": map })) else {
        panic!()
    };
    let Some([Expr::Elem(elem)]) = map.elem.as_deref() else {
        panic!()
    };
    assert!(matches!(elem.val, Expr::Pair(_)));
    assert_eq!(
        (elem.timeout, elem.expires, elem.stmts.len()),
        (Some(9), Some(8), 1)
    );
}

#[test]
fn operators_of_bits_take_any_number_of_operands() {
    let mark = json!({ "meta": { "key": "mark" } });
    let Expr::Binary(BinaryOp::And, three) = right(json!({ "&": [mark, 1, 3] })) else {
        panic!()
    };
    assert_eq!(three.len(), 3);
    let nested = right(
        json!({ "|": [{ "^": [{ "<<": [mark, 1] }, { ">>": [mark, 2] }] }, ["syn", "ack"]] }),
    );
    assert!(matches!(nested, Expr::Binary(BinaryOp::Or, _)));
}

#[test]
fn every_right_side_is_known() {
    for value in [
        json!("x"),
        json!("@set"),
        json!("*"),
        json!(true),
        json!(["a", "b"]),
        json!({ "set": "one" }),
        json!({ "prefix": { "addr": "10.0.0.0", "len": 8 } }),
        json!({ "range": [1, 2] }),
        json!({ "concat": [1, "x"] }),
        json!({ "elem": { "val": { "concat": [1, 2] } } }),
        json!({ "meta": "iifname" }),
        json!({ "tunnel": { "key": "id" } }),
        json!({ "socket": { "key": "mark" } }),
        json!({ "fib": { "result": "oif", "flags": "saddr" } }),
        json!({ "dccp option": { "type": 2 } }),
        json!({ "payload": { "base": "nh", "offset": 0, "len": 8 } }),
        json!({ "payload": { "protocol": "ip", "field": "saddr", "tunnel": "vxlan" } }),
    ] {
        assert!(!matches!(right(value.clone()), Expr::Unknown(_)), "{value}");
    }
    assert!(matches!(
        right(json!({ "meta": "mark" })),
        Expr::Meta(MetaKey { short: true, .. })
    ));
}

#[test]
fn every_operator_is_kept() {
    for op in ["==", "!=", "<", ">", "<=", ">=", "in", "!"] {
        let it = stmt(
            json!({ "match": { "op": op, "left": { "ct": { "key": "state" } }, "right": 1 } }),
        );
        assert!(matches!(it, Stmt::Match(it) if !matches!(it.op, MatchOp::Other(_))));
    }
    let (_, notes) = stmts(json!([{ "match": { "op": "~", "left": 1, "right": 1 } }]));
    assert_eq!(notes, ["ip t c handle 7: unknown operator `~`"]);
}

#[test]
fn set_statements_know_their_own_key() {
    let ip = json!({ "payload": { "protocol": "ip", "field": "saddr" } });
    let it = stmt(
        json!({ "set": { "op": "add", "elem": ip, "set": "@s", "stmt": [{ "limit": { "rate": 1 } }] } }),
    );
    assert!(matches!(it, Stmt::SetUpdate(it) if !it.is_map && it.set == "@s" && it.stmt.is_some()));
    let it = stmt(json!({ "map": { "op": "update", "elem": ip, "data": 5, "map": "@m" } }));
    assert!(matches!(it, Stmt::SetUpdate(it) if it.is_map && it.data.is_some()));
    let (stmts, _) =
        stmts(json!([{ "set": { "op": "add", "elem": ip, "set": "@s", "map": "@m" } }]));
    assert!(matches!(&stmts[0], Stmt::SetUpdate(it) if !it.extra.is_empty()));
    let limit = json!({ "limit": { "rate": 1, "burst": 5, "per": "second" } });
    stmt(json!({ "meter": { "key": ip, "stmt": limit, "size": 1, "name": "m" } }));
    stmt(json!({ "meter": { "key": ip, "stmt": [limit], "name": "m" } }));
}

#[test]
fn a_rule_may_have_no_statements() {
    let rule = json!({ "family": "ip", "table": "t", "chain": "c", "handle": 1 });
    assert!(matches!(
        object(json!({ "rule": rule })),
        Object::Rule(Rule { expr: None, .. })
    ));
    let rule = json!({ "family": "ip", "table": "t", "chain": "c", "expr": [] });
    assert!(matches!(
        object(json!({ "rule": rule })),
        Object::Rule(Rule { expr: Some(_), .. })
    ));
}

#[test]
fn one_odd_statement_leaves_the_others_alone() {
    let (stmts, notes) = stmts(json!([
        { "teleport": { "to": "mars" } }, { "jump": "c" }, { "accept": 1 }, 5, [], {}, { "accept": null, "drop": null },
        { "mangle": { "key": { "meta": { "key": "mark" } }, "value": { "frob": 1 } } },
        { "mangle": { "value": { "range": [1, 2, 3] }, "key": { "meta": { "key": 5 } } } },
        { "drop": null }, "jump {\n\t\taccept\n\t}",
    ]));
    assert_eq!(stmts.len(), 11);
    assert!(matches!(&stmts[0], Stmt::Unknown { key, .. } if key == "teleport"));
    assert!(matches!(&stmts[1], Stmt::Unknown { key, .. } if key == "jump"));
    assert!(matches!(&stmts[6], Stmt::Unknown { key, .. } if key.is_empty()));
    let Stmt::Mangle(it) = &stmts[7] else {
        panic!()
    };
    assert!(matches!(it.value, Expr::Unknown(_)) && matches!(it.key, Expr::Meta(_)));
    assert_eq!(stmts[9], Stmt::Verdict(Verdict::Drop));
    let expected = [
        "unknown statement `teleport`",
        "statement `jump` of an unknown shape",
        "statement `accept` of an unknown shape",
        "a statement that is no object with one key",
        "a statement that is no object with one key",
        "a statement that is no object with one key",
        "a statement that is no object with one key",
        "unknown expression `frob`",
        "expression `meta` of an unknown shape",
        "expression `range` of an unknown shape",
        "a statement that nft printed as text only: `jump {…`",
    ];
    assert_eq!(
        notes,
        expected.map(|note| format!("ip t c handle 7: {note}"))
    );
}

#[test]
fn an_unknown_field_is_kept_with_its_owner() {
    let (stmts, notes) = stmts(json!([
        { "match": { "op": "==", "left": { "payload": { "protocol": "ip", "field": "saddr", "colour": 1 } }, "right": 1, "x": null } },
        { "dnat": { "addr": "1.2.3.4", "port": { "range": [1, 2] }, "flags": 5 } },
        { "limit": { "rate": 1, "per": "second", "mood": "good" } },
    ]));
    let Stmt::Match(it) = &stmts[0] else { panic!() };
    assert!(!it.extra.is_empty());
    assert!(matches!(&it.left, Expr::Payload(payload) if !payload.extra.is_empty()));
    let Stmt::Nat(nat) = &stmts[1] else { panic!() };
    assert!(nat.flags.is_none() && nat.addr.is_some() && !nat.extra.is_empty());
    let expected = [
        "unknown field `colour` in payload",
        "unknown field `x` in a match",
        "unknown field `flags` in dnat",
        "unknown field `mood` in limit",
    ];
    assert_eq!(
        notes,
        expected.map(|note| format!("ip t c handle 7: {note}"))
    );
}

#[test]
fn odd_objects_stay_whole() {
    let (document, notes) = read_value(&json!({ "nftables": [
        { "frobnicate": { "x": 1 } }, { "rule": { "family": "ip", "chain": "c", "expr": [] } }, 5, null, {}, { "": 1 },
        { "table": { "family": "ip", "name": "t" }, "chain": 1 }, { "set": { "family": "ip", "table": "t", "name": "s", "elem": 5 } },
        { "metainfo": {} }, { "delete": { "table": { "family": "ip", "name": "t" } } },
    ], "more": 1 }));
    assert!(matches!(&document.objects[1], Object::Unknown { key, .. } if key == "rule"));
    assert!(
        matches!(&document.objects[7], Object::Set(set) if set.elem.is_none() && !set.extra.is_empty())
    );
    let no_object = "a member of the listing that is no object with one key";
    assert_eq!(
        notes,
        [
            "the listing: unknown object `frobnicate`",
            "ip c: object `rule` of an unknown shape",
            &format!("the listing: {no_object}"),
            &format!("the listing: {no_object}"),
            &format!("the listing: {no_object}"),
            &format!("the listing: {no_object}"),
            &format!("the listing: {no_object}"),
            "ip t s: unknown field `elem` in the set",
            "the listing: unknown object `delete`",
            "the listing: unknown field `more` in the listing",
        ]
    );
}

#[test]
fn commands_that_add_are_read_as_what_they_add() {
    let (document, notes) = read(
        r#"{"nftables":[{"add":{"table":{"family":"ip","name":"t"}}},{"create":{"chain":{"family":"ip","table":"t","name":"c"}}},
        {"insert":{"rule":{"family":"ip","table":"t","chain":"c","expr":[{"odd":1}]}}},{"add":{"element":{"family":"ip"}}},
        {"add":{"add":{"table":{"family":"ip","name":"t"}}}},{"flush":{"ruleset":null}}]}"#,
    )
    .unwrap();
    assert!(matches!(
        document.objects.as_slice(),
        [
            Object::Table(_),
            Object::Chain(_),
            Object::Rule(_),
            Object::Unknown { .. },
            Object::Unknown { .. },
            Object::Unknown { .. }
        ]
    ));
    assert_eq!(notes.len(), 4);
}

#[test]
fn errors_say_what_and_where() {
    assert!(error("").starts_with("the ruleset is empty: nft printed nothing"));
    assert!(error(" \n\t").starts_with("the ruleset is empty"));
    assert!(
        error("{\"nftables\": [\n{\"table\":")
            .starts_with("the JSON ends in the middle, at line 2 column 9")
    );
    assert!(
        error("{\"nftables\": [] }\n{}")
            .starts_with("text after the end of the ruleset at line 2 column 1")
    );
    assert!(
        error("table inet t {\n}")
            .starts_with("not JSON at line 1 column 2: this is nft's text form")
    );
    assert!(error("*filter\n").contains("this is the output of iptables-save"));
    assert!(
        error("{\"nftables\": [1,]}").starts_with("not JSON at line 1 column 17: trailing comma")
    );
    assert!(
        error("[{\"ifindex\":1,\"ifname\":\"lo\"}]")
            .contains("an array of links or addresses, as `ip -j link` prints")
    );
    assert!(error("[{\"dst\":\"default\"}]").contains("routes"));
    assert!(error("[{\"table\":{}}]").contains("without the object `nftables` around it"));
    assert!(
        error("{\"a\":1,\"b\":2}")
            .contains("an object without the key `nftables`, with the keys `a`, `b`")
    );
    assert!(error("{\"nftables\":5}").contains("the value of `nftables` is no array"));
    assert!(error("5").contains("it is one number or truth value"));
    assert!(
        error("{\"nftables\": [\n {\"x\": \"\\ud800\"}]}").starts_with("not JSON at line 2 column")
    );
    for text in ["", "{", "[", "5", "{}", "{\"nftables\":{}}", "x"] {
        let error = error(text);
        assert!(
            !error.contains('\n')
                && !error.ends_with('.')
                && !error.starts_with(char::is_uppercase),
            "{error}"
        );
    }
}

#[test]
fn a_byte_order_mark_is_no_matter() {
    assert!(read("\u{feff}{\"nftables\":[]}").is_ok());
}

#[test]
fn deep_nesting_is_refused_and_shallow_nesting_is_not() {
    let nested = |depth: usize, open: &str, close: &str| {
        let (open, close) = (open.repeat(depth), close.repeat(depth));
        format!(
            "{{\"nftables\":[{{\"rule\":{{\"family\":\"ip\",\"table\":\"t\",\"chain\":\"c\",\"expr\":[{{\"x\":{open}1{close}}}]}}}}]}}"
        )
    };
    assert!(read(&nested(122, "[", "]")).is_ok());
    assert!(
        error(&nested(123, "[", "]")).starts_with("nested deeper than 128 levels at line 1 column")
    );
    assert!(error(&nested(1_000_000, "{\"a\":", "}")).starts_with("nested deeper"));
    assert!(error(&"[".repeat(1_000_000)).starts_with("nested deeper"));
    // Every level an expression, good and odd at the bottom.
    let deep = |bottom: &str| {
        let (open, close) = ("{\"concat\":[".repeat(58), "]}".repeat(58));
        format!(
            "{{\"nftables\":[{{\"set\":{{\"family\":\"ip\",\"table\":\"t\",\"name\":\"s\",\"elem\":[{open}{bottom}{close}]}}}}]}}"
        )
    };
    assert_eq!(read(&deep("1")).unwrap().1, []);
    assert_eq!(read(&deep("{\"range\":5}")).unwrap().1.len(), 1);
    // Brackets inside strings do not count.
    assert!(
        read(&format!(
            "{{\"nftables\":[{{\"x\":\"{}\\\"[\"}}]}}",
            "[".repeat(500)
        ))
        .is_ok()
    );
}

#[test]
fn damaged_text_never_panics_and_what_reads_is_written_the_same() {
    let whole = include_str!("../../../testdata/nft-json/kinds.json");
    // A fixed sequence of changes (xorshift), so that a failure comes again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let bits = [
        "{", "}", "[", "]", "\"", ",", ":", "null", "1", "-1", "\\", "\"set\"", "{}", "[]", "e",
        "\\ud800",
    ];
    let mut read_again = 0;
    for _ in 0..4000 {
        let mut text = whole.to_owned();
        for _ in 0..=random(2) {
            let start = random(text.len());
            let end = (start + random(8)).min(text.len());
            if text.is_char_boundary(start) && text.is_char_boundary(end) {
                text.replace_range(start..end, bits[random(bits.len())]);
            }
        }
        if let Ok((document, _)) = read(&text) {
            let before: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_value(&document).unwrap(), before, "{text}");
            crate::nft::print::document(&document);
            read_again += 1;
        }
    }
    assert!(read_again > 100, "{read_again}");
}
