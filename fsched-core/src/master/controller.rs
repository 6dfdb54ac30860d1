//! The life of an invocation: accepted, placed, sent, ended.

use std::sync::Arc;
use std::time::Duration;

use super::benchmarks::Probe;
use super::members::Promise;
use super::queue::{Tried, Waiting};
use super::{Effect, Effects, Master};
use crate::cluster::ClusterView;
use crate::function::{Function, Isolation, Needs};
use crate::id::{AttemptId, ContentHash, FunctionId, InvocationId, WorkerId};
use crate::invocation::{
    CacheAsk, Ending, Estimate, Invocation, InvocationState, LostReason, Order, Outcome, Report, Submission,
    Weight,
};
use crate::predictor::{Knowledge, Prediction};
use crate::sample::{Origin, Sample};
use crate::scheduler::{PlaceError, Placement, Request};
use crate::store::{EndKind, InvocationRecord, Record, StoreError};
use crate::time::Timestamp;
use crate::transport::{Peer, TransportError};

/// Why an invocation is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// There is no such function, or it was removed.
    #[error("there is no function {0}")]
    UnknownFunction(FunctionId),
    /// Nothing is known of the function yet, and the submission wants something to be known.
    #[error("nothing is known of the function yet")]
    NotReady,
    /// Too many wait already.
    #[error("{waiting} invocations are waiting already; try again in {} s", retry_after.as_secs())]
    QueueFull {
        /// How many.
        waiting: usize,
        /// When to try again.
        retry_after: Duration,
    },
    /// No worker could hold it, not even an empty one.
    #[error("no known worker is large enough for this function")]
    NeverFits,
    /// There are no workers that take work.
    #[error("there is no worker that takes work")]
    NoWorkers,
    /// The master is about to stop.
    #[error("the master is about to stop")]
    Stopping,
    /// It could not be kept, so it was not begun.
    #[error("it cannot be kept: {0}")]
    NotKept(StoreError),
}

/// Why an invocation cannot be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// There is no memory of such an invocation.
    #[error("there is no invocation {0}")]
    Unknown(InvocationId),
    /// It is over.
    #[error("invocation {0} has ended already")]
    AlreadyEnded(InvocationId),
}

/// An invocation that has not ended.
#[derive(Debug)]
pub(super) struct Live {
    /// Boxed, as it is kept when it is over.
    pub(super) invocation: Box<Invocation>,
    prediction: Prediction,
    pub(super) needs: Needs,
    pub(super) file: ContentHash,
    timeout: Duration,
    probe: Option<Probe>,
    /// The number of the next attempt.
    attempts: u32,
    /// Workers not to be tried until then.
    pub(super) avoid: Vec<(WorkerId, Timestamp)>,
    pub(super) returns: u32,
    /// How often its file was given up on the way to a worker.
    pub(super) fetches_failed: u32,
    pub(super) failed_over: bool,
    /// Whether it is to end as soon as it comes back from its worker.
    pub(super) cancelled: bool,
    /// Since when no worker there is could ever hold it.
    hopeless_since: Option<Timestamp>,
}

impl Live {
    /// The worker and attempt it stands at.
    pub(super) fn current(&self) -> Option<(WorkerId, AttemptId)> {
        match self.invocation.state {
            InvocationState::Fetching { attempt, worker }
            | InvocationState::Running { attempt, worker, .. } => Some((worker, attempt)),
            InvocationState::Queued | InvocationState::Ended { .. } => None,
        }
    }

    /// It goes to a worker; none: nobody knows how long it should take there.
    pub(super) fn send(&mut self, now: Timestamp, term: u64, to: Peer, attempt: AttemptId) -> Option<Effect> {
        let estimate = self.invocation.estimate?;
        self.invocation.state = InvocationState::Running { attempt, worker: to.worker, since: now };
        let submission = &self.invocation.submission;
        let order = Order {
            term,
            attempt,
            tenant: submission.tenant.clone(),
            function: submission.function,
            file: self.file,
            command: submission.command.as_ref().map_or_else(Vec::new, |command| command.words().to_vec()),
            input_size: submission.input_size,
            payload: submission.payload.clone(),
            needs: self.needs,
            timeout: self.timeout,
            domain: estimate.domain,
            cache: CacheAsk::new(self.needs.isolation, estimate.ways),
            curve: Arc::clone(&self.prediction.curve),
            weight: Weight::ONE,
            expected: duration(estimate.seconds),
            alone: self.probe.is_some(),
        };
        Some(Effect::Send { to, order: Box::new(order) })
    }

    pub(super) fn avoid(&mut self, worker: WorkerId, until: Timestamp) {
        self.avoid.retain(|&(other, _)| other != worker);
        self.avoid.push((worker, until));
    }
}

/// What came of an earlier life of the master.
pub(super) fn from_record(record: &InvocationRecord, end: EndKind, at: Timestamp) -> Invocation {
    let outcome = match end {
        EndKind::LostMaster => Some(Outcome::Lost(LostReason::Master)),
        EndKind::LostWorker => Some(Outcome::Lost(LostReason::Worker)),
        EndKind::Cancelled => Some(Outcome::Cancelled),
        _ => None,
    };
    Invocation {
        id: record.id,
        submission: Submission {
            tenant: record.tenant.clone(),
            ..Submission::new(record.function, record.input_size)
        },
        benchmark: None,
        knowledge: None,
        estimate: None,
        submitted: record.submitted,
        state: InvocationState::Ended { end, at, outcome },
    }
}

/// So many effects most calls have at most.
const FEW: usize = 4;

/// Expected seconds; more than a year is as good as a year.
pub(super) fn duration(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, 365.0 * 86_400.0))
}

fn end_kind(report: &Report) -> EndKind {
    match report.ending {
        Ending::Exited(status) => EndKind::Exited(status),
        Ending::Signalled(signal) => EndKind::Signalled(signal),
        Ending::TimedOut => EndKind::TimedOut,
        Ending::OutOfMemory => EndKind::OutOfMemory,
        Ending::Cancelled => EndKind::Cancelled,
        Ending::NotStarted(_) => EndKind::NotStarted,
    }
}

/// The price of a way, as [`Master::generosity`] says it.
pub(super) fn generosity(view: &ClusterView) -> f64 {
    0.0 - view.price()
}

/// How an end is counted.
fn label(end: EndKind) -> &'static str {
    match end {
        EndKind::Exited(0) => "succeeded",
        EndKind::Exited(_) => "failed",
        EndKind::Signalled(_) => "signalled",
        EndKind::TimedOut => "timed_out",
        EndKind::OutOfMemory => "out_of_memory",
        EndKind::Cancelled => "cancelled",
        EndKind::NotStarted => "not_started",
        EndKind::Unplaceable => "unplaceable",
        EndKind::LostWorker => "lost_worker",
        EndKind::LostMaster => "lost_master",
    }
}

impl Master {
    pub(super) fn accept(
        &mut self,
        now: Timestamp,
        mut submission: Submission,
        probe: Option<Probe>,
    ) -> Result<(InvocationId, Effects), SubmitError> {
        if self.stopping && probe.is_none() {
            return Err(SubmitError::Stopping);
        }
        let id = InvocationId(self.next_invocation);
        let of_probe = probe.is_some();
        let function = if of_probe {
            self.functions.get_even_removed(submission.function)
        } else {
            self.functions.get(submission.function)
        };
        let function = function.ok_or(SubmitError::UnknownFunction(submission.function))?;
        let prediction = self.predictor.predict(function.id, submission.input_size);
        if submission.only_if_known && prediction.knowledge == Knowledge::Inop {
            return Err(SubmitError::NotReady);
        }
        if submission.command.is_none() {
            submission.command.clone_from(&function.spec.command);
        }
        let mut live = Box::new(Live::new(id, function, submission, prediction, probe, now));
        let needs = live.needs;
        let record = Record::Accepted(InvocationRecord {
            id,
            tenant: live.invocation.submission.tenant.clone(),
            function: live.invocation.submission.function,
            input_size: live.invocation.submission.input_size,
            submitted: now,
            end: None,
        });
        let placement = match self.place(&live, now) {
            Ok(placement) if self.queue.lets_pass() || of_probe => Some(placement),
            Ok(_) | Err(PlaceError::NoRoom) if self.queue.len() >= self.config.queue && !of_probe => {
                return Err(SubmitError::QueueFull {
                    waiting: self.queue.len(),
                    retry_after: Duration::from_secs(1),
                });
            }
            Ok(_) | Err(PlaceError::NoRoom) => None,
            Err(PlaceError::NeverFits) => return Err(SubmitError::NeverFits),
            Err(PlaceError::NoWorkers) => return Err(SubmitError::NoWorkers),
        };
        self.next_invocation += 1;
        self.counts.accept(&live.invocation.submission.tenant);
        self.functions.use_by_one_more(live.invocation.submission.function);
        let mut effects = Effects::with_capacity(FEW);
        effects.push(Effect::Persist { record, durable: false });
        match placement {
            Some(placement) => {
                self.queue.passed();
                self.assign(now, &mut live, placement, &mut effects);
            }
            None => self.queue.push(Waiting::new(id, needs, !of_probe)),
        }
        self.live.insert(id, live);
        Ok((id, effects))
    }

    /// Asks the scheduler where it goes; a benchmark's run has its place already.
    fn place(&mut self, live: &Live, now: Timestamp) -> Result<Placement, PlaceError> {
        if let Some(probe) = &live.probe {
            return self.place_probe(live, probe);
        }
        let Self { scheduler, predictor, members, .. } = self;
        let view = members.view();
        let avoid: Vec<WorkerId> =
            live.avoid.iter().filter(|&&(_, until)| now < until).map(|&(worker, _)| worker).collect();
        let request = Request {
            needs: live.needs,
            curve: &live.prediction.curve,
            file: live.file,
            alone: false,
            avoid: &avoid,
        };
        scheduler.place(
            &request,
            &|geometry| predictor.ways(&live.prediction, geometry, generosity(view)),
            view,
        )
    }

    fn place_probe(&self, live: &Live, probe: &Probe) -> Result<Placement, PlaceError> {
        let worker = self.members.view().worker(probe.worker).filter(|worker| worker.accepts());
        let worker = worker.ok_or(PlaceError::NeverFits)?;
        let domain = worker.domains.get(&probe.domain).ok_or(PlaceError::NeverFits)?;
        if domain.fits_now(&live.needs, probe.ways, true) && live.needs.memory <= worker.free_memory() {
            Ok(Placement { worker: probe.worker, domain: probe.domain, ways: probe.ways })
        } else {
            Err(PlaceError::NoRoom)
        }
    }

    /// Promises room and sends the order, or first the file.
    fn assign(&mut self, now: Timestamp, live: &mut Live, placement: Placement, effects: &mut Effects) {
        let worker = placement.worker;
        let attempt = AttemptId { invocation: live.invocation.id, attempt: live.attempts };
        live.attempts += 1;
        live.hopeless_since = None;
        let curve = Arc::clone(&live.prediction.curve);
        let promise = Promise { attempt, placement, needs: live.needs, alone: live.probe.is_some(), curve };
        let Some((seconds, member)) = self.members.reserve(now, promise) else { return };
        live.invocation.estimate = Some(Estimate {
            domain: placement.domain,
            ways: placement.ways,
            seconds,
            source: live.prediction.curve.provenance(),
        });
        if !member.lacks(live.file) {
            effects.extend(live.send(now, self.term, member.peer(), attempt));
            return;
        }
        live.invocation.state = InvocationState::Fetching { attempt, worker };
        if member.start_transfer(live.file) {
            effects.push(Effect::Transfer { to: member.peer(), file: live.file });
        }
    }

    /// An [`Effect::Send`] was answered: by a report, by a refusal, or by silence.
    pub fn reported(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        attempt: AttemptId,
        answer: Result<Arc<Report>, TransportError>,
    ) -> Effects {
        let mut effects = Effects::with_capacity(FEW);
        self.members.release(now, worker, attempt);
        match answer {
            Ok(report) => self.ran(now, worker, attempt, report, &mut effects),
            Err(error) => {
                let id = attempt.invocation;
                let expected =
                    self.live.get(&id).is_some_and(|live| live.current() == Some((worker, attempt)));
                self.note_failure(id, worker, &error);
                if expected {
                    self.come_back_or_lose(now, id, worker, &error, &mut effects);
                }
            }
        }
        self.let_go(now, &mut effects);
        self.dispatch(now, &mut effects);
        effects
    }

    /// A worker says that an attempt is over.
    fn ran(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        attempt: AttemptId,
        report: Arc<Report>,
        effects: &mut Effects,
    ) {
        let id = attempt.invocation;
        let known = self.live.get(&id);
        let expected = known.is_some_and(|live| live.current() == Some((worker, attempt)));
        let wanted = known.is_some_and(|live| live.cancelled);
        if let Some(live) = known.filter(|_| report.cache.is_some()) {
            self.members.has(worker, live.file);
        }
        self.learn(id, worker, &report, effects);
        if expected && report.ending == Ending::Cancelled && !wanted {
            // The worker ended it of its own accord: it is about to stop, and its patience is over.
            self.members.stopping(worker);
            self.fail_over(now, id, worker, effects);
        } else if expected {
            let end = end_kind(&report);
            self.end(now, id, end, Outcome::Ran { worker, report }, effects);
        }
    }

    fn learn(&mut self, id: InvocationId, worker: WorkerId, report: &Report, effects: &mut Effects) {
        let known = self.live.get(&id);
        let invocation = known.map(|live| &*live.invocation).or_else(|| self.history.get(id));
        let (Some(invocation), Some(cache)) = (invocation, report.cache) else { return };
        let probe = known.and_then(|live| live.probe.as_ref());
        let Submission { function, input_size, .. } = invocation.submission;
        if !report.succeeded()
            || report.segments.is_empty()
            || probe.is_some_and(|probe| probe.warm_up)
            || !self.functions.sampled(function, input_size)
        {
            return;
        }
        let sample = Sample {
            function,
            input_size,
            segments: report.segments.clone(),
            worker,
            enforced: cache.enforced,
            co_runners: report.co_runners,
            benchmark: probe.is_some(),
            origin: Origin::Run,
        };
        if let Some(live) = known.filter(|live| live.prediction.knowledge == Knowledge::Benchmarked) {
            let curve = &live.prediction.curve;
            let parts =
                sample.segments.iter().map(|part| part.duration.as_secs_f64() / curve.at(part.cache).seconds);
            self.members.timed(worker, parts.sum());
        }
        self.predictor.observe(&sample);
        effects.push(Effect::Persist { record: Record::Sampled(sample), durable: false });
    }

    /// Ends an invocation because someone asks for it, or because nobody waits for its answer any more.
    ///
    /// # Errors
    /// Where there is nothing to end.
    pub fn cancel(&mut self, now: Timestamp, id: InvocationId) -> Result<Effects, CancelError> {
        let Some(live) = self.live.get_mut(&id) else {
            let known = self.history.get(id).is_some();
            return Err(if known { CancelError::AlreadyEnded(id) } else { CancelError::Unknown(id) });
        };
        let mut effects = Effects::new();
        match live.invocation.state {
            InvocationState::Running { attempt, worker, .. } => {
                live.cancelled = true;
                effects.extend(self.members.peer(worker).map(|to| Effect::Cancel { to, attempt }));
                return Ok(effects);
            }
            InvocationState::Fetching { attempt, worker } => {
                self.members.release(now, worker, attempt);
            }
            InvocationState::Queued | InvocationState::Ended { .. } => {
                self.queue.remove(id);
            }
        }
        self.end(now, id, EndKind::Cancelled, Outcome::Cancelled, &mut effects);
        self.let_go(now, &mut effects);
        self.dispatch(now, &mut effects);
        Ok(effects)
    }

    pub(super) fn end_unplaced(
        &mut self,
        now: Timestamp,
        id: InvocationId,
        reason: &str,
        effects: &mut Effects,
    ) {
        let Some(live) = self.live.get(&id) else { return };
        if let Some((worker, attempt)) = live.current() {
            self.members.release(now, worker, attempt);
        }
        self.queue.remove(id);
        self.end(now, id, EndKind::Unplaceable, Outcome::Unplaceable(reason.to_owned()), effects);
    }

    pub(super) fn end(
        &mut self,
        now: Timestamp,
        id: InvocationId,
        end: EndKind,
        outcome: Outcome,
        effects: &mut Effects,
    ) {
        let Some(live) = self.live.remove(&id) else { return };
        let Live { mut invocation, probe, .. } = *live;
        self.counts.end(label(end));
        effects.push(Effect::Persist { record: Record::Ended { id, end, at: now }, durable: false });
        invocation.state = InvocationState::Ended { end, at: now, outcome: Some(outcome.clone()) };
        let function = invocation.submission.function;
        self.history.add(invocation);
        match probe {
            Some(probe) => self.probe_ended(now, &probe, outcome, effects),
            None => effects.push(Effect::Reply { invocation: id, outcome }),
        }
        if let Some(gone) = self.functions.use_by_one_less(function) {
            self.bury(gone, effects);
        }
    }

    /// Places what waits and fits by now.
    pub(super) fn dispatch(&mut self, now: Timestamp, effects: &mut Effects) {
        if self.queue.is_empty() {
            return;
        }
        let mut queue = std::mem::take(&mut self.queue);
        // Needs for which there is no room: whoever needs as much or more need not be tried.
        let mut stuck: Vec<Needs> = Vec::new();
        let mut hopeless = Vec::new();
        queue.try_each(|Waiting { invocation: id, needs: shape, plain }| {
            if plain && stuck.iter().any(|less| less.cores <= shape.cores && less.memory <= shape.memory) {
                return Tried::Waits;
            }
            let Some(mut live) = self.live.remove(&id) else { return Tried::Left };
            let placed = self.place(&live, now);
            if let Ok(placement) = placed {
                self.assign(now, &mut live, placement, effects);
            }
            self.live.insert(id, live);
            match placed {
                Ok(_) => return Tried::Left,
                Err(PlaceError::NoRoom) => {
                    if plain && shape.isolation == Isolation::Shared {
                        stuck.push(shape);
                    }
                    self.hope(id);
                }
                Err(PlaceError::NeverFits | PlaceError::NoWorkers) => {
                    hopeless.push(id);
                    return Tried::Hopeless;
                }
            }
            Tried::Waits
        });
        self.queue = queue;
        for id in hopeless {
            self.despair(now, id, effects);
        }
    }

    fn hope(&mut self, id: InvocationId) {
        if let Some(live) = self.live.get_mut(&id) {
            live.hopeless_since = None;
        }
    }

    fn despair(&mut self, now: Timestamp, id: InvocationId, effects: &mut Effects) {
        let Some(live) = self.live.get_mut(&id) else { return };
        let since = *live.hopeless_since.get_or_insert(now);
        if now.since(since) >= self.config.unplaceable_after {
            self.end_unplaced(now, id, "no worker that is left can hold it", effects);
        }
    }
}

impl Live {
    fn new(
        id: InvocationId,
        function: &Function,
        submission: Submission,
        prediction: Prediction,
        probe: Option<Probe>,
        now: Timestamp,
    ) -> Self {
        let isolation = if probe.is_some() { Isolation::Shared } else { function.spec.needs.isolation };
        Self {
            needs: Needs { isolation, ..function.spec.needs },
            file: function.spec.file,
            timeout: submission.timeout.unwrap_or(function.spec.timeout),
            invocation: Box::new(Invocation {
                id,
                submission,
                benchmark: probe.as_ref().map(|probe| probe.benchmark),
                knowledge: Some(prediction.knowledge),
                estimate: None,
                submitted: now,
                state: InvocationState::Queued,
            }),
            prediction,
            probe,
            attempts: 0,
            avoid: Vec::new(),
            returns: 0,
            fetches_failed: 0,
            failed_over: false,
            cancelled: false,
            hopeless_since: None,
        }
    }
}
