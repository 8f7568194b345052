//! The lab's own tables: those that switch tracing on, and that of the marks. Written with the `nftables` crate, as JSON.

use std::borrow::Cow;

use nftables::batch::Batch;
use nftables::expr::{Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField, SetItem};
use nftables::schema::{Chain, NfListObject, Rule, Table};
use nftables::stmt::{Drop, Mangle, Match, Operator, Return, Statement};
use nftables::types::{NfChainType, NfFamily, NfHook};

/// The table that switches tracing on; its own lines are no part of the ruleset.
pub(super) const TRACE_TABLE: &str = "nfpath-trace";
/// The table of the device by which the lab marks places in the trace.
pub(super) const MARK_TABLE: &str = "nfpath-mark";
pub(super) const MARK_DEVICE: &str = "nfpath-mark";

/// The lowest priority: before everything else.
const FIRST: i32 = i32::MIN + 1;

/// What the kernel says on its own is no part of a conversation: group memberships, neighbours, routers.
pub(super) const QUIET: [u32; 9] = [130, 131, 132, 133, 134, 135, 136, 137, 143];

/// What has to be traced beside the packets of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scope<'a> {
    /// Frames on bridges.
    pub bridges: bool,
    /// The devices whose ingress is traced.
    pub devices: &'a [&'a str],
}

/// The commands for `nft -j -f -`.
pub(super) fn commands(scope: Scope<'_>) -> String {
    let mut batch = Batch::new();
    table(&mut batch, NfFamily::NetDev, MARK_TABLE);
    let marks = Place {
        family: NfFamily::NetDev,
        table: MARK_TABLE,
        chain: "marks".into(),
    };
    chain(&mut batch, &marks, NfHook::Ingress, 0, Some(MARK_DEVICE));
    rule(
        &mut batch,
        &marks,
        vec![trace(), Statement::Drop(Some(Drop {}))],
    );
    let families = [(NfFamily::INet, true), (NfFamily::Bridge, scope.bridges)];
    for (family, _) in families.into_iter().filter(|(_, wanted)| *wanted) {
        table(&mut batch, family, TRACE_TABLE);
        for (hook, name) in [
            (NfHook::Prerouting, "prerouting"),
            (NfHook::Output, "output"),
        ] {
            let place = Place {
                family,
                table: TRACE_TABLE,
                chain: name.into(),
            };
            chain(&mut batch, &place, hook, FIRST, None);
            if family == NfFamily::Bridge {
                let other = test(
                    payload("ether", "type"),
                    Operator::NEQ,
                    words(&["ip", "ip6"]),
                );
                rule(&mut batch, &place, vec![other, stop()]);
            }
            let quiet = test(payload("icmpv6", "type"), Operator::EQ, numbers(&QUIET));
            rule(&mut batch, &place, vec![quiet, stop()]);
            rule(&mut batch, &place, vec![trace()]);
        }
    }
    if !scope.devices.is_empty() {
        table(&mut batch, NfFamily::NetDev, TRACE_TABLE);
    }
    for (at, device) in scope.devices.iter().enumerate() {
        let place = Place {
            family: NfFamily::NetDev,
            table: TRACE_TABLE,
            chain: format!("ingress{at}"),
        };
        chain(&mut batch, &place, NfHook::Ingress, FIRST, Some(device));
        let ip = test(meta(MetaKey::Protocol), Operator::EQ, words(&["ip", "ip6"]));
        rule(&mut batch, &place, vec![ip, trace()]);
    }
    // only strings, numbers and lists: there is nothing in it that cannot be written
    serde_json::to_string(&batch.to_nftables()).unwrap_or_default()
}

struct Place {
    family: NfFamily,
    table: &'static str,
    chain: String,
}

fn table(batch: &mut Batch<'_>, family: NfFamily, name: &'static str) {
    batch.add(NfListObject::Table(Table {
        family,
        name: name.into(),
        handle: None,
    }));
}

fn chain(batch: &mut Batch<'_>, place: &Place, hook: NfHook, priority: i32, device: Option<&str>) {
    batch.add(NfListObject::Chain(Chain {
        family: place.family,
        table: place.table.into(),
        name: place.chain.clone().into(),
        newname: None,
        handle: None,
        _type: Some(NfChainType::Filter),
        hook: Some(hook),
        prio: Some(priority),
        dev: device.map(|device| device.to_owned().into()),
        policy: None,
    }));
}

fn rule(batch: &mut Batch<'_>, place: &Place, statements: Vec<Statement<'static>>) {
    batch.add(NfListObject::Rule(Rule {
        family: place.family,
        table: place.table.into(),
        chain: place.chain.clone().into(),
        expr: Cow::Owned(statements),
        handle: None,
        index: None,
        comment: None,
    }));
}

fn trace() -> Statement<'static> {
    Statement::Mangle(Mangle {
        key: meta(MetaKey::Nftrace),
        value: Expression::Number(1),
    })
}

fn stop() -> Statement<'static> {
    Statement::Return(Some(Return {}))
}

fn test(left: Expression<'static>, op: Operator, right: Expression<'static>) -> Statement<'static> {
    Statement::Match(Match { left, right, op })
}

fn meta(key: MetaKey) -> Expression<'static> {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

fn payload(protocol: &'static str, field: &'static str) -> Expression<'static> {
    let field = PayloadField {
        protocol: protocol.into(),
        field: field.into(),
    };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

fn set(items: impl Iterator<Item = Expression<'static>>) -> Expression<'static> {
    Expression::Named(NamedExpression::Set(items.map(SetItem::Element).collect()))
}

fn words(words: &[&'static str]) -> Expression<'static> {
    set(words.iter().map(|word| Expression::String((*word).into())))
}

fn numbers(numbers: &[u32]) -> Expression<'static> {
    set(numbers.iter().map(|number| Expression::Number(*number)))
}
