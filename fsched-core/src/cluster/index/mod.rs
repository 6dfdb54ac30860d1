//! Finds domains by what they have free and what a newcomer costs there, without looking at all of them.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Index`]: orders by price, by tightness, by load; kept up to date domain by domain |
//! | `slot.rs` | [`Slot`]: what placing has to know of a domain, in one place |
//! | `tree.rs` | [`Tree`]: whether anything fits anywhere, by maxima over halves, quarters, … of the domains |
//! | `totals.rs` | [`Totals`]: sums over all domains that take work |

mod slot;
mod totals;
mod tree;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use self::slot::Keys;
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
    by_price: Vec<[ByPrice; LEVELS]>,
    /// By free cores, then free memory.
    by_room: BTreeSet<(u16, u64, Place, SlotId)>,
}

impl Kind {
    fn new(geometry: CacheGeometry, pace: Pace) -> Self {
        Self {
            geometry,
            pace,
            factor: pace.factor(),
            levels: Self::levels_of(&geometry),
            slots: 0,
            by_price: vec![Default::default(); CLASSES],
            by_room: BTreeSet::new(),
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

    /// Those that take work and may have so many free cores, in a few runs, each by rising cost of the level's ways.
    pub(crate) fn by_price(&self, cores: u16, level: usize) -> impl Iterator<Item = &ByPrice> {
        self.by_price[class(cores)..].iter().map(move |levels| &levels[level]).filter(|run| !run.is_empty())
    }

    /// Those that take work and have so many free cores and so much free memory: the tightest first.
    pub(crate) fn tightest(&self, cores: u16, memory: u64) -> impl Iterator<Item = SlotId> {
        let first = |cores, memory| (cores, memory, Place::FIRST, 0);
        let mut rest = self.by_room.range(first(cores, memory)..);
        std::iter::from_fn(move || {
            loop {
                let &(found_cores, found_memory, _, slot) = rest.next()?;
                if found_memory >= memory {
                    return Some(slot);
                }
                rest = self.by_room.range(first(found_cores, memory)..);
            }
        })
    }
}

/// The index over all domains of a cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    slots: Vec<Slot>,
    unused: Vec<SlotId>,
    kinds: Vec<Kind>,
    by_load: BTreeSet<(Reverse<u64>, Place, SlotId)>,
    by_free_ways: BTreeSet<(u8, Place, SlotId)>,
    /// Domains whose workers take work, by what a way is worth there; without those that have none to take.
    by_value: BTreeSet<(u64, SlotId)>,
    tree: Tree,
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
        let prices = self.by_value.first().map(|&(price, _)| Some(f64::from_bits(price)));
        Price::of_cluster(prices).unwrap_or(0.0)
    }

    /// By falling share of free cores.
    pub(crate) fn by_load(&self) -> impl Iterator<Item = &Slot> {
        self.by_load.iter().map(|&(_, _, slot)| self.slot(slot))
    }

    /// By rising number of ways that nobody asked for, from `ways` on.
    pub(crate) fn by_free_ways(&self, ways: u8) -> impl Iterator<Item = &Slot> {
        self.by_free_ways.range((ways, Place::FIRST, 0)..).map(|&(_, _, slot)| self.slot(slot))
    }

    /// Those with exactly so many ways that nobody asked for.
    pub(crate) fn with_free_ways(&self, ways: u8) -> impl Iterator<Item = &Slot> {
        let range = (ways, Place::FIRST, 0)..(ways + 1, Place::FIRST, 0);
        self.by_free_ways.range(range).map(|&(_, _, slot)| self.slot(slot))
    }

    /// One for which `holds`, if there is any; looks only where `may` says that there may be one.
    pub(crate) fn find_now(
        &self,
        may: impl Fn(&Now) -> bool,
        holds: impl Fn(&Slot) -> bool,
    ) -> Option<&Slot> {
        let found = self.tree.find(|node| may(&node.now), |id| self.slots.get(id).is_some_and(&holds))?;
        self.slots.get(found)
    }

    /// The same, over workers that are not given up, as if they were empty.
    pub(crate) fn any_ever(&self, may: impl Fn(&Ever) -> bool, holds: impl Fn(&Slot) -> bool) -> bool {
        self.tree.find(|node| may(&node.ever), |id| self.slots.get(id).is_some_and(&holds)).is_some()
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
        let old = self.slot(id);
        let known = self.kind(old.kind);
        let same_kind = known.pace == worker.pace && known.geometry == *domain.geometry();
        let new = Slot::new(worker, domain, old.kind);
        if same_kind {
            let old = std::mem::replace(&mut self.slots[id as usize], new);
            if self.slot(id).facts != old.facts {
                self.reorder(id, Some(&old), true);
            }
            return;
        }
        self.leave(id);
        let kind = self.kind_of(domain.geometry(), worker.pace);
        self.slots[id as usize] = Slot { kind, ..new };
        self.enter(id);
    }

    /// A domain is gone.
    pub(crate) fn remove(&mut self, id: SlotId) {
        self.leave(id);
        self.slots[id as usize].facts = slot::Facts::default();
        self.tree.set(id as usize, tree::Node::default());
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
        let old = self.slot(id).clone();
        self.kinds[usize::from(old.kind)].slots -= 1;
        self.reorder(id, Some(&old), false);
    }

    /// Takes a domain from where it stood in each order to where it stands now, if it does; never from one kind to another.
    fn reorder(&mut self, id: SlotId, old: Option<&Slot>, stays: bool) {
        let slot = &self.slots[id as usize];
        let new = stays.then_some(slot);
        let place = slot.place;
        let kind = &mut self.kinds[usize::from(slot.kind)];
        let keys = |slot: Option<&Slot>| slot.and_then(Slot::keys);
        let (was, is) = (keys(old), keys(new));
        for level in 0..LEVELS {
            let price = |keys: Keys| (class(keys.cores), keys.scores[level]);
            let (was, is) = (was.map(price), is.map(price));
            if was != is {
                was.map(|(class, score)| kind.by_price[class][level].remove(&(score, place, id)));
                is.map(|(class, score)| kind.by_price[class][level].insert((score, place, id)));
            }
        }
        let room = |keys: Keys| (keys.cores, keys.memory, place, id);
        replace(&mut kind.by_room, was.map(room), is.map(room));
        let load = |keys: Keys| (Reverse(keys.load), place, id);
        replace(&mut self.by_load, was.map(load), is.map(load));
        let ways = |keys: Keys| (keys.ways, place, id);
        replace(&mut self.by_free_ways, was.map(ways), is.map(ways));
        let value = |slot: Option<&Slot>| Some((slot?.facts.price_key()?, id));
        replace(&mut self.by_value, value(old), value(new));
        old.inspect(|old| self.totals.take(&old.facts));
        new.inspect(|new| self.totals.add(&new.facts));
        if let Some(new) = new {
            self.tree.set(id as usize, new.node());
        }
    }

    /// How many entries it holds in all: grows with domains, and with nothing else.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        let runs: usize =
            self.kinds.iter().flat_map(|kind| &kind.by_price).flatten().map(BTreeSet::len).sum();
        let rooms: usize = self.kinds.iter().map(|kind| kind.by_room.len()).sum();
        let values = self.by_value.len();
        runs + rooms
            + values
            + self.by_load.len()
            + self.by_free_ways.len()
            + self.slots.len()
            + self.kinds.len()
    }
}

/// Puts one key in another's place, where they differ.
fn replace<K: Ord>(order: &mut BTreeSet<K>, old: Option<K>, new: Option<K>) {
    if old != new {
        old.map(|old| order.remove(&old));
        new.map(|new| order.insert(new));
    }
}
