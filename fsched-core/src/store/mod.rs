//! What must not be forgotten: functions, workers, samples, invocations.
//!
//! | file | what |
//! | --- | --- |
//! | `record.rs` | [`Record`]: the facts that are kept; [`Snapshot`]: what they add up to |
//! | `fold.rs` | [`Fold`]: from the ones to the other |
//! | `memory.rs` | [`MemoryStore`]: kept as long as the process lives |
//! | `embedded/` | [`EmbeddedStore`]: redb on disk, with a log in front (feature `redb`) |
//! | `conformance.rs` | the contract as a suite, for every implementation |

#[cfg(feature = "test-util")]
pub mod conformance;
#[cfg(feature = "redb")]
mod embedded;
mod fold;
mod memory;
mod record;

use std::path::PathBuf;

use async_trait::async_trait;

#[cfg(feature = "redb")]
pub use embedded::EmbeddedStore;
pub use fold::Fold;
pub use memory::MemoryStore;
pub use record::{EndKind, InvocationRecord, Record, Snapshot, WorkerRecord};

/// Why a fact could not be kept, or read again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk is full: what was there before is unharmed. Make room and try again.
    #[error("no space left for the store at {path}")]
    Full {
        /// Where.
        path: PathBuf,
    },
    /// Another process has it open.
    #[error("the store at {path} is in use by another process")]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// It was written by another version.
    #[error("the store at {path} has version {found}, this program reads version {expected}")]
    Version {
        /// Where.
        path: PathBuf,
        /// What is there.
        found: u32,
        /// What is understood.
        expected: u32,
    },
    /// What is there makes no sense.
    #[error("the store at {path} is damaged: {reason}")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("cannot use the store at {path}: {reason}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// Keeps facts.
///
/// The caller appends facts in the order in which they became true, from any thread, one at a time.
///
/// An implementation must:
/// - keep that order: what a snapshot shows is always what the first N facts add up to, for some N;
/// - after `append` returned, survive the death of this process (a `kill -9`) with that fact;
/// - after `flush` returned, survive the death of the machine with every fact appended before it was called;
/// - leave what was kept before unharmed when it fails.
#[async_trait]
pub trait Store: Send + Sync {
    /// What all facts add up to. Called once, before the first `append`.
    ///
    /// # Errors
    /// Where what is there cannot be read.
    async fn load(&self) -> Result<Snapshot, StoreError>;

    /// Keeps a fact: returns within microseconds, without a disk sync.
    ///
    /// # Errors
    /// [`StoreError::Full`] and others; the fact is then not kept.
    fn append(&self, record: Record) -> Result<(), StoreError>;

    /// Waits until everything appended so far survives the death of the machine.
    ///
    /// # Errors
    /// Where it does not.
    async fn flush(&self) -> Result<(), StoreError>;
}
