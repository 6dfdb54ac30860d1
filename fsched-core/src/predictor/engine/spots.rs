//! Runs at input sizes where too few caches were seen to show a curve: each is one point, and tells how the known curves
//! move with the size, and where they are wrong.

use super::scaling::{EXPONENTS, Local};
use super::shape::{FULL, GRID, Shape};

/// What was seen at one size with one cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot {
    /// The logarithm of the input size.
    pub size: f64,
    /// Cache, units.
    pub units: f64,
    /// The logarithm of seconds.
    pub time: f64,
    /// How uncertain that is, a standard deviation.
    pub noise: f64,
}

/// A spot and what each exponent of the working set says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The spot.
    pub spot: Spot,
    /// By exponent: how much longer it took than said, before the exponent of work is counted.
    pub rest: [f64; EXPONENTS],
    /// How far it lies beyond the known sizes, as a logarithm; below zero under the smallest.
    pub beyond: f64,
}

/// How far from a scaled curve single runs lie, as a logarithm.
const MISFIT: f64 = 0.08;
/// The most squared standard deviations that one spot may count.
const CAP: f64 = 8.0;

impl Judged {
    /// How badly each exponent with its work fits, as a logarithm of odds.
    pub fn misfits(&self, work: &[f64; EXPONENTS]) -> [f64; EXPONENTS] {
        let variance = MISFIT.powi(2) + self.spot.noise.powi(2);
        std::array::from_fn(|i| {
            let z = (self.rest[i] - work[i] * self.beyond).powi(2) / variance;
            0.5 * z / (1.0 + z / CAP)
        })
    }
}

/// How far in size a spot still tells half of what it tells at its own, as a logarithm.
const REACH: f64 = 0.5;
/// How far the level of time may be off, a standard deviation: between known sizes, and per unit of distance beyond.
const LEVEL: (f64, f64) = (0.1, 0.4);
/// How far a shape may be off at least, as a share of the drop there.
const SHAPE: f64 = 0.25;
/// How far in cache a wrong shape reaches, as a logarithm.
const BREADTH: f64 = 0.35;
/// The most spots that are taken into account for one answer: those nearest in size.
const MOST: usize = 10;
/// How well anything is known.
const FLOOR: f64 = 0.02;

/// How much a curve at `size` is to be changed so that it agrees with the spots around: a Gaussian process (Rasmussen and Williams
/// 2006) of the level of time and of its shape over the logarithm of cache. `doubt` is how uncertain the shape is.
pub fn correction(spots: &[Judged], local: &Local, size: f64, curve: &Shape, doubt: &Shape) -> Option<Shape> {
    let mut near: Vec<(f64, &Judged)> = spots
        .iter()
        .map(|judged| ((judged.spot.size - size).abs(), judged))
        .filter(|n| n.0 < 4.0 * REACH)
        .collect();
    if near.is_empty() {
        return None;
    }
    if near.len() > MOST {
        near.select_nth_unstable_by(MOST, |a, b| a.0.total_cmp(&b.0));
        near.truncate(MOST);
    }
    let unsure: Shape = std::array::from_fn(|i| doubt[i].hypot(SHAPE * (curve[i] - curve[FULL])) + FLOOR);
    let at = |units: f64| unsure[(units.round() as usize).clamp(1, GRID) - 1];
    let level = |beyond: f64| (LEVEL.0 + LEVEL.1 * beyond.abs()).powi(2);
    let count = near.len();
    let mut matrix = [[0.0; MOST]; MOST];
    let mut rest = [0.0; MOST];
    for (i, (_, one)) in near.iter().enumerate() {
        let expected: f64 =
            (0..EXPONENTS).map(|k| local.weights[k] * (one.rest[k] - local.work[k] * one.beyond)).sum();
        rest[i] = expected;
        for (j, (_, other)) in near.iter().enumerate().take(i + 1) {
            let apart = (one.spot.size - other.spot.size).abs();
            let cache = (one.spot.units / other.spot.units).ln();
            let shape = at(one.spot.units) * at(other.spot.units) * (-0.5 * (cache / BREADTH).powi(2)).exp();
            let levels = (level(one.beyond) * level(other.beyond)).sqrt();
            matrix[i][j] = (-apart / REACH).exp() * (levels + shape);
        }
        matrix[i][i] += FLOOR.powi(2) + one.spot.noise.powi(2);
    }
    let weights = solve(&mut matrix, rest, count)?;
    let beyond = near[0].1.beyond;
    // What no grid point changes: how much each counts, and how its level goes with the one asked for.
    let mut parts = [(0.0, 0.0, 0.0, 0.0); MOST];
    for ((part, (apart, one)), weight) in parts.iter_mut().zip(&near).zip(weights) {
        let levels = (level(one.beyond) * level(beyond)).sqrt();
        *part = (weight * (-apart / REACH).exp(), levels, one.spot.units, at(one.spot.units));
    }
    Some(std::array::from_fn(|g| {
        let units = (g + 1) as f64;
        let one = |&(counts, levels, own, unsure_there): &(f64, f64, f64, f64)| {
            let cache = (own / units).ln();
            let shape = unsure_there * unsure[g] * (-0.5 * (cache / BREADTH).powi(2)).exp();
            counts * (levels + shape)
        };
        parts[..count].iter().map(one).sum()
    }))
}

/// Solves a symmetric positive definite system of which the lower half is given (Cholesky); none where it is none.
fn solve(matrix: &mut [[f64; MOST]; MOST], mut right: [f64; MOST], count: usize) -> Option<[f64; MOST]> {
    for i in 0..count {
        for j in 0..=i {
            let sum = matrix[i][j] - (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum::<f64>();
            if i == j {
                if sum.is_nan() || sum <= 1e-12 {
                    return None;
                }
                matrix[i][i] = sum.sqrt();
            } else {
                matrix[i][j] = sum / matrix[j][j];
            }
        }
    }
    for i in 0..count {
        let sum: f64 = (0..i).map(|k| matrix[i][k] * right[k]).sum();
        right[i] = (right[i] - sum) / matrix[i][i];
    }
    for i in (0..count).rev() {
        let sum: f64 = (i + 1..count).map(|k| matrix[k][i] * right[k]).sum();
        right[i] = (right[i] - sum) / matrix[i][i];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::super::candidates::{CANDIDATES, Candidates, Known};
    use super::super::shape::{GOOD_ENOUGH, Seen};
    use super::*;

    /// Twice as slow below `need` units; a second per unit of size.
    fn cliff(size: f64, need: f64, units: f64) -> f64 {
        size + if units < need { 2f64.ln() } else { 0.0 }
    }

    fn known() -> Known {
        let seen = |size: f64, need: f64| Seen {
            size,
            points: (1..=GRID).map(|w| (w as f64, cliff(size, need, w as f64))).collect(),
        };
        Known::new(vec![seen(1.0, 3.0), seen(3.0, 15.0)], &[])
    }

    fn at(known: &Known, units: usize) -> f64 {
        let curves = Candidates::new(known, 2.0, GOOD_ENOUGH).expect("there are sizes").curves;
        curves[CANDIDATES - 1][units - 1] - curves[CANDIDATES - 1][FULL]
    }

    #[test]
    fn no_spots_change_nothing() {
        assert_eq!(known(), known().with_spots(&[]));
    }

    #[test]
    fn a_fast_run_with_few_units_moves_the_cliff_below_it_and_a_slow_one_above() {
        let spot =
            |units: f64, need: f64| Spot { size: 2.0, units, time: cliff(2.0, need, units), noise: 0.01 };
        let (before_four, before_ten) = (at(&known(), 4), at(&known(), 10));
        let four = at(&known().with_spots(&[spot(4.0, 4.0), spot(19.0, 4.0)]), 4);
        let ten = at(&known().with_spots(&[spot(10.0, 12.0), spot(19.0, 12.0)]), 10);
        assert!(four < 0.7 * before_four, "{before_four} {four}");
        assert!(ten > before_ten + 0.1, "{before_ten} {ten}");
    }

    #[test]
    fn spots_that_agree_leave_no_room_for_doubt_and_none_far_away_matters() {
        let far = Spot { size: 40.0, units: 4.0, time: 99.0, noise: 0.01 };
        let with = known().with_spots(&[far]);
        let scaling = with.scaling.as_ref().expect("there are sizes");
        let local = scaling.around(2.0);
        assert_eq!(correction(&scaling.spots, &local, 2.0, &[0.0; GRID], &[0.1; GRID]), None);
    }

    #[test]
    fn what_is_worked_out_again_is_what_would_be_worked_out_anew() {
        let spot = |size: f64, units: f64| Spot { size, units, time: cliff(size, 4.0, units), noise: 0.01 };
        let before = known().with_spots(&[spot(2.0, 4.0), spot(4.0, 7.0)]);
        let mut others = before.seen.clone();
        others.remove(0);
        for seen in [before.seen.clone(), others] {
            for spots in [vec![], vec![spot(2.0, 5.0), spot(2.0, 4.0)]] {
                let anew = Known::new(seen.clone(), &[]).with_spots(&spots);
                assert_eq!(before.clone().again(seen.clone(), &spots), anew);
            }
        }
    }

    #[test]
    fn a_system_that_is_none_is_refused() {
        let mut matrix = [[0.0; MOST]; MOST];
        assert_eq!(solve(&mut matrix, [1.0; MOST], 2), None);
        (matrix[0][0], matrix[1][0], matrix[1][1]) = (4.0, 2.0, 5.0);
        let solved =
            solve(&mut matrix, [8.0, 12.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 2).expect("it is one");
        assert!((4.0 * solved[0] + 2.0 * solved[1] - 8.0).abs() < 1e-9);
        assert!((2.0 * solved[0] + 5.0 * solved[1] - 12.0).abs() < 1e-9);
    }
}
