//! The master's service: thin handlers around a [`MasterNode`].
//!
//! | file | what |
//! | --- | --- |
//! | `serve.rs` | [`serve`]: the service on a socket, from start to orderly end |
//! | `routes.rs` | the one list of what is where |
//! | `tasks.rs` | push, run, benchmark, submit |
//! | `upload.rs` | the form a function is pushed with, streamed |
//! | `functions.rs`, `invocations.rs`, `cluster.rs` | what there is, and changing it |
//! | `meta.rs` | status, health, metrics |
//! | `refusals.rs` | what core says no with, as the API says it |
//! | `numbers.rs` | [`MasterNumbers`]: what `/metrics` shows |

pub(crate) mod cluster;
pub(crate) mod functions;
pub(crate) mod invocations;
pub(crate) mod meta;
mod numbers;
mod refusals;
pub(crate) mod routes;
mod serve;
pub(crate) mod tasks;
#[cfg(test)]
mod tests;
mod upload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};
use fsched_core::cache::Bytes;
use fsched_core::node::{MasterNode, Now};
use fsched_core::tenant::Tenant;

pub use numbers::MasterNumbers;
pub use serve::serve;

use crate::auth::{Guard, TenantTokens, Token};
use crate::error::{ApiError, Code};
use crate::front::Front;
use crate::openapi;

/// How the service behaves.
#[derive(Debug, Clone)]
pub struct MasterOptions {
    /// What operators and workers have to show, and clients that are no tenant; none: only this machine can reach us.
    pub token: Option<Token>,
    /// What tenants show instead.
    pub tenants: TenantTokens,
    /// The largest file that can be pushed.
    pub max_upload: Bytes,
    /// How long a run may take where neither its function nor itself says.
    pub default_timeout: Duration,
    /// How long the end waits for what runs.
    pub patience: Duration,
    /// How many threads answer; none: one per CPU.
    pub threads: Option<usize>,
}

impl Default for MasterOptions {
    fn default() -> Self {
        Self {
            token: None,
            tenants: TenantTokens::default(),
            max_upload: Bytes::mib(256),
            default_timeout: Duration::from_secs(60),
            patience: Duration::from_secs(30),
            threads: None,
        }
    }
}

/// What all handlers share.
pub struct MasterState {
    node: Arc<MasterNode>,
    now: Now,
    numbers: Arc<MasterNumbers>,
    front: Arc<Front>,
    options: MasterOptions,
    started: Instant,
}

impl MasterState {
    /// A service for `node`, which lives on the clock `now`.
    pub fn new(node: Arc<MasterNode>, now: Now, numbers: Arc<MasterNumbers>, options: MasterOptions) -> Self {
        let guard = Guard::with_tenants(options.token.clone(), options.tenants.clone());
        let front = Front::new(guard, Arc::clone(numbers.metrics()));
        Self { node, now, numbers, front: Arc::new(front), options, started: Instant::now() }
    }

    /// The node it serves.
    pub fn node(&self) -> &Arc<MasterNode> {
        &self.node
    }
}

/// Everything the master answers, for an `actix_web::App`.
pub fn configure(cfg: &mut web::ServiceConfig, state: &Arc<MasterState>) {
    let front = Arc::clone(&state.front);
    let scope = web::scope("")
        .wrap(from_fn(move |request, next| Arc::clone(&front).pass(request, next)))
        .app_data(web::Data::from(Arc::clone(state)))
        .configure(routes::register)
        .service(openapi::page())
        .service(web::redirect("/docs", "/docs/"))
        .default_service(web::to(nothing_here));
    cfg.service(scope);
}

/// Refuses what only whoever runs the platform may do: change the cluster, and see what all tenants do.
fn operators_only(caller: &Tenant) -> Result<(), ApiError> {
    if caller.is_default() {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Forbidden,
        format!("the tenant {caller} may not: this takes the platform's own token"),
    ))
}

async fn nothing_here(request: HttpRequest) -> HttpResponse {
    let path: String = request.path().chars().take(200).collect();
    ApiError::new(Code::NotFound, format!("there is nothing at {path}")).error_response()
}
