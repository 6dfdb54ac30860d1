//! Functions' files: streamed in, checked, kept by content hash.

use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{HttpRequest, HttpResponse, web};
use fsched_core::id::ContentHash;
use fsched_core::node::FileError;
use futures_util::StreamExt as _;

use super::WorkerService;
use crate::error::{ApiError, Code};

pub(super) async fn put(
    service: web::Data<WorkerService>,
    request: HttpRequest,
    hash: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    WorkerService::check_protocol(request.headers())?;
    let hash = parse(&hash)?;
    let announced: Option<u64> =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let received = match announced {
        Some(length) if length > service.max_file.0 => Err(too_large(&service)),
        _ => receive(&service, hash, payload).await,
    };
    service.metrics.file(received.as_ref().map(|length| *length));
    received.map(|_| HttpResponse::NoContent().finish())
}

pub(super) async fn discard(
    service: web::Data<WorkerService>,
    request: HttpRequest,
    hash: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    WorkerService::check_protocol(request.headers())?;
    service.node.discard_file(parse(&hash)?);
    Ok(HttpResponse::NoContent().finish())
}

/// Takes a file in, and says how long it is. What does not arrive whole leaves nothing behind.
async fn receive(
    service: &WorkerService,
    hash: ContentHash,
    mut payload: web::Payload,
) -> Result<u64, ApiError> {
    let mut writer = service.node.files().writer().map_err(not_kept)?;
    loop {
        let chunk = match tokio::time::timeout(service.stall, payload.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(error))) => {
                return Err(ApiError::new(Code::Damaged, format!("the file did not arrive whole: {error}")));
            }
            Ok(None) => break,
            Err(_) => return Err(ApiError::new(Code::RequestTimeout, "the file made no progress")),
        };
        if writer.len().0 + chunk.len() as u64 > service.max_file.0 {
            return Err(too_large(service));
        }
        writer.write(&chunk).map_err(not_kept)?;
    }
    let (_, length) = writer.finish(Some(hash)).await.map_err(not_kept)?;
    if !service.node.file_arrived(hash) {
        return Err(ApiError::new(Code::Damaged, "the file was discarded in that moment: send it again"));
    }
    Ok(length.0)
}

fn parse(hash: &str) -> Result<ContentHash, ApiError> {
    hash.parse().map_err(|_| ApiError::bad_value("hash", "a SHA-256 hash of 64 lowercase hex digits"))
}

fn too_large(service: &WorkerService) -> ApiError {
    ApiError::new(Code::TooLarge, format!("the file is larger than the limit of {}", service.max_file))
}

fn not_kept(error: FileError) -> ApiError {
    match error {
        FileError::Mismatch { .. } => ApiError::new(Code::Damaged, error.to_string()),
        FileError::Full { .. } => ApiError::new(Code::StoreFull, "no space is left for files"),
        other => ApiError::internal(other),
    }
}
