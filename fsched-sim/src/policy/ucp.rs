//! Utility-based cache partitioning, on misses.

use fsched_core::cache::{CacheDomain, CacheGeometry, WayMask, Ways};
use fsched_core::split::{self, Problem, Room, Row, Rule, Runner, Wanted};

use super::resplit::Held;
use super::{Arriving, Resplit};

impl Resplit {
    /// By the lookahead on misses per second (Qureshi and Patt, MICRO 2006). Its monitors are perfect: it knows what each run misses from the
    /// start. More runners than ways share the whole cache.
    ///
    /// # Panics
    /// Where there is no domain.
    pub fn ucp(domains: Vec<CacheDomain>, arriving: Arriving) -> Self {
        Self::new(domains, arriving, masks)
    }
}

/// The masks of the lookahead's split; none where there are more runners than it has ways.
fn masks(geometry: &CacheGeometry, held: &[&Held]) -> Option<Vec<WayMask>> {
    let ways = 1..=geometry.usable_ways().get();
    let row = |of: &dyn Fn(Ways) -> f64| {
        Row::new(&ways.clone().map(Ways::clamped).map(of).collect::<Vec<_>>()).ok()
    };
    let rows: Vec<(Row, Option<Row>)> = held
        .iter()
        .map(|held| {
            let Some(truth) = &held.truth else { return Some((row(&|_| 1.0)?, None)) };
            let alone = truth.alone(geometry).as_secs_f64().max(1e-9);
            let times = row(&|ways| truth.curve.seconds(geometry, ways) / alone)?;
            let misses = |ways| truth.misses(geometry.bytes(ways)).unwrap_or(0.0) / alone;
            Some((times, truth.curve.traffic().and_then(|_| row(&misses))))
        })
        .collect::<Option<_>>()?;
    let runners: Vec<Runner<'_>> = rows
        .iter()
        .map(|(times, misses)| Runner { misses: misses.as_ref(), ..Runner::new(1.0, times) })
        .collect();
    let room = Room::of(geometry);
    let solution = split::split(&Problem { room, runners: &runners }, Rule::MissLookahead).ok()?;
    let wanted: Vec<Wanted> =
        solution.ways.iter().zip(held).map(|(&ways, held)| Wanted { ways, now: Some(held.mask) }).collect();
    split::lay_out(room, &wanted)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fsched_core::allocator::CacheAllocator;
    use fsched_core::cache::{Bytes, DomainId};
    use fsched_core::curve::{Curve, Provenance, Traffic, TrafficPoint};
    use fsched_core::invocation::CacheAsk;

    use super::*;
    use crate::truths::Truth;

    #[test]
    fn who_misses_less_with_more_ways_gets_them() {
        let traffic = |points: &[(u64, f64)]| {
            let points = points
                .iter()
                .map(|&(mib, misses)| TrafficPoint { cache: Bytes::mib(mib), misses, accesses: 1e6 })
                .collect();
            Curve::flat(1.0, 1.0, Provenance::Simulated)
                .with_traffic(Traffic::new(points, Provenance::Simulated).ok())
        };
        let arriving = Arriving::default();
        let domain = CacheDomain::nominal(4, Ways::clamped(8), Bytes::mib(1));
        let mut ucp = Resplit::ucp(vec![domain], arriving.clone());
        let mut acquire = |id, points: &[(u64, f64)]| {
            arriving.set(&Arc::new(Truth { id, curve: traffic(points) }));
            ucp.acquire(DomainId(0), CacheAsk::Shared(Ways::ONE)).unwrap()
        };
        // A stream gains nothing; a loop of six ways gains all at once.
        let stream = acquire(0, &[(1, 1e9)]);
        assert_eq!(stream.mask.ways().get(), 8);
        let cliff = acquire(1, &[(5, 1e9), (6, 0.0)]);
        assert!(cliff.mask.ways().get() >= 6, "{cliff:?}");
        assert_eq!(cliff.moved.len(), 1);
        assert!(!cliff.moved[0].mask.overlaps(cliff.mask));
        assert_eq!(ucp.release(cliff.lease).unwrap()[0].mask.ways().get(), 8);
        assert_eq!(ucp.usage(DomainId(0)).leases, 1);
    }
}
