//! One simulation, from its start to its numbers.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use fsched_core::master::MasterConfig;
use fsched_core::time::Timestamp;
use fsched_core::worker::WorkerConfig;
use fsched_sim::machine::{MachineConfig, StartUp};
use fsched_sim::rates::Contention;
use fsched_sim::simulation::Network;
use fsched_sim::{SimConfig, Simulation};

use super::config::{Experiment, Workload};
use super::measure::{Look, Numbers, Tally};
use super::policies::{Models, Policy};
use super::scene::{Scene, Setting};

/// What came of it.
pub(super) struct Outcome {
    pub(super) numbers: Numbers,
    /// Slowdowns at 200 quantiles.
    pub(super) quantiles: Vec<f64>,
    pub(super) looks: Vec<Look>,
}

/// How often a cluster is looked at.
const LOOKS: u32 = 200;
/// No workload has calls that take longer, whatever a policy does to them.
const TIMEOUT: Duration = Duration::from_secs(4 * 3600);

/// Simulates one policy on one workload under one seed.
///
/// # Errors
/// Where the workload cannot be made, or the log cannot be written.
pub(super) fn run(
    experiment: &Experiment,
    setting: &Setting,
    models: &Models,
    workload: &Workload,
    policy: Policy,
    seed: u64,
    log: Option<&Path>,
) -> anyhow::Result<Outcome> {
    let Scene { mut functions, replay, start, length, load, families } =
        setting.scene(experiment, workload, seed)?;
    functions.iter_mut().for_each(|function| function.timeout = TIMEOUT);
    let cluster = &experiment.cluster;
    let machine = MachineConfig {
        worker: WorkerConfig {
            cores: cluster.cores,
            memory: cluster.memory,
            max_timeout: TIMEOUT,
            ..WorkerConfig::default()
        },
        domains: vec![cluster.domain()],
        slowness: 1.0,
    };
    let config = SimConfig {
        seed,
        // Whoever is compared here never turns anybody away.
        master: MasterConfig { queue: usize::MAX, ..MasterConfig::default() },
        policy: policy.build(models.without(&families)),
        benchmarked: experiment.benchmarked,
        machines: vec![machine; cluster.workers],
        functions: functions.into(),
        start_up: StartUp { cold: cluster.cold, warm: cluster.warm },
        network: Network::default(),
    };
    let mut simulation = Simulation::new(config, Box::new(Contention::default()), Box::new(replay));
    if log.is_some() {
        simulation.keep_log();
    }
    let counted = start + length.mul_f64(experiment.warm_up);
    let mut tally = Tally::new(counted, start + length);
    let mut looks = Vec::new();
    for step in 1..=LOOKS {
        simulation.run_until(start + length * step / LOOKS);
        tally.add(&simulation.take_ended());
        if simulation.now() >= counted {
            looks.push(look(&simulation, start));
        }
    }
    simulation.run_to_end(start + length + experiment.patience);
    tally.add(&simulation.take_ended());
    let (numbers, quantiles) = tally.numbers(&simulation, &looks);
    if let Some(path) = log {
        std::fs::write(path, simulation.log()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let numbers = Numbers { workload: workload.name.clone(), policy: policy.name(), seed, load, ..numbers };
    Ok(Outcome { numbers, quantiles, looks })
}

fn look(simulation: &Simulation, start: Timestamp) -> Look {
    let now = simulation.now();
    let mut look = Look { at: now.since(start).as_secs_f64(), ..Look::default() };
    let Some(master) = simulation.master() else { return look };
    let (mut ways, mut cores) = (0.0, 0.0);
    for info in master.workers(now) {
        for domain in info.view.iter().flat_map(|view| view.domains.values()) {
            ways += f64::from(domain.geometry().usable_ways().get());
            cores += f64::from(domain.cores);
            look.ways_asked += f64::from(domain.asked_shared) + f64::from(domain.reserved_exclusive);
            look.cores_busy += f64::from(domain.reserved_cores);
        }
    }
    look.ways_asked /= f64::max(ways, 1.0);
    look.cores_busy /= f64::max(cores, 1.0);
    look.price = -master.generosity();
    let first = simulation.machines().first().and_then(|machine| Some((machine, machine.worker()?)));
    if let Some((machine, worker)) = first {
        let domain = machine.domains()[0].id;
        let here = worker.running().filter(|running| running.domain == domain);
        look.masks = here.map(|running| (running.function.0, running.mask.bits())).collect();
    }
    look
}
