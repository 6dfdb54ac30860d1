//! The workers of a cluster and what they hold: what schedulers read, kept up to date by the master.
//!
//! | file | what |
//! | --- | --- |
//! | `view.rs` | [`ClusterView`]: workers and domains, with everything promised there |
//! | `residents.rs` | [`Residents`]: who runs in a domain, as far as splitting its cache goes |
//! | `row.rs` | [`Row`]: what they lose when ways are taken from them |
//! | `index/` | finds domains without looking at all of them |
//! | `holders.rs` | [`Holders`]: who has a function's file |
//! | `heartbeat.rs` | [`Heartbeat`]: what a worker says of itself |

mod heartbeat;
mod holders;
mod index;
mod residents;
mod row;
mod view;

pub use heartbeat::{DomainStatus, Heartbeat, PROTOCOL_VERSION};
pub use holders::Holders;
pub(crate) use index::{ByPrice, Index, Kind, Place, Slot, SlotId};
pub use residents::{INSENSITIVE, Pace, Resident, Residents, is_sensitive, worth_of_a_second};
pub use row::Row;
pub use view::{ClusterView, DomainView, Liveness, WorkerView};
