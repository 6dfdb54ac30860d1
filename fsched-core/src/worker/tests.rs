use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::allocator::conformance::domains;
use crate::allocator::{MemoryAllocator, Unmanaged};
use crate::cache::CacheDomain;
use crate::curve::{Curve, Provenance};
use crate::function::{InputSize, Needs};
use crate::id::InvocationId;
use crate::invocation::{CacheAsk, Order, Output};
use crate::launcher::{ExitKind, Launch};
use crate::transport::Refusal;

mod lives;

const FILE: ContentHash = ContentHash([1; 32]);

fn at(millis: u64) -> Timestamp {
    Timestamp::default() + Duration::from_millis(millis)
}

fn attempt(n: u64) -> AttemptId {
    AttemptId { invocation: InvocationId(n), attempt: 0 }
}

fn ways(n: u8) -> Ways {
    Ways::new(n).unwrap()
}

fn order(n: u64) -> Order {
    let curve = Curve::new(
        vec![crate::curve::CurvePoint { cache: Bytes::mib(1), seconds: 1.0, low: 0.5, high: 2.0 }],
        Provenance::Prior,
    );
    Order {
        term: 1,
        attempt: attempt(n),
        tenant: Default::default(),
        function: FunctionId(7),
        file: FILE,
        command: vec!["sh".to_owned()],
        input_size: InputSize(1024),
        payload: None,
        needs: Needs { cores: 1, memory: Bytes::mib(100), ..Needs::default() },
        timeout: Duration::from_secs(10),
        domain: DomainId(0),
        cache: CacheAsk::Shared(ways(2)),
        curve: Arc::new(curve.unwrap()),
        weight: Default::default(),
        expected: Duration::from_secs(1),
        alone: false,
    }
}

fn exit(status: i32) -> Exit {
    Exit {
        kind: ExitKind::Exited(status),
        pid: Some(42),
        wall: Duration::from_secs(1),
        cpu: Duration::from_millis(900),
        peak_memory: Bytes::mib(3),
        stdout: Output { bytes: b"out".to_vec(), dropped: 5 },
        stderr: Output::default(),
    }
}

/// Four cores and 1 GiB on two domains of eight ways.
fn worker() -> Worker {
    let allocator = MemoryAllocator::new(domains(2, 8), true);
    worker_on(Box::new(allocator))
}

fn worker_on(allocator: Box<dyn CacheAllocator>) -> Worker {
    let config = WorkerConfig { cores: 4, ..WorkerConfig::default() };
    Worker::new(config, WorkerKey([9; 16]), "test".to_owned(), allocator)
}

fn started(effects: &[Effect]) -> Launch {
    match effects {
        [Effect::Start(start)] => start.clone().launch(),
        other => panic!("no single start: {other:?}"),
    }
}

fn reported(effects: Vec<Effect>) -> Report {
    match effects.into_iter().next() {
        Some(Effect::Report(report)) => Arc::unwrap_or_clone(report),
        other => panic!("no report: {other:?}"),
    }
}

fn terminated(n: u64) -> [Effect; 1] {
    [Effect::Stop { attempt: attempt(n), how: Stop::Terminate }]
}

fn killed(n: u64) -> [Effect; 1] {
    [Effect::Stop { attempt: attempt(n), how: Stop::Kill }]
}

#[test]
fn an_order_becomes_a_launch() {
    let mut worker = worker();
    let mut order = order(3);
    order.payload = Some(r#"{"a":1}"#.into());
    order.timeout = Duration::from_secs(3600);
    order.needs.cores = 2;
    let effects = worker.order(at(0), order.clone(), true).unwrap();
    let launch = started(&effects);
    assert_eq!((launch.attempt, launch.domain, launch.class), (attempt(3), DomainId(0), ClosId(1)));
    assert_eq!((&launch.command, launch.file, &launch.stdin), (&order.command, FILE, &order.payload));
    assert_eq!(launch.arguments, ["1024"]);
    let environment: Vec<_> = launch.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        environment,
        [
            "FSCHED_CORES=2",
            "FSCHED_FUNCTION=f-7",
            "FSCHED_INPUT_SIZE=1024",
            "FSCHED_INVOCATION=i-3.0",
            r#"FSCHED_PAYLOAD={"a":1}"#,
            "FSCHED_WAYS=2",
        ]
    );
    assert_eq!(launch.limits.memory, Bytes::mib(100));
    assert_eq!(launch.limits.cpu_time, Duration::from_secs(2 * 15 * 60 + 1), "the worker's maximum counts");
}

#[test]
fn a_large_payload_is_on_standard_input_only() {
    let mut worker = worker();
    let payload = |n: usize| Some(format!("\"{}\"", "x".repeat(n - 2)).into());
    let small = Order { payload: payload(64 << 10), ..order(0) };
    let large = Order { payload: payload((64 << 10) + 1), ..order(1) };
    assert!(started(&worker.order(at(0), small, true).unwrap()).environment.contains_key("FSCHED_PAYLOAD"));
    let effects = worker.order(at(0), large, true).unwrap();
    assert!(!started(&effects).environment.contains_key("FSCHED_PAYLOAD"));
    assert!(started(&effects).stdin.is_some());
}

#[test]
fn a_report_says_what_happened() {
    let mut worker = worker();
    worker.order(at(0), order(0), true).unwrap();
    worker.order(at(500), order(1), true).unwrap();
    let report = reported(worker.exited(at(1600), attempt(1), exit(3)));
    assert_eq!((report.attempt, &report.ending, report.pid), (attempt(1), &Ending::Exited(3), Some(42)));
    assert_eq!((report.started, report.wall, report.co_runners), (at(500), Duration::from_secs(1), 1));
    assert_eq!(report.stdout, Output { bytes: b"out".to_vec(), dropped: 5 });
    let cache = report.cache.unwrap();
    assert_eq!((cache.domain, cache.mask.ways(), cache.enforced), (DomainId(0), ways(2), true));
    let whole = crate::sample::Segment { cache: Bytes::mib(2), duration: Duration::from_secs(1) };
    assert_eq!(report.segments, [whole]);
}

#[test]
fn what_was_never_started_got_no_cache() {
    let mut worker = worker();
    worker.order(at(0), order(0), true).unwrap();
    let failed = Exit { kind: ExitKind::NotStarted("no such program".to_owned()), pid: None, ..exit(0) };
    let report = reported(worker.exited(at(1), attempt(0), failed));
    assert_eq!(report.ending, Ending::NotStarted("no such program".to_owned()));
    assert_eq!((report.pid, report.cache, report.segments.len()), (None, None, 0));
    assert!(worker.is_idle());
}

#[test]
fn signals_and_memory_are_told_apart() {
    let kinds = [
        (ExitKind::Signalled(11), Ending::Signalled(11)),
        (ExitKind::OutOfMemory, Ending::OutOfMemory),
        (ExitKind::Exited(0), Ending::Exited(0)),
    ];
    let mut worker = worker();
    for (n, (kind, ending)) in (0..).zip(kinds) {
        worker.order(at(0), order(n), true).unwrap();
        assert_eq!(reported(worker.exited(at(1), attempt(n), Exit { kind, ..exit(0) })).ending, ending);
    }
}

#[test]
fn a_deadline_ends_an_attempt_politely_and_then_not() {
    let mut worker = worker();
    worker.order(at(0), order(0), true).unwrap();
    assert_eq!(worker.next_tick(), Some(at(10_000)));
    assert_eq!(worker.tick(at(9_999)), []);
    assert_eq!(worker.tick(at(10_000)), terminated(0));
    assert_eq!(worker.tick(at(10_000)), []);
    assert_eq!(worker.next_tick(), Some(at(12_000)));
    assert_eq!(worker.running().next().unwrap().ending, Some(Ending::TimedOut));
    assert_eq!(worker.tick(at(13_000)), killed(0));
    assert_eq!((worker.tick(at(99_000)), worker.next_tick()), (vec![], None));
    let signalled = Exit { kind: ExitKind::Signalled(9), ..exit(0) };
    assert_eq!(reported(worker.exited(at(99_000), attempt(0), signalled)).ending, Ending::TimedOut);
}

#[test]
fn without_grace_both_signals_come_at_once() {
    let config = WorkerConfig { grace: Duration::ZERO, ..WorkerConfig::default() };
    let allocator = Box::new(MemoryAllocator::new(domains(1, 8), true));
    let mut worker = Worker::new(config, WorkerKey([9; 16]), String::new(), allocator);
    worker.order(at(0), order(0), true).unwrap();
    assert_eq!(worker.tick(at(10_000)), [terminated(0), killed(0)].concat());
}

#[test]
fn cancelling_ends_an_attempt_whatever_its_status() {
    let mut worker = worker();
    worker.order(at(0), order(0), true).unwrap();
    assert_eq!(worker.cancel(at(100), attempt(0)), terminated(0));
    assert_eq!(worker.cancel(at(200), attempt(0)), [], "it was asked already");
    assert_eq!(worker.tick(at(2_100)), killed(0));
    assert_eq!(reported(worker.exited(at(2_200), attempt(0), exit(0))).ending, Ending::Cancelled);
}

#[test]
fn the_first_reason_for_an_end_is_the_reason() {
    let mut worker = worker();
    worker.order(at(0), order(0), true).unwrap();
    worker.tick(at(10_000));
    assert_eq!(worker.cancel(at(10_001), attempt(0)), []);
    assert_eq!(reported(worker.exited(at(10_002), attempt(0), exit(0))).ending, Ending::TimedOut);
}

#[test]
fn what_is_unknown_changes_nothing() {
    let mut worker = worker();
    assert_eq!(worker.exited(at(0), attempt(0), exit(0)), []);
    assert_eq!(worker.cancel(at(0), attempt(0)), []);
    worker.order(at(0), order(0), true).unwrap();
    worker.exited(at(1), attempt(0), exit(0));
    assert_eq!(worker.exited(at(2), attempt(0), exit(0)), []);
    assert_eq!((worker.tick(at(1_000_000)), worker.next_tick()), (vec![], None));
}

#[test]
fn an_attempt_runs_once() {
    let mut worker = worker();
    worker.order(at(0), order(0), true).unwrap();
    assert_eq!(worker.order(at(0), order(0), true), Err(Refusal::Duplicate));
    worker.exited(at(1), attempt(0), exit(0));
    assert_eq!(worker.order(at(2), order(0), true), Err(Refusal::Duplicate));
}

#[test]
fn an_order_that_was_refused_and_comes_twice_is_not_taken_the_second_time() {
    // The master heard the refusal and placed it elsewhere.
    let mut worker = worker();
    let big = |n| Order { needs: Needs { cores: 2, ..Needs::default() }, ..order(n) };
    worker.order(at(0), big(0), true).unwrap();
    assert!(matches!(worker.order(at(0), order(1), true), Err(Refusal::NoRoom(_))));
    worker.exited(at(1), attempt(0), exit(0));
    assert!(matches!(worker.order(at(1), order(1), true), Err(Refusal::NoRoom(_))));
    let next = AttemptId { attempt: 1, ..attempt(1) };
    assert!(worker.order(at(1), Order { attempt: next, ..order(1) }, true).is_ok());
}

#[test]
fn another_life_of_the_master_numbers_its_attempts_anew() {
    let mut worker = worker();
    worker.order(at(0), order(0), true).unwrap();
    let later = |n| Order { term: 2, ..order(n) };
    assert!(matches!(worker.order(at(0), later(0), true), Err(Refusal::NoRoom(_))));
    worker.order(at(0), order(1), true).unwrap();
    worker.exited(at(1), attempt(1), exit(0));
    assert!(worker.order(at(2), later(1), true).is_ok());
}

#[test]
fn orders_beyond_what_is_free_are_refused() {
    let mut worker = worker();
    let needing = |n, cores, mib| {
        let needs = Needs { cores, memory: Bytes::mib(mib), ..Needs::default() };
        Order { needs, ..order(n) }
    };
    let elsewhere = |order| Order { domain: DomainId(1), ..order };
    assert!(matches!(worker.order(at(0), needing(10, 3, 1), true), Err(Refusal::Impossible(_))));
    assert!(matches!(worker.order(at(0), needing(11, 1, 1025), true), Err(Refusal::Impossible(_))));
    assert!(worker.order(at(0), needing(0, 2, 1000), true).is_ok());
    assert!(matches!(worker.order(at(0), needing(12, 1, 1), true), Err(Refusal::NoRoom(_))));
    assert!(matches!(worker.order(at(0), elsewhere(needing(13, 1, 25)), true), Err(Refusal::NoRoom(_))));
    assert!(worker.order(at(0), elsewhere(needing(1, 1, 24)), true).is_ok());
    let nowhere = Order { domain: DomainId(2), ..order(2) };
    assert!(matches!(worker.order(at(0), nowhere, true), Err(Refusal::Impossible(_))));
    worker.exited(at(1), attempt(0), exit(0));
    assert!(worker.order(at(2), needing(3, 2, 1000), true).is_ok(), "releasing makes room");
}

#[test]
fn exclusive_ways_are_hard_capacity() {
    let mut worker = worker();
    let exclusive = |n, most| Order { cache: CacheAsk::Exclusive(ways(most)), ..order(n) };
    assert!(matches!(worker.order(at(0), exclusive(10, 8), true), Err(Refusal::Impossible(_))));
    assert!(worker.order(at(0), exclusive(0, 6), true).is_ok());
    assert!(matches!(worker.order(at(0), exclusive(11, 2), true), Err(Refusal::NoRoom(_))));
    assert!(worker.order(at(0), exclusive(1, 1), true).is_ok());
    let mut unmanaged = worker_on(Box::new(Unmanaged::new(domains(2, 8))));
    assert!(matches!(unmanaged.order(at(0), exclusive(0, 1), true), Err(Refusal::Impossible(_))));
    assert!(unmanaged.is_idle() && unmanaged.next_tick().is_none());
}

#[test]
fn alone_means_alone() {
    let mut worker = worker();
    let alone = |n| Order { alone: true, ..order(n) };
    worker.order(at(0), order(0), true).unwrap();
    assert!(matches!(worker.order(at(0), alone(11), true), Err(Refusal::NoRoom(_))));
    worker.exited(at(1), attempt(0), exit(0));
    worker.order(at(2), alone(1), true).unwrap();
    assert!(matches!(worker.order(at(2), order(12), true), Err(Refusal::NoRoom(_))));
    assert!(worker.order(at(2), Order { domain: DomainId(1), ..order(3) }, true).is_ok());
    worker.exited(at(3), attempt(1), exit(0));
    assert!(worker.order(at(4), order(2), true).is_ok());
}

#[test]
fn a_stopping_worker_sees_to_what_runs_and_takes_nothing_new() {
    let mut worker = worker();
    worker.order(at(0), order(0), true).unwrap();
    worker.stop();
    assert_eq!(worker.order(at(1), order(1), true), Err(Refusal::Stopping));
    assert!(!worker.is_idle() && worker.heartbeat(MachineStatus::default()).stopping);
    assert_eq!(worker.cancel_all(at(2)), terminated(0));
    worker.exited(at(3), attempt(0), exit(0));
    assert!(worker.is_idle());
}

#[test]
fn files_go_with_their_last_user() {
    let mut worker = worker();
    worker.order(at(0), order(0), true).unwrap();
    worker.order(at(0), order(1), true).unwrap();
    assert_eq!(worker.discard_file(FILE), []);
    let elsewhere = |n| Order { domain: DomainId(1), ..order(n) };
    assert_eq!(worker.order(at(0), elsewhere(12), true), Err(Refusal::MissingFile), "it is about to go");
    assert_eq!(worker.exited(at(1), attempt(0), exit(0)).len(), 1);
    let effects = worker.exited(at(1), attempt(1), exit(0));
    assert_eq!(effects.last(), Some(&Effect::RemoveFile(FILE)));
    assert_eq!(worker.order(at(2), order(13), false), Err(Refusal::MissingFile));
    worker.file_arrived(FILE);
    assert!(worker.order(at(2), order(2), true).is_ok());
}

#[test]
fn a_file_that_comes_again_stays() {
    let mut worker = worker();
    worker.order(at(0), order(0), true).unwrap();
    worker.discard_file(FILE);
    worker.file_arrived(FILE);
    assert_eq!(worker.exited(at(1), attempt(0), exit(0)).len(), 1, "a report and nothing else");
    assert_eq!(worker.discard_file(FILE), [Effect::RemoveFile(FILE)]);
}

#[test]
fn moving_masks_leave_segments() {
    let mut worker = worker();
    worker.order(at(0), Order { cache: CacheAsk::Shared(ways(8)), ..order(0) }, true).unwrap();
    worker.order(at(400), Order { cache: CacheAsk::Exclusive(ways(6)), ..order(1) }, true).unwrap();
    assert_eq!(worker.running().next().unwrap().mask.ways(), ways(2));
    worker.exited(at(700), attempt(1), exit(0));
    let report = reported(worker.exited(at(1_010), attempt(0), exit(0)));
    let segments: Vec<_> = report.segments.iter().map(|s| (s.cache, s.duration.as_millis())).collect();
    assert_eq!(segments, [(Bytes::mib(8), 400), (Bytes::mib(2), 300), (Bytes::mib(8), 300)]);
}

#[test]
fn who_gets_another_class_is_moved_there() {
    let mut allocator = crate::mock::MockCacheAllocator::new();
    allocator.expect_domains().return_const(crate::allocator::conformance::domains(1, 8));
    allocator.expect_enforced().return_const(true);
    let grant = |lease, class, moved| crate::allocator::Grant {
        lease: LeaseId(lease),
        class: ClosId(class),
        mask: WayMask::new(0x0f).unwrap(),
        moved,
    };
    let moved = |class| Moved { lease: LeaseId(0), class: ClosId(class), mask: WayMask::new(0xf0).unwrap() };
    let mut answers = vec![grant(1, 2, vec![moved(3)]), grant(0, 1, vec![])];
    allocator.expect_acquire().returning(move |_, _| Ok(answers.pop().unwrap()));
    allocator.expect_release().returning(move |_| Ok(vec![moved(2)]));
    allocator.expect_check().returning(move || vec![moved(1)]);
    let mut worker = worker_on(Box::new(allocator));
    worker.order(at(0), order(0), true).unwrap();
    let effects = worker.order(at(1), order(1), true).unwrap();
    assert_eq!(effects[0], Effect::Move { attempt: attempt(0), class: ClosId(3) }, "before the other starts");
    assert!(matches!(effects[1], Effect::Start(_)));
    assert_eq!(worker.running().next().unwrap().class, ClosId(3));
    let effects = worker.exited(at(2), attempt(1), exit(0));
    assert_eq!(effects[0], Effect::Move { attempt: attempt(0), class: ClosId(2) });
    let effects = worker.look_after(at(3));
    assert_eq!(effects, [Effect::Move { attempt: attempt(0), class: ClosId(1) }], "its group is gone");
    let report = reported(worker.exited(at(3), attempt(0), exit(0)));
    assert_eq!(report.cache.unwrap().class, ClosId(1));
}
