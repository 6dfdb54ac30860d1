use crate::split::MAX_WAYS;
use crate::split::frontier::{Add, PerWays, best_splits};
use crate::split::sharing::costs::members_of;
use crate::split::sharing::{GroupCosts, SharedPart, Sharing, SharingError};

/// The most runners for whom everything is tried.
const MOST: usize = 8;

/// The best groups there are, by dynamic programming over all sets: O(3^runners · classes · ways²), for up to 8 runners.
///
/// # Errors
/// [`SharingError::TooMany`] for more.
pub fn share_exhaustively(costs: &mut GroupCosts<'_>) -> Result<Sharing, SharingError> {
    let problem = *costs.problem();
    let n = problem.members.len();
    if n > MOST {
        return Err(SharingError::TooMany(MOST));
    }
    if n == 0 {
        return Ok(Sharing { groups: Vec::new(), cost: 0.0 });
    }
    let sets = 1_usize << n;
    let all = usize::from(problem.ways);
    // By number of groups, then set: what it costs by ways, and the group with its lowest member.
    let mut best: Vec<Vec<PerWays<f64>>> = Vec::new();
    let mut last: Vec<Vec<PerWays<u16>>> = Vec::new();
    for groups in 0..problem.most_groups().min(n) {
        let mut row = vec![[f64::INFINITY; MAX_WAYS + 1]; sets];
        let mut from = vec![[0; MAX_WAYS + 1]; sets];
        for set in 1..sets {
            let lowest = set & set.wrapping_neg();
            // All parts of the set that contain its lowest member.
            let others = set & !lowest;
            let mut part = others;
            loop {
                let group = part | lowest;
                let rest = set & !group;
                let before = match groups.checked_sub(1) {
                    Some(before) if rest != 0 => Some(best[before][rest]),
                    _ => (rest == 0).then_some([0.0; MAX_WAYS + 1]),
                };
                if let Some(before) = before {
                    let cost =
                        best_splits::<Add>(&before, costs.row(group as u64), problem.ways, problem.min, 0);
                    for ways in 0..=all {
                        if cost[ways] < row[set][ways] {
                            row[set][ways] = cost[ways];
                            from[set][ways] = group as u16;
                        }
                    }
                }
                if part == 0 {
                    break;
                }
                part = (part - 1) & others;
            }
        }
        best.push(row);
        last.push(from);
    }
    // With more groups allowed it never costs more.
    let mut groups = best.len() - 1;
    let (mut set, mut left) = (sets - 1, all);
    let cost = best[groups][set][left];
    let mut parts = Vec::new();
    while set != 0 {
        let group = last[groups][set][left];
        let rest = set & !usize::from(group);
        let before = |ways: usize| match groups.checked_sub(1) {
            Some(before) if rest != 0 => best[before][rest][ways],
            _ => 0.0,
        };
        // The fewest ways with which the group costs no more.
        let row = costs.row(u64::from(group));
        let same =
            |&own: &u8| before(left - usize::from(own)) + row[usize::from(own)] == best[groups][set][left];
        let own = (problem.min..=left as u8).find(same).expect("what was found best is among them");
        parts.push(SharedPart { members: members_of(u64::from(group)).collect(), ways: own });
        set = rest;
        left -= usize::from(own);
        groups = groups.saturating_sub(1);
    }
    Ok(Sharing { groups: parts, cost })
}
