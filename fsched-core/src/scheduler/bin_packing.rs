//! Where it costs the least, counting what it takes from those who run there.

#[cfg(test)]
mod mixed;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, btree_set};

use serde::{Deserialize, Serialize};

use crate::cache::{CacheGeometry, Ways};
use crate::cluster::{self, ClusterView, Index, Kind, Slot, SlotId};
use crate::function::Isolation;
use crate::scheduler::{PlaceError, Placement, Request, Scheduler, WaysFor};
use crate::split::Row;

/// How [`BinPacking`] weighs, and how far it looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BinPackingConfig {
    /// What it costs to bring a function's file to a worker first, seconds.
    pub cold_start: f64,
    /// Up to so many domains with room every one is looked at that could be the best: the answer is exact.
    pub exact_up_to: usize,
    /// Beyond that, how many are looked at.
    pub candidates: usize,
    /// And how many of those that have the file.
    pub holders: usize,
}

impl Default for BinPackingConfig {
    fn default() -> Self {
        Self { cold_start: 0.02, exact_up_to: 512, candidates: 24, holders: 8 }
    }
}

/// A configuration that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("scheduler.{key}: {rule}")]
pub struct BinPackingConfigError {
    /// Which key.
    pub key: &'static str,
    /// What has to hold.
    pub rule: &'static str,
}

impl BinPackingConfig {
    /// Checks that the numbers make sense.
    ///
    /// # Errors
    /// Names the first rule that does not hold.
    pub fn validate(&self) -> Result<(), BinPackingConfigError> {
        if !self.cold_start.is_finite() || self.cold_start < 0.0 {
            return Err(BinPackingConfigError { key: "cold_start", rule: "has to be seconds, 0 or more" });
        }
        if self.candidates == 0 {
            return Err(BinPackingConfigError { key: "candidates", rule: "has to be at least 1" });
        }
        Ok(())
    }
}

/// Where it costs the least while it runs: its own slowdown at the worker's pace, plus what those who run there are slowed down by the
/// ways it takes (the difference of two exact splits of the domain's cache, everyone counting what its [`worth`](crate::split::worth) is), plus bringing
/// its file where that is not there yet.
///
/// Who runs there now stands for who will: when a short run ends its like follows, so what is left of it does not matter.
///
/// - A function that gains nothing by cache takes no cache budget: it goes where its file is, into the tightest room by
///   cores and memory, which keeps large rooms whole.
/// - An exclusive one pays for exactly the ways it is promised.
/// - Where a domain's ways or classes are used up, one more that shares is counted as having the smallest mask.
///
/// Of equal costs the lower ids win. Up to [`BinPackingConfig::exact_up_to`] domains with room the answer is the best
/// there is; beyond, the best of [`BinPackingConfig::candidates`] that the index gives by rising price and of the first
/// [`BinPackingConfig::holders`] that have the file, and exact whenever no other can be cheaper, which the order tells.
#[derive(Debug, Clone, Default)]
pub struct BinPacking {
    config: BinPackingConfig,
    /// What the request comes to, by geometry; and at which place of it, by kind of domain.
    known: Vec<(CacheGeometry, Shape)>,
    of_kind: Vec<usize>,
}

/// What a request comes to on caches of one geometry.
#[derive(Debug, Clone)]
struct Shape {
    wish: Ways,
    /// Seconds by ways at the reference pace.
    times: Row,
    /// What a second of its time counts.
    second: f64,
    sensitive: bool,
}

/// The best so far.
#[derive(Debug, Clone, Copy)]
struct Best {
    cost: f64,
    slot: SlotId,
}

impl Scheduler for BinPacking {
    fn place(
        &mut self,
        request: &Request<'_>,
        ways: WaysFor<'_>,
        view: &ClusterView,
    ) -> Result<Placement, PlaceError> {
        let anywhere = request.anywhere(ways, view).ok_or_else(|| request.refusal(view))?;
        let index = view.index();
        self.read(request, ways, index);
        let mut search = Search::new(self, request, view);
        search.among_holders();
        search.insensitive();
        search.by_price();
        // Nothing of what was looked at has room, but something has.
        let slot = search.best.map_or(anywhere, |best| index.slot(best.slot));
        Ok(slot.place.with(search.ways(slot)))
    }
}

impl BinPacking {
    /// One with this configuration, which has been [validated](BinPackingConfig::validate).
    pub fn new(config: BinPackingConfig) -> Self {
        Self { config, known: Vec::new(), of_kind: Vec::new() }
    }

    /// Reads the request's curve off for every kind of cache that there is.
    fn read(&mut self, request: &Request<'_>, ways: WaysFor<'_>, index: &Index) {
        let Self { known, of_kind, .. } = self;
        known.clear();
        of_kind.clear();
        for (id, kind) in index.kinds() {
            let at = known.iter().position(|(geometry, _)| *geometry == kind.geometry).unwrap_or_else(|| {
                known.push((kind.geometry, Shape::new(request, ways, &kind.geometry)));
                known.len() - 1
            });
            of_kind.resize(usize::from(id), usize::MAX);
            of_kind.push(at);
        }
    }
}

impl Shape {
    fn new(request: &Request<'_>, ways: WaysFor<'_>, geometry: &CacheGeometry) -> Self {
        let wish = request.ways_on(geometry, ways(geometry));
        let exclusive = request.needs.isolation == Isolation::Exclusive;
        let times = Row::times(request.curve, geometry);
        let second = cluster::worth_of_a_second(request.curve);
        Self { wish, times, second, sensitive: exclusive || cluster::is_sensitive(request.curve, geometry) }
    }

    /// The level whose ways are nearest to the fewest within 5 % of the best.
    fn level(&self, kind: &Kind) -> usize {
        let knee = self.times.knee(1, kind.geometry.usable_ways().get(), 0.05);
        let distance = |level: &usize| kind.levels[*level].abs_diff(knee);
        (0..kind.levels.len()).min_by_key(distance).unwrap_or(0)
    }
}

/// One run through the index for one request.
struct Search<'a> {
    config: &'a BinPackingConfig,
    known: &'a [(CacheGeometry, Shape)],
    of_kind: &'a [usize],
    request: &'a Request<'a>,
    view: &'a ClusterView,
    index: &'a Index,
    best: Option<Best>,
    /// How many may be looked at in each order.
    budget: usize,
    /// Which of those that have its file are still to be looked at.
    holders: Holders,
}

/// Which of the workers that have the request's file are still to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holders {
    /// They are being looked at: the next one has it.
    Now,
    /// Some: whoever comes next may have it.
    Some,
    /// None: whoever comes next does not have it, or was looked at before.
    None,
}

/// As many runs as are rarely exceeded.
const RUNS: usize = 32;

/// Domains of a kind with about as many free cores, by rising price.
struct Run<'a> {
    rest: btree_set::Iter<'a, (u64, cluster::Place, SlotId)>,
    /// What the invocation itself takes at least: with less than the level's ways, and with all.
    floor: f64,
    whole: f64,
}

/// The next one of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    /// What neither it nor any after it can be cheaper than; not negative, so that its bits order like the number.
    bound: u64,
    place: cluster::Place,
    slot: SlotId,
}

impl<'a> Search<'a> {
    fn new(scheduler: &'a BinPacking, request: &'a Request<'a>, view: &'a ClusterView) -> Self {
        let BinPacking { config, known, of_kind } = scheduler;
        let index = view.index();
        let domains = index.totals().domains as usize;
        let budget = if domains <= config.exact_up_to { usize::MAX } else { config.candidates };
        Self { config, known, of_kind, request, view, index, best: None, budget, holders: Holders::Now }
    }

    fn shape(&self, kind: u16) -> &'a Shape {
        &self.known[self.of_kind[usize::from(kind)]].1
    }

    /// How many ways it would have in a domain.
    fn ways(&self, slot: &Slot) -> Ways {
        let kind = self.index.kind(slot.kind);
        let shape = self.shape(slot.kind);
        match (self.request.needs.isolation, shape.sensitive) {
            (Isolation::Exclusive, _) => shape.wish,
            (Isolation::Shared, false) => kind.geometry.min_ways,
            (Isolation::Shared, true) => {
                slot.row.share(&shape.times, kind.factor * shape.second, kind.geometry.min_ways)
            }
        }
    }

    /// What a domain costs, but for its file.
    fn cost(&self, slot: &Slot) -> f64 {
        let kind = self.index.kind(slot.kind);
        let shape = self.shape(slot.kind);
        let factor = kind.factor * shape.second;
        match (self.request.needs.isolation, shape.sensitive) {
            (Isolation::Exclusive, _) => {
                slot.row.extra(shape.wish.get()) + shape.times.at(shape.wish.get()) * factor
            }
            (Isolation::Shared, false) => shape.times.at(kind.geometry.min_ways.get()) * factor,
            (Isolation::Shared, true) => slot.row.adding(&shape.times, factor, kind.geometry.min_ways),
        }
    }

    /// Looks at one domain; whether it has room.
    fn look(&mut self, id: SlotId) -> bool {
        let slot = self.index.slot(id);
        let wish = self.shape(slot.kind).wish;
        let request = self.request;
        if !slot.fits_now(&request.needs, wish, request.alone) || request.avoid.contains(&slot.place.worker) {
            return false;
        }
        let mut cost = self.cost(slot);
        if self.beats(cost, slot) {
            if !self.has_file(slot) {
                cost += self.config.cold_start * self.shape(slot.kind).second;
            }
            if self.beats(cost, slot) {
                self.best = Some(Best { cost, slot: id });
            }
        }
        true
    }

    fn beats(&self, cost: f64, slot: &Slot) -> bool {
        let Some(best) = self.best else { return true };
        if cost != best.cost {
            return cost < best.cost;
        }
        let tight = |slot: &Slot| {
            // Among those for whom cache is nothing, the tightest room wins.
            let room = (slot.facts.free_cores, slot.facts.free_memory);
            (if self.shape(slot.kind).sensitive { (0, 0) } else { room }, slot.place)
        };
        tight(slot) < tight(self.index.slot(best.slot))
    }

    fn has_file(&self, slot: &Slot) -> bool {
        let holders = || self.view.holders(self.request.file);
        match self.holders {
            Holders::Now => true,
            Holders::Some => holders().is_some_and(|holders| holders.contains(slot.place.worker)),
            Holders::None => false,
        }
    }

    /// Those that have the file, as far as the budget reaches.
    fn among_holders(&mut self) {
        let view = self.view;
        let mut holders = view.holders(self.request.file).into_iter().flat_map(cluster::Holders::iter);
        let few = if self.budget == usize::MAX { usize::MAX } else { self.config.holders };
        for worker in holders.by_ref().take(few) {
            for &slot in view.slots(worker) {
                self.look(slot);
            }
        }
        self.holders = if holders.next().is_some() { Holders::Some } else { Holders::None };
    }

    /// The tightest rooms, of kinds on which cache is nothing to it.
    fn insensitive(&mut self) {
        let (index, needs) = (self.index, self.request.needs);
        for (id, _) in index.kinds() {
            if self.shape(id).sensitive {
                continue;
            }
            let mut left = self.budget;
            for slot in index.tightest(id, needs.cores, needs.memory.0) {
                let fits = self.look(slot);
                left -= 1;
                // What comes after is less tight and costs the same, unless it has the file.
                let done = fits && (self.holders == Holders::None || self.has_file(index.slot(slot)));
                if done || left == 0 {
                    break;
                }
            }
        }
    }

    /// By rising price, of kinds on which cache is something to it, until none that is left can be cheaper.
    fn by_price(&mut self) {
        let mut runs = Vec::with_capacity(RUNS);
        let mut first = Vec::with_capacity(RUNS);
        for (id, kind) in self.index.kinds() {
            let shape = self.shape(id);
            if shape.sensitive {
                let level = shape.level(kind);
                for set in self.index.by_price(id, self.request.needs.cores, level) {
                    let mut run = Run::new(set, shape, kind, level, self.request);
                    first.extend(run.next().map(|next| Reverse((next, runs.len()))));
                    runs.push(run);
                }
            }
        }
        let mut first = BinaryHeap::from(first);
        let mut left = self.budget;
        while left > 0 {
            let Some(mut top) = first.peek_mut() else { return };
            let Reverse((next, run)) = *top;
            if let Some(best) = self.best {
                let later = next.place > self.index.slot(best.slot).place;
                let bound = f64::from_bits(next.bound);
                if bound > best.cost || (bound == best.cost && later) {
                    return;
                }
            }
            match runs[run].next() {
                Some(after) => top.0.0 = after,
                None => drop(PeekMut::pop(top)),
            }
            self.look(next.slot);
            left -= 1;
        }
    }
}

impl<'a> Run<'a> {
    fn new(
        set: &'a cluster::ByPrice,
        shape: &Shape,
        kind: &Kind,
        level: usize,
        request: &Request<'_>,
    ) -> Self {
        let factor = kind.factor * shape.second;
        let ways = kind.levels[level];
        let (floor, whole) = match request.needs.isolation {
            Isolation::Shared => {
                let less = (ways - 1).max(kind.geometry.min_ways.get());
                (shape.times.at(less) * factor, shape.times.at(u8::MAX) * factor)
            }
            Isolation::Exclusive => {
                let own = shape.times.at(shape.wish.get()) * factor;
                // With fewer ways than the level's it can be had for nothing.
                (if shape.wish.get() < ways { own } else { f64::INFINITY }, own)
            }
        };
        Self { rest: set.iter(), floor, whole }
    }
}

impl Iterator for Run<'_> {
    type Item = Next;

    fn next(&mut self) -> Option<Next> {
        let &(score, place, slot) = self.rest.next()?;
        let bound = (self.whole + f64::from_bits(score)).min(self.floor);
        Some(Next { bound: bound.to_bits(), place, slot })
    }
}
