//! A master, its store, its workers and what is between them; their effects are performed in virtual time.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Simulation`]: steps from event to event |
//! | `event.rs` | what happens, and how the log writes it |
//! | `network.rs` | [`Network`]: how long messages take, and which get lost |
//! | `master.rs` | the master's side: its effects, what reaches it, its death and its return |
//! | `worker.rs` | the workers' side: the same for them |
//! | `breaking.rs` | faults, as they strike |

mod breaking;
mod event;
mod master;
mod network;
mod worker;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use fsched_core::cache::{Bytes, CacheGeometry};
use fsched_core::function::InputSize;
use fsched_core::id::{AttemptId, FunctionId, InvocationId, WorkerId};
use fsched_core::invocation::Outcome;
use fsched_core::maps::Lookup;
use fsched_core::master::{Master, MasterConfig};
use fsched_core::predictor::Predictor;
use fsched_core::store::{EndKind, Fold};
use fsched_core::time::Timestamp;

use self::event::Event;
pub use self::network::Network;
use crate::fault::{Breach, Fault};
use crate::machine::{MachineConfig, StartUp};
use crate::policy::{Arriving, Clock, Lessons, Policy, Scene, teach};
use crate::queue::EventQueue;
use crate::random::Random;
use crate::rates::Rates;
use crate::truths::Truths;
use crate::workload::Workload;
use crate::{Machine, SimFunction};

/// What is simulated.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Decides everything that chance does.
    pub seed: u64,
    /// How the master behaves.
    pub master: MasterConfig,
    /// What is put into its seams.
    pub policy: Arc<dyn Policy>,
    /// At how many input sizes each function is benchmarked before it begins.
    pub benchmarked: usize,
    /// The workers' hosts.
    pub machines: Vec<MachineConfig>,
    /// What functions really do. They are pushed in this order when it begins.
    pub functions: Arc<[SimFunction]>,
    /// How long it takes to start a function.
    pub start_up: StartUp,
    /// What is between master and workers.
    pub network: Network,
}

impl SimConfig {
    /// Nobody is turned away, few of those that are over are remembered, nothing is benchmarked before; starting takes 20 ms the first
    /// time on a machine and 1 ms later.
    pub fn new(
        seed: u64,
        policy: Arc<dyn Policy>,
        machines: Vec<MachineConfig>,
        functions: impl Into<Arc<[SimFunction]>>,
    ) -> Self {
        Self {
            seed,
            master: MasterConfig { queue: usize::MAX, history: 100, ..MasterConfig::default() },
            policy,
            benchmarked: 0,
            machines,
            functions: functions.into(),
            start_up: StartUp { cold: Duration::from_millis(20), warm: Duration::from_millis(1) },
            network: Network::default(),
        }
    }
}

/// One invocation that has ended, for the client and in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub invocation: InvocationId,
    /// Of which function, by number.
    pub function: usize,
    /// On how much input.
    pub input_size: InputSize,
    /// When it was accepted.
    pub submitted: Timestamp,
    /// When its client had the outcome; where the master died, when it was found to be lost.
    pub at: Timestamp,
    /// How long it ran at the worker; none: it did not, or nobody knows.
    pub ran: Option<Duration>,
    /// How much of that it took to start it.
    pub start: Duration,
    /// How long it would have run alone with the whole cache of the first machine, once started.
    pub alone: Duration,
    /// How it ended.
    pub end: EndKind,
}

/// An invocation that was accepted and has not ended.
#[derive(Debug, Clone, Copy)]
struct Open {
    function: usize,
    input_size: InputSize,
    submitted: Timestamp,
    /// How long it took to start it, where it was started.
    start: Duration,
}

/// How often an invocation was started, and how often it may be.
#[derive(Debug, Clone, Copy)]
struct Starts {
    may: u32,
    were: u32,
}

impl Default for Starts {
    fn default() -> Self {
        Self { may: 1, were: 0 }
    }
}

/// How many of which kind there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that happened.
    pub events: u64,
    /// Runs that were asked for.
    pub asked: u64,
    /// Of those accepted.
    pub accepted: u64,
    /// Invocations that ended, benchmarks' runs too.
    pub ended: u64,
}

/// A cluster under virtual time.
pub struct Simulation {
    functions: Arc<[SimFunction]>,
    truths: Truths,
    scene: Scene,
    config: SimConfig,
    queue: EventQueue<Event>,
    random: Random,
    rates: Box<dyn Rates>,
    workload: Box<dyn Workload>,
    /// None: it is dead.
    master: Option<Master>,
    /// Which life of the master it is.
    life: u64,
    store: Fold,
    machines: Vec<Machine>,
    ids: Vec<FunctionId>,
    numbers: Lookup<FunctionId, usize>,
    /// Calls whose answer the master waits for.
    sent: Lookup<u64, (usize, WorkerId, AttemptId)>,
    /// Questions whose answer it waits for.
    questions: BTreeSet<u64>,
    next_call: u64,
    open: Lookup<InvocationId, Open>,
    ended: Vec<Ended>,
    /// Ends of processes that are to be announced; empty between events, and kept for its memory.
    ends: Vec<(Timestamp, AttemptId, u64)>,
    counts: Counts,
    lose: (f64, Timestamp),
    repeat: (f64, Timestamp),
    /// Which share of facts the store loses, until when.
    disk: (f64, Timestamp),
    /// Invocations of which it lost a fact: another end of theirs is no news.
    unkept: BTreeSet<InvocationId>,
    breach: Option<Breach>,
    /// Until when something is still to go wrong, or to be asked for.
    troubled_until: Timestamp,
    /// What must never happen and did.
    violations: Vec<String>,
    log: Option<String>,
    /// How often each was started; none: nobody wants to know.
    starts: Option<Lookup<InvocationId, Starts>>,
}

/// When simulations begin.
pub const START: Timestamp = Timestamp(1_700_000_000_000_000_000);

impl Simulation {
    /// A cluster whose workers register, and whose functions are pushed, as it begins. Its clock starts at [`START`].
    ///
    /// # Panics
    /// Where there are no functions, and where an arrival names one that there is not.
    pub fn new(config: SimConfig, rates: Box<dyn Rates>, workload: Box<dyn Workload>) -> Self {
        assert!(!config.functions.is_empty(), "a simulation needs a function");
        let functions = Arc::clone(&config.functions);
        let scene = Scene {
            functions: Arc::clone(&functions),
            random: Random::new(config.seed),
            way_size: geometry(&config).map_or(Bytes::mib(1), |geometry| geometry.way_size()),
            classes: geometry(&config).map_or(0, |geometry| geometry.classes),
            clock: Clock::default(),
            arriving: Arriving::default(),
        };
        scene.clock.set(START);
        let machine = |(number, machine): (usize, &MachineConfig)| {
            Machine::new(number, machine.clone(), START, &*config.policy, &scene)
        };
        let machines = config.machines.iter().enumerate().map(machine).collect();
        let mut simulation = Self {
            truths: Truths::new(
                Arc::clone(&functions),
                geometry(&config).map(|geometry| (geometry, config.machines[0].slowness)),
            ),
            functions,
            scene,
            queue: EventQueue::new(START),
            random: Random::new(config.seed),
            config,
            rates,
            workload,
            master: None,
            life: 0,
            store: Fold::default(),
            machines,
            ids: Vec::new(),
            numbers: Lookup::default(),
            sent: Lookup::default(),
            questions: BTreeSet::new(),
            next_call: 0,
            open: Lookup::default(),
            ended: Vec::new(),
            ends: Vec::new(),
            counts: Counts::default(),
            lose: (0.0, START),
            repeat: (0.0, START),
            disk: (0.0, START),
            unkept: BTreeSet::new(),
            breach: None,
            troubled_until: START,
            violations: Vec::new(),
            log: None,
            starts: None,
        };
        simulation.start_master();
        simulation.push_functions();
        for machine in 0..simulation.machines.len() {
            let life = simulation.machines[machine].life;
            simulation.queue.push(START, Event::Register { machine, life });
        }
        simulation.await_arrival();
        simulation
    }

    /// Has something go wrong at some time.
    pub fn schedule(&mut self, at: Timestamp, fault: Fault) {
        self.troubled_until = self.troubled_until.max(at);
        self.queue.push(at, Event::Fault(fault));
    }

    /// Keeps a log from now on: a line for each event.
    pub fn keep_log(&mut self) {
        self.log.get_or_insert_default();
    }

    /// Counts from now on how often each invocation is started, and calls it a violation where that is too often. Takes memory for
    /// each of them.
    pub fn count_starts(&mut self) {
        self.starts.get_or_insert_default();
    }

    /// Has a part of the simulator break its contract from now on: for tests of the invariants.
    pub fn breach(&mut self, breach: Breach) {
        self.breach = Some(breach);
    }

    /// The log so far; empty where none is kept.
    pub fn log(&self) -> &str {
        self.log.as_deref().unwrap_or_default()
    }

    /// Lets the next event happen; false: nothing will ever happen again.
    pub fn step(&mut self) -> bool {
        let Some((now, seq, event)) = self.queue.pop() else { return false };
        self.counts.events += 1;
        self.scene.clock.set(now);
        if let Some(log) = &mut self.log {
            // Writing to a string does not fail.
            let _ = writeln!(log, "{now} {seq} {event}");
        }
        self.happen(now, event);
        true
    }

    /// Lets everything happen up to `until`.
    pub fn run_until(&mut self, until: Timestamp) {
        while self.queue.next_at().is_some_and(|at| at <= until) {
            self.step();
        }
    }

    /// Lets everything happen until all arrivals have come and all work has ended, but no longer than to `limit`. Whether it
    /// has.
    pub fn run_to_end(&mut self, limit: Timestamp) -> bool {
        while !self.is_done() && self.queue.next_at().is_some_and(|at| at <= limit) {
            self.step();
        }
        self.is_done()
    }

    /// Whether nothing is to come or to end any more, and nothing is to go wrong.
    pub fn is_done(&self) -> bool {
        self.now() > self.troubled_until
            && self.open.is_empty()
            && self.master.as_ref().is_some_and(Master::is_idle)
    }

    /// When the last event was.
    pub fn now(&self) -> Timestamp {
        self.queue.now()
    }

    /// Until when something is to be asked for or to go wrong, as far as is known.
    pub fn troubled_until(&self) -> Timestamp {
        self.troubled_until
    }

    /// The master; none: it is dead for now.
    pub fn master(&self) -> Option<&Master> {
        self.master.as_ref()
    }

    /// The workers' hosts, by number.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// What is simulated.
    pub fn config(&self) -> &SimConfig {
        &self.config
    }

    /// How many of which kind there were.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Invocations that were accepted and have not ended.
    pub fn open(&self) -> impl Iterator<Item = InvocationId> {
        self.open.sorted().into_iter().map(|(id, _)| *id)
    }

    /// When those were accepted.
    pub fn open_since(&self) -> impl Iterator<Item = Timestamp> {
        self.open.sorted().into_iter().map(|(_, open)| open.submitted)
    }

    /// What must never happen and did, as far as it shows in what the master has kept and said.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// The invocations that have ended since this was asked last, in that order.
    pub fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    fn happen(&mut self, now: Timestamp, event: Event) {
        match event {
            Event::Arrival(arrival) => self.arrive(now, arrival),
            Event::Fault(fault) => self.strike(now, fault),
            Event::Healed(machine) => self.heal(now, machine),
            Event::Undrain(worker) => self.end_drain(now, worker),
            Event::MasterTick(life) => self.tick_master(now, life),
            Event::MasterStarts => self.start_master(),
            Event::AtWorker(machine, message) => self.at_worker(now, machine, message),
            Event::AtMaster(life, message) => self.at_master(now, life, message),
            Event::Exit { machine, life, attempt, generation } => {
                self.process_ends(now, machine, life, attempt, generation);
            }
            Event::Full { machine, life } => self.ways_full(now, machine, life),
            Event::WorkerTick { machine, life } => self.tick_worker(now, machine, life),
            Event::WorkerStarts(machine) => self.start_machine(now, machine),
            Event::Register { machine, life } => self.register(now, machine, life),
            Event::CancelAgain { life, to, attempt, round } => {
                self.cancel_again(now, life, to, attempt, round)
            }
            Event::NoAnswer { life, question, worker } => self.no_answer(now, life, question, worker),
        }
    }

    /// Asks the workload for the one that comes next.
    fn await_arrival(&mut self) {
        if let Some(arrival) = self.workload.next() {
            self.troubled_until = self.troubled_until.max(arrival.at);
            self.queue.push(arrival.at, Event::Arrival(arrival));
        }
    }

    /// The policy's predictor, after its lessons.
    fn predictor(&self) -> Box<dyn Predictor> {
        let mut predictor = self.config.policy.predictor(&self.scene);
        let Some(machine) = self.config.machines.first().filter(|_| self.config.benchmarked > 0) else {
            return predictor;
        };
        let allocator = self.config.policy.allocator(&self.scene, machine.domains.clone());
        let lessons = Lessons {
            sizes: self.config.benchmarked,
            points: self.config.master.benchmark_points,
            repeats: self.config.master.benchmark_repeats,
            geometry: &machine.domains[0].geometry,
            enforced: allocator.enforced(),
        };
        teach(&mut *predictor, &self.functions, &lessons);
        predictor
    }
}

/// The first machine's first cache.
fn geometry(config: &SimConfig) -> Option<CacheGeometry> {
    Some(config.machines.first()?.domains.first()?.geometry)
}

/// How long it ran at the worker, where that is known.
fn ran(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Ran { report, .. } => Some(report.wall),
        Outcome::Cancelled | Outcome::Lost(_) | Outcome::Unplaceable(_) => None,
    }
}
