//! How does an order get to a worker, and its report back?
//!
//! | file | what |
//! | --- | --- |
//! | `loopback.rs` | [`Loopback`]: workers in the same process |
//! | `conformance.rs` | the contract as a suite, for every implementation |
//!
//! The transport over HTTP is in `fsched-http`.

#[cfg(feature = "test-util")]
pub mod conformance;
mod loopback;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use loopback::Loopback;

use crate::cluster::Heartbeat;
use crate::id::{AttemptId, ContentHash, WorkerId};
use crate::invocation::{Order, Report};

/// Where a worker listens, as the transport at hand writes it: for HTTP `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(pub Arc<str>);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl FromStr for Address {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.into())
    }
}

/// A worker and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id with this master.
    pub worker: WorkerId,
    /// Where it listens.
    pub address: Address,
}

/// Why a worker does not take an order. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// It has not the CPUs, the memory or the exclusive ways free.
    #[error("the worker has no room: {0}")]
    NoRoom(String),
    /// It does not have the function's file.
    #[error("the worker does not have the file")]
    MissingFile,
    /// It is about to stop.
    #[error("the worker is stopping")]
    Stopping,
    /// It knows the attempt already.
    #[error("the worker knows this attempt already")]
    Duplicate,
    /// It could never run it: a domain that it does not have, more than it gives to functions at all.
    #[error("the worker cannot run it: {0}")]
    Impossible(String),
}

/// Why an order brought no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The worker said no; nothing was started.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The worker was not reached; nothing was started.
    #[error("{address} cannot be reached: {reason}")]
    Unreachable {
        /// Where it should have been.
        address: Address,
        /// What the system said.
        reason: String,
    },
    /// The line broke after the order may have arrived: it may have run, or not.
    #[error("the connection to {address} broke: {reason}")]
    Broken {
        /// Where it was.
        address: Address,
        /// What the system said.
        reason: String,
    },
    /// Whoever answers there is no worker of this protocol version.
    #[error("{address} is no worker that we understand: {reason}")]
    Protocol {
        /// Where.
        address: Address,
        /// What was odd.
        reason: String,
    },
    /// The file arrived damaged, or not whole.
    #[error("file {file} did not arrive whole at {address}")]
    Damaged {
        /// Where.
        address: Address,
        /// Which file.
        file: ContentHash,
    },
    /// The file could not be read here.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl TransportError {
    /// Whether it is certain that nothing was started.
    pub fn nothing_started(&self) -> bool {
        !matches!(self, Self::Broken { .. })
    }
}

/// Carries orders to workers and their reports back.
///
/// An implementation must be usable from any thread, carry many orders at once, and never answer an order
/// before its attempt is over. When the future of [`execute`](Transport::execute) is dropped, the worker learns that
/// nobody waits any more, and ends the attempt.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Carries an order, and waits until its attempt is over.
    ///
    /// # Errors
    /// Says whether something may have been started. No limit of time: deadlines are the worker's.
    async fn execute(&self, to: &Peer, order: Order) -> Result<Report, TransportError>;

    /// Ends an attempt; its report comes as the answer to [`execute`](Transport::execute). Unknown attempts are ignored.
    ///
    /// # Errors
    /// Where the worker was not reached in a few seconds.
    async fn cancel(&self, to: &Peer, attempt: AttemptId) -> Result<(), TransportError>;

    /// Brings a function's file, found at `path`, to a worker, and lets the worker check its hash.
    ///
    /// # Errors
    /// [`TransportError::Damaged`] where the hash is another: try again.
    async fn put_file(&self, to: &Peer, file: ContentHash, path: PathBuf) -> Result<(), TransportError>;

    /// Tells a worker that a file is of no use any more. A file in use stays until it is not.
    ///
    /// # Errors
    /// Where the worker was not reached in a few seconds.
    async fn discard_file(&self, to: &Peer, file: ContentHash) -> Result<(), TransportError>;

    /// Asks whoever listens at `address` who it is and how it is.
    ///
    /// # Errors
    /// Where nobody answers in a few seconds, or somebody who is no worker.
    async fn inspect(&self, address: &Address) -> Result<Heartbeat, TransportError>;
}
