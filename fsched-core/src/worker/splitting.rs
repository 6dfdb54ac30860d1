//! How a domain's cache is split among those who share it, anew whenever somebody comes, ends or has used up some of its time.
//!
//! | file | what |
//! | --- | --- |
//! | `splitting/plan.rs` | [`plan`]: who gets which ways with whom, and whether a change is worth it |

mod plan;

use std::time::Duration;

use self::plan::plan;

use super::running::{Phase, Running};
use super::{Effect, Worker};
use crate::allocator::LeaseId;
use crate::cache::{Bytes, CacheGeometry, DomainId, WayMask};
use crate::curve::Curve;
use crate::split::contention::Demand;
use crate::split::{Room, Row, worth};
use crate::time::Timestamp;

/// How often a domain in which several share is looked at although nobody comes or ends.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// From this part of its run on, somebody is about to end and left alone, until it is this much late.
const ENDING: std::ops::Range<f64> = 0.95..1.2;

/// One who shares, as far as splitting goes.
#[derive(Debug, Clone)]
pub(super) struct Sharer<'a> {
    pub(super) lease: LeaseId,
    /// The mask it has now.
    pub(super) mask: WayMask,
    pub(super) slowdown: &'a Row,
    /// What is left of its run, as a part of it, times its weight, times the harmonic mean of what all runs here take with the
    /// whole cache, seconds; times what its slowdown is [worth] over what that of such a mean run is. So it can be weighed against the
    /// time in which ways fill: short runs, which pay more for that, are few where that mean is long.
    pub(super) left: f64,
    /// Seconds that it takes with the whole cache.
    whole: f64,
    /// Whether it is about to end.
    pub(super) ending: bool,
    /// Whether it has not started yet.
    pub(super) new: bool,
    /// What it does to a cache that it shares, where its misses are known and somebody has to share.
    pub(super) demand: Option<&'a Demand>,
}

impl Worker {
    /// Splits a domain anew, where that pays; what has to be moved. `new` has not started yet.
    pub(super) fn resplit(&mut self, now: Timestamp, domain: DomainId, new: Option<LeaseId>) -> Vec<Effect> {
        let known = self.allocator.domains().iter().find(|known| known.id == domain);
        let Some(geometry) = known.map(|known| known.geometry) else { return Vec::new() };
        let alone = self.rooms.iter().any(|room| room.domain == domain && room.alone);
        if alone || geometry.classes == 0 {
            // A benchmark has what it asked for.
            return Vec::new();
        }
        let here = || self.running.values().filter(|running| running.domain == domain);
        if here().all(|one| one.exclusive) {
            return Vec::new();
        }
        let exclusive: Vec<WayMask> = here().filter(|one| one.exclusive).map(|one| one.mask).collect();
        let sharers = self.sharers(now, domain, &geometry, new);
        let Some(groups) = plan(&geometry, &exclusive, &sharers) else { return Vec::new() };
        match self.allocator.arrange(domain, &groups) {
            Ok(moved) => self.apply(now, &moved),
            Err(error) => {
                tracing::warn!(%domain, %error, "the cache stays split as it was");
                Vec::new()
            }
        }
    }

    /// Those who share a domain.
    fn sharers(
        &self,
        now: Timestamp,
        domain: DomainId,
        geometry: &CacheGeometry,
        new: Option<LeaseId>,
    ) -> Vec<Sharer<'_>> {
        let here = || self.running.values().filter(|running| running.domain == domain);
        let exclusive = here().filter(|one| one.exclusive).count();
        let shared = || here().filter(|one| !one.exclusive);
        let mut sharers: Vec<Sharer<'_>> =
            shared().map(|one| Sharer { new: new == Some(one.lease), ..one.sharer(now, geometry) }).collect();
        let runs = sharers.len() as f64;
        let mean = runs / sharers.iter().map(|one| one.whole.recip()).sum::<f64>();
        sharers.iter_mut().for_each(|one| one.left *= mean * worth(one.whole) / worth(mean));
        let room = Room::of(geometry);
        let classes = usize::from(geometry.classes).saturating_sub(exclusive);
        let crowded =
            sharers.iter().filter(|one| !one.is_light(room)).count() >= classes.min(room.most_runners());
        if crowded {
            for (sharer, running) in sharers.iter_mut().zip(shared()) {
                sharer.demand = running.demand(geometry);
            }
        }
        sharers
    }

    /// Plans the next look at a domain: while several share it.
    pub(super) fn plan_look(&mut self, now: Timestamp, domain: DomainId) {
        let sharing = |one: &Running| one.domain == domain && !one.exclusive;
        let several = self.running.values().filter(|one| sharing(one)).nth(1).is_some();
        if let Some(room) = self.rooms.iter_mut().find(|room| room.domain == domain) {
            room.look = several.then(|| now + EVERY);
        }
    }
}

/// A curve by the ways of its domain.
#[derive(Debug)]
pub(super) struct Read {
    slowdown: Row,
    /// Seconds.
    times: Row,
}

impl Read {
    fn new(curve: &Curve, geometry: &CacheGeometry) -> Self {
        Self { slowdown: Row::slowdowns(curve, geometry), times: Row::times(curve, geometry) }
    }
}

impl Running {
    fn sharer(&self, now: Timestamp, geometry: &CacheGeometry) -> Sharer<'_> {
        let Read { slowdown, times } =
            &**self.read.get_or_init(|| Box::new(Read::new(&self.curve, geometry)));
        let whole = times.at(geometry.usable_ways().get()) * self.pace;
        let way = geometry.way_size().0.max(1);
        let ways = |cache: Bytes| u8::try_from(cache.0 / way).unwrap_or(u8::MAX);
        let done = self.segments.progress(now, |cache| times.at(ways(cache)) * self.pace);
        Sharer {
            lease: self.lease,
            mask: self.mask,
            slowdown,
            left: self.weight.get() * (1.0 - done).max(0.1),
            whole,
            ending: ENDING.contains(&done) || !matches!(self.phase, Phase::Running { .. }),
            new: false,
            demand: None,
        }
    }

    fn demand(&self, geometry: &CacheGeometry) -> Option<&Demand> {
        self.demand.get_or_init(|| Demand::of_curve(&self.curve, geometry)).as_ref()
    }
}

#[cfg(test)]
mod tests;
