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

/// How a sample came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was measured: the function ran.
    #[default]
    Run,
    /// It was simulated: the function ran under a simulator of a cache, which counted, and its time is estimated from the
    /// counts. It shows a shape, and no time that a worker would need.
    Profile(Counts),
}

/// What a simulated cache counted over a whole run: exact, for the cache that was simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Misses of the last-level cache times the line's size.
    pub misses: Bytes,
    /// How often the last-level cache was looked into.
    pub accesses: u64,
}

/// What a sample was made for: the more there are of a kind, the less each matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Somebody asked for the result.
    Work,
    /// A run of a benchmark.
    Benchmark,
    /// A point of a profile.
    Profile,
}

impl Origin {
    /// Whether it was measured.
    pub fn is_run(&self) -> bool {
        *self == Self::Run
    }
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
    /// Where; [`Sample::NOWHERE`] where no worker had to do with it.
    pub worker: WorkerId,
    /// Whether the masks were enforced, by hardware or by a simulator. Where not, the cache in `segments` is only what was asked for.
    pub enforced: bool,
    /// How many other functions were running in the domain when it started.
    pub co_runners: u16,
    /// Whether it was run to learn (alone on its domain), not because someone asked for the result.
    pub benchmark: bool,
    /// Whether the times were measured, or estimated from a simulation.
    #[serde(default, skip_serializing_if = "Origin::is_run")]
    pub origin: Origin,
}

impl Sample {
    /// Where a profile was made: not on a worker.
    pub const NOWHERE: WorkerId = WorkerId(u64::MAX);

    /// A run with nobody else in the domain, of `cache` bytes, where no mask was enforced.
    pub fn unenforced(
        function: FunctionId,
        input_size: InputSize,
        worker: WorkerId,
        cache: Bytes,
        duration: Duration,
    ) -> Self {
        Self {
            function,
            input_size,
            segments: vec![Segment { cache, duration }],
            worker,
            enforced: false,
            co_runners: 0,
            benchmark: false,
            origin: Origin::Run,
        }
    }

    /// What a profile with `cache` bytes of simulated cache brought: what was counted, and the time estimated from it.
    pub fn profiled(
        function: FunctionId,
        input_size: InputSize,
        cache: Bytes,
        estimated: Duration,
        counts: Counts,
    ) -> Self {
        Self {
            function,
            input_size,
            segments: vec![Segment { cache, duration: estimated }],
            worker: Self::NOWHERE,
            enforced: true,
            co_runners: 0,
            benchmark: true,
            origin: Origin::Profile(counts),
        }
    }

    /// What it was made for.
    pub fn kind(&self) -> Kind {
        match (self.origin.is_run(), self.benchmark) {
            (true, false) => Kind::Work,
            (true, true) => Kind::Benchmark,
            (false, _) => Kind::Profile,
        }
    }

    /// The whole running time; the longest there is where the sum is longer.
    pub fn duration(&self) -> Duration {
        self.segments.iter().fold(Duration::ZERO, |sum, s| sum.saturating_add(s.duration))
    }
}
