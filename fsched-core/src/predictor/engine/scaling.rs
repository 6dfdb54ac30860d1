//! How a function's own curve moves with its input size.

use super::shape::{FULL, GRID, Seen, Shape, join, read};
use super::spots::{Judged, Spot};

/// How many exponents of the working set are weighed against each other.
pub const EXPONENTS: usize = 25;
/// The step between them.
const STEP: f64 = 0.1;
/// What is expected of the exponent before anything is seen: most working sets grow a little faster than in proportion.
const PRIOR: (f64, f64) = (1.1, 0.7);
/// What is expected of the exponent of work, and how many squared units of evidence that is worth.
const PRIOR_WORK: (f64, f64) = (1.2, 0.3);
/// How much faster than the working set work grows at least, and by how much it may fall short: in any case, and per
/// exponent. All that is kept is worked on, and much of it several times.
const WORK_PER_SET: (f64, f64, f64) = (1.2, 0.3, 0.2);
/// How far from a scaled curve real ones lie, as a logarithm.
const MISFIT: f64 = 0.05;
/// The most squared standard deviations that one grid point may count.
const CAP: f64 = 8.0;
/// How many independent observations a whole curve is worth: neighbouring grid points say nearly the same.
const COUNT: f64 = 4.0;
/// How uncertain a time between two points is, as a share of the drop between them.
const DOUBT: f64 = 0.25;
/// From so few units on, a curve says something.
const WITHIN: f64 = 0.999;
/// How far away a pair of sizes may be and still say half as much, as a logarithm.
const REACH: f64 = 1.2;

/// The same for single points.
const REACH_OF_SPOTS: f64 = 0.8;
/// How many independent observations all single points are worth at most.
const MOST_SPOTS: f64 = 12.0;

/// `t(W, n) = n^b · h(W / n^a)`: a weight for every exponent `a` with its best `b`.
///
/// In absolute time per work: a curve normalised by its own minimum looks flat where the working set is beyond the
/// range, and then hides what happens there.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// Logarithms of input sizes, rising, and the curve at each.
    pub sizes: Vec<(f64, Shape)>,
    fits: Vec<PairFit>,
    /// Single points at other sizes.
    pub spots: Vec<Judged>,
}

/// How well each exponent moves one known curve onto the next.
#[derive(Debug, Clone, PartialEq)]
struct PairFit {
    middle: f64,
    distance: f64,
    fits: [Pair; EXPONENTS],
}

/// What is believed of the exponents around one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Local {
    /// The weight of each exponent; they sum to one.
    pub weights: [f64; EXPONENTS],
    /// The exponent of work that goes with each.
    pub work: [f64; EXPONENTS],
}

impl Local {
    /// The expected exponent of the working set.
    pub fn mean_exponent(&self) -> f64 {
        self.weights.iter().enumerate().map(|(i, w)| w * exponent(i)).sum()
    }

    /// Its standard deviation.
    pub fn doubt(&self) -> f64 {
        let mean = self.mean_exponent();
        self.weights.iter().enumerate().map(|(i, w)| w * (exponent(i) - mean).powi(2)).sum::<f64>().sqrt()
    }

    /// The expected exponent of work.
    pub fn mean_work(&self) -> f64 {
        self.weights.iter().zip(&self.work).map(|(w, b)| w * b).sum()
    }

    /// The likeliest exponent and its work.
    pub fn best(&self) -> (f64, f64) {
        let i = (0..EXPONENTS).max_by(|&i, &j| self.weights[i].total_cmp(&self.weights[j])).unwrap_or(0);
        (exponent(i), self.work[i])
    }
}

/// The exponent with this number.
pub fn exponent(i: usize) -> f64 {
    i as f64 * STEP
}

impl Scaling {
    /// From what was seen of at least one size.
    pub fn new(seen: &[Seen]) -> Self {
        let doubts: Vec<Shape> = seen.iter().map(|s| doubt(&s.points)).collect();
        Self::of_shapes(seen.iter().map(|s| (s.size, join(&s.points))).collect(), &doubts)
    }

    /// From at least one whole curve; rising sizes; and how uncertain each is at each grid point.
    pub fn of_shapes(sizes: Vec<(f64, Shape)>, doubts: &[Shape]) -> Self {
        let fits = sizes
            .windows(2)
            .zip(doubts.windows(2))
            .map(|(pair, doubts)| PairFit {
                middle: f64::midpoint(pair[0].0, pair[1].0),
                distance: pair[1].0 - pair[0].0,
                fits: std::array::from_fn(|i| {
                    Pair::new(&pair[0], &pair[1], (&doubts[0], &doubts[1]), exponent(i))
                }),
            })
            .collect();
        Self { sizes, fits, spots: Vec::new() }
    }

    /// The same, with single points at other sizes.
    #[must_use]
    pub fn with_spots(mut self, spots: &[Spot]) -> Self {
        self.spots = spots.iter().map(|spot| self.judge(spot)).collect();
        self
    }

    /// The same with other single points, of which those that were there before are not judged again.
    #[must_use]
    pub fn with_spots_again(mut self, spots: &[Spot]) -> Self {
        let known = |spot: &Spot| self.spots.iter().find(|known| known.spot == *spot).cloned();
        self.spots = spots.iter().map(|spot| known(spot).unwrap_or_else(|| self.judge(spot))).collect();
        self
    }

    /// The same without the curve of one size; how it moves remains.
    #[must_use]
    pub fn without_size(&self, size: f64) -> Self {
        let sizes = self.sizes.iter().filter(|(n, _)| *n != size).copied().collect();
        Self { sizes, fits: self.fits.clone(), spots: self.spots.clone() }
    }

    fn judge(&self, spot: &Spot) -> Judged {
        let after = self.sizes.partition_point(|(n, _)| *n <= spot.size);
        let below = after.checked_sub(1).map(|i| &self.sizes[i]);
        let above = self.sizes.get(after);
        let mut beyond = 0.0;
        let said = |i: usize| {
            let a = exponent(i);
            let moved = |(n, shape): &(f64, Shape)| {
                let units = spot.units * (a * (n - spot.size)).exp();
                (read(shape, units), inside(units))
            };
            match (below, above) {
                (Some(small), Some(large)) => {
                    let fit = &self.fits[after - 1];
                    let own = fit.fits[i].shift / fit.distance;
                    let share = (spot.size - small.0) / (large.0 - small.0);
                    let ((low, low_in), (high, high_in)) = (moved(small), moved(large));
                    let (low_counts, high_counts) = ((1.0 - share) * low_in, share * high_in);
                    (low_counts * (low + own * (spot.size - small.0))
                        + high_counts * (high - own * (large.0 - spot.size)))
                        / (low_counts + high_counts)
                }
                (Some(only), None) | (None, Some(only)) => moved(only).0,
                (None, None) => spot.time,
            }
        };
        let rest = std::array::from_fn(|i| spot.time - said(i));
        if let (Some((n, _)), None) | (None, Some((n, _))) = (below, above) {
            beyond = spot.size - n;
        }
        Judged { spot: *spot, rest, beyond }
    }

    /// How likely each exponent is around a size, and the exponent of work that goes with each.
    pub fn around(&self, size: f64) -> Local {
        let mut local = Local { weights: [0.0; EXPONENTS], work: [PRIOR_WORK.0; EXPONENTS] };
        let near: Vec<f64> = self
            .fits
            .iter()
            .map(|fit| {
                let away = ((fit.middle - size).abs() - fit.distance / 2.0).max(0.0);
                (-away / REACH).exp() * (-fit.distance / 2.0 / REACH).exp()
            })
            .collect();
        let mut spots: Vec<f64> = self
            .spots
            .iter()
            .map(|judged| (-(judged.spot.size - size).abs() / REACH_OF_SPOTS).exp())
            .collect();
        let all: f64 = spots.iter().sum();
        spots.iter_mut().for_each(|near| *near *= (MOST_SPOTS / all).min(1.0));
        let mut evidence: [f64; EXPONENTS] =
            std::array::from_fn(|i| -0.5 * ((exponent(i) - PRIOR.0) / PRIOR.1).powi(2));
        let (mut tops, mut bottom) = ([PRIOR_WORK.0 * PRIOR_WORK.1; EXPONENTS], PRIOR_WORK.1);
        for (fit, near) in self.fits.iter().zip(&near) {
            for ((top, evidence), pair) in tops.iter_mut().zip(&mut evidence).zip(&fit.fits) {
                *top += near * pair.shift;
                *evidence -= near * pair.misfit;
            }
            bottom += near * fit.distance;
        }
        for (judged, near) in self.spots.iter().zip(&spots) {
            let sign = judged.beyond.signum();
            tops.iter_mut().zip(&judged.rest).for_each(|(top, rest)| *top += near * rest * sign);
            bottom += near * judged.beyond.abs();
        }
        for i in 0..EXPONENTS {
            local.work[i] = (tops[i] / bottom).clamp(0.0, 4.0);
            evidence[i] -= too_little(exponent(i), local.work[i]);
        }
        for (judged, near) in self.spots.iter().zip(&spots) {
            let misfits = judged.misfits(&local.work);
            evidence.iter_mut().zip(misfits).for_each(|(evidence, misfit)| *evidence -= near * misfit);
        }
        local.weights = evidence;
        let most = local.weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights = local.weights.map(|e| (e - most).exp());
        let sum: f64 = weights.iter().sum();
        local.weights = weights.map(|w| w / sum);
        local
    }

    /// The curve at a size, with exponents `a` of the working set and `b` of work.
    pub fn moved(&self, a: f64, b: f64, size: f64) -> Shape {
        let after = self.sizes.partition_point(|(n, _)| *n <= size);
        let below = after.checked_sub(1).map(|i| &self.sizes[i]);
        let above = self.sizes.get(after);
        let mut shape = match (below, above) {
            (Some((low, small)), Some((high, large))) => {
                let span = high - low;
                let share = (size - low) / span;
                // Between two sizes their own exponent of work counts more than the function's.
                let own = shift(small, large, span, a) / span;
                let (shrink_low, shrink_high) = ((a * (low - size)).exp(), (a * (high - size)).exp());
                let (up, down) = (own * (size - low), own * (high - size));
                let both: [[f64; 4]; GRID] = std::array::from_fn(|i| {
                    let units = (i + 1) as f64;
                    let (few, many) = (units * shrink_low, units * shrink_high);
                    [read(small, few), inside(few), read(large, many), inside(many)]
                });
                both.map(|[from_small, small_inside, from_large, large_inside]| {
                    // What lies beyond a curve's range is not known from it.
                    let (small_counts, large_counts) = ((1.0 - share) * small_inside, share * large_inside);
                    (small_counts * (from_small + up) + large_counts * (from_large - down))
                        / (small_counts + large_counts)
                })
            }
            (Some((n, known)), None) | (None, Some((n, known))) => {
                let shrink = (a * (n - size)).exp();
                std::array::from_fn(|i| read(known, (i + 1) as f64 * shrink) + b * (size - n))
            }
            (None, None) => [0.0; GRID],
        };
        super::shape::settle(&mut shape);
        shape
    }

    /// What all exponents together say of a size; `need` says which grid point of a curve is the fewest good enough.
    pub fn mixture(&self, local: &Local, size: f64, need: impl Fn(&Shape) -> usize) -> Mixture {
        let mut needs = [0.0; GRID];
        let mut shapes: [(f64, Shape); EXPONENTS] = [(0.0, [0.0; GRID]); EXPONENTS];
        let mut count = 0;
        for i in 0..EXPONENTS {
            let weight = local.weights[i];
            if weight < 0.01 {
                continue;
            }
            let shape = self.moved(exponent(i), local.work[i], size);
            needs[need(&shape)] += weight;
            shapes[count] = (weight, shape);
            count += 1;
        }
        let shapes = &shapes[..count];
        let sum: f64 = shapes.iter().map(|(w, _)| w).sum();
        // In the order of their times, which is nearly the same from one grid point to the next.
        let mut order: [usize; EXPONENTS] = std::array::from_fn(|k| k);
        let order = &mut order[..count];
        let median = std::array::from_fn(|i| {
            sort_again(order, |k| shapes[k].1[i]);
            let mut below = 0.0;
            for &k in order.iter() {
                below += shapes[k].0;
                if below >= sum / 2.0 {
                    return shapes[k].1[i];
                }
            }
            shapes[order[count - 1]].1[i]
        });
        // Only single runs ask how far shapes differ.
        let doubt = if self.spots.is_empty() { [0.0; GRID] } else { disagreement(shapes, sum) };
        Mixture { median, doubt, needs: needs.map(|p| p / sum) }
    }
}

/// Sorts what is nearly sorted.
fn sort_again(order: &mut [usize], key: impl Fn(usize) -> f64) {
    for i in 1..order.len() {
        let (one, own) = (order[i], key(order[i]));
        let mut at = i;
        while at > 0 && key(order[at - 1]) > own {
            order[at] = order[at - 1];
            at -= 1;
        }
        order[at] = one;
    }
}

/// How far weighted shapes differ at each grid point, whatever their level: a standard deviation.
fn disagreement(shapes: &[(f64, Shape)], sum: f64) -> Shape {
    let mean: Shape = std::array::from_fn(|i| shapes.iter().map(|(w, s)| w * s[i]).sum::<f64>() / sum);
    std::array::from_fn(|i| {
        let away = |s: &Shape| (s[i] - s[FULL] - mean[i] + mean[FULL]).powi(2);
        (shapes.iter().map(|(w, s)| w * away(s)).sum::<f64>() / sum).sqrt()
    })
}

/// What all exponents together say of a size.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// At each grid point the middle one of their curves.
    pub median: Shape,
    /// How far their shapes differ, a standard deviation; zero where there are no single runs to ask.
    pub doubt: Shape,
    /// How likely each number of units is the fewest that is good enough.
    pub needs: [f64; GRID],
}

/// How unlikely it is that work grows so little where the working set grows with the exponent `a`, as a logarithm of odds. Without
/// this a large size that is flat is taken for a small one that has next to no cache: they look alike, but for the time they take.
fn too_little(a: f64, work: f64) -> f64 {
    let (least, spread, more) = WORK_PER_SET;
    0.5 * ((least * a - work).max(0.0) / (spread + more * a)).powi(2)
}

/// Nearly nothing beyond the range of a curve.
fn inside(units: f64) -> f64 {
    if (1.0..=GRID as f64 + 1e-9).contains(&units) { 1.0 } else { 0.02 }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Pair {
    /// How much longer the larger one takes, as a logarithm.
    shift: f64,
    /// How badly the moved curve fits, as a logarithm of odds.
    misfit: f64,
}

impl Pair {
    fn new(small: &(f64, Shape), large: &(f64, Shape), doubts: (&Shape, &Shape), a: f64) -> Self {
        let distance = large.0 - small.0;
        let shrink = (-a * distance).exp();
        // The larger one at w behaves like the smaller one at w · shrink, always within range at the upper end.
        let tight = MISFIT.powi(2);
        let from = within(shrink);
        if from == GRID {
            return Self { shift: large.1[FULL] - read(&small.1, GRID as f64 * shrink), misfit: 0.0 };
        }
        let (mut apart, mut counts) = ([0.0; GRID], [tight; GRID]);
        for i in from..GRID {
            let units = (i + 1) as f64 * shrink;
            apart[i] = large.1[i] - read(&small.1, units);
            counts[i] = tight + doubts.1[i].powi(2) + read(doubts.0, units).powi(2);
        }
        counts.iter_mut().for_each(|variance| *variance = tight / *variance);
        let sum: f64 = counts[from..].iter().sum();
        let mean = apart[from..].iter().zip(&counts[from..]).map(|(d, w)| d * w).sum::<f64>() / sum;
        // Bounded squares: one cliff at another place must not decide alone.
        for (apart, count) in apart.iter_mut().zip(&counts) {
            let z = (*apart - mean).powi(2) / tight * count;
            *apart = z / (1.0 + z / CAP);
        }
        let misfit = 0.5 * apart[from..].iter().sum::<f64>() / (GRID - from) as f64 * COUNT;
        Self { shift: mean, misfit }
    }
}

/// From which grid point on the smaller of two sizes is within range.
fn within(shrink: f64) -> usize {
    (0..GRID).find(|&i| (i + 1) as f64 * shrink >= WITHIN).unwrap_or(GRID)
}

/// How uncertain a curve is at each grid point: a quarter of the drop between the points around it.
pub fn doubt(points: &[super::shape::Point]) -> Shape {
    std::array::from_fn(|i| {
        let units = (i + 1) as f64;
        let after = points.partition_point(|p| p.0 < units);
        match (after.checked_sub(1).map(|i| points[i]), points.get(after)) {
            (_, Some(right)) if right.0 == units => 0.0,
            (Some(left), Some(right)) => (left.1 - right.1) * DOUBT,
            _ => 0.2,
        }
    })
}

/// The exponent of work between two curves, where the working set's is `a`.
pub fn work_between(small: &(f64, Shape), large: &(f64, Shape), a: f64) -> f64 {
    let distance = large.0 - small.0;
    shift(&small.1, &large.1, distance, a) / distance
}

/// How much longer the larger of two sizes takes, as a logarithm: [`Pair`]'s, where both curves are certain.
fn shift(small: &Shape, large: &Shape, distance: f64, a: f64) -> f64 {
    let shrink = (-a * distance).exp();
    let from = within(shrink);
    if from == GRID {
        return large[FULL] - read(small, GRID as f64 * shrink);
    }
    let differences = (from..GRID).map(|i| large[i] - read(small, (i + 1) as f64 * shrink));
    differences.sum::<f64>() / (GRID - from) as f64
}
