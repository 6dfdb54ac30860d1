//! Where it costs the least, counting what it takes from those who run there.

#[cfg(test)]
mod mixed;
#[cfg(test)]
mod tests;

use std::collections::btree_set;

use serde::{Deserialize, Serialize};

use crate::cache::{CacheGeometry, Ways};
use crate::cluster::{self, ClusterView, Index, Kind, Slot, SlotId};
use crate::function::Isolation;
use crate::scheduler::{PlaceError, Placement, Request, Scheduler, WaysFor};

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
}

impl Default for BinPackingConfig {
    fn default() -> Self {
        Self { cold_start: 0.02, exact_up_to: 512, candidates: 64 }
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

/// Where it costs the least: its own time at the worker's pace, plus what those who run there lose by the ways it takes
/// (the difference of two exact splits of the domain's cache, everyone weighted by the time that is left to it),
/// plus bringing its file where that is not there yet.
///
/// - A function that gains nothing by cache takes no cache budget: it goes where its file is, into the tightest room by
///   cores and memory, which keeps large rooms whole.
/// - An exclusive one pays for exactly the ways it is promised.
/// - Where a domain's ways or classes are used up, one more that shares is counted as having the smallest mask.
///
/// Of equal costs the lower ids win. Up to [`BinPackingConfig::exact_up_to`] domains with room the answer is the best
/// there is; beyond, the best of [`BinPackingConfig::candidates`] that the index gives by rising price, of the first of
/// those that have the file, and exact whenever no other can be cheaper, which the order tells.
#[derive(Debug, Clone, Default)]
pub struct BinPacking {
    config: BinPackingConfig,
    /// The curve's times, by geometry.
    known: Vec<(CacheGeometry, Shape)>,
}

/// What a request comes to on caches of one geometry.
#[derive(Debug, Clone)]
struct Shape {
    wish: Ways,
    /// Seconds on 1, 2, … ways at the reference pace.
    times: Vec<f64>,
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
        self.known.clear();
        let index = view.index();
        for (_, kind) in index.kinds() {
            if !self.known.iter().any(|(geometry, _)| *geometry == kind.geometry) {
                self.known.push((kind.geometry, Shape::new(request, ways, &kind.geometry)));
            }
        }
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
        Self { config, known: Vec::new() }
    }
}

impl Shape {
    fn new(request: &Request<'_>, ways: WaysFor<'_>, geometry: &CacheGeometry) -> Self {
        let wish = request.ways_on(geometry, ways(geometry));
        let exclusive = request.needs.isolation == Isolation::Exclusive;
        let sensitive = exclusive || cluster::is_sensitive(request.curve, geometry);
        let times = if sensitive {
            cluster::times(request.curve, geometry, 1.0)
        } else {
            vec![request.curve.seconds(geometry, geometry.min_ways)]
        };
        Self { wish, times, sensitive }
    }

    fn at(&self, ways: u8) -> f64 {
        self.times[usize::from(ways.max(1) - 1).min(self.times.len() - 1)]
    }

    /// The level whose ways are nearest to the fewest within 5 % of the best.
    fn level(&self, kind: &Kind) -> usize {
        let enough = self.times.last().map_or(0.0, |best| best * 1.05);
        let knee = 1 + self.times.partition_point(|&seconds| seconds > enough);
        let distance = |level: &usize| usize::from(kind.levels[*level]).abs_diff(knee);
        (0..kind.levels.len()).min_by_key(distance).unwrap_or(0)
    }
}

/// One run through the index for one request.
struct Search<'a> {
    config: &'a BinPackingConfig,
    known: &'a [(CacheGeometry, Shape)],
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

/// Domains of a kind with about as many free cores, by rising price.
struct Run<'a> {
    rest: btree_set::Iter<'a, (u64, cluster::Place, SlotId)>,
    slot: SlotId,
    /// What none of the rest can be cheaper than.
    bound: f64,
    /// What the invocation itself takes at least: with less than the level's ways, and with all.
    floor: f64,
    whole: f64,
}

impl<'a> Search<'a> {
    fn new(scheduler: &'a BinPacking, request: &'a Request<'a>, view: &'a ClusterView) -> Self {
        let BinPacking { config, known } = scheduler;
        let index = view.index();
        let domains = index.totals().domains as usize;
        let budget = if domains <= config.exact_up_to { usize::MAX } else { config.candidates };
        Self { config, known, request, view, index, best: None, budget, holders: Holders::Now }
    }

    fn shape(&self, kind: &Kind) -> &'a Shape {
        let known = self.known.iter().find(|(geometry, _)| *geometry == kind.geometry);
        &known.expect("every geometry was looked at").1
    }

    /// How many ways it would have in a domain.
    fn ways(&self, slot: &Slot) -> Ways {
        let kind = self.index.kind(slot.kind);
        let shape = self.shape(kind);
        match (self.request.needs.isolation, shape.sensitive) {
            (Isolation::Exclusive, _) => shape.wish,
            (Isolation::Shared, false) => kind.geometry.min_ways,
            (Isolation::Shared, true) => {
                slot.row.share(&shape.times, kind.pace.factor(), kind.geometry.min_ways)
            }
        }
    }

    /// What a domain costs, but for its file.
    fn cost(&self, slot: &Slot) -> f64 {
        let kind = self.index.kind(slot.kind);
        let shape = self.shape(kind);
        let factor = kind.pace.factor();
        match (self.request.needs.isolation, shape.sensitive) {
            (Isolation::Exclusive, _) => {
                slot.row.extra(shape.wish.get()) + shape.at(shape.wish.get()) * factor
            }
            (Isolation::Shared, false) => shape.at(1) * factor,
            (Isolation::Shared, true) => slot.row.adding(&shape.times, factor, kind.geometry.min_ways),
        }
    }

    /// Looks at one domain; whether it has room.
    fn look(&mut self, id: SlotId) -> bool {
        let slot = self.index.slot(id);
        let wish = self.shape(self.index.kind(slot.kind)).wish;
        let request = self.request;
        if !slot.fits_now(&request.needs, wish, request.alone) || request.avoid.contains(&slot.place.worker) {
            return false;
        }
        let mut cost = self.cost(slot);
        if self.beats(cost, slot) {
            if !self.has_file(slot) {
                cost += self.config.cold_start;
            }
            if self.beats(cost, slot) {
                self.best = Some(Best { cost, slot: id });
            }
        }
        true
    }

    fn beats(&self, cost: f64, slot: &Slot) -> bool {
        let Some(best) = self.best else { return true };
        let (place, facts) = (slot.place, &slot.facts);
        let other = self.index.slot(best.slot);
        let tight = |kind: u16, facts: &cluster::Facts| {
            // Among those for whom cache is nothing, the tightest room wins.
            let sensitive = self.shape(self.index.kind(kind)).sensitive;
            if sensitive { (0, 0) } else { (facts.free_cores, facts.free_memory) }
        };
        cost < best.cost
            || (cost == best.cost
                && (tight(slot.kind, facts), place) < (tight(other.kind, &other.facts), other.place))
    }

    fn has_file(&self, slot: &Slot) -> bool {
        let holders = || self.view.holders(self.request.file);
        match self.holders {
            Holders::Now => true,
            Holders::Some => holders().is_some_and(|holders| holders.contains(&slot.place.worker)),
            Holders::None => false,
        }
    }

    /// Those that have the file, as far as the budget reaches.
    fn among_holders(&mut self) {
        let view = self.view;
        let mut holders = view.holders(self.request.file).into_iter().flatten();
        for &worker in holders.by_ref().take(self.budget) {
            for &slot in view.slots(worker) {
                self.look(slot);
            }
        }
        self.holders = if holders.next().is_some() { Holders::Some } else { Holders::None };
    }

    /// The tightest rooms, of kinds on which cache is nothing to it.
    fn insensitive(&mut self) {
        let (index, needs) = (self.index, self.request.needs);
        for (_, kind) in index.kinds() {
            if self.shape(kind).sensitive {
                continue;
            }
            let mut left = self.budget;
            for slot in kind.tightest(needs.cores, needs.memory.0) {
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
        let mut runs = Vec::new();
        for (_, kind) in self.index.kinds() {
            let shape = self.shape(kind);
            if shape.sensitive {
                let level = shape.level(kind);
                let sets = kind.by_price(self.request.needs.cores, level);
                runs.extend(sets.filter_map(|set| Run::new(set, shape, kind, level, self.request)));
            }
        }
        let mut left = self.budget;
        while left > 0 {
            let place = |run: &Run<'_>| self.index.slot(run.slot).place;
            let order =
                |a: &Run<'_>, b: &Run<'_>| a.bound.total_cmp(&b.bound).then_with(|| place(a).cmp(&place(b)));
            let Some(at) = (0..runs.len()).min_by(|&a, &b| order(&runs[a], &runs[b])) else { return };
            let run = &mut runs[at];
            let slot = run.slot;
            if let Some(best) = self.best {
                let later = self.index.slot(slot).place > self.index.slot(best.slot).place;
                if run.bound > best.cost || (run.bound == best.cost && later) {
                    return;
                }
            }
            if !run.advance() {
                runs.swap_remove(at);
            }
            self.look(slot);
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
    ) -> Option<Self> {
        let factor = kind.pace.factor();
        let ways = kind.levels[level];
        let (floor, whole) = match request.needs.isolation {
            Isolation::Shared => {
                let less = (ways - 1).max(kind.geometry.min_ways.get());
                (shape.at(less) * factor, shape.at(u8::MAX) * factor)
            }
            Isolation::Exclusive => {
                let own = shape.at(shape.wish.get()) * factor;
                // With fewer ways than the level's it can be had for nothing.
                (if shape.wish.get() < ways { own } else { f64::INFINITY }, own)
            }
        };
        let mut run = Self { rest: set.iter(), slot: 0, bound: 0.0, floor, whole };
        run.advance().then_some(run)
    }

    fn advance(&mut self) -> bool {
        let Some(&(score, _, slot)) = self.rest.next() else { return false };
        self.slot = slot;
        self.bound = (self.whole + f64::from_bits(score)).min(self.floor);
        true
    }
}
