//! How a worker makes itself known to a master, and stays known.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use awc::http::StatusCode;
use awc::http::header::AUTHORIZATION;
use fsched_core::cluster::PROTOCOL_VERSION;
use fsched_core::node::WorkerNode;
use parking_lot::Mutex;

use crate::auth::Token;
use crate::transport::HttpAddress;
use crate::wire::{PROTOCOL_HEADER, RegisterBody, RegisteredBody};

/// With whom a worker registers, and how.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The master.
    pub master: HttpAddress,
    /// Where the worker is to be reached; none: where it listens, as far as that says it (else the master puts in where we come from).
    pub advertise: Option<HttpAddress>,
    /// After how much silence of the master it registers again.
    pub silence: Duration,
    /// How long it waits after the first failure; twice as long after each further one, up to [`MAX_WAIT`].
    pub first_wait: Duration,
}

/// The longest wait between two tries to register.
pub const MAX_WAIT: Duration = Duration::from_secs(5);

impl Registration {
    /// With `master`, in the usual rhythm.
    pub fn new(master: HttpAddress) -> Self {
        Self {
            master,
            advertise: None,
            silence: Duration::from_secs(10),
            first_wait: Duration::from_millis(200),
        }
    }

    /// Registers until the master accepts, and again whenever it has been silent for long: it may have been
    /// restarted, or somebody may have removed the worker. Never ends.
    pub(crate) async fn keep(
        &self,
        node: &Arc<WorkerNode>,
        heard: &Heard,
        at: SocketAddr,
        token: Option<Token>,
    ) {
        let address = self.address(at);
        let client = client(token.as_ref());
        loop {
            let mut wait = self.first_wait;
            let mut complaint = String::new();
            loop {
                match self.register(&client, node, &address).await {
                    Ok(body) => {
                        tracing::info!(id = %body.id, master = %self.master, "registered");
                        break;
                    }
                    // Said once: it goes on like that until somebody does something about it.
                    Err(error) if error != complaint => {
                        tracing::warn!(master = %self.master, %error, "cannot register, trying on");
                        complaint = error;
                    }
                    Err(error) => tracing::debug!(master = %self.master, %error, "cannot register"),
                }
                tokio::time::sleep(jittered(wait)).await;
                wait = (wait * 2).min(MAX_WAIT);
            }
            heard.note();
            heard.silence(self.silence).await;
            tracing::warn!(master = %self.master, "the master is silent, registering again");
        }
    }

    /// What a worker says that listens at `at`. Without a host the master puts our IP address in, as it sees it: that is
    /// the best guess where we listen everywhere, and where only this machine reaches us but the master may be elsewhere.
    fn address(&self, at: SocketAddr) -> String {
        let local_master = self.master.socket_address().is_some_and(|master| master.ip().is_loopback());
        match &self.advertise {
            Some(address) => address.to_string(),
            None if at.ip().is_unspecified() || (at.ip().is_loopback() && !local_master) => {
                format!("http://:{}", at.port())
            }
            None => HttpAddress::at(at).to_string(),
        }
    }

    async fn register(
        &self,
        client: &awc::Client,
        node: &Arc<WorkerNode>,
        address: &str,
    ) -> Result<RegisteredBody, String> {
        let body = RegisterBody {
            protocol: PROTOCOL_VERSION,
            address: address.to_owned(),
            heartbeat: node.heartbeat().into(),
        };
        let request = client.post(format!("{}/cluster/register", self.master));
        let request = match self.master.socket_address() {
            Some(socket) => request.address(socket),
            None => request,
        };
        let mut response = request.send_json(&body).await.map_err(|error| error.to_string())?;
        let answer = response.body().limit(64 << 10).await.map_err(|error| error.to_string())?;
        if response.status() != StatusCode::OK {
            let text: String = String::from_utf8_lossy(&answer).chars().take(200).collect();
            return Err(format!("{}: {}", response.status(), text.escape_debug()));
        }
        serde_json::from_slice(&answer).map_err(|error| format!("its answer is not a master's: {error}"))
    }
}

/// When a master last asked how we are.
#[derive(Debug)]
pub(crate) struct Heard(Mutex<Instant>);

impl Default for Heard {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Heard {
    pub(crate) fn note(&self) {
        *self.0.lock() = Instant::now();
    }

    /// Waits until nobody has asked for `limit`.
    async fn silence(&self, limit: Duration) {
        while let Some(wait) = self.still_patient(limit, Instant::now()) {
            tokio::time::sleep(wait).await;
        }
    }

    /// How much longer nobody has to ask until it counts as silence; `None`: not a moment.
    fn still_patient(&self, limit: Duration, now: Instant) -> Option<Duration> {
        let wait = (*self.0.lock() + limit).saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }
}

fn client(token: Option<&Token>) -> awc::Client {
    let client = awc::Client::builder()
        .timeout(Duration::from_secs(5))
        .disable_redirects()
        .no_default_headers()
        .add_default_header((PROTOCOL_HEADER, PROTOCOL_VERSION));
    match token {
        Some(token) => client.add_default_header((AUTHORIZATION, token.header_value())).finish(),
        None => client.finish(),
    }
}

/// Between half of `wait` and all of it, so that workers of a master that was away do not all come at once.
fn jittered(wait: Duration) -> Duration {
    let mut byte = [0xff];
    // Without random numbers, all of it.
    let _ = getrandom::fill(&mut byte);
    wait / 2 + wait.mul_f64(f64::from(byte[0]) / 510.0)
}

#[cfg(test)]
mod tests;
