//! What the tests of a whole platform stand on.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fsched_core::allocator::MemoryAllocator;
use fsched_core::cache::{Bytes, CacheDomain, Ways};
use fsched_core::function::{Function, FunctionSpec, InputSize, Needs};
use fsched_core::id::{WorkerId, WorkerKey};
use fsched_core::invocation::{Outcome, Submission};
use fsched_core::launcher::{ExitKind, Launch, Script, ScriptedLauncher, ended};
use fsched_core::master::{Master, MasterConfig};
use fsched_core::node::{FileStore, MasterNode, Now, WorkerNode};
use fsched_core::predictor::FixedPredictor;
use fsched_core::scheduler::LeastLoaded;
use fsched_core::store::{MemoryStore, Record, Snapshot, Store, StoreError};
use fsched_core::time::Timestamp;
use fsched_core::transport::{Address, Loopback, Transport};
use fsched_core::worker::{Worker, WorkerConfig};
use tempfile::TempDir;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

/// How long anything may take before it is taken for hanging.
const LIMIT: Duration = Duration::from_secs(20);

/// A clock that stands still until it is advanced.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_700_000_000_000_000_000)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }

    fn now(&self) -> Now {
        let clock = self.clone();
        Arc::new(move || Timestamp(clock.0.load(Ordering::SeqCst)))
    }
}

/// A store in memory whose disk can be full, or slow.
#[derive(Clone, Default)]
pub(crate) struct FlakyStore {
    kept: MemoryStore,
    refuse_appends: Arc<AtomicBool>,
    refuse_flushes: Arc<AtomicBool>,
    slow: Arc<RwLock<()>>,
}

impl FlakyStore {
    pub(crate) fn refuse_appends(&self, refuse: bool) {
        self.refuse_appends.store(refuse, Ordering::SeqCst);
    }

    pub(crate) fn refuse_flushes(&self, refuse: bool) {
        self.refuse_flushes.store(refuse, Ordering::SeqCst);
    }

    /// No flush ends before the guard is dropped.
    pub(crate) async fn hold_flushes(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.slow).write_owned().await
    }

    fn answer(&self, refuse: &AtomicBool) -> Result<(), StoreError> {
        if refuse.load(Ordering::SeqCst) { Err(StoreError::Full { path: "disk".into() }) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for FlakyStore {
    async fn load(&self) -> Result<Snapshot, StoreError> {
        self.kept.load().await
    }

    fn append(&self, record: Record) -> Result<(), StoreError> {
        self.answer(&self.refuse_appends)?;
        self.kept.append(record)
    }

    async fn flush(&self) -> Result<(), StoreError> {
        let _slow = self.slow.read().await;
        self.answer(&self.refuse_flushes)?;
        self.kept.flush().await
    }
}

/// A worker and how to reach it.
pub(crate) struct Connected {
    pub(crate) id: WorkerId,
    pub(crate) address: Address,
    pub(crate) node: Arc<WorkerNode>,
    pub(crate) launcher: Arc<ScriptedLauncher>,
}

/// A master, its workers, and all between them.
pub(crate) struct Platform {
    pub(crate) master: Arc<MasterNode>,
    /// What the master's store keeps.
    pub(crate) store: MemoryStore,
    pub(crate) loopback: Arc<Loopback>,
    pub(crate) clock: Clock,
    dir: TempDir,
    workers: AtomicUsize,
}

impl Platform {
    pub(crate) async fn start() -> Self {
        Self::with_store(FlakyStore::default()).await
    }

    pub(crate) async fn with_store(store: FlakyStore) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Clock::new();
        let loopback = Arc::new(Loopback::new());
        let files = FileStore::open(dir.path().join("master")).unwrap();
        let kept = store.kept.clone();
        let master = master(files, Arc::new(store), loopback.clone(), &clock).await;
        Self { master, store: kept, loopback, clock, dir, workers: AtomicUsize::new(0) }
    }

    /// Adds a worker of so many cores, whose processes do what `script` says.
    pub(crate) async fn worker(
        &self,
        cores: u16,
        script: impl Fn(&Launch) -> Script + Send + Sync + 'static,
    ) -> Connected {
        let number = self.workers.fetch_add(1, Ordering::SeqCst);
        let address = Address::from(format!("loopback:{number}").as_str());
        let files = FileStore::open(self.dir.path().join(format!("worker{number}"))).unwrap();
        let config = WorkerConfig {
            cores,
            memory: Bytes::mib(1 << 20),
            grace: Duration::from_millis(10),
            ..WorkerConfig::default()
        };
        let allocator = Box::new(MemoryAllocator::new(
            vec![CacheDomain::nominal(cores, Ways::clamped(16), Bytes::mib(1))],
            false,
        ));
        let key = WorkerKey([u8::try_from(number).unwrap(); 16]);
        let worker = Worker::new(config, key, "test".to_owned(), allocator);
        let launcher = Arc::new(ScriptedLauncher::new(script));
        let node = WorkerNode::start(worker, launcher.clone(), files, self.clock.now());
        self.loopback.connect(address.clone(), Arc::clone(&node));
        let id = self.master.add_worker(address.clone()).await.unwrap();
        Connected { id, address, node, launcher }
    }

    /// What it takes to push a function of this name; its file is there.
    pub(crate) fn spec(&self, name: &str) -> FunctionSpec {
        let content = format!("#!/bin/sh\n# {name}\n");
        FunctionSpec {
            tenant: Default::default(),
            name: name.parse().unwrap(),
            file: self.master.files().put(content.as_bytes()).unwrap(),
            file_size: Bytes(content.len() as u64),
            command: None,
            needs: Needs::default(),
            timeout: Duration::from_secs(60),
        }
    }

    pub(crate) async fn push(&self, name: &str) -> Function {
        self.master.push(self.spec(name)).await.unwrap()
    }

    /// Runs a function once, so that the worker has its file.
    pub(crate) async fn run_once(&self, worker: &Connected, function: &Function) {
        let ticket = self.master.submit(submission(function)).await.unwrap();
        let attempt = within(worker.launcher.until_launched(1)).await[0].attempt;
        worker.launcher.end(attempt, ended(ExitKind::Exited(0), Duration::from_millis(1)));
        assert!(matches!(within(ticket).await, Outcome::Ran { report, .. } if report.succeeded()));
    }

    pub(crate) fn files(&self) -> FileStore {
        self.master.files().clone()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.master.read(Master::is_idle)
    }
}

/// A master of its own; its ticks are frequent.
pub(crate) async fn master(
    files: FileStore,
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    clock: &Clock,
) -> Arc<MasterNode> {
    let config = MasterConfig { heartbeat: Duration::from_millis(20), ..MasterConfig::default() };
    let (predictor, scheduler) = (Box::new(FixedPredictor::default()), Box::new(LeastLoaded::default()));
    MasterNode::start(config, files, predictor, scheduler, store, transport, clock.now()).await.unwrap()
}

pub(crate) fn submission(function: &Function) -> Submission {
    Submission::new(function.id, InputSize(10))
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("waited too long")
}

/// Waits until a condition holds.
pub(crate) async fn eventually(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}
