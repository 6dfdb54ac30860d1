use fsched_core::random::SplitMix;

use super::curves::{Cache, Program};

/// Chance for one use of a seed.
#[derive(Debug, Clone)]
pub(super) struct Seeded(SplitMix);

impl Seeded {
    /// One for each of several uses of a seed.
    pub(super) fn new(seed: u64, uses: &[u64]) -> Self {
        let other = |chance: SplitMix, used: &u64| SplitMix::new(chance.clone().draw() ^ used);
        Self(uses.iter().fold(SplitMix::new(seed), other))
    }

    /// With this mean, distributed exponentially.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        self.0.exponential(mean)
    }

    /// One of these.
    pub(super) fn one<'a>(&mut self, cache: &'a Cache) -> &'a Program {
        &cache.programs[self.0.below(cache.programs.len())]
    }

    /// So many of these, each as likely, the same more than once if it happens so.
    pub(super) fn mix<'a>(&mut self, cache: &'a Cache, runners: usize) -> Vec<&'a Program> {
        (0..runners).map(|_| self.one(cache)).collect()
    }
}
