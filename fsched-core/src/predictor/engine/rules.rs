//! The simple rules that a learnt predictor has to beat.

use std::time::Duration;

use super::candidates::{Candidates, Known, own_candidates};
use super::shape::{GOOD_ENOUGH, GRID, Point, Shape};
use super::tasks::Trial;
use crate::cache::Bytes;
use crate::function::InputSize;
use crate::id::{FunctionId, WorkerId};
use crate::predictor::{AsymptoticPredictor, InterpolatingPredictor, Predictor};
use crate::sample::{Origin, Sample, Segment};

/// What every rule says to a trial.
pub fn rules(trial: &Trial, known: &Known) -> Vec<(&'static str, Shape)> {
    let mut said = Vec::new();
    match Candidates::new(known, (trial.input_size as f64).ln(), GOOD_ENOUGH) {
        Some(mut others) => {
            if !trial.own.is_empty() {
                others.correct(&trial.own);
            }
            let [nearest, fixed, shift, ..] = others.curves;
            said.extend([("nearest_size", nearest), ("log_log", fixed), ("shift", shift)]);
        }
        None => said.push(("isotonic", own_candidates(&trial.own)[0])),
    }
    said.push(("interpolating", taught(InterpolatingPredictor::default(), trial)));
    said.push(("asymptotic", taught(AsymptoticPredictor::default(), trial)));
    said
}

/// What a predictor says that was shown what the trial says is known.
fn taught(mut predictor: impl Predictor, trial: &Trial) -> Shape {
    let mut show = |size: u64, points: &[Point]| {
        for &(units, t) in points {
            let cache = Bytes::mib(units as u64);
            predictor.observe(&Sample {
                function: FunctionId(1),
                input_size: InputSize(size),
                segments: vec![Segment { cache, duration: Duration::from_secs_f64(t.exp()) }],
                worker: WorkerId(1),
                enforced: true,
                co_runners: 0,
                benchmark: true,
                origin: Origin::Run,
            });
        }
    };
    for seen in &trial.others {
        show(seen.size.exp().round() as u64, &seen.points);
    }
    show(trial.input_size, &trial.own);
    let curve = predictor.predict(FunctionId(1), InputSize(trial.input_size)).curve;
    let mut shape: Shape = std::array::from_fn(|i| curve.at(Bytes::mib((i + 1) as u64)).seconds.ln());
    debug_assert!(shape.len() == GRID);
    super::shape::settle(&mut shape);
    shape
}
