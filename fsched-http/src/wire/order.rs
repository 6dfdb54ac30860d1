//! What a master tells a worker to do.

use std::sync::Arc;
use std::time::Duration;

use fsched_core::cache::{Bytes, DomainId};
use fsched_core::cluster::PROTOCOL_VERSION;
use fsched_core::curve::Curve;
use fsched_core::function::{InputSize, Isolation, Needs};
use fsched_core::id::{AttemptId, ContentHash, FunctionId};
use fsched_core::invocation::{CacheAsk, Order, Weight};
use fsched_core::tenant::Tenant;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::check::{self, WireError};

/// The body of `POST /worker/orders`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderBody {
    /// Which version of this body it is.
    pub protocol: u32,
    /// Which life of the master it comes from.
    pub term: u64,
    /// Which try of which invocation.
    pub attempt: AttemptId,
    /// On whose behalf. Missing: the default tenant's.
    #[serde(default)]
    pub tenant: Tenant,
    /// Which function.
    pub function: FunctionId,
    /// The function's file.
    pub file: ContentHash,
    /// Program and arguments before the file; empty: the file itself is executed.
    pub command: Vec<String>,
    /// The last argument.
    pub input_size: InputSize,
    /// JSON for standard input and the environment, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Arc<str>>,
    /// Whole CPUs.
    pub cores: u16,
    /// Memory of the process tree, bytes.
    pub memory: Bytes,
    /// With whom it may share ways.
    pub isolation: Isolation,
    /// How long it may take.
    pub timeout: Duration,
    /// In which domain.
    pub domain: DomainId,
    /// How much cache it asks for.
    pub cache: CacheAsk,
    /// How its time depends on cache.
    #[serde(with = "super::curve")]
    pub curve: Arc<Curve>,
    /// How much its slowdown counts there. Missing: as much as others'.
    #[serde(default)]
    pub weight: Weight,
    /// How long it should take with what it asks for. Zero or missing: nobody knows.
    #[serde(default)]
    pub expected: Duration,
    /// Whether it has to run with nobody else in its domain.
    pub alone: bool,
}

/// The most words of a command.
const MAX_WORDS: usize = 16 << 10;
/// The longest command, all words together, in bytes.
const MAX_COMMAND: usize = 64 << 10;

impl From<Order> for OrderBody {
    fn from(order: Order) -> Self {
        let Order { attempt, tenant, function, file, command, input_size, payload, needs, .. } = order;
        Self {
            protocol: PROTOCOL_VERSION,
            term: order.term,
            attempt,
            tenant,
            function,
            file,
            command,
            input_size,
            payload,
            cores: needs.cores,
            memory: needs.memory,
            isolation: needs.isolation,
            timeout: order.timeout,
            domain: order.domain,
            cache: order.cache,
            curve: order.curve,
            weight: order.weight,
            expected: order.expected,
            alone: order.alone,
        }
    }
}

impl TryFrom<OrderBody> for Order {
    type Error = WireError;

    fn try_from(body: OrderBody) -> Result<Self, WireError> {
        check::version(body.protocol)?;
        if body.cores == 0 {
            return Err(WireError::value("cores", "at least one is needed"));
        }
        check::at_most("command", body.command.len(), MAX_WORDS)?;
        check::at_most("command", body.command.iter().map(String::len).sum(), MAX_COMMAND)?;
        if body.command.iter().any(|word| word.contains('\0')) {
            return Err(WireError::value("command", "contains a NUL character"));
        }
        if body.command.first().is_some_and(String::is_empty) {
            return Err(WireError::value("command", "the program's name is empty"));
        }
        if let Some(payload) = &body.payload {
            serde_json::from_str::<IgnoredAny>(payload).map_err(|e| WireError::value("payload", e))?;
        }
        check::durations("timeout", [body.timeout])?;
        check::durations("expected", [body.expected])?;
        let needs = Needs { cores: body.cores, memory: body.memory, isolation: body.isolation };
        Ok(Self {
            term: body.term,
            attempt: body.attempt,
            tenant: body.tenant,
            function: body.function,
            file: body.file,
            command: body.command,
            input_size: body.input_size,
            payload: body.payload,
            needs,
            timeout: body.timeout,
            domain: body.domain,
            cache: body.cache,
            curve: body.curve,
            weight: body.weight,
            expected: body.expected,
            alone: body.alone,
        })
    }
}
