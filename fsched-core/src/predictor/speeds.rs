//! How fast workers are, so that what was seen on one says something about another.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::function::InputSize;
use crate::id::WorkerId;
use crate::predictor::fit::Fit;
use crate::sample::{Sample, Segment};

/// How much longer one function takes on each worker, learnt where the same input size ran on another worker before.
///
/// The first worker seen is the measure of all. Of each function by itself: what is forgotten with a function must not live on
/// in what is said of others.
#[derive(Debug, Clone, Default)]
pub(super) struct Speeds {
    workers: BTreeMap<WorkerId, Speed>,
    /// Where each size ran last.
    last: BTreeMap<InputSize, WorkerId>,
    measure: Option<WorkerId>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Speed {
    /// The logarithm of how much longer it takes.
    slower: f64,
    runs: u32,
}

/// The most that one run can move a factor, as a logarithm: an outlier is not a slow worker.
const STEP: f64 = 0.25;
/// How much a run counts at least, so that a worker may change.
const LEAST: f64 = 0.05;
/// The most that workers differ by, as a logarithm: a factor of twenty.
const MOST: f64 = 3.0;
/// The most sizes, and the most workers, remembered; beyond, all are forgotten, and it costs some learning.
const MAX_KEPT: usize = 64;

impl Speeds {
    /// The sample as the first worker would have seen it; `here` is what was seen at its size, by then, and
    /// `predicted` what is expected there where that shows no curve.
    ///
    /// A run whose mask moved becomes a run at the cache it had longest: as much longer or shorter than expected there as
    /// `Σ dᵢ / T(bᵢ)` differs from one.
    pub(super) fn compare<'s>(
        &mut self,
        sample: &'s Sample,
        here: Option<Fit>,
        predicted: Option<Fit>,
    ) -> Cow<'s, Sample> {
        if !sample.origin.is_run() {
            return Cow::Borrowed(sample);
        }
        let measure = *self.measure.get_or_insert(sample.worker);
        let usable = |_: &Fit| sample.enforced && !sample.segments.is_empty();
        let (here, predicted) = (here.filter(usable), predicted.filter(usable));
        let ratio = |fit: &Fit| {
            let parts = sample
                .segments
                .iter()
                .map(|s| s.duration.as_secs_f64() / fit.at(s.cache.0.max(1) as f64).seconds);
            parts.sum::<f64>()
        };
        // What was not seen with these caches says nothing about a worker.
        let seen = here.as_ref().filter(|fit| fit.knows(sample.segments.iter().map(|s| s.cache)));
        let as_expected = seen.map(ratio);
        let before = self.last.insert(sample.input_size, sample.worker);
        if self.last.len() > MAX_KEPT {
            self.last.clear();
        }
        if self.workers.len() > MAX_KEPT {
            self.workers.clear();
        }
        let speed = self.workers.entry(sample.worker).or_default();
        if let Some(ratio) = as_expected.filter(|r| r.is_finite() && *r > 0.0)
            && before.is_some_and(|worker| worker != sample.worker)
            && sample.worker != measure
        {
            speed.runs = speed.runs.saturating_add(1);
            let gain = (1.0 / f64::from(speed.runs)).max(LEAST);
            let wrong = ratio.ln() - speed.slower;
            let step = if speed.runs == 1 { wrong } else { wrong.clamp(-STEP, STEP) };
            speed.slower = (speed.slower + gain * step).clamp(-MOST, MOST);
        }
        let slower = speed.slower;
        let moved = sample.segments.len() > 1;
        if slower == 0.0 && !moved {
            return Cow::Borrowed(sample);
        }
        let mut comparable = sample.clone();
        let expected = predicted.or(here);
        if let (true, Some(fit), Some(ratio)) = (moved, &expected, expected.as_ref().map(ratio))
            && let Some(longest) = sample.segments.iter().max_by_key(|s| s.duration)
            && ratio.is_finite()
        {
            let seconds = (fit.at(longest.cache.0.max(1) as f64).seconds * ratio).clamp(1e-9, 1e9);
            let duration = std::time::Duration::from_secs_f64(seconds);
            comparable.segments = vec![Segment { cache: longest.cache, duration }];
        }
        for segment in &mut comparable.segments {
            let seconds = (segment.duration.as_secs_f64() * (-slower).exp()).clamp(0.0, 1e12);
            segment.duration = std::time::Duration::from_secs_f64(seconds);
        }
        Cow::Owned(comparable)
    }
}
