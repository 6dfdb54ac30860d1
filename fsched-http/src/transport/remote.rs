//! Those we speak with, and the connections to them.
//!
//! A connection lives on the tokio runtime that it was made on, and is kept for the next request from there: so an
//! order leaves from the thread that it came in on, and its report comes back there.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fsched_core::transport::Address;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::HttpAddress;
use super::answer::NoAnswer;

/// What is sent: something short, or a file piece by piece.
pub(super) type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, io::Error>>;

/// How long an idle connection is used again: less than a worker keeps it.
const IDLE: Duration = Duration::from_secs(30);
/// How long a connection is used at all, so that a name that leads elsewhere by now is looked up again.
const LIFETIME: Duration = Duration::from_secs(3600);

/// All of them.
#[derive(Default)]
pub(super) struct Remotes(Mutex<HashMap<Address, Arc<Remote>>>);

impl Remotes {
    /// More addresses than any cluster has: somebody is playing with us.
    const MOST: usize = 1 << 16;

    pub(super) fn at(&self, address: &Address) -> Result<Arc<Remote>, NoAnswer> {
        if let Some(remote) = self.0.lock().get(address) {
            return Ok(Arc::clone(remote));
        }
        let parsed = address.0.parse::<HttpAddress>();
        let remote =
            Arc::new(Remote::new(parsed.map_err(|error| NoAnswer::NotConnected(error.to_string()))?));
        let mut known = self.0.lock();
        if known.len() >= Self::MOST {
            known.clear();
        }
        Ok(Arc::clone(known.entry(address.clone()).or_insert(remote)))
    }
}

/// Whoever listens at one address.
pub(super) struct Remote {
    address: HttpAddress,
    /// The `Host` header.
    host: HeaderValue,
    /// Which process answered last.
    instance: Mutex<Option<Arc<str>>>,
    /// By the runtime they live on; the one that was used last is the first to be used again.
    idle: Mutex<HashMap<Id, Vec<Connection>>>,
}

impl Remote {
    fn new(address: HttpAddress) -> Self {
        let host = HeaderValue::from_str(&address.authority());
        Self {
            host: host.expect("hosts and ports are visible ASCII"),
            address,
            instance: Mutex::default(),
            idle: Mutex::default(),
        }
    }

    pub(super) fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    pub(super) fn instance(&self) -> Option<Arc<str>> {
        self.instance.lock().clone()
    }

    pub(super) fn note_instance(&self, answered: &str) {
        let mut last = self.instance.lock();
        if last.as_deref() != Some(answered) {
            *last = Some(answered.into());
        }
    }

    /// A connection that is idle, or a new one.
    pub(super) async fn connection(&self, patience: Duration) -> Result<Connection, NoAnswer> {
        while let Some(mut connection) = self.take_idle() {
            // It may still be busy with what it was given before: whoever answers early need not take the rest of a file.
            let ready = tokio::time::timeout(patience, connection.sender.ready()).await;
            if ready.is_ok_and(|ready| ready.is_ok()) {
                return Ok(connection);
            }
        }
        let connected = tokio::time::timeout(patience, self.connect()).await;
        let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        connected.map_err(|error| NoAnswer::NotConnected(format!("no connection: {error}")))
    }

    fn take_idle(&self) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = self.idle.lock();
        let here = idle.get_mut(&Handle::current().id())?;
        let found = here.pop()?;
        if found.is_fresh(now) {
            return Some(found);
        }
        // Those below were hardly made later, and were idle for longer.
        here.clear();
        None
    }

    async fn connect(&self) -> io::Result<Connection> {
        let stream = match self.address.socket_address() {
            Some(socket) => TcpStream::connect(socket).await?,
            None => TcpStream::connect(self.address.authority()).await?,
        };
        tune(&stream);
        let (sender, line) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let runtime = Handle::current();
        // Why it ended is told to whoever waits for an answer.
        let task = runtime.spawn(async { drop(line.await) });
        // What ended meanwhile is forgotten, with the runtimes that did.
        self.idle.lock().retain(|_, idle| {
            idle.retain(|connection| !connection.sender.is_closed());
            !idle.is_empty()
        });
        let now = Instant::now();
        Ok(Connection { sender, runtime: runtime.id(), task: task.abort_handle(), made: now, used: now })
    }

    /// Keeps a connection for the next request, once the last answer was read to its end.
    pub(super) fn give_back(&self, mut connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        connection.used = Instant::now();
        self.idle.lock().entry(connection.runtime).or_default().push(connection);
    }
}

/// A connection for one request at a time. It is closed when dropped, which tells a worker that nobody waits any more.
pub(super) struct Connection {
    sender: SendRequest<Body>,
    runtime: Id,
    /// What reads and writes.
    task: AbortHandle,
    made: Instant,
    used: Instant,
}

impl Connection {
    fn is_fresh(&self, now: Instant) -> bool {
        !self.sender.is_closed() && now - self.used < IDLE && now - self.made < LIFETIME
    }

    pub(super) fn send(
        &mut self,
        request: Request<Body>,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        self.sender.send_request(request)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends at once, and notices within a minute that a machine is gone without a word. Where that cannot be set, all
/// works without.
fn tune(stream: &TcpStream) {
    use rustix::net::sockopt;
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, Duration::from_secs(15));
    let _ = sockopt::set_tcp_keepintvl(stream, Duration::from_secs(5));
    let _ = sockopt::set_tcp_keepcnt(stream, 6);
}
