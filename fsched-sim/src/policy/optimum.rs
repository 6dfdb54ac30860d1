//! The best that can be had at each moment by trying everything, on small cases.

use fsched_core::cache::{CacheDomain, CacheGeometry, WayMask, Ways};
use fsched_core::cluster::ClusterView;
use fsched_core::curve::Curve;
use fsched_core::scheduler::{PlaceError, Placement, Request, Scheduler, WaysFor};
use fsched_core::split::contention::Demand;
use fsched_core::split::sharing::{GroupCosts, Member, SharedPart, SharingProblem, share_exhaustively};
use fsched_core::split::{self, Room, Row, Wanted};

use super::resplit::Held;
use super::{Arriving, Resplit};

impl Resplit {
    /// By the true curves, so that the slowdowns of those who run add up to the least: of all ways to share the cache, by trying all. It
    /// looks at the moment only, and not at what changing masks costs. Up to 8 runners in a cache; more share it whole.
    ///
    /// # Panics
    /// Where there is no domain.
    pub fn optimum(domains: Vec<CacheDomain>, arriving: Arriving) -> Self {
        Self::new(domains, arriving, masks)
    }
}

/// Who shares how many ways with whom so that the sum of slowdowns is the least, and that sum; none where there are too many to try.
fn best(geometry: &CacheGeometry, curves: &[&Curve]) -> Option<(Vec<SharedPart>, f64)> {
    let room = Room::of(geometry);
    let rows: Vec<Row> = curves.iter().map(|curve| Row::slowdowns(curve, geometry)).collect();
    let demands: Vec<Option<Demand>> = curves.iter().map(|curve| Demand::of_curve(curve, geometry)).collect();
    let members: Vec<Member<'_>> = rows
        .iter()
        .zip(&demands)
        .map(|(slowdown, demand)| Member { weight: 1.0, slowdown, demand: demand.as_ref() })
        .collect();
    let problem = SharingProblem {
        ways: room.ways(),
        min: room.min(),
        way_size: geometry.way_size().0 as f64,
        classes: u8::try_from(geometry.classes).unwrap_or(u8::MAX),
        members: &members,
        power: 1.0,
        fairness: 0.0,
    };
    let sharing = share_exhaustively(&mut GroupCosts::new(problem).ok()?).ok()?;
    Some((sharing.groups, sharing.cost))
}

fn masks(geometry: &CacheGeometry, held: &[&Held]) -> Option<Vec<WayMask>> {
    let truths: Option<Vec<&Curve>> =
        held.iter().map(|one| one.truth.as_ref().map(|truth| &truth.curve)).collect();
    let (groups, _) = best(geometry, &truths?)?;
    // A group stays where its first member is.
    let wanted: Vec<Wanted> = groups
        .iter()
        .map(|group| Wanted { ways: group.ways, now: group.members.first().map(|&i| held[i].mask) })
        .collect();
    let laid = split::lay_out(Room::of(geometry), &wanted)?;
    let mut masks: Vec<Option<WayMask>> = vec![None; held.len()];
    for (group, mask) in groups.iter().zip(laid) {
        group.members.iter().for_each(|&i| masks[i] = Some(mask));
    }
    masks.into_iter().collect()
}

/// Where the sum of slowdowns of all who run grows the least, by the curves that the master has: those of its own included. Every
/// domain with room is tried. One with more than 8 comes last.
#[derive(Debug, Clone, Copy)]
pub struct Cheapest {
    classes: u16,
}

impl Cheapest {
    /// For caches with so many classes, of which their allocator shows none.
    pub fn new(classes: u16) -> Self {
        Self { classes }
    }
}

impl Scheduler for Cheapest {
    fn place(
        &mut self,
        request: &Request<'_>,
        ways: WaysFor<'_>,
        view: &ClusterView,
    ) -> Result<Placement, PlaceError> {
        let grows = |room: &fsched_core::scheduler::Room<'_>| {
            let mut geometry = *room.domain.geometry();
            geometry.classes = geometry.classes.max(self.classes);
            let mut curves: Vec<&Curve> =
                room.domain.residents().iter().map(|(_, resident)| &*resident.curve).collect();
            let before = best(&geometry, &curves).map_or(f64::INFINITY, |(_, cost)| cost);
            curves.push(request.curve);
            best(&geometry, &curves).map_or(f64::MAX, |(_, after)| after - before)
        };
        let rooms = request.rooms(ways, view).map(|room| (grows(&room), room));
        let found = rooms.min_by(|(a, _), (b, _)| a.total_cmp(b));
        found.map(|(_, room)| room.placement(room.ways.max(Ways::ONE))).ok_or_else(|| request.refusal(view))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fsched_core::allocator::{CacheAllocator, LeaseId};
    use fsched_core::cache::{Bytes, DomainId};
    use fsched_core::curve::{CurvePoint, Provenance, Traffic, TrafficPoint};
    use fsched_core::invocation::CacheAsk;
    use fsched_core::scheduler;

    use super::*;
    use crate::truths::Truth;

    /// All hits with `need` ways, 2.5 times as long with fewer.
    fn cliff(need: u64) -> Curve {
        let point =
            |mib, seconds| CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds };
        let misses = |mib, misses| TrafficPoint { cache: Bytes::mib(mib), misses, accesses: 1e7 };
        let traffic =
            Traffic::new(vec![misses(need - 1, 1e9), misses(need, 1e5)], Provenance::Simulated).ok();
        Curve::new(vec![point(need - 1, 2.5), point(need, 1.0)], Provenance::Simulated)
            .unwrap()
            .with_traffic(traffic)
    }

    #[test]
    fn cliffs_that_fit_beside_each_other_all_get_what_they_need() {
        let arriving = Arriving::default();
        let domain = CacheDomain::nominal(4, Ways::clamped(12), Bytes::mib(1));
        let mut optimum = Resplit::optimum(vec![domain], arriving.clone());
        let mut acquire = |id, need| {
            arriving.set(&Arc::new(Truth { id, curve: cliff(need) }));
            optimum.acquire(DomainId(0), CacheAsk::Shared(Ways::ONE)).unwrap()
        };
        let needs = [3, 5, 4];
        let leases: Vec<LeaseId> = (0..).zip(needs).map(|(id, need)| acquire(id, need).lease).collect();
        let masks: Vec<WayMask> = leases.iter().map(|lease| optimum.mask_of(*lease)).collect();
        for (mask, need) in masks.iter().zip(needs) {
            assert!(u64::from(mask.ways().get()) >= need, "{masks:?}");
        }
        assert!(!masks[0].overlaps(masks[1]) && !masks[1].overlaps(masks[2]), "{masks:?}");
        optimum.release(leases[0]).unwrap();
        assert_eq!(optimum.usage(DomainId(0)).leases, 2);
    }

    #[test]
    fn it_places_by_the_contract() {
        scheduler::conformance::check(|| Cheapest::new(15));
    }
}
