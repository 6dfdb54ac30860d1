//! One run of a function, from the question to the answer.
//!
//! | type | what |
//! | --- | --- |
//! | [`Submission`] | what a client asks for |
//! | [`Order`] | what the master tells a worker to do |
//! | [`Report`] | what the worker says when it is over |
//! | [`Invocation`] | the master's record of it all |

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::allocator::Monitored;
use crate::cache::{Bytes, ClosId, DomainId, WayMask, Ways};
use crate::curve::{Curve, Provenance};
use crate::function::{Command, InputSize, Isolation, Needs};
use crate::id::{AttemptId, BenchmarkId, ContentHash, FunctionId, InvocationId, WorkerId};
use crate::predictor::Knowledge;
use crate::sample::Segment;
use crate::store::EndKind;
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// On whose behalf.
    pub tenant: Tenant,
    /// Which function.
    pub function: FunctionId,
    /// What to run it with; none: the function's own command, else the file itself.
    pub command: Option<Command>,
    /// The last argument, and what the prediction is made for.
    pub input_size: InputSize,
    /// JSON for standard input and the environment; none: standard input is empty.
    pub payload: Option<Arc<str>>,
    /// How long it may take; none: the function's own limit.
    pub timeout: Option<Duration>,
    /// Whether it may be run again when its worker is lost.
    pub idempotent: bool,
    /// Whether to refuse it where nothing is known of the function yet.
    pub only_if_known: bool,
}

impl Submission {
    /// A function on so much input, and nothing special.
    pub fn new(function: FunctionId, input_size: InputSize) -> Self {
        Self {
            tenant: Tenant::default(),
            function,
            command: None,
            input_size,
            payload: None,
            timeout: None,
            idempotent: false,
            only_if_known: false,
        }
    }
}

/// How much cache an order asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheAsk {
    /// This many ways, less where there are none left: others may share them.
    Shared(Ways),
    /// This many ways, which nobody else gets.
    Exclusive(Ways),
}

impl CacheAsk {
    /// What `isolation` makes of a wish for `ways`.
    pub fn new(isolation: Isolation, ways: Ways) -> Self {
        match isolation {
            Isolation::Shared => Self::Shared(ways),
            Isolation::Exclusive => Self::Exclusive(ways),
        }
    }

    /// How many ways are asked for.
    pub fn ways(self) -> Ways {
        match self {
            Self::Shared(ways) | Self::Exclusive(ways) => ways,
        }
    }
}

/// How much somebody's slowdown counts against that of others: above zero, 1 for most.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Weight(f64);

/// A number that is not a weight.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is not a weight: it has to be above zero and at most {max}", max = Weight::MAX)]
pub struct WeightError(pub f64);

impl Weight {
    /// What most have.
    pub const ONE: Self = Self(1.0);
    /// The most anybody may have; the least is its inverse.
    pub const MAX: f64 = 1e6;

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl TryFrom<f64> for Weight {
    type Error = WeightError;

    fn try_from(number: f64) -> Result<Self, WeightError> {
        let fits = (1.0 / Self::MAX..=Self::MAX).contains(&number);
        if fits { Ok(Self(number)) } else { Err(WeightError(number)) }
    }
}

impl From<Weight> for f64 {
    fn from(weight: Weight) -> f64 {
        weight.0
    }
}

/// What the master tells a worker to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Which life of the master this is: attempt ids are unique within one.
    pub term: u64,
    /// Which try of which invocation.
    pub attempt: AttemptId,
    /// On whose behalf, for logs.
    pub tenant: Tenant,
    /// Which function, for logs and metrics.
    pub function: FunctionId,
    /// The function's file.
    pub file: ContentHash,
    /// Program and arguments before the file; empty: the file itself is executed.
    pub command: Vec<String>,
    /// The last argument.
    pub input_size: InputSize,
    /// JSON for standard input and the environment.
    pub payload: Option<Arc<str>>,
    /// What it needs.
    pub needs: Needs,
    /// How long it may take.
    pub timeout: Duration,
    /// In which domain.
    pub domain: DomainId,
    /// How much cache it asks for.
    pub cache: CacheAsk,
    /// How its time depends on cache, for the worker's own splitting.
    pub curve: Arc<Curve>,
    /// How much its slowdown counts there.
    pub weight: Weight,
    /// How long it should take with what it asks for; zero: nobody knows.
    pub expected: Duration,
    /// Whether it has to run with nobody else in its domain: a benchmark.
    pub alone: bool,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It ended by itself with this exit status.
    Exited(i32),
    /// A signal that was not ours ended it (a crash, or a limit of the system).
    Signalled(i32),
    /// Its deadline passed and it was ended.
    TimedOut,
    /// It used more memory than it may and was ended.
    OutOfMemory,
    /// It was ended because someone asked for that, or because nobody waits for the answer.
    Cancelled,
    /// It could not be started: why.
    NotStarted(String),
}

/// What a process wrote, up to the cap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The first bytes.
    pub bytes: Vec<u8>,
    /// How many more there were, and were dropped.
    pub dropped: u64,
}

/// The cache an attempt got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheGot {
    /// In which domain.
    pub domain: DomainId,
    /// Under which class.
    pub class: ClosId,
    /// Which ways, when it ended.
    pub mask: WayMask,
    /// Whether the hardware enforced it.
    pub enforced: bool,
}

/// What a worker says when an attempt is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which try of which invocation.
    pub attempt: AttemptId,
    /// How it ended.
    pub ending: Ending,
    /// The process id it had; none where it was never started.
    pub pid: Option<u32>,
    /// When it was started (the worker's clock).
    pub started: Timestamp,
    /// How long it ran.
    pub wall: Duration,
    /// CPU time of the process and its reaped children.
    pub cpu: Duration,
    /// The most memory that any of its processes held.
    pub peak_memory: Bytes,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// The cache it got; none where it was never started.
    pub cache: Option<CacheGot>,
    /// How much cache for how long.
    pub segments: Vec<Segment>,
    /// How many others were running in the domain when it started.
    pub co_runners: u16,
    /// What the hardware said of its class: what that held when it had ended, and moved while it ran. All who shared the
    /// class are in it. None: the machine does not monitor, or it was never started.
    pub monitored: Option<Monitored>,
}

impl Report {
    /// Whether the function ended by itself with exit status 0.
    pub fn succeeded(&self) -> bool {
        self.ending == Ending::Exited(0)
    }
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A worker ran it (which does not mean it went well: see [`Report::ending`]).
    Ran {
        /// Where.
        worker: WorkerId,
        /// What the worker said.
        report: Arc<Report>,
    },
    /// It was cancelled before it was started.
    Cancelled,
    /// Its worker, or the master, was lost while it ran: nobody knows how far it came.
    Lost(LostReason),
    /// It could not be run any more: no worker that is left can hold it, or its function could not be
    /// brought to any.
    Unplaceable(String),
}

/// Why nobody knows how an invocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostReason {
    /// The worker stopped answering.
    Worker,
    /// The master was restarted.
    Master,
}

/// Where an invocation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvocationState {
    /// Waits for room.
    Queued,
    /// Placed, and its function's file is on its way to the worker.
    Fetching {
        /// Which try.
        attempt: AttemptId,
        /// Where.
        worker: WorkerId,
    },
    /// At a worker.
    Running {
        /// Which try.
        attempt: AttemptId,
        /// Where.
        worker: WorkerId,
        /// Since when.
        since: Timestamp,
    },
    /// Over.
    Ended {
        /// How, in a word.
        end: EndKind,
        /// When.
        at: Timestamp,
        /// How, in full; none where it ended before the master was last started.
        outcome: Option<Outcome>,
    },
}

/// What was expected when an invocation was placed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// In which domain of its worker.
    pub domain: DomainId,
    /// How many ways were asked for.
    pub ways: Ways,
    /// How long it should take with them, seconds.
    pub seconds: f64,
    /// What the expectation, and so the choice of ways, rests on.
    pub source: Provenance,
}

/// The master's record of one invocation.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// Its id.
    pub id: InvocationId,
    /// What was asked for. Its command is the one that is run: the function's own where none was named.
    pub submission: Submission,
    /// Of which benchmark it is a part.
    pub benchmark: Option<BenchmarkId>,
    /// What was known of the function at this input size when it was accepted; none where that was before the
    /// master was last started.
    pub knowledge: Option<Knowledge>,
    /// What was expected when it was last placed; none before that.
    pub estimate: Option<Estimate>,
    /// When it was accepted.
    pub submitted: Timestamp,
    /// Where it stands.
    pub state: InvocationState,
}
