//! How the master stands, in numbers.

use std::collections::BTreeMap;

use fsched_core::cache::DomainId;
use fsched_core::id::WorkerId;
use fsched_core::master::Stats;
use serde::Serialize;
use utoipa::ToSchema;

/// The answer of `GET /status`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StatusAnswer {
    /// The version of the program.
    pub version: &'static str,
    /// Seconds since it was started.
    pub uptime_secs: f64,
    /// Functions there are.
    pub functions: usize,
    /// Benchmarks under way.
    pub benchmarks: usize,
    /// Invocations by where they stand.
    pub invocations: InvocationCounts,
    /// Workers by how they stand.
    pub workers: WorkerCounts,
    /// CPUs of workers that accept work.
    pub cores: Share,
    /// Ways of workers that accept work.
    pub ways: Share,
    /// The price of a way: seconds per way, zero or negative.
    pub generosity: f64,
}

/// Invocations by where they stand, and since the master was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InvocationCounts {
    /// Wait for room.
    pub queued: usize,
    /// Wait for the file to be at the worker.
    pub fetching: usize,
    /// Run.
    pub running: usize,
    /// Accepted so far.
    pub accepted: u64,
    /// Refused so far.
    pub refused: u64,
    /// Second tries so far, after a worker was lost.
    pub failed_over: u64,
    /// Ended so far, by how.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub ended: BTreeMap<&'static str, u64>,
}

/// Workers by how they stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WorkerCounts {
    /// Answer.
    pub alive: usize,
    /// Answer, and take no new work.
    pub draining: usize,
    /// Have not answered for a while.
    pub suspect: usize,
    /// Are given up.
    pub dead: usize,
}

/// What is promised of something, and what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Share {
    /// All there is.
    pub total: u32,
    /// Not promised.
    pub free: u32,
}

impl StatusAnswer {
    /// What `stats` says.
    pub fn new(stats: Stats, generosity: f64, uptime_secs: f64) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_secs,
            functions: stats.functions,
            benchmarks: stats.benchmarks,
            invocations: InvocationCounts {
                queued: stats.queued,
                fetching: stats.fetching,
                running: stats.running,
                accepted: stats.accepted,
                refused: stats.refused,
                failed_over: stats.failed_over,
                ended: stats.ended,
            },
            workers: WorkerCounts {
                alive: stats.workers_alive,
                draining: stats.workers_draining,
                suspect: stats.workers_suspect,
                dead: stats.workers_dead,
            },
            cores: Share { total: stats.cores, free: stats.cores_free },
            ways: Share { total: stats.ways_reserved + stats.ways_free, free: stats.ways_free },
            generosity,
        }
    }
}

/// The answer of `GET /scheduler/generosity`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GenerosityAnswer {
    /// The price of a way: the change of the cluster's running time per way, seconds, zero or negative; where it is cheapest.
    #[schema(example = -0.1)]
    pub generosity: f64,
    /// The same by worker and cache domain.
    pub domains: Vec<DomainPrice>,
}

/// What a way of one cache costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct DomainPrice {
    /// Of which worker.
    #[schema(value_type = String, example = "w-3")]
    pub worker: WorkerId,
    /// In which of its domains.
    #[schema(value_type = u16)]
    pub domain: DomainId,
    /// The change of the running time of all who run there with a way more, seconds, zero or negative; null where everybody has
    /// the fewest ways there can be, so that there is none to take.
    pub generosity: Option<f64>,
}

/// The answer of `GET /healthz` and `GET /readyz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct HealthAnswer {
    /// `ok` or `ready`.
    #[schema(value_type = String, example = "ok")]
    pub status: &'static str,
}

/// An answer that only says what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MessageAnswer {
    /// What happened.
    pub message: String,
}

/// The body of every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorAnswer {
    /// For programs.
    #[schema(example = "bad_value")]
    pub code: String,
    /// For people.
    #[schema(example = "input_size has to be a whole number")]
    pub message: String,
}
