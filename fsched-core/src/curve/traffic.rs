//! How often a function needs the last-level cache, and how much of that misses, as a function of the cache it gets.

use serde::{Deserialize, Serialize};

use crate::cache::Bytes;
use crate::curve::{Curve, Provenance};

/// One point of [`Traffic`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrafficPoint {
    /// Cache at hand.
    pub cache: Bytes,
    /// What a whole run fetches from memory because the last-level cache does not hold it: misses times the line's size,
    /// bytes.
    pub misses: f64,
    /// How often a whole run looks into the last-level cache.
    pub accesses: f64,
}

/// Misses and accesses of the last-level cache over cache bytes: misses never rise, nothing is ever empty.
///
/// Between points it is a straight line; outside of them it keeps the nearest point's values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TrafficParts", into = "TrafficParts")]
pub struct Traffic {
    points: Vec<TrafficPoint>,
    provenance: Provenance,
}

/// Traffic from outside that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrafficError {
    /// There are no points.
    #[error("traffic needs at least one point")]
    Empty,
    /// It has no more points than a curve.
    #[error("traffic has at most {} points", Curve::MAX_POINTS)]
    TooLong,
    /// A number is not finite, or below zero.
    #[error("misses and accesses have to be finite and at least zero")]
    BadCount,
    /// Cache sizes have to rise from point to point.
    #[error("traffic's cache sizes have to rise")]
    Unsorted,
    /// More cache never costs misses.
    #[error("misses must never rise with more cache")]
    Rising,
}

#[derive(Serialize, Deserialize)]
struct TrafficParts {
    points: Vec<TrafficPoint>,
    provenance: Provenance,
}

impl TryFrom<TrafficParts> for Traffic {
    type Error = TrafficError;

    fn try_from(parts: TrafficParts) -> Result<Self, TrafficError> {
        Self::new(parts.points, parts.provenance)
    }
}

impl From<Traffic> for TrafficParts {
    fn from(traffic: Traffic) -> Self {
        Self { points: traffic.points, provenance: traffic.provenance }
    }
}

impl Traffic {
    /// Traffic through `points`, which are in order of rising cache.
    ///
    /// # Errors
    /// Names the rule that the points break.
    pub fn new(points: Vec<TrafficPoint>, provenance: Provenance) -> Result<Self, TrafficError> {
        let count = |n: f64| n.is_finite() && n >= 0.0;
        if points.is_empty() {
            return Err(TrafficError::Empty);
        }
        if points.len() > Curve::MAX_POINTS {
            return Err(TrafficError::TooLong);
        }
        if !points.iter().all(|p| count(p.misses) && count(p.accesses)) {
            return Err(TrafficError::BadCount);
        }
        for pair in points.windows(2) {
            if pair[0].cache >= pair[1].cache {
                return Err(TrafficError::Unsorted);
            }
            if pair[0].misses < pair[1].misses {
                return Err(TrafficError::Rising);
            }
        }
        Ok(Self { points, provenance })
    }

    /// The points, in order of rising cache.
    pub fn points(&self) -> &[TrafficPoint] {
        &self.points
    }

    /// Where it comes from: not always where the times of the curve come from that carries it.
    pub fn provenance(&self) -> Provenance {
        self.provenance
    }

    /// Misses and accesses with `cache` bytes of cache.
    pub fn at(&self, cache: Bytes) -> TrafficPoint {
        let after = self.points.partition_point(|p| p.cache < cache);
        let (Some(left), Some(right)) =
            (after.checked_sub(1).map(|i| self.points[i]), self.points.get(after))
        else {
            let edge = self.points[after.min(self.points.len() - 1)];
            return TrafficPoint { cache, ..edge };
        };
        let share = (cache.0 - left.cache.0) as f64 / (right.cache.0 - left.cache.0) as f64;
        let between = |a: f64, b: f64| a * (1.0 - share) + b * share;
        TrafficPoint {
            cache,
            misses: between(left.misses, right.misses),
            accesses: between(left.accesses, right.accesses),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(mib: u64, misses: f64, accesses: f64) -> TrafficPoint {
        TrafficPoint { cache: Bytes::mib(mib), misses, accesses }
    }

    #[test]
    fn it_is_a_line_between_points_and_flat_outside() {
        let points = vec![point(2, 64e6, 1e6), point(4, 0.0, 3e6)];
        let traffic = Traffic::new(points, Provenance::Simulated).unwrap();
        assert_eq!(traffic.at(Bytes::mib(1)), point(1, 64e6, 1e6));
        assert_eq!(traffic.at(Bytes::mib(3)), point(3, 32e6, 2e6));
        assert_eq!(traffic.at(Bytes::mib(9)), point(9, 0.0, 3e6));
    }

    #[test]
    fn each_rule_is_checked() {
        let new = |points: &[TrafficPoint]| Traffic::new(points.to_vec(), Provenance::Simulated);
        assert_eq!(new(&[]), Err(TrafficError::Empty));
        let many: Vec<_> = (1..=65).map(|mib| point(mib, 1.0, 1.0)).collect();
        assert_eq!(new(&many), Err(TrafficError::TooLong));
        assert!(new(&many[..64]).is_ok());
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(new(&[point(1, bad, 1.0)]), Err(TrafficError::BadCount));
            assert_eq!(new(&[point(1, 1.0, bad)]), Err(TrafficError::BadCount));
        }
        assert_eq!(new(&[point(1, 2.0, 1.0), point(1, 1.0, 1.0)]), Err(TrafficError::Unsorted));
        assert_eq!(new(&[point(1, 1.0, 1.0), point(2, 2.0, 1.0)]), Err(TrafficError::Rising));
    }

    proptest! {
        #[test]
        fn it_survives_json_and_bad_json_is_refused(
            misses in prop::collection::vec(0..1u64 << 50, 1..8), accesses in 0..1u64 << 50
        ) {
            let misses: Vec<f64> = misses.into_iter().map(|n| n as f64).collect();
            let text = |misses: &[f64]| {
                let point = |(i, &misses): (usize, &f64)| {
                    serde_json::json!({"cache": (i + 1) << 20, "misses": misses, "accesses": accesses})
                };
                let points: Vec<_> = misses.iter().enumerate().map(point).collect();
                serde_json::json!({"points": points, "provenance": "simulated"})
            };
            let sorted = misses.windows(2).all(|pair| pair[0] >= pair[1]);
            prop_assert_eq!(serde_json::from_value::<Traffic>(text(&misses)).is_ok(), sorted);
            let mut falling = misses;
            falling.sort_by(|a, b| b.total_cmp(a));
            let traffic: Traffic = serde_json::from_value(text(&falling)).unwrap();
            let again = serde_json::to_string(&traffic).unwrap();
            prop_assert_eq!(serde_json::from_str::<Traffic>(&again).unwrap(), traffic);
        }
    }
}
