//! Every answer as it is written today: clients read these.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fsched_core::allocator::{ClassUse, Counter, Monitored};
use fsched_core::cache::{Bytes, CacheDomain, CacheGeometry, ClosId, CpuId, DomainId, WayMask, Ways};
use fsched_core::cluster::{DomainStatus, DomainView, Heartbeat, Liveness, Pace, WorkerView};
use fsched_core::curve::{Curve, CurvePoint, Provenance, Traffic, TrafficPoint};
use fsched_core::function::{Function, FunctionSpec, InputSize, Isolation, Needs};
use fsched_core::id::{AttemptId, BenchmarkId, ContentHash, FunctionId, InvocationId, WorkerId, WorkerKey};
use fsched_core::invocation::{
    CacheGot, Ending, Estimate, Invocation, InvocationState, Outcome, Output, Report, Submission,
};
use fsched_core::master::{BenchmarkPoint, BenchmarkReport, FunctionInfo, Stats, WorkerInfo};
use fsched_core::predictor::{Knowledge, Prediction};
use fsched_core::store::EndKind;
use fsched_core::time::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::*;

/// Compares with what was written down.
fn golden(written: &str, body: &impl Serialize) {
    let written: Value = serde_json::from_str(written).unwrap();
    let body = serde_json::to_value(body).unwrap();
    assert_eq!(body, written, "as it is now:\n{body:#}");
}

fn report() -> Report {
    Report {
        attempt: AttemptId { invocation: InvocationId(9), attempt: 0 },
        ending: Ending::Exited(0),
        pid: Some(4242),
        started: Timestamp(1_700_000_000_500_000_000),
        wall: Duration::from_millis(1_015),
        cpu: Duration::from_millis(990),
        peak_memory: Bytes::mib(12),
        stdout: Output { bytes: b"done\n".to_vec(), dropped: 0 },
        stderr: Output { bytes: vec![0xff], dropped: 7 },
        cache: Some(CacheGot {
            domain: DomainId(0),
            class: ClosId(1),
            mask: WayMask::new(0x3f).unwrap(),
            enforced: true,
        }),
        segments: Vec::new(),
        co_runners: 1,
        monitored: Some(monitored()),
    }
}

fn monitored() -> Monitored {
    Monitored {
        occupancy: Counter::Bytes(Bytes::mib(3)),
        total_traffic: Counter::Unavailable,
        local_traffic: Counter::Absent,
    }
}

fn invocation(state: InvocationState) -> Invocation {
    Invocation {
        id: InvocationId(9),
        submission: Submission {
            tenant: "team-blue".parse().unwrap(),
            command: Some("python3 -u".parse().unwrap()),
            only_if_known: true,
            ..Submission::new(FunctionId(1), InputSize(2000))
        },
        benchmark: None,
        knowledge: Some(Knowledge::Assisted),
        estimate: Some(Estimate {
            domain: DomainId(0),
            ways: Ways::clamped(4),
            seconds: 0.75,
            source: Provenance::Measured,
        }),
        submitted: Timestamp(1_700_000_000_000_000_000),
        state,
    }
}

fn ended() -> Invocation {
    invocation(InvocationState::Ended {
        end: EndKind::Exited(0),
        at: Timestamp(1_700_000_002_000_000_000),
        outcome: Some(Outcome::Ran { worker: WorkerId(1), report: Arc::new(report()) }),
    })
}

fn domain() -> CacheDomain {
    let geometry = CacheGeometry {
        size: Bytes::mib(16),
        ways: Ways::clamped(16),
        min_ways: Ways::ONE,
        contiguous: true,
        shareable: 0,
        classes: 15,
    };
    CacheDomain { id: DomainId(0), cpus: vec![CpuId(0), CpuId(1)], geometry }
}

fn worker() -> WorkerInfo {
    let mut view = DomainView::new(domain(), 2);
    (view.reserved_cores, view.asked_shared, view.placed) = (1, 6, 1);
    let status = DomainStatus {
        domain: domain(),
        cores: 2,
        free_cores: 1,
        exclusive_ways: 0,
        free_ways: 10,
        largest_exclusive: None,
    };
    let heartbeat = Heartbeat {
        key: WorkerKey([7; 16]),
        version: "0.1.0".to_owned(),
        enforced: true,
        memory: Bytes::mib(1024),
        free_memory: Bytes::mib(768),
        total_ram: Bytes::mib(4096),
        free_ram: Bytes::mib(1024),
        total_swap: Bytes::mib(512),
        free_swap: Bytes::mib(512),
        domains: vec![status],
        classes: vec![ClassUse { domain: DomainId(0), class: ClosId(1), monitored: monitored() }],
        intruders: vec!["COS1".to_owned()],
        running: Vec::new(),
        stopping: false,
    };
    WorkerInfo {
        id: WorkerId(1),
        key: WorkerKey([7; 16]),
        address: "http://10.0.0.7:3000".into(),
        liveness: Liveness::Alive,
        draining: false,
        silence: Some(Duration::from_millis(400)),
        heartbeat: Some(heartbeat),
        view: Some(WorkerView {
            id: WorkerId(1),
            liveness: Liveness::Alive,
            draining: false,
            enforced: true,
            pace: Pace::default(),
            memory: Bytes::mib(1024),
            reserved_memory: Bytes::mib(256),
            domains: [(DomainId(0), view)].into(),
        }),
    }
}

fn function() -> Function {
    Function {
        id: FunctionId(1),
        version: 2,
        spec: FunctionSpec {
            tenant: "team-blue".parse().unwrap(),
            name: "resize".parse().unwrap(),
            file: ContentHash([0xab; 32]),
            file_size: Bytes(1234),
            command: Some("python3".parse().unwrap()),
            needs: Needs { cores: 1, memory: Bytes::mib(256), isolation: Isolation::Exclusive },
            timeout: Duration::from_millis(1500),
        },
        pushed_at: Timestamp(1_700_000_000_000_000_001),
    }
}

#[test]
fn a_run() {
    let invocation = ended();
    let report = report();
    let result = run_result(&invocation, WorkerId(1), &report);
    let answer =
        RunAnswer { mode: mode(Knowledge::Benchmarked), invocation_id: invocation.id, message: None, result };
    golden(include_str!("golden/run.json"), &answer);
}

#[test]
fn invocations() {
    let ended = ended();
    golden(include_str!("golden/invocation.json"), &InvocationAnswer::new(&ended, Some("resize".to_owned())));
    let queued = invocation(InvocationState::Queued);
    let invocations = vec![InvocationBody::new(&queued, None)];
    golden(include_str!("golden/invocations.json"), &InvocationsAnswer { invocations });
}

#[test]
fn functions() {
    let info = FunctionInfo {
        function: function(),
        benchmarked: vec![InputSize(1024)],
        running: 3,
        removing: false,
    };
    golden(include_str!("golden/functions.json"), &FunctionsAnswer { functions: vec![info.into()] });
    golden(include_str!("golden/pushed.json"), &PushedAnswer::from(function()));
    let removed = RemovedAnswer {
        message: "function removed".to_owned(),
        removed: vec![FunctionId(1)],
        waiting_for: 0,
    };
    golden(include_str!("golden/removed.json"), &removed);
}

#[test]
fn a_curve() {
    let point = CurvePoint { cache: Bytes::mib(1), seconds: 2.0, low: 1.5, high: 2.5 };
    let curve = Curve::new(vec![point], Provenance::Prior).unwrap();
    let prediction = Prediction::new(Knowledge::Inop, curve);
    golden(include_str!("golden/curve.json"), &CurveAnswer::from(prediction.clone()));

    let traffic = TrafficPoint { cache: Bytes::mib(1), misses: 64e6, accesses: 2e6 };
    let traffic = Traffic::new(vec![traffic], Provenance::Simulated).ok();
    let curve = prediction.curve.as_ref().clone().with_traffic(traffic);
    let prediction = Prediction { curve: curve.into(), ..prediction };
    golden(include_str!("golden/curve_with_misses.json"), &CurveAnswer::from(prediction));
}

#[test]
fn workers() {
    golden(include_str!("golden/workers.json"), &WorkersAnswer { workers: vec![worker().into()] });
    let systems = BTreeMap::from([("w-1".to_owned(), SystemRow::new(&worker()).unwrap())]);
    golden(include_str!("golden/systems.json"), &SystemsAnswer(systems));
    let unheard =
        WorkerInfo { silence: None, heartbeat: None, view: None, liveness: Liveness::Dead, ..worker() };
    assert_eq!(SystemRow::new(&unheard), None);
    let unheard = serde_json::to_value(WorkerBody::from(unheard)).unwrap();
    assert_eq!((&unheard["state"], unheard.get("last_seen_secs")), (&"dead".into(), None));
}

#[test]
fn a_benchmark() {
    let point = |ways, seconds: [f64; 3]| BenchmarkPoint {
        ways: Ways::clamped(ways),
        cache: Bytes::mib(u64::from(ways)),
        seconds: seconds.to_vec(),
        median: seconds[1],
        noise: 0.01,
    };
    let report = BenchmarkReport {
        function: FunctionId(1),
        input_size: InputSize(1024),
        worker: WorkerId(1),
        domain: DomainId(0),
        enforced: false,
        points: vec![point(16, [0.0149, 0.015, 0.0151]), point(1, [0.5, 0.5, 0.75])],
        noise: 0.12,
        too_noisy: true,
        runs: 7,
    };
    golden(include_str!("golden/benchmark.json"), &BenchmarkAnswer::new(BenchmarkId(1), &report));
}

#[test]
fn the_status() {
    let stats = Stats {
        functions: 2,
        queued: 1,
        running: 3,
        workers_alive: 1,
        cores: 4,
        cores_free: 1,
        ways_reserved: 6,
        ways_free: 10,
        accepted: 20,
        ended: BTreeMap::from([("succeeded", 16)]),
        ..Stats::default()
    };
    let mut answer = StatusAnswer::new(stats, -0.1, 2.5);
    answer.version = "0.0.0";
    golden(include_str!("golden/status.json"), &answer);
}
