//! What goes over the wire, each body with its way into core: whatever arrives is checked once, here.
//!
//! | file | what |
//! | --- | --- |
//! | [`api`] | between clients and the master: every body of the public API |
//! | `order.rs` | what a master tells a worker to do |
//! | `report.rs` | what a worker says when it is over, or when it does not take it |
//! | `heartbeat.rs` | what a worker says of itself, and how it registers |
//! | `check.rs` | [`WireError`]: what is wrong with a body |
//! | `golden/` | each body as it is written today; a change there is a change of the protocol |

pub mod api;
mod check;
mod heartbeat;
mod order;
mod report;
#[cfg(test)]
mod tests;

pub use check::WireError;
pub use heartbeat::{DomainBody, HeartbeatBody, RegisterBody, RegisteredBody};
pub use order::OrderBody;
pub use report::{OutputBody, RefusalBody, ReportBody, bounded};
