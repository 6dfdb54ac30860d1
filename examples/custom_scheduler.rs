//! A scheduler of one's own: fills the busiest worker that still has room, so that others can be switched off.

use std::cmp::Reverse;

use fsched_core::cache::{Bytes, CacheDomain, Ways};
use fsched_core::cluster::{ClusterView, DomainView, Liveness, Pace, WorkerView};
use fsched_core::curve::{Curve, Provenance};
use fsched_core::function::Needs;
use fsched_core::id::{ContentHash, WorkerId};
use fsched_core::scheduler::{PlaceError, Placement, Request, Scheduler, WaysFor, conformance};

struct Crowd;

impl Scheduler for Crowd {
    fn place(
        &mut self,
        request: &Request<'_>,
        ways: WaysFor<'_>,
        view: &ClusterView,
    ) -> Result<Placement, PlaceError> {
        // The first of equals wins, and rooms come by rising id.
        let best = request.rooms(ways, view).min_by_key(|room| Reverse(room.worker.placed()));
        best.map(|room| room.placement(room.ways)).ok_or_else(|| request.refusal(view))
    }
}

fn main() {
    let mut view = ClusterView::default();
    for (id, placed) in [(1, 0), (2, 3), (3, 1)] {
        let mut domain = DomainView::new(CacheDomain::nominal(4, Ways::clamped(16), Bytes::mib(1)), 4);
        (domain.placed, domain.reserved_cores) = (placed, placed as u16);
        view.insert(WorkerView {
            id: WorkerId(id),
            liveness: Liveness::Alive,
            draining: false,
            enforced: false,
            pace: Pace::default(),
            memory: Bytes::mib(4096),
            reserved_memory: Bytes(0),
            domains: [(domain.domain.id, domain)].into(),
        });
    }
    let curve = Curve::flat(1.0, 2.0, Provenance::Prior);
    for cores in [1, 2, 5] {
        let needs = Needs { cores, ..Needs::default() };
        let request = Request { needs, curve: &curve, file: ContentHash([0; 32]), alone: false, avoid: &[] };
        match Crowd.place(&request, &|_| Ways::ONE, &view) {
            Ok(placement) => println!("{cores} cores: {}", placement.worker),
            Err(error) => println!("{cores} cores: {error}"),
        }
    }
    conformance::check(|| Crowd);
    println!("It keeps the contract of a scheduler.");
}
