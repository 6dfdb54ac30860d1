//! The master's picture of its workers: what they have, and what is promised.

use serde::{Deserialize, Serialize};

use super::holders::{Files, Holders};
use super::index::{Index, SlotId, Totals};
use super::residents::{Pace, Resident, Residents};
use crate::cache::{Bytes, CacheDomain, CacheGeometry, DomainId, Ways};
use crate::function::{Isolation, Needs};
use crate::id::{AttemptId, ContentHash, WorkerId};
use crate::maps::{Few, Roster};
use crate::time::Timestamp;

/// Whether a worker can be counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// It answers.
    Alive,
    /// It has not answered for a while: it gets no new work, what runs there is still waited for.
    Suspect,
    /// It has not answered for long: what ran there is failed over or lost.
    Dead,
}

/// One cache domain of a worker, with everything promised in it.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainView {
    /// The domain.
    pub domain: CacheDomain,
    /// CPUs for functions.
    pub cores: u16,
    /// CPUs promised.
    pub reserved_cores: u16,
    /// Ways promised exclusively.
    pub reserved_exclusive: u8,
    /// To how many: each takes a class.
    pub exclusive_leases: u16,
    /// Ways that shared invocations asked for, all told; may be more than there are.
    pub asked_shared: u32,
    /// How many invocations are placed here.
    pub placed: u32,
    /// Whether a benchmark has the domain for itself.
    pub held_alone: bool,
    pub(crate) residents: Residents,
}

impl DomainView {
    /// A domain with nothing promised.
    pub fn new(domain: CacheDomain, cores: u16) -> Self {
        Self {
            residents: Residents::none(&domain.geometry),
            domain,
            cores,
            reserved_cores: 0,
            reserved_exclusive: 0,
            exclusive_leases: 0,
            asked_shared: 0,
            placed: 0,
            held_alone: false,
        }
    }

    /// CPUs not promised.
    pub fn free_cores(&self) -> u16 {
        self.cores.saturating_sub(self.reserved_cores)
    }

    /// Ways that nobody asked for yet.
    pub fn free_ways(&self) -> u8 {
        let taken = u32::from(self.reserved_exclusive) + self.asked_shared;
        u32::from(self.geometry().usable_ways().get()).saturating_sub(taken) as u8
    }

    /// Ways that may be promised exclusively at most: see [`CacheGeometry::exclusive_limit`].
    pub fn exclusive_limit(&self) -> u8 {
        self.geometry().exclusive_limit()
    }

    /// Ways that may still be promised exclusively; 0 where the classes are used up.
    pub fn free_exclusive(&self) -> u8 {
        // One class stays for those who share.
        if self.exclusive_leases + 1 >= self.geometry().classes {
            return 0;
        }
        self.exclusive_limit().saturating_sub(self.reserved_exclusive)
    }

    /// Who is placed here, and how the cache is split among them.
    pub fn residents(&self) -> &Residents {
        &self.residents
    }

    /// Somebody was placed here.
    pub fn add_resident(&mut self, now: Timestamp, attempt: AttemptId, resident: Resident) {
        self.residents.add(now, attempt, resident);
    }

    /// Somebody is gone.
    pub fn remove_resident(&mut self, now: Timestamp, attempt: AttemptId) {
        self.residents.remove(now, attempt);
    }

    /// Time has passed: what is left of those who are placed here is looked at anew, where that matters.
    pub fn look(&mut self, now: Timestamp) {
        self.residents.look(now);
    }

    /// What one way of this cache is worth now: what those who run here would lose without it, seconds. `None` where everybody
    /// is at the smallest mask, so that there is none to take.
    pub fn price(&self) -> Option<f64> {
        self.residents.row().price()
    }

    /// The domain's cache.
    pub fn geometry(&self) -> &CacheGeometry {
        &self.domain.geometry
    }

    /// Whether an invocation with these needs fits now, asking for `ways`.
    pub fn fits_now(&self, needs: &Needs, ways: Ways, alone: bool) -> bool {
        let exclusive = match needs.isolation {
            Isolation::Shared => 0,
            Isolation::Exclusive => ways.get().max(self.geometry().min_ways.get()),
        };
        let alone_ok = !self.held_alone && (!alone || self.placed == 0);
        alone_ok && needs.cores <= self.free_cores() && exclusive <= self.free_exclusive()
    }

    /// Whether it would fit if nothing else were placed here.
    pub fn fits_empty(&self, needs: &Needs, ways: Ways) -> bool {
        Self::new(self.domain.clone(), self.cores).fits_now(needs, ways, false)
    }
}

/// One worker, with everything promised on it.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerView {
    /// Its id.
    pub id: WorkerId,
    /// Whether it can be counted on.
    pub liveness: Liveness,
    /// Whether an operator wants no new work on it.
    pub draining: bool,
    /// Whether its masks are enforced.
    pub enforced: bool,
    /// How fast it is.
    pub pace: Pace,
    /// Memory for functions.
    pub memory: Bytes,
    /// Memory promised.
    pub reserved_memory: Bytes,
    /// Its cache domains, by id.
    pub domains: Few<DomainId, DomainView>,
}

impl WorkerView {
    /// Whether new work may be placed here at all.
    pub fn accepts(&self) -> bool {
        self.liveness == Liveness::Alive && !self.draining
    }

    /// Whether it may take new work again: it is neither given up nor draining.
    pub fn is_present(&self) -> bool {
        self.liveness != Liveness::Dead && !self.draining
    }

    /// Memory not promised.
    pub fn free_memory(&self) -> Bytes {
        Bytes(self.memory.0.saturating_sub(self.reserved_memory.0))
    }

    /// How many invocations are placed here.
    pub fn placed(&self) -> u32 {
        self.domains.values().map(|d| d.placed).sum()
    }
}

#[derive(Debug, Clone)]
struct Known {
    view: WorkerView,
    /// Where its domains stand in the index, in the order of their ids.
    slots: Vec<SlotId>,
}

/// All workers, for schedulers to read, with an index over their domains. Only the master writes it.
#[derive(Debug, Clone, Default)]
pub struct ClusterView {
    workers: Roster<WorkerId, Known>,
    index: Index,
    /// Workers that may take new work, now or again.
    present: usize,
    /// Who has which function's file.
    files: Files,
}

impl ClusterView {
    /// All workers, by id.
    pub fn workers(&self) -> impl Iterator<Item = &WorkerView> {
        self.workers.values().map(|known| &known.view)
    }

    /// One worker.
    pub fn worker(&self, id: WorkerId) -> Option<&WorkerView> {
        self.workers.get(&id).map(|known| &known.view)
    }

    /// Whether there is no worker at all.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// How many workers there are that are neither given up nor draining.
    pub fn present(&self) -> usize {
        self.present
    }

    /// What one way is worth now where it is worth the least, of workers that take work: what those who run there would lose
    /// without it, seconds. It is what a newcomer can have a way for.
    pub fn price(&self) -> f64 {
        self.index.price()
    }

    /// Adds a worker or replaces what was known of it.
    pub fn insert(&mut self, worker: WorkerView) {
        let id = worker.id;
        self.drop_worker(id);
        self.present += usize::from(worker.is_present());
        let mut known = Known { view: worker, slots: Vec::new() };
        known.settle();
        known.slots =
            known.view.domains.values().map(|domain| self.index.insert(&known.view, domain)).collect();
        self.workers.insert(id, known);
    }

    /// Forgets a worker, and which files it has.
    pub fn remove(&mut self, id: WorkerId) -> Option<WorkerView> {
        self.files.forget_worker(id);
        self.drop_worker(id)
    }

    fn drop_worker(&mut self, id: WorkerId) -> Option<WorkerView> {
        let known = self.workers.remove(&id)?;
        self.present -= usize::from(known.view.is_present());
        known.slots.into_iter().for_each(|slot| self.index.remove(slot));
        Some(known.view)
    }

    /// Changes one worker, and what is known of it in the index; `None` where there is no such worker.
    pub fn update<R>(&mut self, id: WorkerId, change: impl FnOnce(&mut WorkerView) -> R) -> Option<R> {
        let known = self.workers.get_mut(&id)?;
        let was_present = known.view.is_present();
        let result = change(&mut known.view);
        known.settle();
        self.present = self.present + usize::from(known.view.is_present()) - usize::from(was_present);
        let Known { view, slots } = known;
        if slots.len() != view.domains.len() {
            slots.drain(..).for_each(|slot| self.index.remove(slot));
            slots.extend(view.domains.values().map(|domain| self.index.insert(view, domain)));
        } else {
            for (domain, &slot) in view.domains.values().zip(slots.iter()) {
                self.index.update(slot, view, domain);
            }
        }
        Some(result)
    }

    /// A worker has a function's file.
    pub fn holds_file(&mut self, id: WorkerId, file: ContentHash) {
        if self.workers.contains_key(&id) {
            self.files.add(id, file);
        }
    }

    /// A worker does not have a function's file.
    pub fn lacks_file(&mut self, id: WorkerId, file: ContentHash) {
        self.files.remove(id, file);
    }

    /// A function's file is of no use any more.
    pub fn forget_file(&mut self, file: ContentHash) {
        self.files.forget(file);
    }

    /// Who has a function's file, as far as is known.
    pub fn holders(&self, file: ContentHash) -> Option<&Holders> {
        self.files.of(file)
    }

    /// One that is placed in a domain.
    pub fn resident(&self, id: WorkerId, domain: DomainId, attempt: AttemptId) -> Option<Resident> {
        self.worker(id)?.domains.get(&domain)?.residents.get(attempt).cloned()
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Where a worker's domains stand in the index.
    pub(crate) fn slots(&self, id: WorkerId) -> &[SlotId] {
        self.workers.get(&id).map_or(&[], |known| &known.slots)
    }

    pub(crate) fn totals(&self) -> &Totals {
        self.index.totals()
    }

    /// How many entries it holds in all.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.workers.len() + self.index.entries() + self.files.entries()
    }
}

impl Known {
    /// Makes anew those rows that are not up to date.
    fn settle(&mut self) {
        let pace = self.view.pace;
        for domain in self.view.domains.values_mut() {
            let DomainView { residents, domain, reserved_exclusive, .. } = domain;
            residents.settle(&domain.geometry, pace, *reserved_exclusive);
        }
    }
}
