//! The one list of what is where. The OpenAPI document and the metrics are held to it.

use actix_web::web::{self, ServiceConfig};
use actix_web::{Resource, Route};

use super::{cluster, functions, invocations, meta, tasks};

/// Method, path, and what answers.
type Row = (&'static str, &'static str, fn() -> Route);

const ROWS: &[Row] = &[
    ("POST", "/controller/task/new", || web::post().to(tasks::push)),
    ("POST", "/controller/task/run", || web::post().to(tasks::run)),
    ("POST", "/controller/task/benchmark", || web::post().to(tasks::benchmark)),
    ("POST", "/submit", || web::post().to(tasks::submit)),
    ("GET", "/functions", || web::get().to(functions::list_functions)),
    ("GET", "/functions/{function}", || web::get().to(functions::show_function)),
    ("DELETE", "/functions/{function}", || web::delete().to(functions::remove_function)),
    ("GET", "/functions/{function}/curve", || web::get().to(functions::curve)),
    ("GET", "/functions/{function}/file", || web::get().to(functions::file)),
    ("POST", "/functions/{function}/profile", || web::post().to(functions::profile)),
    ("GET", "/invocations", || web::get().to(invocations::list_invocations)),
    ("GET", "/invocations/{id}", || web::get().to(invocations::show_invocation)),
    ("DELETE", "/invocations/{id}", || web::delete().to(invocations::cancel_invocation)),
    ("POST", "/cluster/worker/add", || web::post().to(cluster::add_worker)),
    ("GET", "/cluster/worker/list", || web::get().to(cluster::worker_systems)),
    ("GET", "/cluster/workers", || web::get().to(cluster::list_workers)),
    ("DELETE", "/cluster/workers/{id}", || web::delete().to(cluster::remove_worker)),
    ("POST", "/cluster/workers/{id}/drain", || web::post().to(cluster::drain_worker)),
    ("POST", "/cluster/register", || web::post().to(cluster::register_worker)),
    ("GET", "/scheduler/generosity", || web::get().to(meta::generosity)),
    ("GET", "/status", || web::get().to(meta::status)),
    ("GET", "/healthz", || web::get().to(meta::healthz)),
    ("GET", "/readyz", || web::get().to(meta::readyz)),
    ("GET", "/metrics", || web::get().to(meta::metrics)),
];

/// Every method and path.
pub(crate) fn names() -> Vec<(&'static str, &'static str)> {
    ROWS.iter().map(|&(method, path, _)| (method, path)).collect()
}

/// Registers every row, one resource per path, named after it.
pub(super) fn register(cfg: &mut ServiceConfig) {
    let mut resources: Vec<(&str, Resource)> = Vec::new();
    for &(_, path, route) in ROWS {
        let resource = match resources.pop_if(|(last, _)| *last == path) {
            Some((_, resource)) => resource,
            None => web::resource(path).name(path),
        };
        resources.push((path, resource.route(route())));
    }
    for (_, resource) in resources {
        cfg.service(resource);
    }
}
