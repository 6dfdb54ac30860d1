//! How a domain's cache is split among those who share it, anew whenever somebody comes, ends or has used up some of its time.

use std::time::Duration;

use super::running::{Phase, Running};
use super::{Effect, Worker};
use crate::allocator::{Group, LeaseId};
use crate::cache::{CacheGeometry, DomainId, WayMask, Ways};
use crate::split::{self, Objective, Problem, Room, Row, Runner, Wanted};
use crate::time::Timestamp;

/// How often a domain in which several share is looked at although nobody comes or ends.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// Masks change only where that makes what is still to run faster by this part of it.
const WORTH: f64 = 0.01;
/// How fast granted ways fill, bytes per second: a fifth of what one memory channel gives.
const REFILL: f64 = 4e9;
/// A function that the smallest mask slows down by no more than this part takes no cache budget.
const LIGHT: f64 = 0.01;
/// From this part of its run on, somebody is about to end and left alone, until it is this much late.
const ENDING: std::ops::Range<f64> = 0.95..1.2;

/// One who shares, as far as splitting goes.
#[derive(Debug, Clone)]
pub(super) struct Sharer {
    pub(super) lease: LeaseId,
    /// The mask it has now.
    pub(super) mask: WayMask,
    pub(super) slowdown: Row,
    /// Seconds that it would still run with the whole cache, times its weight.
    pub(super) left: f64,
    /// Whether it is about to end.
    pub(super) ending: bool,
}

impl Worker {
    /// Splits a domain anew, where that pays; what has to be moved.
    pub(super) fn resplit(&mut self, now: Timestamp, domain: DomainId) -> Vec<Effect> {
        let known = self.allocator.domains().iter().find(|known| known.id == domain);
        let Some(geometry) = known.map(|known| known.geometry) else { return Vec::new() };
        let alone = self.rooms.iter().any(|room| room.domain == domain && room.alone);
        if alone || geometry.classes == 0 {
            // A benchmark has what it asked for.
            return Vec::new();
        }
        let here = || self.running.values().filter(|running| running.domain == domain);
        let exclusive: Vec<WayMask> = here().filter(|one| one.exclusive).map(|one| one.mask).collect();
        let sharers: Vec<Sharer> =
            here().filter(|one| !one.exclusive).map(|one| one.sharer(now, &geometry)).collect();
        let Some(groups) = plan(&geometry, &exclusive, &sharers) else { return Vec::new() };
        match self.allocator.arrange(domain, &groups) {
            Ok(moved) => self.apply(now, &moved),
            Err(error) => {
                tracing::warn!(%domain, %error, "the cache stays split as it was");
                Vec::new()
            }
        }
    }

    /// Plans the next look at a domain: while several share it.
    pub(super) fn plan_look(&mut self, now: Timestamp, domain: DomainId) {
        let sharing = |one: &&Running| one.domain == domain && !one.exclusive;
        let several = self.running.values().filter(sharing).nth(1).is_some();
        if let Some(room) = self.rooms.iter_mut().find(|room| room.domain == domain) {
            room.look = several.then(|| now + EVERY);
        }
    }
}

impl Running {
    fn sharer(&self, now: Timestamp, geometry: &CacheGeometry) -> Sharer {
        let whole = self.curve.seconds(geometry, geometry.usable_ways());
        let done = self.segments.progress(now, |cache| self.curve.at(cache).seconds * self.pace);
        Sharer {
            lease: self.lease,
            mask: self.mask,
            slowdown: Row::slowdowns(&self.curve, geometry),
            left: self.weight.get() * whole * self.pace * (1.0 - done).max(0.1),
            ending: ENDING.contains(&done) || !matches!(self.phase, Phase::Running { .. }),
        }
    }
}

/// Who gets which ways, with whom; `None` where everybody should stay as they are, because a change would not pay or
/// there is nothing to choose.
///
/// Whoever loses the most by a small mask gets ways of its own, as far as ways and classes suffice; all others share a group, which
/// is one runner to the exact split: each of its members counts as having an even part of its ways.
pub(super) fn plan(
    geometry: &CacheGeometry,
    exclusive: &[WayMask],
    sharers: &[Sharer],
) -> Option<Vec<Group>> {
    let taken = exclusive.iter().fold(0, |all, mask| all | mask.bits());
    let room = Room::of(geometry).without(taken);
    let classes = usize::from(geometry.classes).checked_sub(exclusive.len())?;
    // Those who are about to end keep their masks, unless there is no room for the others then.
    let groups = solve(room, classes, sharers, true).or_else(|| solve(room, classes, sharers, false))?;
    pays(geometry, sharers, &groups).then_some(groups)
}

/// The best groups, whoever has which mask now; `None` where there is no room or nobody.
fn solve(room: Room, classes: usize, sharers: &[Sharer], leave: bool) -> Option<Vec<Group>> {
    let (ending, mut rest): (Vec<&Sharer>, Vec<&Sharer>) =
        sharers.iter().partition(|sharer| leave && sharer.ending);
    let mut groups: Vec<Group> = Vec::new();
    for sharer in &ending {
        match groups.iter_mut().find(|group| group.mask == sharer.mask) {
            Some(group) => group.leases.push(sharer.lease),
            None => groups.push(Group { mask: sharer.mask, leases: vec![sharer.lease] }),
        }
    }
    let room = room.without(groups.iter().fold(0, |all, group| all | group.mask.bits()));
    if rest.is_empty() {
        return (groups.len() <= classes && !groups.is_empty()).then_some(groups);
    }
    let most = classes.checked_sub(groups.len())?.min(room.most_runners());
    let least = room.min();
    let loss = |sharer: &Sharer| sharer.left * (sharer.slowdown.at(least) - 1.0);
    rest.sort_by(|a, b| loss(b).total_cmp(&loss(a)).then(a.lease.cmp(&b.lease)));
    let light = |sharer: &&Sharer| sharer.slowdown.at(least) <= 1.0 + LIGHT;
    let sensitive = rest.iter().filter(|sharer| !light(sharer)).count();
    let own = if sensitive == rest.len() && sensitive <= most {
        sensitive
    } else {
        sensitive.min(most.checked_sub(1)?)
    };
    // The light ones stand anywhere behind, as they lose little by anything.
    rest.sort_by_key(|sharer| light(sharer));
    let (alone, together) = rest.split_at(own);

    let shared = Row::new(&each_way(|ways| {
        together.iter().map(|one| one.left * between(&one.slowdown, ways / together.len() as f64)).sum()
    }));
    let shared = shared.ok()?;
    let mut runners: Vec<Runner<'_>> = alone.iter().map(|one| Runner::new(one.left, &one.slowdown)).collect();
    let mut members: Vec<Vec<&Sharer>> = alone.iter().map(|&one| vec![one]).collect();
    if !together.is_empty() {
        runners.push(Runner::new(1.0, &shared));
        members.push(together.to_vec());
    }
    let solution = split::solve(&Problem { room, runners: &runners }, Objective::Sum).ok()?;
    let wanted: Vec<Wanted> = solution
        .ways
        .iter()
        .zip(&members)
        .map(|(&ways, members)| Wanted { ways, now: members.first().map(|one| one.mask) })
        .collect();
    let masks = split::lay_out(room, &wanted)?;
    let new = masks.into_iter().zip(members);
    groups.extend(
        new.map(|(mask, members)| Group { mask, leases: members.into_iter().map(|one| one.lease).collect() }),
    );
    Some(groups)
}

/// Whether a change gains more than it costs to fill the ways that are granted, and enough to bother.
fn pays(geometry: &CacheGeometry, sharers: &[Sharer], groups: &[Group]) -> bool {
    let new_mask = |sharer: &Sharer| {
        groups
            .iter()
            .find(|group| group.leases.contains(&sharer.lease))
            .map_or(sharer.mask, |group| group.mask)
    };
    let now: Vec<WayMask> = sharers.iter().map(|sharer| sharer.mask).collect();
    let new: Vec<WayMask> = sharers.iter().map(new_mask).collect();
    let (before, after) = (cost(sharers, &now), cost(sharers, &new));
    let granted: u32 = now.iter().zip(&new).map(|(now, new)| (new.bits() & !now.bits()).count_ones()).sum();
    let refill = f64::from(granted) * geometry.way_size().0 as f64 / REFILL;
    before - after > refill && before - after > WORTH * before
}

/// Weighted seconds still to run where each has the mask beside it, ways with several owners divided evenly.
fn cost(sharers: &[Sharer], masks: &[WayMask]) -> f64 {
    let part = |mask: &WayMask| -> f64 {
        let ways = (0..u32::BITS).filter(|way| mask.bits() >> way & 1 == 1);
        ways.map(|way| 1.0 / masks.iter().filter(|other| other.bits() >> way & 1 == 1).count() as f64).sum()
    };
    sharers.iter().zip(masks).map(|(sharer, mask)| sharer.left * between(&sharer.slowdown, part(mask))).sum()
}

fn each_way(cost: impl Fn(f64) -> f64) -> Vec<f64> {
    (1..=Ways::MAX).map(|ways| cost(f64::from(ways))).collect()
}

/// A row between whole ways; below one, what one way gives.
fn between(row: &Row, ways: f64) -> f64 {
    let (below, above) = (row.at(ways.floor() as u8), row.at(ways.ceil() as u8));
    below + (above - below) * ways.fract()
}

#[cfg(test)]
mod tests;
