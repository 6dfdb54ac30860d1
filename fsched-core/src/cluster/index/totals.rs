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
}

impl Totals {
    pub(super) fn add(&mut self, facts: &Facts) {
        if facts.accepting {
            self.domains += 1;
            self.cores += u64::from(facts.cores);
            self.free_cores += u64::from(facts.free_cores);
            self.ways += u64::from(facts.ways);
            self.free_ways += u64::from(facts.free_ways);
        }
    }

    pub(super) fn take(&mut self, facts: &Facts) {
        if facts.accepting {
            self.domains -= 1;
            self.cores -= u64::from(facts.cores);
            self.free_cores -= u64::from(facts.free_cores);
            self.ways -= u64::from(facts.ways);
            self.free_ways -= u64::from(facts.free_ways);
        }
    }
}
