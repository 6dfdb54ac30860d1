//! Workers as clients see them.

use std::collections::BTreeMap;

use fsched_core::allocator::ClassUse;
use fsched_core::cache::Bytes;
use fsched_core::cluster::{DomainView, Liveness};
use fsched_core::id::WorkerId;
use fsched_core::master::WorkerInfo;
use serde::Serialize;
use utoipa::ToSchema;

/// The answer of `POST /cluster/worker/add`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AddedAnswer {
    /// What happened.
    #[schema(value_type = String, example = "worker node successfully added")]
    pub message: &'static str,
    /// Its id: the same for the same worker.
    #[schema(value_type = String, example = "w-1")]
    pub id: WorkerId,
}

/// The answer of `GET /cluster/workers`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WorkersAnswer {
    /// All workers, by id.
    pub workers: Vec<WorkerBody>,
}

/// A worker and how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WorkerBody {
    /// Its id.
    #[schema(value_type = String, example = "w-1")]
    pub id: WorkerId,
    /// Where it listens.
    #[schema(example = "http://127.0.0.1:3000")]
    pub host: String,
    /// `alive`, `suspect` (silent for a while, gets no new work), `dead` (given up) or `draining` (no new work wanted).
    #[schema(value_type = String, example = "alive")]
    pub state: &'static str,
    /// Whether the hardware enforces its masks.
    pub enforced: bool,
    /// CPUs for functions.
    pub cores: u32,
    /// CPUs not promised.
    pub free_cores: u32,
    /// Memory for functions, bytes.
    pub memory: u64,
    /// Memory not promised, bytes.
    pub free_memory: u64,
    /// How many invocations are placed there.
    pub running: u32,
    /// Its last-level caches.
    pub domains: Vec<DomainRow>,
    /// What its classes of service use, where its machine monitors; 0 is that of everything that is no function. Bytes, or why not.
    #[schema(value_type = Vec<Object>, example = json!([{"domain": 0, "class": 1, "occupancy": 3_145_728}]))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassUse>,
    /// Control groups of others that can fill ways which functions have exclusively there: those functions are not kept apart from
    /// what runs in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub intruders: Vec<String>,
    /// Seconds since it was last heard of; not there where it was not since the master was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_secs: Option<f64>,
    /// Which program it runs; not there where it was not heard of since the master was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// One last-level cache of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct DomainRow {
    /// The kernel's number.
    pub id: u16,
    /// Ways that functions may get.
    pub ways: u8,
    /// Bytes in a way.
    pub way_size: u64,
    /// Ways that nobody asked for.
    pub free_ways: u8,
    /// Ways asked for or promised.
    pub reserved_ways: u8,
    /// CPUs for functions.
    pub cores: u16,
    /// CPUs not promised.
    pub free_cores: u16,
}

impl From<&DomainView> for DomainRow {
    fn from(view: &DomainView) -> Self {
        let ways = view.geometry().usable_ways().get();
        let free_ways = view.free_ways().min(ways);
        Self {
            id: view.domain.id.0,
            ways,
            way_size: view.geometry().way_size().0,
            free_ways,
            reserved_ways: ways - free_ways,
            cores: view.cores,
            free_cores: view.free_cores(),
        }
    }
}

impl From<WorkerInfo> for WorkerBody {
    fn from(info: WorkerInfo) -> Self {
        let view = info.view.as_ref();
        let domains: Vec<DomainRow> =
            view.map(|view| view.domains.values().map(DomainRow::from).collect()).unwrap_or_default();
        Self {
            id: info.id,
            host: info.address.to_string(),
            state: state(info.liveness, info.draining),
            enforced: view.is_some_and(|view| view.enforced),
            cores: domains.iter().map(|domain| u32::from(domain.cores)).sum(),
            free_cores: domains.iter().map(|domain| u32::from(domain.free_cores)).sum(),
            memory: view.map_or(0, |view| view.memory.0),
            free_memory: view.map_or(0, |view| view.free_memory().0),
            running: view.map_or(0, |view| view.placed()),
            domains,
            last_seen_secs: info.silence.map(|silence| silence.as_secs_f64()),
            classes: info.heartbeat.as_ref().map_or_else(Vec::new, |heartbeat| heartbeat.classes.clone()),
            intruders: info.heartbeat.as_ref().map_or_else(Vec::new, |heartbeat| heartbeat.intruders.clone()),
            version: info.heartbeat.map(|heartbeat| heartbeat.version),
        }
    }
}

/// Whether a worker can be counted on, in a word. Silence outweighs draining: nobody drains a dead worker.
pub(crate) fn state(liveness: Liveness, draining: bool) -> &'static str {
    match liveness {
        Liveness::Dead => "dead",
        Liveness::Suspect => "suspect",
        Liveness::Alive if draining => "draining",
        Liveness::Alive => "alive",
    }
}

/// The answer of `GET /cluster/worker/list`: what each worker's machine said of itself, by worker id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
pub struct SystemsAnswer(pub BTreeMap<String, SystemRow>);

/// What a worker's machine says of itself. Cache is counted in ways, the rest in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct SystemRow {
    /// CPUs for functions.
    pub cpu_cores: u32,
    /// Free memory.
    pub free_ram: u64,
    /// Memory.
    pub total_ram: u64,
    /// Memory in use.
    pub used_ram: u64,
    /// Free swap space.
    pub free_swap: u64,
    /// Swap space.
    pub total_swap: u64,
    /// Swap space in use.
    pub used_swap: u64,
    /// Ways that nobody asked for.
    pub free_cache: u32,
    /// Ways.
    pub total_cache: u32,
}

impl SystemRow {
    /// What is known of a worker; `None` where it was not heard of since the master was started.
    pub fn new(info: &WorkerInfo) -> Option<Self> {
        let (heartbeat, view) = (info.heartbeat.as_ref()?, info.view.as_ref()?);
        let domains: Vec<DomainRow> = view.domains.values().map(DomainRow::from).collect();
        let used = |total: Bytes, free: Bytes| total.0.saturating_sub(free.0);
        Some(Self {
            cpu_cores: domains.iter().map(|domain| u32::from(domain.cores)).sum(),
            free_ram: heartbeat.free_ram.0,
            total_ram: heartbeat.total_ram.0,
            used_ram: used(heartbeat.total_ram, heartbeat.free_ram),
            free_swap: heartbeat.free_swap.0,
            total_swap: heartbeat.total_swap.0,
            used_swap: used(heartbeat.total_swap, heartbeat.free_swap),
            free_cache: domains.iter().map(|domain| u32::from(domain.free_ways)).sum(),
            total_cache: domains.iter().map(|domain| u32::from(domain.ways)).sum(),
        })
    }
}

/// The answer of `DELETE /cluster/workers/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WorkerRemovedAnswer {
    /// What happened.
    #[schema(example = "worker removed")]
    pub message: String,
    /// How many invocations end there first.
    pub waiting_for: usize,
}

/// The answer of `POST /cluster/workers/{id}/drain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DrainedAnswer {
    /// What happened.
    #[schema(value_type = String, example = "no new work for this worker")]
    pub message: &'static str,
    /// Its id.
    #[schema(value_type = String, example = "w-1")]
    pub id: WorkerId,
    /// Whether it drains now.
    pub draining: bool,
}
