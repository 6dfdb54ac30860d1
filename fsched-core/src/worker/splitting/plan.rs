//! Who gets which ways with whom, and whether a change is worth it: pure, over those who share one domain.

use std::cell::RefCell;

use super::Sharer;
use crate::allocator::Group;
use crate::cache::{CacheGeometry, WayMask};
use crate::split::repartition::{Occupant, Patience, repartition};
use crate::split::sharing::{GroupCosts, MAX_MEMBERS, Member, SharingProblem, share};
use crate::split::{Room, Row};

/// How fast granted ways fill, bytes per second: a fifth of what one memory channel gives.
const REFILL: f64 = 4e9;
/// A function that the smallest mask slows down by no more than this part takes no cache budget.
const LIGHT: f64 = 0.01;
/// Who shares with whom is searched only where so much is left to run in all, as [`Sharer::left`] counts: a search takes up to 10 ms.
const SEARCH: f64 = 2.0;
/// Sums are not added up in the same order everywhere.
const ROUNDING: f64 = 1e-9;
/// Each round makes what is left to run shorter by more than a threshold, so there are few.
const ROUNDS: usize = 16;

/// Who gets which ways, with whom; `None` where everybody should stay as they are, because a change would not pay or
/// there is nothing to choose. Asked again with these masks, it answers `None`.
pub(super) fn plan(
    geometry: &CacheGeometry,
    exclusive: &[WayMask],
    sharers: &[Sharer<'_>],
) -> Option<Vec<Group>> {
    let taken = exclusive.iter().fold(0, |all, mask| all | mask.bits());
    let way_size = geometry.way_size().0 as f64;
    let members: Vec<Member<'_>> = sharers.iter().map(Sharer::member).collect();
    let room = Room::of(geometry).without(taken);
    let domain = Domain {
        room,
        classes: usize::from(geometry.classes).checked_sub(exclusive.len())?,
        way_size,
        patience: Patience { refill: way_size / REFILL, ..Patience::default() },
        sharers,
        all_left: sharers.iter().map(|one| one.left).sum(),
        costs: RefCell::new(GroupCosts::new(problem(&members, room, 1, way_size)).ok()),
        searched: RefCell::default(),
    };
    let mut masks: Vec<WayMask> = sharers.iter().map(|sharer| sharer.mask).collect();
    let mut placed: Vec<bool> = sharers.iter().map(|sharer| !sharer.new).collect();
    let mut cost = None;
    let mut found = None;
    for _ in 0..ROUNDS {
        if !placed.contains(&false) && !domain.may_gain(&masks) {
            debug_assert!(domain.better(domain.cost(&masks), &masks, &placed).is_none(), "some change pays");
            break;
        }
        match domain.better(cost.unwrap_or_else(|| domain.cost(&masks)), &masks, &placed) {
            Some(better) => {
                (cost, masks) = (Some(better.cost), better.masks);
                found = Some(better.groups);
            }
            // A newcomer may have no better place than it has: as one who has it, it may be in the way of others.
            None if placed.contains(&false) => {}
            None => break,
        }
        placed.fill(true);
    }
    let groups = found?;
    let group = |first: usize| Group {
        mask: masks[first],
        leases: groups.members(first).map(|i| sharers[i].lease).collect(),
    };
    Some(groups.firsts().map(group).collect())
}

fn problem<'a>(members: &'a [Member<'a>], room: Room, classes: usize, way_size: f64) -> SharingProblem<'a> {
    let classes = u8::try_from(classes).unwrap_or(u8::MAX);
    SharingProblem {
        ways: room.ways(),
        min: room.min(),
        way_size,
        classes,
        members,
        power: 1.0,
        fairness: 0.0,
    }
}

/// Who shares with whom: for each the first of those in its group, which stands for the group.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Groups(Vec<usize>);

impl Groups {
    /// Those that have the same mask, together.
    fn by_mask(masks: &[WayMask]) -> Self {
        let first = |i: usize| masks.iter().position(|mask| *mask == masks[i]).unwrap_or(i);
        Self((0..masks.len()).map(first).collect())
    }

    /// The first of each group, rising.
    fn firsts(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter(|(i, first)| i == *first).map(|(i, _)| i)
    }

    /// Those of the group of this first one, rising.
    fn members(&self, first: usize) -> impl Iterator<Item = usize> + Clone {
        let group = self.0[first..].iter().enumerate();
        group.filter(move |(_, of)| **of == first).map(move |(i, _)| first + i)
    }

    /// Whether the group of this first one is nobody else's.
    fn is_single(&self, first: usize) -> bool {
        !self.0[first + 1..].contains(&first)
    }

    /// How many there are.
    fn count(&self) -> usize {
        self.firsts().count()
    }

    /// These, who are rising, are a group.
    fn join(&mut self, members: &[usize]) {
        members.iter().for_each(|&i| self.0[i] = members[0]);
    }
}

/// Masks that are worth changing to.
struct Better {
    groups: Groups,
    /// By sharer.
    masks: Vec<WayMask>,
    /// What is left to run with them.
    cost: f64,
}

/// A search for who shares with whom: among whom, in how many ways and classes; and what was found.
#[derive(Debug)]
struct Searched {
    members: Vec<usize>,
    ways: u8,
    classes: usize,
    groups: Vec<Vec<usize>>,
}

struct Domain<'a> {
    room: Room,
    classes: usize,
    way_size: f64,
    patience: Patience,
    sharers: &'a [Sharer<'a>],
    /// What is left of all.
    all_left: f64,
    /// What groups cost; none where there are more sharers than can be reckoned with, or no ways.
    costs: RefCell<Option<GroupCosts<'a>>>,
    searched: RefCell<Option<Searched>>,
}

impl Domain<'_> {
    /// Whether any change might be worth it, where all are placed: the threshold is charged for every mask that is left, so those who share one of
    /// them have to gain more than that.
    fn may_gain(&self, masks: &[WayMask]) -> bool {
        let groups = Groups::by_mask(masks);
        let least = |i: usize| match &self.sharers[i] {
            Sharer { left, demand: Some(_), .. } => *left,
            Sharer { left, slowdown, .. } => left * slowdown.at(self.room.ways()),
        };
        let gain = |first: usize| {
            self.cost_of_mask(&groups, first, masks) - groups.members(first).map(least).sum::<f64>()
        };
        let fee = self.patience.threshold * self.all_left * (1.0 - ROUNDING);
        groups.firsts().any(|first| gain(first) > fee)
    }

    /// The masks that are worth changing to from these, which cost so much.
    fn better(&self, cost: f64, masks: &[WayMask], placed: &[bool]) -> Option<Better> {
        let (mut least, mut best) = (cost, None);
        for groups in self.groupings(masks).into_iter().flatten() {
            let Some(new) = self.lay(&groups, masks, placed) else { continue };
            if new == masks {
                // As it is: no better.
                continue;
            }
            let cost = self.cost(&new);
            let charged = cost + self.charge(&groups, &new, masks, placed);
            if charged < least {
                (least, best) = (charged, Some(Better { groups, masks: new, cost }));
            }
        }
        best
    }

    /// Who might share with whom: as it would be best without regard to what is, and as it is now.
    fn groupings(&self, masks: &[WayMask]) -> [Option<Groups>; 2] {
        let now = Groups::by_mask(masks);
        let most = self.classes.min(self.room.most_runners());
        // Those who are about to end keep their masks, unless there is no room for the others then.
        let anew = self.anew(masks, true).or_else(|| self.anew(masks, false));
        let other = now.count() <= most && anew.as_ref() != Some(&now);
        [anew, other.then_some(now)]
    }

    /// The best groups, whoever has which mask now; `None` where there is no room or nobody.
    ///
    /// Whoever gains nothing by cache shares one mask with its like. The others have ways of their own, or where ways and classes do
    /// not suffice, share as [`share`] finds it.
    fn anew(&self, masks: &[WayMask], leave: bool) -> Option<Groups> {
        let mut groups = Groups((0..masks.len()).collect());
        let (mut light, mut sensitive) = (Vec::new(), Vec::with_capacity(masks.len()));
        let (mut ending, mut kept) = (Vec::new(), 0);
        for (i, sharer) in self.sharers.iter().enumerate() {
            if leave && sharer.ending {
                // With whoever else is about to end and has its mask.
                groups.0[i] = ending.iter().copied().find(|&j| masks[j] == masks[i]).unwrap_or(i);
                ending.extend((groups.0[i] == i).then_some(i));
                kept |= masks[i].bits();
            } else if sharer.is_light(self.room) {
                light.push(i);
            } else {
                sensitive.push(i);
            }
        }
        if light.is_empty() && sensitive.is_empty() {
            return (ending.len() <= self.classes && !ending.is_empty()).then_some(groups);
        }
        let room = self.room.without(kept);
        let most = self.classes.checked_sub(ending.len())?.min(room.most_runners());
        let own = most.checked_sub(usize::from(!light.is_empty()))?;
        if sensitive.len() > own {
            // Only so many can be reckoned with, those who lose the most.
            sensitive.sort_by(|&a, &b| self.loss(b).total_cmp(&self.loss(a)).then(a.cmp(&b)));
            let all: f64 = sensitive.iter().map(|&i| self.sharers[i].left).sum();
            if all >= SEARCH && sensitive.len() <= MAX_MEMBERS && own > 1 {
                let kept = if light.is_empty() { 0 } else { room.min() };
                sensitive.sort_unstable();
                self.search(sensitive, room.fewer(kept), own, &mut groups)?;
            } else {
                let alone = most.checked_sub(1)?;
                light.extend(sensitive.drain(alone..));
            }
        }
        light.sort_unstable();
        groups.join(&light);
        Some(groups)
    }

    /// The best groups of these in so many ways and classes.
    fn search(&self, members: Vec<usize>, room: Room, classes: usize, groups: &mut Groups) -> Option<()> {
        let mut searched = self.searched.borrow_mut();
        let known = searched.as_ref().filter(|known| {
            known.members == members && known.ways == room.ways() && known.classes == classes
        });
        if let Some(known) = known {
            known.groups.iter().for_each(|group| groups.join(group));
            return Some(());
        }
        let who: Vec<Member<'_>> = members.iter().map(|&i| self.sharers[i].member()).collect();
        let mut costs = GroupCosts::new(problem(&who, room, classes, self.way_size)).ok()?;
        let parts = share(&mut costs).groups.into_iter();
        let found: Vec<Vec<usize>> =
            parts.map(|part| part.members.into_iter().map(|i| members[i]).collect()).collect();
        found.iter().for_each(|group| groups.join(group));
        *searched = Some(Searched { members, ways: room.ways(), classes, groups: found });
        Some(())
    }

    /// Masks for these groups, by sharer, changed only where that pays.
    fn lay(&self, groups: &Groups, masks: &[WayMask], placed: &[bool]) -> Option<Vec<WayMask>> {
        let left = |first: usize| groups.members(first).map(|i| self.sharers[i].left).sum::<f64>();
        let together = |first: usize| {
            let all = left(first).max(f64::MIN_POSITIVE);
            let ways = 1..=self.room.ways().max(1);
            let cost = |ways: u8| self.group_cost(groups, first, ways.max(self.room.min())) / all;
            Row::new(&ways.map(cost).collect::<Vec<_>>()).ok()
        };
        let shared = groups.firsts().filter(|&first| !groups.is_single(first));
        let rows: Vec<Row> = shared.map(together).collect::<Option<_>>()?;
        let mut rows = rows.iter();
        // A group stays where that member of it is who has the most left.
        let mask = |first: usize| {
            let there = groups.members(first).filter(|&i| placed[i]);
            let heaviest = |a: &usize, b: &usize| self.sharers[*a].left.total_cmp(&self.sharers[*b].left);
            there.max_by(heaviest).map(|i| masks[i])
        };
        let occupants: Vec<Occupant<'_>> = groups
            .firsts()
            .map(|first| Occupant {
                slowdown: if groups.is_single(first) {
                    self.sharers[first].slowdown
                } else {
                    rows.next().expect("every group that is shared has a row")
                },
                left: left(first),
                mask: mask(first),
                ending: groups.members(first).all(|i| self.sharers[i].ending),
            })
            .collect();
        let found = match repartition(self.room, &occupants, self.patience).ok()? {
            Some(masks) => masks,
            None => occupants.iter().map(|one| one.mask).collect::<Option<_>>()?,
        };
        let mut new = masks.to_vec();
        for (first, mask) in groups.firsts().zip(found) {
            groups.members(first).for_each(|i| new[i] = mask);
        }
        Some(new)
    }

    /// What it costs to change: to fill the ways that are granted, and the threshold for every mask that somebody leaves. Who is not
    /// placed yet has to fill its ways anyhow.
    fn charge(&self, groups: &Groups, new: &[WayMask], masks: &[WayMask], placed: &[bool]) -> f64 {
        let mut granted = 0;
        for first in groups.firsts() {
            let there = groups.members(first).filter(|&i| placed[i]);
            let had = there.fold(0, |had, i| had | masks[i].bits());
            granted += if had == 0 { 0 } else { (new[first].bits() & !had).count_ones() };
        }
        let leaves = |i: usize| placed[i] && masks[i] != new[i];
        // Each mask once.
        let left = (0..masks.len())
            .filter(|&i| leaves(i) && !(0..i).any(|before| leaves(before) && masks[before] == masks[i]));
        f64::from(granted) * self.patience.refill
            + left.count() as f64 * self.patience.threshold * self.all_left
    }

    /// What is left to run, as [`Sharer::left`] counts, where each has the mask beside it. Who overlaps with others in part counts as having an even part
    /// of each way.
    fn cost(&self, masks: &[WayMask]) -> f64 {
        let groups = Groups::by_mask(masks);
        groups.firsts().map(|first| self.cost_of_mask(&groups, first, masks)).sum()
    }

    /// The same of those with one of the masks.
    fn cost_of_mask(&self, groups: &Groups, first: usize, masks: &[WayMask]) -> f64 {
        let mask = masks[first];
        if !masks.iter().any(|other| *other != mask && other.overlaps(mask)) {
            return self.group_cost(groups, first, mask.ways().get());
        }
        let ways = (0..u32::BITS).filter(|way| mask.bits() >> way & 1 == 1);
        let owners = |way: u32| masks.iter().filter(|other| other.bits() >> way & 1 == 1).count();
        let part = ways.map(|way| 1.0 / owners(way) as f64).sum();
        self.even_cost(groups.members(first), part)
    }

    /// What a group costs that has so many ways to itself.
    fn group_cost(&self, groups: &Groups, first: usize, ways: u8) -> f64 {
        if groups.is_single(first) {
            return self.sharers[first].left * self.sharers[first].slowdown.at(ways);
        }
        let members = groups.members(first);
        if !members.clone().any(|i| self.sharers[i].is_light(self.room))
            && let Some(costs) = &mut *self.costs.borrow_mut()
        {
            return costs.cost(members, ways);
        }
        let count = members.clone().count();
        self.even_cost(members, f64::from(ways) / count as f64)
    }

    /// What they cost with so many ways each.
    fn even_cost(&self, members: impl Iterator<Item = usize>, ways: f64) -> f64 {
        members.map(|i| self.sharers[i].left * between(self.sharers[i].slowdown, ways)).sum()
    }

    fn loss(&self, i: usize) -> f64 {
        self.sharers[i].left * (self.sharers[i].slowdown.at(self.room.min()) - 1.0)
    }
}

impl Sharer<'_> {
    fn member(&self) -> Member<'_> {
        Member { weight: self.left, slowdown: self.slowdown, demand: self.demand }
    }

    /// Whether more cache than the smallest mask does not help it.
    pub(super) fn is_light(&self, room: Room) -> bool {
        self.slowdown.at(room.min()) <= 1.0 + LIGHT
    }
}

/// A row between whole ways; below one, what one way gives.
fn between(row: &Row, ways: f64) -> f64 {
    let (below, above) = (row.at(ways.floor() as u8), row.at(ways.ceil() as u8));
    below + (above - below) * ways.fract()
}
