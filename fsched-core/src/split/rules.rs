use crate::split::{Objective, Problem, Row, Runner, Solution, TooMany, solve};

/// A way to split: the exact one, and those it is compared with.
///
/// All but the exact one look at the number of ways only: where foreign masks cut the room in pieces, what they say may not
/// fit in contiguous masks. In a room without ways for everybody they fail like the exact one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// [`solve`].
    Exact(Objective),
    /// Every way goes to whom it helps the most next. Exact for convex curves, blind to cliffs.
    Greedy,
    /// UCP's lookahead on times: the block of ways that helps the most per way goes first.
    ///
    /// Qureshi and Patt, "Utility-Based Cache Partitioning", MICRO 2006, algorithm 1.
    Lookahead,
    /// UCP as published, on misses; on times for runners without.
    MissLookahead,
    /// The same number for everybody, the first ones one more where it does not divide.
    Equal,
    /// In order of the problem, everybody takes the fewest ways within 5 % of its best, or what is left for it.
    OwnKnee,
}

/// Splits by this rule.
///
/// # Errors
/// [`TooMany`] where not everybody can have the fewest ways of a mask.
pub fn split(problem: &Problem<'_>, rule: Rule) -> Result<Solution, TooMany> {
    if let Rule::Exact(objective) = rule {
        return solve(problem, objective);
    }
    let room = problem.free();
    let movable: Vec<&Runner<'_>> = problem.runners.iter().filter(|runner| runner.pinned.is_none()).collect();
    if movable.len() > room.most_runners() {
        return Err(TooMany { runners: movable.len(), most: room.most_runners() });
    }
    let (all, min) = (room.ways(), room.min());
    let by_time = |i: usize, ways| movable[i].weight * movable[i].slowdown.at(ways);
    let by_misses = |i: usize, ways| {
        let misses = |row: &Row| movable[i].weight * row.at(ways);
        movable[i].misses.map_or_else(|| by_time(i, ways), misses)
    };
    let chosen = match rule {
        Rule::Greedy => greedy(movable.len(), all, min, 1, by_time),
        Rule::Lookahead => greedy(movable.len(), all, min, all, by_time),
        Rule::MissLookahead => greedy(movable.len(), all, min, all, by_misses),
        Rule::OwnKnee => own_knee(&movable, all, min),
        Rule::Equal | Rule::Exact(_) => equal(movable.len(), all),
    };
    let mut chosen = chosen.into_iter();
    let ways = problem.runners.iter().map(|runner| match runner.pinned {
        Some(mask) => mask.ways().get(),
        None => chosen.next().expect("the rules choose for everybody who is not pinned"),
    });
    Ok(Solution::of(problem, ways.collect()))
}

/// Gives blocks of at most `block` ways to whom they save the most per way, until no ways are left.
pub(super) fn greedy(
    runners: usize,
    all: u8,
    min: u8,
    block: u8,
    cost: impl Fn(usize, u8) -> f64,
) -> Vec<u8> {
    let mut ways = vec![min; runners];
    let mut left = all - min * runners as u8;
    while left > 0 && runners > 0 {
        // Whom nothing helps: the one with the fewest ways.
        let fewest = (0..runners).min_by_key(|&i| ways[i]).unwrap_or_default();
        let (mut most, mut winner) = (0.0, (fewest, 1));
        for (i, &own) in ways.iter().enumerate() {
            for more in 1..=block.min(left) {
                let saved = (cost(i, own) - cost(i, own + more)) / f64::from(more);
                if saved > most {
                    (most, winner) = (saved, (i, more));
                }
            }
        }
        ways[winner.0] += winner.1;
        left -= winner.1;
    }
    ways
}

fn own_knee(runners: &[&Runner<'_>], all: u8, min: u8) -> Vec<u8> {
    let mut left = all;
    let mut to_come = runners.len() as u8;
    let take = |runner: &&Runner<'_>| {
        to_come -= 1;
        let own = runner.slowdown.knee(min, all, 0.05).min(left - to_come * min);
        left -= own;
        own
    };
    runners.iter().map(take).collect()
}

fn equal(runners: usize, all: u8) -> Vec<u8> {
    let runners = runners as u8;
    (0..runners).map(|i| all / runners + u8::from(i < all % runners)).collect()
}
