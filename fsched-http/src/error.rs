//! What goes wrong, as the API says it: a status, a code for programs and a message for people.
//!
//! Every answer above 399 is made here. The body is `{"code": .., "message": ..}` and, where there is more to say,
//! further keys.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value};

/// The codes of the API, each with its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// The upload has no field `file`.
    NoFile,
    /// Keys that are required are not there.
    MissingKeys,
    /// The body is not JSON, or not an object.
    BadJson,
    /// The value of a key breaks a rule.
    BadValue,
    /// The command cannot be split into words.
    BadCommand,
    /// No worker host was named.
    NoHost,
    /// The body is not the multipart form that it should be.
    BadMultipart,
    /// The token is missing or another.
    Unauthorized,
    /// A web page of somebody else asks.
    ForbiddenOrigin,
    /// The token is another tenant's than may do this.
    Forbidden,
    /// There is no such function.
    UnknownFunction,
    /// There is no such invocation.
    UnknownInvocation,
    /// There is no such worker.
    UnknownWorker,
    /// There is nothing at this path.
    NotFound,
    /// There is something at this path, for other methods.
    MethodNotAllowed,
    /// The client was too slow.
    RequestTimeout,
    /// An operator removed the worker that registers.
    WorkerRemoved,
    /// It was over before it could be cancelled.
    AlreadyEnded,
    /// It was cancelled before it was started.
    Cancelled,
    /// A worker does not take an order.
    Refused,
    /// The body is larger than it may be.
    TooLarge,
    /// No known worker could ever hold it.
    NeverFits,
    /// The function's process could not be started.
    NotStarted,
    /// A run of a benchmark failed.
    BenchmarkFailed,
    /// A file's content is not what its name says.
    Damaged,
    /// A worker that was named does not answer, or is none.
    WorkerUnresponsive,
    /// A bug of ours.
    Internal,
    /// Nobody knows how the invocation ended.
    Lost,
    /// There is no worker.
    NoWorkers,
    /// Too many wait already.
    QueueFull,
    /// No new work is taken: the process is about to stop.
    Stopping,
    /// Not ready for work.
    NotReady,
    /// No worker was left that could run it.
    Unplaceable,
    /// The disk is full.
    StoreFull,
}

impl Code {
    /// The code as it stands in the body.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The status that goes with it.
    pub fn status(self) -> StatusCode {
        self.row().1
    }

    fn row(self) -> (&'static str, StatusCode) {
        match self {
            Self::NoFile => ("no_file", StatusCode::BAD_REQUEST),
            Self::MissingKeys => ("missing_keys", StatusCode::BAD_REQUEST),
            Self::BadJson => ("bad_json", StatusCode::BAD_REQUEST),
            Self::BadValue => ("bad_value", StatusCode::BAD_REQUEST),
            Self::BadCommand => ("bad_command", StatusCode::BAD_REQUEST),
            Self::NoHost => ("no_host", StatusCode::BAD_REQUEST),
            Self::BadMultipart => ("bad_multipart", StatusCode::BAD_REQUEST),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED),
            Self::ForbiddenOrigin => ("forbidden_origin", StatusCode::FORBIDDEN),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN),
            Self::UnknownFunction => ("unknown_function", StatusCode::NOT_FOUND),
            Self::UnknownInvocation => ("unknown_invocation", StatusCode::NOT_FOUND),
            Self::UnknownWorker => ("unknown_worker", StatusCode::NOT_FOUND),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::RequestTimeout => ("request_timeout", StatusCode::REQUEST_TIMEOUT),
            Self::WorkerRemoved => ("worker_removed", StatusCode::CONFLICT),
            Self::AlreadyEnded => ("already_ended", StatusCode::CONFLICT),
            Self::Cancelled => ("cancelled", StatusCode::CONFLICT),
            Self::Refused => ("refused", StatusCode::CONFLICT),
            Self::TooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::NeverFits => ("never_fits", StatusCode::UNPROCESSABLE_ENTITY),
            Self::NotStarted => ("not_started", StatusCode::UNPROCESSABLE_ENTITY),
            Self::BenchmarkFailed => ("benchmark_failed", StatusCode::UNPROCESSABLE_ENTITY),
            Self::Damaged => ("damaged", StatusCode::UNPROCESSABLE_ENTITY),
            Self::WorkerUnresponsive => ("worker_unresponsive", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Lost => ("lost", StatusCode::BAD_GATEWAY),
            Self::NoWorkers => ("no_workers", StatusCode::SERVICE_UNAVAILABLE),
            Self::QueueFull => ("queue_full", StatusCode::SERVICE_UNAVAILABLE),
            Self::Stopping => ("stopping", StatusCode::SERVICE_UNAVAILABLE),
            Self::NotReady => ("not_ready", StatusCode::SERVICE_UNAVAILABLE),
            Self::Unplaceable => ("unplaceable", StatusCode::SERVICE_UNAVAILABLE),
            Self::StoreFull => ("store_full", StatusCode::INSUFFICIENT_STORAGE),
        }
    }

    /// The code for an error status that came from below us.
    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            status if status.is_client_error() => Self::BadValue,
            _ => Self::Internal,
        }
    }
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    code: Code,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    more: Option<Box<Map<String, Value>>>,
}

impl ApiError {
    /// An error with its message.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after: None, more: None }
    }

    /// A bug of ours: the reason goes to the log, not to the client.
    pub fn internal(reason: impl fmt::Display) -> Self {
        tracing::error!(%reason, "internal error");
        Self::new(Code::Internal, "internal error, see the log")
    }

    /// `key` breaks `rule`, which reads on from "has to be".
    pub fn bad_value(key: &str, rule: impl fmt::Display) -> Self {
        Self::new(Code::BadValue, format!("{key} has to be {rule}"))
    }

    /// The client may try again after this.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// One more key in the body.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.get_or_insert_default().insert(key.to_owned(), value.into());
        self
    }

    /// An error that was not made here, as one that was: nothing but its status and text is kept.
    pub fn foreign(status: StatusCode, text: String) -> Self {
        let code = Code::of_status(status);
        if code == Code::Internal {
            return Self::internal(text);
        }
        let message =
            if text.is_empty() { status.canonical_reason().unwrap_or("error").into() } else { text };
        Self::new(code, message)
    }

    /// What it is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What it says to people.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for ApiError {}

/// The body of every error.
#[derive(Serialize)]
struct Body<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(flatten)]
    more: Option<&'a Map<String, Value>>,
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(after) = self.retry_after {
            // Whole seconds, and never 0: that would be an invitation to come back at once.
            response.insert_header((RETRY_AFTER, after.as_secs_f64().ceil().max(1.0) as u64));
        }
        if self.code == Code::Unauthorized {
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        response.json(Body { code: self.code.as_str(), message: &self.message, more: self.more.as_deref() })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody;
    use serde_json::json;

    use super::*;

    fn body_of(error: &ApiError) -> Value {
        let body = error.error_response().into_body().try_into_bytes().unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn an_error_is_json_with_code_and_message() {
        let error = ApiError::bad_value("input_size", "a whole number");
        assert_eq!(error.status_code(), StatusCode::BAD_REQUEST);
        assert_eq!(
            body_of(&error),
            json!({"code": "bad_value", "message": "input_size has to be a whole number"})
        );
    }

    #[test]
    fn what_more_there_is_to_say_stands_beside_them() {
        let error = ApiError::new(Code::Lost, "gone").with("invocation_id", "i-3");
        assert_eq!(body_of(&error), json!({"code": "lost", "message": "gone", "invocation_id": "i-3"}));
    }

    #[test]
    fn retry_after_is_never_zero() {
        let error = ApiError::new(Code::QueueFull, "full").retry_after(Duration::from_millis(3));
        assert_eq!(error.error_response().headers().get(RETRY_AFTER).unwrap(), "1");
    }

    #[test]
    fn internal_reasons_stay_inside() {
        let error = ApiError::foreign(StatusCode::INTERNAL_SERVER_ERROR, "secret path".into());
        assert!(!body_of(&error).to_string().contains("secret"));
    }
}
