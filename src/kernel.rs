//! The lab: the host of a context in network namespaces, the real nft, a real packet, and what the kernel did with it
//! beside what the model says.
//!
//! [`lab`] builds the host and moves frames, [`talk`] has a conversation in it, [`crate::trace`] reads nft's trace, and [`mod@compare`]
//! puts both ways into the same terms. The running host is not touched: everything happens in namespaces without a
//! name, which end with the program.

pub mod compare;
pub mod coverage;
pub mod frame;
pub mod generate;
pub mod lab;
pub mod random;
pub mod side_by_side;
pub mod sys;
pub mod talk;
mod tracing;
pub mod v1;

use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;

use crate::eval::{Iface, World};
use crate::explain::{Question, explain};
use crate::hooks::Hooks;
use crate::host::{Host, LinkKind, Mac, RouteAnswer, RouteQuery, RouteType};
use crate::iptables;
use crate::load::{Loaded, SaveText, TextOf, load};
use crate::logic::{Knowledge, Known};
use crate::nft::ast::{Document, Object, Stmt};
use crate::nft::print;
use crate::packet::{Spec, proto, tcp};
use crate::report::build::rule_ref;
use crate::ruleset::{Handle, RuleId, Ruleset, Stmt as Lowered};
use crate::walk::step::{Path, RuleOutcome, StepKind, Walked};
use crate::walk::{Entrance, GivenState, Probe, link_values, walk};

use compare::{End, Place, Way, first_difference, of_kernel, of_model};
use frame::Headers;
use lab::{Lab, LabError, fail};
use talk::{Conversation, From, Opening, converse};

pub use lab::{in_a_lab, prepare};
pub use sys::{interrupted, note_interrupts};

/// The source port of a flow that names none.
const SOURCE_PORT: u16 = 40000;
/// The destination port of a flow that names none: discard.
const DESTINATION_PORT: u16 = 9;
/// How many answers to open questions are tried.
const MAX_WALKS: usize = 256;

/// A ruleset in the words of the programs that load it, in the order of its tables: what is registered later runs first
/// among equals.
#[derive(Debug, Clone, Default)]
pub struct Words(pub Vec<Part>);

/// A part of a ruleset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// For `nft -f`.
    Nft(String),
    /// For `nft -j -f`.
    NftJson(String),
    /// For `iptables-nft-restore`, `ip6tables-nft-restore` or `ebtables-nft-restore`.
    Iptables(iptables::Family, String),
    /// For `ipset restore`.
    Ipset(String),
}

/// One packet's way, by the model and by the kernel.
#[derive(Debug, Clone)]
pub struct Pair {
    pub model: Way,
    pub kernel: Way,
    /// The row in which they differ first.
    pub difference: Option<usize>,
}

impl Pair {
    fn new(model: Way, kernel: Way) -> Pair {
        let difference = first_difference(&model, &kernel);
        Pair {
            model,
            kernel,
            difference,
        }
    }
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    Yes,
    No,
    /// The model leaves it open, and why.
    Unknown(String),
}

/// A flow, verified.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The packet that was sent, in words.
    pub sent: String,
    pub request: Pair,
    pub reply: Option<Pair>,
    /// What the host sent back, because it refused the request.
    pub answer: Option<Pair>,
    pub agreement: Agreement,
    /// What the input leaves open and the kernel settled otherwise than is usual.
    pub settled: Vec<String>,
    /// Other remarks for people, one line each.
    pub notes: Vec<String>,
    /// What nft printed.
    pub trace: Vec<String>,
}

/// The words that load a ruleset: the user's own where there are some, otherwise printed from the listing. What
/// iptables wrote is loaded by iptables.
pub fn words(loaded: &Loaded, own: Option<&str>, saves: &[SaveText]) -> Result<Words, LabError> {
    if let Some(text) = own {
        return Ok(Words(vec![Part::Nft(text.to_string())]));
    }
    let deviceless = loaded
        .document
        .objects
        .iter()
        .find_map(|object| match object {
            Object::Chain(chain) if chain.dev.is_none() => {
                let hook = chain.hook.as_deref()?;
                matches!(hook, "ingress" | "egress").then_some(chain)
            }
            _ => None,
        });
    if let Some(chain) = deviceless {
        return fail(format!(
            "chain {} {} {} has no device in this listing (nft 1.0.6 leaves it out of its JSON); give the ruleset as `nft list ruleset` prints it, or a snapshot",
            chain.family, chain.table, chain.name
        ));
    }
    let mut words = Words::default();
    let sets = saves.iter().filter(|save| save.of == TextOf::Ipset);
    words
        .0
        .extend(sets.map(|save| Part::Ipset(save.text.clone())));
    let mut document = Document::default();
    let mut restored: Vec<(&str, &str)> = Vec::new();
    for object in &loaded.document.objects {
        let owner = owner(object);
        if let Some((family, table)) = owner
            && table.ends_with(" (legacy)")
        {
            return fail(format!(
                "table {family} {table} is of x_tables, whose steps the kernel does not trace"
            ));
        }
        let of_iptables = |family: &str, table: &str| {
            is_opaque(&loaded.document, family, table)
                || is_told_by_iptables(loaded, saves, family, table)
        };
        let Some((family, table)) = owner.filter(|(f, t)| of_iptables(f, t)) else {
            document.objects.push(object.clone());
            continue;
        };
        if restored.contains(&(family, table)) {
            continue;
        }
        restored.push((family, table));
        let which = match family {
            "ip6" => iptables::Family::Ip6,
            "bridge" => iptables::Family::Bridge,
            _ => iptables::Family::Ip,
        };
        let mut saves = saves
            .iter()
            .filter(|save| save.of == TextOf::Iptables(which));
        let Some(save) = saves.find_map(|save| table_of_save(&save.text, which, table)) else {
            return fail(format!(
                "table {family} {table} has {} extensions (`xt`), which nft cannot load; give them with `--{}`",
                which.program(),
                which.save_command()
            ));
        };
        words.add_nft(&mut document);
        words.0.push(Part::Iptables(which, save));
    }
    words.add_nft(&mut document);
    Ok(words)
}

impl Words {
    fn add_nft(&mut self, document: &mut Document) {
        let text = print::document(&std::mem::take(document));
        if !text.trim().is_empty() {
            self.0.push(Part::Nft(text));
        }
    }
}

/// Whether a table has a statement that only iptables can load.
fn is_opaque(document: &Document, family: &str, table: &str) -> bool {
    document.objects.iter().any(|object| match object {
        Object::Rule(rule) if rule.family == family && rule.table == table => rule
            .expr
            .iter()
            .flatten()
            .any(|stmt| matches!(stmt, Stmt::Xt(_))),
        _ => false,
    })
}

/// Whether a table comes from iptables-save text, so that iptables loads the very words.
fn is_told_by_iptables(loaded: &Loaded, saves: &[SaveText], family: &str, table: &str) -> bool {
    let has_text = saves.iter().any(|save| match save.of {
        TextOf::Iptables(of) => {
            of.as_str() == family && table_of_save(&save.text, of, table).is_some()
        }
        TextOf::Legacy(_) | TextOf::Ipset | TextOf::Listing => false,
    });
    let mut objects = loaded.document.objects.iter().enumerate();
    has_text
        && objects.any(|(at, object)| {
            matches!(object, Object::Rule(rule) if rule.family == family && rule.table == table)
                && loaded.meanings.contains_key(&at)
        })
}

/// The section of a table in iptables-save text.
fn table_of_save(text: &str, family: iptables::Family, table: &str) -> Option<String> {
    let start = format!("*{table}");
    let mut lines = text.lines().skip_while(|line| line.trim() != start);
    let mut section = format!("{}\n", lines.next()?);
    for line in lines {
        // ebtables-save ends a table by the next one
        if line.starts_with('*') {
            break;
        }
        section += &format!("{line}\n");
        if line.trim() == "COMMIT" {
            return Some(section);
        }
    }
    (family == iptables::Family::Bridge).then_some(section)
}

/// Family and table that an object belongs to.
fn owner(object: &Object) -> Option<(&str, &str)> {
    match object {
        Object::Table(table) => Some((&table.family, &table.name)),
        Object::Chain(chain) => Some((&chain.family, &chain.table)),
        Object::Rule(rule) => Some((&rule.family, &rule.table)),
        Object::Set(set) | Object::Map(set) => Some((&set.family, &set.table)),
        _ => None,
    }
}

/// Which rule of the user's ruleset a handle of the kernel means: by chain and position.
pub(crate) struct Handles {
    own: HashMap<(String, String, String, u64), Place>,
    /// Base chains that the kernel has and the user's ruleset has not: iptables makes all of a table.
    surplus: Vec<String>,
}

impl Handles {
    fn new(ruleset: &Ruleset, listing: &str) -> Result<Handles, LabError> {
        let in_kernel = load("the lab", listing, &[])
            .map_err(|error| LabError(error.to_string()))?
            .ruleset;
        Self::between(ruleset, &in_kernel)
    }

    fn between(ruleset: &Ruleset, in_kernel: &Ruleset) -> Result<Handles, LabError> {
        let mut handles = HashMap::new();
        for chain in &ruleset.chains {
            let table = ruleset.table(chain.table);
            let place = format!("chain {} {} {}", table.family, table.name, chain.name);
            let Some(twin) = in_kernel.find_chain(table.family, &table.name, &chain.name) else {
                return fail(format!("{place} is not there after loading"));
            };
            let twin = in_kernel.chain(twin);
            if twin.rules.len() != chain.rules.len() {
                return fail(format!(
                    "{place} has {} rules after loading, not {}; nft cannot write all that it reads",
                    twin.rules.len(),
                    chain.rules.len()
                ));
            }
            for (own, theirs) in chain.rules.iter().zip(&twin.rules) {
                let key = (
                    table.family.to_string(),
                    table.name.to_string(),
                    chain.name.to_string(),
                    in_kernel.rule(*theirs).handle.0,
                );
                let own = ruleset.rule(*own);
                let place = Place {
                    handle: own.handle,
                    index: own.index,
                };
                handles.insert(key, place);
            }
        }
        let mut surplus = Vec::new();
        for (_, chain) in in_kernel.chains() {
            let table = in_kernel.table(chain.table);
            let known = ruleset.find_chain(table.family, &table.name, &chain.name);
            if known.is_some() || chain.base.is_none() {
                continue;
            }
            let name = format!("{} {} {}", table.family, table.name, chain.name);
            if !chain.rules.is_empty() {
                return fail(format!(
                    "chain {name} is there after loading, and not in the ruleset"
                ));
            }
            surplus.push(name);
        }
        Ok(Handles {
            own: handles,
            surplus,
        })
    }

    fn of(&self, family: &str, table: &str, chain: &str, handle: u64) -> Place {
        let key = (family.into(), table.into(), chain.into(), handle);
        self.own.get(&key).copied().unwrap_or(Place {
            handle: Handle(handle),
            index: u32::MAX,
        })
    }
}

/// Verifies one flow: builds its host, sends it and compares. To be called in a thread of its own ([`in_a_lab`]).
pub fn verify(
    loaded: &Loaded,
    words: &Words,
    host: &Host,
    question: &Question,
) -> Result<Verified, LabError> {
    let question = &definite(question)?;
    let hooks = Hooks::new(&loaded.ruleset);
    let answer = explain(loaded, &hooks, host, question).map_err(|e| LabError(e.to_string()))?;
    if let Some(rule) = copier(&loaded.ruleset, &answer.explored.primary) {
        return fail(format!(
            "{} sends a copy of the packet: the lab cannot tell the copy from the packet itself",
            rule_ref(&loaded.ruleset, rule)
        ));
    }
    let local = match question.flow.src {
        _ if question.iif.is_some() || question.in_port.is_some() => false,
        None => true,
        Some(src) => answer.host.addresses.iter().any(|a| a.ip == src) || src.is_loopback(),
    };
    let entry = if local {
        None
    } else {
        let by = question.in_port.clone().or(question.iif.clone());
        let by = by.or(answer.report.flow.iif.clone());
        Some(by.ok_or_else(|| {
            LabError("it is not known where the packet enters; say it with `--iif NAME`".into())
        })?)
    };
    let mut lab = Lab::build(&answer.host)?;
    let listing = lab.load(words)?;
    let handles = Handles::new(&loaded.ruleset, &listing)?;
    if !handles.surplus.is_empty() {
        lab.remove(&handles.surplus)?;
    }
    let opening = opening(&mut lab, question, entry.as_deref())?;
    let conversation = converse(&mut lab, &opening)?;
    let facts = lab.facts()?;
    let (mut verified, _) = compare(
        loaded,
        &hooks,
        &facts,
        question,
        &opening,
        &conversation,
        |f, t, c, h| handles.of(f, t, c, h),
    )?;
    for assumption in &answer.report.assumptions {
        if assumption.source == "inferred" {
            let note = format!("the lab takes it that {}", assumption.words);
            verified.notes.push(note);
        }
    }
    verified.notes.append(&mut lab.notes);
    Ok(verified)
}

/// A rule on the way of a flow that sends a copy (`dup`, the target TEE).
fn copier(ruleset: &Ruleset, walked: &Walked) -> Option<RuleId> {
    let ways = std::iter::once(&walked.request).chain(&walked.reply);
    let copies = |id: RuleId| {
        let mut statements = ruleset.rule(id).statements.iter();
        statements.any(|one| matches!(one.kind, Lowered::Dup))
    };
    ways.flat_map(|path| &path.steps)
        .find_map(|step| match &step.kind {
            StepKind::Rule(rule) => {
                let is_matched = matches!(rule.outcome, RuleOutcome::Matched(_));
                (is_matched && copies(rule.rule)).then_some(rule.rule)
            }
            _ => None,
        })
}

/// A question with every field of the packet decided.
fn definite(question: &Question) -> Result<Question, LabError> {
    let mut question = question.clone();
    if question.state != GivenState::New {
        return fail(
            "`--ct-state` cannot be verified: the lab sends the first packet of a conversation",
        );
    }
    if !question.assume.is_empty() {
        return fail("`--assume` cannot be verified: the lab cannot fill a limit or quota");
    }
    if question.flow.proto == proto::DCCP {
        return fail("the lab cannot make DCCP packets");
    }
    let flow = &mut question.flow;
    if proto::has_ports(flow.proto) {
        flow.sport.get_or_insert(SOURCE_PORT);
        flow.dport.get_or_insert(DESTINATION_PORT);
    }
    match flow.proto {
        proto::TCP => {
            question.tcp_flags.get_or_insert(tcp::SYN);
        }
        proto::ICMP => {
            question.icmp.get_or_insert((8, 0));
        }
        proto::ICMPV6 => {
            question.icmp.get_or_insert((128, 0));
        }
        _ => {}
    }
    Ok(question)
}

/// The first packet of a question, addressed as somebody out there would.
pub fn opening(
    lab: &mut Lab,
    question: &Question,
    entry: Option<&str>,
) -> Result<Opening, LabError> {
    let flow = &question.flow;
    let any = sys::any(flow.dst.is_ipv6());
    let mut headers = Headers {
        src: flow.src.unwrap_or(any),
        dst: flow.dst,
        proto: flow.proto,
        sport: flow.sport.unwrap_or(0),
        dport: flow.dport.unwrap_or(0),
        icmp: question.icmp,
        query: (0x4e46, 1),
        tcp_flags: question.tcp_flags.unwrap_or(0),
        seq: 1000,
        ack: 0,
        ttl: 64,
        padding: 0,
    };
    if let Some(length) = question.length {
        let shortest = headers.encode().len();
        headers.padding = match usize::from(length).checked_sub(shortest) {
            Some(padding) if padding <= 1400 => padding as u16,
            _ => {
                return fail(format!(
                    "`--length {length}`: the lab sends packets of {shortest} to {} bytes here",
                    shortest + 1400
                ));
            }
        };
    }
    let from = match entry {
        None => From::Host {
            oif: question.oif.clone(),
        },
        Some(_) if question.mark != 0 => {
            return fail(
                "`--mark` cannot be verified for a packet from outside: a wire carries no mark",
            );
        }
        Some(device) => {
            let (port, bridge) = doorway(lab, question, device, headers.src)?;
            if let Some(bridge) = &bridge {
                lab.move_in(bridge, headers.src, &port);
            }
            let (src, dst) = addressed(lab, &port, &headers)?;
            From::Outside {
                device: port,
                dst: question.ether_dst.unwrap_or(dst),
                src: question.ether_src.unwrap_or(src),
            }
        }
    };
    Ok(Opening {
        headers,
        from,
        mark: question.mark,
        uid: question.uid,
    })
}

/// The link that the frame comes in by, and the bridge that it is a port of.
fn doorway(
    lab: &mut Lab,
    question: &Question,
    device: &str,
    src: IpAddr,
) -> Result<(String, Option<String>), LabError> {
    let Some(link) = lab.host().link(device) else {
        return fail(format!("the host has no interface `{device}`"));
    };
    let (port, bridge) = if link.kind == LinkKind::Bridge {
        let port = match &question.in_port {
            Some(port) => port.clone(),
            None => lab.home(device, src),
        };
        (port, Some(device.to_string()))
    } else {
        let bridge = lab.host().bridge_of(device).map(str::to_string);
        (device.to_string(), bridge)
    };
    if lab.has_wire(&port) {
        return Ok((port, bridge));
    }
    fail(match bridge {
        Some(_) if port.is_empty() => {
            format!("bridge {device} has no port by which a packet could enter")
        }
        _ => format!("nothing can be sent into `{port}` from outside"),
    })
}

/// The Ethernet addresses, source first, of a frame that somebody behind a link sends: it goes to the next station.
pub(crate) fn addressed(
    lab: &mut Lab,
    port: &str,
    headers: &Headers,
) -> Result<(Mac, Mac), LabError> {
    let bridge = lab.host().bridge_of(port).map(str::to_string);
    let behind = bridge.as_deref().unwrap_or(port);
    let own = lab.host().link(behind).and_then(|link| link.mac);
    let own = own.unwrap_or_default();
    let from = lab.mac_of(behind, headers.src);
    let dst = headers.dst;
    let to = match &bridge {
        _ if dst.is_multicast() || is_broadcast(lab.host(), behind, dst) => group(dst),
        Some(bridge) if is_sibling(lab.host(), bridge, dst) => {
            let mac = lab.mac_of(bridge, dst);
            let home = lab.home(bridge, dst);
            lab.teach(mac, &home)?;
            mac
        }
        Some(_) | None => own,
    };
    Ok((from, to))
}

/// Whether an address is behind a bridge, not this host's and not behind a router.
fn is_sibling(host: &Host, bridge: &str, dst: IpAddr) -> bool {
    let near = |a: &&crate::host::Address| a.dev == bridge;
    if host.addresses.iter().any(|a| a.ip == dst) {
        return false;
    }
    let mut subnets = host
        .addresses
        .iter()
        .filter(near)
        .filter_map(|a| a.subnet());
    if subnets.any(|subnet| subnet.contains(&dst)) {
        return true;
    }
    match host.route(&RouteQuery::to(dst)) {
        RouteAnswer::Found(route) if route.kind == RouteType::Unicast => route
            .nexthops
            .iter()
            .any(|hop| hop.dev.as_deref() == Some(bridge) && hop.via.is_none()),
        RouteAnswer::Found(_) => false,
        RouteAnswer::NoRoute | RouteAnswer::Unknown { .. } => {
            !host.addresses.iter().any(|a| a.dev == bridge)
        }
    }
}

fn is_broadcast(host: &Host, device: &str, dst: IpAddr) -> bool {
    let IpAddr::V4(v4) = dst else {
        return false;
    };
    v4.is_broadcast()
        || host.addresses.iter().any(|a| {
            a.dev == device
                && a.prefix_len < 31
                && matches!(a.subnet(), Some(ipnet::IpNet::V4(net)) if net.broadcast() == v4)
        })
}

/// The Ethernet address of a group.
fn group(dst: IpAddr) -> Mac {
    match dst {
        IpAddr::V4(v4) if v4.is_multicast() => {
            let [_, b, c, d] = v4.octets();
            [1, 0, 0x5e, b & 0x7f, c, d]
        }
        IpAddr::V4(_) => [0xff; 6],
        IpAddr::V6(v6) => {
            let o = v6.octets();
            [0x33, 0x33, o[12], o[13], o[14], o[15]]
        }
    }
}

/// The model's question about the packet that was sent.
fn probe(host: &Host, question: &Question, opening: &Opening) -> Result<Probe, LabError> {
    let iface = |name: &str| {
        let at = host.link_at(name);
        at.map(|at| Iface::Link(at as u16))
            .ok_or_else(|| LabError(format!("interface `{name}` is not there in the lab")))
    };
    let headers = &opening.headers;
    let (entrance, ether, oif) = match &opening.from {
        From::Host { oif } => {
            let oif = oif.as_deref().map(iface).transpose()?;
            (Entrance::Local, None, oif)
        }
        From::Outside { device, dst, src } => {
            (Entrance::Iface(iface(device)?), Some((*src, *dst)), None)
        }
    };
    // what the host's own stack makes of headers is not laid down
    let raw = entrance != Entrance::Local;
    let length = raw.then(|| headers.encode().len() as u16);
    Ok(Probe {
        spec: Spec {
            v6: headers.dst.is_ipv6(),
            src: Known::Value(headers.src),
            dst: Known::Value(headers.dst),
            proto: headers.proto,
            sport: Known::Value(headers.sport),
            dport: Known::Value(headers.dport),
            icmp: headers.icmp,
            tcp_flags: question.tcp_flags,
            ttl: Some(headers.ttl),
            tos: Some(0),
            length,
            ether_src: ether.map(|(src, _)| src),
            ether_dst: ether.map(|(_, dst)| dst),
        },
        entrance,
        in_port: None,
        oif,
        mark: opening.mark,
        state: GivenState::New,
        uid: (entrance == Entrance::Local).then_some(opening.uid.unwrap_or(0)),
        gid: (entrance == Entrance::Local).then_some(0),
    })
}

/// The rank of a way that agrees: packet and row of the first difference, had it one.
const AGREES: (u8, usize) = (3, 0);

/// How many choices a path had made when it came to a line of its way, its end included.
fn decided_before(path: &Path, row: usize) -> usize {
    let mut lines = 0;
    let mut decided = path.choices.0;
    for step in &path.steps {
        match &step.kind {
            StepKind::Rule(rule) => {
                decided = rule.choices.1;
                if matches!(rule.outcome, RuleOutcome::Matched(_)) {
                    lines += 1;
                }
            }
            StepKind::Policy { .. } => lines += 1,
            StepKind::Chain(_)
            | StepKind::Conntrack(_)
            | StepKind::Nat(_)
            | StepKind::Routing(_)
            | StepKind::Bridge(_)
            | StepKind::Ttl { .. }
            | StepKind::Local
            | StepKind::Leaves
            | StepKind::Loopback
            | StepKind::Drop(_) => {}
        }
        if lines > row {
            return decided;
        }
    }
    path.choices.1
}

/// Compares a conversation with the model's, on the host as the lab has it.
///
/// Where the packet or the ruleset leaves something open (a random port, the bytes of an identifier), every answer is
/// tried; the kernel's must be among them. Gives the way of the model that was compared, too.
pub fn compare(
    loaded: &Loaded,
    hooks: &Hooks,
    facts: &Host,
    question: &Question,
    opening: &Opening,
    conversation: &Conversation,
    place_of: impl Fn(&str, &str, &str, u64) -> Place,
) -> Result<(Verified, Walked), LabError> {
    let ruleset = &loaded.ruleset;
    let probe = probe(facts, question, opening)?;
    let values = link_values(facts);
    let world = World {
        ruleset,
        host: facts,
        link_values: &values,
    };
    let kernel_request = of_kernel(&conversation.request, &place_of);
    let kernel_reply = conversation
        .reply
        .as_ref()
        .map(|reply| of_kernel(reply, &place_of));
    let kernel_answer = conversation
        .answer
        .as_ref()
        .map(|answer| of_kernel(answer, &place_of));
    let pairs = |walked: &Walked| {
        let request = Pair::new(
            of_model(ruleset, facts, &walked.request),
            kernel_request.clone(),
        );
        let model_reply = walked.reply.as_ref().map(|p| of_model(ruleset, facts, p));
        let nothing = || Way {
            lines: Vec::new(),
            end: End::Gone { why: String::new() },
        };
        let model_answer = walked.request.answer.as_ref();
        let model_answer = model_answer.map(|p| of_model(ruleset, facts, p));
        let answer = match (model_answer, kernel_answer.clone()) {
            (Some(model), kernel) if request.difference.is_none() => {
                let mut kernel = kernel.unwrap_or_else(nothing);
                // no socket of the lab waits for errors
                if let End::Local { .. } = model.end
                    && kernel.end == nothing().end
                {
                    kernel.end = model.end.clone();
                }
                Some(Pair::new(model, kernel))
            }
            _ => None,
        };
        let reply = match (model_reply, kernel_reply.clone()) {
            (None, None) => None,
            // the request differs already: what follows says nothing
            _ if request.difference.is_some() => None,
            (Some(_), None) => None,
            (model, Some(kernel)) => Some(Pair::new(model.unwrap_or_else(nothing), kernel)),
        };
        (request, reply, answer)
    };
    // the way that agreed the longest is asked first what else it could have been, the latest choice first
    let mut scripts = BinaryHeap::from([((0, 0), 0, Vec::new())]);
    let mut tried = 0;
    let mut best = None;
    let mut best_rank = None;
    while let Some((_, _, script)) = scripts.pop() {
        if tried == MAX_WALKS {
            break;
        }
        tried += 1;
        let forced = script.len();
        let (walked, _) = walk(world, hooks, &probe, Knowledge::with_script(script));
        let (request, reply, answer) = pairs(&walked);
        let later = [
            (1, &answer, walked.request.answer.as_deref()),
            (2, &reply, walked.reply.as_ref()),
        ];
        let later = later.into_iter().find_map(|(which, pair, path)| {
            let row = pair.as_ref()?.difference?;
            let decided = path.map_or(walked.choices.len(), |path| decided_before(path, row));
            Some(((which, row), decided))
        });
        let (rank, decided) = match request.difference {
            Some(row) => ((0, row), decided_before(&walked.request, row)),
            None => later.unwrap_or((AGREES, 0)),
        };
        for at in forced..decided.min(walked.choices.len()) {
            let mut script: Vec<bool> = walked.choices[..at].iter().map(|c| c.holds).collect();
            script.push(!walked.choices[at].holds);
            scripts.push((rank, at, script));
        }
        if best_rank.is_none_or(|before| rank > before) {
            best_rank = Some(rank);
            best = Some((rank, request, reply, answer, walked));
        }
        if rank == AGREES {
            break;
        }
    }
    let Some((rank, request, reply, answer, walked)) = best else {
        return fail("the model gave no way at all");
    };
    let (mut notes, mut settled) = (Vec::new(), Vec::new());
    let ways = [Some(&request), reply.as_ref(), answer.as_ref()];
    let open = ways
        .into_iter()
        .flatten()
        .find_map(|pair| match &pair.model.end {
            End::Open { why } => Some(why.clone()),
            End::Left { .. } | End::Local { .. } | End::Gone { .. } => None,
        });
    let agreement = match open {
        _ if rank == AGREES => {
            for choice in walked.choices.iter().filter(|c| c.holds != c.usual) {
                settled.push(choice.claim.said(choice.holds));
            }
            if walked.reply.is_some() && kernel_reply.is_none() {
                notes.push("the lab has no answer to this packet, so no reply was compared".into());
            }
            Agreement::Yes
        }
        Some(why) => Agreement::Unknown(why),
        None => Agreement::No,
    };
    let verified = Verified {
        sent: sent(question, opening),
        request,
        reply,
        answer,
        agreement,
        settled,
        notes,
        trace: conversation.lines.clone(),
    };
    Ok((verified, walked))
}

fn sent(question: &Question, opening: &Opening) -> String {
    let mut flow = question.flow;
    if flow.src.is_none() {
        flow.sport = None;
    }
    match &opening.from {
        From::Host { oif: None } => format!("{flow}, from this host"),
        From::Host { oif: Some(oif) } => format!("{flow}, from this host bound to {oif}"),
        From::Outside { device, .. } => format!("{flow}, in by {device}"),
    }
}
