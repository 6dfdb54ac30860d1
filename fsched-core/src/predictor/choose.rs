//! Which ways to ask for.

use serde::{Deserialize, Serialize};

use crate::cache::{CacheGeometry, Ways};
use crate::predictor::Prediction;

/// How to choose the ways to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Choice {
    /// How much slower than with the whole cache is good enough: 0.05 is 5 %.
    pub tolerance: f64,
    /// In which share of cases the ways should be enough: 0.5 is nearest to the need, more is safer and costs ways. None:
    /// what did best for each kind of question.
    pub caution: Option<f64>,
    /// Whether what a way costs elsewhere counts too: then never more ways than tolerance asks for, and as many
    /// fewer as make time and cost least together.
    pub priced: bool,
}

impl Default for Choice {
    fn default() -> Self {
        Self { tolerance: 0.05, caution: None, priced: true }
    }
}

/// A choice that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// The tolerance.
    #[error("tolerance has to be above 0 and at most 10 (0.05 is 5 %)")]
    Tolerance,
    /// The caution.
    #[error("caution has to lie between 0 and 1, both excluded")]
    Caution,
}

impl Choice {
    /// Whether its numbers make sense.
    ///
    /// # Errors
    /// Names the one that does not.
    pub fn validate(&self) -> Result<(), ChoiceError> {
        if !(self.tolerance > 0.0 && self.tolerance <= 10.0) {
            return Err(ChoiceError::Tolerance);
        }
        if self.caution.is_some_and(|c| !(c > 0.0 && c < 1.0)) {
            return Err(ChoiceError::Caution);
        }
        Ok(())
    }
}

/// The ways to ask for on a cache of this shape, when one costs `generosity` (seconds, zero or negative).
///
/// Whole costs are compared, not slopes: real curves are cliffs, and the slope before a cliff says nothing.
pub(super) fn choose(
    prediction: &Prediction,
    geometry: &CacheGeometry,
    generosity: f64,
    choice: &Choice,
) -> Ways {
    let enough = prediction.enough(geometry, choice.tolerance * (1.0 + 1e-9));
    if !choice.priced || generosity.is_nan() || generosity >= 0.0 {
        return enough;
    }
    let seconds = |ways| prediction.curve.seconds(geometry, Ways::clamped(ways));
    let worth = crate::split::ways_worth(seconds, -generosity, enough.get());
    Ways::clamped(worth.max(geometry.min_ways.get()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Bytes;
    use crate::curve::{Curve, CurvePoint, Provenance};
    use crate::predictor::Knowledge;
    use crate::predictor::tests::geometry;

    /// Flat, then a cliff at 8 MiB, flat again.
    fn cliff() -> Prediction {
        let point =
            |mib, seconds| CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds };
        let points = vec![point(1, 2.0), point(7, 2.0), point(8, 1.0)];
        Prediction::new(Knowledge::Benchmarked, Curve::new(points, Provenance::Measured).unwrap())
    }

    #[test]
    fn without_a_price_the_fewest_within_tolerance() {
        let ways = |tolerance| {
            choose(&cliff(), &geometry(20), 0.0, &Choice { tolerance, priced: false, ..Choice::default() })
                .get()
        };
        assert_eq!(ways(0.05), 8);
        assert_eq!(ways(1.0), 1);
    }

    #[test]
    fn a_price_is_weighed_against_the_whole_gain_beyond_a_flat_stretch() {
        let ways = |generosity| choose(&cliff(), &geometry(20), generosity, &Choice::default()).get();
        assert_eq!(ways(-0.1), 8, "seven ways for 0.7 s save 1 s, though the first six save nothing");
        assert_eq!(ways(-0.2), 1);
        assert_eq!(ways(0.0), 8);
        assert_eq!(ways(f64::NAN), 8);
        assert_eq!(ways(f64::NEG_INFINITY), 1);
    }

    #[test]
    fn absurd_choices_are_refused() {
        assert!(Choice::default().validate().is_ok());
        for tolerance in [0.0, -1.0, f64::NAN, 11.0] {
            assert!(Choice { tolerance, ..Choice::default() }.validate().is_err());
        }
        for caution in [0.0, 1.0, f64::NAN] {
            assert!(Choice { caution: Some(caution), ..Choice::default() }.validate().is_err());
        }
    }
}
