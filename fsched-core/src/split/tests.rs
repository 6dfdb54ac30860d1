use proptest::prelude::*;

use super::*;
use crate::cache::{Bytes, CacheDomain, CacheGeometry, Ways};

const RULES: [Rule; 8] = [
    Rule::Exact(Objective::Sum),
    Rule::Exact(Objective::Worst),
    Rule::Exact(Objective::WorstThenSum),
    Rule::Greedy,
    Rule::Lookahead,
    Rule::MissLookahead,
    Rule::Equal,
    Rule::OwnKnee,
];

/// Any values, rising and with cliffs: exactness must not lean on monotone or convex curves. Few distinct ones, so that ties are common.
fn rows(runners: std::ops::Range<usize>, ways: usize) -> impl Strategy<Value = Vec<(f64, Row)>> {
    let value = prop_oneof![(1u8..4).prop_map(f64::from), 0.1f64..9.0];
    let row = prop::collection::vec(value, ways).prop_map(|values| Row::new(&values).unwrap());
    prop::collection::vec((prop_oneof![Just(1.0), 0.0f64..5.0], row), runners)
}

fn runners(rows: &[(f64, Row)]) -> Vec<Runner<'_>> {
    rows.iter().map(|(weight, row)| Runner::new(*weight, row)).collect()
}

/// Every way to give each runner at least `min` ways, in pieces of these sizes.
fn all_splits(
    runners: usize,
    min: u8,
    pieces: &mut Vec<u8>,
    ways: &mut Vec<u8>,
    visit: &mut impl FnMut(&[u8]),
) {
    if ways.len() == runners {
        return visit(ways);
    }
    for piece in 0..pieces.len() {
        for own in min..=pieces[piece] {
            pieces[piece] -= own;
            ways.push(own);
            all_splits(runners, min, pieces, ways, visit);
            ways.pop();
            pieces[piece] += own;
        }
    }
}

fn piece_sizes(room: &Room) -> Vec<u8> {
    room.pieces().iter().map(|piece| piece.count_ones() as u8).collect()
}

/// The least sum, the least worst, and the least sum with that worst, by trying everything.
fn by_force(problem: &Problem<'_>) -> Option<(f64, f64, f64)> {
    let room = problem.free();
    let movable: Vec<_> = problem.runners.iter().filter(|r| r.pinned.is_none()).copied().collect();
    let (mut least_sum, mut least) = (f64::INFINITY, (f64::INFINITY, f64::INFINITY));
    all_splits(movable.len(), room.min(), &mut piece_sizes(&room), &mut Vec::new(), &mut |ways| {
        let Solution { sum, worst, .. } = Solution::of(&Problem { room, runners: &movable }, ways.to_vec());
        least_sum = least_sum.min(sum);
        if (worst, sum) < least {
            least = (worst, sum);
        }
    });
    least_sum.is_finite().then_some((least_sum, least.0, least.1))
}

fn check_against_force(problem: &Problem<'_>) -> Result<(), TestCaseError> {
    let solve = |objective| solve(problem, objective).ok();
    let Some((sum, worst, sum_of_worst)) = by_force(problem) else {
        prop_assert!(solve(Objective::Sum).is_none());
        return Ok(());
    };
    // Equal to the last bit: no tolerance.
    prop_assert_eq!(solve(Objective::Sum).unwrap().sum, sum);
    prop_assert_eq!(solve(Objective::Worst).unwrap().worst, worst);
    let both = solve(Objective::WorstThenSum).unwrap();
    prop_assert_eq!((both.worst, both.sum), (worst, sum_of_worst));
    Ok(())
}

proptest! {
    #[test]
    fn the_split_is_exactly_the_best_there_is(rows in rows(0..5, 9), ways in 1u8..10, min in 1u8..4) {
        let room = Room::plain(Ways::clamped(ways)).with_min(Ways::clamped(min));
        check_against_force(&Problem { room, runners: &runners(&rows) })?;
    }

    #[test]
    fn the_split_is_the_best_around_foreign_masks(
        rows in rows(0..5, 10), foreign in 0u32..1 << 10, min in 1u8..3,
    ) {
        let room = Room::plain(Ways::clamped(10)).with_min(Ways::clamped(min)).without(foreign);
        check_against_force(&Problem { room, runners: &runners(&rows) })?;
    }

    #[test]
    fn pinned_runners_keep_their_ways_and_the_rest_is_split_the_best(
        rows in rows(1..5, 9), first in 0u8..6, own in 1u8..4, pinned in 0usize..5,
    ) {
        let mut runners = runners(&rows);
        let pinned = pinned % runners.len();
        runners[pinned].pinned = WayMask::contiguous(first, Ways::clamped(own));
        let problem = Problem { room: Room::plain(Ways::clamped(9)), runners: &runners };
        check_against_force(&problem)?;
        for rule in RULES {
            if let Ok(solution) = split(&problem, rule) {
                prop_assert_eq!(solution.ways[pinned], own);
            }
        }
    }

    #[test]
    fn every_rule_gives_everybody_a_mask_and_no_more_ways_than_there_are(
        rows in rows(0..8, 12), ways in 1u8..13, min in 1u8..4,
    ) {
        let room = Room::plain(Ways::clamped(ways)).with_min(Ways::clamped(min));
        let problem = Problem { room, runners: &runners(&rows) };
        for rule in RULES {
            match split(&problem, rule) {
                Ok(solution) => {
                    prop_assert!(solution.ways.iter().all(|&ways| ways >= min));
                    prop_assert!(solution.ways.iter().sum::<u8>() <= ways);
                    let best = solve(&problem, Objective::Sum).unwrap();
                    prop_assert!(best.sum <= solution.sum);
                    prop_assert!(solve(&problem, Objective::Worst).unwrap().worst <= solution.worst);
                }
                Err(error) => prop_assert!(error.runners > error.most, "{}", error),
            }
        }
    }

    #[test]
    fn marginal_greedy_is_exact_for_convex_curves(
        steps in prop::collection::vec(prop::collection::vec(1u16..500, 8), 1..5), ways in 5u8..10,
    ) {
        let row = |steps: &Vec<u16>| {
            let mut steps = steps.clone();
            steps.sort_unstable();
            // Built from the right, each step larger than the one after it; whole numbers, so that sums are exact.
            let mut values = vec![1.0];
            steps.iter().for_each(|step| values.push(values[values.len() - 1] + f64::from(*step)));
            values.reverse();
            Row::new(&values).unwrap()
        };
        let rows: Vec<(f64, Row)> = steps.iter().map(|steps| (1.0, row(steps))).collect();
        let problem = Problem { room: Room::plain(Ways::clamped(ways)), runners: &runners(&rows) };
        let exact = solve(&problem, Objective::Sum).unwrap();
        prop_assert_eq!(split(&problem, Rule::Greedy).unwrap().sum, exact.sum);
    }

    #[test]
    fn the_frontier_is_what_the_split_costs(rows in rows(0..6, 9), ways in 1u8..10, min in 1u8..3) {
        let room = Room::plain(Ways::clamped(ways)).with_min(Ways::clamped(min));
        let runners = runners(&rows);
        let frontier = Frontier::of(room, &runners);
        let exact = solve(&Problem { room, runners: &runners }, Objective::Sum).ok();
        prop_assert_eq!(frontier.cost(), exact.map(|solution| solution.sum));
        if let Some((newcomer, rest)) = runners.split_last() {
            prop_assert_eq!(Frontier::of(room, rest).cost_with(newcomer), frontier.cost());
        }
        for ways in 0..=ways {
            let less = room.without(u32::MAX.checked_shl(u32::from(ways)).unwrap_or(0));
            prop_assert_eq!(frontier.cost_at(ways), Frontier::of(less, &runners).cost());
        }
        let price = Price::in_domain(&frontier);
        if let (Some(marginal), Some(shadow)) = (price.marginal(), price.shadow()) {
            prop_assert!(0.0 <= shadow && shadow <= marginal);
        }
    }

    #[test]
    fn what_the_solver_says_can_be_laid_out(
        rows in rows(1..7, 12), foreign in 0u32..1 << 12, min in 1u8..3, contiguous: bool,
        now in prop::collection::vec((0u8..12, 1u8..6), 7),
    ) {
        let shape = CacheDomain::nominal(1, Ways::clamped(12), Bytes::mib(1)).geometry;
        let min_ways = Ways::clamped(min);
        let geometry = CacheGeometry { contiguous, min_ways, shareable: 0b1100_0000_0000, ..shape };
        let room = Room::of(&geometry).without(foreign);
        let problem = Problem { room, runners: &runners(&rows) };
        let Ok(solution) = solve(&problem, Objective::Sum) else { return Ok(()) };
        let now = now.iter().map(|(first, ways)| WayMask::contiguous(*first, Ways::clamped(*ways)));
        let wanted: Vec<Wanted> =
            solution.ways.iter().zip(now).map(|(&ways, now)| Wanted { ways, now }).collect();
        let masks = lay_out(room, &wanted);
        prop_assert!(masks.is_some());
        check_layout(room, &wanted, &masks.unwrap())?;
    }

    #[test]
    fn as_many_masks_stay_as_can(
        sizes in prop::collection::vec((1u8..4, 1u8..4), 1..6), order in Just((0..5).collect::<Vec<usize>>()).prop_shuffle(),
        spare in 0u8..3, foreign in 0u8..12,
    ) {
        // Where they are now: side by side in some order.
        let mut now = vec![None; sizes.len()];
        let mut next = 0;
        for i in order.into_iter().filter(|&i| i < sizes.len()) {
            now[i] = WayMask::contiguous(next, Ways::clamped(sizes[i].0));
            next += sizes[i].0;
        }
        let wanted: Vec<Wanted> =
            sizes.iter().zip(&now).map(|(&(_, ways), &now)| Wanted { ways, now }).collect();
        let total: u8 = sizes.iter().map(|(_, ways)| ways).sum();
        let room = Room::plain(Ways::clamped(total + spare)).without(1 << foreign);
        let staying = |masks: &[WayMask]| masks.iter().zip(&now).filter(|(to, now)| Some(**to) == **now).count();
        let masks = lay_out(room, &wanted);
        prop_assert_eq!(masks.as_ref().map(|masks| staying(masks)), most_staying(room, &wanted, 0, 0));
        if let Some(masks) = masks {
            check_layout(room, &wanted, &masks)?;
        }
    }

    #[test]
    fn nobody_starves_between_two_writes(
        sizes in prop::collection::vec((1u8..5, 1u8..5, any::<bool>()), 1..6),
        before in Just((0..5).collect::<Vec<usize>>()).prop_shuffle(),
        after in Just((0..5).collect::<Vec<usize>>()).prop_shuffle(), spare in 0u8..4, min in 1u8..3,
    ) {
        let side_by_side = |order: &[usize], size: &dyn Fn(usize) -> u8| {
            let mut masks = vec![None; sizes.len()];
            let mut next = 0;
            for &i in order.iter().filter(|&&i| i < sizes.len()) {
                masks[i] = WayMask::contiguous(next, Ways::clamped(size(i)));
                next += size(i);
            }
            masks
        };
        let mut from = side_by_side(&before, &|i| sizes[i].0.max(min));
        let to: Vec<WayMask> =
            side_by_side(&after, &|i| sizes[i].1.max(min)).into_iter().map(Option::unwrap).collect();
        // Some are newcomers.
        from.iter_mut().zip(&sizes).for_each(|(mask, (a, b, new))| if *new && a > b { *mask = None });
        let used = from.iter().flatten().chain(&to).fold(0, |all, mask| all | mask.bits());
        let ways = 32 - used.leading_zeros() as u8 + spare;
        let room = Room::plain(Ways::clamped(ways)).with_min(Ways::clamped(min));
        let order = writes(room, &from, &to);
        let mut now = from.clone();
        for write in &order {
            prop_assert!(room.allows(write.mask));
            now[write.who] = Some(write.mask);
        }
        prop_assert_eq!(now, to.iter().copied().map(Some).collect::<Vec<_>>());
        prop_assert!(order.len() <= 2 * to.len() * to.len());
        // Two that can shrink pass each other in a large hole without ever sharing a way.
        let mut now = from.clone();
        let overlaps = order.iter().any(|write| {
            now[write.who] = Some(write.mask);
            let mut seen = 0;
            now.iter().flatten().any(|mask| { let both = seen & mask.bits() != 0; seen |= mask.bits(); both })
        });
        let shrinkable = from.iter().flatten().all(|mask| mask.ways().get() > min);
        if from.len() <= 2 && shrinkable && spare >= 3 {
            prop_assert!(!overlaps, "{:?} -> {:?}: {:?}", from, to, order);
        }
        // Growing into what is free and shrinking in place are one write each, shrinking first.
        let in_place = from.iter().zip(&to).all(|(from, to)| from.is_some_and(|from| from.overlaps(*to)));
        if in_place && before == after {
            prop_assert!(!overlaps, "{:?} -> {:?}: {:?}", from, to, order);
        }
    }
}

fn check_layout(room: Room, wanted: &[Wanted], masks: &[WayMask]) -> Result<(), TestCaseError> {
    prop_assert_eq!(masks.len(), wanted.len());
    let mut taken = 0;
    for (mask, wanted) in masks.iter().zip(wanted) {
        prop_assert!(room.allows(*mask));
        prop_assert_eq!(mask.ways().get(), wanted.ways);
        prop_assert_eq!(taken & mask.bits(), 0);
        taken |= mask.bits();
    }
    Ok(())
}

/// By trying every place for everybody.
fn most_staying(room: Room, wanted: &[Wanted], i: usize, taken: u32) -> Option<usize> {
    let Some(w) = wanted.get(i) else { return Some(0) };
    let places = (0..32).filter_map(|first| WayMask::contiguous(first, Ways::clamped(w.ways)));
    let free = places.filter(|mask| room.allows(*mask) && mask.bits() & taken == 0);
    let rest = free.filter_map(|mask| {
        let rest = most_staying(room, wanted, i + 1, taken | mask.bits())?;
        Some(rest + usize::from(w.now == Some(mask)))
    });
    rest.max()
}

#[test]
fn ways_are_free_where_nobody_runs_and_not_for_sale_at_the_minimum() {
    let row = Row::new(&[4.0, 2.0, 1.0, 1.0]).unwrap();
    let room = Room::plain(Ways::clamped(4));
    let empty = Frontier::empty(room);
    assert_eq!(Price::in_domain(&empty).marginal(), Some(0.0));
    let two = Frontier::of(room, &[Runner::new(1.0, &row), Runner::new(1.0, &row)]);
    assert_eq!(Price::in_domain(&two).marginal(), Some(6.0 - 4.0));
    let four = Frontier::of(room, &[Runner::new(1.0, &row); 4]);
    assert_eq!(Price::in_domain(&four).marginal(), None);
    assert_eq!(Price::of_cluster([None, Some(3.0), Some(1.0)]), Some(1.0));
    assert_eq!(Price::of_cluster([None]), None);
}

#[test]
fn at_a_high_price_fewer_ways_are_worth_it() {
    let row = Row::new(&[4.0, 2.0, 1.5, 1.4]).unwrap();
    let at = |price| ways_worth(|ways| row.at(ways), price, 4);
    assert_eq!([at(0.0), at(0.05), at(0.2), at(1.0), at(9.0)], [4, 4, 3, 2, 1]);
}

#[test]
fn a_swap_without_a_hole_is_made_by_shrinking() {
    let mask = |first, ways| WayMask::contiguous(first, Ways::clamped(ways));
    let room = Room::plain(Ways::clamped(8));
    let order = writes(room, &[mask(0, 4), mask(4, 4)], &[mask(4, 4).unwrap(), mask(0, 4).unwrap()]);
    assert!(order.len() <= 4, "{order:?}");
}

#[test]
fn who_cannot_shrink_steps_into_a_hole() {
    let mask = |first, ways| WayMask::contiguous(first, Ways::clamped(ways)).unwrap();
    let room = Room::plain(Ways::clamped(7)).with_min(Ways::clamped(2));
    let order = writes(room, &[Some(mask(2, 2)), Some(mask(0, 2))], &[mask(0, 2), mask(2, 2)]);
    let write = |who, mask| Write { who, mask };
    assert_eq!(order, [write(1, mask(4, 2)), write(0, mask(0, 2)), write(1, mask(2, 2))]);
}
