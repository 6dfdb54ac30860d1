//! The contract of [`Predictor`] as a suite, for every implementation: one function per sentence.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::cache::{Bytes, CacheGeometry, Ways};
use crate::curve::{Curve, Provenance};
use crate::function::InputSize;
use crate::id::{FunctionId, WorkerId};
use crate::predictor::{Bench, Knowledge, Predictor};
use crate::sample::{Counts, Origin, Sample, Segment};

/// Checks all of the contract on predictors that `make` makes, each knowing nothing.
///
/// # Panics
/// Where a sentence does not hold; names it.
pub fn check<P: Predictor>(make: impl Fn() -> P) {
    answers_with_a_sound_curve_whatever_it_saw(&make);
    bears_thousands_of_samples_and_sizes(&make);
    answers_the_same_until_it_learns(&make);
    answers_the_same_after_the_same_samples(&make);
    believes_a_cache_only_where_it_was_enforced(&make);
    keeps_profiles_apart_from_runs(&make);
    keeps_knowledge_to_its_definition(&make);
    forgets_all_about_a_function(&make);
    never_repeats_a_probe_and_keeps_to_the_budget(&make);
    probes_the_whole_cache_once_where_masks_are_not_enforced(&make);
    asks_for_ways_that_the_cache_has(&make);
    more_samples_never_make_a_benchmarked_point_worse(&make);
}

/// "Always answer, with a curve that is finite, never rising, and inside its own interval"; "bear any sample".
pub fn answers_with_a_sound_curve_whatever_it_saw<P: Predictor>(make: &impl Fn() -> P) {
    cases(samples(), |samples| {
        let mut predictor = make();
        assert_sound(&predictor.predict(FunctionId(0), InputSize(1)).curve);
        for sample in &samples {
            predictor.observe(sample);
        }
        for sample in &samples {
            for size in around(sample.input_size) {
                assert_sound(&predictor.predict(sample.function, size).curve);
            }
        }
    });
}

/// "Bear any sample", however many there are.
pub fn bears_thousands_of_samples_and_sizes<P: Predictor>(make: &impl Fn() -> P) {
    let mut predictor = make();
    for i in 0..10_000u64 {
        let size = InputSize(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (i % 64));
        predictor.observe(&plain(size, Bytes(1 + i * 4096), Duration::from_micros(i), i % 3 != 0));
    }
    for size in [0, 1, 1000, u64::MAX] {
        assert_sound(&predictor.predict(FunctionId(1), InputSize(size)).curve);
    }
}

/// "Answer the same to the same question until the next `observe` or `forget`".
pub fn answers_the_same_until_it_learns<P: Predictor>(make: &impl Fn() -> P) {
    cases(samples(), |samples| {
        let mut predictor = make();
        samples.iter().for_each(|sample| predictor.observe(sample));
        for sample in &samples {
            let first = predictor.predict(sample.function, sample.input_size);
            predictor.predict(sample.function, InputSize(sample.input_size.0 ^ 1));
            let again = predictor.predict(sample.function, sample.input_size);
            assert_eq!(first, again, "the same question got another answer");
        }
    });
}

/// "Answer the same after the same samples in the same order".
pub fn answers_the_same_after_the_same_samples<P: Predictor>(make: &impl Fn() -> P) {
    cases(samples(), |samples| {
        let (mut one, mut other) = (make(), make());
        for sample in &samples {
            one.observe(sample);
            one.predict(sample.function, sample.input_size);
        }
        samples.iter().for_each(|sample| other.observe(sample));
        for sample in &samples {
            for size in around(sample.input_size) {
                let (a, b) = (one.predict(sample.function, size), other.predict(sample.function, size));
                assert_eq!(a, b, "a replay gave another answer");
            }
        }
    });
}

/// "Believe the cache of a segment only where the sample says it was enforced": what was asked for, and not
/// enforced, must not be taken for what the time depends on, nor be called measured.
pub fn believes_a_cache_only_where_it_was_enforced<P: Predictor>(make: &impl Fn() -> P) {
    let (mut steep, mut reversed, mut nothing) = (make(), make(), make());
    // The most that was ever asked for is the same from the beginning: it may count as the whole cache.
    let whole = plain(InputSize(8), Bytes::mib(20), Duration::from_secs(1), false);
    for predictor in [&mut steep, &mut reversed, &mut nothing] {
        predictor.observe(&whole);
    }
    for mib in 1..=20 {
        let duration = Duration::from_millis(100 * mib);
        steep.observe(&plain(InputSize(8), Bytes::mib(21 - mib), duration, false));
        reversed.observe(&plain(InputSize(8), Bytes::mib(mib), duration, false));
        nothing.observe(&plain(InputSize(8), Bytes::mib(20), duration, false));
    }
    for size in [8, 100] {
        let size = InputSize(size);
        let curve = steep.predict(FunctionId(1), size).curve;
        assert_eq!(curve, reversed.predict(FunctionId(1), size).curve, "an asked-for cache was believed");
        assert_eq!(curve, nothing.predict(FunctionId(1), size).curve, "an asked-for cache was believed");
        let given = make().predict(FunctionId(1), size).curve;
        let calls_it_measured = curve.provenance() == Provenance::Measured && curve != given;
        assert!(!calls_it_measured, "nothing was enforced, so nothing was measured");
    }
}

/// "Keep profiles apart from runs": neither the label nor the time of a profile is a run's.
pub fn keeps_profiles_apart_from_runs<P: Predictor>(make: &impl Fn() -> P) {
    let (size, whole) = (InputSize(8), Bytes::mib(20));
    let profile = |predictor: &mut P, seconds: u64| {
        for mib in [1, 5, 10, 20] {
            let counts = Counts { misses: Bytes::mib(21 - mib), accesses: 1_000_000 };
            let estimated = Duration::from_secs(seconds * (21 - mib));
            predictor.observe(&Sample::profiled(FunctionId(1), size, Bytes::mib(mib), estimated, counts));
        }
    };
    let run = |predictor: &mut P, cache, enforced| {
        let sample = plain(size, cache, Duration::from_secs(100), enforced);
        (0..8).for_each(|_| predictor.observe(&Sample { benchmark: true, ..sample.clone() }));
    };
    let given = make();
    let not_measured = |predictor: &P| {
        for size in [size, InputSize(9)] {
            let curve = predictor.predict(FunctionId(1), size).curve;
            let calls_it_measured = curve.provenance() == Provenance::Measured
                && curve.points() != given.predict(FunctionId(1), size).curve.points();
            assert!(!calls_it_measured, "a profile's shape is not measured");
        }
    };
    let mut predictor = make();
    profile(&mut predictor, 1);
    not_measured(&predictor);
    run(&mut predictor, whole, false);
    not_measured(&predictor);
    let curve = predictor.predict(FunctionId(1), size).curve;
    let there = curve.at(whole).seconds;
    let moved = curve.provenance() != Provenance::Simulated || (50.0..200.0).contains(&there);
    assert!(moved, "it took 100 s, and {there} s are predicted");

    let mut predictor = make();
    (1..=20).for_each(|mib| run(&mut predictor, Bytes::mib(mib), true));
    let before = predictor.predict(FunctionId(1), size).curve;
    profile(&mut predictor, 1000);
    let after = predictor.predict(FunctionId(1), size).curve;
    for mib in 1..=20 {
        let (before, after) = (before.at(Bytes::mib(mib)).seconds, after.at(Bytes::mib(mib)).seconds);
        assert!((after / before - 1.0).abs() < 0.05, "a simulated time was taken for a real one: {after} s");
    }
}

/// "Keep `Knowledge` to its definition: samples since the last `forget`, at this or at other sizes".
pub fn keeps_knowledge_to_its_definition<P: Predictor>(make: &impl Fn() -> P) {
    let step = prop_oneof![9 => sample().prop_map(Ok), 1 => functions().prop_map(Err)];
    cases(prop::collection::vec(step, 0..16), |steps| {
        let mut predictor = make();
        let mut seen: BTreeSet<(FunctionId, InputSize)> = BTreeSet::new();
        let mut asked = BTreeSet::from([InputSize(0)]);
        for step in steps {
            match step {
                Ok(sample) => {
                    predictor.observe(&sample);
                    seen.insert((sample.function, sample.input_size));
                    asked.extend(around(sample.input_size));
                }
                Err(function) => {
                    predictor.forget(function);
                    seen.retain(|(f, _)| *f != function);
                }
            }
        }
        for function in (0..4).map(FunctionId) {
            let known = seen.iter().any(|(f, _)| *f == function);
            for &size in &asked {
                let expected = match (known, seen.contains(&(function, size))) {
                    (false, _) => Knowledge::Inop,
                    (true, false) => Knowledge::Assisted,
                    (true, true) => Knowledge::Benchmarked,
                };
                assert_eq!(predictor.predict(function, size).knowledge, expected, "{function} at {size}");
            }
        }
    });
}

/// "Forgets all about a function": it answers as one that never saw it, and goes on as one.
pub fn forgets_all_about_a_function<P: Predictor>(make: &impl Fn() -> P) {
    cases((samples(), samples(), functions()), |(before, after, function)| {
        let (mut one, mut other) = (make(), make());
        for sample in &before {
            one.observe(sample);
            if sample.function != function {
                other.observe(sample);
            }
        }
        one.forget(function);
        for sample in &after {
            one.observe(sample);
            other.observe(sample);
        }
        for sample in before.iter().chain(&after) {
            let (a, b) = (
                one.predict(sample.function, sample.input_size),
                other.predict(sample.function, sample.input_size),
            );
            assert_eq!(a, b, "something of a forgotten function was left");
        }
    });
}

/// "Never names one that is in `bench.done`, and names at most `bench.budget` in all", of those the cache has.
pub fn never_repeats_a_probe_and_keeps_to_the_budget<P: Predictor>(make: &impl Fn() -> P) {
    cases((geometries(), 0usize..40, any::<bool>(), samples()), |(geometry, budget, learns, samples)| {
        let mut predictor = make();
        samples.iter().for_each(|sample| predictor.observe(sample));
        let mut done = Vec::new();
        loop {
            let bench = Bench { geometry: &geometry, enforced: true, done: &done, budget };
            let Some(ways) = predictor.next_probe(FunctionId(1), InputSize(8), &bench) else { break };
            assert!(!done.contains(&ways), "{ways} was run already");
            assert!(done.len() < budget, "the budget of {budget} is spent");
            assert!(geometry.min_ways <= ways && ways <= geometry.usable_ways(), "{ways} is not to be had");
            done.push(ways);
            if learns {
                let duration = Duration::from_millis(1000 / u64::from(ways.get()));
                predictor.observe(&Sample {
                    benchmark: true,
                    ..plain(InputSize(8), geometry.bytes(ways), duration, true)
                });
            }
        }
    });
}

/// "Where masks are not enforced it names the whole cache, once".
pub fn probes_the_whole_cache_once_where_masks_are_not_enforced<P: Predictor>(make: &impl Fn() -> P) {
    cases((geometries(), 1usize..40), |(geometry, budget)| {
        let predictor = make();
        let ask = |done: &[Ways]| {
            let bench = Bench { geometry: &geometry, enforced: false, done, budget };
            predictor.next_probe(FunctionId(1), InputSize(8), &bench)
        };
        let whole = geometry.usable_ways();
        assert_eq!(ask(&[]), Some(whole), "the whole cache comes first");
        assert_eq!(ask(&[whole]), None, "and nothing after it");
    });
}

/// "How many ways to ask for on a cache of this shape": as many as it has, whatever the price.
pub fn asks_for_ways_that_the_cache_has<P: Predictor>(make: &impl Fn() -> P) {
    let price = prop_oneof![Just(0.0), Just(f64::NAN), Just(f64::NEG_INFINITY), -10.0f64..1.0, any::<f64>()];
    cases((geometries(), price, samples()), |(geometry, price, samples)| {
        let mut predictor = make();
        samples.iter().for_each(|sample| predictor.observe(sample));
        for size in [0, 8, u64::MAX] {
            let prediction = predictor.predict(FunctionId(1), InputSize(size));
            let ways = predictor.ways(&prediction, &geometry, price);
            assert!(geometry.min_ways <= ways && ways <= geometry.usable_ways(), "{ways} on {geometry:?}");
        }
    });
}

/// "More samples never make a benchmarked point worse": not more runs of the same kind, whoever asked for them, nor
/// runs of other input sizes and functions.
pub fn more_samples_never_make_a_benchmarked_point_worse<P: Predictor>(make: &impl Fn() -> P) {
    let drops = prop::collection::vec(0.0f64..1.0, 21);
    let ways = prop::collection::btree_set(1u64..=20, 2..8);
    let more = prop::collection::vec((any::<prop::sample::Index>(), 0u64..3, any::<bool>()), 0..24);
    cases((drops, ways, more), |(drops, ways, more)| {
        let seconds = |mib: u64| 1.0 + drops[(mib as usize).min(20)..20].iter().sum::<f64>();
        let ways: Vec<u64> = ways.into_iter().filter(|&mib| mib < 20).chain([20]).collect();
        let sample = |function, size, mib, benchmark| Sample {
            function: FunctionId(function),
            benchmark,
            ..plain(InputSize(size), Bytes::mib(mib), Duration::from_secs_f64(seconds(mib)), true)
        };
        let mut predictor = make();
        ways.iter().for_each(|&mib| predictor.observe(&sample(1, 8, mib, true)));
        let worst = |predictor: &P| {
            let curve = predictor.predict(FunctionId(1), InputSize(8)).curve;
            let errors = ways.iter().map(|&mib| (curve.at(Bytes::mib(mib)).seconds - seconds(mib)).abs());
            errors.fold(0.0, f64::max)
        };
        let before = worst(&predictor);
        for (index, what, benchmark) in more {
            let mib = *index.get(&ways);
            predictor.observe(&match what {
                0 => sample(1, 8, mib, benchmark),
                1 => sample(1, 80, mib, benchmark),
                _ => sample(2, 8, mib, benchmark),
            });
        }
        let after = worst(&predictor);
        assert!(after <= before + 1e-5, "an error of {before} s became {after} s");
    });
}

/// Any sample at all: no segments, no time, endless time, no cache, more cache than there is, any input size; of
/// few functions and sizes, so that they meet.
pub fn sample() -> impl Strategy<Value = Sample> {
    let size = prop_oneof![4 => 0u64..6, 1 => Just(u64::MAX), 2 => any::<u64>(), 2 => 1000u64..1_000_000];
    let cache = prop_oneof![6 => (1u64..=32).prop_map(|n| n << 20), 1 => Just(0), 1 => Just(u64::MAX), 1 => any::<u64>()];
    let duration = prop_oneof![
        6 => (1u64..10_000_000_000).prop_map(Duration::from_nanos),
        1 => Just(Duration::ZERO),
        1 => Just(Duration::MAX),
        1 => any::<u64>().prop_map(Duration::from_nanos),
    ];
    let segment = (cache, duration).prop_map(|(cache, duration)| Segment { cache: Bytes(cache), duration });
    let segments = prop_oneof![8 => prop::collection::vec(segment.clone(), 1..2), 2 => prop::collection::vec(segment, 0..5)];
    let counts =
        any::<(u64, u64)>().prop_map(|(misses, accesses)| Counts { misses: Bytes(misses), accesses });
    let origin = prop_oneof![3 => Just(Origin::Run), 1 => counts.prop_map(Origin::Profile)];
    (functions(), size, segments, any::<(u64, bool, u16, bool)>(), origin).prop_map(
        |(function, size, segments, (worker, enforced, co_runners, benchmark), origin)| Sample {
            function,
            input_size: InputSize(size),
            segments,
            worker: WorkerId(worker),
            enforced,
            co_runners,
            benchmark,
            origin,
        },
    )
}

/// Up to 24 samples as [`sample`] makes them.
pub fn samples() -> impl Strategy<Value = Vec<Sample>> {
    prop::collection::vec(sample(), 0..24)
}

/// Any cache whose numbers fit each other.
pub fn geometries() -> impl Strategy<Value = CacheGeometry> {
    let parts = (1u8..=32, 1u8..=4, 0u32..4, 1u64..=1 << 26, any::<bool>());
    parts.prop_filter_map("the numbers do not fit each other", |(ways, min_ways, io, way, contiguous)| {
        let geometry = CacheGeometry {
            size: Bytes(way * u64::from(ways)),
            ways: Ways::clamped(ways),
            min_ways: Ways::clamped(min_ways),
            contiguous,
            shareable: io,
            classes: 15,
        };
        geometry.validate().is_ok().then_some(geometry)
    })
}

fn functions() -> impl Strategy<Value = FunctionId> {
    (0u64..4).prop_map(FunctionId)
}

fn plain(input_size: InputSize, cache: Bytes, duration: Duration, enforced: bool) -> Sample {
    Sample {
        function: FunctionId(1),
        input_size,
        segments: vec![Segment { cache, duration }],
        worker: WorkerId(1),
        enforced,
        co_runners: 0,
        benchmark: false,
        origin: Origin::Run,
    }
}

/// The size, its neighbours, and sizes far from it.
fn around(size: InputSize) -> [InputSize; 4] {
    let n = size.0;
    [n, n.saturating_add(1), n.saturating_mul(3), n / 1_000_000].map(InputSize)
}

/// As [`Curve::new`] demands, and so between its points too.
fn assert_sound(curve: &Curve) {
    if let Err(error) = Curve::new(curve.points().to_vec(), curve.provenance()) {
        panic!("{error}: {curve:?}");
    }
    let mut before = f64::INFINITY;
    for shift in 0..64 {
        let point = curve.at(Bytes(1 << shift));
        assert!(0.0 < point.low && point.low <= point.seconds && point.seconds <= point.high, "{point:?}");
        assert!(
            point.high.is_finite() && point.seconds <= before * (1.0 + 1e-12),
            "{point:?} after {before}"
        );
        before = point.seconds;
    }
}

fn cases<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, test: impl Fn(T)) {
    let config = Config { cases: 32, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&strategy, |case| {
        test(case);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
