//! What the tests of several predictors share, and tests of choosing one.

use std::time::Duration;

use super::*;
use crate::cache::Bytes;
use crate::id::WorkerId;
use crate::sample::{Counts, Origin, Segment};

pub(crate) fn run(function: u64, size: u64, mib: u64, seconds: f64) -> Sample {
    Sample {
        function: FunctionId(function),
        input_size: InputSize(size),
        segments: vec![Segment { cache: Bytes::mib(mib), duration: Duration::from_secs_f64(seconds) }],
        worker: WorkerId(1),
        enforced: true,
        co_runners: 0,
        benchmark: false,
        origin: Origin::Run,
    }
}

pub(crate) fn benchmark(function: u64, size: u64, mib: u64, seconds: f64) -> Sample {
    Sample { benchmark: true, ..run(function, size, mib, seconds) }
}

/// What a profile brings: 64 bytes missed for each microsecond.
pub(crate) fn profile(function: u64, size: u64, mib: u64, seconds: f64) -> Sample {
    let counts = Counts { misses: Bytes((seconds * 64e6) as u64), accesses: 50_000_000 };
    let estimated = Duration::from_secs_f64(seconds);
    Sample::profiled(FunctionId(function), InputSize(size), Bytes::mib(mib), estimated, counts)
}

pub(crate) fn unenforced(function: u64, size: u64, mib: u64, seconds: f64) -> Sample {
    Sample { enforced: false, ..run(function, size, mib, seconds) }
}

/// Ways of 1 MiB.
pub(crate) fn geometry(ways: u8) -> CacheGeometry {
    CacheGeometry {
        size: Bytes::mib(u64::from(ways)),
        ways: Ways::clamped(ways),
        min_ways: Ways::ONE,
        contiguous: true,
        shareable: 0,
        classes: 15,
    }
}

#[test]
fn every_predictor_keeps_the_contract() {
    conformance::check(FixedPredictor::default);
    conformance::check(InterpolatingPredictor::default);
    conformance::check(MlpPredictor::default);
    conformance::check(AsymptoticPredictor::default);
    assert!(matches!(PredictorConfig::default(), PredictorConfig::Mlp(_)));
    PredictorConfig::default().build().unwrap();
    let unusual = AsymptoticConfig { way_size: Bytes(0) };
    conformance::check(move || AsymptoticPredictor::new(unusual.clone()));
}

#[test]
fn a_predictor_is_chosen_by_its_kind() {
    let read = |json: &str| serde_json::from_str::<PredictorConfig>(json);
    assert_eq!(read(r#"{"kind":"mlp"}"#).unwrap(), PredictorConfig::default());
    assert_eq!(read(r#"{"kind":"interpolating"}"#).unwrap(), PredictorConfig::Interpolating {});
    let asymptotic = read(r#"{"kind":"asymptotic","way_size":"512KiB"}"#).unwrap();
    assert_eq!(asymptotic, PredictorConfig::Asymptotic(AsymptoticConfig { way_size: Bytes::kib(512) }));
    assert_eq!(
        read(r#"{"kind":"asymptotic"}"#).unwrap(),
        PredictorConfig::Asymptotic(AsymptoticConfig::default())
    );
    for wrong in [
        r#"{"kind":"other"}"#,
        r#"{"kind":"mlp","x":1}"#,
        r#"{"kind":"interpolating","x":1}"#,
        r#"{"kind":"asymptotic","x":1}"#,
        "{}",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    let text = serde_json::to_string(&asymptotic).unwrap();
    assert_eq!(read(&text).unwrap(), asymptotic);
}
