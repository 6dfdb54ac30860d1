//! Random clusters, workloads and faults, made to be shrunk: a scenario is plain data, and prints as what it takes to run it again.

use std::sync::Arc;
use std::time::Duration;

use fsched_core::cache::{Bytes, CacheDomain, CpuId, DomainId, Ways};
use fsched_core::curve::{Curve, CurvePoint, Provenance};
use fsched_core::function::{InputSize, Isolation, Needs};
use fsched_core::master::MasterConfig;
use fsched_core::predictor::PredictorConfig;
use fsched_core::scheduler::SchedulerConfig;
use fsched_core::time::Timestamp;
use fsched_core::worker::WorkerConfig;

use crate::fault::Fault;
use crate::invariants;
use crate::machine::{MachineConfig, StartUp};
use crate::policy::{Platform, Predictions};
use crate::rates::EvenShares;
use crate::simulation::{Network, START, SimConfig};
use crate::workload::{Arrival, Listed};
use crate::{SimFunction, Simulation};

/// Something that happens some time after the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// Somebody asks for a run.
    Run {
        /// Of which function; counted modulo their number.
        function: usize,
        /// On how much input, in hundredths of the function's own.
        percent: u64,
        /// Whether it may be run again when its worker is lost.
        idempotent: bool,
    },
    /// Something goes wrong. Numbers of workers and functions are counted modulo how many there are.
    Fault(Fault),
}

/// A worker, in few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Cores in each domain.
    pub cores: u16,
    /// Caches.
    pub domains: u16,
    /// Ways in each.
    pub ways: u8,
    /// Classes of each.
    pub classes: u16,
    /// Whether masks have to be contiguous.
    pub contiguous: bool,
    /// Whether I/O fills the topmost way too.
    pub shareable: bool,
    /// Memory, in mebibytes.
    pub memory: u64,
}

/// A function, in few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// With the whole cache it takes that long.
    pub millis: u64,
    /// With none it takes so many hundredths of that, 100 at least.
    pub hunger: u64,
    /// Cores it needs.
    pub cores: u16,
    /// Memory it needs, in mebibytes.
    pub memory: u64,
    /// Whether it wants its ways for itself.
    pub exclusive: bool,
    /// What it exits with.
    pub status: i32,
    /// Whether it ignores being asked to end.
    pub stubborn: bool,
    /// How long it may take.
    pub timeout_millis: u64,
}

/// A cluster, what it is asked for, and what goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Decides what chance does.
    pub seed: u64,
    /// The workers.
    pub hosts: Vec<Host>,
    /// The functions; at least one.
    pub functions: Vec<Kind>,
    /// How many may wait.
    pub queue: usize,
    /// 0: least loaded; 1: best fit; otherwise bin packing.
    pub scheduler: u8,
    /// By how many hundredths the predictor errs; none: it has to learn.
    pub error: Option<u64>,
    /// What happens, and how many milliseconds after the start.
    pub actions: Vec<(u64, Action)>,
}

/// How long work may take to end after load and faults are over. The longest way to an end: a file that does not come, three
/// times; a worker found dead; two runs up to their deadline; a place in the queue behind all others.
const PATIENCE: Duration = Duration::from_secs(900);
/// How long workers have to answer before the master's picture has to be true.
const SETTLE: Duration = Duration::from_secs(15);

impl Scenario {
    /// The cluster, before anything has happened.
    pub fn build(&self) -> Simulation {
        let functions: Vec<SimFunction> =
            self.functions.iter().enumerate().map(|(n, k)| k.build(n)).collect();
        let config = SimConfig {
            seed: self.seed,
            master: MasterConfig { queue: self.queue, ..MasterConfig::default() },
            policy: Arc::new(Platform {
                scheduler: match self.scheduler {
                    0 => SchedulerConfig::LeastLoaded {},
                    1 => SchedulerConfig::BestFit {},
                    _ => SchedulerConfig::default(),
                },
                predictions: match self.error {
                    Some(percent) => Predictions::Oracle(percent as f64 / 100.0),
                    None => Predictions::Learnt(PredictorConfig::Interpolating {}),
                },
            }),
            benchmarked: 0,
            machines: self.hosts.iter().map(Host::build).collect(),
            functions: functions.into(),
            start_up: StartUp { cold: Duration::from_millis(40), warm: Duration::from_millis(2) },
            network: Network { jitter: Duration::from_millis(2), ..Network::default() },
        };
        let (functions, hosts) = (self.functions.len(), self.hosts.len());
        let at = |millis: u64| START + Duration::from_millis(millis);
        let arrival = |&(millis, action): &(u64, Action)| match action {
            Action::Run { function, percent, idempotent } => Some(Arrival {
                at: at(millis),
                function: function % functions,
                input_size: InputSize(percent),
                idempotent,
            }),
            Action::Fault(_) => None,
        };
        let workload = Listed::new(self.actions.iter().filter_map(arrival).collect());
        let mut simulation = Simulation::new(config, Box::new(EvenShares), Box::new(workload));
        for &(millis, action) in &self.actions {
            if let Action::Fault(fault) = action {
                simulation.schedule(at(millis), fault.among(hosts, functions));
            }
        }
        simulation
    }

    /// Runs it, and checks every invariant after every event, and at the end those that hold when all is over.
    ///
    /// # Errors
    /// Names the first invariant that does not hold, and when.
    pub fn check(&self) -> Result<(), String> {
        let mut simulation = self.build();
        simulation.count_starts();
        let when = |now: Timestamp, what: String| {
            format!("{:.6} s after the start: {what}", now.since(START).as_secs_f64())
        };
        while !simulation.is_done() {
            if simulation.now() > simulation.troubled_until() + PATIENCE || !simulation.step() {
                break;
            }
            invariants::always(&simulation).map_err(|what| when(simulation.now(), what))?;
        }
        invariants::at_rest(&simulation).map_err(|what| when(simulation.now(), what))?;
        // What was given up may still run where nobody could be told to end it.
        let settled = simulation.now() + SETTLE;
        while simulation.now() < settled && simulation.step() {
            invariants::always(&simulation).map_err(|what| when(simulation.now(), what))?;
        }
        invariants::quiet(&simulation).map_err(|what| when(simulation.now(), what))
    }
}

impl Host {
    fn build(&self) -> MachineConfig {
        let cores = self.cores * self.domains;
        let domain = |number: u16| {
            let mut domain = CacheDomain::nominal(self.cores, Ways::clamped(self.ways), Bytes::mib(1));
            domain.id = DomainId(number * 2);
            domain.cpus = (number * self.cores..(number + 1) * self.cores).map(CpuId).collect();
            domain.geometry.classes = self.classes;
            domain.geometry.contiguous = self.contiguous;
            if self.shareable && self.ways > 1 {
                domain.geometry.shareable = 1 << (self.ways - 1);
            }
            domain
        };
        MachineConfig {
            worker: WorkerConfig { cores, memory: Bytes::mib(self.memory), ..WorkerConfig::default() },
            domains: (0..self.domains).map(domain).collect(),
            slowness: 1.0,
        }
    }
}

impl Kind {
    fn build(&self, number: usize) -> SimFunction {
        let best = self.millis as f64 / 1000.0;
        let point =
            |mib, seconds| CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds };
        // Rounding must not make the worst better than the best.
        let worst = (best * self.hunger as f64 / 100.0).max(best);
        let curve = Curve::new(vec![point(1, worst), point(6, best)], Provenance::Measured);
        SimFunction {
            needs: Needs {
                cores: self.cores,
                memory: Bytes::mib(self.memory),
                isolation: if self.exclusive { Isolation::Exclusive } else { Isolation::Shared },
            },
            timeout: Duration::from_millis(self.timeout_millis),
            status: self.status,
            stubborn: self.stubborn,
            ..SimFunction::growing(
                &format!("function-{number}"),
                InputSize(100),
                curve.expect("it falls from worst to best"),
                1.0,
            )
        }
    }
}

impl Fault {
    /// The same, with numbers that there are.
    fn among(mut self, hosts: usize, functions: usize) -> Self {
        match &mut self {
            Self::Crash { worker, .. }
            | Self::Hang { worker, .. }
            | Self::Slow { worker, .. }
            | Self::Partition { worker, .. }
            | Self::Break { worker }
            | Self::Skew { worker, .. }
            | Self::Allocator { worker, .. }
            | Self::Unenforced { worker, .. }
            | Self::Widen { worker, .. }
            | Self::Drift { worker, .. }
            | Self::Drain { worker, .. } => *worker %= hosts.max(1),
            Self::Benchmark { function } => *function %= functions.max(1),
            Self::Lose { .. }
            | Self::Repeat { .. }
            | Self::Disk { .. }
            | Self::RestartMaster { .. }
            | Self::CancelOldest => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_gain_nothing_from_cache_can_be_built() {
        for millis in 1..4_000 {
            let kind = Kind {
                millis,
                hunger: 100,
                cores: 1,
                memory: 1,
                exclusive: false,
                status: 0,
                stubborn: false,
                timeout_millis: 1_000,
            };
            let function = kind.build(0);
            assert_eq!(function.curves[0].1.points().len(), 2, "{millis} ms");
        }
    }
}
