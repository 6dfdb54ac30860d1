//! The tightest cache that still fits.

use std::cmp::Reverse;

use crate::cache::Ways;
use crate::cluster::ClusterView;
use crate::function::Isolation;
use crate::scheduler::{PlaceError, Placement, Request, Scheduler, WaysFor};

/// The tightest cache that still fits, as the original fsched chose: of the domains with room, the one with the
/// fewest free ways that still cover what is asked for.
///
/// Where none covers it, the one with the most free ways, and a request that may share asks for those only.
#[derive(Debug, Clone, Copy, Default)]
pub struct BestFit {}

impl Scheduler for BestFit {
    fn place(
        &mut self,
        request: &Request<'_>,
        ways: WaysFor<'_>,
        view: &ClusterView,
    ) -> Result<Placement, PlaceError> {
        // The first of equals wins, and rooms come by rising id.
        let best = request.rooms(ways, view).min_by_key(|room| {
            let (free, asked) = (room.domain.free_ways(), room.ways.get());
            if free >= asked { (0, Reverse(0), free) } else { (1, Reverse(free), 0) }
        });
        let room = best.ok_or_else(|| request.refusal(ways, view))?;
        let ways = match request.needs.isolation {
            Isolation::Exclusive => room.ways,
            Isolation::Shared => {
                let least = room.domain.geometry().min_ways;
                room.ways.min(Ways::clamped(room.domain.free_ways())).max(least)
            }
        };
        Ok(room.placement(ways))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::WorkerId;
    use crate::scheduler::tests::{cluster, request};

    fn place(domains: &[(u16, u32)], ways: u8) -> Option<(u64, u8)> {
        let placed = BestFit {}.place(&request(), &|_| Ways::clamped(ways), &cluster(domains)).ok()?;
        Some((placed.worker.0, placed.ways.get()))
    }

    #[test]
    fn the_tightest_cache_that_covers_wins() {
        // Free ways, of 20: 15, 6, 5, 10.
        assert_eq!(place(&[(4, 5), (4, 14), (4, 15), (4, 10)], 6), Some((1, 6)));
        assert_eq!(place(&[(4, 5), (4, 14), (4, 14), (4, 10)], 6), Some((1, 6)), "the first of equals");
    }

    #[test]
    fn where_none_covers_the_most_is_asked_for() {
        assert_eq!(place(&[(4, 18), (4, 16), (4, 16)], 6), Some((1, 4)));
        assert_eq!(place(&[(4, 99)], 6), Some((0, 1)), "nobody waits for shared ways");
    }

    #[test]
    fn a_cache_without_cpus_is_no_fit() {
        assert_eq!(place(&[(0, 14), (1, 0)], 6), Some((1, 6)));
        assert_eq!(place(&[(0, 0)], 6), None);
    }

    #[test]
    fn exclusive_ways_are_never_cut_to_what_is_free() {
        let mut request = request();
        request.needs.isolation = Isolation::Exclusive;
        let mut view = cluster(&[(4, 18)]);
        let ask = |view: &ClusterView| BestFit {}.place(&request, &|_| Ways::clamped(6), view);
        assert_eq!(ask(&view).map(|placed| placed.ways.get()), Ok(6), "those who share make room");
        let worker = view.worker_mut(WorkerId(0)).unwrap();
        worker.domains.values_mut().for_each(|domain| domain.reserved_exclusive = 15);
        assert_eq!(ask(&view), Err(PlaceError::NoRoom));
    }
}
