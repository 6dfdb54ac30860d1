//! A function's curve without hardware that divides a cache: its real instructions and addresses go through a simulated
//! one, under Valgrind's stock Cachegrind, at a few way counts.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`profile`]: which way counts to simulate, one after the other, and what came of it |
//! | `cachegrind.rs` | [`Counts`]: what Cachegrind writes, and the time estimated from it |
//! | `valgrind.rs` | [`Valgrind`]: one simulated run, within limits of time and instructions |
//! | `processes.rs` | a run's processes, all of them gone when it is over, however it ends |
//! | `csv.rs` | points as the rows of a file of curves |

mod cachegrind;
pub mod csv;
mod processes;
mod valgrind;

use std::ffi::OsString;
use std::time::{Duration, Instant};

use fsched_core::cache::{Bytes, CacheDomain, CacheGeometry, Ways};
use fsched_core::function::InputSize;
use fsched_core::id::FunctionId;
use fsched_core::predictor::{Bench, InterpolatingPredictor, Predictor};
use fsched_core::sample::{self, Sample};

pub use cachegrind::{CachegrindError, Counts, FORMULA};
pub use valgrind::{INSTALL, Limits, ProfileError, Valgrind};

/// Bytes in one simulated way: 16,384 sets of 64-byte lines.
pub const WAY: Bytes = Bytes::mib(1);

/// How much slower than the best is still good enough.
const GOOD_ENOUGH: f64 = 0.05;

/// What to profile, and how closely.
#[derive(Debug, Clone)]
pub struct Request {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// The largest cache to simulate, in ways of 1 MiB.
    pub ways: Ways,
    /// How many way counts to simulate at most.
    pub points: usize,
    /// What ends it.
    pub limits: Limits,
}

/// One simulated cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// How many ways of 1 MiB.
    pub ways: Ways,
    /// What was counted.
    pub counts: Counts,
    /// How long the simulation took.
    pub took: Duration,
}

impl Point {
    /// How much cache that is.
    pub fn cache(&self) -> Bytes {
        geometry(self.ways).bytes(self.ways)
    }
}

/// What a profile found.
#[derive(Debug, Clone)]
pub struct Profile {
    /// By rising ways; at least one.
    pub points: Vec<Point>,
    /// How long the command runs without a simulator.
    pub native: Duration,
    /// Which Valgrind simulated it.
    pub version: String,
}

impl Profile {
    /// The fewest ways simulated whose estimated time is within 5 % of that with all, and the fewest that those not
    /// simulated leave possible: the same where the points sufficed to tell.
    pub fn fewest_ways(&self) -> (Ways, Ways) {
        let seconds = |point: &Point| point.counts.estimated_seconds();
        let bound = self.points.last().map_or(0.0, seconds) * (1.0 + GOOD_ENOUGH);
        let good = self.points.iter().position(|point| seconds(point) <= bound).unwrap_or_default();
        let fewest = self.points[good].ways;
        let possible = good.checked_sub(1).map_or(1, |below| self.points[below].ways.get() + 1);
        (fewest, Ways::clamped(possible))
    }

    /// How many times as long as the command itself a point took, in the middle.
    pub fn slowdown(&self) -> f64 {
        let mut took: Vec<f64> = self.points.iter().map(|point| point.took.as_secs_f64()).collect();
        took.sort_by(f64::total_cmp);
        took[took.len() / 2] / self.native.as_secs_f64().max(1e-6)
    }

    /// The points as samples of a function.
    pub fn samples(&self, function: FunctionId, input_size: InputSize) -> Vec<Sample> {
        self.points.iter().map(|point| sample(point, function, input_size)).collect()
    }
}

/// Simulates a command at the way counts that a benchmark would choose; tells `found` of each point.
///
/// Dropped, it ends all that it started.
///
/// # Errors
/// Where Valgrind is missing, the command fails, or a limit is reached.
pub async fn profile(request: &Request, mut found: impl FnMut(&Point)) -> Result<Profile, ProfileError> {
    let until = Instant::now() + request.limits.time;
    let mut valgrind = Valgrind::find(&request.command, request.limits)?;
    let geometry = geometry(request.ways);
    let mut planner = InterpolatingPredictor::default();
    let (function, input_size) = (FunctionId(0), InputSize(0));
    let (mut done, mut points, mut native) = (Vec::new(), Vec::new(), None);
    let budget = request.points.max(1);
    loop {
        let bench = Bench { geometry: &geometry, enforced: true, done: &done, budget };
        let Some(ways) = planner.next_probe(function, input_size, &bench).or_else(|| unseen(&bench)) else {
            break;
        };
        let (counts, took) = valgrind.simulate(ways, until).await?;
        let point = Point { ways, counts, took };
        // Only now: how long it may take natively, nobody knew before its instructions were counted.
        if native.is_none() {
            native = Some(valgrind.run_natively(until).await?);
        }
        found(&point);
        planner.observe(&sample(&point, function, input_size));
        done.push(ways);
        points.push(point);
    }
    points.sort_by_key(|point| point.ways);
    Ok(Profile { points, native: native.unwrap_or_default(), version: valgrind.version().to_owned() })
}

/// With a budget for every way count there is, all of them are simulated, also those that the planner can do without.
fn unseen(bench: &Bench<'_>) -> Option<Ways> {
    let most = bench.geometry.usable_ways().get();
    if bench.budget < usize::from(most) {
        return None;
    }
    (1..=most).map(Ways::clamped).find(|ways| !bench.done.contains(ways))
}

fn sample(point: &Point, function: FunctionId, input_size: InputSize) -> Sample {
    let counts = sample::Counts { misses: point.counts.miss_bytes(), accesses: point.counts.accesses() };
    let estimated = Duration::try_from_secs_f64(point.counts.estimated_seconds()).unwrap_or(Duration::MAX);
    Sample::profiled(function, input_size, point.cache(), estimated, counts)
}

/// The simulated cache: its sets never change in number, so that a way more is a MiB more.
fn geometry(ways: Ways) -> CacheGeometry {
    CacheDomain::nominal(1, ways, WAY).geometry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(points: &[(u8, u64)]) -> Profile {
        let point = |&(ways, ll_misses): &(u8, u64)| {
            let counts = Counts { instructions: 1000, ll_misses, ..Counts::default() };
            Point { ways: Ways::clamped(ways), counts, took: Duration::ZERO }
        };
        let points = points.iter().map(point).collect();
        Profile { points, native: Duration::ZERO, version: String::new() }
    }

    #[test]
    fn the_fewest_ways_are_as_sure_as_the_points_are_close() {
        let fewest = |points: &[(u8, u64)]| {
            let (fewest, possible) = found(points).fewest_ways();
            (fewest.get(), possible.get())
        };
        assert_eq!(fewest(&[(1, 90), (4, 90), (5, 0), (20, 0)]), (5, 5));
        assert_eq!(fewest(&[(1, 90), (20, 0)]), (20, 2));
        assert_eq!(fewest(&[(1, 0), (20, 0)]), (1, 1));
        assert_eq!(fewest(&[(7, 0)]), (7, 1));
    }
}
