//! What goes between clients and the master.
//!
//! | file | what |
//! | --- | --- |
//! | `values.rs` | sizes, durations and counts as clients write them |
//! | `ask.rs` | what clients ask for: [`RunBody`], [`SubmitBody`] |
//! | `result.rs` | [`RunResult`]: what came out of a run |

mod ask;
mod result;
pub mod values;

pub use ask::{RunBody, SubmitBody};
pub use result::{Moment, RunAnswer, RunResult};
