//! The service on a socket, from start to orderly end.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpServer, rt};
use tokio::time::interval;

use super::{MasterState, configure};
use crate::auth::check_listen;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long the head of a request may take. The body may take as long as it needs.
const HEAD: Duration = Duration::from_secs(30);
/// How long a client may go on sending what nobody reads any more, before it gets to see why.
const LINGER: Duration = Duration::from_secs(5);
/// How often what was measured is folded into the buckets.
const UPKEEP: Duration = Duration::from_secs(5);
/// How long the last answers may take to leave, once nothing runs any more.
const LAST_ANSWERS_SECS: u64 = 5;

/// Answers on `listener` until `shutdown` is ready; then refuses new work, waits for what runs, and ends.
///
/// To be called on an actix (or any single-threaded tokio) runtime.
///
/// # Errors
/// Where the socket cannot be used, or could be reached from other machines while there is no token.
pub async fn serve(
    listener: TcpListener,
    state: Arc<MasterState>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    check_listen(listener.local_addr()?, state.options.token.as_ref())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    // The standard library listens with a short queue; listening again makes it longer.
    socket2::SockRef::from(&listener).listen(BACKLOG)?;
    let cpus = || std::thread::available_parallelism().map_or(2, usize::from);
    let shared = Arc::clone(&state);
    let app = move || App::new().configure(|cfg| configure(cfg, &shared));
    let server = HttpServer::new(app)
        .workers(state.options.threads.unwrap_or_else(cpus).max(1))
        .tcp_nodelay(true)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD)
        .client_disconnect_timeout(LINGER)
        // A client that went away is noticed while its invocation runs.
        .h1_allow_half_closed(false)
        .shutdown_timeout(LAST_ANSWERS_SECS)
        .disable_signals()
        .listen(listener)?
        .run();
    let handle = server.handle();
    let mut serving = rt::spawn(server);
    let upkeep = rt::spawn(upkeep(Arc::clone(&state)));
    let ended = tokio::select! {
        ended = &mut serving => Some(ended),
        () = shutdown => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            tracing::info!("stopping: no new work, waiting for what runs");
            state.node.shutdown(state.options.patience).await;
            handle.stop(true).await;
            serving.await
        }
    };
    upkeep.abort();
    ended.map_err(io::Error::other)?
}

async fn upkeep(state: Arc<MasterState>) {
    let mut ticks = interval(UPKEEP);
    loop {
        ticks.tick().await;
        state.numbers.metrics().upkeep();
    }
}
