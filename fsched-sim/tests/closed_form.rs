//! Cases whose answer is known from elsewhere.

use std::sync::Arc;
use std::time::Duration;

use fsched_core::allocator::{AllocateError, CacheAllocator, Grant, Group, LeaseId, Moved, Usage};
use fsched_core::cache::{Bytes, CacheDomain, ClosId, DomainId, WayMask};
use fsched_core::curve::{Curve, CurvePoint, Provenance, Traffic, TrafficPoint};
use fsched_core::function::InputSize;
use fsched_core::invocation::CacheAsk;
use fsched_core::predictor::{InterpolatingPredictor, Predictor};
use fsched_core::scheduler::{LeastLoaded, Scheduler};
use fsched_core::store::EndKind;
use fsched_core::time::Timestamp;
use fsched_sim::policy::{Policy, Scene};
use fsched_sim::random::Random;
use fsched_sim::rates::{Apart, EvenShares, Rates};
use fsched_sim::simulation::{Ended, START};
use fsched_sim::workload::{Arrival, Listed, Poisson, Sizes, Workload};
use fsched_sim::{SimConfig, SimFunction, Simulation};

use crate::rig::{ideal, machine};

/// Time is in inverse proportion to cache: `seconds` with a mebibyte, twice that with half of one.
fn proportional(name: &str, seconds: f64) -> SimFunction {
    let point = |cache, seconds| CurvePoint { cache, seconds, low: seconds, high: seconds };
    let points = vec![point(Bytes::kib(512), 2.0 * seconds), point(Bytes::mib(1), seconds)];
    SimFunction::new(name, Curve::new(points, Provenance::Measured).expect("it falls"))
}

fn ended(config: SimConfig, rates: Box<dyn Rates>, workload: Box<dyn Workload>) -> Vec<Ended> {
    let mut simulation = Simulation::new(config, rates, workload);
    assert!(simulation.run_to_end(START + Duration::from_secs(10_000_000)), "it does not end");
    let ended = simulation.take_ended();
    assert!(ended.iter().all(|ended| ended.end == EndKind::Exited(0)), "some did not run to their end");
    ended
}

#[test]
fn two_functions_on_one_way_are_done_at_three_seconds() {
    // Alone, the first takes 1 s and the second 2 s. On half the way each, both get on half as fast: the first is done at
    // 2.0, when the second has half of its run before it, alone: 1 s.
    let functions = vec![proportional("first", 1.0), proportional("second", 2.0)];
    let config = ideal(1, vec![machine(2, 1)], functions);
    let arrival = |function| Arrival { at: START, function, input_size: InputSize(1), idempotent: false };
    let workload = Listed::new(vec![arrival(0), arrival(1)]);
    let ended = ended(config, Box::new(EvenShares), Box::new(workload));
    let times: Vec<(usize, f64)> =
        ended.iter().map(|one| (one.function, one.at.since(START).as_secs_f64())).collect();
    assert_eq!(times, [(0, 2.0), (1, 3.0)]);
}

/// How long each waited before it ran, seconds.
fn waits(ended: &[Ended]) -> impl Iterator<Item = f64> {
    ended.iter().map(|one| {
        let ran = one.ran.expect("it ran");
        one.at.since(one.submitted).saturating_sub(ran).as_secs_f64()
    })
}

/// Arrivals that are left out at the beginning, when the queue is still empty.
const WARM_UP: usize = 500;
const ARRIVALS: u64 = 6_000;
/// Student's t for 99 % and 9 degrees of freedom.
const T_99: f64 = 3.25;

/// The mean wait over ten seeds and half the width of its 99 % confidence interval, seconds.
fn mean_wait(cores: u16, load: f64, sizes: Sizes) -> (f64, f64) {
    let means: Vec<f64> = (0..10)
        .map(|seed| {
            // A second per million of input.
            let curve = Curve::flat(1.0, 1.0, Provenance::Measured);
            let function = SimFunction::growing("served", InputSize(1_000_000), curve, 1.0);
            let mut config = ideal(seed, vec![machine(cores, 8)], vec![function]);
            // Nobody has to be asked how it is: nothing goes wrong here.
            config.master.heartbeat = Duration::from_secs(1_000_000);
            config.master.suspect_after = Duration::from_secs(2_000_000_000);
            config.master.dead_after = Duration::from_secs(3_000_000_000);
            let mean = Duration::from_secs_f64(1.0 / (load * f64::from(cores)));
            let chance = Random::new(seed).fork(2);
            let workload = Poisson::new(chance, Timestamp(START.0 + 1), mean, 1, sizes, ARRIVALS);
            let mut ended = ended(config, Box::new(Apart), Box::new(workload));
            ended.sort_by_key(|one| one.invocation);
            let waits: Vec<f64> = waits(&ended).skip(WARM_UP).collect();
            waits.iter().sum::<f64>() / waits.len() as f64
        })
        .collect();
    let n = means.len() as f64;
    let mean = means.iter().sum::<f64>() / n;
    let variance = means.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, T_99 * (variance / n).sqrt())
}

fn agrees((mean, half): (f64, f64), expected: f64) {
    assert!(half < 0.25 * expected, "the interval says nothing: {mean} ± {half}");
    assert!((mean - expected).abs() <= half, "{mean} ± {half}, and theory says {expected}");
}

#[test]
fn one_core_waits_as_pollaczek_and_khinchine_say() {
    // M/D/1: W = ρ·s / (2·(1 − ρ)).
    let load = 0.6;
    let wait = mean_wait(1, load, Sizes::Fixed(InputSize(1_000_000)));
    agrees(wait, load / (2.0 * (1.0 - load)));
}

#[test]
fn several_cores_wait_as_erlang_says() {
    // M/M/c: W = C(c, a) · s / (c − a), with a the offered load and C Erlang's formula for the share of those that wait.
    let (cores, load) = (4u16, 0.7);
    let offered = load * f64::from(cores);
    let mut blocked = 1.0;
    for n in 1..=cores {
        blocked = offered * blocked / (f64::from(n) + offered * blocked);
    }
    let waits = blocked / (1.0 - load * (1.0 - blocked));
    let wait = mean_wait(cores, load, Sizes::Exponential(InputSize(1_000_000)));
    agrees(wait, waits / (f64::from(cores) - offered));
}

/// The first to come has the first way, the second the second; when the second is gone, the first has both.
#[derive(Debug)]
struct Handover;

impl Policy for Handover {
    fn predictor(&self, _: &Scene) -> Box<dyn Predictor> {
        Box::new(InterpolatingPredictor::default())
    }

    fn scheduler(&self, _: &Scene) -> Box<dyn Scheduler> {
        Box::new(LeastLoaded {})
    }

    fn allocator(&self, _: &Scene, domains: Vec<CacheDomain>) -> Box<dyn CacheAllocator> {
        Box::new(Ways { domains, leases: 0 })
    }
}

struct Ways {
    domains: Vec<CacheDomain>,
    leases: u64,
}

impl CacheAllocator for Ways {
    fn domains(&self) -> &[CacheDomain] {
        &self.domains
    }

    fn enforced(&self) -> bool {
        true
    }

    fn acquire(&mut self, _: DomainId, _: CacheAsk) -> Result<Grant, AllocateError> {
        let lease = LeaseId(self.leases);
        self.leases += 1;
        let mask = WayMask::new(1 << lease.0).expect("one way");
        Ok(Grant { lease, class: ClosId(lease.0 as u16 + 1), mask, moved: Vec::new() })
    }

    fn release(&mut self, lease: LeaseId) -> Result<Vec<Moved>, AllocateError> {
        let both = WayMask::new(0b11).expect("two ways");
        let moved = Moved { lease: LeaseId(0), class: ClosId(1), mask: both };
        Ok(if lease == LeaseId(1) { vec![moved] } else { Vec::new() })
    }

    fn arrange(&mut self, _: DomainId, _: &[Group]) -> Result<Vec<Moved>, AllocateError> {
        Ok(Vec::new())
    }

    fn usage(&self, _: DomainId) -> Usage {
        Usage::default()
    }
}

#[test]
fn a_granted_way_helps_when_it_is_full() {
    // On one way it takes 2 s and misses 10 MiB, on two 1 s. At 1.0 it is half done and gets the other way, which fills in
    // 1 MiB / (10 MiB / 2 s) = 0.2 s: at 1.2 it has 0.4 of its run before it, at a second for a whole one.
    let point = |mib, seconds| CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds };
    let misses = |mib, missed: u64| TrafficPoint {
        cache: Bytes::mib(mib),
        misses: (missed << 20) as f64,
        accesses: 1e6,
    };
    let traffic = Traffic::new(vec![misses(1, 10), misses(2, 0)], Provenance::Simulated).expect("it falls");
    let curve = Curve::new(vec![point(1, 2.0), point(2, 1.0)], Provenance::Simulated).expect("it falls");
    let gains = SimFunction::new("gains", curve.with_traffic(Some(traffic)));
    let leaves = SimFunction::new("leaves", Curve::flat(1.0, 1.0, Provenance::Simulated));
    let mut config = ideal(1, vec![machine(2, 2)], vec![gains, leaves]);
    config.machines[0].domains[0].geometry.classes = 0;
    config.policy = Arc::new(Handover);
    let arrival = |function| Arrival { at: START, function, input_size: InputSize(1), idempotent: false };
    let ended = ended(config, Box::new(Apart), Box::new(Listed::new(vec![arrival(0), arrival(1)])));
    let times: Vec<(usize, f64)> =
        ended.iter().map(|one| (one.function, one.at.since(START).as_secs_f64())).collect();
    assert_eq!(times, [(1, 1.0), (0, 1.6)]);
}
