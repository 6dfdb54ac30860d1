//! What fits where: the half of placing that is no policy.

use crate::cache::{CacheGeometry, Ways};
use crate::cluster::{ClusterView, DomainView, Slot, WorkerView};
use crate::function::{Isolation, Needs};
use crate::scheduler::{PlaceError, Placement, Request, WaysFor};

/// A domain that a request fits in now.
#[derive(Debug, Clone, Copy)]
pub struct Room<'a> {
    /// The worker.
    pub worker: &'a WorkerView,
    /// One of its domains.
    pub domain: &'a DomainView,
    /// How many ways the request asks for there: see [`Request::ways_in`].
    pub ways: Ways,
}

impl Room<'_> {
    /// To put it here, asking for `ways`.
    pub fn placement(&self, ways: Ways) -> Placement {
        Placement { worker: self.worker.id, domain: self.domain.domain.id, ways }
    }
}

impl Request<'_> {
    /// What `wish` ways come to in a domain: at least what a mask must have, at most what may be promised there
    /// (exclusively, where it must be).
    pub fn ways_in(&self, domain: &DomainView, wish: Ways) -> Ways {
        self.ways_on(domain.geometry(), wish)
    }

    /// The same, for any domain with such a cache.
    pub(crate) fn ways_on(&self, geometry: &CacheGeometry, wish: Ways) -> Ways {
        let most = match self.needs.isolation {
            Isolation::Shared => geometry.usable_ways().get(),
            Isolation::Exclusive => geometry.exclusive_limit(),
        };
        Ways::clamped(wish.get().min(most).max(geometry.min_ways.get()))
    }

    /// Everywhere it fits now, by rising worker and domain.
    pub fn rooms<'a>(&'a self, ways: WaysFor<'a>, view: &'a ClusterView) -> impl Iterator<Item = Room<'a>> {
        let mut wishes = Wishes::new(ways);
        let usable = |worker: &&WorkerView| {
            worker.accepts() && !self.avoid.contains(&worker.id) && self.needs.memory <= worker.free_memory()
        };
        let domains = |worker: &'a WorkerView| worker.domains.values().map(move |domain| (worker, domain));
        view.workers().filter(usable).flat_map(domains).filter_map(move |(worker, domain)| {
            // The cheap question first: on a busy cluster it is the one that most domains fail.
            if self.needs.cores > domain.free_cores() {
                return None;
            }
            let ways = self.ways_in(domain, wishes.of(domain.geometry()));
            domain.fits_now(&self.needs, ways, self.alone).then_some(Room { worker, domain, ways })
        })
    }

    /// Somewhere it fits now, if anywhere: found by maxima over halves, quarters, … of the cluster.
    pub(crate) fn anywhere<'a>(&self, ways: WaysFor<'_>, view: &'a ClusterView) -> Option<&'a Slot> {
        let index = view.index();
        // How many ways matters only where they are exclusive.
        let kinds = index.kinds().filter(|_| self.needs.isolation == Isolation::Exclusive);
        let wishes: Vec<(u16, Ways)> =
            kinds.map(|(id, kind)| (id, self.ways_on(&kind.geometry, ways(&kind.geometry)))).collect();
        let wish =
            |slot: &Slot| wishes.iter().find(|(kind, _)| *kind == slot.kind).map_or(Ways::ONE, |w| w.1);
        let fewest = wishes.iter().map(|(_, ways)| ways.get()).min().unwrap_or(1);
        let Needs { cores, memory, isolation } = self.needs;
        index.find_now(
            |most| {
                most.open
                    && cores <= most.cores
                    && memory.0 <= most.memory
                    && (!self.alone || most.vacant)
                    && (isolation == Isolation::Shared || fewest <= most.exclusive)
            },
            |slot| {
                !self.avoid.contains(&slot.place.worker) && slot.fits_now(&self.needs, wish(slot), self.alone)
            },
        )
    }

    /// Why it fits nowhere now.
    pub fn refusal(&self, view: &ClusterView) -> PlaceError {
        let Needs { cores, memory, isolation } = self.needs;
        let could = || {
            view.index().any_ever(
                |most| {
                    most.present
                        && cores <= most.cores
                        && memory.0 <= most.memory
                        && (isolation == Isolation::Shared || most.exclusive > 0)
                },
                |slot| slot.fits_ever(&self.needs),
            )
        };
        if view.present() == 0 {
            PlaceError::NoWorkers
        } else if could() {
            PlaceError::NoRoom
        } else {
            PlaceError::NeverFits
        }
    }
}

/// Asks once per kind of cache, not once per domain: thousands of workers have few kinds.
pub(super) struct Wishes<'a> {
    ways: WaysFor<'a>,
    first: Option<(CacheGeometry, Ways)>,
    others: Vec<(CacheGeometry, Ways)>,
}

impl<'a> Wishes<'a> {
    /// Beyond so many kinds asking anew is cheaper than looking.
    const KEPT: usize = 16;

    pub(super) fn new(ways: WaysFor<'a>) -> Self {
        Self { ways, first: None, others: Vec::new() }
    }

    pub(super) fn of(&mut self, geometry: &CacheGeometry) -> Ways {
        // Most clusters have one kind.
        let mut known = self.first.iter().chain(&self.others);
        if let Some((_, ways)) = known.find(|(known, _)| known == geometry) {
            return *ways;
        }
        let ways = (self.ways)(geometry);
        if self.first.is_none() {
            self.first = Some((*geometry, ways));
            return ways;
        }
        if self.others.len() == Self::KEPT {
            self.others.clear();
        }
        self.others.push((*geometry, ways));
        ways
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::scheduler::tests::{cluster, request};

    #[test]
    fn a_thousand_equal_caches_are_asked_about_once() {
        let view = cluster(&[(4, 0); 1000]);
        let asked = Cell::new(0);
        let ways = |_: &CacheGeometry| {
            asked.set(asked.get() + 1);
            Ways::ONE
        };
        assert_eq!(request().rooms(&ways, &view).count(), 1000);
        assert_eq!(asked.get(), 1);
    }

    #[test]
    fn an_exclusive_wish_for_the_whole_cache_comes_to_what_may_be_promised() {
        let mut request = request();
        request.needs.isolation = Isolation::Exclusive;
        let view = cluster(&[(4, 0)]);
        let rooms: Vec<_> = request.rooms(&|geometry| geometry.usable_ways(), &view).collect();
        assert_eq!(rooms[0].ways.get(), rooms[0].domain.exclusive_limit());
        assert!(rooms[0].ways < rooms[0].domain.geometry().usable_ways());
    }
}
