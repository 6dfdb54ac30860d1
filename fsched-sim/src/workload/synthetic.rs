//! Calls by a formula, and functions that are hard on a cache.

use std::time::Duration;

use fsched_core::cache::{Bytes, CacheGeometry, Ways};
use fsched_core::curve::{Curve, CurvePoint, Provenance, Traffic, TrafficPoint};
use fsched_core::function::InputSize;

use super::trace::{Call, Trace, TraceFunction};
use crate::SimFunction;
use crate::random::Random;

/// How calls come over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// At an even rate.
    Even,
    /// Four times the rate for 5 s in the mean, then less for 25 s in the mean, so that the whole has the mean rate.
    Bursty,
    /// The rate goes up and down by 80 %, once in the whole time.
    Diurnal,
}

/// Poisson calls whose rate follows a pattern, of functions drawn evenly. Runs take from half to twice their function's mean, evenly on a
/// logarithmic scale in 16 steps.
#[derive(Debug, Clone)]
pub struct Synthetic {
    functions: Vec<TraceFunction>,
    pattern: Pattern,
    length: Duration,
    /// Calls per second in the mean.
    rate: f64,
}

/// How long a run takes over its function's middle, by step.
const STEPS: u64 = 16;

impl Synthetic {
    /// As many functions as there are times, each taking that long in the middle, called so often that in the mean so many `cores` are busy.
    ///
    /// # Panics
    /// Where there are no functions.
    pub fn new(seconds: &[f64], pattern: Pattern, length: Duration, cores: f64) -> Self {
        assert!(!seconds.is_empty(), "a workload needs a function");
        let stretch = (0..STEPS).map(stretch).sum::<f64>() / STEPS as f64;
        let mean = stretch * seconds.iter().sum::<f64>() / seconds.len() as f64;
        let rate = cores / mean;
        let calls = (rate * length.as_secs_f64() / seconds.len() as f64) as u64;
        let function = |(number, &seconds): (usize, &f64)| TraceFunction {
            name: format!("synthetic-{number}"),
            calls,
            seconds: seconds * stretch,
            memory: None,
        };
        Self { functions: seconds.iter().enumerate().map(function).collect(), pattern, length, rate }
    }
}

fn stretch(step: u64) -> f64 {
    (2.0 * (step as f64 + 0.5) / STEPS as f64 - 1.0).exp2()
}

impl Trace for Synthetic {
    fn functions(&self) -> &[TraceFunction] {
        &self.functions
    }

    fn length(&self) -> Duration {
        self.length
    }

    fn calls(&self, mut random: Random) -> Box<dyn Iterator<Item = Call> + Send> {
        let mean = (0..STEPS).map(stretch).sum::<f64>() / STEPS as f64;
        let middles: Vec<f64> = self.functions.iter().map(|function| function.seconds / mean).collect();
        let (pattern, length, rate) = (self.pattern, self.length.as_secs_f64(), self.rate);
        // Thinning: calls at the highest rate, of which some are left out (Lewis and Shedler 1979).
        let most = match pattern {
            Pattern::Even => 1.0,
            Pattern::Bursty => 4.0,
            Pattern::Diurnal => 1.8,
        };
        let (mut at, mut bursting, mut until) = (0.0, false, 0.0);
        Box::new(std::iter::from_fn(move || {
            loop {
                at += random.exponential() / (rate * most);
                if at >= length {
                    return None;
                }
                while pattern == Pattern::Bursty && at >= until {
                    bursting = !bursting;
                    until += random.exponential() * if bursting { 5.0 } else { 25.0 };
                }
                let now = match pattern {
                    Pattern::Even => 1.0,
                    // 4 · 5 + 0.4 · 25 = 30.
                    Pattern::Bursty => {
                        if bursting {
                            4.0
                        } else {
                            0.4
                        }
                    }
                    Pattern::Diurnal => 1.0 + 0.8 * (std::f64::consts::TAU * at / length).sin(),
                };
                if random.chance(now / most) {
                    let function = random.below(middles.len() as u64) as usize;
                    let seconds = middles[function] * stretch(random.below(STEPS));
                    return Some(Call { after: Duration::from_secs_f64(at), function, seconds });
                }
            }
        }))
    }
}

/// Functions that are hard on a cache, or on those who split it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adversary {
    /// All stream: no cache helps, and all of it gets filled.
    Streaming,
    /// All are cliffs: with so many ways (2 to 8, by function) all hits, with one less all misses, and 2.5 times as long.
    Cliffs,
    /// All are insensitive, and miss next to nothing.
    Insensitive,
    /// One needs three quarters of the cache and runs ten times as long; all others stream.
    Giant,
}

/// So many functions of that kind, with how long each takes.
pub fn adversarial(
    kind: Adversary,
    seconds: &[f64],
    geometry: &CacheGeometry,
    mut random: Random,
) -> Vec<SimFunction> {
    let ways = geometry.usable_ways().get();
    let function = |(number, &seconds): (usize, &f64)| {
        let cliff = |need: u8, seconds: f64| {
            let need = Ways::clamped(need.clamp(2, ways));
            loops(geometry.bytes(need), geometry.way_size(), seconds)
        };
        let (name, curve) = match kind {
            Adversary::Streaming => ("stream", fetching(seconds, 1e9)),
            Adversary::Cliffs => ("cliff", cliff(2 + random.below(7) as u8, seconds)),
            Adversary::Insensitive => ("still", fetching(seconds, 1e5)),
            Adversary::Giant if number == 0 => ("giant", cliff(ways / 4 * 3, seconds)),
            Adversary::Giant => ("stream", fetching(seconds, 1e9)),
        };
        SimFunction::growing(&format!("{name}-{number}"), InputSize(1_000_000), curve, 1.0)
    };
    seconds.iter().enumerate().map(function).collect()
}

/// Takes the same time whatever the cache, and fetches so many bytes per second.
fn fetching(seconds: f64, bytes: f64) -> Curve {
    let misses = bytes * seconds;
    let point = TrafficPoint { cache: Bytes(1), misses, accesses: misses / 64.0 };
    Curve::flat(seconds, 1.0, Provenance::Simulated)
        .with_traffic(Traffic::new(vec![point], Provenance::Simulated).ok())
}

/// All hits with `need`; with a way less all misses.
fn loops(need: Bytes, way: Bytes, seconds: f64) -> Curve {
    let before = Bytes(need.0.saturating_sub(way.0).max(1));
    let point = |cache, seconds| CurvePoint { cache, seconds, low: seconds, high: seconds };
    let misses = 1e9 * seconds;
    let traffic = |cache, misses| TrafficPoint { cache, misses, accesses: 1e9 * seconds / 64.0 };
    let points = vec![point(before, 2.5 * seconds), point(need, seconds)];
    let traffic =
        Traffic::new(vec![traffic(before, misses), traffic(need, misses / 1e4)], Provenance::Simulated);
    Curve::new(points, Provenance::Simulated).expect("it falls").with_traffic(traffic.ok())
}

#[cfg(test)]
mod tests {
    use fsched_core::cache::CacheDomain;

    use super::*;

    #[test]
    fn every_pattern_keeps_as_many_cores_busy_as_it_says() {
        let length = Duration::from_secs(4_000);
        for pattern in [Pattern::Even, Pattern::Bursty, Pattern::Diurnal] {
            let synthetic = Synthetic::new(&[0.2, 0.4], pattern, length, 8.0);
            let work: f64 = synthetic.calls(Random::new(3)).map(|call| call.seconds).sum();
            let busy = work / length.as_secs_f64();
            // Bursts scatter the most: some 130 of them.
            assert!((busy / 8.0 - 1.0).abs() < 0.15, "{pattern:?}: {busy}");
            let said: f64 = synthetic.functions().iter().map(|f| f.calls as f64 * f.seconds).sum();
            assert!((said / length.as_secs_f64() / 8.0 - 1.0).abs() < 0.01);
        }
    }

    #[test]
    fn patterns_differ_in_how_calls_cluster() {
        let length = Duration::from_secs(3_000);
        let dispersion = |pattern| {
            let mut counts = vec![0.0_f64; 300];
            for call in Synthetic::new(&[0.1], pattern, length, 2.0).calls(Random::new(4)) {
                counts[call.after.as_secs() as usize / 10] += 1.0;
            }
            let mean = counts.iter().sum::<f64>() / 300.0;
            counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 299.0 / mean
        };
        let even = dispersion(Pattern::Even);
        assert!((even - 1.0).abs() < 0.35, "Poisson counts scatter as much as their mean: {even}");
        assert!(dispersion(Pattern::Bursty) > 5.0);
        assert!(dispersion(Pattern::Diurnal) > 5.0);
    }

    #[test]
    fn adversaries_are_what_they_say() {
        let geometry = CacheDomain::nominal(8, Ways::clamped(20), Bytes::mib(1)).geometry;
        let gain = |kind, number: usize| {
            let functions = adversarial(kind, &[1.0; 3], &geometry, Random::new(1));
            let curve = &functions[number].curves[0].1;
            curve.seconds(&geometry, Ways::ONE) / curve.seconds(&geometry, Ways::clamped(20))
        };
        assert_eq!(gain(Adversary::Streaming, 0), 1.0);
        assert_eq!(gain(Adversary::Insensitive, 0), 1.0);
        assert_eq!(gain(Adversary::Cliffs, 0), 2.5);
        assert_eq!((gain(Adversary::Giant, 0), gain(Adversary::Giant, 1)), (2.5, 1.0));
    }
}
