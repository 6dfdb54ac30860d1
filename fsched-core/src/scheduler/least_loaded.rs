//! The most free CPUs, blind to caches.

use std::cmp::Ordering;

use crate::cluster::{ClusterView, DomainView};
use crate::scheduler::{PlaceError, Placement, Request, Scheduler, WaysFor};

/// The domain with the largest share of its CPUs free, blind to caches: what to compare with, and the template
/// for a scheduler of your own.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeastLoaded {}

impl Scheduler for LeastLoaded {
    fn place(
        &mut self,
        request: &Request<'_>,
        ways: WaysFor<'_>,
        view: &ClusterView,
    ) -> Result<Placement, PlaceError> {
        // The first of equals wins, and rooms come by rising id.
        let best = request.rooms(ways, view).min_by(|a, b| by_load(a.domain, b.domain));
        best.map(|room| room.placement(room.ways)).ok_or_else(|| request.refusal(ways, view))
    }
}

/// Compares free/all as fractions, without dividing.
fn by_load(a: &DomainView, b: &DomainView) -> Ordering {
    let product = |free: &DomainView, all: &DomainView| u32::from(free.free_cores()) * u32::from(all.cores);
    product(b, a).cmp(&product(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Ways;
    use crate::id::WorkerId;
    use crate::scheduler::tests::{cluster, request};

    #[test]
    fn the_largest_free_share_wins_whatever_the_cache() {
        // 2 of 8, 3 of 4 and 3 of 4 are free; the first of them has the most free ways.
        let mut view = cluster(&[(8, 0), (4, 20), (4, 5)]);
        for (worker, reserved) in [(0, 6), (1, 1), (2, 1)] {
            let worker = view.worker_mut(WorkerId(worker)).unwrap();
            worker.domains.values_mut().for_each(|domain| domain.reserved_cores = reserved);
        }
        let placed = LeastLoaded {}.place(&request(), &|_| Ways::clamped(7), &view).unwrap();
        assert_eq!((placed.worker, placed.ways.get()), (WorkerId(1), 7));
    }
}
