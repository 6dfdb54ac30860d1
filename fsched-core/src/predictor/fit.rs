//! A curve through what was measured, with an interval, answered at any number of bytes.

use std::sync::Arc;

use crate::cache::Bytes;
use crate::curve::{Curve, CurvePoint, Provenance};
use crate::predictor::history::{Summary, sane_seconds};

/// Standard deviations on either side that hold 90 % of a normal distribution.
const NINETY_PERCENT: f64 = 1.645;

/// Time and 90 % interval, seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    pub(super) seconds: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Estimate {
    /// A time known to within `spread`, a standard deviation of its logarithm.
    pub(super) fn new(seconds: f64, spread: f64) -> Self {
        Self { seconds, low: seconds, high: seconds }.widened(spread)
    }

    /// The same, less sure by `spread`, a standard deviation of the time's logarithm.
    pub(super) fn widened(self, spread: f64) -> Self {
        let factor = (NINETY_PERCENT * spread).min(50.0).exp();
        Self { seconds: self.seconds, low: self.low / factor, high: self.high * factor }
    }

    /// The same, `factor` times as long.
    pub(super) fn scaled(self, factor: f64) -> Self {
        Self { seconds: self.seconds * factor, low: self.low * factor, high: self.high * factor }
    }
}

/// How much slower a function is with `cache` bytes than with endless cache, where nothing is known of it:
///
/// `1 + 1.5 MiB / (cache + 0.3 MiB)`
///
/// Between the median and the mean of 22 functions' simulated curves (2.0 times slower with 1 MiB than with
/// 20, 1.26 with 4, 1.10 with 8). They differ widely, so the third power of it is the interval's upper end.
pub(super) fn prior_slowdown(cache: f64) -> f64 {
    1.0 + 1.5 * MIB / (cache + 0.3 * MIB)
}

const MIB: f64 = (1 << 20) as f64;

/// Times that never rise with cache, through the points given.
///
/// Between points it is a straight line, and all between the neighbours' times is possible. Outside of them
/// its interval follows [`prior_slowdown`], and where they are no curve its times do too.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fit {
    /// By rising cache; at least one.
    points: Arc<[(f64, Estimate)]>,
    pub(super) provenance: Provenance,
}

impl Fit {
    /// The never-rising curve nearest to what was measured, by rising cache: weighted least squares by pooling
    /// neighbours that violate the order (Barlow et al., Statistical Inference under Order Restrictions, 1972).
    ///
    /// `None` where nothing was measured. Measured at too narrow a range of caches, the shape around it is the prior's.
    pub(super) fn isotonic(measured: impl Iterator<Item = (Bytes, Summary)>) -> Option<Self> {
        let measured: Vec<_> = measured.collect();
        let pooled = pool(&measured.iter().map(|(_, s)| (s.seconds, s.runs)).collect::<Vec<_>>());
        let points = measured.iter().zip(pooled).map(|((cache, seen), seconds)| {
            let spread = seen.spread * (1.0 + seen.runs.recip()).sqrt();
            let own = Estimate::new(seen.seconds, spread);
            let fitted = Estimate::new(seconds, spread);
            let estimate =
                Estimate { seconds, low: own.low.min(fitted.low), high: own.high.max(fitted.high) };
            (cache.0.max(1) as f64, estimate)
        });
        let points: Arc<[_]> = points.collect();
        let (first, last) = (points.first()?.0, points.last()?.0);
        let provenance = if is_curve(first, last) { Provenance::Measured } else { Provenance::Prior };
        Some(Self { points, provenance })
    }

    /// Through these points, by rising cache, whose times never rise; `None` where there are none.
    pub(super) fn of(points: Arc<[(f64, Estimate)]>, provenance: Provenance) -> Option<Self> {
        (!points.is_empty()).then_some(Self { points, provenance })
    }

    /// One known time, and the prior's shape around it.
    pub(super) fn through(cache: Bytes, estimate: Estimate) -> Self {
        Self { points: [(cache.0.max(1) as f64, estimate)].into(), provenance: Provenance::Prior }
    }

    /// The last point: most cache.
    pub(super) fn last(&self) -> (f64, Estimate) {
        self.points[self.points.len() - 1]
    }

    /// Time and interval with `cache` bytes.
    pub(super) fn at(&self, cache: f64) -> Estimate {
        let after = self.points.partition_point(|(at, _)| *at < cache);
        let left = after.checked_sub(1).map(|i| self.points[i]);
        match (left, self.points.get(after).copied()) {
            (Some(left), Some(right)) => between(left, right, cache),
            (None, Some((at, edge))) => {
                let ratio = prior_slowdown(cache) / prior_slowdown(at);
                let seconds = self.outside(edge.seconds, ratio);
                Estimate { seconds, low: edge.low, high: edge.high * ratio.powi(3) }
            }
            (Some((at, edge)), None) => {
                let ratio = prior_slowdown(cache) / prior_slowdown(at);
                let seconds = self.outside(edge.seconds, ratio);
                Estimate { seconds, low: edge.low * ratio.powi(3), high: edge.high }
            }
            (None, None) => unreachable!("a fit has at least one point"),
        }
    }

    /// A curve whose shape is known goes on flat: on real functions that errs less than any slope.
    fn outside(&self, edge: f64, ratio: f64) -> f64 {
        if self.provenance == Provenance::Prior { edge * ratio } else { edge }
    }

    /// Whether it was seen with these caches, or between them shows a curve.
    pub(super) fn knows(&self, mut caches: impl Iterator<Item = Bytes>) -> bool {
        let seen = |cache: Bytes| self.caches().any(|at| (at - cache.0.max(1) as f64).abs() < 0.5);
        self.provenance != Provenance::Prior || caches.all(seen)
    }

    /// Where it was measured, bytes.
    pub(super) fn caches(&self) -> impl Iterator<Item = f64> {
        self.points.iter().map(|(cache, _)| *cache)
    }

    /// The whole curve.
    pub(super) fn curve(&self) -> Curve {
        let middles = self.points.windows(2).map(|pair| f64::midpoint(pair[0].0, pair[1].0));
        curve(self.caches().chain(middles), |cache| self.at(cache), self.provenance)
    }
}

/// The curve that `at` describes, drawn through `caches` and a few more outside of them.
///
/// Holds a curve's rules whatever it is given.
pub(super) fn curve(
    caches: impl Iterator<Item = f64>,
    at: impl Fn(f64) -> Estimate,
    provenance: Provenance,
) -> Curve {
    let mut caches: Vec<u64> = caches.map(|cache| (cache as u64).max(1)).collect();
    caches.sort_unstable();
    caches.dedup();
    if let (Some(&first), Some(&last)) = (caches.first(), caches.last()) {
        caches.extend([2, 4, 8, 16, 32, 64].map(|n| (first / n).max(1)));
        caches.extend([2, 4, 8].map(|n| last.saturating_mul(n)));
        caches.sort_unstable();
        caches.dedup();
    }
    // Thinned evenly where there are too many.
    let step = caches.len().div_ceil(Curve::MAX_POINTS).max(1);
    let mut ceiling = f64::INFINITY;
    let points = caches.iter().step_by(step).map(|&cache| {
        let Estimate { seconds, low, high } = at(cache as f64);
        let seconds = sane_seconds(seconds).min(ceiling);
        ceiling = seconds;
        let (low, high) = (sane_seconds(low).min(seconds), sane_seconds(high).max(seconds));
        CurvePoint { cache: Bytes(cache), seconds, low, high }
    });
    Curve::new(points.collect(), provenance).unwrap_or_else(|_| Curve::flat(1.0, 1e3, Provenance::Prior))
}

/// Whether times from `first` to `last` bytes of cache show a shape: the ends are at least a factor of two apart.
pub(super) fn is_curve(first: f64, last: f64) -> bool {
    last >= 2.0 * first
}

/// On the straight line, and where the points are far, anything between them: what the points
/// hide is a cliff at worst.
fn between(left: (f64, Estimate), right: (f64, Estimate), cache: f64) -> Estimate {
    let share = (cache - left.0) / (right.0 - left.0);
    let line = |a: f64, b: f64| a * (1.0 - share) + b * share;
    let doubt = 4.0 * share * (1.0 - share);
    let (low, high) = (line(left.1.low, right.1.low), line(left.1.high, right.1.high));
    Estimate {
        seconds: line(left.1.seconds, right.1.seconds),
        low: doubt.mul_add(right.1.low.min(left.1.low) - low, low),
        high: doubt.mul_add(left.1.high.max(right.1.high) - high, high),
    }
}

/// The never-rising values nearest to the (value, weight) pairs given, by weighted squared error.
fn pool(values: &[(f64, f64)]) -> Vec<f64> {
    // (mean, weight, how many) of each block of equal values.
    let mut blocks: Vec<(f64, f64, usize)> = Vec::with_capacity(values.len());
    for &(value, weight) in values {
        let mut block = (value, weight, 1);
        while let Some(&(mean, before, count)) = blocks.last()
            && mean < block.0
        {
            blocks.pop();
            let weight = before + block.1;
            block = ((mean * before + block.0 * block.1) / weight, weight, count + block.2);
        }
        blocks.push(block);
    }
    blocks.iter().flat_map(|&(mean, _, count)| std::iter::repeat_n(mean, count)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn measured(points: &[(u64, f64)]) -> Fit {
        let points = points
            .iter()
            .map(|&(mib, seconds)| (Bytes::mib(mib), Summary { seconds, spread: 0.02, runs: 3.0 }));
        Fit::isotonic(points).unwrap()
    }

    #[test]
    fn neighbours_out_of_order_are_pooled_by_weight() {
        assert_eq!(pool(&[(5.0, 1.0), (2.0, 1.0), (4.0, 3.0), (1.0, 1.0)]), [5.0, 3.5, 3.5, 1.0]);
        assert_eq!(pool(&[(1.0, 1.0), (2.0, 1.0), (3.0, 2.0)]), [2.25, 2.25, 2.25]);
        assert_eq!(pool(&[(3.0, 1.0), (2.0, 1.0), (1.0, 2.0)]), [3.0, 2.0, 1.0]);
    }

    #[test]
    fn between_points_lies_the_line_and_doubt() {
        let fit = measured(&[(2, 4.0), (10, 1.0)]);
        let at = |mib: u64| fit.at(Bytes::mib(mib).0 as f64);
        assert_eq!(at(2).seconds, 4.0);
        assert_eq!(at(6).seconds, 2.5);
        assert!(at(6).low < 1.0 && at(6).high > 4.0, "all of the drop may lie on either side: {:?}", at(6));
        assert!(at(10).high < 1.1);
    }

    #[test]
    fn outside_of_what_was_measured_a_curve_goes_on_flat_and_unsure() {
        let fit = measured(&[(4, 2.0), (8, 1.0)]);
        let at = |mib: u64| fit.at(Bytes::mib(mib).0 as f64);
        assert!(at(1).seconds == 2.0 && at(1).high > 4.0 && at(1).low < 2.0);
        assert!(at(32).seconds == 1.0 && at(32).low < 0.8);
    }

    #[test]
    fn a_narrow_range_of_caches_is_no_curve() {
        let wide = measured(&[(4, 2.0), (8, 2.0)]).curve();
        assert_eq!(wide.provenance(), Provenance::Measured);
        assert_eq!(wide.at(Bytes::mib(1)).seconds, 2.0);
        let narrow = measured(&[(4, 2.0), (5, 2.0)]).curve();
        assert_eq!(narrow.provenance(), Provenance::Prior);
        assert!(narrow.at(Bytes::mib(1)).seconds > 2.5, "the prior goes on around it");
        assert!(narrow.at(Bytes::mib(20)).seconds < 1.9);
    }

    proptest! {
        #[test]
        fn pooling_never_rises_and_keeps_the_weighted_sum(
            values in prop::collection::vec((0.1f64..100.0, 1.0f64..8.0), 1..24)
        ) {
            let pooled = pool(&values);
            prop_assert_eq!(pooled.len(), values.len());
            prop_assert!(pooled.windows(2).all(|pair| pair[0] >= pair[1]));
            let sum: f64 = values.iter().map(|(value, weight)| value * weight).sum();
            let kept: f64 = pooled.iter().zip(&values).map(|(value, (_, weight))| value * weight).sum();
            prop_assert!((sum - kept).abs() < 1e-9 * sum);
        }

        #[test]
        fn any_curve_keeps_the_rules(
            caches in prop::collection::vec(any::<f64>(), 1..200), seconds in any::<f64>(), low in any::<f64>()
        ) {
            let at = |cache: f64| Estimate { seconds: seconds * cache, low, high: seconds };
            let curve = curve(caches.into_iter(), at, Provenance::Measured);
            prop_assert_eq!(curve.provenance(), Provenance::Measured, "no fallback was needed");
        }
    }
}
