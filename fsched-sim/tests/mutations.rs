//! Invariants notice what they are for: parts that break their contracts are put into the platform's seams.

use std::sync::Arc;
use std::time::Duration;

use fsched_core::allocator::{
    AllocateError, CacheAllocator, Grant, Group, LeaseId, MemoryAllocator, Moved, Usage,
};
use fsched_core::cache::{CacheDomain, ClosId, DomainId, WayMask, Ways};
use fsched_core::cluster::ClusterView;
use fsched_core::curve::{Curve, Provenance};
use fsched_core::function::{InputSize, Isolation, Needs};
use fsched_core::invocation::CacheAsk;
use fsched_core::predictor::{InterpolatingPredictor, Predictor};
use fsched_core::scheduler::{LeastLoaded, PlaceError, Placement, Request, Scheduler, WaysFor};
use fsched_sim::fault::{Breach, Fault};
use fsched_sim::policy::{Policy, Scene};
use fsched_sim::rates::Apart;
use fsched_sim::simulation::START;
use fsched_sim::workload::{Arrival, Listed};
use fsched_sim::{SimFunction, Simulation, invariants};

use crate::rig::{ideal, machine};

/// What is wrong with the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// Masks of ways that there are not.
    MaskOutside,
    /// Everybody gets the whole cache, also who wants it exclusively.
    MaskOfOthers,
    /// Classes that there are not.
    ClassOutside,
    /// Different masks in one class.
    ClassOfOthers,
    /// Work is placed where there is no room.
    Crowded,
    /// Nothing is ever placed.
    Refusing,
    /// Ways are never given back.
    Leaking,
    /// A part of the simulator breaks its contract.
    Outside(Breach),
}

impl Policy for Wrong {
    fn predictor(&self, _: &Scene) -> Box<dyn Predictor> {
        Box::new(InterpolatingPredictor::default())
    }

    fn scheduler(&self, _: &Scene) -> Box<dyn Scheduler> {
        match self {
            Self::Crowded => Box::new(Crowding),
            Self::Refusing => Box::new(NoRoom),
            _ => Box::new(LeastLoaded {}),
        }
    }

    fn allocator(&self, _: &Scene, domains: Vec<CacheDomain>) -> Box<dyn CacheAllocator> {
        Box::new(Lying { inner: MemoryAllocator::new(domains, true), wrong: *self })
    }
}

/// The first worker, whatever runs there.
struct Crowding;

impl Scheduler for Crowding {
    fn place(
        &mut self,
        _: &Request<'_>,
        _: WaysFor<'_>,
        view: &ClusterView,
    ) -> Result<Placement, PlaceError> {
        let worker = view.workers().next().ok_or(PlaceError::NoWorkers)?;
        let domain = worker.domains.keys().next().copied().unwrap_or_default();
        Ok(Placement { worker: worker.id, domain, ways: Ways::ONE })
    }
}

/// There is never room.
struct NoRoom;

impl Scheduler for NoRoom {
    fn place(&mut self, _: &Request<'_>, _: WaysFor<'_>, _: &ClusterView) -> Result<Placement, PlaceError> {
        Err(PlaceError::NoRoom)
    }
}

struct Lying {
    inner: MemoryAllocator,
    wrong: Wrong,
}

impl Lying {
    fn lie(&self, mask: WayMask, class: ClosId) -> (WayMask, ClosId) {
        match self.wrong {
            Wrong::MaskOutside => (WayMask::new(mask.bits() | 1 << 31).unwrap_or(mask), class),
            Wrong::MaskOfOthers => (WayMask::new(0xff).unwrap_or(mask), class),
            Wrong::ClassOutside => (mask, ClosId(99)),
            Wrong::ClassOfOthers => (mask, ClosId(1)),
            _ => (mask, class),
        }
    }

    fn lies(&self, moved: Vec<Moved>) -> Vec<Moved> {
        let lie = |one: Moved| {
            let (mask, class) = self.lie(one.mask, one.class);
            Moved { mask, class, ..one }
        };
        moved.into_iter().map(lie).collect()
    }
}

impl CacheAllocator for Lying {
    fn domains(&self) -> &[CacheDomain] {
        self.inner.domains()
    }

    fn enforced(&self) -> bool {
        true
    }

    fn acquire(&mut self, domain: DomainId, ask: CacheAsk) -> Result<Grant, AllocateError> {
        let grant = self.inner.acquire(domain, ask)?;
        let (mask, class) = self.lie(grant.mask, grant.class);
        Ok(Grant { mask, class, moved: self.lies(grant.moved), ..grant })
    }

    fn release(&mut self, lease: LeaseId) -> Result<Vec<Moved>, AllocateError> {
        if self.wrong == Wrong::Leaking {
            return Ok(Vec::new());
        }
        let moved = self.inner.release(lease)?;
        Ok(self.lies(moved))
    }

    fn arrange(&mut self, domain: DomainId, groups: &[Group]) -> Result<Vec<Moved>, AllocateError> {
        let moved = self.inner.arrange(domain, groups)?;
        Ok(self.lies(moved))
    }

    fn usage(&self, domain: DomainId) -> Usage {
        self.inner.usage(domain)
    }
}

/// The first invariant that does not hold.
fn broken(wrong: Wrong) -> Option<String> {
    let curve = Curve::flat(1.0, 1.0, Provenance::Measured);
    let shared = SimFunction::new("shared", curve.clone());
    let needs = Needs { isolation: Isolation::Exclusive, ..shared.needs };
    let exclusive = SimFunction { needs, ..SimFunction::new("exclusive", curve) };
    let mut config = ideal(1, vec![machine(2, 8)], vec![shared, exclusive]);
    config.policy = Arc::new(wrong);
    let arrival = |n: u64| Arrival {
        at: START + Duration::from_millis(10 * n),
        function: (n % 2) as usize,
        input_size: InputSize(1),
        idempotent: false,
    };
    let workload = Listed::new((1..6).map(arrival).collect());
    let mut simulation = Simulation::new(config, Box::new(Apart), Box::new(workload));
    simulation.count_starts();
    if let Wrong::Outside(breach) = wrong {
        simulation.breach(breach);
        // What was forgotten shows when the master begins anew.
        simulation.schedule(
            START + Duration::from_millis(200),
            Fault::RestartMaster { down: Duration::from_millis(5) },
        );
    }
    let until = START + Duration::from_secs(60);
    while !simulation.is_done() && simulation.now() < until && simulation.step() {
        if let Err(what) = invariants::always(&simulation) {
            return Some(what);
        }
    }
    let after = simulation.now() + Duration::from_secs(15);
    simulation.run_until(after);
    invariants::at_rest(&simulation).and_then(|()| invariants::quiet(&simulation)).err()
}

#[test]
fn each_invariant_notices_what_it_is_for() {
    let table = [
        (Wrong::MaskOutside, "masks"),
        (Wrong::MaskOfOthers, "masks"),
        (Wrong::ClassOutside, "classes"),
        (Wrong::ClassOfOthers, "classes"),
        (Wrong::Crowded, "reservations"),
        (Wrong::Outside(Breach::Greedy), "capacity"),
        (Wrong::Outside(Breach::Undead), "processes"),
        (Wrong::Outside(Breach::Forgetful), "ends"),
        (Wrong::Refusing, "starvation"),
        (Wrong::Leaking, "m0: ways are held, and nothing runs"),
    ];
    assert_eq!(broken(Wrong::Nothing), None);
    for (wrong, name) in table {
        let what = broken(wrong);
        assert!(what.as_ref().is_some_and(|what| what.starts_with(name)), "{wrong:?}: {what:?}");
    }
}
