//! Carries orders to workers and their reports back, by HTTP.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`HttpTransport`]: the handle that a master holds |
//! | `lane.rs` | threads that own HTTP clients, and how calls get to them |
//! | `client.rs` | what is asked of a worker, and what its answers mean |
//! | `answer.rs` | reading an answer that may be anything |
//! | `address.rs` | [`HttpAddress`]: where somebody listens |

mod address;
mod answer;
mod client;
mod lane;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fsched_core::cluster::Heartbeat;
use fsched_core::id::{AttemptId, ContentHash};
use fsched_core::invocation::{Order, Report};
use fsched_core::transport::{Address, Peer, Transport, TransportError};

pub use address::{AddressError, DEFAULT_WORKER_PORT, HttpAddress};
use client::{Client, Instances};
use lane::Lanes;

use crate::auth::Token;

/// How a transport behaves.
#[derive(Debug, Clone)]
pub struct HttpTransportOptions {
    /// The secret that the workers ask for.
    pub token: Option<Token>,
    /// How long a connection may take to come about, name server included.
    pub connect_timeout: Duration,
    /// How long everything but orders and files may take.
    pub answer_timeout: Duration,
    /// The largest report that is read, in bytes: two outputs as base64, and some.
    pub report_limit: usize,
    /// Threads of our own, for those who call from a thread that is not [attached](HttpTransport::attach).
    pub threads: usize,
}

impl Default for HttpTransportOptions {
    fn default() -> Self {
        Self {
            token: None,
            connect_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(3),
            report_limit: 16 << 20,
            threads: 2,
        }
    }
}

/// The transport over HTTP, to be used from any thread.
///
/// HTTP clients live on threads of their own kind (see `lane.rs`); this is a handle that passes calls to them. On a
/// thread that was [attached](Self::attach), calls stay on it. Dropping the last clone ends what is under way.
///
/// An order whose line broke before an answer is sent once more, to the same process only. That process remembers
/// which attempts it was given: where it refuses the second try as a duplicate the first one arrived, and the answer is
/// [`TransportError::Broken`]; otherwise nothing was lost but a stale connection.
#[derive(Clone)]
pub struct HttpTransport {
    lanes: Arc<Lanes>,
}

impl HttpTransport {
    /// A transport, and its threads.
    ///
    /// # Errors
    /// Where the system gives no threads.
    pub fn new(options: HttpTransportOptions) -> std::io::Result<Self> {
        let lanes = Lanes::start(Arc::new(options), Arc::new(Instances::default()))?;
        Ok(Self { lanes: Arc::new(lanes) })
    }

    /// Gives this thread an HTTP client: calls made from it go no more through another thread.
    ///
    /// To be called once on each thread of an actix server, in the function that makes its app.
    ///
    /// # Panics
    /// Outside of an actix runtime.
    pub fn attach(&self) {
        self.lanes.attach();
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
        let address = to.address.clone();
        self.lanes.call(&to.address, move |client| async move { client.execute(address, order).await }).await
    }

    async fn cancel(&self, to: &Peer, attempt: AttemptId) -> Result<(), TransportError> {
        let address = to.address.clone();
        self.lanes.call(&to.address, move |client| async move { client.cancel(address, attempt).await }).await
    }

    async fn put_file(&self, to: &Peer, file: ContentHash, path: PathBuf) -> Result<(), TransportError> {
        let address = to.address.clone();
        let put = async move |client: Rc<Client>| client.put_file(address, file, path).await;
        self.lanes.call(&to.address, put).await
    }

    async fn discard_file(&self, to: &Peer, file: ContentHash) -> Result<(), TransportError> {
        let address = to.address.clone();
        self.lanes
            .call(&to.address, move |client| async move { client.discard_file(address, file).await })
            .await
    }

    async fn inspect(&self, address: &Address) -> Result<Heartbeat, TransportError> {
        let to = address.clone();
        self.lanes.call(address, move |client| async move { client.inspect(to).await }).await
    }
}
