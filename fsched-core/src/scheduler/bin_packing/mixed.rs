//! A cluster of unlike workers: 11, 16 and 20 ways, one of them 1.7 times slower.

use super::tests::{FILE, wish};
use super::*;
use crate::cache::{Bytes, CacheDomain, DomainId};
use crate::cluster::{DomainView, Liveness, Pace, WorkerView};
use crate::curve::{Curve, CurvePoint, Provenance};
use crate::function::Needs;
use crate::id::{AttemptId, InvocationId, WorkerId};
use crate::invocation::Weight;
use crate::time::Timestamp;

/// `w-1` has 11 ways of 1 MiB, `w-2` 16, `w-3` 20, `w-4` 20 and is slower.
fn cluster() -> ClusterView {
    let mut view = ClusterView::default();
    for (id, ways, pace) in [(1, 11, 1.0), (2, 16, 1.0), (3, 20, 1.0), (4, 20, 1.7)] {
        let domain = CacheDomain::nominal(4, Ways::clamped(ways), Bytes::mib(1));
        view.insert(WorkerView {
            id: WorkerId(id),
            liveness: Liveness::Alive,
            draining: false,
            enforced: true,
            pace: Pace::of(pace),
            memory: Bytes::mib(4096),
            reserved_memory: Bytes(0),
            domains: [(domain.id, DomainView::new(domain, 4))].into(),
        });
    }
    view
}

/// 4 s below `knee` MiB, 1 s from there on.
fn cliff(knee: u64) -> Curve {
    let point = |mib: u64| {
        let seconds = if mib < knee { 4.0 } else { 1.0 };
        CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds }
    };
    Curve::new((1..=20).map(point).collect(), Provenance::Measured).unwrap()
}

fn place(view: &ClusterView, curve: &Curve) -> (u64, u8) {
    let request = Request { needs: Needs::default(), curve, file: FILE, alone: false, avoid: &[] };
    let placed = BinPacking::default().place(&request, &wish, view).unwrap();
    (placed.worker.0, placed.ways.get())
}

fn put(view: &mut ClusterView, worker: u64, curve: &Curve) {
    view.update(WorkerId(worker), |worker| {
        let domain = worker.domains.get_mut(&DomainId(0)).unwrap();
        domain.reserved_cores += 1;
        domain.placed += 1;
        let resident = crate::cluster::Resident {
            curve: std::sync::Arc::new(curve.clone()),
            weight: Weight::ONE,
            isolation: Isolation::Shared,
            since: Timestamp(0),
            expected: std::time::Duration::from_secs(1),
        };
        let attempt = AttemptId { invocation: InvocationId(u64::from(domain.placed)), attempt: 0 };
        domain.add_resident(Timestamp(0), attempt, resident);
    });
}

#[test]
fn a_working_set_goes_where_it_fits() {
    let view = cluster();
    assert_eq!(place(&view, &cliff(8)), (1, 8), "everywhere; the lowest id wins");
    assert_eq!(place(&view, &cliff(14)), (2, 14), "not into eleven ways");
    assert_eq!(place(&view, &cliff(18)), (3, 18), "only into twenty, and not the slow ones");
}

#[test]
fn a_slow_worker_is_better_than_a_cache_that_is_taken() {
    let mut view = cluster();
    put(&mut view, 3, &cliff(18));
    // Beside the other it takes 4 s, on the slow worker 1.7.
    assert_eq!(place(&view, &cliff(18)), (4, 18));
    put(&mut view, 4, &cliff(18));
    // Now 4 s anywhere, but 6.8 on the slow one.
    assert_ne!(place(&view, &cliff(18)).0, 4);
}

#[test]
fn what_gains_nothing_by_cache_takes_the_tightest_fast_room_or_goes_where_its_file_is() {
    let mut view = cluster();
    let flat = Curve::flat(1.0, 1.1, Provenance::Measured);
    put(&mut view, 2, &flat);
    assert_eq!(place(&view, &flat), (2, 1), "large rooms stay whole");
    view.holds_file(WorkerId(3), FILE);
    assert_eq!(place(&view, &flat), (3, 1), "its file is there");
    view.lacks_file(WorkerId(3), FILE);
    view.holds_file(WorkerId(4), FILE);
    assert_eq!(place(&view, &flat), (2, 1), "0.7 s slower is worse than bringing the file");
}

#[test]
fn where_classes_are_used_up_one_more_costs_as_much_as_the_smallest_mask() {
    let mut view = ClusterView::default();
    cluster().workers().filter(|worker| worker.id.0 >= 3).for_each(|worker| {
        let mut worker = worker.clone();
        worker.domains.values_mut().for_each(|domain| domain.domain.geometry.classes = 2);
        view.insert(worker);
    });
    (0..2).for_each(|_| put(&mut view, 3, &cliff(3)));
    // There are 14 ways left on w-3 but no class: 4 s; on the slow one 1.7 s.
    assert_eq!(place(&view, &cliff(3)), (4, 3));
}
