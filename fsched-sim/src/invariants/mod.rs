//! What always holds, whatever goes wrong. Each can be checked after every event.
//!
//! | file | what holds |
//! | --- | --- |
//! | `masks.rs` | masks are legal for their cache, and an exclusive way is in nobody else's mask |
//! | `capacity.rs` | on each worker, what runs needs no more cores and memory than it gives |
//! | `classes.rs` | no more classes are used than there are, and who shares a class has the same mask |
//! | `processes.rs` | a worker knows of exactly the processes that run |
//! | `reservations.rs` | what the master promises is what those hold that are out |
//! | `ends.rs` | what was accepted ends exactly once, and is started no more often than its client allows |
//! | `quiet.rs` | when load and faults are over, all work ends, and what the master believes of its workers is true |

mod capacity;
mod classes;
mod ends;
mod masks;
mod processes;
mod quiet;
mod reservations;

pub use quiet::{at_rest, quiet};

use crate::Simulation;

/// Something that always holds; says where it does not.
pub type Invariant = fn(&Simulation) -> Result<(), String>;

/// All that hold after every event, by name.
pub const ALWAYS: &[(&str, Invariant)] = &[
    ("masks", masks::check),
    ("capacity", capacity::check),
    ("classes", classes::check),
    ("processes", processes::check),
    ("reservations", reservations::check),
    ("ends", ends::check),
];

/// Checks all that hold after every event.
///
/// # Errors
/// Names the first that does not hold, and where.
pub fn always(simulation: &Simulation) -> Result<(), String> {
    for (name, check) in ALWAYS {
        check(simulation).map_err(|what| format!("{name}: {what}"))?;
    }
    Ok(())
}
