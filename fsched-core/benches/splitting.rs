//! What splitting one cache costs: `cargo bench -p fsched-core --bench splitting`, allocations counted.
//!
//! Instructions of the hot paths, once each:
//! `valgrind --tool=callgrind --toggle-collect='*::once::*' BENCH --test`, BENCH being the program that `cargo bench --no-run` names.

use divan::{AllocProfiler, Bencher, black_box};
use fsched_core::cache::{Bytes, WayMask, Ways};
use fsched_core::split::contention::{Demand, DemandPoint, Sharer, Standing, settle};
use fsched_core::split::repartition::{Occupant, Patience, repartition};
use fsched_core::split::sharing::{FAIRNESS, GroupCosts, Member, POWER, Sharing, SharingProblem, share};
use fsched_core::split::{Frontier, Objective, Problem, Room, Row, Runner, Solution, Wanted, lay_out, solve};
use fsched_core::worker::Worker;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const RUNNERS: usize = 16;
const WAY: f64 = 2.5e6;

fn main() {
    divan::main();
}

/// One program after the other: a knee, a cliff, a stream, and one that fits anywhere.
fn demand(i: usize, ways: u8) -> Demand {
    let knee = 1.0 + (i * 7 % 11) as f64;
    let point = |held: u8| {
        let held = f64::from(held);
        let ratio = match i % 4 {
            0 => 1.0 / (1.0 + held / knee),
            1 => f64::from(held < knee),
            2 => 1.0,
            _ => f64::from(held < 1.0),
        };
        let misses = ratio * (0.5 + (i % 3) as f64) * 1e9;
        DemandPoint { cache: held * WAY, seconds: 1.0 + misses * 1e-9, misses }
    };
    let points: Vec<DemandPoint> = (0..=ways).map(point).collect();
    Demand::new(&points, Bytes((f64::from(ways) * WAY) as u64)).expect("rising caches, times above zero")
}

/// Demands, and the slowdowns that go with them.
fn programs(ways: u8) -> Vec<(Demand, Row)> {
    let program = |i: usize| {
        let demand = demand(i, ways);
        let slowdowns: Vec<f64> = (1..=ways).map(|ways| demand.slowdown(f64::from(ways) * WAY)).collect();
        let row = Row::new(&slowdowns).expect("slowdowns are finite");
        (demand, row)
    };
    (0..RUNNERS).map(program).collect()
}

fn members(programs: &[(Demand, Row)]) -> Vec<Member<'_>> {
    programs.iter().map(|(demand, slowdown)| Member { weight: 1.0, slowdown, demand: Some(demand) }).collect()
}

fn sharing_problem<'a>(members: &'a [Member<'a>]) -> SharingProblem<'a> {
    SharingProblem { ways: 11, min: 1, way_size: WAY, classes: 7, members, power: POWER, fairness: FAIRNESS }
}

/// A worker with functions.
mod crowd {
    use std::sync::Arc;
    use std::time::Duration;

    use fsched_core::allocator::MemoryAllocator;
    use fsched_core::cache::{Bytes, CacheDomain, DomainId, Ways};
    use fsched_core::curve::{Curve, CurvePoint, Provenance};
    use fsched_core::function::{InputSize, Needs};
    use fsched_core::id::{AttemptId, ContentHash, FunctionId, InvocationId, WorkerKey};
    use fsched_core::invocation::{CacheAsk, Order};
    use fsched_core::launcher::{Exit, ExitKind};
    use fsched_core::time::Timestamp;
    use fsched_core::worker::{Worker, WorkerConfig};

    const FILE: ContentHash = ContentHash([1; 32]);
    const CORES: u16 = 80;

    fn attempt(number: u64) -> AttemptId {
        AttemptId { invocation: InvocationId(number), attempt: 0 }
    }

    /// So many ms with endless cache.
    fn curve(millis: f64) -> Curve {
        let point = |mib: u64| {
            let seconds = 1e-3 * millis * (1.0 + 1.5 / (mib as f64 + 0.3));
            CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds }
        };
        Curve::new((1..=20).map(point).collect(), Provenance::Prior).expect("times fall")
    }

    pub(super) fn comes(worker: &mut Worker, number: u64, millis: f64) {
        let order = Order {
            term: 1,
            attempt: attempt(number),
            tenant: Default::default(),
            function: FunctionId(1),
            file: FILE,
            command: Vec::new(),
            input_size: InputSize(1),
            payload: None,
            needs: Needs { cores: 1, memory: Bytes::mib(1), ..Needs::default() },
            timeout: Duration::from_secs(60),
            domain: DomainId(0),
            cache: CacheAsk::Shared(Ways::ONE),
            curve: Arc::new(curve(millis)),
            weight: Default::default(),
            expected: Duration::ZERO,
            alone: false,
        };
        worker.order(Timestamp::default(), order, true).expect("there is room");
    }

    pub(super) fn ends(worker: &mut Worker, number: u64) {
        let exit = Exit {
            kind: ExitKind::Exited(0),
            pid: None,
            wall: Duration::from_secs(1),
            cpu: Duration::ZERO,
            peak_memory: Bytes(0),
            stdout: Default::default(),
            stderr: Default::default(),
        };
        worker.exited(Timestamp::default(), attempt(number), exit);
    }

    /// With so many that run.
    pub(super) fn worker(running: u64, millis: f64) -> Worker {
        let domain = CacheDomain::nominal(CORES, Ways::clamped(16), Bytes::mib(1));
        let config = WorkerConfig { cores: CORES, memory: Bytes::mib(1 << 20), ..WorkerConfig::default() };
        let allocator = Box::new(MemoryAllocator::new(vec![domain], true));
        let mut worker = Worker::new(config, WorkerKey([1; 16]), "bench".to_owned(), allocator);
        (1..=running).for_each(|number| comes(&mut worker, number, millis));
        worker
    }
}

/// The hot paths under names that callgrind finds.
mod once {
    use super::*;

    #[inline(never)]
    pub(super) fn split(problem: &Problem<'_>) -> Solution {
        solve(problem, Objective::Sum).expect("there is room for everybody")
    }

    #[inline(never)]
    pub(super) fn share_known(costs: &mut GroupCosts<'_>) -> Sharing {
        share(costs)
    }

    #[inline(never)]
    pub(super) fn share_cold(problem: SharingProblem<'_>) -> Sharing {
        share(&mut GroupCosts::new(problem).expect("there are ways and classes"))
    }

    #[inline(never)]
    pub(super) fn comes_and_ends(worker: &mut Worker, number: u64, millis: f64) {
        crowd::comes(worker, number, millis);
        crowd::ends(worker, number);
    }

    #[inline(never)]
    pub(super) fn fare(sharers: &[Sharer<'_>]) -> Vec<Standing> {
        settle(WAY, sharers, None)
    }
}

#[divan::bench(args = [Objective::Sum, Objective::Worst, Objective::WorstThenSum])]
fn split_16_runners_20_ways(bencher: Bencher<'_, '_>, objective: Objective) {
    let programs = programs(20);
    let runners: Vec<Runner<'_>> = programs.iter().map(|(_, row)| Runner::new(1.0, row)).collect();
    let problem = Problem { room: Room::plain(Ways::clamped(20)), runners: &runners };
    if objective == Objective::Sum {
        bencher.bench_local(|| once::split(black_box(&problem)));
    } else {
        bencher.bench_local(|| solve(black_box(&problem), objective));
    }
}

#[divan::bench]
fn one_runner_more_20_ways(bencher: Bencher<'_, '_>) {
    let programs = programs(20);
    let runners: Vec<Runner<'_>> = programs.iter().map(|(_, row)| Runner::new(1.0, row)).collect();
    let frontier = Frontier::of(Room::plain(Ways::clamped(20)), &runners[1..]);
    bencher.bench_local(|| black_box(&frontier).cost_with(black_box(&runners[0])));
}

#[divan::bench]
fn share_16_runners_7_classes_11_ways_costs_known(bencher: Bencher<'_, '_>) {
    let programs = programs(11);
    let members = members(&programs);
    let mut costs = GroupCosts::new(sharing_problem(&members)).expect("there are ways and classes");
    share(&mut costs);
    bencher.bench_local(|| once::share_known(black_box(&mut costs)));
}

#[divan::bench]
fn share_16_runners_7_classes_11_ways_cold(bencher: Bencher<'_, '_>) {
    let programs = programs(11);
    let members = members(&programs);
    bencher.bench_local(|| once::share_cold(black_box(sharing_problem(&members))));
}

#[divan::bench(args = [2, 4, 8, 16])]
fn settle_in_one_mask(bencher: Bencher<'_, '_>, runners: usize) {
    let programs = programs(11);
    let sharers: Vec<Sharer<'_>> =
        programs[..runners].iter().map(|(demand, _)| Sharer { demand, mask: 0x7ff }).collect();
    bencher.bench_local(|| once::fare(black_box(&sharers)));
}

/// Seven masks side by side in 20 ways.
fn side_by_side() -> Vec<WayMask> {
    let mask = |i: u8| WayMask::contiguous(i * 2 + i / 2, Ways::clamped(2 + i % 2));
    (0..7).map(|i| mask(i).expect("20 ways are fewer than 32")).collect()
}

#[divan::bench]
fn lay_out_7_masks_20_ways(bencher: Bencher<'_, '_>) {
    let sizes = [4, 1, 3, 2, 3, 2, 5];
    let wanted: Vec<Wanted> =
        sizes.into_iter().zip(side_by_side()).map(|(ways, mask)| Wanted { ways, now: Some(mask) }).collect();
    bencher.bench_local(|| lay_out(Room::plain(Ways::clamped(20)), black_box(&wanted)));
}

#[divan::bench]
fn repartition_7_runners_20_ways(bencher: Bencher<'_, '_>) {
    let programs = programs(20);
    let occupants: Vec<Occupant<'_>> = programs
        .iter()
        .zip(side_by_side())
        .map(|((_, slowdown), mask)| Occupant { slowdown, left: 1.0, mask: Some(mask), ending: false })
        .collect();
    bencher.bench_local(|| {
        repartition(Room::plain(Ways::clamped(20)), black_box(&occupants), Patience::default())
    });
}

/// What a worker reckons for one invocation: its domain is split when it comes and when it ends, beside so many others that take so many
/// ms. All slow down as the prior says, as functions do of which nothing is known.
#[divan::bench(args = [(1, 10.0), (4, 10.0), (16, 10.0), (16, 1000.0), (64, 1000.0)])]
fn worker_comes_and_ends_beside(bencher: Bencher<'_, '_>, (others, millis): (u64, f64)) {
    let mut worker = crowd::worker(others, millis);
    let mut number = others;
    bencher.bench_local(|| {
        number += 1;
        once::comes_and_ends(&mut worker, number, millis)
    });
}
