//! Which curve does a function have at an input size, and how sure are we?
//!
//! | file | what |
//! | --- | --- |
//! | `mlp.rs` | [`MlpPredictor`], the default: physics proposes curves, networks trained on other functions weigh them |
//! | `engine/` | the pure functions it is made of, training and evaluation |
//! | `choose.rs`, `speeds.rs`, `startup.rs` | which ways to ask for; how fast workers are; what starting a runtime costs |
//! | `interpolating.rs` | [`InterpolatingPredictor`]: what was seen, joined by lines and shifted across input sizes |
//! | `asymptotic.rs` | [`AsymptoticPredictor`]: the original fsched's form `a + b/(1+√(x−1))` |
//! | `fixed.rs` | [`FixedPredictor`]: always the curves it was given; the template for your own |
//! | `conformance.rs` | the contract as a suite, for every implementation |
//! | `sightings.rs` | [`Sightings`]: keeps [`Knowledge`] to its definition; use it in your own |
//! | `history.rs`, `profile.rs` | the newest runs in bounded space, and what profiles found, kept apart |
//! | `fit.rs`, `probe.rs` | a never-rising line through them; which runs to make |

mod asymptotic;
mod choose;
#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
pub mod engine;
mod fit;
mod fixed;
mod history;
mod interpolating;
mod mlp;
mod probe;
mod profile;
mod reference;
mod sightings;
mod speeds;
mod startup;
#[cfg(test)]
mod tests;

pub use asymptotic::{AsymptoticConfig, AsymptoticPredictor};
pub use choose::{Choice, ChoiceError};
pub use fixed::FixedPredictor;
pub use interpolating::InterpolatingPredictor;
pub use mlp::{BuildError, MlpConfig, MlpPredictor, ModelSlot};
pub use sightings::Sightings;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cache::{Bytes, CacheGeometry, Ways};
use crate::curve::Curve;
use crate::function::{Function, InputSize};
use crate::id::FunctionId;
use crate::sample::Sample;

/// What is known of a function at an input size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Knowledge {
    /// No samples at all.
    #[serde(rename = "INOP")]
    Inop,
    /// Samples, but at other input sizes.
    #[serde(rename = "ASSISTED")]
    Assisted,
    /// Samples at this input size.
    #[serde(rename = "BENCHMARKED")]
    Benchmarked,
}

/// By rising input size, seconds over rising cache: from few to nearly all, and so close that what is enough is known.
pub type Lesson = Vec<(InputSize, Vec<(Bytes, f64)>)>;

/// A curve and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// What is known of the function at the input size.
    pub knowledge: Knowledge,
    /// The whole curve, as it is expected; how sure, is in its intervals.
    pub curve: Arc<Curve>,
    /// The least cache that is taken to be good enough, where the predictor says so: being cautious it may be more than the
    /// expected times alone would say.
    pub enough: Option<Bytes>,
}

impl Prediction {
    /// One that leaves it to the curve how much cache is enough.
    pub fn new(knowledge: Knowledge, curve: impl Into<Arc<Curve>>) -> Self {
        Self { knowledge, curve: curve.into(), enough: None }
    }

    /// The fewest ways that are good enough: as said, else those whose time is within `tolerance` of the best.
    pub fn enough(&self, geometry: &CacheGeometry, tolerance: f64) -> Ways {
        let Some(bytes) = self.enough else { return self.curve.fewest_ways_within(geometry, tolerance) };
        let ways = bytes.0.div_ceil(geometry.way_size().0.max(1));
        let (least, most) = (geometry.min_ways.get(), geometry.usable_ways().get());
        Ways::clamped(u8::try_from(ways).unwrap_or(most).clamp(least.min(most), most))
    }
}

/// What a benchmark may do, and what it did so far.
#[derive(Debug, Clone, Copy)]
pub struct Bench<'a> {
    /// The cache it runs on.
    pub geometry: &'a CacheGeometry,
    /// Whether masks are enforced there. Where not, only a full-cache run means anything.
    pub enforced: bool,
    /// The way counts run so far in this benchmark, in order, repetitions not counted.
    pub done: &'a [Ways],
    /// How many way counts may be run in all.
    pub budget: usize,
}

/// Predicts running time over cache, and learns from every run.
///
/// An implementation must:
/// - always answer, with a curve that is finite, never rising, and inside its own interval;
/// - answer the same to the same question until the next `observe` or `forget`;
/// - answer the same after the same samples in the same order: a restarted master replays them;
/// - bear any sample: zero durations, one input size a million times larger than the next, no segments;
/// - believe the cache of a segment only where the sample says it was enforced;
/// - keep profiles apart from runs: a simulated time is never taken for a real one, a curve whose shape rests on profiles is
///   called [`Simulated`](crate::curve::Provenance::Simulated) or less, and real times move it to where they are;
/// - keep `Knowledge` to its definition: samples since the last `forget`, at this or at other sizes.
///
/// It must not read a clock, draw random numbers that it did not seed itself, or wait for anything.
pub trait Predictor: Send {
    /// Is told what a function is: when it is pushed, and after a restart before its samples are replayed. What is made of it must
    /// not depend on when that is.
    ///
    /// By default nothing is.
    fn introduce(&mut self, _function: &Function) {}

    /// Learns from one successful run.
    fn observe(&mut self, sample: &Sample);

    /// Forgets all about a function: it was removed.
    fn forget(&mut self, function: FunctionId);

    /// The curve of a function at an input size.
    fn predict(&self, function: FunctionId, input_size: InputSize) -> Prediction;

    /// What is known well of a function, for whoever learns across functions. By default nothing.
    fn lesson(&self, _function: FunctionId) -> Lesson {
        Lesson::new()
    }

    /// Which way count a benchmark should run next; `None` when it has learnt enough.
    ///
    /// Never names one that is in `bench.done`, and names at most `bench.budget` in all. Where masks are not
    /// enforced it names the whole cache, once.
    fn next_probe(&self, function: FunctionId, input_size: InputSize, bench: &Bench<'_>) -> Option<Ways>;

    /// How many ways to ask for on a cache of this shape, when one way costs `generosity` (the change of the
    /// cluster's running time per way, seconds, zero or negative).
    ///
    /// By default the fewest whose time is within 5 % of the best, and fewer where that saves others more than it costs.
    fn ways(&self, prediction: &Prediction, geometry: &CacheGeometry, generosity: f64) -> Ways {
        let enough = prediction.enough(geometry, 0.05).get();
        let price = if generosity < 0.0 { -generosity } else { 0.0 };
        let seconds = |ways| prediction.curve.seconds(geometry, Ways::clamped(ways));
        let least = geometry.min_ways.get();
        // Without a price, what is within 5 % is as good as the best.
        let worth = if price > 0.0 { crate::split::ways_worth(seconds, price, enough) } else { enough };
        Ways::clamped(worth.max(least))
    }
}

impl<P: Predictor + ?Sized> Predictor for Box<P> {
    fn introduce(&mut self, function: &Function) {
        (**self).introduce(function);
    }

    fn observe(&mut self, sample: &Sample) {
        (**self).observe(sample);
    }

    fn forget(&mut self, function: FunctionId) {
        (**self).forget(function);
    }

    fn predict(&self, function: FunctionId, input_size: InputSize) -> Prediction {
        (**self).predict(function, input_size)
    }

    fn lesson(&self, function: FunctionId) -> Lesson {
        (**self).lesson(function)
    }

    fn next_probe(&self, function: FunctionId, input_size: InputSize, bench: &Bench<'_>) -> Option<Ways> {
        (**self).next_probe(function, input_size, bench)
    }

    fn ways(&self, prediction: &Prediction, geometry: &CacheGeometry, generosity: f64) -> Ways {
        (**self).ways(prediction, geometry, generosity)
    }
}

/// Which predictor to use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum PredictorConfig {
    /// [`MlpPredictor`].
    Mlp(MlpConfig),
    /// [`InterpolatingPredictor`].
    Interpolating {},
    /// [`AsymptoticPredictor`].
    Asymptotic(AsymptoticConfig),
}

impl Default for PredictorConfig {
    fn default() -> Self {
        Self::Mlp(MlpConfig::default())
    }
}

impl PredictorConfig {
    /// The predictor it names, knowing nothing yet.
    ///
    /// # Errors
    /// Where it names a model file that cannot be used, or its numbers make no sense.
    pub fn build(&self) -> Result<Box<dyn Predictor>, BuildError> {
        Ok(match self {
            Self::Mlp(config) => Box::new(MlpPredictor::from_config(config)?),
            Self::Interpolating {} => Box::new(InterpolatingPredictor::default()),
            Self::Asymptotic(config) => Box::new(AsymptoticPredictor::new(config.clone())),
        })
    }
}
