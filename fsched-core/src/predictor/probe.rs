//! Which way counts a benchmark runs, for predictors to choose from.

use crate::cache::Ways;
use crate::predictor::Bench;

/// How much slower than the best is still good enough: the answer that probing has to pin down.
const GOOD_ENOUGH: f64 = 1.05;

/// The most and the least, then the middle of the gap in which the time crosses 5 % above the best, until
/// no gap is left. `seconds` are the times learnt; where some are missing, the widest gap is halved.
pub(super) fn bisect(bench: &Bench<'_>, seconds: impl Fn(Ways) -> Option<f64>) -> Option<Ways> {
    let (least, most) = open(bench)?;
    if let Some(edge) = [most, least].into_iter().find(|ways| !bench.done.contains(ways)) {
        return Some(edge);
    }
    let mut done: Vec<Ways> =
        bench.done.iter().copied().filter(|ways| (least..=most).contains(ways)).collect();
    done.sort_unstable();
    done.dedup();
    let times: Option<Vec<f64>> = done.iter().map(|&ways| seconds(ways)).collect();
    let mut gaps = done.windows(2).filter(|gap| gap[1].get() - gap[0].get() > 1);
    let gap = match times {
        Some(times) => {
            let bound = GOOD_ENOUGH * times.last().copied()?;
            let good = times.iter().position(|&time| time <= bound)?;
            let crossing = good.checked_sub(1)?;
            gaps.find(|gap| gap[0] == done[crossing])?
        }
        None => gaps.max_by_key(|gap| gap[1].get() - gap[0].get())?,
    };
    Some(Ways::clamped(gap[0].get().midpoint(gap[1].get())))
}

/// `bench.budget` way counts, evenly spread from the least to the most.
pub(super) fn spread(bench: &Bench<'_>) -> Option<Ways> {
    let (least, most) = open(bench)?;
    let (first, last) = (usize::from(least.get()), usize::from(most.get()));
    let count = bench.budget.min(last - first + 1);
    if count < 2 {
        return (!bench.done.contains(&most)).then_some(most);
    }
    let nth = |i: usize| first + ((last - first) * i + (count - 1) / 2) / (count - 1);
    (0..count).map(|i| Ways::clamped(nth(i) as u8)).find(|ways| !bench.done.contains(ways))
}

/// The least and the most ways a probe may have: the whole cache only, where masks are not enforced. `None` where
/// the budget is spent.
fn open(bench: &Bench<'_>) -> Option<(Ways, Ways)> {
    let most = bench.geometry.usable_ways();
    let least = if bench.enforced { bench.geometry.min_ways.min(most) } else { most };
    (bench.done.len() < bench.budget).then_some((least, most))
}

/// The whole cache, once.
pub(super) fn whole(bench: &Bench<'_>) -> Option<Ways> {
    let (_, most) = open(bench)?;
    (!bench.done.contains(&most)).then_some(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predictor::tests::geometry;

    fn run(budget: usize, ask: impl Fn(&Bench<'_>) -> Option<Ways>) -> Vec<u8> {
        let geometry = geometry(20);
        let mut done = Vec::new();
        while let Some(ways) = ask(&Bench { geometry: &geometry, enforced: true, done: &done, budget }) {
            done.push(ways);
        }
        done.iter().map(|ways| ways.get()).collect()
    }

    #[test]
    fn any_cliff_is_found_in_seven_probes() {
        for cliff in 1..=20 {
            let seconds = |ways: Ways| Some(if ways.get() < cliff { 2.0 } else { 1.0 });
            let done = run(usize::MAX, |bench| bisect(bench, seconds));
            assert!(done.len() <= 7, "{cliff}: {done:?}");
            assert!(done.contains(&cliff), "{cliff}: {done:?}");
            assert!(cliff == 1 || done.contains(&(cliff - 1)), "{cliff}: {done:?}");
        }
    }

    #[test]
    fn a_flat_curve_takes_two_probes() {
        assert_eq!(run(10, |bench| bisect(bench, |_| Some(1.0))), [20, 1]);
    }

    #[test]
    fn without_times_the_widest_gap_is_halved() {
        assert_eq!(run(5, |bench| bisect(bench, |_| None)), [20, 1, 10, 15, 5]);
        assert_eq!(run(usize::MAX, |bench| bisect(bench, |_| None)).len(), 20);
    }

    #[test]
    fn spread_probes_include_both_ends() {
        assert_eq!(run(5, spread), [1, 6, 11, 15, 20]);
        assert_eq!(run(2, spread), [1, 20]);
        assert_eq!(run(1, spread), [20]);
        assert_eq!(run(0, spread), [0u8; 0]);
        assert_eq!(run(99, spread), (1..=20).collect::<Vec<_>>());
    }
}
