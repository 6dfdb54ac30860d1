//! The tightest cache that still fits.

use crate::cache::Ways;
use crate::cluster::{ClusterView, Slot};
use crate::function::Isolation;
use crate::scheduler::feasibility::Wishes;
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
        if request.anywhere(ways, view).is_none() {
            return Err(request.refusal(view));
        }
        let index = view.index();
        let mut wishes = Wishes::new(ways);
        let mut room = |slot: &Slot, covering: bool| {
            let wish =
                request.ways_on(&index.kind(slot.kind).geometry, wishes.of(&index.kind(slot.kind).geometry));
            let covers = wish.get() <= slot.facts.free_ways;
            let fits = slot.fits_now(&request.needs, wish, request.alone);
            (covers == covering && fits && !request.avoid.contains(&slot.place.worker)).then_some(wish)
        };
        let covering = index.by_free_ways(1).find_map(|slot| Some((slot, room(slot, true)?)));
        let found = covering.or_else(|| {
            // The most free ways first, and the lower id among equals.
            (0..=Ways::MAX)
                .rev()
                .flat_map(|ways| index.with_free_ways(ways))
                .find_map(|slot| Some((slot, room(slot, false)?)))
        });
        let (slot, wish) = found.expect("what fits somewhere either is covered there or is not");
        let ways = match request.needs.isolation {
            Isolation::Exclusive => wish,
            Isolation::Shared => {
                let least = index.kind(slot.kind).geometry.min_ways;
                wish.min(Ways::clamped(slot.facts.free_ways)).max(least)
            }
        };
        Ok(slot.place.with(ways))
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
        view.update(WorkerId(0), |worker| {
            worker.domains.values_mut().for_each(|domain| domain.reserved_exclusive = 15);
        });
        assert_eq!(ask(&view), Err(PlaceError::NoRoom));
    }
}
