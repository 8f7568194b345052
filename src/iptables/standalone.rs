//! A document of `iptables-save` alone: for iptables-legacy, whose rules nft cannot see, and for hosts of which nothing else was kept.
//!
//! The tables get the base chains that the kernel gives them (`iptable_filter.c`, `ebtable_filter.c` and their like, `NF_IP_PRI_*`,
//! `NF_BR_PRI_*`), or those that iptables-nft and ebtables-nft create where these wrote the text. Rules have no handles.

use serde_json::json;

use super::merge::Meanings;
use super::save::{Backend, Chain, Policy, Rule, Save, Table};
use super::{Family, translate};
use crate::diagnostic::{Diagnostic, Severity};
use crate::nft::ast::{self, Document, Fields, Object, ObjectRef, Priority, Stmt};
use crate::nft::ast::{UNREAD, UNTOLD};

/// Hook, type and priority of a built-in chain.
struct Builtin {
    kind: &'static str,
    hook: &'static str,
    prio: i64,
}

/// The built-in chain of this name, as `backend` registers it.
fn builtin(family: Family, table: &str, chain: &str, backend: Option<Backend>) -> Option<Builtin> {
    match family {
        Family::Ip | Family::Ip6 => builtin_of_ip(table, chain, backend),
        Family::Bridge => builtin_of_bridge(table, chain, backend),
    }
}

/// `ebtable_filter.c`, `ebtable_nat.c`, `ebtable_broute.c`
fn builtin_of_bridge(table: &str, chain: &str, backend: Option<Backend>) -> Option<Builtin> {
    let by_nft = backend == Some(Backend::NfTables);
    let (hook, prio) = match (table, chain) {
        ("filter", "INPUT") => ("input", -200),
        ("filter", "FORWARD") => ("forward", -200),
        // NF_BR_PRI_FILTER_OTHER is 200; ebtables-nft writes that of all chains of the table
        ("filter", "OUTPUT") => ("output", if by_nft { -200 } else { 200 }),
        ("nat", "PREROUTING") => ("prerouting", -300),
        ("nat", "OUTPUT") => ("output", 100),
        ("nat", "POSTROUTING") => ("postrouting", 300),
        // NF_BR_PRI_FIRST; before Linux 5.2 ahead of all hooks
        ("broute", "BROUTING") => ("prerouting", i64::from(i32::MIN)),
        _ => return None,
    };
    Some(Builtin {
        kind: "filter",
        hook,
        prio,
    })
}

fn builtin_of_ip(table: &str, chain: &str, backend: Option<Backend>) -> Option<Builtin> {
    let hook = match chain {
        "PREROUTING" => "prerouting",
        "INPUT" => "input",
        "FORWARD" => "forward",
        "OUTPUT" => "output",
        "POSTROUTING" => "postrouting",
        _ => return None,
    };
    let (kind, prio) = match (table, hook) {
        ("filter", "input" | "forward" | "output") => ("filter", 0),
        ("nat", "prerouting" | "output") => ("nat", -100),
        ("nat", "input" | "postrouting") => ("nat", 100),
        // The packet is routed again when its mark, addresses or TOS changed.
        ("mangle", "output") => ("route", -150),
        ("mangle", _) => ("filter", -150),
        ("raw", "prerouting" | "output") => ("filter", -300),
        // NF_IP_PRI_SECURITY is 50; iptables-nft writes 150.
        ("security", "input" | "forward" | "output") => (
            "filter",
            if backend == Some(Backend::NfTables) {
                150
            } else {
                50
            },
        ),
        _ => return None,
    };
    Some(Builtin { kind, hook, prio })
}

/// Makes one document of several saves, of one or both families.
///
/// Every statement has its own meaning in [`Meanings`], for the iptables text that it comes from.
/// Tables of the same family and name from both backends are both kept; that of iptables-legacy is then called `NAME (legacy)`.
pub fn document(saves: &[Save]) -> (Document, Meanings, Vec<Diagnostic>) {
    let mut builder = Builder {
        document: Document::default(),
        meanings: Meanings::default(),
        diagnostics: Vec::new(),
    };
    // nf_tables first: it keeps the plain names.
    let (legacy, nft): (Vec<&Save>, Vec<&Save>) = saves
        .iter()
        .partition(|save| save.backend() == Some(Backend::Legacy));
    for save in nft.into_iter().chain(legacy) {
        builder.save(save);
    }
    for family in [Family::Ip, Family::Ip6] {
        if !saves.iter().any(|save| save.family == family) {
            builder.document.objects.push(not_given(family));
        }
    }
    (builder.document, builder.meanings, builder.diagnostics)
}

/// Puts the tables of iptables-legacy beside what nft lists, each called `NAME (legacy)`.
///
/// x_tables and nf_tables both register at the hooks; an empty table that accepts all is left out.
pub fn add_legacy(
    document: &mut Document,
    meanings: &mut Meanings,
    save: &Save,
) -> Vec<Diagnostic> {
    let mut builder = Builder {
        document: std::mem::take(document),
        meanings: std::mem::take(meanings),
        diagnostics: Vec::new(),
    };
    let mut added = Vec::new();
    for table in &save.tables {
        let does_something =
            |chain: &Chain| !chain.rules.is_empty() || chain.policy == Some(Policy::Drop);
        if table.chains.iter().any(does_something) {
            let name = format!("{} (legacy)", table.name);
            added.push(format!("{} {name}", save.family));
            builder.table(save, table, &name);
        }
    }
    if !added.is_empty() {
        builder.unread(save);
        builder.diagnostics.push(Diagnostic {
            severity: Severity::Note,
            source: save.family.save_command().to_owned(),
            message: format!(
                "tables of {} exist beside nft, which does not list them: {}; packets pass both",
                save.family.legacy(),
                added.join(", ")
            ),
        });
    }
    (*document, *meanings) = (builder.document, builder.meanings);
    builder.diagnostics
}

struct Builder {
    document: Document,
    meanings: Meanings,
    diagnostics: Vec<Diagnostic>,
}

impl Builder {
    fn warn(&mut self, save: &Save, message: String) {
        self.diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            source: save.family.save_command().to_owned(),
            message,
        });
    }

    fn has_table(&self, family: &str, name: &str) -> bool {
        self.document.objects.iter().any(|object| matches!(object, Object::Table(table) if table.family == family && table.name == name))
    }

    /// What could not be read and has no place in a chain stands among the objects.
    fn unread(&mut self, save: &Save) {
        let objects = save.unread.iter().map(|what| unread(save, what));
        self.document.objects.extend(objects);
        self.document.objects.extend(cut_off(save));
    }

    fn save(&mut self, save: &Save) {
        let family = save.family.as_str();
        self.unread(save);
        for table in &save.tables {
            let mut name = table.name.clone();
            if self.has_table(family, &name) && save.backend() == Some(Backend::Legacy) {
                name.push_str(" (legacy)");
            }
            self.table(save, table, &name);
        }
    }

    fn table(&mut self, save: &Save, table: &Table, name: &str) {
        let family = save.family.as_str();
        {
            if self.has_table(family, name) {
                self.warn(
                    save,
                    format!("table {family} {name} is given twice; the second one is left out"),
                );
                self.document.objects.push(unread(
                    save,
                    &format!("table {family} {name}, given a second time"),
                ));
                return;
            }
            self.document.objects.push(Object::Table(ast::Table {
                family: family.into(),
                name: name.into(),
                ..ast::Table::default()
            }));
            let sets = save.sets.objects(save.family, name, &table.chains);
            self.document.objects.extend(sets);
            for chain in &table.chains {
                let chain = self.chain(save, &table.name, name, chain);
                self.document.objects.push(Object::Chain(chain));
            }
            for chain in &table.chains {
                for rule in &chain.rules {
                    self.rule(save, &table.name, name, &chain.name, rule);
                }
            }
        }
    }

    fn chain(&mut self, save: &Save, table: &str, shown: &str, chain: &Chain) -> ast::Chain {
        let mut made = ast::Chain {
            family: save.family.as_str().into(),
            table: shown.into(),
            name: chain.name.as_str().into(),
            ..ast::Chain::default()
        };
        match builtin(save.family, table, &chain.name, save.backend()) {
            Some(base) => {
                made.kind = Some(base.kind.into());
                made.hook = Some(base.hook.into());
                made.prio = Some(Priority::Number(base.prio));
                let policy = match chain.policy {
                    Some(Policy::Drop) => "drop",
                    Some(Policy::Accept) => "accept",
                    None => {
                        self.warn(
                            save,
                            format!(
                                "chain {} {table} {} has no policy; accept is taken",
                                save.family, chain.name
                            ),
                        );
                        "accept"
                    }
                };
                made.policy = Some(policy.into());
            }
            None if chain.policy.is_some() => {
                self.warn(
                    save,
                    format!(
                        "chain {} {table} {} has a policy, and no hook is known for it",
                        save.family, chain.name
                    ),
                );
            }
            None => {}
        }
        made
    }

    fn rule(&mut self, save: &Save, table: &str, shown: &str, chain: &str, rule: &Rule) {
        let translated = translate::rule(rule, save, table, chain);
        let mut expr = Vec::new();
        let mut meanings = Vec::new();
        for (stmt, text) in translated.stmts() {
            meanings.push(Some((vec![stmt.clone()], text.to_owned())));
            expr.push(stmt.clone());
        }
        if let Some(counters) = rule.counters {
            // As iptables-nft writes it: after the matches, before the target.
            let target = translated
                .parts
                .iter()
                .filter(|part| !is_match(part.kind))
                .map(|part| part.stmts.len())
                .sum::<usize>();
            let at = expr.len() - target;
            expr.insert(
                at,
                Stmt::Counter(ObjectRef::Inline(Fields(
                    json!({ "packets": counters.packets, "bytes": counters.bytes }),
                ))),
            );
            meanings.insert(at, None);
        }
        let comment = rule
            .matches
            .iter()
            .filter(|m| m.name == "comment")
            .flat_map(|m| &m.options)
            .find_map(|opt| opt.values.first());
        self.meanings
            .by_rule
            .insert(self.document.objects.len(), meanings);
        self.document.objects.push(Object::Rule(ast::Rule {
            family: save.family.as_str().into(),
            table: shown.into(),
            chain: chain.into(),
            comment: comment.map(|text| text.as_str().into()),
            expr: Some(expr),
            ..ast::Rule::default()
        }));
    }
}

fn unread(save: &Save, what: &str) -> Object {
    Object::Unknown {
        key: UNREAD.into(),
        value: json!({ "text": save.family.save_command(), "what": what }),
    }
}

/// The tables behind the place where a text was cut off.
fn cut_off(save: &Save) -> Option<Object> {
    let place = save.cut.as_ref()?;
    let command = save.family.save_command();
    // frames of a bridge are packets of both families
    let family = match save.family {
        Family::Ip | Family::Ip6 => save.family.as_str(),
        Family::Bridge => "",
    };
    Some(Object::Unknown {
        key: UNTOLD.into(),
        value: json!({
            "family": family,
            "what": format!("what the text of {command} has behind its end"),
            "because": format!("{place}: the tables behind it are not known"),
            "settle": format!("the whole text of `{command}`"),
        }),
    })
}

/// The tables of a family of which no text was given.
fn not_given(family: Family) -> Object {
    let (program, command) = (family.program(), family.save_command());
    Object::Unknown {
        key: UNTOLD.into(),
        value: json!({
            "family": family.as_str(),
            "what": format!("a table of {program}, of which no text was given,"),
            "because": format!("no text of {command} was given: the tables of {program} are not known"),
            "settle": format!("`--{command} FILE`"),
            "usually": "none",
        }),
    }
}

fn is_match(kind: translate::PartKind) -> bool {
    matches!(
        kind,
        translate::PartKind::Basic | translate::PartKind::Match
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iptables::{Family, save};

    fn made(text: &str, family: Family) -> (Document, Meanings, Vec<Diagnostic>) {
        let (save, said) = save::read(text, family);
        assert_eq!(said, []);
        document(&[save])
    }

    fn document_of(text: &str, family: Family) -> (Document, Meanings, Vec<Diagnostic>) {
        document(&[save::read(text, family).0])
    }

    fn chains(document: &Document) -> Vec<String> {
        let shown = |chain: &ast::Chain| match (&chain.kind, &chain.hook, &chain.prio) {
            (Some(kind), Some(hook), Some(Priority::Number(prio))) => {
                format!(
                    "{} {} {}: {kind} {hook} {prio} {}",
                    chain.family,
                    chain.table,
                    chain.name,
                    chain.policy.as_deref().unwrap_or("-")
                )
            }
            _ => format!("{} {} {}", chain.family, chain.table, chain.name),
        };
        document
            .objects
            .iter()
            .filter_map(|object| {
                if let Object::Chain(chain) = object {
                    Some(shown(chain))
                } else {
                    None
                }
            })
            .collect()
    }

    #[test]
    fn base_chains_stand_where_the_kernel_has_them() {
        let text = "# Generated by iptables-save v1.4.7 on x\n*mangle\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:DOCKER - [0:0]\nCOMMIT\n*raw\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n*security\n:INPUT ACCEPT [0:0]\nCOMMIT\n*filter\n:FORWARD DROP [0:0]\nCOMMIT\n";
        let (document, _, said) = made(text, Family::Ip);
        assert_eq!(said, []);
        assert_eq!(
            chains(&document),
            [
                "ip mangle PREROUTING: filter prerouting -150 accept",
                "ip mangle OUTPUT: route output -150 accept",
                "ip nat PREROUTING: nat prerouting -100 accept",
                "ip nat INPUT: nat input 100 accept",
                "ip nat DOCKER",
                "ip raw OUTPUT: filter output -300 accept",
                "ip security INPUT: filter input 50 accept",
                "ip filter FORWARD: filter forward 0 drop",
            ]
        );
        let by_nft = text.replace(
            "iptables-save v1.4.7",
            "iptables-nft-save v1.8.9 (nf_tables)",
        );
        assert!(
            chains(&made(&by_nft, Family::Ip).0)
                .contains(&"ip security INPUT: filter input 150 accept".to_owned())
        );
    }

    #[test]
    fn base_chains_of_ebtables_stand_where_the_kernel_has_them() {
        let text = "# Generated by ebtables-save v1.0 (legacy) on x\n*filter\n:INPUT ACCEPT\n:FORWARD DROP\n:OUTPUT ACCEPT\n:mine RETURN\n*nat\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n*broute\n:BROUTING ACCEPT\n";
        let (document, _, said) = made(text, Family::Bridge);
        assert_eq!(said, []);
        let mut legacy = vec![
            "bridge filter INPUT: filter input -200 accept",
            "bridge filter FORWARD: filter forward -200 drop",
            "bridge filter OUTPUT: filter output 200 accept",
            "bridge filter mine",
            "bridge nat PREROUTING: filter prerouting -300 accept",
            "bridge nat OUTPUT: filter output 100 accept",
            "bridge nat POSTROUTING: filter postrouting 300 accept",
            "bridge broute BROUTING: filter prerouting -2147483648 accept",
        ];
        assert_eq!(chains(&document), legacy);
        let by_nft = text.replace(
            "ebtables-save v1.0 (legacy)",
            "ebtables-nft-save v1.8.9 (nf_tables)",
        );
        let (by_nft, _, _) = document_of(&by_nft, Family::Bridge);
        legacy[2] = "bridge filter OUTPUT: filter output -200 accept";
        assert_eq!(chains(&by_nft), legacy);
    }

    #[test]
    fn rules_carry_their_counters_and_texts() {
        let (document, meanings, _) = made(
            "*filter\n:INPUT ACCEPT [0:0]\n[3:180] -A INPUT -i lo -m comment --comment \"hello you\" -j ACCEPT\nCOMMIT\n",
            Family::Ip6,
        );
        let is_rule = |object: &&Object| matches!(object, Object::Rule(_));
        let Some(Object::Rule(rule)) = document.objects.iter().find(is_rule) else {
            panic!("no rule")
        };
        assert_eq!(rule.comment.as_deref(), Some("hello you"));
        let expr = rule.expr.clone().unwrap_or_default();
        assert!(
            matches!(
                expr.as_slice(),
                [
                    Stmt::Match(_),
                    Stmt::Counter(_),
                    Stmt::Verdict(ast::Verdict::Accept)
                ]
            ),
            "{expr:?}"
        );
        let texts: Vec<Option<&str>> = meanings.by_rule[&2]
            .iter()
            .map(|m| m.as_ref().map(|(_, text)| text.as_str()))
            .collect();
        assert_eq!(texts, [Some("-i lo"), None, Some("-j ACCEPT")]);
    }

    #[test]
    fn both_backends_are_kept_apart() {
        let table = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";
        let (nft, _) = save::read(
            &format!("# Generated by iptables-nft-save v1.8.9 (nf_tables) on x\n{table}"),
            Family::Ip,
        );
        let (legacy, _) = save::read(
            &format!("# Generated by iptables-save v1.8.9 on x\n{table}"),
            Family::Ip,
        );
        let (made, _, said) = document(&[legacy.clone(), nft, legacy]);
        assert_eq!(
            chains(&made),
            [
                "ip filter INPUT: filter input 0 accept",
                "ip filter (legacy) INPUT: filter input 0 accept"
            ]
        );
        assert_eq!(said.len(), 1);
        assert!(said[0].message.contains("given twice"), "{said:?}");
    }
}
