//! Which start-up a function has, by what others in its runtime show.

use super::shape::{FULL, Point, Shape, read};

/// By how much a start-up curve may lie above the smallest run that holds it, as a logarithm: the smallest runs of functions that
/// load the same differ by a few percent.
const HELD: f64 = 0.1;
/// How far the smallest runs of functions that load the same lie apart at most, at any cache, as a logarithm.
const ALIKE: f64 = 0.3;

/// Which of some curves is the start-up of a function of whose smallest run some points are known.
///
/// Of the curves that it can hold the slowest tells what is loaded, and of those that load the same the fastest holds the least of
/// other work. Where it can hold none: the fastest.
pub fn startup(smallest: &[Point], startups: &[Shape]) -> Option<Shape> {
    let by_time = |a: &&Shape, b: &&Shape| a[FULL].total_cmp(&b[FULL]);
    // Only where something is known: beyond its points a curve is taken to be flat, and it is not.
    let held = |startup: &&Shape| smallest.iter().all(|&(units, t)| read(startup, units) <= t + HELD);
    let slowest = startups.iter().filter(held).max_by(by_time);
    let alike = |other: &&Shape| {
        slowest.is_none_or(|slowest| other.iter().zip(slowest).all(|(s, t)| (s - t).abs() <= ALIKE))
    };
    startups.iter().filter(alike).min_by(by_time).copied()
}

#[cfg(test)]
mod tests {
    use super::super::shape::GRID;
    use super::*;

    /// Milliseconds, more with little cache where something large is loaded.
    fn shape(time: f64, large: bool) -> Shape {
        std::array::from_fn(|i| (time * if large { 1.0 + 2.0 / (i + 1) as f64 } else { 1.0 }).ln())
    }

    fn chosen(smallest: &Shape, ways: &[usize], startups: &[Shape]) -> Option<usize> {
        let points: Vec<Point> = ways.iter().map(|&w| (w as f64, smallest[w - 1])).collect();
        let chosen = startup(&points, startups)?;
        startups.iter().position(|s| *s == chosen)
    }

    #[test]
    fn the_fastest_of_those_that_load_what_the_slowest_that_it_holds_does_is_taken() {
        let others = [shape(40.0, false), shape(90.0, false), shape(105.0, true), shape(100.0, true)];
        let all: Vec<usize> = (1..=GRID).collect();
        assert_eq!(chosen(&shape(200.0, true), &all, &others), Some(3), "with the library");
        assert_eq!(chosen(&shape(97.0, true), &all, &others), Some(3), "a few percent do not matter");
        assert_eq!(
            chosen(&shape(97.0, false), &all, &others),
            Some(1),
            "it is too fast with few ways to load it"
        );
        assert_eq!(chosen(&shape(50.0, false), &all, &others), Some(0));
        assert_eq!(chosen(&shape(10.0, false), &all, &others), Some(0), "the fastest where it holds none");
        assert_eq!(chosen(&shape(10.0, false), &all, &[]), None);
    }

    #[test]
    fn what_is_not_known_of_the_smallest_run_excludes_nothing() {
        let others = [shape(40.0, false), shape(100.0, true)];
        assert_eq!(chosen(&shape(101.0, true), &[5, 20], &others), Some(1));
        assert_eq!(chosen(&shape(101.0, true), &[GRID], &others), Some(1));
    }
}
