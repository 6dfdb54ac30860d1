//! The workers: who they are, whether they answer, and what is promised on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::controller::duration;
use crate::cache::{Bytes, DomainId, Ways};
use crate::cluster::{
    ClusterView, DomainStatus, DomainView, Heartbeat, Liveness, Pace, Resident, WorkerView,
};
use crate::curve::Curve;
use crate::function::{Isolation, Needs};
use crate::id::{AttemptId, ContentHash, WorkerId, WorkerKey};
use crate::invocation::Weight;
use crate::maps::{Few, Roster};
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

/// What a promise is for.
#[derive(Debug, Clone)]
pub(super) struct Promise {
    pub(super) attempt: AttemptId,
    pub(super) placement: Placement,
    pub(super) needs: Needs,
    /// Whether nobody else may run in the domain meanwhile.
    pub(super) alone: bool,
    /// How its time depends on cache.
    pub(super) curve: Arc<Curve>,
}

/// A worker's books.
#[derive(Debug)]
pub(super) struct Member {
    record: WorkerRecord,
    heartbeat: Option<Heartbeat>,
    last_seen: Option<Timestamp>,
    /// When it was asked last, and whether the answer is still to come.
    asked: Option<(Timestamp, bool)>,
    /// It could not be reached for an order: not trusted until it answers again.
    doubted: bool,
    promised: Few<AttemptId, Reservation>,
    /// When [`Members::watch`] looks at it next.
    look: Timestamp,
    /// How much longer than expected runs take here: the mean of their logarithms, newer ones counting more.
    slowness: f64,
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
    members: Roster<WorkerId, Member>,
    by_key: BTreeMap<WorkerKey, WorkerId>,
    view: ClusterView,
    patience: Patience,
    next: u64,
    /// When to look at whom.
    looks: BTreeSet<(Timestamp, WorkerId)>,
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
            members: Roster::default(),
            by_key: BTreeMap::new(),
            view: ClusterView::default(),
            patience,
            next: next.max(1),
            looks: BTreeSet::new(),
            removed: BTreeSet::new(),
        };
        for record in records {
            all.next = all.next.max(record.id.0 + 1);
            all.by_key.insert(record.key, record.id);
            all.looks.insert((Timestamp::default(), record.id));
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
            self.looks.insert((Timestamp::default(), id));
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
    /// answered is somebody else. The second says whether there may be room now where there was none.
    pub(super) fn answered(
        &mut self,
        now: Timestamp,
        id: WorkerId,
        heartbeat: Heartbeat,
    ) -> Option<(Vec<AttemptId>, bool)> {
        self.silent(id);
        let member = self.members.get_mut(&id)?;
        if member.record.key != heartbeat.key {
            return None;
        }
        let stray = heartbeat.running.iter().filter(|attempt| !member.promised.contains_key(attempt));
        let stray = stray.copied().collect();
        let news = self.heard(now, id, heartbeat);
        Some((stray, news))
    }

    /// A worker was asked and did not answer.
    pub(super) fn silent(&mut self, id: WorkerId) {
        let Some(Member { asked: Some((at, pending)), look, .. }) = self.members.get_mut(&id) else { return };
        *pending = false;
        let due = *at + self.patience.heartbeat;
        if due < *look {
            self.looks.remove(&(*look, id));
            self.looks.insert((due, id));
            *look = due;
        }
    }

    /// Files that a worker which answers again has not been told to discard yet.
    pub(super) fn take_discards(&mut self, id: WorkerId) -> Vec<ContentHash> {
        self.members
            .get_mut(&id)
            .map_or_else(Vec::new, |member| std::mem::take(&mut member.discards).into_iter().collect())
    }

    /// Takes in what a worker says of itself; whether there may be room now where there was none.
    fn heard(&mut self, now: Timestamp, id: WorkerId, heartbeat: Heartbeat) -> bool {
        let Some(member) = self.members.get_mut(&id) else { return false };
        let draining = member.record.draining || heartbeat.stopping;
        member.last_seen = Some(now);
        member.doubted = false;
        let known = self.view.update(id, |view| {
            let same = view.memory == heartbeat.memory
                && view.enforced == heartbeat.enforced
                && view.domains.len() == heartbeat.domains.len()
                && heartbeat.domains.iter().all(|status| {
                    let known = view.domains.get(&status.domain.id);
                    known.is_some_and(|known| known.cores == status.cores && known.domain == status.domain)
                });
            if same {
                let could = view.accepts();
                view.liveness = Liveness::Alive;
                view.draining = draining;
                view.domains.values_mut().for_each(|domain| domain.look(now));
                return Some(!could && view.accepts());
            }
            None
        });
        if let Some(Some(news)) = known {
            member.heartbeat = Some(heartbeat);
            return news;
        }
        let fresh = |status: &DomainStatus| DomainView::new(status.domain.clone(), status.cores);
        let mut view = WorkerView {
            id,
            liveness: Liveness::Alive,
            draining,
            enforced: heartbeat.enforced,
            pace: Pace::of(member.slowness.exp()),
            memory: heartbeat.memory,
            reserved_memory: Bytes::default(),
            domains: heartbeat.domains.iter().map(|status| (status.domain.id, fresh(status))).collect(),
        };
        for (&attempt, reservation) in member.promised.iter() {
            reservation.add_to(&mut view);
            let resident = self.view.resident(id, reservation.domain, attempt);
            if let (Some(domain), Some(resident)) = (view.domains.get_mut(&reservation.domain), resident) {
                domain.add_resident(now, attempt, resident);
            }
        }
        member.heartbeat = Some(heartbeat);
        self.view.insert(view);
        true
    }

    /// A worker could not be reached: it gets nothing new until it answers again.
    pub(super) fn doubt(&mut self, id: WorkerId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.doubted = true;
            self.view.update(id, |view| view.liveness = view.liveness.max(Liveness::Suspect));
        }
    }

    /// A worker said that it is about to stop.
    pub(super) fn stopping(&mut self, id: WorkerId) {
        self.view.update(id, |view| view.draining = true);
    }

    /// An operator wants no new work on a worker, or wants it again; `None` where there is no such worker.
    pub(super) fn drain(&mut self, id: WorkerId, draining: bool) -> Option<WorkerRecord> {
        let member = self.members.get_mut(&id)?;
        member.record.draining = draining;
        let stopping = member.heartbeat.as_ref().is_some_and(|heartbeat| heartbeat.stopping);
        self.view.update(id, |view| view.draining = draining || stopping);
        Some(member.record.clone())
    }

    /// Looks at the clock: who has to be asked, who has to be given up. Only at those whose time has come.
    pub(super) fn watch(&mut self, now: Timestamp) -> Watched {
        let mut watched = Watched::default();
        while let Some(&(at, id)) = self.looks.first().filter(|(at, _)| *at <= now) {
            self.looks.remove(&(at, id));
            let Some(member) = self.members.get_mut(&id) else { continue };
            let again = Self::look_at(&mut self.view, self.patience, now, id, member, &mut watched);
            member.look = again;
            self.looks.insert((again, id));
        }
        // In the order of ids, whoever was due first.
        watched.ask.sort_unstable_by_key(|peer| peer.worker);
        watched.lost.sort_unstable();
        watched
    }

    /// When to look again.
    fn look_at(
        view: &mut ClusterView,
        patience: Patience,
        now: Timestamp,
        id: WorkerId,
        member: &mut Member,
        watched: &mut Watched,
    ) -> Timestamp {
        let Patience { heartbeat, suspect_after, dead_after } = patience;
        let wait = |pending: bool| if pending { dead_after.max(heartbeat) } else { heartbeat };
        if member.asked.is_none_or(|(at, pending)| now.since(at) >= wait(pending)) {
            member.asked = Some((now, true));
            watched.ask.push(member.peer());
        }
        let mut again = member.asked.map_or(now, |(at, _)| at + heartbeat);
        if again <= now {
            // It has not answered yet; when it does, the next look comes at once.
            again = now + heartbeat.max(Duration::from_nanos(1));
        }
        let silence = member.last_seen.map_or(Duration::MAX, |at| now.since(at));
        let liveness = match silence {
            silence if silence >= dead_after => Liveness::Dead,
            silence if silence >= suspect_after || member.doubted => Liveness::Suspect,
            _ => Liveness::Alive,
        };
        if let Some(seen) = member.last_seen {
            let bounds = [seen + suspect_after, seen + dead_after];
            again = bounds.into_iter().filter(|&at| at > now).fold(again, Ord::min);
        }
        let was = view.worker(id).map(|view| view.liveness);
        if was.is_some_and(|was| was != liveness) {
            if liveness == Liveness::Dead {
                watched.lost.extend(member.promised.keys());
            }
            view.update(id, |view| view.liveness = liveness);
        }
        again
    }

    /// The attempts that are promised room on a worker.
    pub(super) fn attempts(&self, id: WorkerId) -> impl Iterator<Item = AttemptId> {
        self.members.get(&id).into_iter().flat_map(|member| member.promised.keys().copied())
    }

    /// How many looks at workers are due some time.
    #[cfg(test)]
    pub(super) fn looks(&self) -> usize {
        self.looks.len()
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
        self.looks.remove(&(member.look, id));
        self.removed.insert(member.record.key);
        self.view.remove(id);
        member.promised.into_iter().map(|(attempt, _)| attempt).collect()
    }

    /// Promises room: how long the run should take there, seconds, and whose the room is; `None` where there is no such worker.
    pub(super) fn reserve(&mut self, now: Timestamp, promise: Promise) -> Option<(f64, &mut Member)> {
        let Promise { attempt, placement, needs, alone, curve } = promise;
        let member = self.members.get_mut(&placement.worker)?;
        let seconds = self.view.update(placement.worker, |view| {
            let pace = view.pace.factor();
            let domain = view.domains.get(&placement.domain);
            let seconds =
                domain.map_or(0.0, |domain| curve.seconds(domain.geometry(), placement.ways)) * pace;
            let least = domain.map_or(Ways::ONE, |domain| domain.geometry().min_ways);
            let ways = placement.ways.max(least).get();
            let (exclusive, shared) = match needs.isolation {
                Isolation::Exclusive => (ways, 0),
                Isolation::Shared => (0, u32::from(ways)),
            };
            let Needs { cores, memory, isolation } = needs;
            let reservation =
                Reservation { domain: placement.domain, cores, memory, exclusive, shared, alone };
            reservation.add_to(view);
            if let Some(domain) = view.domains.get_mut(&placement.domain) {
                let (weight, expected) = (Weight::ONE, duration(seconds));
                let resident = Resident { curve, weight, isolation, since: now, expected };
                domain.add_resident(now, attempt, resident);
            }
            member.promised.insert(attempt, reservation);
            seconds
        })?;
        Some((seconds, member))
    }

    /// Takes a promise back; whether there was one.
    pub(super) fn release(&mut self, now: Timestamp, worker: WorkerId, attempt: AttemptId) -> bool {
        let Some(promise) = self.members.get_mut(&worker).and_then(|member| member.promised.remove(&attempt))
        else {
            return false;
        };
        self.view.update(worker, |view| {
            promise.take_from(view);
            if let Some(domain) = view.domains.get_mut(&promise.domain) {
                domain.remove_resident(now, attempt);
            }
        });
        true
    }

    /// A run took `ratio` times as long as its curve says: what that tells of the worker.
    pub(super) fn timed(&mut self, worker: WorkerId, ratio: f64) {
        let Some(member) = self.members.get_mut(&worker) else { return };
        if !(ratio > 0.0 && ratio.is_finite()) {
            return;
        }
        member.slowness += (ratio.ln().clamp(-3.0, 3.0) - member.slowness) * Self::NEWEST;
        let pace = Pace::of(member.slowness.exp());
        if self.view.worker(worker).is_some_and(|view| view.pace != pace) {
            self.view.update(worker, |view| view.pace = pace);
        }
    }

    /// How much the newest run counts in a worker's slowness.
    const NEWEST: f64 = 0.05;

    /// A worker said that it does not have a file.
    pub(super) fn missing(&mut self, worker: WorkerId, file: ContentHash) {
        if let Some(member) = self.members.get_mut(&worker) {
            member.missing.insert(file);
            self.view.lacks_file(worker, file);
        }
    }

    /// A worker ran a file, so it has it.
    pub(super) fn has(&mut self, worker: WorkerId, file: ContentHash) {
        if self.members.get(&worker).is_some_and(|member| !member.missing.contains(&file)) {
            self.view.holds_file(worker, file);
        }
    }

    /// A file arrived.
    pub(super) fn transfer_done(&mut self, worker: WorkerId, file: ContentHash) {
        if let Some(member) = self.members.get_mut(&worker) {
            member.transfers.remove(&file);
            member.missing.remove(&file);
            member.discards.remove(&file);
            self.view.holds_file(worker, file);
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
        self.view.forget_file(file);
        self.members.each(|&id, member| {
            member.missing.remove(&file);
            let alive = self.view.worker(id).is_some_and(|view| view.liveness == Liveness::Alive);
            if alive {
                peers.push(member.peer());
            } else {
                member.discards.insert(file);
            }
        });
        peers
    }

    /// A file is of use again.
    pub(super) fn keep(&mut self, file: ContentHash) {
        self.members.each(|_, member| {
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
            promised: Few::default(),
            look: Timestamp::default(),
            slowness: 0.0,
            missing: BTreeSet::new(),
            transfers: BTreeMap::new(),
            discards: BTreeSet::new(),
        }
    }

    /// Whether it said that it does not have a file.
    pub(super) fn lacks(&self, file: ContentHash) -> bool {
        self.missing.contains(&file)
    }

    /// A file is wanted: whether it has to be sent now, because it is not on its way yet.
    pub(super) fn start_transfer(&mut self, file: ContentHash) -> bool {
        let fresh = !self.transfers.contains_key(&file);
        self.transfers.entry(file).or_insert(0);
        fresh
    }

    pub(super) fn peer(&self) -> Peer {
        Peer { worker: self.record.id, address: self.record.address.clone() }
    }
}

impl Reservation {
    fn add_to(&self, view: &mut WorkerView) {
        view.reserved_memory.0 += self.memory.0;
        if let Some(domain) = view.domains.get_mut(&self.domain) {
            domain.reserved_cores += self.cores;
            domain.reserved_exclusive += self.exclusive;
            domain.exclusive_leases += u16::from(self.exclusive > 0);
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
            domain.exclusive_leases -= domain.exclusive_leases.min(u16::from(self.exclusive > 0));
            domain.asked_shared = domain.asked_shared.saturating_sub(self.shared);
            domain.placed = domain.placed.saturating_sub(1);
            domain.held_alone &= !self.alone;
        }
    }
}
