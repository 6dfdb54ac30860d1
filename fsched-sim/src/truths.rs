//! What runs really take, worked out once per function and input.

use std::sync::Arc;
use std::time::Duration;

use fsched_core::cache::{Bytes, CacheGeometry};
use fsched_core::curve::Curve;
use fsched_core::function::InputSize;
use fsched_core::maps::Lookup;

use crate::SimFunction;

/// What a run really takes over cache.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Two with the same id are the same.
    pub id: u64,
    /// How long a whole run takes over cache, and what it misses, where that is known.
    pub curve: Curve,
}

impl Truth {
    /// How long it takes alone with a whole cache of this shape.
    pub fn alone(&self, geometry: &CacheGeometry) -> Duration {
        let usable = geometry.usable_ways();
        Duration::try_from_secs_f64(self.curve.seconds(geometry, usable)).unwrap_or(Duration::MAX)
    }

    /// What a whole run fetches with so much cache, bytes; none where that is not known.
    pub fn misses(&self, cache: Bytes) -> Option<f64> {
        self.curve.traffic().map(|traffic| traffic.at(cache).misses)
    }
}

/// The truths asked for lately.
#[derive(Debug, Clone)]
pub struct Truths {
    functions: Arc<[SimFunction]>,
    /// Each with how long it takes alone on the machine that all are compared with.
    known: Lookup<(usize, InputSize), (Arc<Truth>, Duration)>,
    reference: Option<(CacheGeometry, f64)>,
    next: u64,
}

/// How many are kept; then all are worked out anew.
const MOST: usize = 65_536;

impl Truths {
    /// Of these functions; what they take alone, on a machine with such a cache on which everything takes so many times longer.
    pub fn new(functions: Arc<[SimFunction]>, reference: Option<(CacheGeometry, f64)>) -> Self {
        Self { functions, known: Lookup::default(), reference, next: 0 }
    }

    /// Of that function on that input.
    ///
    /// # Panics
    /// Where there is no such function.
    pub fn of(&mut self, function: usize, input_size: InputSize) -> Arc<Truth> {
        Arc::clone(&self.known(function, input_size).0)
    }

    /// How long that function takes on that input alone on the reference machine; nothing where there is none.
    ///
    /// # Panics
    /// Where there is no such function.
    pub fn alone(&mut self, function: usize, input_size: InputSize) -> Duration {
        self.known(function, input_size).1
    }

    fn known(&mut self, function: usize, input_size: InputSize) -> &(Arc<Truth>, Duration) {
        if self.known.len() >= MOST && !self.known.contains_key(&(function, input_size)) {
            self.known.clear();
        }
        self.known.get_or((function, input_size), || {
            let curve = self.functions[function].times(input_size, 1.0);
            let truth = Truth { id: self.next, curve };
            self.next += 1;
            let alone = self.reference.map(|(geometry, slowness)| truth.alone(&geometry).mul_f64(slowness));
            (Arc::new(truth), alone.unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use fsched_core::curve::Provenance;

    use super::*;

    #[test]
    fn it_keeps_no_more_than_so_many_and_ids_stay_unique() {
        let functions = vec![SimFunction::new("f", Curve::flat(1.0, 1.0, Provenance::Measured))];
        let mut truths = Truths::new(functions.into(), None);
        let first = truths.of(0, InputSize(1));
        assert!(Arc::ptr_eq(&first, &truths.of(0, InputSize(1))));
        for size in 2..=MOST as u64 + 1 {
            truths.of(0, InputSize(size));
        }
        assert!(truths.known.len() <= MOST);
        assert_ne!(truths.of(0, InputSize(1)).id, first.id);
    }
}
