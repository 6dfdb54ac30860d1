//! The bookkeeping of one cache domain: who has which class and which ways, and what moves when.
//!
//! | file | what |
//! | --- | --- |
//! | `ledger.rs` | [`Ledger`]: leases and classes, and the order of writes that keeps exclusive ways exclusive |
//! | `arrangement.rs` | masks that somebody else chose for those who share |
//! | `exclusive.rs` | where an exclusive mask goes, and how others make way |
//! | `sharers.rs` | how those who share divide the rest |
//! | `bits.rs` | sets of ways, and the rules for masks |

mod arrangement;
mod bits;
mod exclusive;
mod sharers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::bits::Rules;
use self::sharers::{Sharer, by_ways_per_runner};
use super::{AllocateError, Grant, Group, LeaseId, Moved, Usage};
use crate::cache::{CacheDomain, ClosId, DomainId, WayMask, Ways};
use crate::invocation::CacheAsk;

/// A class and the mask that it is to have from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassChange {
    /// The class; 0 is that of everybody who has no lease.
    pub class: ClosId,
    /// Its ways.
    pub mask: WayMask,
}

/// A new lease and what has to be written for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquired {
    /// The lease, and whom it moved.
    pub grant: Grant,
    /// What to write, in this order.
    pub changes: Vec<ClassChange>,
}

/// What the end of a lease, or another arrangement, brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Whose masks or classes changed.
    pub moved: Vec<Moved>,
    /// What to write, in this order.
    pub changes: Vec<ClassChange>,
}

/// The bookkeeping of one cache domain. It writes nothing: [`ClassChange`]s say what has to be written.
///
/// - Classes are 1 to [`classes`](crate::cache::CacheGeometry::classes). Class 0 is for everybody who has no lease (the hardware's default
///   class); it keeps what is not exclusive, the shareable bits included. A geometry without classes gives nothing
///   exclusively, and all leases share class 0.
/// - An exclusive lease has a class of its own and exactly the ways asked for, but no fewer than a mask has to have.
///   It is refused only where the ways, all told, do not suffice or no class is free; if they merely do not lie side by
///   side, other exclusive masks move. The fewest ways of a mask always stay for those who share, and so does a class.
/// - A shared lease gets a class and the ways that nobody has, up to what it asked for; where there are none, it joins
///   the class with the fewest runners per way. A class would like as many ways as its leases asked for together.
/// - Where an exclusive lease needs their ways, sharers move together, and overlap when there is no other way. When ways
///   become free they grow again. Masks that were [arranged](Ledger::arrange) neither move nor grow, as long as exclusive
///   leases leave a legal part of them.
/// - Changes are to be written one after the other, in the order given. If they are, no exclusive way is in the mask of
///   another class at any moment, used or not. At the beginning every class has the mask of class 0.
/// - A clone is a backup: put it back when a write fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    domain: DomainId,
    /// What class 0 has where nothing is exclusive.
    whole: u32,
    rules: Rules,
    /// Class `i + 1` at `i`.
    classes: Vec<Class>,
    /// The mask of class 0.
    root: u32,
    leases: BTreeMap<LeaseId, Lease>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Without leases; `left` is the mask that it was left with.
    Free {
        left: u32,
    },
    /// Not to be had any more.
    Lost,
    Exclusive(u32),
    Shared {
        mask: u32,
        runners: u32,
        asked: u32,
        /// The mask that was chosen for it; 0: none.
        arranged: u32,
    },
}

impl Class {
    fn is_free(self) -> bool {
        matches!(self, Self::Free { .. })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lease {
    class: ClosId,
    asked: Ways,
}

impl Ledger {
    /// A domain with no leases.
    ///
    /// # Panics
    /// Where the geometry does not [validate](crate::cache::CacheGeometry::validate).
    pub fn new(domain: &CacheDomain) -> Self {
        Self::below(domain, bits::ones(u32::from(domain.geometry.ways.get())))
    }

    /// A domain with no leases, of which class 0 never gets more than `whole` and the usable ways.
    ///
    /// # Panics
    /// Where the geometry does not [validate](crate::cache::CacheGeometry::validate).
    pub fn below(domain: &CacheDomain, whole: u32) -> Self {
        let geometry = &domain.geometry;
        geometry.validate().expect("geometries are validated where they are read");
        let usable = geometry.usable().map_or(0, WayMask::bits);
        let whole = whole | usable;
        let root = largest_legal(geometry.contiguous, whole);
        Self {
            domain: domain.id,
            whole,
            rules: Rules { usable, min: u32::from(geometry.min_ways.get()), contiguous: geometry.contiguous },
            classes: vec![Class::Free { left: root }; usize::from(geometry.classes)],
            root,
            leases: BTreeMap::new(),
        }
    }

    /// Gives a share of the cache; `lease` is a name not used before.
    ///
    /// # Errors
    /// [`AllocateError::Exhausted`] and [`AllocateError::TooMany`], for exclusive asks only. Nothing has changed then.
    pub fn acquire(&mut self, lease: LeaseId, ask: CacheAsk) -> Result<Acquired, AllocateError> {
        let before = self.held_now();
        let mut writes = Writes::new(self.masks_now());
        let class = match ask {
            CacheAsk::Exclusive(ways) => self.acquire_exclusive(ways, &mut writes)?,
            CacheAsk::Shared(ways) => self.acquire_shared(ways, &mut writes),
        };
        let moved = self.moved_since(&before);
        self.leases.insert(lease, Lease { class, asked: ask.ways() });
        let grant = Grant { lease, class, mask: mask(self.bits_of(class)), moved };
        Ok(Acquired { grant, changes: writes.changes })
    }

    /// Takes a share back.
    ///
    /// # Errors
    /// [`AllocateError::NoSuchLease`].
    pub fn release(&mut self, lease: LeaseId) -> Result<Changed, AllocateError> {
        let Lease { class, asked } = self.leases.remove(&lease).ok_or(AllocateError::NoSuchLease(lease))?;
        let before = self.held_now();
        let mut writes = Writes::new(self.masks_now());
        if let Some(entry) = usize::from(class.0).checked_sub(1).map(|index| &mut self.classes[index]) {
            *entry = match *entry {
                Class::Shared { mask, runners, asked: all, arranged } if runners > 1 => Class::Shared {
                    mask,
                    runners: runners - 1,
                    asked: all - u32::from(asked.get()),
                    arranged,
                },
                Class::Exclusive(left) | Class::Shared { mask: left, .. } | Class::Free { left } => {
                    Class::Free { left }
                }
                Class::Lost => Class::Lost,
            };
        }
        self.settle(false, &mut writes);
        Ok(Changed { moved: self.moved_since(&before), changes: writes.changes })
    }

    /// Lays out those who share anew, as [`CacheAllocator::arrange`](super::CacheAllocator::arrange) says. Without classes
    /// there is nothing to lay out, and nothing changes.
    ///
    /// # Errors
    /// [`AllocateError::Arrangement`]. Nothing has changed then.
    pub fn arrange(&mut self, groups: &[Group]) -> Result<Changed, AllocateError> {
        if !self.has_classes() {
            return Ok(Changed { moved: Vec::new(), changes: Vec::new() });
        }
        let reason = |reason| AllocateError::Arrangement { domain: self.domain, reason };
        arrangement::check(self, groups).map_err(reason)?;
        let before = self.held_now();
        let mut writes = Writes::new(self.masks_now());
        let seats = arrangement::seat(self, groups);
        arrangement::sit_down(self, groups, &seats);
        self.settle(false, &mut writes);
        Ok(Changed { moved: self.moved_since(&before), changes: writes.changes })
    }

    /// What is held and free. `classes` counts those beside class 0.
    pub fn usage(&self) -> Usage {
        let shared = self.shared_bits();
        let exclusive = self.exclusive_bits();
        Usage {
            leases: u32::try_from(self.leases.len()).unwrap_or(u32::MAX),
            exclusive_ways: exclusive.count_ones() as u8,
            shared_ways: shared.count_ones() as u8,
            free_ways: (self.rules.usable & !exclusive & !shared).count_ones() as u8,
            largest_exclusive: self.largest_exclusive() as u8,
            classes: self
                .classes
                .iter()
                .filter(|class| matches!(class, Class::Exclusive(_) | Class::Shared { .. }))
                .count() as u16,
        }
    }

    /// The masks of all classes after all changes so far, class 0 first, those without leases too.
    pub fn masks(&self) -> impl Iterator<Item = ClassChange> {
        let masks = self.masks_now().into_iter().zip(0..);
        masks
            .filter_map(|(bits, class)| Some(ClassChange { class: ClosId(class), mask: WayMask::new(bits)? }))
    }

    /// Whether a class has ways that are nobody else's.
    pub fn is_exclusive(&self, class: ClosId) -> bool {
        let index = usize::from(class.0).checked_sub(1);
        index.is_some_and(|index| matches!(self.classes.get(index), Some(Class::Exclusive(_))))
    }

    /// All ways that somebody has exclusively, as bits.
    pub fn exclusive_bits(&self) -> u32 {
        self.classes.iter().fold(0, |all, class| match class {
            Class::Exclusive(bits) => all | bits,
            _ => all,
        })
    }

    /// A class is not to be had any more: who was in it gets a free one with the same ways, or else shares. When no class
    /// is left that could be shared, that is class 0.
    pub fn lose(&mut self, class: ClosId) -> Changed {
        let before = self.held_now();
        let mut writes = Writes::new(self.masks_now());
        let lost = usize::from(class.0).checked_sub(1).filter(|index| *index < self.classes.len());
        let was = lost.map(|lost| std::mem::replace(&mut self.classes[lost], Class::Lost));
        writes.written[usize::from(class.0).min(self.classes.len())] = lost.map_or(self.root, |_| 0);
        let refuge = match (was, self.free_class()) {
            (None | Some(Class::Free { .. } | Class::Lost), _) => None,
            (Some(Class::Exclusive(bits)), Some(free)) => {
                self.classes[free] = Class::Exclusive(bits);
                self.write_exclusive(free, bits, &mut writes);
                Some(class_at(free))
            }
            (Some(was), Some(free)) => {
                self.classes[free] = was;
                Some(class_at(free))
            }
            (Some(was), None) => Some(self.take_in(was)),
        };
        if let Some(refuge) = refuge {
            self.leases.values_mut().filter(|held| held.class == class).for_each(|held| held.class = refuge);
            if refuge == ClosId(0) {
                self.share_root(&mut writes);
            }
            self.settle(false, &mut writes);
        }
        Changed { moved: self.moved_since(&before), changes: writes.changes }
    }

    fn acquire_exclusive(&mut self, asked: Ways, writes: &mut Writes) -> Result<ClosId, AllocateError> {
        let ways = u32::from(asked.get()).max(self.rules.min);
        let most = self.most_exclusive();
        if ways > most {
            return Err(AllocateError::TooMany { domain: self.domain, asked, most: most as u8 });
        }
        let index = self.free_class().filter(|_| ways <= self.largest_exclusive());
        let index = index.ok_or(AllocateError::Exhausted(self.domain))?;
        let place = |ledger: &Self| exclusive::place(ledger.rules, ledger.room(), ledger.shared_bits(), ways);
        let bits = place(self).unwrap_or_else(|| {
            self.make_way(writes);
            place(self).expect("all that is not exclusive lies side by side, and suffices")
        });
        self.classes[index] = Class::Exclusive(bits);
        self.settle(true, writes);
        self.write_exclusive(index, bits, writes);
        Ok(class_at(index))
    }

    fn acquire_shared(&mut self, asked: Ways, writes: &mut Writes) -> ClosId {
        let wish = u32::from(asked.get());
        let free = self.rules.usable & !self.exclusive_bits() & !self.shared_bits();
        let index = self.free_class().filter(|_| self.rules.largest_mask(free).is_some());
        // Without any class that could be shared, there is class 0.
        let class = if let Some(index) = index.or_else(|| self.least_crowded()) {
            self.classes[index] = match self.classes[index] {
                Class::Shared { mask, runners, asked, arranged } => {
                    Class::Shared { mask, runners: runners + 1, asked: asked + wish, arranged }
                }
                _ => Class::Shared { mask: 0, runners: 1, asked: wish, arranged: 0 },
            };
            class_at(index)
        } else {
            ClosId(0)
        };
        if class == ClosId(0) {
            self.share_root(writes);
        } else {
            self.settle(false, writes);
        }
        class
    }

    /// Where those of a class that is no more can share.
    fn take_in(&mut self, lost: Class) -> ClosId {
        let (runners, asked) = match lost {
            Class::Shared { runners, asked, .. } => (runners, asked),
            Class::Exclusive(bits) => (1, bits.count_ones()),
            Class::Free { .. } | Class::Lost => (0, 0),
        };
        let Some(host) = self.least_crowded() else { return ClosId(0) };
        if let Class::Shared { runners: all, asked: wished, .. } = &mut self.classes[host] {
            (*all, *wished) = (*all + runners, *wished + asked);
        }
        class_at(host)
    }

    /// Class 0 serves leases: it has to keep them from the shareable bits.
    fn share_root(&mut self, writes: &mut Writes) {
        self.root = largest_legal(self.rules.contiguous, self.rules.usable & !self.exclusive_bits());
        writes.set(0, self.root);
    }

    fn root_is_shared(&self) -> bool {
        self.leases.values().any(|held| held.class == ClosId(0))
    }

    /// Makes one gap of all that is not exclusive. Those who share wait in a part of it that nobody crosses.
    fn make_way(&mut self, writes: &mut Writes) {
        let exclusives = self.classes.iter().enumerate().filter_map(|(index, class)| match class {
            Class::Exclusive(bits) => Some((index, *bits)),
            _ => None,
        });
        let compaction = exclusive::compact(self.rules, exclusives.collect());
        let crossed = compaction.moves.iter().fold(0, |all, (_, bits)| all | bits);
        let sharers =
            self.classes.iter().enumerate().filter(|(_, class)| matches!(class, Class::Shared { .. }));
        for class in sharers.map(|(index, _)| index + 1).chain([0]) {
            if writes.written[class] & crossed != 0 {
                let stay = self.rules.largest_mask(writes.written[class] & compaction.refuge);
                writes.set(class, stay.unwrap_or(compaction.refuge));
            }
        }
        for (index, bits) in compaction.moves {
            self.classes[index] = Class::Exclusive(bits);
            self.write_exclusive(index, bits, writes);
        }
    }

    /// Gives a class ways that neither a used class nor class 0 has any more. Classes without leases, whose groups still
    /// have threads of ours, step back to what class 0 has.
    fn write_exclusive(&mut self, index: usize, bits: u32, writes: &mut Writes) {
        let root = writes.written[0];
        for (other, class) in self.classes.iter_mut().enumerate() {
            if class.is_free() && writes.written[other + 1] & bits != 0 {
                *class = Class::Free { left: root };
                writes.set(other + 1, root);
            }
        }
        writes.set(index + 1, bits);
    }

    /// Divides what is not exclusive among those who share and class 0; masks that only shrink are written first.
    fn settle(&mut self, evenly: bool, writes: &mut Writes) {
        let room = self.room();
        let mut sharers = self.sharers();
        if !sharers.is_empty() {
            sharers::lay_out(self.rules, room, &mut sharers, evenly);
        }
        for sharer in &sharers {
            if let Class::Shared { mask, arranged, .. } = &mut self.classes[sharer.class] {
                (*mask, *arranged) = (sharer.mask, sharer.arranged);
            }
        }
        let within = if self.root_is_shared() { self.rules.usable } else { self.whole };
        self.root = largest_legal(self.rules.contiguous, within & !self.exclusive_bits());
        let wanted = || sharers.iter().map(|s| (s.class + 1, s.mask)).chain([(0, self.root)]);
        for shrinking in [true, false] {
            for (class, bits) in wanted() {
                if (bits & !writes.written[class] == 0) == shrinking {
                    writes.set(class, bits);
                }
            }
        }
    }

    fn sharers(&self) -> Vec<Sharer> {
        let sharer = |(index, class): (usize, &Class)| match *class {
            Class::Shared { mask, runners, asked, arranged } => {
                Some(Sharer { class: index, runners, target: asked.max(self.rules.min), mask, arranged })
            }
            _ => None,
        };
        self.classes.iter().enumerate().filter_map(sharer).collect()
    }

    /// The class of sharers with the fewest runners per way; the lowest of several.
    fn least_crowded(&self) -> Option<usize> {
        let crowd = |&index: &usize| match self.classes[index] {
            Class::Shared { mask, runners, .. } => Some((mask.count_ones(), runners)),
            _ => None,
        };
        (0..self.classes.len())
            .filter_map(|index| crowd(&index).map(|crowd| (crowd, index)))
            .max_by(|(a, i), (b, j)| by_ways_per_runner(*a, *b).then(j.cmp(i)))
            .map(|(_, index)| index)
    }

    /// How many classes there are.
    fn there(&self) -> usize {
        self.classes.iter().filter(|class| **class != Class::Lost).count()
    }

    fn has_classes(&self) -> bool {
        self.there() > 0
    }

    fn free_class(&self) -> Option<usize> {
        self.classes.iter().position(|class| class.is_free())
    }

    /// The most ways that could be exclusive if there were no lease; 0: none.
    fn most_exclusive(&self) -> u32 {
        let most = self.rules.usable.count_ones() - self.rules.min;
        if self.there() < 2 || most < self.rules.min { 0 } else { most }
    }

    /// The largest exclusive lease that could be had now; 0: none.
    fn largest_exclusive(&self) -> u32 {
        let exclusive = self.classes.iter().filter(|class| matches!(class, Class::Exclusive(_))).count();
        let class_left = self.free_class().is_some() && exclusive + 1 < self.there();
        let left = self.most_exclusive().saturating_sub(self.exclusive_bits().count_ones());
        if class_left && left >= self.rules.min { left } else { 0 }
    }

    fn room(&self) -> u32 {
        self.rules.usable & !self.exclusive_bits()
    }

    fn shared_bits(&self) -> u32 {
        let root = if self.root_is_shared() { self.root } else { 0 };
        self.classes.iter().fold(root, |all, class| match class {
            Class::Shared { mask, .. } => all | mask,
            _ => all,
        })
    }

    fn bits_of(&self, class: ClosId) -> u32 {
        match usize::from(class.0).checked_sub(1).map(|index| self.classes[index]) {
            None => self.root,
            Some(Class::Lost) => 0,
            Some(Class::Free { left: bits } | Class::Exclusive(bits) | Class::Shared { mask: bits, .. }) => {
                bits
            }
        }
    }

    /// The masks of all classes, class 0 first.
    fn masks_now(&self) -> Vec<u32> {
        (0..=self.classes.len()).map(|class| self.bits_of(ClosId(class as u16))).collect()
    }

    /// Who has which class and ways.
    fn held_now(&self) -> Vec<(LeaseId, ClosId, u32)> {
        let held = |(lease, held): (&LeaseId, &Lease)| (*lease, held.class, self.bits_of(held.class));
        self.leases.iter().map(held).collect()
    }

    /// The leases whose classes or masks are not what they were; `before` is of those that still are, and perhaps others.
    fn moved_since(&self, before: &[(LeaseId, ClosId, u32)]) -> Vec<Moved> {
        let moved = |&(lease, class, bits): &(LeaseId, ClosId, u32)| {
            let now = self.leases.get(&lease)?.class;
            let mask = mask(self.bits_of(now));
            ((now, mask.bits()) != (class, bits)).then_some(Moved { lease, class: now, mask })
        };
        before.iter().filter_map(moved).collect()
    }
}

/// What has been written so far, by class, and the list of it.
struct Writes {
    written: Vec<u32>,
    changes: Vec<ClassChange>,
}

impl Writes {
    fn new(written: Vec<u32>) -> Self {
        Self { written, changes: Vec::new() }
    }

    fn set(&mut self, class: usize, bits: u32) {
        if self.written[class] != bits {
            self.written[class] = bits;
            self.changes.push(ClassChange { class: ClosId(class as u16), mask: mask(bits) });
        }
    }
}

fn class_at(index: usize) -> ClosId {
    ClosId(index as u16 + 1)
}

fn largest_legal(contiguous: bool, set: u32) -> u32 {
    if contiguous { bits::longest_run(set) } else { set }
}

fn mask(bits: u32) -> WayMask {
    WayMask::new(bits).expect("a class in use has at least one way")
}
