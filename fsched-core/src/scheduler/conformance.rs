//! The contract of [`Scheduler`] as a suite, for every implementation: one function per sentence.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::cache::{Bytes, CacheDomain, CacheGeometry, DomainId, Ways};
use crate::cluster::{ClusterView, DomainView, Liveness, Pace, WorkerView};
use crate::curve::{Curve, Provenance};
use crate::function::{Isolation, Needs};
use crate::id::{ContentHash, WorkerId};
use crate::scheduler::{PlaceError, Placement, Request, Scheduler};

/// Checks all of the contract on schedulers that `make` makes.
///
/// # Panics
/// Where a sentence does not hold; names it.
pub fn check<S: Scheduler>(make: impl Fn() -> S) {
    names_only_places_with_room(&make);
    places_whatever_fits_somewhere(&make);
    tells_waiting_from_hopeless(&make);
    breaks_ties_by_the_lower_ids(&make);
    remembers_no_reservation(&make);
    never_promises_more_than_there_is(&make);
}

/// "Name only a worker that accepts work, is not to be avoided, and has the CPUs, the memory and (for exclusive
/// ways) the ways and a class free in that domain".
pub fn names_only_places_with_room<S: Scheduler>(make: &impl Fn() -> S) {
    cases(case(), |case| {
        let Ok(placed) = case.place(&mut make()) else { return };
        let worker = case.view.worker(placed.worker).expect("the worker that was named exists");
        let domain = worker.domains.get(&placed.domain).expect("the domain that was named exists");
        assert!(case.has_room(worker, domain, placed.ways), "{placed:?} has no room");
        let geometry = domain.geometry();
        let possible = geometry.min_ways <= placed.ways && placed.ways <= geometry.usable_ways();
        assert!(possible, "{placed:?} asks for ways that the cache does not have");
    });
}

/// "Place whatever fits somewhere", asking for what it wishes or, where that is more than may be promised, for that.
pub fn places_whatever_fits_somewhere<S: Scheduler>(make: &impl Fn() -> S) {
    cases(case(), |case| {
        let fits = case.anywhere(|worker, domain| case.has_room(worker, domain, case.wish_in(domain)));
        assert_eq!(case.place(&mut make()).is_ok(), fits, "whether it was placed, and whether it fits");
    });
}

/// "Tell `NoRoom` (a worker that is suspect, avoided or full could hold it later) from `NeverFits` (none could, not
/// even empty), counting workers that are dead or draining as absent".
pub fn tells_waiting_from_hopeless<S: Scheduler>(make: &impl Fn() -> S) {
    cases(case(), |mut case| {
        let Err(error) = case.place(&mut make()) else { return };
        let absent: Vec<WorkerId> = case
            .view
            .workers()
            .filter(|worker| worker.liveness == Liveness::Dead || worker.draining)
            .map(|worker| worker.id)
            .collect();
        absent.into_iter().for_each(|id| {
            case.view.remove(id);
        });
        case.empty_the_cluster();
        let could = case.anywhere(|worker, domain| case.has_room(worker, domain, case.wish_in(domain)));
        let expected = match (case.view.is_empty(), could) {
            (true, _) => PlaceError::NoWorkers,
            (false, true) => PlaceError::NoRoom,
            (false, false) => PlaceError::NeverFits,
        };
        assert_eq!(error, expected);
    });
}

/// "Break ties by the lower worker id, then the lower domain id".
pub fn breaks_ties_by_the_lower_ids<S: Scheduler>(make: &impl Fn() -> S) {
    cases((case(), domain(), 1u64..8, 1u16..4), |(mut case, domain, workers, domains)| {
        case.view = ClusterView::default();
        for id in (10..10 + workers).rev() {
            let domains: Vec<_> = (5..5 + domains).map(|id| with_id(&domain, DomainId(id))).collect();
            case.view.insert(worker_of(WorkerId(id), domains));
        }
        if let Ok(Placement { worker, domain, .. }) = case.place(&mut make()) {
            let avoided = case.avoid.clone();
            let first = (10..).map(WorkerId).find(|id| !avoided.contains(id)).expect("ids do not end");
            assert_eq!((worker, domain), (first, DomainId(5)), "all are equal, so the lowest ids win");
        }
    });
}

/// "It must not remember a reservation": the caller makes it, or not.
pub fn remembers_no_reservation<S: Scheduler>(make: &impl Fn() -> S) {
    cases(case(), |case| {
        let mut scheduler = make();
        let first = case.place(&mut scheduler);
        for _ in 0..40 {
            let again = case.place(&mut scheduler);
            assert_eq!(first.is_ok(), again.is_ok(), "nothing was reserved, and the answer changed");
        }
    });
}

/// Asked again and again, with each answer reserved before the next question, it fills the cluster and no more.
pub fn never_promises_more_than_there_is<S: Scheduler>(make: &impl Fn() -> S) {
    cases(case(), |mut case| {
        // Otherwise it would never be full.
        case.needs.cores = case.needs.cores.max(1);
        let mut scheduler = make();
        for _ in 0..500 {
            let Ok(placed) = case.place(&mut scheduler) else { return };
            case.reserve(placed);
            let worker = case.view.worker(placed.worker).expect("the worker that was named exists");
            assert!(worker.reserved_memory <= worker.memory, "memory was promised twice");
            let domain = &worker.domains[&placed.domain];
            assert!(domain.reserved_cores <= domain.cores, "CPUs were promised twice");
            assert!(domain.reserved_exclusive <= domain.exclusive_limit(), "ways were promised twice");
        }
        panic!("a small cluster takes 500 invocations");
    });
}

/// A cluster, and something to be placed on it.
#[derive(Debug, Clone)]
pub struct Case {
    /// The cluster.
    pub view: ClusterView,
    /// What is needed.
    pub needs: Needs,
    /// Whether it has to be alone.
    pub alone: bool,
    /// Workers not to be used.
    pub avoid: Vec<WorkerId>,
    /// How many ways the predictor would like, wherever it is.
    pub wish: Ways,
}

impl Case {
    /// What the scheduler answers.
    ///
    /// # Errors
    /// The scheduler's.
    pub fn place(&self, scheduler: &mut impl Scheduler) -> Result<Placement, PlaceError> {
        let curve = Curve::flat(1.0, 2.0, Provenance::Prior);
        let Self { view, needs, alone, avoid, wish } = self;
        let file = ContentHash([7; 32]);
        let request = Request { needs: *needs, curve: &curve, file, alone: *alone, avoid };
        scheduler.place(&request, &|_| *wish, view)
    }

    fn anywhere(&self, holds: impl Fn(&WorkerView, &DomainView) -> bool) -> bool {
        self.view.workers().any(|worker| worker.domains.values().any(|domain| holds(worker, domain)))
    }

    fn wish_in(&self, domain: &DomainView) -> Ways {
        let most = match self.needs.isolation {
            Isolation::Shared => domain.geometry().usable_ways().get(),
            Isolation::Exclusive => domain.exclusive_limit(),
        };
        Ways::clamped(self.wish.get().min(most).max(domain.geometry().min_ways.get()))
    }

    /// Written out anew, so that it can disagree with what schedulers use.
    fn has_room(&self, worker: &WorkerView, domain: &DomainView, ways: Ways) -> bool {
        let Needs { cores, memory, isolation } = self.needs;
        let usable =
            worker.liveness == Liveness::Alive && !worker.draining && !self.avoid.contains(&worker.id);
        let memory_left = worker.memory.0.checked_sub(worker.reserved_memory.0);
        let cores_left = domain.cores.checked_sub(domain.reserved_cores);
        let kept = domain.geometry().min_ways.get() + domain.reserved_exclusive;
        let ways_left = domain.geometry().usable_ways().get().checked_sub(kept);
        // One class stays for those who share.
        let class_left = u32::from(domain.exclusive_leases) + 2 <= u32::from(domain.geometry().classes);
        let alone = if self.alone { domain.placed == 0 && !domain.held_alone } else { !domain.held_alone };
        usable
            && alone
            && memory_left.is_some_and(|left| memory.0 <= left)
            && cores_left.is_some_and(|left| cores <= left)
            && (isolation == Isolation::Shared
                || (class_left && ways_left.is_some_and(|left| ways.get() <= left)))
    }

    fn empty_the_cluster(&mut self) {
        self.avoid.clear();
        let ids: Vec<WorkerId> = self.view.workers().map(|worker| worker.id).collect();
        for id in ids {
            self.view.update(id, |worker| {
                worker.liveness = Liveness::Alive;
                worker.reserved_memory = Bytes(0);
                for domain in worker.domains.values_mut() {
                    *domain = DomainView::new(domain.domain.clone(), domain.cores);
                }
            });
        }
    }

    fn reserve(&mut self, placed: Placement) {
        let changed = self.view.update(placed.worker, |worker| {
            worker.reserved_memory.0 += self.needs.memory.0;
            let domain = worker.domains.get_mut(&placed.domain).expect("the domain that was named exists");
            domain.placed += 1;
            domain.held_alone |= self.alone;
            domain.reserved_cores += self.needs.cores;
            match self.needs.isolation {
                Isolation::Shared => domain.asked_shared += u32::from(placed.ways.get()),
                Isolation::Exclusive => {
                    domain.reserved_exclusive += placed.ways.get();
                    domain.exclusive_leases += 1;
                }
            }
        });
        changed.expect("the worker that was named exists");
    }
}

/// Any small cluster in any state, and any request.
pub fn case() -> impl Strategy<Value = Case> {
    let isolation = prop_oneof![Just(Isolation::Shared), Just(Isolation::Exclusive)];
    let memory = prop_oneof![4 => 0u64..300, 1 => Just(u64::MAX)];
    let needs = (0u16..6, memory, isolation).prop_map(|(cores, memory, isolation)| Needs {
        cores,
        memory: Bytes(memory),
        isolation,
    });
    let workers = prop::collection::vec(worker(), 0..6);
    let avoid = prop::collection::vec((0u64..12).prop_map(WorkerId), 0..3);
    let wish = (1u8..=32).prop_map(Ways::clamped);
    (workers, needs, prop::bool::weighted(0.2), avoid, wish).prop_map(
        |(workers, needs, alone, avoid, wish)| {
            let mut view = ClusterView::default();
            workers.into_iter().for_each(|worker| view.insert(worker));
            Case { view, needs, alone, avoid, wish }
        },
    )
}

fn worker() -> impl Strategy<Value = WorkerView> {
    let liveness =
        prop_oneof![4 => Just(Liveness::Alive), 1 => Just(Liveness::Suspect), 1 => Just(Liveness::Dead)];
    let domains = prop::collection::vec(domain(), 1..4);
    let state = (liveness, prop::bool::weighted(0.2), any::<bool>());
    (0u64..12, state, 0u64..600, 0u64..400, domains).prop_map(
        |(id, (liveness, draining, enforced), memory, reserved_memory, domains)| {
            let domains =
                domains.iter().zip([0, 2, 7]).map(|(domain, id)| with_id(domain, DomainId(id))).collect();
            WorkerView {
                liveness,
                draining,
                enforced,
                memory: Bytes(memory),
                reserved_memory: Bytes(reserved_memory.min(memory)),
                ..worker_of(WorkerId(id), domains)
            }
        },
    )
}

fn domain() -> impl Strategy<Value = DomainView> {
    let geometry = (1u8..=20, 1u8..=3, 2u16..=8).prop_map(|(ways, min_ways, classes)| CacheGeometry {
        size: Bytes::mib(u64::from(ways)),
        ways: Ways::clamped(ways),
        min_ways: Ways::clamped(min_ways.min(ways)),
        contiguous: true,
        shareable: 0,
        classes,
    });
    let taken = (0u16..8, 0u8..20, 0u32..30, 0u32..3, prop::bool::weighted(0.15));
    (geometry, 0u16..8, taken).prop_map(
        |(geometry, cores, (reserved, exclusive, asked_shared, placed, alone))| {
            let domain = DomainView::new(CacheDomain { id: DomainId(0), cpus: Vec::new(), geometry }, cores);
            if placed == 0 {
                return domain;
            }
            let reserved_exclusive = exclusive.min(domain.exclusive_limit());
            let reserved_cores = reserved.min(cores);
            DomainView {
                reserved_cores,
                reserved_exclusive,
                exclusive_leases: u16::from(reserved_exclusive > 0) + u16::from(reserved_exclusive > 4),
                asked_shared,
                placed,
                held_alone: alone,
                ..domain
            }
        },
    )
}

fn with_id(domain: &DomainView, id: DomainId) -> DomainView {
    DomainView { domain: CacheDomain { id, ..domain.domain.clone() }, ..domain.clone() }
}

/// Alive, with nothing but its domains promised.
fn worker_of(id: WorkerId, domains: Vec<DomainView>) -> WorkerView {
    let domains = domains.into_iter().map(|domain| (domain.domain.id, domain)).collect();
    WorkerView {
        id,
        liveness: Liveness::Alive,
        draining: false,
        enforced: true,
        pace: Pace::default(),
        memory: Bytes(600),
        reserved_memory: Bytes(0),
        domains,
    }
}

fn cases<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, test: impl Fn(T)) {
    let config = Config { cases: 256, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&strategy, |case| {
        test(case);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
