//! What the learnt part is told of each grid point.

use super::candidates::{CANDIDATES, Candidates, Known, bracket, own_candidates};
use super::shape::{FULL, GRID, Point, crossing};

/// How many numbers there are for each grid point.
pub const FEATURES: usize = CANDIDATES * 2 + 33;

/// One case: the features of every grid point, and which of them can be the need at all.
#[derive(Debug, Clone)]
pub struct Case {
    /// By feature, then by grid point.
    pub features: [[f32; GRID]; FEATURES],
    /// Which grid points can be the fewest that are good enough.
    pub possible: [bool; GRID],
    /// The candidates, corrected by what was seen at this size.
    pub candidates: [super::shape::Shape; CANDIDATES],
}

/// A number without bounds between −1 and 1.
fn squash(x: f64) -> f64 {
    x / (1.0 + x.abs())
}

impl Case {
    /// Of a function of which `known` is known (without this size), at the logarithm of a size, with what was seen `own` there.
    pub fn new(known: &Known, size: f64, own: &[Point], tolerance: f64) -> Self {
        let mut others = Candidates::new(known, size, tolerance);
        if let Some(others) = &mut others
            && !own.is_empty()
        {
            others.correct(own);
        }
        let candidates = match &others {
            Some(others) => others.curves,
            None => own_candidates(own),
        };
        let mut row = Row { features: [[0.0; GRID]; FEATURES], next: 0 };
        for curve in &candidates {
            let at = crossing(curve, tolerance);
            row.each(|i| squash((curve[i] - curve[FULL]) / tolerance));
            row.each(|i| squash(((i + 1) as f64 - at) / 2.0));
        }
        row.each(|i| (i + 1) as f64 / GRID as f64);
        row.each(|i| ((i + 1) as f64).ln() / 3.0);
        // Other sizes.
        row.all(f64::from(others.is_some()));
        let mut below_or_equal = 0.0;
        let cumulated: Vec<f64> = others.as_ref().map_or(vec![0.0; GRID], |o| {
            o.needs
                .iter()
                .map(|p| {
                    below_or_equal += p;
                    below_or_equal
                })
                .collect()
        });
        row.each(|i| cumulated[i]);
        row.each(|i| others.as_ref().map_or(0.0, |o| o.needs[i]));
        row.each(|i| others.as_ref().map_or(0.0, |o| squash(((i + 1) as f64 - o.need) / 2.0)));
        for side in [others.as_ref().and_then(|o| o.below), others.as_ref().and_then(|o| o.above)] {
            row.all(f64::from(side.is_some()));
            row.all(side.map_or(0.0, |n| n.distance.min(3.0) / 2.0));
            row.all(side.map_or(0.0, |n| n.need / GRID as f64));
            row.all(side.map_or(0.0, |n| squash(n.drop)));
            row.all(side.map_or(0.0, |n| (n.gap - 1.0) / GRID as f64));
        }
        let scaling = others.as_ref().map(|o| &o.local);
        row.all(scaling.map_or(0.0, |s| s.mean_exponent() - 1.0));
        row.all(scaling.map_or(0.0, |s| s.doubt()));
        row.all(scaling.map_or(0.0, |s| s.mean_work() - 1.0));
        row.all(f64::from(known.kernel.is_some()));
        // This size.
        let (low, high) = bracket(own, tolerance);
        let at = |units: f64| own.iter().find(|p| p.0 == units).map(|p| p.1);
        let best = own.last().map_or(0.0, |p| p.1);
        let seen = own.len() > 1;
        row.all(f64::from(!own.is_empty()));
        row.all(f64::from(seen));
        row.each(|i| if seen { (((i + 1) as f64 - low) / (high - low)).clamp(-1.0, 2.0) } else { 0.0 });
        row.all((high - low) / GRID as f64);
        row.all(low / GRID as f64);
        let too_slow = at(low).map_or(0.0, |t| squash((t - best) / tolerance));
        row.all(too_slow);
        row.all(at(high).map_or(0.0, |t| squash((t - best) / tolerance)));
        let before = own.iter().rev().find(|p| p.0 < low);
        row.all(before.zip(at(low)).map_or(0.0, |(p, t)| squash((p.1 - t) / (low / p.0).ln())));
        row.all(at(low).zip(at(high)).map_or(0.0, |(t, u)| squash((t - u) / (high / low).ln())));
        let first = own.first().filter(|_| seen).map_or(0.0, |p| squash(p.1 - best));
        row.all(first);
        let after = own.iter().find(|p| p.0 > high);
        row.all(after.zip(at(high)).map_or(0.0, |(p, t)| squash((t - p.1) / tolerance)));
        row.all(own.first().filter(|_| seen).map_or(0.0, |p| p.0 / GRID as f64));
        row.all(f64::from(seen && others.is_some()));
        debug_assert_eq!(row.next, FEATURES);
        let possible = std::array::from_fn(|i| {
            let units = (i + 1) as f64;
            !seen || (low < units && units < high + 1.0)
        });
        Self { features: row.features, possible, candidates }
    }
}

struct Row {
    features: [[f32; GRID]; FEATURES],
    next: usize,
}

impl Row {
    fn each(&mut self, value: impl Fn(usize) -> f64) {
        self.features[self.next] = std::array::from_fn(|i| value(i) as f32);
        self.next += 1;
    }

    fn all(&mut self, value: f64) {
        self.each(|_| value);
    }
}
