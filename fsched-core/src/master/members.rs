//! The workers: who they are, whether they answer, and what is promised on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cache::{Bytes, DomainId, Ways};
use crate::cluster::{ClusterView, DomainView, Heartbeat, Liveness, WorkerView};
use crate::function::{Isolation, Needs};
use crate::id::{AttemptId, ContentHash, WorkerId, WorkerKey};
use crate::scheduler::Placement;
use crate::store::WorkerRecord;
use crate::time::Timestamp;
use crate::transport::{Address, Peer};

/// A worker and how it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerInfo {
    /// Its id.
    pub id: WorkerId,
    /// Who it is.
    pub key: WorkerKey,
    /// Where it listens.
    pub address: Address,
    /// Whether it can be counted on.
    pub liveness: Liveness,
    /// Whether an operator, or the worker itself because it is about to stop, wants no new work on it.
    pub draining: bool,
    /// How long it has been silent; none: it has not been heard since the master was started.
    pub silence: Option<Duration>,
    /// What it said last; none: nothing since the master was started.
    pub heartbeat: Option<Heartbeat>,
    /// What is promised on it; none: nothing was heard of it since the master was started.
    pub view: Option<WorkerView>,
}

/// What was promised to an attempt, to be given back once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reservation {
    domain: DomainId,
    cores: u16,
    memory: Bytes,
    exclusive: u8,
    shared: u32,
    alone: bool,
}

#[derive(Debug)]
struct Member {
    record: WorkerRecord,
    heartbeat: Option<Heartbeat>,
    last_seen: Option<Timestamp>,
    /// When it was asked last, and whether the answer is still to come.
    asked: Option<(Timestamp, bool)>,
    /// It could not be reached for an order: not trusted until it answers again.
    doubted: bool,
    promised: BTreeMap<AttemptId, Reservation>,
    /// Files it said it does not have.
    missing: BTreeSet<ContentHash>,
    /// Files on their way to it, with how often that failed.
    transfers: BTreeMap<ContentHash, u32>,
    /// Files it has no use for, to be told when it answers again.
    discards: BTreeSet<ContentHash>,
}

/// How workers are watched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) heartbeat: Duration,
    pub(super) suspect_after: Duration,
    pub(super) dead_after: Duration,
}

/// What a look at the clock brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) ask: Vec<Peer>,
    /// Attempts on workers that have just been given up.
    pub(super) lost: Vec<AttemptId>,
}

#[derive(Debug)]
pub(super) struct Members {
    members: BTreeMap<WorkerId, Member>,
    by_key: BTreeMap<WorkerKey, WorkerId>,
    view: ClusterView,
    patience: Patience,
    next: u64,
    /// Workers that an operator removed: they are not taken back until one adds them.
    removed: BTreeSet<WorkerKey>,
}

impl Members {
    pub(super) fn restore(
        records: impl IntoIterator<Item = WorkerRecord>,
        next: u64,
        patience: Patience,
    ) -> Self {
        let mut all = Self {
            members: BTreeMap::new(),
            by_key: BTreeMap::new(),
            view: ClusterView::default(),
            patience,
            next: next.max(1),
            removed: BTreeSet::new(),
        };
        for record in records {
            all.next = all.next.max(record.id.0 + 1);
            all.by_key.insert(record.key, record.id);
            all.members.insert(record.id, Member::new(record));
        }
        all
    }

    /// Whether an operator removed the worker with this key, and none added it again.
    pub(super) fn was_removed(&self, key: WorkerKey) -> bool {
        self.removed.contains(&key)
    }

    pub(super) fn view(&self) -> &ClusterView {
        &self.view
    }

    pub(super) fn peer(&self, id: WorkerId) -> Option<Peer> {
        self.members.get(&id).map(Member::peer)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = WorkerId> {
        self.members.keys().copied()
    }

    /// A worker introduced itself, or was introduced: its id, and what has to be kept where that is news.
    pub(super) fn join(
        &mut self,
        now: Timestamp,
        address: Address,
        heartbeat: Heartbeat,
    ) -> (WorkerId, Option<WorkerRecord>) {
        self.removed.remove(&heartbeat.key);
        let id = self.by_key.get(&heartbeat.key).copied();
        let news =
            id.and_then(|id| self.members.get(&id)).is_none_or(|member| member.record.address != address);
        let id = id.unwrap_or_else(|| {
            let id = WorkerId(self.next);
            self.next += 1;
            self.by_key.insert(heartbeat.key, id);
            let record = WorkerRecord { id, key: heartbeat.key, address: address.clone(), draining: false };
            self.members.insert(id, Member::new(record));
            id
        });
        if let Some(member) = self.members.get_mut(&id) {
            member.record.address = address;
        }
        self.heard(now, id, heartbeat);
        let record = self.members.get(&id).filter(|_| news).map(|member| member.record.clone());
        (id, record)
    }

    /// A worker answered. Attempts that it runs and nobody here knows are in the answer; `None` where whoever
    /// answered is somebody else.
    pub(super) fn answered(
        &mut self,
        now: Timestamp,
        id: WorkerId,
        heartbeat: Heartbeat,
    ) -> Option<Vec<AttemptId>> {
        let member = self.members.get_mut(&id)?;
        if let Some((_, pending)) = &mut member.asked {
            *pending = false;
        }
        if member.record.key != heartbeat.key {
            return None;
        }
        let stray = heartbeat.running.iter().filter(|attempt| !member.promised.contains_key(attempt));
        let stray = stray.copied().collect();
        self.heard(now, id, heartbeat);
        Some(stray)
    }

    /// A worker was asked and did not answer.
    pub(super) fn silent(&mut self, id: WorkerId) {
        if let Some(Member { asked: Some((_, pending)), .. }) = self.members.get_mut(&id) {
            *pending = false;
        }
    }

    /// Files that a worker which answers again has not been told to discard yet.
    pub(super) fn take_discards(&mut self, id: WorkerId) -> Vec<ContentHash> {
        self.members
            .get_mut(&id)
            .map_or_else(Vec::new, |member| std::mem::take(&mut member.discards).into_iter().collect())
    }

    fn heard(&mut self, now: Timestamp, id: WorkerId, heartbeat: Heartbeat) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let mut domains = BTreeMap::new();
        for status in &heartbeat.domains {
            let fresh = DomainView::new(status.domain.clone(), status.cores);
            domains.insert(status.domain.id, fresh);
        }
        let mut view = WorkerView {
            id,
            liveness: Liveness::Alive,
            draining: member.record.draining || heartbeat.stopping,
            enforced: heartbeat.enforced,
            memory: heartbeat.memory,
            reserved_memory: Bytes::default(),
            domains,
        };
        member.promised.values().for_each(|promise| promise.add_to(&mut view));
        member.last_seen = Some(now);
        member.doubted = false;
        member.heartbeat = Some(heartbeat);
        self.view.insert(view);
    }

    /// A worker could not be reached: it gets nothing new until it answers again.
    pub(super) fn doubt(&mut self, id: WorkerId) {
        if let (Some(member), Some(view)) = (self.members.get_mut(&id), self.view.worker_mut(id)) {
            member.doubted = true;
            view.liveness = view.liveness.max(Liveness::Suspect);
        }
    }

    /// A worker said that it is about to stop.
    pub(super) fn stopping(&mut self, id: WorkerId) {
        if let Some(view) = self.view.worker_mut(id) {
            view.draining = true;
        }
    }

    /// An operator wants no new work on a worker, or wants it again; `None` where there is no such worker.
    pub(super) fn drain(&mut self, id: WorkerId, draining: bool) -> Option<WorkerRecord> {
        let member = self.members.get_mut(&id)?;
        member.record.draining = draining;
        let stopping = member.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.stopping);
        if let Some(view) = self.view.worker_mut(id) {
            view.draining = draining || stopping;
        }
        Some(member.record.clone())
    }

    /// Looks at the clock: who has to be asked, who has to be given up.
    pub(super) fn watch(&mut self, now: Timestamp) -> Watched {
        let mut watched = Watched::default();
        let Patience { heartbeat, suspect_after, dead_after } = self.patience;
        for (&id, member) in &mut self.members {
            let due = member.asked.is_none_or(|(at, pending)| {
                now.since(at) >= if pending { dead_after.max(heartbeat) } else { heartbeat }
            });
            if due {
                member.asked = Some((now, true));
                watched.ask.push(member.peer());
            }
            let Some(view) = self.view.worker_mut(id) else { continue };
            let silence = member.last_seen.map_or(Duration::MAX, |at| now.since(at));
            let liveness = match silence {
                silence if silence >= dead_after => Liveness::Dead,
                silence if silence >= suspect_after || member.doubted => Liveness::Suspect,
                _ => Liveness::Alive,
            };
            if liveness == Liveness::Dead && view.liveness != Liveness::Dead {
                watched.lost.extend(member.promised.keys());
            }
            view.liveness = liveness;
        }
        watched
    }

    /// How many attempts are promised room on a worker; `None` where there is no such worker.
    pub(super) fn promised(&self, id: WorkerId) -> Option<usize> {
        self.members.get(&id).map(|member| member.promised.len())
    }

    pub(super) fn is_dead(&self, id: WorkerId) -> bool {
        self.view.worker(id).is_none_or(|view| view.liveness == Liveness::Dead)
    }

    /// Forgets a worker: the attempts that were promised room on it.
    pub(super) fn remove(&mut self, id: WorkerId) -> Vec<AttemptId> {
        let Some(member) = self.members.remove(&id) else { return Vec::new() };
        self.by_key.remove(&member.record.key);
        self.removed.insert(member.record.key);
        self.view.remove(id);
        member.promised.into_keys().collect()
    }

    /// Promises room.
    pub(super) fn reserve(&mut self, attempt: AttemptId, placement: Placement, needs: Needs, alone: bool) {
        let (Some(member), Some(view)) =
            (self.members.get_mut(&placement.worker), self.view.worker_mut(placement.worker))
        else {
            return;
        };
        let least =
            view.domains.get(&placement.domain).map_or(Ways::ONE, |domain| domain.geometry().min_ways);
        let ways = placement.ways.max(least).get();
        let (exclusive, shared) = match needs.isolation {
            Isolation::Exclusive => (ways, 0),
            Isolation::Shared => (0, u32::from(ways)),
        };
        let domain = placement.domain;
        let promise =
            Reservation { domain, cores: needs.cores, memory: needs.memory, exclusive, shared, alone };
        promise.add_to(view);
        member.promised.insert(attempt, promise);
    }

    /// Takes a promise back; whether there was one.
    pub(super) fn release(&mut self, worker: WorkerId, attempt: AttemptId) -> bool {
        let Some(promise) = self.members.get_mut(&worker).and_then(|member| member.promised.remove(&attempt))
        else {
            return false;
        };
        if let Some(view) = self.view.worker_mut(worker) {
            promise.take_from(view);
        }
        true
    }

    /// Whether a worker said that it does not have a file.
    pub(super) fn lacks(&self, worker: WorkerId, file: ContentHash) -> bool {
        self.members.get(&worker).is_some_and(|member| member.missing.contains(&file))
    }

    /// A worker said that it does not have a file.
    pub(super) fn missing(&mut self, worker: WorkerId, file: ContentHash) {
        if let Some(member) = self.members.get_mut(&worker) {
            member.missing.insert(file);
        }
    }

    /// A file is wanted on a worker: whether it has to be sent now, because it is not on its way yet.
    pub(super) fn start_transfer(&mut self, worker: WorkerId, file: ContentHash) -> bool {
        let Some(member) = self.members.get_mut(&worker) else { return false };
        let fresh = !member.transfers.contains_key(&file);
        member.transfers.entry(file).or_insert(0);
        fresh
    }

    /// A file arrived.
    pub(super) fn transfer_done(&mut self, worker: WorkerId, file: ContentHash) {
        if let Some(member) = self.members.get_mut(&worker) {
            member.transfers.remove(&file);
            member.missing.remove(&file);
            member.discards.remove(&file);
        }
    }

    /// A file did not arrive: how often now.
    pub(super) fn transfer_failed(&mut self, worker: WorkerId, file: ContentHash) -> u32 {
        let Some(failures) = self.members.get_mut(&worker).and_then(|member| member.transfers.get_mut(&file))
        else {
            return u32::MAX;
        };
        *failures += 1;
        *failures
    }

    /// A file is given up on a worker.
    pub(super) fn end_transfer(&mut self, worker: WorkerId, file: ContentHash) {
        if let Some(member) = self.members.get_mut(&worker) {
            member.transfers.remove(&file);
        }
    }

    /// A file is of no use any more: who is to be told now.
    pub(super) fn discard(&mut self, file: ContentHash) -> Vec<Peer> {
        let mut peers = Vec::new();
        for (&id, member) in &mut self.members {
            member.missing.remove(&file);
            let alive = self.view.worker(id).is_some_and(|view| view.liveness == Liveness::Alive);
            if alive {
                peers.push(member.peer());
            } else {
                member.discards.insert(file);
            }
        }
        peers
    }

    /// A file is of use again.
    pub(super) fn keep(&mut self, file: ContentHash) {
        self.members.values_mut().for_each(|member| {
            member.discards.remove(&file);
        });
    }

    pub(super) fn infos(&self, now: Timestamp) -> impl Iterator<Item = WorkerInfo> {
        self.members.iter().map(move |(&id, member)| {
            let view = self.view.worker(id);
            WorkerInfo {
                id,
                key: member.record.key,
                address: member.record.address.clone(),
                liveness: view.map_or(Liveness::Dead, |view| view.liveness),
                draining: view.map_or(member.record.draining, |view| view.draining),
                silence: member.last_seen.map(|at| now.since(at)),
                heartbeat: member.heartbeat.clone(),
                view: view.cloned(),
            }
        })
    }
}

impl Member {
    fn new(record: WorkerRecord) -> Self {
        Self {
            record,
            heartbeat: None,
            last_seen: None,
            asked: None,
            doubted: false,
            promised: BTreeMap::new(),
            missing: BTreeSet::new(),
            transfers: BTreeMap::new(),
            discards: BTreeSet::new(),
        }
    }

    fn peer(&self) -> Peer {
        Peer { worker: self.record.id, address: self.record.address.clone() }
    }
}

impl Reservation {
    fn add_to(&self, view: &mut WorkerView) {
        view.reserved_memory.0 += self.memory.0;
        if let Some(domain) = view.domains.get_mut(&self.domain) {
            domain.reserved_cores += self.cores;
            domain.reserved_exclusive += self.exclusive;
            domain.asked_shared += self.shared;
            domain.placed += 1;
            domain.held_alone |= self.alone;
        }
    }

    fn take_from(&self, view: &mut WorkerView) {
        view.reserved_memory.0 = view.reserved_memory.0.saturating_sub(self.memory.0);
        if let Some(domain) = view.domains.get_mut(&self.domain) {
            domain.reserved_cores = domain.reserved_cores.saturating_sub(self.cores);
            domain.reserved_exclusive = domain.reserved_exclusive.saturating_sub(self.exclusive);
            domain.asked_shared = domain.asked_shared.saturating_sub(self.shared);
            domain.placed = domain.placed.saturating_sub(1);
            domain.held_alone &= !self.alone;
        }
    }
}
