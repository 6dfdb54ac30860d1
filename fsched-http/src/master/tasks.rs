//! Functions, pushed and run: the endpoints of old, and `/submit`.

use std::borrow::Cow;

use actix_multipart::Multipart;
use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Payload};
use fsched_core::function::InputSize;
use fsched_core::id::{InvocationId, WorkerId};
use fsched_core::invocation::{Ending, Invocation, LostReason, Outcome, Report, Submission};
use fsched_core::master::{BenchmarkError, BenchmarkRequest, SubmitError};
use fsched_core::predictor::Knowledge;
use serde_json::Value;

use super::{MasterState, upload};
use crate::error::{ApiError, Code};
use crate::front::{Caller, note_invocation};
use crate::json::{JsonObject, MAX_JSON, read_body};
use crate::wire::api::{
    BenchmarkAnswer, ErrorAnswer, MessageAnswer, PushedAnswer, RunAnswer, RunBody, RunResult, SubmitBody,
    mode, no_such_function, run_result,
};

/// What the answer of old says where nothing is known of a function yet.
const NOT_READY: &str = "Task is not yet ready for execution. Try benchmarking it with a specific input size";

/// Pushes a function: a new version where the name is known already.
#[utoipa::path(
    post, path = "/controller/task/new", tag = "tasks",
    request_body(content = upload::PushForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, body = PushedAnswer),
        (status = 400, description = "no_file, bad_multipart, bad_value, bad_command", body = ErrorAnswer),
        (status = 403, description = "forbidden: another tenant's function has this name", body = ErrorAnswer),
        (status = 413, description = "too_large", body = ErrorAnswer),
        (status = 503, description = "stopping", body = ErrorAnswer),
        (status = 507, description = "store_full", body = ErrorAnswer),
    )
)]
pub(crate) async fn push(
    state: Data<MasterState>,
    caller: Caller,
    form: Multipart,
) -> Result<Json<PushedAnswer>, ApiError> {
    let spec = upload::receive(form, &caller, state.node.files(), &state.options).await?;
    let function = state.node.push(spec).await?;
    tracing::info!(function = %function.id, name = %function.spec.name, version = function.version, "pushed");
    Ok(Json(function.into()))
}

/// Runs a function of which something is known, and waits for it.
#[utoipa::path(
    post, path = "/controller/task/run", tag = "tasks", request_body = RunBody,
    responses(
        (status = 200, description = "It ran, well or not; or nothing is known of it yet, which `message` says",
            body = RunAnswer),
        (status = 400, description = "missing_keys, bad_json, bad_value, bad_command", body = ErrorAnswer),
        (status = 404, description = "unknown_function", body = ErrorAnswer),
        (status = 409, description = "cancelled", body = ErrorAnswer),
        (status = 413, description = "too_large", body = ErrorAnswer),
        (status = 422, description = "never_fits, not_started", body = ErrorAnswer),
        (status = 502, description = "lost", body = ErrorAnswer),
        (status = 503, description = "no_workers, queue_full (with Retry-After), stopping, unplaceable",
            body = ErrorAnswer),
    )
)]
pub(crate) async fn run(
    state: Data<MasterState>,
    caller: Caller,
    body: JsonObject,
) -> Result<HttpResponse, ApiError> {
    let body = RunBody::try_from(body)?;
    let submission = Submission {
        tenant: caller.into_inner(),
        function: body.task_id,
        command: Some(body.command),
        input_size: body.input_size,
        payload: None,
        timeout: body.timeout,
        idempotent: body.idempotent,
        only_if_known: true,
    };
    execute(&state, submission).await
}

/// Runs the newest version of a function by its name, whatever is known of it, and waits for it.
#[utoipa::path(
    post, path = "/submit", tag = "tasks", request_body = SubmitBody,
    responses(
        (status = 200, description = "It ran, well or not", body = RunAnswer),
        (status = 400, description = "missing_keys, bad_json, bad_value", body = ErrorAnswer),
        (status = 404, description = "unknown_function", body = ErrorAnswer),
        (status = 409, description = "cancelled", body = ErrorAnswer),
        (status = 413, description = "too_large", body = ErrorAnswer),
        (status = 422, description = "never_fits, not_started", body = ErrorAnswer),
        (status = 502, description = "lost", body = ErrorAnswer),
        (status = 503, description = "no_workers, queue_full (with Retry-After), stopping, unplaceable",
            body = ErrorAnswer),
    )
)]
pub(crate) async fn submit(
    state: Data<MasterState>,
    caller: Caller,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let body = SubmitBody::parse(&read_body(payload, MAX_JSON).await?)?;
    let function = state.node.read(|master| master.latest(&body.function_name).map(|function| function.id));
    let submission = Submission {
        tenant: caller.into_inner(),
        function: function.ok_or_else(|| no_such_function(body.function_name.as_str()))?,
        command: None,
        input_size: body.input_size,
        payload: Some(body.parameters),
        timeout: body.timeout,
        idempotent: body.idempotent,
        only_if_known: false,
    };
    execute(&state, submission).await
}

/// Runs a function at several way counts, alone on its cache, so that something is known of it.
#[utoipa::path(
    post, path = "/controller/task/benchmark", tag = "tasks", request_body = RunBody,
    responses(
        (status = 200, body = BenchmarkAnswer),
        (status = 400, description = "missing_keys, bad_json, bad_value, bad_command", body = ErrorAnswer),
        (status = 404, description = "unknown_function", body = ErrorAnswer),
        (status = 409, description = "cancelled", body = ErrorAnswer),
        (status = 422, description = "benchmark_failed (with `result`, the run that failed), never_fits",
            body = ErrorAnswer),
        (status = 502, description = "lost", body = ErrorAnswer),
        (status = 503, description = "no_workers, queue_full (with Retry-After), stopping", body = ErrorAnswer),
    )
)]
pub(crate) async fn benchmark(
    state: Data<MasterState>,
    caller: Caller,
    body: JsonObject,
) -> Result<HttpResponse, ApiError> {
    let body = RunBody::try_from(body)?;
    let request = BenchmarkRequest {
        tenant: caller.into_inner(),
        function: body.task_id,
        command: Some(body.command),
        input_size: body.input_size,
    };
    let ticket = state.node.benchmark(request).await?;
    let id = ticket.id;
    note_invocation(id);
    match ticket.await {
        Ok(report) => Ok(HttpResponse::Ok().json(BenchmarkAnswer::new(id, &report))),
        Err(error) => {
            Err(benchmark_error(&state, error, body.input_size).with("benchmark_id", id.to_string()))
        }
    }
}

fn benchmark_error(state: &MasterState, error: BenchmarkError, input_size: InputSize) -> ApiError {
    let text = error.to_string();
    match error {
        BenchmarkError::Failed { worker, report } => {
            let id = report.attempt.invocation;
            let known = Known::of(state, id, input_size);
            let message = format!("{text}: {}", how_it_failed(&report.ending));
            ApiError::new(Code::BenchmarkFailed, message)
                .with("result", known.result_value(id, worker, &report))
        }
        BenchmarkError::Cancelled => ApiError::new(Code::Cancelled, text),
        BenchmarkError::WorkerLost(_) => ApiError::new(Code::Lost, text),
        other => ApiError::internal(other),
    }
}

/// Has it run, and waits. Dropped meanwhile (the client went away), it is cancelled.
async fn execute(state: &MasterState, submission: Submission) -> Result<HttpResponse, ApiError> {
    let input_size = submission.input_size;
    let ticket = match state.node.submit(submission).await {
        Ok(ticket) => ticket,
        Err(SubmitError::NotReady) => {
            return Ok(HttpResponse::Ok().json(MessageAnswer { message: NOT_READY.into() }));
        }
        Err(error) => return Err(error.into()),
    };
    let id = ticket.id;
    note_invocation(id);
    let outcome = ticket.await;
    answer(state, id, input_size, outcome).map_err(|error| error.with("invocation_id", id.to_string()))
}

fn answer(
    state: &MasterState,
    id: InvocationId,
    input_size: InputSize,
    outcome: Outcome,
) -> Result<HttpResponse, ApiError> {
    let (worker, report) = match outcome {
        Outcome::Ran { worker, report } => (worker, report),
        Outcome::Cancelled => {
            return Err(ApiError::new(Code::Cancelled, "the invocation was cancelled before it was started"));
        }
        Outcome::Lost(reason) => {
            let who = match reason {
                LostReason::Worker => "its worker was lost",
                LostReason::Master => "the master was restarted",
            };
            let message = format!("{who} while the function ran: nobody knows how far it came");
            return Err(ApiError::new(Code::Lost, message));
        }
        Outcome::Unplaceable(reason) => return Err(ApiError::new(Code::Unplaceable, reason)),
    };
    let known = Known::of(state, id, input_size);
    if let (true, Some(seconds)) = (report.succeeded(), known.predicted_seconds()) {
        state.numbers.compare(report.wall.as_secs_f64(), seconds);
    }
    match &report.ending {
        Ending::NotStarted(reason) => {
            let message = format!("the function could not be started: {reason}");
            return Err(ApiError::new(Code::NotStarted, message));
        }
        Ending::Cancelled => {
            let error = ApiError::new(Code::Cancelled, "the invocation was cancelled while it ran");
            return Err(error.with("result", known.result_value(id, worker, &report)));
        }
        _ => {}
    }
    let message =
        (!report.succeeded()).then(|| format!("the function failed: {}", how_it_failed(&report.ending)));
    let result = known.result(id, worker, &report);
    Ok(HttpResponse::Ok().json(RunAnswer { mode: known.mode(), invocation_id: id, message, result }))
}

fn how_it_failed(ending: &Ending) -> Cow<'static, str> {
    match ending {
        Ending::Exited(status) => format!("exit status {status}").into(),
        Ending::Signalled(signal) => format!("ended by signal {signal}").into(),
        Ending::TimedOut => "it took longer than it may".into(),
        Ending::OutOfMemory => "it used more memory than it may".into(),
        Ending::Cancelled => "it was cancelled".into(),
        Ending::NotStarted(reason) => format!("it could not be started: {reason}").into(),
    }
}

/// What the master remembers of an invocation that has just ended; nothing where it remembers very few.
struct Known {
    invocation: Option<Invocation>,
    input_size: InputSize,
}

impl Known {
    fn of(state: &MasterState, id: InvocationId, input_size: InputSize) -> Self {
        Self { invocation: state.node.read(|master| master.invocation(id).cloned()), input_size }
    }

    fn mode(&self) -> &'static str {
        mode(self.invocation.as_ref().and_then(|invocation| invocation.knowledge).unwrap_or(Knowledge::Inop))
    }

    fn predicted_seconds(&self) -> Option<f64> {
        self.invocation.as_ref().and_then(|invocation| invocation.estimate).map(|estimate| estimate.seconds)
    }

    fn result<'a>(&'a self, id: InvocationId, worker: WorkerId, report: &'a Report) -> RunResult<'a> {
        match &self.invocation {
            Some(invocation) => run_result(invocation, worker, report),
            None => RunResult::new(id, "", self.input_size, worker, report, None),
        }
    }

    fn result_value(&self, id: InvocationId, worker: WorkerId, report: &Report) -> Value {
        serde_json::to_value(self.result(id, worker, report)).unwrap_or_default()
    }
}
