//! A master whose effects are done by hand, and the simplest predictor and scheduler.

use std::sync::Arc;

use super::*;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Knows every function that it has seen run; asks for four ways; probes 8, then 1.
#[derive(Default)]
pub(super) struct Simple(pub(super) BTreeMap<FunctionId, Vec<Sample>>);

impl Predictor for Simple {
    fn observe(&mut self, sample: &Sample) {
        self.0.entry(sample.function).or_default().push(sample.clone());
    }

    fn forget(&mut self, function: FunctionId) {
        self.0.remove(&function);
    }

    fn predict(&self, function: FunctionId, _: InputSize) -> Prediction {
        let knowledge = if self.0.contains_key(&function) { Knowledge::Benchmarked } else { Knowledge::Inop };
        Prediction::new(knowledge, Curve::flat(1.0, 2.0, Provenance::Prior))
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
pub(super) struct FirstFit;

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

pub(super) fn geometry() -> CacheGeometry {
    CacheGeometry {
        size: Bytes::mib(8),
        ways: Ways::clamped(8),
        min_ways: Ways::ONE,
        contiguous: true,
        shareable: 0,
        classes: 7,
    }
}

pub(super) fn heartbeat(key: u8, cores: u16) -> Heartbeat {
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

pub(super) fn spec(name: &str) -> FunctionSpec {
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

pub(super) fn report(attempt: AttemptId, ending: Ending, seconds: f64) -> Report {
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

pub(super) fn broken() -> TransportError {
    TransportError::Broken { address: "a".into(), reason: "reset".to_owned() }
}

pub(super) struct World {
    pub(super) master: Master,
    pub(super) now: Timestamp,
    pub(super) facts: Vec<Record>,
    pub(super) sent: Vec<(WorkerId, Order)>,
    pub(super) transfers: Vec<(WorkerId, ContentHash)>,
    pub(super) cancelled: Vec<(WorkerId, AttemptId)>,
    pub(super) discarded: Vec<(WorkerId, ContentHash)>,
    pub(super) removed_files: Vec<ContentHash>,
    pub(super) asked: Vec<WorkerId>,
    pub(super) replies: BTreeMap<InvocationId, Vec<Outcome>>,
    pub(super) benchmarks: BTreeMap<BenchmarkId, Result<BenchmarkReport, BenchmarkError>>,
}

impl World {
    pub(super) fn restart(config: MasterConfig, facts: &[Record]) -> Self {
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

    pub(super) fn new() -> Self {
        Self::restart(MasterConfig { queue: 3, max_overtakes: 2, ..MasterConfig::default() }, &[])
    }

    pub(super) fn perform(&mut self, effects: Effects) {
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

    pub(super) fn join(&mut self, key: u8, cores: u16) -> WorkerId {
        let address = Address::from(format!("worker-{key}").as_str());
        let (id, effects) = self.master.join(self.now, address, heartbeat(key, cores));
        self.perform(effects);
        id
    }

    pub(super) fn push(&mut self, spec: FunctionSpec) -> FunctionId {
        let (function, effects) = self.master.push(self.now, spec);
        self.perform(effects);
        function.id
    }

    pub(super) fn submit(&mut self, function: FunctionId) -> InvocationId {
        self.try_submit(function, false).unwrap()
    }

    pub(super) fn try_submit(
        &mut self,
        function: FunctionId,
        idempotent: bool,
    ) -> Result<InvocationId, SubmitError> {
        let submission = Submission { idempotent, ..Submission::new(function, InputSize(9)) };
        let (id, effects) = self.master.submit(self.now, submission)?;
        self.perform(effects);
        Ok(id)
    }

    pub(super) fn answer(
        &mut self,
        worker: WorkerId,
        attempt: AttemptId,
        answer: Result<Report, TransportError>,
    ) {
        let effects = self.master.reported(self.now, worker, attempt, answer.map(Arc::new));
        self.perform(effects);
    }

    /// Answers the oldest order that is out.
    pub(super) fn finish_next(&mut self, ending: Ending) -> AttemptId {
        let (worker, order) = self.sent.remove(0);
        self.answer(worker, order.attempt, Ok(report(order.attempt, ending, 1.0)));
        order.attempt
    }

    pub(super) fn tick(&mut self, passed: Duration) {
        self.now = self.now + passed;
        let effects = self.master.tick(self.now);
        self.perform(effects);
    }

    /// Time passes, and these workers answer meanwhile.
    pub(super) fn pass(&mut self, passed: Duration, answering: &[(WorkerId, u8, u16)]) {
        for _ in 0..passed.as_secs() {
            self.tick(SECOND);
            for &(worker, key, cores) in answering {
                let effects = self.master.inspected(self.now, worker, Ok(heartbeat(key, cores)));
                self.perform(effects);
            }
        }
    }

    pub(super) fn reply(&self, id: InvocationId) -> &Outcome {
        match self.replies.get(&id).map(Vec::as_slice) {
            Some([outcome]) => outcome,
            other => panic!("{id} has {other:?}"),
        }
    }

    pub(super) fn nothing_is_promised(&self) -> bool {
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
