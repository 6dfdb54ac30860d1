//! A predictor that knows, or errs by a known factor.

use std::sync::Arc;

use fsched_core::cache::Ways;
use fsched_core::function::InputSize;
use fsched_core::id::FunctionId;
use fsched_core::predictor::{Bench, Prediction, Predictor, Sightings};
use fsched_core::sample::Sample;

use crate::SimFunction;
use crate::random::Random;

/// Predicts what functions really do, or errs by a factor that is another for each function and always the same.
#[derive(Debug, Clone)]
pub struct Oracle {
    /// By number: the function `f-(n + 1)`.
    functions: Arc<[SimFunction]>,
    errors: Vec<f64>,
    sightings: Sightings,
}

impl Oracle {
    /// Knows `functions`, pushed in this order to a new master, and errs by up to `error` either way (1: it never errs).
    pub fn new(functions: Arc<[SimFunction]>, error: f64, mut random: Random) -> Self {
        let spread = error.max(1.0).ln();
        let errors = functions.iter().map(|_| ((random.unit() * 2.0 - 1.0) * spread).exp()).collect();
        Self { functions, errors, sightings: Sightings::default() }
    }
}

impl Predictor for Oracle {
    fn observe(&mut self, sample: &Sample) {
        self.sightings.observe(sample);
    }

    fn forget(&mut self, function: FunctionId) {
        self.sightings.forget(function);
    }

    fn predict(&self, function: FunctionId, input_size: InputSize) -> Prediction {
        let number = (function.0 as usize).saturating_sub(1).min(self.functions.len() - 1);
        let curve = self.functions[number].times(input_size, self.errors[number]);
        Prediction::new(self.sightings.knowledge(function, input_size), curve)
    }

    fn next_probe(&self, _: FunctionId, _: InputSize, bench: &Bench<'_>) -> Option<Ways> {
        (bench.done.is_empty() && bench.budget > 0).then(|| bench.geometry.usable_ways())
    }
}

#[cfg(test)]
mod tests {
    use fsched_core::curve::{Curve, Provenance};

    use super::*;

    #[test]
    fn it_keeps_the_contract() {
        let functions: Arc<[SimFunction]> =
            vec![SimFunction::new("one", Curve::flat(1.0, 1.0, Provenance::Measured))].into();
        fsched_core::predictor::conformance::check(|| {
            Oracle::new(Arc::clone(&functions), 3.0, Random::new(1))
        });
    }
}
