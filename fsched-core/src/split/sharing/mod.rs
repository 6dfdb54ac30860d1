//! Who shares a class with whom, where there are more runners than classes or ways.
//!
//! | file | what |
//! | --- | --- |
//! | `costs.rs` | [`GroupCosts`]: what runners cost that share so many ways, each group reckoned once |
//! | `ordered.rs` | [`share`]: the best groups of neighbours in several orders, by dynamic programming |
//! | `exhaustive.rs` | [`share_exhaustively`]: the best groups there are, up to 8 runners |
//! | `baselines.rs` | [`share_like_kpart`], [`share_like_lfoc`]: published rules, to compare with |

mod baselines;
mod costs;
mod exhaustive;
mod ordered;
#[cfg(test)]
mod tests;

pub use self::baselines::{share_like_kpart, share_like_lfoc};
pub use self::costs::GroupCosts;
pub use self::exhaustive::share_exhaustively;
pub use self::ordered::share;
use crate::split::Row;
use crate::split::contention::Demand;

/// The most runners a problem may have.
pub const MAX_MEMBERS: usize = 64;

/// The power of slowdowns with which [`share`] is ahead of the rules it is compared with, in the mean and in fairness.
pub const POWER: f64 = 1.5;

/// What [`SharingProblem::fairness`] has to be for that.
pub const FAIRNESS: f64 = 0.075;

/// One who may have to share.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// What its slowdown counts.
    pub weight: f64,
    /// Slowdown by ways, alone in them.
    pub slowdown: &'a Row,
    /// What it does to a cache, where its misses are known. Where they are not, it is taken to be pessimistic: in a group it
    /// is charged as if it had no more than its equal share of the ways, rounded down, and below one way, at a share of `x`,
    /// `2 − x` times its time at one way; the others get what its equal share leaves.
    pub demand: Option<&'a Demand>,
}

/// One cache whose ways groups are to have.
#[derive(Debug, Clone, Copy)]
pub struct SharingProblem<'a> {
    /// How many ways there are to give; side by side, if masks have to be contiguous.
    pub ways: u8,
    /// The fewest ways of a mask.
    pub min: u8,
    /// Bytes in a way.
    pub way_size: f64,
    /// The most groups.
    pub classes: u8,
    /// Who runs; at most [`MAX_MEMBERS`].
    pub members: &'a [Member<'a>],
    /// The cost of a runner is weight × slowdown to the power of this: 1 makes the sum of slowdowns small, more also the
    /// differences between them.
    pub power: f64,
    /// How much more than the least a sharing may cost that is fairer: this part of it, times the number of runners beyond one
    /// for each group, and half a runner where there are none, over the number of ways. 0: the least cost, whoever pays it.
    pub fairness: f64,
}

impl SharingProblem<'_> {
    /// How much more than the least may be paid for fairness, as a part of it.
    fn slack(&self) -> f64 {
        let beyond = self.members.len().saturating_sub(self.most_groups());
        self.fairness * (beyond as f64).max(0.5) / f64::from(self.ways.max(1))
    }

    /// The most groups that can have a mask.
    fn most_groups(&self) -> usize {
        usize::from(self.classes).min(usize::from(self.ways / self.min.max(1)))
    }
}

/// Runners that share a mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedPart {
    /// Who, by place in the problem, rising.
    pub members: Vec<usize>,
    /// How many ways they have together.
    pub ways: u8,
}

/// Who shares with whom, and what that costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Sharing {
    /// Everybody is in exactly one.
    pub groups: Vec<SharedPart>,
    /// The sum of the runners' costs.
    pub cost: f64,
}

/// No group can have a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SharingError {
    /// Fewer ways than a mask has to have, or no class.
    #[error("there are no ways or no classes to share")]
    NoRoom,
    /// More runners than [`MAX_MEMBERS`], or than the search can take.
    #[error("at most {0} runners can be shared out here")]
    TooMany(usize),
}
