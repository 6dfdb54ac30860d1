use crate::split::MAX_WAYS;
use crate::split::frontier::{Add, PerWays, best_splits};
use crate::split::sharing::costs::members_of;
use crate::split::sharing::{GroupCosts, Member, SharedPart, Sharing, SharingProblem};

/// In an order, groups begin only at so many places: with more runners, neighbours in the order stay together.
const STARTS: usize = 16;

/// The best groups of neighbours, in the best of several orders: O(orders · runners² · classes · ways²).
///
/// Neighbours in an order are alike in one respect: how much they gain from cache, how much they need, how hard they press. So light and
/// streaming runners, who gain nothing, end up together in few ways. With more than 16 runners, as many neighbours as
/// make 16 bundles stay together, so the work is bounded.
pub fn share(costs: &mut GroupCosts<'_>) -> Sharing {
    let problem = *costs.problem();
    let mut best: Option<Sharing> = None;
    for key in ORDERS {
        let mut order: Vec<(f64, usize)> =
            problem.members.iter().enumerate().map(|(i, member)| (key(&problem, member), i)).collect();
        order.sort_by(|(a, i), (b, j)| a.total_cmp(b).then(i.cmp(j)));
        let order: Vec<usize> = order.into_iter().map(|(_, i)| i).collect();
        let found = in_order(costs, &order);
        if best.as_ref().is_none_or(|best| found.cost < best.cost) {
            best = Some(found);
        }
    }
    best.expect("there are orders")
}

type Key = fn(&SharingProblem<'_>, &Member<'_>) -> f64;

/// What runners are put in order by.
const ORDERS: [Key; 5] = [by_loss, by_need, by_loss_at_fair_share, by_pressure, by_loss_under_pressure];

/// What the fewest ways cost it.
fn by_loss(problem: &SharingProblem<'_>, member: &Member<'_>) -> f64 {
    member.weight * member.slowdown.at(problem.min)
}

/// How many ways it takes to be within 5 % of its best; of those who need the same, by loss.
fn by_need(problem: &SharingProblem<'_>, member: &Member<'_>) -> f64 {
    let need = member.slowdown.knee(problem.min, problem.ways, 0.05);
    f64::from(need) + 1.0 - 1.0 / (1.0 + by_loss(problem, member))
}

/// What a fair share of the ways costs it.
fn by_loss_at_fair_share(problem: &SharingProblem<'_>, member: &Member<'_>) -> f64 {
    let share = usize::from(problem.ways) / problem.members.len().max(1);
    member.weight * member.slowdown.at((share as u8).max(problem.min))
}

/// What it fetches per second at a fair share; who is not known comes last.
fn by_pressure(problem: &SharingProblem<'_>, member: &Member<'_>) -> f64 {
    let share = f64::from(problem.ways) * problem.way_size / problem.members.len().max(1) as f64;
    member.demand.map_or(f64::INFINITY, |demand| demand.misses(share) / demand.seconds(share))
}

/// Who gains little and presses hard at one end, who gains much and presses little at the other.
fn by_loss_under_pressure(problem: &SharingProblem<'_>, member: &Member<'_>) -> f64 {
    (by_loss(problem, member) - member.weight) / by_pressure(problem, member).max(1e-9)
}

/// The best contiguous groups of this order.
fn in_order(costs: &mut GroupCosts<'_>, order: &[usize]) -> Sharing {
    let problem = *costs.problem();
    if order.is_empty() {
        return Sharing { groups: Vec::new(), cost: 0.0 };
    }
    let bundle = order.len().div_ceil(STARTS);
    let bundles: Vec<u64> =
        order.chunks(bundle).map(|members| members.iter().fold(0, |set, member| set | 1 << member)).collect();
    let (n, classes) = (bundles.len(), problem.most_groups().min(bundles.len()));
    // best[c][j]: the first j bundles in at most c + 1 groups, by ways; and which group was the last.
    let never = [f64::INFINITY; MAX_WAYS + 1];
    let mut best: Vec<Vec<PerWays<f64>>> = Vec::with_capacity(classes);
    let mut last: Vec<Vec<PerWays<(u8, u8)>>> = Vec::with_capacity(classes);
    for class in 0..classes {
        let mut row = vec![never; n + 1];
        let mut from = vec![[(0, 0); MAX_WAYS + 1]; n + 1];
        for end in 1..=n {
            let mut set = 0;
            for start in (0..end).rev() {
                set |= bundles[start];
                let before = match class.checked_sub(1) {
                    Some(before) => best[before][start],
                    None if start == 0 => [0.0; MAX_WAYS + 1],
                    None => continue,
                };
                let mut own = [0; MAX_WAYS + 1];
                let all = best_splits::<Add>(&before, costs.row(set), problem.ways, problem.min, &mut own);
                for ways in 0..=usize::from(problem.ways) {
                    if all[ways] < row[end][ways] {
                        row[end][ways] = all[ways];
                        from[end][ways] = (start as u8, own[ways]);
                    }
                }
            }
        }
        best.push(row);
        last.push(from);
    }
    let all = usize::from(problem.ways);
    let cheapest = (0..classes).min_by(|&a, &b| best[a][n][all].total_cmp(&best[b][n][all]));
    let mut class = cheapest.expect("there is a class and somebody to have it");
    let cost = best[class][n][all];
    let mut groups = Vec::new();
    let (mut end, mut left) = (n, all);
    loop {
        let (start, own) = last[class][end][left];
        let set = bundles[usize::from(start)..end].iter().fold(0, |all, set| all | set);
        groups.push(SharedPart { members: members_of(set).collect(), ways: own });
        end = usize::from(start);
        left -= usize::from(own);
        if end == 0 {
            break;
        }
        class -= 1;
    }
    groups.reverse();
    Sharing { groups, cost }
}
