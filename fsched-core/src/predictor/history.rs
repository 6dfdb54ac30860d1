//! What was seen of one function, in bounded space: the newest runs at each input size and cache.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::cache::Bytes;
use crate::curve::{Provenance, Traffic};
use crate::function::InputSize;
use crate::predictor::fit::{Estimate, Fit, is_curve};
use crate::predictor::profile::{Profile, Scale};
use crate::sample::{Origin, Sample};

/// The most input sizes kept of one function; beyond, the size not seen for longest goes, one that was
/// never benchmarked first.
pub(super) const MAX_SIZES: usize = 64;

/// The most cache sizes kept of one input size; beyond, the one not seen for longest goes.
pub(super) const MAX_CACHES: usize = 24;

/// How much of a run one segment has to be for the whole run to count as a run at that segment's cache.
///
/// A run whose segments are more evenly mixed says little about any one cache, and is left out. At 90 %,
/// a function that is twice as slow in the other segments is taken for 5 % slower than it is.
const DOMINANT: f64 = 0.9;

/// How many runs that were not alone weigh as much as one that was.
const WEIGHT_OF_ALONE: f64 = 3.0;

/// The spread assumed of a function's times before it is seen, as a standard deviation of their logarithm,
/// and how many runs that assumption is worth.
const ASSUMED_SPREAD: f64 = 0.05;
const ASSUMED_RUNS: f64 = 2.0;

/// How far the ratio of real to estimated times may differ between input sizes, as a standard deviation of its logarithm.
const SPREAD_OF_OTHER_SIZES: f64 = 0.3;

/// Seconds that anything may take: keeps absurd samples inside what a curve can hold.
pub(super) fn sane_seconds(seconds: f64) -> f64 {
    if seconds.is_finite() { seconds.clamp(1e-9, 1e12) } else { 1e12 }
}

/// What was seen of one function.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    sizes: BTreeMap<InputSize, AtSize>,
    samples: u64,
    largest_cache: Bytes,
}

/// What was seen at one input size.
#[derive(Debug, Clone, Default)]
pub(super) struct AtSize {
    /// By rising cache.
    caches: Vec<AtCache>,
    /// The line through them, once that was asked for.
    isotonic: OnceLock<Option<Fit>>,
    /// Runs where no mask was enforced.
    whole: Runs,
    /// Kept apart: no time in it is real.
    profile: Profile,
    last_seen: u64,
    surprises: Surprises,
    benchmarked: bool,
}

/// Runs in a row that took much longer, or much shorter, than those before.
#[derive(Debug, Clone, Copy, Default)]
struct Surprises {
    count: u8,
    slower: bool,
    /// The sample that was the first of them.
    since: u64,
}

/// How far from the median a time is a surprise, as a logarithm; more where times scatter.
const SURPRISING: f64 = 0.2;

/// After how many surprises in a row a function is another than it was: fewer, and a burst of noise would do.
pub(super) const CHANGED: u8 = 4;

#[derive(Debug, Clone, Copy)]
struct AtCache {
    cache: Bytes,
    last_seen: u64,
    runs: Runs,
}

/// The newest runs at one input size and cache: what drifts is forgotten run by run.
#[derive(Debug, Clone, Copy, Default)]
struct Runs {
    seconds: [f32; Self::KEPT],
    /// Bit by bit: whether that run was alone.
    alone: u8,
    next: u8,
    len: u8,
    /// What they amount to, kept so that predicting need not sort.
    median: f32,
    spread: f32,
}

/// What some runs amount to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    /// Their median, weighted by how undisturbed they were; seconds.
    pub(super) seconds: f64,
    /// Standard deviation of the logarithm of one run's time.
    pub(super) spread: f64,
    /// How many there are.
    pub(super) runs: f64,
}

impl History {
    /// Learns from a run; what cannot be attributed to a cache is left out.
    pub(super) fn observe(&mut self, sample: &Sample) {
        self.samples += 1;
        if let Origin::Profile(counts) = &sample.origin {
            if let Some(cache) = dominant_cache(sample) {
                let size = self.seen(sample);
                size.profile.observe(cache, sample.duration().as_secs_f64(), counts);
            }
            return;
        }
        let largest = sample.segments.iter().map(|s| s.cache).max().unwrap_or_default();
        self.largest_cache = self.largest_cache.max(largest);
        let seconds = sane_seconds(sample.duration().as_secs_f64());
        let cache = match (sample.enforced, dominant_cache(sample)) {
            (true, Some(cache)) => Some(cache),
            (false, _) if !sample.segments.is_empty() => None,
            _ => return,
        };
        let now = self.samples;
        let size = self.seen(sample);
        match cache {
            Some(cache) => {
                size.look_for_change(cache, seconds, now);
                size.runs_at(cache, now).push(seconds, sample.benchmark);
            }
            None => size.whole.push(seconds, sample.benchmark),
        }
    }

    /// What is kept of a sample's input size.
    fn seen(&mut self, sample: &Sample) -> &mut AtSize {
        if !self.sizes.contains_key(&sample.input_size) && self.sizes.len() >= MAX_SIZES {
            self.drop_a_size(sample.input_size);
        }
        let size = self.sizes.entry(sample.input_size).or_default();
        size.last_seen = self.samples;
        size.isotonic = OnceLock::new();
        size.benchmarked |= sample.benchmark;
        size
    }

    fn drop_a_size(&mut self, kept: InputSize) {
        let others = self.sizes.iter().filter(|(size, _)| **size != kept);
        let oldest = others.min_by_key(|(_, at)| (at.benchmarked, at.last_seen)).map(|(size, _)| *size);
        if let Some(oldest) = oldest {
            self.sizes.remove(&oldest);
        }
    }

    /// What was seen at an input size.
    pub(super) fn size(&self, input_size: InputSize) -> Option<&AtSize> {
        self.sizes.get(&input_size)
    }

    /// All input sizes kept, rising.
    pub(super) fn sizes(&self) -> impl DoubleEndedIterator<Item = (InputSize, &AtSize)> {
        self.sizes.iter().map(|(size, at)| (*size, at))
    }

    /// The curve of one input size from what was seen there; `None` where that is nothing. In this order:
    ///
    /// 1. times under enforced masks, where they show a shape: [`Provenance::Measured`];
    /// 2. the shape of a profile, moved up or down to the real times of this input size, else as real times of other
    ///    input sizes compare to their profiles, else as estimated and unsure: [`Provenance::Simulated`];
    /// 3. a time, and the prior's shape around it: [`Provenance::Prior`].
    pub(super) fn fit(&self, at: &AtSize) -> Option<Fit> {
        let measured = || at.isotonic();
        match at.provenance() {
            Provenance::Measured => measured(),
            Provenance::Simulated => at.profile.fit(self.scale(at)),
            Provenance::Prior => measured()
                .or_else(|| {
                    let whole = at.whole()?;
                    Some(Fit::through(self.whole_cache(), Estimate::new(whole.seconds, whole.spread)))
                })
                .or_else(|| at.profile.fit(self.scale(at))),
        }
    }

    /// Misses and accesses at an input size: as counted there, else as counted at the nearest size, taken to grow with the
    /// input like the working set, which is an assumption and is called one ([`Provenance::Prior`]).
    pub(super) fn traffic(&self, input_size: InputSize) -> Option<Traffic> {
        let here = self.size(input_size).and_then(|at| at.profile.traffic());
        here.or_else(|| {
            let ratio = |size: InputSize| input_size.0.max(1) as f64 / size.0.max(1) as f64;
            let profiled = self.sizes().filter(|(_, at)| at.profile.is_curve());
            let far = |size| ratio(size).ln().abs();
            let (size, nearest) = profiled.min_by(|(a, _), (b, _)| far(*a).total_cmp(&far(*b)))?;
            nearest.profile.traffic_scaled(ratio(size), Provenance::Prior)
        })
    }

    /// How real times compare to a profile's: at this input size, else at others.
    fn scale(&self, at: &AtSize) -> Option<Scale> {
        at.scale(self.whole_cache()).or_else(|| {
            let others = self.sizes.values().filter_map(|at| at.scale(self.whole_cache()));
            let mut factors: Vec<_> = others.map(|scale| (scale.factor, 1.0)).collect();
            if factors.is_empty() {
                return None;
            }
            Some(Scale { factor: weighted_median(&mut factors), at: None, spread: SPREAD_OF_OTHER_SIZES })
        })
    }

    /// What counts as the whole cache for runs without an enforced mask: the most that was ever asked for.
    pub(super) fn whole_cache(&self) -> Bytes {
        self.largest_cache.max(Bytes(1))
    }
}

impl AtSize {
    /// Times under enforced masks, by rising cache.
    pub(super) fn measured(&self) -> impl ExactSizeIterator<Item = (Bytes, Summary)> {
        self.caches.iter().map(|at| (at.cache, at.runs.summary()))
    }

    /// The line through them.
    fn isotonic(&self) -> Option<Fit> {
        self.isotonic.get_or_init(|| Fit::isotonic(self.measured())).clone()
    }

    /// Whether the caches it was measured at reach from few to nearly `most`: what is best there is known, and how bad it gets.
    pub(super) fn is_wide(&self, most: Bytes) -> bool {
        let (Some(first), Some(last)) = (self.caches.first(), self.caches.last()) else { return false };
        self.is_curve() && last.cache.0 >= most.0 / 10 * 9 && first.cache.0 <= most.0 / 3
    }

    /// When it ran last, counted in samples of its function.
    pub(super) fn last_seen(&self) -> u64 {
        self.last_seen
    }

    /// Whether the caches it was measured at show the shape of its curve.
    pub(super) fn is_curve(&self) -> bool {
        let edge = |at: Option<&AtCache>| at.map_or(1.0, |at| at.cache.0.max(1) as f64);
        is_curve(edge(self.caches.first()), edge(self.caches.last()))
    }

    /// What the shape of its curve rests on.
    pub(super) fn provenance(&self) -> Provenance {
        if self.is_curve() {
            Provenance::Measured
        } else if self.profile.is_curve() {
            Provenance::Simulated
        } else {
            Provenance::Prior
        }
    }

    /// How the real times here compare to the profile's; `None` where there are none, or no profile.
    fn scale(&self, whole_cache: Bytes) -> Option<Scale> {
        let whole = self.whole().map(|seen| (whole_cache, seen));
        let mut ratios = Vec::new();
        let (mut spread, mut at) = (0.0, None);
        for (cache, seen) in self.measured().chain(whole) {
            let cache = cache.0.max(1) as f64;
            ratios.push((seen.seconds / self.profile.seconds(cache)?, seen.runs));
            (spread, at) = (seen.spread * (1.0 + seen.runs.recip()).sqrt(), Some(cache));
        }
        at?;
        let factor = weighted_median(&mut ratios);
        // Where real times disagree about the scale, the shape is not quite the profile's.
        let apart = ratios.iter().map(|(ratio, _)| (ratio / factor).ln().abs()).fold(0.0, f64::max);
        Some(Scale { factor, at, spread: spread.max(apart) })
    }

    /// Times that a benchmark can be planned by: real ones, else a profile's.
    pub(super) fn planning(&self) -> Option<Fit> {
        self.isotonic().or_else(|| self.profile.fit(None))
    }

    /// Time with the whole cache, where masks were not enforced.
    pub(super) fn whole(&self) -> Option<Summary> {
        (self.whole.len > 0).then(|| self.whole.summary())
    }

    /// Forgets what was seen before a change, once [`CHANGED`] runs in a row were as surprising in the same direction.
    fn look_for_change(&mut self, cache: Bytes, seconds: f64, now: u64) {
        let Ok(at) = self.caches.binary_search_by_key(&cache, |at| at.cache) else { return };
        let before = self.caches[at].runs.summary();
        if before.runs < 2.0 && self.surprises.count == 0 {
            return;
        }
        let apart = (seconds / before.seconds).ln();
        let slower = apart > 0.0;
        // The first has to stand out; those after it only have to agree with it, while the median begins to follow.
        let stands_out = (4.0 * before.spread).clamp(SURPRISING, 3.5 * SURPRISING);
        let least = if self.surprises.count == 0 { stands_out } else { SURPRISING };
        if apart.abs() < least {
            self.surprises = Surprises::default();
            return;
        }
        if self.surprises.count == 0 || self.surprises.slower != slower {
            self.surprises = Surprises { count: 0, slower, since: now };
        }
        self.surprises.count += 1;
        if self.surprises.count >= CHANGED {
            let since = self.surprises.since;
            self.caches.retain(|at| at.last_seen >= since);
            for at in &mut self.caches {
                at.runs.keep_newest(CHANGED - 1);
            }
            self.surprises = Surprises::default();
        }
    }

    fn runs_at(&mut self, cache: Bytes, now: u64) -> &mut Runs {
        let at = match self.caches.binary_search_by_key(&cache, |at| at.cache) {
            Ok(at) => at,
            Err(_) => {
                if self.caches.len() == MAX_CACHES {
                    self.drop_a_cache();
                }
                let at = self.caches.partition_point(|at| at.cache < cache);
                self.caches.insert(at, AtCache { cache, last_seen: now, runs: Runs::default() });
                at
            }
        };
        self.caches[at].last_seen = now;
        &mut self.caches[at].runs
    }

    fn drop_a_cache(&mut self) {
        let oldest = self.caches.iter().enumerate().min_by_key(|(_, at)| at.last_seen).map(|(i, _)| i);
        if let Some(oldest) = oldest {
            self.caches.remove(oldest);
        }
    }
}

impl Runs {
    const KEPT: usize = 8;

    fn push(&mut self, seconds: f64, alone: bool) {
        let slot = usize::from(self.next);
        self.seconds[slot] = seconds as f32;
        self.alone = self.alone & !(1 << slot) | u8::from(alone) << slot;
        self.next = ((slot + 1) % Self::KEPT) as u8;
        self.len = (self.len + 1).min(Self::KEPT as u8);
        let (median, spread) = self.sum_up();
        (self.median, self.spread) = (median as f32, spread as f32);
    }

    /// Forgets all but the newest few.
    fn keep_newest(&mut self, few: u8) {
        let kept = few.min(self.len);
        let newest: Vec<(f32, bool)> = (0..kept)
            .map(|i| (usize::from(self.next) + Self::KEPT - usize::from(kept) + usize::from(i)) % Self::KEPT)
            .map(|slot| (self.seconds[slot], self.alone & (1 << slot) != 0))
            .collect();
        *self = Self::default();
        newest.into_iter().for_each(|(seconds, alone)| self.push(f64::from(seconds), alone));
    }

    /// Of at least one run.
    fn summary(&self) -> Summary {
        Summary { seconds: f64::from(self.median), spread: f64::from(self.spread), runs: f64::from(self.len) }
    }

    /// Median and spread of at least one run.
    fn sum_up(&self) -> (f64, f64) {
        let len = usize::from(self.len);
        let mut runs = [(0.0, 0.0); Self::KEPT];
        for (i, run) in runs[..len].iter_mut().enumerate() {
            let alone = self.alone & (1 << i) != 0;
            *run = (f64::from(self.seconds[i]), if alone { WEIGHT_OF_ALONE } else { 1.0 });
        }
        let seconds = weighted_median(&mut runs[..len]);
        for (value, weight) in &mut runs[..len] {
            (*value, *weight) = ((*value / seconds).ln().abs(), 1.0);
        }
        // A normal distribution's standard deviation is 1.4826 median absolute deviations.
        let seen = 1.4826 * weighted_median(&mut runs[..len]);
        let count = len as f64;
        let variance = ASSUMED_RUNS.mul_add(ASSUMED_SPREAD.powi(2), count * seen * seen);
        (seconds, (variance / (ASSUMED_RUNS + count)).sqrt())
    }
}

/// The cache that a run can be attributed to.
fn dominant_cache(sample: &Sample) -> Option<Bytes> {
    let whole = sample.duration().as_secs_f64();
    let longest = sample.segments.iter().max_by_key(|s| s.duration)?;
    let together: f64 =
        sample.segments.iter().filter(|s| s.cache == longest.cache).map(|s| s.duration.as_secs_f64()).sum();
    (together >= DOMINANT * whole).then_some(longest.cache)
}

/// The value at half of the weight; halfway between two where the half falls between them.
fn weighted_median(values: &mut [(f64, f64)]) -> f64 {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let half = values.iter().map(|v| v.1).sum::<f64>() / 2.0;
    let mut below = 0.0;
    for (i, (value, weight)) in values.iter().enumerate() {
        below += weight;
        if below > half {
            return *value;
        }
        if below == half {
            return values.get(i + 1).map_or(*value, |next| value.midpoint(next.0));
        }
    }
    f64::NAN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predictor::profile::MAX_PROFILED;
    use crate::predictor::tests::{benchmark, run};

    fn median(runs: &[(f64, bool)]) -> f64 {
        let mut kept = Runs::default();
        runs.iter().for_each(|&(seconds, alone)| kept.push(seconds, alone));
        kept.summary().seconds
    }

    #[test]
    fn one_outlier_does_not_move_the_median() {
        assert_eq!(median(&[(1.0, true), (1.0, true), (100.0, true)]), 1.0);
        assert_eq!(median(&[(1.0, false), (3.0, false)]), 2.0);
    }

    #[test]
    fn runs_alone_outweigh_others() {
        assert_eq!(median(&[(1.0, true), (9.0, false), (9.0, false)]), 1.0);
        assert_eq!(median(&[(1.0, false), (9.0, false), (9.0, false)]), 9.0);
    }

    #[test]
    fn the_newest_runs_win() {
        let mut runs = vec![(1.0, true); 3];
        runs.extend([(4.0, false); Runs::KEPT]);
        assert_eq!(median(&runs), 4.0);
    }

    #[test]
    fn spread_widens_what_is_known_of_repeats() {
        let mut quiet = Runs::default();
        let mut noisy = Runs::default();
        for i in 0..8 {
            quiet.push(1.0, true);
            noisy.push(if i % 2 == 0 { 1.0 } else { 1.5 }, true);
        }
        assert!(quiet.summary().spread < 0.05);
        assert!(noisy.summary().spread > 0.15);
    }

    #[test]
    fn a_run_counts_only_where_one_cache_dominates() {
        let mut split = run(1, 8, 4, 0.95);
        split.segments.push(crate::sample::Segment {
            cache: Bytes::mib(2),
            duration: std::time::Duration::from_millis(50),
        });
        let mut history = History::default();
        history.observe(&split);
        let seen: Vec<_> = history.size(InputSize(8)).unwrap().measured().collect();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].0, Bytes::mib(4));
        assert!((seen[0].1.seconds - 1.0).abs() < 1e-6);

        split.segments[1].duration = std::time::Duration::from_millis(500);
        let mut history = History::default();
        history.observe(&split);
        assert!(history.size(InputSize(8)).is_none());
    }

    #[test]
    fn what_is_kept_of_one_size_stays_below_two_kib() {
        let profile = MAX_PROFILED * Profile::BYTES_PER_CACHE;
        let bytes = size_of::<AtSize>() + MAX_CACHES * size_of::<AtCache>() + profile;
        assert!(bytes <= 2048, "{bytes}");
        let mut history = History::default();
        for ways in 1..=100 {
            history.observe(&run(1, 8, ways, 1.0));
        }
        let caches: Vec<_> = history.size(InputSize(8)).unwrap().measured().map(|(cache, _)| cache).collect();
        assert_eq!(caches, (77..=100).map(Bytes::mib).collect::<Vec<_>>(), "the newest are kept");
    }

    #[test]
    fn sizes_that_were_benchmarked_are_kept_longest() {
        let mut history = History::default();
        history.observe(&benchmark(1, 1_000_000, 1, 1.0));
        for size in 0..200 {
            history.observe(&run(1, size, 1, 1.0));
        }
        assert_eq!(history.sizes().count(), MAX_SIZES);
        assert!(history.size(InputSize(1_000_000)).is_some());
        assert!(history.size(InputSize(199)).is_some());
        assert!(history.size(InputSize(0)).is_none());
    }
    #[test]
    fn four_surprises_in_a_row_are_a_change_and_a_burst_of_three_is_none() {
        let mut history = History::default();
        for _ in 0..3 {
            [4, 8, 20].iter().for_each(|&mib| history.observe(&benchmark(1, 8, mib, 24.0 / mib as f64)));
        }
        let measured = |history: &History| -> Vec<(u64, f64)> {
            let at = history.size(InputSize(8)).unwrap();
            at.measured().map(|(cache, seen)| (cache.0 >> 20, seen.seconds)).collect()
        };
        for _ in 0..3 {
            history.observe(&run(1, 8, 20, 12.0));
        }
        history.observe(&run(1, 8, 8, 3.0));
        assert_eq!(measured(&history).len(), 3);
        for _ in 0..4 {
            history.observe(&run(1, 8, 20, 12.0));
        }
        let left = measured(&history);
        assert_eq!(left, [(20, 12.0)], "what was known of other caches is out of date");
    }
}
