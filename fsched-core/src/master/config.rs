//! How a master behaves.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::Snapshot;

/// How a master behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MasterConfig {
    /// How many invocations may wait for room.
    pub queue: usize,
    /// How often those behind may overtake an invocation that does not fit yet.
    pub max_overtakes: u32,
    /// How often a worker is asked how it is.
    #[serde(with = "crate::time::humane")]
    pub heartbeat: Duration,
    /// Silence after which a worker gets no new work.
    #[serde(with = "crate::time::humane")]
    pub suspect_after: Duration,
    /// Silence after which what ran on a worker is failed over or lost.
    #[serde(with = "crate::time::humane")]
    pub dead_after: Duration,
    /// How long an invocation waits when no worker that is left could ever hold it.
    #[serde(with = "crate::time::humane")]
    pub unplaceable_after: Duration,
    /// How many versions of a function are kept.
    pub versions: usize,
    /// How many way counts a benchmark runs at most.
    pub benchmark_points: usize,
    /// How often a benchmark runs each at least; noisy ones up to three times as often.
    pub benchmark_repeats: usize,
    /// How many ended invocations are remembered.
    pub history: usize,
}

impl Default for MasterConfig {
    fn default() -> Self {
        Self {
            queue: 1_000,
            max_overtakes: 100,
            heartbeat: Duration::from_secs(1),
            suspect_after: Duration::from_secs(3),
            dead_after: Duration::from_secs(10),
            unplaceable_after: Duration::from_secs(30),
            versions: 10,
            benchmark_points: 6,
            benchmark_repeats: 3,
            history: Snapshot::INVOCATIONS,
        }
    }
}

/// A configuration that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {rule}")]
pub struct MasterConfigError {
    /// Which key.
    pub key: &'static str,
    /// What has to hold.
    pub rule: &'static str,
}

impl MasterConfig {
    /// Checks that the numbers fit each other.
    ///
    /// # Errors
    /// Names the first rule that does not hold.
    pub fn validate(&self) -> Result<(), MasterConfigError> {
        let rules = [
            ("heartbeat", !self.heartbeat.is_zero(), "has to be above zero"),
            ("suspect_after", self.suspect_after > self.heartbeat, "has to be longer than heartbeat"),
            ("dead_after", self.dead_after > self.suspect_after, "has to be longer than suspect_after"),
            ("versions", self.versions > 0, "has to be at least 1"),
            ("benchmark_points", self.benchmark_points > 0, "has to be at least 1"),
            ("benchmark_repeats", self.benchmark_repeats > 0, "has to be at least 1"),
        ];
        match rules.iter().find(|(_, holds, _)| !holds) {
            Some(&(key, _, rule)) => Err(MasterConfigError { key, rule }),
            None => Ok(()),
        }
    }
}
