//! What one prediction costs: `cargo bench -p fsched-core --bench predict`.

use std::time::Duration;

use divan::{Bencher, black_box};
use fsched_core::cache::Bytes;
use fsched_core::function::{Function, FunctionSpec, InputSize, Needs};
use fsched_core::id::{ContentHash, FunctionId, WorkerId};
use fsched_core::predictor::engine::dataset::{Dataset, runtime};
use fsched_core::predictor::{MlpPredictor, Predictor};
use fsched_core::sample::{Origin, Sample, Segment};
use fsched_core::tenant::Tenant;
use fsched_core::time::Timestamp;

fn main() {
    divan::main();
}

/// A predictor that has seen whole curves of all functions of this project's own.
fn taught() -> MlpPredictor {
    let dataset = Dataset::parse(Dataset::OWN, &["est_time_s".to_owned()]).expect("our own curves");
    let mut predictor = MlpPredictor::default();
    for (i, function) in dataset.columns["est_time_s"].iter().enumerate() {
        for (size, shape) in &function.curves {
            for (k, t) in shape.iter().enumerate() {
                predictor.observe(&sample(i as u64, *size, k as u64 + 1, t.exp()));
            }
        }
    }
    predictor
}

fn sample(function: u64, size: u64, mib: u64, seconds: f64) -> Sample {
    Sample {
        function: FunctionId(function),
        input_size: InputSize(size),
        segments: vec![Segment { cache: Bytes::mib(mib), duration: Duration::from_secs_f64(seconds) }],
        worker: WorkerId(1),
        enforced: true,
        co_runners: 0,
        benchmark: true,
        origin: Origin::Run,
    }
}

/// The function's curve at this size was asked for before.
#[divan::bench]
fn cached(bencher: Bencher<'_, '_>) {
    let predictor = taught();
    bencher.bench_local(|| predictor.predict(black_box(FunctionId(5)), black_box(InputSize(70_000))));
}

/// An input size never asked for, of a function with seven known sizes: candidates, features, forward pass, curve.
#[divan::bench]
fn not_cached(bencher: Bencher<'_, '_>) {
    let predictor = taught();
    let mut size = 20_000;
    bencher.bench_local(|| {
        size += 1;
        predictor.predict(black_box(FunctionId(3)), black_box(InputSize(size)))
    });
}

/// The same of an interpreted function with four known sizes, others telling its start-up.
#[divan::bench]
fn not_cached_interpreted(bencher: Bencher<'_, '_>) {
    let mut predictor = taught();
    let dataset = Dataset::parse(Dataset::OWN, &["est_time_s".to_owned()]).expect("our own curves");
    let functions = &dataset.columns["est_time_s"];
    let interpreted = |place: &usize| runtime(&functions[*place].name).is_some();
    let interpreted: Vec<usize> = (0..functions.len()).filter(interpreted).collect();
    for &place in &interpreted {
        predictor.introduce(&pushed(place as u64, &functions[place].name));
    }
    let id = FunctionId(interpreted[0] as u64);
    let mut size = functions[interpreted[0]].curves[1].0;
    bencher.bench_local(|| {
        size += 1;
        predictor.predict(black_box(id), black_box(InputSize(size)))
    });
}

fn pushed(id: u64, name: &str) -> Function {
    Function {
        id: FunctionId(id),
        version: 1,
        spec: FunctionSpec {
            tenant: Tenant::default(),
            name: name.parse().expect("a name"),
            file: ContentHash([0; 32]),
            file_size: Bytes(1),
            command: Some("python3".parse().expect("a command")),
            needs: Needs::default(),
            timeout: Duration::from_secs(1),
        },
        pushed_at: Timestamp(0),
    }
}

/// Learning from a run that says nothing new.
#[divan::bench]
fn observe(bencher: Bencher<'_, '_>) {
    let mut predictor = taught();
    let run = Sample { benchmark: false, ..sample(3, 65_536, 4, 0.5) };
    bencher.bench_local(|| predictor.observe(black_box(&run)));
}
