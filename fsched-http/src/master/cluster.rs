//! The workers: how they come, how they stand, how they go.

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use actix_web::web::{Data, Json, Path, Payload};
use fsched_core::cluster::Heartbeat;
use fsched_core::id::WorkerId;
use fsched_core::master::{Removal, WorkerInfo};
use serde_json::error::Category;

use super::{MasterState, operators_only};
use crate::error::{ApiError, Code};
use crate::front::Caller;
use crate::json::{JsonObject, MAX_JSON, parse_optional, read_body};
use crate::transport::{AddressError, DEFAULT_WORKER_PORT, HttpAddress};
use crate::wire::api::{
    AddedAnswer, DrainedAnswer, ErrorAnswer, SystemRow, SystemsAnswer, WorkerBody, WorkerRemovedAnswer,
    WorkersAnswer,
};
use crate::wire::{RegisterBody, RegisteredBody};

/// Asks whoever listens there who it is, and takes it in.
#[utoipa::path(
    post, path = "/cluster/worker/add", tag = "cluster",
    request_body(content = Object, description = "`host`: bare (port 3000), with a port, or as a URL",
        example = json!({"host": "10.0.0.7:3000"})),
    responses(
        (status = 200, body = AddedAnswer),
        (status = 403, description = "forbidden: only with the platform's own token", body = ErrorAnswer),
        (status = 400, description = "no_host, bad_json, bad_value", body = ErrorAnswer),
        (status = 500, description = "worker_unresponsive", body = ErrorAnswer),
        (status = 507, description = "store_full", body = ErrorAnswer),
    )
)]
pub(crate) async fn add_worker(
    state: Data<MasterState>,
    caller: Caller,
    mut body: JsonObject,
) -> Result<Json<AddedAnswer>, ApiError> {
    operators_only(&caller)?;
    let host = body.take_text("host")?.unwrap_or_default();
    if host.trim().is_empty() {
        return Err(ApiError::new(Code::NoHost, "no worker host specified"));
    }
    let address =
        HttpAddress::parse(host.trim(), DEFAULT_WORKER_PORT).map_err(|error| bad_address("host", error))?;
    let id = state.node.add_worker((&address).into()).await?;
    Ok(Json(AddedAnswer { message: "worker node successfully added", id }))
}

/// All workers and what is promised on them.
#[utoipa::path(get, path = "/cluster/workers", tag = "cluster", responses((status = 200, body = WorkersAnswer)))]
pub(crate) async fn list_workers(state: Data<MasterState>) -> Json<WorkersAnswer> {
    let workers = state.workers().into_iter().map(WorkerBody::from).collect();
    Json(WorkersAnswer { workers })
}

/// What each worker's machine says of itself, by worker id.
#[utoipa::path(get, path = "/cluster/worker/list", tag = "cluster", responses((status = 200, body = SystemsAnswer)))]
pub(crate) async fn worker_systems(state: Data<MasterState>) -> Json<SystemsAnswer> {
    let rows = state.workers().into_iter();
    let rows: BTreeMap<_, _> =
        rows.filter_map(|info| Some((info.id.to_string(), SystemRow::new(&info)?))).collect();
    Json(SystemsAnswer(rows))
}

/// No new work for a worker, or new work again.
#[utoipa::path(
    post, path = "/cluster/workers/{id}/drain", tag = "cluster",
    params(("id" = String, Path, example = "w-1")),
    request_body(content = Option<Object>,
        description = "`draining`: false for new work again; true where it is not said",
        example = json!({"draining": true})),
    responses(
        (status = 200, body = DrainedAnswer),
        (status = 403, description = "forbidden: only with the platform's own token", body = ErrorAnswer),
        (status = 400, description = "bad_json, bad_value", body = ErrorAnswer),
        (status = 404, description = "unknown_worker", body = ErrorAnswer),
        (status = 507, description = "store_full", body = ErrorAnswer),
    )
)]
pub(crate) async fn drain_worker(
    state: Data<MasterState>,
    caller: Caller,
    path: Path<String>,
    payload: Payload,
) -> Result<Json<DrainedAnswer>, ApiError> {
    operators_only(&caller)?;
    let id = worker_id(&path)?;
    let mut body = parse_optional(&read_body(payload, MAX_JSON).await?)?;
    let draining = body.take_bool("draining")?.unwrap_or(true);
    state.node.drain(id, draining).await?;
    let message = if draining { "no new work for this worker" } else { "new work for this worker again" };
    Ok(Json(DrainedAnswer { message, id, draining }))
}

/// Forgets a worker. What runs there, ends first.
#[utoipa::path(
    delete, path = "/cluster/workers/{id}", tag = "cluster",
    params(("id" = String, Path, example = "w-1")),
    responses(
        (status = 200, body = WorkerRemovedAnswer),
        (status = 403, description = "forbidden: only with the platform's own token", body = ErrorAnswer),
        (status = 404, description = "unknown_worker", body = ErrorAnswer),
        (status = 507, description = "store_full", body = ErrorAnswer),
    )
)]
pub(crate) async fn remove_worker(
    state: Data<MasterState>,
    caller: Caller,
    path: Path<String>,
) -> Result<Json<WorkerRemovedAnswer>, ApiError> {
    operators_only(&caller)?;
    let (message, waiting_for) = match state.node.remove_worker(worker_id(&path)?).await? {
        Removal::Done => ("worker removed".to_owned(), 0),
        Removal::Waiting(n) => (format!("worker goes when {n} invocations have ended"), n),
    };
    Ok(Json(WorkerRemovedAnswer { message, waiting_for }))
}

/// A worker introduces itself.
#[utoipa::path(
    post, path = "/cluster/register", tag = "cluster",
    request_body(content = Object, description = "What workers send of themselves: protocol, address, heartbeat"),
    responses(
        (status = 200, description = "The worker's id, and how often it will be asked how it is", body = Object,
            example = json!({"id": "w-1", "heartbeat_secs": 1.0})),
        (status = 403, description = "forbidden: only with the platform's own token", body = ErrorAnswer),
        (status = 400, description = "bad_json, bad_value", body = ErrorAnswer),
        (status = 507, description = "store_full", body = ErrorAnswer),
    )
)]
pub(crate) async fn register_worker(
    state: Data<MasterState>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<RegisteredBody>, ApiError> {
    operators_only(&caller)?;
    let body: RegisterBody =
        serde_json::from_slice(&read_body(payload, MAX_JSON).await?).map_err(|error| {
            let code = if error.classify() == Category::Data { Code::BadValue } else { Code::BadJson };
            ApiError::new(code, format!("this is no registration: {error}"))
        })?;
    let (address, heartbeat) = <(String, Heartbeat)>::try_from(body)?;
    let address = match request.peer_addr() {
        Some(peer) => HttpAddress::parse_from(&address, DEFAULT_WORKER_PORT, peer.ip()),
        None => HttpAddress::parse(&address, DEFAULT_WORKER_PORT),
    };
    let address = address.map_err(|error| bad_address("address", error))?;
    let id = state.node.register((&address).into(), heartbeat).await?;
    let heartbeat_secs = state.node.read(|master| master.config().heartbeat).as_secs_f64();
    Ok(Json(RegisteredBody { id, heartbeat_secs }))
}

impl MasterState {
    /// All workers, as they stand now.
    pub(super) fn workers(&self) -> Vec<WorkerInfo> {
        let now = (self.now)();
        self.node.read(|master| master.workers(now).collect())
    }
}

fn bad_address(key: &str, error: AddressError) -> ApiError {
    ApiError::new(Code::BadValue, format!("{key}: {error}"))
}

fn worker_id(text: &str) -> Result<WorkerId, ApiError> {
    text.parse().map_err(|_| {
        let text: String = text.chars().take(80).collect();
        ApiError::new(Code::UnknownWorker, format!("there is no worker {text:?}; ids look like w-3"))
    })
}
