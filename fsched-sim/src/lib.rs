//! A cluster of fsched under virtual time: the very `Master` and `Worker` that run in production, driven by an event queue.
//!
//! | module | what |
//! | --- | --- |
//! | [`simulation`] | [`Simulation`]: a master, its store, workers and what is between them; performs their effects in virtual time |
//! | [`machine`] | [`Machine`]: a worker's host: its processes get on at the rates of its caches |
//! | [`rates`] | the seam: how fast functions get on that run beside each other in one cache |
//! | [`policy`] | the seam: which predictor, scheduler and allocator; what the platform is compared with |
//! | [`profile`] | curve files, and who gets which curve |
//! | [`workload`] | the seam: who asks for what, and when |
//! | [`fault`] | what goes wrong |
//! | [`invariants`] | what always holds, each in a file of its own |
//! | [`scenario`] | random clusters, workloads and faults from a seed (for tests; also yours) |
//! | [`queue`], [`random`] | events by (time, sequence); chance from a seed |
//! | [`SimFunction`], [`Oracle`] | what functions really do, and a predictor that knows it, or errs |
//!
//! One seed decides everything: the same seed makes the same event log, byte for byte. `docs/simulation.md` has the model with its
//! equations, and what it does not show.

pub mod fault;
mod function;
pub mod invariants;
pub mod machine;
mod oracle;
pub mod policy;
pub mod profile;
pub mod queue;
pub mod random;
pub mod rates;
mod refill;
pub mod scenario;
pub mod simulation;
mod truths;
pub mod workload;

pub use function::SimFunction;
pub use machine::Machine;
pub use oracle::Oracle;
pub use simulation::{SimConfig, Simulation};
pub use truths::{Truth, Truths};
