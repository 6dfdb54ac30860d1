//! What a domain's runners lose when ways are taken from them: the last row of the exact split, as differences.

use crate::cache::{CacheGeometry, Ways};
use crate::split::{self, Frontier, MAX_WAYS, Price, Room, Runner};

/// The last row of the exact split of a domain's ways among those who run there, read as differences.
///
/// A runner that gets no ways of its own shares the smallest mask. That is so for as many as there are too many, for want
/// of ways or classes: those that lose the least.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    ways: u8,
    full: bool,
    extra: [f64; MAX_WAYS + 1],
    price: f64,
}

impl Row {
    /// The row of `runners` on all of a cache's ways but `kept`, with so many classes: costs are weights times the values of their rows.
    pub fn solve(mut runners: Vec<Runner<'_>>, geometry: &CacheGeometry, kept: u8, classes: u16) -> Self {
        if runners.is_empty() {
            let mut row = Self { ways: 0, full: true, extra: [0.0; MAX_WAYS + 1], price: 0.0 };
            row.vacate(geometry, kept, classes, false);
            return row;
        }
        let room = Room::of(geometry).fewer(kept);
        let ways = room.ways();
        let most = usize::from(ways / room.min()).min(usize::from(classes));
        let full = runners.len() >= most;
        if runners.len() > most {
            let loss = |runner: &Runner<'_>| {
                runner.weight * (runner.slowdown.at(room.min()) - runner.slowdown.at(ways))
            };
            runners.sort_by(|a, b| loss(b).total_cmp(&loss(a)));
            runners.truncate(most);
        }
        let frontier = Frontier::of(room, &runners);
        let price = Price::in_domain(&frontier);
        let mut extra = [f64::INFINITY; MAX_WAYS + 1];
        for taken in 0..=ways {
            extra[usize::from(taken)] = price.of(taken).unwrap_or(f64::INFINITY);
        }
        Self { ways, full, extra, price: extra[1] }
    }

    /// The same, with the price of a way that another row of the same runners says, whose weights are in seconds.
    #[must_use]
    pub fn priced_by(self, seconds: &Self) -> Self {
        Self { price: seconds.price, ..self }
    }

    /// Becomes the row of nobody, who loses nothing; `was_vacant` says whether it is that already, of perhaps other ways.
    pub(super) fn vacate(&mut self, geometry: &CacheGeometry, kept: u8, classes: u16, was_vacant: bool) {
        let room = Room::of(geometry).fewer(kept);
        let before = std::mem::replace(&mut self.ways, room.ways());
        self.full = self.ways < room.min() || classes == 0;
        let (first, last) =
            if was_vacant { (before.min(self.ways) + 1, before.max(self.ways)) } else { (0, MAX_WAYS as u8) };
        for ways in first..=last {
            self.extra[usize::from(ways)] = if ways <= self.ways { 0.0 } else { f64::INFINITY };
        }
        self.price = self.extra[1];
    }

    /// How many ways it splits.
    pub fn ways(&self) -> u8 {
        self.ways
    }

    /// What the runners lose when `ways` ways are taken from them; infinite where they cannot do without.
    pub fn extra(&self, ways: u8) -> f64 {
        self.extra.get(usize::from(ways)).copied().unwrap_or(f64::INFINITY)
    }

    /// What one way is worth here: what is lost without it, seconds; `None` where everybody is at the minimum, so that there
    /// is none to take.
    pub fn price(&self) -> Option<f64> {
        Some(self.price).filter(|price| price.is_finite())
    }

    /// What it costs in all to add a runner with `factor` times this row: the difference of two exact splits.
    /// Where there are no ways or classes left, it shares the smallest mask.
    pub fn adding(&self, times: &split::Row, factor: f64, least: Ways) -> f64 {
        let least = least.get();
        if self.full {
            return times.at(least) * factor;
        }
        let own = usize::from(least)..=usize::from(self.ways);
        let costs = self.extra[own.clone()].iter().zip(&times.values()[own]);
        costs.map(|(extra, seconds)| extra + seconds * factor).fold(f64::INFINITY, least_of)
    }

    /// How many ways it would have: the fewest of equal cost.
    pub fn share(&self, times: &split::Row, factor: f64, least: Ways) -> Ways {
        let cost = |ways: u8| self.extra(ways) + times.at(ways) * factor;
        let mut best = least.get();
        if !self.full {
            for own in least.get()..=self.ways {
                if cost(own) < cost(best) {
                    best = own;
                }
            }
        }
        Ways::clamped(best)
    }
}

/// The smaller of two numbers; without the care that [`f64::min`] takes of what is none.
fn least_of(a: f64, b: f64) -> f64 {
    if b < a { b } else { a }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cache::{Bytes, CacheDomain};

    /// Tries every division of `ways` among `runners`.
    fn by_force(runners: &[Vec<f64>], ways: u8, least: u8) -> f64 {
        let Some((first, rest)) = runners.split_first() else { return 0.0 };
        (least..=ways)
            .map(|own| times(first).at(own) + by_force(rest, ways - own, least))
            .fold(f64::INFINITY, f64::min)
    }

    fn falling(ways: usize) -> impl Strategy<Value = Vec<f64>> {
        proptest::collection::vec(0u32..100, ways).prop_map(|mut times| {
            times.sort_unstable_by(|a, b| b.cmp(a));
            times.into_iter().map(f64::from).collect()
        })
    }

    fn times(seconds: &[f64]) -> split::Row {
        split::Row::new(seconds).unwrap()
    }

    fn row(runners: &[Vec<f64>], ways: u8, least: u8, classes: u16) -> Row {
        let mut geometry = CacheDomain::nominal(8, Ways::clamped(ways), Bytes::mib(1)).geometry;
        geometry.min_ways = Ways::clamped(least);
        let rows: Vec<split::Row> = runners.iter().map(|seconds| times(seconds)).collect();
        Row::solve(rows.iter().map(|row| Runner::new(1.0, row)).collect(), &geometry, 0, classes)
    }

    #[test]
    fn an_empty_domain_gives_its_ways_for_nothing() {
        let row = row(&[], 11, 1, 7);
        assert_eq!(row.price(), Some(0.0));
        assert_eq!(row.adding(&times(&[5.0, 3.0, 2.0]), 1.0, Ways::ONE), 2.0);
        assert_eq!(row.extra(12), f64::INFINITY);
    }

    #[test]
    fn who_finds_no_ways_left_shares_the_smallest_mask() {
        let runners = vec![vec![9.0, 1.0], vec![9.0, 1.0]];
        assert_eq!(row(&runners, 2, 1, 7).adding(&times(&[4.0, 2.0]), 1.0, Ways::ONE), 4.0);
        // One class: the two share it, as far as this row can tell.
        assert_eq!(row(&runners, 11, 1, 1).adding(&times(&[4.0, 2.0]), 1.0, Ways::ONE), 4.0);
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
            let (before, after) = (by_force(&runners, 6, least), by_force(&all, 6, least));
            let row = row(&runners, 6, least, 7);
            // Whole numbers: sums are exact.
            prop_assert_eq!(row.adding(&times(&newcomer), 1.0, Ways::clamped(least)), after - before);
            for taken in 0..=6 {
                prop_assert_eq!(row.extra(taken), by_force(&runners, 6 - taken, least) - before);
            }
        }
    }
}
