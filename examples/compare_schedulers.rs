//! Two schedulers on the same calls: does it pay to place by caches?

use std::sync::Arc;
use std::time::Duration;

use fsched_core::scheduler::SchedulerConfig;
use fsched_sim::machine::MachineConfig;
use fsched_sim::policy::{Platform, Predictions};
use fsched_sim::random::Random;
use fsched_sim::rates::Contention;
use fsched_sim::simulation::START;
use fsched_sim::workload::{Adversary, Poisson, Sizes, adversarial};
use fsched_sim::{SimConfig, Simulation};

/// How many times as long as alone calls take in the mean.
fn slowdown(scheduler: SchedulerConfig, seed: u64) -> f64 {
    let machines = vec![MachineConfig::nominal(8, 20); 3];
    let functions =
        adversarial(Adversary::Cliffs, &[0.5; 8], &machines[0].domains[0].geometry, Random::new(seed));
    let sizes = Sizes::Fixed(functions[0].size());
    let count = functions.len();
    // A call every 40 ms that takes half a second keeps twelve and a half of 24 cores busy.
    let calls =
        Poisson::new(Random::new(seed).fork(1), START, Duration::from_millis(40), count, sizes, 1_000);
    let policy = Platform { scheduler, predictions: Predictions::Oracle(1.0) };
    let config = SimConfig::new(seed, Arc::new(policy), machines, functions);
    let mut simulation = Simulation::new(config, Box::new(Contention::default()), Box::new(calls));
    simulation.run_to_end(START + Duration::from_secs(3_600));
    let ended = simulation.take_ended();
    let times = ended.iter().map(|one| one.at.since(one.submitted).div_duration_f64(one.alone));
    times.sum::<f64>() / ended.len() as f64
}

fn main() {
    let mut sum = 0.0;
    for seed in 0..5 {
        let (blind, packing) =
            (slowdown(SchedulerConfig::LeastLoaded {}, seed), slowdown(SchedulerConfig::default(), seed));
        sum += packing / blind - 1.0;
        println!("seed {seed}: least loaded {blind:.3}, bin packing {packing:.3}");
    }
    println!("bin packing differs by {:+.1} % in the mean", 100.0 * sum / 5.0);
}
