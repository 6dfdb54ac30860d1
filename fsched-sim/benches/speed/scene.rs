//! The cluster, its functions and its calls.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fsched_core::allocator::{CacheAllocator, Unmanaged};
use fsched_core::cache::{Bytes, CacheDomain, Ways};
use fsched_core::curve::{Curve, Provenance};
use fsched_core::master::MasterConfig;
use fsched_core::predictor::engine::dataset::Dataset;
use fsched_core::predictor::{FixedPredictor, Predictor, PredictorConfig};
use fsched_core::scheduler::{LeastLoaded, Scheduler, SchedulerConfig};
use fsched_core::time::Timestamp;
use fsched_core::worker::WorkerConfig;
use fsched_sim::machine::{MachineConfig, StartUp};
use fsched_sim::policy::{self, Platform, Policy, Predictions};
use fsched_sim::profile::{self, Assignment, Mix};
use fsched_sim::random::Random;
use fsched_sim::rates::{Apart, Contention, Rates};
use fsched_sim::simulation::{Network, START};
use fsched_sim::workload::{
    Azure2019, Azure2019Files, MOST_COPIES, Open, Part, Pattern, Replay, Synthetic, Trace, parts,
};
use fsched_sim::{SimConfig, SimFunction, Simulation};

use super::options::Options;

/// A simulation that has not begun, and when its calls come.
pub(crate) struct Scene {
    pub(crate) simulation: Simulation,
    pub(crate) start: Timestamp,
    pub(crate) length: Duration,
}

/// No function of a trace is taken to need more.
const MOST_MEMORY: Bytes = Bytes::mib(1024);
/// Workers need some time to be there.
const LEAD: Duration = Duration::from_secs(5);
const SEED: u64 = 1;

/// Where the most cores are free, whatever caches do; nothing is predicted.
#[derive(Debug)]
struct Plain;

impl Policy for Plain {
    fn predictor(&self, _: &policy::Scene) -> Box<dyn Predictor> {
        Box::new(FixedPredictor::new(Curve::flat(1.0, 10.0, Provenance::Prior)))
    }

    fn scheduler(&self, _: &policy::Scene) -> Box<dyn Scheduler> {
        Box::new(LeastLoaded {})
    }

    fn allocator(&self, _: &policy::Scene, domains: Vec<CacheDomain>) -> Box<dyn CacheAllocator> {
        Box::new(Unmanaged::new(domains))
    }
}

pub(crate) fn scene_of(options: &Options) -> Scene {
    let domain = CacheDomain::nominal(options.cores, Ways::clamped(20), Bytes::mib(1));
    let all_cores = options.workers as f64 * f64::from(options.cores);
    let trace = trace(options, all_cores);
    let chance = Random::new(SEED).fork(21);
    let chosen: Vec<Part> = match options.load {
        None => (0..trace.functions().len()).map(|function| Part { copy: 0, function }).collect(),
        Some(load) => parts(&*trace, load * all_cores * 1.01, MOST_COPIES, chance.fork(2), |_| false).0,
    };
    let profiles = profile::parse(Dataset::OWN, "est_time_s").expect("the project's own curves");
    let mut assignment = Assignment::new(profiles, Mix::Sensitive, domain.geometry, chance.fork(3));
    let function = |(number, part): (usize, &Part)| {
        let known = &trace.functions()[part.function];
        let mut function = assignment.function(number, known.seconds);
        function.needs.memory = known.memory.map_or(function.needs.memory, |memory| memory.min(MOST_MEMORY));
        function.timeout = Duration::from_secs(4 * 3600);
        function
    };
    let functions: Arc<[SimFunction]> = chosen.iter().enumerate().map(function).collect();
    let policy: Arc<dyn Policy> = if options.policy == "default" {
        let predictions = Predictions::Learnt(PredictorConfig::default());
        Arc::new(Platform { scheduler: SchedulerConfig::default(), predictions })
    } else {
        Arc::new(Plain)
    };
    let worker = WorkerConfig {
        cores: options.cores,
        memory: Bytes::mib(1 << 20),
        max_timeout: Duration::from_secs(4 * 3600),
        ..WorkerConfig::default()
    };
    let start = START + LEAD;
    let replay =
        Replay::new(&trace, &chosen, Arc::clone(&functions), domain.geometry, start, &chance.fork(4));
    let config = SimConfig {
        seed: SEED,
        master: MasterConfig {
            queue: usize::MAX,
            history: 100,
            heartbeat: options.heartbeat,
            suspect_after: options.heartbeat * 3,
            dead_after: options.heartbeat * 10,
            ..MasterConfig::default()
        },
        policy,
        benchmarked: 2,
        machines: vec![MachineConfig { worker, domains: vec![domain], slowness: 1.0 }; options.workers],
        functions: Arc::clone(&functions),
        start_up: StartUp { cold: Duration::from_millis(20), warm: Duration::from_millis(1) },
        network: Network::default(),
    };
    let rates: Box<dyn Rates> =
        if options.contention { Box::new(Contention::default()) } else { Box::new(Apart) };
    let simulation = Simulation::new(config, rates, Box::new(replay));
    Scene { simulation, start, length: trace.length() }
}

fn trace(options: &Options, all_cores: f64) -> Arc<dyn Trace> {
    let Some(folder) = &options.trace else {
        let seconds: Vec<f64> = (0..200).map(|i| 0.1 * 16.0_f64.powf(f64::from(i) / 199.0)).collect();
        let length = Duration::from_secs(60) * options.minutes as u32;
        let load = options.load.unwrap_or(0.6);
        return Arc::new(Synthetic::new(&seconds, Pattern::Even, length, load * all_cores));
    };
    let file = |name| open(folder.join(name));
    let files = Azure2019Files {
        invocations: file("invocations.csv"),
        durations: file("durations.csv"),
        memory: file("memory.csv"),
    };
    Arc::new(Azure2019::read(&files, options.from, options.minutes).expect("a trace"))
}

fn open(path: PathBuf) -> Open {
    Arc::new(move || Ok(Box::new(BufReader::new(File::open(&path)?))))
}
