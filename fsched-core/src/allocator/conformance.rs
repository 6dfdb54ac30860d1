//! The contract of [`CacheAllocator`] as a suite: one check per sentence, on random machines and random lives.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

use super::{AllocateError, CacheAllocator, Group, LeaseId, Misfit, Moved, Usage};
use crate::cache::{Bytes, CacheDomain, CacheGeometry, ClosId, CpuId, DomainId, WayMask, Ways};
use crate::invocation::CacheAsk;

/// Checks an implementation against the whole contract; `make` makes a fresh one for the domains given.
///
/// # Panics
/// With the shortest life found that breaks a rule.
pub fn check<A: CacheAllocator>(make: impl Fn(Vec<CacheDomain>) -> A) {
    domains_are_those_given(&make);
    check_here(make);
}

/// The same for an implementation that has the domains of the machine at hand, whatever it is given.
///
/// # Panics
/// With the shortest life found that breaks a rule.
pub fn check_here<A: CacheAllocator>(make: impl Fn(Vec<CacheDomain>) -> A) {
    domains_are_sorted_and_stay(&make);
    what_is_not_there_is_an_error(&make);
    masks_are_legal(&make);
    exclusive_ways_are_nobody_elses(&make);
    exclusive_asks_get_what_they_ask_or_are_refused(&make);
    shared_asks_are_never_refused(&make);
    moved_names_others_whose_mask_changed_once(&make);
    usage_tells_what_is_held(&make);
    after_all_is_released_it_is_as_new(&make);
    groups_get_a_class_and_their_mask(&make);
    arranged_masks_stay(&make);
    arrangements_that_cannot_be_change_nothing(&make);
}

/// The same with only so many cases of each random check, for implementations that are slow. Otherwise the variable
/// `PROPTEST_CASES` says how many, or there are 256.
///
/// # Panics
/// With the shortest life found that breaks a rule.
pub fn check_some<A: CacheAllocator>(cases: u32, make: impl Fn(Vec<CacheDomain>) -> A) {
    CASES.set(Some(cases));
    check_here(make);
    CASES.set(None);
}

thread_local! {
    static CASES: Cell<Option<u32>> = const { Cell::new(None) };
}

/// `count` domains with ids 0, 1, … of `ways` ways of 1 MiB, two CPUs each and 15 classes, on which nothing is special.
pub fn domains(count: u16, ways: u8) -> Vec<CacheDomain> {
    let geometry = CacheGeometry {
        size: Bytes::mib(ways.into()),
        ways: Ways::clamped(ways),
        min_ways: Ways::ONE,
        contiguous: true,
        shareable: 0,
        classes: 15,
    };
    let domain =
        |id| CacheDomain { id: DomainId(id), cpus: vec![CpuId(2 * id), CpuId(2 * id + 1)], geometry };
    (0..count).map(domain).collect()
}

/// Any geometry that can be, with 1 to 32 ways and up to 16 classes.
pub fn any_geometry() -> impl Strategy<Value = CacheGeometry> {
    (1u8..=32, 1u8..=3, any::<bool>(), any::<u32>(), 0u8..=3, any::<bool>(), 0u16..=16)
        .prop_map(|(ways, min_ways, contiguous, random, at_an_end, top, classes)| {
            let ways = Ways::clamped(ways);
            let shareable = match u32::from(at_an_end) {
                0 => 0,
                _ if !contiguous => random & random.rotate_left(7) & (u32::MAX >> (32 - ways.get())),
                n if top => u32::MAX >> (32 - ways.get()) & !(u32::MAX >> (32 - ways.get()) >> n),
                n => (1 << n) - 1,
            };
            let size = Bytes::mib(ways.get().into());
            CacheGeometry { size, ways, min_ways: Ways::clamped(min_ways), contiguous, shareable, classes }
        })
        .prop_filter("no such cache", |geometry| geometry.validate().is_ok())
}

/// Any groups of these leases, with masks of the fewest ways or more within `room`, as many as there are classes at most.
pub(super) fn any_groups(
    seed: u64,
    leases: Vec<LeaseId>,
    classes: usize,
    room: u32,
    (contiguous, min): (bool, u32),
) -> Vec<Group> {
    let mut state = seed;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    let count = 1 + random(classes.clamp(1, 5));
    let mut groups = vec![Vec::new(); count];
    for lease in leases {
        groups[random(count)].push(lease);
    }
    let ones = |first: u32, ways: u32| (u32::MAX >> (32 - ways)) << first;
    let runs: Vec<u32> = (min..=32)
        .flat_map(|ways| (0..=32 - ways).map(move |first| ones(first, ways)))
        .map(|run| if contiguous { run } else { run & room })
        .filter(|run| run & !room == 0 && run.count_ones() >= min)
        .collect();
    let group = |leases| Group { mask: WayMask::new(runs[random(runs.len())]).expect("not empty"), leases };
    groups.into_iter().filter(|leases| !leases.is_empty()).map(group).collect()
}

/// What happens to an allocator.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// An ask in one of the domains (modulo their number).
    Acquire(usize, CacheAsk),
    /// The end of one of the leases (modulo their number).
    Release(usize),
    /// Any arrangement of those who share in one of the domains (modulo their number).
    Arrange(usize, u64),
}

fn any_machine() -> impl Strategy<Value = Vec<CacheDomain>> {
    vec((any_geometry(), 1u16..4), 1..=3).prop_map(|geometries| {
        let mut next = 0;
        let mut domain = |(geometry, gap)| {
            next += gap;
            CacheDomain { id: DomainId(next), cpus: vec![CpuId(next)], geometry }
        };
        geometries.into_iter().map(&mut domain).collect()
    })
}

fn any_life(length: RangeInclusive<usize>) -> impl Strategy<Value = Vec<Event>> {
    let ways = (1u8..=32, 1u8..=32).prop_map(|(a, b)| Ways::clamped(a.min(b)));
    let ask = (ways, any::<bool>())
        .prop_map(|(ways, shared)| if shared { CacheAsk::Shared(ways) } else { CacheAsk::Exclusive(ways) });
    let event = prop_oneof![
        3 => (any::<usize>(), ask).prop_map(|(domain, ask)| Event::Acquire(domain, ask)),
        2 => any::<usize>().prop_map(Event::Release),
        1 => (any::<usize>(), any::<u64>()).prop_map(|(domain, seed)| Event::Arrange(domain, seed)),
    ];
    vec(event, length)
}

/// A lease as those who only read answers know it.
#[derive(Debug, Clone, Copy)]
struct Held {
    domain: DomainId,
    ask: CacheAsk,
    class: ClosId,
    mask: WayMask,
}

/// An allocator and what its answers said so far.
struct Observed<A> {
    allocator: A,
    held: BTreeMap<LeaseId, Held>,
    ever: BTreeMap<LeaseId, ()>,
    /// Domains that were arranged and not empty since.
    arranged: BTreeSet<DomainId>,
}

/// What an event brought.
struct Seen {
    answer: Result<Option<LeaseId>, (CacheAsk, DomainId, AllocateError)>,
    moved: Vec<Moved>,
    /// What was asked of `arrange`, and where.
    groups: Option<(DomainId, Vec<Group>)>,
    /// What was held before.
    before: BTreeMap<LeaseId, Held>,
}

impl<A: CacheAllocator> Observed<A> {
    fn new(allocator: A) -> Self {
        Self { allocator, held: BTreeMap::new(), ever: BTreeMap::new(), arranged: BTreeSet::new() }
    }

    fn apply(&mut self, event: Event) -> Result<Seen, TestCaseError> {
        let before = self.held.clone();
        let mut groups = None;
        let (answer, moved) = match event {
            Event::Arrange(domain, seed) => {
                let domain = self.nth_domain(domain);
                let asked = self.any_arrangement(domain, seed);
                let moved = self.allocator.arrange(domain, &asked);
                let moved = moved.map_err(|e| TestCaseError::fail(format!("{asked:?}: {e}")))?;
                groups = Some((domain, asked));
                self.arranged.insert(domain);
                (Ok(None), moved)
            }
            Event::Acquire(domain, ask) => {
                let domain = self.nth_domain(domain);
                match self.allocator.acquire(domain, ask) {
                    Ok(grant) => {
                        let known = self.ever.insert(grant.lease, ());
                        prop_assert!(known.is_none(), "{} was given before", grant.lease);
                        let held = Held { domain, ask, class: grant.class, mask: grant.mask };
                        self.held.insert(grant.lease, held);
                        (Ok(Some(grant.lease)), grant.moved)
                    }
                    Err(error) => (Err((ask, domain, error)), Vec::new()),
                }
            }
            Event::Release(which) => match self.held.keys().nth(which % self.held.len().max(1)).copied() {
                Some(lease) => {
                    self.held.remove(&lease);
                    let moved = self.allocator.release(lease);
                    (Ok(None), moved.map_err(|e| TestCaseError::fail(e.to_string()))?)
                }
                None => (Ok(None), Vec::new()),
            },
        };
        for moved in &moved {
            let Some(held) = self.held.get_mut(&moved.lease) else {
                return Err(TestCaseError::fail(format!("{} moved, but is not held", moved.lease)));
            };
            (held.class, held.mask) = (moved.class, moved.mask);
        }
        let held = &self.held;
        self.arranged.retain(|domain| held.values().any(|held| held.domain == *domain));
        Ok(Seen { answer, moved, groups, before })
    }

    fn nth_domain(&self, index: usize) -> DomainId {
        let domains = self.allocator.domains();
        domains[index % domains.len()].id
    }

    /// An arrangement that is allowed, as far as can be told from the answers so far.
    fn any_arrangement(&self, domain: DomainId, seed: u64) -> Vec<Group> {
        let geometry = self.geometry(domain);
        let here = || self.held.iter().filter(|(_, held)| held.domain == domain);
        let exclusives = || here().filter(|(_, held)| matches!(held.ask, CacheAsk::Exclusive(_)));
        let taken = exclusives().fold(0, |all, (_, held)| all | held.mask.bits());
        let room = geometry.usable().map_or(0, WayMask::bits) & !taken;
        let shared = here().filter(|(_, held)| matches!(held.ask, CacheAsk::Shared(_)));
        let classes = usize::from(geometry.classes) - exclusives().count();
        let rules = (geometry.contiguous, u32::from(geometry.min_ways.get()));
        any_groups(seed, shared.map(|(lease, _)| *lease).collect(), classes, room, rules)
    }

    fn release_all(&mut self) -> TestCaseResult {
        while !self.held.is_empty() {
            self.apply(Event::Release(0))?;
        }
        Ok(())
    }

    fn usages(&self) -> Vec<Usage> {
        self.allocator.domains().iter().map(|domain| self.allocator.usage(domain.id)).collect()
    }

    fn geometry(&self, id: DomainId) -> CacheGeometry {
        let domain = self.allocator.domains().iter().find(|domain| domain.id == id);
        domain.expect("leases are held in domains that there are").geometry
    }
}

fn run<S: Strategy>(strategy: S, test: impl Fn(S::Value) -> TestCaseResult) {
    let cases = CASES.get().unwrap_or(Config::default().cases);
    let config = Config { failure_persistence: None, cases, ..Config::default() };
    if let Err(error) = TestRunner::new(config).run(&strategy, test) {
        panic!("{error}");
    }
}

/// Runs random lives on random machines and looks after every event.
fn after_every_event<A: CacheAllocator>(
    make: impl Fn(Vec<CacheDomain>) -> A,
    look: impl Fn(&Observed<A>, &Seen) -> TestCaseResult,
) {
    run((any_machine(), any_life(0..=60)), |(machine, life)| {
        let mut observed = Observed::new(make(machine));
        for event in life {
            let seen = observed.apply(event)?;
            look(&observed, &seen)?;
        }
        Ok(())
    });
}

/// Domains are those that it was given.
pub fn domains_are_those_given<A: CacheAllocator>(make: impl Fn(Vec<CacheDomain>) -> A) {
    run(any_machine(), |machine| {
        let ids: Vec<DomainId> = machine.iter().map(|domain| domain.id).collect();
        let allocator = make(machine);
        prop_assert_eq!(allocator.domains().iter().map(|domain| domain.id).collect::<Vec<_>>(), ids);
        Ok(())
    });
}

/// Domains come by rising id, whatever the order they were given in, and stay the same.
pub fn domains_are_sorted_and_stay<A: CacheAllocator>(make: impl Fn(Vec<CacheDomain>) -> A) {
    run((any_machine(), any_life(0..=20)), |(mut machine, life)| {
        machine.reverse();
        let mut observed = Observed::new(make(machine));
        let first = observed.allocator.domains().to_vec();
        prop_assert!(first.windows(2).all(|pair| pair[0].id < pair[1].id));
        let enforced = observed.allocator.enforced();
        for event in life {
            observed.apply(event)?;
        }
        prop_assert_eq!(observed.allocator.domains(), &first);
        prop_assert_eq!(observed.allocator.enforced(), enforced);
        Ok(())
    });
}

/// Unknown domains and leases, and leases released before, are errors and change nothing.
pub fn what_is_not_there_is_an_error<A: CacheAllocator>(make: impl Fn(Vec<CacheDomain>) -> A) {
    let mut allocator = make(domains(1, 8));
    let (here, nowhere) = (allocator.domains()[0].id, DomainId(999));
    let ask = CacheAsk::Shared(Ways::ONE);
    assert!(matches!(allocator.acquire(nowhere, ask), Err(AllocateError::NoSuchDomain(d)) if d == nowhere));
    assert_eq!(allocator.usage(nowhere), Usage::default());
    let lease = allocator.acquire(here, ask).expect("shared asks are never refused").lease;
    let usage = allocator.usage(here);
    let unknown = LeaseId(lease.0 + 1000);
    assert!(matches!(allocator.release(unknown), Err(AllocateError::NoSuchLease(l)) if l == unknown));
    assert_eq!(allocator.usage(here), usage);
    assert!(allocator.release(lease).is_ok());
    assert!(matches!(allocator.release(lease), Err(AllocateError::NoSuchLease(l)) if l == lease));
}

/// Masks are legal for the geometry and outside its shareable bits.
pub fn masks_are_legal<A: CacheAllocator>(make: impl Fn(Vec<CacheDomain>) -> A) {
    after_every_event(make, |observed, _| {
        for (lease, held) in &observed.held {
            let geometry = observed.geometry(held.domain);
            let usable = geometry.usable().map_or(0, WayMask::bits);
            prop_assert_eq!(held.mask.bits() & !usable, 0, "{} lies outside", lease);
            prop_assert!(held.mask.ways() >= geometry.min_ways, "{lease} has too few ways");
            prop_assert!(held.mask.is_contiguous() || !geometry.contiguous, "{lease} has gaps");
            prop_assert!(held.class.0 <= geometry.classes, "{lease} has class {}", held.class);
        }
        Ok(())
    });
}

/// The ways and the class of an exclusive lease are nobody else's.
pub fn exclusive_ways_are_nobody_elses<A: CacheAllocator>(make: impl Fn(Vec<CacheDomain>) -> A) {
    after_every_event(make, |observed, _| {
        for (lease, held) in &observed.held {
            let neighbours = observed.held.iter().filter(|(id, h)| *id != lease && h.domain == held.domain);
            for (other, neighbour) in neighbours {
                if matches!(held.ask, CacheAsk::Exclusive(_)) {
                    prop_assert!(!held.mask.overlaps(neighbour.mask), "{lease} and {other} overlap");
                    prop_assert_ne!(held.class, neighbour.class);
                }
                if held.class == neighbour.class {
                    prop_assert_eq!(
                        held.mask,
                        neighbour.mask,
                        "{} and {}: one class, two masks",
                        lease,
                        other
                    );
                }
            }
        }
        Ok(())
    });
}

/// An exclusive lease has at least the ways asked for, for life; who cannot get them is refused, and that changes nothing.
pub fn exclusive_asks_get_what_they_ask_or_are_refused<A: CacheAllocator>(
    make: impl Fn(Vec<CacheDomain>) -> A,
) {
    after_every_event(make, |observed, seen| {
        for (lease, held) in &observed.held {
            if let CacheAsk::Exclusive(ways) = held.ask {
                prop_assert!(held.mask.ways() >= ways, "{lease} asked for {ways} and has {}", held.mask);
            }
        }
        if let Err((CacheAsk::Exclusive(asked), domain, error)) = &seen.answer {
            let largest = observed.allocator.usage(*domain).largest_exclusive;
            prop_assert!(asked.get() > largest, "{asked} ways refused, {largest} said to be there: {error}");
            if let AllocateError::TooMany { most, .. } = error {
                prop_assert!(asked.get() > *most && *most >= largest);
            }
        }
        Ok(())
    });
}

/// A shared lease is never refused, and has no more than it asked for (or than a mask must have) in a class of its own.
pub fn shared_asks_are_never_refused<A: CacheAllocator>(make: impl Fn(Vec<CacheDomain>) -> A) {
    after_every_event(make, |observed, seen| {
        if let Err((CacheAsk::Shared(_), _, error)) = &seen.answer {
            return Err(TestCaseError::fail(format!("a shared ask was refused: {error}")));
        }
        let unarranged = |held: &Held| !observed.arranged.contains(&held.domain);
        for (lease, held) in
            observed.held.iter().filter(|(_, held)| held.class != ClosId(0) && unarranged(held))
        {
            let mut mates = observed.held.iter().filter(|(id, _)| *id != lease).map(|(_, held)| held);
            let alone = !mates.any(|mate| (mate.domain, mate.class) == (held.domain, held.class));
            let most = held.ask.ways().max(observed.geometry(held.domain).min_ways);
            prop_assert!(!alone || held.mask.ways() <= most, "{lease} has more than it asked for");
        }
        Ok(())
    });
}

/// `moved` names only others, of the same domain, once each, whose mask is not what it was; only arrangements change classes.
pub fn moved_names_others_whose_mask_changed_once<A: CacheAllocator>(make: impl Fn(Vec<CacheDomain>) -> A) {
    after_every_event(make, |observed, seen| {
        let mut names = Vec::new();
        for moved in &seen.moved {
            prop_assert!(!names.contains(&moved.lease), "{} is named twice", moved.lease);
            names.push(moved.lease);
            let Some(was) = seen.before.get(&moved.lease) else {
                return Err(TestCaseError::fail(format!("{} is new and moved", moved.lease)));
            };
            prop_assert_ne!((was.class, was.mask), (moved.class, moved.mask), "{} did not move", moved.lease);
            prop_assert!(
                was.class == moved.class || seen.groups.is_some(),
                "{} changes its class",
                moved.lease
            );
            if let Some((domain, _)) = &seen.groups {
                prop_assert_eq!(was.domain, *domain);
                prop_assert!(
                    matches!(was.ask, CacheAsk::Shared(_)),
                    "{} is exclusive and moved",
                    moved.lease
                );
            }
            if let Ok(Some(new)) = seen.answer {
                prop_assert_eq!(was.domain, observed.held[&new].domain);
            }
        }
        Ok(())
    });
}

/// Usage is what the answers add up to, and the largest exclusive lease that it names can be had.
pub fn usage_tells_what_is_held<A: CacheAllocator>(make: impl Fn(Vec<CacheDomain>) -> A) {
    run((any_machine(), any_life(0..=40)), |(machine, life)| {
        let mut observed = Observed::new(make(machine));
        for event in life {
            observed.apply(event)?;
        }
        for domain in observed.allocator.domains().to_vec() {
            let usage = observed.allocator.usage(domain.id);
            let held = || observed.held.values().filter(|held| held.domain == domain.id);
            let covered = |exclusive: bool| {
                let of_kind = held().filter(|h| matches!(h.ask, CacheAsk::Exclusive(_)) == exclusive);
                of_kind.fold(0, |all, h| all | h.mask.bits()).count_ones() as u8
            };
            prop_assert_eq!(usage.leases as usize, held().count());
            prop_assert_eq!(usage.exclusive_ways, covered(true));
            prop_assert_eq!(usage.shared_ways, covered(false));
            let usable = domain.geometry.usable_ways().get();
            prop_assert_eq!(usage.free_ways, usable - usage.exclusive_ways - usage.shared_ways);
            if let Ok(largest) = Ways::new(usage.largest_exclusive) {
                let ask = CacheAsk::Exclusive(largest);
                prop_assert!(observed.allocator.acquire(domain.id, ask).is_ok(), "{largest} cannot be had");
            }
        }
        Ok(())
    });
}

/// After all leases are released, usage is what it was and the same life brings the same masks again.
pub fn after_all_is_released_it_is_as_new<A: CacheAllocator>(make: impl Fn(Vec<CacheDomain>) -> A) {
    run((any_machine(), any_life(0..=40)), |(machine, life)| {
        let mut observed = Observed::new(make(machine));
        let new = observed.usages();
        let live = |observed: &mut Observed<A>| -> Result<Vec<(ClosId, WayMask)>, TestCaseError> {
            for event in &life {
                observed.apply(*event)?;
            }
            Ok(observed.held.values().map(|held| (held.class, held.mask)).collect())
        };
        let first = live(&mut observed)?;
        observed.release_all()?;
        prop_assert_eq!(observed.usages(), new);
        prop_assert_eq!(live(&mut observed)?, first);
        Ok(())
    });
}

/// Where there are classes, each group has one of its own, with exactly the mask that was asked for.
pub fn groups_get_a_class_and_their_mask<A: CacheAllocator>(make: impl Fn(Vec<CacheDomain>) -> A) {
    after_every_event(make, |observed, seen| {
        let Some((domain, groups)) = &seen.groups else { return Ok(()) };
        if observed.geometry(*domain).classes == 0 {
            prop_assert!(seen.moved.is_empty(), "there is nothing to arrange");
            return Ok(());
        }
        let mut classes = BTreeSet::new();
        for group in groups {
            let of = |lease: &LeaseId| (observed.held[lease].class, observed.held[lease].mask);
            let (class, mask) = of(&group.leases[0]);
            prop_assert_eq!(mask, group.mask);
            prop_assert!(group.leases.iter().all(|lease| of(lease) == (class, mask)), "{group:?} is split");
            prop_assert!(classes.insert(class), "two groups in class {class}");
        }
        Ok(())
    });
}

/// While nobody gets ways exclusively, an arranged mask stays as it is; newcomers join or use what is free.
pub fn arranged_masks_stay<A: CacheAllocator>(make: impl Fn(Vec<CacheDomain>) -> A) {
    run(
        (any_machine(), any_life(0..=20), any::<u64>(), vec(1u8..=32, 0..20)),
        |(machine, life, seed, asks)| {
            let mut observed = Observed::new(make(machine));
            for event in life {
                observed.apply(event)?;
            }
            let domain = observed.nth_domain(0);
            observed.apply(Event::Arrange(0, seed))?;
            let before = observed.held.clone();
            for ways in asks {
                observed.apply(Event::Acquire(0, CacheAsk::Shared(Ways::clamped(ways))))?;
            }
            for (lease, held) in before.iter().filter(|(_, held)| held.domain == domain) {
                prop_assert_eq!(
                    (held.class, held.mask),
                    (observed.held[lease].class, observed.held[lease].mask)
                );
            }
            Ok(())
        },
    );
}

/// What breaks a rule is an error that names it, and changes nothing.
pub fn arrangements_that_cannot_be_change_nothing<A: CacheAllocator>(make: impl Fn(Vec<CacheDomain>) -> A) {
    let mut allocator = make(domains(1, 8));
    let (domain, nowhere) = (allocator.domains()[0].id, DomainId(999));
    assert!(matches!(allocator.arrange(nowhere, &[]), Err(AllocateError::NoSuchDomain(d)) if d == nowhere));
    let geometry = allocator.domains()[0].geometry;
    let ask = CacheAsk::Shared(Ways::ONE);
    let lease = allocator.acquire(domain, ask).expect("shared asks are never refused").lease;
    let usage = allocator.usage(domain);
    let usable = geometry.usable().expect("some ways are usable");
    // A way beside the cache, wherever there can be one.
    let outside = WayMask::new(usable.bits() | 1 << 31).expect("not empty");
    let group = |mask, leases: &[LeaseId]| Group { mask, leases: leases.to_vec() };
    let unknown = LeaseId(lease.0 + 1000);
    let cases = [
        (vec![group(outside, &[lease])], Misfit::IllegalMask(outside)),
        (vec![group(usable, &[lease, lease])], Misfit::NamedTwice(lease)),
        (vec![group(usable, &[lease, unknown])], Misfit::NotShared(unknown)),
        (vec![], Misfit::LeftOut(lease)),
    ];
    for (groups, misfit) in cases {
        match allocator.arrange(domain, &groups) {
            Err(AllocateError::Arrangement { reason, .. }) => assert_eq!(reason, misfit),
            Ok(moved) => assert!(moved.is_empty() && allocator.domains()[0].geometry.classes == 0),
            Err(other) => panic!("{other}"),
        }
        assert_eq!(allocator.usage(domain), usage);
    }
}
