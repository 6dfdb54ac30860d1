//! Invocations as clients see them.

use fsched_core::id::{BenchmarkId, FunctionId, InvocationId, WorkerId};
use fsched_core::invocation::{Invocation, InvocationState, Outcome, Report};
use fsched_core::store::EndKind;
use fsched_core::tenant::Tenant;
use serde::Serialize;
use utoipa::ToSchema;

use super::result::{Moment, RunResult, mode};

/// The answer of `GET /invocations`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct InvocationsAnswer {
    /// Newest first.
    pub invocations: Vec<InvocationBody>,
}

/// An invocation and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct InvocationBody {
    /// Its id.
    #[schema(value_type = String, example = "i-9")]
    pub id: InvocationId,
    /// On whose behalf it runs: the name of the token it was asked for with, or `default`.
    #[schema(value_type = String, example = "default")]
    pub tenant: Tenant,
    /// Its function.
    #[schema(value_type = String, example = "f-1")]
    pub function: FunctionId,
    /// The function's name; null where the function is gone.
    pub name: Option<String>,
    /// Its input size.
    pub input_size: u64,
    /// `queued` (waits for room), `fetching` (the file is on its way to the worker), `running` or `ended`.
    #[schema(value_type = String, example = "running")]
    pub state: &'static str,
    /// How it ended: `exited`, `signalled`, `timed_out`, `out_of_memory`, `cancelled`, `not_started`, `unplaceable`,
    /// `lost_worker` or `lost_master`; null while it has not.
    #[schema(value_type = Option<String>, example = json!(null))]
    pub ending: Option<&'static str>,
    /// Its exit status; null where it did not end by itself.
    pub exit_status: Option<i32>,
    /// What was known when it was accepted: `UNKNOWN`, `ASSISTED` or `BENCHMARKED`; null where that was before the
    /// master was started.
    #[schema(value_type = Option<String>, example = "BENCHMARKED")]
    pub mode: Option<&'static str>,
    /// Where it is or was.
    #[schema(value_type = Option<String>, example = "w-1")]
    pub worker: Option<WorkerId>,
    /// The ways it got; while it has not ended, those it asked for.
    pub ways: Option<u8>,
    /// When it was accepted.
    pub submitted: Moment,
    /// When its process was started.
    pub started: Option<Moment>,
    /// When it ended.
    pub ended: Option<Moment>,
    /// How long its process ran, seconds.
    pub seconds: Option<f64>,
    /// Of which benchmark it is a part.
    #[schema(value_type = Option<String>, example = json!(null))]
    pub benchmark: Option<BenchmarkId>,
}

impl InvocationBody {
    /// What is known of `invocation`, whose function has this name.
    pub fn new(invocation: &Invocation, name: Option<String>) -> Self {
        let ran = ran(invocation);
        let report = ran.map(|(_, report)| report);
        let (worker, started) = match &invocation.state {
            InvocationState::Queued => (None, None),
            InvocationState::Fetching { worker, .. } => (Some(*worker), None),
            InvocationState::Running { worker, since, .. } => (Some(*worker), Some(*since)),
            InvocationState::Ended { .. } => {
                (ran.map(|(worker, _)| worker), report.map(|report| report.started))
            }
        };
        let (end, ended) = match &invocation.state {
            InvocationState::Ended { end, at, .. } => (Some(*end), Some(*at)),
            _ => (None, None),
        };
        let got = report.and_then(|report| report.cache).map(|cache| cache.mask.ways());
        let asked = invocation.estimate.map(|estimate| estimate.ways);
        Self {
            id: invocation.id,
            tenant: invocation.submission.tenant.clone(),
            function: invocation.submission.function,
            name,
            input_size: invocation.submission.input_size.0,
            state: state(&invocation.state),
            ending: end.map(ending),
            exit_status: match end {
                Some(EndKind::Exited(status)) => Some(status),
                _ => None,
            },
            mode: invocation.knowledge.map(mode),
            worker,
            ways: got.or(asked).map(|ways| ways.get()),
            submitted: invocation.submitted.since_epoch().into(),
            started: started.map(|at| at.since_epoch().into()),
            ended: ended.map(|at| at.since_epoch().into()),
            seconds: report.map(|report| report.wall.as_secs_f64()),
            benchmark: invocation.benchmark,
        }
    }
}

/// One invocation, with what came out of it where that is still kept.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct InvocationAnswer<'a> {
    /// Where it stands.
    #[serde(flatten)]
    pub invocation: InvocationBody,
    /// What came out of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<RunResult<'a>>,
}

impl<'a> InvocationAnswer<'a> {
    /// What is known of `invocation`, whose function has this name.
    pub fn new(invocation: &'a Invocation, name: Option<String>) -> Self {
        let result = ran(invocation).map(|(worker, report)| result(invocation, worker, report));
        Self { invocation: InvocationBody::new(invocation, name), result }
    }
}

/// What came out of `invocation`, which ran on `worker`.
pub(crate) fn result<'a>(invocation: &'a Invocation, worker: WorkerId, report: &'a Report) -> RunResult<'a> {
    let submission = &invocation.submission;
    let command = submission.command.as_ref().map_or("", |command| command.as_str());
    RunResult::new(
        invocation.id,
        command,
        submission.input_size,
        worker,
        report,
        invocation.estimate.as_ref(),
    )
}

fn ran(invocation: &Invocation) -> Option<(WorkerId, &Report)> {
    match &invocation.state {
        InvocationState::Ended { outcome: Some(Outcome::Ran { worker, report }), .. } => {
            Some((*worker, report))
        }
        _ => None,
    }
}

/// Where an invocation stands, in a word.
pub(crate) fn state(state: &InvocationState) -> &'static str {
    match state {
        InvocationState::Queued => "queued",
        InvocationState::Fetching { .. } => "fetching",
        InvocationState::Running { .. } => "running",
        InvocationState::Ended { .. } => "ended",
    }
}

/// The words for where an invocation stands.
pub(crate) const STATES: [&str; 4] = ["queued", "fetching", "running", "ended"];

/// How an invocation ended, in a word.
pub(crate) fn ending(end: EndKind) -> &'static str {
    match end {
        EndKind::Exited(_) => "exited",
        EndKind::Signalled(_) => "signalled",
        EndKind::TimedOut => "timed_out",
        EndKind::OutOfMemory => "out_of_memory",
        EndKind::Cancelled => "cancelled",
        EndKind::NotStarted => "not_started",
        EndKind::Unplaceable => "unplaceable",
        EndKind::LostWorker => "lost_worker",
        EndKind::LostMaster => "lost_master",
    }
}
