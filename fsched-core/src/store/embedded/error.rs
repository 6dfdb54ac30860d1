//! What the system and redb say, in the store's words.

use std::io;
use std::path::Path;

use super::StoreError;

/// Nothing fits any more: room, quota, or the largest size of a file.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// An error of the system at `path`.
pub(super) fn of_io(path: &Path, error: &io::Error) -> StoreError {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    let path = path.to_owned();
    match error.kind() {
        _ if is_full(error) => StoreError::Full { path },
        InvalidData | UnexpectedEof => StoreError::Damaged { path, reason: error.to_string() },
        _ => StoreError::Io { path, reason: error.to_string() },
    }
}

/// An error of redb about the file at `path`.
pub(super) fn of_redb(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    use redb::Error::{
        Corrupted, DatabaseAlreadyOpen, Io, RepairAborted, TableDoesNotExist, TableIsMultimap,
        TableTypeMismatch, TypeDefinitionChanged, UpgradeRequired,
    };
    let error = error.into();
    match error {
        Io(error) => of_io(path, &error),
        DatabaseAlreadyOpen => StoreError::InUse { path: path.to_owned() },
        Corrupted(_)
        | RepairAborted
        | UpgradeRequired(_)
        | TableDoesNotExist(_)
        | TableIsMultimap(_)
        | TableTypeMismatch { .. }
        | TypeDefinitionChanged { .. } => damaged(path, error.to_string()),
        error => StoreError::Io { path: path.to_owned(), reason: error.to_string() },
    }
}

/// What is at `path` makes no sense.
pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), reason: reason.into() }
}
