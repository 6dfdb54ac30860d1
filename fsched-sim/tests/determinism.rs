//! One seed decides everything.

use std::time::Duration;

use fsched_core::curve::{Curve, Provenance};
use fsched_core::function::InputSize;
use fsched_sim::SimFunction;
use fsched_sim::Simulation;
use fsched_sim::fault::Fault;
use fsched_sim::random::Random;
use fsched_sim::rates::EvenShares;
use fsched_sim::simulation::{Network, START};
use fsched_sim::workload::{Poisson, Sizes};

use crate::rig::{ideal, machine};

fn log(seed: u64) -> String {
    let curve = Curve::flat(0.3, 1.0, Provenance::Measured);
    let functions =
        ["a", "b", "c"].map(|name| SimFunction::growing(name, InputSize(100), curve.clone(), 1.0));
    let mut config = ideal(seed, vec![machine(2, 8), machine(2, 8)], functions.to_vec());
    config.network = Network::default();
    let (chance, sizes) = (Random::new(seed).fork(2), Sizes::Exponential(InputSize(100)));
    let workload = Poisson::new(chance, START, Duration::from_millis(100), 3, sizes, 200);
    let mut simulation = Simulation::new(config, Box::new(EvenShares), Box::new(workload));
    simulation.keep_log();
    let second = Duration::from_secs(1);
    simulation.schedule(START + second * 5, Fault::Crash { worker: 0, down: second });
    simulation.schedule(START + second * 9, Fault::Lose { share: 0.2, lasts: second * 3 });
    assert!(simulation.run_to_end(START + second * 200));
    simulation.log().to_owned()
}

#[test]
fn the_same_seed_makes_the_same_log_byte_for_byte() {
    let first = log(7);
    assert!(first.lines().count() > 1000, "{first}");
    assert!(first.contains("process of") && first.contains("fault Crash"), "{first}");
    assert!(first == log(7), "two runs of one seed differ");
}

#[test]
fn another_seed_makes_another_log() {
    assert_ne!(log(7), log(8));
}
