//! What the tests stand on: processes of ours, a client that can also speak badly, and waiting with a limit.
//!
//! | file | what |
//! | --- | --- |
//! | `api.rs` | [`Api`]: one request at a time over a plain socket, well formed or not |
//! | `cluster.rs` | [`Cluster`]: a master and its workers in a folder of their own, gone when dropped |
//! | `server.rs` | [`Server`]: one of our programs as a process, its log shown when a test fails |
//! | `command.rs` | [`fsched`]: the command line tool |
//! | `function.rs` | [`Function`]: what is pushed; [`Gate`]: functions that wait until they may go on |
//! | `left.rs` | [`left_of`]: the processes of functions that are still there |
//! | `line.rs` | [`Line`]: a wire between master and worker that can be cut or corrupted |
//! | `wait.rs` | [`wait_until`]: for a condition, with a limit |

mod api;
mod cluster;
mod command;
mod function;
mod left;
mod line;
mod server;
mod wait;

pub(crate) use api::{Answer, Api};
pub(crate) use cluster::{Cluster, Plan};
pub(crate) use command::{FSCHED, fsched, json};
pub(crate) use function::{Function, Gate, has};
pub(crate) use left::{all_of, left_of};
pub(crate) use line::{Fault, Line, MARKER};
pub(crate) use server::{MASTER, Server, WORKER, command};
pub(crate) use wait::{LIMIT, wait_until};
