//! A predictor of one's own: it will take as long as it took last time, whatever the cache. No profile says that.

use std::collections::BTreeMap;
use std::time::Duration;

use fsched_core::cache::{Bytes, Ways};
use fsched_core::curve::{Curve, Provenance};
use fsched_core::function::InputSize;
use fsched_core::id::{FunctionId, WorkerId};
use fsched_core::predictor::{Bench, Prediction, Predictor, Sightings, conformance};
use fsched_core::sample::Sample;

#[derive(Default)]
struct LastTime {
    seconds: BTreeMap<(FunctionId, InputSize), f64>,
    sightings: Sightings,
}

impl Predictor for LastTime {
    fn observe(&mut self, sample: &Sample) {
        self.sightings.observe(sample);
        let key = (sample.function, sample.input_size);
        let ran = sample.origin.is_run().then(|| sample.duration().as_secs_f64().max(1e-9));
        self.seconds.extend(ran.map(|seconds| (key, seconds)));
    }

    fn forget(&mut self, function: FunctionId) {
        self.sightings.forget(function);
        self.seconds.retain(|(of, _), _| *of != function);
    }

    fn predict(&self, function: FunctionId, input_size: InputSize) -> Prediction {
        let seen = self.seconds.range((function, InputSize(0))..=(function, InputSize(u64::MAX)));
        let nearest = seen.min_by_key(|((_, size), _)| size.0.abs_diff(input_size.0));
        let (seconds, factor) = nearest.map_or((1.0, 1000.0), |(_, &seconds)| (seconds, 2.0));
        let curve = Curve::flat(seconds, factor, Provenance::Prior);
        Prediction::new(self.sightings.knowledge(function, input_size), curve)
    }

    fn next_probe(&self, _: FunctionId, _: InputSize, bench: &Bench<'_>) -> Option<Ways> {
        let whole = bench.geometry.usable_ways();
        (bench.done.len() < bench.budget && !bench.done.contains(&whole)).then_some(whole)
    }
}

fn main() {
    let mut mine = LastTime::default();
    let (function, worker, cache, millis) =
        (FunctionId(1), WorkerId(1), Bytes::mib(8), Duration::from_millis);
    for (size, time) in [(100, 12), (200, 23), (400, 51)] {
        mine.observe(&Sample::unenforced(function, InputSize(size), worker, cache, millis(time)));
    }
    for size in [100, 190, 1000] {
        let Prediction { knowledge, curve, .. } = mine.predict(function, InputSize(size));
        println!("input size {size}: {knowledge:?}, {:.0} ms", curve.at(cache).seconds * 1e3);
    }
    conformance::check(LastTime::default);
    println!("It keeps the contract of a predictor.");
}
