//! The logarithm of time at every grid point.

/// How many cache sizes the grid has.
pub const GRID: usize = 20;

/// The grid point that stands for the whole cache.
pub const FULL: usize = GRID - 1;

/// How much slower than the best is still good enough, as a logarithm.
pub const GOOD_ENOUGH: f64 = 0.048_790_164_169_432;

/// A run at some number of units of cache: units, and the logarithm of seconds.
pub type Point = (f64, f64);

/// The logarithm of seconds at 1 to [`GRID`] units of cache; never rises.
pub type Shape = [f64; GRID];

/// What was seen of one input size.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The logarithm of the input size.
    pub size: f64,
    /// By rising cache, never rising in time; at least one.
    pub points: Vec<Point>,
}

/// The shape through some points: between them a line over the logarithm of cache, outside of them flat.
pub fn join(points: &[Point]) -> Shape {
    std::array::from_fn(|i| between(points, (i + 1) as f64))
}

/// The line through `points` at `units`.
pub fn between(points: &[Point], units: f64) -> f64 {
    let after = points.partition_point(|p| p.0 < units);
    match (after.checked_sub(1).map(|i| points[i]), points.get(after)) {
        (Some(left), Some(right)) => {
            let share = (units / left.0).ln() / (right.0 / left.0).ln();
            left.1 + share * (right.1 - left.1)
        }
        (None, Some(edge)) => edge.1,
        (Some(edge), None) => edge.1,
        (None, None) => 0.0,
    }
}

/// A shape read between its grid points; outside of them flat.
pub fn read(shape: &Shape, units: f64) -> f64 {
    if units <= 1.0 {
        return shape[0];
    }
    if units >= GRID as f64 {
        return shape[FULL];
    }
    // By way of a small number, which is the cheapest.
    let below = usize::from(units as u8);
    let share = units - below as f64;
    shape[below - 1] + share * (shape[below] - shape[below - 1])
}

/// The fewest units within `tolerance` (a logarithm) of the time with all; counted from 0.
pub fn need(shape: &Shape, tolerance: f64) -> usize {
    let bound = shape[FULL] + tolerance + 1e-12;
    shape.iter().position(|&t| t <= bound).unwrap_or(FULL)
}

/// Where the shape crosses `tolerance` above its end, between grid points; in units.
pub fn crossing(shape: &Shape, tolerance: f64) -> f64 {
    let bound = shape[FULL] + tolerance;
    let at = need(shape, tolerance);
    if at == 0 {
        return 1.0;
    }
    let (before, after) = (shape[at - 1], shape[at]);
    let share = if before > after { ((before - bound) / (before - after)).clamp(0.0, 1.0) } else { 1.0 };
    at as f64 + share
}

/// The same, made to never rise: each point at least as slow as all with more cache.
pub fn settle(shape: &mut Shape) {
    for i in (0..FULL).rev() {
        shape[i] = shape[i].max(shape[i + 1]);
    }
}
