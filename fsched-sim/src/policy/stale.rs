//! Best fit on a picture that is only renewed every few seconds.

use std::time::Duration;

use fsched_core::cluster::ClusterView;
use fsched_core::scheduler::{PlaceError, Placement, Request, Room, Scheduler, WaysFor};
use fsched_core::time::Timestamp;

use super::Clock;

/// The tightest cache that still fits, by a picture of free ways that is renewed every so often and not in between: no ways are
/// reserved for what was placed since. Where none fits, the cache with the most free ways.
///
/// Free cores and memory are as they are now: workers would refuse what they have no room for.
#[derive(Debug)]
pub struct Stale {
    clock: Clock,
    every: Duration,
    seen: ClusterView,
    at: Option<Timestamp>,
}

impl Stale {
    /// A picture renewed that often.
    pub fn new(clock: Clock, every: Duration) -> Self {
        Self { clock, every, seen: ClusterView::default(), at: None }
    }
}

impl Scheduler for Stale {
    fn place(
        &mut self,
        request: &Request<'_>,
        ways: WaysFor<'_>,
        view: &ClusterView,
    ) -> Result<Placement, PlaceError> {
        let now = self.clock.now();
        if self.at.is_none_or(|at| now.since(at) >= self.every) {
            self.seen.clone_from(view);
            self.at = Some(now);
        }
        let free = |room: &Room<'_>| {
            let domain = self.seen.worker(room.worker.id).and_then(|w| w.domains.get(&room.domain.domain.id));
            domain.map_or_else(|| room.domain.geometry().usable_ways().get(), |domain| domain.free_ways())
        };
        let best = request.rooms(ways, view).min_by_key(|room| {
            let (free, wish) = (free(room), room.ways.get());
            // Those that cover first, the tightest first; then the one with the most.
            if free >= wish { (0, free) } else { (1, u8::MAX - free) }
        });
        best.map(|room| room.placement(room.ways)).ok_or_else(|| request.refusal(view))
    }
}

#[cfg(test)]
mod tests {
    use fsched_core::scheduler::conformance;

    use super::*;

    #[test]
    fn it_keeps_the_contract() {
        conformance::check(|| Stale::new(Clock::default(), Duration::ZERO));
    }
}
