//! What came out of a run. Output is borrowed from the report, not copied.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fsched_core::allocator::Monitored;
use fsched_core::curve::Provenance;
use fsched_core::function::InputSize;
use fsched_core::id::{InvocationId, WorkerId};
use fsched_core::invocation::{Ending, Estimate, Output, Report};
use fsched_core::predictor::Knowledge;
use serde::Serialize;
use utoipa::ToSchema;

/// A duration, or a point in time since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Moment {
    /// Whole seconds.
    #[schema(example = 0)]
    pub secs: u64,
    /// And nanoseconds.
    #[schema(example = 15_000_000)]
    pub nanos: u32,
}

impl From<Duration> for Moment {
    fn from(duration: Duration) -> Self {
        Self { secs: duration.as_secs(), nanos: duration.subsec_nanos() }
    }
}

/// What came out of a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RunResult<'a> {
    /// The invocation.
    #[schema(value_type = String, example = "i-9")]
    pub id: InvocationId,
    /// How many ways it got.
    #[schema(example = 6)]
    pub cos: u8,
    /// What it was run with; empty where the file itself was executed.
    #[schema(value_type = String, example = "python3")]
    pub command: Cow<'a, str>,
    /// Its last argument.
    #[schema(example = "2000")]
    pub input_size: String,
    /// The process id it had.
    pub pid: Option<u32>,
    /// Standard output, up to the cap.
    #[schema(value_type = String)]
    pub stdout: Cow<'a, str>,
    /// Standard error, up to the cap.
    #[schema(value_type = String)]
    pub stderr: Cow<'a, str>,
    /// Its exit status; null where it did not end by itself.
    pub exit_status: Option<i32>,
    /// How it ended: `exited`, `signalled`, `timed_out`, `out_of_memory`, `cancelled` or `not_started`.
    #[schema(value_type = String, example = "exited")]
    pub ending: &'static str,
    /// The signal that ended it; null where none of somebody else's did.
    pub signal: Option<i32>,
    /// When it was started.
    pub timestamp: Moment,
    /// How long it ran.
    pub execution_time: Moment,
    /// CPU time of its processes.
    pub cpu_time: Moment,
    /// The most memory that any of its processes held, bytes.
    pub peak_memory: u64,
    /// There and true where `stdout` is base64, because it is not UTF-8.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub stdout_base64: bool,
    /// There and true where `stderr` is base64, because it is not UTF-8.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub stderr_base64: bool,
    /// How many bytes of standard output were dropped, where any were.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    pub stdout_dropped: u64,
    /// How many bytes of standard error were dropped, where any were.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    pub stderr_dropped: u64,
    /// Where it ran.
    #[schema(value_type = String, example = "w-1")]
    pub worker: WorkerId,
    /// In which cache domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<u16>,
    /// Under which class of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<u16>,
    /// Which ways it had when it ended, hex.
    #[schema(example = "3f")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// Whether the hardware enforced that.
    pub enforced: bool,
    /// What the choice of ways rests on: `prior`, `simulated` or `measured`.
    #[schema(value_type = Option<String>, example = "measured")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ways_source: Option<&'static str>,
    /// How long it was expected to run, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_seconds: Option<f64>,
    /// What the hardware says of the class it ran in, with all others who were in it: `occupancy` (cache that it held at the
    /// end), and `total_traffic` and `local_traffic` with memory while it ran. Bytes, or `unavailable`, `error`, `unassigned` or
    /// `unknown`. Not there where the machine does not monitor.
    #[schema(value_type = Option<Object>, example = json!({"occupancy": 3_145_728, "total_traffic": "unavailable"}))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitored: Option<Monitored>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl<'a> RunResult<'a> {
    /// What `report` says of a run on `worker`.
    pub fn new(
        id: InvocationId,
        command: &'a str,
        input_size: InputSize,
        worker: WorkerId,
        report: &'a Report,
        estimate: Option<&Estimate>,
    ) -> Self {
        let (stdout, stdout_base64) = text(&report.stdout);
        let (stderr, stderr_base64) = text(&report.stderr);
        let (exit_status, signal) = match report.ending {
            Ending::Exited(status) => (Some(status), None),
            Ending::Signalled(signal) => (None, Some(signal)),
            _ => (None, None),
        };
        Self {
            id,
            cos: report.cache.map_or(0, |cache| cache.mask.ways().get()),
            command: command.into(),
            input_size: input_size.to_string(),
            pid: report.pid,
            stdout,
            stderr,
            exit_status,
            ending: ending(&report.ending),
            signal,
            timestamp: report.started.since_epoch().into(),
            execution_time: report.wall.into(),
            cpu_time: report.cpu.into(),
            peak_memory: report.peak_memory.0,
            stdout_base64,
            stderr_base64,
            stdout_dropped: report.stdout.dropped,
            stderr_dropped: report.stderr.dropped,
            worker,
            domain: report.cache.map(|cache| cache.domain.0),
            class: report.cache.map(|cache| cache.class.0),
            mask: report.cache.map(|cache| cache.mask.to_string()),
            enforced: report.cache.is_some_and(|cache| cache.enforced),
            ways_source: estimate.map(|estimate| provenance(estimate.source)),
            predicted_seconds: estimate.map(|estimate| estimate.seconds),
            monitored: report.monitored,
        }
    }
}

/// The output as text: itself where it is UTF-8, else base64, and which of the two.
fn text(output: &Output) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(&output.bytes) {
        Ok(text) => (text.into(), false),
        // A character cut in two by the cap does not make the rest less of a text.
        Err(error) if output.dropped > 0 && error.error_len().is_none() => {
            (String::from_utf8_lossy(&output.bytes[..error.valid_up_to()]), false)
        }
        Err(_) => (BASE64_STANDARD.encode(&output.bytes).into(), true),
    }
}

/// How a process ended, in a word.
pub(crate) fn ending(ending: &Ending) -> &'static str {
    match ending {
        Ending::Exited(_) => "exited",
        Ending::Signalled(_) => "signalled",
        Ending::TimedOut => "timed_out",
        Ending::OutOfMemory => "out_of_memory",
        Ending::Cancelled => "cancelled",
        Ending::NotStarted(_) => "not_started",
    }
}

/// What a curve rests on, in a word.
pub(crate) fn provenance(provenance: Provenance) -> &'static str {
    match provenance {
        Provenance::Prior => "prior",
        Provenance::Simulated => "simulated",
        Provenance::Measured => "measured",
    }
}

/// What is known of a function, as the answer of a run says it.
pub(crate) fn mode(knowledge: Knowledge) -> &'static str {
    match knowledge {
        Knowledge::Inop => "UNKNOWN",
        Knowledge::Assisted => "ASSISTED",
        Knowledge::Benchmarked => "BENCHMARKED",
    }
}

/// The answer of `run` and `/submit`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RunAnswer<'a> {
    /// What the prediction rests on: `BENCHMARKED` (samples at this input size), `ASSISTED` (at others), from
    /// `/submit` also `UNKNOWN` (none).
    #[schema(value_type = String, example = "BENCHMARKED")]
    pub mode: &'static str,
    /// The invocation.
    #[schema(value_type = String, example = "i-9")]
    pub invocation_id: InvocationId,
    /// Says that the function failed, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What came out of it.
    pub result: RunResult<'a>,
}
