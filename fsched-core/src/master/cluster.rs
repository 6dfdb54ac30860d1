//! Workers as they come, answer, drain and go.

use super::members::WorkerInfo;
use super::{Effect, Effects, Master, Removal, UnknownWorker, WorkerRemoved};
use crate::cluster::Heartbeat;
use crate::id::WorkerId;
use crate::store::Record;
use crate::time::Timestamp;
use crate::transport::{Address, TransportError};

impl Master {
    /// A worker registered itself: its id, the same for the same key.
    ///
    /// # Errors
    /// Where an operator removed it: it stays away until one [adds](Self::join) it again, or the master is restarted.
    pub fn register(
        &mut self,
        now: Timestamp,
        address: Address,
        heartbeat: Heartbeat,
    ) -> Result<(WorkerId, Effects), WorkerRemoved> {
        if self.members.was_removed(heartbeat.key) {
            return Err(WorkerRemoved);
        }
        Ok(self.join(now, address, heartbeat))
    }

    /// A worker was added by somebody, and found: its id, the same for the same key.
    pub fn join(&mut self, now: Timestamp, address: Address, heartbeat: Heartbeat) -> (WorkerId, Effects) {
        let (id, news) = self.members.join(now, address, heartbeat);
        let mut effects = Effects::new();
        if let Some(record) = news {
            effects.push(Effect::Persist { record: Record::WorkerPut(record), durable: true });
        }
        self.tell_discards(id, &mut effects);
        self.dispatch(now, &mut effects);
        (id, effects)
    }

    /// An [`Effect::Inspect`] was answered, or not.
    pub fn inspected(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        answer: Result<Heartbeat, TransportError>,
    ) -> Effects {
        let mut effects = Effects::new();
        let Ok(heartbeat) = answer else {
            self.members.silent(worker);
            return effects;
        };
        let (Some((stray, news)), Some(to)) =
            (self.members.answered(now, worker, heartbeat), self.members.peer(worker))
        else {
            return effects;
        };
        effects.extend(stray.into_iter().map(|attempt| Effect::Cancel { to: to.clone(), attempt }));
        self.tell_discards(worker, &mut effects);
        if news {
            self.dispatch(now, &mut effects);
        }
        effects
    }

    fn tell_discards(&mut self, worker: WorkerId, effects: &mut Effects) {
        let Some(to) = self.members.peer(worker) else { return };
        let files = self.members.take_discards(worker).into_iter();
        effects.extend(files.map(|file| Effect::Discard { to: to.clone(), file }));
    }

    /// No new work on a worker, or new work again.
    ///
    /// # Errors
    /// Where there is no such worker.
    pub fn drain(&mut self, now: Timestamp, id: WorkerId, draining: bool) -> Result<Effects, UnknownWorker> {
        let record = self.members.drain(id, draining).ok_or(UnknownWorker(id))?;
        let mut effects = vec![Effect::Persist { record: Record::WorkerPut(record), durable: true }];
        self.dispatch(now, &mut effects);
        Ok(effects)
    }

    /// Forgets a worker: at once where nothing runs on it or it is dead, else when what runs there has ended.
    ///
    /// # Errors
    /// Where there is no such worker.
    pub fn remove_worker(
        &mut self,
        now: Timestamp,
        id: WorkerId,
    ) -> Result<(Removal, Effects), UnknownWorker> {
        let running = self.members.promised(id).ok_or(UnknownWorker(id))?;
        let mut effects = Effects::new();
        if running > 0 && !self.members.is_dead(id) {
            self.members.drain(id, true);
            self.leaving.insert(id);
            return Ok((Removal::Waiting(running), effects));
        }
        self.forget_worker(now, id, &mut effects);
        Ok((Removal::Done, effects))
    }

    fn forget_worker(&mut self, now: Timestamp, id: WorkerId, effects: &mut Effects) {
        self.leaving.remove(&id);
        effects.push(Effect::Persist { record: Record::WorkerRemoved(id), durable: true });
        for attempt in self.members.remove(id) {
            self.lose(now, attempt, effects);
        }
    }

    /// Forgets the workers that were only waited for.
    pub(super) fn let_go(&mut self, now: Timestamp, effects: &mut Effects) {
        if self.leaving.is_empty() {
            return;
        }
        let idle =
            |id: &WorkerId| self.members.promised(*id).is_none_or(|n| n == 0) || self.members.is_dead(*id);
        let gone: Vec<WorkerId> = self.leaving.iter().copied().filter(idle).collect();
        gone.into_iter().for_each(|id| self.forget_worker(now, id, effects));
    }

    /// All workers, by id.
    pub fn workers(&self, now: Timestamp) -> impl Iterator<Item = WorkerInfo> {
        self.members.infos(now)
    }
}
