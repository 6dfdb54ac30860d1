//! What was asked for, how it stands, and ending it.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Path, Query};
use fsched_core::id::{FunctionId, InvocationId};
use fsched_core::invocation::Invocation;
use fsched_core::master::Master;
use fsched_core::tenant::Tenant;

use super::MasterState;
use crate::error::{ApiError, Code};
use crate::front::Caller;
use crate::wire::api::{
    ErrorAnswer, InvocationAnswer, InvocationBody, InvocationsAnswer, MessageAnswer, STATES,
    state as state_word,
};

/// How many invocations are listed where the client does not say.
const DEFAULT_LIMIT: usize = 1_000;
/// How many are listed at most.
const MAX_LIMIT: usize = 100_000;

/// Invocations, newest first. A tenant sees its own.
#[utoipa::path(
    get, path = "/invocations", tag = "invocations",
    params(
        ("state" = Option<String>, Query, description = "queued, fetching, running or ended"),
        ("function" = Option<String>, Query, description = "id or name of a function"),
        ("tenant" = Option<String>, Query, description = "on whose behalf"),
        ("limit" = Option<usize>, Query, description = "how many at most; 1000 where it is not said"),
    ),
    responses(
        (status = 200, body = InvocationsAnswer),
        (status = 400, description = "bad_value", body = ErrorAnswer),
    )
)]
pub(crate) async fn list_invocations(
    state: Data<MasterState>,
    caller: Caller,
    query: Query<HashMap<String, String>>,
) -> Result<Json<InvocationsAnswer>, ApiError> {
    let wanted = Wanted::try_from(query.into_inner())?;
    let invocations = state.node.read(|master| {
        let found = master.invocations().filter(|invocation| may_see(&caller, invocation));
        let found = found.filter(|invocation| wanted.includes(master, invocation));
        let bodies = found.take(wanted.limit).map(|found| InvocationBody::new(found, name(master, found)));
        bodies.collect()
    });
    Ok(Json(InvocationsAnswer { invocations }))
}

/// One invocation, with its result where that is still kept.
#[utoipa::path(
    get, path = "/invocations/{id}", tag = "invocations",
    params(("id" = String, Path, example = "i-9")),
    responses(
        (status = 200, body = InvocationAnswer),
        (status = 404, description = "unknown_invocation", body = ErrorAnswer),
    )
)]
pub(crate) async fn show_invocation(
    state: Data<MasterState>,
    caller: Caller,
    path: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = invocation_id(&path)?;
    let found = state.node.read(|master| {
        let invocation = master.invocation(id).filter(|invocation| may_see(&caller, invocation))?;
        Some((invocation.clone(), name(master, invocation)))
    });
    let (invocation, name) = found.ok_or_else(|| unknown(&path))?;
    Ok(HttpResponse::Ok().json(InvocationAnswer::new(&invocation, name)))
}

/// Ends an invocation, wherever it stands. Whoever waits for it is told.
#[utoipa::path(
    delete, path = "/invocations/{id}", tag = "invocations",
    params(("id" = String, Path, example = "i-9")),
    responses(
        (status = 200, body = MessageAnswer),
        (status = 404, description = "unknown_invocation", body = ErrorAnswer),
        (status = 409, description = "already_ended", body = ErrorAnswer),
    )
)]
pub(crate) async fn cancel_invocation(
    state: Data<MasterState>,
    caller: Caller,
    path: Path<String>,
) -> Result<Json<MessageAnswer>, ApiError> {
    let id = invocation_id(&path)?;
    let known =
        |master: &Master| master.invocation(id).is_some_and(|invocation| may_see(&caller, invocation));
    if !state.node.read(known) {
        return Err(unknown(&path));
    }
    state.node.cancel(id).await?;
    Ok(Json(MessageAnswer { message: format!("invocation {id} is cancelled") }))
}

/// Whether a tenant may know of an invocation: what is another's is not there for it.
fn may_see(caller: &Tenant, invocation: &Invocation) -> bool {
    caller.governs(&invocation.submission.tenant)
}

fn invocation_id(text: &str) -> Result<InvocationId, ApiError> {
    text.parse().map_err(|_| unknown(text))
}

fn unknown(text: &str) -> ApiError {
    let text: String = text.chars().take(80).collect();
    ApiError::new(Code::UnknownInvocation, format!("there is no invocation {text:?}; ids look like i-204"))
}

fn name(master: &Master, invocation: &Invocation) -> Option<String> {
    let function = master.function_even_removed(invocation.submission.function);
    function.map(|function| function.spec.name.as_str().to_owned())
}

/// Which invocations a client wants to see.
struct Wanted {
    state: Option<String>,
    function: Option<String>,
    tenant: Option<Tenant>,
    limit: usize,
}

impl TryFrom<HashMap<String, String>> for Wanted {
    type Error = ApiError;

    fn try_from(mut query: HashMap<String, String>) -> Result<Self, ApiError> {
        // A page's form sends fields that were left empty, too.
        let mut take = |key| query.remove(key).filter(|value: &String| !value.is_empty());
        let (state, function, limit) = (take("state"), take("function"), take("limit"));
        let tenant = take("tenant").map(|name| name.parse()).transpose();
        let tenant = tenant.map_err(|_| ApiError::bad_value("tenant", "the name of a token, or default"))?;
        if state.as_ref().is_some_and(|state| !STATES.contains(&state.as_str())) {
            return Err(ApiError::bad_value("state", "one of queued, fetching, running, ended"));
        }
        let limit = match limit {
            None => DEFAULT_LIMIT,
            Some(text) => text.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n)).ok_or_else(|| {
                ApiError::bad_value("limit", format!("a whole number from 1 to {MAX_LIMIT}"))
            })?,
        };
        Ok(Self { state, function, tenant, limit })
    }
}

impl Wanted {
    fn includes(&self, master: &Master, invocation: &Invocation) -> bool {
        let state = self.state.as_ref().is_none_or(|state| state == state_word(&invocation.state));
        let tenant = self.tenant.as_ref().is_none_or(|tenant| *tenant == invocation.submission.tenant);
        state && tenant && self.function.as_ref().is_none_or(|function| is_of(master, invocation, function))
    }
}

fn is_of(master: &Master, invocation: &Invocation, function: &str) -> bool {
    let id = invocation.submission.function;
    match function.parse::<FunctionId>() {
        Ok(wanted) => wanted == id,
        Err(_) => master.function_even_removed(id).is_some_and(|known| known.spec.name.as_str() == function),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(pairs: &[(&str, &str)]) -> Result<Wanted, ApiError> {
        let query = pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        query.collect::<HashMap<_, _>>().try_into()
    }

    #[test]
    fn a_bad_filter_is_said_precisely() {
        assert_eq!(wanted(&[("limit", "")]).map(|w| w.limit), Ok(DEFAULT_LIMIT));
        assert_eq!(wanted(&[("limit", "7"), ("state", "queued")]).map(|w| w.limit), Ok(7));
        for (key, value) in
            [("limit", "0"), ("limit", "-1"), ("limit", "x"), ("state", "done"), ("tenant", "A B")]
        {
            let error = wanted(&[(key, value)]).map(|w| w.limit).unwrap_err();
            assert!(error.message().starts_with(key), "{error}");
        }
    }
}
