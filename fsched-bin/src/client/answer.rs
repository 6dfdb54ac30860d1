//! The master's answers, as far as people get to see them; `--json` shows them whole.

use std::time::Duration;

use fsched_core::tenant::Tenant;
use serde::Deserialize;
use serde_json::Value;

/// `{"secs": 0, "nanos": 1}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Time {
    /// Whole seconds.
    pub secs: u64,
    /// The rest.
    pub nanos: u32,
}

impl Time {
    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::new(self.secs, self.nanos.min(999_999_999))
    }
}

/// One function of a list.
#[derive(Debug, Clone, Deserialize)]
pub struct FunctionRow {
    /// Its id.
    pub task_id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Its file's hash.
    #[serde(default)]
    pub file: String,
    /// Its file's size.
    #[serde(default)]
    pub size: u64,
    /// Its default command.
    #[serde(default)]
    pub command: Option<String>,
    /// CPUs.
    #[serde(default)]
    pub cores: u16,
    /// Memory in bytes.
    #[serde(default)]
    pub memory: u64,
    /// How long a run may take.
    #[serde(default)]
    pub timeout_secs: f64,
    /// With whom it shares ways.
    #[serde(default)]
    pub isolation: String,
    /// Input sizes it was benchmarked at.
    #[serde(default)]
    pub benchmarked: Vec<u64>,
    /// Its running invocations.
    #[serde(default)]
    pub running: usize,
    /// Whether it waits for them to be gone.
    #[serde(default)]
    pub removing: bool,
}

/// `{"functions": [..]}`.
#[derive(Debug, Clone, Deserialize)]
pub struct Functions {
    /// All versions of all.
    pub functions: Vec<FunctionRow>,
}

/// What one run was like.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RunResult {
    /// Its invocation.
    pub id: String,
    /// Ways it got.
    pub cos: u8,
    /// Standard output.
    pub stdout: String,
    /// Whether that is base64.
    pub stdout_base64: bool,
    /// Bytes of it that were dropped.
    pub stdout_dropped: u64,
    /// Standard error.
    pub stderr: String,
    /// Whether that is base64.
    pub stderr_base64: bool,
    /// Bytes of it that were dropped.
    pub stderr_dropped: u64,
    /// The exit status, where it ended by itself.
    pub exit_status: Option<i32>,
    /// How it ended.
    pub ending: String,
    /// The signal, where one ended it.
    pub signal: Option<i32>,
    /// How long it ran.
    pub execution_time: Time,
    /// Where.
    pub worker: String,
    /// The ways it got, as hex bits.
    pub mask: String,
    /// Whether the hardware enforced them.
    pub enforced: bool,
    /// What the number of ways rests on.
    pub ways_source: String,
    /// How long it was expected to run.
    pub predicted_seconds: Option<f64>,
}

/// The answer of `run`.
#[derive(Debug, Clone, Deserialize)]
pub struct RunAnswer {
    /// `BENCHMARKED` or `ASSISTED`; none: it was not run.
    #[serde(default)]
    pub mode: Option<String>,
    /// What went wrong, or why it was not run.
    #[serde(default)]
    pub message: Option<String>,
    /// The run; none: it was not run.
    #[serde(default)]
    pub result: Option<RunResult>,
}

/// One way count of a benchmark.
#[derive(Debug, Clone, Deserialize)]
pub struct BenchmarkPoint {
    /// The way count.
    pub ways: u8,
    /// What that is in bytes.
    #[serde(default)]
    pub cache_bytes: u64,
    /// Each run.
    #[serde(default)]
    pub times: Vec<String>,
    /// The median, in seconds.
    pub seconds: f64,
}

/// The answer of `benchmark`.
#[derive(Debug, Clone, Deserialize)]
pub struct BenchmarkAnswer {
    /// What happened.
    pub message: String,
    /// Whether masks were enforced.
    #[serde(default)]
    pub enforced: bool,
    /// How often it ran.
    #[serde(default)]
    pub runs: usize,
    /// Each way count.
    #[serde(default)]
    pub points: Vec<BenchmarkPoint>,
    /// Relative spread.
    #[serde(default)]
    pub noise: f64,
    /// Whether that is too much to mean anything.
    #[serde(default)]
    pub too_noisy: bool,
    /// What to know about it.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One invocation of a list.
#[derive(Debug, Clone, Deserialize)]
pub struct InvocationRow {
    /// Its id.
    pub id: String,
    /// On whose behalf.
    #[serde(default)]
    pub tenant: Tenant,
    /// Its function.
    #[serde(default)]
    pub function: String,
    /// The function's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its input size.
    #[serde(default)]
    pub input_size: Value,
    /// Where it stands.
    pub state: String,
    /// How it ended.
    #[serde(default)]
    pub ending: Option<String>,
    /// The exit status, where it ended by itself.
    #[serde(default)]
    pub exit_status: Option<i32>,
    /// What was known beforehand.
    #[serde(default)]
    pub mode: Option<String>,
    /// Where.
    #[serde(default)]
    pub worker: Option<String>,
    /// Ways asked for, then got.
    #[serde(default)]
    pub ways: Option<u8>,
    /// When it was accepted, since 1970.
    #[serde(default)]
    pub submitted: Option<Time>,
    /// How long it ran.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// Of which benchmark it is a part.
    #[serde(default)]
    pub benchmark: Option<String>,
}

/// `{"invocations": [..]}`.
#[derive(Debug, Clone, Deserialize)]
pub struct Invocations {
    /// Newest first.
    pub invocations: Vec<InvocationRow>,
}

/// A cache domain of a worker.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DomainRow {
    /// Its number.
    pub id: u16,
    /// Its ways.
    pub ways: u32,
    /// Bytes in one.
    pub way_size: u64,
    /// Ways that nobody asked for.
    pub free_ways: u32,
}

/// One worker of a list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct WorkerRow {
    /// Its id.
    pub id: String,
    /// Where it listens.
    pub host: String,
    /// Whether it can be counted on.
    pub state: String,
    /// Whether its masks are enforced.
    pub enforced: bool,
    /// CPUs for functions.
    pub cores: u32,
    /// CPUs not promised.
    pub free_cores: u32,
    /// Memory for functions.
    pub memory: u64,
    /// Memory not promised.
    pub free_memory: u64,
    /// What runs there.
    pub running: u32,
    /// Its caches.
    pub domains: Vec<DomainRow>,
    /// Seconds since it was last heard of.
    pub last_seen_secs: f64,
}

/// `{"workers": [..]}`.
#[derive(Debug, Clone, Deserialize)]
pub struct Workers {
    /// All, by id.
    pub workers: Vec<WorkerRow>,
}
