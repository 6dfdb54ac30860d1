//! Always the curves it was given.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cache::Ways;
use crate::curve::{Curve, Provenance};
use crate::function::InputSize;
use crate::id::FunctionId;
use crate::predictor::{Bench, Prediction, Predictor, Sightings, probe};
use crate::sample::Sample;

/// Always the curves it was given: for functions whose curves are known from elsewhere, for tests, and
/// as the template for a predictor of your own.
#[derive(Debug, Clone)]
pub struct FixedPredictor {
    default: Arc<Curve>,
    functions: BTreeMap<FunctionId, Arc<Curve>>,
    sizes: BTreeMap<(FunctionId, InputSize), Arc<Curve>>,
    sightings: Sightings,
}

impl FixedPredictor {
    /// Predicts `default` for every function.
    pub fn new(default: impl Into<Arc<Curve>>) -> Self {
        Self {
            default: default.into(),
            functions: BTreeMap::new(),
            sizes: BTreeMap::new(),
            sightings: Sightings::default(),
        }
    }

    /// Predicts `curve` for one function, whatever the input size.
    #[must_use]
    pub fn with_function(mut self, function: FunctionId, curve: impl Into<Arc<Curve>>) -> Self {
        self.functions.insert(function, curve.into());
        self
    }

    /// Predicts `curve` for one function at one input size.
    #[must_use]
    pub fn with_size(
        mut self,
        function: FunctionId,
        input_size: InputSize,
        curve: impl Into<Arc<Curve>>,
    ) -> Self {
        self.sizes.insert((function, input_size), curve.into());
        self
    }
}

impl Default for FixedPredictor {
    /// A second, give or take a factor of a thousand, whatever the cache.
    fn default() -> Self {
        Self::new(Curve::flat(1.0, 1e3, Provenance::Prior))
    }
}

impl Predictor for FixedPredictor {
    fn observe(&mut self, sample: &Sample) {
        self.sightings.observe(sample);
    }

    fn forget(&mut self, function: FunctionId) {
        self.sightings.forget(function);
    }

    fn predict(&self, function: FunctionId, input_size: InputSize) -> Prediction {
        let own = self.sizes.get(&(function, input_size)).or_else(|| self.functions.get(&function));
        let knowledge = self.sightings.knowledge(function, input_size);
        Prediction::new(knowledge, Arc::clone(own.unwrap_or(&self.default)))
    }

    /// There is nothing to learn: one run shows that the function works.
    fn next_probe(&self, _: FunctionId, _: InputSize, bench: &Bench<'_>) -> Option<Ways> {
        probe::whole(bench)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_curve_is_predicted() {
        let flat = |seconds| Curve::flat(seconds, 1.0, Provenance::Simulated);
        let predictor = FixedPredictor::new(flat(1.0)).with_function(FunctionId(1), flat(2.0)).with_size(
            FunctionId(1),
            InputSize(8),
            flat(3.0),
        );
        let predict = |function, size| predictor.predict(FunctionId(function), InputSize(size)).curve;
        assert_eq!(*predict(1, 8), flat(3.0));
        assert_eq!(*predict(1, 9), flat(2.0));
        assert_eq!(*predict(2, 8), flat(1.0));
    }
}
