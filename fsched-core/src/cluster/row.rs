//! What a domain's runners lose when ways are taken from them: the last row of the exact split.

use crate::cache::Ways;

/// The last row of the exact split of a domain's ways among those who run there:
/// `best[i][k] = min over w of best[i−1][k−w] + T_i(w)`, O(runners · ways²), read as differences.
///
/// A runner that gets no ways of its own shares the smallest mask. That is so for as many as there are too many, for want
/// of ways or classes: those that lose the least.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    ways: u8,
    full: bool,
    extra: [f64; Ways::MAX as usize + 1],
}

impl Row {
    /// The row of `runners` on `ways` ways, of which a mask has at least `least`, with so many classes.
    pub fn solve<'a>(runners: impl Iterator<Item = &'a [f64]>, ways: u8, least: Ways, classes: u16) -> Self {
        let ways = ways.min(Ways::MAX);
        let least = usize::from(least.get());
        let room = (usize::from(ways) / least).min(usize::from(classes));
        let mut runners: Vec<&[f64]> = runners.filter(|times| !times.is_empty()).collect();
        let full = runners.len() >= room;
        if runners.len() > room {
            let loss = |times: &[f64]| at(times, least) - at(times, usize::from(ways));
            runners.sort_by(|a, b| loss(b).total_cmp(&loss(a)));
            runners.truncate(room);
        }
        let mut best = [0.0; Ways::MAX as usize + 1];
        for times in runners {
            // From the top, so that what is still to be read is not yet overwritten.
            for have in (0..=usize::from(ways)).rev() {
                let mut least_cost = f64::INFINITY;
                for own in least..=have {
                    let cost = best[have - own] + at(times, own);
                    if cost < least_cost {
                        least_cost = cost;
                    }
                }
                best[have] = least_cost;
            }
        }
        let whole = best[usize::from(ways)];
        let mut extra = [f64::INFINITY; Ways::MAX as usize + 1];
        for taken in 0..=usize::from(ways) {
            extra[taken] = (best[usize::from(ways) - taken] - whole).max(0.0);
        }
        Self { ways, full, extra }
    }

    /// How many ways it splits.
    pub fn ways(&self) -> u8 {
        self.ways
    }

    /// What the runners lose, in seconds, when `ways` ways are taken from them; infinite where they cannot do without.
    pub fn extra(&self, ways: u8) -> f64 {
        self.extra.get(usize::from(ways)).copied().unwrap_or(f64::INFINITY)
    }

    /// What one way is worth here: what is lost without it, seconds; `None` where everybody is at the minimum, so that there
    /// is none to take.
    pub fn price(&self) -> Option<f64> {
        Some(self.extra[1]).filter(|price| price.is_finite())
    }

    /// What it costs in all to add a runner that takes `factor` times these times: the difference of two exact splits.
    /// Where there are no ways or classes left, it shares the smallest mask.
    pub fn adding(&self, times: &[f64], factor: f64, least: Ways) -> f64 {
        self.best(times, factor, least).0
    }

    /// How many ways it would have: the fewest of equal cost.
    pub fn share(&self, times: &[f64], factor: f64, least: Ways) -> Ways {
        Ways::clamped(self.best(times, factor, least).1)
    }

    fn best(&self, times: &[f64], factor: f64, least: Ways) -> (f64, u8) {
        let least = least.get();
        if self.full {
            return (at(times, least.into()) * factor, least);
        }
        let mut best = (f64::INFINITY, least);
        for own in least..=self.ways {
            let cost = self.extra[usize::from(own)] + at(times, own.into()) * factor;
            if cost < best.0 {
                best = (cost, own);
            }
        }
        best
    }
}

/// What a runner costs on `ways` ways; beyond the last known number, what it costs there.
fn at(times: &[f64], ways: usize) -> f64 {
    times.get(ways.saturating_sub(1)).or(times.last()).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tries every division of `ways` among `runners`.
    fn by_force(runners: &[Vec<f64>], ways: usize, least: usize) -> f64 {
        let Some((first, rest)) = runners.split_first() else { return 0.0 };
        (least..=ways)
            .map(|own| at(first, own) + by_force(rest, ways - own, least))
            .fold(f64::INFINITY, f64::min)
    }

    fn falling(ways: usize) -> impl Strategy<Value = Vec<f64>> {
        proptest::collection::vec(0u32..100, ways).prop_map(|mut times| {
            times.sort_unstable_by(|a, b| b.cmp(a));
            times.into_iter().map(f64::from).collect()
        })
    }

    fn row(runners: &[Vec<f64>], ways: u8, least: u8, classes: u16) -> Row {
        Row::solve(runners.iter().map(Vec::as_slice), ways, Ways::clamped(least), classes)
    }

    #[test]
    fn an_empty_domain_gives_its_ways_for_nothing() {
        let row = row(&[], 11, 1, 7);
        assert_eq!(row.price(), Some(0.0));
        assert_eq!(row.adding(&[5.0, 3.0, 2.0], 1.0, Ways::ONE), 2.0);
        assert_eq!(row.extra(12), f64::INFINITY);
    }

    #[test]
    fn who_finds_no_ways_left_shares_the_smallest_mask() {
        let runners = vec![vec![9.0, 1.0], vec![9.0, 1.0]];
        assert_eq!(row(&runners, 2, 1, 7).adding(&[4.0, 2.0], 1.0, Ways::ONE), 4.0);
        // One class: the two share it, as far as this row can tell.
        assert_eq!(row(&runners, 11, 1, 1).adding(&[4.0, 2.0], 1.0, Ways::ONE), 4.0);
    }

    proptest! {
        #[test]
        fn adding_costs_the_difference_of_two_exact_splits(
            runners in proptest::collection::vec(falling(6), 0..4),
            newcomer in falling(6),
            least in 1u8..3,
        ) {
            let all: Vec<_> = runners.iter().cloned().chain([newcomer.clone()]).collect();
            prop_assume!(all.len() * usize::from(least) <= 6);
            let (before, after) = (by_force(&runners, 6, least.into()), by_force(&all, 6, least.into()));
            let row = row(&runners, 6, least, 7);
            // Whole numbers: sums are exact.
            prop_assert_eq!(row.adding(&newcomer, 1.0, Ways::clamped(least)), after - before);
            for taken in 0..=6 {
                prop_assert_eq!(row.extra(taken), by_force(&runners, usize::from(6 - taken), least.into()) - before);
            }
        }
    }
}
