//! The OpenAPI document of the master, and the page to try it.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::master::{cluster, functions, invocations, meta, tasks};
use crate::wire::api;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "fsched",
        description = "Functions on a cluster whose scheduler knows the last-level cache.\n\n\
            Every error is JSON: a `code` for programs, a `message` for people, and further keys where there is more \
            to say. Where the master has a token, every request but those for `/healthz`, `/readyz` and this document shows it: \
            `Authorization: Bearer <token>`. A token with a name is a tenant's, who sees and changes only what is its own."
    ),
    paths(
        tasks::push, tasks::run, tasks::benchmark, tasks::submit,
        functions::list_functions, functions::show_function, functions::remove_function, functions::curve,
        functions::file, functions::profile,
        invocations::list_invocations, invocations::show_invocation, invocations::cancel_invocation,
        cluster::add_worker, cluster::worker_systems, cluster::list_workers, cluster::remove_worker,
        cluster::drain_worker, cluster::register_worker,
        meta::generosity, meta::status, meta::healthz, meta::readyz, meta::metrics,
    ),
    components(schemas(api::ErrorAnswer, api::ProfilePointBody)),
    tags(
        (name = "tasks", description = "Push functions and run them"),
        (name = "functions", description = "What functions there are"),
        (name = "invocations", description = "What runs and ran"),
        (name = "cluster", description = "Workers"),
        (name = "meta", description = "The master itself"),
    ),
    security(("token" = []), ()),
    modifiers(&TokenScheme),
)]
struct Document;

/// How the token is shown.
struct TokenScheme;

impl Modify for TokenScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// The OpenAPI document.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The document at `/openapi.json`, and the page to try it at `/docs/`.
pub(crate) fn page() -> SwaggerUi {
    // No validator: it would send the document to somebody else's server.
    let config = Config::default().validator_url("none").try_it_out_enabled(true);
    SwaggerUi::new("/docs/{_:.*}").config(config).url("/openapi.json", document())
}
