//! What was seen, joined by lines and shifted across input sizes.

use std::collections::BTreeMap;

use crate::cache::{Bytes, Ways};
use crate::curve::{Curve, Provenance};
use crate::function::InputSize;
use crate::id::FunctionId;
use crate::predictor::fit::{Estimate, Fit, curve};
use crate::predictor::history::{AtSize, History};
use crate::predictor::{Bench, Prediction, Predictor, Sightings, probe};
use crate::sample::Sample;

/// Joins what was measured by lines that never rise, and shifts a function's own curve to unseen input sizes.
///
/// - At an input size with runs under enforced masks: the isotonic curve through the robust medians of
///   its newest runs. A run counts at one cache only, and where the mask moved during it, only if one cache
///   held for 90 % of it.
/// - At other sizes: the working set is taken to grow with the input, so the curve of a size `m` is read at
///   `cache · m / n`. Between two known sizes the logarithms of both are interpolated; above the largest, time
///   follows the power law of the nearest sizes (proportional to input where only one is known); below the
///   smallest its shape stays, because what remains of a small run is often start-up.
/// - Beyond the caches it was measured at, a curve goes on flat, with an interval that widens.
/// - Where masks were never enforced but the function was profiled, the shape is the profile's, moved up or down to real times.
/// - Where masks were never enforced, and nothing was profiled, only the whole cache's time is known, and the shape is a stated prior,
///   `1 + 1.5 MiB / (cache + 0.3 MiB)`, with an interval up to its third power.
///
/// A function never seen is said to take a second, give or take a factor of a thousand.
///
/// Of each function the 64 input sizes last seen are kept, of each size at most 24 caches and 8 runs at each.
#[derive(Debug, Clone, Default)]
pub struct InterpolatingPredictor {
    sightings: Sightings,
    functions: BTreeMap<FunctionId, History>,
}

impl Predictor for InterpolatingPredictor {
    fn observe(&mut self, sample: &Sample) {
        self.sightings.observe(sample);
        self.functions.entry(sample.function).or_default().observe(sample);
    }

    fn forget(&mut self, function: FunctionId) {
        self.sightings.forget(function);
        self.functions.remove(&function);
    }

    fn predict(&self, function: FunctionId, input_size: InputSize) -> Prediction {
        let known = self.functions.get(&function).and_then(|history| {
            Some(known_curve(history, input_size)?.with_traffic(history.traffic(input_size)))
        });
        let knowledge = self.sightings.knowledge(function, input_size);
        Prediction::new(knowledge, known.unwrap_or_else(unknown_curve))
    }

    /// The most and the least, then bisects where the fewest ways within 5 % of the best must lie.
    fn next_probe(&self, function: FunctionId, input_size: InputSize, bench: &Bench<'_>) -> Option<Ways> {
        let history = self.functions.get(&function);
        let fit = history.and_then(|h| h.size(input_size)).and_then(AtSize::planning);
        probe::bisect(bench, |ways| {
            fit.as_ref().map(|fit| fit.at(bench.geometry.bytes(ways).0 as f64).seconds)
        })
    }
}

/// What is said of a function never seen.
pub(super) fn unknown_curve() -> Curve {
    Fit::through(Bytes::mib(16), Estimate { seconds: 1.0, low: 1e-3, high: 1e3 }).curve()
}

/// The curve of a function by its own runs alone; none where there are none.
pub(super) fn known_curve(history: &History, input_size: InputSize) -> Option<Curve> {
    let own = history.size(input_size).and_then(|at| history.fit(at));
    if let Some(own) = &own
        && own.provenance != Provenance::Prior
    {
        return Some(own.curve());
    }
    let shift = Shift::new(history, input_size);
    match (own, shift) {
        // One time is known here, a shape elsewhere.
        (Some(own), Some(shift)) if shift.provenance != Provenance::Prior => {
            let (cache, here) = own.last();
            let there = shift.at(cache).seconds;
            let spread = (here.high / here.low).ln() / 4.0;
            let at = |cache| shift.at(cache).scaled(here.seconds / there).widened(spread);
            Some(curve(shift.caches().chain([cache]), at, shift.provenance))
        }
        (Some(own), _) => Some(own.curve()),
        (None, shift) => shift.map(|shift| curve(shift.caches(), |cache| shift.at(cache), shift.provenance)),
    }
}

/// The curve at an unseen input size, from the nearest sizes below and above.
struct Shift {
    below: Option<Neighbour>,
    above: Option<Neighbour>,
    /// How much of the upper neighbour goes in: 0 to 1, by the logarithm of the size.
    share: f64,
    /// How far the size lies from the nearest known one, as a logarithm.
    distance: f64,
    /// Standard deviation of the logarithm of time that comes of the distance.
    spread: f64,
    provenance: Provenance,
}

struct Neighbour {
    fit: Fit,
    /// The cache that does for it what one byte does at the size asked for.
    cache: f64,
    /// How much longer the size asked for takes.
    time: f64,
}

impl Neighbour {
    fn at(&self, cache: f64) -> Estimate {
        self.fit.at(cache * self.cache).scaled(self.time)
    }
}

impl Shift {
    fn new(history: &History, input_size: InputSize) -> Option<Self> {
        // A measured shape is worth more than a near size, and a simulated one more than none.
        let others = || history.sizes().filter(|(size, _)| *size != input_size);
        let provenance = others().map(|(_, at)| at.provenance()).max()?;
        let usable = |(size, at): &(InputSize, &AtSize)| *size != input_size && at.provenance() == provenance;
        let below = history.sizes().rev().filter(usable).find(|(size, _)| *size < input_size);
        let above = history.sizes().filter(usable).find(|(size, _)| *size > input_size);
        let asked = scale(input_size);
        let neighbour = |(size, at): (InputSize, &AtSize)| {
            let fit = history.fit(at)?;
            // A prior's shape has no working set that could grow.
            let cache = if fit.provenance == Provenance::Prior { 1.0 } else { scale(size) / asked };
            Some((scale(size), Neighbour { fit, cache, time: 1.0 }))
        };
        let (below, above) = (below.and_then(neighbour), above.and_then(neighbour));
        let shift = |below, above, share, distance: f64, spread| {
            Some(Self { below, above, share, distance: distance.clamp(0.0, 50.0), spread, provenance })
        };
        match (below, above) {
            (None, None) => None,
            (Some((low, below)), Some((high, above))) => {
                let distance = (asked / low).ln().min((high / asked).ln());
                let span = (high / low).ln();
                let share = if span > 0.0 { (asked / low).ln() / span } else { 0.0 };
                shift(Some(below), Some(above), share, distance, 0.15f64.mul_add(distance, 0.05))
            }
            (Some((size, mut below)), None) => {
                let power = power_law(history.sizes().rev().filter(usable), history);
                let distance = (asked / size).ln();
                below.time = (power.unwrap_or(1.0) * distance).min(50.0).exp();
                let doubt: f64 = if power.is_some() { 0.3 } else { 0.7 };
                shift(Some(below), None, 0.0, distance, doubt.mul_add(distance, 0.1))
            }
            (None, Some((size, mut above))) => {
                let power = power_law(history.sizes().filter(usable), history);
                let distance = (size / asked).ln();
                above.cache = 1.0;
                above.time = (power.unwrap_or(0.0) * -distance).max(-50.0).exp();
                let doubt: f64 = if power.is_some() { 0.3 } else { 0.7 };
                shift(None, Some(above), 1.0, distance, doubt.mul_add(distance, 0.1))
            }
        }
    }

    /// Where the neighbours were measured, moved to this size.
    fn caches(&self) -> impl Iterator<Item = f64> {
        let moved = |n: &Neighbour| n.fit.caches().map(|cache| cache / n.cache).collect::<Vec<_>>();
        self.below.iter().chain(&self.above).flat_map(moved)
    }

    /// Time and interval: how far a cliff may lie from where it is expected counts too.
    fn at(&self, cache: f64) -> Estimate {
        let aside = 1.0 + 0.5 * self.distance.min(2.0);
        let (here, less, more) = (self.pair(cache), self.pair(cache / aside), self.pair(cache * aside));
        Estimate {
            seconds: self.blend(here, |e| e.seconds),
            low: self.blend(here, |e| e.low).min(self.blend(more, |e| e.low)),
            high: self.blend(here, |e| e.high).max(self.blend(less, |e| e.high)),
        }
        .widened(self.spread)
    }

    /// What the neighbours say; the same twice where there is one.
    fn pair(&self, cache: f64) -> (Estimate, Estimate) {
        match (&self.below, &self.above) {
            (Some(below), Some(above)) => (below.at(cache), above.at(cache)),
            (Some(only), None) | (None, Some(only)) => (only.at(cache), only.at(cache)),
            (None, None) => unreachable!("a shift has a neighbour"),
        }
    }

    fn blend(&self, (below, above): (Estimate, Estimate), of: fn(&Estimate) -> f64) -> f64 {
        let (below, above) = (of(&below), of(&above));
        if self.share == 0.0 || self.share == 1.0 {
            return if self.share == 0.0 { below } else { above };
        }
        below * (above / below).powf(self.share)
    }
}

fn scale(input_size: InputSize) -> f64 {
    input_size.0.max(1) as f64
}

/// The `b` of time ∝ size^b through the first few sizes given, by least squares of the logarithms; 0 to 3.
/// `None` where it is not determined.
fn power_law<'a>(sizes: impl Iterator<Item = (InputSize, &'a AtSize)>, history: &History) -> Option<f64> {
    let logarithms = sizes.take(3).filter_map(|(size, at)| {
        let (_, most) = history.fit(at)?.last();
        Some((scale(size).ln(), most.seconds.ln()))
    });
    let points: Vec<_> = logarithms.collect();
    let count = points.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let variance: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    let covariance: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    (points.len() > 1 && variance > 0.0).then(|| (covariance / variance).clamp(0.0, 3.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::predictor::Knowledge;
    use crate::predictor::tests::{benchmark, geometry, profile, run, unenforced};

    const FUNCTION: FunctionId = FunctionId(1);

    fn curve_at(predictor: &InterpolatingPredictor, size: u64) -> Arc<Curve> {
        predictor.predict(FUNCTION, InputSize(size)).curve
    }

    fn taught(samples: impl IntoIterator<Item = Sample>) -> InterpolatingPredictor {
        let mut predictor = InterpolatingPredictor::default();
        samples.into_iter().for_each(|sample| predictor.observe(&sample));
        predictor
    }

    /// Time is proportional to input; a working set of `size / 1000` MiB that does not fit triples it.
    fn cliff(size: u64, mib: u64) -> f64 {
        let factor = if mib * 1000 < size { 3.0 } else { 1.0 };
        factor * size as f64 / 1000.0
    }

    fn cliffs(sizes: &[u64]) -> InterpolatingPredictor {
        let runs = sizes.iter().flat_map(|&size| (1..=20).map(move |mib| (size, mib)));
        taught(runs.map(|(size, mib)| benchmark(1, size, mib, cliff(size, mib))))
    }

    #[test]
    fn what_was_measured_is_predicted() {
        let curve = curve_at(&cliffs(&[8000]), 8000);
        assert_eq!(curve.provenance(), Provenance::Measured);
        for mib in 1..=20 {
            let point = curve.at(Bytes::mib(mib));
            assert!((point.seconds / cliff(8000, mib) - 1.0).abs() < 1e-6, "{mib}");
            assert!(point.high / point.low < 1.5, "{point:?}");
        }
        assert_eq!(curve.fewest_ways_within(&geometry(20), 0.05).get(), 8);
    }

    #[test]
    fn a_cliff_moves_with_the_input_size() {
        let predictor = cliffs(&[4000, 16_000]);
        for (size, ways) in [(8000, 8), (6000, 6), (12_000, 12)] {
            let prediction = predictor.predict(FUNCTION, InputSize(size));
            assert_eq!(prediction.knowledge, Knowledge::Assisted);
            let got = prediction.curve.fewest_ways_within(&geometry(20), 0.05).get();
            assert!(got.abs_diff(ways) <= 1, "{size}: {got} is not about {ways}");
            let most = prediction.curve.at(Bytes::mib(20)).seconds;
            assert!((most / (size as f64 / 1000.0) - 1.0).abs() < 0.1, "{most}");
        }
    }

    #[test]
    fn above_the_largest_size_time_follows_the_power_law() {
        let squares =
            [10u64, 20, 40].map(|size| [1, 20].map(|mib| benchmark(1, size, mib, (size * size) as f64)));
        let predictor = taught(squares.into_iter().flatten());
        let at = curve_at(&predictor, 80).at(Bytes::mib(4));
        assert!((at.seconds / 6400.0 - 1.0).abs() < 0.02, "{at:?}");

        let predictor = taught([1, 20].map(|mib| benchmark(1, 10, mib, 1.0)));
        let at = curve_at(&predictor, 100).at(Bytes::mib(4));
        assert!((at.seconds / 10.0 - 1.0).abs() < 0.2, "one size alone: in proportion: {at:?}");
        assert!(at.low < 1.0 && at.high > 60.0, "and wide: {at:?}");
    }

    #[test]
    fn below_the_smallest_size_its_shape_stays() {
        let curve = curve_at(&cliffs(&[8000]), 1000);
        assert_eq!(curve.fewest_ways_within(&geometry(20), 0.05).get(), 8);
        assert!((curve.at(Bytes::mib(20)).seconds - 8.0).abs() < 1e-6);
        assert!(curve.at(Bytes::mib(20)).low < 3.0, "but it may be much faster");
    }

    #[test]
    fn without_enforced_masks_the_shape_is_the_prior_scaled_to_the_whole_cache() {
        let predictor =
            taught([unenforced(1, 8, 20, 2.0), unenforced(1, 8, 3, 2.0), unenforced(1, 8, 20, 2.0)]);
        let curve = curve_at(&predictor, 8);
        assert_eq!(curve.provenance(), Provenance::Prior);
        assert!((curve.at(Bytes::mib(20)).seconds - 2.0).abs() < 1e-6);
        let least = curve.at(Bytes::mib(1));
        assert!(least.seconds > 3.0 && least.low < 2.0 && least.high > 8.0, "{least:?}");
    }

    fn profiled(sizes: &[u64]) -> InterpolatingPredictor {
        let points = sizes.iter().flat_map(|&size| [1, 4, 7, 8, 12, 20].map(|mib| (size, mib)));
        taught(points.map(|(size, mib)| profile(1, size, mib, cliff(size, mib))))
    }

    #[test]
    fn a_profile_gives_the_shape_and_real_times_move_it() {
        let mut predictor = profiled(&[8000]);
        let prediction = predictor.predict(FUNCTION, InputSize(8000));
        assert_eq!(prediction.knowledge, Knowledge::Benchmarked);
        assert_eq!(prediction.curve.provenance(), Provenance::Simulated);
        assert_eq!(prediction.curve.fewest_ways_within(&geometry(20), 0.05).get(), 8);

        predictor.observe(&unenforced(1, 8000, 20, 2.0));
        let curve = curve_at(&predictor, 8000);
        assert_eq!(curve.provenance(), Provenance::Simulated, "its shape is");
        assert!((curve.at(Bytes::mib(20)).seconds - 2.0).abs() < 1e-6);
        assert!((curve.at(Bytes::mib(1)).seconds - 6.0).abs() < 1e-6, "three times as long, as estimated");
        assert!(curve.at(Bytes::mib(1)).low < 3.0, "and perhaps much less");
        assert_eq!(curve.fewest_ways_within(&geometry(20), 0.05).get(), 8);
    }

    #[test]
    fn what_is_measured_replaces_what_was_simulated() {
        let mut predictor = profiled(&[8000]);
        for mib in [1, 20] {
            predictor.observe(&benchmark(1, 8000, mib, 5.0));
        }
        let curve = curve_at(&predictor, 8000);
        assert_eq!(curve.provenance(), Provenance::Measured);
        assert_eq!(curve.at(Bytes::mib(1)).seconds, 5.0);
    }

    #[test]
    fn a_simulated_cliff_moves_with_the_input_size_and_takes_the_scale_along() {
        let mut predictor = profiled(&[8000, 4000]);
        predictor.observe(&unenforced(1, 4000, 20, 40.0));
        let here = curve_at(&predictor, 8000);
        assert!((here.at(Bytes::mib(20)).seconds - 80.0).abs() < 1e-3, "ten times the estimate there too");
        let between = curve_at(&predictor, 6000);
        assert_eq!(between.provenance(), Provenance::Simulated);
        assert!(between.fewest_ways_within(&geometry(20), 0.05).get().abs_diff(6) <= 1);
    }

    #[test]
    fn misses_come_along_wherever_the_times_come_from() {
        let mut predictor = profiled(&[8000]);
        let misses = |predictor: &InterpolatingPredictor, size| {
            let traffic = curve_at(predictor, size).traffic().cloned().unwrap();
            (traffic.at(Bytes::mib(8)).misses, traffic.at(Bytes::mib(8)).accesses, traffic.provenance())
        };
        assert_eq!(misses(&predictor, 8000), (512e6, 50e6, Provenance::Simulated));
        (1..=20).for_each(|mib| predictor.observe(&benchmark(1, 8000, mib, 1.0)));
        assert_eq!(curve_at(&predictor, 8000).provenance(), Provenance::Measured);
        assert_eq!(misses(&predictor, 8000), (512e6, 50e6, Provenance::Simulated));
        assert_eq!(
            misses(&predictor, 4000),
            (256e6, 25e6, Provenance::Prior),
            "an assumption, and called one"
        );
        assert_eq!(curve_at(&cliffs(&[8000]), 8000).traffic(), None);
    }

    #[test]
    fn a_profile_is_planned_like_a_benchmark() {
        for answer in 1..=20 {
            let (geometry, mut done) = (geometry(20), Vec::new());
            let mut predictor = InterpolatingPredictor::default();
            while let Some(ways) = predictor.next_probe(
                FUNCTION,
                InputSize(1),
                &Bench { geometry: &geometry, enforced: true, done: &done, budget: 7 },
            ) {
                done.push(ways);
                let seconds = if ways.get() < answer { 2.0 } else { 1.0 };
                predictor.observe(&profile(1, 1, u64::from(ways.get()), seconds));
            }
            assert_eq!(curve_at(&predictor, 1).fewest_ways_within(&geometry, 0.05).get(), answer, "{done:?}");
        }
    }

    #[test]
    fn one_time_here_scales_a_shape_measured_elsewhere() {
        let mut predictor = cliffs(&[4000, 16_000]);
        predictor.observe(&unenforced(1, 8000, 20, 80.0));
        let curve = curve_at(&predictor, 8000);
        assert_eq!(curve.provenance(), Provenance::Measured);
        assert!((curve.at(Bytes::mib(20)).seconds - 80.0).abs() < 1e-3);
        assert!(curve.fewest_ways_within(&geometry(20), 0.05).get().abs_diff(8) <= 1);
    }

    #[test]
    fn unmeasured_caches_between_far_points_are_uncertain() {
        let few = curve_at(&taught([1, 20].map(|mib| benchmark(1, 8, mib, 21.0 - mib as f64))), 8);
        let many = curve_at(&taught((1..=20).map(|mib| benchmark(1, 8, mib, 21.0 - mib as f64))), 8);
        let width = |curve: &Curve| curve.at(Bytes::mib(10)).high / curve.at(Bytes::mib(10)).low;
        assert!(width(&few) > 5.0 * width(&many), "{} {}", width(&few), width(&many));
    }

    #[test]
    fn the_newest_runs_win_when_a_function_changes() {
        let mut predictor = cliffs(&[8000]);
        for _ in 0..8 {
            (1..=20).for_each(|mib| predictor.observe(&run(1, 8000, mib, 5.0)));
        }
        let curve = curve_at(&predictor, 8000);
        assert!((curve.at(Bytes::mib(1)).seconds - 5.0).abs() < 1e-6);
        assert_eq!(curve.fewest_ways_within(&geometry(20), 0.05).get(), 1);
    }

    #[test]
    fn a_benchmark_pins_the_answer_down_within_its_budget() {
        for answer in 1..=20 {
            let mut predictor = InterpolatingPredictor::default();
            let mut done = Vec::new();
            let geometry = geometry(20);
            while let Some(ways) = predictor.next_probe(
                FUNCTION,
                InputSize(1),
                &Bench { geometry: &geometry, enforced: true, done: &done, budget: 7 },
            ) {
                done.push(ways);
                let seconds = if ways.get() < answer { 2.0 } else { 1.0 };
                predictor.observe(&benchmark(1, 1, u64::from(ways.get()), seconds));
            }
            let got = curve_at(&predictor, 1).fewest_ways_within(&geometry, 0.05).get();
            assert_eq!(got, answer, "after {done:?}");
        }
    }
}
