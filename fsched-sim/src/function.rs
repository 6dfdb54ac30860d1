//! What functions really do, which the platform has to find out.

use std::sync::Arc;
use std::time::Duration;

use fsched_core::cache::{Bytes, CacheGeometry};
use fsched_core::curve::{Curve, CurvePoint, Traffic, TrafficPoint};
use fsched_core::function::{FunctionName, FunctionSpec, InputSize, Needs};
use fsched_core::id::ContentHash;

/// A function as it really is.
#[derive(Debug, Clone, PartialEq)]
pub struct SimFunction {
    /// What it is called.
    pub name: FunctionName,
    /// What it needs.
    pub needs: Needs,
    /// How long a run takes over cache, by input size, rising; at least one. Between two sizes logarithms of time lie on a line over
    /// the logarithm of size; beyond the last ones time grows with input to the power of `growth`. Many functions may share a curve.
    pub curves: Vec<(InputSize, Arc<Curve>)>,
    /// How many times as long as its curves say everything takes, and how many times as much it misses.
    pub factor: f64,
    /// See [`curves`](Self::curves); 0: it does not grow.
    pub growth: f64,
    /// How long a run may take.
    pub timeout: Duration,
    /// The length of its file.
    pub file_size: Bytes,
    /// What it exits with.
    pub status: i32,
    /// Whether it goes on when it is asked to end, until it is killed.
    pub stubborn: bool,
}

impl SimFunction {
    /// One that takes what `curve` says whatever the input, on one core, and ends well.
    ///
    /// # Panics
    /// Where `name` is no function's name.
    pub fn new(name: &str, curve: Curve) -> Self {
        Self::growing(name, InputSize(1), curve, 0.0)
    }

    /// The same, but `curve` is for inputs of this size, and time grows with input to the power of `growth`.
    ///
    /// # Panics
    /// Where `name` is no function's name.
    pub fn growing(name: &str, size: InputSize, curve: Curve, growth: f64) -> Self {
        Self {
            name: name.parse().expect("a function's name, as the caller promised"),
            needs: Needs { cores: 1, memory: Bytes::mib(64), ..Needs::default() },
            curves: vec![(size, Arc::new(curve))],
            factor: 1.0,
            growth,
            timeout: Duration::from_secs(900),
            file_size: Bytes::mib(1),
            status: 0,
            stubborn: false,
        }
    }

    /// The smallest input size whose curve is known.
    pub fn size(&self) -> InputSize {
        self.curves.first().expect("a function has a curve").0
    }

    /// How long a run on this input takes, over cache, `factor` times longer than it does.
    pub fn times(&self, input_size: InputSize, factor: f64) -> Curve {
        let factor = factor * self.factor;
        let after = self.curves.partition_point(|(size, _)| *size < input_size);
        let right = self.curves.get(after);
        let left = after.checked_sub(1).map(|i| &self.curves[i]);
        match (left, right) {
            (_, Some((size, curve))) if *size == input_size => scaled(curve, factor),
            (Some((small, low)), Some((large, high))) => {
                let share = (log(input_size) - log(*small)) / (log(*large) - log(*small));
                scaled(&between(low, high, share), factor)
            }
            (Some((size, curve)), None) | (None, Some((size, curve))) => {
                let growth = (self.growth * (log(input_size) - log(*size))).exp().clamp(1e-9, 1e9);
                scaled(curve, growth * factor)
            }
            (None, None) => unreachable!("a function has a curve"),
        }
    }

    /// The same, taking `factor` times as long, and missing as many times more, whatever the input.
    #[must_use]
    pub fn stretched(mut self, factor: f64) -> Self {
        self.factor *= factor;
        self
    }

    /// The input size that takes so long alone with a whole cache of this shape, as nearly as whole sizes allow: the inverse of
    /// [`times`](Self::times), for functions that take longer on more.
    pub fn size_taking(&self, seconds: f64, geometry: &CacheGeometry) -> InputSize {
        let known: Vec<(f64, f64)> = self
            .curves
            .iter()
            .map(|(size, curve)| (log(*size), curve.seconds(geometry, geometry.usable_ways()).ln()))
            .collect();
        let wanted = (seconds / self.factor).max(1e-12).ln();
        let after = known.partition_point(|(_, time)| *time < wanted);
        let left = after.checked_sub(1).map(|i| known[i]);
        let size = match (left, known.get(after)) {
            (Some((small, low)), Some((large, high))) => {
                small + (large - small) * (wanted - low) / (high - low)
            }
            (Some((size, time)), None) | (None, Some(&(size, time))) => {
                size + (wanted - time) / self.growth.max(1e-3)
            }
            (None, None) => 0.0,
        };
        InputSize(size.exp().round().clamp(1.0, 1e15) as u64)
    }

    /// What is pushed; `number` tells its file from others'.
    pub(crate) fn spec(&self, number: usize) -> FunctionSpec {
        FunctionSpec {
            tenant: Default::default(),
            name: self.name.clone(),
            file: Self::file(number),
            file_size: self.file_size,
            command: None,
            needs: self.needs,
            timeout: self.timeout,
        }
    }

    /// The file of the function with that number.
    pub(crate) fn file(number: usize) -> ContentHash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&(number as u64).to_be_bytes());
        ContentHash(hash)
    }

    /// Whose file this is.
    pub(crate) fn number(file: ContentHash) -> usize {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&file.0[..8]);
        u64::from_be_bytes(bytes) as usize
    }
}

fn log(size: InputSize) -> f64 {
    (size.0.max(1) as f64).ln()
}

/// A curve whose times, misses and accesses are `factor` times as many.
fn scaled(curve: &Curve, factor: f64) -> Curve {
    if factor == 1.0 {
        return curve.clone();
    }
    let point = |p: &CurvePoint| CurvePoint {
        cache: p.cache,
        seconds: p.seconds * factor,
        low: p.low * factor,
        high: p.high * factor,
    };
    let points = curve.points().iter().map(point).collect();
    let traffic = curve.traffic().and_then(|traffic| {
        let point = |p: &TrafficPoint| TrafficPoint {
            cache: p.cache,
            misses: p.misses * factor,
            accesses: p.accesses * factor,
        };
        Traffic::new(traffic.points().iter().map(point).collect(), traffic.provenance()).ok()
    });
    let scaled = Curve::new(points, curve.provenance()).expect("a curve times a number is a curve");
    scaled.with_traffic(traffic)
}

/// The curve that lies so far on the way from one to another.
fn between(low: &Curve, high: &Curve, share: f64) -> Curve {
    let mix = |a: f64, b: f64| (a.ln() * (1.0 - share) + b.ln() * share).exp();
    let mut caches: Vec<Bytes> = low.points().iter().chain(high.points()).map(|point| point.cache).collect();
    caches.sort_unstable();
    caches.dedup();
    // A curve has only so many points: of two that have many, one's are enough.
    if caches.len() > Curve::MAX_POINTS {
        caches = low.points().iter().map(|point| point.cache).collect();
    }
    let point = |cache: &Bytes| {
        let (a, b) = (low.at(*cache), high.at(*cache));
        let seconds = mix(a.seconds, b.seconds);
        CurvePoint { cache: *cache, seconds, low: seconds, high: seconds }
    };
    let mut points: Vec<CurvePoint> = caches.iter().map(point).collect();
    // Rounding must not make times rise.
    for i in 1..points.len() {
        let seconds = points[i].seconds.min(points[i - 1].seconds);
        points[i] = CurvePoint { seconds, low: seconds, high: seconds, ..points[i] };
    }
    let traffic = low.traffic().zip(high.traffic()).and_then(|(low, high)| {
        // Counts may be nothing, which has no logarithm.
        let mix = |a: f64, b: f64| (a.ln_1p() * (1.0 - share) + b.ln_1p() * share).exp_m1().max(0.0);
        let mut least = f64::INFINITY;
        let point = |cache: &Bytes| {
            let (a, b) = (low.at(*cache), high.at(*cache));
            least = least.min(mix(a.misses, b.misses));
            TrafficPoint { cache: *cache, misses: least, accesses: mix(a.accesses, b.accesses) }
        };
        Traffic::new(caches.iter().map(point).collect(), low.provenance()).ok()
    });
    Curve::new(points, low.provenance()).expect("between two curves lies a curve").with_traffic(traffic)
}

#[cfg(test)]
mod tests {
    use fsched_core::cache::Ways;
    use fsched_core::curve::Provenance;

    use super::*;

    fn curve(least: f64, most: f64, misses: f64) -> Curve {
        let point =
            |mib, seconds| CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds };
        let traffic = |mib, misses| TrafficPoint { cache: Bytes::mib(mib), misses, accesses: 1e6 };
        let points = vec![point(1, most), point(4, least)];
        let traffic = Traffic::new(vec![traffic(1, misses), traffic(4, 0.0)], Provenance::Simulated).unwrap();
        Curve::new(points, Provenance::Simulated).unwrap().with_traffic(Some(traffic))
    }

    fn function() -> SimFunction {
        let curves = vec![
            (InputSize(100), Arc::new(curve(1.0, 2.0, 1e6))),
            (InputSize(10_000), Arc::new(curve(4.0, 32.0, 1e8))),
        ];
        SimFunction { curves, ..SimFunction::growing("f", InputSize(1), curve(1.0, 1.0, 0.0), 1.0) }
    }

    #[test]
    fn curves_are_those_given_and_between_them_means_and_beyond_them_grow() {
        for (size, least, most) in
            [(100, 1.0, 2.0), (10_000, 4.0, 32.0), (1_000, 2.0, 8.0), (10, 0.1, 0.2), (20_000, 8.0, 64.0)]
        {
            let times = function().times(InputSize(size), 1.0);
            let seconds = |mib| times.at(Bytes::mib(mib)).seconds;
            let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
            assert!(close(seconds(4), least) && close(seconds(1), most), "{size}: {times:?}");
        }
        let traffic =
            |size| function().times(InputSize(size), 1.0).traffic().unwrap().at(Bytes::mib(1)).misses;
        for (size, expected) in [(1_000, 1e7), (20_000, 2e8)] {
            assert!((traffic(size) / expected - 1.0).abs() < 1e-3, "{size}: {}", traffic(size));
        }
    }

    #[test]
    fn a_stretched_function_takes_and_misses_as_many_times_more_on_any_input() {
        let geometry = fsched_core::cache::CacheDomain::nominal(1, Ways::clamped(4), Bytes::mib(1)).geometry;
        let (plain, stretched) = (function(), function().stretched(3.0));
        for size in [10, 100, 1_000, 20_000] {
            let (a, b) = (plain.times(InputSize(size), 1.0), stretched.times(InputSize(size), 1.0));
            assert!((b.at(Bytes::mib(2)).seconds / a.at(Bytes::mib(2)).seconds / 3.0 - 1.0).abs() < 1e-9);
            let misses = |curve: &Curve| curve.traffic().unwrap().at(Bytes::mib(1)).misses;
            assert!((misses(&b) / misses(&a) / 3.0 - 1.0).abs() < 1e-9, "{size}");
            let seconds = b.seconds(&geometry, Ways::clamped(4));
            let back = stretched.size_taking(seconds, &geometry).0;
            assert!(back.abs_diff(size) <= 1 + size / 1_000, "{size}: {back}");
        }
    }
}
