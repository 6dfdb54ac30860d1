//! When to change masks, and when to leave them.

use crate::cache::WayMask;
use crate::split::exact::Table;
use crate::split::frontier::{Add, PerWays};
use crate::split::{Room, Row, TooMany, Wanted, lay_out};

/// One who runs in a domain, or is about to.
#[derive(Debug, Clone, Copy)]
pub struct Occupant<'a> {
    /// Slowdown by ways.
    pub slowdown: &'a Row,
    /// Weighted seconds that it would still run with the whole cache.
    pub left: f64,
    /// Its mask; `None` for a newcomer.
    pub mask: Option<WayMask>,
    /// Whether it is about to end: its mask is left alone as long as the others have room.
    pub ending: bool,
}

/// When a change pays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patience {
    /// What each mask that changes has to gain, as a part of all that is left to run.
    pub threshold: f64,
    /// What it costs to fill one granted way, seconds.
    pub refill: f64,
}

impl Default for Patience {
    /// One and a half percent for a mask; a millisecond for a way of 2.5 MiB at 2.5 GB/s.
    fn default() -> Self {
        Self { threshold: 0.015, refill: 0.001 }
    }
}

/// Masks for everybody after an arrival, an end, a new curve or a tick; `None` where all should stay as they are.
///
/// The exact split is made anew with a fee on every mask that changes, which leaves those alone who would gain little. It is made at a few
/// fees, and of what can be laid out the best is taken, the refill of granted ways and the fee for every mask that changes
/// charged, neighbours that had to move included. Work is bounded: six splits and five layouts.
///
/// # Errors
/// [`TooMany`] where not everybody can have the fewest ways of a mask.
pub fn repartition(
    room: Room,
    occupants: &[Occupant<'_>],
    patience: Patience,
) -> Result<Option<Vec<WayMask>>, TooMany> {
    if occupants.len() > room.most_runners() {
        return Err(TooMany { runners: occupants.len(), most: room.most_runners() });
    }
    let all_left: f64 = occupants.iter().map(|one| one.left).sum();
    let fee = patience.threshold * all_left;
    let charge = |masks: &[WayMask]| {
        let one = |(one, mask): (&Occupant<'_>, &WayMask)| {
            let had = one.mask.map_or(0, WayMask::bits);
            let granted = f64::from((mask.bits() & !had).count_ones()) * patience.refill;
            let fee = if one.mask.is_some_and(|had| had != *mask) { fee } else { 0.0 };
            one.left * one.slowdown.at(mask.ways().get()) + granted + fee
        };
        occupants.iter().zip(masks).map(one).sum::<f64>()
    };
    // As they are, if that is possible: nobody new, all masks still allowed and apart.
    let now: Option<Vec<WayMask>> = occupants.iter().map(|one| one.mask).collect();
    let now = now.filter(|masks| apart(room, masks));
    let mut best = now.map(|masks| (charge(&masks), None));
    let mut table = Table::of(room);
    let plain: Vec<PerWays<f64>> =
        occupants.iter().map(|one| one.slowdown.values().map(|slowdown| one.left * slowdown)).collect();
    let mut best_sizes = |fee: f64, refill: f64, leave: bool| {
        let cost =
            |i: usize, costs: &mut PerWays<f64>| cost(&occupants[i], &plain[i], fee, refill, leave, costs);
        Some(table.best::<Add>(occupants.len(), cost)).filter(|(_, all)| all.is_finite())
    };
    // No masks are charged less than the best sizes are, with the fee for every size that changes and the refill of every way that is
    // more: where a mask goes can only add to that.
    let least =
        best_sizes(fee, patience.refill, true).map_or(f64::NEG_INFINITY, |(_, all)| all * (1.0 + ROUNDING));
    let mut tried: Option<Vec<u8>> = None;
    let attempts = FEES.iter().map(|times| (times * fee, true)).chain([(0.0, false)]);
    for (fee, leave) in attempts {
        if !leave && best.is_some() {
            break;
        }
        if best.as_ref().is_some_and(|(charged, _)| *charged <= least) {
            break;
        }
        let Some((sizes, _)) = best_sizes(fee, 0.0, leave) else { continue };
        if tried.as_ref() == Some(&sizes) {
            continue;
        }
        let masks = lay(room, occupants, &sizes);
        tried = Some(sizes);
        let Some(masks) = masks else { continue };
        let charged = charge(&masks);
        if best.as_ref().is_none_or(|(least, _)| charged < *least) {
            best = Some((charged, Some(masks)));
        }
    }
    Ok(best.and_then(|(_, masks)| masks))
}

/// The fees tried, in thresholds: a high one also keeps neighbours in place that a low one would have moved.
const FEES: [f64; 4] = [1.0, 3.0, 10.0, 1e6];

/// Sums are not added up in the same order everywhere.
const ROUNDING: f64 = 1e-12;

/// Writes down what sizes cost an occupant with a fee for another than it has and the refill of every way that is more; `plain` is what
/// they cost without.
fn cost(
    one: &Occupant<'_>,
    plain: &PerWays<f64>,
    fee: f64,
    refill: f64,
    leave: bool,
    costs: &mut PerWays<f64>,
) {
    let had = one.mask.map_or(0, |mask| usize::from(mask.ways().get()));
    let fee = match (had, leave && one.ending) {
        (0, _) => 0.0,
        (_, true) => f64::INFINITY,
        (_, false) => fee,
    };
    costs.iter_mut().zip(plain).for_each(|(cost, plain)| *cost = plain + fee);
    costs[had] = plain[had];
    if refill > 0.0 {
        costs[had..].iter_mut().zip(0_u8..).for_each(|(cost, more)| *cost += f64::from(more) * refill);
    }
}

/// Masks of these sizes.
fn lay(room: Room, occupants: &[Occupant<'_>], ways: &[u8]) -> Option<Vec<WayMask>> {
    let wanted = |(&ways, one): (&u8, &Occupant<'_>)| Wanted { ways, now: one.mask };
    lay_out(room, &ways.iter().zip(occupants).map(wanted).collect::<Vec<_>>())
}

fn apart(room: Room, masks: &[WayMask]) -> bool {
    let mut taken = 0;
    masks.iter().all(|mask| {
        let free = room.allows(*mask) && taken & mask.bits() == 0;
        taken |= mask.bits();
        free
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cache::Ways;

    fn mask(first: u8, ways: u8) -> WayMask {
        WayMask::contiguous(first, Ways::clamped(ways)).unwrap()
    }

    fn room(ways: u8) -> Room {
        Room::plain(Ways::clamped(ways))
    }

    fn cliff() -> Row {
        Row::new(&[2.0, 2.0, 2.0, 1.0]).unwrap()
    }

    #[test]
    fn a_small_gain_is_left_and_a_large_one_taken() {
        let (gains, flat) = (cliff(), Row::new(&[1.001, 1.0]).unwrap());
        let occupants = |left| {
            let one = |slowdown, first, ways| Occupant {
                slowdown,
                left,
                mask: Some(mask(first, ways)),
                ending: false,
            };
            [one(&gains, 0, 3), one(&flat, 3, 3)]
        };
        let decide = |left| repartition(room(6), &occupants(left), Patience { threshold: 0.01, refill: 0.1 });
        assert_eq!(decide(0.05), Ok(None));
        let changed = decide(10.0).unwrap().unwrap();
        assert_eq!(changed[0].ways().get(), 4);
        // Whoever hears that it would pay, and does it, hears no more.
        let after =
            changed.iter().zip(occupants(10.0)).map(|(mask, one)| Occupant { mask: Some(*mask), ..one });
        let after: Vec<Occupant<'_>> = after.collect();
        assert_eq!(repartition(room(6), &after, Patience::default()), Ok(None));
    }

    #[test]
    fn who_is_about_to_end_is_left_alone() {
        let row = cliff();
        let one = |first, ending| Occupant { slowdown: &row, left: 10.0, mask: Some(mask(first, 3)), ending };
        let stay = [one(0, true), one(3, true)];
        assert_eq!(repartition(room(6), &stay, Patience::default()), Ok(None));
        let go = [one(0, true), one(3, false)];
        assert_eq!(repartition(room(6), &go, Patience::default()), Ok(None));
        let go = [one(0, false), one(3, false)];
        assert!(repartition(room(6), &go, Patience::default()).unwrap().is_some());
    }

    #[test]
    fn a_newcomer_gets_a_mask_whatever_it_costs_and_even_from_who_is_about_to_end() {
        let row = cliff();
        let old = Occupant { slowdown: &row, left: 1.0, mask: Some(mask(0, 6)), ending: true };
        let new = Occupant { mask: None, ending: false, ..old };
        let masks =
            repartition(room(6), &[old, new], Patience { threshold: 1e9, refill: 1e9 }).unwrap().unwrap();
        assert!(!masks[0].overlaps(masks[1]));
        let many = [new; 7];
        assert_eq!(repartition(room(6), &many, Patience::default()), Err(TooMany { runners: 7, most: 6 }));
    }

    proptest! {
        #[test]
        fn what_changes_is_legal_and_worth_it(
            runners in prop::collection::vec(
                (prop::collection::vec(1.0f64..4.0, 10), 0.0f64..50.0, 0u8..10, 1u8..5, any::<bool>(), any::<bool>()), 1..6),
            foreign in 0u8..20,
        ) {
            let rows: Vec<Row> = runners.iter().map(|one| Row::new(&one.0).unwrap()).collect();
            let room = room(10).without(1u32.checked_shl(u32::from(foreign)).unwrap_or(0));
            let occupants: Vec<Occupant<'_>> = runners.iter().zip(&rows)
                .map(|((_, left, first, ways, new, ending), slowdown)| Occupant {
                    slowdown, left: *left, ending: *ending,
                    mask: (!new).then(|| mask(*first, *ways)),
                })
                .collect();
            let patience = Patience { threshold: 0.01, refill: 0.01 };
            let had: Option<Vec<WayMask>> = occupants.iter().map(|one| one.mask).collect();
            match repartition(room, &occupants, patience) {
                Ok(Some(masks)) => {
                    prop_assert!(apart(room, &masks));
                    if let Some(had) = had.filter(|had| apart(room, had)) {
                        let cost = |masks: &[WayMask]| occupants.iter().zip(masks)
                            .map(|(one, mask)| one.left * one.slowdown.at(mask.ways().get())).sum::<f64>();
                        let all: f64 = occupants.iter().map(|one| one.left).sum();
                        prop_assert!(cost(&had) - cost(&masks) > 0.01 * all);
                    }
                }
                Ok(None) => prop_assert!(had.is_some_and(|had| apart(room, &had))),
                Err(error) => prop_assert!(error.runners > error.most),
            }
        }
    }
}
