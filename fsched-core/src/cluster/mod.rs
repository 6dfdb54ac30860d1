//! The workers of a cluster and what they hold: what schedulers read, kept up to date by the master.

mod heartbeat;
mod view;

pub use heartbeat::{DomainStatus, Heartbeat, PROTOCOL_VERSION};
pub use view::{ClusterView, DomainView, Liveness, WorkerView};
