//! A whole platform in one process: master, workers, loopback, a store in memory, processes that only pretend.

mod rig;

use std::sync::Arc;
use std::time::Duration;

use fsched_core::function::InputSize;
use fsched_core::id::ContentHash;
use fsched_core::invocation::{Ending, InvocationState, LostReason, Outcome};
use fsched_core::launcher::{ExitKind, Script, Stop, ended};
use fsched_core::master::{BenchmarkError, BenchmarkRequest, CancelError, SubmitError};
use fsched_core::mock::MockTransport;
use fsched_core::node::{ChangeError, FileStore, MasterNode, PushError};
use fsched_core::store::{EndKind, MemoryStore, Store, StoreError};
use fsched_core::transport::TransportError;

use rig::{FlakyStore, Platform, eventually, submission, within};

#[tokio::test]
async fn a_function_runs_where_its_file_is_brought_once() {
    let platform = Platform::start().await;
    let worker = platform.worker(1, |_| Script::succeed(Duration::from_millis(7))).await;
    let function = platform.push("f").await;
    assert_eq!(worker.node.files().list().unwrap(), []);
    for _ in 0..3 {
        let ticket = platform.master.submit(submission(&function)).await.unwrap();
        let Outcome::Ran { worker: id, report } = within(ticket).await else { panic!("it did not run") };
        assert_eq!(id, worker.id);
        assert!(report.succeeded());
        assert_eq!(report.wall, Duration::from_millis(7));
    }
    assert_eq!(worker.node.files().list().unwrap(), [function.spec.file]);
    assert_eq!(worker.launcher.launched().len(), 3);
    let snapshot = platform.store.load().await.unwrap();
    assert_eq!(snapshot.samples.len(), 3);
    assert!(snapshot.invocations.values().all(|i| matches!(i.end, Some((EndKind::Exited(0), _)))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_all_end() {
    let platform = Platform::start().await;
    let workers = [
        platform.worker(2, |_| Script::succeed(Duration::from_millis(1))).await,
        platform.worker(2, |_| Script::succeed(Duration::from_millis(1))).await,
    ];
    let function = platform.push("f").await;
    let mut tickets = Vec::new();
    for _ in 0..200 {
        tickets.push(platform.master.submit(submission(&function)).await.unwrap());
    }
    for ticket in tickets {
        assert!(matches!(within(ticket).await, Outcome::Ran { report, .. } if report.succeeded()));
    }
    let launches: usize = workers.iter().map(|worker| worker.launcher.launched().len()).sum();
    assert_eq!(launches, 200);
    assert!(platform.master.read(fsched_core::master::Master::is_idle));
}

#[tokio::test]
async fn an_invocation_runs_whether_its_ticket_is_polled_or_not() {
    let platform = Platform::start().await;
    let worker = platform.worker(1, |_| Script::Wait).await;
    let function = platform.push("f").await;
    let _ticket = platform.master.submit(submission(&function)).await.unwrap();
    within(worker.launcher.until_launched(1)).await;
}

#[tokio::test]
async fn a_benchmark_brings_a_report() {
    let platform = Platform::start().await;
    let worker = platform.worker(1, |_| Script::succeed(Duration::from_millis(20))).await;
    let function = platform.push("f").await;
    let request = BenchmarkRequest::new(function.id, InputSize(10));
    let ticket = platform.master.benchmark(request).await.unwrap();
    let report = within(ticket).await.unwrap();
    assert_eq!((report.function, report.worker, report.enforced), (function.id, worker.id, false));
    assert_eq!(report.points.len(), 1, "where masks are not enforced only the whole cache is run");
    assert_eq!(report.points[0].median, 0.02);
    assert_eq!(report.runs, worker.launcher.launched().len());
}

#[tokio::test]
async fn a_benchmark_that_nobody_waits_for_is_ended() {
    let platform = Platform::start().await;
    let worker = platform.worker(1, |_| Script::Wait).await;
    let function = platform.push("f").await;
    let request = BenchmarkRequest::new(function.id, InputSize(10));
    let ticket = platform.master.benchmark(request.clone()).await.unwrap();
    let launch = within(worker.launcher.until_launched(1)).await.remove(0);
    drop(ticket);
    within(worker.launcher.until_stopped(launch.attempt, Stop::Terminate)).await;
    within(eventually(|| platform.is_idle())).await;
    assert_eq!(worker.launcher.launched().len(), 1);
}

#[tokio::test]
async fn a_failing_run_fails_its_benchmark() {
    let platform = Platform::start().await;
    platform.worker(1, |_| Script::End(ended(ExitKind::Exited(3), Duration::from_millis(1)))).await;
    let function = platform.push("f").await;
    let request = BenchmarkRequest::new(function.id, InputSize(10));
    let error = within(platform.master.benchmark(request).await.unwrap()).await.unwrap_err();
    let BenchmarkError::Failed { report, .. } = error else { panic!("{error}") };
    assert_eq!(report.ending, Ending::Exited(3));
}

#[tokio::test]
async fn what_is_cancelled_is_answered_wherever_it_stands() {
    let platform = Platform::start().await;
    let worker = platform.worker(1, |_| Script::Wait).await;
    let function = platform.push("f").await;
    let running = platform.master.submit(submission(&function)).await.unwrap();
    within(worker.launcher.until_launched(1)).await;
    let queued = platform.master.submit(submission(&function)).await.unwrap();
    let (first, second) = (running.id, queued.id);
    platform.master.cancel(second).await.unwrap();
    assert_eq!(within(queued).await, Outcome::Cancelled);
    platform.master.cancel(first).await.unwrap();
    let Outcome::Ran { report, .. } = within(running).await else { panic!("it ran") };
    assert_eq!(report.ending, Ending::Cancelled);
    assert_eq!(platform.master.cancel(first).await, Err(CancelError::AlreadyEnded(first)));
    assert_eq!(worker.launcher.launched().len(), 1);
}

#[tokio::test]
async fn what_is_cancelled_while_its_order_is_refused_stays_cancelled() {
    let platform = Platform::start().await;
    let worker = platform.worker(1, |_| Script::Wait).await;
    let function = platform.push("f").await;
    // The worker has not the file yet. On this one thread nothing is carried before the next await.
    let ticket = platform.master.submit(submission(&function)).await.unwrap();
    platform.master.cancel(ticket.id).await.unwrap();
    assert_eq!(within(ticket).await, Outcome::Cancelled);
    assert_eq!(worker.launcher.launched(), []);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_what_it_waited_for() {
    let platform = Platform::start().await;
    let worker = platform.worker(1, |_| Script::Wait).await;
    let function = platform.push("f").await;
    let ticket = platform.master.submit(submission(&function)).await.unwrap();
    let id = ticket.id;
    let attempt = within(worker.launcher.until_launched(1)).await[0].attempt;
    drop(ticket);
    within(worker.launcher.until_stopped(attempt, Stop::Terminate)).await;
    within(eventually(|| platform.is_idle())).await;
    let end = platform.master.read(|master| master.invocation(id).unwrap().state.clone());
    assert!(matches!(end, InvocationState::Ended { end: EndKind::Cancelled, .. }), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_at_once_ends_it_too() {
    let platform = Platform::start().await;
    platform.worker(4, |_| Script::Wait).await;
    let function = platform.push("f").await;
    for _ in 0..50 {
        drop(platform.master.submit(submission(&function)).await.unwrap());
    }
    within(eventually(|| platform.is_idle())).await;
}

#[tokio::test]
async fn a_lost_worker_is_told_and_the_idempotent_run_elsewhere() {
    let platform = Platform::start().await;
    let first = platform.worker(2, |_| Script::Wait).await;
    let function = platform.push("f").await;
    let once = platform.master.submit(submission(&function)).await.unwrap();
    let mut retried = submission(&function);
    retried.idempotent = true;
    let retried = platform.master.submit(retried).await.unwrap();
    within(first.launcher.until_launched(2)).await;
    let second = platform.worker(2, |_| Script::succeed(Duration::from_millis(1))).await;
    platform.loopback.disconnect(&first.address);
    assert_eq!(within(once).await, Outcome::Lost(LostReason::Worker));
    let Outcome::Ran { worker, report } = within(retried).await else { panic!("it was not run again") };
    assert_eq!(worker, second.id);
    assert!(report.attempt.attempt > 0, "another attempt has another name");
    assert_eq!(second.launcher.launched().len(), 1);
}

#[tokio::test]
async fn what_a_killed_master_left_is_lost_once() {
    let platform = Platform::start().await;
    let worker = platform.worker(1, |_| Script::Wait).await;
    let function = platform.push("f").await;
    let (files, store, loopback) = (platform.files(), platform.store.clone(), platform.loopback.clone());
    // A second master of the same store, which dies with its runtime.
    let spec = submission(&function);
    let (address, clock) = (worker.address.clone(), platform.clock.clone());
    let id = tokio::task::spawn_blocking(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let id = runtime.block_on(async {
            let master = rig::master(files, Arc::new(store), loopback, &clock).await;
            master.add_worker(address).await.unwrap();
            let ticket = master.submit(spec).await.unwrap();
            let id = ticket.id;
            std::mem::forget(ticket);
            id
        });
        runtime.shutdown_background();
        id
    });
    let id = within(id).await.unwrap();
    let mut ends = Vec::new();
    for _ in 0..2 {
        platform.clock.advance(Duration::from_secs(1));
        let store = Arc::new(platform.store.clone());
        let master = rig::master(platform.files(), store, platform.loopback.clone(), &platform.clock).await;
        let state = master.read(|master| master.invocation(id).unwrap().state.clone());
        let InvocationState::Ended { end, at, .. } = state else { panic!("{state:?}") };
        assert_eq!(end, EndKind::LostMaster);
        ends.push(at);
        assert_eq!(master.read(|master| master.function(function.id).cloned()), Some(function.clone()));
        let workers = platform.store.load().await.unwrap().workers;
        assert_eq!(workers.keys().copied().collect::<Vec<_>>(), [worker.id]);
    }
    assert_eq!(ends[0], ends[1], "it was lost twice");
}

#[tokio::test]
async fn a_push_that_cannot_be_kept_leaves_nothing() {
    let store = FlakyStore::default();
    let platform = Platform::with_store(store.clone()).await;
    platform.worker(1, |_| Script::succeed(Duration::from_millis(1))).await;
    for break_store in [FlakyStore::refuse_appends, FlakyStore::refuse_flushes] {
        let spec = platform.spec("f");
        break_store(&store, true);
        let error = platform.master.push(spec.clone()).await.unwrap_err();
        assert!(matches!(error, PushError::Store(_)), "{error}");
        assert_eq!(platform.master.read(|master| master.functions().count()), 0);
        assert!(!platform.master.files().contains(spec.file), "the file stays without a function");
        break_store(&store, false);
    }
    let function = platform.push("f").await;
    let ticket = platform.master.submit(submission(&function)).await.unwrap();
    assert!(matches!(within(ticket).await, Outcome::Ran { .. }));
}

#[tokio::test]
async fn an_invocation_that_cannot_be_kept_is_not_run_and_its_client_is_told() {
    let store = FlakyStore::default();
    let platform = Platform::with_store(store.clone()).await;
    let worker = platform.worker(1, |_| Script::succeed(Duration::from_millis(1))).await;
    let function = platform.push("f").await;
    let ticket = platform.master.submit(submission(&function)).await.unwrap();
    assert!(matches!(within(ticket).await, Outcome::Ran { .. }));
    store.refuse_appends(true);
    let refused = platform.master.submit(submission(&function)).await.map(|ticket| ticket.id);
    assert!(matches!(refused, Err(SubmitError::NotKept(StoreError::Full { .. }))), "{refused:?}");
    assert_eq!(worker.launcher.launched().len(), 1);
    assert!(platform.is_idle());
    store.refuse_appends(false);
    let ticket = platform.master.submit(submission(&function)).await.unwrap();
    assert!(matches!(within(ticket).await, Outcome::Ran { .. }), "room was lost");
}

#[tokio::test]
async fn a_lost_sample_keeps_nobody_waiting() {
    let store = FlakyStore::default();
    let platform = Platform::with_store(store.clone()).await;
    let worker = platform.worker(1, |_| Script::Wait).await;
    let function = platform.push("f").await;
    let running = platform.master.submit(submission(&function)).await.unwrap();
    let queued = platform.master.submit(submission(&function)).await.unwrap();
    let first = within(worker.launcher.until_launched(1)).await[0].attempt;
    store.refuse_appends(true);
    worker.launcher.end(first, ended(ExitKind::Exited(0), Duration::from_millis(1)));
    assert!(
        matches!(within(running).await, Outcome::Ran { .. }),
        "its end could not be kept, and was not told"
    );
    let second = within(worker.launcher.until_launched(2)).await[1].attempt;
    worker.launcher.end(second, ended(ExitKind::Exited(0), Duration::from_millis(1)));
    assert!(matches!(within(queued).await, Outcome::Ran { .. }));
}

#[tokio::test]
async fn a_push_is_answered_when_the_disk_has_it_and_not_before() {
    let store = FlakyStore::default();
    let platform = Platform::with_store(store.clone()).await;
    let (spec, other) = (platform.spec("f"), platform.spec("g"));
    let hold = store.hold_flushes().await;
    let master = Arc::clone(&platform.master);
    let push = tokio::spawn(async move { master.push(spec).await });
    // A client that goes away in the middle of a push changes nothing.
    let master = Arc::clone(&platform.master);
    let abandoned = tokio::spawn(async move { master.push(other).await });
    within(eventually(|| platform.master.read(|master| master.functions().count()) == 2)).await;
    abandoned.abort();
    assert!(!push.is_finished());
    drop(hold);
    let function = within(push).await.unwrap().unwrap();
    let kept = platform.store.load().await.unwrap().functions;
    assert!(kept.contains_key(&function.id));
    assert_eq!(kept.len(), 2, "a push without a client was lost");
}

#[tokio::test]
async fn only_files_that_are_there_become_functions() {
    let platform = Platform::start().await;
    let mut spec = platform.spec("f");
    spec.file = ContentHash([1; 32]);
    let error = platform.master.push(spec).await.unwrap_err();
    assert!(matches!(error, PushError::MissingFile(file) if file == ContentHash([1; 32])), "{error}");
}

#[tokio::test]
async fn removing_a_function_removes_its_file_here_and_there() {
    let platform = Platform::start().await;
    let worker = platform.worker(1, |_| Script::succeed(Duration::from_millis(1))).await;
    let function = platform.push("f").await;
    within(platform.master.submit(submission(&function)).await.unwrap()).await;
    platform.master.remove_function(function.id).await.unwrap();
    assert!(!platform.master.files().contains(function.spec.file));
    within(eventually(|| !worker.node.files().contains(function.spec.file))).await;
    let refused = platform.master.submit(submission(&function)).await.map(|ticket| ticket.id);
    assert_eq!(refused, Err(SubmitError::UnknownFunction(function.id)));
}

#[tokio::test]
async fn files_that_nothing_refers_to_are_collected_at_the_start() {
    let platform = Platform::start().await;
    let function = platform.push("f").await;
    let useless = platform.master.files().put(b"left by an upload that was cut off").unwrap();
    let store = Arc::new(platform.store.clone());
    let again = rig::master(platform.files(), store, platform.loopback.clone(), &platform.clock).await;
    assert!(!again.files().contains(useless));
    assert!(again.files().contains(function.spec.file));
}

#[tokio::test]
async fn a_damaged_file_is_found_at_the_start_and_healed_by_pushing_it_again() {
    let platform = Platform::start().await;
    let function = platform.push("f").await;
    std::fs::write(platform.files().path(function.spec.file), "damage").unwrap();
    let store = Arc::new(platform.store.clone());
    let again = rig::master(platform.files(), store, platform.loopback.clone(), &platform.clock).await;
    assert!(!again.files().contains(function.spec.file));
    assert!(again.read(|master| master.function(function.id).is_some()));
    assert_eq!(platform.spec("f").file, function.spec.file);
    again.files().verify(function.spec.file).unwrap();
}

#[tokio::test]
async fn a_shutdown_waits_for_what_runs_and_refuses_the_rest() {
    let platform = Platform::start().await;
    let worker = platform.worker(1, |_| Script::Wait).await;
    let function = platform.push("f").await;
    let ticket = platform.master.submit(submission(&function)).await.unwrap();
    let attempt = within(worker.launcher.until_launched(1)).await[0].attempt;
    let master = Arc::clone(&platform.master);
    let shutdown = tokio::spawn(async move { master.shutdown(Duration::from_secs(600)).await });
    let refused = || async { platform.master.submit(submission(&function)).await.map(|ticket| ticket.id) };
    while refused().await != Err(SubmitError::Stopping) {
        tokio::task::yield_now().await;
    }
    assert!(matches!(platform.master.push(platform.spec("g")).await, Err(PushError::Stopping)));
    assert!(!shutdown.is_finished());
    worker.launcher.end(attempt, ended(ExitKind::Exited(0), Duration::from_millis(1)));
    assert!(matches!(within(ticket).await, Outcome::Ran { report, .. } if report.succeeded()));
    within(shutdown).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_without_patience_ends_what_runs() {
    let platform = Platform::start().await;
    let worker = platform.worker(1, |_| Script::Wait).await;
    let function = platform.push("f").await;
    let ticket = platform.master.submit(submission(&function)).await.unwrap();
    within(worker.launcher.until_launched(1)).await;
    within(platform.master.shutdown(Duration::ZERO)).await;
    let Outcome::Ran { report, .. } = within(ticket).await else { panic!("it ran") };
    assert_eq!(report.ending, Ending::Cancelled);
    within(worker.node.shutdown(Duration::ZERO)).await;
}

#[tokio::test]
async fn a_worker_that_is_shut_down_ends_even_the_stubborn() {
    let platform = Platform::start().await;
    let worker = platform.worker(1, |_| Script::Stubborn).await;
    let function = platform.push("f").await;
    let ticket = platform.master.submit(submission(&function)).await.unwrap();
    let attempt = within(worker.launcher.until_launched(1)).await[0].attempt;
    let node = Arc::clone(&worker.node);
    let shutdown = tokio::spawn(async move { node.shutdown(Duration::ZERO).await });
    within(worker.launcher.until_stopped(attempt, Stop::Terminate)).await;
    // Longer than the grace of the worker, shorter than the patience of the master.
    platform.clock.advance(Duration::from_secs(1));
    within(worker.launcher.until_stopped(attempt, Stop::Kill)).await;
    within(shutdown).await.unwrap();
    assert_eq!(within(ticket).await, Outcome::Lost(LostReason::Worker));
}

#[tokio::test]
async fn an_answer_outlives_the_runtime_that_asked() {
    let platform = Platform::start().await;
    let worker = platform.worker(1, |_| Script::Wait).await;
    let function = platform.push("f").await;
    let (master, submission) = (Arc::clone(&platform.master), submission(&function));
    platform.run_once(&worker, &function).await;
    let launcher = Arc::clone(&worker.launcher);
    let ticket = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ticket = runtime.block_on(master.submit(submission)).unwrap();
        runtime.block_on(within(launcher.until_launched(2)));
        ticket
    });
    let ticket = within(ticket).await.unwrap();
    let attempt = worker.launcher.launched()[1].attempt;
    // Its order was carried by a task of a runtime that is gone. Loopback ends the attempt when that task is dropped,
    // so it was not: it moved.
    assert_eq!(worker.launcher.running(), [attempt]);
    worker.launcher.end(attempt, ended(ExitKind::Exited(0), Duration::from_millis(1)));
    assert!(matches!(within(ticket).await, Outcome::Ran { report, .. } if report.succeeded()));
}

#[tokio::test]
async fn whoever_answers_nonsense_is_not_taken_in() {
    let mut transport = MockTransport::new();
    transport.expect_inspect().times(1).returning(|address| {
        Err(TransportError::Protocol { address: address.clone(), reason: "it speaks of the weather".into() })
    });
    let (store, clock) = (MemoryStore::default(), rig::Clock::new());
    let dir = tempfile::TempDir::new().unwrap();
    let files = FileStore::open(dir.path()).unwrap();
    let master = rig::master(files, Arc::new(store.clone()), Arc::new(transport), &clock).await;
    let error = master.add_worker("somebody".into()).await.unwrap_err();
    assert!(matches!(error, ChangeError::Refused(TransportError::Protocol { .. })), "{error}");
    assert!(store.load().await.unwrap().workers.is_empty());
}

/// Compiles only if servers on many threads can share a master.
#[test]
fn nodes_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Arc<MasterNode>>();
    shared::<Arc<fsched_core::node::WorkerNode>>();
}
