//! The worker as a state machine: takes orders, leases cache, has processes started and ended, reports.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Worker`], its configuration, and the [`Effect`]s it asks for |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::allocator::CacheAllocator;
use crate::cache::{Bytes, ClosId, WayMask};
use crate::cluster::Heartbeat;
use crate::id::{AttemptId, ContentHash, WorkerKey};
use crate::invocation::{Order, Report};
use crate::launcher::{Exit, Launch, Stop};
use crate::time::Timestamp;
use crate::transport::Refusal;

/// What a worker gives to functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// How many functions of one core may run at once, over all domains.
    pub cores: u16,
    /// Memory for functions.
    pub memory: Bytes,
    /// The longest a function may run, whatever it or its invocation says.
    pub max_timeout: Duration,
    /// How long a tree has between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Processes and threads of one tree.
    pub max_processes: u32,
    /// The largest file a function may write.
    pub max_file_size: Bytes,
    /// Files that a process may have open.
    pub max_open_files: u32,
    /// How much of standard output, and of standard error, is kept.
    pub max_output: Bytes,
}

/// What the machine says of itself at the moment of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MachineStatus {
    /// The machine's memory.
    pub total_ram: Bytes,
    /// The machine's free memory.
    pub free_ram: Bytes,
    /// The machine's swap space.
    pub total_swap: Bytes,
    /// The machine's free swap space.
    pub free_swap: Bytes,
}

/// What the worker wants done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Start a process; tell the end with [`Worker::exited`].
    Start(Box<Launch>),
    /// End a process tree; its end comes as [`Worker::exited`].
    Stop {
        /// Which.
        attempt: AttemptId,
        /// How.
        how: Stop,
    },
    /// Give the report to whoever waits for it.
    Report(Box<Report>),
    /// Remove a file that was discarded and that nothing uses any more.
    RemoveFile(ContentHash),
}
