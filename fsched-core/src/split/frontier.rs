use std::marker::PhantomData;
use std::ops::RangeInclusive;

use crate::split::{MAX_WAYS, Room, Runner};

/// One value for every number of ways, 0 to 32.
pub(super) type PerWays<T> = [T; MAX_WAYS + 1];

/// What the best split of some runners costs, for every number of ways up to the room's: the dynamic programme's last row.
///
/// The cost is the sum of weight × slowdown; infinite where the ways do not suffice for a mask each. It looks at the number of
/// ways only, so where foreign masks cut the room in pieces it is a lower bound. Adding a runner is O(ways²), asking what
/// one would cost is O(ways); pinned runners change nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frontier {
    ways: u8,
    min: u8,
    cost: PerWays<f64>,
}

impl Frontier {
    /// Nobody in this room.
    pub fn empty(room: Room) -> Self {
        Self { ways: room.ways(), min: room.min(), cost: [0.0; MAX_WAYS + 1] }
    }

    /// All of these in this room.
    pub fn of(room: Room, runners: &[Runner<'_>]) -> Self {
        runners.iter().fold(Self::empty(room), |frontier, runner| frontier.with(runner))
    }

    /// The same runners and one more.
    #[must_use]
    pub fn with(&self, runner: &Runner<'_>) -> Self {
        if runner.pinned.is_some() {
            return *self;
        }
        Self { cost: best_splits::<Add>(&self.cost, &costs(runner), self.ways, self.min, 0), ..*self }
    }

    /// What the best split costs with all ways; `None` where there is no room for everybody.
    pub fn cost(&self) -> Option<f64> {
        self.cost_at(self.ways)
    }

    /// What the best split costs with `ways` ways, at most all there are; `None` where that is too few.
    pub fn cost_at(&self, ways: u8) -> Option<f64> {
        let cost = self.cost[usize::from(ways.min(self.ways))];
        cost.is_finite().then_some(cost)
    }

    /// What the best split costs with one runner more; `None` where there is no room for it. Equal to `self.with(runner).cost()`.
    pub fn cost_with(&self, runner: &Runner<'_>) -> Option<f64> {
        if runner.pinned.is_some() {
            return self.cost();
        }
        let all = self.ways;
        let cost = (self.min..=all)
            .map(|ways| self.cost[usize::from(all - ways)] + runner.weight * runner.slowdown.at(ways))
            .fold(f64::INFINITY, f64::min);
        cost.is_finite().then_some(cost)
    }

    /// How many ways there are.
    pub fn ways(&self) -> u8 {
        self.ways
    }
}

/// How the costs of two runners make one.
pub(super) trait Combine {
    fn combine(a: f64, b: f64) -> f64;
}

/// The sum.
pub(super) struct Add;

impl Combine for Add {
    fn combine(a: f64, b: f64) -> f64 {
        a + b
    }
}

/// The larger.
pub(super) struct Max;

impl Combine for Max {
    fn combine(a: f64, b: f64) -> f64 {
        if a > b { a } else { b }
    }
}

/// Weight × slowdown by ways.
pub(super) fn costs(runner: &Runner<'_>) -> PerWays<f64> {
    std::array::from_fn(|ways| runner.weight * runner.slowdown.at(ways as u8))
}

/// For every number of ways up to `most` the least of `combine(before[ways − own], cost[own])`, where whoever came before needs `taken` ways
/// at least; infinite for fewer than suffice, and for more.
///
/// Rounding keeps order (`a ≤ b` makes `a + c ≤ b + c`), so the least over all splits of a sum added up from the left is
/// exactly what this finds, to the last bit.
pub(super) fn best_splits<C: Combine>(
    before: &PerWays<f64>,
    cost: &PerWays<f64>,
    most: u8,
    min: u8,
    taken: usize,
) -> PerWays<f64> {
    let mut best = [f64::INFINITY; MAX_WAYS + 1];
    find_best_splits::<C>(before, cost, most, min, taken, &mut best);
    best
}

/// The same, written to `best`.
pub(super) fn find_best_splits<C: Combine>(
    before: &PerWays<f64>,
    cost: &PerWays<f64>,
    most: u8,
    min: u8,
    taken: usize,
    best: &mut PerWays<f64>,
) {
    let most = usize::from(most).min(MAX_WAYS);
    let own = usize::from(min)..=most.saturating_sub(taken);
    let widest = pulp::Arch::new();
    let (found, beyond) = best.split_at_mut(most + 1);
    // A fixed width lets the compiler keep all of them in registers.
    match most {
        0..8 => found.copy_from_slice(&widest.dispatch(Least::<C, 8>::new(before, cost, own))[..=most]),
        8..16 => found.copy_from_slice(&widest.dispatch(Least::<C, 16>::new(before, cost, own))[..=most]),
        16..24 => found.copy_from_slice(&widest.dispatch(Least::<C, 24>::new(before, cost, own))[..=most]),
        _ => {
            let least = widest.dispatch(Least::<C, { MAX_WAYS + 1 }>::new(before, cost, own));
            found.copy_from_slice(&least[..=most]);
        }
    }
    beyond.fill(f64::INFINITY);
}

/// The least for `0..WIDTH` ways, with the widest vectors that a machine has.
struct Least<'a, C, const WIDTH: usize> {
    before: &'a PerWays<f64>,
    cost: &'a PerWays<f64>,
    own: RangeInclusive<usize>,
    combine: PhantomData<C>,
}

impl<'a, C, const WIDTH: usize> Least<'a, C, WIDTH> {
    fn new(before: &'a PerWays<f64>, cost: &'a PerWays<f64>, own: RangeInclusive<usize>) -> Self {
        Self { before, cost, own, combine: PhantomData }
    }
}

impl<C: Combine, const WIDTH: usize> pulp::WithSimd for Least<'_, C, WIDTH> {
    type Output = [f64; WIDTH];

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
        // Nobody has less than no ways.
        let mut shifted = [f64::INFINITY; 2 * MAX_WAYS + 1];
        shifted[MAX_WAYS..].copy_from_slice(self.before);
        let mut best = [f64::INFINITY; WIDTH];
        for own in self.own {
            let cost = self.cost[own];
            for (best, &rest) in best.iter_mut().zip(&shifted[MAX_WAYS - own..][..WIDTH]) {
                let all = C::combine(rest, cost);
                *best = if all < *best { all } else { *best };
            }
        }
        best
    }
}
