//! What kind of question it is: each kind has networks and a calibration of its own.

use super::candidates::Known;
use super::shape::Point;

/// What is known, in kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Situation {
    /// Points at this size, nothing at others.
    Alone,
    /// Nothing at this size; it lies between known ones.
    Between,
    /// Nothing at this size; it lies above all known ones.
    Above,
    /// Nothing at this size; it lies below all known ones.
    Below,
    /// Some points at this size, and other sizes.
    Checked,
    /// Nothing, or the time with the whole cache.
    Unknown,
}

impl Situation {
    /// All of them, in the order in which they are kept.
    pub const ALL: [Self; 6] =
        [Self::Alone, Self::Between, Self::Above, Self::Below, Self::Checked, Self::Unknown];

    /// The situation of a question; `known` is without this size.
    pub fn of(known: &Known, size: f64, own: &[Point]) -> Self {
        let (Some(first), Some(last)) = (known.seen.first(), known.seen.last()) else {
            return if own.len() > 1 { Self::Alone } else { Self::Unknown };
        };
        if own.len() > 1 {
            Self::Checked
        } else if size > last.size {
            Self::Above
        } else if size < first.size {
            Self::Below
        } else {
            Self::Between
        }
    }

    /// Its place in [`Self::ALL`].
    pub fn place(self) -> usize {
        Self::ALL.iter().position(|s| *s == self).unwrap_or(0)
    }

    /// How cautious to be where nobody says: the share of cases in which the ways asked for should be enough.
    ///
    /// Half is nearest to the need; more costs ways and saves slow runs. `severity` is how much slower, as a logarithm, the
    /// last point known to be too slow is than the best: where a mistake is dear, it pays to be more cautious. Of an unknown
    /// function nothing but caution helps; below the smallest known size ways are few and mistakes are dear.
    pub fn caution(self, severity: f64) -> f64 {
        let dear = 0.34 * (1.0 - (-3.0 * severity.max(0.0)).exp());
        match self {
            Self::Alone | Self::Checked => 0.53 + dear,
            Self::Between => 0.57,
            Self::Above => 0.55,
            Self::Below => 0.93,
            Self::Unknown => 0.92,
        }
    }
}
