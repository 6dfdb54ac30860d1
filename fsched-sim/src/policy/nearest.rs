//! The nearest known input size, the least booked cache.

use std::collections::{BTreeMap, BTreeSet};

use fsched_core::cache::Ways;
use fsched_core::cluster::ClusterView;
use fsched_core::function::InputSize;
use fsched_core::id::FunctionId;
use fsched_core::predictor::{Bench, InterpolatingPredictor, Prediction, Predictor};
use fsched_core::sample::Sample;
use fsched_core::scheduler::{PlaceError, Placement, Request, Scheduler, WaysFor};

/// Says of an input what was seen at the nearest input size that was benchmarked, on a logarithmic scale.
#[derive(Debug, Default)]
pub struct Nearest {
    inner: InterpolatingPredictor,
    benchmarked: BTreeMap<FunctionId, BTreeSet<InputSize>>,
}

/// The most sizes of a function that are looked at.
const MOST: usize = 64;

impl Predictor for Nearest {
    fn observe(&mut self, sample: &Sample) {
        let sizes = self.benchmarked.entry(sample.function).or_default();
        if sample.benchmark && sizes.len() < MOST {
            sizes.insert(sample.input_size);
        }
        self.inner.observe(sample);
    }

    fn forget(&mut self, function: FunctionId) {
        self.benchmarked.remove(&function);
        self.inner.forget(function);
    }

    fn predict(&self, function: FunctionId, input_size: InputSize) -> Prediction {
        let asked = self.inner.predict(function, input_size);
        let far = |size: &InputSize| {
            let ratio = (size.0.max(1) as f64 / input_size.0.max(1) as f64).ln().abs();
            ratio.to_bits()
        };
        let sizes = self.benchmarked.get(&function);
        match sizes.and_then(|sizes| sizes.iter().min_by_key(|size| far(size))) {
            Some(&size) => Prediction { knowledge: asked.knowledge, ..self.inner.predict(function, size) },
            None => asked,
        }
    }

    fn next_probe(&self, function: FunctionId, input_size: InputSize, bench: &Bench<'_>) -> Option<Ways> {
        self.inner.next_probe(function, input_size, bench)
    }
}

/// The domain of whose cache the fewest ways are asked for; of those the one with the most free cores.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeastStressed {}

impl Scheduler for LeastStressed {
    fn place(
        &mut self,
        request: &Request<'_>,
        ways: WaysFor<'_>,
        view: &ClusterView,
    ) -> Result<Placement, PlaceError> {
        let stress = |room: &fsched_core::scheduler::Room<'_>| {
            let asked = room.domain.asked_shared + u32::from(room.domain.reserved_exclusive);
            (asked, u16::MAX - room.domain.free_cores())
        };
        let best = request.rooms(ways, view).min_by_key(stress);
        best.map(|room| room.placement(room.ways)).ok_or_else(|| request.refusal(view))
    }
}

#[cfg(test)]
mod tests {
    use fsched_core::{predictor, scheduler};

    use super::*;

    #[test]
    fn both_keep_their_contracts() {
        predictor::conformance::check(Nearest::default);
        scheduler::conformance::check(LeastStressed::default);
    }
}
