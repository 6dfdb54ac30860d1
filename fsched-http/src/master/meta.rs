//! How the master itself is.

use actix_web::HttpResponse;

use actix_web::web::{Data, Json};

use super::{MasterState, operators_only};
use crate::error::{ApiError, Code};
use crate::front::Caller;
use crate::wire::api::{DomainPrice, ErrorAnswer, GenerosityAnswer, HealthAnswer, StatusAnswer};

/// The master in numbers.
#[utoipa::path(get, path = "/status", tag = "meta", responses((status = 200, body = StatusAnswer)))]
pub(crate) async fn status(state: Data<MasterState>) -> Json<StatusAnswer> {
    let (stats, generosity) = state.node.read(|master| (master.stats(), master.generosity()));
    Json(StatusAnswer::new(stats, generosity, state.started.elapsed().as_secs_f64()))
}

/// What one way of cache costs now.
#[utoipa::path(
    get, path = "/scheduler/generosity", tag = "cluster", responses((status = 200, body = GenerosityAnswer))
)]
pub(crate) async fn generosity(state: Data<MasterState>) -> Json<GenerosityAnswer> {
    Json(state.node.read(|master| {
        let prices = master.prices();
        let domains = prices.map(|(worker, domain, price)| DomainPrice {
            worker,
            domain,
            generosity: price.map(|price| 0.0 - price),
        });
        GenerosityAnswer { generosity: master.generosity(), domains: domains.collect() }
    }))
}

/// Whether the process answers. Needs no token.
#[utoipa::path(get, path = "/healthz", tag = "meta", security(), responses((status = 200, body = HealthAnswer)))]
pub(crate) async fn healthz() -> Json<HealthAnswer> {
    Json(HealthAnswer { status: "ok" })
}

/// Whether functions can run: the store is open and a worker is alive. Needs no token.
#[utoipa::path(
    get, path = "/readyz", tag = "meta", security(),
    responses((status = 200, body = HealthAnswer), (status = 503, description = "not_ready", body = ErrorAnswer))
)]
pub(crate) async fn readyz(state: Data<MasterState>) -> Result<Json<HealthAnswer>, ApiError> {
    // There is no node without an open store.
    if state.node.read(|master| master.stats()).workers_alive == 0 {
        return Err(ApiError::new(Code::NotReady, "no worker is alive"));
    }
    Ok(Json(HealthAnswer { status: "ready" }))
}

/// The version of the format that Prometheus reads.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Numbers for Prometheus, of all tenants.
#[utoipa::path(
    get, path = "/metrics", tag = "meta",
    responses(
        (status = 200, description = "Prometheus text", content_type = "text/plain", body = String),
        (status = 403, description = "forbidden: only with the platform's own token", body = ErrorAnswer),
    )
)]
pub(crate) async fn metrics(state: Data<MasterState>, caller: Caller) -> Result<HttpResponse, ApiError> {
    operators_only(&caller)?;
    let stats = state.node.read(|master| master.stats());
    let text = state.numbers.render(&stats, &state.workers());
    Ok(HttpResponse::Ok().content_type(PROMETHEUS).body(text))
}
