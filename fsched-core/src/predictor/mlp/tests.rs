//! Tests of the default predictor.

use super::*;
use crate::cache::Bytes;
use crate::id::WorkerId;
use crate::predictor::Knowledge;
use crate::predictor::tests::{benchmark, geometry, run, unenforced};
use crate::sample::Segment;

const FUNCTION: FunctionId = FunctionId(1);

/// Time is proportional to input; a working set of `size / 1000` MiB that does not fit triples it.
fn cliff(size: u64, mib: u64) -> f64 {
    let factor = if mib * 1000 < size { 3.0 } else { 1.0 };
    factor * size as f64 / 1000.0
}

fn taught(samples: impl IntoIterator<Item = Sample>) -> MlpPredictor {
    let mut predictor = MlpPredictor::default();
    samples.into_iter().for_each(|sample| predictor.observe(&sample));
    predictor
}

fn cliffs(sizes: &[u64]) -> MlpPredictor {
    let runs = sizes.iter().flat_map(|&size| (1..=20).map(move |mib| (size, mib)));
    taught(runs.map(|(size, mib)| benchmark(1, size, mib, cliff(size, mib))))
}

fn curve_at(predictor: &MlpPredictor, size: u64) -> Arc<Curve> {
    predictor.predict(FUNCTION, InputSize(size)).curve
}

fn need(predictor: &MlpPredictor, size: u64) -> u8 {
    let prediction = predictor.predict(FUNCTION, InputSize(size));
    predictor.ways(&prediction, &geometry(20), 0.0).get()
}

#[test]
fn what_was_measured_is_predicted() {
    let predictor = cliffs(&[4000, 8000]);
    let curve = curve_at(&predictor, 8000);
    assert_eq!(curve.provenance(), Provenance::Measured);
    for mib in 1..=20 {
        let point = curve.at(Bytes::mib(mib));
        assert!((point.seconds / cliff(8000, mib) - 1.0).abs() < 1e-6, "{mib}: {point:?}");
    }
    assert_eq!(need(&predictor, 8000), 8);
}

#[test]
fn a_cliff_moves_with_the_input_size() {
    let predictor = cliffs(&[2000, 4000, 8000, 16_000]);
    for (size, ways) in [(3000, 3), (6000, 6), (12_000, 12)] {
        let prediction = predictor.predict(FUNCTION, InputSize(size));
        assert_eq!(prediction.knowledge, Knowledge::Assisted);
        assert!(
            need(&predictor, size).abs_diff(ways) <= 1,
            "{size}: {} is not about {ways}",
            need(&predictor, size)
        );
    }
}

#[test]
fn nothing_is_known_of_a_function_never_seen_and_little_after_one_whole_run() {
    let mut predictor = MlpPredictor::default();
    let unknown = curve_at(&predictor, 8).at(Bytes::mib(4));
    assert!(unknown.high / unknown.low > 1e4);
    predictor.observe(&unenforced(1, 8, 20, 2.0));
    let curve = curve_at(&predictor, 8);
    assert_eq!(curve.provenance(), Provenance::Prior);
    assert!((curve.at(Bytes::mib(20)).seconds / 2.0 - 1.0).abs() < 1e-6);
    assert!(need(&predictor, 8) >= 8, "of an unknown function many ways are asked for");
}

#[test]
fn a_benchmark_pins_the_answer_down_within_its_budget() {
    for answer in 1..=20 {
        let mut predictor = MlpPredictor::default();
        let (mut done, geometry) = (Vec::new(), geometry(20));
        while let Some(ways) = predictor.next_probe(
            FUNCTION,
            InputSize(1),
            &Bench { geometry: &geometry, enforced: true, done: &done, budget: 7 },
        ) {
            done.push(ways);
            let seconds = if ways.get() < answer { 2.0 } else { 1.0 };
            predictor.observe(&benchmark(1, 1, u64::from(ways.get()), seconds));
        }
        assert_eq!(need(&predictor, 1), answer, "after {done:?}");
    }
}

#[test]
fn other_sizes_tell_a_benchmark_where_to_look() {
    let mut predictor = cliffs(&[2000, 4000, 8000, 16_000]);
    let (mut done, geometry) = (Vec::new(), geometry(20));
    while let Some(ways) = predictor.next_probe(
        FUNCTION,
        InputSize(12_000),
        &Bench { geometry: &geometry, enforced: true, done: &done, budget: 20 },
    ) {
        done.push(ways);
        predictor.observe(&benchmark(1, 12_000, u64::from(ways.get()), cliff(12_000, u64::from(ways.get()))));
    }
    assert!(done.len() <= 4, "{done:?}");
    assert_eq!(need(&predictor, 12_000), 12);
}

#[test]
fn one_outlier_changes_little() {
    let mut predictor = cliffs(&[8000]);
    (0..3).for_each(|_| predictor.observe(&benchmark(1, 8000, 10, 8.0)));
    predictor.observe(&run(1, 8000, 10, 800.0));
    let at = curve_at(&predictor, 8000).at(Bytes::mib(10)).seconds;
    assert!((at / 8.0 - 1.0).abs() < 0.01, "{at}");
}

#[test]
fn a_function_that_changed_is_learnt_anew_within_eight_runs_at_one_cache() {
    let mut predictor = cliffs(&[8000]);
    for _ in 0..8 {
        predictor.observe(&run(1, 8000, 20, 4.0));
    }
    let at = curve_at(&predictor, 8000).at(Bytes::mib(20)).seconds;
    assert!((at / 4.0 - 1.0).abs() < 0.01, "{at}");
}

/// Runs of 8 s that scatter by 4 %, `factor` times as long.
fn scattered(predictor: &mut MlpPredictor, runs: u32, factor: f64) {
    for i in 0..runs {
        predictor.observe(&run(1, 8000, 20, factor * 8.0 * (0.96 + 0.02 * f64::from(i % 5))));
    }
}

#[test]
fn a_curve_stays_while_runs_scatter_as_before_and_follows_them_where_they_go() {
    let mut predictor = taught([]);
    scattered(&mut predictor, 40, 1.0);
    let before = curve_at(&predictor, 8000);
    scattered(&mut predictor, 40, 1.0);
    assert!(Arc::ptr_eq(&before, &curve_at(&predictor, 8000)), "drawn anew for nothing");
    scattered(&mut predictor, 40, 1.1);
    let at = curve_at(&predictor, 8000).at(Bytes::mib(20)).seconds;
    assert!((at / 8.8 - 1.0).abs() < 0.03, "{at}");
}

#[test]
fn a_slower_worker_does_not_make_a_function_slower() {
    let mut predictor = cliffs(&[8000]);
    for i in 0..40 {
        let (worker, seconds) = if i % 2 == 0 { (1, 8.0) } else { (2, 16.0) };
        predictor.observe(&Sample { worker: WorkerId(worker), ..run(1, 8000, 20, seconds) });
    }
    let at = curve_at(&predictor, 8000).at(Bytes::mib(20)).seconds;
    assert!((at / 8.0 - 1.0).abs() < 0.05, "{at}");
}

#[test]
fn a_run_whose_mask_moved_is_a_sample_too() {
    let mut predictor = cliffs(&[8000]);
    // Half of the work at 20 MiB, half at 4 MiB, and all of it half as fast as it was.
    let segment = |mib, seconds| Segment {
        cache: Bytes::mib(mib),
        duration: std::time::Duration::from_secs_f64(seconds),
    };
    for _ in 0..12 {
        let sample = Sample { segments: vec![segment(20, 8.0), segment(4, 24.0)], ..run(1, 8000, 4, 1.0) };
        predictor.observe(&sample);
    }
    let at = curve_at(&predictor, 8000).at(Bytes::mib(4)).seconds;
    assert!(at > 30.0, "it takes 48 s there now, and this much was learnt: {at}");
}

#[test]
fn a_model_that_does_not_exist_is_an_error_that_names_it() {
    let config = MlpConfig { model: Some("/nonexistent/model".into()), ..MlpConfig::default() };
    let error = MlpPredictor::from_config(&config).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/model"), "{error}");
}

#[test]
fn single_runs_at_other_sizes_tell_how_a_working_set_moves() {
    // Benchmarked at one size; its working set stays the same whatever the input, as few functions' do.
    let seconds = |size: u64, mib: u64| if mib < 6 { 2.5 } else { 1.0 } * size as f64 / 1000.0;
    let mut predictor = taught([1, 2, 5, 6, 12, 20].map(|mib| benchmark(1, 1000, mib, seconds(1000, mib))));
    let slow = |predictor: &MlpPredictor, mib| {
        let curve = curve_at(predictor, 3000);
        curve.at(Bytes::mib(mib)).seconds / curve.at(Bytes::mib(20)).seconds
    };
    assert!(slow(&predictor, 8) > 1.5, "as working sets do, this one is thought to grow");
    for (size, mib) in [(2000, 4), (2300, 7), (2600, 9), (3500, 5), (3800, 8), (4200, 3), (2800, 6)] {
        predictor.observe(&run(1, size, mib, seconds(size, mib)));
    }
    assert!(slow(&predictor, 8) < 1.2, "{}", slow(&predictor, 8));
    assert!(slow(&predictor, 4) > 1.8, "{}", slow(&predictor, 4));
}

#[test]
fn a_run_whose_mask_moved_at_a_size_never_seen_is_a_sample_too() {
    let mut predictor = cliffs(&[4000, 16_000]);
    let before = curve_at(&predictor, 8000).at(Bytes::mib(20)).seconds;
    let segment = |mib, seconds| Segment {
        cache: Bytes::mib(mib),
        duration: std::time::Duration::from_secs_f64(seconds),
    };
    // Twice as slow as expected, with 14 MiB and with 18.
    let sample = Sample { segments: vec![segment(14, before), segment(18, before)], ..run(1, 8000, 4, 1.0) };
    predictor.observe(&sample);
    let after = curve_at(&predictor, 8000).at(Bytes::mib(16)).seconds;
    assert!(after > 1.3 * before, "{before} {after}");
}

#[test]
fn caches_that_a_function_was_not_seen_with_say_nothing_about_a_worker() {
    let mut predictor = cliffs(&[8000]);
    // The second worker happens to get enough cache, always.
    for size in [3000, 3500, 4500, 5000, 5500, 6000] {
        predictor.observe(&run(1, size, 1, cliff(size, 1)));
        predictor.observe(&Sample { worker: WorkerId(2), ..run(1, size, 10, cliff(size, 10)) });
    }
    let curve = curve_at(&predictor, 5000);
    let slow = curve.at(Bytes::mib(1)).seconds / curve.at(Bytes::mib(10)).seconds;
    assert!(slow > 2.5, "it is not the second worker that is fast: {slow}");
}

#[test]
fn a_benchmark_shows_how_bad_it_gets_and_not_only_what_is_enough() {
    let mut predictor = MlpPredictor::default();
    let (mut done, geometry) = (Vec::new(), geometry(20));
    let seconds = |ways: u8| 1.0 + 10.0 / f64::from(ways);
    while let Some(ways) = predictor.next_probe(
        FUNCTION,
        InputSize(1),
        &Bench { geometry: &geometry, enforced: true, done: &done, budget: 6 },
    ) {
        done.push(ways);
        predictor.observe(&benchmark(1, 1, u64::from(ways.get()), seconds(ways.get())));
    }
    assert!(done.contains(&Ways::ONE), "{done:?}");
}

/// A function as it is pushed.
fn pushed(id: u64, name: &str, command: &str) -> PushedFunction {
    PushedFunction {
        id: FunctionId(id),
        version: 1,
        spec: crate::function::FunctionSpec {
            tenant: Default::default(),
            name: name.parse().unwrap(),
            file: crate::id::ContentHash([0; 32]),
            file_size: Bytes(1),
            command: Some(command.parse().unwrap()),
            needs: Default::default(),
            timeout: std::time::Duration::from_secs(1),
        },
        pushed_at: crate::time::Timestamp(0),
    }
}

/// Half a second of start-up, and a second for every thousand of input.
fn interpreted(id: u64, sizes: &[u64]) -> Vec<Sample> {
    let seconds = |size: u64, mib: u64| 0.5 + 0.1 / mib as f64 + cliff(size, mib);
    let runs = sizes.iter().flat_map(|&size| (1..=20).map(move |mib| (size, mib)));
    runs.map(|(size, mib)| benchmark(id, size, mib, seconds(size, mib))).collect()
}

#[test]
fn start_up_that_others_tell_of_does_not_shrink_with_the_input() {
    let mut predictor = MlpPredictor::default();
    let teach = |predictor: &mut MlpPredictor, samples: Vec<Sample>| {
        samples.iter().for_each(|sample| predictor.observe(sample));
    };
    predictor.introduce(&pushed(1, "mine.py", "python3"));
    teach(&mut predictor, interpreted(1, &[400, 800, 1600]));
    let whole = |predictor: &MlpPredictor| curve_at(predictor, 50).at(Bytes::mib(20)).seconds;
    let alone = whole(&predictor);
    assert!(alone < 0.45, "nobody says that half a second is start-up: {alone}");
    // A version of the same function says nothing about it, and neither does another runtime or another tenant's function.
    for (id, name, command) in
        [(2, "mine.py", "python3"), (3, "other.js", "node"), (5, "theirs.py", "python3")]
    {
        let mut function = pushed(id, name, command);
        if id == 5 {
            function.spec.tenant = "blue".parse().unwrap();
        }
        predictor.introduce(&function);
        teach(&mut predictor, interpreted(id, &[10, 20]));
        assert_eq!(whole(&predictor), alone, "{name}");
    }
    predictor.introduce(&pushed(4, "other.py", "/usr/bin/python3.11"));
    teach(&mut predictor, interpreted(4, &[10, 20]));
    let told = whole(&predictor);
    assert!((told / 0.555 - 1.0).abs() < 0.1, "{told}");
    predictor.forget(FunctionId(4));
    assert_eq!(whole(&predictor), alone, "what was removed tells nothing any more");
}

#[test]
fn start_up_is_told_the_same_whenever_a_function_is_introduced() {
    let functions = [pushed(1, "mine.py", "python3"), pushed(2, "other.py", "python3 -u")];
    let samples = [interpreted(1, &[400, 800]), interpreted(2, &[10, 20])].concat();
    let (mut before, mut after) = (MlpPredictor::default(), MlpPredictor::default());
    functions.iter().for_each(|function| before.introduce(function));
    for sample in &samples {
        before.observe(sample);
        before.predict(FUNCTION, InputSize(50));
        after.observe(sample);
    }
    assert_ne!(curve_at(&before, 50), curve_at(&after, 50));
    functions.iter().for_each(|function| after.introduce(function));
    for size in [50, 600, 3000] {
        assert_eq!(curve_at(&before, size), curve_at(&after, size), "at {size}");
    }
}
