//! What functions there are, and removing them.

use std::collections::HashMap;
use std::io::Read as _;

use actix_web::HttpResponse;
use actix_web::body::SizedStream;
use actix_web::web::{Bytes, Data, Json, Path, Query};
use fsched_core::function::{Function, FunctionName, InputSize};
use fsched_core::id::FunctionId;
use fsched_core::master::{FunctionInfo, Master, Removal};
use fsched_core::node::ChangeError;
use fsched_core::tenant::Tenant;

use super::MasterState;
use crate::error::{ApiError, Code};
use crate::front::Caller;
use crate::json::JsonObject;
use crate::wire::api::{
    CurveAnswer, ErrorAnswer, FunctionBody, FunctionsAnswer, ProfileBody, ProfiledAnswer, RemovedAnswer,
    no_such_function, values,
};

/// How much of a file is read at a time.
const CHUNK: usize = 256 << 10;

/// All versions of all functions.
#[utoipa::path(get, path = "/functions", tag = "functions", responses((status = 200, body = FunctionsAnswer)))]
pub(crate) async fn list_functions(state: Data<MasterState>) -> Json<FunctionsAnswer> {
    let infos: Vec<FunctionInfo> = state.node.read(|master| master.functions().collect());
    Json(FunctionsAnswer { functions: infos.into_iter().map(FunctionBody::from).collect() })
}

/// One version by its id, or the newest by its name.
#[utoipa::path(
    get, path = "/functions/{function}", tag = "functions",
    params(("function" = String, Path, description = "id or name")),
    responses((status = 200, body = FunctionBody), (status = 404, description = "unknown_function", body = ErrorAnswer))
)]
pub(crate) async fn show_function(
    state: Data<MasterState>,
    path: Path<String>,
) -> Result<Json<FunctionBody>, ApiError> {
    let mut found = find(&state, &path)?;
    found.sort_by_key(|info| (!info.removing, info.function.version));
    let newest = found.pop().ok_or_else(|| no_such_function(&path))?;
    Ok(Json(newest.into()))
}

/// Removes one version by its id, or all by their name. What runs, ends first.
#[utoipa::path(
    delete, path = "/functions/{function}", tag = "functions",
    params(("function" = String, Path, description = "id or name")),
    responses(
        (status = 200, body = RemovedAnswer),
        (status = 403, description = "forbidden: it is another tenant's", body = ErrorAnswer),
        (status = 404, description = "unknown_function", body = ErrorAnswer),
        (status = 507, description = "store_full", body = ErrorAnswer),
    )
)]
pub(crate) async fn remove_function(
    state: Data<MasterState>,
    caller: Caller,
    path: Path<String>,
) -> Result<Json<RemovedAnswer>, ApiError> {
    let mut removed = Vec::new();
    let mut waiting_for = 0;
    let mut found = find(&state, &path)?;
    found.retain(|info| !info.removing);
    found.iter().try_for_each(|info| may_change(&caller, &info.function))?;
    for info in found {
        let id = info.function.id;
        match state.node.remove_function(id).await {
            Ok(Removal::Done) => {}
            Ok(Removal::Waiting(n)) => waiting_for += n,
            // Somebody else was faster.
            Err(ChangeError::Refused(_)) => continue,
            Err(error) => return Err(error.into()),
        }
        removed.push(id);
    }
    if removed.is_empty() {
        return Err(no_such_function(&path));
    }
    let message = match waiting_for {
        0 => "function removed".to_owned(),
        n => format!("function goes when {n} invocations have ended"),
    };
    Ok(Json(RemovedAnswer { message, removed, waiting_for }))
}

/// How the running time of a function depends on cache, as it is predicted now.
#[utoipa::path(
    get, path = "/functions/{function}/curve", tag = "functions",
    params(
        ("function" = String, Path, description = "id, or name for the newest version"),
        ("input_size" = u64, Query, description = "on how much input"),
    ),
    responses(
        (status = 200, body = CurveAnswer),
        (status = 400, description = "missing_keys, bad_value", body = ErrorAnswer),
        (status = 404, description = "unknown_function", body = ErrorAnswer),
    )
)]
pub(crate) async fn curve(
    state: Data<MasterState>,
    path: Path<String>,
    query: Query<HashMap<String, String>>,
) -> Result<Json<CurveAnswer>, ApiError> {
    let Some(text) = query.get("input_size") else {
        return Err(ApiError::new(Code::MissingKeys, "Required keys not specified: input_size"));
    };
    let input_size: InputSize = values::input_size("input_size", &text.as_str().into())?;
    let prediction = state.node.read(|master| {
        let id = newest(master, &path)?.id;
        master.prediction(id, input_size).map_err(ApiError::from)
    })?;
    Ok(Json(prediction.into()))
}

/// Learns from a profile: what a simulated cache counted, and the time estimated from it.
///
/// What is learnt is called simulated, and real times go on to count as such.
#[utoipa::path(
    post, path = "/functions/{function}/profile", tag = "functions", request_body = ProfileBody,
    params(("function" = String, Path, description = "id, or name for the newest version")),
    responses(
        (status = 200, body = ProfiledAnswer),
        (status = 400, description = "missing_keys, bad_json, bad_value", body = ErrorAnswer),
        (status = 403, description = "forbidden: it is another tenant's", body = ErrorAnswer),
        (status = 404, description = "unknown_function", body = ErrorAnswer),
        (status = 413, description = "too_large", body = ErrorAnswer),
        (status = 507, description = "store_full", body = ErrorAnswer),
    )
)]
pub(crate) async fn profile(
    state: Data<MasterState>,
    caller: Caller,
    path: Path<String>,
    body: JsonObject,
) -> Result<Json<ProfiledAnswer>, ApiError> {
    let id = state.node.read(|master| {
        let function = newest(master, &path)?;
        may_change(&caller, function).map(|()| function.id)
    })?;
    let ProfileBody { input_size, points } = body.try_into()?;
    state.node.profiled(id, input_size, &points).await?;
    let message = format!("the profile is kept: {} samples at input size {input_size}", points.len());
    Ok(Json(ProfiledAnswer { message, samples: points.len() }))
}

/// The file of a function, as it was pushed.
#[utoipa::path(
    get, path = "/functions/{function}/file", tag = "functions",
    params(("function" = String, Path, description = "id, or name for the newest version")),
    responses(
        (status = 200, description = "its bytes", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 404, description = "unknown_function", body = ErrorAnswer),
        (status = 422, description = "damaged: the file is gone; push it again", body = ErrorAnswer),
    )
)]
pub(crate) async fn file(state: Data<MasterState>, path: Path<String>) -> Result<HttpResponse, ApiError> {
    let spec = state.node.read(|master| newest(master, &path).map(|function| function.spec.clone()))?;
    let opened = tokio::task::spawn_blocking({
        let path = state.node.files().path(spec.file);
        move || std::fs::File::open(path)
    });
    let file = opened.await.map_err(ApiError::internal)?.map_err(|error| {
        tracing::error!(file = %spec.file, %error, "a function's file cannot be read");
        ApiError::new(Code::Damaged, "the function's file is gone: push it again")
    })?;
    // Chunk by chunk: the next is read when the last one is on its way.
    let chunks = futures_util::stream::try_unfold(file, |mut file| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; CHUNK];
            let length = file.read(&mut chunk)?;
            chunk.truncate(length);
            std::io::Result::Ok((chunk, file))
        });
        let (chunk, file) = read.await.map_err(std::io::Error::other)??;
        Ok::<_, std::io::Error>((!chunk.is_empty()).then_some((Bytes::from(chunk), file)))
    });
    let body = SizedStream::new(spec.file_size.0, Box::pin(chunks));
    Ok(HttpResponse::Ok().content_type("application/octet-stream").body(body))
}

/// Refuses what would change another tenant's function.
fn may_change(caller: &Tenant, function: &Function) -> Result<(), ApiError> {
    if caller.governs(&function.spec.tenant) {
        return Ok(());
    }
    Err(ApiError::new(Code::Forbidden, format!("the function {} is another tenant's", function.spec.name)))
}

/// The function of that id, or the newest version of that name.
fn newest<'a>(master: &'a Master, id_or_name: &str) -> Result<&'a Function, ApiError> {
    let found = match id_or_name.parse::<FunctionId>() {
        Ok(id) => master.function(id),
        Err(_) => id_or_name.parse::<FunctionName>().ok().and_then(|name| master.latest(&name)),
    };
    found.ok_or_else(|| no_such_function(id_or_name))
}

/// The function of that id, or all versions of that name; at least one.
fn find(state: &MasterState, id_or_name: &str) -> Result<Vec<FunctionInfo>, ApiError> {
    let id = id_or_name.parse::<FunctionId>().ok();
    let named = |info: &FunctionInfo| match id {
        Some(id) => info.function.id == id,
        None => info.function.spec.name.as_str() == id_or_name,
    };
    let found: Vec<FunctionInfo> =
        state.node.read(|master| master.functions().filter(|info| named(info)).collect());
    if found.is_empty() { Err(no_such_function(id_or_name)) } else { Ok(found) }
}
