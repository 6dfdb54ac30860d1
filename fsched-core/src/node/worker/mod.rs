//! A worker with its launcher and its files.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`WorkerNode`]: what a master can ask of it, and how its effects are performed |
//! | `machine.rs` | what the machine says of its memory |

mod machine;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::{FileStore, Now};
use crate::allocator::{Monitor, Monitored};
use crate::cache::{ClosId, DomainId};
use crate::cluster::Heartbeat;
use crate::id::{AttemptId, ContentHash};
use crate::invocation::{Order, Report};
use crate::launcher::{Exit, Launcher};
use crate::time::Timestamp;
use crate::transport::Refusal;
use crate::worker::{Effect, Worker};

/// A worker with its launcher and its files.
///
/// Its effects are performed in the order in which the worker asked for them, one at a time, without the lock:
/// whoever finds nobody at it performs those of others too. So a process is never stopped before it is started.
pub struct WorkerNode {
    state: Mutex<State>,
    launcher: Arc<dyn Launcher>,
    files: FileStore,
    now: Now,
    /// Told when there is an earlier deadline than the one that is waited for.
    earlier: Arc<Notify>,
    /// Told when nothing runs any more.
    idle: Notify,
    monitor: Option<Monitor>,
    /// What the classes of those that run had used when they were started.
    begun: Mutex<HashMap<AttemptId, (DomainId, ClosId, Monitored)>>,
}

/// What the lock is for.
struct State {
    worker: Worker,
    clock: Timestamp,
    reports: HashMap<AttemptId, oneshot::Sender<Arc<Report>>>,
    /// What is to be performed, in order.
    effects: VecDeque<Effect>,
    /// Whether somebody is performing.
    performing: bool,
    /// The deadline that is waited for.
    deadline: Option<Timestamp>,
}

impl WorkerNode {
    /// Drives a worker; its deadlines are watched on the current tokio runtime. Its files are best [verified](FileStore::verify_all)
    /// before: else the first order that needs one waits until it is read.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(worker: Worker, launcher: Arc<dyn Launcher>, files: FileStore, now: Now) -> Arc<Self> {
        Self::start_monitored(worker, launcher, files, now, None)
    }

    /// The same with a monitor: its reports and heartbeats say what classes use.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start_monitored(
        worker: Worker,
        launcher: Arc<dyn Launcher>,
        files: FileStore,
        now: Now,
        monitor: Option<Monitor>,
    ) -> Arc<Self> {
        let state = State {
            worker,
            clock: now(),
            reports: HashMap::new(),
            effects: VecDeque::new(),
            performing: false,
            deadline: None,
        };
        let earlier = Arc::new(Notify::new());
        let node = Arc::new(Self {
            state: Mutex::new(state),
            launcher,
            files,
            now,
            earlier: Arc::clone(&earlier),
            idle: Notify::new(),
            monitor,
            begun: Mutex::default(),
        });
        tokio::spawn(watch_deadlines(Arc::downgrade(&node), earlier));
        node
    }

    /// Reads the worker, with the lock held: be short.
    pub fn read<T>(&self, f: impl FnOnce(&Worker) -> T) -> T {
        f(&self.state.lock().worker)
    }

    /// Its functions' files.
    pub fn files(&self) -> &FileStore {
        &self.files
    }

    /// Runs an order and waits until its attempt is over. Dropping the future cancels the attempt: nobody waits
    /// for its report.
    ///
    /// # Errors
    /// Where the worker does not take it: nothing was started.
    pub async fn execute(self: &Arc<Self>, order: Order) -> Result<Report, Refusal> {
        let attempt = order.attempt;
        // A function may have written to its own file: what runs under a content's hash is that content.
        let intact = self.files.is_intact(order.file);
        let report = self.act(|state, now| {
            // With the lock held, under which files are removed.
            let has_file = intact && self.files.is_known(order.file);
            let effects = state.worker.order(now, order, has_file)?;
            let (sender, report) = oneshot::channel();
            state.reports.insert(attempt, sender);
            Ok((report, effects))
        })?;
        let mut waiting = Waiting { node: Some(self), attempt };
        let report = report.await;
        waiting.node = None;
        Ok(Arc::unwrap_or_clone(report.expect("the worker reports every order that it took")))
    }

    /// Ends an attempt; unknown ones are ignored.
    pub fn cancel(self: &Arc<Self>, attempt: AttemptId) {
        self.tell(|state, now| state.worker.cancel(now, attempt));
    }

    /// Takes note of a file that was put, whole, into [`files`](WorkerNode::files). Says whether it is still there:
    /// one that was discarded in that moment has to be brought again.
    #[must_use]
    pub fn file_arrived(&self, file: ContentHash) -> bool {
        let mut state = self.state.lock();
        // With the lock held, under which files are removed too.
        let there = self.files.contains(file);
        if there {
            state.worker.file_arrived(file);
        }
        there
    }

    /// Forgets a file, as soon as nothing that runs uses it.
    pub fn discard_file(self: &Arc<Self>, file: ContentHash) {
        self.tell(|state, _| state.worker.discard_file(file));
    }

    /// How the worker and its machine are, after a look whether the system still has what the cache is divided with.
    pub fn heartbeat(self: &Arc<Self>) -> Heartbeat {
        self.tell(|state, now| state.worker.look_after(now));
        let machine = machine::status();
        let classes = self.monitor.as_ref().map_or_else(Vec::new, Monitor::all);
        Heartbeat { classes, ..self.read(|worker| worker.heartbeat(machine)) }
    }

    /// Refuses new orders, waits for what runs, ends what `patience` does not suffice for, and waits until that is
    /// gone. Then it gives back the cache.
    pub async fn shutdown(self: &Arc<Self>, patience: Duration) {
        self.state.lock().worker.stop();
        if tokio::time::timeout(patience, self.until_idle()).await.is_err() {
            self.tell(|state, now| state.worker.cancel_all(now));
            self.until_idle().await;
        }
        if let Err(error) = self.state.lock().worker.close() {
            tracing::error!(%error, "the cache was not given back; the next start of this worker adopts what is left");
        }
    }

    async fn until_idle(&self) {
        loop {
            let told = self.idle.notified();
            {
                let state = self.state.lock();
                if state.worker.is_idle() && !state.performing {
                    return;
                }
            }
            told.await;
        }
    }

    fn exited(self: &Arc<Self>, attempt: AttemptId, exit: Exit) {
        self.tell(|state, now| state.worker.exited(now, attempt, exit));
    }

    fn tell(self: &Arc<Self>, call: impl FnOnce(&mut State, Timestamp) -> Vec<Effect>) {
        let Ok(()) = self.act(|state, now| Ok::<_, std::convert::Infallible>(((), call(state, now))));
    }

    /// One call of the worker, and what comes of it.
    fn act<T, E>(
        self: &Arc<Self>,
        call: impl FnOnce(&mut State, Timestamp) -> Result<(T, Vec<Effect>), E>,
    ) -> Result<T, E> {
        let mut state = self.state.lock();
        state.clock = state.clock.max((self.now)());
        let now = state.clock;
        let (value, effects) = call(&mut state, now)?;
        for effect in effects {
            match effect {
                // With the lock held, or a file that arrives in this moment would be lost.
                Effect::RemoveFile(file) => self.remove_file(file),
                other => state.effects.push_back(other),
            }
        }
        let next = state.worker.next_tick();
        if next.is_some_and(|next| state.deadline.is_none_or(|deadline| next < deadline)) {
            state.deadline = next;
            self.earlier.notify_one();
        }
        self.perform(state);
        Ok(value)
    }

    fn remove_file(&self, file: ContentHash) {
        if let Err(error) = self.files.remove(file) {
            tracing::warn!(%file, %error, "a file of no use stays");
        }
    }

    /// Performs what there is to perform, unless somebody is at it: that one does this too.
    fn perform(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.performing {
            return;
        }
        state.performing = true;
        while let Some(effect) = state.effects.pop_front() {
            match effect {
                Effect::Report(mut report) => {
                    let waiting = state.reports.remove(&report.attempt);
                    MutexGuard::unlocked(&mut state, || {
                        Arc::make_mut(&mut report).monitored = self.monitored(&report);
                        // Nobody waits any more for the report of what was cancelled by going away.
                        let _ = waiting.map(|waiting| waiting.send(report));
                    });
                }
                other => MutexGuard::unlocked(&mut state, || self.launch_or_stop(other)),
            }
        }
        state.performing = false;
        if state.worker.is_idle() {
            self.idle.notify_waiters();
        }
    }

    fn launch_or_stop(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::Start(start) => {
                let (node, attempt) = (Arc::clone(self), start.attempt());
                if let Some(monitor) = &self.monitor {
                    let (domain, class) = (start.order.domain, start.class);
                    let before = (domain, class, monitor.of(domain, class));
                    self.begun.lock().insert(attempt, before);
                }
                self.launcher.launch(start.launch(), Box::new(move |exit| node.exited(attempt, exit)));
            }
            Effect::Stop { attempt, how } => self.launcher.stop(attempt, how),
            Effect::Move { attempt, class } => self.launcher.move_to(attempt, class),
            Effect::Report(_) | Effect::RemoveFile(_) => unreachable!("these are performed elsewhere"),
        }
    }
}

impl WorkerNode {
    /// What the class of an attempt used while it ran.
    fn monitored(&self, report: &Report) -> Option<Monitored> {
        let monitor = self.monitor.as_ref()?;
        let (domain, class, before) = self.begun.lock().remove(&report.attempt)?;
        let got = report.cache?;
        let now = monitor.of(got.domain, got.class);
        // It may have been moved to another class meanwhile.
        let same = (got.domain, got.class) == (domain, class);
        Some(if same { now.since(&before) } else { now.since_unknown() })
    }
}

impl Drop for WorkerNode {
    fn drop(&mut self) {
        // So that whoever watches the deadlines sees that there are none any more.
        self.earlier.notify_one();
    }
}

/// Cancels an attempt when nobody waits for it any more.
struct Waiting<'a> {
    /// None: the report came.
    node: Option<&'a Arc<WorkerNode>>,
    attempt: AttemptId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(node) = self.node {
            node.cancel(self.attempt);
        }
    }
}

/// Ticks whenever a deadline has come, as long as there is a node.
async fn watch_deadlines(node: Weak<WorkerNode>, earlier: Arc<Notify>) {
    loop {
        let wait = {
            let Some(node) = node.upgrade() else { return };
            node.tell(|state, now| {
                let effects = state.worker.tick(now);
                state.deadline = state.worker.next_tick();
                effects
            });
            let state = node.state.lock();
            state.deadline.map(|deadline| deadline.since(state.clock))
        };
        match wait {
            // A timer's least step is a millisecond: what is due within it, is due.
            Some(wait) => {
                let _ = tokio::time::timeout(wait, earlier.notified()).await;
            }
            None => earlier.notified().await,
        }
    }
}
