//! What was learnt across functions, put to work: the platform's default.
//!
//! | file | what |
//! | --- | --- |
//! | `mlp.rs` | [`MlpPredictor`]: from what is known to curves, and from curves to answers |
//! | `function.rs` | what is known of one function, and when it is worked out anew |
//! | `slot.rs` | [`ModelSlot`]: a model that can be replaced while it is used |

mod function;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use function::{Across, Asked, Drawn, Function, logarithm};
pub use slot::ModelSlot;

use crate::cache::{Bytes, CacheGeometry, Ways};
use crate::curve::{Curve, CurvePoint, Provenance};
use crate::function::{Function as PushedFunction, InputSize};
use crate::id::FunctionId;
use crate::predictor::choose::{Choice, choose};
use crate::predictor::engine::answer::{Answer, Question, prior_slowdown};
use crate::predictor::engine::candidates::{Candidates, Known, bracket, gap};
use crate::predictor::engine::model::{Model, ModelError};
use crate::predictor::engine::plan;
use crate::predictor::engine::shape::{GRID, Point, read};
use crate::predictor::fit::{Estimate, Fit, curve};
use crate::predictor::history::AtSize;
use crate::predictor::interpolating::{known_curve, unknown_curve};
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

/// Changes with what was learnt across functions: models, and start-up curves.
type Stamp = (u64, u64);

/// The most curves kept per function.
const MAX_CURVES: usize = 64;
/// How much single runs scatter where nothing else is known: a 90 % interval's half, as a logarithm.
const NOISE: f64 = 0.03;

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
    fn introduce(&mut self, function: &PushedFunction) {
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
