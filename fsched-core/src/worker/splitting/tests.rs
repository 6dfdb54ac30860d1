//! Workers whose caches are split, under random orders and ends.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::allocator::MemoryAllocator;
use crate::cache::{Bytes, CacheDomain, Ways};
use crate::curve::{Curve, CurvePoint, Provenance, Traffic, TrafficPoint};
use crate::function::{InputSize, Needs};
use crate::id::{AttemptId, ContentHash, FunctionId, InvocationId, WorkerKey};
use crate::invocation::{CacheAsk, Order, Weight};
use crate::launcher::{Exit, ExitKind};
use crate::worker::WorkerConfig;

const FILE: ContentHash = ContentHash([1; 32]);

fn geometry(ways: u8, min_ways: u8, classes: u16) -> CacheGeometry {
    let mut geometry = CacheDomain::nominal(32, Ways::clamped(ways), Bytes::mib(1)).geometry;
    (geometry.min_ways, geometry.classes) = (Ways::clamped(min_ways), classes);
    geometry
}

fn worker(geometry: CacheGeometry) -> Worker {
    let domain = CacheDomain { geometry, ..CacheDomain::nominal(32, geometry.ways, Bytes::mib(1)) };
    let config = WorkerConfig { cores: 32, memory: Bytes::mib(1 << 20), ..WorkerConfig::default() };
    let allocator = Box::new(MemoryAllocator::new(vec![domain], true));
    Worker::new(config, WorkerKey([1; 16]), "test".to_owned(), allocator)
}

/// `slow` seconds below `knee` MiB, 1 second from there on.
fn cliff(knee: u64, slow: f64) -> Arc<Curve> {
    let point = |mib: u64| {
        let seconds = if mib < knee { slow } else { 1.0 };
        CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds }
    };
    Arc::new(Curve::new((1..=20).map(point).collect(), Provenance::Measured).unwrap())
}

/// The same, with so many misses below the knee and a tenth of them from there on, times 2^28.
fn missing(knee: u64, slow: f64, misses: Option<f64>) -> Arc<Curve> {
    let curve = cliff(knee, slow);
    let Some(misses) = misses else { return curve };
    let traffic = |mib: u64| {
        let misses = if mib < knee { misses } else { misses / 10.0 } * f64::from(1 << 28);
        TrafficPoint { cache: Bytes::mib(mib), misses, accesses: f64::from(1 << 26) }
    };
    let traffic = Traffic::new((1..=20).map(traffic).collect(), Provenance::Measured).unwrap();
    Arc::new(Curve::clone(&curve).with_traffic(Some(traffic)))
}

fn attempt(n: u64) -> AttemptId {
    AttemptId { invocation: InvocationId(n), attempt: 0 }
}

fn order(n: u64, curve: Arc<Curve>, cache: CacheAsk) -> Order {
    Order {
        term: 1,
        attempt: attempt(n),
        tenant: Default::default(),
        function: FunctionId(n),
        file: FILE,
        command: Vec::new(),
        input_size: InputSize(1),
        payload: None,
        needs: Needs { cores: 1, memory: Bytes::mib(1), ..Needs::default() },
        timeout: Duration::from_secs(600),
        domain: DomainId(0),
        cache,
        curve,
        weight: Default::default(),
        expected: Duration::ZERO,
        alone: false,
    }
}

fn ended() -> Exit {
    Exit {
        kind: ExitKind::Exited(0),
        pid: Some(42),
        wall: Duration::from_secs(1),
        cpu: Duration::ZERO,
        peak_memory: Bytes(0),
        stdout: Default::default(),
        stderr: Default::default(),
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::default() + Duration::from_millis(millis)
}

fn ways_of(worker: &Worker, n: u64) -> u8 {
    worker.running[&attempt(n)].mask.ways().get()
}

const ASK: CacheAsk = CacheAsk::Shared(Ways::ONE);

#[test]
fn each_gets_what_it_needs_and_not_what_it_asked_for() {
    let mut worker = worker(geometry(11, 1, 7));
    for (n, knee) in [(1, 6), (2, 4), (3, 1)] {
        worker.order(at(n), order(n, cliff(knee, 2.0), ASK), true).unwrap();
    }
    assert_eq!((ways_of(&worker, 1), ways_of(&worker, 2), ways_of(&worker, 3)), (6, 4, 1));
}

#[test]
fn what_starts_starts_in_the_class_and_with_the_ways_that_the_split_gives() {
    let mut worker = worker(geometry(11, 1, 7));
    worker.order(at(0), order(1, cliff(6, 2.0), CacheAsk::Shared(Ways::clamped(11))), true).unwrap();
    let effects = worker.order(at(1), order(2, cliff(5, 2.0), ASK), true).unwrap();
    let Some(Effect::Start(start)) = effects.last() else { panic!("{effects:?}") };
    let running = &worker.running[&attempt(2)];
    assert_eq!((start.class, start.mask), (running.class, running.mask));
    assert_eq!(start.clone().launch().environment["FSCHED_WAYS"], "5");
    assert!(!effects[..effects.len() - 1].iter().any(|effect| matches!(effect, Effect::Start(_))));
}

#[test]
fn one_that_is_about_to_end_is_left_alone() {
    let mut worker = worker(geometry(8, 1, 7));
    worker.order(at(0), order(1, cliff(4, 2.0), CacheAsk::Shared(Ways::clamped(6))), true).unwrap();
    let before = worker.running[&attempt(1)].mask;
    worker.order(at(960), order(2, cliff(2, 4.0), ASK), true).unwrap();
    assert_eq!(worker.running[&attempt(1)].mask, before, "it has 40 ms left");
    assert_eq!(ways_of(&worker, 2), 2, "the newcomer gets what is left");
}

#[test]
fn when_one_ends_the_others_get_its_ways_and_the_segments_say_so() {
    let mut worker = worker(geometry(8, 1, 7));
    for n in [1, 2] {
        worker.order(at(0), order(n, cliff(6, 4.0), ASK), true).unwrap();
    }
    let poor = if ways_of(&worker, 1) < 6 { 1 } else { 2 };
    assert!(ways_of(&worker, poor) < 6 && ways_of(&worker, 3 - poor) >= 6);
    worker.exited(at(500), attempt(3 - poor), ended());
    assert!(ways_of(&worker, poor) >= 6);
    let effects = worker.exited(at(900), attempt(poor), Exit { wall: Duration::from_millis(900), ..ended() });
    let Some(Effect::Report(report)) = effects.first() else { panic!("{effects:?}") };
    let lengths: Vec<u128> = report.segments.iter().map(|part| part.duration.as_millis()).collect();
    assert_eq!(lengths, [500, 400]);
}

#[test]
fn a_newer_curve_splits_the_cache_anew() {
    let mut worker = worker(geometry(8, 1, 7));
    worker.order(at(0), order(1, cliff(1, 2.0), ASK), true).unwrap();
    worker.order(at(0), order(2, cliff(3, 2.0), ASK), true).unwrap();
    assert_eq!(ways_of(&worker, 1), 1);
    let again = Order { function: FunctionId(1), ..order(3, cliff(2, 9.0), ASK) };
    worker.order(at(100), again, true).unwrap();
    assert_eq!([1, 2, 3].map(|n| ways_of(&worker, n)), [2, 3, 2]);
}

#[test]
fn time_alone_splits_the_cache_anew() {
    let mut worker = worker(geometry(8, 1, 7));
    let patient = Order { timeout: Duration::from_secs(100), ..order(1, cliff(5, 8.0), ASK) };
    worker.order(at(0), Order { expected: Duration::from_secs(80), ..patient }, true).unwrap();
    worker
        .order(at(0), Order { expected: Duration::from_secs(70), ..order(2, cliff(5, 8.0), ASK) }, true)
        .unwrap();
    let rich = |worker: &Worker| if ways_of(worker, 1) >= 5 { 1 } else { 2 };
    let first = rich(&worker);
    let look = worker.next_tick().unwrap();
    assert_eq!(look, at(1000));
    // The one with enough cache gets ahead; looked at again and again, the other one comes to have more left.
    let mut now = look;
    while rich(&worker) == first && now < at(60_000) {
        worker.tick(now);
        now = now + EVERY;
    }
    assert_ne!(rich(&worker), first, "nothing came, nothing ended");
}

#[test]
fn masks_change_only_where_that_gains_more_than_the_refill_and_a_threshold() {
    // The second lacks one way while the first is there. How much it would gain by it, how long it runs, and whether it gets it.
    let cases = [(1.10, 10.0, 3), (1.012, 10.0, 2), (1.017, 10.0, 3), (1.017, 0.1, 2)];
    for (slow, seconds, ways) in cases {
        let mut worker = worker(geometry(6, 1, 7));
        let expected = |seconds: f64| Duration::from_secs_f64(seconds);
        let first = Order {
            expected: expected(100.0),
            ..order(1, cliff(4, 3.0), CacheAsk::Shared(Ways::clamped(4)))
        };
        worker.order(at(0), first, true).unwrap();
        let second = order(2, cliff(3, slow), CacheAsk::Shared(Ways::clamped(2)));
        worker.order(at(0), Order { expected: expected(slow * seconds), ..second }, true).unwrap();
        assert_eq!((ways_of(&worker, 1), ways_of(&worker, 2)), (4, 2));
        worker.exited(at(0), attempt(1), ended());
        assert_eq!(ways_of(&worker, 2), ways, "{slow} times slower for {seconds} s");
    }
}

/// A curve of a hundred times `seconds(MiB)`, with `misses(MiB)` GiB.
fn with_misses(seconds: fn(u64) -> f64, misses: fn(u64) -> f64) -> Arc<Curve> {
    let point = |mib: u64| {
        let seconds = 100.0 * seconds(mib);
        CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds }
    };
    let traffic = |mib: u64| TrafficPoint {
        cache: Bytes::mib(mib),
        misses: misses(mib) * f64::from(1 << 30),
        accesses: f64::from(1 << 26),
    };
    let curve = Curve::new((1..=20).map(point).collect(), Provenance::Measured).unwrap();
    let traffic = Traffic::new((1..=20).map(traffic).collect(), Provenance::Measured).unwrap();
    Arc::new(curve.with_traffic(Some(traffic)))
}

#[test]
fn with_more_runners_than_classes_those_share_who_harm_each_other_least() {
    let small = || with_misses(|mib| if mib < 2 { 3.0 } else { 1.0 }, |mib| if mib < 2 { 1.0 } else { 0.0 });
    let large = || with_misses(|mib| if mib < 4 { 2.0 } else { 1.0 }, |mib| if mib < 4 { 2.0 } else { 0.0 });
    let stream = || with_misses(|mib| if mib < 20 { 1.1 } else { 1.0 }, |_| 4.0);
    for arrivals in [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [4, 1, 3, 5, 2]] {
        let mut worker = worker(geometry(9, 1, 3));
        for n in arrivals {
            let curve = match n {
                1 | 2 => small(),
                3 => large(),
                _ => stream(),
            };
            worker.order(at(n), order(n, curve, ASK), true).unwrap();
        }
        let mask = |n| worker.running[&attempt(n)].mask;
        assert_eq!(mask(4), mask(5), "{arrivals:?}: the streams share");
        assert_eq!(ways_of(&worker, 4), 1, "{arrivals:?}: and have no more than they need");
        for n in 1..=3 {
            let need: u8 =
                (1..=3).filter(|&other| mask(other) == mask(n)).map(|n| [2, 2, 4][n as usize - 1]).sum();
            assert_eq!(ways_of(&worker, n), need, "{arrivals:?}: all others have what they need");
        }
    }
}

#[test]
fn whoever_gains_nothing_by_cache_shares_the_smallest_mask() {
    let mut worker = worker(geometry(8, 1, 3));
    for n in 1..=6 {
        worker.order(at(n), order(n, cliff(1, 1.0), ASK), true).unwrap();
    }
    for n in 7..=8 {
        worker.order(at(n), order(n, cliff(3, 2.0), ASK), true).unwrap();
    }
    let masks: Vec<WayMask> = (1..=6).map(|n| worker.running[&attempt(n)].mask).collect();
    assert!(masks.iter().all(|mask| *mask == masks[0]), "{masks:?}");
    assert_eq!([7, 8].map(|n| ways_of(&worker, n)), [3, 3]);
}

#[test]
fn a_benchmark_keeps_what_it_asked_for() {
    let mut worker = worker(geometry(8, 1, 7));
    let probe = Order { alone: true, ..order(1, cliff(6, 4.0), CacheAsk::Shared(Ways::clamped(2))) };
    worker.order(at(0), probe, true).unwrap();
    assert_eq!(ways_of(&worker, 1), 2);
    assert_eq!(worker.next_tick(), Some(at(600_000)), "its deadline, and nothing before");
}

#[test]
fn a_newcomer_that_has_no_better_place_may_still_move_others() {
    let geometry = geometry(10, 1, 4);
    let mut worker = worker(geometry);
    // Twenty times as long, and counting as much.
    let weight = Weight::try_from(20_f64.sqrt()).unwrap();
    let long = |n, curve, ask| Order { expected: Duration::from_secs(20), weight, ..order(n, curve, ask) };
    worker.order(at(0), long(1, cliff(1, 1.0), ASK), true).unwrap();
    worker.order(at(0), order(2, missing(2, 3.0, Some(1.174089401869421)), ASK), true).unwrap();
    worker.order(at(0), long(3, cliff(1, 1.0), CacheAsk::Exclusive(Ways::clamped(2))), true).unwrap();
    worker.order(at(0), order(4, missing(5, 4.0, Some(1.3883415521788862)), ASK), true).unwrap();
    worker.order(at(900), order(5, cliff(11, 2.0), ASK), true).unwrap();
    worker.order(at(900), long(6, cliff(5, 2.0), ASK), true).unwrap();
    check_settled(&worker, &geometry, at(900));
    assert_eq!(ways_of(&worker, 6), 5);
    let alone =
        |n| worker.running.values().filter(|one| one.mask == worker.running[&attempt(n)].mask).count();
    assert_eq!(alone(6), 1, "who is about to end makes way");
}

/// Something that happens to a worker.
#[derive(Debug, Clone)]
enum Step {
    Order { knee: u64, slow: u8, ways: u8, exclusive: bool, misses: Option<f64> },
    End { which: usize },
    Pass { millis: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1u64..14, 1u8..6, 1u8..9, prop::bool::weighted(0.15), prop::option::of(0.0f64..4.0)).prop_map(|(knee, slow, ways, exclusive, misses)| Step::Order { knee, slow, ways, exclusive, misses }),
        3 => (0usize..32).prop_map(|which| Step::End { which }),
        1 => (1u64..2000).prop_map(|millis| Step::Pass { millis }),
    ];
    prop::collection::vec(step, 1..60)
}

/// Masks are legal, and exclusive ways are nobody else's.
fn check_masks(worker: &Worker, geometry: &CacheGeometry) {
    let room = Room::of(geometry);
    for (one, running) in worker.running.iter() {
        assert!(room.allows(running.mask), "{one}: {}", running.mask);
        for (other, beside) in worker.running.iter() {
            let apart = one == other || !(running.exclusive || beside.exclusive);
            assert!(apart || !running.mask.overlaps(beside.mask), "{one} and {other} share exclusive ways");
        }
    }
}

/// No split that there is to be had would have paid.
fn check_settled(worker: &Worker, geometry: &CacheGeometry, now: Timestamp) {
    let exclusive: Vec<WayMask> =
        worker.running.values().filter(|one| one.exclusive).map(|one| one.mask).collect();
    let sharers = worker.sharers(now, DomainId(0), geometry, None);
    assert_eq!(plan(geometry, &exclusive, &sharers), None, "a second split would change something again");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_comes_and_ends_masks_are_legal_and_follow_the_split(
        (ways, min_ways, classes) in (4u8..=20, 1u8..=2, 3u16..=16),
        steps in steps(),
    ) {
        let geometry = geometry(ways, min_ways, classes);
        let mut worker = worker(geometry);
        let (mut now, mut next) = (at(0), 1);
        for step in steps {
            match step {
                Step::Order { knee, slow, ways, exclusive, misses } => {
                    let ways = Ways::clamped(ways);
                    let ask = if exclusive { CacheAsk::Exclusive(ways) } else { CacheAsk::Shared(ways) };
                    let curve = missing(knee, f64::from(slow), misses);
                    let expected = Duration::from_millis(if next % 2 == 0 { 0 } else { 20_000 });
                    let taken = worker.order(now, Order { expected, ..order(next, curve, ask) }, true);
                    next += 1;
                    check_masks(&worker, &geometry);
                    // What is refused changes nothing, not even where time has passed since the last look.
                    if taken.is_err() {
                        continue;
                    }
                }
                Step::End { which } => {
                    let Some(&attempt) = worker.running.keys().nth(which % worker.running.len().max(1)) else { continue };
                    worker.exited(now, attempt, ended());
                }
                Step::Pass { millis } => {
                    now = now + Duration::from_millis(millis);
                    if worker.next_tick().is_some_and(|tick| tick <= now) {
                        worker.tick(now);
                    }
                    continue;
                }
            }
            check_masks(&worker, &geometry);
            check_settled(&worker, &geometry, now);
        }
        let attempts: Vec<AttemptId> = worker.running.keys().copied().collect();
        attempts.into_iter().for_each(|attempt| { worker.exited(now, attempt, ended()); });
        prop_assert_eq!(worker.next_tick(), None);
    }
}
