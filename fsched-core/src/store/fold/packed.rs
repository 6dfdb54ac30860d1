//! Samples, packed: there may be a thousand of each function and kind, and mostly nobody asks for them again.

use std::collections::VecDeque;
use std::time::Duration;

use crate::cache::Bytes;
use crate::function::InputSize;
use crate::id::{FunctionId, WorkerId};
use crate::sample::{Counts, Origin, Sample, Segment};

/// Samples of one function in the order in which they came, each with its place in the order of all samples: the oldest go first.
///
/// Numbers are written seven bits at a time, the lowest first, as far as they go: a sample of one segment takes about 20 bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Packed {
    bytes: VecDeque<u8>,
    len: usize,
    /// The place of the oldest before the first, and of the newest: places are kept as differences.
    before: u64,
    newest: u64,
}

impl Packed {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// `place` is above all before.
    pub(super) fn push(&mut self, place: u64, sample: &Sample) {
        let Sample { input_size, segments, worker, enforced, co_runners, benchmark, origin, .. } = sample;
        let counts = match origin {
            Origin::Run => None,
            Origin::Profile(counts) => Some(counts),
        };
        let flags = u64::from(*enforced) | u64::from(*benchmark) << 1 | u64::from(counts.is_some()) << 2;
        let mut written = Written::default();
        written.number(place - self.newest);
        self.newest = place;
        written.number(flags | u64::from(*co_runners) << 3);
        written.number(input_size.0);
        // Nowhere is the highest number there is: written as the lowest.
        written.number(worker.0.wrapping_add(1));
        if let Some(counts) = counts {
            written.number(counts.misses.0);
            written.number(counts.accesses);
        }
        written.number(segments.len() as u64);
        for Segment { cache, duration } in segments {
            written.make_room(&mut self.bytes);
            written.number(cache.0);
            written.number(duration.as_secs());
            written.number(duration.subsec_nanos().into());
        }
        written.flush(&mut self.bytes);
        self.len += 1;
    }

    /// Lets go of the oldest.
    pub(super) fn pop(&mut self) {
        let mut reader = Reader { bytes: self.bytes.iter(), place: self.before };
        if reader.skip().is_some() {
            let (place, left) = (reader.place, reader.bytes.len());
            self.before = place;
            self.bytes.drain(..self.bytes.len() - left);
            self.len -= 1;
        }
    }

    /// All of them, oldest first, with their places.
    pub(super) fn samples(&self, function: FunctionId) -> impl Iterator<Item = (u64, Sample)> {
        let mut reader = Reader { bytes: self.bytes.iter(), place: self.before };
        std::iter::from_fn(move || reader.sample(function))
    }
}

/// Bytes on their way into the ring: one after the other they would take longer.
struct Written {
    bytes: [u8; Self::SIZE],
    len: usize,
}

impl Default for Written {
    fn default() -> Self {
        Self { bytes: [0; Self::SIZE], len: 0 }
    }
}

impl Written {
    /// Holds what comes before the segments: seven numbers of at most ten bytes, and a segment.
    const SIZE: usize = 100;

    fn number(&mut self, mut number: u64) {
        while number >= 1 << 7 {
            self.bytes[self.len] = number as u8 | 1 << 7;
            self.len += 1;
            number >>= 7;
        }
        self.bytes[self.len] = number as u8;
        self.len += 1;
    }

    /// Makes room for three numbers.
    fn make_room(&mut self, ring: &mut VecDeque<u8>) {
        if self.len + 30 > Self::SIZE {
            self.flush(ring);
        }
    }

    fn flush(&mut self, ring: &mut VecDeque<u8>) {
        ring.extend(&self.bytes[..self.len]);
        self.len = 0;
    }
}

struct Reader<'a> {
    bytes: std::collections::vec_deque::Iter<'a, u8>,
    place: u64,
}

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = *self.bytes.next()?;
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 1 << 7 {
                return Some(number);
            }
        }
    }

    /// Goes on to the next sample.
    fn skip(&mut self) -> Option<()> {
        self.place += self.number()?;
        let has_counts = self.number()? & 4 != 0;
        let before_segments = if has_counts { 4 } else { 2 };
        (0..before_segments).try_for_each(|_| self.number().map(drop))?;
        let numbers = self.number()? * 3;
        (0..numbers).try_for_each(|_| self.number().map(drop))
    }

    fn sample(&mut self, function: FunctionId) -> Option<(u64, Sample)> {
        self.place += self.number()?;
        let flags = self.number()?;
        let input_size = InputSize(self.number()?);
        let worker = WorkerId(self.number()?.wrapping_sub(1));
        let origin = if flags & 4 == 0 {
            Origin::Run
        } else {
            Origin::Profile(Counts { misses: Bytes(self.number()?), accesses: self.number()? })
        };
        let segments = (0..self.number()?).map(|_| {
            let cache = Bytes(self.number()?);
            Some(Segment { cache, duration: Duration::new(self.number()?, self.number()? as u32) })
        });
        let sample = Sample {
            function,
            input_size,
            segments: segments.collect::<Option<_>>()?,
            worker,
            enforced: flags & 1 != 0,
            co_runners: (flags >> 3) as u16,
            benchmark: flags & 2 != 0,
            origin,
        };
        Some((self.place, sample))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_number() -> impl Strategy<Value = u64> {
        prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), (0u64..300)]
    }

    fn any_sample() -> impl Strategy<Value = Sample> {
        let duration =
            (any_number(), 0u32..1_000_000_000).prop_map(|(secs, nanos)| Duration::new(secs, nanos));
        let segment =
            (any_number(), duration).prop_map(|(cache, duration)| Segment { cache: Bytes(cache), duration });
        let counts = (any_number(), any_number())
            .prop_map(|(misses, accesses)| Counts { misses: Bytes(misses), accesses });
        let origin = prop_oneof![Just(Origin::Run), counts.prop_map(Origin::Profile)];
        let numbers = (any_number(), any_number(), any::<u16>(), any::<bool>(), any::<bool>());
        (numbers, prop::collection::vec(segment, 0..4), origin).prop_map(
            |((size, worker, co_runners, enforced, benchmark), segments, origin)| Sample {
                function: FunctionId(7),
                input_size: InputSize(size),
                segments,
                worker: WorkerId(worker),
                enforced,
                co_runners,
                benchmark,
                origin,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_as_it_was(
            samples in prop::collection::vec((1u64..1_000_000, any_sample()), 0..20),
            most in 1usize..20,
        ) {
            let (mut packed, mut plain, mut place) = (Packed::default(), VecDeque::new(), 0);
            for (step, sample) in samples {
                place += step;
                packed.push(place, &sample);
                plain.push_back((place, sample));
                if packed.len() > most {
                    packed.pop();
                    plain.pop_front();
                }
                prop_assert_eq!(packed.len(), plain.len());
            }
            prop_assert!(packed.samples(FunctionId(7)).eq(plain));
        }
    }
}
