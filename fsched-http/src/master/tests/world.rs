//! A master that listens, its workers, and a client.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use actix_web::rt;
use fsched_core::allocator::MemoryAllocator;
use fsched_core::cache::{Bytes, CacheDomain, CacheGeometry, CpuId, DomainId, Ways};
use fsched_core::cluster::ClusterView;
use fsched_core::id::WorkerKey;
use fsched_core::invocation::Output;
use fsched_core::launcher::{Exit, ExitKind, Launch, Script, ScriptedLauncher, ended};
use fsched_core::master::MasterConfig;
use fsched_core::node::{FileStore, MasterNode, Now, WorkerNode};
use fsched_core::predictor::InterpolatingPredictor;
use fsched_core::scheduler::{PlaceError, Placement, Request, Scheduler, WaysFor};
use fsched_core::store::MemoryStore;
use fsched_core::time::Timestamp;
use fsched_core::transport::Loopback;
use fsched_core::worker::{Worker, WorkerConfig};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::super::{MasterNumbers, MasterOptions, MasterState, serve};

/// Input sizes that make the pretended function do something else than succeed after 15 ms.
pub(super) const FAILS: u64 = 901;
pub(super) const MISSING: u64 = 902;
pub(super) const WAITS: u64 = 903;
pub(super) const PRINTS_BYTES: u64 = 904;
/// Prints the payload and its arguments.
pub(super) const ECHOES: u64 = 905;

/// How long anything may take before a test gives up.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

pub(super) struct World {
    pub(super) address: SocketAddr,
    pub(super) state: Arc<MasterState>,
    pub(super) launcher: Arc<ScriptedLauncher>,
    pub(super) loopback: Arc<Loopback>,
    pub(super) client: awc::Client,
    stop: Option<oneshot::Sender<()>>,
    served: Option<rt::task::JoinHandle<std::io::Result<()>>>,
    _dir: TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The JSON of a 200.
    pub(super) fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }

    /// The code of an error, after a look at its shape.
    pub(super) fn code(&self) -> (u16, String) {
        let body = self.json();
        assert!(self.headers.get(CONTENT_TYPE).unwrap().as_bytes().starts_with(b"application/json"));
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        (self.status.as_u16(), body["code"].as_str().unwrap().to_owned())
    }
}

impl World {
    /// A master without workers.
    pub(super) async fn empty(options: MasterOptions) -> Self {
        Self::configured(MasterConfig::default(), options).await
    }

    /// A master without workers that behaves like this.
    pub(super) async fn configured(config: MasterConfig, options: MasterOptions) -> Self {
        let dir = TempDir::new().unwrap();
        let loopback = Arc::new(Loopback::new());
        let numbers = Arc::new(MasterNumbers::default());
        let node = MasterNode::start(
            config,
            FileStore::open(dir.path().join("master")).unwrap(),
            numbers.timed_predictor(Box::new(InterpolatingPredictor::default())),
            numbers.timed_scheduler(Box::new(FirstFit)),
            Arc::new(MemoryStore::default()),
            Arc::clone(&loopback) as _,
            clock(),
        )
        .await
        .unwrap();
        let options = MasterOptions { threads: Some(2), ..options };
        let state = Arc::new(MasterState::new(node, clock(), numbers, options));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { stopped.await.unwrap_or(()) };
        let served = rt::spawn(serve(listener, Arc::clone(&state), shutdown));
        let client = awc::Client::builder().timeout(LIMIT).connector(awc::Connector::new().limit(0)).finish();
        let launcher = Arc::new(ScriptedLauncher::new(script));
        Self { address, state, launcher, loopback, client, stop: Some(stop), served: Some(served), _dir: dir }
    }

    /// A master with one worker of so many cores.
    pub(super) async fn new(cores: u16) -> Self {
        let world = Self::empty(MasterOptions::default()).await;
        world.with_worker(cores).await
    }

    /// The same with a worker of so many cores, added.
    pub(super) async fn with_worker(self, cores: u16) -> Self {
        self.worker("worker-1", cores).await;
        let added = self.post("/cluster/worker/add", r#"{"host": "worker-1"}"#).await.ok();
        assert_eq!(added["message"], "worker node successfully added");
        self
    }

    /// A worker that can be added as `host`.
    pub(super) async fn worker(&self, host: &str, cores: u16) -> Arc<WorkerNode> {
        let geometry = CacheGeometry {
            size: Bytes::mib(16),
            ways: Ways::clamped(16),
            min_ways: Ways::ONE,
            contiguous: true,
            shareable: 0,
            classes: 15,
        };
        let domain = CacheDomain { id: DomainId(0), cpus: (0..cores).map(CpuId).collect(), geometry };
        let mut key = [0; 16];
        host.bytes().zip(&mut key).for_each(|(byte, slot)| *slot = byte);
        let config = WorkerConfig { cores, memory: Bytes::mib(64 << 10), ..WorkerConfig::default() };
        let allocator = Box::new(MemoryAllocator::new(vec![domain], true));
        let worker = Worker::new(config, WorkerKey(key), "test".to_owned(), allocator);
        let files = FileStore::open(self._dir.path().join(host)).unwrap();
        let node = WorkerNode::start(worker, Arc::clone(&self.launcher) as _, files, clock());
        self.loopback.connect(format!("http://{host}:3000").as_str().into(), Arc::clone(&node));
        node
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        read(self.client.get(self.url(path)).send().await).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        read(self.client.delete(self.url(path)).send().await).await
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<String>) -> Answer {
        read(self.client.post(self.url(path)).send_body(body.into()).await).await
    }

    /// Any request of whoever shows this token.
    pub(super) async fn send_as(&self, secret: &str, method: &str, path: &str, body: &str) -> Answer {
        let method = method.parse().unwrap();
        let request = self.client.request(method, self.url(path));
        let request = request.insert_header((AUTHORIZATION, format!("Bearer {secret}")));
        read(request.send_body(body.to_owned()).await).await
    }

    /// Runs `task` at an input size.
    pub(super) async fn run(&self, task: &str, input_size: u64) -> Answer {
        self.post("/controller/task/run", run_body(task, input_size)).await
    }

    /// Pushes a form of these fields; a field named `file` comes with the file name `x`.
    pub(super) async fn push(&self, fields: &[(&str, &str)]) -> Answer {
        let request = self.client.post(self.url("/controller/task/new"));
        let request = request.insert_header((CONTENT_TYPE, "multipart/form-data; boundary=cut"));
        read(request.send_body(form(fields)).await).await
    }

    /// Pushes a function and benchmarks it at 1024, so that it can be run; its id.
    pub(super) async fn ready(&self, name: &str) -> String {
        let pushed = self.push(&[("file", "#!"), ("name", name), ("command", "sh")]).await.ok();
        let task = pushed["task_id"].as_str().unwrap().to_owned();
        self.post("/controller/task/benchmark", run_body(&task, 1024)).await.ok();
        task
    }

    /// Tells the service to end, and waits until it did.
    pub(super) async fn stop(mut self) {
        self.stop.take().map(|stop| stop.send(()));
        let served = self.served.take().unwrap();
        rt::time::timeout(LIMIT, served).await.unwrap().unwrap().unwrap();
    }
}

pub(super) fn run_body(task: &str, input_size: u64) -> String {
    format!(r#"{{"command": "python3 -u", "task_id": "{task}", "input_size": {input_size}}}"#)
}

pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let mut body = String::new();
    for (name, value) in fields {
        let file = if *name == "file" { r#"; filename="x""# } else { "" };
        let head = format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.push_str(&head);
        body.push_str(value);
        body.push_str("\r\n");
    }
    body + "--cut--\r\n"
}

pub(super) async fn read(
    answer: Result<awc::ClientResponse<impl AnyPayload>, awc::error::SendRequestError>,
) -> Answer {
    let mut answer = answer.unwrap();
    let body = answer.body().limit(64 << 20).await.unwrap();
    let text = String::from_utf8(body.into()).unwrap();
    Answer { status: answer.status(), headers: answer.headers().clone(), text }
}

/// What awc reads a body from.
pub(super) trait AnyPayload:
    futures_util::Stream<Item = Result<actix_web::web::Bytes, awc::error::PayloadError>> + Unpin
{
}

impl<S> AnyPayload for S where
    S: futures_util::Stream<Item = Result<actix_web::web::Bytes, awc::error::PayloadError>> + Unpin
{
}

fn clock() -> Now {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(since.as_nanos() as u64)
    })
}

fn script(launch: &Launch) -> Script {
    let wall = Duration::from_millis(15);
    let printing =
        |bytes: Vec<u8>| Exit { stdout: Output { bytes, dropped: 0 }, ..ended(ExitKind::Exited(0), wall) };
    match launch.arguments.last().and_then(|size| size.parse().ok()) {
        Some(FAILS) => Script::End(ended(ExitKind::Exited(3), wall)),
        Some(MISSING) => Script::End(ended(ExitKind::NotStarted("no such program".into()), Duration::ZERO)),
        Some(WAITS) => Script::Wait,
        Some(PRINTS_BYTES) => Script::End(printing(vec![0xff, 0])),
        Some(ECHOES) => {
            let stdin = launch.stdin.as_deref().unwrap_or_default();
            Script::End(printing(format!("{stdin} {:?}", launch.command).into_bytes()))
        }
        _ => Script::succeed(wall),
    }
}

/// The first worker with room, and one way.
struct FirstFit;

impl Scheduler for FirstFit {
    fn place(
        &mut self,
        request: &Request<'_>,
        ways: WaysFor<'_>,
        view: &ClusterView,
    ) -> Result<Placement, PlaceError> {
        let mut fits_empty = false;
        for worker in view.workers().filter(|worker| worker.memory >= request.needs.memory) {
            for (&domain, room) in worker.domains.iter() {
                let ways = ways(room.geometry());
                fits_empty |= room.fits_empty(&request.needs, ways);
                let memory = worker.free_memory() >= request.needs.memory;
                let wanted = worker.accepts() && !request.avoid.contains(&worker.id);
                if wanted && memory && room.fits_now(&request.needs, ways, request.alone) {
                    return Ok(Placement { worker: worker.id, domain, ways });
                }
            }
        }
        match (view.is_empty(), fits_empty) {
            (true, _) => Err(PlaceError::NoWorkers),
            (false, true) => Err(PlaceError::NoRoom),
            (false, false) => Err(PlaceError::NeverFits),
        }
    }
}
