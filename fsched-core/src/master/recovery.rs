//! What becomes of an invocation whose order brought no report: it waits again, is tried elsewhere, or is lost.

use super::controller::Live;
use super::queue::Waiting;
use super::{Effect, Effects, Master};
use crate::id::{AttemptId, ContentHash, InvocationId, WorkerId};
use crate::invocation::{InvocationState, LostReason, Outcome};
use crate::store::EndKind;
use crate::time::Timestamp;
use crate::transport::{Refusal, TransportError};

/// How often an invocation may come back from workers without having been started.
const MAX_RETURNS: u32 = 50;
/// How often a file is sent before a worker is given up for it.
const MAX_TRANSFERS: u32 = 3;
/// How many times in all workers may be given up for an invocation's file before it is given up itself.
const MAX_FETCHES: u32 = 3;

impl Master {
    /// An [`Effect::Transfer`] is over.
    pub fn transferred(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        file: ContentHash,
        answer: Result<(), TransportError>,
    ) -> Effects {
        let mut effects = Effects::new();
        let waits = |live: &Live| matches!(live.invocation.state, InvocationState::Fetching { worker: at, .. } if at == worker);
        let waiting =
            |id: &InvocationId| self.live.get(id).is_some_and(|live| live.file == file && waits(live));
        let waiting: Vec<InvocationId> =
            self.members.attempts(worker).map(|attempt| attempt.invocation).filter(waiting).collect();
        let error = match answer {
            Ok(()) => {
                self.members.transfer_done(worker, file);
                for id in waiting {
                    let (Some(live), Some(to)) = (self.live.get_mut(&id), self.members.peer(worker)) else {
                        continue;
                    };
                    if let Some((_, attempt)) = live.current() {
                        effects.extend(live.send(now, self.term, to, attempt));
                    }
                }
                return effects;
            }
            Err(error) => error,
        };
        let hopeless = matches!(error, TransportError::Unreadable { .. });
        let unreachable = matches!(error, TransportError::Unreachable { .. });
        if unreachable {
            self.members.doubt(worker);
        }
        if !hopeless && !unreachable && self.members.transfer_failed(worker, file) < MAX_TRANSFERS {
            effects.extend(self.members.peer(worker).map(|to| Effect::Transfer { to, file }));
            return effects;
        }
        self.members.end_transfer(worker, file);
        for id in waiting {
            if let Some((_, attempt)) = self.live.get(&id).and_then(|live| live.current()) {
                self.members.release(now, worker, attempt);
            }
            let avoid = Some((worker, now + self.config.dead_after));
            let failed = self.live.get_mut(&id).map(|live| {
                live.fetches_failed += u32::from(!unreachable);
                live.fetches_failed
            });
            if hopeless || failed >= Some(MAX_FETCHES) {
                self.end_unplaced(now, id, &error.to_string(), &mut effects);
            } else {
                self.come_back(now, id, avoid, &error.to_string(), &mut effects);
            }
        }
        self.let_go(now, &mut effects);
        self.dispatch(now, &mut effects);
        effects
    }

    /// What a failed order says about the worker, whoever still waits for it.
    pub(super) fn note_failure(&mut self, id: InvocationId, worker: WorkerId, error: &TransportError) {
        match error {
            TransportError::Refused(Refusal::MissingFile) => {
                if let Some(live) = self.live.get(&id) {
                    self.members.missing(worker, live.file);
                }
            }
            TransportError::Refused(Refusal::Stopping) => self.members.stopping(worker),
            TransportError::Unreachable { .. } | TransportError::Protocol { .. } => {
                self.members.doubt(worker)
            }
            _ => {}
        }
    }

    pub(super) fn come_back_or_lose(
        &mut self,
        now: Timestamp,
        id: InvocationId,
        worker: WorkerId,
        error: &TransportError,
        effects: &mut Effects,
    ) {
        let for_a_while = now + self.config.heartbeat;
        match error {
            TransportError::Broken { .. } | TransportError::Refused(Refusal::Duplicate) => {
                self.fail_over(now, id, worker, effects);
            }
            // It goes to the same worker again, after its file.
            TransportError::Refused(Refusal::MissingFile) => {
                self.come_back(now, id, None, &error.to_string(), effects)
            }
            TransportError::Refused(Refusal::Impossible(_)) => {
                self.come_back(now, id, Some((worker, Timestamp(u64::MAX))), &error.to_string(), effects);
            }
            _ => self.come_back(now, id, Some((worker, for_a_while)), &error.to_string(), effects),
        }
    }

    /// Nothing was started: it waits again, in its old place.
    fn come_back(
        &mut self,
        now: Timestamp,
        id: InvocationId,
        avoid: Option<(WorkerId, Timestamp)>,
        reason: &str,
        effects: &mut Effects,
    ) {
        let Some(live) = self.live.get_mut(&id) else { return };
        if live.cancelled {
            self.end(now, id, EndKind::Cancelled, Outcome::Cancelled, effects);
            return;
        }
        if let Some((worker, until)) = avoid {
            live.avoid(worker, until);
        }
        live.returns += 1;
        if live.returns > MAX_RETURNS {
            self.end_unplaced(now, id, reason, effects);
            return;
        }
        live.invocation.state = InvocationState::Queued;
        self.queue.push_again(Waiting::new(id, live.needs, live.avoid.is_empty()));
    }

    /// Its worker is lost, and nobody knows how far it came: a second try where that does no harm, once.
    pub(super) fn fail_over(
        &mut self,
        now: Timestamp,
        id: InvocationId,
        worker: WorkerId,
        effects: &mut Effects,
    ) {
        let Some(live) = self.live.get_mut(&id) else { return };
        if !live.invocation.submission.idempotent || live.failed_over || live.cancelled {
            self.end(now, id, EndKind::LostWorker, Outcome::Lost(LostReason::Worker), effects);
            return;
        }
        live.failed_over = true;
        self.counts.failed_over += 1;
        live.avoid(worker, now + self.config.dead_after);
        live.invocation.state = InvocationState::Queued;
        self.queue.push_again(Waiting::new(id, live.needs, false));
    }

    /// An attempt's worker was given up or removed.
    pub(super) fn lose(&mut self, now: Timestamp, attempt: AttemptId, effects: &mut Effects) {
        let id = attempt.invocation;
        let Some(live) = self.live.get(&id) else { return };
        let Some((worker, _)) = live.current().filter(|&(_, current)| current == attempt) else { return };
        self.members.release(now, worker, attempt);
        match live.invocation.state {
            // Nothing was started.
            InvocationState::Fetching { .. } => {
                let avoid = Some((worker, now + self.config.heartbeat));
                self.come_back(now, id, avoid, "the worker was lost while the file was on its way", effects);
            }
            _ => self.fail_over(now, id, worker, effects),
        }
    }
}
