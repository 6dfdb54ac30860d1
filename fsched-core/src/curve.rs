//! How long a function runs, as a function of the cache it gets: in bytes, so that one curve serves
//! machines whose ways differ in size.
//!
//! | file | what |
//! | --- | --- |
//! | `traffic.rs` | [`Traffic`]: misses and accesses over cache, where known |

mod traffic;

use serde::{Deserialize, Serialize};

pub use traffic::{Traffic, TrafficError, TrafficPoint};

use crate::cache::{Bytes, CacheGeometry, Ways};

/// Where a curve, or what it carries, comes from. Later kinds are worth more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// An assumption: what functions do in general, at best scaled by real full-cache times.
    Prior,
    /// Run under a cache simulator.
    Simulated,
    /// Run with masks that were enforced.
    Measured,
}

/// One point of a [`Curve`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Cache at hand.
    pub cache: Bytes,
    /// Expected running time, seconds.
    pub seconds: f64,
    /// Lower end of the 90 % interval, seconds.
    pub low: f64,
    /// Upper end of the 90 % interval, seconds.
    pub high: f64,
}

/// Predicted running time over cache bytes: never rising, with an interval, never empty. Where known, with the misses
/// and accesses that go with it.
///
/// Between points it is a straight line; outside of them it keeps the nearest point's values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CurveParts", into = "CurveParts")]
pub struct Curve {
    points: Vec<CurvePoint>,
    provenance: Provenance,
    traffic: Option<Traffic>,
}

/// A curve from outside that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CurveError {
    /// There are no points.
    #[error("a curve needs at least one point")]
    Empty,
    /// A curve has no more points than there can be ways, twice over.
    #[error("a curve has at most {} points", Curve::MAX_POINTS)]
    TooLong,
    /// A number is not finite, or not above zero, or the interval does not contain the time.
    #[error("a curve's times have to be finite, above zero and inside their interval")]
    BadTime,
    /// Cache sizes have to rise from point to point.
    #[error("a curve's cache sizes have to rise")]
    Unsorted,
    /// More cache never costs time.
    #[error("a curve must never rise with more cache")]
    Rising,
}

#[derive(Serialize, Deserialize)]
struct CurveParts {
    points: Vec<CurvePoint>,
    provenance: Provenance,
    /// Missing where it is not known: so it was before there was any, and who reads no more than that may go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traffic: Option<Traffic>,
}

impl TryFrom<CurveParts> for Curve {
    type Error = CurveError;

    fn try_from(parts: CurveParts) -> Result<Self, CurveError> {
        Ok(Self::new(parts.points, parts.provenance)?.with_traffic(parts.traffic))
    }
}

impl From<Curve> for CurveParts {
    fn from(curve: Curve) -> Self {
        Self { points: curve.points, provenance: curve.provenance, traffic: curve.traffic }
    }
}

impl Curve {
    /// The most points a curve may have.
    pub const MAX_POINTS: usize = 64;

    /// A curve through `points`, which are in order of rising cache.
    ///
    /// # Errors
    /// Names the rule that the points break.
    pub fn new(points: Vec<CurvePoint>, provenance: Provenance) -> Result<Self, CurveError> {
        let sound =
            |p: &CurvePoint| p.low > 0.0 && p.low <= p.seconds && p.seconds <= p.high && p.high.is_finite();
        if points.is_empty() {
            return Err(CurveError::Empty);
        }
        if points.len() > Self::MAX_POINTS {
            return Err(CurveError::TooLong);
        }
        if !points.iter().all(sound) {
            return Err(CurveError::BadTime);
        }
        for pair in points.windows(2) {
            if pair[0].cache >= pair[1].cache {
                return Err(CurveError::Unsorted);
            }
            if pair[0].seconds < pair[1].seconds {
                return Err(CurveError::Rising);
            }
        }
        Ok(Self { points, provenance, traffic: None })
    }

    /// The same time whatever the cache, certain within `factor` (at least 1) either way.
    ///
    /// A time that is not finite or not above zero becomes the nearest nanosecond.
    pub fn flat(seconds: f64, factor: f64, provenance: Provenance) -> Self {
        let seconds = if seconds.is_finite() { seconds.clamp(1e-9, 1e12) } else { 1e-9 };
        let factor = if factor.is_finite() { factor.clamp(1.0, 1e12) } else { 1.0 };
        let point = CurvePoint { cache: Bytes(1), seconds, low: seconds / factor, high: seconds * factor };
        Self { points: vec![point], provenance, traffic: None }
    }

    /// The same curve, with the misses and accesses that go with it.
    #[must_use]
    pub fn with_traffic(self, traffic: Option<Traffic>) -> Self {
        Self { traffic, ..self }
    }

    /// The points, in order of rising cache.
    pub fn points(&self) -> &[CurvePoint] {
        &self.points
    }

    /// Where its times come from.
    pub fn provenance(&self) -> Provenance {
        self.provenance
    }

    /// Misses and accesses of the last-level cache, where known.
    pub fn traffic(&self) -> Option<&Traffic> {
        self.traffic.as_ref()
    }

    /// Time and interval with `cache` bytes of cache.
    pub fn at(&self, cache: Bytes) -> CurvePoint {
        if let [only] = self.points[..] {
            return CurvePoint { cache, ..only };
        }
        let after = self.points.partition_point(|p| p.cache < cache);
        let (Some(left), Some(right)) =
            (after.checked_sub(1).map(|i| self.points[i]), self.points.get(after))
        else {
            let edge = self.points[after.min(self.points.len() - 1)];
            return CurvePoint { cache, ..edge };
        };
        let share = (cache.0 - left.cache.0) as f64 / (right.cache.0 - left.cache.0) as f64;
        let between = |a: f64, b: f64| a * (1.0 - share) + b * share;
        let seconds = between(left.seconds, right.seconds);
        // Rounding must not push the time out of its interval.
        CurvePoint {
            cache,
            seconds,
            low: between(left.low, right.low).min(seconds),
            high: between(left.high, right.high).max(seconds),
        }
    }

    /// Expected time on `ways` ways of a cache of this shape, seconds.
    pub fn seconds(&self, geometry: &CacheGeometry, ways: Ways) -> f64 {
        self.at(geometry.bytes(ways)).seconds
    }

    /// Expected times on so many ways of a cache of this shape, in rising order, seconds: what [`seconds`](Self::seconds) says of
    /// each, found in one pass.
    pub fn seconds_by_ways(
        &self,
        geometry: &CacheGeometry,
        ways: impl Iterator<Item = u8>,
    ) -> impl Iterator<Item = f64> {
        let way = geometry.way_size().0;
        let mut after = 0;
        ways.map(move |ways| {
            let cache = way * u64::from(ways);
            after += self.points[after..].iter().take_while(|point| point.cache.0 < cache).count();
            match (after.checked_sub(1).map(|i| &self.points[i]), self.points.get(after)) {
                (Some(left), Some(right)) => {
                    let share = (cache - left.cache.0) as f64 / (right.cache.0 - left.cache.0) as f64;
                    left.seconds * (1.0 - share) + right.seconds * share
                }
                _ => self.points[after.min(self.points.len() - 1)].seconds,
            }
        })
    }

    /// The fewest ways whose expected time is within `tolerance` (0.05 is 5 %) of the time with all usable ways.
    pub fn fewest_ways_within(&self, geometry: &CacheGeometry, tolerance: f64) -> Ways {
        let (least, most) = (geometry.min_ways.get(), geometry.usable_ways());
        let bound = self.seconds(geometry, most) * (1.0 + tolerance.max(0.0));
        let times = self.seconds_by_ways(geometry, least..=most.get());
        (least..)
            .zip(times)
            .find(|(_, seconds)| *seconds <= bound)
            .map_or(most, |(ways, _)| Ways::clamped(ways))
    }
}
