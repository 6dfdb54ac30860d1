//! Masks that somebody else chose for those who share: whether they can be, and which class gets which.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::{Class, ClosId, Lease, Ledger, class_at};
use crate::allocator::{Group, Misfit};

/// Whether the groups name every shared lease once, with masks that can be.
pub(super) fn check(ledger: &Ledger, groups: &[Group]) -> Result<(), Misfit> {
    let room = ledger.room();
    let left = ledger.classes.iter().filter(|class| can_be_shared(class)).count();
    if groups.len() > left {
        return Err(Misfit::TooManyGroups { groups: groups.len(), left });
    }
    let mut named = BTreeSet::new();
    for group in groups {
        let mask = group.mask.bits();
        if mask & !ledger.rules.usable != 0 || ledger.rules.largest_mask(mask) != Some(mask) {
            return Err(Misfit::IllegalMask(group.mask));
        }
        if mask & !room != 0 {
            return Err(Misfit::ExclusiveWays(group.mask));
        }
        if group.leases.is_empty() {
            return Err(Misfit::NobodyIn(group.mask));
        }
        for &lease in &group.leases {
            if !ledger.leases.get(&lease).is_some_and(|held| is_shared(ledger, held.class)) {
                return Err(Misfit::NotShared(lease));
            }
            if !named.insert(lease) {
                return Err(Misfit::NamedTwice(lease));
            }
        }
    }
    let left_out =
        ledger.leases.iter().find(|(id, held)| is_shared(ledger, held.class) && !named.contains(id));
    left_out.map_or(Ok(()), |(lease, _)| Err(Misfit::LeftOut(*lease)))
}

/// The class of each group, so that few leases change theirs: again and again the pair of group and class that has the most
/// leases in common, and the lowest class that nobody exclusive has where there are none left in common.
pub(super) fn seat(ledger: &Ledger, groups: &[Group]) -> Vec<ClosId> {
    let mut pairs: Vec<(u32, usize, usize)> = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let first = pairs.len();
        let held = group.leases.iter().filter_map(|lease| ledger.leases.get(lease));
        for class in held.filter_map(|held| usize::from(held.class.0).checked_sub(1)) {
            match pairs[first..].iter_mut().find(|(_, _, known)| *known == class) {
                Some((common, ..)) => *common += 1,
                None => pairs.push((1, index, class)),
            }
        }
    }
    // Of equals the first: the lowest group in the lowest class.
    pairs.sort_unstable_by_key(|&(common, group, class)| (Reverse(common), group, class));
    let mut free: Vec<bool> = ledger.classes.iter().map(can_be_shared).collect();
    let mut seats = vec![None; groups.len()];
    for (_, group, class) in pairs {
        if seats[group].is_none() && free[class] {
            seats[group] = Some(class);
            free[class] = false;
        }
    }
    for seat in seats.iter_mut().filter(|seat| seat.is_none()) {
        let class =
            free.iter().position(|free| *free).expect("there are no more groups than classes for them");
        free[class] = false;
        *seat = Some(class);
    }
    seats.into_iter().flatten().map(class_at).collect()
}

/// Puts everybody into the class of their group, with the mask that was chosen.
pub(super) fn sit_down(ledger: &mut Ledger, groups: &[Group], seats: &[ClosId]) {
    for class in &mut ledger.classes {
        if let Class::Shared { mask, .. } = *class {
            *class = Class::Free { left: mask };
        }
    }
    for (group, &seat) in groups.iter().zip(seats) {
        let mut asked = 0;
        for lease in &group.leases {
            if let Some(Lease { class, asked: ways }) = ledger.leases.get_mut(lease) {
                *class = seat;
                asked += u32::from(ways.get());
            }
        }
        let mask = group.mask.bits();
        let runners = u32::try_from(group.leases.len()).unwrap_or(u32::MAX);
        ledger.classes[usize::from(seat.0) - 1] = Class::Shared { mask, runners, asked, arranged: mask };
    }
}

fn can_be_shared(class: &Class) -> bool {
    matches!(class, Class::Free { .. } | Class::Shared { .. })
}

fn is_shared(ledger: &Ledger, class: ClosId) -> bool {
    let index = usize::from(class.0).checked_sub(1);
    index.is_none_or(|index| matches!(ledger.classes[index], Class::Shared { .. }))
}
