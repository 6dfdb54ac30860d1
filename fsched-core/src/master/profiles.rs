//! What profiles found becomes samples, kept apart from runs.

use std::time::Duration;

use super::{Effect, Effects, Master, UnknownFunction};
use crate::cache::Bytes;
use crate::function::InputSize;
use crate::id::FunctionId;
use crate::sample::{Counts, Sample};
use crate::store::Record;

/// One simulated cache of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfilePoint {
    /// How much cache was simulated.
    pub cache: Bytes,
    /// The time estimated from what was counted.
    pub estimated: Duration,
    /// What was counted.
    pub counts: Counts,
}

impl Master {
    /// A function was profiled at an input size. The last effect makes what was found durable.
    ///
    /// # Errors
    /// Where there is no such function.
    pub fn profiled(
        &mut self,
        function: FunctionId,
        input_size: InputSize,
        points: &[ProfilePoint],
    ) -> Result<Effects, UnknownFunction> {
        self.functions.get(function).ok_or(UnknownFunction(function))?;
        let mut effects = Effects::new();
        for (i, point) in points.iter().enumerate() {
            let sample = Sample::profiled(function, input_size, point.cache, point.estimated, point.counts);
            self.predictor.observe(&sample);
            self.functions.sampled(function, input_size);
            effects.push(Effect::Persist { record: Record::Sampled(sample), durable: i + 1 == points.len() });
        }
        Ok(effects)
    }
}
