use crate::split::MAX_WAYS;
use crate::split::frontier::PerWays;
use crate::split::sharing::costs::members_of;
use crate::split::sharing::{GroupCosts, Member, SharedPart, Sharing, SharingProblem};

/// In an order, groups begin only at so many places: with more runners, neighbours in the order stay together.
const STARTS: usize = 16;

/// The best groups of neighbours, in the best of several orders: O(orders · runners² · classes · ways²).
///
/// Of all that is found and costs little more than the least (see [`SharingProblem::fairness`]), the one with the smallest ratio of
/// the largest slowdown to the smallest is taken.
///
/// Neighbours in an order are alike in one respect: how much they gain from cache, how much they need, how hard they press. So light and
/// streaming runners, who gain nothing, end up together in few ways. With more than 16 runners, as many neighbours as
/// make 16 bundles stay together, so the work is bounded.
pub fn share(costs: &mut GroupCosts<'_>) -> Sharing {
    let problem = *costs.problem();
    let mut found = Vec::with_capacity(ORDERS.len() * problem.most_groups());
    for key in ORDERS {
        let mut order: Vec<(f64, usize)> =
            problem.members.iter().enumerate().map(|(i, member)| (key(&problem, member), i)).collect();
        order.sort_by(|(a, i), (b, j)| a.total_cmp(b).then(i.cmp(j)));
        let order: Vec<usize> = order.into_iter().map(|(_, i)| i).collect();
        in_order(costs, &order, &mut found);
    }
    let least = found.iter().map(|one| one.cost).fold(f64::INFINITY, f64::min);
    found.retain(|one| one.cost <= least * (1.0 + problem.slack()));
    let mut unfairness = |one: &Found| {
        let spread = |(least, most): (f64, f64), &(set, ways): &(u64, u8)| {
            let (low, high) = costs.spread(set, ways);
            (least.min(low), most.max(high))
        };
        let (least, most) = one.parts.iter().fold((f64::INFINITY, 0.0), spread);
        most / least
    };
    let ranked = found.into_iter().map(|one| (unfairness(&one), one));
    let better = |a: &(f64, Found), b: &(f64, Found)| a.0.total_cmp(&b.0).then(a.1.cost.total_cmp(&b.1.cost));
    let (_, Found { parts, cost }) = ranked.min_by(better).expect("there are orders");
    let part = |&(set, ways): &(u64, u8)| SharedPart { members: members_of(set).collect(), ways };
    Sharing { groups: parts.iter().map(part).collect(), cost }
}

/// Groups, as bits and with their ways, and what they cost.
struct Found {
    parts: Vec<(u64, u8)>,
    cost: f64,
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

/// The best contiguous groups of this order, for every number of groups.
fn in_order(costs: &mut GroupCosts<'_>, order: &[usize], found: &mut Vec<Found>) {
    let problem = *costs.problem();
    if order.is_empty() {
        return found.push(Found { parts: Vec::new(), cost: 0.0 });
    }
    let bundle = order.len().div_ceil(STARTS);
    let bundles: Vec<u64> =
        order.chunks(bundle).map(|members| members.iter().fold(0, |set, member| set | 1 << member)).collect();
    let (n, classes) = (bundles.len(), problem.most_groups().min(bundles.len()));
    let (all, min) = (usize::from(problem.ways), usize::from(problem.min));
    // What the group of the bundles `start..end` costs, by ways.
    let mut groups: Vec<PerWays<f64>> = Vec::with_capacity(n * (n + 1) / 2);
    for end in 1..=n {
        let mut set = 0;
        let first = groups.len();
        for start in (0..end).rev() {
            set |= bundles[start];
            groups.push(*costs.row(set));
        }
        groups[first..].reverse();
    }
    let group = |start: usize, end: usize| &groups[end * (end - 1) / 2 + start];
    // best[c][j]: the first j bundles in c + 1 groups, by ways; and where the last of them began, with how many ways.
    let never = [f64::INFINITY; MAX_WAYS + 1];
    let mut best = vec![vec![never; n + 1]; classes];
    let mut last = vec![vec![[(0_u8, 0_u8); MAX_WAYS + 1]; n + 1]; classes];
    for end in 1..=n {
        best[0][end] = *group(0, end);
        for ways in 1..=all {
            // More ways than it takes are no worse.
            last[0][end][ways] = (0, ways as u8);
            if best[0][end][ways - 1] < best[0][end][ways] {
                best[0][end][ways] = best[0][end][ways - 1];
                last[0][end][ways] = last[0][end][ways - 1];
            }
        }
    }
    for class in 1..classes {
        let (before, now) = best.split_at_mut(class);
        let (before, now) = (&before[class - 1], &mut now[0]);
        // Of the most groups there can be, only those of everybody matter.
        let least = if class + 1 == classes { n } else { class + 1 };
        for end in least..=n {
            for start in class..end {
                let (cost, before) = (group(start, end), &before[start]);
                for own in min..=all - class * min {
                    let row = now[end][own + class * min..=all].iter_mut();
                    let from = &mut last[class][end][own + class * min..=all];
                    for ((row, from), before) in row.zip(from).zip(&before[class * min..]) {
                        let whole = before + cost[own];
                        if whole < *row {
                            *row = whole;
                            *from = (start as u8, own as u8);
                        }
                    }
                }
            }
        }
    }
    for (most, best) in best.iter().enumerate() {
        let cost = best[n][all];
        if cost == f64::INFINITY {
            continue;
        }
        let mut parts = Vec::with_capacity(most + 1);
        let (mut class, mut end, mut left) = (most, n, all);
        loop {
            let (start, own) = last[class][end][left];
            parts.push((bundles[usize::from(start)..end].iter().fold(0, |all, set| all | set), own));
            end = usize::from(start);
            left -= usize::from(own);
            if end == 0 {
                break;
            }
            class -= 1;
        }
        parts.reverse();
        found.push(Found { parts, cost });
    }
}
