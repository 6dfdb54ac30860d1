//! What core says no with, as the API says it: once, here.

use fsched_core::master::{CancelError, SubmitError, UnknownFunction, UnknownWorker, WorkerRemoved};
use fsched_core::node::{ChangeError, FileError, PushError};
use fsched_core::store::StoreError;
use fsched_core::transport::TransportError;

use crate::error::{ApiError, Code};
use crate::wire::WireError;

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let text = error.to_string();
        match error {
            SubmitError::UnknownFunction(_) => Self::new(Code::UnknownFunction, text),
            SubmitError::QueueFull { retry_after, .. } => {
                Self::new(Code::QueueFull, text).retry_after(retry_after)
            }
            SubmitError::NeverFits => Self::new(Code::NeverFits, text),
            SubmitError::NoWorkers => Self::new(Code::NoWorkers, text),
            SubmitError::Stopping => Self::new(Code::Stopping, text),
            SubmitError::NotKept(error) => error.into(),
            // `NotReady` is answered before it gets here, and is no error.
            other => Self::internal(other),
        }
    }
}

impl From<CancelError> for ApiError {
    fn from(error: CancelError) -> Self {
        let code = match error {
            CancelError::Unknown(_) => Code::UnknownInvocation,
            CancelError::AlreadyEnded(_) => Code::AlreadyEnded,
            other => return Self::internal(other),
        };
        Self::new(code, error.to_string())
    }
}

impl From<WorkerRemoved> for ApiError {
    fn from(error: WorkerRemoved) -> Self {
        Self::new(Code::WorkerRemoved, error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        match error {
            StoreError::Full { .. } => Self::new(Code::StoreFull, "the disk of the store is full"),
            other => Self::internal(other),
        }
    }
}

impl From<FileError> for ApiError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Full { .. } => Self::new(Code::StoreFull, "the disk for functions' files is full"),
            FileError::Mismatch { .. } => Self::new(Code::Damaged, error.to_string()),
            other => Self::internal(other),
        }
    }
}

impl From<PushError> for ApiError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Store(error) => error.into(),
            PushError::NotYours(_) => Self::new(Code::Forbidden, error.to_string()),
            PushError::Stopping => Self::new(Code::Stopping, error.to_string()),
            // The same content was uploaded before, and its last function was removed just now.
            PushError::MissingFile(_) => {
                Self::new(Code::NotReady, error.to_string()).retry_after(std::time::Duration::from_secs(1))
            }
            other => Self::internal(other),
        }
    }
}

impl From<UnknownFunction> for ApiError {
    fn from(error: UnknownFunction) -> Self {
        Self::new(Code::UnknownFunction, error.to_string())
    }
}

impl From<UnknownWorker> for ApiError {
    fn from(error: UnknownWorker) -> Self {
        Self::new(Code::UnknownWorker, error.to_string())
    }
}

impl From<TransportError> for ApiError {
    fn from(error: TransportError) -> Self {
        Self::new(Code::WorkerUnresponsive, format!("worker node is unresponsive: {error}"))
    }
}

impl<E: Into<ApiError>> From<ChangeError<E>> for ApiError {
    fn from(error: ChangeError<E>) -> Self {
        match error {
            ChangeError::Refused(refusal) => refusal.into(),
            ChangeError::Store(error) => error.into(),
            _ => Self::internal("a change failed in a way that is not known here"),
        }
    }
}

impl From<WireError> for ApiError {
    fn from(error: WireError) -> Self {
        Self::new(Code::BadValue, error.to_string())
    }
}
