//! The contract of [`Store`] as a suite, one function per sentence, and facts to test stores with.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use fsched_core::store::{MemoryStore, conformance};
//!
//! // The outer closure makes a new, empty place; the inner one opens the store there, again and again.
//! conformance::check(|| {
//!     let place = MemoryStore::default();
//!     move || place.clone()
//! })
//! .await;
//! # });
//! ```

use std::ops::Range;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{EndKind, Fold, InvocationRecord, Record, Snapshot, Store, WorkerRecord};
use crate::cache::Bytes;
use crate::function::{Function, FunctionName, FunctionSpec, InputSize, Needs};
use crate::id::{ContentHash, FunctionId, InvocationId, WorkerId, WorkerKey};
use crate::sample::{Counts, Origin, Sample, Segment};
use crate::tenant::Tenant;
use crate::time::Timestamp;
use crate::transport::Address;

/// Holds a store to the whole contract.
///
/// `place` makes a new, empty place and returns what opens the store there. It is opened again only after what was
/// opened before has been dropped.
///
/// # Panics
/// Where the contract is broken.
pub async fn check<P, O, S>(mut place: P)
where
    P: FnMut() -> O,
    O: Fn() -> S,
    S: Store,
{
    a_new_store_is_empty(place()).await;
    appended_facts_are_there_after_a_restart(place()).await;
    flushed_facts_are_there_after_a_restart(place()).await;
    every_prefix_adds_up(place()).await;
    facts_may_come_from_any_thread(place()).await;
    facts_that_make_no_sense_do_no_harm(place()).await;
    counters_outlive_what_they_counted(place()).await;
    what_is_too_old_is_forgotten(place()).await;
    a_flush_given_up_does_no_harm(place()).await;
}

/// A new store shows nothing.
pub async fn a_new_store_is_empty<S: Store>(open: impl Fn() -> S) {
    assert_eq!(load(&open()).await, Snapshot::default());
    assert_eq!(load(&open()).await, Snapshot::default(), "opening it twice adds nothing");
}

/// After `append` returned, a restart finds the fact.
pub async fn appended_facts_are_there_after_a_restart<S: Store>(open: impl Fn() -> S) {
    let mut expected = Fold::default();
    for fact in story() {
        let store = open();
        assert_eq!(load(&store).await, expected.snapshot());
        append(&store, fact.clone());
        expected.apply(fact);
    }
    assert_eq!(load(&open()).await, expected.snapshot());
}

/// After `flush` returned, a restart finds everything appended before; flushing nothing is fine.
pub async fn flushed_facts_are_there_after_a_restart<S: Store>(open: impl Fn() -> S) {
    let store = open();
    flush(&store).await;
    story().into_iter().for_each(|fact| append(&store, fact));
    flush(&store).await;
    flush(&store).await;
    drop(store);
    assert_eq!(load(&open()).await, added_up(story()));
}

/// What a snapshot shows is what the first N facts add up to, in their order.
pub async fn every_prefix_adds_up<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let mut expected = Fold::default();
    for fact in story().into_iter().chain(story()) {
        append(&store, fact.clone());
        expected.apply(fact);
        assert_eq!(load(&store).await, expected.snapshot());
    }
}

/// Facts may be appended from any thread, and each thread's stay in order.
pub async fn facts_may_come_from_any_thread<S: Store>(open: impl Fn() -> S) {
    const THREADS: u64 = 4;
    const EACH: u64 = 50;
    let store = open();
    (1..=THREADS).for_each(|id| append(&store, function(id)));
    std::thread::scope(|scope| {
        for id in 1..=THREADS {
            let store = &store;
            scope.spawn(move || (0..EACH).for_each(|n| append(store, sample(id, n))));
        }
    });
    drop(store);
    let snapshot = load(&open()).await;
    for id in 1..=THREADS {
        let samples = snapshot.samples.iter().filter(|s| s.function.0 == id);
        assert!(samples.map(|s| s.input_size.0).eq(0..EACH), "thread {id} appended {EACH} samples in order");
    }
}

/// Facts that contradict each other change nothing that they should not.
pub async fn facts_that_make_no_sense_do_no_harm<S: Store>(open: impl Fn() -> S) {
    let nonsense = || {
        let removals = [Record::FunctionRemoved(FunctionId(99)), Record::WorkerRemoved(WorkerId(99))];
        [ended(99), sample(99, 1)].into_iter().chain(removals.clone()).chain(removals)
    };
    let store = open();
    nonsense().for_each(|fact| append(&store, fact));
    story().into_iter().for_each(|fact| append(&store, fact));
    nonsense().for_each(|fact| append(&store, fact));
    drop(store);
    assert_eq!(load(&open()).await, added_up(story()));
}

/// No id is minted twice: counters do not go back when what they counted is removed.
pub async fn counters_outlive_what_they_counted<S: Store>(open: impl Fn() -> S) {
    let store = open();
    append(&store, function(7));
    append(&store, worker(5));
    append(&store, Record::FunctionRemoved(FunctionId(7)));
    append(&store, Record::WorkerRemoved(WorkerId(5)));
    drop(store);
    let snapshot = load(&open()).await;
    assert!(snapshot.functions.is_empty() && snapshot.workers.is_empty());
    assert_eq!((snapshot.next_function, snapshot.next_worker), (8, 6));
}

/// Only the newest samples and ended invocations are kept.
pub async fn what_is_too_old_is_forgotten<S: Store>(open: impl Fn() -> S) {
    let samples = Snapshot::SAMPLES_PER_FUNCTION as u64 + 5;
    let invocations = Snapshot::INVOCATIONS as u64 + 5;
    let facts = || {
        [function(1), function(2), sample(2, 0), profile(1, 0), benchmarked(1, 0), accepted(0)]
            .into_iter()
            .chain((0..samples).map(|n| sample(1, n)))
            .chain((0..samples).map(|n| profile(2, n)))
            .chain((1..invocations).flat_map(|n| [accepted(n), ended(n)]))
    };
    let store = open();
    facts().for_each(|fact| append(&store, fact));
    drop(store);
    let store = open();
    assert!(load(&store).await == added_up(facts()), "a restart keeps the newest");
    append(&store, sample(1, samples));
    append(&store, accepted(invocations));
    append(&store, ended(invocations));
    let more = [sample(1, samples), accepted(invocations), ended(invocations)];
    assert!(load(&store).await == added_up(facts().chain(more)), "and it goes on after the restart");
}

/// A caller that stops waiting for `flush` breaks nothing.
pub async fn a_flush_given_up_does_no_harm<S: Store>(open: impl Fn() -> S) {
    let store = open();
    for fact in story() {
        append(&store, fact);
        // Polled once, then dropped.
        tokio::select! {
            biased;
            _ = store.flush() => {}
            () = std::future::ready(()) => {}
        }
    }
    flush(&store).await;
    drop(store);
    assert_eq!(load(&open()).await, added_up(story()));
}

/// A function was pushed.
pub fn function(id: u64) -> Record {
    let name: FunctionName =
        format!("function {id}").parse().expect("a short name without control characters");
    Record::FunctionPut(Box::new(Function {
        id: FunctionId(id),
        version: 1,
        spec: FunctionSpec {
            tenant: tenant(id),
            name,
            file: ContentHash([id as u8; 32]),
            file_size: Bytes(id),
            command: "sh -c 'echo \"é\"'".parse().ok(),
            needs: Needs::default(),
            timeout: Duration::from_millis(1_500),
        },
        pushed_at: Timestamp(id),
    }))
}

/// A worker was added.
pub fn worker(id: u64) -> Record {
    Record::WorkerPut(WorkerRecord {
        id: WorkerId(id),
        key: WorkerKey([id as u8; 16]),
        address: Address::from(format!("http://127.0.0.1:{id}").as_str()),
        draining: id % 2 == 1,
    })
}

/// A function ran on input of size `n`.
pub fn sample(function: u64, n: u64) -> Record {
    Record::Sampled(Sample {
        function: FunctionId(function),
        input_size: InputSize(n),
        segments: vec![Segment { cache: Bytes::mib(1), duration: Duration::from_nanos(n) }],
        worker: WorkerId(1),
        enforced: true,
        co_runners: 3,
        benchmark: false,
        origin: Origin::Run,
    })
}

/// A function ran on input of size `n`, for a benchmark.
pub fn benchmarked(function: u64, n: u64) -> Record {
    match sample(function, n) {
        Record::Sampled(sample) => Record::Sampled(Sample { benchmark: true, ..sample }),
        other => other,
    }
}

/// A function was profiled on input of size `n`.
pub fn profile(function: u64, n: u64) -> Record {
    let counts = Counts { misses: Bytes(u64::MAX - n), accesses: n };
    let (input_size, estimated) = (InputSize(n), Duration::from_nanos(n));
    Record::Sampled(Sample::profiled(FunctionId(function), input_size, Bytes::mib(2), estimated, counts))
}

/// On whose behalf `accepted` accepts: every other time the default tenant's.
fn tenant(id: u64) -> Tenant {
    let named = || format!("tenant-{id}").parse().expect("a plain name");
    if id.is_multiple_of(2) { Tenant::default() } else { named() }
}

/// An invocation was accepted.
pub fn accepted(id: u64) -> Record {
    Record::Accepted(InvocationRecord {
        id: InvocationId(id),
        tenant: tenant(id),
        function: FunctionId(1),
        input_size: InputSize(u64::MAX),
        submitted: Timestamp(id),
        end: None,
    })
}

/// An invocation ended well.
pub fn ended(id: u64) -> Record {
    Record::Ended { id: InvocationId(id), end: EndKind::Exited(0), at: Timestamp(u64::MAX) }
}

/// Facts in any order, sensible or not, about few things, so that they meet.
pub fn records(count: Range<usize>) -> impl Strategy<Value = Vec<Record>> {
    vec(record(), count)
}

/// Any fact, about one of few things.
pub fn record() -> impl Strategy<Value = Record> {
    let id = || 0..6_u64;
    let end = prop_oneof![
        any::<i32>().prop_map(EndKind::Exited),
        any::<i32>().prop_map(EndKind::Signalled),
        proptest::sample::select(vec![
            EndKind::TimedOut,
            EndKind::OutOfMemory,
            EndKind::Cancelled,
            EndKind::NotStarted,
            EndKind::Unplaceable,
            EndKind::LostWorker,
            EndKind::LostMaster,
        ]),
    ];
    let end = (end, any::<u64>().prop_map(Timestamp)).boxed();
    let born_ended = (id(), proptest::option::of(end.clone())).prop_map(|(id, end)| match accepted(id) {
        Record::Accepted(invocation) => Record::Accepted(InvocationRecord { end, ..invocation }),
        other => other,
    });
    prop_oneof![
        2 => id().prop_map(function),
        1 => id().prop_map(|id| Record::FunctionRemoved(FunctionId(id))),
        1 => id().prop_map(worker),
        1 => id().prop_map(|id| Record::WorkerRemoved(WorkerId(id))),
        4 => (id(), any::<u64>()).prop_map(|(id, n)| sample(id, n)),
        2 => (id(), any::<u64>()).prop_map(|(id, n)| profile(id, n)),
        2 => (id(), any::<u64>()).prop_map(|(id, n)| benchmarked(id, n)),
        3 => born_ended,
        3 => (id(), end).prop_map(|(id, (end, at))| Record::Ended { id: InvocationId(id), end, at }),
    ]
}

/// What facts add up to.
pub fn added_up(facts: impl IntoIterator<Item = Record>) -> Snapshot {
    let mut fold = Fold::default();
    fold.extend(facts);
    fold.snapshot()
}

/// A short life of a platform, with one fact of every kind.
pub fn story() -> Vec<Record> {
    vec![
        function(1),
        function(2),
        worker(1),
        worker(2),
        accepted(1),
        sample(1, 10),
        ended(1),
        sample(2, 20),
        profile(1, 30),
        accepted(2),
        Record::FunctionRemoved(FunctionId(2)),
        Record::WorkerRemoved(WorkerId(2)),
        accepted(3),
    ]
}

async fn load(store: &impl Store) -> Snapshot {
    store.load().await.expect("what was kept can be read")
}

fn append(store: &impl Store, fact: Record) {
    store.append(fact).expect("there is room for a fact");
}

async fn flush(store: &impl Store) {
    store.flush().await.expect("what was kept can be made durable");
}
