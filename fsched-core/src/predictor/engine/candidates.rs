//! What physics makes of what was seen: candidate curves for an input size.

use super::scaling::{Local, Scaling, doubt};
use super::shape::{FULL, GRID, Point, Seen, Shape, between, crossing, join, need, read, settle};
use super::spots::{self, Spot};
use super::startup::startup;

/// How many candidate curves there are.
pub const CANDIDATES: usize = 9;

/// All that is known of one function, ready to be asked for any input size.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// By rising size; may be empty.
    pub seen: Vec<Seen>,
    /// How its curve moves with its size; none where nothing was seen.
    pub scaling: Option<Scaling>,
    /// The start-up curve of its runtime, and how what remains without it moves.
    pub kernel: Option<(Shape, Scaling)>,
}

/// How often sparse curves are filled from each other.
const ROUNDS: usize = 2;
/// How much of the doubt about a filled curve remains.
const LESS_DOUBT: f64 = 0.5;
/// The share of a time that is taken for more than start-up, at least.
const LEAST_KERNEL: f64 = 0.02;

impl Known {
    /// Prepares what was seen, in rising order of size; `startups` are the curves of the smallest runs of other functions in
    /// the same runtime.
    pub fn new(seen: Vec<Seen>, startups: &[Shape]) -> Self {
        let scaling = (!seen.is_empty()).then(|| Scaling::new(&seen));
        let startup = seen.first().and_then(|smallest| startup(&smallest.points, startups));
        let kernel = scaling.as_ref().zip(startup).map(|(whole, startup)| {
            let sizes = whole.sizes.iter().map(|(n, shape)| (*n, without(shape, &startup))).collect();
            let doubts: Vec<Shape> = seen.iter().map(|s| doubt(&s.points)).collect();
            (startup, Scaling::of_shapes(sizes, &doubts))
        });
        let mut known = Self { seen, scaling, kernel };
        known.refine();
        known
    }

    /// The same, with single runs at other sizes.
    #[must_use]
    pub fn with_spots(mut self, spots: &[Spot]) -> Self {
        self.scaling = self.scaling.map(|scaling| scaling.with_spots(spots));
        self
    }

    /// Fills what lies between few points of one size with what the other sizes say about it.
    fn refine(&mut self) {
        for _ in 0..ROUNDS {
            let sparse = |s: &Seen| s.points.len() < GRID && s.points.len() > 1;
            if self.seen.len() < 3 || !self.seen.iter().any(sparse) {
                return;
            }
            let filled: Vec<Shape> = self
                .seen
                .iter()
                .map(|s| {
                    if !sparse(s) {
                        return join(&s.points);
                    }
                    let mut curve = self.said_by_others(s.size).unwrap_or(join(&s.points));
                    correct(&mut curve, &s.points);
                    curve
                })
                .collect();
            let doubts: Vec<Shape> =
                self.seen.iter().map(|s| doubt(&s.points).map(|d| d * LESS_DOUBT)).collect();
            let sizes: Vec<(f64, Shape)> = self.seen.iter().zip(&filled).map(|(s, f)| (s.size, *f)).collect();
            if let Some((startup, kernel)) = &mut self.kernel {
                let rest = sizes.iter().map(|(n, shape)| (*n, without(shape, startup))).collect();
                *kernel = Scaling::of_shapes(rest, &doubts);
            }
            self.scaling = Some(Scaling::of_shapes(sizes, &doubts));
        }
    }

    /// What is seen now, and the single runs at other sizes: what has not changed is not worked out again.
    #[must_use]
    pub fn again(mut self, seen: Vec<Seen>, spots: &[Spot]) -> Self {
        if self.kernel.is_some() || self.seen != seen {
            return Self::new(seen, &[]).with_spots(spots);
        }
        self.scaling = self.scaling.map(|scaling| scaling.with_spots_again(spots));
        self
    }

    /// The last of the [candidates](Candidates::curves) for a known size, as if that were not known, where there are no single runs.
    fn said_by_others(&self, size: f64) -> Option<Shape> {
        let of = |scaling: &Scaling| -> Option<Shape> {
            let at = scaling.sizes.iter().position(|(n, _)| *n == size)?;
            let local = scaling.around(size);
            Some(match (at.checked_sub(1).map(|at| &scaling.sizes[at]), scaling.sizes.get(at + 1)) {
                (Some(below), Some(above)) => warp(below, above, &local, size),
                _ => scaling.without_size(size).mixture(&local, size, |_| FULL).median,
            })
        };
        match &self.kernel {
            Some((startup, kernel)) => Some(with(&of(kernel)?, startup)),
            None => of(self.scaling.as_ref()?),
        }
    }

    /// The same without one input size.
    pub fn without_size(&self, size: f64) -> Self {
        let mut rest = self.clone();
        rest.seen.retain(|s| s.size != size);
        let drop = |scaling: &mut Scaling| scaling.sizes.retain(|(n, _)| *n != size);
        rest.scaling.iter_mut().for_each(drop);
        rest.kernel.iter_mut().for_each(|(_, scaling)| drop(scaling));
        if rest.seen.is_empty() {
            (rest.scaling, rest.kernel) = (None, None);
        }
        rest
    }
}

/// What remains of a curve without start-up.
fn without(shape: &Shape, startup: &Shape) -> Shape {
    let mut rest: Shape = std::array::from_fn(|i| {
        let left = 1.0 - (startup[i] - shape[i]).exp();
        shape[i] + left.max(LEAST_KERNEL).ln()
    });
    settle(&mut rest);
    rest
}

/// A curve with start-up added.
fn with(kernel: &Shape, startup: &Shape) -> Shape {
    std::array::from_fn(|i| {
        let (more, less) = (kernel[i].max(startup[i]), kernel[i].min(startup[i]));
        more + (less - more).exp().ln_1p()
    })
}

/// Candidate curves for one input size and what else tells where its need lies.
#[derive(Debug, Clone)]
pub struct Candidates {
    /// Nearest size; log-log at fixed cache; shift with exponent 1; with the function's; the pessimistic one of two
    /// neighbours; the mixture over exponents; the same for the kernel above start-up; transport.
    pub curves: [Shape; CANDIDATES],
    /// The need interpolated over the logarithm of the size, units.
    pub need: f64,
    /// How likely each number of units is the fewest good enough, by exponent alone.
    pub needs: [f64; GRID],
    /// What is believed of the exponents.
    pub local: Local,
    /// Neighbours: distance as a logarithm, their need, their drop, how many units their own need is uncertain by.
    pub below: Option<Neighbour>,
    /// The same above.
    pub above: Option<Neighbour>,
}

/// A known size next to the one asked for.
#[derive(Debug, Clone, Copy)]
pub struct Neighbour {
    /// The logarithm of the ratio of sizes, above zero.
    pub distance: f64,
    /// Where it crosses the tolerance, units.
    pub need: f64,
    /// How much it gains from cache, as a logarithm.
    pub drop: f64,
    /// Between which units its need lies: how many.
    pub gap: f64,
}

impl Candidates {
    /// For `size`, of a function of which other sizes were seen; none where there are none.
    pub fn new(known: &Known, size: f64, tolerance: f64) -> Option<Self> {
        let scaling = known.scaling.as_ref()?;
        let sizes = &scaling.sizes;
        let after = sizes.partition_point(|(n, _)| *n <= size);
        let (below, above) = (after.checked_sub(1), (after < sizes.len()).then_some(after));
        let nearest = match (below, above) {
            (Some(b), Some(a)) if size - sizes[b].0 <= sizes[a].0 - size => b,
            (_, Some(a)) => a,
            (Some(b), None) => b,
            (None, None) => return None,
        };
        let local = scaling.around(size);
        let (a, b) = (local.mean_exponent(), local.mean_work());
        let level = |shape: &Shape, from: f64| shape.map(|t| t + b * (size - from));
        let whole = scaling.mixture(&local, size, |shape| need(shape, tolerance));
        let (mixture, mut needs) = (whole.median, whole.needs);
        let kernel = match &known.kernel {
            Some((startup, kernel)) => {
                let together = WithStartup::new(startup, tolerance);
                let rest = kernel.mixture(&kernel.around(size), size, |shape| together.need(shape));
                needs = rest.needs;
                with(&rest.median, startup)
            }
            None => mixture,
        };
        // The two sizes to draw lines through: the neighbours, or outside of all the two nearest.
        let line = match (below, above) {
            (Some(b), Some(a)) => Some((b, a)),
            (Some(b), None) => b.checked_sub(1).map(|before| (before, b)),
            (None, Some(a)) => (a + 1 < sizes.len()).then_some((a, a + 1)),
            (None, None) => None,
        };
        let near = level(&sizes[nearest].1, sizes[nearest].0);
        let (mut fixed, mut transported, mut needed) = (near, near, crossing(&sizes[nearest].1, tolerance));
        let mut warped = kernel;
        if let Some((one, other)) = line {
            let ((n, low), (m, high)) = (&sizes[one], &sizes[other]);
            let share = ((size - n) / (m - n)).clamp(-1.0, 2.0);
            fixed = std::array::from_fn(|i| low[i] + share * (high[i] - low[i]));
            settle(&mut fixed);
            transported = match &known.kernel {
                Some((startup, rest)) => {
                    with(&transport(&rest.sizes[one].1, &rest.sizes[other].1, share), startup)
                }
                None => transport(low, high, share),
            };
            if below.is_some() && above.is_some() {
                warped = match &known.kernel {
                    Some((startup, rest)) => {
                        with(&warp(&rest.sizes[one], &rest.sizes[other], &rest.around(size), size), startup)
                    }
                    None => warp(&sizes[one], &sizes[other], &local, size),
                };
            }
            let (x, y) = (crossing(low, tolerance), crossing(high, tolerance));
            needed = (x.ln() + share * (y.ln() - x.ln())).exp().clamp(1.0, GRID as f64);
        }
        let pessimistic = match (below, above) {
            (Some(low), Some(high)) => {
                let shift = |k: usize| {
                    let (n, shape) = &sizes[k];
                    let shrink = (a * (n - size)).exp();
                    let moved: Shape = std::array::from_fn(|i| read(shape, (i + 1) as f64 * shrink));
                    moved.map(|t| t - moved[FULL])
                };
                let (x, y) = (shift(low), shift(high));
                std::array::from_fn(|i| mixture[FULL] + x[i].max(y[i]))
            }
            _ => scaling.moved(a + local.doubt(), b, size),
        };
        let neighbour = |k: usize| {
            let (n, shape) = &sizes[k];
            Neighbour {
                distance: (n - size).abs(),
                need: crossing(shape, tolerance),
                drop: shape[0] - shape[FULL],
                gap: known.seen.get(k).map_or(1.0, |seen| gap(&seen.points, tolerance)),
            }
        };
        let correction = spots::correction(&scaling.spots, &local, size, &mixture, &whole.doubt);
        let mut all = Self {
            curves: [
                near,
                fixed,
                scaling.moved(1.0, b, size),
                scaling.moved(local.best().0, local.best().1, size),
                pessimistic,
                mixture,
                kernel,
                transported,
                warped,
            ],
            need: needed,
            needs,
            local,
            below: below.map(neighbour),
            above: above.map(neighbour),
        };
        if let Some(change) = &correction {
            for curve in &mut all.curves {
                curve.iter_mut().zip(change).for_each(|(t, change)| *t += change);
                settle(curve);
            }
        }
        Some(all)
    }

    /// Corrects every curve by what was seen at this very size, and keeps it between what was seen.
    pub fn correct(&mut self, own: &[Point]) {
        for curve in &mut self.curves {
            correct(curve, own);
        }
    }
}

/// Moves a curve so that it goes through what was seen: its error there, joined by lines over the logarithm of cache.
pub fn correct(curve: &mut Shape, own: &[Point]) {
    let errors: Vec<Point> = own.iter().map(|&(units, t)| (units, t - read(curve, units))).collect();
    for (i, t) in curve.iter_mut().enumerate() {
        *t += between(&errors, (i + 1) as f64);
    }
    for (i, t) in curve.iter_mut().enumerate() {
        let units = (i + 1) as f64;
        let after = own.partition_point(|p| p.0 < units - 1e-9);
        if let Some(right) = own.get(after) {
            *t = if (right.0 - units).abs() < 1e-9 { right.1 } else { t.max(right.1) };
        }
        if let Some(left) = after.checked_sub(1).map(|i| own[i]) {
            *t = t.min(left.1);
        }
    }
    settle(curve);
}

/// How many units lie between the last point known to be too slow and the first known to be good enough.
pub fn gap(points: &[Point], tolerance: f64) -> f64 {
    let (low, high) = bracket(points, tolerance);
    high - low
}

/// The last point known to be too slow (0 for none) and the first known to be good enough, units. What is best is taken
/// from the last point.
pub fn bracket(points: &[Point], tolerance: f64) -> (f64, f64) {
    let Some(last) = points.last() else { return (0.0, GRID as f64) };
    let bound = last.1 + tolerance + 1e-12;
    let good = points.iter().position(|p| p.1 <= bound).unwrap_or(points.len() - 1);
    (good.checked_sub(1).map_or(0.0, |i| points[i].0), points[good].0)
}

/// Tells the fewest units that are good enough with start-up added to a kernel's curve.
struct WithStartup {
    /// Seconds.
    startup: Shape,
    /// How much slower than the best is still good enough.
    ratio: f64,
}

impl WithStartup {
    fn new(startup: &Shape, tolerance: f64) -> Self {
        Self { startup: startup.map(f64::exp), ratio: (tolerance + 1e-12).exp() }
    }

    fn need(&self, kernel: &Shape) -> usize {
        let seconds = |k: usize| kernel[k].exp() + self.startup[k];
        let bound = seconds(FULL) * self.ratio;
        // Neither rises, so where both together are good enough they stay so.
        let (mut least, mut enough) = (0, FULL);
        while least < enough {
            let middle = usize::midpoint(least, enough);
            if seconds(middle) <= bound { enough = middle } else { least = middle + 1 }
        }
        enough
    }
}

/// How many levels of time a warp follows.
const LEVELS: usize = 48;

/// Interpolates where each level of time per work is reached: every cliff moves with an exponent of its own. Where only
/// one neighbour reaches a level, it moves with the function's.
fn warp(small: &(f64, Shape), large: &(f64, Shape), local: &Local, size: f64) -> Shape {
    let share = (size - small.0) / (large.0 - small.0);
    let a = local.best().0;
    let b = super::scaling::work_between(small, large, a);
    let (up, down) = (b * (size - small.0), b * (size - large.0));
    let (one, other) = (small.1.map(|t| t + up), large.1.map(|t| t + down));
    let top = one[0].max(other[0]);
    let bottom = one[FULL].min(other[FULL]);
    let mut places = [(0.0, 0.0); LEVELS];
    let mut before = 0.0f64;
    for (k, place) in places.iter_mut().enumerate() {
        let level = top + (bottom - top) * k as f64 / (LEVELS - 1) as f64;
        let moved_one = reached(&one, level).map(|w| w * (a * (size - small.0)).exp());
        let moved_other = reached(&other, level).map(|w| w * (a * (size - large.0)).exp());
        let both = reached(&one, level).zip(reached(&other, level));
        let at = match (both, moved_one, moved_other) {
            (Some((w, v)), ..) => (w.ln() + share * (v / w).ln()).exp(),
            (None, Some(w), _) | (None, None, Some(w)) => w,
            (None, None, None) => before,
        };
        before = before.max(at);
        *place = (before, level);
    }
    let mut shape: Shape = std::array::from_fn(|i| {
        let units = (i + 1) as f64;
        let after = places.partition_point(|p| p.0 < units);
        match (after.checked_sub(1).map(|i| places[i]), places.get(after)) {
            (Some(left), Some(right)) => {
                let share = (units - left.0) / (right.0 - left.0).max(1e-9);
                left.1 + share * (right.1 - left.1)
            }
            (None, Some(edge)) => edge.1,
            (Some(edge), None) => edge.1,
            (None, None) => 0.0,
        }
    });
    settle(&mut shape);
    shape
}

/// Where a curve falls to a level, units; none where it starts below or never does.
fn reached(shape: &Shape, level: f64) -> Option<f64> {
    if shape[0] < level - 1e-9 {
        return None;
    }
    let after = shape.iter().position(|&t| t <= level + 1e-9)?;
    let Some(before) = after.checked_sub(1) else { return Some(1.0) };
    let drop = shape[before] - shape[after];
    let share = if drop > 0.0 { ((shape[before] - level) / drop).clamp(0.0, 1.0) } else { 0.0 };
    Some(after as f64 + share)
}

/// How many parts of a drop are moved each by itself.
const PARTS: usize = 24;

/// Interpolates where the drops of time happen, part by part (the quantile function of the drops).
fn transport(low: &Shape, high: &Shape, share: f64) -> Shape {
    let (from, to) = (drops(low), drops(high));
    let place: [f64; PARTS] = std::array::from_fn(|q| (from[q].ln() + share * (to[q] / from[q]).ln()).exp());
    let lerp = |x: f64, y: f64| x + share * (y - x);
    let end = lerp(low[FULL], high[FULL]);
    let drop = lerp(low[0] - low[FULL], high[0] - high[FULL]).max(0.0);
    std::array::from_fn(|i| {
        let units = (i + 1) as f64;
        // A part that falls within one unit before this one has fallen in proportion.
        let left: f64 = place.iter().map(|&at| (at - units).clamp(0.0, 1.0)).sum();
        end + drop * left / PARTS as f64
    })
}

/// Where each part of the drop has happened, units.
fn drops(shape: &Shape) -> [f64; PARTS] {
    let whole = shape[0] - shape[FULL];
    std::array::from_fn(|q| {
        let level = shape[0] - whole * (q as f64 + 0.5) / PARTS as f64;
        let after = shape.iter().position(|&t| t <= level).unwrap_or(FULL).max(1);
        let (before, then) = (shape[after - 1], shape[after]);
        let share = if before > then { ((before - level) / (before - then)).clamp(0.0, 1.0) } else { 0.0 };
        after as f64 + share
    })
}

/// Where nothing but points at this size is known: what they allow.
pub fn own_candidates(own: &[Point]) -> [Shape; CANDIDATES] {
    let logarithmic = join(own);
    let grid = |f: &dyn Fn(Point, Point, f64) -> f64| -> Shape {
        let mut shape: Shape = std::array::from_fn(|i| {
            let units = (i + 1) as f64;
            let after = own.partition_point(|p| p.0 < units);
            match (after.checked_sub(1).map(|i| own[i]), own.get(after)) {
                (Some(left), Some(&right)) => f(left, right, units),
                (None, Some(edge)) => edge.1,
                (Some(edge), None) => edge.1,
                (None, None) => 0.0,
            }
        });
        settle(&mut shape);
        shape
    };
    let linear = grid(&|left, right, units| {
        let share = (units - left.0) / (right.0 - left.0);
        (left.1.exp() * (1.0 - share) + right.1.exp() * share).ln()
    });
    let early = grid(&|left, right, units| if units > left.0 { right.1 } else { left.1 });
    let late = grid(&|left, right, units| if units < right.0 { left.1 } else { right.1 });
    // Bent like a hyperbola: most of the drop at once.
    let bent = grid(&|left, right, units| {
        let share = (1.0 / left.0 - 1.0 / units) / (1.0 / left.0 - 1.0 / right.0);
        left.1 + share * (right.1 - left.1)
    });
    let square = grid(&|left, right, units| {
        let share = (units - left.0) / (right.0 - left.0);
        left.1 + share.powi(2) * (right.1 - left.1)
    });
    let root = grid(&|left, right, units| {
        let share = (units - left.0) / (right.0 - left.0);
        left.1 + share.sqrt() * (right.1 - left.1)
    });
    let straight = grid(&|left, right, units| {
        let share = (units - left.0) / (right.0 - left.0);
        left.1 + share * (right.1 - left.1)
    });
    [straight, logarithmic, linear, early, late, bent, square, root, straight]
}

#[cfg(test)]
mod tests {
    use super::super::shape::GOOD_ENOUGH;
    use super::*;

    #[test]
    fn sparse_sizes_are_filled_with_the_last_candidate_of_the_others() {
        let seen = |size: f64| {
            let point = |units: f64| (units, size + if units < 2.0 * size { 1.0 } else { 0.1 / units });
            Seen { size, points: [1.0, 3.0, 6.0, 20.0].map(point).to_vec() }
        };
        let startup = [-1.0; GRID];
        for startup in [None, Some(&startup)] {
            let known = Known::new(
                [1.0, 2.0, 3.5, 5.0].map(seen).to_vec(),
                startup.map_or(&[][..], std::slice::from_ref),
            );
            for size in [1.0, 2.0, 3.5, 5.0] {
                let all = Candidates::new(&known.without_size(size), size, GOOD_ENOUGH);
                assert_eq!(known.said_by_others(size), all.map(|all| all.curves[CANDIDATES - 1]), "{size}");
            }
        }
    }
}
