//! Granted ways have to be filled before they help, and what lay in ways that are taken away is lost.

use std::time::Duration;

use fsched_core::cache::{Bytes, CacheGeometry, WayMask};
use fsched_core::time::Timestamp;

use crate::truths::Truth;

/// How fast ways fill where nobody knows what a run misses, bytes per second.
const FILL: f64 = 4e9;

/// What one process has in a cache.
///
/// When its mask becomes `m`, of the ways `h` that it had filled it keeps `h ∩ m`. The others fill with what it misses meanwhile: with
/// misses(b) bytes per whole run of T(b) seconds on the `b` bytes that it kept, `g` granted bytes take
///
/// ```text
/// τ = g · T(b) / misses(b)
/// ```
///
/// and until then it gets on as with what it kept, with one way if it kept none. So the whole gain comes at the end, which is right for cliffs
/// and too slow for slopes. Ways that had begun to fill when the mask changes again count as empty. What a process fetches when it
/// begins is in its curve.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contents {
    mask: WayMask,
    filling: Option<Filling>,
}

#[derive(Debug, Clone, Copy)]
struct Filling {
    kept: u32,
    until: Timestamp,
}

impl Contents {
    /// Of a process that begins with this mask.
    pub(crate) fn new(mask: WayMask) -> Self {
        Self { mask, filling: None }
    }

    /// When what fills is full, where something fills.
    pub(crate) fn full_at(&self) -> Option<Timestamp> {
        self.filling.map(|filling| filling.until)
    }

    /// The ways it gets on with.
    pub(crate) fn useful(&self) -> WayMask {
        let kept = self.filling.map(|filling| filling.kept);
        let first = self.mask.bits() & self.mask.bits().wrapping_neg();
        kept.and_then(|kept| WayMask::new(if kept == 0 { first } else { kept })).unwrap_or(self.mask)
    }

    /// Time has passed.
    pub(crate) fn pass(&mut self, now: Timestamp) {
        self.filling = self.filling.filter(|filling| now < filling.until);
    }

    /// It has another mask from now on; whether that is news. Everything takes `slowness` times as long as `truth` says.
    pub(crate) fn change(
        &mut self,
        now: Timestamp,
        mask: WayMask,
        truth: &Truth,
        geometry: &CacheGeometry,
        slowness: f64,
    ) -> bool {
        self.pass(now);
        if mask == self.mask {
            return false;
        }
        let had = self.filling.map_or(self.mask.bits(), |filling| filling.kept);
        let kept = had & mask.bits();
        let granted = (mask.bits() & !kept).count_ones();
        self.mask = mask;
        self.filling = None;
        let way = geometry.way_size().0;
        let cache = Bytes(way * u64::from(kept.count_ones().max(1)));
        let seconds = truth.curve.at(cache).seconds * slowness;
        let fill = truth.misses(cache).map_or(FILL, |misses| misses / seconds);
        let takes = f64::from(granted) * way as f64 / fill;
        // Who misses nothing has nothing to fetch.
        if granted > 0 && fill > 0.0 {
            let takes = Duration::try_from_secs_f64(takes).unwrap_or(Duration::MAX);
            self.filling = Some(Filling { kept, until: now + takes });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use fsched_core::cache::{CacheDomain, Ways};
    use fsched_core::curve::{Curve, CurvePoint, Provenance, Traffic, TrafficPoint};

    use super::*;

    fn geometry() -> CacheGeometry {
        CacheDomain::nominal(4, Ways::clamped(8), Bytes::mib(1)).geometry
    }

    /// Two seconds on one way, in which it misses so many mebibytes; one second on two.
    fn truth(mib: u64) -> Truth {
        let point =
            |mib, seconds| CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds };
        let curve = Curve::new(vec![point(1, 2.0), point(2, 1.0)], Provenance::Simulated).unwrap();
        let misses = |at, mib: u64| TrafficPoint {
            cache: Bytes::mib(at),
            misses: (mib << 20) as f64,
            accesses: (mib << 20) as f64,
        };
        let traffic = Traffic::new(vec![misses(1, mib), misses(2, 0)], Provenance::Simulated).unwrap();
        Truth { id: 0, curve: curve.with_traffic(Some(traffic)) }
    }

    fn mask(bits: u32) -> WayMask {
        WayMask::new(bits).unwrap()
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp(millis * 1_000_000)
    }

    #[test]
    fn granted_ways_fill_with_what_is_missed() {
        let mut contents = Contents::new(mask(0b001));
        // Ten mebibytes in two seconds: one takes 200 ms.
        assert!(contents.change(at(1_000), mask(0b011), &truth(10), &geometry(), 1.0));
        assert_eq!((contents.full_at(), contents.useful()), (Some(at(1_200)), mask(0b001)));
        assert!(!contents.change(at(1_100), mask(0b011), &truth(10), &geometry(), 1.0));
        contents.pass(at(1_199));
        assert_eq!(contents.useful(), mask(0b001));
        contents.pass(at(1_200));
        assert_eq!((contents.full_at(), contents.useful()), (None, mask(0b011)));
        // On a machine that is half as fast it takes twice as long.
        let mut slow = Contents::new(mask(0b001));
        slow.change(at(1_000), mask(0b011), &truth(10), &geometry(), 2.0);
        assert_eq!(slow.full_at(), Some(at(1_400)));
    }

    #[test]
    fn what_lay_in_ways_that_are_taken_away_is_lost_at_once() {
        let mut contents = Contents::new(mask(0b011));
        contents.change(at(0), mask(0b001), &truth(10), &geometry(), 1.0);
        assert_eq!((contents.full_at(), contents.useful()), (None, mask(0b001)));
        // As large as before, and elsewhere: both ways are empty.
        let mut moved = Contents::new(mask(0b011));
        moved.change(at(0), mask(0b1100), &truth(10), &geometry(), 1.0);
        assert_eq!((moved.full_at(), moved.useful()), (Some(at(400)), mask(0b0100)));
        // Back again too soon: nothing is left of what it had.
        moved.change(at(100), mask(0b011), &truth(10), &geometry(), 1.0);
        assert_eq!((moved.full_at(), moved.useful()), (Some(at(500)), mask(0b001)));
    }

    #[test]
    fn who_misses_nothing_has_nothing_to_fetch() {
        let mut contents = Contents::new(mask(0b001));
        contents.change(at(0), mask(0b011), &truth(0), &geometry(), 1.0);
        assert_eq!((contents.full_at(), contents.useful()), (None, mask(0b011)));
    }
}
