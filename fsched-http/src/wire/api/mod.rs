//! What goes between clients and the master.
//!
//! | file | what |
//! | --- | --- |
//! | [`values`] | sizes, durations and counts as clients write them |
//! | `ask.rs` | what clients ask for: [`RunBody`], [`SubmitBody`] |
//! | `result.rs` | [`RunAnswer`]: what came out of a run |
//! | `benchmark.rs` | [`BenchmarkAnswer`]: what a benchmark brought |
//! | `function.rs` | functions and their curves |
//! | `profile.rs` | what a profile found |
//! | `invocation.rs` | invocations and where they stand |
//! | `cluster.rs` | workers and what is promised on them |
//! | `status.rs` | the master in numbers, and answers of one line |
//! | `golden/` | each answer as it is written today: clients read these |

mod ask;
mod benchmark;
mod cluster;
mod function;
mod invocation;
mod profile;
mod result;
mod status;
#[cfg(test)]
mod tests;
pub mod values;

pub use ask::{RunBody, SubmitBody};
pub(crate) use ask::{no_such_function, parse_command};
pub use benchmark::{BenchmarkAnswer, BenchmarkPointBody, ExecTime};
pub use cluster::{
    AddedAnswer, DomainRow, DrainedAnswer, SystemRow, SystemsAnswer, WorkerBody, WorkerRemovedAnswer,
    WorkersAnswer,
};
pub use function::{
    CurveAnswer, CurvePointBody, FunctionBody, FunctionsAnswer, MissesBody, MissesPointBody, PushedAnswer,
    RemovedAnswer,
};
pub use invocation::{InvocationAnswer, InvocationBody, InvocationsAnswer};
pub(crate) use invocation::{STATES, result as run_result, state};
pub use profile::{ProfileBody, ProfilePointBody, ProfiledAnswer};
pub(crate) use result::mode;
pub use result::{Moment, RunAnswer, RunResult};
pub use status::{
    DomainPrice, ErrorAnswer, GenerosityAnswer, HealthAnswer, InvocationCounts, MessageAnswer, Share,
    StatusAnswer, WorkerCounts,
};
