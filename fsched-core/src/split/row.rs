use crate::cache::{CacheGeometry, Ways};
use crate::curve::Curve;
use crate::split::MAX_WAYS;

/// A quantity by whole ways: from 1 way up, and beyond the last value that value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row([f64; MAX_WAYS + 1]);

/// Numbers that are no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// There has to be a value for one way, and for no more than 32.
    #[error("a row has 1 to {MAX_WAYS} values")]
    Length,
    /// Values are finite and not below zero.
    #[error("the values of a row have to be finite and at least 0")]
    BadValue,
}

impl Row {
    /// The values for 1, 2, … ways.
    ///
    /// # Errors
    /// Names the rule that they break.
    pub fn new(values: &[f64]) -> Result<Self, RowError> {
        let last = *values.last().ok_or(RowError::Length)?;
        if values.len() > MAX_WAYS {
            return Err(RowError::Length);
        }
        if !values.iter().all(|value| value.is_finite() && *value >= 0.0) {
            return Err(RowError::BadValue);
        }
        let mut all = [last; MAX_WAYS + 1];
        all[1..=values.len()].copy_from_slice(values);
        all[0] = values[0];
        Ok(Self(all))
    }

    /// The slowdowns of a curve in a cache of this shape: 1 with all ways.
    pub fn slowdowns(curve: &Curve, geometry: &CacheGeometry) -> Self {
        let best = curve.seconds(geometry, geometry.ways);
        Self(Self::read(curve, geometry, geometry.ways).0.map(|seconds| seconds / best))
    }

    /// A curve's times in a cache of this shape, seconds: with more than all usable ways, what those give.
    pub fn times(curve: &Curve, geometry: &CacheGeometry) -> Self {
        Self::read(curve, geometry, geometry.usable_ways())
    }

    fn read(curve: &Curve, geometry: &CacheGeometry, most: Ways) -> Self {
        let mut all = [0.0; MAX_WAYS + 1];
        let known = &mut all[1..=usize::from(most.get())];
        known
            .iter_mut()
            .zip(curve.seconds_by_ways(geometry, 1..=most.get()))
            .for_each(|(value, seconds)| *value = seconds);
        let (first, last) = (all[1], all[usize::from(most.get())]);
        all[0] = first;
        all[usize::from(most.get())..].fill(last);
        Self(all)
    }

    /// The values by ways, from none on.
    pub(crate) fn values(&self) -> &[f64; MAX_WAYS + 1] {
        &self.0
    }

    /// The value with `ways` ways; with none, that of one.
    pub fn at(&self, ways: u8) -> f64 {
        self.0[usize::from(ways).min(MAX_WAYS)]
    }

    /// The fewest ways, of `least` to `most`, whose value is within `tolerance` (0.05 is 5 %) of the least value there.
    pub fn knee(&self, least: u8, most: u8, tolerance: f64) -> u8 {
        let best = (least..=most).map(|ways| self.at(ways)).fold(f64::INFINITY, f64::min);
        (least..=most).find(|&ways| self.at(ways) <= best * (1.0 + tolerance)).unwrap_or(most)
    }
}
