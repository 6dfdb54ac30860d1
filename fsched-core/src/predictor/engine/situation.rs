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
    /// Half is nearest to the need; more costs ways and saves slow runs. Where one way too few is as bad as `loss` too many, it is best to
    /// have enough in `loss / (1 + loss)` of cases. `severity` says how slow too few are, as a logarithm: at this size that is the last point
    /// known to be too slow, above the known sizes what is expected with half the ways. Of an unknown function nothing but caution helps;
    /// below the smallest known size ways are few and mistakes are dear.
    pub fn caution(self, severity: f64) -> f64 {
        let dear = |least: f64, by_severity: f64| {
            let loss = least + by_severity * severity.max(0.0);
            loss / (1.0 + loss)
        };
        match self {
            Self::Alone | Self::Checked => dear(1.1, 6.0),
            Self::Between => 0.57,
            Self::Above => dear(0.7, 4.0),
            Self::Below => 0.945,
            Self::Unknown => 0.92,
        }
    }
}
