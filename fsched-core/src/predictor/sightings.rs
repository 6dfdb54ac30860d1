//! Which functions were seen at which input sizes: all that [`Knowledge`] rests on.

use std::collections::BTreeMap;

use crate::function::InputSize;
use crate::id::FunctionId;
use crate::predictor::Knowledge;
use crate::sample::Sample;

/// Keeps [`Knowledge`] to its definition, whatever else a predictor remembers.
///
/// Bounded: of a function with more than [`Sightings::MAX_SIZES`] input sizes, the ones not seen for
/// longest are taken for unseen.
#[derive(Debug, Clone, Default)]
pub struct Sightings {
    functions: BTreeMap<FunctionId, Sizes>,
}

#[derive(Debug, Clone, Default)]
struct Sizes {
    samples: u64,
    last_seen: BTreeMap<InputSize, u64>,
}

impl Sightings {
    /// The most input sizes remembered of one function.
    pub const MAX_SIZES: usize = 4096;

    /// Notes that a sample was seen.
    pub fn observe(&mut self, sample: &Sample) {
        let sizes = self.functions.entry(sample.function).or_default();
        sizes.samples += 1;
        sizes.last_seen.insert(sample.input_size, sizes.samples);
        if sizes.last_seen.len() > Self::MAX_SIZES {
            sizes.drop_older_half();
        }
    }

    /// Forgets a function.
    pub fn forget(&mut self, function: FunctionId) {
        self.functions.remove(&function);
    }

    /// What is known of a function at an input size.
    pub fn knowledge(&self, function: FunctionId, input_size: InputSize) -> Knowledge {
        match self.functions.get(&function) {
            None => Knowledge::Inop,
            Some(sizes) if sizes.last_seen.contains_key(&input_size) => Knowledge::Benchmarked,
            Some(_) => Knowledge::Assisted,
        }
    }
}

impl Sizes {
    /// Half at a time, so that a new size costs next to nothing on average.
    fn drop_older_half(&mut self) {
        let mut seen: Vec<u64> = self.last_seen.values().copied().collect();
        seen.sort_unstable();
        let oldest_kept = seen[seen.len() / 2];
        self.last_seen.retain(|_, &mut at| at >= oldest_kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predictor::tests::run;

    #[test]
    fn a_function_is_known_from_its_first_sample_until_it_is_forgotten() {
        let mut sightings = Sightings::default();
        let (seen, other) = (InputSize(8), InputSize(9));
        assert_eq!(sightings.knowledge(FunctionId(1), seen), Knowledge::Inop);
        sightings.observe(&run(1, 8, 1, 1.0));
        assert_eq!(sightings.knowledge(FunctionId(1), seen), Knowledge::Benchmarked);
        assert_eq!(sightings.knowledge(FunctionId(1), other), Knowledge::Assisted);
        assert_eq!(sightings.knowledge(FunctionId(2), seen), Knowledge::Inop);
        sightings.forget(FunctionId(1));
        assert_eq!(sightings.knowledge(FunctionId(1), seen), Knowledge::Inop);
    }

    #[test]
    fn a_flood_of_sizes_drops_the_oldest_only() {
        let mut sightings = Sightings::default();
        let flood = Sightings::MAX_SIZES as u64 + 10;
        for size in 0..flood {
            sightings.observe(&run(1, size, 1, 1.0));
            sightings.observe(&run(1, 0, 1, 1.0));
        }
        let knowledge = |size| sightings.knowledge(FunctionId(1), InputSize(size));
        assert_eq!(knowledge(0), Knowledge::Benchmarked, "seen again and again");
        assert_eq!(knowledge(flood - 1), Knowledge::Benchmarked);
        assert_eq!(knowledge(1), Knowledge::Assisted);
        assert!(sightings.functions[&FunctionId(1)].last_seen.len() <= Sightings::MAX_SIZES);
    }
}
