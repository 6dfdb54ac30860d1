use fsched_core::cache::{WayMask, Ways};
use fsched_core::split::repartition::{Occupant, Patience, repartition};
use fsched_core::split::{Objective, Problem, Room, Runner, Wanted, lay_out, solve};
use serde::Serialize;

use super::curves::{Cache, Program};
use super::evaluation::Plan;
use super::mixes::Seeded;

/// The most that run at once: as many as there are classes.
const SLOTS: usize = 7;
/// Seconds a run takes in the mean, with the whole cache.
const RUN: f64 = 1.0;

/// What repartitioning costs and saves, over one long random stream of runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) ways: u8,
    pub(crate) programs: &'static str,
    pub(crate) events: u32,
    pub(crate) rule: &'static str,
    /// Mean slowdown, weighted by run time.
    pub(crate) slowdown: f64,
    /// Masks of those who already ran that were changed, per event.
    pub(crate) changes: f64,
    /// How much slower than with a new split at every event, percent.
    pub(crate) loss: f64,
    /// Changes over those of a new split at every event, percent.
    pub(crate) share: f64,
}

#[derive(Clone, Copy)]
enum Rule {
    EveryEvent,
    WhenItPays,
    /// Newcomers get a fair part of what can be had; nobody else moves.
    Never,
}

struct Running<'a> {
    program: &'a Program,
    /// Seconds left with the whole cache.
    left: f64,
    all: f64,
    mask: Option<WayMask>,
}

pub(super) fn lines(cache: &Cache, kind: &'static str, ways: u8, plan: Plan) -> Vec<Line> {
    if cache.programs.is_empty() {
        return Vec::new();
    }
    let events = (5 * plan.mixes).max(10);
    let rules = [
        ("at every event", Rule::EveryEvent),
        ("when it pays", Rule::WhenItPays),
        ("only for newcomers", Rule::Never),
    ];
    let found = rules.map(|(_, rule)| run(cache, ways, rule, events, plan.seed));
    let (base, base_changes) = found[0];
    let line = |((name, _), (slowdown, changes)): (&(&'static str, Rule), (f64, f64))| Line {
        ways,
        programs: kind,
        events,
        rule: name,
        slowdown,
        changes,
        loss: 100.0 * (slowdown / base - 1.0),
        share: if base_changes > 0.0 { 100.0 * changes / base_changes } else { 0.0 },
    };
    rules.iter().zip(found).map(line).collect()
}

/// Mean slowdown and changed masks per event. The same runs arrive whatever the rule: they wait for a slot.
fn run(cache: &Cache, ways: u8, rule: Rule, events: u32, seed: u64) -> (f64, f64) {
    let room = Room::plain(Ways::clamped(ways));
    let mut seeded = Seeded::new(seed, &[3, u64::from(ways), cache.programs.len() as u64]);
    // Filling a way at 4 GB/s.
    let patience = Patience { refill: cache.way_size / 4e9, ..Patience::default() };
    let gap = RUN / (0.8 * SLOTS as f64);
    let mut running: Vec<Running<'_>> = Vec::new();
    let (mut now, mut next, mut waiting) = (0.0, 0.0, Vec::new());
    let (mut spent, mut work, mut changes) = (0.0, 0.0, 0_u32);
    for _ in 0..events {
        let ends = running.iter().map(|one| now + one.left * one.slowdown()).fold(f64::INFINITY, f64::min);
        let until = ends.min(next);
        for one in &mut running {
            one.left -= (until - now) / one.slowdown();
            spent += until - now;
        }
        now = until;
        if next <= ends {
            let all = seeded.exponential(RUN).max(1e-3);
            waiting.push(Running { program: seeded.one(cache), left: all, all, mask: None });
            next = now + seeded.exponential(gap);
        }
        running.retain(|one| {
            let done = one.left <= 1e-9;
            work += if done { one.all } else { 0.0 };
            !done
        });
        while running.len() < SLOTS && !waiting.is_empty() {
            running.push(waiting.remove(0));
        }
        let Some(masks) = decide(room, rule, &running, patience) else { continue };
        for (one, mask) in running.iter_mut().zip(masks) {
            let had = one.mask.map_or(0, WayMask::bits);
            changes += u32::from(had != 0 && had != mask.bits());
            // Granted ways are empty at first.
            one.left += f64::from((mask.bits() & !had).count_ones()) * patience.refill
                / one.program.slowdown.at(mask.ways().get());
            one.mask = Some(mask);
        }
    }
    work += running.iter().map(|one| one.all - one.left).sum::<f64>();
    (spent / work, f64::from(changes) / f64::from(events))
}

fn decide(room: Room, rule: Rule, running: &[Running<'_>], patience: Patience) -> Option<Vec<WayMask>> {
    let occupants: Vec<Occupant<'_>> = running.iter().map(Running::occupant).collect();
    match rule {
        Rule::WhenItPays => repartition(room, &occupants, patience).expect("no more slots than ways"),
        Rule::Never => {
            let never = Patience { threshold: 1e3, ..patience };
            repartition(room, &occupants, never).expect("no more slots than ways")
        }
        Rule::EveryEvent => {
            let runners: Vec<Runner<'_>> =
                running.iter().map(|one| Runner::new(one.left, &one.program.slowdown)).collect();
            let problem = Problem { room, runners: &runners };
            let solution = solve(&problem, Objective::Sum).expect("no more slots than ways");
            let wanted = solution.ways.iter().zip(running).map(|(&ways, one)| Wanted { ways, now: one.mask });
            lay_out(room, &wanted.collect::<Vec<_>>())
        }
    }
}

impl<'a> Running<'a> {
    fn occupant(&self) -> Occupant<'a> {
        Occupant {
            slowdown: &self.program.slowdown,
            left: self.left,
            mask: self.mask,
            ending: self.left < 0.05 * self.all,
        }
    }

    fn slowdown(&self) -> f64 {
        self.mask.map_or(1.0, |mask| self.program.slowdown.at(mask.ways().get()))
    }
}
