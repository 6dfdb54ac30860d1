//! Who asks for what, and when?
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Workload`], the seam; [`Listed`] and [`Poisson`], the simple ones |
//! | `trace.rs` | [`Trace`]: what is known of the functions of a trace, and its calls one after the other |
//! | `replay.rs` | [`Replay`]: a trace, or parts of several copies of it, as a workload that loads a cluster as much as is wanted |
//! | `synthetic.rs` | [`Synthetic`]: even, bursty and diurnal calls; [`adversarial`]: functions that are hard on a cache |
//! | `azure2019.rs` | [`Azure2019`]: calls by the minute, expanded by seed |
//! | `azure2021.rs` | [`Azure2021`]: one line per call |

mod azure2019;
mod azure2021;
mod replay;
mod synthetic;
mod trace;

pub use self::azure2019::{Azure2019, Azure2019Files};
pub use self::azure2021::Azure2021;
pub use self::replay::{MOST_COPIES, Part, Replay, parts};
pub use self::synthetic::{Adversary, Pattern, Synthetic, adversarial};
pub use self::trace::{Call, Open, Trace, TraceError, TraceFunction};

use std::time::Duration;

use fsched_core::function::InputSize;
use fsched_core::time::Timestamp;

use crate::random::Random;

/// Somebody asks for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When.
    pub at: Timestamp,
    /// Of which function, by number.
    pub function: usize,
    /// On how much input.
    pub input_size: InputSize,
    /// Whether it may be run again when its worker is lost.
    pub idempotent: bool,
}

/// Arrivals, one after the other, in the order of time. Asked for one ahead: however long it is, it takes no memory.
pub trait Workload: Send {
    /// The next one; none: that was all.
    fn next(&mut self) -> Option<Arrival>;
}

/// A list, in any order.
#[derive(Debug, Clone, Default)]
pub struct Listed(std::vec::IntoIter<Arrival>);

impl Listed {
    /// These, by time.
    pub fn new(mut arrivals: Vec<Arrival>) -> Self {
        arrivals.sort_by_key(|arrival| arrival.at);
        Self(arrivals.into_iter())
    }
}

impl Workload for Listed {
    fn next(&mut self) -> Option<Arrival> {
        self.0.next()
    }
}

/// How large the inputs of a [`Poisson`] workload are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// All like this.
    Fixed(InputSize),
    /// Exponentially distributed with this mean.
    Exponential(InputSize),
}

/// Arrivals at exponentially distributed distances, of functions drawn evenly.
#[derive(Debug, Clone)]
pub struct Poisson {
    random: Random,
    mean: Duration,
    functions: u64,
    sizes: Sizes,
    at: Timestamp,
    left: u64,
}

impl Poisson {
    /// `count` arrivals after `start`, in the mean `mean` apart, of the functions 0 to `functions` − 1.
    pub fn new(
        random: Random,
        start: Timestamp,
        mean: Duration,
        functions: usize,
        sizes: Sizes,
        count: u64,
    ) -> Self {
        Self { random, mean, functions: functions as u64, sizes, at: start, left: count }
    }
}

impl Workload for Poisson {
    fn next(&mut self) -> Option<Arrival> {
        self.left = self.left.checked_sub(1)?;
        self.at = self.at + self.mean.mul_f64(self.random.exponential());
        let function = self.random.below(self.functions) as usize;
        let input_size = match self.sizes {
            Sizes::Fixed(size) => size,
            Sizes::Exponential(mean) => {
                InputSize(((mean.0 as f64 * self.random.exponential()).round() as u64).max(1))
            }
        };
        Some(Arrival { at: self.at, function, input_size, idempotent: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_by_time() {
        let arrival =
            |at| Arrival { at: Timestamp(at), function: 0, input_size: InputSize(1), idempotent: false };
        let mut listed = Listed::new(vec![arrival(2), arrival(1)]);
        let times: Vec<_> = std::iter::from_fn(|| listed.next()).map(|arrival| arrival.at.0).collect();
        assert_eq!(times, [1, 2]);
    }

    #[test]
    fn poisson_arrivals_are_as_far_apart_as_they_should_be() {
        let mean = Duration::from_millis(100);
        let (random, sizes) = (Random::new(3), Sizes::Fixed(InputSize(1)));
        let mut poisson = Poisson::new(random, Timestamp(0), mean, 2, sizes, 10_000);
        let last = std::iter::from_fn(|| poisson.next()).last().unwrap();
        // Four standard errors: 4 / √10 000.
        let ratio = last.at.since(Timestamp(0)).as_secs_f64() / 1000.0;
        assert!((ratio - 1.0).abs() < 0.04, "{ratio}");
    }
}
