//! A master with its store, its transport and its files.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`MasterNode`]: what clients and workers can ask of it |
//! | `perform.rs` | how the master's effects are performed |
//! | `ticket.rs` | [`Ticket`]: waiting for an answer, and going away without it |

mod perform;
mod ticket;

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

pub use ticket::{BenchmarkTicket, Ticket, Waiting};

use super::{FileError, FileStore, Now};
use crate::cluster::Heartbeat;
use crate::function::{Function, FunctionName, FunctionSpec, InputSize};
use crate::id::{AttemptId, BenchmarkId, ContentHash, FunctionId, InvocationId, WorkerId};
use crate::invocation::{Outcome, Submission};
use crate::master::{
    BenchmarkError, BenchmarkReport, BenchmarkRequest, CancelError, Effect, Master, MasterConfig,
    ProfilePoint, Removal, SubmitError, UnknownFunction, UnknownWorker, WorkerRemoved,
};
use crate::predictor::Predictor;
use crate::scheduler::Scheduler;
use crate::store::{Store, StoreError};
use crate::time::Timestamp;
use crate::transport::{Address, Transport, TransportError};

/// How long [`MasterNode::shutdown`] waits for the reports of what it cancelled.
const LAST_REPORTS: Duration = Duration::from_secs(10);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// Its store cannot be read, or cannot keep what the start adds.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its directory of files cannot be used.
    #[error(transparent)]
    Files(#[from] FileError),
}

/// Why a function was not pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// Its file is not there: it has to be in the node's [`FileStore`] before.
    #[error("file {0} is not there: upload it again")]
    MissingFile(ContentHash),
    /// The newest function of that name is another tenant's.
    #[error("the function {0} is another tenant's: take another name")]
    NotYours(FunctionName),
    /// The master is about to stop.
    #[error("the master is stopping")]
    Stopping,
    /// It could not be kept: there is no such function.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a change was not made, or not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError<E> {
    /// It was refused: nothing changed.
    #[error(transparent)]
    Refused(E),
    /// It could not be kept.
    #[error(transparent)]
    Store(StoreError),
}

/// A master with its store, its transport and its files.
///
/// Everything it starts runs on the tokio runtime of whoever asked, and moves to the one that it was started on
/// when that ends. Dropped without [`shutdown`](MasterNode::shutdown), it goes on until the last order is answered.
pub struct MasterNode {
    state: Mutex<State>,
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    files: FileStore,
    now: Now,
    /// Told when a stopping master has nothing left to do.
    idle: Notify,
    home: Handle,
    ticker: OnceLock<AbortHandle>,
}

/// What the lock is for.
struct State {
    master: Master,
    clock: Timestamp,
    outcomes: HashMap<InvocationId, oneshot::Sender<Outcome>>,
    benchmarks: HashMap<BenchmarkId, oneshot::Sender<Result<BenchmarkReport, BenchmarkError>>>,
    /// Orders without an answer yet.
    sent: HashSet<AttemptId>,
    stopping: bool,
}

impl MasterNode {
    /// Starts a master where its store says it ended, on the current tokio runtime.
    ///
    /// Its files are read to see whether they are whole; damaged ones, and those that no function refers to, are
    /// removed. A function whose file is gone stays, and is in the log: pushing the file again heals it.
    ///
    /// # Errors
    /// Where the store or the files cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(
        config: MasterConfig,
        files: FileStore,
        predictor: Box<dyn Predictor>,
        scheduler: Box<dyn Scheduler>,
        store: Arc<dyn Store>,
        transport: Arc<dyn Transport>,
        now: Now,
    ) -> Result<Arc<Self>, NodeError> {
        let snapshot = store.load().await?;
        let whole = files.clone().verify_all_elsewhere().await?;
        for function in snapshot.functions.values().filter(|f| !whole.contains(&f.spec.file)) {
            tracing::error!(function = %function.id, file = %function.spec.file, "a function's file is gone");
        }
        let clock = now();
        let every = (config.heartbeat / 4).max(Duration::from_millis(1));
        let (master, effects) = Master::new(config, predictor, scheduler, snapshot, clock);
        let state = State {
            master,
            clock,
            outcomes: HashMap::new(),
            benchmarks: HashMap::new(),
            sent: HashSet::new(),
            stopping: false,
        };
        let node = Arc::new(Self {
            state: Mutex::new(state),
            store,
            transport,
            files,
            now,
            idle: Notify::new(),
            home: Handle::current(),
            ticker: OnceLock::new(),
        });
        let Ok(((), performed)) = node.act(|_, _| Ok::<_, Infallible>(((), effects)));
        performed.wait().await?;
        for file in whole {
            if !node.read(|master| master.holds_file(file)) {
                node.files.remove(file)?;
            }
        }
        let ticker = tokio::spawn(tick(Arc::downgrade(&node), every));
        node.ticker.get_or_init(|| ticker.abort_handle());
        Ok(node)
    }

    /// Reads the master, with the lock held: be short.
    pub fn read<T>(&self, f: impl FnOnce(&Master) -> T) -> T {
        f(&self.state.lock().master)
    }

    /// What time it is for the master.
    pub fn now(&self) -> Timestamp {
        self.pass_time(&mut self.state.lock())
    }

    /// Its functions' files.
    pub fn files(&self) -> &FileStore {
        &self.files
    }

    /// Makes a function of a file that is in [`files`](MasterNode::files) already. When it returns, the function
    /// survives the death of the machine; so it does when the future is dropped.
    ///
    /// # Errors
    /// See [`PushError`].
    pub async fn push(self: &Arc<Self>, spec: FunctionSpec) -> Result<Function, PushError> {
        let (function, performed) = self.act(|state, now| {
            if state.stopping {
                return Err(PushError::Stopping);
            }
            // With the lock held, under which files are removed too.
            if !self.files.contains(spec.file) {
                return Err(PushError::MissingFile(spec.file));
            }
            let newest = state.master.latest(&spec.name);
            if newest.is_some_and(|newest| !spec.tenant.governs(&newest.spec.tenant)) {
                return Err(PushError::NotYours(spec.name));
            }
            Ok(state.master.push(now, spec))
        })?;
        performed.wait().await?;
        Ok(function)
    }

    /// Removes a function; what runs, ends first.
    ///
    /// # Errors
    /// Where there is no such function, or its removal could not be kept.
    pub async fn remove_function(
        self: &Arc<Self>,
        id: FunctionId,
    ) -> Result<Removal, ChangeError<UnknownFunction>> {
        self.change(|state, now| state.master.remove_function(now, id)).await
    }

    /// Learns from a profile of a function. When it returns, what was learnt survives the death of the machine.
    ///
    /// # Errors
    /// Where there is no such function, or the profile could not be kept.
    pub async fn profiled(
        self: &Arc<Self>,
        function: FunctionId,
        input_size: InputSize,
        points: &[ProfilePoint],
    ) -> Result<(), ChangeError<UnknownFunction>> {
        self.change(|state, _| Ok(((), state.master.profiled(function, input_size, points)?))).await
    }

    /// Accepts an invocation. It runs whether the ticket is polled or not; a ticket that is dropped cancels it.
    ///
    /// # Errors
    /// Says why it was not accepted.
    pub async fn submit(self: &Arc<Self>, submission: Submission) -> Result<Ticket, SubmitError> {
        let ((id, answer), performed) = self.act(|state, now| {
            let (id, effects) = state.master.submit(now, submission)?;
            let (sender, answer) = oneshot::channel();
            state.outcomes.insert(id, sender);
            Ok::<_, SubmitError>(((id, answer), effects))
        })?;
        if let perform::Performed::Now(Err(error)) = performed {
            return Err(SubmitError::NotKept(error));
        }
        Ok(Waiting::new(id, answer, self, Self::abandon_invocation))
    }

    /// Begins a benchmark; a ticket that is dropped cancels it.
    ///
    /// # Errors
    /// Says why it was not accepted.
    pub async fn benchmark(
        self: &Arc<Self>,
        request: BenchmarkRequest,
    ) -> Result<BenchmarkTicket, SubmitError> {
        let ((id, answer), _) = self.act(|state, now| {
            let (id, effects) = state.master.benchmark(now, request)?;
            let (sender, answer) = oneshot::channel();
            state.benchmarks.insert(id, sender);
            Ok::<_, SubmitError>(((id, answer), effects))
        })?;
        Ok(Waiting::new(id, answer, self, Self::abandon_benchmark))
    }

    /// Cancels an invocation, wherever it stands. Whoever has its ticket gets its outcome.
    ///
    /// # Errors
    /// Where there is no such invocation, or it is over.
    pub async fn cancel(self: &Arc<Self>, id: InvocationId) -> Result<(), CancelError> {
        self.cancel_now(id)
    }

    /// Takes in a worker that registers itself, or finds it again by its key. When it returns, the worker survives
    /// the death of the machine.
    ///
    /// # Errors
    /// Where an operator removed it, or it could not be kept.
    pub async fn register(
        self: &Arc<Self>,
        address: Address,
        heartbeat: Heartbeat,
    ) -> Result<WorkerId, ChangeError<WorkerRemoved>> {
        self.change(|state, now| state.master.register(now, address, heartbeat)).await
    }

    /// Takes in a worker that somebody names, or finds it again by its key. When it returns, the worker survives the
    /// death of the machine.
    ///
    /// # Errors
    /// Where that could not be kept.
    pub async fn join(
        self: &Arc<Self>,
        address: Address,
        heartbeat: Heartbeat,
    ) -> Result<WorkerId, StoreError> {
        let Ok((id, performed)) =
            self.act(|state, now| Ok::<_, Infallible>(state.master.join(now, address, heartbeat)));
        performed.wait().await?;
        Ok(id)
    }

    /// Asks whoever listens at `address` who it is, and takes it in.
    ///
    /// # Errors
    /// Where no worker answers there, or it could not be kept.
    pub async fn add_worker(
        self: &Arc<Self>,
        address: Address,
    ) -> Result<WorkerId, ChangeError<TransportError>> {
        let heartbeat = self.transport.inspect(&address).await.map_err(ChangeError::Refused)?;
        self.join(address, heartbeat).await.map_err(ChangeError::Store)
    }

    /// Gives a worker no new work, or new work again.
    ///
    /// # Errors
    /// Where there is no such worker, or the change could not be kept.
    pub async fn drain(
        self: &Arc<Self>,
        id: WorkerId,
        draining: bool,
    ) -> Result<(), ChangeError<UnknownWorker>> {
        self.change(|state, now| state.master.drain(now, id, draining).map(|effects| ((), effects))).await
    }

    /// Forgets a worker; what runs there, ends first.
    ///
    /// # Errors
    /// Where there is no such worker, or its removal could not be kept.
    pub async fn remove_worker(
        self: &Arc<Self>,
        id: WorkerId,
    ) -> Result<Removal, ChangeError<UnknownWorker>> {
        self.change(|state, now| state.master.remove_worker(now, id)).await
    }

    /// Refuses new work, waits for what there is, cancels what `patience` does not suffice for, and has the store
    /// write everything to disk.
    pub async fn shutdown(self: &Arc<Self>, patience: Duration) {
        {
            let mut state = self.state.lock();
            state.stopping = true;
            state.master.stop();
        }
        if tokio::time::timeout(patience, self.until_idle()).await.is_err() {
            self.abandon_all();
            if tokio::time::timeout(LAST_REPORTS, self.until_idle()).await.is_err() {
                tracing::warn!("some workers have not reported the end of what was cancelled");
            }
        }
        if let Some(ticker) = self.ticker.get() {
            ticker.abort();
        }
        if let Err(error) = self.store.flush().await {
            tracing::error!(%error, "the store could not write everything to disk");
        }
    }

    async fn until_idle(&self) {
        loop {
            let told = self.idle.notified();
            if self.read(Master::is_idle) {
                return;
            }
            told.await;
        }
    }

    /// A change of what is known, that is kept when this returns.
    async fn change<T, E>(
        self: &Arc<Self>,
        call: impl FnOnce(&mut State, Timestamp) -> Result<(T, Vec<Effect>), E>,
    ) -> Result<T, ChangeError<E>> {
        let (value, performed) = self.act(call).map_err(ChangeError::Refused)?;
        performed.wait().await.map_err(ChangeError::Store)?;
        Ok(value)
    }

    fn cancel_now(self: &Arc<Self>, id: InvocationId) -> Result<(), CancelError> {
        self.act(|state, now| state.master.cancel(now, id).map(|effects| ((), effects))).map(|_| ())
    }

    /// Nobody waits for it any more. That it may be over already is no error.
    fn abandon_invocation(self: &Arc<Self>, id: InvocationId) {
        let _ = self.cancel_now(id);
    }

    fn abandon_benchmark(self: &Arc<Self>, id: BenchmarkId) {
        self.tell(|state, now| state.master.cancel_benchmark(now, id));
    }

    fn abandon_all(self: &Arc<Self>) {
        let (invocations, benchmarks): (Vec<_>, Vec<_>) = {
            let state = self.state.lock();
            (state.outcomes.keys().copied().collect(), state.benchmarks.keys().copied().collect())
        };
        benchmarks.into_iter().for_each(|id| self.abandon_benchmark(id));
        invocations.into_iter().for_each(|id| self.abandon_invocation(id));
    }
}

/// Lets time pass for a master, as long as there is one.
async fn tick(node: Weak<MasterNode>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(node) = node.upgrade() else { return };
        node.tell(|state, now| state.master.tick(now));
    }
}
