//! The worker's service: what a master's transport talks to.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`WorkerService`], its options, and [`serve`] |
//! | `orders.rs` | orders: held until the attempt is over, cancelled when the line breaks |
//! | `files.rs` | functions' files: streamed in, checked, kept by content hash |
//! | `status.rs` | heartbeats, health, numbers |
//! | `numbers.rs` | what is counted |

mod files;
mod numbers;
mod orders;
#[cfg(test)]
pub(crate) mod rig;
mod status;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::HeaderMap;
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::{App, HttpServer, web};
use fsched_core::cache::Bytes;
use fsched_core::cluster::PROTOCOL_VERSION;
use fsched_core::node::{Now, WorkerNode};

use crate::auth::{Guard, Token, check_listen};
use crate::error::{ApiError, Code};
use crate::front::Front;
use crate::json::MAX_JSON;
use crate::metrics::Metrics;
use crate::register::{Heard, Registration};
use crate::wire::{INSTANCE_HEADER, PROTOCOL_HEADER};
use numbers::WorkerMetrics;

/// The largest order that is read, bytes: the largest payload, each quote of it escaped, and room for the rest.
pub const MAX_ORDER: usize = 2 * MAX_JSON + (1 << 20);

/// Connections that may wait to be accepted: a master may send many orders at once.
const BACKLOG: i32 = 1024;

/// How the service of a worker behaves.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The secret that masters have to show.
    pub token: Option<Token>,
    /// The largest file that is taken.
    pub max_file: Bytes,
    /// How long an order may take to arrive, and how long a file that is being sent may make no progress.
    pub stall: Duration,
    /// Threads that serve requests.
    pub threads: usize,
    /// How long what runs may go on after the service was told to stop.
    pub patience: Duration,
    /// The master to register with; none: it waits to be added.
    pub registration: Option<Registration>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            token: None,
            max_file: Bytes::mib(256),
            stall: Duration::from_secs(30),
            threads: std::thread::available_parallelism().map_or(1, |n| n.get().min(4)),
            patience: Duration::from_secs(30),
            registration: None,
        }
    }
}

/// The routes, as they are registered and counted.
const ROUTES: [(&str, &str); 8] = [
    ("POST", ORDERS),
    ("DELETE", ORDER),
    ("PUT", FILE),
    ("DELETE", FILE),
    ("GET", HEARTBEAT),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
];
const ORDERS: &str = "/worker/orders";
const ORDER: &str = "/worker/orders/{attempt}";
const FILE: &str = "/worker/files/{hash}";
const HEARTBEAT: &str = "/worker/heartbeat";

/// A worker's service. Shared by all its threads.
pub struct WorkerService {
    node: Arc<WorkerNode>,
    now: Now,
    front: Arc<Front>,
    metrics: WorkerMetrics,
    heard: Heard,
    /// Which process this is: see [`INSTANCE_HEADER`].
    instance: String,
    max_file: Bytes,
    stall: Duration,
}

impl WorkerService {
    /// The service of `node`, whose clock is `now`.
    ///
    /// # Errors
    /// Where the system has no random numbers to name this process with.
    pub fn new(node: Arc<WorkerNode>, now: Now, options: &WorkerOptions) -> io::Result<Arc<Self>> {
        let metrics = Arc::new(Metrics::new(&ROUTES));
        Ok(Arc::new(Self {
            node,
            now,
            metrics: WorkerMetrics::new(&metrics),
            front: Arc::new(Front::new(Guard::new(options.token.clone()), metrics)),
            heard: Heard::default(),
            instance: random_name()?,
            max_file: options.max_file,
            stall: options.stall,
        }))
    }

    /// Adds the whole service to an app.
    pub fn configure(self: &Arc<Self>, config: &mut web::ServiceConfig) {
        let front = self.front.clone();
        let resource = |path: &'static str| web::resource(path).name(path);
        let scope = web::scope("")
            .wrap(from_fn(move |request, next| front.clone().pass(request, next)))
            .wrap(
                DefaultHeaders::new()
                    .add((PROTOCOL_HEADER, PROTOCOL_VERSION))
                    .add((INSTANCE_HEADER, self.instance.as_str())),
            )
            .app_data(web::Data::from(self.clone()))
            .service(resource(ORDERS).post(orders::take))
            .service(resource(ORDER).delete(orders::cancel))
            .service(resource(FILE).put(files::put).delete(files::discard))
            .service(resource(HEARTBEAT).get(status::heartbeat))
            .service(resource("/healthz").get(status::healthz))
            .service(resource("/readyz").get(status::readyz))
            .service(resource("/metrics").get(status::metrics))
            .default_service(web::to(status::nothing));
        config.service(scope);
    }

    /// Refuses who speaks another version of the protocol.
    fn check_protocol(headers: &HeaderMap) -> Result<(), ApiError> {
        let spoken = headers.get(PROTOCOL_HEADER).and_then(|value| value.to_str().ok());
        match spoken.map(str::parse::<u32>) {
            Some(Ok(PROTOCOL_VERSION)) => Ok(()),
            _ => Err(ApiError::new(
                Code::BadValue,
                format!(
                    "this worker speaks version {PROTOCOL_VERSION} of the protocol (header {PROTOCOL_HEADER}), you {}",
                    spoken.map_or("name none".to_owned(), |text| format!("speak {text:.20}")),
                ),
            )),
        }
    }
}

/// Serves until `shutdown`: then takes no new orders, lets what runs go on for a while, and ends it.
///
/// Registers the worker with its master again and again, where there is one. To be called in an actix runtime.
///
/// # Errors
/// Where the listener cannot be used, or could be reached from other machines while there is no token.
pub async fn serve(
    listener: TcpListener,
    node: Arc<WorkerNode>,
    now: Now,
    options: WorkerOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let at = listener.local_addr()?;
    check_listen(at, options.token.as_ref())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    // The standard library listens with a short queue; listening again makes it longer.
    rustix::net::listen(&listener, BACKLOG)?;
    let service = WorkerService::new(node.clone(), now, &options)?;
    let app = service.clone();
    let server = HttpServer::new(move || App::new().configure(|config| app.configure(config)))
        .workers(options.threads.max(1))
        .h1_allow_half_closed(false)
        .tcp_nodelay(true)
        // Longer than a transport keeps a connection: whoever sends is who closes.
        .keep_alive(Duration::from_secs(75))
        .client_request_timeout(Duration::from_secs(10))
        // Who sends what is refused gets to see why, before the line is cut.
        .client_disconnect_timeout(Duration::from_secs(5))
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)?
        .run();
    let handle = server.handle();
    let mut server = actix_rt::spawn(server);

    let mut beside = tokio::task::JoinSet::new();
    let tended = service.clone();
    beside.spawn_local(async move { tend(&tended).await });
    if let Some(registration) = options.registration {
        let token = options.token.clone();
        beside.spawn_local(async move { registration.keep(&service.node, &service.heard, at, token).await });
    }

    tokio::select! {
        ended = &mut server => return ended.unwrap_or_else(|e| Err(io::Error::other(e))),
        () = shutdown => {}
    }
    // A worker that is about to stop does not ask for work.
    beside.shutdown().await;
    node.shutdown(options.patience).await;
    handle.stop(true).await;
    server.await.unwrap_or_else(|e| Err(io::Error::other(e)))
}

/// Keeps what was recorded from piling up.
async fn tend(service: &WorkerService) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        service.front.metrics().upkeep();
    }
}

fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
