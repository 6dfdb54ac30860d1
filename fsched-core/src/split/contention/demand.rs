use crate::cache::{Bytes, CacheGeometry};
use crate::curve::Curve;

/// One point of a [`Demand`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DemandPoint {
    /// Cache held, bytes.
    pub cache: f64,
    /// How long a unit of work takes, seconds.
    pub seconds: f64,
    /// What a unit of work fetches because the cache does not hold it, bytes.
    pub misses: f64,
}

/// What a runner does to a cache and the cache to it, over the cache it holds: time and misses per unit of work.
///
/// Kept at 256 even steps up to the size of the cache; straight lines between. Misses that rise with more cache are noise: they are
/// kept at what they rise to.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// Bytes per step.
    step: f64,
    seconds: Box<[f64]>,
    misses: Box<[f64]>,
    /// Units of work until so many steps are filled.
    fill: Box<[f64]>,
}

/// Points that are no demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DemandError {
    /// There are no points.
    #[error("a demand needs at least one point")]
    Empty,
    /// A time is not above zero, or a number is below zero or not finite.
    #[error("times have to be above zero, caches and misses at least zero, and all finite")]
    BadNumber,
    /// Cache sizes have to rise from point to point.
    #[error("a demand's cache sizes have to rise")]
    Unsorted,
    /// The cache has no bytes.
    #[error("a cache has to have at least one byte")]
    NoCache,
}

const STEPS: usize = 256;
/// The size of a cache line, which is what one miss fetches.
const LINE: f64 = 64.0;

impl Demand {
    /// The demand through `points`, in order of rising cache, on a cache of `capacity`. Outside of them it keeps the nearest point's values: give a
    /// point for no cache at all, where everything misses, if that is known.
    ///
    /// # Errors
    /// Names the rule that the points break.
    pub fn new(points: &[DemandPoint], capacity: Bytes) -> Result<Self, DemandError> {
        let sound = |p: &DemandPoint| {
            let finite = [p.cache, p.seconds, p.misses].iter().all(|n| n.is_finite());
            finite && p.cache >= 0.0 && p.seconds > 0.0 && p.misses >= 0.0
        };
        if points.is_empty() {
            return Err(DemandError::Empty);
        }
        if !points.iter().all(sound) {
            return Err(DemandError::BadNumber);
        }
        if points.windows(2).any(|pair| pair[0].cache >= pair[1].cache) {
            return Err(DemandError::Unsorted);
        }
        if capacity.0 == 0 {
            return Err(DemandError::NoCache);
        }
        let step = capacity.0 as f64 / STEPS as f64;
        let read = |value: fn(&DemandPoint) -> f64| -> Box<[f64]> {
            (0..=STEPS).map(|i| between(points, i as f64 * step, value)).collect()
        };
        let (seconds, mut misses) = (read(|p| p.seconds), read(|p| p.misses));
        (0..STEPS).rev().for_each(|i| misses[i] = misses[i].max(misses[i + 1]));
        Ok(Self { step, seconds, fill: fill(&misses, step), misses })
    }

    /// The demand of a curve in a cache of this shape, a whole run being the unit of work; `None` where the curve carries no misses.
    pub fn of_curve(curve: &Curve, geometry: &CacheGeometry) -> Option<Self> {
        let traffic = curve.traffic()?;
        let mut caches: Vec<Bytes> = curve.points().iter().map(|p| p.cache).collect();
        caches.extend(traffic.points().iter().map(|p| p.cache));
        caches.sort_unstable();
        caches.dedup();
        let point = |cache: &Bytes| DemandPoint {
            cache: cache.0 as f64,
            seconds: curve.at(*cache).seconds,
            misses: traffic.at(*cache).misses,
        };
        let mut points: Vec<DemandPoint> = caches.iter().map(point).collect();
        let (least, most) = (*points.first()?, *points.last()?);
        if least.cache > 0.0 {
            // With nothing at all everything misses, and costs what misses cost elsewhere on the curve.
            let misses = (traffic.points().first()?.accesses * LINE).max(least.misses);
            points.insert(0, DemandPoint { cache: 0.0, ..extrapolated(least, most, misses) });
        }
        Self::new(&points, geometry.size).ok()
    }

    /// How long a unit of work takes with `cache` bytes, seconds.
    pub fn seconds(&self, cache: f64) -> f64 {
        self.read(&self.seconds, cache)
    }

    /// What a unit of work fetches with `cache` bytes, bytes.
    pub fn misses(&self, cache: f64) -> f64 {
        self.read(&self.misses, cache)
    }

    /// Time with `cache` bytes over the time with the whole cache.
    pub fn slowdown(&self, cache: f64) -> f64 {
        self.seconds(cache) / self.alone()
    }

    /// How long a unit of work takes with the whole cache, seconds.
    pub fn alone(&self) -> f64 {
        self.seconds[STEPS]
    }

    /// What is filled, from empty, in so many units of work: bytes, the whole cache at most.
    pub fn filled_in(&self, work: f64) -> f64 {
        self.filled_and_slope(work).0
    }

    /// The same, and how much more each further unit of work fills.
    pub(super) fn filled_and_slope(&self, work: f64) -> (f64, f64) {
        let after = self.fill.partition_point(|&fill| fill <= work);
        if after > STEPS {
            return (self.step * STEPS as f64, 0.0);
        }
        let before = after.saturating_sub(1);
        let slope = self.step / (self.fill[after.max(1)] - self.fill[before]);
        (before as f64 * self.step + (work - self.fill[before]) * slope, slope)
    }

    /// The same, looked for from where it was found last.
    pub(super) fn filled_near(&self, work: f64, hint: &mut usize) -> (f64, f64) {
        let mut before = (*hint).min(STEPS - 1);
        while before > 0 && self.fill[before] > work {
            before -= 1;
        }
        while before < STEPS && self.fill[before + 1] <= work {
            before += 1;
        }
        *hint = before;
        if before == STEPS {
            return (self.step * STEPS as f64, 0.0);
        }
        let slope = self.step / (self.fill[before + 1] - self.fill[before]);
        (before as f64 * self.step + (work - self.fill[before]) * slope, slope)
    }

    fn read(&self, values: &[f64], cache: f64) -> f64 {
        let at = (cache / self.step).clamp(0.0, STEPS as f64);
        let below = (at as usize).min(STEPS - 1);
        let share = at - below as f64;
        values[below] * (1.0 - share) + values[below + 1] * share
    }
}

/// The point with so many misses on the line through two; that of `least` where the line says nothing.
fn extrapolated(least: DemandPoint, most: DemandPoint, misses: f64) -> DemandPoint {
    let spread = least.misses - most.misses;
    let per_byte = if spread > 0.0 { (least.seconds - most.seconds).max(0.0) / spread } else { 0.0 };
    DemandPoint { misses, seconds: least.seconds + per_byte * (misses - least.misses), ..least }
}

fn between(points: &[DemandPoint], cache: f64, value: fn(&DemandPoint) -> f64) -> f64 {
    let after = points.partition_point(|p| p.cache < cache);
    let (Some(left), Some(right)) = (after.checked_sub(1).map(|i| &points[i]), points.get(after)) else {
        return value(&points[after.min(points.len() - 1)]);
    };
    let share = (cache - left.cache) / (right.cache - left.cache);
    value(left) * (1.0 - share) + value(right) * share
}

/// `∫ dx/m(x)` at every step, m being a straight line within each.
fn fill(misses: &[f64], step: f64) -> Box<[f64]> {
    let most = misses.iter().copied().fold(0.0, f64::max);
    // Nothing is quite without misses: so filling goes on, if only just, and has an inverse.
    let floor = (most * 1e-6).max(f64::MIN_POSITIVE.sqrt());
    let mut all = 0.0;
    let within = |pair: &[f64]| {
        let (a, b) = (pair[0].max(floor), pair[1].max(floor));
        all += if (a - b).abs() < 1e-3 * a { step * 2.0 / (a + b) } else { step * (a / b).ln() / (a - b) };
        all
    };
    std::iter::once(0.0).chain(misses.windows(2).map(within)).collect()
}
