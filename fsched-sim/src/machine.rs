//! A worker's host: its processes get on at the rates of its caches.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fsched_core::cache::{Bytes, CacheDomain, CacheGeometry, DomainId, WayMask, Ways};
use fsched_core::cluster::Heartbeat;
use fsched_core::function::{Isolation, Needs};
use fsched_core::id::{AttemptId, ContentHash, WorkerKey};
use fsched_core::invocation::{CacheAsk, Order, Output};
use fsched_core::launcher::{Exit, ExitKind, Stop};
use fsched_core::maps::Few;
use fsched_core::time::Timestamp;
use fsched_core::transport::Refusal;
use fsched_core::worker::{Effect, MachineStatus, Worker, WorkerConfig};
use roaring::RoaringBitmap;

use crate::SimFunction;
use crate::fault::{Refusing, Switches};
use crate::policy::{Policy, Scene};
use crate::rates::{Rates, Runner};
use crate::refill::Contents;
use crate::truths::Truth;

/// What a machine is.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineConfig {
    /// What its worker gives to functions.
    pub worker: WorkerConfig,
    /// Its caches.
    pub domains: Vec<CacheDomain>,
    /// How many times longer than their curves say everything takes here.
    pub slowness: f64,
}

impl MachineConfig {
    /// One cache of so many ways of a mebibyte, all cores for functions, and memory that nobody runs out of.
    pub fn nominal(cores: u16, ways: u8) -> Self {
        let worker = WorkerConfig { cores, memory: Bytes::mib(1 << 20), ..WorkerConfig::default() };
        let domains = vec![CacheDomain::nominal(cores, Ways::clamped(ways), Bytes::mib(1))];
        Self { worker, domains, slowness: 1.0 }
    }
}

/// How long it takes to start a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartUp {
    /// The first time on a machine.
    pub cold: Duration,
    /// Each later time.
    pub warm: Duration,
}

/// What runs of an order.
#[derive(Debug, Clone)]
pub struct Process {
    /// Which function, by number.
    pub function: usize,
    /// In which domain.
    pub domain: DomainId,
    /// What the order says that it needs.
    pub needs: Needs,
    /// What the order asks for of the cache.
    pub cache: CacheAsk,
    /// What it really takes, on its input.
    truth: Arc<Truth>,
    /// What it has in its ways, once it has some.
    contents: Option<Contents>,
    started: Timestamp,
    /// It is being started until then.
    runs_from: Timestamp,
    /// What is left of the run, as a share, at `since`.
    left: f64,
    since: Timestamp,
    /// How long a whole run would take at the present rate, seconds.
    seconds: f64,
    /// Which of its announced ends counts.
    pub(crate) generation: u64,
    /// It was asked to end, or killed.
    stopped: Option<Stop>,
    /// When it ended, where its worker has yet to hear of it.
    ended: Option<Timestamp>,
}

impl Process {
    /// Whether nobody else may be in its ways.
    pub fn is_exclusive(&self) -> bool {
        self.needs.isolation == Isolation::Exclusive
    }

    /// It has this mask now: the ways of it that are of use, and whether it is another mask than before.
    fn has(
        &mut self,
        now: Timestamp,
        mask: WayMask,
        geometry: &CacheGeometry,
        slowness: f64,
    ) -> (WayMask, bool) {
        match &mut self.contents {
            Some(contents) if now >= self.runs_from => {
                let changed = contents.change(now, mask, &self.truth, geometry, slowness);
                (contents.useful(), changed)
            }
            // It has fetched nothing yet.
            contents => {
                let changed = contents.is_some_and(|contents| contents.useful() != mask);
                *contents = Some(Contents::new(mask));
                (mask, changed)
            }
        }
    }

    /// Gets on until `now`.
    fn advance(&mut self, now: Timestamp) {
        let spent = now.since(self.since.max(self.runs_from)).as_secs_f64();
        if self.seconds.is_finite() {
            self.left = (self.left - spent / self.seconds).max(0.0);
        }
        self.since = self.since.max(now);
    }

    /// When it ends if all goes on as now.
    fn end(&self) -> Timestamp {
        let seconds = self.left * self.seconds;
        let whole = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        self.since.max(self.runs_from) + whole
    }
}

/// A worker's host.
pub struct Machine {
    pub(crate) config: MachineConfig,
    key: WorkerKey,
    /// None: it is down.
    worker: Option<Worker>,
    processes: Few<AttemptId, Process>,
    /// Which functions were started here before.
    warm: RoaringBitmap,
    /// Which functions' files are here.
    files: RoaringBitmap,
    /// Which call of the master waits for which report.
    pub(crate) calls: Few<AttemptId, u64>,
    /// What its worker was told last.
    clock: Timestamp,
    /// How far its clock is from true time, nanoseconds, at `drifts_from`.
    skew: i64,
    /// How many of its nanoseconds pass in a thousand, from when on.
    permille: u32,
    drifts_from: Timestamp,
    /// Whether masks are wider than anybody thinks.
    widens: bool,
    slow: f64,
    pub(crate) refuses: Arc<Switches>,
    pub(crate) partitioned_until: Timestamp,
    pub(crate) hangs_until: Timestamp,
    pub(crate) slow_until: Timestamp,
    pub(crate) refuses_until: Timestamp,
    pub(crate) unenforced_until: Timestamp,
    pub(crate) drifts_until: Timestamp,
    pub(crate) widens_until: Timestamp,
    /// How often it was started.
    pub(crate) life: u64,
    /// When its worker is to be ticked next, in true time.
    pub(crate) tick_at: Option<Timestamp>,
    /// When its rates are to be settled next because ways are full then.
    pub(crate) full_at: Option<Timestamp>,
    generations: u64,
    settled: Vec<Settled>,
    /// Who is in a domain now: empty between events, and kept for its memory.
    here: Vec<(AttemptId, WayMask)>,
    /// How long runs of those would take: empty between events too.
    seconds: Vec<f64>,
    mask_changes: u64,
}

impl Machine {
    pub(crate) fn new(
        number: usize,
        config: MachineConfig,
        now: Timestamp,
        policy: &dyn Policy,
        scene: &Scene,
    ) -> Self {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&(number as u64 + 1).to_be_bytes());
        let mut machine = Self {
            config,
            key: WorkerKey(key),
            worker: None,
            processes: Few::default(),
            warm: RoaringBitmap::new(),
            files: RoaringBitmap::new(),
            calls: Few::default(),
            clock: now,
            skew: 0,
            permille: 1000,
            drifts_from: now,
            widens: false,
            slow: 1.0,
            refuses: Arc::default(),
            partitioned_until: Timestamp(0),
            hangs_until: Timestamp(0),
            slow_until: Timestamp(0),
            refuses_until: Timestamp(0),
            unenforced_until: Timestamp(0),
            drifts_until: Timestamp(0),
            widens_until: Timestamp(0),
            life: 0,
            tick_at: None,
            full_at: None,
            generations: 0,
            settled: Vec::new(),
            here: Vec::new(),
            seconds: Vec::new(),
            mask_changes: 0,
        };
        machine.start(policy, scene);
        machine
    }

    /// Its worker; none: it is down.
    pub fn worker(&self) -> Option<&Worker> {
        self.worker.as_ref()
    }

    /// What really runs on it.
    pub fn processes(&self) -> &Few<AttemptId, Process> {
        &self.processes
    }

    /// Its caches.
    pub fn domains(&self) -> &[CacheDomain] {
        &self.config.domains
    }

    /// Who its worker is.
    pub fn key(&self) -> WorkerKey {
        self.key
    }

    /// What it says of itself; none: it is down.
    pub fn heartbeat(&self) -> Option<Heartbeat> {
        self.worker.as_ref().map(|worker| worker.heartbeat(MachineStatus::default()))
    }

    pub(crate) fn start(&mut self, policy: &dyn Policy, scene: &Scene) {
        let allocator = policy.allocator(scene, self.config.domains.clone());
        let allocator = Box::new(Refusing::new(allocator, Arc::clone(&self.refuses)));
        let config = self.config.worker.clone();
        self.worker = Some(Worker::new(config, self.key, "simulated".to_owned(), allocator));
        self.life += 1;
    }

    /// Everything on it is gone: the calls that waited for something.
    pub(crate) fn crash(&mut self) -> Few<AttemptId, u64> {
        self.worker = None;
        self.settled.clear();
        self.processes.clear();
        self.warm.clear();
        self.tick_at = None;
        self.full_at = None;
        self.life += 1;
        std::mem::take(&mut self.calls)
    }

    pub(crate) fn jump(&mut self, millis: i64) {
        self.skew = self.skew.saturating_add(millis.saturating_mul(1_000_000));
    }

    /// What its clock got ahead of true time since it runs at this speed, nanoseconds.
    fn drifted(&self, now: Timestamp) -> i64 {
        if self.permille == 1000 {
            return 0;
        }
        let passed = i128::try_from(now.since(self.drifts_from).as_nanos()).unwrap_or(i128::MAX);
        let drifted = passed.saturating_mul(i128::from(self.permille) - 1000) / 1000;
        i64::try_from(drifted).unwrap_or(i64::MAX)
    }

    /// Its clock runs at another speed from now on.
    pub(crate) fn drift(&mut self, now: Timestamp, permille: u32) {
        self.skew = self.skew.saturating_add(self.drifted(now));
        (self.permille, self.drifts_from) = (permille.max(1), now);
    }

    pub(crate) fn widen(&mut self, widens: bool) {
        self.widens = widens;
    }

    /// What its clock says: it never goes back.
    fn clock(&mut self, now: Timestamp) -> Timestamp {
        let skew = self.skew.saturating_add(self.drifted(now));
        self.clock = self.clock.max(Timestamp(now.0.saturating_add_signed(skew)));
        self.clock
    }

    /// One call of its worker, if it has one.
    pub(crate) fn tell<T>(
        &mut self,
        now: Timestamp,
        call: impl FnOnce(&mut Worker, Timestamp) -> T,
    ) -> Option<T> {
        let clock = self.clock(now);
        self.worker.as_mut().map(|worker| call(worker, clock))
    }

    /// When its worker wants to be ticked, in true time.
    pub(crate) fn wants_tick(&self, now: Timestamp) -> Option<Timestamp> {
        let due = self.worker.as_ref()?.next_tick()?;
        // Like the node: it waits for as long as its clock says now, which is another time where that runs at another speed.
        let wait = due.since(self.clock);
        if self.permille == 1000 {
            return Some(now + wait);
        }
        let wait = wait.as_nanos().saturating_mul(1000).div_ceil(u128::from(self.permille.max(1)));
        Some(now + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    /// An order arrives; none: its worker is down.
    pub(crate) fn order(
        &mut self,
        now: Timestamp,
        order: Box<Order>,
    ) -> Option<Result<Vec<Effect>, Refusal>> {
        let has_file = self.files.contains(SimFunction::number(order.file) as u32);
        self.tell(now, |worker, clock| worker.order(clock, order, has_file))
    }

    pub(crate) fn put_file(&mut self, now: Timestamp, file: ContentHash) {
        self.files.insert(SimFunction::number(file) as u32);
        self.tell(now, |worker, _| worker.file_arrived(file));
    }

    pub(crate) fn remove_file(&mut self, file: ContentHash) {
        self.files.remove(SimFunction::number(file) as u32);
    }

    /// Starts what an order is for; how long that takes.
    pub(crate) fn launch(
        &mut self,
        now: Timestamp,
        order: &Order,
        truth: Arc<Truth>,
        start_up: StartUp,
    ) -> Duration {
        let number = SimFunction::number(order.file);
        let is_cold = self.warm.insert(number as u32);
        let start = if is_cold { start_up.cold } else { start_up.warm };
        let process = Process {
            function: number,
            domain: order.domain,
            needs: order.needs,
            cache: order.cache,
            truth,
            contents: None,
            started: now,
            runs_from: now + start,
            left: 1.0,
            since: now,
            seconds: f64::INFINITY,
            generation: 0,
            stopped: None,
            ended: None,
        };
        self.processes.insert(order.attempt, process);
        start
    }

    /// A process is told to end; whether it does, at once.
    pub(crate) fn stop(&mut self, attempt: AttemptId, how: Stop, functions: &[SimFunction]) -> bool {
        let Some(process) = self.processes.get_mut(&attempt) else { return false };
        if how == Stop::Terminate && functions[process.function].stubborn {
            return false;
        }
        process.stopped = Some(how);
        self.generations += 1;
        process.generation = self.generations;
        true
    }

    /// A process has ended, and its worker cannot hear of it yet.
    pub(crate) fn note_end(&mut self, now: Timestamp, attempt: AttemptId) {
        if let Some(process) = self.processes.get_mut(&attempt) {
            process.ended.get_or_insert(now);
        }
    }

    /// A process is gone: what is left of it.
    pub(crate) fn exit(&mut self, now: Timestamp, attempt: AttemptId, functions: &[SimFunction]) -> Exit {
        let process = self.processes.remove(&attempt).expect("only ends that count are told");
        let wall = process.ended.unwrap_or(now).since(process.started);
        let kind = match process.stopped {
            Some(Stop::Terminate) => ExitKind::Signalled(15),
            Some(Stop::Kill) => ExitKind::Signalled(9),
            None => ExitKind::Exited(functions[process.function].status),
        };
        Exit {
            kind,
            pid: Some(1),
            wall,
            cpu: wall,
            peak_memory: Bytes::mib(1),
            stdout: Output::default(),
            stderr: Output::default(),
        }
    }

    /// A process takes more than its order says.
    pub(crate) fn take_more(&mut self, attempt: AttemptId) {
        if let Some(process) = self.processes.get_mut(&attempt) {
            process.needs.cores += 1;
        }
    }

    /// A process goes on although its end was reported.
    pub(crate) fn raise(&mut self, attempt: AttemptId, undead: Option<Process>) {
        // It holds nothing that anybody counts.
        let needs = Needs { cores: 0, memory: Bytes(0), ..Needs::default() };
        if let Some(process) = undead {
            self.processes.insert(attempt, Process { needs, ..process });
        }
    }

    pub(crate) fn slow_down(&mut self, factor: f64) {
        self.slow = factor;
    }

    pub(crate) fn refuse(&self, refuses: bool) {
        self.refuses.divisions.store(refuses, Ordering::Relaxed);
    }

    pub(crate) fn refuse_leases(&self, refuses: bool) {
        self.refuses.leases.store(refuses, Ordering::Relaxed);
    }

    /// Somebody came, went, or got another mask: how fast all get on from now, in those domains where that is so. Adds the ends that are
    /// new, with their generations, to `ends`.
    pub(crate) fn settle(
        &mut self,
        now: Timestamp,
        rates: &mut dyn Rates,
        ends: &mut Vec<(Timestamp, AttemptId, u64)>,
    ) {
        let Some(worker) = &self.worker else { return };
        let factor = self.config.slowness * self.slow;
        self.settled.resize(self.config.domains.len(), Settled::default());
        let here = &mut self.here;
        for (domain, settled) in self.config.domains.iter().zip(&mut self.settled) {
            let wider = domain.geometry.usable().filter(|_| self.widens);
            here.clear();
            for (attempt, mask) in worker.masks(domain.id) {
                let Some(process) = self.processes.get_mut(&attempt).filter(|one| one.ended.is_none()) else {
                    continue;
                };
                let (useful, changed) = process.has(now, wider.unwrap_or(mask), &domain.geometry, factor);
                self.mask_changes += u64::from(changed);
                here.push((attempt, useful));
            }
            if settled.factor == factor && settled.here == *here {
                continue;
            }
            settled.factor = factor;
            if here.is_empty() {
                settled.here.clear();
                continue;
            }
            let runner = |&(attempt, mask): &(AttemptId, WayMask)| {
                let truth = &self.processes[&attempt].truth;
                Runner { id: truth.id, curve: &truth.curve, mask }
            };
            let runners: Vec<Runner<'_>> = here.iter().map(runner).collect();
            self.seconds.clear();
            rates.settle(&domain.geometry, &runners, &mut self.seconds);
            for (&(attempt, _), &seconds) in here.iter().zip(&self.seconds) {
                let seconds = seconds * factor;
                let Some(process) = self.processes.get_mut(&attempt) else { continue };
                if process.seconds == seconds || process.stopped.is_some() {
                    continue;
                }
                process.advance(now);
                process.seconds = seconds;
                self.generations += 1;
                process.generation = self.generations;
                ends.push((process.end(), attempt, process.generation));
            }
            std::mem::swap(&mut settled.here, here);
        }
    }

    /// When the next ways are full that somebody fills.
    pub(crate) fn fills_until(&self) -> Option<Timestamp> {
        let running = self.processes.values().filter(|process| process.ended.is_none());
        running.filter_map(|process| process.contents?.full_at()).min()
    }

    /// How often a mask was changed of somebody who ran.
    pub fn mask_changes(&self) -> u64 {
        self.mask_changes
    }
}

/// For whom rates were settled last in a domain.
#[derive(Debug, Clone, Default, PartialEq)]
struct Settled {
    factor: f64,
    here: Vec<(AttemptId, WayMask)>,
}
