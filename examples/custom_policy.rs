//! A policy of one's own on a simulated cluster, beside the platform's with true curves.

use std::sync::Arc;
use std::time::Duration;

use fsched_core::cache::{Bytes, CacheDomain, Ways};
use fsched_core::predictor::{InterpolatingPredictor, Predictor};
use fsched_core::scheduler::{Scheduler, SchedulerConfig};
use fsched_sim::machine::MachineConfig;
use fsched_sim::policy::{LeastStressed, Platform, Policy, Predictions, Scene};
use fsched_sim::simulation::START;
use fsched_sim::workload::{Adversary, Poisson, Sizes, adversarial};
use fsched_sim::{SimConfig, Simulation, random::Random, rates::Contention};

#[derive(Debug)]
struct Mine;

impl Policy for Mine {
    fn predictor(&self, _: &Scene) -> Box<dyn Predictor> {
        Box::new(InterpolatingPredictor::default())
    }

    fn scheduler(&self, _: &Scene) -> Box<dyn Scheduler> {
        Box::new(LeastStressed {})
    }
}

fn main() {
    let domain = CacheDomain::nominal(8, Ways::clamped(20), Bytes::mib(1));
    let functions = adversarial(Adversary::Cliffs, &[0.5; 6], &domain.geometry, Random::new(1));
    let theirs = Platform { scheduler: SchedulerConfig::default(), predictions: Predictions::Oracle(1.0) };
    let policies: [(&str, Arc<dyn Policy>); 2] = [("mine", Arc::new(Mine)), ("theirs", Arc::new(theirs))];
    for (name, policy) in policies {
        let machines = vec![MachineConfig::nominal(8, 20); 2];
        let config = SimConfig { benchmarked: 1, ..SimConfig::new(1, policy, machines, functions.clone()) };
        let sizes = Sizes::Fixed(functions[0].size());
        let calls = Poisson::new(Random::new(2), START, Duration::from_millis(65), 6, sizes, 2_000);
        let mut simulation = Simulation::new(config, Box::new(Contention::default()), Box::new(calls));
        simulation.run_to_end(START + Duration::from_secs(3_600));
        let ended = simulation.take_ended();
        let times = ended.iter().map(|one| one.at.since(one.submitted).div_duration_f64(one.alone));
        println!("{name}: {:.3} times as long as alone", times.sum::<f64>() / ended.len() as f64);
    }
}
