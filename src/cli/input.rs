//! Reading what the command line names: files, standard input, the running host.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use anyhow::{Context, anyhow};
use indexmap::IndexMap;

use crate::capture::{self, ThisMachine, sosreport};
use crate::diagnostic::{Diagnostic, Severity};
use crate::explain::{self, Question};
use crate::flow;
use crate::host::Host;
use crate::iptables::Family;
use crate::load::bundle::{self, HostPart};
use crate::load::ip_json::parse_mac;
use crate::load::{self, Kind, Loaded, SaveText, TextOf, nft_words};
use crate::nft_tool;
use crate::packet::proto;
use crate::seen::{self, Seen};
use crate::walk::GivenState;

use super::{CtState, Facts, Failure, Packet, output};

/// The largest input that is read: the longest rulesets known are some hundred megabytes.
const LARGEST: u64 = 1 << 30;

/// A file, or standard input for `-`.
pub(super) fn text(name: &str) -> Result<String, Failure> {
    let bytes = bytes(name).map_err(Failure::unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::unreadable(anyhow!(
            "{name}: not text: byte {at} is no UTF-8; is this the right file?"
        ))
    })
}

/// A ruleset or a snapshot: a text as above, or a report of sos as a directory or an archive, which becomes a snapshot.
pub(super) fn text_or_report(name: &str) -> Result<String, Failure> {
    let path = Path::new(name);
    let report = if path.join("sos_commands").is_dir() {
        Some(sosreport::of_directory(path))
    } else if path.is_file() {
        let unreadable =
            |error: io::Error| Failure::unreadable(anyhow!("{name}: {}", plain(&error)));
        let mut file = File::open(path).map_err(unreadable)?;
        let mut start = Vec::new();
        let mut head = Read::by_ref(&mut file).take(512);
        head.read_to_end(&mut start).map_err(unreadable)?;
        let kind = sosreport::is_archive(&start);
        file.rewind().map_err(unreadable)?;
        kind.map(|kind| sosreport::of_archive(file, kind))
    } else {
        None
    };
    match report {
        Some(report) => report.map_err(|error| Failure::unreadable(anyhow!("{name}: {error}"))),
        None => text(name),
    }
}

fn bytes(name: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let too_large = || {
        anyhow!("{name}: larger than 1 GiB; give the listing of one table (`nft -j list table …`)")
    };
    if name == "-" {
        io::stdin()
            .lock()
            .take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .context("standard input")?;
    } else {
        let file = File::open(name).map_err(|error| anyhow!("{name}: {}", plain(&error)))?;
        let metadata = file
            .metadata()
            .map_err(|error| anyhow!("{name}: {}", plain(&error)))?;
        if metadata.is_dir() {
            return Err(anyhow!("{name}: this is a directory; give the file in it"));
        }
        if metadata.len() > LARGEST {
            return Err(too_large());
        }
        file.take(LARGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| anyhow!("{name}: {}", plain(&error)))?;
    }
    if bytes.len() as u64 > LARGEST {
        return Err(too_large());
    }
    Ok(bytes)
}

fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; run as a user who may read it".into()
        }
        _ => error.to_string(),
    }
}

/// The ruleset and what is known of the host.
pub(super) struct Input {
    pub source: String,
    pub loaded: Loaded,
    pub host: Host,
    /// The ruleset's own file says what host it is of.
    pub brings_host: bool,
    /// Where facts came from.
    pub sources: Vec<String>,
    /// The ruleset's own text, when it was nft syntax.
    pub own_words: Option<String>,
    /// iptables-save text of the same host.
    pub saves: Vec<SaveText>,
}

impl Input {
    /// Neither a ruleset nor facts.
    pub(super) fn nothing() -> Input {
        Input {
            source: "none".into(),
            loaded: Loaded::default(),
            host: Host::default(),
            brings_host: false,
            sources: Vec::new(),
            own_words: None,
            saves: Vec::new(),
        }
    }
}

/// Reads the ruleset and all facts.
pub(super) fn read(ruleset: Option<&str>, facts: &Facts) -> Result<Input, Failure> {
    let mut saves = Vec::new();
    let files = [
        (&facts.iptables_save, TextOf::Iptables(Family::Ip)),
        (&facts.ip6tables_save, TextOf::Iptables(Family::Ip6)),
        (&facts.iptables_legacy_save, TextOf::Legacy(Family::Ip)),
        (&facts.ip6tables_legacy_save, TextOf::Legacy(Family::Ip6)),
        (&facts.ebtables_save, TextOf::Iptables(Family::Bridge)),
        (&facts.ebtables_legacy_save, TextOf::Legacy(Family::Bridge)),
        (&facts.ipset, TextOf::Ipset),
        (&facts.nft_text, TextOf::Listing),
    ];
    for (name, of) in files {
        if let Some(name) = name {
            let text = text(name)?;
            if let TextOf::Iptables(_) | TextOf::Legacy(_) = of {
                load::check_tables(name, &text).map_err(Failure::unreadable)?;
            }
            saves.push(SaveText {
                source: name.clone(),
                text,
                of,
            });
        }
    }
    let live = facts.live.then(|| capture::snapshot(&ThisMachine));
    let (source, content) = match (ruleset, &live) {
        (Some(name), _) => (name.to_string(), text_or_report(name)?),
        (None, Some(snapshot)) => ("live".to_string(), snapshot.clone()),
        (None, None) => {
            return Err(Failure::usage(anyhow!(
                "no ruleset: give a file, `-`, or `--live`"
            )));
        }
    };
    let mut sources: Vec<String> = saves.iter().map(|save| save.source.clone()).collect();
    let brings_host = load::recognise(&content) == Kind::Bundle;
    if brings_host {
        sources.push(source.clone());
    }
    let mut host = None;
    let context = match (&facts.context, &live) {
        (Some(name), _) => Some((name.clone(), text_or_report(name)?)),
        (None, Some(snapshot)) if ruleset.is_some() => Some(("live".to_string(), snapshot.clone())),
        _ => None,
    };
    let mut extra = Vec::new();
    if let Some((name, context)) = context {
        let mut bundle = bundle::read(&name, &context).map_err(Failure::unreadable)?;
        // what the RULESET says of a kind itself goes before the context
        let within = load::saves_within(&source, &content);
        for own in bundle.take_texts(&name) {
            let mut known = saves.iter().chain(&within);
            if !known.any(|save| save.of == own.of) {
                saves.push(own);
            }
        }
        extra.extend(bundle.diagnostics);
        host = Some(bundle.host);
        sources.push(name);
    }
    let mut own_words = None;
    let nft = |text: &str| nft_tool::convert(text).map(|converted| converted.json);
    let mut loaded = match load::recognise(&content) {
        Kind::NftText if nft_words::has_xt_words(&content) => {
            load::load_listing_text(&source, &content, &saves, &nft)
        }
        Kind::NftText => {
            own_words = Some(content.clone());
            let converted = nft_tool::convert(&content)
                .map_err(|error| Failure::unreadable(anyhow!("{source}: {error}")))?;
            load::load_with_text(&source, &converted.json, converted.text, &saves)
        }
        _ => load::load_with(&source, &content, &saves, Some(&nft)),
    }
    .map_err(Failure::unreadable)?;
    loaded.diagnostics.extend(extra);
    let mut host = host.unwrap_or_else(|| std::mem::take(&mut loaded.host));
    add_facts(&mut host, facts, &mut loaded, &mut sources)?;
    saves.extend(load::saves_within(&source, &content));
    Ok(Input {
        source,
        loaded,
        host,
        brings_host,
        sources,
        own_words,
        saves,
    })
}

fn add_facts(
    host: &mut Host,
    facts: &Facts,
    loaded: &mut Loaded,
    sources: &mut Vec<String>,
) -> Result<(), Failure> {
    let files = [
        (&facts.addr, HostPart::Addresses),
        (&facts.link, HostPart::Links),
        (&facts.routes, HostPart::Routes),
        (&facts.rules, HostPart::Rules),
        (&facts.sysctls, HostPart::Sysctls),
    ];
    for (names, part) in files {
        for name in names {
            let content = text(name)?;
            let found =
                bundle::add_part(host, part, name, &content).map_err(Failure::unreadable)?;
            loaded.diagnostics.extend(found);
            sources.push(name.clone());
        }
    }
    type Apply = fn(&mut Host, &str) -> Result<(), bundle::HostError>;
    let flags: [(&[String], &str, Apply); 5] = [
        (&facts.iface, "--iface", bundle::apply_iface),
        (&facts.local, "--local", bundle::apply_flag_local),
        (&facts.bridge, "--bridge", bundle::apply_bridge),
        (&facts.route, "--route", bundle::apply_route),
        (&facts.sysctl, "--sysctl", bundle::apply_sysctl),
    ];
    for (values, flag, apply) in flags {
        for value in values {
            apply(host, value).map_err(Failure::usage)?;
            sources.push(format!("{flag} {value}"));
        }
    }
    Ok(())
}

/// A question and where it came from.
pub(super) struct Asked {
    /// Empty for a flow of the command line, else its place in the file.
    pub at: String,
    pub question: Question,
}

/// The questions that the command line asks, those of files behind the others.
pub(super) fn questions(packet: &Packet) -> Result<Vec<Asked>, Failure> {
    let mut asked = Vec::new();
    for text in &packet.flow {
        let seen =
            seen::read_one(text).map_err(|error| Failure::usage(anyhow!("`--flow`: {error}")))?;
        for remark in &seen.remarks {
            output::note(&format!("`--flow`: {remark}"));
        }
        asked.push(Asked {
            at: String::new(),
            question: question(&seen, packet)?,
        });
    }
    for file in &packet.flows {
        asked.extend(asked_in(file, packet)?.0);
    }
    Ok(asked)
}

/// The questions that a file asks, and how many of its lines could not be read.
pub(super) fn asked_in(file: &str, packet: &Packet) -> Result<(Vec<Asked>, usize), Failure> {
    let content = bytes(file).map_err(Failure::unreadable)?;
    let (found, mut remarks) = seen::read(file, &content).map_err(Failure::unreadable)?;
    let is_unread = |remark: &&Diagnostic| remark.severity == Severity::Warning;
    let unread = remarks.iter().filter(is_unread).count();
    // one line for each kind of remark
    let mut told: IndexMap<&str, Vec<&str>> = IndexMap::new();
    for seen in &found {
        for remark in &seen.remarks {
            told.entry(remark).or_default().push(&seen.at);
        }
    }
    for (remark, places) in told {
        let more = match places.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        remarks.push(Diagnostic::note(
            format!("{file}: {}{more}", places[0]),
            remark,
        ));
    }
    output::diagnostics(&remarks);
    let ask = |seen: &Seen| {
        let question = question(seen, packet)?;
        let at = seen.at.clone();
        Ok(Asked { at, question })
    };
    let asked: Result<Vec<Asked>, Failure> = found.iter().map(ask).collect();
    Ok((asked?, unread))
}

/// A question as it was seen, with what the command line says instead.
fn question(seen: &Seen, packet: &Packet) -> Result<Question, Failure> {
    let mut question = seen.question.clone();
    let flow = question.flow;
    let said = [
        (&packet.iif, &mut question.iif),
        (&packet.oif, &mut question.oif),
        (&packet.in_port, &mut question.in_port),
    ];
    for (said, name) in said {
        if said.is_some() {
            name.clone_from(said);
        }
    }
    let names = [
        ("--iif", &question.iif),
        ("--oif", &question.oif),
        ("--in-port", &question.in_port),
    ];
    for (flag, name) in names {
        if let Some(name) = name
            && !is_interface_name(name)
        {
            let error = "not an interface name: 1 to 15 characters without spaces and `/`";
            return Err(Failure::usage(anyhow!("`{flag} {name}`: {error}")));
        }
    }
    if let Some(mark) = &packet.mark {
        question.mark =
            flow::parse_mark(mark).map_err(|error| Failure::usage(anyhow!("`--mark`: {error}")))?;
    }
    question.state = match packet.ct_state {
        None | Some(CtState::New) => GivenState::New,
        Some(CtState::Established) => GivenState::Established,
        Some(CtState::Related) => GivenState::Related,
        Some(CtState::Invalid) => GivenState::Invalid,
        Some(CtState::Untracked) => GivenState::Untracked,
    };
    if let Some(flags) = &packet.tcp_flags {
        only_for("--tcp-flags", "tcp", &question, &[proto::TCP])?;
        let flags = flow::parse_tcp_flags(flags)
            .map_err(|error| Failure::usage(anyhow!("`--tcp-flags`: {error}")))?;
        question.tcp_flags = Some(flags);
    }
    if let Some(kind) = &packet.icmp_type {
        let icmp = [proto::ICMP, proto::ICMPV6];
        only_for("--icmp-type", "icmp and icmp6", &question, &icmp)?;
        let message = flow::parse_icmp_type(kind, flow.family)
            .map_err(|error| Failure::usage(anyhow!("`--icmp-type`: {error}")))?;
        question.icmp = Some((message.kind, message.code.unwrap_or(0)));
    }
    if let Some(length) = packet.length {
        let header = if question.flow.dst.is_ipv6() { 40 } else { 20 };
        let least = header
            + match question.flow.proto {
                proto::TCP => 20,
                proto::SCTP | proto::DCCP => 12,
                proto::UDP | proto::UDPLITE | proto::ICMP | proto::ICMPV6 => 8,
                _ => 0,
            };
        if length < least {
            let flow = &question.flow;
            let error =
                format!("`--length {length}`: the headers of `{flow}` alone are {least} bytes");
            return Err(Failure::usage(anyhow!(error)));
        }
    }
    question.length = packet.length.or(question.length);
    question.uid = packet.uid.or(question.uid);
    if let Some(ether) = &packet.ether {
        let mut parts = ether.split(',');
        question.ether_src = parts
            .next()
            .filter(|p| !p.is_empty())
            .map(mac)
            .transpose()?;
        question.ether_dst = parts.next().map(mac).transpose()?;
        if parts.next().is_some() {
            return Err(Failure::usage(anyhow!(
                "`--ether {ether}`: more than two addresses; write SRC,DST"
            )));
        }
    }
    question.assume = assume(&packet.assume)?;
    Ok(question)
}

/// `dev_valid_name`
fn is_interface_name(name: &str) -> bool {
    let fits = (1..=15).contains(&name.len()) && name != "." && name != "..";
    fits && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace())
}

fn mac(text: &str) -> Result<[u8; 6], Failure> {
    parse_mac(text).ok_or_else(|| {
        Failure::usage(anyhow!(
            "`--ether {text}`: not an Ethernet address; write it as 52:54:00:12:34:56"
        ))
    })
}

fn only_for(flag: &str, whose: &str, question: &Question, protos: &[u8]) -> Result<(), Failure> {
    if protos.contains(&question.flow.proto) {
        return Ok(());
    }
    let flow = &question.flow;
    Err(Failure::usage(anyhow!(
        "`{flag}` is for flows of {whose}, not for `{flow}`"
    )))
}

/// `FACT=VALUE`, or a claim in words, which is then said to hold.
fn assume(values: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let short = [
        ("limit", "the rate limit is exceeded"),
        ("quota", "the quota is used up"),
        ("count", "the connection count is exceeded"),
    ];
    let mut assumed = Vec::new();
    for text in values {
        let (fact, value) = match text.rsplit_once('=') {
            Some((fact, value)) => (fact.trim(), value.trim()),
            None => (text.trim(), "yes"),
        };
        let whole = short.iter().find(|(word, _)| *word == fact);
        let answer = match (whole, value) {
            (Some((_, claim)), "over") => (*claim, "yes"),
            (Some((_, claim)), "under") => (*claim, "no"),
            (Some((word, _)), _) => {
                let error = format!("`--assume {text}`: it is `{word}=over` or `{word}=under`");
                return Err(Failure::usage(anyhow!(error)));
            }
            (None, _) if fact.is_empty() || value.is_empty() => {
                let error = format!("`--assume {text}`: write FACT=VALUE");
                return Err(Failure::usage(anyhow!(error)));
            }
            (None, _) => (fact, value),
        };
        assumed.push((answer.0.to_string(), answer.1.to_string()));
    }
    Ok(assumed)
}

/// Refuses what was assumed and no flow asks for. Limits and the like may come up or not, so of these it is only said.
pub(super) fn refuse_unused(packet: &Packet, answers: &[explain::Answer]) -> Result<(), Failure> {
    let kinds = ["limit=", "quota=", "count="];
    for (at, text) in packet.assume.iter().enumerate() {
        let used = answers.iter().any(|answer| !answer.unused.contains(&at));
        if used {
            continue;
        }
        if let Some(kind) = kinds.iter().find(|kind| text.starts_with(*kind)) {
            let kind = kind.trim_end_matches('=');
            output::note(&format!(
                "`--assume {text}` changes nothing: no {kind} is asked for on the way"
            ));
            continue;
        }
        let mut facts: Vec<&str> = Vec::new();
        for assumption in answers.iter().flat_map(|a| &a.report.assumptions) {
            if assumption.source == "default" && !facts.contains(&assumption.words.as_str()) {
                facts.push(&assumption.words);
            }
        }
        let facts = match facts.as_slice() {
            [] => "it rests on no such fact".to_string(),
            facts => format!("it rests on these: {}", facts.join("; ")),
        };
        let error = format!("`--assume {text}`: the answer does not ask for it; {facts}");
        return Err(Failure::usage(anyhow!(error)));
    }
    Ok(())
}

/// Line and column of a place in a text, both from 1.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let last = before.rsplit('\n').next().unwrap_or_default();
    (line, last.chars().count() + 1)
}

/// Reads TOML; what is wrong with it is one line with the name, the line and the column.
pub(super) fn toml<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> anyhow::Result<T> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(String::new(), |span| {
            let (line, column) = place(text, span.start);
            format!("line {line}, column {column}: ")
        });
        anyhow!("{name}: {at}{}", error.message().replace('\n', " "))
    })
}
