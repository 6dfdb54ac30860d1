//! What a benchmark brought.

use std::time::Duration;

use fsched_core::id::BenchmarkId;
use fsched_core::master::{BenchmarkPoint, BenchmarkReport};
use serde::Serialize;
use utoipa::ToSchema;

/// What the answer of old says of a benchmark that went well.
const MESSAGE: &str = "Benchmarking was successful and task is ready for execution";

/// The answer of `POST /controller/task/benchmark`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BenchmarkAnswer {
    /// That it went well.
    #[schema(value_type = String, example = "Benchmarking was successful and task is ready for execution")]
    pub message: &'static str,
    /// The time with the most cache that was run.
    pub exec_time: ExecTime,
    /// Its id.
    #[schema(value_type = String, example = "b-1")]
    pub benchmark_id: BenchmarkId,
    /// Whether masks were enforced. Where not, only the whole cache was run.
    pub enforced: bool,
    /// Runs in all.
    pub runs: usize,
    /// Each way count that was run, by rising ways.
    pub points: Vec<BenchmarkPointBody>,
    /// The largest relative spread of a point.
    pub noise: f64,
    /// Whether the numbers are too noisy to mean anything.
    pub too_noisy: bool,
    /// What to know about these numbers.
    pub warnings: Vec<String>,
}

/// A running time at an input size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ExecTime {
    /// The input size.
    #[schema(example = 1024)]
    pub input_size: u64,
    /// The median time.
    #[schema(example = "15ms")]
    pub time: String,
}

/// One way count of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BenchmarkPointBody {
    /// How many ways.
    pub ways: u8,
    /// How much cache that is.
    pub cache_bytes: u64,
    /// Each run.
    #[schema(example = json!(["15.1ms", "15ms", "14.9ms"]))]
    pub times: Vec<String>,
    /// Their median.
    #[schema(example = "15ms")]
    pub time: String,
    /// Their median, seconds.
    #[schema(example = 0.015)]
    pub seconds: f64,
}

impl From<&BenchmarkPoint> for BenchmarkPointBody {
    fn from(point: &BenchmarkPoint) -> Self {
        Self {
            ways: point.ways.get(),
            cache_bytes: point.cache.0,
            times: point.seconds.iter().copied().map(time).collect(),
            time: time(point.median),
            seconds: point.median,
        }
    }
}

impl BenchmarkAnswer {
    /// What `report` says.
    pub fn new(id: BenchmarkId, report: &BenchmarkReport) -> Self {
        let mut points: Vec<BenchmarkPointBody> =
            report.points.iter().map(BenchmarkPointBody::from).collect();
        points.sort_by_key(|point| point.ways);
        let most = points.last().map_or_else(|| time(0.0), |point| point.time.clone());
        let mut warnings = Vec::new();
        if !report.enforced {
            warnings.push(
                "this worker's hardware does not enforce masks: only the whole cache was run, and how the time \
                 depends on cache is assumed, not measured"
                    .to_owned(),
            );
        }
        if report.too_noisy {
            warnings.push(format!(
                "the runs differ by {:.0} % among themselves: too noisy to mean anything, benchmark again on a quiet \
                 machine",
                report.noise * 100.0
            ));
        }
        Self {
            message: MESSAGE,
            exec_time: ExecTime { input_size: report.input_size.0, time: most },
            benchmark_id: id,
            enforced: report.enforced,
            runs: report.runs,
            points,
            noise: report.noise,
            too_noisy: report.too_noisy,
            warnings,
        }
    }
}

/// A time for people, to the microsecond: `15ms`, `1.25s`; below a millisecond to the nanosecond.
fn time(seconds: f64) -> String {
    let exact = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let shown = if exact < Duration::from_millis(1) {
        exact
    } else {
        Duration::from_micros(exact.as_nanos().div_ceil(1000).try_into().unwrap_or(u64::MAX))
    };
    format!("{shown:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_write_them() {
        assert_eq!(time(0.015), "15ms");
        assert_eq!(time(0.015_1), "15.1ms");
        assert_eq!(time(1.25), "1.25s");
        assert_eq!(time(0.000_000_7), "700ns");
        assert_eq!(time(f64::NAN), "0ns");
    }
}
