//! What profiles found at one input size: a shape, which real times move up or down, and misses.
//!
//! Kept apart from real runs: [`Profile::fit`] is the one way from a simulated time to a predicted one, and what comes out
//! of it is called simulated.

use crate::cache::Bytes;
use crate::curve::{Provenance, Traffic, TrafficPoint};
use crate::predictor::fit::{Estimate, Fit, is_curve};
use crate::predictor::history::sane_seconds;
use crate::sample::Counts;

/// The most cache sizes kept of one input size.
pub(super) const MAX_PROFILED: usize = 20;

/// How the slowdown `r` that a profile estimates bounds the true one: between `r^0.2` and `r^3`, give or take the spread.
///
/// Of two other models of the same counts, on 22 functions at 129 input sizes and 1 to 20 ways, 96 % (one that knows of
/// prefetching) and 91 % (one fitted to native times) of all slowdowns lie in there.
const LEAST: f64 = 0.2;
const MOST: f64 = 3.0;

/// How far an estimated time may be off when nothing of the function was ever timed: the one fitted to native times lies
/// between an eighth and one and a half times the estimate for 96 % of the same curves.
const FASTER: f64 = 8.0;
const SLOWER: f64 = 1.5;

/// What profiles found at one input size.
#[derive(Debug, Clone, Default)]
pub(super) struct Profile {
    /// By rising cache.
    points: Vec<Profiled>,
    /// The same at any size of the last-level cache: they are what the caches before it miss.
    accesses: f32,
}

#[derive(Debug, Clone, Copy)]
struct Profiled {
    cache: Bytes,
    seconds: f32,
    misses: f32,
}

/// How real times compare to a profile's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// A real time over the profile's.
    pub(super) factor: f64,
    /// With how much cache that is known, bytes; none: at other input sizes.
    pub(super) at: Option<f64>,
    /// How sure it is: a standard deviation of its logarithm.
    pub(super) spread: f64,
}

impl Profile {
    /// What is kept for each cache size.
    #[cfg(test)]
    pub(super) const BYTES_PER_CACHE: usize = size_of::<Profiled>();

    /// The newest profile with the same cache wins: what is simulated repeats.
    pub(super) fn observe(&mut self, cache: Bytes, seconds: f64, counts: &Counts) {
        let point = Profiled { cache, seconds: sane_seconds(seconds) as f32, misses: counts.misses.0 as f32 };
        self.accesses = counts.accesses as f32;
        match self.points.binary_search_by_key(&cache, |point| point.cache) {
            Ok(same) => self.points[same] = point,
            Err(place) => self.points.insert(place, point),
        }
        if self.points.len() > MAX_PROFILED {
            self.drop_the_closest();
        }
    }

    /// Whether the caches show a shape.
    pub(super) fn is_curve(&self) -> bool {
        let edge = |point: Option<&Profiled>| point.map_or(1.0, |point| point.cache.0.max(1) as f64);
        is_curve(edge(self.points.first()), edge(self.points.last()))
    }

    /// The profile's time with `cache` bytes: a line between points, flat outside. `None` where there is no profile.
    pub(super) fn seconds(&self, cache: f64) -> Option<f64> {
        let after = self.points.partition_point(|point| (point.cache.0 as f64) < cache);
        let right = self.points.get(after).or(self.points.last())?;
        let left = after.checked_sub(1).map_or(right, |i| &self.points[i]);
        let width = right.cache.0.saturating_sub(left.cache.0) as f64;
        let share = if width > 0.0 { ((cache - left.cache.0 as f64) / width).clamp(0.0, 1.0) } else { 1.0 };
        Some(f64::from(left.seconds) * (1.0 - share) + f64::from(right.seconds) * share)
    }

    /// The profile's shape, moved to where real times are; `None` where there is no profile.
    pub(super) fn fit(&self, scale: Option<Scale>) -> Option<Fit> {
        let most = self.points.last()?.cache.0 as f64;
        let Scale { factor, at, spread } = scale.unwrap_or(Scale { factor: 1.0, at: None, spread: 0.05 });
        let anchor = self.seconds(at.unwrap_or(most))? * factor;
        let mut known = Estimate::new(anchor, spread);
        if scale.is_none() {
            known = Estimate { low: known.low / FASTER, high: known.high * SLOWER, ..known };
        }
        let mut ceiling = f64::INFINITY;
        let points = self.points.iter().map(|point| {
            let seconds = (f64::from(point.seconds) * factor).min(ceiling);
            ceiling = seconds;
            let slowdown = seconds / anchor;
            let (least, most) = if slowdown < 1.0 { (MOST, LEAST) } else { (LEAST, MOST) };
            let low = (known.low * slowdown.powf(least)).min(seconds);
            let high = (known.high * slowdown.powf(most)).max(seconds);
            (point.cache.0.max(1) as f64, Estimate { seconds, low, high })
        });
        let provenance = if self.is_curve() { Provenance::Simulated } else { Provenance::Prior };
        Fit::of(points.collect(), provenance)
    }

    /// Misses and accesses; `None` where there is no profile.
    pub(super) fn traffic(&self) -> Option<Traffic> {
        self.traffic_scaled(1.0, Provenance::Simulated)
    }

    /// Misses and accesses when working set and work are `factor` times as large.
    pub(super) fn traffic_scaled(&self, factor: f64, provenance: Provenance) -> Option<Traffic> {
        let mut ceiling = f64::INFINITY;
        let mut points: Vec<TrafficPoint> = Vec::with_capacity(self.points.len());
        for point in &self.points {
            let cache = Bytes((point.cache.0 as f64 * factor) as u64);
            let misses = (f64::from(point.misses) * factor).min(ceiling);
            ceiling = misses;
            if points.last().is_none_or(|before| before.cache < cache) {
                points.push(TrafficPoint { cache, misses, accesses: f64::from(self.accesses) * factor });
            }
        }
        Traffic::new(points, provenance).ok()
    }

    /// Of the points between the least and the most cache, the one whose neighbours are closest to each other.
    fn drop_the_closest(&mut self) {
        let width = |i: &usize| self.points[i + 1].cache.0 - self.points[i - 1].cache.0;
        if let Some(closest) = (1..self.points.len() - 1).min_by_key(width) {
            self.points.remove(closest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(points: impl IntoIterator<Item = (u64, f64)>) -> Profile {
        let mut profile = Profile::default();
        for (mib, seconds) in points {
            let misses = Bytes((seconds * 1e6) as u64);
            profile.observe(Bytes::mib(mib), seconds, &Counts { misses, accesses: 5_000_000 });
        }
        profile
    }

    fn mib(n: u64) -> f64 {
        Bytes::mib(n).0 as f64
    }

    #[test]
    fn its_time_is_a_line_between_points_and_flat_outside() {
        let profile = profile([(8, 1.0), (2, 4.0)]);
        let at = |n| profile.seconds(mib(n)).unwrap();
        assert_eq!([at(1), at(2), at(5), at(8), at(30)], [4.0, 4.0, 2.5, 1.0, 1.0]);
        assert_eq!(Profile::default().seconds(1.0), None);
    }

    #[test]
    fn a_real_time_moves_the_shape_and_narrows_what_is_possible() {
        let profile = profile([(1, 4.0), (8, 2.0), (20, 1.0)]);
        let guessed = profile.fit(None).unwrap();
        let timed = profile.fit(Some(Scale { factor: 3.0, at: Some(mib(20)), spread: 0.02 })).unwrap();
        assert_eq!((guessed.provenance, timed.provenance), (Provenance::Simulated, Provenance::Simulated));
        for (n, seconds) in [(1, 12.0), (8, 6.0), (20, 3.0)] {
            assert!((timed.at(mib(n)).seconds - seconds).abs() < 1e-6);
            let width = |fit: &Fit| fit.at(mib(n)).high / fit.at(mib(n)).low;
            assert!(width(&timed) < width(&guessed), "{n} MiB");
        }
        assert!(timed.at(mib(20)).high < 3.2, "there it was timed");
        assert!(timed.at(mib(1)).low < 4.2, "and here it may depend on the cache much less than estimated");
    }

    #[test]
    fn a_time_that_is_known_with_little_cache_leaves_more_cache_unsure() {
        let fit = profile([(1, 4.0), (20, 1.0)]);
        let fit = fit.fit(Some(Scale { factor: 1.0, at: Some(mib(1)), spread: 0.02 })).unwrap();
        assert!(fit.at(mib(1)).high < 4.2 && fit.at(mib(1)).low > 3.8);
        assert!(fit.at(mib(20)).low < 0.1 && fit.at(mib(20)).high > 2.5);
    }

    #[test]
    fn one_cache_size_shows_no_shape() {
        assert_eq!(profile([(4, 1.0)]).fit(None).unwrap().provenance, Provenance::Prior);
    }

    #[test]
    fn misses_are_as_counted_and_grow_with_the_work() {
        let profile = profile([(1, 4.0), (8, 2.0)]);
        let counted = profile.traffic().unwrap();
        assert_eq!(counted.at(Bytes::mib(1)).misses, 4e6);
        assert_eq!(counted.at(Bytes::mib(1)).accesses, 5e6);
        let twice = profile.traffic_scaled(2.0, Provenance::Prior).unwrap();
        assert_eq!(twice.at(Bytes::mib(16)).misses, 4e6, "twice the work needs twice the cache");
    }

    #[test]
    fn the_ends_are_kept_whatever_comes_between() {
        let profile = profile((1..=60).map(|n| (n, 61.0 - n as f64)));
        assert_eq!(profile.points.len(), MAX_PROFILED);
        assert_eq!(profile.seconds(mib(1)), Some(60.0));
        assert_eq!(profile.seconds(mib(60)), Some(1.0));
    }
}
