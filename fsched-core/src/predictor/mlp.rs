//! What was learnt across functions, put to work: the platform's default.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::cache::{Bytes, CacheGeometry, Ways};
use crate::curve::{Curve, CurvePoint, Provenance};
use crate::function::{self, InputSize};
use crate::id::FunctionId;
use crate::predictor::choose::{Choice, choose};
use crate::predictor::engine::answer::{Answer, Question, prior_slowdown};
use crate::predictor::engine::candidates::{Candidates, Known, bracket, gap};
use crate::predictor::engine::model::{Model, ModelError};
use crate::predictor::engine::plan;
use crate::predictor::engine::shape::{GRID, Point, Seen, read};
use crate::predictor::engine::spots::Spot;
use crate::predictor::fit::{Estimate, Fit, curve};
use crate::predictor::history::{AtSize, History, sane_seconds};
use crate::predictor::interpolating::{known_curve, unknown_curve};
use crate::predictor::speeds::Speeds;
use crate::predictor::startup::Startups;
use crate::predictor::{Bench, Lesson, Prediction, Predictor, Sightings, probe};
use crate::sample::Sample;

/// What [`MlpPredictor`] can be told.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MlpConfig {
    /// A model file made by `fsched predictor train`; none: the one that comes with the platform.
    pub model: Option<PathBuf>,
    /// Which ways to ask for.
    pub choice: Choice,
}

/// Why there is no such predictor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The model file cannot be read.
    #[error("cannot read the predictor's model {path}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be used.
    #[error("cannot use the predictor's model {path}")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: ModelError,
    },
    /// A number in the configuration makes no sense.
    #[error("the predictor's choice of ways makes no sense")]
    Choice(#[from] super::choose::ChoiceError),
}

/// Physics proposes curves, and small networks trained on other functions weigh them.
///
/// - What was seen of a function is kept as by [`InterpolatingPredictor`](super::InterpolatingPredictor); runs on slower or
///   faster workers are made comparable first, and runs whose mask moved count at the cache they had longest.
/// - For an input size, `engine` makes candidate curves from the function's other sizes; the networks say how likely each
///   number of ways is the fewest that is good enough, and the curve is bent so that it needs the ways chosen.
/// - Times measured at the size asked for are kept exactly; an interval holds 90 % of what real functions did.
/// - A function never seen is said to take a second, give or take a factor of a thousand.
///
/// What is known of a function, across its sizes and at each, is worked out anew when a benchmark or a new cache or size
/// says more, and at every eighth other run where times have moved by more than they scatter; what is known at one size also while
/// there were few runs, and at once when a run takes longer or shorter than was thought possible. In between a prediction is
/// a table look-up; its answers depend on the samples alone, not on when it was asked.
pub struct MlpPredictor {
    model: ModelSlot,
    choice: Choice,
    sightings: Sightings,
    functions: BTreeMap<FunctionId, Function>,
    startups: Startups,
}

impl std::fmt::Debug for MlpPredictor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MlpPredictor").field("functions", &self.functions.len()).finish_non_exhaustive()
    }
}

/// One function.
#[derive(Debug, Default)]
struct Function {
    history: History,
    speeds: Speeds,
    across: Across,
    /// What was seen at each size, when that was worked out last.
    own: BTreeMap<InputSize, Own>,
    /// Runs since `across` was worked out.
    since: u8,
    /// Whether it runs in a runtime whose start-up others tell about.
    interpreted: bool,
    /// What was asked for since something changed.
    asked: Mutex<Asked>,
}

/// What was asked for since something changed.
#[derive(Debug, Default)]
struct Asked {
    curves: BTreeMap<InputSize, Drawn>,
    /// What is known across sizes, with the start-up curve of its runtime.
    known: Option<Arc<Known>>,
    /// Of what all this rests on.
    stamp: Stamp,
}

/// Changes with what was learnt across functions: models, and start-up curves.
type Stamp = (u64, u64);

/// A curve asked for, and how much cache is taken to be good enough there.
#[derive(Debug, Clone)]
struct Drawn {
    curve: Arc<Curve>,
    enough: Option<Bytes>,
}

/// What was seen at one size.
#[derive(Debug, Default)]
struct Own {
    /// By units: where it shows a shape all of it, else the time with the most cache.
    points: Vec<(f64, Estimate)>,
    /// How many runs there were, while they are few.
    runs: u8,
}

/// What is known across sizes.
#[derive(Debug, Clone)]
struct Across {
    /// Bytes in one unit of the grid.
    unit: f64,
    known: Arc<Known>,
    /// Single runs, which are in `known` already.
    spots: Vec<Spot>,
    provenance: Provenance,
    /// Whether some size was measured from few to nearly all ways: then what was seen less widely counts point by point.
    has_wide: bool,
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
/// The most curves kept per function.
const MAX_CURVES: usize = 64;
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
/// How much single runs scatter where nothing else is known: a 90 % interval's half, as a logarithm.
const NOISE: f64 = 0.03;

/// Where a predictor's model is, so that another can take its place while it predicts.
#[derive(Debug, Clone)]
pub struct ModelSlot(Arc<(Mutex<Arc<Model>>, AtomicU64)>);

impl ModelSlot {
    /// With this model.
    pub fn new(model: Arc<Model>) -> Self {
        Self(Arc::new((Mutex::new(model), AtomicU64::new(0))))
    }

    /// The model that is there.
    pub fn model(&self) -> Arc<Model> {
        Arc::clone(&self.0.0.lock())
    }

    /// Puts another there: what is asked from now on is answered by that.
    pub fn replace(&self, model: Arc<Model>) {
        *self.0.0.lock() = model;
        self.0.1.fetch_add(1, Ordering::Release);
    }

    /// How often it was replaced.
    fn generation(&self) -> u64 {
        self.0.1.load(Ordering::Acquire)
    }
}

impl Default for MlpPredictor {
    fn default() -> Self {
        Self::new(Arc::new(Model::pretrained()), Choice::default())
    }
}

impl MlpPredictor {
    /// A predictor that knows no function yet.
    pub fn new(model: Arc<Model>, choice: Choice) -> Self {
        Self {
            model: ModelSlot::new(model),
            choice,
            sightings: Sightings::default(),
            functions: BTreeMap::new(),
            startups: Startups::default(),
        }
    }

    /// As a configuration says.
    ///
    /// # Errors
    /// Where there is a model file that cannot be used, or the numbers make no sense.
    pub fn from_config(config: &MlpConfig) -> Result<Self, BuildError> {
        config.choice.validate()?;
        let model = match &config.model {
            None => Model::pretrained(),
            Some(path) => {
                let bytes = std::fs::read(path)
                    .map_err(|source| BuildError::Unreadable { path: path.clone(), source })?;
                Model::read(&bytes).map_err(|source| BuildError::Unusable { path: path.clone(), source })?
            }
        };
        Ok(Self::new(Arc::new(model), config.choice))
    }

    /// The curve of a function at a size; drawn once, until something changes.
    fn drawn(&self, id: FunctionId, function: &Function, input_size: InputSize) -> Option<Drawn> {
        let stamp = self.stamp(function);
        if let Some(drawn) = function.asked(stamp).curves.get(&input_size) {
            return Some(drawn.clone());
        }
        let (curve, enough) = self.curve(function, &self.known(id, function), input_size)?;
        let curve = Arc::new(curve.with_traffic(function.history.traffic(input_size)));
        let drawn = Drawn { curve, enough };
        if enough.is_none() {
            // Runs at other sizes, of which nothing here is told, move it.
            return Some(drawn);
        }
        let curves = &mut function.asked(stamp).curves;
        if curves.len() >= MAX_CURVES {
            curves.clear();
        }
        curves.insert(input_size, drawn.clone());
        Some(drawn)
    }

    /// Where its model is.
    pub fn model_slot(&self) -> ModelSlot {
        self.model.clone()
    }

    fn stamp(&self, function: &Function) -> Stamp {
        (self.model.generation(), if function.interpreted { self.startups.stamp() } else { 0 })
    }

    /// What is known of a function across its sizes, with the start-up curve of its runtime where others tell it.
    fn known(&self, id: FunctionId, function: &Function) -> Arc<Known> {
        let Across { unit, known, spots, provenance, .. } = &function.across;
        if !function.interpreted {
            return Arc::clone(known);
        }
        let mut asked = function.asked(self.stamp(function));
        let made = asked.known.get_or_insert_with(|| {
            let startups = self.startups.of(id, *unit, *provenance);
            if startups.is_empty() {
                return Arc::clone(known);
            }
            Arc::new(Known::new(known.seen.clone(), &startups).with_spots(spots))
        });
        Arc::clone(made)
    }

    fn curve(
        &self,
        function: &Function,
        known: &Known,
        input_size: InputSize,
    ) -> Option<(Curve, Option<Bytes>)> {
        let own = function.own.get(&input_size).map_or(&[][..], |own| &own.points);
        let Across { unit, provenance, has_wide, .. } = &function.across;
        let size = logarithm(input_size);
        let at = function.history.size(input_size);
        let narrow = |at: &AtSize| at.measured().len() > 0 && !at.is_wide(function.history.whole_cache());
        let points: Vec<Point> = if *has_wide && at.is_some_and(narrow) {
            // They count among the single runs.
            Vec::new()
        } else {
            own.iter().map(|(units, estimate)| (*units, estimate.seconds.ln())).collect()
        };
        if points.is_empty() && known.seen.is_empty() {
            // Whole-cache times of other sizes, at best: they say how long, and nothing about ways.
            return Some((known_curve(&function.history, input_size)?, None));
        }
        let answer = if known.seen.iter().any(|seen| seen.size == size) {
            self.answer(&known.without_size(size), size, &points)
        } else {
            self.answer(known, size, &points)
        };
        let provenance = function.provenance(input_size).unwrap_or(*provenance);
        // No point of the grid is asked for beyond what was seen to be enough.
        let (_, seen) = if points.len() > 1 {
            bracket(&points, self.choice.tolerance.ln_1p())
        } else {
            (0.0, f64::INFINITY)
        };
        let enough = ((answer.need + 1) as f64).min(seen) * unit;
        Some((draw(&answer, *unit, own, provenance), Some(Bytes(enough as u64))))
    }

    fn answer(&self, known: &Known, size: f64, own: &[Point]) -> Answer {
        let Choice { tolerance, caution, .. } = self.choice;
        let tolerance = tolerance.ln_1p();
        Question::new(known, size, own, tolerance).answer(&self.model.model(), tolerance, caution)
    }
}

impl Predictor for MlpPredictor {
    fn introduce(&mut self, function: &function::Function) {
        self.startups.introduce(function);
        if self.startups.knows(function.id)
            && let Some(seen) = self.functions.get_mut(&function.id)
        {
            seen.interpreted = true;
            *seen.asked.get_mut() = Asked::default();
            let Across { known, unit, provenance, .. } = &seen.across;
            self.startups.learn(function.id, known, *unit, *provenance);
        }
    }

    fn observe(&mut self, sample: &Sample) {
        self.sightings.observe(sample);
        let seen = self.functions.get(&sample.function);
        let here = seen.and_then(|function| function.here(sample));
        let moved =
            sample.segments.len() > 1 && here.as_ref().is_none_or(|fit| fit.provenance == Provenance::Prior);
        let expected = seen.filter(|_| moved).and_then(|function| {
            let curve = if function.interpreted {
                // Without the start-up that others tell of: what is learnt of one must not rest on who else was there.
                Arc::new(self.curve(function, &function.across.known, sample.input_size)?.0)
            } else {
                self.drawn(sample.function, function, sample.input_size)?.curve
            };
            let point = |p: &CurvePoint| {
                let estimate = Estimate { seconds: p.seconds, low: p.low, high: p.high };
                (p.cache.0.max(1) as f64, estimate)
            };
            Fit::of(curve.points().iter().map(point).collect(), curve.provenance())
        });
        let function = self.functions.entry(sample.function).or_default();
        let comparable = function.speeds.compare(sample, here, expected);
        let worked_out = function.learn(&comparable);
        if worked_out && self.startups.knows(sample.function) {
            function.interpreted = true;
            let Across { known, unit, provenance, .. } = &function.across;
            self.startups.learn(sample.function, known, *unit, *provenance);
        }
    }

    fn forget(&mut self, function: FunctionId) {
        self.sightings.forget(function);
        self.functions.remove(&function);
        self.startups.forget(function);
    }

    fn predict(&self, function: FunctionId, input_size: InputSize) -> Prediction {
        let drawn = self.functions.get(&function).and_then(|seen| self.drawn(function, seen, input_size));
        let knowledge = self.sightings.knowledge(function, input_size);
        match drawn {
            Some(Drawn { curve, enough }) => Prediction { knowledge, curve, enough },
            None => Prediction::new(knowledge, unknown_curve()),
        }
    }

    fn lesson(&self, function: FunctionId) -> Lesson {
        let Some(Function { across: Across { unit, known, .. }, history, .. }) =
            self.functions.get(&function)
        else {
            return Lesson::new();
        };
        let whole = history.whole_cache().0 as f64;
        let sizes = history.sizes().map(|(size, _)| size);
        let well_known = sizes.filter_map(|size| {
            let seen = known.seen.iter().find(|seen| seen.size == logarithm(size))?;
            let (first, last) = (seen.points.first()?.0, seen.points.last()?.0);
            let is_wide = first <= last / 3.0 && last * unit >= 0.9 * whole;
            let enough = gap(&seen.points, self.choice.tolerance.ln_1p()) <= 1.0 + 1e-9;
            let bytes = |units: f64| Bytes((units * unit).round() as u64);
            let points = || seen.points.iter().map(|(units, t)| (bytes(*units), t.exp())).collect();
            (is_wide && enough).then(|| (size, points()))
        });
        well_known.collect()
    }

    /// The whole cache; then where what other sizes, or other functions, say makes the answer least certain; until the
    /// fewest ways that are good enough are known.
    fn next_probe(&self, function: FunctionId, input_size: InputSize, bench: &Bench<'_>) -> Option<Ways> {
        let most = bench.geometry.usable_ways();
        if !bench.enforced || !bench.done.contains(&most) {
            return probe::whole(bench)
                .or_else(|| if bench.enforced { probe::bisect(bench, |_| None) } else { None });
        }
        if bench.done.len() >= bench.budget {
            return None;
        }
        let id = function;
        let function = self.functions.get(&id);
        let fit = function.and_then(|f| f.history.size(input_size)).and_then(|at| at.planning());
        let Some(fit) = fit else { return probe::bisect(bench, |_| None) };
        let way = bench.geometry.way_size().0.max(1) as f64;
        let mut done: Vec<u8> = bench.done.iter().map(|ways| ways.get()).collect();
        done.sort_unstable();
        let mut own: Vec<Point> =
            done.iter().map(|&ways| (f64::from(ways), fit.at(f64::from(ways) * way).seconds.ln())).collect();
        own.dedup_by_key(|p| p.0);
        let size = logarithm(input_size);
        let tolerance = self.choice.tolerance.ln_1p();
        let others = function.and_then(|f| {
            let known = self.known(id, f).without_size(size);
            Candidates::new(&known, size, tolerance).map(|c| (c.needs, way / f.across.unit))
        });
        let least = bench.geometry.min_ways.get();
        let weight = |ways: usize| match &others {
            Some((needs, scale)) => plan::around(needs, ways as f64 * scale),
            None => plan::alone(ways),
        };
        let (least, most) = (usize::from(least), usize::from(most.get()));
        // Sharers are split by the whole curve: how bad it gets matters as much as where it is good enough.
        let unknown = own.first().is_some_and(|first| first.0 > least as f64);
        let next = if unknown && own.len() > 1 {
            least
        } else {
            plan::between(&own, least, most, tolerance, weight)
                .or_else(|| plan::fill(&own, least, tolerance))?
        };
        let next = Ways::clamped(next as u8);
        (!bench.done.contains(&next)).then_some(next)
    }

    /// By default the fewest whose time is within a tolerance of the best, with some caution; where the configuration says
    /// so, the number at which time and what the ways cost are least together.
    fn ways(&self, prediction: &Prediction, geometry: &CacheGeometry, generosity: f64) -> Ways {
        choose(prediction, geometry, generosity, &self.choice)
    }
}

impl Function {
    /// What was asked for, where it still holds.
    fn asked(&self, stamp: Stamp) -> MutexGuard<'_, Asked> {
        let mut asked = self.asked.lock();
        if asked.stamp != stamp {
            *asked = Asked { stamp, ..Asked::default() };
        }
        asked
    }

    /// What the curve of a size rests on, where something was seen there.
    fn provenance(&self, input_size: InputSize) -> Option<Provenance> {
        let at = self.history.size(input_size)?;
        let provenance = at.provenance();
        (provenance != Provenance::Prior).then_some(provenance)
    }

    /// The time that is expected at a sample's caches, by what was seen at its size; for each of its segments.
    fn here(&self, sample: &Sample) -> Option<Fit> {
        self.history.size(sample.input_size).and_then(|at| at.planning())
    }

    /// Says whether all was worked out anew.
    fn learn(&mut self, sample: &Sample) -> bool {
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
        self.across = std::mem::take(&mut self.across).again(&self.history);
        let mut before = std::mem::take(&mut self.own);
        let sizes: Vec<InputSize> = self.history.sizes().map(|(size, _)| size).collect();
        for size in sizes {
            let runs = before.remove(&size).map_or(0, |own| own.runs);
            self.own.insert(size, Own { points: self.points_at(size), runs });
        }
        *self.asked.get_mut() = Asked::default();
    }

    fn work_out_at(&mut self, input_size: InputSize) {
        let points = self.points_at(input_size);
        let own = self.own.entry(input_size).or_default();
        if moved(&own.points, &points) {
            own.points = points;
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

fn logarithm(input_size: InputSize) -> f64 {
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

/// The curve that an answer describes, through what was measured.
fn draw(answer: &Answer, unit: f64, own: &[(f64, Estimate)], provenance: Provenance) -> Curve {
    // A single time at an unknown size says how long it takes, not where.
    let noise = own.iter().map(|(_, e)| (e.high / e.seconds).ln()).fold(NOISE, f64::max).min(1.0);
    let at = |cache: f64| {
        let units = cache / unit;
        let near = |(at, _): &&(f64, Estimate)| (at - units).abs() * unit < 0.5 + 1e-9 * cache;
        if let Some((_, seen)) = own.iter().find(near) {
            return *seen;
        }
        let seconds = read(&answer.curve, units).exp();
        let (low, high) = (read(&answer.low, units) - noise, read(&answer.high, units) + noise);
        // Outside of the grid it goes on flat, and unsure.
        let beyond = if units < 1.0 {
            3.0 * (prior_slowdown(units) / prior_slowdown(1.0)).ln()
        } else if units > GRID as f64 {
            3.0 * (prior_slowdown(GRID as f64) / prior_slowdown(units)).ln()
        } else {
            0.0
        };
        let (more, less) = if units < 1.0 { (beyond, 0.0) } else { (0.0, beyond) };
        Estimate { seconds, low: (low - less).exp(), high: (high + more).exp() }
    };
    let grid = (1..=GRID).map(|i| i as f64 * unit);
    curve(grid.chain(own.iter().map(|(units, _)| units * unit)), at, provenance)
}

#[cfg(test)]
mod tests;
