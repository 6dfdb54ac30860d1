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
/// Each round makes what is left to run shorter by more than a threshold, so there are few.
const ROUNDS: usize = 16;

/// Who gets which ways, with whom; `None` where everybody should stay as they are, because a change would not pay or
/// there is nothing to choose. Asked again with these masks, it answers `None`.
pub(super) fn plan(
    geometry: &CacheGeometry,
    exclusive: &[WayMask],
    sharers: &[Sharer],
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
        costs: RefCell::new(GroupCosts::new(problem(&members, room, 1, way_size)).ok()),
        searched: RefCell::default(),
    };
    let mut masks: Vec<WayMask> = sharers.iter().map(|sharer| sharer.mask).collect();
    let mut placed: Vec<bool> = sharers.iter().map(|sharer| !sharer.new).collect();
    let mut found = None;
    for _ in 0..ROUNDS {
        match domain.better(&masks, &placed) {
            Some(parties) => {
                for party in &parties {
                    party.members.iter().for_each(|&i| masks[i] = party.mask);
                }
                found = Some(parties);
            }
            // A newcomer may have no better place than it has: as one who has it, it may be in the way of others.
            None if placed.contains(&false) => {}
            None => break,
        }
        placed.fill(true);
    }
    let group = |party: Party| Group {
        mask: party.mask,
        leases: party.members.iter().map(|&i| sharers[i].lease).collect(),
    };
    Some(found?.into_iter().map(group).collect())
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

/// Those who use one mask together.
#[derive(Debug, Clone, PartialEq)]
struct Party {
    members: Vec<usize>,
    mask: WayMask,
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
    sharers: &'a [Sharer],
    /// What groups cost; none where there are more sharers than can be reckoned with, or no ways.
    costs: RefCell<Option<GroupCosts<'a>>>,
    searched: RefCell<Option<Searched>>,
}

impl Domain<'_> {
    /// The masks that are worth changing to.
    fn better(&self, masks: &[WayMask], placed: &[bool]) -> Option<Vec<Party>> {
        let mut best: (f64, Option<Vec<Party>>) = (self.cost(masks), None);
        for grouping in self.groupings(masks) {
            let Some(parties) = self.lay(grouping, masks, placed) else { continue };
            let mut new = masks.to_vec();
            for party in &parties {
                party.members.iter().for_each(|&i| new[i] = party.mask);
            }
            let charged = self.cost(&new) + self.charge(&parties, masks, placed);
            if charged < best.0 {
                best = (charged, Some(parties));
            }
        }
        best.1
    }

    /// Who might share with whom: as it is now, and as it would be best without regard to what is.
    fn groupings(&self, masks: &[WayMask]) -> Vec<Vec<Vec<usize>>> {
        let everybody: Vec<usize> = (0..masks.len()).collect();
        let now = by_mask(&everybody, masks);
        let most = self.classes.min(self.room.most_runners());
        let mut all = Vec::with_capacity(2);
        // Those who are about to end keep their masks, unless there is no room for the others then.
        all.extend(self.anew(masks, true).or_else(|| self.anew(masks, false)));
        if now.len() <= most && !all.contains(&now) {
            all.push(now);
        }
        all
    }

    /// The best groups, whoever has which mask now; `None` where there is no room or nobody.
    ///
    /// Whoever gains nothing by cache shares one mask with its like. The others have ways of their own, or where ways and classes do
    /// not suffice, share as [`share`] finds it.
    fn anew(&self, masks: &[WayMask], leave: bool) -> Option<Vec<Vec<usize>>> {
        let (ending, rest): (Vec<usize>, Vec<usize>) =
            (0..masks.len()).partition(|&i| leave && self.sharers[i].ending);
        let mut groups = by_mask(&ending, masks);
        let room = self.room.without(ending.iter().fold(0, |all, &i| all | masks[i].bits()));
        if rest.is_empty() {
            return (groups.len() <= self.classes && !groups.is_empty()).then_some(groups);
        }
        let most = self.classes.checked_sub(groups.len())?.min(room.most_runners());
        let (mut light, mut sensitive): (Vec<usize>, Vec<usize>) =
            rest.into_iter().partition(|&i| self.sharers[i].is_light(self.room));
        let own = most.checked_sub(usize::from(!light.is_empty()))?;
        if sensitive.len() <= own {
            groups.extend(sensitive.into_iter().map(|i| vec![i]));
        } else {
            // Only so many can be reckoned with, those who lose the most.
            sensitive.sort_by(|&a, &b| self.loss(b).total_cmp(&self.loss(a)).then(a.cmp(&b)));
            let all: f64 = sensitive.iter().map(|&i| self.sharers[i].left).sum();
            if all >= SEARCH && sensitive.len() <= MAX_MEMBERS && own > 1 {
                let kept = if light.is_empty() { 0 } else { room.min() };
                sensitive.sort_unstable();
                groups.extend(self.search(sensitive, room.fewer(kept), own)?);
            } else {
                let alone = most.checked_sub(1)?;
                light.extend(sensitive.drain(alone..));
                groups.extend(sensitive.into_iter().map(|i| vec![i]));
            }
        }
        light.sort_unstable();
        groups.extend((!light.is_empty()).then_some(light));
        groups.sort_unstable();
        Some(groups)
    }

    /// The best groups of these in so many ways and classes.
    fn search(&self, members: Vec<usize>, room: Room, classes: usize) -> Option<Vec<Vec<usize>>> {
        let mut searched = self.searched.borrow_mut();
        let known = searched.as_ref().filter(|known| {
            known.members == members && known.ways == room.ways() && known.classes == classes
        });
        if let Some(known) = known {
            return Some(known.groups.clone());
        }
        let who: Vec<Member<'_>> = members.iter().map(|&i| self.sharers[i].member()).collect();
        let mut costs = GroupCosts::new(problem(&who, room, classes, self.way_size)).ok()?;
        let parts = share(&mut costs).groups.into_iter();
        let groups: Vec<Vec<usize>> =
            parts.map(|part| part.members.into_iter().map(|i| members[i]).collect()).collect();
        *searched = Some(Searched { members, ways: room.ways(), classes, groups: groups.clone() });
        Some(groups)
    }

    /// Masks for these groups, changed only where that pays.
    fn lay(&self, groups: Vec<Vec<usize>>, masks: &[WayMask], placed: &[bool]) -> Option<Vec<Party>> {
        let left = |group: &[usize]| group.iter().map(|&i| self.sharers[i].left).sum::<f64>();
        let rows: Vec<Row> = groups
            .iter()
            .map(|group| match group[..] {
                [one] => Some(self.sharers[one].slowdown),
                _ => {
                    let all = left(group).max(f64::MIN_POSITIVE);
                    let ways = 1..=self.room.ways().max(1);
                    Row::new(
                        &ways
                            .map(|ways| self.group_cost(group, ways.max(self.room.min())) / all)
                            .collect::<Vec<_>>(),
                    )
                    .ok()
                }
            })
            .collect::<Option<_>>()?;
        // A group stays where that member of it is who has the most left.
        let mask = |group: &[usize]| {
            let there = group.iter().copied().filter(|&i| placed[i]);
            let heaviest = |a: &usize, b: &usize| self.sharers[*a].left.total_cmp(&self.sharers[*b].left);
            there.max_by(heaviest).map(|i| masks[i])
        };
        let occupants: Vec<Occupant<'_>> = groups
            .iter()
            .zip(&rows)
            .map(|(group, slowdown)| Occupant {
                slowdown,
                left: left(group),
                mask: mask(group),
                ending: group.iter().all(|&i| self.sharers[i].ending),
            })
            .collect();
        let found = match repartition(self.room, &occupants, self.patience).ok()? {
            Some(masks) => masks,
            None => occupants.iter().map(|one| one.mask).collect::<Option<_>>()?,
        };
        Some(groups.into_iter().zip(found).map(|(members, mask)| Party { members, mask }).collect())
    }

    /// What it costs to change: to fill the ways that are granted, and the threshold for every mask that somebody leaves. Who is not
    /// placed yet has to fill its ways anyhow.
    fn charge(&self, parties: &[Party], masks: &[WayMask], placed: &[bool]) -> f64 {
        let all: f64 = self.sharers.iter().map(|one| one.left).sum();
        let (mut granted, mut left) = (0, Vec::new());
        for Party { members, mask } in parties {
            let there = || members.iter().copied().filter(|&i| placed[i]);
            let had = there().fold(0, |had, i| had | masks[i].bits());
            granted += if had == 0 { 0 } else { (mask.bits() & !had).count_ones() };
            left.extend(there().map(|i| masks[i]).filter(|had| had != mask));
        }
        left.sort_unstable_by_key(|mask| mask.bits());
        left.dedup();
        f64::from(granted) * self.patience.refill + left.len() as f64 * self.patience.threshold * all
    }

    /// What is left to run, as [`Sharer::left`] counts, where each has the mask beside it. Who overlaps with others in part counts as having an even part
    /// of each way.
    fn cost(&self, masks: &[WayMask]) -> f64 {
        let everybody: Vec<usize> = (0..masks.len()).collect();
        let part = |mask: WayMask| -> f64 {
            let ways = (0..u32::BITS).filter(|way| mask.bits() >> way & 1 == 1);
            let owners = |way: u32| masks.iter().filter(|other| other.bits() >> way & 1 == 1).count();
            ways.map(|way| 1.0 / owners(way) as f64).sum()
        };
        let cost = |group: Vec<usize>| {
            let mask = masks[group[0]];
            if masks.iter().any(|other| *other != mask && other.overlaps(mask)) {
                self.even_cost(&group, part(mask))
            } else {
                self.group_cost(&group, mask.ways().get())
            }
        };
        by_mask(&everybody, masks).into_iter().map(cost).sum()
    }

    /// What a group costs that has so many ways to itself.
    fn group_cost(&self, group: &[usize], ways: u8) -> f64 {
        let mut costs = self.costs.borrow_mut();
        let mixed = group.iter().any(|&i| self.sharers[i].is_light(self.room));
        match (&mut *costs, group) {
            (_, [one]) => self.even_cost(&[*one], f64::from(ways)),
            (Some(costs), _) if !mixed => costs.cost(group, ways),
            _ => self.even_cost(group, f64::from(ways) / group.len() as f64),
        }
    }

    /// What they cost with so many ways each.
    fn even_cost(&self, group: &[usize], ways: f64) -> f64 {
        group.iter().map(|&i| self.sharers[i].left * between(&self.sharers[i].slowdown, ways)).sum()
    }

    fn loss(&self, i: usize) -> f64 {
        self.sharers[i].left * (self.sharers[i].slowdown.at(self.room.min()) - 1.0)
    }
}

impl Sharer {
    fn member(&self) -> Member<'_> {
        Member { weight: self.left, slowdown: &self.slowdown, demand: self.demand.as_deref() }
    }

    /// Whether more cache than the smallest mask does not help it.
    pub(super) fn is_light(&self, room: Room) -> bool {
        self.slowdown.at(room.min()) <= 1.0 + LIGHT
    }
}

/// Those of `who` that have the same mask, together.
fn by_mask(who: &[usize], masks: &[WayMask]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &i in who {
        match groups.iter_mut().find(|group| masks[group[0]] == masks[i]) {
            Some(group) => group.push(i),
            None => groups.push(vec![i]),
        }
    }
    groups
}

/// A row between whole ways; below one, what one way gives.
fn between(row: &Row, ways: f64) -> f64 {
    let (below, above) = (row.at(ways.floor() as u8), row.at(ways.ceil() as u8));
    below + (above - below) * ways.fract()
}
