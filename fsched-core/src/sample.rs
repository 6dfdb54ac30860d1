//! What was seen when a function ran: the only thing that predictors learn from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::Bytes;
use crate::function::InputSize;
use crate::id::{FunctionId, WorkerId};

/// A stretch of a run during which the mask stayed the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Cache at hand.
    pub cache: Bytes,
    /// How long the stretch was.
    pub duration: Duration,
}

/// One observed, successful run.
///
/// Masks move while functions run: a curve `T` fits the sample when `Σ dᵢ / T(bᵢ) = 1` over the segments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// What ran.
    pub function: FunctionId,
    /// On how much input.
    pub input_size: InputSize,
    /// How much cache, for how long; at least one.
    pub segments: Vec<Segment>,
    /// Where.
    pub worker: WorkerId,
    /// Whether the hardware enforced the masks. Where not, the cache in `segments` is only what was asked for.
    pub enforced: bool,
    /// How many other functions were running in the domain when it started.
    pub co_runners: u16,
    /// Whether it was run to learn (alone on its domain), not because someone asked for the result.
    pub benchmark: bool,
}

impl Sample {
    /// The whole running time; the longest there is where the sum is longer.
    pub fn duration(&self) -> Duration {
        self.segments.iter().fold(Duration::ZERO, |sum, s| sum.saturating_add(s.duration))
    }
}
