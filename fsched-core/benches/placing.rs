//! What one decision of the default scheduler costs, with its reservation, and one turn of the master's books.
//!
//! `cargo bench -p fsched-core --bench placing`; the cluster is half full and stays so: what a round placed is taken away
//! again before the next, outside of the time measured.
//!
//! Instructions: `valgrind --tool=callgrind --toggle-collect='*World::place*' BENCH --bench --exact
//! placing::bin_packing::10000 --sample-count 200`, BENCH being the program that `cargo bench --no-run` names.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use divan::{AllocProfiler, Bencher, black_box};
use fsched_core::cache::{Bytes, CacheDomain, Ways};
use fsched_core::cluster::{ClusterView, DomainView, Liveness, Pace, Resident, WorkerView};
use fsched_core::curve::{Curve, CurvePoint, Provenance};
use fsched_core::function::{Isolation, Needs};
use fsched_core::id::{AttemptId, ContentHash, InvocationId, WorkerId};
use fsched_core::invocation::Weight;
use fsched_core::scheduler::{BestFit, BinPacking, LeastLoaded, Placement, Request, Scheduler};
use fsched_core::time::Timestamp;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const CORES: u16 = 8;
const GIB: u64 = 1 << 30;
const NOW: Timestamp = Timestamp(1_000_000_000);

fn main() {
    divan::main();
}

/// Numbers that only depend on the seed (splitmix64, Steele et al. 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A knee, a cliff or a flat line, of 20 points.
fn curve(dice: &mut Dice) -> Arc<Curve> {
    let fastest = 0.05 + dice.below(2000) as f64 / 1000.0;
    let gain = fastest * dice.below(3000) as f64 / 1000.0;
    let (shape, knee) = (dice.below(3), 1 + dice.below(16));
    let point = |mib: u64| {
        let slower = match shape {
            0 => gain / (1.0 + mib as f64 / knee as f64),
            1 => gain * f64::from(mib < knee),
            _ => 0.0,
        };
        let seconds = fastest + slower;
        CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds }
    };
    Arc::new(Curve::new((1..=20).map(point).collect(), Provenance::Measured).expect("it falls"))
}

struct World {
    view: ClusterView,
    asks: Vec<(Needs, Arc<Curve>, ContentHash)>,
    next: u64,
    last: Option<(Placement, AttemptId, Needs)>,
}

impl World {
    fn half_full(workers: u64) -> Self {
        let mut dice = Dice(workers);
        let mut view = ClusterView::default();
        for id in 0..workers {
            let ways = Ways::clamped([11, 16, 20][dice.below(3) as usize]);
            let mut domain = CacheDomain::nominal(CORES, ways, Bytes::mib(1));
            domain.geometry.classes = 15;
            view.insert(WorkerView {
                id: WorkerId(id),
                liveness: Liveness::Alive,
                draining: false,
                enforced: true,
                pace: Pace::of([1.0, 1.0, 1.0, 1.3][dice.below(4) as usize]),
                memory: Bytes(16 * GIB),
                reserved_memory: Bytes(0),
                domains: [(domain.id, DomainView::new(domain, CORES))].into(),
            });
        }
        let files: Vec<ContentHash> = (0..50).map(|n| ContentHash([n; 32])).collect();
        let mut ask = || {
            let isolation = if dice.below(10) == 0 { Isolation::Exclusive } else { Isolation::Shared };
            let needs = Needs { cores: 1, memory: Bytes(GIB / 2), isolation };
            (needs, curve(&mut dice), files[dice.below(50) as usize])
        };
        let asks = (0..512).map(|_| ask()).collect();
        let mut world = Self { view, asks, next: 0, last: None };
        // Half of all cores, anywhere: two to six per worker.
        for id in 0..workers {
            let residents = 2 + dice.below(5);
            for _ in 0..residents {
                let (needs, curve, file) = world.asks[dice.below(512) as usize].clone();
                let needs = Needs { isolation: Isolation::Shared, ..needs };
                let domain = CacheDomain::nominal(CORES, Ways::ONE, Bytes::mib(1)).id;
                world.reserve(Placement { worker: WorkerId(id), domain, ways: Ways::ONE }, needs, curve);
                world.view.holds_file(WorkerId(id), file);
            }
        }
        world.last = None;
        world
    }

    fn reserve(&mut self, placed: Placement, needs: Needs, curve: Arc<Curve>) {
        let attempt = AttemptId { invocation: InvocationId(self.next), attempt: 0 };
        self.next += 1;
        let resident = Resident {
            curve,
            weight: Weight::ONE,
            isolation: needs.isolation,
            since: NOW,
            expected: Duration::from_secs(1),
        };
        self.change(
            placed,
            needs,
            |domain| {
                domain.reserved_cores += needs.cores;
                domain.placed += 1;
                if needs.isolation == Isolation::Exclusive {
                    domain.reserved_exclusive += placed.ways.get();
                    domain.exclusive_leases += 1;
                }
                domain.add_resident(NOW, attempt, resident);
            },
            |memory| memory + needs.memory.0,
        );
        self.last = Some((placed, attempt, needs));
    }

    fn release_last(&mut self) {
        let Some((placed, attempt, needs)) = self.last.take() else { return };
        self.change(
            placed,
            needs,
            |domain| {
                domain.reserved_cores -= needs.cores;
                domain.placed -= 1;
                if needs.isolation == Isolation::Exclusive {
                    domain.reserved_exclusive -= placed.ways.get();
                    domain.exclusive_leases -= 1;
                }
                domain.remove_resident(NOW, attempt);
            },
            |memory| memory - needs.memory.0,
        );
    }

    fn change(
        &mut self,
        placed: Placement,
        _: Needs,
        change: impl FnOnce(&mut DomainView),
        memory: impl FnOnce(u64) -> u64,
    ) {
        self.view.update(placed.worker, |worker| {
            worker.reserved_memory.0 = memory(worker.reserved_memory.0);
            worker.domains.get_mut(&placed.domain).map(change);
        });
    }

    fn place(&mut self, scheduler: &mut impl Scheduler) -> Option<Placement> {
        let (needs, curve, file) = self.asks[(self.next % 512) as usize].clone();
        let request = Request { needs, curve: &curve, file, alone: false, avoid: &[] };
        let ways = |geometry: &fsched_core::cache::CacheGeometry| curve.fewest_ways_within(geometry, 0.05);
        let placed = scheduler.place(&request, &ways, &self.view).ok()?;
        self.reserve(placed, needs, curve);
        Some(placed)
    }
}

fn decisions(bencher: Bencher<'_, '_>, workers: u64, mut scheduler: impl Scheduler) {
    let world = RefCell::new(World::half_full(workers));
    bencher
        .with_inputs(|| world.borrow_mut().release_last())
        .bench_local_values(|()| black_box(world.borrow_mut().place(&mut scheduler)));
}

#[divan::bench(args = [100, 1_000, 10_000, 100_000], sample_count = 2_000, sample_size = 1)]
fn bin_packing(bencher: Bencher<'_, '_>, workers: u64) {
    decisions(bencher, workers, BinPacking::default());
}

#[divan::bench(args = [100, 10_000], sample_count = 1_000, sample_size = 1)]
fn best_fit(bencher: Bencher<'_, '_>, workers: u64) {
    decisions(bencher, workers, BestFit::default());
}

#[divan::bench(args = [100, 10_000], sample_count = 1_000, sample_size = 1)]
fn least_loaded(bencher: Bencher<'_, '_>, workers: u64) {
    decisions(bencher, workers, LeastLoaded::default());
}
