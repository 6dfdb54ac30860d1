use proptest::collection::vec;
use proptest::prelude::*;

use super::super::Misfit;
use super::super::conformance::{any_geometry, any_groups, domains};
use super::*;
use crate::cache::{CacheGeometry, CpuId};

/// The masks as hardware has them after the writes made so far.
type Hardware = BTreeMap<ClosId, WayMask>;

#[derive(Debug, Clone, Copy)]
enum Event {
    Acquire(CacheAsk),
    Release(usize),
    Arrange(u64),
}

fn shared(ways: u8) -> CacheAsk {
    CacheAsk::Shared(Ways::new(ways).unwrap())
}

fn exclusive(ways: u8) -> CacheAsk {
    CacheAsk::Exclusive(Ways::new(ways).unwrap())
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (1u8..=6).prop_map(|ways| Event::Acquire(exclusive(ways))),
        3 => (1u8..=12).prop_map(|ways| Event::Acquire(shared(ways))),
        5 => any::<usize>().prop_map(Event::Release),
        2 => any::<u64>().prop_map(Event::Arrange),
    ]
}

fn ledger(ways: u8, min_ways: u8, classes: u16) -> Ledger {
    let mut domain = domains(1, ways).remove(0);
    domain.geometry.min_ways = Ways::new(min_ways).unwrap();
    domain.geometry.classes = classes;
    Ledger::new(&domain)
}

fn acquire(ledger: &mut Ledger, lease: u64, ask: CacheAsk) -> u32 {
    ledger.acquire(LeaseId(lease), ask).unwrap().grant.mask.bits()
}

fn mask_of(ledger: &Ledger, lease: u64) -> u32 {
    ledger.bits_of(ledger.leases[&LeaseId(lease)].class)
}

impl Ledger {
    /// Without what classes nobody uses were left with, which says nothing.
    fn forgetful(&self) -> Self {
        let mut ledger = self.clone();
        for class in ledger.classes.iter_mut().filter(|class| class.is_free()) {
            *class = Class::Free { left: 0 };
        }
        ledger
    }

    /// Any arrangement of those who share now.
    fn any_arrangement(&self, seed: u64) -> Vec<Group> {
        let shared = self.leases.iter().filter(|(_, held)| !self.is_exclusive(held.class));
        let exclusive = self.classes.iter().filter(|class| matches!(class, Class::Exclusive(_))).count();
        let room = self.room();
        let geometry = (self.rules.contiguous, self.rules.min);
        any_groups(
            seed,
            shared.map(|(lease, _)| *lease).collect(),
            self.classes.len() - exclusive,
            room,
            geometry,
        )
    }
}

/// Writes `changes` one by one; after each, exclusive ways have to be in one mask only, whether classes are in use or not.
fn replay(
    geometry: &CacheGeometry,
    hardware: &mut Hardware,
    before: &Ledger,
    after: &Ledger,
    changes: &[ClassChange],
) -> Result<(), TestCaseError> {
    for (index, change) in changes.iter().enumerate() {
        let was = hardware.insert(change.class, change.mask);
        prop_assert_ne!(was, Some(change.mask), "a write for nothing");
        prop_assert!(change.mask.is_contiguous() || !geometry.contiguous, "{:?} has gaps", change);
        prop_assert!(change.mask.ways() >= geometry.min_ways, "{change:?} has too few ways");
        // What is about to become exclusive is not before the last write of its own mask.
        let (made, to_come) = changes.split_at(index + 1);
        let is_in = |changes: &[ClassChange], class| changes.iter().any(|change| change.class == class);
        let is_ready = |class| before.is_exclusive(class) || is_in(made, class) && !is_in(to_come, class);
        apart(hardware, |class| after.is_exclusive(class) && is_ready(class))?;
    }
    apart(hardware, |class| after.is_exclusive(class))?;
    let written: Vec<_> = hardware.iter().map(|(&class, &mask)| ClassChange { class, mask }).collect();
    prop_assert_eq!(written, after.masks().collect::<Vec<_>>());
    Ok(())
}

/// The ways of those classes are in no other mask.
fn apart(hardware: &Hardware, is_exclusive: impl Fn(ClosId) -> bool) -> Result<(), TestCaseError> {
    for (class, mask) in hardware.iter().filter(|(class, _)| is_exclusive(**class)) {
        for (other, others) in hardware.iter().filter(|(other, _)| *other != class) {
            prop_assert!(!mask.overlaps(*others), "{class} has {mask}, {other} has {others}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn exclusive_ways_are_exclusive_at_every_moment(
        geometry in any_geometry(),
        life in vec(any_event(), 0..60),
    ) {
        let domain = CacheDomain { id: DomainId(3), cpus: vec![CpuId(0)], geometry };
        let mut ledger = Ledger::new(&domain);
        let new = ledger.clone();
        let mut hardware: Hardware = ledger.masks().map(|c| (c.class, c.mask)).collect();
        // What the holders of leases were told.
        let mut told: BTreeMap<LeaseId, (ClosId, WayMask)> = BTreeMap::new();
        for (lease, event) in life.into_iter().enumerate() {
            let before = ledger.clone();
            let (moved, changes) = match event {
                Event::Acquire(ask) => match ledger.acquire(LeaseId(lease as u64), ask) {
                    Ok(Acquired { grant, changes }) => {
                        told.insert(grant.lease, (grant.class, grant.mask));
                        (grant.moved, changes)
                    }
                    Err(_) => {
                        prop_assert_eq!(&ledger, &before, "a refusal changed something");
                        continue;
                    }
                },
                Event::Release(which) => {
                    let Some(lease) = ledger.leases.keys().nth(which % ledger.leases.len().max(1)).copied() else {
                        continue;
                    };
                    told.remove(&lease);
                    let released = ledger.release(lease).unwrap();
                    (released.moved, released.changes)
                }
                Event::Arrange(seed) => {
                    let groups = ledger.any_arrangement(seed);
                    let arranged = ledger.arrange(&groups).unwrap();
                    for group in groups.iter().filter(|_| geometry.classes > 0) {
                        for lease in &group.leases {
                            prop_assert_eq!(mask(ledger.bits_of(ledger.leases[lease].class)), group.mask);
                        }
                    }
                    (arranged.moved, arranged.changes)
                }
            };
            told.extend(moved.into_iter().map(|m| (m.lease, (m.class, m.mask))));
            let held = |(&lease, held): (&LeaseId, &Lease)| (lease, (held.class, mask(ledger.bits_of(held.class))));
            prop_assert_eq!(&told, &ledger.leases.iter().map(held).collect::<BTreeMap<_, _>>());
            replay(&geometry, &mut hardware, &before, &ledger, &changes)?;
        }
        while let Some(lease) = ledger.leases.keys().next().copied() {
            let before = ledger.clone();
            let changes = ledger.release(lease).unwrap().changes;
            replay(&geometry, &mut hardware, &before, &ledger, &changes)?;
        }
        prop_assert_eq!(ledger.forgetful(), new.forgetful());
    }

    #[test]
    fn an_exclusive_ask_succeeds_where_the_sums_fit(
        geometry in any_geometry(),
        life in vec(any_event(), 0..60),
        asked in 1u8..=32,
    ) {
        let domain = CacheDomain { id: DomainId(0), cpus: Vec::new(), geometry };
        let mut ledger = Ledger::new(&domain);
        for (lease, event) in life.into_iter().enumerate() {
            match event {
                Event::Acquire(ask) => { let _ = ledger.acquire(LeaseId(lease as u64), ask); }
                Event::Release(which) => {
                    let count = ledger.leases.len().max(1);
                    if let Some(lease) = ledger.leases.keys().nth(which % count).copied() {
                        ledger.release(lease).unwrap();
                    }
                }
                Event::Arrange(seed) => {
                    let groups = ledger.any_arrangement(seed);
                    ledger.arrange(&groups).unwrap();
                }
            }
        }
        let (min, usable) = (geometry.min_ways.get(), geometry.usable_ways().get());
        let exclusives = ledger.classes.iter().filter(|c| matches!(c, Class::Exclusive(_))).count();
        let class = ledger.classes.iter().any(|class| class.is_free()) && exclusives + 1 < ledger.classes.len();
        let fits = ledger.usage().exclusive_ways + asked.max(min) <= usable - min;
        let answer = ledger.acquire(LeaseId(1000), exclusive(asked));
        prop_assert_eq!(answer.is_ok(), class && fits);
        if let Ok(acquired) = answer {
            prop_assert_eq!(acquired.grant.mask.ways().get(), asked.max(min));
        }
    }
}

#[test]
fn shared_leases_get_what_is_free_and_then_join() {
    let mut ledger = ledger(8, 1, 4);
    assert_eq!(acquire(&mut ledger, 0, shared(4)), 0xf0);
    assert_eq!(acquire(&mut ledger, 1, shared(6)), 0x0f, "fewer than asked for: no more are free");
    assert_eq!(ledger.usage().free_ways, 0);
    let joined = ledger.acquire(LeaseId(2), shared(1)).unwrap();
    assert_eq!(joined.grant.class, ClosId(1), "equally crowded: the lowest class");
    assert!(joined.changes.is_empty() && joined.grant.moved.is_empty());
    assert_eq!(ledger.acquire(LeaseId(3), shared(1)).unwrap().grant.class, ClosId(2));
}

#[test]
fn sharers_are_squeezed_and_grow_back() {
    let mut ledger = ledger(8, 1, 4);
    acquire(&mut ledger, 0, shared(8));
    let taken = ledger.acquire(LeaseId(1), exclusive(6)).unwrap();
    assert_eq!(taken.grant.mask.bits(), 0x3f);
    let moved = Moved { lease: LeaseId(0), class: ClosId(1), mask: mask(0xc0) };
    assert_eq!(taken.grant.moved, [moved]);
    let classes: Vec<u16> = taken.changes.iter().map(|change| change.class.0).collect();
    assert_eq!(classes, [1, 0, 3, 4, 2], "who shrinks, and classes without leases, come before who grows");
    let back = ledger.release(LeaseId(1)).unwrap();
    assert_eq!(back.moved, [Moved { mask: mask(0xff), ..moved }]);
}

#[test]
fn class_0_gives_up_what_is_exclusive() {
    let mut ledger = ledger(8, 1, 4);
    let root = |ledger: &Ledger| ledger.masks().find(|c| c.class == ClosId(0)).unwrap().mask.bits();
    assert_eq!(root(&ledger), 0xff);
    acquire(&mut ledger, 0, exclusive(3));
    assert_eq!(root(&ledger), 0xf8);
    ledger.release(LeaseId(0)).unwrap();
    assert_eq!(root(&ledger), 0xff);
}

#[test]
fn exclusive_masks_move_when_room_lies_in_pieces() {
    let mut ledger = ledger(9, 2, 5);
    acquire(&mut ledger, 0, exclusive(3));
    acquire(&mut ledger, 1, exclusive(2));
    ledger.release(LeaseId(0)).unwrap();
    acquire(&mut ledger, 2, exclusive(2));
    assert_eq!((mask_of(&ledger, 2), mask_of(&ledger, 1)), (0x003, 0x018));
    acquire(&mut ledger, 3, shared(4));
    assert_eq!(mask_of(&ledger, 3), 0x1e0);
    // Five ways are left, one of them alone: three more would leave one and one to those who share.
    let acquired = ledger.acquire(LeaseId(4), exclusive(3)).unwrap();
    assert_eq!(acquired.grant.mask.bits(), 0x070);
    let moved: Vec<_> = acquired.grant.moved.iter().map(|m| (m.lease.0, m.mask.bits())).collect();
    assert_eq!(moved, [(1, 0x00c), (3, 0x180)]);
}

#[test]
fn ways_without_neighbours_serve_where_masks_may_have_gaps() {
    let mut domain = domains(1, 8).remove(0);
    domain.geometry.contiguous = false;
    domain.geometry.shareable = 0b0010_0100;
    let mut ledger = Ledger::new(&domain);
    assert_eq!(acquire(&mut ledger, 0, exclusive(3)), 0b0000_1011);
    assert_eq!(acquire(&mut ledger, 1, shared(6)), 0b1101_0000);
}

#[test]
fn the_last_ways_and_the_last_class_stay_for_sharers() {
    let mut narrow = ledger(8, 2, 9);
    assert!(matches!(narrow.acquire(LeaseId(0), exclusive(7)), Err(AllocateError::TooMany { most: 6, .. })));
    acquire(&mut narrow, 0, exclusive(6));
    assert!(matches!(narrow.acquire(LeaseId(1), exclusive(1)), Err(AllocateError::Exhausted(_))));
    assert_eq!(acquire(&mut narrow, 1, shared(8)), 0xc0);

    let mut few = ledger(8, 1, 2);
    acquire(&mut few, 0, exclusive(1));
    assert!(matches!(few.acquire(LeaseId(1), exclusive(1)), Err(AllocateError::Exhausted(_))));
    assert_eq!(acquire(&mut few, 1, shared(8)), 0xfe);
}

#[test]
fn without_classes_all_share_class_0() {
    let mut ledger = ledger(8, 1, 0);
    assert!(matches!(ledger.acquire(LeaseId(0), exclusive(1)), Err(AllocateError::TooMany { most: 0, .. })));
    for lease in 0..3 {
        let grant = ledger.acquire(LeaseId(lease), shared(2)).unwrap().grant;
        assert_eq!((grant.class, grant.mask.bits()), (ClosId(0), 0xff));
    }
    assert_eq!(ledger.usage().shared_ways, 8);
}

fn group(mask: u32, leases: &[u64]) -> Group {
    Group { mask: WayMask::new(mask).unwrap(), leases: leases.iter().copied().map(LeaseId).collect() }
}

#[test]
fn few_leases_change_their_class_when_they_are_arranged() {
    let mut ledger = ledger(8, 1, 4);
    for lease in 0..4 {
        acquire(&mut ledger, lease, shared(2));
    }
    let classes: Vec<u16> = ledger.leases.values().map(|held| held.class.0).collect();
    assert_eq!(classes, [1, 2, 3, 4]);
    let arranged = ledger.arrange(&[group(0x0f, &[3, 1]), group(0xfc, &[0, 2])]).unwrap();
    let moved: Vec<_> = arranged.moved.iter().map(|m| (m.lease.0, m.class.0, m.mask.bits())).collect();
    assert_eq!(moved, [(0, 1, 0xfc), (1, 2, 0x0f), (2, 1, 0xfc), (3, 2, 0x0f)]);
    assert_eq!(ledger.usage().classes, 2);
    assert!(ledger.arrange(&[group(0xfc, &[0, 2]), group(0x0f, &[1, 3])]).unwrap().changes.is_empty());
}

#[test]
fn what_was_arranged_makes_room_for_exclusive_leases_and_comes_back() {
    let mut ledger = ledger(8, 1, 4);
    acquire(&mut ledger, 0, shared(2));
    acquire(&mut ledger, 1, shared(2));
    ledger.arrange(&[group(0x3f, &[0]), group(0xf0, &[1])]).unwrap();
    let exclusive = ledger.acquire(LeaseId(2), exclusive(3)).unwrap();
    assert_eq!(exclusive.grant.mask.bits(), 0x07);
    assert_eq!((mask_of(&ledger, 0), mask_of(&ledger, 1)), (0x38, 0xf0));
    ledger.release(LeaseId(2)).unwrap();
    assert_eq!((mask_of(&ledger, 0), mask_of(&ledger, 1)), (0x3f, 0xf0));
    // Somebody new joins: no way is free.
    assert_eq!(acquire(&mut ledger, 3, shared(2)), 0x3f);
    assert_eq!((mask_of(&ledger, 0), mask_of(&ledger, 1)), (0x3f, 0xf0));
}

#[test]
fn arrangements_that_cannot_be_are_refused() {
    let mut ledger = ledger(8, 2, 3);
    ledger.rules.usable = 0x7f;
    acquire(&mut ledger, 0, exclusive(2));
    acquire(&mut ledger, 1, shared(2));
    acquire(&mut ledger, 2, shared(2));
    let before = ledger.clone();
    let mut misfit = |groups: &[Group]| match ledger.arrange(groups) {
        Err(AllocateError::Arrangement { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let mask = |bits| WayMask::new(bits).unwrap();
    assert_eq!(misfit(&[group(0xc0, &[1, 2])]), Misfit::IllegalMask(mask(0xc0)), "shareable");
    assert_eq!(misfit(&[group(0x28, &[1, 2])]), Misfit::IllegalMask(mask(0x28)), "gaps");
    assert_eq!(misfit(&[group(0x20, &[1, 2])]), Misfit::IllegalMask(mask(0x20)), "too few");
    assert_eq!(misfit(&[group(0x06, &[1, 2])]), Misfit::ExclusiveWays(mask(0x06)));
    assert_eq!(misfit(&[group(0x60, &[1, 2]), group(0x0c, &[])]), Misfit::NobodyIn(mask(0x0c)));
    assert_eq!(misfit(&[group(0x60, &[1, 2, 0])]), Misfit::NotShared(LeaseId(0)));
    assert_eq!(misfit(&[group(0x60, &[1, 2, 7])]), Misfit::NotShared(LeaseId(7)));
    assert_eq!(misfit(&[group(0x60, &[1, 2, 1])]), Misfit::NamedTwice(LeaseId(1)));
    assert_eq!(misfit(&[group(0x60, &[1])]), Misfit::LeftOut(LeaseId(2)));
    let three = [group(0x60, &[1]), group(0x60, &[2]), group(0x60, &[1])];
    assert_eq!(misfit(&three), Misfit::TooManyGroups { groups: 3, left: 2 });
    assert_eq!(ledger, before);
}

#[test]
fn classes_without_leases_step_back_from_exclusive_ways() {
    let mut ledger = ledger(8, 1, 4);
    acquire(&mut ledger, 0, exclusive(3));
    ledger.release(LeaseId(0)).unwrap();
    acquire(&mut ledger, 1, shared(8));
    let taken = ledger.acquire(LeaseId(2), exclusive(2)).unwrap();
    let bits = taken.grant.mask.bits();
    for change in ledger.masks().filter(|change| change.class != taken.grant.class) {
        assert_eq!(change.mask.bits() & bits, 0, "{change:?}");
    }
}

#[test]
fn who_was_in_a_lost_class_goes_on_in_another() {
    let mut ledger = ledger(8, 1, 4);
    acquire(&mut ledger, 0, exclusive(3));
    acquire(&mut ledger, 1, shared(2));
    let lost = ledger.lose(ClosId(1));
    assert_eq!(lost.moved, [Moved { lease: LeaseId(0), class: ClosId(3), mask: mask(0x07) }]);
    let class_3 = ClassChange { class: ClosId(3), mask: mask(0x07) };
    assert!(lost.changes.contains(&class_3), "{:?}", lost.changes);
    let lost = ledger.lose(ClosId(2));
    assert_eq!((lost.moved[0].lease, lost.moved[0].class), (LeaseId(1), ClosId(4)));
    acquire(&mut ledger, 2, shared(1));
    assert!(matches!(ledger.acquire(LeaseId(3), exclusive(1)), Err(AllocateError::Exhausted(_))));
    // No class is left but an exclusive one: whoever shares does it in class 0.
    let lost = ledger.lose(ClosId(4));
    assert!(lost.moved.iter().all(|moved| moved.class == ClosId(0) && moved.mask.bits() & 0x07 == 0));
    assert_eq!(ledger.acquire(LeaseId(4), shared(1)).unwrap().grant.class, ClosId(0));
    ledger.lose(ClosId(3));
    for lease in [0, 1, 2, 4] {
        ledger.release(LeaseId(lease)).unwrap();
    }
    assert_eq!(ledger.usage().leases, 0);
}

proptest! {
    #[test]
    fn losing_classes_breaks_no_promise(
        geometry in any_geometry(),
        life in vec((any_event(), prop::option::weighted(0.2, 1u16..=16)), 0..40),
    ) {
        let domain = CacheDomain { id: DomainId(0), cpus: Vec::new(), geometry };
        let mut ledger = Ledger::new(&domain);
        for (lease, (event, lost)) in life.into_iter().enumerate() {
            match event {
                Event::Acquire(ask) => _ = ledger.acquire(LeaseId(lease as u64), ask),
                Event::Release(which) => {
                    let count = ledger.leases.len().max(1);
                    if let Some(lease) = ledger.leases.keys().nth(which % count).copied() {
                        ledger.release(lease).unwrap();
                    }
                }
                Event::Arrange(_) => {}
            }
            if let Some(class) = lost {
                ledger.lose(ClosId(class));
            }
            let masks: Hardware = ledger.masks().map(|c| (c.class, c.mask)).collect();
            apart(&masks, |class| ledger.is_exclusive(class))?;
            prop_assert!(ledger.leases.values().all(|held| masks.contains_key(&held.class)));
        }
    }
}
