//! The most free CPUs, blind to caches.

use crate::cluster::{ClusterView, Slot};
use crate::scheduler::feasibility::Wishes;
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
        let index = view.index();
        let mut wishes = Wishes::new(ways);
        let mut room = |slot: &Slot| {
            let geometry = &index.kind(slot.kind).geometry;
            let wish = request.ways_on(geometry, wishes.of(geometry));
            let fits = slot.fits_now(&request.needs, wish, request.alone);
            (fits && !request.avoid.contains(&slot.place.worker)).then(|| slot.place.with(wish))
        };
        // The least loaded first, and the lower id among equals: mostly it is the first.
        if let Some(found) = index.least_loaded().and_then(&mut room) {
            return Ok(found);
        }
        if request.anywhere(ways, view).is_none() {
            return Err(request.refusal(view));
        }
        Ok(index.by_load().find_map(room).expect("it fits somewhere"))
    }
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
            view.update(WorkerId(worker), |worker| {
                worker.domains.values_mut().for_each(|domain| domain.reserved_cores = reserved);
            });
        }
        let placed = LeastLoaded {}.place(&request(), &|_| Ways::clamped(7), &view).unwrap();
        assert_eq!((placed.worker, placed.ways.get()), (WorkerId(1), 7));
    }
}
