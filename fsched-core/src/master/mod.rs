//! The master as a state machine: accepts invocations, predicts, places, fails over, benchmarks.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Master`], its configuration, and the [`Effect`]s it asks for |
//! | `controller.rs` | functions, invocations and benchmarks |
//! | `members.rs` | workers: registration, heartbeats, liveness, draining |
//! | `queue.rs` | who waits for room, and who may overtake whom |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{AttemptId, BenchmarkId, ContentHash, InvocationId};
use crate::invocation::{Order, Outcome};
use crate::store::Record;
use crate::transport::{Address, Peer};

/// How a master behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MasterConfig {
    /// How many invocations may wait for room.
    pub queue: usize,
    /// How often those behind may overtake an invocation that does not fit yet.
    pub max_overtakes: u32,
    /// How often a worker is asked how it is.
    pub heartbeat: Duration,
    /// Silence after which a worker gets no new work.
    pub suspect_after: Duration,
    /// Silence after which what ran on a worker is failed over or lost.
    pub dead_after: Duration,
    /// How many versions of a function are kept.
    pub versions: usize,
    /// How many way counts a benchmark runs at most.
    pub benchmark_points: usize,
    /// How often a benchmark runs each.
    pub benchmark_repeats: usize,
    /// How many ended invocations are remembered.
    pub history: usize,
}

/// What the master wants done, in this order: nothing after a `Persist` is done before it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Keep a fact. Where `durable`, wait until it survives the death of the machine.
    Persist {
        /// The fact.
        record: Record,
        /// Whether to wait.
        durable: bool,
    },
    /// Carry an order; tell the end with [`Master::reported`].
    Send {
        /// To whom.
        to: Peer,
        /// What to do.
        order: Box<Order>,
    },
    /// End an attempt; the report still comes as the answer to its `Send`.
    Cancel {
        /// At whose.
        to: Peer,
        /// Which.
        attempt: AttemptId,
    },
    /// Bring a function's file to a worker; tell the end with [`Master::transferred`].
    Transfer {
        /// To whom.
        to: Peer,
        /// Which.
        file: ContentHash,
    },
    /// Tell a worker that a file is of no use any more.
    Discard {
        /// Whom.
        to: Peer,
        /// Which.
        file: ContentHash,
    },
    /// Remove the master's own copy of a file.
    RemoveFile(ContentHash),
    /// Ask a worker how it is; tell the answer with [`Master::heartbeat`].
    Inspect(Peer),
    /// An invocation has ended: tell whoever waits for it.
    Reply {
        /// Which.
        invocation: InvocationId,
        /// How.
        outcome: Outcome,
    },
    /// A benchmark has ended: tell whoever waits for it.
    Benchmarked {
        /// Which.
        benchmark: BenchmarkId,
        /// How.
        result: Result<BenchmarkReport, BenchmarkError>,
    },
}
