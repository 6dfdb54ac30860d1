use proptest::prelude::*;

use super::*;
use crate::cache::{Bytes, CacheDomain, Ways};
use crate::curve::{Curve, CurvePoint, Provenance, Traffic, TrafficPoint};

const CAPACITY: f64 = 1024.0;

/// A loop over so many bytes: everything misses until it fits. A miss costs as much as the work.
fn looping(bytes: f64) -> Demand {
    let point = |cache: f64, misses: f64| DemandPoint { cache, seconds: 1.0 + misses, misses };
    let points = [point(0.0, 1.0), point(bytes - 1.0, 1.0), point(bytes, 0.0)];
    Demand::new(&points, Bytes(CAPACITY as u64)).unwrap()
}

fn in_one_mask(demands: &[&Demand]) -> Vec<Standing> {
    let sharers: Vec<Sharer<'_>> = demands.iter().map(|demand| Sharer { demand, mask: 0b1111 }).collect();
    settle(CAPACITY / 4.0, &sharers, None)
}

#[test]
fn two_that_fit_together_run_as_if_alone() {
    let (a, b) = (looping(400.0), looping(500.0));
    for standing in in_one_mask(&[&a, &b]) {
        assert!((standing.seconds - 1.0).abs() < 0.02, "{standing:?}");
    }
}

#[test]
fn two_loops_that_do_not_fit_together_both_thrash() {
    let (a, b) = (looping(600.0), looping(600.0));
    for standing in in_one_mask(&[&a, &b]) {
        assert!((standing.seconds - 2.0).abs() < 1e-6, "{standing:?}");
        assert!((standing.cache - 512.0).abs() < 1.0, "{standing:?}");
    }
}

#[test]
fn a_stream_pushes_out_who_is_slower() {
    // The stream fetches a byte in half a second, the loop needs 700 bytes in 700 seconds, in which the stream fills the rest and more.
    let stream =
        Demand::new(&[DemandPoint { cache: 0.0, seconds: 0.5, misses: 1.0 }], Bytes(CAPACITY as u64))
            .unwrap();
    let standing = in_one_mask(&[&looping(700.0), &stream]);
    assert!((standing[0].seconds - 2.0).abs() < 1e-6, "{standing:?}");
    // Four times as fast, it holds four times as much.
    assert!((standing[1].cache / standing[0].cache - 4.0).abs() < 0.01, "{standing:?}");
}

#[test]
fn a_runner_alone_in_its_mask_has_all_of_it() {
    let demand = looping(300.0);
    let stream = looping(2000.0);
    let sharers = [Sharer { demand: &demand, mask: 0b0011 }, Sharer { demand: &stream, mask: 0b1100 }];
    let standing = settle(CAPACITY / 4.0, &sharers, None);
    assert!((standing[0].seconds - 1.0).abs() < 1e-6);
    assert!((standing[1].cache - CAPACITY / 2.0).abs() < 1.0);
}

#[test]
fn a_mask_inside_another_is_left_to_whom_has_nothing_else() {
    let (small, large) = (looping(2000.0), looping(2000.0));
    let sharers = [Sharer { demand: &small, mask: 0b0001 }, Sharer { demand: &large, mask: 0b1111 }];
    let standing = settle(CAPACITY / 4.0, &sharers, None);
    assert!((standing[0].cache - 256.0).abs() < 1.0, "{standing:?}");
    assert!((standing[1].cache - 768.0).abs() < 1.0, "{standing:?}");
}

#[test]
fn a_busy_memory_makes_slower_only_where_asked_for() {
    let (a, b) = (looping(2000.0), looping(2000.0));
    let sharers = [Sharer { demand: &a, mask: 1 }, Sharer { demand: &b, mask: 1 }];
    let idle = settle(CAPACITY, &sharers, None);
    let busy = settle(CAPACITY, &sharers, Some(Bandwidth { limit: 2.0, seconds_per_byte: 1.0 }));
    assert!(busy[0].seconds > idle[0].seconds * 1.1, "{busy:?}");
    assert!(busy[0].traffic + busy[1].traffic <= 2.0 * 1.05, "{busy:?}");
}

#[test]
fn a_curve_without_misses_is_no_demand() {
    let geometry = CacheDomain::nominal(1, Ways::clamped(4), Bytes::mib(1)).geometry;
    let point = |mib, seconds| CurvePoint { cache: Bytes::mib(mib), seconds, low: seconds, high: seconds };
    let curve = Curve::new(vec![point(1, 4.0), point(4, 2.0)], Provenance::Measured).unwrap();
    assert_eq!(Demand::of_curve(&curve, &geometry), None);
    let traffic = |mib, misses| TrafficPoint { cache: Bytes::mib(mib), misses, accesses: 2.0 };
    let traffic = Traffic::new(vec![traffic(1, 64.0), traffic(4, 0.0)], Provenance::Simulated).unwrap();
    let demand = Demand::of_curve(&curve.with_traffic(Some(traffic)), &geometry).unwrap();
    // Nothing held: 128 bytes missed, twice as far up as at one way.
    assert!((demand.seconds(0.0) - 6.0).abs() < 1e-9);
    assert!((demand.misses(0.0) - 128.0).abs() < 1e-9);
    assert!((demand.seconds(Bytes::mib(1).0 as f64) - 4.0).abs() < 1e-9);
    assert!((demand.slowdown(Bytes::mib(1).0 as f64) - 2.0).abs() < 1e-9);
}

#[test]
fn bad_points_are_refused() {
    let new = |points: &[(f64, f64, f64)]| {
        let point = |&(cache, seconds, misses): &(f64, f64, f64)| DemandPoint { cache, seconds, misses };
        Demand::new(&points.iter().map(point).collect::<Vec<_>>(), Bytes(64)).unwrap_err()
    };
    assert_eq!(new(&[]), DemandError::Empty);
    assert_eq!(new(&[(0.0, 0.0, 1.0)]), DemandError::BadNumber);
    assert_eq!(new(&[(0.0, 1.0, f64::NAN)]), DemandError::BadNumber);
    assert_eq!(new(&[(1.0, 1.0, 1.0), (1.0, 1.0, 1.0)]), DemandError::Unsorted);
    let point = DemandPoint { cache: 0.0, seconds: 1.0, misses: 1.0 };
    assert_eq!(Demand::new(&[point], Bytes(0)), Err(DemandError::NoCache));
}

proptest! {
    #[test]
    fn nobody_holds_more_than_its_mask_and_all_no_more_than_there_is(
        curves in prop::collection::vec((prop::collection::vec(0.0f64..3.0, 1..6), 0.1f64..5.0, any::<u16>()), 1..8),
    ) {
        let demand = |(misses, work, _): &(Vec<f64>, f64, u16)| {
            let point = |(i, misses): (usize, &f64)| DemandPoint {
                cache: i as f64 * 200.0, seconds: work + misses, misses: *misses,
            };
            Demand::new(&misses.iter().enumerate().map(point).collect::<Vec<_>>(), Bytes(1600)).unwrap()
        };
        let demands: Vec<Demand> = curves.iter().map(demand).collect();
        let sharers: Vec<Sharer<'_>> = demands.iter().zip(&curves)
            .map(|(demand, (.., mask))| Sharer { demand, mask: u32::from(*mask) }).collect();
        let standing = settle(100.0, &sharers, None);
        let mut all = 0;
        for (sharer, standing) in sharers.iter().zip(&standing) {
            all |= sharer.mask;
            prop_assert!(standing.cache <= f64::from(sharer.mask.count_ones()) * 100.0 * (1.0 + 1e-6));
            prop_assert!(standing.cache >= 0.0 && standing.seconds > 0.0 && standing.seconds.is_finite());
            prop_assert!(standing.traffic.is_finite());
        }
        let held: f64 = standing.iter().map(|standing| standing.cache).sum();
        prop_assert!(held <= f64::from(all.count_ones()) * 100.0 * (1.0 + 1e-6));
        prop_assert_eq!(&standing, &settle(100.0, &sharers, None));
    }
}
