use crate::split::frontier::{Add, Combine, Max, PerWays, find_best_splits};
use crate::split::room::Pieces;
use crate::split::{MAX_WAYS, Objective, Problem, Room, Runner, Solution, TooMany};

/// The best split there is, for any curves: O(runners · ways²).
///
/// Of equally good splits, one that leaves ways over rather than giving them to somebody whom they do not help.
/// Where masks have to be contiguous and foreign masks cut the room in pieces, a part lies within one piece, and the
/// programme runs over what is left of each piece: at most 3¹¹ states, where every third way is foreign.
///
/// # Errors
/// [`TooMany`] where not everybody can have the fewest ways of a mask.
pub fn solve(problem: &Problem<'_>, objective: Objective) -> Result<Solution, TooMany> {
    let room = problem.free();
    let movable = || problem.runners.iter().filter(|runner| runner.pinned.is_none());
    if movable().count() > room.most_runners() {
        return Err(TooMany { runners: movable().count(), most: room.most_runners() });
    }
    let mut table = Table::of(room);
    let runners: Vec<&Runner<'_>> = movable().collect();
    let weighted = |i: usize, ways| runners[i].weight * runners[i].slowdown.at(ways);
    let plain = |i: usize, ways| runners[i].slowdown.at(ways);
    let (chosen, _) = match objective {
        Objective::Sum => table.best::<Add>(runners.len(), by_ways(weighted)),
        Objective::Worst => table.best::<Max>(runners.len(), by_ways(plain)),
        Objective::WorstThenSum => {
            let (_, worst) = table.best::<Max>(runners.len(), by_ways(plain));
            let bounded = |i: usize, ways| {
                if plain(i, ways) <= worst { weighted(i, ways) } else { f64::INFINITY }
            };
            table.best::<Add>(runners.len(), by_ways(bounded))
        }
    };
    let mut chosen = chosen.into_iter();
    let ways = problem.runners.iter().map(|runner| match runner.pinned {
        Some(mask) => mask.ways().get(),
        None => chosen.next().expect("there is a choice for everybody who is not pinned"),
    });
    Ok(Solution::of(problem, ways.collect()))
}

fn by_ways(cost: impl Fn(usize, u8) -> f64) -> impl Fn(usize, &mut PerWays<f64>) {
    move |runner, costs| *costs = std::array::from_fn(|ways| cost(runner, ways as u8))
}

/// The dynamic programme for one room.
pub(super) struct Table {
    pieces: Pieces,
    min: u8,
    ways: u8,
    costs: Vec<PerWays<f64>>,
    /// By runner: what all before it cost together.
    before: Vec<PerWays<f64>>,
}

impl Table {
    pub(super) fn of(room: Room) -> Self {
        let pieces = room.pieces();
        let ways = pieces.iter().map(|piece| piece.count_ones() as u8).sum();
        Self { pieces, min: room.min(), ways, costs: Vec::new(), before: Vec::new() }
    }

    /// The ways of each of so many, and what they cost together; infinite where somebody cannot have any. There are no more than have room.
    /// `cost` writes down what ways cost one of them.
    pub(super) fn best<C: Combine>(
        &mut self,
        runners: usize,
        cost: impl Fn(usize, &mut PerWays<f64>),
    ) -> (Vec<u8>, f64) {
        self.costs.resize(runners, [0.0; MAX_WAYS + 1]);
        self.costs.iter_mut().enumerate().for_each(|(i, costs)| cost(i, costs));
        if self.pieces.len() == 1 { self.in_one_piece::<C>() } else { self.in_pieces::<C>() }
    }

    fn in_one_piece<C: Combine>(&mut self) -> (Vec<u8>, f64) {
        let Self { costs, before, .. } = self;
        let (min, all) = (usize::from(self.min), usize::from(self.ways));
        let Some((last, others)) = costs.split_last() else { return (Vec::new(), 0.0) };
        // Of the last one only the whole room matters, and those after each keep the least.
        before.resize(costs.len(), [0.0; MAX_WAYS + 1]);
        before[0].fill(0.0);
        for (i, cost) in others.iter().enumerate() {
            let most = all.saturating_sub((costs.len() - 1 - i) * min);
            let (done, next) = before.split_at_mut(i + 1);
            find_best_splits::<C>(&done[i], cost, most as u8, self.min, i * min, &mut next[0]);
        }
        let shares = |before: &PerWays<f64>, cost: &PerWays<f64>, left: usize, own: usize| {
            C::combine(before[left - own], cost[own])
        };
        let whole = (min..=all).map(|own| shares(&before[others.len()], last, all, own));
        let whole = whole.fold(f64::INFINITY, |least, one| if one < least { one } else { least });
        let mut ways = vec![0; costs.len()];
        if whole == f64::INFINITY {
            return (ways, whole);
        }
        let (mut left, mut cost_of_all) = (all, whole);
        for ((own, cost), before) in ways.iter_mut().zip(costs.iter()).zip(before.iter()).rev() {
            // The fewest with which it costs no more.
            let found = (min..=left).find(|&own| shares(before, cost, left, own) == cost_of_all);
            let found = found.expect("what was found best is among them");
            left -= found;
            (*own, cost_of_all) = (found as u8, before[left]);
        }
        (ways, whole)
    }

    /// The same over states: how much of each piece is used, as digits.
    fn in_pieces<C: Combine>(&self) -> (Vec<u8>, f64) {
        let mut strides = Vec::with_capacity(self.pieces.len());
        let mut states = 1_usize;
        for piece in self.pieces.iter() {
            strides.push((states, piece.count_ones() as usize + 1));
            states *= piece.count_ones() as usize + 1;
        }
        let mut best = vec![0.0; states];
        let mut choices: Vec<Vec<(u8, u8)>> = Vec::new();
        for cost in &self.costs {
            let mut next = vec![f64::INFINITY; states];
            let mut choice = vec![(0, 0); states];
            for state in 0..states {
                for (piece, &(stride, radix)) in strides.iter().enumerate() {
                    let room = state / stride % radix;
                    for own in usize::from(self.min)..=room {
                        let all = C::combine(best[state - own * stride], cost[own]);
                        if all < next[state] {
                            next[state] = all;
                            choice[state] = (piece as u8, own as u8);
                        }
                    }
                }
            }
            best = next;
            choices.push(choice);
        }
        let mut state = states - 1;
        let mut ways = vec![0; choices.len()];
        for (own, choice) in ways.iter_mut().zip(&choices).rev() {
            let (piece, chosen) = choice[state];
            *own = chosen;
            state -= usize::from(chosen) * strides[usize::from(piece)].0;
        }
        (ways, best[states - 1])
    }
}
