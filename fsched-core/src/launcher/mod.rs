//! How does a function become a process in its class, and how does it end?
//!
//! | file | what |
//! | --- | --- |
//! | `process/` | [`ProcessLauncher`]: real processes on Linux (feature `process`) |
//! | `scripted.rs` | `ScriptedLauncher`: processes that only pretend, for tests (feature `test-util`) |
//! | `conformance.rs` | the contract as a suite, for every implementation |

#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
#[cfg(all(feature = "process", target_os = "linux"))]
pub mod process;
#[cfg(feature = "test-util")]
mod scripted;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::{Bytes, ClosId, DomainId};
use crate::id::{AttemptId, ContentHash};
use crate::invocation::Output;

#[cfg(all(feature = "process", target_os = "linux"))]
pub use process::{Enforcement, LauncherError, Means, ProcessConfig, ProcessLauncher, TaskMove, ThreadSetup};
#[cfg(feature = "test-util")]
pub use scripted::{Script, ScriptedLauncher, ended};

/// What one process tree may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory of the tree.
    pub memory: Bytes,
    /// Processes and threads of the tree.
    pub processes: u32,
    /// The largest file it may write.
    pub file_size: Bytes,
    /// CPU time per process.
    pub cpu_time: Duration,
    /// Files that a process may have open.
    pub open_files: u32,
    /// How much of standard output, and of standard error, is kept.
    pub output: Bytes,
}

/// One process to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Of which attempt.
    pub attempt: AttemptId,
    /// In which domain.
    pub domain: DomainId,
    /// In which class.
    pub class: ClosId,
    /// Program and arguments before the file; empty: the file itself is executed.
    pub command: Vec<String>,
    /// The function's file, which the launcher was given before.
    pub file: ContentHash,
    /// Arguments after the file.
    pub arguments: Vec<String>,
    /// Environment beside the launcher's own small one.
    pub environment: BTreeMap<String, String>,
    /// What it reads from standard input; none: it is empty.
    pub stdin: Option<Arc<str>>,
    /// What it may use.
    pub limits: Limits,
}

/// Why a tree was ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Asked to end: SIGTERM to the tree.
    Terminate,
    /// Ended: SIGKILL to the tree.
    Kill,
}

/// How the first process of a tree ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitKind {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// By the system, because the tree used too much memory.
    OutOfMemory,
    /// It was never started: why.
    NotStarted(String),
}

/// What is left of a process tree: nothing but this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// How it ended.
    pub kind: ExitKind,
    /// The process id it had.
    pub pid: Option<u32>,
    /// From just before the start until the end of the first process.
    pub wall: Duration,
    /// CPU time of the tree, as far as it was reaped.
    pub cpu: Duration,
    /// The most memory that any of its processes held.
    pub peak_memory: Bytes,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
}

/// Called once when the tree is gone.
pub type OnExit = Box<dyn FnOnce(Exit) + Send>;

/// Starts functions and ends them.
///
/// An implementation must:
/// - call `on_exit` exactly once per launch, after the last process of the tree is gone and whatever it left in its scratch
///   directory, from any thread, never from inside `launch`; the directory itself, if it was left empty, goes soon after;
/// - report as [`ExitKind::NotStarted`] what could not be started, with a text that says why;
/// - let nothing of the tree outlive that call, whatever it did (process groups, sessions, daemons);
/// - give the tree its own working directory, process group and a small known environment;
/// - keep the first bytes of each output up to the limit, and go on reading the rest.
///
/// The caller launches an attempt at most once, and stops only what it launched.
pub trait Launcher: Send + Sync {
    /// Starts a process tree; returns at once.
    fn launch(&self, launch: Launch, on_exit: OnExit);

    /// Ends a tree, the whole of it; unknown and finished attempts are ignored.
    fn stop(&self, attempt: AttemptId, how: Stop);

    /// Moves a tree to another class of its domain: all its threads and processes, and those that appear meanwhile; one that
    /// is not started yet is moved as soon as it is. When this returns, what was running is in the new class. Unknown and
    /// finished attempts are ignored.
    fn move_to(&self, attempt: AttemptId, class: ClosId);
}
