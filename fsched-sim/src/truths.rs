//! What runs really take, worked out once per function and input.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fsched_core::cache::{Bytes, CacheGeometry};
use fsched_core::curve::Curve;
use fsched_core::function::InputSize;

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
    known: BTreeMap<(usize, InputSize), Arc<Truth>>,
    next: u64,
}

/// How many are kept; then all are worked out anew.
const MOST: usize = 65_536;

impl Truths {
    /// Of these functions.
    pub fn new(functions: Arc<[SimFunction]>) -> Self {
        Self { functions, known: BTreeMap::new(), next: 0 }
    }

    /// Of that function on that input.
    ///
    /// # Panics
    /// Where there is no such function.
    pub fn of(&mut self, function: usize, input_size: InputSize) -> Arc<Truth> {
        if let Some(truth) = self.known.get(&(function, input_size)) {
            return Arc::clone(truth);
        }
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let curve = self.functions[function].times(input_size, 1.0);
        let truth = Arc::new(Truth { id: self.next, curve });
        self.next += 1;
        self.known.insert((function, input_size), Arc::clone(&truth));
        truth
    }
}

#[cfg(test)]
mod tests {
    use fsched_core::curve::Provenance;

    use super::*;

    #[test]
    fn it_keeps_no_more_than_so_many_and_ids_stay_unique() {
        let functions = vec![SimFunction::new("f", Curve::flat(1.0, 1.0, Provenance::Measured))];
        let mut truths = Truths::new(functions.into());
        let first = truths.of(0, InputSize(1));
        assert!(Arc::ptr_eq(&first, &truths.of(0, InputSize(1))));
        for size in 2..=MOST as u64 + 1 {
            truths.of(0, InputSize(size));
        }
        assert!(truths.known.len() <= MOST);
        assert_ne!(truths.of(0, InputSize(1)).id, first.id);
    }
}
