use std::sync::Arc;
use std::time::Duration;

use fsched_core::allocator::{ClassUse, Counter, Monitored};
use fsched_core::cache::{Bytes, CacheDomain, CacheGeometry, ClosId, CpuId, DomainId, WayMask, Ways};
use fsched_core::cluster::{DomainStatus, Heartbeat};
use fsched_core::curve::{Curve, CurvePoint, Provenance, Traffic, TrafficPoint};
use fsched_core::function::{InputSize, Isolation, Needs};
use fsched_core::id::{AttemptId, ContentHash, FunctionId, InvocationId, WorkerId, WorkerKey};
use fsched_core::invocation::{CacheAsk, CacheGot, Ending, Order, Output, Report};
use fsched_core::sample::Segment;
use fsched_core::time::Timestamp;
use fsched_core::transport::Refusal;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

fn attempt() -> AttemptId {
    AttemptId { invocation: InvocationId(204), attempt: 1 }
}

fn order() -> Order {
    let points = vec![
        CurvePoint { cache: Bytes::mib(2), seconds: 0.5, low: 0.25, high: 1.0 },
        CurvePoint { cache: Bytes::mib(32), seconds: 0.125, low: 0.0625, high: 0.25 },
    ];
    let traffic = vec![
        TrafficPoint { cache: Bytes::mib(2), misses: 64e6, accesses: 2e6 },
        TrafficPoint { cache: Bytes::mib(32), misses: 0.5, accesses: 2e6 },
    ];
    let traffic = Traffic::new(traffic, Provenance::Simulated).ok();
    Order {
        term: 9,
        attempt: attempt(),
        tenant: "team-blue".parse().unwrap(),
        function: FunctionId(17),
        file: ContentHash([0xab; 32]),
        command: vec!["python3".into(), "-u".into()],
        input_size: InputSize(u64::MAX),
        payload: Some(r#"{"n":[1,2]}"#.into()),
        needs: Needs { cores: 2, memory: Bytes::mib(256), isolation: Isolation::Exclusive },
        timeout: Duration::from_millis(30_500),
        domain: DomainId(4),
        cache: CacheAsk::Exclusive(Ways::clamped(6)),
        curve: Arc::new(Curve::new(points, Provenance::Measured).unwrap().with_traffic(traffic)),
        weight: 1.5.try_into().unwrap(),
        expected: Duration::from_millis(125),
        alone: true,
    }
}

fn report() -> Report {
    Report {
        attempt: attempt(),
        ending: Ending::Exited(3),
        pid: Some(4242),
        started: Timestamp(1_700_000_000_123_456_789),
        wall: Duration::from_micros(15_250),
        cpu: Duration::from_millis(14),
        peak_memory: Bytes::mib(3),
        stdout: Output { bytes: "zwölf\n".into(), dropped: 0 },
        stderr: Output { bytes: vec![0xff, 0x00, 0xfe], dropped: 7 },
        cache: Some(CacheGot {
            domain: DomainId(4),
            class: ClosId(1),
            mask: WayMask::new(0x3f).unwrap(),
            enforced: false,
        }),
        segments: vec![Segment { cache: Bytes::mib(12), duration: Duration::from_micros(15_250) }],
        co_runners: 2,
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

fn heartbeat() -> Heartbeat {
    let geometry = CacheGeometry {
        size: Bytes::mib(32),
        ways: Ways::clamped(16),
        min_ways: Ways::ONE,
        contiguous: true,
        shareable: 0xc000,
        classes: 15,
    };
    Heartbeat {
        key: WorkerKey([0x0f; 16]),
        version: "fsched-worker 0.1.0".into(),
        enforced: false,
        memory: Bytes::mib(512),
        free_memory: Bytes::mib(256),
        total_ram: Bytes::mib(2048),
        free_ram: Bytes::mib(1024),
        total_swap: Bytes(0),
        free_swap: Bytes(0),
        domains: vec![DomainStatus {
            domain: CacheDomain { id: DomainId(4), cpus: vec![CpuId(0), CpuId(1)], geometry },
            cores: 2,
            free_cores: 1,
            exclusive_ways: 6,
            free_ways: 8,
            largest_exclusive: Some(Ways::clamped(8)),
        }],
        classes: vec![ClassUse { domain: DomainId(4), class: ClosId(1), monitored: monitored() }],
        intruders: vec!["COS1".into()],
        running: vec![attempt()],
        stopping: false,
    }
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_order_is_written_as_agreed() {
    let golden = include_str!("golden/order.json");
    // The curve goes in as text, which nobody indents.
    assert_eq!(read::<Value>(&text(&OrderBody::from(order()))), read::<Value>(golden));
    assert_eq!(Order::try_from(read::<OrderBody>(golden)), Ok(order()));
}

/// A master of before knows no misses, and a worker of before leaves them out: neither is a mismatch.
#[test]
fn a_curve_without_misses_is_read_too() {
    let mut body: Value = read(include_str!("golden/order.json"));
    body["curve"].as_object_mut().unwrap().remove("traffic").unwrap();
    let read = Order::try_from(read::<OrderBody>(&body.to_string())).unwrap();
    assert_eq!(read.curve.points(), order().curve.points());
    assert_eq!(read.curve.traffic(), None);
}

#[test]
fn a_report_is_written_as_agreed() {
    let golden = include_str!("golden/report.json");
    assert_eq!(text(&ReportBody::from(report())), golden);
    assert_eq!(Report::try_from(read::<ReportBody>(golden)), Ok(report()));
}

#[test]
fn a_heartbeat_is_written_as_agreed() {
    let golden = include_str!("golden/heartbeat.json");
    assert_eq!(text(&HeartbeatBody::from(heartbeat())), golden);
    assert_eq!(Heartbeat::try_from(read::<HeartbeatBody>(golden)), Ok(heartbeat()));
}

#[test]
fn a_registration_is_written_as_agreed() {
    let golden = include_str!("golden/register.json");
    let body = RegisterBody { protocol: 1, address: "http://:3000".into(), heartbeat: heartbeat().into() };
    assert_eq!(text(&body), golden);
    assert_eq!(
        <(String, Heartbeat)>::try_from(read::<RegisterBody>(golden)),
        Ok(("http://:3000".into(), heartbeat()))
    );
}

#[test]
fn the_answer_to_a_registration_is_written_as_agreed() {
    let body = RegisteredBody { id: WorkerId(3), heartbeat_secs: 0.5 };
    let golden = json!({"id": "w-3", "heartbeat_secs": 0.5});
    assert_eq!(serde_json::to_value(&body).unwrap(), golden);
    assert_eq!(serde_json::from_value::<RegisteredBody>(golden).unwrap(), body);
}

#[test]
fn refusals_and_endings_are_written_as_agreed() {
    let refusals = [
        (Refusal::NoRoom("no CPU".into()), json!({"no_room": "no CPU"})),
        (Refusal::MissingFile, json!("missing_file")),
        (Refusal::Stopping, json!("stopping")),
        (Refusal::Duplicate, json!("duplicate")),
        (Refusal::Impossible("no domain 9".into()), json!({"impossible": "no domain 9"})),
    ];
    for (refusal, golden) in refusals {
        assert_eq!(serde_json::to_value(RefusalBody { refusal }).unwrap(), json!({ "refusal": golden }));
    }
    let endings = [
        (Ending::Exited(0), json!({"exited": 0})),
        (Ending::Signalled(11), json!({"signalled": 11})),
        (Ending::TimedOut, json!("timed_out")),
        (Ending::OutOfMemory, json!("out_of_memory")),
        (Ending::Cancelled, json!("cancelled")),
        (Ending::NotStarted("no such file".into()), json!({"not_started": "no such file"})),
    ];
    for (ending, golden) in endings {
        assert_eq!(serde_json::to_value(ending).unwrap(), golden);
    }
}

/// `golden` with the value at `path` replaced.
fn with(golden: &str, path: &str, value: Value) -> Value {
    let mut body: Value = read(golden);
    *body.pointer_mut(path).unwrap() = value;
    body
}

/// Whether a body is refused, by its shape or by its values.
fn refused<B: DeserializeOwned, C: TryFrom<B, Error = WireError>>(body: Value) -> bool {
    serde_json::from_value::<B>(body).map_or(true, |body| C::try_from(body).is_err())
}

#[test]
fn orders_that_cannot_be_are_refused() {
    let golden = include_str!("golden/order.json");
    for (path, value) in [
        ("/protocol", json!(2)),
        ("/attempt", json!("../../etc/passwd")),
        ("/file", json!("../../etc/passwd")),
        ("/command", json!(["sh\0"])),
        ("/command", json!([""])),
        ("/command", json!(vec!["x"; 20_000])),
        ("/command", json!(["x".repeat(100_000)])),
        ("/input_size", json!(-1)),
        ("/payload", json!("{not json")),
        ("/cores", json!(0)),
        ("/cores", json!(70_000)),
        ("/timeout", json!({"secs": u64::MAX, "nanos": 1_999_999_999})),
        ("/timeout", json!({"secs": u64::MAX, "nanos": 0})),
        ("/cache", json!({"shared": 0})),
        ("/cache", json!({"shared": 33})),
        ("/curve/points", json!([])),
        ("/curve/points/0/seconds", json!(0.01)),
        ("/curve/points/0/low", json!(-1.0)),
        ("/weight", json!(0.0)),
        ("/weight", json!(1e300)),
        ("/expected", json!({"secs": u64::MAX, "nanos": 0})),
    ] {
        let body = with(golden, path, value);
        assert!(refused::<OrderBody, Order>(body.clone()), "{body}");
    }
}

#[test]
fn reports_that_cannot_be_are_refused() {
    let golden = include_str!("golden/report.json");
    for (path, value) in [
        ("/protocol", json!(0)),
        ("/ending", json!("fine")),
        ("/wall", json!({"secs": u64::MAX, "nanos": 0})),
        ("/stderr/data", json!("no base64!")),
        (
            "/segments",
            json!([{"cache": 1, "duration": {"secs": u64::MAX, "nanos": 0}}, {"cache": 1, "duration": {"secs": 9, "nanos": 0}}]),
        ),
        ("/cache/mask", json!("0")),
        ("/pid", json!(-1)),
    ] {
        let body = with(golden, path, value);
        assert!(refused::<ReportBody, Report>(body.clone()), "{body}");
    }
}

#[test]
fn heartbeats_that_cannot_be_are_refused() {
    let golden = include_str!("golden/heartbeat.json");
    let domain: Value = read::<Value>(golden)["domains"][0].clone();
    for (path, value) in [
        ("/protocol", json!(7)),
        ("/version", json!("\u{1b}[2J")),
        ("/version", json!("v".repeat(1000))),
        ("/free_memory", json!(1u64 << 60)),
        ("/domains", json!([])),
        ("/domains", json!([domain.clone(), domain])),
        ("/domains/0/free_cores", json!(3)),
        ("/domains/0/free_ways", json!(17)),
        ("/domains/0/exclusive_ways", json!(17)),
        ("/domains/0/largest_exclusive", json!(17)),
        ("/domains/0/geometry/ways", json!(0)),
        ("/domains/0/geometry/size", json!(3)),
        ("/domains/0/geometry/shareable", json!(0xffff)),
        ("/key", json!("0f")),
    ] {
        let body = with(golden, path, value);
        assert!(refused::<HeartbeatBody, Heartbeat>(body.clone()), "{body}");
    }
}

#[test]
fn a_reason_that_never_ends_is_cut() {
    let long = "ä".repeat(100_000);
    let ending = Ending::NotStarted(long.clone());
    let body = ReportBody::from(Report { ending, ..report() });
    assert!(Report::try_from(body).is_ok());
    let Refusal::NoRoom(cut) = bounded(Refusal::NoRoom(long)) else { panic!() };
    assert!(cut.len() < 5_000);
}

#[test]
fn no_output_takes_more_room_than_base64_does() {
    for bytes in [
        vec![0; 60_000],
        vec![b'"'; 60_000],
        vec![0xff; 60_000],
        vec![b'x'; 60_000],
        b"\n\x01\"ab".repeat(9_000),
    ] {
        let most = bytes.len() * 4 / 3 + 100;
        let body = OutputBody::from(Output { bytes: bytes.clone(), dropped: 0 });
        assert!(serde_json::to_string(&body).unwrap().len() <= most);
        let report = ReportBody { stdout: body, ..report().into() };
        assert_eq!(Report::try_from(report).unwrap().stdout.bytes, bytes);
    }
}

fn outputs() -> impl Strategy<Value = Output> {
    let bytes = prop_oneof![any::<Vec<u8>>(), ".*".prop_map(String::into_bytes)];
    (bytes, any::<u64>()).prop_map(|(bytes, dropped)| Output { bytes, dropped })
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Every place in a JSON value, as pointers.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, v)| places(v, &format!("{at}/{key}"), all)),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| places(v, &format!("{at}/{i}"), all)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn every_output_survives_the_wire(stdout in outputs(), stderr in outputs()) {
        let report = Report { stdout, stderr, ..report() };
        let line = serde_json::to_string(&ReportBody::from(report.clone())).unwrap();
        prop_assert_eq!(Report::try_from(read::<ReportBody>(&line)), Ok(report));
    }

    #[test]
    fn orders_survive_the_wire(
        command in proptest::collection::vec("[^\0]{1,9}", 0..5), size in any::<u64>(), cores in 1u16.., memory in any::<u64>(),
        millis in 0u64..1_000_000_000, ways in 1u8..=32, seconds in 1e-9..1e6f64, alone in any::<bool>(),
    ) {
        let order = Order {
            command,
            input_size: InputSize(size),
            needs: Needs { cores, memory: Bytes(memory), isolation: Isolation::Shared },
            timeout: Duration::from_millis(millis),
            cache: CacheAsk::Shared(Ways::clamped(ways)),
            curve: Arc::new(Curve::flat(seconds, 1.5, Provenance::Prior)),
            alone,
            payload: None,
            ..order()
        };
        let line = serde_json::to_string(&OrderBody::from(order.clone())).unwrap();
        prop_assert_eq!(Order::try_from(read::<OrderBody>(&line)), Ok(order));
    }

    #[test]
    fn no_value_anywhere_makes_a_body_panic(value in any_json(), place in any::<prop::sample::Index>()) {
        let golden: [&str; 4] = [
            include_str!("golden/order.json"),
            include_str!("golden/report.json"),
            include_str!("golden/heartbeat.json"),
            include_str!("golden/register.json"),
        ];
        for golden in golden {
            let mut all = Vec::new();
            places(&read(golden), "", &mut all);
            let body = with(golden, place.get::<String>(&all), value.clone());
            let _ = refused::<OrderBody, Order>(body.clone());
            let _ = refused::<ReportBody, Report>(body.clone());
            let _ = refused::<HeartbeatBody, Heartbeat>(body.clone());
            let _ = refused::<RegisterBody, (String, Heartbeat)>(body);
        }
    }
}
