//! The fsched platform as state machines: a Function-as-a-Service platform that knows the last-level cache.
//!
//! | module | what |
//! | --- | --- |
//! | [`master`] | [`master::Master`]: accepts, predicts, places, fails over; takes events and `now`, returns effects |
//! | [`worker`] | [`worker::Worker`]: takes orders, leases cache, starts and ends processes; the same way |
//! | [`node`] | drives a master or a worker: performs their effects with a transport, a store, a launcher |
//! | [`predictor`] | the seam: which curve, and how sure |
//! | [`scheduler`] | the seam: which worker and domain |
//! | [`allocator`] | the seam: which mask and class, for whom |
//! | [`transport`] | the seam: carry an order to a worker and its report back |
//! | [`launcher`] | the seam: start a function's process in its class, watch it, end it |
//! | [`store`] | the seam: keep functions, samples, workers |
//! | `host` | what the machine at hand has: resctrl, CPUID, rights, means to confine (feature `resctrl`, Linux) |
//! | [`split`] | pure solvers: who gets how many ways of one cache, and which |
//! | [`cluster`] | the workers and what is promised on them |
//! | [`cache`], [`curve`], [`sample`], [`function`], [`invocation`], [`id`], [`tenant`], [`time`] | the words |
//! | [`maps`] | maps for what is looked up with every event |
//! | [`random`] | chance that only depends on a seed |
//! | `mock` | mocks of the seams, for tests (feature `test-util`) |
//!
//! Nothing here reads a clock: `now` is passed in, so that the simulator runs the same objects under virtual time.

pub mod allocator;
pub mod cache;
pub mod cluster;
pub mod curve;
pub mod function;
#[cfg(all(feature = "resctrl", target_os = "linux"))]
pub mod host;
pub mod id;
pub mod invocation;
pub mod launcher;
pub mod maps;
pub mod master;
#[cfg(feature = "test-util")]
pub mod mock;
pub mod node;
pub mod predictor;
pub mod random;
pub mod sample;
pub mod scheduler;
pub mod split;
pub mod store;
pub mod tenant;
pub mod time;
pub mod transport;
pub mod worker;
