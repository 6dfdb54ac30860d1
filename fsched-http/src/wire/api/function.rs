//! Functions as clients see them.

use fsched_core::curve::Traffic;
use fsched_core::function::{Function, Isolation};
use fsched_core::id::{ContentHash, FunctionId};
use fsched_core::master::FunctionInfo;
use fsched_core::predictor::{Knowledge, Prediction};
use fsched_core::tenant::Tenant;
use serde::Serialize;
use utoipa::ToSchema;

use super::result::{Moment, provenance};

/// The answer of `POST /controller/task/new`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PushedAnswer {
    /// The new version's id.
    #[schema(value_type = String, example = "f-1")]
    pub task_id: FunctionId,
    /// The function's name.
    #[schema(example = "resize")]
    pub name: String,
    /// The version, counted from 1 for every name.
    pub version: u32,
    /// SHA-256 of the file.
    #[schema(value_type = String)]
    pub file: ContentHash,
    /// Length of the file, bytes.
    pub size: u64,
}

impl From<Function> for PushedAnswer {
    fn from(function: Function) -> Self {
        Self {
            task_id: function.id,
            name: function.spec.name.into(),
            version: function.version,
            file: function.spec.file,
            size: function.spec.file_size.0,
        }
    }
}

/// One version of a function.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FunctionBody {
    /// Its id.
    #[schema(value_type = String, example = "f-1")]
    pub task_id: FunctionId,
    /// Its name.
    #[schema(example = "resize")]
    pub name: String,
    /// The version, counted from 1 for every name.
    pub version: u32,
    /// SHA-256 of its file.
    #[schema(value_type = String)]
    pub file: ContentHash,
    /// Length of its file, bytes.
    pub size: u64,
    /// What it is run with where an invocation names no command; null: the file itself is executed.
    pub command: Option<String>,
    /// CPUs a run needs.
    pub cores: u16,
    /// Memory a run needs, and may use at most, bytes.
    pub memory: u64,
    /// How long a run may take, seconds.
    pub timeout_secs: f64,
    /// With whom it may share ways: `shared` (with others) or `exclusive` (with nobody).
    #[schema(value_type = String, example = "shared")]
    pub isolation: &'static str,
    /// Who pushed it: the name of the token it came with, or `default`.
    #[schema(value_type = String, example = "default")]
    pub tenant: Tenant,
    /// When it was pushed.
    pub pushed_at: Moment,
    /// Input sizes that samples are there for.
    pub benchmarked: Vec<u64>,
    /// How many invocations wait or run.
    pub running: usize,
    /// Whether it was removed and only waits for those.
    pub removing: bool,
}

impl From<FunctionInfo> for FunctionBody {
    fn from(info: FunctionInfo) -> Self {
        let Function { id, version, spec, pushed_at } = info.function;
        Self {
            task_id: id,
            tenant: spec.tenant,
            name: spec.name.into(),
            version,
            file: spec.file,
            size: spec.file_size.0,
            command: spec.command.map(String::from),
            cores: spec.needs.cores,
            memory: spec.needs.memory.0,
            timeout_secs: spec.timeout.as_secs_f64(),
            isolation: match spec.needs.isolation {
                Isolation::Shared => "shared",
                Isolation::Exclusive => "exclusive",
            },
            pushed_at: pushed_at.since_epoch().into(),
            benchmarked: info.benchmarked.iter().map(|size| size.0).collect(),
            running: info.running,
            removing: info.removing,
        }
    }
}

/// The answer of `GET /functions`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FunctionsAnswer {
    /// All versions of all functions, by id.
    pub functions: Vec<FunctionBody>,
}

/// The answer of `DELETE /functions/{id-or-name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RemovedAnswer {
    /// What happened.
    #[schema(example = "function removed")]
    pub message: String,
    /// The versions that were removed.
    #[schema(value_type = Vec<String>, example = json!(["f-1"]))]
    pub removed: Vec<FunctionId>,
    /// How many invocations end first.
    pub waiting_for: usize,
}

/// The answer of `GET /functions/{id-or-name}/curve`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CurveAnswer {
    /// What is known: `INOP` (nothing), `ASSISTED` (other input sizes) or `BENCHMARKED` (this one).
    #[schema(value_type = String, example = "BENCHMARKED")]
    pub knowledge: Knowledge,
    /// What the curve rests on: `prior`, `simulated` or `measured`.
    #[schema(value_type = String, example = "measured")]
    pub source: &'static str,
    /// By rising cache; between them it is a straight line.
    pub points: Vec<CurvePointBody>,
    /// Misses and accesses of the last-level cache, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misses: Option<MissesBody>,
}

/// How often a run needs the last-level cache, and how much of that misses.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MissesBody {
    /// What they rest on, which may be something else than the times do: `prior`, `simulated` or `measured`.
    #[schema(value_type = String, example = "simulated")]
    pub source: &'static str,
    /// By rising cache; between them it is a straight line.
    pub points: Vec<MissesPointBody>,
}

/// Misses and accesses with some cache.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct MissesPointBody {
    /// Cache, bytes.
    pub cache_bytes: u64,
    /// What a whole run fetches from memory because the cache does not hold it, bytes.
    pub miss_bytes: f64,
    /// How often a whole run looks into the last-level cache.
    pub accesses: f64,
}

/// Predicted running time with some cache.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct CurvePointBody {
    /// Cache, bytes.
    pub cache_bytes: u64,
    /// Expected running time, seconds.
    pub seconds: f64,
    /// Lower end of the 90 % interval.
    pub low: f64,
    /// Upper end of the 90 % interval.
    pub high: f64,
}

impl From<Prediction> for CurveAnswer {
    fn from(prediction: Prediction) -> Self {
        let points = prediction.curve.points().iter().map(|point| CurvePointBody {
            cache_bytes: point.cache.0,
            seconds: point.seconds,
            low: point.low,
            high: point.high,
        });
        Self {
            knowledge: prediction.knowledge,
            source: provenance(prediction.curve.provenance()),
            points: points.collect(),
            misses: prediction.curve.traffic().map(MissesBody::from),
        }
    }
}

impl From<&Traffic> for MissesBody {
    fn from(traffic: &Traffic) -> Self {
        let points = traffic.points().iter().map(|point| MissesPointBody {
            cache_bytes: point.cache.0,
            miss_bytes: point.misses,
            accesses: point.accesses,
        });
        Self { source: provenance(traffic.provenance()), points: points.collect() }
    }
}
