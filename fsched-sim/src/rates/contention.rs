//! Who misses more gets more of a shared way.

use std::collections::BTreeMap;

use fsched_core::cache::CacheGeometry;
use fsched_core::split::contention::{self, Bandwidth, Demand, Sharer};

use super::{EvenShares, Rates, Runner};

/// Rates by the contention model of `fsched_core::split::contention`: exact where masks do not overlap; where they do, each
/// holds what it fills in the time in which all others fill theirs.
///
/// Who shares ways with nobody is read from its curve. Those who share, directly or through others, are settled together, and the answer is
/// remembered by who they are and which masks they have. Where one of them has a curve without misses, ways are shared evenly
/// ([`EvenShares`]).
#[derive(Debug, Clone, Default)]
pub struct Contention {
    bandwidth: Option<Bandwidth>,
    demands: BTreeMap<(u64, u64), Option<Demand>>,
    settled: BTreeMap<Question, Vec<f64>>,
    asked: u64,
    remembered: u64,
}

/// The size of the cache and of its ways, and who shares: by id and mask, sorted.
type Question = (u64, u64, Vec<(u64, u32)>);

/// How many demands and how many answers are kept; then all are worked out anew.
const MOST: usize = 65_536;

impl Contention {
    /// With a memory that gets slower when it is busy.
    pub fn with_bandwidth(bandwidth: Bandwidth) -> Self {
        Self { bandwidth: Some(bandwidth), ..Self::default() }
    }

    /// How many of the questions about sharers were answered from memory, and how many there were.
    pub fn remembered(&self) -> (u64, u64) {
        (self.remembered, self.asked)
    }

    /// The times of those who share, in the order of `group`, which is sorted by id and mask.
    fn together(&mut self, geometry: &CacheGeometry, group: &[Runner<'_>]) -> Vec<f64> {
        let way = geometry.way_size().0;
        let key = (geometry.size.0, way, group.iter().map(|one| (one.id, one.mask.bits())).collect());
        self.asked += 1;
        if let Some(seconds) = self.settled.get(&key) {
            self.remembered += 1;
            return seconds.clone();
        }
        if self.settled.len() >= MOST {
            self.settled.clear();
        }
        if self.demands.len() >= MOST {
            self.demands.clear();
        }
        for one in group {
            let of_curve = || Demand::of_curve(one.curve, geometry);
            self.demands.entry((one.id, geometry.size.0)).or_insert_with(of_curve);
        }
        let sharer = |one: &Runner<'_>| {
            let demand = self.demands.get(&(one.id, geometry.size.0))?.as_ref()?;
            Some(Sharer { demand, mask: one.mask.bits() })
        };
        let sharers: Option<Vec<Sharer<'_>>> = group.iter().map(sharer).collect();
        let seconds: Vec<f64> = match sharers {
            Some(sharers) => contention::settle(way as f64, &sharers, self.bandwidth)
                .into_iter()
                .map(|standing| standing.seconds)
                .collect(),
            None => EvenShares.seconds(geometry, group),
        };
        self.settled.insert(key, seconds.clone());
        seconds
    }
}

impl Rates for Contention {
    fn settle(&mut self, geometry: &CacheGeometry, runners: &[Runner<'_>], seconds: &mut Vec<f64>) {
        // Ways of several.
        let (_, shared) = runners.iter().fold((0, 0), |(once, twice), runner| {
            let ways = runner.mask.bits();
            (once | ways, twice | once & ways)
        });
        // A busy memory is everybody's.
        let all = if self.bandwidth.is_some() { u32::MAX } else { 0 };
        let is_alone = |runner: &Runner<'_>| runner.mask.bits() & (shared | all) == 0;
        let alone = |runner: &Runner<'_>| {
            if is_alone(runner) { runner.curve.seconds(geometry, runner.mask.ways()) } else { 0.0 }
        };
        let before = seconds.len();
        seconds.extend(runners.iter().map(alone));
        let seconds = &mut seconds[before..];
        let mut left: Vec<usize> = (0..runners.len()).filter(|&i| !is_alone(&runners[i])).collect();
        left.sort_by_key(|&i| (runners[i].id, runners[i].mask));
        while let Some(&first) = left.first() {
            let mut ways = runners[first].mask.bits() | all;
            loop {
                let touching = left.iter().filter(|&&i| runners[i].mask.bits() & ways != 0);
                let wider = touching.fold(ways, |ways, &i| ways | runners[i].mask.bits());
                if wider == ways {
                    break;
                }
                ways = wider;
            }
            let (group, rest): (Vec<usize>, Vec<usize>) =
                left.iter().partition(|&&i| runners[i].mask.bits() & ways != 0);
            left = rest;
            let members: Vec<Runner<'_>> = group.iter().map(|&i| runners[i]).collect();
            for (i, settled) in group.into_iter().zip(self.together(geometry, &members)) {
                seconds[i] = settled;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fsched_core::cache::{Bytes, CacheDomain, WayMask, Ways};
    use fsched_core::curve::{Curve, CurvePoint, Provenance, Traffic, TrafficPoint};

    use super::*;

    /// Falls from `worst` to 1 s over `mib`, and misses in proportion.
    fn falling(mib: u64, worst: f64, misses: f64) -> Curve {
        let point =
            |mib, seconds| CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds };
        let traffic = |mib, misses| TrafficPoint { cache: Bytes::mib(mib), misses, accesses: misses };
        let traffic = vec![traffic(1, misses), traffic(mib, misses / 1e3)];
        let traffic = Traffic::new(traffic, Provenance::Simulated).unwrap();
        let points = vec![point(1, worst), point(mib, 1.0)];
        Curve::new(points, Provenance::Simulated).unwrap().with_traffic(Some(traffic))
    }

    fn geometry() -> CacheGeometry {
        CacheDomain::nominal(4, Ways::clamped(8), Bytes::mib(1)).geometry
    }

    fn runner(id: u64, curve: &Curve, bits: u32) -> Runner<'_> {
        Runner { id, curve, mask: WayMask::new(bits).unwrap() }
    }

    #[test]
    fn who_shares_with_nobody_is_read_from_its_curve() {
        let curve = falling(8, 8.0, 1e9);
        let runners = [runner(0, &curve, 0b0000_0111), runner(1, &curve, 0b1111_1000)];
        let mut model = Contention::default();
        let apart: Vec<f64> =
            runners.iter().map(|one| one.curve.seconds(&geometry(), one.mask.ways())).collect();
        assert_eq!(model.seconds(&geometry(), &runners), apart);
        assert_eq!(model.remembered(), (0, 0));
    }

    #[test]
    fn who_misses_more_gets_more_of_a_shared_way() {
        let (hungry, modest) = (falling(8, 8.0, 1e9), falling(8, 8.0, 1e6));
        let pair = [runner(0, &hungry, 0xff), runner(1, &modest, 0xff)];
        let seconds = Contention::default().seconds(&geometry(), &pair);
        assert!(seconds[0] < seconds[1], "{seconds:?}");
        let alike = [runner(0, &hungry, 0xff), runner(0, &hungry, 0xff)];
        let seconds = Contention::default().seconds(&geometry(), &alike);
        assert!((seconds[0] / seconds[1] - 1.0).abs() < 1e-6, "{seconds:?}");
    }

    #[test]
    fn answers_are_remembered_whatever_the_order() {
        let (a, b) = (falling(8, 8.0, 1e9), falling(6, 3.0, 1e8));
        let mut model = Contention::default();
        let there = model.seconds(&geometry(), &[runner(0, &a, 0x3f), runner(1, &b, 0xfc)]);
        let back = model.seconds(&geometry(), &[runner(1, &b, 0xfc), runner(0, &a, 0x3f)]);
        assert_eq!(vec![there[1], there[0]], back);
        assert_eq!(model.remembered(), (1, 2));
    }

    #[test]
    fn without_misses_ways_are_shared_evenly() {
        let point =
            |mib, seconds| CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds };
        let curve = Curve::new(vec![point(1, 8.0), point(8, 1.0)], Provenance::Measured).unwrap();
        let runners = [runner(0, &curve, 0x0f), runner(1, &curve, 0xfc)];
        let even = EvenShares.seconds(&geometry(), &runners);
        assert_eq!(Contention::default().seconds(&geometry(), &runners), even);
    }
}
