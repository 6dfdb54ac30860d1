//! Sums over all domains that take work.

use super::slot::Facts;

/// Sums over all domains whose workers take work; whole numbers, so that adding and taking away leaves nothing behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) domains: u64,
    pub(crate) cores: u64,
    pub(crate) free_cores: u64,
    pub(crate) ways: u64,
    pub(crate) free_ways: u64,
    /// Nanoseconds per way, over all ways.
    price_ways: u128,
}

impl Totals {
    pub(super) fn add(&mut self, facts: &Facts) {
        if facts.accepting {
            self.domains += 1;
            self.cores += u64::from(facts.cores);
            self.free_cores += u64::from(facts.free_cores);
            self.ways += u64::from(facts.ways);
            self.free_ways += u64::from(facts.free_ways);
            self.price_ways += price_ways(facts);
        }
    }

    pub(super) fn take(&mut self, facts: &Facts) {
        if facts.accepting {
            self.domains -= 1;
            self.cores -= u64::from(facts.cores);
            self.free_cores -= u64::from(facts.free_cores);
            self.ways -= u64::from(facts.ways);
            self.free_ways -= u64::from(facts.free_ways);
            self.price_ways -= price_ways(facts);
        }
    }

    /// What a way is worth in the mean over all ways, seconds.
    pub(crate) fn price(&self) -> f64 {
        if self.ways == 0 { 0.0 } else { self.price_ways as f64 / self.ways as f64 / 1e9 }
    }
}

fn price_ways(facts: &Facts) -> u128 {
    // A float becomes the nearest whole number that there is.
    u128::from((facts.price * 1e9) as u64) * u128::from(facts.ways)
}
