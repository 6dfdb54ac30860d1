//! How fast functions get on that run beside each other in one cache.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Rates`], the seam; [`Apart`] and [`EvenShares`], the simple ones |
//! | `contention.rs` | [`Contention`]: who misses more gets more of a shared way |

mod contention;

pub use self::contention::Contention;

use fsched_core::cache::{Bytes, CacheGeometry, WayMask};
use fsched_core::curve::Curve;

/// One that runs in a domain.
#[derive(Debug, Clone, Copy)]
pub struct Runner<'a> {
    /// Two with the same id have the same curve.
    pub id: u64,
    /// How long a whole run takes, over cache.
    pub curve: &'a Curve,
    /// Its ways.
    pub mask: WayMask,
}

/// Says how fast functions get on that run beside each other in one cache.
///
/// An implementation must answer the same to the same question; the order of runners must not matter but for the order
/// of answers; every answer is finite and above zero.
pub trait Rates: Send {
    /// How long a whole run of each would take if all went on as now, seconds, in the order of `runners`: put at the end of `seconds`.
    fn settle(&mut self, geometry: &CacheGeometry, runners: &[Runner<'_>], seconds: &mut Vec<f64>);

    /// The same, as a list of its own.
    fn seconds(&mut self, geometry: &CacheGeometry, runners: &[Runner<'_>]) -> Vec<f64> {
        let mut seconds = Vec::with_capacity(runners.len());
        self.settle(geometry, runners, &mut seconds);
        seconds
    }
}

/// Everybody runs as if nobody else were in its ways: exact where masks do not overlap, too good where they do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Apart;

impl Rates for Apart {
    fn settle(&mut self, geometry: &CacheGeometry, runners: &[Runner<'_>], seconds: &mut Vec<f64>) {
        seconds.extend(runners.iter().map(|runner| runner.curve.seconds(geometry, runner.mask.ways())));
    }
}

/// Each way belongs in equal parts to those whose masks hold it.
///
/// What runner *i* has is `bᵢ = Σ over the ways w of its mask: way size / n(w)`, with `n(w)` the runners whose masks hold
/// *w*, and it takes `Tᵢ(bᵢ)`. Real caches share by demand: who misses more, gets more; for that there is [`Contention`].
#[derive(Debug, Clone, Copy, Default)]
pub struct EvenShares;

impl Rates for EvenShares {
    fn settle(&mut self, geometry: &CacheGeometry, runners: &[Runner<'_>], seconds: &mut Vec<f64>) {
        let mut holders = [0u32; 32];
        let ways = |mask: WayMask| (0..32usize).filter(move |way| mask.bits() >> way & 1 == 1);
        for runner in runners {
            ways(runner.mask).for_each(|way| holders[way] += 1);
        }
        let way = geometry.way_size().0 as f64;
        let share =
            |mask: WayMask| ways(mask).map(|index| way / f64::from(holders[index])).sum::<f64>().round();
        let own = |runner: &Runner<'_>| runner.curve.at(Bytes(share(runner.mask) as u64)).seconds;
        seconds.extend(runners.iter().map(own));
    }
}

#[cfg(test)]
mod tests {
    use fsched_core::cache::{CacheDomain, Ways};
    use fsched_core::curve::{CurvePoint, Provenance};

    use super::*;

    fn falling() -> Curve {
        let point = |mib: u64, seconds: f64| CurvePoint {
            cache: Bytes::mib(mib),
            seconds,
            low: seconds,
            high: seconds,
        };
        Curve::new(vec![point(1, 8.0), point(8, 1.0)], Provenance::Measured).unwrap()
    }

    #[test]
    fn masks_that_do_not_overlap_are_apart() {
        let geometry = CacheDomain::nominal(1, Ways::clamped(8), Bytes::mib(1)).geometry;
        let curve = falling();
        let runner = |bits| Runner { id: 0, curve: &curve, mask: WayMask::new(bits).unwrap() };
        let runners = [runner(0b0000_0111), runner(0b1111_1000)];
        assert_eq!(Apart.seconds(&geometry, &runners), [6.0, 4.0]);
        assert_eq!(EvenShares.seconds(&geometry, &runners), [6.0, 4.0]);
    }

    #[test]
    fn a_way_of_two_is_half_a_way_to_each() {
        let geometry = CacheDomain::nominal(1, Ways::clamped(8), Bytes::mib(1)).geometry;
        let curve = falling();
        let runner = |bits| Runner { id: 0, curve: &curve, mask: WayMask::new(bits).unwrap() };
        // Two of its own and two halves; four of its own and two halves.
        let runners = [runner(0b0000_1111), runner(0b1111_1100)];
        assert_eq!(EvenShares.seconds(&geometry, &runners), [6.0, 4.0]);
    }
}
