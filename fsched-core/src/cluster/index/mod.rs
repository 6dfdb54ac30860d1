//! Finds domains by what they have free and what a newcomer costs there, without looking at all of them.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Index`]: orders by price, by tightness, by load; kept up to date domain by domain |
//! | `slot.rs` | [`Slot`]: what placing has to know of a domain, in one place |
//! | `first.rs` | [`First`]: who comes first, by winners of quarters, sixteenths, … |
//! | `tree.rs` | [`Tree`]: whether anything fits anywhere, by maxima over halves, quarters, … of the domains |
//! | `totals.rs` | [`Totals`]: sums over all domains that take work |

mod first;
mod slot;
mod totals;
mod tree;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use self::first::First;
use self::slot::{Facts, Keys};
pub(crate) use self::slot::{Place, Slot};
pub(crate) use self::totals::Totals;
use self::tree::Tree;
pub(crate) use self::tree::{Ever, Now};
use super::residents::Pace;
use super::view::{DomainView, WorkerView};
use crate::cache::CacheGeometry;
use crate::split::Price;

/// Where a domain stands in the index.
pub(crate) type SlotId = u32;

/// At how many takings of ways domains are ordered by what that would cost.
pub(crate) const LEVELS: usize = 3;

/// Free cores are told apart by their binary order of magnitude: 0, 1, 2–3, 4–7, …
const CLASSES: usize = 17;

fn class(cores: u16) -> usize {
    (u16::BITS - cores.leading_zeros()) as usize
}

/// Domains that take work, by rising cost of taking ways.
pub(crate) type ByPrice = BTreeSet<(u64, Place, SlotId)>;

/// The domains of one geometry and pace.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) geometry: CacheGeometry,
    pub(crate) pace: Pace,
    /// The pace as a factor.
    pub(crate) factor: f64,
    /// How many ways are taken at each level.
    pub(crate) levels: [u8; LEVELS],
    slots: u32,
    by_price: OnceLock<Vec<[ByPrice; LEVELS]>>,
    /// By free cores, then free memory.
    by_room: OnceLock<BTreeSet<(u16, u64, Place, SlotId)>>,
}

impl Kind {
    fn new(geometry: CacheGeometry, pace: Pace) -> Self {
        Self {
            geometry,
            pace,
            factor: pace.factor(),
            levels: Self::levels_of(&geometry),
            slots: 0,
            by_price: OnceLock::new(),
            by_room: OnceLock::new(),
        }
    }

    /// An eighth of the ways, three eighths, and three quarters.
    fn levels_of(geometry: &CacheGeometry) -> [u8; LEVELS] {
        let ways = u16::from(geometry.usable_ways().get());
        [1, 3, 6].map(|eighths| (ways * eighths).div_ceil(8) as u8)
    }

    pub(crate) fn is_used(&self) -> bool {
        self.slots > 0
    }
}

/// The index over all domains of a cluster.
///
/// An order is made when it is asked for the first time, and kept up to date from then on: a scheduler pays only for those
/// that it looks at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    slots: Vec<Slot>,
    unused: Vec<SlotId>,
    kinds: Vec<Kind>,
    by_load: OnceLock<First>,
    by_free_ways: OnceLock<BTreeSet<(u8, Place, SlotId)>>,
    /// Domains whose workers take work, by what a way is worth there; without those that have none to take.
    by_value: First,
    now: OnceLock<Tree<Now>>,
    ever: Tree<Ever>,
    totals: Totals,
}

impl Index {
    pub(crate) fn slot(&self, id: SlotId) -> &Slot {
        &self.slots[id as usize]
    }

    pub(crate) fn kind(&self, kind: u16) -> &Kind {
        &self.kinds[usize::from(kind)]
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = (u16, &Kind)> {
        (0u16..).zip(&self.kinds).filter(|(_, kind)| kind.is_used())
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// What a way is worth where it is worth the least, seconds: what a newcomer can have one for.
    pub(crate) fn price(&self) -> f64 {
        let prices = self.by_value.least().map(|key| Some(f64::from_bits((key >> 32) as u64)));
        Price::of_cluster(prices).unwrap_or(0.0)
    }

    /// What the order of domains that take work is made of.
    fn open(&self) -> impl Iterator<Item = (&Slot, SlotId, Keys<'_>)> {
        self.slots.iter().zip(0..).filter_map(|(slot, id)| Some((slot, id, slot.keys()?)))
    }

    /// The same, for those of one kind.
    fn open_of(&self, kind: u16) -> impl Iterator<Item = (&Slot, SlotId, Keys<'_>)> {
        self.open().filter(move |(slot, ..)| slot.kind == kind)
    }

    fn loads(&self) -> &First {
        self.by_load.get_or_init(|| {
            let mut order = First::default();
            self.open().for_each(|(slot, id, keys)| order.set(id, Some(by_load(slot, keys))));
            order
        })
    }

    /// By falling share of free cores.
    pub(crate) fn by_load(&self) -> impl Iterator<Item = &Slot> {
        self.loads().iter().map(|slot| self.slot(slot))
    }

    /// The one with the largest share of free cores.
    pub(crate) fn least_loaded(&self) -> Option<&Slot> {
        self.loads().first().map(|slot| self.slot(slot))
    }

    fn free_ways(&self) -> &BTreeSet<(u8, Place, SlotId)> {
        self.by_free_ways
            .get_or_init(|| self.open().map(|(slot, id, keys)| (keys.free_ways(), slot.place, id)).collect())
    }

    /// By rising number of ways that nobody asked for, from `ways` on.
    pub(crate) fn by_free_ways(&self, ways: u8) -> impl Iterator<Item = &Slot> {
        self.free_ways().range((ways, Place::FIRST, 0)..).map(|&(_, _, slot)| self.slot(slot))
    }

    /// Those with exactly so many ways that nobody asked for.
    pub(crate) fn with_free_ways(&self, ways: u8) -> impl Iterator<Item = &Slot> {
        let range = (ways, Place::FIRST, 0)..(ways + 1, Place::FIRST, 0);
        self.free_ways().range(range).map(|&(_, _, slot)| self.slot(slot))
    }

    /// Those of a kind that take work and may have so many free cores, in a few runs, each by rising cost of the level's ways.
    pub(crate) fn by_price(&self, kind: u16, cores: u16, level: usize) -> impl Iterator<Item = &ByPrice> {
        let runs = self.kind(kind).by_price.get_or_init(|| {
            let mut runs: Vec<[ByPrice; LEVELS]> = vec![Default::default(); CLASSES];
            for (slot, id, keys) in self.open_of(kind) {
                for (run, level) in runs[class(keys.free_cores())].iter_mut().zip(0..) {
                    run.insert((keys.score(level), slot.place, id));
                }
            }
            runs
        });
        runs[class(cores)..].iter().map(move |levels| &levels[level]).filter(|run| !run.is_empty())
    }

    /// Those of a kind that take work and have so many free cores and so much free memory: the tightest first.
    pub(crate) fn tightest(&self, kind: u16, cores: u16, memory: u64) -> impl Iterator<Item = SlotId> {
        let rooms = self.kind(kind).by_room.get_or_init(|| {
            let room = |(slot, id, keys): (&Slot, SlotId, Keys<'_>)| {
                (keys.free_cores(), keys.free_memory(), slot.place, id)
            };
            self.open_of(kind).map(room).collect()
        });
        let first = |cores, memory| (cores, memory, Place::FIRST, 0);
        let mut rest = rooms.range(first(cores, memory)..);
        std::iter::from_fn(move || {
            loop {
                let &(found_cores, found_memory, _, slot) = rest.next()?;
                if found_memory >= memory {
                    return Some(slot);
                }
                rest = rooms.range(first(found_cores, memory)..);
            }
        })
    }

    /// One for which `holds`, if there is any; looks only where `may` says that there may be one.
    pub(crate) fn find_now(
        &self,
        may: impl Fn(&Now) -> bool,
        holds: impl Fn(&Slot) -> bool,
    ) -> Option<&Slot> {
        let now = self.now.get_or_init(|| {
            let mut tree = Tree::default();
            self.slots.iter().enumerate().for_each(|(id, slot)| tree.set(id, slot.facts.now()));
            tree
        });
        let found = now.find(may, |id| self.slots.get(id).is_some_and(&holds))?;
        self.slots.get(found)
    }

    /// The same, over workers that are not given up, as if they were empty.
    pub(crate) fn any_ever(&self, may: impl Fn(&Ever) -> bool, holds: impl Fn(&Slot) -> bool) -> bool {
        self.ever.find(may, |id| self.slots.get(id).is_some_and(&holds)).is_some()
    }

    /// A domain is new: where it stands.
    pub(crate) fn insert(&mut self, worker: &WorkerView, domain: &DomainView) -> SlotId {
        let kind = self.kind_of(domain.geometry(), worker.pace);
        let slot = Slot::new(worker, domain, kind);
        let id = match self.unused.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as SlotId
            }
        };
        self.enter(id);
        id
    }

    /// A domain may have changed.
    pub(crate) fn update(&mut self, id: SlotId, worker: &WorkerView, domain: &DomainView) {
        let slot = &mut self.slots[id as usize];
        let known = &self.kinds[usize::from(slot.kind)];
        if known.pace != worker.pace || known.geometry != *domain.geometry() {
            self.leave(id);
            let kind = self.kind_of(domain.geometry(), worker.pace);
            self.slots[id as usize] = Slot::new(worker, domain, kind);
            self.enter(id);
            return;
        }
        if slot.row != *domain.residents().row() {
            slot.row = *domain.residents().row();
        }
        let facts = Facts::of(worker, domain, &known.levels);
        if slot.facts != facts {
            let old = std::mem::replace(&mut slot.facts, facts);
            self.reorder(id, Some(&old), true);
        }
    }

    /// A domain is gone.
    pub(crate) fn remove(&mut self, id: SlotId) {
        self.leave(id);
        self.slots[id as usize].facts = slot::Facts::default();
        if let Some(tree) = self.now.get_mut() {
            tree.set(id as usize, Now::default());
        }
        self.ever.set(id as usize, Ever::default());
        self.unused.push(id);
    }

    fn kind_of(&mut self, geometry: &CacheGeometry, pace: Pace) -> u16 {
        let same = |kind: &Kind| kind.geometry == *geometry && kind.pace == pace;
        let at = self.kinds.iter().position(same).or_else(|| {
            let unused = self.kinds.iter().position(|kind| !kind.is_used())?;
            self.kinds[unused] = Kind::new(*geometry, pace);
            Some(unused)
        });
        let at = at.unwrap_or_else(|| {
            self.kinds.push(Kind::new(*geometry, pace));
            self.kinds.len() - 1
        });
        u16::try_from(at).expect("workers cannot have more than 65,536 geometries and paces at a time")
    }

    fn enter(&mut self, id: SlotId) {
        let kind = self.slot(id).kind;
        self.kinds[usize::from(kind)].slots += 1;
        self.reorder(id, None, true);
    }

    fn leave(&mut self, id: SlotId) {
        let Slot { facts, kind, .. } = *self.slot(id);
        self.kinds[usize::from(kind)].slots -= 1;
        self.reorder(id, Some(&facts), false);
    }

    /// Takes a domain from where it stood in each order to where it stands now, if it does; never from one kind to another.
    fn reorder(&mut self, id: SlotId, old: Option<&Facts>, stays: bool) {
        let slot = &self.slots[id as usize];
        let new = stays.then_some(&slot.facts);
        let place = slot.place;
        let kind = &mut self.kinds[usize::from(slot.kind)];
        let (was, is) = (old.and_then(Facts::keys), new.and_then(Facts::keys));
        if let Some(runs) = kind.by_price.get_mut() {
            (0..LEVELS).for_each(|level| {
                let price = |keys: Keys<'_>| (class(keys.free_cores()), keys.score(level));
                let (was, is) = (was.map(price), is.map(price));
                if was != is {
                    was.map(|(class, score)| runs[class][level].remove(&(score, place, id)));
                    is.map(|(class, score)| runs[class][level].insert((score, place, id)));
                }
            });
        }
        if let Some(order) = kind.by_room.get_mut() {
            let room = |keys: Keys<'_>| (keys.free_cores(), keys.free_memory(), place, id);
            replace(order, was.map(room), is.map(room));
        }
        if let Some(order) = self.by_free_ways.get_mut() {
            let ways = |keys: Keys<'_>| (keys.free_ways(), place, id);
            replace(order, was.map(ways), is.map(ways));
        }
        if let Some(order) = self.by_load.get_mut() {
            let (was, is) = (was.map(|keys| by_load(slot, keys)), is.map(|keys| by_load(slot, keys)));
            if was != is {
                order.set(id, is);
            }
        }
        let value = |facts: Option<&Facts>| facts?.price_key();
        if value(old) != value(new) {
            self.by_value.set(id, value(new).map(|price| u128::from(price) << 32 | u128::from(id)));
        }
        old.inspect(|old| self.totals.take(old));
        new.inspect(|new| self.totals.add(new));
        if let Some(new) = new {
            if let Some(tree) = self.now.get_mut() {
                tree.set(id as usize, new.now());
            }
            self.ever.set(id as usize, new.ever());
        }
    }

    /// How many entries it holds in all: grows with domains, and with nothing else.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        let runs = self.kinds.iter().flat_map(|kind| kind.by_price.get()).flatten().flatten();
        let rooms = self.kinds.iter().flat_map(|kind| kind.by_room.get());
        runs.map(BTreeSet::len).sum::<usize>()
            + rooms.map(BTreeSet::len).sum::<usize>()
            + self.by_value.len()
            + self.by_load.get().map_or(0, First::len)
            + self.by_free_ways.get().map_or(0, BTreeSet::len)
            + self.slots.len()
            + self.kinds.len()
    }
}

/// Where a domain stands by falling share of free cores, then by its place, in one number. Shares are of 2³², places take 80 bits.
fn by_load(slot: &Slot, keys: Keys<'_>) -> u128 {
    let Place { worker, domain } = slot.place;
    let taken = u128::from((1 << 32) - keys.load());
    taken << 80 | u128::from(worker.0) << 16 | u128::from(domain.0)
}

/// Puts one key in another's place, where they differ, in an order that somebody looks at.
fn replace<K: Ord>(order: &mut BTreeSet<K>, old: Option<K>, new: Option<K>) {
    if old != new {
        old.map(|old| order.remove(&old));
        new.map(|new| order.insert(new));
    }
}
