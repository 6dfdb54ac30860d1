//! A worker on a real socket, whose processes only pretend: for tests.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fsched_core::allocator::{MemoryAllocator, Monitor};
use fsched_core::cache::{Bytes, CacheDomain, CacheGeometry, CpuId, DomainId, Ways};
use fsched_core::curve::{Curve, Provenance};
use fsched_core::function::{InputSize, Needs};
use fsched_core::id::{AttemptId, ContentHash, FunctionId, InvocationId, WorkerId, WorkerKey};
use fsched_core::invocation::{CacheAsk, Order};
use fsched_core::launcher::ScriptedLauncher;
use fsched_core::node::{FileStore, Now, WorkerNode};
use fsched_core::time::Timestamp;
use fsched_core::transport::{Address, Peer};
use fsched_core::worker::{Worker, WorkerConfig};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{WorkerOptions, serve};
use crate::transport::HttpAddress;

/// How long anything in a test may take before it is taken for hanging.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// A worker of 64 cores with one file.
pub(crate) struct Rig {
    pub(crate) node: Arc<WorkerNode>,
    pub(crate) launcher: Arc<ScriptedLauncher>,
    pub(crate) file: ContentHash,
    pub(crate) dir: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::monitored(None)
    }

    /// The same on a machine that monitors.
    pub(crate) fn monitored(monitor: Option<Monitor>) -> Self {
        let dir = TempDir::new().unwrap();
        let files = FileStore::open(dir.path().join("files")).unwrap();
        let file = files.put(b"a function").unwrap();
        let geometry = CacheGeometry {
            size: Bytes::mib(16),
            ways: Ways::clamped(16),
            min_ways: Ways::ONE,
            contiguous: true,
            shareable: 0,
            classes: 15,
        };
        let domain = CacheDomain { id: DomainId(0), cpus: (0..64).map(CpuId).collect(), geometry };
        let config = WorkerConfig { cores: 64, memory: Bytes::mib(1 << 20), ..WorkerConfig::default() };
        let allocator = Box::new(MemoryAllocator::new(vec![domain], false));
        let worker = Worker::new(config, WorkerKey([5; 16]), "1.2.3".to_owned(), allocator);
        let launcher = Arc::new(ScriptedLauncher::waiting());
        let node = WorkerNode::start_monitored(worker, launcher.clone(), files, clock(), monitor);
        Self { node, launcher, file, dir }
    }

    pub(crate) fn serve(&self, options: WorkerOptions) -> Served {
        Served::start(TcpListener::bind("127.0.0.1:0").unwrap(), self.node.clone(), options)
    }

    pub(crate) fn order(&self, n: u64) -> Order {
        Order {
            term: 1,
            attempt: attempt(n),
            tenant: Default::default(),
            function: FunctionId(1),
            file: self.file,
            command: vec!["sh".to_owned()],
            input_size: InputSize(10),
            payload: None,
            needs: Needs::default(),
            timeout: Duration::from_secs(60),
            domain: DomainId(0),
            cache: CacheAsk::Shared(Ways::clamped(2)),
            curve: Arc::new(Curve::flat(1.0, 2.0, Provenance::Prior)),
            weight: Default::default(),
            expected: Duration::from_secs(1),
            alone: false,
        }
    }
}

/// A service that listens; dropped, it is told to stop.
pub(crate) struct Served {
    pub(crate) at: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<std::io::Result<()>>>,
}

impl Served {
    pub(crate) fn start(listener: TcpListener, node: Arc<WorkerNode>, options: WorkerOptions) -> Self {
        let at = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { _ = stopped.await };
        let server = actix_rt::spawn(serve(listener, node, clock(), options, shutdown));
        Self { at, stop: Some(stop), server: Some(server) }
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer { worker: WorkerId(1), address: self.address() }
    }

    pub(crate) fn address(&self) -> Address {
        (&HttpAddress::at(self.at)).into()
    }

    pub(crate) fn tell_to_stop(&mut self) {
        self.stop.take();
    }

    pub(crate) async fn stop(mut self) {
        self.stop.take();
        self.ended().await.unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self) -> std::io::Result<()> {
        let server = self.server.take().unwrap();
        within("the end of a server", server).await.unwrap()
    }
}

pub(crate) fn attempt(n: u64) -> AttemptId {
    AttemptId { invocation: InvocationId(n), attempt: 0 }
}

fn clock() -> Now {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp(u64::try_from(since.as_nanos()).unwrap())
    })
}
