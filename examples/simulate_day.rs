//! A day on a small cluster, in seconds: calls that go up and down, and what became of them by the hour.

use std::sync::Arc;
use std::time::Duration;

use fsched_core::scheduler::SchedulerConfig;
use fsched_sim::machine::MachineConfig;
use fsched_sim::policy::{Platform, Predictions};
use fsched_sim::random::Random;
use fsched_sim::rates::Contention;
use fsched_sim::simulation::START;
use fsched_sim::workload::{Adversary, Pattern, Replay, Synthetic, Trace, adversarial, parts};
use fsched_sim::{SimConfig, SimFunction, Simulation};

const HOUR: Duration = Duration::from_secs(3600);

fn main() {
    let machines = vec![MachineConfig::nominal(4, 20); 2];
    // Six functions that take two minutes, called so that three of eight cores are busy in the mean.
    let day: Arc<dyn Trace> = Arc::new(Synthetic::new(&[120.0; 6], Pattern::Diurnal, 24 * HOUR, 3.0));
    let (parts, _) = parts(&*day, 8.0, 1, Random::new(1), |_| false);
    let geometry = machines[0].domains[0].geometry;
    let functions: Arc<[SimFunction]> =
        adversarial(Adversary::Cliffs, &vec![120.0; parts.len()], &geometry, Random::new(2)).into();
    let start = START + Duration::from_secs(5);
    let calls = Replay::new(&day, &parts, Arc::clone(&functions), geometry, start, &Random::new(3));
    let policy = Platform { scheduler: SchedulerConfig::default(), predictions: Predictions::Oracle(1.0) };
    let config = SimConfig::new(1, Arc::new(policy), machines, functions);
    let mut simulation = Simulation::new(config, Box::new(Contention::default()), Box::new(calls));
    for hour in 0..24 {
        simulation.run_until(start + HOUR * (hour + 1));
        let ended = simulation.take_ended();
        let times = ended.iter().map(|one| one.at.since(one.submitted).div_duration_f64(one.alone));
        let mean = times.sum::<f64>() / ended.len().max(1) as f64;
        println!("{hour:02}:00  {:4} ended, {mean:.2} times as long as alone", ended.len());
    }
}
