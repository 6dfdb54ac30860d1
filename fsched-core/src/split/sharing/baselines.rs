use crate::split::frontier::{Add, PerWays, best_splits};
use crate::split::sharing::costs::members_of;
use crate::split::sharing::{GroupCosts, Member, SharedPart, Sharing, SharingProblem};

/// Like KPart (El-Sayed et al., HPCA 2018): merges the two groups that lose the least by sharing, again and again, divides the ways by
/// UCP's lookahead at every number of groups, and takes the best.
///
/// KPart reckons with misses; this one with the costs that our solver reckons with, which is to its advantage.
pub fn share_like_kpart(costs: &mut GroupCosts<'_>) -> Sharing {
    let problem = *costs.problem();
    let mut groups: Vec<u64> = (0..problem.members.len()).map(|i| 1 << i).collect();
    let mut best: Option<Sharing> = None;
    while !groups.is_empty() {
        if groups.len() <= problem.most_groups() {
            let found = looked_ahead(costs, &groups);
            if best.as_ref().is_none_or(|best| found.cost < best.cost) {
                best = Some(found);
            }
        }
        let mut closest: Option<(f64, usize, usize)> = None;
        for a in 0..groups.len() {
            for b in 0..a {
                let distance = distance(costs, groups[a], groups[b]);
                if closest.is_none_or(|(least, ..)| distance < least) {
                    closest = Some((distance, a, b));
                }
            }
        }
        let Some((_, a, b)) = closest else { break };
        let merged = groups[a] | groups[b];
        groups.swap_remove(a);
        groups[b] = merged;
    }
    best.unwrap_or(Sharing { groups: Vec::new(), cost: 0.0 })
}

/// Like LFOC (García-García et al., ICPP 2019): streaming runners share one way (two, if more than five), light ones join them, and
/// sensitive ones have groups of their own by UCP's lookahead; where there are too few classes, the least sensitive share.
pub fn share_like_lfoc(costs: &mut GroupCosts<'_>) -> Sharing {
    let problem = *costs.problem();
    let (mut streaming, mut light, mut sensitive) = (Vec::new(), Vec::new(), Vec::new());
    for (i, member) in problem.members.iter().enumerate() {
        match kind(&problem, member) {
            Kind::Streaming => streaming.push(i),
            Kind::Light => light.push(i),
            Kind::Sensitive => sensitive.push(i),
        }
    }
    let loss = |i: &usize| problem.members[*i].slowdown.at(problem.min);
    sensitive.sort_by(|a, b| loss(b).total_cmp(&loss(a)));
    let set = |members: &[usize]| members.iter().fold(0_u64, |set, member| set | 1 << member);
    let most = problem.most_groups();
    let mut aside: Vec<u64> = match streaming.len() {
        0 => Vec::new(),
        6.. if most > 2 => {
            let (a, b) = streaming.split_at(streaming.len() / 2);
            vec![set(a), set(b)]
        }
        _ => vec![set(&streaming)],
    };
    if sensitive.is_empty() || most <= aside.len() {
        // Nobody to protect, or no class to do it with.
        let everybody = set(&streaming) | set(&light) | set(&sensitive);
        return if everybody == 0 {
            Sharing { groups: Vec::new(), cost: 0.0 }
        } else {
            looked_ahead(costs, &[everybody])
        };
    }
    let mut own: Vec<u64> = sensitive.iter().map(|i| 1 << i).collect();
    let tail = own.split_off(own.len().min(most - aside.len()));
    *own.last_mut().expect("somebody is sensitive") |= tail.iter().fold(0, |all, set| all | set);
    if aside.is_empty() {
        *own.last_mut().expect("somebody is sensitive") |= set(&light);
    } else {
        let last = aside.len() - 1;
        aside[last] |= set(&light);
    }
    let spared = problem.ways - problem.min * aside.len() as u8;
    let mut sharing = looked_ahead_in(costs, &own, spared);
    for set in aside {
        sharing.cost += costs.row(set)[usize::from(problem.min)];
        sharing.groups.push(SharedPart { members: members_of(set).collect(), ways: problem.min });
    }
    sharing
}

enum Kind {
    Streaming,
    Light,
    Sensitive,
}

/// Who loses 5 % or more with the fewest ways is sensitive; of the others, who presses more than the
/// mean even with the whole cache, streaming.
fn kind(problem: &SharingProblem<'_>, member: &Member<'_>) -> Kind {
    if member.slowdown.at(problem.min) >= 1.05 * member.slowdown.at(problem.ways) {
        return Kind::Sensitive;
    }
    let whole = f64::from(problem.ways) * problem.way_size;
    let pressure = |member: &Member<'_>| member.demand.map_or(0.0, |d| d.misses(whole) / d.seconds(whole));
    let mean = problem.members.iter().map(pressure).sum::<f64>() / problem.members.len() as f64;
    if pressure(member) > mean { Kind::Streaming } else { Kind::Light }
}

/// How much two groups lose by sharing rather than dividing the same ways, summed over all numbers of ways.
fn distance(costs: &mut GroupCosts<'_>, a: u64, b: u64) -> f64 {
    let (ways, min) = (costs.problem().ways, costs.problem().min);
    let (row_a, row_b, both) = (*costs.row(a), *costs.row(b), *costs.row(a | b));
    let divided = best_splits::<Add>(&row_a, &row_b, ways, min, 0);
    (2 * min..=ways).map(|w| both[usize::from(w)] - divided[usize::from(w)]).sum()
}

fn looked_ahead(costs: &mut GroupCosts<'_>, groups: &[u64]) -> Sharing {
    let ways = costs.problem().ways;
    looked_ahead_in(costs, groups, ways)
}

/// UCP's lookahead over groups.
fn looked_ahead_in(costs: &mut GroupCosts<'_>, groups: &[u64], all: u8) -> Sharing {
    let min = costs.problem().min;
    let rows: Vec<PerWays<f64>> = groups.iter().map(|set| *costs.row(*set)).collect();
    let ways = crate::split::rules::greedy(rows.len(), all, min, all, |i, ways| rows[i][usize::from(ways)]);
    let cost = rows.iter().zip(&ways).map(|(row, ways)| row[usize::from(*ways)]).sum();
    let part = |(set, ways): (&u64, u8)| SharedPart { members: members_of(*set).collect(), ways };
    Sharing { groups: groups.iter().zip(ways).map(part).collect(), cost }
}
