//! The master against a world that does its effects by hand.

mod crowd;
mod starvation;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::cache::{Bytes, CacheDomain, CacheGeometry, ClosId, CpuId, DomainId, WayMask, Ways};
use crate::cluster::{DomainStatus, Heartbeat, Liveness};
use crate::curve::{Curve, Provenance};
use crate::function::{Isolation, Needs};
use crate::id::WorkerKey;
use crate::invocation::{CacheGot, Ending, LostReason, Output, Report};
use crate::predictor::Bench;
use crate::sample::{Sample, Segment};
use crate::scheduler::{PlaceError, Placement, Request, WaysFor};
use crate::transport::{Address, Refusal, TransportError};

const SECOND: Duration = Duration::from_secs(1);

/// Knows every function that it has seen run; asks for four ways; probes 8, then 1.
#[derive(Default)]
struct Simple(BTreeMap<FunctionId, Vec<Sample>>);

impl Predictor for Simple {
    fn observe(&mut self, sample: &Sample) {
        self.0.entry(sample.function).or_default().push(sample.clone());
    }

    fn forget(&mut self, function: FunctionId) {
        self.0.remove(&function);
    }

    fn predict(&self, function: FunctionId, _: InputSize) -> Prediction {
        let knowledge = if self.0.contains_key(&function) { Knowledge::Benchmarked } else { Knowledge::Inop };
        Prediction { knowledge, curve: Arc::new(Curve::flat(1.0, 2.0, Provenance::Prior)) }
    }

    fn next_probe(&self, _: FunctionId, _: InputSize, bench: &Bench<'_>) -> Option<Ways> {
        let plan = if bench.enforced { &[8, 1][..] } else { &[8][..] };
        plan.get(bench.done.len()).map(|&n| Ways::clamped(n))
    }

    fn ways(&self, _: &Prediction, _: &CacheGeometry, _: f64) -> Ways {
        Ways::clamped(4)
    }
}

/// The first that fits.
struct FirstFit;

impl Scheduler for FirstFit {
    fn place(
        &mut self,
        request: &Request<'_>,
        ways: WaysFor<'_>,
        view: &crate::cluster::ClusterView,
    ) -> Result<Placement, PlaceError> {
        let present =
            || view.workers().filter(|worker| worker.liveness != Liveness::Dead && !worker.draining);
        let domains =
            || present().flat_map(|worker| worker.domains.values().map(move |domain| (worker, domain)));
        let fits = domains().find(|(worker, domain)| {
            worker.accepts()
                && !request.avoid.contains(&worker.id)
                && request.needs.memory <= worker.free_memory()
                && domain.fits_now(&request.needs, ways(domain.geometry()), request.alone)
        });
        if let Some((worker, domain)) = fits {
            return Ok(Placement {
                worker: worker.id,
                domain: domain.domain.id,
                ways: ways(domain.geometry()),
            });
        }
        let could = |worker: &crate::cluster::WorkerView, domain: &crate::cluster::DomainView| {
            request.needs.memory <= worker.memory
                && domain.fits_empty(&request.needs, ways(domain.geometry()))
        };
        match present().next() {
            None => Err(PlaceError::NoWorkers),
            Some(_) if domains().any(|(worker, domain)| could(worker, domain)) => Err(PlaceError::NoRoom),
            Some(_) => Err(PlaceError::NeverFits),
        }
    }
}

fn geometry() -> CacheGeometry {
    CacheGeometry {
        size: Bytes::mib(8),
        ways: Ways::clamped(8),
        min_ways: Ways::ONE,
        contiguous: true,
        shareable: 0,
        classes: 7,
    }
}

fn heartbeat(key: u8, cores: u16) -> Heartbeat {
    let domain = CacheDomain { id: DomainId(0), cpus: vec![CpuId(0), CpuId(1)], geometry: geometry() };
    let status = DomainStatus {
        domain,
        cores,
        free_cores: cores,
        exclusive_ways: 0,
        free_ways: 8,
        largest_exclusive: Some(Ways::clamped(7)),
    };
    Heartbeat {
        key: WorkerKey([key; 16]),
        version: "test".to_owned(),
        enforced: false,
        memory: Bytes::mib(1024),
        free_memory: Bytes::mib(1024),
        total_ram: Bytes::mib(4096),
        free_ram: Bytes::mib(2048),
        total_swap: Bytes(0),
        free_swap: Bytes(0),
        domains: vec![status],
        classes: vec![],
        intruders: vec![],
        running: vec![],
        stopping: false,
    }
}

fn spec(name: &str) -> FunctionSpec {
    FunctionSpec {
        tenant: Default::default(),
        name: name.parse().unwrap(),
        file: ContentHash([7; 32]),
        file_size: Bytes(10),
        command: Some("sh".parse().unwrap()),
        needs: Needs { cores: 1, memory: Bytes::mib(64), isolation: Isolation::Shared },
        timeout: Duration::from_secs(60),
    }
}

fn report(attempt: AttemptId, ending: Ending, seconds: f64) -> Report {
    let wall = Duration::from_secs_f64(seconds);
    Report {
        attempt,
        ending,
        pid: Some(1),
        started: Timestamp(0),
        wall,
        cpu: wall,
        peak_memory: Bytes(1),
        stdout: Output::default(),
        stderr: Output::default(),
        cache: Some(CacheGot {
            domain: DomainId(0),
            class: ClosId(1),
            mask: WayMask::new(0xf).unwrap(),
            enforced: false,
        }),
        segments: vec![Segment { cache: Bytes::mib(4), duration: wall }],
        co_runners: 0,
        monitored: None,
    }
}

fn broken() -> TransportError {
    TransportError::Broken { address: "a".into(), reason: "reset".to_owned() }
}

struct World {
    master: Master,
    now: Timestamp,
    facts: Vec<Record>,
    sent: Vec<(WorkerId, Order)>,
    transfers: Vec<(WorkerId, ContentHash)>,
    cancelled: Vec<(WorkerId, AttemptId)>,
    discarded: Vec<(WorkerId, ContentHash)>,
    removed_files: Vec<ContentHash>,
    asked: Vec<WorkerId>,
    replies: BTreeMap<InvocationId, Vec<Outcome>>,
    benchmarks: BTreeMap<BenchmarkId, Result<BenchmarkReport, BenchmarkError>>,
}

impl World {
    fn restart(config: MasterConfig, facts: &[Record]) -> Self {
        let mut snapshot = Snapshot::default();
        facts.iter().cloned().for_each(|fact| snapshot.apply(fact));
        let now = Timestamp(1_000_000_000_000);
        let (master, effects) =
            Master::new(config, Box::new(Simple::default()), Box::new(FirstFit), snapshot, now);
        let mut world = Self {
            master,
            now,
            facts: facts.to_vec(),
            sent: vec![],
            transfers: vec![],
            cancelled: vec![],
            discarded: vec![],
            removed_files: vec![],
            asked: vec![],
            replies: BTreeMap::new(),
            benchmarks: BTreeMap::new(),
        };
        world.perform(effects);
        world
    }

    fn new() -> Self {
        Self::restart(MasterConfig { queue: 3, max_overtakes: 2, ..MasterConfig::default() }, &[])
    }

    fn perform(&mut self, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::Persist { record, .. } => self.facts.push(record),
                Effect::Send { to, order } => self.sent.push((to.worker, *order)),
                Effect::Cancel { to, attempt } => self.cancelled.push((to.worker, attempt)),
                Effect::Transfer { to, file } => self.transfers.push((to.worker, file)),
                Effect::Discard { to, file } => self.discarded.push((to.worker, file)),
                Effect::RemoveFile(file) => self.removed_files.push(file),
                Effect::Inspect(peer) => self.asked.push(peer.worker),
                Effect::Reply { invocation, outcome } => {
                    self.replies.entry(invocation).or_default().push(outcome)
                }
                Effect::Benchmarked { benchmark, result } => {
                    assert!(self.benchmarks.insert(benchmark, result).is_none(), "two results");
                }
            }
        }
    }

    fn join(&mut self, key: u8, cores: u16) -> WorkerId {
        let address = Address::from(format!("worker-{key}").as_str());
        let (id, effects) = self.master.join(self.now, address, heartbeat(key, cores));
        self.perform(effects);
        id
    }

    fn push(&mut self, spec: FunctionSpec) -> FunctionId {
        let (function, effects) = self.master.push(self.now, spec);
        self.perform(effects);
        function.id
    }

    fn submit(&mut self, function: FunctionId) -> InvocationId {
        self.try_submit(function, false).unwrap()
    }

    fn try_submit(&mut self, function: FunctionId, idempotent: bool) -> Result<InvocationId, SubmitError> {
        let submission = Submission { idempotent, ..Submission::new(function, InputSize(9)) };
        let (id, effects) = self.master.submit(self.now, submission)?;
        self.perform(effects);
        Ok(id)
    }

    fn answer(&mut self, worker: WorkerId, attempt: AttemptId, answer: Result<Report, TransportError>) {
        let effects = self.master.reported(self.now, worker, attempt, answer);
        self.perform(effects);
    }

    /// Answers the oldest order that is out.
    fn finish_next(&mut self, ending: Ending) -> AttemptId {
        let (worker, order) = self.sent.remove(0);
        self.answer(worker, order.attempt, Ok(report(order.attempt, ending, 1.0)));
        order.attempt
    }

    fn tick(&mut self, passed: Duration) {
        self.now = self.now + passed;
        let effects = self.master.tick(self.now);
        self.perform(effects);
    }

    /// Time passes, and these workers answer meanwhile.
    fn pass(&mut self, passed: Duration, answering: &[(WorkerId, u8, u16)]) {
        for _ in 0..passed.as_secs() {
            self.tick(SECOND);
            for &(worker, key, cores) in answering {
                let effects = self.master.inspected(self.now, worker, Ok(heartbeat(key, cores)));
                self.perform(effects);
            }
        }
    }

    fn reply(&self, id: InvocationId) -> &Outcome {
        match self.replies.get(&id).map(Vec::as_slice) {
            Some([outcome]) => outcome,
            other => panic!("{id} has {other:?}"),
        }
    }

    fn nothing_is_promised(&self) -> bool {
        self.master.members.view().workers().all(|worker| {
            worker.reserved_memory == Bytes(0)
                && worker.domains.values().all(|domain| {
                    (domain.reserved_cores, domain.reserved_exclusive, domain.asked_shared, domain.placed)
                        == (0, 0, 0, 0)
                        && !domain.held_alone
                })
        })
    }
}

#[test]
fn an_invocation_is_sent_and_its_report_is_the_reply() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let function = world.push(spec("f"));
    let id = world.submit(function);
    let order = &world.sent[0].1;
    assert_eq!((order.command.as_slice(), order.input_size), (&["sh".to_owned()][..], InputSize(9)));
    assert_eq!(order.cache.ways().get(), 4);
    world.finish_next(Ending::Exited(3));
    assert!(
        matches!(world.reply(id), Outcome::Ran { worker: at, report } if *at == worker && report.ending == Ending::Exited(3))
    );
    assert!(world.nothing_is_promised() && world.master.is_idle());
    // What failed is no sample.
    assert_eq!(world.master.knowledge(function, InputSize(9)), Ok(Knowledge::Inop));
    world.submit(function);
    world.finish_next(Ending::Exited(0));
    assert_eq!(world.master.knowledge(function, InputSize(9)), Ok(Knowledge::Benchmarked));
    let kinds: Vec<bool> = world.facts.iter().map(|fact| matches!(fact, Record::Sampled(_))).collect();
    assert_eq!(kinds.iter().filter(|&&sampled| sampled).count(), 1);
}

#[test]
fn an_unknown_function_can_be_refused() {
    let mut world = World::new();
    world.join(1, 2);
    let function = world.push(spec("f"));
    let submission = Submission { only_if_known: true, ..Submission::new(function, InputSize(1)) };
    assert_eq!(world.master.submit(world.now, submission).unwrap_err(), SubmitError::NotReady);
    assert_eq!(world.try_submit(FunctionId(99), false), Err(SubmitError::UnknownFunction(FunctionId(99))));
}

#[test]
fn what_does_not_fit_waits_in_order_and_a_full_queue_refuses() {
    let mut world = World::new();
    world.join(1, 1);
    let function = world.push(spec("f"));
    let ids: Vec<InvocationId> = (0..4).map(|_| world.submit(function)).collect();
    assert_eq!((world.sent.len(), world.master.stats().queued), (1, 3));
    assert!(matches!(world.try_submit(function, false), Err(SubmitError::QueueFull { waiting: 3, .. })));
    let ran: Vec<InvocationId> = (0..4).map(|_| world.finish_next(Ending::Exited(0)).invocation).collect();
    assert_eq!(ran, ids);
    assert!(world.nothing_is_promised());
}

#[test]
fn what_fits_no_worker_is_refused_at_once() {
    let mut world = World::new();
    let large = world.push(FunctionSpec { needs: Needs { cores: 3, ..spec("f").needs }, ..spec("f") });
    assert_eq!(world.try_submit(large, false), Err(SubmitError::NoWorkers));
    world.join(1, 2);
    assert_eq!(world.try_submit(large, false), Err(SubmitError::NeverFits));
    world.join(2, 3);
    world.submit(large);
}

#[test]
fn a_large_one_is_overtaken_only_so_often() {
    let mut world = World::new();
    world.join(1, 2);
    let small = world.push(spec("small"));
    let large = world.push(FunctionSpec { needs: Needs { cores: 2, ..spec("f").needs }, ..spec("large") });
    world.submit(small);
    let waiting = world.submit(large);
    let passing = [world.submit(small), world.submit(small), world.submit(small)];
    // One passes at once; another when the first ends; then nobody does until the large one ran.
    let ran: Vec<InvocationId> = (0..5).map(|_| world.finish_next(Ending::Exited(0)).invocation).collect();
    assert_eq!(ran[1..], [passing[0], passing[1], waiting, passing[2]]);
}

#[test]
fn a_missing_file_is_brought_once_for_all_who_wait() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let function = world.push(spec("f"));
    world.submit(function);
    world.submit(function);
    for _ in 0..2 {
        let (worker, order) = world.sent.remove(0);
        world.answer(worker, order.attempt, Err(Refusal::MissingFile.into()));
    }
    let file = spec("f").file;
    assert_eq!(world.transfers, [(worker, file)]);
    assert_eq!(world.master.stats().fetching, 2);
    // Damaged on the way: sent again.
    let damaged = TransportError::Damaged { address: "a".into(), file };
    let effects = world.master.transferred(world.now, worker, file, Err(damaged));
    world.perform(effects);
    assert_eq!(world.transfers.len(), 2);
    let effects = world.master.transferred(world.now, worker, file, Ok(()));
    world.perform(effects);
    assert_eq!(world.sent.len(), 2);
    world.finish_next(Ending::Exited(0));
    world.submit(function);
    assert_eq!((world.sent.len(), world.transfers.len()), (2, 2));
}

#[test]
fn a_worker_that_never_gets_the_file_whole_is_given_up_for_another() {
    let mut world = World::new();
    let (bad, good) = (world.join(1, 1), world.join(2, 1));
    let function = world.push(spec("f"));
    world.submit(function);
    let (_, order) = world.sent.remove(0);
    world.answer(bad, order.attempt, Err(Refusal::MissingFile.into()));
    for _ in 0..3 {
        let damaged = TransportError::Damaged { address: "a".into(), file: order.file };
        let effects = world.master.transferred(world.now, bad, order.file, Err(damaged));
        world.perform(effects);
    }
    assert_eq!(world.transfers.len(), 3);
    assert_eq!(world.sent[0].0, good);
    world.finish_next(Ending::Exited(0));
    assert!(world.nothing_is_promised());
}

#[test]
fn what_a_worker_ends_unasked_is_failed_over_or_lost() {
    let mut world = World::new();
    let (first, second) = (world.join(1, 1), world.join(2, 1));
    let function = world.push(spec("f"));
    let again = world.try_submit(function, true).unwrap();
    let (at, order) = world.sent.remove(0);
    assert_eq!(at, first);
    world.answer(at, order.attempt, Ok(report(order.attempt, Ending::Cancelled, 1.0)));
    assert_eq!(world.sent[0].0, second, "the first is about to stop");
    let (at, order) = world.sent.remove(0);
    world.answer(at, order.attempt, Ok(report(order.attempt, Ending::Cancelled, 1.0)));
    assert!(matches!(world.reply(again), Outcome::Lost(LostReason::Worker)), "{:?}", world.reply(again));
    assert!(world.nothing_is_promised());
}

#[test]
fn an_invocation_whose_file_gets_nowhere_ends() {
    let mut world = World::new();
    let worker = world.join(1, 1);
    let function = world.push(spec("f"));
    let id = world.submit(function);
    let (_, order) = world.sent.remove(0);
    world.answer(worker, order.attempt, Err(Refusal::MissingFile.into()));
    let mut tried = 0;
    while !world.replies.contains_key(&id) {
        if tried < world.transfers.len() {
            tried += 1;
            let damaged = TransportError::Damaged { address: "a".into(), file: order.file };
            let effects = world.master.transferred(world.now, worker, order.file, Err(damaged));
            world.perform(effects);
        } else {
            world.pass(SECOND, &[(worker, 1, 1)]);
        }
        assert!(tried < 50, "it is tried for ever");
    }
    assert!(matches!(world.reply(id), Outcome::Unplaceable(_)), "{:?}", world.reply(id));
    assert!(tried > 3, "a second look at the worker is worth it");
    assert!(world.nothing_is_promised());
}

#[test]
fn an_invocation_cut_off_is_lost_unless_it_may_run_again_once() {
    let mut world = World::new();
    let first = world.join(1, 1);
    let function = world.push(spec("f"));
    let plain = world.submit(function);
    let (_, order) = world.sent.remove(0);
    world.answer(first, order.attempt, Err(broken()));
    assert_eq!(*world.reply(plain), Outcome::Lost(LostReason::Worker));

    let second = world.join(2, 1);
    let again = world.try_submit(function, true).unwrap();
    let (at, order) = world.sent.remove(0);
    world.answer(at, order.attempt, Err(broken()));
    let (elsewhere, retry) = world.sent.remove(0);
    assert_eq!((at, elsewhere), (first, second));
    assert_eq!(retry.attempt, AttemptId { invocation: again, attempt: 1 });
    world.answer(elsewhere, retry.attempt, Err(broken()));
    assert_eq!(*world.reply(again), Outcome::Lost(LostReason::Worker));
    assert!(world.nothing_is_promised());
}

#[test]
fn a_silent_worker_is_suspected_then_given_up_and_rejoins_by_itself() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let function = world.push(spec("f"));
    let id = world.submit(function);
    let (_, order) = world.sent.remove(0);
    world.tick(SECOND * 4);
    assert_eq!(world.master.stats().workers_suspect, 1);
    let waiting = world.submit(function);
    assert!(world.sent.is_empty() && world.replies.is_empty());
    world.tick(SECOND * 7);
    assert_eq!(world.master.stats().workers_dead, 1);
    assert_eq!(*world.reply(id), Outcome::Lost(LostReason::Worker));
    // Its report comes after all: one more sample, no second reply.
    world.answer(worker, order.attempt, Ok(report(order.attempt, Ending::Exited(0), 1.0)));
    assert_eq!(world.replies[&id].len(), 1);
    assert_eq!(world.master.knowledge(function, InputSize(9)), Ok(Knowledge::Benchmarked));
    let effects = world.master.inspected(world.now, worker, Ok(heartbeat(1, 2)));
    world.perform(effects);
    assert_eq!(world.sent[0].1.attempt.invocation, waiting);
}

#[test]
fn what_waits_for_workers_that_never_come_back_ends() {
    let mut world = World::new();
    world.join(1, 1);
    let function = world.push(spec("f"));
    world.submit(function);
    let waiting = world.submit(function);
    world.tick(SECOND * 11);
    world.tick(SECOND * 29);
    assert!(!world.replies.contains_key(&waiting));
    world.tick(SECOND * 2);
    assert!(matches!(world.reply(waiting), Outcome::Unplaceable(_)));
    assert!(world.master.is_idle());
}

#[test]
fn a_worker_without_room_is_left_alone_for_a_while() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let function = world.push(spec("f"));
    world.submit(function);
    let (_, order) = world.sent.remove(0);
    world.answer(worker, order.attempt, Err(Refusal::NoRoom("full".to_owned()).into()));
    assert!(world.sent.is_empty());
    world.pass(SECOND * 2, &[(worker, 1, 2)]);
    assert_eq!(world.sent.remove(0).1.attempt.attempt, 1);
}

#[test]
fn an_unreachable_worker_gets_nothing_until_it_answers() {
    let mut world = World::new();
    let (first, second) = (world.join(1, 2), world.join(2, 2));
    let function = world.push(spec("f"));
    let id = world.submit(function);
    let (_, order) = world.sent.remove(0);
    let unreachable = TransportError::Unreachable { address: "a".into(), reason: "refused".to_owned() };
    world.answer(first, order.attempt, Err(unreachable));
    assert_eq!(world.sent[0].0, second);
    world.submit(function);
    assert_eq!(world.sent[1].0, second);
    world.pass(SECOND, &[(first, 1, 2)]);
    world.submit(function);
    assert_eq!(world.sent[2].0, first);
    world.finish_next(Ending::Exited(0));
    assert!(matches!(world.reply(id), Outcome::Ran { .. }));
}

#[test]
fn the_key_is_who_a_worker_is() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let (same, effects) = world.master.join(world.now, "elsewhere".into(), heartbeat(1, 2));
    world.perform(effects);
    assert_eq!(same, worker);
    assert_eq!(world.master.workers(world.now).count(), 1);
    // Somebody else answers at its address: that is no sign of life.
    for _ in 0..12 {
        world.tick(SECOND);
        let effects = world.master.inspected(world.now, worker, Ok(heartbeat(9, 2)));
        world.perform(effects);
    }
    assert_eq!(world.master.stats().workers_dead, 1);
    // After a restart it has its id again.
    let mut world = World::restart(MasterConfig::default(), &world.facts);
    assert_eq!(world.master.stats().workers_dead, 1);
    world.tick(SECOND);
    assert_eq!(world.asked, [worker]);
    let effects = world.master.inspected(world.now, worker, Ok(heartbeat(1, 2)));
    world.perform(effects);
    assert_eq!(world.master.stats().workers_alive, 1);
}

#[test]
fn attempts_that_nobody_knows_are_ended() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let function = world.push(spec("f"));
    world.submit(function);
    let known = world.sent[0].1.attempt;
    let stray = AttemptId { invocation: InvocationId(77), attempt: 0 };
    let heartbeat = Heartbeat { running: vec![known, stray], ..heartbeat(1, 2) };
    let effects = world.master.inspected(world.now, worker, Ok(heartbeat));
    world.perform(effects);
    assert_eq!(world.cancelled, [(worker, stray)]);
}

#[test]
fn a_draining_worker_finishes_what_it_has_and_gets_no_more() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let function = world.push(spec("f"));
    let running = world.submit(function);
    let effects = world.master.drain(world.now, worker, true).unwrap();
    world.perform(effects);
    assert_eq!(world.try_submit(function, false), Err(SubmitError::NoWorkers));
    world.finish_next(Ending::Exited(0));
    assert!(matches!(world.reply(running), Outcome::Ran { .. }));
    let effects = world.master.drain(world.now, worker, false).unwrap();
    world.perform(effects);
    world.submit(function);
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.master.drain(world.now, WorkerId(99), true).unwrap_err(), UnknownWorker(WorkerId(99)));
}

#[test]
fn a_removed_worker_goes_when_its_last_invocation_has_ended() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let function = world.push(spec("f"));
    world.submit(function);
    let (removal, effects) = world.master.remove_worker(world.now, worker).unwrap();
    world.perform(effects);
    assert_eq!((removal, world.master.workers(world.now).count()), (Removal::Waiting(1), 1));
    world.finish_next(Ending::Exited(0));
    assert_eq!(world.master.workers(world.now).count(), 0);
    assert!(world.facts.contains(&Record::WorkerRemoved(worker)));
    assert_eq!(World::restart(MasterConfig::default(), &world.facts).master.workers(world.now).count(), 0);
}

#[test]
fn a_removed_worker_stays_away_until_somebody_adds_it() {
    let mut world = World::new();
    let worker = world.join(1, 2);
    let (_, effects) = world.master.remove_worker(world.now, worker).unwrap();
    world.perform(effects);
    assert_eq!(world.master.register(world.now, "a".into(), heartbeat(1, 2)).unwrap_err(), WorkerRemoved);
    assert_eq!(world.master.workers(world.now).count(), 0);
    let again = world.join(1, 2);
    let (registered, effects) = world.master.register(world.now, "b".into(), heartbeat(1, 2)).unwrap();
    world.perform(effects);
    assert_eq!(registered, again);
}

#[test]
fn cancelling_ends_what_waits_at_once_and_what_runs_by_its_report() {
    let mut world = World::new();
    let worker = world.join(1, 1);
    let function = world.push(spec("f"));
    let (running, waiting) = (world.submit(function), world.submit(function));
    let effects = world.master.cancel(world.now, waiting).unwrap();
    world.perform(effects);
    assert_eq!(*world.reply(waiting), Outcome::Cancelled);
    assert_eq!(world.master.cancel(world.now, waiting).unwrap_err(), CancelError::AlreadyEnded(waiting));
    let effects = world.master.cancel(world.now, running).unwrap();
    world.perform(effects);
    assert_eq!(world.cancelled, [(worker, world.sent[0].1.attempt)]);
    assert!(!world.replies.contains_key(&running));
    world.finish_next(Ending::Cancelled);
    assert!(matches!(world.reply(running), Outcome::Ran { .. }));
    let unknown = InvocationId(99);
    assert_eq!(world.master.cancel(world.now, unknown).unwrap_err(), CancelError::Unknown(unknown));
    assert!(world.nothing_is_promised());
}

#[test]
fn what_ran_when_the_master_died_is_lost_once() {
    let mut world = World::new();
    world.join(1, 1);
    let function = world.push(spec("f"));
    world.submit(function);
    world.finish_next(Ending::Exited(0));
    let (running, waiting) = (world.submit(function), world.submit(function));
    let before = world.facts.len();
    let second = World::restart(MasterConfig::default(), &world.facts);
    for id in [running, waiting] {
        let state = &second.master.invocation(id).unwrap().state;
        assert!(matches!(state, InvocationState::Ended { end: EndKind::LostMaster, .. }), "{state:?}");
    }
    assert_eq!(second.facts.len(), before + 2);
    assert_eq!(second.master.knowledge(function, InputSize(9)), Ok(Knowledge::Benchmarked));
    let mut third = World::restart(MasterConfig::default(), &second.facts);
    assert_eq!(third.facts.len(), before + 2);
    third.join(1, 1);
    assert!(third.submit(function) > waiting, "ids are never given twice");
}

#[test]
fn a_new_version_starts_afresh_and_old_ones_are_collected() {
    let mut world = World::restart(MasterConfig { versions: 1, ..MasterConfig::default() }, &[]);
    let worker = world.join(1, 1);
    let old = world.push(spec("f"));
    world.submit(old);
    let new = world.push(FunctionSpec { file: ContentHash([8; 32]), ..spec("f") });
    assert_eq!(world.master.latest(&"f".parse().unwrap()).unwrap().id, new);
    assert_eq!(world.try_submit(old, false), Err(SubmitError::UnknownFunction(old)));
    assert!(world.removed_files.is_empty());
    world.finish_next(Ending::Exited(0));
    assert_eq!(world.removed_files, [spec("f").file]);
    assert_eq!(world.discarded, [(worker, spec("f").file)]);
    assert_eq!(world.master.knowledge(new, InputSize(9)), Ok(Knowledge::Inop));
}

#[test]
fn a_function_that_could_not_be_kept_is_taken_back() {
    let mut world = World::new();
    let (function, effects) = world.master.push(world.now, spec("f"));
    let Some(Effect::Persist { record, durable: true }) = effects.first() else { panic!("{effects:?}") };
    let effects = world.master.not_persisted(world.now, record, "full");
    world.perform(effects);
    assert_eq!(world.master.function(function.id), None);
    assert_eq!(world.removed_files, [spec("f").file]);
}

#[test]
fn an_invocation_that_could_not_be_kept_ends() {
    let mut world = World::new();
    world.join(1, 1);
    let function = world.push(spec("f"));
    let submission = world.master.submit(world.now, Submission::new(function, InputSize(1)));
    let (id, effects) = submission.unwrap();
    let Some(Effect::Persist { record, .. }) = effects.first() else { panic!("{effects:?}") };
    let effects = world.master.not_persisted(world.now, record, "the disk is full");
    world.perform(effects);
    assert_eq!(*world.reply(id), Outcome::Unplaceable("the disk is full".to_owned()));
    assert!(world.nothing_is_promised() && world.master.is_idle());
}

#[test]
fn a_benchmark_runs_alone_and_says_how_noisy_it_was() {
    let mut world = World::new();
    world.join(1, 2);
    let function = world.push(spec("f"));
    let neighbour = world.submit(function);
    let request = BenchmarkRequest::new(function, InputSize(5));
    let (id, effects) = world.master.benchmark(world.now, request).unwrap();
    world.perform(effects);
    assert_eq!(world.sent.len(), 1, "the benchmark waits until it is alone");
    assert_eq!(world.finish_next(Ending::Exited(0)).invocation, neighbour);
    assert!(world.sent[0].1.alone);
    let other = world.submit(function);
    assert_eq!(world.sent.len(), 1, "nobody runs beside it");
    // A warm-up that is slow, then three equal runs.
    for seconds in [9.0, 1.0, 1.0, 1.0] {
        let (worker, order) = world.sent.remove(0);
        assert_eq!(order.cache.ways().get(), 8);
        world.answer(worker, order.attempt, Ok(report(order.attempt, Ending::Exited(0), seconds)));
    }
    let result = world.benchmarks[&id].as_ref().unwrap();
    assert_eq!((result.enforced, result.runs, result.too_noisy), (false, 4, false));
    assert_eq!((result.points.len(), result.points[0].median), (1, 1.0));
    assert_eq!(world.sent[0].1.attempt.invocation, other);
    world.finish_next(Ending::Exited(0));
    assert!(world.nothing_is_promised() && world.master.is_idle());
    // Neither the neighbours nor the warm-up count as benchmark samples.
    let marks = world.facts.iter().filter(|fact| matches!(fact, Record::Sampled(sample) if sample.benchmark));
    assert_eq!(marks.count(), 3);
}

#[test]
fn a_benchmark_with_enforced_masks_runs_what_the_predictor_asks_for() {
    let mut world = World::new();
    let enforced = Heartbeat { enforced: true, ..heartbeat(1, 2) };
    world.perform(Vec::new());
    let (_, effects) = world.master.join(world.now, "a".into(), enforced);
    world.perform(effects);
    let function = world.push(spec("f"));
    let request = BenchmarkRequest::new(function, InputSize(5));
    let (id, effects) = world.master.benchmark(world.now, request).unwrap();
    world.perform(effects);
    let mut ways = Vec::new();
    while !world.sent.is_empty() {
        let (worker, order) = world.sent.remove(0);
        ways.push(order.cache.ways().get());
        // One way is slow, and so noisy that it is run three times as often.
        let seconds = if order.cache.ways().get() == 8 { 1.0 } else { 2.0 + ways.len() as f64 };
        world.answer(worker, order.attempt, Ok(report(order.attempt, Ending::Exited(0), seconds)));
    }
    assert_eq!(ways, [8, 8, 8, 8, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    let result = world.benchmarks[&id].as_ref().unwrap();
    assert!(result.too_noisy && result.enforced);
    assert_eq!(result.points.len(), 2);
}

#[test]
fn a_failing_run_ends_the_benchmark() {
    let mut world = World::new();
    world.join(1, 2);
    let function = world.push(spec("f"));
    let request = BenchmarkRequest::new(function, InputSize(5));
    let (id, effects) = world.master.benchmark(world.now, request.clone()).unwrap();
    world.perform(effects);
    world.finish_next(Ending::Exited(1));
    assert!(matches!(world.benchmarks[&id], Err(BenchmarkError::Failed { .. })));
    assert!(world.nothing_is_promised() && world.master.is_idle());
    // Nobody waits any more: its run is ended too.
    let (id, effects) = world.master.benchmark(world.now, request).unwrap();
    world.perform(effects);
    let effects = world.master.cancel_benchmark(world.now, id);
    world.perform(effects);
    assert_eq!(world.benchmarks[&id], Err(BenchmarkError::Cancelled));
    assert_eq!(world.cancelled.len(), 1);
    world.finish_next(Ending::Cancelled);
    assert!(world.nothing_is_promised() && world.master.is_idle());
}

#[test]
fn a_stopping_master_finishes_what_it_accepted() {
    let mut world = World::new();
    world.join(1, 1);
    let function = world.push(spec("f"));
    world.submit(function);
    world.submit(function);
    world.master.stop();
    assert_eq!(world.try_submit(function, false), Err(SubmitError::Stopping));
    world.finish_next(Ending::Exited(0));
    world.finish_next(Ending::Exited(0));
    assert!(world.master.is_idle());
}

#[derive(Debug, Clone)]
enum Step {
    Join { key: u8, cores: u16 },
    Submit { function: usize, idempotent: bool },
    Benchmark { function: usize },
    Finish { which: usize, how: u8 },
    Transfer { which: usize, fails: bool },
    Cancel { which: usize },
    Drain { worker: usize, draining: bool },
    Remove { worker: usize },
    Pass { seconds: u64, answering: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (0u8..4, 1u16..4).prop_map(|(key, cores)| Step::Join { key, cores }),
        6 => (0usize..3, any::<bool>()).prop_map(|(function, idempotent)| Step::Submit { function, idempotent }),
        1 => (0usize..3).prop_map(|function| Step::Benchmark { function }),
        8 => (any::<usize>(), 0u8..10).prop_map(|(which, how)| Step::Finish { which, how }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, fails)| Step::Transfer { which, fails }),
        1 => any::<usize>().prop_map(|which| Step::Cancel { which }),
        1 => (0usize..4, any::<bool>()).prop_map(|(worker, draining)| Step::Drain { worker, draining }),
        1 => (0usize..4).prop_map(|worker| Step::Remove { worker }),
        2 => (1u64..13, any::<bool>()).prop_map(|(seconds, answering)| Step::Pass { seconds, answering }),
    ];
    proptest::collection::vec(step, 1..80)
}

impl World {
    fn step(&mut self, step: &Step, functions: &[FunctionId], accepted: &mut Vec<InvocationId>) {
        let now = self.now;
        let workers: Vec<WorkerId> = self.master.workers(now).map(|info| info.id).collect();
        match *step {
            Step::Join { key, cores } => {
                self.join(key, cores);
            }
            Step::Submit { function, idempotent } => {
                accepted.extend(self.try_submit(functions[function], idempotent));
            }
            Step::Benchmark { function } => {
                let request = BenchmarkRequest::new(functions[function], InputSize(5));
                if let Ok((_, effects)) = self.master.benchmark(now, request) {
                    self.perform(effects);
                }
            }
            Step::Finish { which, how } if !self.sent.is_empty() => {
                let (worker, order) = self.sent.remove(which % self.sent.len());
                let answer = match how {
                    0 => Err(broken()),
                    1 => Err(TransportError::Unreachable { address: "a".into(), reason: String::new() }),
                    2 => Err(Refusal::MissingFile.into()),
                    3 => Err(Refusal::NoRoom(String::new()).into()),
                    4 => Err(Refusal::Stopping.into()),
                    5 => Ok(report(order.attempt, Ending::Exited(1), 0.5)),
                    6 => Ok(report(order.attempt, Ending::TimedOut, 0.5)),
                    _ => Ok(report(order.attempt, Ending::Exited(0), 0.5)),
                };
                self.answer(worker, order.attempt, answer);
            }
            Step::Transfer { which, fails } if !self.transfers.is_empty() => {
                let (worker, file) = self.transfers.remove(which % self.transfers.len());
                let damaged = TransportError::Damaged { address: "a".into(), file };
                let effects =
                    self.master.transferred(now, worker, file, if fails { Err(damaged) } else { Ok(()) });
                self.perform(effects);
            }
            Step::Cancel { which } if !accepted.is_empty() => {
                if let Ok(effects) = self.master.cancel(now, accepted[which % accepted.len()]) {
                    self.perform(effects);
                }
            }
            Step::Drain { worker, draining } if !workers.is_empty() => {
                let effects = self.master.drain(now, workers[worker % workers.len()], draining).unwrap();
                self.perform(effects);
            }
            Step::Remove { worker } if !workers.is_empty() => {
                let (_, effects) = self.master.remove_worker(now, workers[worker % workers.len()]).unwrap();
                self.perform(effects);
            }
            Step::Pass { seconds, answering } => {
                self.now = now + Duration::from_secs(seconds);
                if answering {
                    let infos: Vec<WorkerInfo> = self.master.workers(self.now).collect();
                    for info in infos {
                        let heartbeat = info.heartbeat.unwrap_or_else(|| heartbeat(info.key.0[0], 2));
                        let effects = self.master.inspected(self.now, info.id, Ok(heartbeat));
                        self.perform(effects);
                    }
                }
                self.tick(Duration::ZERO);
            }
            _ => {}
        }
    }

    /// Promises never exceed what there is, and are exactly those of the attempts that are out.
    fn check_promises(&self) {
        for worker in self.master.members.view().workers() {
            assert!(worker.reserved_memory <= worker.memory, "{worker:?}");
            let mut placed = 0;
            for domain in worker.domains.values() {
                assert!(domain.reserved_exclusive <= domain.exclusive_limit(), "{domain:?}");
                assert!(!domain.held_alone || domain.placed == 1, "{domain:?}");
                placed += domain.placed as usize;
            }
            assert_eq!(placed, self.master.members.promised(worker.id).unwrap());
        }
        let placed = self.master.live.values().filter(|live| {
            matches!(
                live.invocation.state,
                InvocationState::Fetching { .. } | InvocationState::Running { .. }
            )
        });
        let promised: usize =
            self.master.members.ids().filter_map(|id| self.master.members.promised(id)).sum();
        assert_eq!(placed.count(), promised);
        let queued =
            self.master.live.values().filter(|live| live.invocation.state == InvocationState::Queued);
        assert_eq!(queued.count(), self.master.queue.len());
    }
}

proptest! {
    #[test]
    fn whatever_happens_every_accepted_invocation_ends_exactly_once(steps in steps()) {
        let mut world = World::restart(MasterConfig { queue: 4, max_overtakes: 2, ..MasterConfig::default() }, &[]);
        let exclusive = Needs { isolation: Isolation::Exclusive, ..spec("b").needs };
        let functions = [
            world.push(spec("a")),
            world.push(FunctionSpec { needs: exclusive, ..spec("b") }),
            world.push(FunctionSpec { needs: Needs { cores: 2, ..spec("c").needs }, ..spec("c") }),
        ];
        let mut accepted = Vec::new();
        for step in &steps {
            world.step(step, &functions, &mut accepted);
            world.check_promises();
        }
        // Everything is answered, time passes, nobody comes back.
        for _ in 0..500 {
            match (world.sent.is_empty(), world.transfers.is_empty()) {
                (false, _) => { world.finish_next(Ending::Exited(0)); }
                (true, false) => world.step(&Step::Transfer { which: 0, fails: false }, &functions, &mut accepted),
                (true, true) => break,
            }
            world.check_promises();
        }
        for _ in 0..30 {
            world.tick(SECOND * 4);
            while !world.sent.is_empty() {
                world.finish_next(Ending::Exited(0));
            }
            while !world.transfers.is_empty() {
                world.step(&Step::Transfer { which: 0, fails: false }, &functions, &mut accepted);
            }
        }
        prop_assert!(world.master.is_idle(), "{:?}", world.master.live);
        prop_assert!(world.nothing_is_promised());
        for id in &accepted {
            prop_assert_eq!(world.replies.get(id).map(Vec::len), Some(1), "{}", id);
            let ends = world.facts.iter().filter(|fact| matches!(fact, Record::Ended { id: ended, .. } if ended == id));
            prop_assert_eq!(ends.count(), 1);
        }
    }
}
