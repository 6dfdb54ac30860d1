//! The master's picture of its workers: what they have, and what is promised.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cache::{Bytes, CacheDomain, CacheGeometry, DomainId, Ways};
use crate::function::{Isolation, Needs};
use crate::id::WorkerId;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainView {
    /// The domain.
    pub domain: CacheDomain,
    /// CPUs for functions.
    pub cores: u16,
    /// CPUs promised.
    pub reserved_cores: u16,
    /// Ways promised exclusively.
    pub reserved_exclusive: u8,
    /// Ways that shared invocations asked for, all told; may be more than there are.
    pub asked_shared: u32,
    /// How many invocations are placed here.
    pub placed: u32,
    /// Whether a benchmark has the domain for itself.
    pub held_alone: bool,
}

impl DomainView {
    /// A domain with nothing promised.
    pub fn new(domain: CacheDomain, cores: u16) -> Self {
        Self {
            domain,
            cores,
            reserved_cores: 0,
            reserved_exclusive: 0,
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

    /// Ways that may be promised exclusively at most: the last few stay for those who share, as does one class.
    pub fn exclusive_limit(&self) -> u8 {
        let geometry = self.geometry();
        if geometry.classes < 2 {
            return 0;
        }
        geometry.usable_ways().get().saturating_sub(geometry.min_ways.get())
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
        alone_ok
            && needs.cores <= self.free_cores()
            && exclusive <= self.exclusive_limit().saturating_sub(self.reserved_exclusive)
    }

    /// Whether it would fit if nothing else were placed here.
    pub fn fits_empty(&self, needs: &Needs, ways: Ways) -> bool {
        Self::new(self.domain.clone(), self.cores).fits_now(needs, ways, false)
    }
}

/// One worker, with everything promised on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerView {
    /// Its id.
    pub id: WorkerId,
    /// Whether it can be counted on.
    pub liveness: Liveness,
    /// Whether an operator wants no new work on it.
    pub draining: bool,
    /// Whether its masks are enforced.
    pub enforced: bool,
    /// Memory for functions.
    pub memory: Bytes,
    /// Memory promised.
    pub reserved_memory: Bytes,
    /// Its cache domains, by id.
    pub domains: BTreeMap<DomainId, DomainView>,
}

impl WorkerView {
    /// Whether new work may be placed here at all.
    pub fn accepts(&self) -> bool {
        self.liveness == Liveness::Alive && !self.draining
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

/// All workers, for schedulers to read. Only the master writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterView {
    workers: BTreeMap<WorkerId, WorkerView>,
}

impl ClusterView {
    /// All workers, by id.
    pub fn workers(&self) -> impl Iterator<Item = &WorkerView> {
        self.workers.values()
    }

    /// One worker.
    pub fn worker(&self, id: WorkerId) -> Option<&WorkerView> {
        self.workers.get(&id)
    }

    /// Whether there is no worker at all.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// Adds a worker or replaces what was known of it.
    pub fn insert(&mut self, worker: WorkerView) {
        self.workers.insert(worker.id, worker);
    }

    /// Forgets a worker.
    pub fn remove(&mut self, id: WorkerId) -> Option<WorkerView> {
        self.workers.remove(&id)
    }

    /// One worker, to be changed.
    pub fn worker_mut(&mut self, id: WorkerId) -> Option<&mut WorkerView> {
        self.workers.get_mut(&id)
    }
}
