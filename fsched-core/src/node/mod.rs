//! Drives a master or a worker: performs what they want done, and tells them what came of it.
//!
//! | file | what |
//! | --- | --- |
//! | `files.rs` | [`FileStore`]: functions' files by content hash |
//! | `master/` | [`MasterNode`]: a master with its store, its transport and its files |
//! | `worker/` | [`WorkerNode`]: a worker with its launcher and its files |
//!
//! A node holds its state machine under one lock, for one call and the facts that come of it, and never while it
//! waits. Nothing below that lock takes another one of a node; a store has its own, taken last.

mod files;
mod master;
mod worker;

use std::sync::Arc;

pub use files::{FileError, FileStore, FileWriter};
pub use master::{BenchmarkTicket, ChangeError, MasterNode, NodeError, PushError, Ticket, Waiting};
pub use worker::WorkerNode;

use crate::time::Timestamp;

/// Tells the time. Where it goes back, nodes let it stand still.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;
