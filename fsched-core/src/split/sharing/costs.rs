use std::collections::HashMap;

use crate::split::MAX_WAYS;
use crate::split::contention::{Demand, Pool};
use crate::split::frontier::PerWays;
use crate::split::sharing::{MAX_MEMBERS, Member, Sharing, SharingError, SharingProblem};

/// What a group comes to, by ways.
#[derive(Debug, Clone)]
struct GroupRow {
    cost: PerWays<f64>,
    /// The smallest and the largest slowdown in it.
    least: PerWays<f64>,
    most: PerWays<f64>,
}

/// What groups of a problem's runners cost by ways, each reckoned once and kept. Keep it as long as the runners stay.
#[derive(Debug, Clone)]
pub struct GroupCosts<'a> {
    problem: SharingProblem<'a>,
    rows: HashMap<u64, Box<GroupRow>>,
    pool: Pool,
}

impl<'a> GroupCosts<'a> {
    /// Nothing reckoned yet.
    ///
    /// # Errors
    /// [`SharingError`] where there is nothing to give, or too many to give it to.
    pub fn new(problem: SharingProblem<'a>) -> Result<Self, SharingError> {
        if problem.members.len() > MAX_MEMBERS {
            return Err(SharingError::TooMany(MAX_MEMBERS));
        }
        let fits = usize::from(problem.ways) <= MAX_WAYS && problem.min > 0;
        if !fits || problem.most_groups() == 0 {
            return Err(SharingError::NoRoom);
        }
        Ok(Self { problem, rows: HashMap::new(), pool: Pool::default() })
    }

    /// The problem.
    pub fn problem(&self) -> &SharingProblem<'a> {
        &self.problem
    }

    /// How many groups were reckoned.
    pub fn reckoned(&self) -> usize {
        self.rows.len()
    }

    /// What these runners, by place in the problem, cost when they share so many ways; infinite with fewer than a mask has, or more
    /// than there are.
    pub fn cost(&mut self, members: impl IntoIterator<Item = usize>, ways: u8) -> f64 {
        let set = members.into_iter().fold(0, |set, member| set | 1 << member);
        self.row(set).get(usize::from(ways)).copied().unwrap_or(f64::INFINITY)
    }

    /// What these runners (as bits) cost by ways when they share them; infinite with fewer ways than a mask has.
    pub(super) fn row(&mut self, set: u64) -> &PerWays<f64> {
        &self.reckon(set).cost
    }

    /// The smallest and the largest slowdown of these runners (as bits) when they share so many ways.
    pub(super) fn spread(&mut self, set: u64, ways: u8) -> (f64, f64) {
        let row = self.reckon(set);
        (row.least[usize::from(ways)], row.most[usize::from(ways)])
    }

    fn reckon(&mut self, set: u64) -> &GroupRow {
        let Self { problem, rows, pool } = self;
        rows.entry(set).or_insert_with(|| {
            let never = [f64::INFINITY; MAX_WAYS + 1];
            let mut row = Box::new(GroupRow { cost: never, least: never, most: [0.0; MAX_WAYS + 1] });
            begin(problem, pool, set);
            for ways in problem.min..=problem.ways {
                let at = usize::from(ways);
                row.cost[at] = 0.0;
                slowdowns(problem, pool, set, ways, |i, slowdown| {
                    row.cost[at] += problem.members[i].weight * slowdown.powf(problem.power);
                    row.least[at] = row.least[at].min(slowdown);
                    row.most[at] = row.most[at].max(slowdown);
                });
            }
            row
        })
    }

    /// The slowdown of every runner under a sharing; 0 for who is in no group.
    pub fn slowdowns(&mut self, sharing: &Sharing) -> Vec<f64> {
        let mut all = vec![0.0; self.problem.members.len()];
        for group in &sharing.groups {
            let set = group.members.iter().fold(0, |set, member| set | 1 << member);
            begin(&self.problem, &mut self.pool, set);
            // In the same steps as the costs were reckoned, so that both agree to the last bit.
            for ways in self.problem.min..=group.ways {
                slowdowns(&self.problem, &mut self.pool, set, ways, |i, slowdown| all[i] = slowdown);
            }
        }
        all
    }
}

/// The members of a set, rising.
pub(super) fn members_of(set: u64) -> impl Iterator<Item = usize> + Clone {
    let mut rest = set;
    std::iter::from_fn(move || {
        let member = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
        rest &= rest - 1;
        Some(member)
    })
}

fn begin(problem: &SharingProblem<'_>, pool: &mut Pool, set: u64) {
    pool.begin(members_of(set).filter(|i| problem.members[*i].demand.is_some()).count());
}

fn slowdowns(
    problem: &SharingProblem<'_>,
    pool: &mut Pool,
    set: u64,
    ways: u8,
    mut visit: impl FnMut(usize, f64),
) {
    let all = f64::from(set.count_ones());
    if set.count_ones() == 1 {
        return members_of(set).for_each(|i| visit(i, problem.members[i].slowdown.at(ways)));
    }
    let member = |i: usize| -> &Member<'_> { &problem.members[i] };
    let share = f64::from(ways) / all;
    let mut known: [(usize, Option<&Demand>); MAX_MEMBERS] = [(0, None); MAX_MEMBERS];
    let mut len = 0;
    for i in members_of(set) {
        if let Some(demand) = member(i).demand {
            known[len] = (i, Some(demand));
            len += 1;
        } else if share < 1.0 {
            visit(i, member(i).slowdown.at(1) * (2.0 - share));
        } else {
            visit(i, member(i).slowdown.at(share as u8));
        }
    }
    let known = &known[..len];
    let left = problem.way_size * share * len as f64;
    pool.slowdowns(left, known.iter().filter_map(|(_, demand)| *demand), |at, slowdown| {
        visit(known[at].0, slowdown)
    });
}
