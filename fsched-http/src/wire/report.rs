//! What a worker says when an attempt is over, or when it does not take it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fsched_core::allocator::Monitored;
use fsched_core::cache::Bytes;
use fsched_core::cluster::PROTOCOL_VERSION;
use fsched_core::id::AttemptId;
use fsched_core::invocation::{CacheGot, Ending, Output, Report};
use fsched_core::sample::Segment;
use fsched_core::time::Timestamp;
use fsched_core::transport::Refusal;
use serde::{Deserialize, Serialize};

use super::check::{self, WireError};

/// The body of a 200 to `POST /worker/orders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportBody {
    /// Which version of this body it is.
    pub protocol: u32,
    /// Which try of which invocation.
    pub attempt: AttemptId,
    /// How it ended.
    pub ending: Ending,
    /// The process id it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When it was started, nanoseconds since 1970 on the worker's clock.
    pub started: Timestamp,
    /// How long it ran.
    pub wall: Duration,
    /// CPU time.
    pub cpu: Duration,
    /// The most memory that any of its processes held, bytes.
    pub peak_memory: Bytes,
    /// Standard output.
    pub stdout: OutputBody,
    /// Standard error.
    pub stderr: OutputBody,
    /// The cache it got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheGot>,
    /// How much cache for how long.
    pub segments: Vec<Segment>,
    /// How many others were running in the domain when it started.
    pub co_runners: u16,
    /// What the hardware said of its class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitored: Option<Monitored>,
}

/// What a process wrote: text where that is UTF-8 and short in JSON, else base64 and flagged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputBody {
    /// Text or base64.
    pub data: String,
    /// Whether `data` is base64.
    #[serde(default, skip_serializing_if = "is_false")]
    pub base64: bool,
    /// How many bytes more there were.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
}

/// The body of a 409 to `POST /worker/orders`, beside `code` and `message`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalBody {
    /// Why.
    pub refusal: Refusal,
}

/// The most stretches that a run may consist of: a mask that moved more often than this did not.
const MAX_SEGMENTS: usize = 100_000;
/// The longest reason in words.
const MAX_REASON: usize = 4 << 10;

impl From<Report> for ReportBody {
    fn from(report: Report) -> Self {
        Self {
            protocol: PROTOCOL_VERSION,
            attempt: report.attempt,
            ending: match report.ending {
                Ending::NotStarted(why) => Ending::NotStarted(cut(why)),
                other => other,
            },
            pid: report.pid,
            started: report.started,
            wall: report.wall,
            cpu: report.cpu,
            peak_memory: report.peak_memory,
            stdout: report.stdout.into(),
            stderr: report.stderr.into(),
            cache: report.cache,
            segments: report.segments,
            co_runners: report.co_runners,
            monitored: report.monitored,
        }
    }
}

impl TryFrom<ReportBody> for Report {
    type Error = WireError;

    fn try_from(body: ReportBody) -> Result<Self, WireError> {
        check::version(body.protocol)?;
        check::durations("wall", [body.wall])?;
        check::durations("cpu", [body.cpu])?;
        check::at_most("segments", body.segments.len(), MAX_SEGMENTS)?;
        check::durations("segments", body.segments.iter().map(|s| s.duration))?;
        if let Ending::NotStarted(reason) = &body.ending {
            check::at_most("ending", reason.len(), MAX_REASON)?;
        }
        Ok(Self {
            attempt: body.attempt,
            ending: body.ending,
            pid: body.pid,
            started: body.started,
            wall: body.wall,
            cpu: body.cpu,
            peak_memory: body.peak_memory,
            stdout: body.stdout.into_output("stdout")?,
            stderr: body.stderr.into_output("stderr")?,
            cache: body.cache,
            segments: body.segments,
            co_runners: body.co_runners,
            monitored: body.monitored,
        })
    }
}

impl From<Output> for OutputBody {
    fn from(output: Output) -> Self {
        let (data, base64) = match String::from_utf8(output.bytes) {
            Ok(text) if !swells(&text) => (text, false),
            Ok(text) => (STANDARD.encode(text), true),
            Err(other) => (STANDARD.encode(other.as_bytes()), true),
        };
        Self { data, base64, dropped: output.dropped }
    }
}

/// Whether JSON would need more room for this than base64 does: each control character becomes `\u0000`.
fn swells(text: &str) -> bool {
    let escaped =
        text.bytes().filter(|b| b.is_ascii_control() && !matches!(b, b'\n' | b'\r' | b'\t')).count();
    let doubled = text.bytes().filter(|b| matches!(b, b'\n' | b'\r' | b'\t' | b'"' | b'\\')).count();
    5 * escaped + doubled > text.len() / 3
}

impl OutputBody {
    fn into_output(self, key: &'static str) -> Result<Output, WireError> {
        let bytes = if self.base64 {
            STANDARD.decode(&self.data).map_err(|e| WireError::value(key, e))?
        } else {
            self.data.into_bytes()
        };
        Ok(Output { bytes, dropped: self.dropped })
    }
}

/// `refusal`, its words cut to what goes over the wire.
pub fn bounded(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::NoRoom(why) => Refusal::NoRoom(cut(why)),
        Refusal::Impossible(why) => Refusal::Impossible(cut(why)),
        other => other,
    }
}

fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_REASON / 4 - 1) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference to `skip_serializing_if`")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference to `skip_serializing_if`")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
