//! What goes over the wire, each body with its way into core: whatever arrives is checked once, here.
//!
//! | file | what |
//! | --- | --- |
//! | [`api`] | between clients and the master: every body of the public API |
//! | `order.rs` | what a master tells a worker to do |
//! | `curve.rs` | the curve that goes with it |
//! | `report.rs` | what a worker says when it is over, or when it does not take it |
//! | `heartbeat.rs` | what a worker says of itself, and how it registers |
//! | `header.rs` | the headers that go with all of it |
//! | `check.rs` | [`WireError`]: what is wrong with a body |
//! | `golden/` | each body as it is written today; a change there is a change of the protocol |

pub mod api;
mod check;
mod curve;
mod header;
mod heartbeat;
mod order;
mod report;
#[cfg(test)]
mod tests;

pub use check::WireError;
pub use header::{INSTANCE_HEADER, PROTOCOL_HEADER};
pub use heartbeat::{DomainBody, HeartbeatBody, RegisterBody, RegisteredBody};
pub use order::OrderBody;
pub use report::{OutputBody, RefusalBody, ReportBody, bounded};
