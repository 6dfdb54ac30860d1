//! The contract of [`Transport`] as a suite, for every implementation: one function per sentence.
//!
//! Workers are real [`WorkerNode`]s whose processes only pretend ([`ScriptedLauncher`]). Their clock stands still, so
//! that no deadline passes.

use std::any::Any;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{Address, Peer, Refusal, Transport, TransportError};
use crate::allocator::MemoryAllocator;
use crate::cache::{Bytes, CacheDomain, DomainId, Ways};
use crate::curve::{Curve, Provenance};
use crate::function::{InputSize, Needs};
use crate::id::{AttemptId, ContentHash, FunctionId, InvocationId, WorkerId, WorkerKey};
use crate::invocation::{CacheAsk, Ending, Order, Output, Report};
use crate::launcher::{Exit, ExitKind, ScriptedLauncher, Stop, ended};
use crate::node::{FileStore, WorkerNode};
use crate::time::Timestamp;
use crate::worker::{Worker, WorkerConfig};

/// How long anything here may take before it is taken for hanging.
const LIMIT: Duration = Duration::from_secs(20);
/// How many orders run at once.
const CORES: u16 = 64;

/// A worker that can be reached.
pub struct Listening {
    /// The transport that reaches it.
    pub transport: Arc<dyn Transport>,
    /// Where it listens.
    pub address: Address,
    /// An address at which nobody listens.
    pub nobody: Address,
    /// What has to live as long as it is to be reached.
    pub keep: Box<dyn Any>,
}

/// Checks all of the contract on workers that `listen` makes reachable.
///
/// # Panics
/// Where a sentence does not hold; names it.
pub async fn check(listen: impl AsyncFn(Arc<WorkerNode>) -> Listening) {
    an_order_is_answered_when_its_attempt_is_over_and_not_before(&listen).await;
    what_was_ordered_and_reported_arrives_whole(&listen).await;
    many_orders_are_carried_at_once(&listen).await;
    an_order_that_nobody_waits_for_is_ended(&listen).await;
    a_cancelled_order_is_still_answered(&listen).await;
    refusals_are_carried(&listen).await;
    a_file_arrives_whole_or_not_at_all(&listen).await;
    a_discarded_file_stays_while_it_is_used(&listen).await;
    where_nobody_listens_nothing_is_started(&listen).await;
    a_worker_says_who_it_is_and_what_runs_there(&listen).await;
    it_can_be_used_from_any_thread(&listen).await;
}

/// "Never answer an order before its attempt is over."
pub async fn an_order_is_answered_when_its_attempt_is_over_and_not_before(
    listen: &impl AsyncFn(Arc<WorkerNode>) -> Listening,
) {
    let rig = Rig::new(listen).await;
    let answer = rig.send(rig.order(1));
    within("the launch", rig.launcher.until_launched(1)).await;
    // A question that goes the same way has come back meanwhile, and the order's answer has not.
    within("a heartbeat", rig.transport().inspect(&rig.peer.address)).await.expect("the worker answers");
    assert!(!answer.is_finished(), "an order was answered while its process ran");
    rig.launcher.end(attempt(1), ended(ExitKind::Exited(3), Duration::from_millis(5)));
    assert_eq!(report(answer).await.ending, Ending::Exited(3));
}

/// What was ordered is launched, and what the worker reports is what arrives.
pub async fn what_was_ordered_and_reported_arrives_whole(
    listen: &impl AsyncFn(Arc<WorkerNode>) -> Listening,
) {
    let rig = Rig::new(listen).await;
    let payload = format!(r#"{{"text": "{}"}}"#, "ü ".repeat(50_000));
    let order = Order {
        command: vec!["two words".to_owned(), "--flag=\"ß\"".to_owned(), String::new()],
        input_size: InputSize(u64::MAX),
        payload: Some(payload.as_str().into()),
        tenant: "team-blue".parse().expect("a plain name"),
        cache: CacheAsk::Exclusive(ways(3)),
        ..rig.order(1)
    };
    let answer = rig.send(order.clone());
    let launch = within("the launch", rig.launcher.until_launched(1)).await.remove(0);
    assert_eq!(launch.attempt, order.attempt);
    assert_eq!(launch.command, order.command);
    assert_eq!(launch.file, order.file);
    assert_eq!(launch.stdin, order.payload);
    assert_eq!(launch.arguments, [u64::MAX.to_string()]);
    let exit = Exit {
        pid: Some(77),
        cpu: Duration::from_nanos(1_234_567),
        peak_memory: Bytes(4321),
        stdout: Output { bytes: (0..=255).cycle().take(1 << 20).collect(), dropped: 17 },
        stderr: Output { bytes: b"oh \xff no".to_vec(), dropped: 0 },
        ..ended(ExitKind::Signalled(11), Duration::from_nanos(987_654_321))
    };
    rig.launcher.end(order.attempt, exit.clone());
    let report = report(answer).await;
    assert_eq!(report.attempt, order.attempt);
    assert_eq!(report.ending, Ending::Signalled(11));
    assert_eq!((report.pid, report.wall, report.cpu), (exit.pid, exit.wall, exit.cpu));
    assert_eq!(report.peak_memory, exit.peak_memory);
    assert!(report.stdout == exit.stdout, "standard output did not arrive as it was");
    assert_eq!(report.stderr, exit.stderr);
    assert_eq!(report.started, NOW);
    let cache = report.cache.expect("it was started");
    assert_eq!((cache.domain, cache.mask.ways(), cache.enforced), (DomainId(0), ways(3), false));
    assert_eq!(report.segments.len(), 1);
}

/// "Carry many orders at once."
pub async fn many_orders_are_carried_at_once(listen: &impl AsyncFn(Arc<WorkerNode>) -> Listening) {
    let rig = Rig::new(listen).await;
    let count = u64::from(CORES);
    let answers: Vec<_> = (1..=count).map(|n| (n, rig.send(rig.order(n)))).collect();
    let launched = within("all launches", rig.launcher.until_launched(answers.len())).await;
    let attempts: BTreeSet<AttemptId> = launched.iter().map(|launch| launch.attempt).collect();
    assert_eq!(attempts, (1..=count).map(attempt).collect(), "not every order was launched once");
    for n in (1..=count).rev() {
        let status = ExitKind::Exited(i32::try_from(n).expect("there are few"));
        rig.launcher.end(attempt(n), ended(status, Duration::from_millis(n)));
    }
    for (n, answer) in answers {
        let report = report(answer).await;
        assert_eq!(report.attempt, attempt(n), "an order got the answer of another");
        assert_eq!(report.wall, Duration::from_millis(n));
    }
}

/// "When the future of `execute` is dropped, the worker learns that nobody waits any more, and ends the attempt."
pub async fn an_order_that_nobody_waits_for_is_ended(listen: &impl AsyncFn(Arc<WorkerNode>) -> Listening) {
    let rig = Rig::new(listen).await;
    let (left, stays) = (rig.send(rig.order(1)), rig.send(rig.order(2)));
    within("the launches", rig.launcher.until_launched(2)).await;
    left.abort();
    within("the end of an abandoned order", rig.launcher.until_stopped(attempt(1), Stop::Terminate)).await;
    assert_eq!(rig.launcher.running(), [attempt(2)], "another order was ended");
    rig.launcher.end(attempt(2), ended(ExitKind::Exited(0), Duration::ZERO));
    assert!(report(stays).await.succeeded());
}

/// "Ends an attempt; its report comes as the answer to `execute`. Unknown attempts are ignored."
pub async fn a_cancelled_order_is_still_answered(listen: &impl AsyncFn(Arc<WorkerNode>) -> Listening) {
    let rig = Rig::new(listen).await;
    let answer = rig.send(rig.order(1));
    within("the launch", rig.launcher.until_launched(1)).await;
    let cancel = async |n| within("a cancellation", rig.transport().cancel(&rig.peer, attempt(n))).await;
    cancel(99).await.expect("unknown attempts are ignored");
    assert_eq!(rig.launcher.stopped(), []);
    cancel(1).await.expect("the worker is there");
    assert_eq!(report(answer).await.ending, Ending::Cancelled);
    cancel(1).await.expect("attempts that are over are ignored");
}

/// "The worker said no; nothing was started."
pub async fn refusals_are_carried(listen: &impl AsyncFn(Arc<WorkerNode>) -> Listening) {
    let rig = Rig::new(listen).await;
    let refusal = async |order: Order| match within("a refusal", rig.send(order)).await {
        Ok(Err(TransportError::Refused(refusal))) => refusal,
        other => panic!("not refused: {other:?}"),
    };
    let unknown = Order { file: ContentHash([9; 32]), ..rig.order(1) };
    assert_eq!(refusal(unknown).await, Refusal::MissingFile);
    let nowhere = Order { domain: DomainId(77), ..rig.order(2) };
    assert!(matches!(refusal(nowhere).await, Refusal::Impossible(_)));
    let running = rig.send(Order { needs: Needs { cores: CORES, ..Needs::default() }, ..rig.order(3) });
    within("the launch", rig.launcher.until_launched(1)).await;
    assert_eq!(refusal(rig.order(3)).await, Refusal::Duplicate);
    assert!(matches!(refusal(rig.order(4)).await, Refusal::NoRoom(reason) if !reason.is_empty()));
    rig.launcher.end(attempt(3), ended(ExitKind::Exited(0), Duration::ZERO));
    report(running).await;
    within("a shutdown", rig.worker.shutdown(LIMIT)).await;
    assert_eq!(refusal(rig.order(5)).await, Refusal::Stopping);
    assert_eq!(rig.launcher.launched().len(), 1, "something refused was started");
}

/// "Brings a function's file to a worker, and lets the worker check its hash."
pub async fn a_file_arrives_whole_or_not_at_all(listen: &impl AsyncFn(Arc<WorkerNode>) -> Listening) {
    let rig = Rig::new(listen).await;
    let content: Vec<u8> = (0..=250).cycle().take(3_000_001).collect();
    let file = rig.masters.put(&content).expect("a test can write files");
    let put = async |file, path: PathBuf| {
        within("a file transfer", rig.transport().put_file(&rig.peer, file, path)).await
    };

    let other = rig.masters.put(b"something else").expect("a test can write files");
    let answer = put(file, rig.masters.path(other)).await;
    assert!(
        matches!(&answer, Err(TransportError::Damaged { file: damaged, .. }) if *damaged == file),
        "{answer:?}"
    );
    let kept: BTreeSet<_> = rig.worker.files().list().expect("a test can read files").into_iter().collect();
    assert_eq!(kept, [rig.file].into(), "a damaged file was kept");

    let answer = put(file, rig.masters.dir().join("nothing")).await;
    assert!(matches!(answer, Err(TransportError::Unreadable { .. })), "{answer:?}");

    for _ in 0..2 {
        put(file, rig.masters.path(file)).await.expect("a whole file arrives, as often as it comes");
        rig.worker.files().verify(file).expect("it is whole");
    }
    let answer = rig.send(Order { file, ..rig.order(1) });
    within("the launch", rig.launcher.until_launched(1)).await;
    rig.launcher.end(attempt(1), ended(ExitKind::Exited(0), Duration::ZERO));
    report(answer).await;
}

/// "A file in use stays until it is not."
pub async fn a_discarded_file_stays_while_it_is_used(listen: &impl AsyncFn(Arc<WorkerNode>) -> Listening) {
    let rig = Rig::new(listen).await;
    let discard =
        async |file| within("a discarded file", rig.transport().discard_file(&rig.peer, file)).await;
    discard(ContentHash([9; 32])).await.expect("unknown files are ignored");
    let answer = rig.send(rig.order(1));
    within("the launch", rig.launcher.until_launched(1)).await;
    discard(rig.file).await.expect("the worker is there");
    assert!(rig.worker.files().contains(rig.file), "a file in use was removed");
    rig.launcher.end(attempt(1), ended(ExitKind::Exited(0), Duration::ZERO));
    report(answer).await;
    assert!(!rig.worker.files().contains(rig.file), "a discarded file was kept");
    let refused = within("a refusal", rig.send(rig.order(2))).await.expect("no panic");
    assert!(matches!(refused, Err(TransportError::Refused(Refusal::MissingFile))), "{refused:?}");
}

/// "The worker was not reached; nothing was started."
pub async fn where_nobody_listens_nothing_is_started(listen: &impl AsyncFn(Arc<WorkerNode>) -> Listening) {
    let mut rig = Rig::new(listen).await;
    rig.peer.address = rig.listening.nobody.clone();
    let order = within("an answer", rig.send(rig.order(1))).await.expect("no panic").map(|_| ());
    let (transport, peer) = (rig.transport(), &rig.peer);
    let answers = [
        order,
        within("an answer", transport.cancel(peer, attempt(1))).await,
        within("an answer", transport.put_file(peer, rig.file, rig.masters.path(rig.file))).await,
        within("an answer", transport.discard_file(peer, rig.file)).await,
        within("an answer", transport.inspect(&peer.address)).await.map(|_| ()),
    ];
    for answer in answers {
        let error = answer.expect_err("nobody is there");
        assert!(
            matches!(&error, TransportError::Unreachable { address, .. } if *address == peer.address),
            "{error}"
        );
        assert!(error.nothing_started());
    }
}

/// "Asks whoever listens at `address` who it is and how it is."
pub async fn a_worker_says_who_it_is_and_what_runs_there(
    listen: &impl AsyncFn(Arc<WorkerNode>) -> Listening,
) {
    let rig = Rig::new(listen).await;
    let inspect = async || {
        within("a heartbeat", rig.transport().inspect(&rig.peer.address)).await.expect("it is there")
    };
    let empty = inspect().await;
    assert_eq!(empty.key, KEY);
    assert_eq!(empty.running, []);
    let answer = rig.send(Order { cache: CacheAsk::Exclusive(ways(4)), ..rig.order(1) });
    within("the launch", rig.launcher.until_launched(1)).await;
    let busy = inspect().await;
    assert_eq!(busy.running, [attempt(1)]);
    let own = rig.worker.heartbeat();
    assert_eq!(busy.domains, own.domains);
    assert_ne!(busy.domains, empty.domains);
    assert_eq!((busy.version, busy.enforced, busy.stopping), (own.version, own.enforced, own.stopping));
    assert_eq!((busy.memory, busy.free_memory), (own.memory, own.free_memory));
    rig.launcher.end(attempt(1), ended(ExitKind::Exited(0), Duration::ZERO));
    report(answer).await;
}

/// "Be usable from any thread."
pub async fn it_can_be_used_from_any_thread(listen: &impl AsyncFn(Arc<WorkerNode>) -> Listening) {
    let rig = Rig::new(listen).await;
    let (transport, address) = (Arc::clone(&rig.listening.transport), rig.peer.address.clone());
    let elsewhere = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a test can make a runtime").block_on(async { transport.inspect(&address).await })
    });
    let heartbeat = within("a heartbeat", elsewhere).await.expect("no panic").expect("the worker is there");
    assert_eq!(heartbeat.key, KEY);
}

const KEY: WorkerKey = WorkerKey([5; 16]);
const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

/// A worker behind a transport, with one file, whose processes end on command.
struct Rig {
    listening: Listening,
    peer: Peer,
    worker: Arc<WorkerNode>,
    launcher: Arc<ScriptedLauncher>,
    /// The files of whoever gives the orders.
    masters: FileStore,
    file: ContentHash,
    _dir: TempDir,
}

impl Rig {
    async fn new(listen: &impl AsyncFn(Arc<WorkerNode>) -> Listening) -> Self {
        let dir = TempDir::new().expect("a test can make a directory");
        let open = |name| FileStore::open(dir.path().join(name)).expect("a test can make a directory");
        let (masters, files) = (open("master"), open("worker"));
        let file = files.put(b"a function").expect("a test can write files");
        masters.put(b"a function").expect("a test can write files");
        let config = WorkerConfig { cores: CORES, memory: Bytes::mib(1 << 20), ..WorkerConfig::default() };
        let domain = CacheDomain::nominal(CORES, ways(16), Bytes::mib(1));
        let allocator = Box::new(MemoryAllocator::new(vec![domain], false));
        let worker = Worker::new(config, KEY, "1.2.3".to_owned(), allocator);
        let launcher = Arc::new(ScriptedLauncher::waiting());
        let worker = WorkerNode::start(worker, launcher.clone(), files, Arc::new(|| NOW));
        let listening = listen(Arc::clone(&worker)).await;
        let peer = Peer { worker: WorkerId(1), address: listening.address.clone() };
        Self { listening, peer, worker, launcher, masters, file, _dir: dir }
    }

    fn transport(&self) -> &dyn Transport {
        &*self.listening.transport
    }

    fn order(&self, n: u64) -> Order {
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
            cache: CacheAsk::Shared(ways(2)),
            curve: Arc::new(Curve::flat(1.0, 2.0, Provenance::Prior)),
            weight: Default::default(),
            expected: std::time::Duration::from_secs(1),
            alone: false,
        }
    }

    fn send(&self, order: Order) -> JoinHandle<Result<Report, TransportError>> {
        let (transport, peer) = (Arc::clone(&self.listening.transport), self.peer.clone());
        tokio::spawn(async move { transport.execute(&peer, order).await })
    }
}

fn attempt(n: u64) -> AttemptId {
    AttemptId { invocation: InvocationId(n), attempt: 0 }
}

fn ways(n: u8) -> Ways {
    Ways::new(n).expect("a test knows how many ways there can be")
}

async fn report(answer: JoinHandle<Result<Report, TransportError>>) -> Report {
    within("a report", answer).await.expect("no panic").expect("the order was taken")
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}
