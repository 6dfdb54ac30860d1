//! Orders: the answer is held until the attempt is over. When the connection closes before, actix drops the handler, and
//! with it the future that waits for the report: that cancels the attempt.

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};
use fsched_core::id::AttemptId;
use fsched_core::invocation::{Order, Report};

use super::{MAX_ORDER, WorkerService};
use crate::error::{ApiError, Code};
use crate::front::{note_invocation, note_tenant};
use crate::json::read_body;
use crate::wire::{INSTANCE_HEADER, OrderBody, RefusalBody, ReportBody, bounded};

pub(super) async fn take(
    service: web::Data<WorkerService>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let arrived = ((service.now)(), Instant::now());
    WorkerService::check_protocol(request.headers())?;
    if request.headers().get(INSTANCE_HEADER).is_some_and(|asked| *asked != *service.instance) {
        return Err(ApiError::new(
            Code::Refused,
            "the order is for another process, which may have begun it: this one cannot know",
        ));
    }
    let body = tokio::time::timeout(service.stall, read_body(payload, MAX_ORDER)).await;
    let late = |_| ApiError::new(Code::RequestTimeout, "the order did not arrive in time");
    let order = read_order(&body.map_err(late)??)?;
    let attempt = order.attempt;
    note_invocation(attempt);
    if !order.tenant.is_default() {
        note_tenant(&order.tenant);
    }
    let mut counted = service.metrics.order();
    match service.node.execute(order).await {
        Ok(report) => {
            counted.ended(&report, report.started.since(arrived.0), arrived.1.elapsed());
            Ok(answer(report))
        }
        Err(refusal) => {
            counted.refused(&refusal);
            tracing::debug!(%attempt, %refusal, "refused");
            let message = refusal.to_string();
            let body = RefusalBody { refusal: bounded(refusal) };
            let refusal = serde_json::to_value(body.refusal).map_err(ApiError::internal)?;
            Err(ApiError::new(Code::Refused, message).with("refusal", refusal))
        }
    }
}

pub(super) async fn cancel(
    service: web::Data<WorkerService>,
    request: HttpRequest,
    attempt: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    WorkerService::check_protocol(request.headers())?;
    let attempt: AttemptId =
        attempt.parse().map_err(|_| ApiError::bad_value("attempt", "an attempt id such as i-204.0"))?;
    service.node.cancel(attempt);
    Ok(HttpResponse::NoContent().finish())
}

fn read_order(body: &[u8]) -> Result<Order, ApiError> {
    let body: OrderBody = serde_json::from_slice(body)
        .map_err(|error| ApiError::new(Code::BadJson, format!("the body is no order: {error}")))?;
    Order::try_from(body).map_err(|error| ApiError::new(Code::BadValue, error.to_string()))
}

fn answer(report: Report) -> HttpResponse {
    HttpResponse::Ok().json(ReportBody::from(report))
}
