//! An hour that a master ran, again, with the cache shared by all and split by the platform. Give it the file that `fsched record --out hour.csv`
//! wrote; without one it takes three functions that took turns.

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::sync::Arc;
use std::time::Duration;

use fsched_core::predictor::engine::dataset::Dataset;
use fsched_core::scheduler::SchedulerConfig;
use fsched_sim::machine::MachineConfig;
use fsched_sim::policy::{Platform, Policy, Predictions, Rival};
use fsched_sim::profile::{self, Assignment, Mix};
use fsched_sim::random::Random;
use fsched_sim::rates::Contention;
use fsched_sim::simulation::START;
use fsched_sim::workload::{Azure2021, Open, Part, Replay, Trace};
use fsched_sim::{SimConfig, SimFunction, Simulation};

fn main() -> anyhow::Result<()> {
    let open: Open = match std::env::args().nth(1) {
        Some(path) => Arc::new(move || Ok(Box::new(BufReader::new(File::open(&path)?)))),
        None => {
            let call = |n: u32| format!("a,f{},{},{}\n", n % 3, 1.0 + 0.2 * f64::from(n), 0.6);
            let text = format!("app,func,end_timestamp,duration\n{}", (0..900).map(call).collect::<String>());
            Arc::new(move || Ok(Box::new(Cursor::new(text.clone()))))
        }
    };
    let hour: Arc<dyn Trace> = Arc::new(Azure2021::read(open)?);
    let machines = vec![MachineConfig::nominal(8, 20)];
    let geometry = machines[0].domains[0].geometry;
    // A record says nothing of caches: its functions get the project's own curves, by chance.
    let profiles = profile::parse(Dataset::OWN, "est_time_s")?;
    let mut curves = Assignment::new(profiles, Mix::Sensitive, geometry, Random::new(1));
    let known = hour.functions().iter().enumerate();
    let functions: Arc<[SimFunction]> = known.map(|(i, known)| curves.function(i, known.seconds)).collect();
    let parts: Vec<Part> = (0..functions.len()).map(|function| Part { copy: 0, function }).collect();
    let split = Platform { scheduler: SchedulerConfig::default(), predictions: Predictions::Oracle(1.0) };
    let policies: [(&str, Arc<dyn Policy>); 2] =
        [("shared by all", Arc::new(Rival::Unmanaged)), ("split", Arc::new(split))];
    for (name, policy) in policies {
        let start = START + Duration::from_secs(5);
        let calls = Replay::new(&hour, &parts, Arc::clone(&functions), geometry, start, &Random::new(2));
        let config = SimConfig::new(1, policy, machines.clone(), Arc::clone(&functions));
        let mut simulation = Simulation::new(config, Box::new(Contention::default()), Box::new(calls));
        simulation.run_to_end(start + hour.length() * 2);
        let ended = simulation.take_ended();
        let times = ended.iter().map(|one| one.at.since(one.submitted).div_duration_f64(one.alone));
        println!(
            "{name}: {} calls, {:.3} times as long as alone",
            ended.len(),
            times.sum::<f64>() / ended.len() as f64
        );
    }
    Ok(())
}
