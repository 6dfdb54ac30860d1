//! A master or a worker as a process: from settings to a clean end.
//!
//! | file | what |
//! | --- | --- |
//! | `master.rs` | load, open the store, bind, serve, report |
//! | `learning.rs` | training the predictor on what the platform has seen, in a child process |
//! | `worker.rs` | load, look at the machine, bind, serve, report |
//! | `trace.rs` | log lines, for people or as JSON |
//! | `open_files.rs` | as many files as the system allows |
//! | `clock.rs` | the wall clock |
//! | `ending.rs` | SIGTERM, SIGINT and the lifeline: when to stop, and when to stop at once |

mod clock;
mod ending;
mod learning;
pub mod master;
mod open_files;
mod trace;
pub mod worker;

pub use ending::{Ending, ending};
pub use trace::trace;

/// The one line on standard output that says where a server listens; scripts wait for it.
pub fn ready_line(program: &str, url: &str) -> String {
    format!("{program} listening on {url}")
}

/// Prints the line that says where a server listens.
pub(crate) fn say_ready(line: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::warn!(%error, "cannot say on standard output where we listen");
    }
}
