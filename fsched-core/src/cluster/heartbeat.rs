//! What a worker says of itself, again and again.

use crate::allocator::ClassUse;
use crate::cache::{Bytes, CacheDomain, Ways};
use crate::id::{AttemptId, WorkerKey};

/// The version of what master and worker say to each other. A mismatch is refused, not guessed at.
pub const PROTOCOL_VERSION: u32 = 1;

/// The state of one cache domain of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainStatus {
    /// The domain.
    pub domain: CacheDomain,
    /// CPUs that the worker gives to functions here; may differ from the CPUs there are.
    pub cores: u16,
    /// CPUs that no running function holds.
    pub free_cores: u16,
    /// Ways held exclusively.
    pub exclusive_ways: u8,
    /// Ways that no lease covers.
    pub free_ways: u8,
    /// Ways of the largest exclusive lease that could be had now; none: none could.
    pub largest_exclusive: Option<Ways>,
}

/// What a worker says of itself, again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Who it is.
    pub key: WorkerKey,
    /// Which program it runs, for people.
    pub version: String,
    /// Whether masks are enforced.
    pub enforced: bool,
    /// Memory it gives to functions.
    pub memory: Bytes,
    /// Memory not promised to running functions.
    pub free_memory: Bytes,
    /// The machine's memory.
    pub total_ram: Bytes,
    /// The machine's free memory.
    pub free_ram: Bytes,
    /// The machine's swap space.
    pub total_swap: Bytes,
    /// The machine's free swap space.
    pub free_swap: Bytes,
    /// Its cache domains; at least one.
    pub domains: Vec<DomainStatus>,
    /// What its classes use, where its machine monitors.
    pub classes: Vec<ClassUse>,
    /// Control groups of others that can fill ways which functions have exclusively there.
    pub intruders: Vec<String>,
    /// What runs there.
    pub running: Vec<AttemptId>,
    /// Whether it takes no new orders because it is about to stop.
    pub stopping: bool,
}
