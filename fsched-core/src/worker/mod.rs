//! The worker as a state machine: takes orders, leases cache, has processes started and ended, reports.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Worker`], and the [`Effect`]s it asks for |
//! | `config.rs` | [`WorkerConfig`]: what it gives to functions |
//! | `admission.rs` | what an order has to pass |
//! | `start.rs` | [`Start`]: what was taken, as it is to be started |
//! | `running.rs` | one attempt, from its order to its report |
//! | `splitting.rs` | how a domain's cache is split among those who share it |
//! | `rooms.rs` | the CPUs of each domain |
//! | `files.rs` | function files in use |
//! | `recent.rs` | attempts that were here before, or were refused |

mod admission;
mod config;
mod files;
mod recent;
mod rooms;
mod running;
mod splitting;
mod start;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use self::config::{WorkerConfig, WorkerConfigError};
use self::files::Files;
use self::recent::Recent;
use self::rooms::Room;
use self::running::{Phase, Running, Why};
pub use self::start::Start;
use crate::allocator::{AllocateError, CacheAllocator, LeaseId, Moved};
use crate::cache::{Bytes, ClosId, DomainId, WayMask, Ways};
use crate::cluster::{DomainStatus, Heartbeat};
use crate::id::{AttemptId, ContentHash, FunctionId, WorkerKey};
use crate::invocation::{Ending, Report};
use crate::launcher::{Exit, Stop};
use crate::maps::Few;
use crate::time::Timestamp;

/// What the machine says of itself at the moment of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MachineStatus {
    /// The machine's memory.
    pub total_ram: Bytes,
    /// The machine's free memory.
    pub free_ram: Bytes,
    /// The machine's swap space.
    pub total_swap: Bytes,
    /// The machine's free swap space.
    pub free_swap: Bytes,
}

/// What the worker wants done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Start a process; tell the end with [`Worker::exited`].
    Start(Start),
    /// End a process tree; its end comes as [`Worker::exited`].
    Stop {
        /// Which.
        attempt: AttemptId,
        /// How.
        how: Stop,
    },
    /// Move a running process tree to another class of its domain, all of it.
    Move {
        /// Which.
        attempt: AttemptId,
        /// Where to.
        class: ClosId,
    },
    /// Give the report to whoever waits for it.
    Report(Arc<Report>),
    /// Remove a file that was discarded and that nothing uses any more.
    RemoveFile(ContentHash),
}

/// What runs, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningAttempt {
    /// Which try of which invocation.
    pub attempt: AttemptId,
    /// Of which function.
    pub function: FunctionId,
    /// In which domain.
    pub domain: DomainId,
    /// Under which class.
    pub class: ClosId,
    /// Which ways it has now.
    pub mask: WayMask,
    /// Whether the hardware enforces that.
    pub enforced: bool,
    /// When it was started.
    pub started: Timestamp,
    /// How it will have ended, where it was told to end.
    pub ending: Option<Ending>,
}

/// A worker: takes orders as far as it has room, and sees each through to exactly one report.
///
/// Every order that it takes gives one [`Effect::Start`] at once and, after [`Worker::exited`], one [`Effect::Report`].
/// What it is told about attempts that it does not know (any more) changes nothing.
pub struct Worker {
    config: WorkerConfig,
    key: WorkerKey,
    version: String,
    allocator: Box<dyn CacheAllocator>,
    files: Files,
    /// By domain, in the allocator's order.
    rooms: Vec<Room>,
    free_memory: Bytes,
    /// Boxed, as they are moved when one before them goes.
    running: Few<AttemptId, Box<Running>>,
    leases: Few<LeaseId, AttemptId>,
    /// When something has to be done about whom.
    due: Few<(Timestamp, AttemptId), ()>,
    recent: Recent,
    refused: Recent,
    stopping: bool,
}

impl Worker {
    /// A worker with nothing to do.
    ///
    /// The configuration has been [validated](WorkerConfig::validate). Its cores are spread over the allocator's domains in
    /// proportion to their CPUs; what is left over goes to the first ones, one each.
    pub fn new(
        config: WorkerConfig,
        key: WorkerKey,
        version: String,
        allocator: Box<dyn CacheAllocator>,
    ) -> Self {
        Self {
            rooms: rooms::spread(config.cores, allocator.domains()),
            free_memory: config.memory,
            config,
            key,
            version,
            allocator,
            files: Files::default(),
            running: Few::default(),
            leases: Few::default(),
            due: Few::default(),
            recent: Recent::default(),
            refused: Recent::default(),
            stopping: false,
        }
    }

    /// The process tree of an attempt is gone, or was never there.
    pub fn exited(&mut self, now: Timestamp, attempt: AttemptId, exit: Exit) -> Vec<Effect> {
        let Some(mut running) = self.running.remove(&attempt) else {
            tracing::warn!(%attempt, "the end of an attempt that does not run");
            return Vec::new();
        };
        if let Some(due) = running.phase.due() {
            self.due.remove(&(due, attempt));
        }
        self.free_memory.0 += running.needs.memory.0;
        if let Some(room) = self.rooms.iter_mut().find(|room| room.domain == running.domain) {
            room.free_cores += running.needs.cores;
            room.running -= 1;
            room.alone = false;
        }
        self.leases.remove(&running.lease);
        let moves = match self.allocator.release(running.lease) {
            Ok(moved) => self.apply(now, &moved),
            Err(error) => {
                tracing::error!(%attempt, %error, "a lease could not be given back");
                Vec::new()
            }
        };
        // Orders of attempts that it remembers are refused, so it does not know this one yet.
        self.recent.add(running.term, attempt);
        let (file, domain) = (running.file, running.domain);
        let report = running.report(attempt, exit, self.allocator.enforced());
        let mut effects = Vec::with_capacity(moves.len() + 2);
        effects.extend(moves);
        effects.push(Effect::Report(Arc::new(report)));
        if self.files.end(file) {
            effects.push(Effect::RemoveFile(file));
        }
        effects.extend(self.resplit(now, domain, None));
        self.plan_look(now, domain);
        effects
    }

    /// Ends an attempt because someone asks for it, or nobody waits for it: SIGTERM now, SIGKILL after the grace (by
    /// [`tick`](Self::tick)). One that is being ended already is left to that.
    pub fn cancel(&mut self, now: Timestamp, attempt: AttemptId) -> Vec<Effect> {
        self.terminate(now, attempt, Why::Cancelled).into_iter().collect()
    }

    /// A function's file has come, whole and checked: it stays, also where it was about to go.
    pub fn file_arrived(&mut self, file: ContentHash) {
        self.files.arrived(file);
    }

    /// A file is of no use any more: it is removed now, or when the last attempt that runs it ends.
    pub fn discard_file(&mut self, file: ContentHash) -> Vec<Effect> {
        if self.files.discard(file) { vec![Effect::RemoveFile(file)] } else { Vec::new() }
    }

    /// Sees to deadlines: SIGTERM when the time is up, SIGKILL after the grace; looks whether the caches are still well split. May be called at any time, again and again.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some((due, attempt)) = self.due.first().map(|(&due, ())| due).filter(|(due, _)| *due <= now)
        {
            self.due.remove(&(due, attempt));
            let effect = match self.running.get_mut(&attempt).map(|running| (running.phase, running)) {
                Some((Phase::Running { .. }, _)) => self.terminate(now, attempt, Why::TimedOut),
                Some((Phase::Terminating { why, .. }, running)) => {
                    running.phase = Phase::Killed { why };
                    Some(Effect::Stop { attempt, how: Stop::Kill })
                }
                Some((Phase::Killed { .. }, _)) | None => None,
            };
            effects.extend(effect);
        }
        let looks: Vec<DomainId> = self
            .rooms
            .iter()
            .filter(|room| room.look.is_some_and(|look| look <= now))
            .map(|room| room.domain)
            .collect();
        for domain in looks {
            effects.extend(self.resplit(now, domain, None));
            self.plan_look(now, domain);
        }
        effects
    }

    /// Looks whether the system still has what its cache is divided with. To be called now and then: with every heartbeat.
    pub fn look_after(&mut self, now: Timestamp) -> Vec<Effect> {
        let moved = self.allocator.check();
        self.apply(now, &moved)
    }

    /// When [`tick`](Self::tick) wants to be called next; `None`: nothing is pending.
    pub fn next_tick(&self) -> Option<Timestamp> {
        let due = self.due.first().map(|(&(due, _), ())| due);
        self.rooms.iter().filter_map(|room| room.look).chain(due).min()
    }

    /// Takes no orders from now on. What runs goes on.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Ends everything that runs, as [`cancel`](Self::cancel) does.
    pub fn cancel_all(&mut self, now: Timestamp) -> Vec<Effect> {
        let attempts: Vec<AttemptId> = self.running.keys().copied().collect();
        attempts.into_iter().filter_map(|attempt| self.terminate(now, attempt, Why::Cancelled)).collect()
    }

    /// Gives back what the system lent for dividing the cache, after the last attempt is over. It takes no orders after that.
    ///
    /// # Errors
    /// Where something stays behind.
    pub fn close(&mut self) -> Result<(), AllocateError> {
        self.stopping = true;
        self.allocator.close()
    }

    /// Whether it takes no orders any more.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether nothing runs.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// What it says of itself.
    pub fn heartbeat(&self, machine: MachineStatus) -> Heartbeat {
        let status = |(domain, room): (&crate::cache::CacheDomain, &Room)| {
            let usage = self.allocator.usage(domain.id);
            DomainStatus {
                domain: domain.clone(),
                cores: room.cores,
                free_cores: room.free_cores,
                exclusive_ways: usage.exclusive_ways,
                free_ways: usage.free_ways,
                largest_exclusive: Ways::new(usage.largest_exclusive).ok(),
            }
        };
        Heartbeat {
            key: self.key,
            version: self.version.clone(),
            enforced: self.allocator.enforced(),
            memory: self.config.memory,
            free_memory: self.free_memory,
            total_ram: machine.total_ram,
            free_ram: machine.free_ram,
            total_swap: machine.total_swap,
            free_swap: machine.free_swap,
            domains: self.allocator.domains().iter().zip(&self.rooms).map(status).collect(),
            classes: Vec::new(),
            intruders: self.allocator.intruders(),
            running: self.running.keys().copied().collect(),
            stopping: self.stopping,
        }
    }

    /// Who it is.
    pub fn key(&self) -> WorkerKey {
        self.key
    }

    /// What it gives to functions.
    pub fn config(&self) -> &WorkerConfig {
        &self.config
    }

    /// Who runs in a domain, on which ways, by attempt.
    pub fn masks(&self, domain: DomainId) -> impl Iterator<Item = (AttemptId, WayMask)> {
        let here = self.running.iter().filter(move |(_, running)| running.domain == domain);
        here.map(|(&attempt, running)| (attempt, running.mask))
    }

    /// What runs, by attempt.
    pub fn running(&self) -> impl Iterator<Item = RunningAttempt> {
        let enforced = self.allocator.enforced();
        self.running.iter().map(move |(&attempt, running)| RunningAttempt {
            attempt,
            function: running.function,
            domain: running.domain,
            class: running.class,
            mask: running.mask,
            enforced,
            started: running.started,
            ending: running.phase.ending(),
        })
    }

    /// Asks an attempt to end, unless it was asked before.
    fn terminate(&mut self, now: Timestamp, attempt: AttemptId, why: Why) -> Option<Effect> {
        let running = self.running.get_mut(&attempt)?;
        let Phase::Running { deadline } = running.phase else { return None };
        let kill_at = now + self.config.grace;
        running.phase = Phase::Terminating { why, kill_at };
        self.due.remove(&(deadline, attempt));
        self.due.insert((kill_at, attempt), ());
        Some(Effect::Stop { attempt, how: Stop::Terminate })
    }

    /// Others got more or fewer ways, or another class: those have to be moved there.
    fn apply(&mut self, now: Timestamp, moved: &[Moved]) -> Vec<Effect> {
        let mut moves = Vec::new();
        for moved in moved {
            let attempt = self.leases.get(&moved.lease);
            let Some(running) = attempt.and_then(|attempt| self.running.get_mut(attempt)) else { continue };
            if running.class != moved.class {
                running.class = moved.class;
                moves.extend(attempt.map(|&attempt| Effect::Move { attempt, class: moved.class }));
            }
            running.mask = moved.mask;
            let cache = admission::bytes(&*self.allocator, running.domain, moved.mask);
            running.segments.change(now, cache);
        }
        moves
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("key", &self.key)
            .field("rooms", &self.rooms)
            .field("free_memory", &self.free_memory)
            .field("running", &self.running)
            .field("stopping", &self.stopping)
            .finish_non_exhaustive()
    }
}
