//! What is known of one function: across its sizes and at each, and what was asked for since.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::Stamp;
use crate::cache::Bytes;
use crate::curve::{Curve, Provenance};
use crate::function::InputSize;
use crate::predictor::engine::candidates::Known;
use crate::predictor::engine::shape::{GRID, Seen};
use crate::predictor::engine::spots::Spot;
use crate::predictor::fit::{Estimate, Fit};
use crate::predictor::history::{AtSize, History, sane_seconds};
use crate::predictor::speeds::Speeds;
use crate::sample::Sample;

/// One function.
#[derive(Debug, Default)]
pub(super) struct Function {
    pub(super) history: History,
    pub(super) speeds: Speeds,
    pub(super) across: Across,
    /// What was seen at each size, when that was worked out last.
    pub(super) own: BTreeMap<InputSize, Own>,
    /// Runs since `across` was worked out.
    pub(super) since: u8,
    /// Whether it runs in a runtime whose start-up others tell about.
    pub(super) interpreted: bool,
    /// What was asked for since something changed.
    pub(super) asked: Mutex<Asked>,
}

/// What was asked for since something changed.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) curves: BTreeMap<InputSize, Drawn>,
    /// What is known across sizes, with the start-up curve of its runtime.
    pub(super) known: Option<Arc<Known>>,
    /// Of what all this rests on.
    pub(super) stamp: Stamp,
}

/// A curve asked for, and how much cache is taken to be good enough there.
#[derive(Debug, Clone)]
pub(super) struct Drawn {
    pub(super) curve: Arc<Curve>,
    pub(super) enough: Option<Bytes>,
}

/// What was seen at one size.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// The newest run in them, counted in samples of the function.
    as_of: u64,
    /// By units: where it shows a shape all of it, else the time with the most cache.
    pub(super) points: Vec<(f64, Estimate)>,
    /// How many runs there were, while they are few.
    pub(super) runs: u8,
}

/// What is known across sizes.
#[derive(Debug, Clone)]
pub(super) struct Across {
    /// Bytes in one unit of the grid.
    pub(super) unit: f64,
    pub(super) known: Arc<Known>,
    /// Single runs, which are in `known` already.
    pub(super) spots: Vec<Spot>,
    pub(super) provenance: Provenance,
    /// Whether some size was measured from few to nearly all ways: then what was seen less widely counts point by point.
    pub(super) has_wide: bool,
}

impl Default for Across {
    fn default() -> Self {
        Self {
            unit: MIB,
            known: Arc::new(Known::new(Vec::new(), &[])),
            spots: Vec::new(),
            provenance: Provenance::Prior,
            has_wide: false,
        }
    }
}

const MIB: f64 = (1 << 20) as f64;

/// The most sizes that are weighed against each other.
const MAX_WEIGHED: usize = 12;
/// The most single runs at other sizes that are weighed.
const MAX_SPOTS: usize = 32;
/// After how many runs that say nothing new it is looked whether what is known has moved.
const STALE: u8 = 8;
/// By how much a time has to move, as a logarithm, before anything is worked out anew.
const SLIGHT: f64 = 0.01;
/// The same, as a part of its interval: the median of a few runs moves by as much without any reason.
const SCATTER: f64 = 0.25;
/// The same for the ends of the interval, which scatter more.
const ENDS_SCATTER: f64 = 0.5;
/// How many runs at a size are few: each of them changes what is known there.
const FEW: u8 = 8;

impl Function {
    /// What was asked for, where it still holds.
    pub(super) fn asked(&self, stamp: Stamp) -> MutexGuard<'_, Asked> {
        let mut asked = self.asked.lock();
        if asked.stamp != stamp {
            *asked = Asked { stamp, ..Asked::default() };
        }
        asked
    }

    /// What the curve of a size rests on, where something was seen there.
    pub(super) fn provenance(&self, input_size: InputSize) -> Option<Provenance> {
        let at = self.history.size(input_size)?;
        let provenance = at.provenance();
        (provenance != Provenance::Prior).then_some(provenance)
    }

    /// The time that is expected at a sample's caches, by what was seen at its size; for each of its segments.
    pub(super) fn here(&self, sample: &Sample) -> Option<Fit> {
        self.history.size(sample.input_size).and_then(|at| at.planning())
    }

    /// Says whether all was worked out anew.
    pub(super) fn learn(&mut self, sample: &Sample) -> bool {
        let sizes = self.history.sizes().count();
        let caches = |f: &Self| f.history.size(sample.input_size).map(|at| at.measured().len());
        let before = (caches(self), self.history.whole_cache());
        self.history.observe(sample);
        self.since += 1;
        let new =
            before != (caches(self), self.history.whole_cache()) || sizes != self.history.sizes().count();
        let stale = self.since >= STALE;
        if stale {
            self.since = 0;
        }
        let all = new
            || sample.benchmark
            || !sample.origin.is_run()
            || stale && self.own.iter().any(|(size, own)| moved(&own.points, &self.points_at(*size)));
        if all {
            self.work_out();
        } else if !stale && self.changes_what_is_known(sample) {
            self.work_out_at(sample.input_size);
        }
        all
    }

    /// Works out everything anew.
    fn work_out(&mut self) {
        self.since = 0;
        let (unit, had_wide) = (self.across.unit, self.across.has_wide);
        self.across = std::mem::take(&mut self.across).again(&self.history);
        let same = unit == self.across.unit && had_wide == self.across.has_wide;
        let mut own = std::mem::take(&mut self.own);
        own.retain(|size, _| self.history.size(*size).is_some());
        for (size, at) in self.history.sizes() {
            let own = own.entry(size).or_default();
            // Real times at these caches hang on nothing else.
            let is_own = at.provenance() != Provenance::Simulated && at.measured().len() > 0;
            if !(is_own && same && own.as_of == at.last_seen()) {
                (own.points, own.as_of) = (self.points_at(size), at.last_seen());
            }
        }
        self.own = own;
        *self.asked.get_mut() = Asked::default();
    }

    fn work_out_at(&mut self, input_size: InputSize) {
        let points = self.points_at(input_size);
        let as_of = self.history.size(input_size).map_or(0, AtSize::last_seen);
        let own = self.own.entry(input_size).or_default();
        if moved(&own.points, &points) {
            (own.points, own.as_of) = (points, as_of);
            self.asked.get_mut().curves.remove(&input_size);
        }
    }

    /// Counts the run; says whether it is one of few, or not what was expected.
    fn changes_what_is_known(&mut self, run: &Sample) -> bool {
        let unit = self.across.unit;
        let Some(own) = self.own.get_mut(&run.input_size) else { return true };
        own.runs = own.runs.saturating_add(1);
        let cache = run.segments.iter().max_by_key(|segment| segment.duration).map(|segment| segment.cache);
        let units = cache.map_or(f64::INFINITY, |cache| cache.0 as f64 / unit);
        let seen = own.points.iter().find(|(at, _)| *at >= units - 1e-9).or(own.points.last());
        let seconds = run.duration().as_secs_f64();
        own.runs <= FEW || !seen.is_some_and(|(_, seen)| (seen.low..=seen.high).contains(&seconds))
    }

    /// See [`Own::points`].
    fn points_at(&self, input_size: InputSize) -> Vec<(f64, Estimate)> {
        let unit = self.across.unit;
        let Some(at) = self.history.size(input_size) else { return Vec::new() };
        let Some(fit) = self.history.fit(at) else { return Vec::new() };
        if fit.provenance == Provenance::Prior {
            if at.measured().len() > 0 && self.across.has_wide {
                return fit.caches().map(|cache| (cache / unit, sane(fit.at(cache)))).collect();
            }
            let (_, estimate) = fit.last();
            return vec![(GRID as f64, sane(estimate))];
        }
        let points = fit.caches().map(|cache| (cache / unit, sane(fit.at(cache))));
        points.collect()
    }
}

impl Across {
    /// What is known now.
    fn again(self, history: &History) -> Self {
        let wide = |at: &AtSize| at.provenance() != Provenance::Measured || at.is_wide(history.whole_cache());
        let any = history.sizes().any(|(_, at)| at.provenance() == Provenance::Measured && wide(at));
        let fits: Vec<(InputSize, Fit)> = history
            .sizes()
            .filter(|(_, at)| at.provenance() != Provenance::Prior && (wide(at) || !any))
            .filter_map(|(size, at)| Some((size, history.fit(at)?)))
            .collect();
        let largest = fits.iter().flat_map(|(_, fit)| fit.caches()).fold(0.0, f64::max);
        let largest = if largest > 0.0 { largest } else { history.whole_cache().0 as f64 };
        let unit = (largest / GRID as f64).max(1.0);
        let provenance = fits.iter().map(|(_, fit)| fit.provenance).max().unwrap_or(Provenance::Prior);
        let step = fits.len().div_ceil(MAX_WEIGHED).max(1);
        let mut seen: Vec<Seen> = Vec::new();
        for (size, fit) in fits.iter().filter(|(_, f)| f.provenance == provenance).step_by(step) {
            let size = logarithm(*size);
            if seen.last().is_some_and(|before| before.size >= size) {
                continue;
            }
            let points = fit.caches().map(|cache| (cache / unit, sane(fit.at(cache)).seconds.ln())).collect();
            seen.push(Seen { size, points });
        }
        let spots = if any { Self::spots(history, unit) } else { Vec::new() };
        let known = Arc::unwrap_or_clone(self.known).again(seen, &spots);
        Self { unit, known: Arc::new(known), spots, provenance, has_wide: any }
    }

    /// What ran at sizes where too few caches were seen to show a curve: the newest.
    fn spots(history: &History, unit: f64) -> Vec<Spot> {
        let mut few: Vec<(InputSize, &AtSize)> =
            history.sizes().filter(|(_, at)| !at.is_wide(history.whole_cache())).collect();
        few.sort_by_key(|(_, at)| std::cmp::Reverse(at.last_seen()));
        let spots = few.iter().flat_map(|(size, at)| {
            at.measured().map(|(cache, seen)| Spot {
                size: logarithm(*size),
                units: cache.0 as f64 / unit,
                time: sane_seconds(seen.seconds).ln(),
                noise: seen.spread / seen.runs.sqrt(),
            })
        });
        spots.take(MAX_SPOTS).collect()
    }
}

pub(super) fn logarithm(input_size: InputSize) -> f64 {
    (input_size.0.max(1) as f64).ln()
}

fn sane(estimate: Estimate) -> Estimate {
    let seconds = sane_seconds(estimate.seconds);
    Estimate {
        seconds,
        low: sane_seconds(estimate.low).min(seconds),
        high: sane_seconds(estimate.high).max(seconds),
    }
}

/// Whether what was seen is no longer what it was, by more than runs scatter anyway.
fn moved(before: &[(f64, Estimate)], now: &[(f64, Estimate)]) -> bool {
    let apart = |before: &Estimate, now: &Estimate| {
        let interval = (before.high / before.low).ln();
        let far = |before: f64, now: f64, part: f64| (now / before).ln().abs() > SLIGHT.max(part * interval);
        far(before.seconds, now.seconds, SCATTER)
            || far(before.low, now.low, ENDS_SCATTER)
            || far(before.high, now.high, ENDS_SCATTER)
    };
    before.len() != now.len() || before.iter().zip(now).any(|(b, n)| b.0 != n.0 || apart(&b.1, &n.1))
}
