//! Random clusters × workloads × faults, from seeds; what fails is shrunk.
//!
//! `FSCHED_SIM_SEEDS` says how many (default 25), `FSCHED_SIM_FIRST` from which on (default 0). `FSCHED_SIM_DIGESTS` names a file to which
//! goes, for each seed, a number that stands for all that happened: whoever only makes something faster compares two of them.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};
use std::time::Duration;

use fsched_sim::fault::Fault;
use fsched_sim::scenario::{Action, Host, Kind, Scenario};
use fsched_sim::simulation::START;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

fn host() -> impl Strategy<Value = Host> {
    let rules = (any::<bool>(), any::<bool>());
    (1u16..5, 1u16..3, 2u8..13, 2u16..9, rules, 128u64..2048).prop_map(
        |(cores, domains, ways, classes, (contiguous, shareable), memory)| Host {
            cores,
            domains,
            ways,
            classes,
            contiguous,
            shareable,
            memory,
        },
    )
}

fn kind() -> impl Strategy<Value = Kind> {
    let ends = (prop_oneof![4 => Just(0), 1 => Just(1)], prop::bool::weighted(0.15));
    let needs = (1u16..4, 1u64..512, prop::bool::weighted(0.3));
    (1u64..4000, 100u64..400, needs, ends, 50u64..20_000).prop_map(
        |(millis, hunger, (cores, memory, exclusive), (status, stubborn), timeout_millis)| Kind {
            millis,
            hunger,
            cores,
            memory,
            exclusive,
            status,
            stubborn,
            timeout_millis,
        },
    )
}

fn lasts() -> impl Strategy<Value = Duration> {
    prop_oneof![1u64..300, 300u64..15_000].prop_map(Duration::from_millis)
}

fn fault() -> impl Strategy<Value = Fault> {
    let worker = || 0usize..5;
    let share = || (1u32..60).prop_map(|percent| f64::from(percent) / 100.0);
    prop_oneof![
        (worker(), lasts()).prop_map(|(worker, down)| Fault::Crash { worker, down }),
        (worker(), lasts()).prop_map(|(worker, lasts)| Fault::Hang { worker, lasts }),
        (worker(), 1u32..80, lasts()).prop_map(|(worker, tenths, lasts)| Fault::Slow {
            worker,
            factor: f64::from(tenths) / 10.0,
            lasts
        }),
        (worker(), lasts()).prop_map(|(worker, lasts)| Fault::Partition { worker, lasts }),
        worker().prop_map(|worker| Fault::Break { worker }),
        (share(), lasts()).prop_map(|(share, lasts)| Fault::Lose { share, lasts }),
        (share(), lasts()).prop_map(|(share, lasts)| Fault::Repeat { share, lasts }),
        (prop_oneof![share(), Just(1.0)], lasts()).prop_map(|(share, lasts)| Fault::Disk { share, lasts }),
        lasts().prop_map(|down| Fault::RestartMaster { down }),
        (worker(), -20_000i64..20_000).prop_map(|(worker, millis)| Fault::Skew { worker, millis }),
        (worker(), lasts()).prop_map(|(worker, lasts)| Fault::Allocator { worker, lasts }),
        (worker(), lasts()).prop_map(|(worker, lasts)| Fault::Unenforced { worker, lasts }),
        (worker(), lasts()).prop_map(|(worker, lasts)| Fault::Widen { worker, lasts }),
        (worker(), 500u32..2_000, lasts()).prop_map(|(worker, permille, lasts)| Fault::Drift {
            worker,
            permille,
            lasts
        }),
        (worker(), lasts()).prop_map(|(worker, lasts)| Fault::Drain { worker, lasts }),
        Just(Fault::CancelOldest),
        (0usize..4).prop_map(|function| Fault::Benchmark { function }),
    ]
}

fn action() -> impl Strategy<Value = (u64, Action)> {
    let run = (0usize..4, 10u64..300, any::<bool>())
        .prop_map(|(function, percent, idempotent)| Action::Run { function, percent, idempotent });
    (0u64..30_000, prop_oneof![5 => run, 1 => fault().prop_map(Action::Fault)])
}

fn scenario(seed: u64) -> impl Strategy<Value = Scenario> {
    let cluster = (prop::collection::vec(host(), 1..5), prop::collection::vec(kind(), 1..5));
    let choices = (prop_oneof![1usize..8, Just(1_000)], 0u8..4, prop::option::of(100u64..1_000));
    (cluster, choices, prop::collection::vec(action(), 1..80)).prop_map(
        move |((hosts, functions), (queue, scheduler, error), actions)| Scenario {
            seed,
            hosts,
            functions,
            queue,
            scheduler,
            error,
            actions,
        },
    )
}

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number of seeds"))
}

/// Stands for what happens and when, whatever numbers events have.
fn digest(scenario: &Scenario) -> u64 {
    let mut simulation = scenario.build();
    simulation.keep_log();
    simulation.run_to_end(START + Duration::from_secs(2_000));
    let mut hasher = DefaultHasher::new();
    for line in simulation.log().lines() {
        let mut words = line.splitn(3, ' ');
        let (when, _, what) = (words.next(), words.next(), words.next());
        hasher.write(when.unwrap_or_default().as_bytes());
        hasher.write(what.unwrap_or_default().as_bytes());
    }
    hasher.finish()
}

#[test]
fn every_invariant_holds_whatever_goes_wrong() {
    let (first, count) = (number("FSCHED_SIM_FIRST", 0), number("FSCHED_SIM_SEEDS", 25));
    let file = std::env::var_os("FSCHED_SIM_DIGESTS");
    let digests = RefCell::new(String::new());
    println!("seeds {first} to {}", first + count - 1);
    for seed in first..first + count {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let chance = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let config =
            Config { cases: 1, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, chance);
        let found = runner.run(&scenario(seed), |scenario| {
            if file.is_some() {
                // Writing to a string does not fail.
                let _ = writeln!(digests.borrow_mut(), "{seed} {:016x}", digest(&scenario));
            }
            scenario.check().map_err(TestCaseError::fail)
        });
        match found {
            Ok(()) => {}
            Err(TestError::Fail(reason, shrunk)) => {
                panic!("seed {seed}: {reason}\nshrunk to {shrunk:#?}")
            }
            Err(TestError::Abort(reason)) => panic!("seed {seed}: {reason}"),
        }
    }
    if let Some(file) = file {
        std::fs::write(file, digests.into_inner()).expect("the file of digests can be written");
    }
}
