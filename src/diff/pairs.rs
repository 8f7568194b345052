//! Which rules of two rulesets are the same: by chain, and within it by a longest common sequence of their texts.

use std::collections::BTreeMap;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::report::build::{Sources, rule_text};
use crate::ruleset::{Family, RuleId};
use crate::symbolic::place_words;

use super::Side;

type ChainName<'a> = (Family, &'a str, &'a str);

/// The rules of each chain, with their texts.
fn chains<'a>(side: &Side<'a>) -> BTreeMap<ChainName<'a>, (Vec<RuleId>, Vec<String>)> {
    let ruleset = &side.loaded.ruleset;
    let sources = Sources::of(side.loaded, side.host);
    let mut found: BTreeMap<ChainName<'a>, (Vec<RuleId>, Vec<String>)> = BTreeMap::new();
    for (_, chain) in ruleset.chains() {
        let table = ruleset.table(chain.table);
        let name = (table.family, table.name.as_str(), chain.name.as_str());
        let (rules, texts) = found.entry(name).or_default();
        for rule in &chain.rules {
            rules.push(*rule);
            texts.push(rule_text(sources, *rule));
        }
    }
    found
}

/// How questions about rules of the new ruleset name them: as the same rule of the old one, or as new.
pub(super) fn names(old: &Side<'_>, new: &Side<'_>) -> BTreeMap<RuleId, String> {
    let before = chains(old);
    let mut names = BTreeMap::new();
    for (name, (rules, texts)) in chains(new) {
        for rule in &rules {
            let words = place_words(&new.loaded.ruleset, *rule);
            names.insert(*rule, format!("{words} of the new ruleset"));
        }
        let Some((old_rules, old_texts)) = before.get(&name) else {
            continue;
        };
        for op in capture_diff_slices(Algorithm::Patience, old_texts, &texts) {
            let DiffOp::Equal {
                old_index,
                new_index,
                len,
            } = op
            else {
                continue;
            };
            for at in 0..len {
                let words = place_words(&old.loaded.ruleset, old_rules[old_index + at]);
                names.insert(rules[new_index + at], words);
            }
        }
    }
    names
}
