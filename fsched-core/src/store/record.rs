//! The facts that are kept, and what they add up to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::function::{Function, InputSize};
use crate::id::{FunctionId, InvocationId, WorkerId, WorkerKey};
use crate::sample::Sample;
use crate::tenant::Tenant;
use crate::time::Timestamp;
use crate::transport::Address;

/// A worker that is to be found again after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// Its id.
    pub id: WorkerId,
    /// Who it is.
    pub key: WorkerKey,
    /// Where it listened last.
    pub address: Address,
    /// Whether an operator wants no new work on it.
    pub draining: bool,
}

/// An invocation that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvocationRecord {
    /// Its id.
    pub id: InvocationId,
    /// On whose behalf it runs. Before there were tenants, there was none but the default.
    #[serde(default, skip_serializing_if = "Tenant::is_default")]
    pub tenant: Tenant,
    /// Of which function.
    pub function: FunctionId,
    /// On how much input.
    pub input_size: InputSize,
    /// When it was accepted.
    pub submitted: Timestamp,
    /// How it ended and when; none: it was still waiting or running.
    pub end: Option<(EndKind, Timestamp)>,
}

/// How an invocation ended, without what it printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndKind {
    /// Its process ended with this status.
    Exited(i32),
    /// Its process was ended by a signal.
    Signalled(i32),
    /// Its deadline passed.
    TimedOut,
    /// It used too much memory.
    OutOfMemory,
    /// It was cancelled.
    Cancelled,
    /// Its process could not be started.
    NotStarted,
    /// No worker was left that could run it.
    Unplaceable,
    /// Its worker was lost.
    LostWorker,
    /// The master was restarted meanwhile.
    LostMaster,
}

/// A fact that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A function was pushed. Boxed: it is by far the largest fact, and among the rarest.
    FunctionPut(Box<Function>),
    /// A function was removed, with its samples.
    FunctionRemoved(FunctionId),
    /// A worker was added, moved, or its draining changed.
    WorkerPut(WorkerRecord),
    /// A worker was removed.
    WorkerRemoved(WorkerId),
    /// A function ran.
    Sampled(Sample),
    /// An invocation was accepted.
    Accepted(InvocationRecord),
    /// An invocation ended.
    Ended {
        /// Which.
        id: InvocationId,
        /// How.
        end: EndKind,
        /// When.
        at: Timestamp,
    },
}

/// What all facts so far add up to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Functions, by id.
    pub functions: BTreeMap<FunctionId, Function>,
    /// Workers, by id.
    pub workers: BTreeMap<WorkerId, WorkerRecord>,
    /// Samples of functions that there still are, in order: of each and of every [`Kind`](crate::sample::Kind) the newest
    /// [`Snapshot::SAMPLES_PER_FUNCTION`], so that runs, however many there are, never push out a benchmark or a profile.
    pub samples: Vec<Sample>,
    /// The newest [`Snapshot::INVOCATIONS`] invocations, and every one that has not ended.
    pub invocations: BTreeMap<InvocationId, InvocationRecord>,
    /// One above the highest function id ever seen, also of functions removed since.
    pub next_function: u64,
    /// One above the highest worker id ever seen.
    pub next_worker: u64,
    /// One above the highest invocation id ever seen.
    pub next_invocation: u64,
}

impl Snapshot {
    /// How many samples of a function are kept, of every kind.
    pub const SAMPLES_PER_FUNCTION: usize = 1_000;
    /// How many ended invocations are kept.
    pub const INVOCATIONS: usize = 10_000;
}
