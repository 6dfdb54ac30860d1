//! Carries orders to workers and their reports back, by HTTP.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`HttpTransport`]: the handle that a master holds |
//! | `client.rs` | what is asked of a worker, and what its answers mean |
//! | `remote.rs` | those we speak with, and the connections to them |
//! | `answer.rs` | reading an answer that may be anything |
//! | `address.rs` | [`HttpAddress`]: where somebody listens |

mod address;
mod answer;
mod client;
mod remote;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fsched_core::cluster::Heartbeat;
use fsched_core::id::{AttemptId, ContentHash};
use fsched_core::invocation::{Order, Report};
use fsched_core::transport::{Address, Peer, Transport, TransportError};
use fsched_core::worker::WorkerConfig;

pub use address::{AddressError, DEFAULT_WORKER_PORT, HttpAddress};
use client::Client;

use crate::auth::Token;

/// How large a report gets with two outputs of `output` bytes: they take four thirds of that at most, and the rest is short.
const fn largest_report(output: usize) -> usize {
    2 * (output.div_ceil(3) * 4) + (1 << 20)
}

/// How a transport behaves.
#[derive(Debug, Clone)]
pub struct HttpTransportOptions {
    /// The secret that the workers ask for.
    pub token: Option<Token>,
    /// How long a connection may take to come about, name server included.
    pub connect_timeout: Duration,
    /// How long everything but orders and files may take.
    pub answer_timeout: Duration,
    /// The largest report that is read, in bytes.
    pub report_limit: usize,
}

impl Default for HttpTransportOptions {
    fn default() -> Self {
        Self {
            token: None,
            connect_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(3),
            report_limit: largest_report(WorkerConfig::LARGEST_OUTPUT.0 as usize),
        }
    }
}

/// The transport over HTTP, to be used from any tokio runtime.
///
/// Its connections live on the runtime that they were made on, and serve requests from there.
///
/// An order whose line broke before an answer is sent once more, to the same process only. That process remembers
/// which attempts it was given: where it refuses the second try as a duplicate the first one arrived, and the answer is
/// [`TransportError::Broken`]; otherwise nothing was lost but a stale connection.
#[derive(Clone)]
pub struct HttpTransport {
    client: Arc<Client>,
}

impl HttpTransport {
    /// A transport; connections are made when they are needed.
    pub fn new(options: HttpTransportOptions) -> Self {
        Self { client: Arc::new(Client::new(options)) }
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn execute(&self, to: &Peer, order: Order) -> Result<Report, TransportError> {
        self.client.execute(&to.address, order).await
    }

    async fn cancel(&self, to: &Peer, attempt: AttemptId) -> Result<(), TransportError> {
        self.client.cancel(&to.address, attempt).await
    }

    async fn put_file(&self, to: &Peer, file: ContentHash, path: PathBuf) -> Result<(), TransportError> {
        self.client.put_file(&to.address, file, path).await
    }

    async fn discard_file(&self, to: &Peer, file: ContentHash) -> Result<(), TransportError> {
        self.client.discard_file(&to.address, file).await
    }

    async fn inspect(&self, address: &Address) -> Result<Heartbeat, TransportError> {
        self.client.inspect(address).await
    }
}
