//! Whether all packets of a class do the same: the classes of `nfpath test`.

use ipnet::IpNet;

use crate::eval::World;
use crate::explain::Question;
use crate::hooks::Hooks;
use crate::host::Host;
use crate::load::Loaded;
use crate::logic::Ranges;
use crate::packet::range_of;
use crate::sets::{GaveUp, Room, Set};
use crate::symbolic::{End, From, Input, Space, replies, requests};
use crate::walk::link_values;

use super::class::{Cutting, MARTIAN, pick, question, rests_on, usual_only};
use super::{ReachError, imagined, link_at};

/// First packets from outside, as they are sent; what is not said can be anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub iif: Option<String>,
    pub src: Option<IpNet>,
    pub dst: Option<IpNet>,
    pub proto: Option<u8>,
    /// Ranges of destination ports.
    pub dports: Option<Ranges>,
}

/// What becomes of a class.
#[derive(Debug, Clone)]
pub enum Whole {
    /// Every packet does so.
    Yes,
    /// This one does not.
    No(Box<Question>),
    /// It depends on this.
    Open(Vec<String>),
    /// No packet is in the class, or none of it is followed.
    Nothing,
}

/// Whether all packets of a class get through, with answers that come back, or none does.
///
/// Packets that the host drops for their source, whatever its rules, do not count; nor does what is not followed
/// (docs/limitations.md).
pub fn whole(
    loaded: &Loaded,
    hooks: &Hooks,
    host: &Host,
    wanted: &Wanted,
    passes: bool,
    room: Room,
) -> Result<Whole, ReachError> {
    let known = imagined(&loaded.ruleset, host);
    let iif = match &wanted.iif {
        Some(name) => Some(link_at(&known, "iif", name)?),
        None => None,
    };
    let values = link_values(&known);
    let world = World {
        ruleset: &loaded.ruleset,
        host: &known,
        link_values: &values,
    };
    let mut answer = Whole::Nothing;
    for v6 in [false, true] {
        let other = |net: &IpNet| matches!(net, IpNet::V6(_)) != v6;
        if wanted.src.as_ref().is_some_and(other) || wanted.dst.as_ref().is_some_and(other) {
            continue;
        }
        let mut space = Space::new(v6, known.links.len(), room);
        match of_version(&mut space, world, hooks, wanted, iif, passes)? {
            Whole::Yes => answer = Whole::Yes,
            Whole::Nothing => {}
            not => return Ok(not),
        }
    }
    Ok(answer)
}

fn of_version(
    space: &mut Space,
    world: World<'_>,
    hooks: &Hooks,
    wanted: &Wanted,
    iif: Option<usize>,
    passes: bool,
) -> Result<Whole, GaveUp> {
    let ways = requests(space, world, hooks, From::Outside, Some(0))?;
    let mut through = ways.passed(space);
    if passes {
        let back = replies(space, world, hooks, &ways, From::Outside)?;
        let heard = back.passed(space);
        through = space.sets.and(through, heard);
    }
    let all = usual_only(space, Set::ALL);
    let mut class = class(space, wanted, iif);
    class = space.sets.and(class, all);
    let skipped = ways.ended(space, |end| {
        *end == MARTIAN || matches!(end, End::NotCovered(_))
    });
    let skipped = usual_only(space, skipped);
    class = space.sets.minus(class, skipped);
    if passes {
        // nobody answers those
        let many = usual_only(space, ways.to_many);
        class = space.sets.minus(class, many);
    }
    space.check()?;
    if class.is_empty() {
        return Ok(Whole::Nothing);
    }
    let wrong = if passes { through.not() } else { through };
    let wrong = usual_only(space, wrong);
    let wrong = space.sets.and(class, wrong);
    let cutting = Cutting::new(space, all, Set::NONE);
    let (certain, open) = cutting.sides(space, wrong);
    space.check()?;
    Ok(if !certain.is_empty() {
        let some = space.sets.and(wrong, certain);
        let point = pick(space, world.host, some);
        let links = &world.host.links;
        Whole::No(Box::new(question(space, links, &point, From::Outside)))
    } else if !open.is_empty() {
        Whole::Open(rests_on(space, wrong, all))
    } else {
        Whole::Yes
    })
}

fn class(space: &mut Space, wanted: &Wanted, iif: Option<usize>) -> Set {
    let mut parts = Vec::new();
    if let Some(at) = iif {
        parts.push(space.packets(Input::Iif, &[(at as u128, at as u128)]));
    }
    for (input, net) in [(Input::Src, wanted.src), (Input::Dst, wanted.dst)] {
        if let Some(net) = net {
            parts.push(space.packets(input, &[range_of(net)]));
        }
    }
    if let Some(number) = wanted.proto {
        parts.push(space.protos(&[number]));
    }
    if let Some(ports) = &wanted.dports {
        parts.push(space.packets(Input::Dport, ports));
        parts.push(space.with_ports());
    }
    let all = parts.into_iter();
    all.fold(Set::ALL, |all, part| space.sets.and(all, part))
}
