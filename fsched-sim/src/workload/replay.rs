//! A trace as a workload that loads a cluster as much as is wanted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use fsched_core::cache::CacheGeometry;
use fsched_core::function::InputSize;
use fsched_core::maps::Lookup;
use fsched_core::time::Timestamp;

use super::trace::{Call, Trace};
use super::{Arrival, Workload};
use crate::SimFunction;
use crate::random::Random;

/// One function of one copy of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Which copy.
    pub copy: usize,
    /// Which function of the trace.
    pub function: usize,
}

/// The most copies of a trace that are worth while.
pub const MOST_COPIES: usize = 10_000;

/// Which parts of how many copies of a trace, so many at most, keep about so many cores busy, functions in an order drawn by chance; and how many cores that
/// are. A function that would be too much is left out; `skip` says which are not to be there at all.
pub fn parts(
    trace: &dyn Trace,
    cores: f64,
    copies: usize,
    mut random: Random,
    skip: impl Fn(usize) -> bool,
) -> (Vec<Part>, f64) {
    let length = trace.length().as_secs_f64().max(1e-9);
    let functions = trace.functions();
    let load = |function: usize| functions[function].calls as f64 * functions[function].seconds / length;
    let mut chosen = Vec::new();
    let mut busy = 0.0;
    for copy in 0..copies.min(MOST_COPIES) {
        let mut order: Vec<usize> = (0..functions.len()).filter(|&function| !skip(function)).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, random.below(i as u64 + 1) as usize);
        }
        let before = busy;
        for function in order {
            if busy + load(function) <= cores {
                busy += load(function);
                chosen.push(Part { copy, function });
            }
        }
        // Nothing more fits, or there is nothing.
        if busy >= 0.99 * cores || busy == before {
            break;
        }
    }
    (chosen, busy)
}

type Calls = Box<dyn Iterator<Item = Call> + Send>;

/// A call that is looked ahead at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    function: usize,
    /// As bits.
    seconds: u64,
}

/// How many input sizes are kept; then all are worked out anew.
const MOST_SIZES: usize = 1 << 20;

/// Parts of a trace as a workload; each copy is shifted in time by chance, and what it loses at one end comes at the other.
///
/// A call's duration becomes an input size: the one for which its function takes that long alone with the whole cache, in steps of an eighth of an octave.
pub struct Replay {
    copies: Vec<Calls>,
    /// The next call of each copy that has one, by time.
    ahead: BinaryHeap<Reverse<(Duration, usize, Next)>>,
    /// By copy and function of the trace, the function of the simulation.
    numbers: Vec<Vec<Option<usize>>>,
    functions: Arc<[SimFunction]>,
    geometry: CacheGeometry,
    start: Timestamp,
    sizes: Lookup<(usize, i32), InputSize>,
}

impl Replay {
    /// `parts` of `trace` from `start` on; the function of the simulation with a part's place in `parts` is that part.
    pub fn new(
        trace: &Arc<dyn Trace>,
        parts: &[Part],
        functions: Arc<[SimFunction]>,
        geometry: CacheGeometry,
        start: Timestamp,
        random: &Random,
    ) -> Self {
        let copies = parts.iter().map(|part| part.copy + 1).max().unwrap_or(0);
        let shifted = |copy: usize| {
            let chance = random.fork(copy as u64 + 1);
            // The first is as it is.
            let offset = if copy == 0 { Duration::ZERO } else { chance.fork(1).duration(trace.length()) };
            shifted(trace, offset, &chance.fork(2))
        };
        let mut numbers = vec![vec![None; trace.functions().len()]; copies];
        for (number, part) in parts.iter().enumerate() {
            numbers[part.copy][part.function] = Some(number);
        }
        let mut replay = Self {
            copies: (0..copies).map(shifted).collect(),
            ahead: BinaryHeap::with_capacity(copies),
            numbers,
            functions,
            geometry,
            start,
            sizes: Lookup::default(),
        };
        for copy in 0..copies {
            let first = replay.look_ahead(copy);
            replay.ahead.extend(first);
        }
        replay
    }

    /// Asks a copy for its next call of a function that is there.
    fn look_ahead(&mut self, copy: usize) -> Option<Reverse<(Duration, usize, Next)>> {
        let numbers = &self.numbers[copy];
        self.copies[copy].find_map(|call| {
            let next = Next { function: numbers[call.function]?, seconds: call.seconds.to_bits() };
            Some(Reverse((call.after, copy, next)))
        })
    }

    fn size(&mut self, number: usize, seconds: f64) -> InputSize {
        let step = (seconds.max(1e-6).log2() * 8.0).round() as i32;
        let (function, geometry) = (&self.functions[number], &self.geometry);
        let size = || function.size_taking((f64::from(step) / 8.0).exp2(), geometry);
        if self.sizes.len() >= MOST_SIZES {
            self.sizes.clear();
        }
        *self.sizes.get_or((number, step), size)
    }
}

fn shifted(
    trace: &Arc<dyn Trace>,
    offset: Duration,
    random: &Random,
) -> Box<dyn Iterator<Item = Call> + Send> {
    let length = trace.length();
    let later = trace.calls_from(random.clone(), offset);
    let later = later.map(move |call| Call { after: call.after - offset, ..call });
    let (trace, random) = (Arc::clone(trace), random.clone());
    let earlier = std::iter::once_with(move || trace.calls(random)).flatten();
    let earlier = earlier.take_while(move |call| call.after < offset);
    Box::new(later.chain(earlier.map(move |call| Call { after: call.after + length - offset, ..call })))
}

impl Workload for Replay {
    fn next(&mut self) -> Option<Arrival> {
        let &Reverse((after, copy, Next { function, seconds })) = self.ahead.peek()?;
        match self.look_ahead(copy) {
            Some(next) => {
                if let Some(mut first) = self.ahead.peek_mut() {
                    *first = next;
                }
            }
            None => {
                self.ahead.pop();
            }
        }
        let input_size = self.size(function, f64::from_bits(seconds));
        Some(Arrival { at: self.start + after, function, input_size, idempotent: false })
    }
}

#[cfg(test)]
mod tests {
    use fsched_core::cache::{Bytes, CacheDomain, Ways};
    use fsched_core::curve::{Curve, Provenance};

    use super::super::synthetic::{Pattern, Synthetic};
    use super::*;

    fn replay(cores: f64, seed: u64) -> (Vec<Part>, Vec<Arrival>, f64) {
        let length = Duration::from_secs(100);
        let trace: Arc<dyn Trace> = Arc::new(Synthetic::new(&[0.1, 0.2, 0.4], Pattern::Even, length, 2.0));
        let (parts, busy) = parts(&*trace, cores, MOST_COPIES, Random::new(seed), |function| function == 1);
        let function = |part: &Part| {
            let curve = Curve::flat(trace.functions()[part.function].seconds, 1.0, Provenance::Measured);
            SimFunction::growing("f", InputSize(1_000_000), curve, 1.0)
        };
        let functions: Vec<SimFunction> = parts.iter().map(function).collect();
        let geometry = CacheDomain::nominal(4, Ways::clamped(8), Bytes::mib(1)).geometry;
        let start = Timestamp(7);
        let mut replay = Replay::new(&trace, &parts, functions.into(), geometry, start, &Random::new(seed));
        let arrivals = std::iter::from_fn(|| replay.next()).collect();
        (parts, arrivals, busy)
    }

    #[test]
    fn copies_load_a_cluster_as_much_as_is_wanted() {
        for cores in [0.5, 2.0, 5.0] {
            let (parts, arrivals, busy) = replay(cores, 1);
            assert!(parts.iter().all(|part| part.function != 1), "what was to be left out is not there");
            assert!(busy <= cores && busy > 0.5 * cores, "{cores}: {busy}");
            assert!(arrivals.windows(2).all(|pair| pair[0].at <= pair[1].at));
            assert!(arrivals.iter().all(|arrival| arrival.at < Timestamp(7) + Duration::from_secs(100)));
            // A megabyte takes a function's mean; time grows with size.
            let trace = [0.1, 0.2, 0.4];
            let seconds = |a: &Arrival| trace[parts[a.function].function] * a.input_size.0 as f64 / 1e6;
            let work = arrivals.iter().map(seconds).sum::<f64>() / 100.0;
            assert!((work / busy - 1.0).abs() < 0.25, "{cores}: {work} instead of {busy}");
        }
    }

    #[test]
    fn the_same_chance_makes_the_same_arrivals() {
        assert_eq!(replay(3.0, 5), replay(3.0, 5));
        assert_ne!(replay(3.0, 5).1, replay(3.0, 6).1);
    }
}
