//! The masks on the kernel's disk are those that the exact split gives, as runners come and end.

use std::sync::Arc;
use std::time::Duration;

use fsched_core::allocator::CacheAllocator;
use fsched_core::allocator::resctrl::{Directory, ResctrlAllocator, ResctrlConfig, ResctrlFs, Schemata};
use fsched_core::cache::{Bytes, CacheDomain, CacheGeometry, DomainId, Ways};
use fsched_core::curve::{Curve, CurvePoint, Provenance};
use fsched_core::function::{InputSize, Needs};
use fsched_core::id::{AttemptId, ContentHash, FunctionId, InvocationId, WorkerKey};
use fsched_core::invocation::{CacheAsk, Order, Output, Weight};
use fsched_core::launcher::{Exit, ExitKind};
use fsched_core::split::{Objective, Problem, Room, Row, Runner, solve};
use fsched_core::time::Timestamp;
use fsched_core::worker::{Worker, WorkerConfig};

use super::RESCTRL;

const FILE: ContentHash = ContentHash([1; 32]);
const KEY: WorkerKey = WorkerKey([0x5a; 16]);

/// `slow` seconds below `knee` ways, 1 second from there on.
fn cliff(geometry: &CacheGeometry, knee: u8, slow: f64) -> Arc<Curve> {
    let point = |ways: u8| {
        let seconds = if ways < knee { slow } else { 1.0 };
        CurvePoint { cache: geometry.bytes(Ways::clamped(ways)), seconds, low: seconds, high: seconds }
    };
    Arc::new(
        Curve::new((1..=geometry.ways.get()).map(point).collect(), Provenance::Measured).expect("it falls"),
    )
}

fn attempt(n: u64) -> AttemptId {
    AttemptId { invocation: InvocationId(n), attempt: 0 }
}

fn order(n: u64, domain: DomainId, curve: &Arc<Curve>) -> Order {
    Order {
        term: 1,
        attempt: attempt(n),
        tenant: Default::default(),
        function: FunctionId(n),
        file: FILE,
        command: Vec::new(),
        input_size: InputSize(1),
        payload: None,
        needs: Needs { cores: 1, memory: Bytes::mib(1), ..Needs::default() },
        timeout: Duration::from_secs(60),
        domain,
        cache: CacheAsk::Shared(Ways::ONE),
        curve: Arc::clone(curve),
        weight: Weight::ONE,
        expected: Duration::ZERO,
        alone: false,
    }
}

fn ended() -> Exit {
    Exit {
        kind: ExitKind::Exited(0),
        pid: Some(1),
        wall: Duration::from_secs(1),
        cpu: Duration::ZERO,
        peak_memory: Bytes(0),
        stdout: Output::default(),
        stderr: Output::default(),
    }
}

#[test]
#[ignore = "needs a kernel with resctrl: .ci/vm"]
fn masks_on_the_kernels_disk_follow_the_solvers() {
    let kernel = Directory::kernel(RESCTRL);
    let schemata = |group: &str| -> Schemata {
        let text = kernel.read(&format!("{group}schemata")).expect("there are schemata");
        text.parse().expect("they make sense")
    };
    let id = schemata("").domains("L3").next().expect("there is an L3");
    let domain = CacheDomain { id, ..CacheDomain::nominal(8, Ways::clamped(20), Bytes::mib(1)) };
    let config = ResctrlConfig::new(KEY);
    let allocator = ResctrlAllocator::open(Arc::new(Directory::kernel(RESCTRL)), vec![domain], &config)
        .expect("the kernel can divide its cache");
    let geometry = allocator.domains()[0].geometry;
    let groups = allocator.groups().to_vec();
    let config = WorkerConfig { cores: 8, ..WorkerConfig::default() };
    let mut worker = Worker::new(config, KEY, "test".to_owned(), Box::new(allocator));

    let curves = [(5, 4.0), (3, 2.0), (6, 3.0), (2, 1.5)].map(|(knee, slow)| cliff(&geometry, knee, slow));
    let rows = curves.each_ref().map(|curve| Row::slowdowns(curve, &geometry));
    let check = |worker: &Worker, running: &[usize]| {
        let runners: Vec<Runner<'_>> = running.iter().map(|&n| Runner::new(1.0, &rows[n])).collect();
        let problem = Problem { room: Room::of(&geometry), runners: &runners };
        let solution = solve(&problem, Objective::Sum).expect("there is room for all");
        let mut taken = 0;
        for (&n, &ways) in running.iter().zip(&solution.ways) {
            let one = worker.running().find(|one| one.attempt == attempt(n as u64)).expect("it runs");
            let group = format!("{}/", groups[usize::from(one.class.0) - 1]);
            let mask = schemata(&group).get("L3", id).expect("the group has a mask");
            assert_eq!(mask, one.mask.bits(), "what the worker says is what the kernel has");
            assert_eq!(mask.count_ones(), u32::from(ways), "of {running:?}, {n} has {mask:x}");
            assert_eq!(mask & taken, 0, "nobody else has them");
            taken |= mask;
        }
        println!("{running:?}: {:?} ways", solution.ways);
    };
    let now = Timestamp(1_000_000_000);
    for n in 0..3 {
        worker.order(now, order(n, id, &curves[n as usize]), true).expect("there is room");
        let running: Vec<usize> = (0..=n as usize).collect();
        check(&worker, &running);
    }
    worker.exited(now, attempt(0), ended());
    check(&worker, &[1, 2]);
    worker.order(now, order(3, id, &curves[3]), true).expect("there is room");
    check(&worker, &[1, 2, 3]);
    for n in [1, 2, 3] {
        worker.exited(now, attempt(n), ended());
    }
    drop(worker);
    let mut allocator = ResctrlAllocator::open(
        Arc::new(Directory::kernel(RESCTRL)),
        vec![CacheDomain { id, ..CacheDomain::nominal(8, Ways::clamped(20), Bytes::mib(1)) }],
        &ResctrlConfig::new(KEY),
    )
    .expect("the groups are adopted again");
    allocator.close().expect("they are given back");
}
