//! What every request passes before its handler, and every answer after it: the request's id and span, the guard,
//! the numbers, and the promise that errors are JSON.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::ReqData;
use actix_web::{Error, HttpMessage as _, HttpResponse, ResponseError as _};
use fsched_core::tenant::Tenant;
use tracing::Instrument as _;

use crate::auth::Guard;
use crate::error::ApiError;
use crate::metrics::Metrics;

/// The header that carries a request's id, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// On whose behalf a request is. Every request that passed the front door has it.
pub(crate) type Caller = ReqData<Tenant>;

/// The front door of a service. Shared by all its threads.
#[derive(Debug)]
pub struct Front {
    guard: Guard,
    metrics: Arc<Metrics>,
    ids: RequestIds,
}

impl Front {
    /// A front door with this guard, which counts in `metrics`.
    pub fn new(guard: Guard, metrics: Arc<Metrics>) -> Self {
        Self { guard, metrics, ids: RequestIds::default() }
    }

    /// The numbers it counts in.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Lets a request pass: to be wrapped around a whole service with `actix_web::middleware::from_fn`.
    ///
    /// Resources have to be named with their path: that is how requests are counted.
    ///
    /// # Errors
    /// None but what actix itself made an error of before any route was found.
    pub async fn pass<B>(
        self: Arc<Self>,
        request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<BoxBody>, Error>
    where
        B: MessageBody + 'static,
    {
        let started = Instant::now();
        let id = self.ids.of(request.headers());
        let method = request.method().clone();
        let span = tracing::info_span!(
            "request",
            id = id.to_str().unwrap_or_default(),
            method = method.as_str(),
            path = request.path(),
            tenant = tracing::field::Empty,
            invocation = tracing::field::Empty,
        );
        let passed = match self.guard.check(request.path(), request.headers()) {
            Ok(tenant) => {
                if !tenant.is_default() {
                    span.in_scope(|| note_tenant(&tenant));
                }
                request.extensions_mut().insert(tenant);
                next.call(request).instrument(span.clone()).await.map(json_error)
            }
            Err(error) => Ok(request.into_response(error.error_response())),
        };
        let mut response = passed.map_err(into_api_error)?;
        let status = response.status();
        let took = started.elapsed();
        self.metrics.request(&method, response.request().match_name(), status, took);
        response.headers_mut().insert(REQUEST_ID, id);
        span.in_scope(|| {
            if status.is_server_error() {
                tracing::warn!(status = status.as_u16(), ?took, "answered");
            } else {
                tracing::debug!(status = status.as_u16(), ?took, "answered");
            }
        });
        Ok(response)
    }
}

/// Notes in the request's span on whose behalf it is.
pub fn note_tenant(tenant: &Tenant) {
    note("tenant", tenant);
}

/// Notes in the request's span which invocation it is about.
pub fn note_invocation(id: impl std::fmt::Display) {
    note("invocation", id);
}

fn note(field: &'static str, value: impl std::fmt::Display) {
    let span = tracing::Span::current();
    if !span.is_disabled() {
        span.record(field, tracing::field::display(value));
    }
}

/// Makes an error that did not come from us one that looks as if it had.
fn json_error<B: MessageBody + 'static>(response: ServiceResponse<B>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    if !failed || is_json(response.headers()) {
        return response.map_into_boxed_body();
    }
    let (request, foreign) = response.into_parts();
    let text = foreign.error().map(ToString::to_string).unwrap_or_default();
    let text = if text.is_empty() { about(status, request.method().as_str(), request.path()) } else { text };
    let mut ours: HttpResponse = ApiError::foreign(status, text).error_response();
    if let Some(allow) = foreign.headers().get(ALLOW) {
        ours.headers_mut().insert(ALLOW, allow.clone());
    }
    ServiceResponse::new(request, ours)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

fn about(status: actix_web::http::StatusCode, method: &str, path: &str) -> String {
    let path: String = path.chars().take(200).collect();
    match status.as_u16() {
        404 => format!("there is nothing at {path}"),
        405 => format!("{path} does not answer {method}"),
        _ => String::new(),
    }
}

fn into_api_error(error: Error) -> Error {
    if error.as_error::<ApiError>().is_some() {
        return error;
    }
    let status = error.as_response_error().status_code();
    ApiError::foreign(status, error.to_string()).into()
}

/// Takes a client's request id where it is sane, else mints one.
#[derive(Debug)]
struct RequestIds {
    boot: u64,
    next: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { boot: since.as_millis() as u64, next: AtomicU64::new(1) }
    }
}

impl RequestIds {
    /// The longest id taken from a client.
    const MAX_LEN: usize = 64;

    fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let sane = |value: &&HeaderValue| {
            (1..=Self::MAX_LEN).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        headers.get(REQUEST_ID).filter(sane).cloned().unwrap_or_else(|| self.mint())
    }

    fn mint(&self) -> HeaderValue {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        HeaderValue::try_from(format!("{:x}-{n:x}", self.boot)).expect("hex digits are a header value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sane_request_ids_are_kept_and_others_replaced() {
        let ids = RequestIds::default();
        let of = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
            ids.of(&headers)
        };
        assert_eq!(of(b"build-7/step.2"), "build-7/step.2");
        for odd in [&b""[..], b"a b", b"\xff", &[b'x'; 65]] {
            assert_ne!(of(odd).as_bytes(), odd);
        }
        assert_ne!(ids.of(&HeaderMap::new()), ids.of(&HeaderMap::new()));
    }
}
