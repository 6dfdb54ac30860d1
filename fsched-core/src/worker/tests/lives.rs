//! Random lives of a worker, with everything checked after every step.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::allocator::conformance::any_geometry;
use crate::function::Isolation;

#[derive(Debug, Clone)]
enum Step {
    Order {
        domain: u16,
        cores: u16,
        mib: u64,
        ask: CacheAsk,
        alone: bool,
        file: u8,
        timeout: u64,
    },
    /// An order that was given before, again.
    Again(prop::sample::Index),
    /// The end of an attempt that was started, however often that was told.
    Exit(prop::sample::Index, ExitKind),
    Cancel(prop::sample::Index),
    CancelAll,
    Wait(u64),
    Arrive(u8),
    Discard(u8),
    Stop,
}

fn any_step() -> impl Strategy<Value = Step> {
    let ask = (1u8..=32, any::<bool>()).prop_map(|(n, exclusive)| {
        CacheAsk::new(if exclusive { Isolation::Exclusive } else { Isolation::Shared }, Ways::clamped(n))
    });
    let order = (0u16..4, 0u16..3, 0u64..400, ask, prop::bool::weighted(0.1), 0u8..3, 0u64..3_000).prop_map(
        |(domain, cores, mib, ask, alone, file, timeout)| Step::Order {
            domain,
            cores,
            mib,
            ask,
            alone,
            file,
            timeout,
        },
    );
    let kind = prop_oneof![
        any::<i32>().prop_map(ExitKind::Exited),
        (1..32).prop_map(ExitKind::Signalled),
        Just(ExitKind::OutOfMemory),
        Just(ExitKind::NotStarted(String::new())),
    ];
    prop_oneof![
        40 => order,
        3 => any::<prop::sample::Index>().prop_map(Step::Again),
        25 => (any::<prop::sample::Index>(), kind).prop_map(|(index, kind)| Step::Exit(index, kind)),
        5 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        1 => Just(Step::CancelAll),
        20 => (0u64..1_500).prop_map(Step::Wait),
        3 => (0u8..3).prop_map(Step::Arrive),
        2 => (0u8..3).prop_map(Step::Discard),
        1 => Just(Step::Stop),
    ]
}

/// A worker, and what those around it know.
struct World {
    worker: Worker,
    now: u64,
    /// How many orders there were: each is of an attempt of its own.
    given: u64,
    /// Every order that was taken, with what was heard of it since.
    taken: BTreeMap<AttemptId, Taken>,
    /// Files on the disk.
    disk: BTreeSet<u8>,
}

struct Taken {
    order: Order,
    deadline: Timestamp,
    stops: Vec<(Stop, Timestamp)>,
    report: Option<Report>,
}

fn file(n: u8) -> ContentHash {
    ContentHash([n; 32])
}

impl World {
    fn new(domains: Vec<CacheDomain>, cores: u16) -> Self {
        let config = WorkerConfig { cores, grace: Duration::from_millis(500), ..WorkerConfig::default() };
        let allocator = Box::new(MemoryAllocator::new(domains, false));
        let worker = Worker::new(config, WorkerKey([9; 16]), "test".to_owned(), allocator);
        Self { worker, now: 0, given: 0, taken: BTreeMap::new(), disk: BTreeSet::from([0, 1]) }
    }

    fn known(&self, index: prop::sample::Index) -> Option<AttemptId> {
        if self.taken.is_empty() {
            None
        } else {
            self.taken.keys().nth(index.index(self.taken.len())).copied()
        }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let now = at(self.now);
        let effects = match step {
            Step::Order { domain, cores, mib, ask, alone, file: n, timeout } => {
                let needs = Needs { cores, memory: Bytes::mib(mib), ..Needs::default() };
                let order = Order {
                    needs,
                    domain: DomainId(domain),
                    cache: ask,
                    alone,
                    file: file(n),
                    timeout: Duration::from_millis(timeout),
                    ..order(self.given)
                };
                self.given += 1;
                return self.give(now, order);
            }
            Step::Again(index) => {
                let Some(known) = self.known(index) else { return Ok(()) };
                let order = self.taken[&known].order.clone();
                prop_assert!(self.worker.order(now, order, true).is_err(), "{known} was taken twice");
                Vec::new()
            }
            Step::Exit(index, kind) => {
                let Some(known) = self.known(index) else { return Ok(()) };
                self.worker.exited(now, known, Exit { kind, ..exit(0) })
            }
            Step::Cancel(index) => {
                self.known(index).map(|known| self.worker.cancel(now, known)).unwrap_or_default()
            }
            Step::CancelAll => self.worker.cancel_all(now),
            Step::Wait(millis) => {
                self.now += millis;
                let now = at(self.now);
                let effects = self.worker.tick(now);
                prop_assert_eq!(self.worker.tick(now), vec![]);
                prop_assert!(self.worker.next_tick().is_none_or(|next| next > now));
                effects
            }
            Step::Arrive(n) => {
                self.disk.insert(n);
                self.worker.file_arrived(file(n));
                Vec::new()
            }
            Step::Discard(n) => self.worker.discard_file(file(n)),
            Step::Stop => {
                self.worker.stop();
                Vec::new()
            }
        };
        self.perform(effects)
    }

    fn give(&mut self, now: Timestamp, order: Order) -> Result<(), TestCaseError> {
        let before = self.worker.heartbeat(MachineStatus::default());
        let has_file = self.disk.contains(&order.file.0[0]);
        match self.worker.order(now, order.clone(), has_file) {
            Ok(effects) => {
                prop_assert_eq!(started(&effects).attempt, order.attempt);
                prop_assert!(!before.stopping);
                let deadline = now + order.timeout;
                let taken = Taken { deadline, stops: Vec::new(), report: None, order };
                self.taken.insert(taken.order.attempt, taken);
            }
            Err(_) => prop_assert_eq!(self.worker.heartbeat(MachineStatus::default()), before),
        }
        Ok(())
    }

    fn perform(&mut self, effects: Vec<Effect>) -> Result<(), TestCaseError> {
        for effect in effects {
            match effect {
                Effect::Start(start) => prop_assert!(false, "{} starts out of turn", start.attempt()),
                Effect::Stop { attempt, how } => {
                    let taken = self.taken.get_mut(&attempt).unwrap();
                    prop_assert!(taken.report.is_none(), "{attempt} is over");
                    taken.stops.push((how, at(self.now)));
                }
                Effect::Move { attempt, .. } => {
                    let taken = self.taken.get(&attempt);
                    prop_assert!(taken.is_some_and(|t| t.report.is_none()), "{attempt} does not run");
                }
                Effect::Report(report) => {
                    let taken = self.taken.get_mut(&report.attempt).unwrap();
                    prop_assert!(taken.report.is_none(), "{} is reported twice", report.attempt);
                    let ours = matches!(report.ending, Ending::TimedOut | Ending::Cancelled);
                    prop_assert_eq!(ours, !taken.stops.is_empty());
                    let whole: Duration = report.segments.iter().map(|s| s.duration).sum();
                    prop_assert!(report.cache.is_none() || whole == report.wall);
                    taken.report = Some(Report::clone(&report));
                }
                Effect::RemoveFile(hash) => {
                    self.disk.remove(&hash.0[0]);
                    prop_assert!(self.live().all(|taken| taken.order.file != hash), "{hash} is in use");
                }
            }
        }
        Ok(())
    }

    fn live(&self) -> impl Iterator<Item = &Taken> {
        self.taken.values().filter(|taken| taken.report.is_none())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let heartbeat = self.worker.heartbeat(MachineStatus::default());
        let running: Vec<RunningAttempt> = self.worker.running().collect();
        let names: Vec<AttemptId> = running.iter().map(|r| r.attempt).collect();
        prop_assert_eq!(&heartbeat.running, &names);
        prop_assert_eq!(names, self.live().map(|taken| taken.order.attempt).collect::<Vec<_>>());
        prop_assert_eq!(self.worker.is_idle(), running.is_empty());

        let memory: u64 = self.live().map(|taken| taken.order.needs.memory.0).sum();
        prop_assert_eq!(memory + heartbeat.free_memory.0, self.worker.config().memory.0);
        let given: u16 = heartbeat.domains.iter().map(|domain| domain.cores).sum();
        prop_assert_eq!(given, self.worker.config().cores);
        for domain in &heartbeat.domains {
            self.check_domain(domain, &running)?;
        }
        self.check_deadlines()
    }

    fn check_domain(&self, domain: &DomainStatus, running: &[RunningAttempt]) -> Result<(), TestCaseError> {
        let id = domain.domain.id;
        let here: Vec<&Taken> = self.live().filter(|taken| taken.order.domain == id).collect();
        let cores: u16 = here.iter().map(|taken| taken.order.needs.cores.max(1)).sum();
        prop_assert_eq!(cores + domain.free_cores, domain.cores);
        prop_assert!(here.len() <= 1 || here.iter().all(|taken| !taken.order.alone));

        let masks: Vec<(CacheAsk, WayMask)> = running
            .iter()
            .filter(|r| r.domain == id)
            .map(|r| (self.taken[&r.attempt].order.cache, r.mask))
            .collect();
        let mut exclusive = 0;
        for (i, (ask, mask)) in masks.iter().enumerate() {
            if let CacheAsk::Exclusive(ways) = ask {
                prop_assert!(mask.ways() >= *ways);
                prop_assert!(
                    masks.iter().enumerate().all(|(j, (_, other))| i == j || !mask.overlaps(*other))
                );
                exclusive += mask.ways().get();
            }
        }
        prop_assert_eq!(exclusive, domain.exclusive_ways);
        Ok(())
    }

    /// SIGTERM comes once, and at the deadline at the latest; SIGKILL once, and after the grace.
    fn check_deadlines(&self) -> Result<(), TestCaseError> {
        let now = at(self.now);
        for taken in self.taken.values() {
            match taken.stops.as_slice() {
                [] => {
                    let due = self.worker.next_tick();
                    prop_assert!(taken.report.is_some() || due.is_some_and(|due| due <= taken.deadline));
                }
                [(Stop::Terminate, asked)] => {
                    let due = self.worker.next_tick();
                    let kill = *asked + Duration::from_millis(500);
                    prop_assert!(taken.report.is_some() || due.is_some_and(|due| due <= kill));
                }
                [(Stop::Terminate, asked), (Stop::Kill, killed)] => {
                    prop_assert!(killed.since(*asked) >= Duration::from_millis(500) && *killed <= now);
                }
                other => prop_assert!(false, "odd signals: {other:?}"),
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_worker_never_promises_what_it_has_not_and_reports_all_it_took(
        geometries in vec(any_geometry(), 1..=3),
        cores in 1u16..12,
        steps in vec(any_step(), 0..150),
    ) {
        let mut domains = domains(geometries.len() as u16, 8);
        for (domain, geometry) in domains.iter_mut().zip(geometries) {
            domain.geometry = geometry;
        }
        let mut world = World::new(domains, cores);
        let new = world.worker.heartbeat(MachineStatus::default());
        for step in steps {
            world.step(step)?;
            world.check()?;
        }
        let left: Vec<AttemptId> = world.live().map(|taken| taken.order.attempt).collect();
        for attempt in left {
            let effects = world.worker.exited(at(world.now), attempt, exit(0));
            world.perform(effects)?;
            world.check()?;
        }
        prop_assert!(world.taken.values().all(|taken| taken.report.is_some()));
        prop_assert!(world.worker.is_idle());
        prop_assert_eq!(world.worker.next_tick(), None);
        let stopping = world.worker.heartbeat(MachineStatus::default()).stopping;
        prop_assert_eq!(world.worker.heartbeat(MachineStatus::default()), Heartbeat { stopping, ..new });
    }
}
