use proptest::prelude::*;

use super::*;
use crate::cache::Bytes;
use crate::split::contention::DemandPoint;

const WAY: f64 = 100.0;

fn demand(seconds: &[f64], misses: &[f64], capacity: u64) -> Demand {
    let point = |(i, (seconds, misses)): (usize, (&f64, &f64))| DemandPoint {
        cache: i as f64 * WAY,
        seconds: *seconds,
        misses: *misses,
    };
    let points: Vec<DemandPoint> = seconds.iter().zip(misses).enumerate().map(point).collect();
    Demand::new(&points, Bytes(capacity)).unwrap()
}

/// What a demand is alone in whole ways.
fn row(demand: &Demand, ways: u8) -> Row {
    Row::new(&(1..=ways).map(|ways| demand.slowdown(f64::from(ways) * WAY)).collect::<Vec<_>>()).unwrap()
}

fn demands(runners: std::ops::Range<usize>, ways: u8) -> impl Strategy<Value = Vec<(Demand, Row, bool)>> {
    let falling = prop::collection::vec(0.0f64..2.0, usize::from(ways) + 1).prop_map(|steps| {
        let mut all = 0.0;
        let mut values: Vec<f64> = steps
            .iter()
            .map(|step| {
                all += if *step > 1.0 { step - 1.0 } else { 0.0 };
                all
            })
            .collect();
        values.reverse();
        values
    });
    let one =
        (falling, 0.1f64..3.0, 0.1f64..3.0, any::<bool>()).prop_map(move |(misses, work, rate, known)| {
            let misses: Vec<f64> = misses.iter().map(|misses| misses + 0.01).collect();
            let seconds: Vec<f64> = misses.iter().map(|misses| work + misses * rate).collect();
            let demand = demand(&seconds, &misses, u64::from(ways) * WAY as u64);
            let row = row(&demand, ways);
            (demand, row, known)
        });
    prop::collection::vec(one, runners)
}

fn members(demands: &[(Demand, Row, bool)], all_known: bool) -> Vec<Member<'_>> {
    demands
        .iter()
        .map(|(demand, slowdown, known)| Member {
            weight: 1.0,
            slowdown,
            demand: (*known || all_known).then_some(demand),
        })
        .collect()
}

fn check(problem: &SharingProblem<'_>, sharing: &Sharing) -> Result<(), TestCaseError> {
    let mut seen: Vec<usize> = sharing.groups.iter().flat_map(|group| group.members.clone()).collect();
    seen.sort_unstable();
    prop_assert_eq!(seen, (0..problem.members.len()).collect::<Vec<_>>());
    prop_assert!(sharing.groups.len() <= usize::from(problem.classes));
    prop_assert!(sharing.groups.iter().all(|group| group.ways >= problem.min));
    prop_assert!(sharing.groups.iter().map(|group| group.ways).sum::<u8>() <= problem.ways);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_way_to_share_is_legal_and_none_beats_trying_everything(
        demands in demands(1..6, 6), min in 1u8..3, classes in 1u8..5,
    ) {
        let members = members(&demands, false);
        let problem = SharingProblem { ways: 6, min, way_size: WAY, classes, members: &members, power: 1.0, fairness: 0.0 };
        let mut costs = GroupCosts::new(problem).unwrap();
        let best = share_exhaustively(&mut costs).unwrap();
        check(&problem, &best)?;
        for found in [share(&mut costs), share_like_kpart(&mut costs), share_like_lfoc(&mut costs)] {
            check(&problem, &found)?;
            prop_assert!(best.cost <= found.cost * (1.0 + 1e-12));
            let sum: f64 = costs.slowdowns(&found).iter().sum();
            prop_assert!((sum - found.cost).abs() <= 1e-9 * sum);
        }
    }

    #[test]
    fn what_is_found_is_the_best_of_all_partitions(demands in demands(1..5, 5), classes in 1u8..4) {
        let members = members(&demands, true);
        let problem = SharingProblem { ways: 5, min: 1, way_size: WAY, classes, members: &members, power: 2.0, fairness: 0.0 };
        let mut costs = GroupCosts::new(problem).unwrap();
        let best = share_exhaustively(&mut costs).unwrap().cost;
        let mut least = f64::INFINITY;
        partitions(members.len(), &mut Vec::new(), &mut |groups| {
            if groups.len() <= usize::from(classes) {
                least = least.min(cheapest(&mut costs, groups, 5));
            }
        });
        prop_assert!((best - least).abs() <= 1e-9 * least, "{} {}", best, least);
    }

    #[test]
    fn fairness_is_bought_and_costs_no_more_than_was_said(demands in demands(4..9, 6), classes in 1u8..4) {
        let members = members(&demands, false);
        let found = |fairness: f64| {
            let problem =
                SharingProblem { ways: 6, min: 1, way_size: WAY, classes, members: &members, power: 1.5, fairness };
            let mut costs = GroupCosts::new(problem).unwrap();
            let sharing = share(&mut costs);
            let slowdowns = costs.slowdowns(&sharing);
            let most = slowdowns.iter().copied().fold(0.0, f64::max);
            let least = slowdowns.iter().copied().fold(f64::INFINITY, f64::min);
            (sharing.cost, most / least)
        };
        let (plain, fair) = (found(0.0), found(0.3));
        let beyond = (members.len().saturating_sub(usize::from(classes)) as f64).max(0.5);
        prop_assert!(fair.0 >= plain.0 && fair.0 <= plain.0 * (1.0 + 0.3 * beyond / 6.0) * (1.0 + 1e-12));
        prop_assert!(fair.1 <= plain.1 * (1.0 + 1e-12), "{fair:?} {plain:?}");
    }

    #[test]
    fn with_many_runners_everybody_has_a_place(demands in demands(17..40, 11), classes in 1u8..8) {
        let members = members(&demands, false);
        let problem = SharingProblem { ways: 11, min: 1, way_size: WAY, classes, members: &members, power: 1.0, fairness: 0.0 };
        let mut costs = GroupCosts::new(problem).unwrap();
        check(&problem, &share(&mut costs))?;
    }
}

/// All partitions of 0..n, as sets.
fn partitions(n: usize, groups: &mut Vec<u64>, visit: &mut impl FnMut(&[u64])) {
    let next: usize = groups.iter().map(|group| group.count_ones() as usize).sum();
    if next == n {
        return visit(groups);
    }
    for group in 0..groups.len() {
        groups[group] |= 1 << next;
        partitions(n, groups, visit);
        groups[group] &= !(1 << next);
    }
    groups.push(1 << next);
    partitions(n, groups, visit);
    groups.pop();
}

/// The cheapest way to give these groups ways, by trying everything.
fn cheapest(costs: &mut GroupCosts<'_>, groups: &[u64], left: u8) -> f64 {
    let Some((&first, rest)) = groups.split_first() else { return 0.0 };
    (1..=left)
        .map(|ways| costs.row(first)[usize::from(ways)] + cheapest(costs, rest, left - ways))
        .fold(f64::INFINITY, f64::min)
}

#[test]
fn a_stream_is_kept_from_those_who_gain() {
    let stream = demand(&[1.0; 12], &[1.0; 12], 1100);
    let fits = |ways: usize| {
        let misses: Vec<f64> = (0..12).map(|held| if held < ways { 1.0 } else { 0.0 }).collect();
        demand(&misses.iter().map(|misses| 1.0 + 2.0 * misses).collect::<Vec<_>>(), &misses, 1100)
    };
    let (a, b) = (fits(4), fits(5));
    let all = [&stream, &a, &stream, &b, &stream];
    let rows: Vec<Row> = all.iter().map(|demand| row(demand, 11)).collect();
    let members: Vec<Member<'_>> = all
        .iter()
        .zip(&rows)
        .map(|(demand, slowdown)| Member { weight: 1.0, slowdown, demand: Some(demand) })
        .collect();
    let problem = SharingProblem {
        ways: 11,
        min: 1,
        way_size: WAY,
        classes: 3,
        members: &members,
        power: 1.0,
        fairness: 0.0,
    };
    let sharing = share(&mut GroupCosts::new(problem).unwrap());
    assert!((sharing.cost - 5.0).abs() < 0.05, "{sharing:?}");
    assert!(sharing.groups.iter().any(|group| group.members == [0, 2, 4]), "{sharing:?}");
}

#[test]
fn who_has_no_miss_counts_is_charged_its_equal_share_rounded_down() {
    let slowdown = Row::new(&[3.0, 2.0, 1.0]).unwrap();
    let members = [Member { weight: 1.0, slowdown: &slowdown, demand: None }; 2];
    let problem = SharingProblem {
        ways: 3,
        min: 1,
        way_size: WAY,
        classes: 1,
        members: &members,
        power: 1.0,
        fairness: 0.0,
    };
    let mut costs = GroupCosts::new(problem).unwrap();
    let row = *costs.row(0b11);
    // Half a way: 3 × 1.5 each. One way, and one and a half: 3 each.
    assert_eq!(row[1..4], [9.0, 6.0, 6.0]);
}

#[test]
fn nothing_to_share_is_an_error() {
    let none = SharingProblem {
        ways: 1,
        min: 2,
        way_size: WAY,
        classes: 3,
        members: &[],
        power: 1.0,
        fairness: 0.0,
    };
    assert_eq!(GroupCosts::new(none).err(), Some(SharingError::NoRoom));
    assert_eq!(
        GroupCosts::new(SharingProblem { ways: 4, classes: 0, ..none }).err(),
        Some(SharingError::NoRoom)
    );
}
