//! The original fsched's form: `a + b/(1+√(x−1))`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cache::{Bytes, CacheGeometry, Ways};
use crate::curve::{Curve, Provenance};
use crate::function::InputSize;
use crate::id::FunctionId;
use crate::predictor::fit::{Estimate, curve};
use crate::predictor::history::{AtSize, History, sane_seconds};
use crate::predictor::interpolating::unknown_curve;
use crate::predictor::reference::{REFERENCES, Reference};
use crate::predictor::{Bench, Prediction, Predictor, Sightings, probe};
use crate::sample::Sample;

/// What [`AsymptoticPredictor`] takes for a way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AsymptoticConfig {
    /// Bytes in the way that `x` counts; the form's bend lies there, whatever a machine's own ways hold.
    #[serde(with = "crate::cache::humane_bytes")]
    pub way_size: Bytes,
}

impl Default for AsymptoticConfig {
    fn default() -> Self {
        Self { way_size: Bytes::mib(1) }
    }
}

/// The original fsched's predictor: `t(x) = a + b/(1+√(x−1))` with `x` ways.
///
/// - At a known input size `a` and `b` are the least squares fit to the medians of its newest runs under enforced
///   masks; both are at least zero, so that the curve never rises. Where these span no factor of two, `b/a`
///   is that of the middle reference function.
/// - At an unseen one it takes the nearest known input size, finds the reference function (at one of its sizes)
///   whose fitted curve there differs least, scales the reference's size by the same ratio, and takes the reference
///   curve of the nearest size to that. Curves are compared, and taken over, relative to their mean time over 1 to
///   10 ways: the references' machine is not ours. The reference functions are ours too; the original's are not
///   available.
/// - [`ways`](Predictor::ways) are where the slope equals the generosity.
///
/// One thing differs on purpose. The original found the nearest known input size by comparing the second
/// digit of their decimal texts, `abs(int(x[1]) − int(input_size))`, so that 1,900 was "nearer" to 9 than 10 was.
/// Here sizes are compared.
#[derive(Debug, Clone, Default)]
pub struct AsymptoticPredictor {
    config: AsymptoticConfig,
    sightings: Sightings,
    functions: BTreeMap<FunctionId, History>,
}

impl AsymptoticPredictor {
    /// A predictor that knows nothing but its reference functions.
    pub fn new(config: AsymptoticConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// What the original paid for one way when `free_ways` were free in the whole cluster: the change of
    /// running time per way, seconds.
    pub fn generosity(free_ways: u64) -> f64 {
        -2.0 / free_ways.max(20) as f64
    }

    fn known_curve(&self, history: &History, input_size: InputSize) -> Option<Curve> {
        let own = history.size(input_size).and_then(|at| self.fit(history, at));
        let fit = own.or_else(|| self.assist(history, input_size))?;
        let x = (1..=32).chain([40, 48, 64]);
        let caches = x.map(f64::from).chain([fit.known_at]).map(|x| x * self.way_size());
        let at = |cache: f64| {
            let x = cache / self.way_size();
            let doubt = fit.doubt_of_slope * (basis(x) - basis(fit.known_at)).abs();
            let sure = Estimate::new(fit.form.at(x), fit.spread);
            Estimate { seconds: sure.seconds, low: sure.low / (1.0 + doubt), high: sure.high * (1.0 + doubt) }
        };
        Some(curve(caches, at, fit.provenance))
    }

    fn way_size(&self) -> f64 {
        self.config.way_size.0.max(1) as f64
    }

    /// The form fitted to what was seen at one input size.
    fn fit(&self, history: &History, at: &AtSize) -> Option<Fitted> {
        if at.provenance() == Provenance::Simulated {
            let fit = history.fit(at)?;
            let points = fit.caches().map(|cache| (cache / self.way_size(), fit.at(cache).seconds));
            let Fitted { form, spread, .. } = Fitted::measured(&points.collect::<Vec<_>>());
            let (cache, most) = fit.last();
            let known_at = cache / self.way_size();
            let scale = most.seconds / sane_seconds(form.at(known_at));
            return Some(Fitted {
                form: Form { a: form.a * scale, b: form.b * scale },
                spread: spread.max((most.high / most.low).ln() / 3.3),
                known_at,
                doubt_of_slope: 1.0,
                provenance: Provenance::Simulated,
            });
        }
        let points: Vec<_> =
            at.measured().map(|(cache, seen)| (cache.0 as f64 / self.way_size(), seen.seconds)).collect();
        match points.last() {
            None => {
                let (cache, time) = history.fit(at)?.last();
                Some(Fitted::prior(cache / self.way_size(), time.seconds))
            }
            Some(_) if at.is_curve() => Some(Fitted::measured(&points)),
            Some((x, seconds)) => Some(Fitted::prior(*x, *seconds)),
        }
    }

    /// The form at an unseen input size, by likeness to a reference function.
    fn assist(&self, history: &History, input_size: InputSize) -> Option<Fitted> {
        let (size, at) = history.sizes().min_by_key(|(size, _)| size.0.abs_diff(input_size.0))?;
        let nearest = self.fit(history, at)?;
        let like = likest(&nearest.form);
        let ratio = input_size.0.max(1) as f64 / size.0.max(1) as f64;
        let there = of_size(like, like.input_size as f64 * ratio);
        let scale = nearest.form.mean() / Form::of(like).mean();
        let far = ratio.ln().abs();
        Some(Fitted {
            form: Form { a: there.a * scale, b: there.b * scale },
            spread: 0.5f64.mul_add(far, 0.2),
            ..nearest
        })
    }
}

impl Predictor for AsymptoticPredictor {
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
            Some(self.known_curve(history, input_size)?.with_traffic(history.traffic(input_size)))
        });
        let knowledge = self.sightings.knowledge(function, input_size);
        Prediction::new(knowledge, known.unwrap_or_else(unknown_curve))
    }

    /// Evenly spread, ends included.
    fn next_probe(&self, _: FunctionId, _: InputSize, bench: &Bench<'_>) -> Option<Ways> {
        probe::spread(bench)
    }

    /// Where one way more saves as much as it costs, rounded up:
    /// `−b·0.5·(x−1)^(−1/2) / (1+√(x−1))² = generosity`.
    fn ways(&self, prediction: &Prediction, geometry: &CacheGeometry, generosity: f64) -> Ways {
        let unit = self.way_size();
        let points: Vec<_> = prediction
            .curve
            .points()
            .iter()
            .map(|point| (point.cache.0 as f64 / unit, point.seconds))
            .filter(|(x, _)| *x >= 1.0)
            .collect();
        let (least, most) = (geometry.min_ways.get(), geometry.usable_ways().get());
        // One of the machine's ways may be more or less than one of the form's.
        let size = geometry.way_size().0.max(1) as f64 / unit;
        let x = Form::nearest(&points).x_of_slope(generosity / size);
        // The slack is for rounding errors, so that exactly 4 is not taken for 5.
        let ways = (x / size - 1e-6).ceil().clamp(1.0, f64::from(Ways::MAX)) as u8;
        Ways::clamped(ways.max(least).min(most))
    }
}

/// `t(x) = a + b/(1+√(x−1))`; `a` and `b` at least zero, not both.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Form {
    a: f64,
    b: f64,
}

impl Form {
    fn of(reference: &Reference) -> Self {
        Self { a: reference.a, b: reference.b }
    }

    /// The least squares fit: the form is linear in `a` and `b`.
    fn nearest(points: &[(f64, f64)]) -> Self {
        let count = points.len().max(1) as f64;
        let mean =
            |f: &dyn Fn(f64, f64) -> f64| points.iter().map(|&(x, t)| f(basis(x), t)).sum::<f64>() / count;
        let (u, t) = (mean(&|u, _| u), mean(&|_, t| t));
        let variance = mean(&|v, _| (v - u).powi(2));
        let b = if variance > 0.0 { mean(&|v, s| (v - u) * (s - t)) / variance } else { 0.0 };
        let a = b.mul_add(-u, t);
        if b <= 0.0 {
            Self { a: t, b: 0.0 }
        } else if a < 0.0 {
            Self { a: 0.0, b: mean(&|u, t| u * t) / mean(&|u, _| u * u) }
        } else {
            Self { a, b }
        }
    }

    fn at(&self, x: f64) -> f64 {
        self.b.mul_add(basis(x), self.a)
    }

    /// The mean over 1 to 10 ways, where references were fitted.
    fn mean(&self) -> f64 {
        (1..=10).map(|x| self.at(f64::from(x))).sum::<f64>() / 10.0
    }

    /// Where the slope is `slope`; endless where it is never so flat.
    fn x_of_slope(&self, slope: f64) -> f64 {
        // With y = √(x−1): 2y(1+y)² = b/−slope, and the left side rises with y.
        let target = if slope < 0.0 { self.b / -slope } else { f64::INFINITY };
        if self.b <= 0.0 {
            return 1.0;
        }
        let (mut low, mut high) = (0.0f64, 1e3f64);
        if 2.0 * high * (1.0 + high).powi(2) <= target {
            return f64::INFINITY;
        }
        for _ in 0..80 {
            let y = f64::midpoint(low, high);
            if 2.0 * y * (1.0 + y).powi(2) < target { low = y } else { high = y }
        }
        high.mul_add(high, 1.0)
    }
}

/// `1/(1+√(x−1))`; below one way as at one.
fn basis(x: f64) -> f64 {
    (1.0 + (x - 1.0).max(0.0).sqrt()).recip()
}

/// A form and how sure it is.
#[derive(Debug, Clone, Copy)]
struct Fitted {
    form: Form,
    /// Standard deviation of the logarithm of time.
    spread: f64,
    /// Where its time is known even if its slope is not, in ways.
    known_at: f64,
    /// How much longer or shorter it may take away from there, per unit of the form's basis.
    doubt_of_slope: f64,
    provenance: Provenance,
}

impl Fitted {
    fn measured(points: &[(f64, f64)]) -> Self {
        let form = Form::nearest(points);
        let misses = points.iter().map(|&(x, t)| (sane_seconds(form.at(x)) / t).ln().powi(2)).sum::<f64>();
        // Two parameters were fitted; two points alone say nothing of how well the form fits.
        let spread = if points.len() > 2 { (misses / (points.len() - 2) as f64).sqrt() } else { 0.2 };
        Self {
            form,
            spread: spread.max(0.05),
            known_at: 1.0,
            doubt_of_slope: 0.0,
            provenance: Provenance::Measured,
        }
    }

    /// One known time, and the middle reference's shape.
    fn prior(x: f64, seconds: f64) -> Self {
        let scale = seconds / MIDDLE_SLOPE.mul_add(basis(x), 1.0);
        let form = Form { a: scale, b: scale * MIDDLE_SLOPE };
        Self { form, spread: 0.1, known_at: x, doubt_of_slope: 4.0, provenance: Provenance::Prior }
    }
}

/// The median of b/a over the simulated curves that the references were chosen from.
const MIDDLE_SLOPE: f64 = 0.7;

/// The reference whose curve differs least, relative to its mean.
fn likest(form: &Form) -> &'static Reference {
    let relative = |form: &Form, x: u8| form.at(f64::from(x)) / form.mean();
    let difference = |reference: &Reference| -> f64 {
        let other = Form::of(reference);
        (1..=10).map(|x| (relative(form, x) - relative(&other, x)).powi(2)).sum()
    };
    let mut best = (&REFERENCES[0], f64::INFINITY);
    for reference in REFERENCES {
        let difference = difference(reference);
        if difference < best.1 {
            best = (reference, difference);
        }
    }
    best.0
}

/// The same reference function at its size nearest to `input_size`.
fn of_size(like: &Reference, input_size: f64) -> &'static Reference {
    let distance = |r: &Reference| (r.input_size as f64 - input_size).abs();
    let same = REFERENCES.iter().filter(|r| r.name == like.name);
    same.min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(&REFERENCES[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predictor::Knowledge;
    use crate::predictor::tests::{benchmark, geometry, profile, unenforced};

    fn taught(sizes: &[u64], seconds: impl Fn(u64, f64) -> f64) -> AsymptoticPredictor {
        let mut predictor = AsymptoticPredictor::default();
        for &size in sizes {
            for ways in [1, 3, 8, 20] {
                predictor.observe(&benchmark(1, size, ways, seconds(size, ways as f64)));
            }
        }
        predictor
    }

    #[test]
    fn exact_data_is_recovered() {
        let predictor = taught(&[8], |_, x| 2.0 + 3.0 * basis(x));
        let Prediction { knowledge, curve, .. } = predictor.predict(FunctionId(1), InputSize(8));
        assert_eq!(knowledge, Knowledge::Benchmarked);
        assert_eq!(curve.provenance(), Provenance::Measured);
        for ways in 1..=20 {
            let expected = 2.0 + 3.0 * basis(f64::from(ways));
            let got = curve.seconds(&geometry(20), Ways::clamped(ways));
            assert!((got - expected).abs() < 1e-5, "{ways}: {got} is not {expected}");
        }
    }

    #[test]
    fn a_profile_is_fitted_like_a_curve_and_moved_to_real_times() {
        let mut predictor = AsymptoticPredictor::default();
        for ways in [1, 3, 8, 20] {
            predictor.observe(&profile(1, 8, ways, 2.0 + 3.0 * basis(ways as f64)));
        }
        predictor.observe(&unenforced(1, 8, 20, 20.0 + 30.0 * basis(20.0)));
        let curve = predictor.predict(FunctionId(1), InputSize(8)).curve;
        assert_eq!(curve.provenance(), Provenance::Simulated);
        for ways in [1, 5, 20] {
            let expected = 20.0 + 30.0 * basis(f64::from(ways));
            let got = curve.seconds(&geometry(20), Ways::clamped(ways));
            assert!((got / expected - 1.0).abs() < 1e-4, "{ways}: {got} is not {expected}");
        }
        assert!(curve.traffic().is_some());
    }

    #[test]
    fn a_curve_that_rises_becomes_its_mean() {
        assert_eq!(Form::nearest(&[(1.0, 1.0), (2.0, 3.0)]), Form { a: 2.0, b: 0.0 });
        let steep = Form::nearest(&[(1.0, 8.0), (2.0, 1.0), (5.0, 0.1)]);
        assert!(steep.a == 0.0 && steep.b > 0.0);
    }

    #[test]
    fn ways_are_where_the_slope_equals_the_price() {
        // At x = 5: √(x−1) = 2, slope −b/(2·2·9) = −1 for b = 36.
        let predictor = taught(&[8], |_, x| 1.0 + 36.0 * basis(x));
        let prediction = predictor.predict(FunctionId(1), InputSize(8));
        let ways = |generosity| predictor.ways(&prediction, &geometry(20), generosity).get();
        assert_eq!(ways(-0.9999), 6, "just above five, rounded up");
        assert_eq!(ways(-1.0001), 5);
        assert_eq!(ways(-1e9), 1);
        assert_eq!(ways(0.0), 20);
        assert_eq!(ways(f64::NAN), 20);

        let half_size = CacheGeometry { size: Bytes::mib(10), ..geometry(20) };
        assert_eq!(predictor.ways(&prediction, &half_size, -0.5001).get(), 10, "ten halves are five");
    }

    #[test]
    fn who_gains_nothing_gets_the_least() {
        let predictor = taught(&[8], |_, _| 1.0);
        let prediction = predictor.predict(FunctionId(1), InputSize(8));
        assert_eq!(predictor.ways(&prediction, &geometry(20), -1e-9), Ways::ONE);
    }

    #[test]
    fn the_price_falls_with_free_ways() {
        assert_eq!(AsymptoticPredictor::generosity(0), -0.1);
        assert_eq!(AsymptoticPredictor::generosity(20), -0.1);
        assert_eq!(AsymptoticPredictor::generosity(200), -0.01);
    }

    #[test]
    fn the_nearest_size_is_nearest_in_size_not_in_its_second_digit() {
        // By second digits 1,900 ('9') would be nearest to 9. By size it is 10.
        let predictor = taught(&[10, 1900], |size, x| size as f64 * (1.0 + 0.5 * basis(x)));
        let mean = |size| predictor.predict(FunctionId(1), InputSize(size)).curve.at(Bytes::mib(5)).seconds;
        assert!(mean(9) < 100.0, "{}", mean(9));
        assert!(mean(1800) > 1000.0, "{}", mean(1800));
    }

    #[test]
    fn a_reference_function_is_recognised_and_followed() {
        let find = |size| REFERENCES.iter().find(|r| r.name == "kmeans" && r.input_size == size).unwrap();
        let (seen, unseen) = (find(50_000), find(100_000));
        // Three times slower a machine, and sizes counted in other units.
        let predictor = taught(&[5], |_, x| 3.0 * Form::of(seen).at(x));
        let curve = predictor.predict(FunctionId(1), InputSize(10)).curve;
        for x in [1u8, 4, 10] {
            let expected = 3.0 * Form::of(unseen).at(f64::from(x));
            let got = curve.seconds(&geometry(20), Ways::clamped(x));
            assert!((got / expected - 1.0).abs() < 1e-4, "{x}: {got} is not {expected}");
        }
    }

    #[test]
    fn references_are_in_order_and_never_rise() {
        assert!(REFERENCES.windows(2).all(|w| (w[0].name, w[0].input_size) < (w[1].name, w[1].input_size)));
        assert!(REFERENCES.iter().all(|r| r.a >= 0.0 && r.b >= 0.0 && r.a + r.b > 0.0));
    }
}
