//! The master as a state machine: accepts invocations, predicts, places, fails over, benchmarks.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Master`], and the [`Effect`]s it asks for |
//! | `config.rs` | [`MasterConfig`]: how it behaves |
//! | `controller.rs` | the life of an invocation: accepted, placed, sent, ended |
//! | `recovery.rs` | what becomes of an invocation whose order brought no report |
//! | `benchmarks.rs` | benchmarks: which ways to run, how often, and what came out |
//! | `profiles.rs` | what profiles found becomes samples |
//! | `cluster.rs` | workers as they come, answer, drain and go |
//! | `functions.rs` | functions by id and name, and who uses them |
//! | `members.rs` | the workers' books: liveness, promises, files |
//! | `queue.rs` | who waits for room, and who may overtake whom |
//! | `history.rs` | what is over |

mod benchmarks;
mod cluster;
mod config;
mod controller;
mod functions;
mod history;
mod members;
mod profiles;
mod queue;
mod recovery;
#[cfg(test)]
mod tests;

pub use benchmarks::{BenchmarkError, BenchmarkPoint, BenchmarkReport, BenchmarkRequest};
pub use config::{MasterConfig, MasterConfigError};
pub use controller::{CancelError, SubmitError};
pub use functions::FunctionInfo;
pub use members::WorkerInfo;
pub use profiles::ProfilePoint;
use std::collections::{BTreeMap, BTreeSet};

use crate::cache::DomainId;
use crate::function::{Function, FunctionName, FunctionSpec, InputSize};
use crate::id::{AttemptId, BenchmarkId, ContentHash, FunctionId, InvocationId, WorkerId};
use crate::invocation::{Invocation, InvocationState, Order, Outcome, Submission};
use crate::maps::{Few, Lookup};
use crate::predictor::{Knowledge, Lesson, Prediction, Predictor};
use crate::scheduler::Scheduler;
use crate::store::{EndKind, Record, Snapshot};
use crate::tenant::Tenant;
use crate::time::Timestamp;
use crate::transport::Peer;

/// What the master wants done, in this order: nothing after a `Persist` is done before it is. Where that fails, the
/// driver tells [`Master::not_persisted`] and leaves out what follows from the fact; the rest is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Keep a fact. Where `durable`, wait until it survives the death of the machine.
    Persist {
        /// The fact.
        record: Record,
        /// Whether to wait.
        durable: bool,
    },
    /// Carry an order; tell the end with [`Master::reported`].
    Send {
        /// To whom.
        to: Peer,
        /// What to do.
        order: Box<Order>,
    },
    /// End an attempt; the report still comes as the answer to its `Send`.
    Cancel {
        /// At whose.
        to: Peer,
        /// Which.
        attempt: AttemptId,
    },
    /// Bring a function's file to a worker; tell the end with [`Master::transferred`].
    Transfer {
        /// To whom.
        to: Peer,
        /// Which.
        file: ContentHash,
    },
    /// Tell a worker that a file is of no use any more.
    Discard {
        /// Whom.
        to: Peer,
        /// Which.
        file: ContentHash,
    },
    /// Remove the master's own copy of a file, unless it is held again by then ([`Master::holds_file`]).
    RemoveFile(ContentHash),
    /// Ask a worker how it is; tell the answer with [`Master::inspected`].
    Inspect(Peer),
    /// An invocation has ended: tell whoever waits for it.
    Reply {
        /// Which.
        invocation: InvocationId,
        /// How.
        outcome: Outcome,
    },
    /// A benchmark has ended: tell whoever waits for it.
    Benchmarked {
        /// Which.
        benchmark: BenchmarkId,
        /// How.
        result: Result<BenchmarkReport, BenchmarkError>,
    },
}

impl Effect {
    /// Whether it follows from a fact, and must not be done where that could not be kept.
    pub fn follows_from(&self, fact: &Record) -> bool {
        match fact {
            Record::FunctionPut(_) | Record::FunctionRemoved(_) => true,
            Record::Accepted(accepted) => {
                matches!(self, Self::Send { order, .. } if order.attempt.invocation == accepted.id)
            }
            Record::WorkerPut(_) | Record::WorkerRemoved(_) | Record::Sampled(_) | Record::Ended { .. } => {
                false
            }
        }
    }
}

/// Effects in the order in which they are to be done.
pub type Effects = Vec<Effect>;

/// Whether something went at once or waits for what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Done,
    /// It goes when this many invocations have ended; it gets no new ones.
    Waiting(usize),
}

/// There is no such function, or it was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no function {0}")]
pub struct UnknownFunction(pub FunctionId);

/// There is no such worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no worker {0}")]
pub struct UnknownWorker(pub WorkerId);

/// An operator removed this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this worker was removed; it is taken back when somebody adds it (`fsched workers add`)")]
pub struct WorkerRemoved;

/// How the master stands, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Functions there are.
    pub functions: usize,
    /// Invocations that wait for room.
    pub queued: usize,
    /// Invocations whose function's file is on its way.
    pub fetching: usize,
    /// Invocations at workers.
    pub running: usize,
    /// Benchmarks under way.
    pub benchmarks: usize,
    /// Workers that answer and take work.
    pub workers_alive: usize,
    /// Workers that answer and take no new work.
    pub workers_draining: usize,
    /// Workers that have not answered for a while.
    pub workers_suspect: usize,
    /// Workers that are given up.
    pub workers_dead: usize,
    /// Cores of workers that accept work.
    pub cores: u32,
    /// Cores of those that are not promised.
    pub cores_free: u32,
    /// Ways asked for or promised on workers that accept work.
    pub ways_reserved: u32,
    /// Ways on those that nobody asked for.
    pub ways_free: u32,
    /// Invocations accepted since the master was started.
    pub accepted: u64,
    /// The same, by tenant: those on whose behalf there was one.
    pub accepted_for: BTreeMap<Tenant, u64>,
    /// Invocations refused since then: no room in the queue, nothing large enough.
    pub refused: u64,
    /// Second tries since then, after a worker was lost.
    pub failed_over: u64,
    /// Invocations ended since then, by how.
    pub ended: BTreeMap<&'static str, u64>,
}

/// The master of a cluster.
///
/// Every method that changes something takes `now`, which must never go back, and returns [`Effect`]s for the
/// driver to do in order. Nothing here waits, or reads a clock.
pub struct Master {
    config: MasterConfig,
    /// When this life began: attempt ids are unique within one.
    term: u64,
    predictor: Box<dyn Predictor>,
    scheduler: Box<dyn Scheduler>,
    functions: functions::Functions,
    members: members::Members,
    live: Lookup<InvocationId, Box<controller::Live>>,
    queue: queue::Queue,
    history: history::History,
    benchmarks: BTreeMap<BenchmarkId, benchmarks::Session>,
    /// Workers that go when nothing runs on them any more.
    leaving: BTreeSet<WorkerId>,
    next_invocation: u64,
    next_benchmark: u64,
    stopping: bool,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: u64,
    accepted_for: BTreeMap<Tenant, u64>,
    refused: u64,
    failed_over: u64,
    /// By how.
    ended: Few<&'static str, u64>,
}

impl Counts {
    fn accept(&mut self, tenant: &Tenant) {
        self.accepted += 1;
        match self.accepted_for.get_mut(tenant) {
            Some(count) => *count += 1,
            None => {
                self.accepted_for.insert(tenant.clone(), 1);
            }
        }
    }

    fn end(&mut self, how: &'static str) {
        match self.ended.get_mut(&how) {
            Some(count) => *count += 1,
            None => {
                self.ended.insert(how, 1);
            }
        }
    }
}

impl Master {
    /// A master that goes on where `snapshot` ends: what was running then is lost, and that is kept and told.
    pub fn new(
        config: MasterConfig,
        mut predictor: Box<dyn Predictor>,
        scheduler: Box<dyn Scheduler>,
        snapshot: Snapshot,
        now: Timestamp,
    ) -> (Self, Effects) {
        let mut functions =
            functions::Functions::restore(snapshot.functions.into_values(), snapshot.next_function);
        functions.infos().for_each(|info| predictor.introduce(&info.function));
        for sample in &snapshot.samples {
            predictor.observe(sample);
            functions.sampled(sample.function, sample.input_size);
        }
        let patience = members::Patience {
            heartbeat: config.heartbeat,
            suspect_after: config.suspect_after,
            dead_after: config.dead_after,
        };
        let members =
            members::Members::restore(snapshot.workers.into_values(), snapshot.next_worker, patience);
        let mut history = history::History::new(config.history);
        let mut effects = Effects::new();
        for (&id, record) in &snapshot.invocations {
            let (end, at) = record.end.unwrap_or_else(|| {
                let record = Record::Ended { id, end: EndKind::LostMaster, at: now };
                effects.push(Effect::Persist { record, durable: false });
                (EndKind::LostMaster, now)
            });
            history.add(Box::new(controller::from_record(record, end, at)));
        }
        let master = Self {
            queue: queue::Queue::new(config.max_overtakes),
            config,
            term: now.0,
            predictor,
            scheduler,
            functions,
            members,
            live: Lookup::default(),
            history,
            benchmarks: BTreeMap::new(),
            leaving: BTreeSet::new(),
            next_invocation: snapshot.next_invocation.max(1),
            next_benchmark: 1,
            stopping: false,
            counts: Counts::default(),
        };
        (master, effects)
    }

    /// How it behaves.
    pub fn config(&self) -> &MasterConfig {
        &self.config
    }

    /// A function was uploaded: its id and version. The first effect makes it durable.
    pub fn push(&mut self, now: Timestamp, spec: FunctionSpec) -> (Function, Effects) {
        self.members.keep(spec.file);
        let function = self.functions.push(now, spec);
        self.predictor.introduce(&function);
        let record = Record::FunctionPut(Box::new(function.clone()));
        let mut effects = vec![Effect::Persist { record, durable: true }];
        for outdated in self.functions.outdated(&function.spec.name, self.config.versions) {
            if let Ok((_, more)) = self.remove_function(now, outdated) {
                effects.extend(more);
            }
        }
        (function, effects)
    }

    /// No new invocations of a function; it goes when those under way have ended.
    ///
    /// # Errors
    /// Where there is no such function.
    pub fn remove_function(
        &mut self,
        _now: Timestamp,
        id: FunctionId,
    ) -> Result<(Removal, Effects), UnknownFunction> {
        let (users, gone) = self.functions.remove(id).ok_or(UnknownFunction(id))?;
        let mut effects = vec![Effect::Persist { record: Record::FunctionRemoved(id), durable: true }];
        self.bury(gone, &mut effects);
        let removal = if users == 0 { Removal::Done } else { Removal::Waiting(users) };
        Ok((removal, effects))
    }

    fn bury(&mut self, gone: functions::Gone, effects: &mut Effects) {
        gone.functions.into_iter().for_each(|function| self.predictor.forget(function));
        for file in gone.files {
            let discard = |to| Effect::Discard { to, file };
            effects.extend(self.members.discard(file).into_iter().map(discard));
            effects.push(Effect::RemoveFile(file));
        }
    }

    /// A function, unless it was removed.
    pub fn function(&self, id: FunctionId) -> Option<&Function> {
        self.functions.get(id)
    }

    /// A function, also one that was removed and only waits for what runs.
    pub fn function_even_removed(&self, id: FunctionId) -> Option<&Function> {
        self.functions.get_even_removed(id)
    }

    /// The newest version of the function of that name.
    pub fn latest(&self, name: &FunctionName) -> Option<&Function> {
        self.functions.latest(name)
    }

    /// All functions, by id.
    pub fn functions(&self) -> impl Iterator<Item = FunctionInfo> {
        self.functions.infos()
    }

    /// Whether a function refers to a file.
    pub fn holds_file(&self, file: ContentHash) -> bool {
        self.functions.holds_file(file)
    }

    /// What is known of a function at an input size.
    ///
    /// # Errors
    /// Where there is no such function.
    pub fn knowledge(
        &self,
        function: FunctionId,
        input_size: InputSize,
    ) -> Result<Knowledge, UnknownFunction> {
        self.prediction(function, input_size).map(|prediction| prediction.knowledge)
    }

    /// The curve of a function at an input size, as it is predicted now.
    ///
    /// # Errors
    /// Where there is no such function.
    pub fn prediction(
        &self,
        function: FunctionId,
        input_size: InputSize,
    ) -> Result<Prediction, UnknownFunction> {
        self.functions.get(function).ok_or(UnknownFunction(function))?;
        Ok(self.predictor.predict(function, input_size))
    }

    /// The newest version of each function.
    pub fn newest(&self) -> impl Iterator<Item = &Function> {
        self.functions.newest()
    }

    /// What the predictor knows well of a function, for whoever learns across functions.
    pub fn lesson(&self, function: FunctionId) -> Lesson {
        self.predictor.lesson(function)
    }

    /// One invocation, waiting, running or over.
    pub fn invocation(&self, id: InvocationId) -> Option<&Invocation> {
        self.live.get(&id).map(|live| &*live.invocation).or_else(|| self.history.get(id))
    }

    /// All invocations there is memory of, newest first.
    pub fn invocations(&self) -> impl Iterator<Item = &Invocation> {
        let mut live = self.live.sorted().into_iter().rev().map(|(_, live)| &*live.invocation).peekable();
        let mut ended = self.history.iter().peekable();
        std::iter::from_fn(move || match (live.peek(), ended.peek()) {
            (Some(a), Some(b)) if a.id < b.id => ended.next(),
            (Some(_), _) => live.next(),
            (None, _) => ended.next(),
        })
    }

    /// Tells whether a benchmark's or a client's invocation is still to end.
    pub fn is_idle(&self) -> bool {
        self.live.is_empty() && self.benchmarks.is_empty()
    }

    /// Takes no new work from now on; what was accepted goes on.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Looks at the clock. To be called about four times per [`MasterConfig::heartbeat`].
    pub fn tick(&mut self, now: Timestamp) -> Effects {
        let mut effects = Effects::new();
        let watched = self.members.watch(now);
        effects.extend(watched.ask.into_iter().map(Effect::Inspect));
        for attempt in watched.lost {
            self.lose(now, attempt, &mut effects);
        }
        self.dispatch(now, &mut effects);
        effects
    }

    /// The price of a way, as the original's generosity: the change of the cluster's running time with one way more, seconds
    /// per way, zero or below; where a way is cheapest, as that is where it is taken.
    pub fn generosity(&self) -> f64 {
        controller::generosity(self.members.view())
    }

    /// What a way of each cache is worth now, seconds: what those who run there would lose without it. None where everybody has
    /// the fewest ways there can be.
    pub fn prices(&self) -> impl Iterator<Item = (WorkerId, DomainId, Option<f64>)> {
        let domains = |worker: &crate::cluster::WorkerView| {
            let id = worker.id;
            let prices = worker.domains.values().map(move |domain| (id, domain.domain.id, domain.price()));
            prices.collect::<Vec<_>>()
        };
        self.members.view().workers().flat_map(domains)
    }

    /// How it stands, in numbers.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            functions: self.functions.len(),
            queued: self.queue.len(),
            benchmarks: self.benchmarks.len(),
            accepted: self.counts.accepted,
            accepted_for: self.counts.accepted_for.clone(),
            refused: self.counts.refused,
            failed_over: self.counts.failed_over,
            ended: self.counts.ended.iter().map(|(how, count)| (*how, *count)).collect(),
            ..Stats::default()
        };
        let are = |is: fn(&InvocationState) -> bool| self.live.count(|live| is(&live.invocation.state));
        stats.fetching = are(|state| matches!(state, InvocationState::Fetching { .. }));
        stats.running = are(|state| matches!(state, InvocationState::Running { .. }));
        for id in self.members.ids() {
            use crate::cluster::Liveness;
            let view = self.members.view().worker(id);
            match view.map_or(Liveness::Dead, |view| view.liveness) {
                Liveness::Alive if view.is_some_and(|view| view.draining) => stats.workers_draining += 1,
                Liveness::Alive => stats.workers_alive += 1,
                Liveness::Suspect => stats.workers_suspect += 1,
                Liveness::Dead => stats.workers_dead += 1,
            }
        }
        let totals = self.members.view().totals();
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        stats.cores = number(totals.cores);
        stats.cores_free = number(totals.free_cores);
        stats.ways_free = number(totals.free_ways);
        stats.ways_reserved = number(totals.ways - totals.free_ways);
        stats
    }

    /// A [`Effect::Persist`] failed, and what follows from the fact was not done: takes back what depends on it.
    ///
    /// A function that was new is taken back; an invocation that was accepted ends.
    pub fn not_persisted(&mut self, now: Timestamp, record: &Record, reason: &str) -> Effects {
        let mut effects = Effects::new();
        match record {
            Record::FunctionPut(function) => {
                if let Some((_, gone)) = self.functions.remove(function.id) {
                    self.bury(gone, &mut effects);
                    // The fact may have reached the log, only not the disk: it must not come back at the next start.
                    let record = Record::FunctionRemoved(function.id);
                    effects.push(Effect::Persist { record, durable: false });
                }
            }
            Record::Accepted(invocation) => self.end_unplaced(now, invocation.id, reason, &mut effects),
            Record::FunctionRemoved(_)
            | Record::WorkerPut(_)
            | Record::WorkerRemoved(_)
            | Record::Sampled(_)
            | Record::Ended { .. } => {}
        }
        effects
    }

    /// Accepts an invocation: its id.
    ///
    /// # Errors
    /// Says what the client can do: nothing was accepted.
    pub fn submit(
        &mut self,
        now: Timestamp,
        submission: Submission,
    ) -> Result<(InvocationId, Effects), SubmitError> {
        let accepted = self.accept(now, submission, None);
        if accepted.is_err() {
            self.counts.refused += 1;
        }
        accepted
    }
}
