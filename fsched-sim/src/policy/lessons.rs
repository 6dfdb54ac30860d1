//! What predictors are taught before a simulation begins: as by benchmarks on an idle machine.

use std::time::Duration;

use fsched_core::cache::{CacheGeometry, Ways};
use fsched_core::function::InputSize;
use fsched_core::id::{FunctionId, WorkerId};
use fsched_core::predictor::{Bench, Predictor};
use fsched_core::sample::{Origin, Sample, Segment};

use crate::SimFunction;

/// How a benchmark is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lessons<'a> {
    /// At how many input sizes of each function.
    pub(crate) sizes: usize,
    /// At how many way counts of each at most.
    pub(crate) points: usize,
    /// How often each.
    pub(crate) repeats: usize,
    /// On which cache.
    pub(crate) geometry: &'a CacheGeometry,
    /// Whether masks are enforced there.
    pub(crate) enforced: bool,
}

/// Benchmarks every function; it is the predictor that chooses the way counts. There is no noise, and time is free.
pub(crate) fn teach(predictor: &mut dyn Predictor, functions: &[SimFunction], lessons: &Lessons<'_>) {
    for (number, function) in functions.iter().enumerate() {
        let id = FunctionId(number as u64 + 1);
        for size in spread(function, lessons.sizes) {
            let curve = function.times(size, 1.0);
            let mut done: Vec<Ways> = Vec::new();
            while done.len() < lessons.points {
                let bench = Bench {
                    geometry: lessons.geometry,
                    enforced: lessons.enforced,
                    done: &done,
                    budget: lessons.points,
                };
                let Some(ways) = predictor.next_probe(id, size, &bench) else { break };
                let seconds = curve.seconds(lessons.geometry, ways);
                let duration = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
                let segment = Segment { cache: lessons.geometry.bytes(ways), duration };
                for _ in 0..lessons.repeats {
                    predictor.observe(&Sample {
                        function: id,
                        input_size: size,
                        segments: vec![segment],
                        worker: WorkerId(1),
                        enforced: lessons.enforced,
                        co_runners: 0,
                        benchmark: true,
                        origin: Origin::Run,
                    });
                }
                done.push(ways);
            }
        }
    }
}

/// So many of a function's input sizes, from the first to the last; the middle one, where it is one.
fn spread(function: &SimFunction, count: usize) -> Vec<InputSize> {
    let known = &function.curves;
    let last = known.len() - 1;
    let mut places: Vec<usize> = match count {
        0 => Vec::new(),
        1 => vec![last / 2],
        n => (0..n).map(|i| i * last / (n - 1)).collect(),
    };
    places.dedup();
    places.into_iter().map(|place| known[place].0).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fsched_core::cache::{Bytes, CacheDomain};
    use fsched_core::curve::{Curve, CurvePoint, Provenance};
    use fsched_core::predictor::{InterpolatingPredictor, Knowledge};

    use super::*;

    #[test]
    fn a_predictor_knows_the_sizes_it_was_taught() {
        let point =
            |mib, seconds| CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds };
        let curve = Curve::new(vec![point(3, 2.0), point(4, 1.0)], Provenance::Simulated).unwrap();
        let mut function = SimFunction::new("f", curve.clone());
        function.curves =
            [10, 20, 40].into_iter().map(|size| (InputSize(size), Arc::new(curve.clone()))).collect();
        let geometry = CacheDomain::nominal(1, Ways::clamped(8), Bytes::mib(1)).geometry;
        for (sizes, expected) in [(0, vec![]), (1, vec![20]), (2, vec![10, 40]), (7, vec![10, 20, 40])] {
            let expected: Vec<InputSize> = expected.into_iter().map(InputSize).collect();
            let mut predictor = InterpolatingPredictor::default();
            let lessons = Lessons { sizes, points: 6, repeats: 2, geometry: &geometry, enforced: true };
            teach(&mut predictor, std::slice::from_ref(&function), &lessons);
            for size in [10, 20, 40].map(InputSize) {
                let knows = predictor.predict(FunctionId(1), size).knowledge == Knowledge::Benchmarked;
                assert_eq!(knows, expected.contains(&size), "{sizes} sizes, {size}");
            }
            if let Some(&size) = expected.first() {
                let curve = predictor.predict(FunctionId(1), size).curve;
                let at = |ways| curve.seconds(&geometry, Ways::clamped(ways));
                assert!(at(3) > 1.9 && at(4) < 1.1, "the cliff is found: {curve:?}");
            }
        }
    }
}
