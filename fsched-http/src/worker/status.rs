//! Heartbeats, health, numbers.

use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};

use super::WorkerService;
use crate::error::{ApiError, Code};
use crate::wire::HeartbeatBody;

pub(super) async fn heartbeat(
    service: web::Data<WorkerService>,
    request: HttpRequest,
) -> Result<web::Json<HeartbeatBody>, ApiError> {
    WorkerService::check_protocol(request.headers())?;
    service.heard.note();
    Ok(web::Json(service.node.heartbeat().into()))
}

pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"status": "ok"}))
}

pub(super) async fn readyz(service: web::Data<WorkerService>) -> Result<HttpResponse, ApiError> {
    match service.node.read(|worker| worker.is_stopping()) {
        false => Ok(HttpResponse::Ok().json(serde_json::json!({"status": "ready"}))),
        true => Err(ApiError::new(Code::Stopping, "the worker is stopping")),
    }
}

pub(super) async fn metrics(service: web::Data<WorkerService>) -> HttpResponse {
    let shared = service.front.metrics();
    let now = service.node.heartbeat();
    service.metrics.observe(shared, &now);
    service.metrics.observe_classes(shared, &now.classes);
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(shared.render())
}

pub(super) async fn nothing(request: HttpRequest) -> HttpResponse {
    let path: String = request.path().chars().take(200).collect();
    ApiError::new(Code::NotFound, format!("there is nothing at {path}")).error_response()
}
