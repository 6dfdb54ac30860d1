//! Which cache sizes to run next, and when to stop.

use super::candidates::{Candidates, Known, bracket};
use super::shape::{GRID, Point};

/// The next number of units to run at a size, given other sizes and what was run here; none where the need is known.
///
/// The most first, because it says what the best is. Then whatever halves what is likely: where other sizes are known,
/// around the need that they predict; alone, small needs are likelier than large ones.
pub fn next(known: &Known, size: f64, own: &[Point], tolerance: f64) -> Option<usize> {
    match Candidates::new(known, size, tolerance) {
        Some(others) => between(own, 1, GRID, tolerance, |units| around(&others.needs, units as f64)),
        None => between(own, 1, GRID, tolerance, alone),
    }
}

/// The same from `least` to `most` of anything, `weight` being how likely a need is; points and answer count the same.
pub fn between(
    own: &[Point],
    least: usize,
    most: usize,
    tolerance: f64,
    weight: impl Fn(usize) -> f64,
) -> Option<usize> {
    if !own.iter().any(|p| p.0 == most as f64) {
        return Some(most);
    }
    let (low, high) = bracket(own, tolerance);
    let first = (low as usize + 1).max(least);
    let last = high as usize;
    if first >= last {
        return None;
    }
    let weights: Vec<f64> = (first..=last).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    let mut below = 0.0;
    let halves = (first..last).zip(&weights).map(|(units, weight)| {
        below += weight / sum;
        (units, (below - 0.5).abs())
    });
    halves.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(units, _)| units)
}

/// How likely a need is by what other sizes say: theirs, blurred, and a little of everything.
pub fn around(needs: &[f64; GRID], units: f64) -> f64 {
    let blurred = needs.iter().enumerate().map(|(i, p)| {
        let apart = (i + 1) as f64 - units;
        p * (-apart.abs() / 0.8).exp()
    });
    blurred.sum::<f64>() + 0.01
}

/// How likely a need is where nothing is known: small ones are common.
pub fn alone(units: usize) -> f64 {
    if units == 1 { 3.0 } else { (units as f64).powf(-0.4) }
}

/// Where another run tells most of the curve's shape, once its need is known: the middle of the largest drop, if it is larger
/// than `tolerance`.
pub fn fill(own: &[Point], least: usize, tolerance: f64) -> Option<usize> {
    if own.first().is_none_or(|p| p.0 > least as f64) {
        return Some(least);
    }
    let gaps = own.windows(2).filter(|gap| gap[1].0 - gap[0].0 > 1.0 && gap[0].1 - gap[1].1 > tolerance);
    let widest = gaps.max_by(|a, b| (a[0].1 - a[1].1).total_cmp(&(b[0].1 - b[1].1)))?;
    Some((widest[0].0 * widest[1].0).sqrt().round().clamp(widest[0].0 + 1.0, widest[1].0 - 1.0) as usize)
}
