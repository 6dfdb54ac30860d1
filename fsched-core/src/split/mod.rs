//! Who gets how many ways of one cache: pure solvers over plain ordinals, `fn solve(problem) -> solution`.
//!
//! | file | what |
//! | --- | --- |
//! | `row.rs` | [`Row`]: a curve read off at whole ways |
//! | `room.rs` | [`Room`]: the ways there are to give, and the rules for masks |
//! | `exact.rs` | [`solve`]: the exact split, by dynamic programming |
//! | `frontier.rs` | [`Frontier`]: what the best split costs with fewer ways, or with one runner more |
//! | `rules.rs` | [`Rule`]: the exact split and the rules it is compared with |
//! | `layout.rs` | [`lay_out`]: sizes to masks, as many in place as possible; [`writes`]: in which order |
//! | [`contention`] | how fast runners run that share ways |
//! | [`sharing`] | who shares a class with whom, where there are more runners than classes |
//! | [`repartition`] | when to change masks, and when to leave them |
//! | `price.rs` | [`Price`]: what a way is worth now |
//! | `worth.rs` | [`worth`]: what a run's slowdown counts |
//!
//! A runner is its place in the problem's list; who that is, the caller knows. Ways are plain numbers here, and "slowdown" is
//! running time over the time with the whole cache.

pub mod contention;
mod exact;
mod frontier;
mod layout;
mod price;
pub mod repartition;
mod room;
mod row;
mod rules;
pub mod sharing;
#[cfg(test)]
mod tests;
mod worth;

pub use self::exact::solve;
pub use self::frontier::Frontier;
pub use self::layout::{Wanted, Write, lay_out, writes};
pub use self::price::{Price, ways_worth};
pub use self::room::Room;
pub use self::row::{Row, RowError};
pub use self::rules::{Rule, split};
pub use self::worth::worth;
use crate::cache::WayMask;

/// The most ways a cache has.
pub const MAX_WAYS: usize = crate::cache::Ways::MAX as usize;

/// One who gets a part of the cache for itself.
#[derive(Debug, Clone, Copy)]
pub struct Runner<'a> {
    /// What its slowdown counts in the sum; seconds it still has to run make the sum seconds.
    pub weight: f64,
    /// Slowdown by ways.
    pub slowdown: &'a Row,
    /// Misses per second by ways, where known. Only [`Rule::MissLookahead`] looks at them.
    pub misses: Option<&'a Row>,
    /// The ways it has exclusively, and keeps. It is no part of the objective then: there is nothing to choose.
    pub pinned: Option<WayMask>,
}

impl<'a> Runner<'a> {
    /// One whose ways may be chosen.
    pub fn new(weight: f64, slowdown: &'a Row) -> Self {
        Self { weight, slowdown, misses: None, pinned: None }
    }
}

/// One cache to be split.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// What there is to give. The ways of pinned runners may still be in it.
    pub room: Room,
    /// Who wants some of it.
    pub runners: &'a [Runner<'a>],
}

impl Problem<'_> {
    /// The room without what pinned runners have.
    pub fn free(&self) -> Room {
        let pinned = self.runners.iter().filter_map(|runner| runner.pinned);
        self.room.without(pinned.fold(0, |all, mask| all | mask.bits()))
    }
}

/// What a split should make small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// The sum of weight × slowdown.
    Sum,
    /// The worst slowdown, weights aside.
    Worst,
    /// The worst slowdown, and of all splits with the least worst, the sum of weight × slowdown.
    WorstThenSum,
}

/// How many ways each runner gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// By runner. What is left of the room would help nobody.
    pub ways: Vec<u8>,
    /// The sum of weight × slowdown of those who are not pinned, added up in their order.
    pub sum: f64,
    /// The worst slowdown of those who are not pinned; 0 where there are none.
    pub worst: f64,
}

impl Solution {
    fn of(problem: &Problem<'_>, ways: Vec<u8>) -> Self {
        let (mut sum, mut worst) = (0.0, 0.0_f64);
        for (runner, &ways) in problem.runners.iter().zip(&ways).filter(|(runner, _)| runner.pinned.is_none())
        {
            sum += runner.weight * runner.slowdown.at(ways);
            worst = worst.max(runner.slowdown.at(ways));
        }
        Self { ways, sum, worst }
    }
}

/// Not everybody can have a part: let some share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{runners} runners cannot have a part each of a cache that has room for {most}")]
pub struct TooMany {
    /// How many wanted a part.
    pub runners: usize,
    /// How many there is room for.
    pub most: usize,
}
