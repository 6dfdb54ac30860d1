//! Ten thousand workers: the books stay as small as what they are about.

use std::sync::Arc;

use super::*;
use crate::predictor::InterpolatingPredictor;
use crate::random::SplitMix;
use crate::scheduler::BinPacking;

/// How much the master holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    live: usize,
    queued: usize,
    promised: usize,
    looks: usize,
    view: usize,
}

struct Crowd {
    master: Master,
    now: Timestamp,
    out: Vec<(WorkerId, Order)>,
    ids: Vec<WorkerId>,
    functions: Vec<FunctionId>,
    ended: usize,
}

impl Crowd {
    fn new(workers: usize) -> Self {
        let config = MasterConfig { queue: 200, ..MasterConfig::default() };
        let predictor = Box::new(InterpolatingPredictor::default());
        let scheduler = Box::new(BinPacking::default());
        let now = Timestamp(1_000_000_000);
        let (master, _) = Master::new(config, predictor, scheduler, Snapshot::default(), now);
        let mut crowd = Self { master, now, out: vec![], ids: vec![], functions: vec![], ended: 0 };
        for n in 0..workers {
            let (id, _) = crowd.master.join(now, "http://w".into(), beat(n));
            crowd.ids.push(id);
        }
        for name in ["a", "b", "c"] {
            let needs = Needs { cores: 1 + crowd.functions.len() as u16, ..spec(name).needs };
            let (function, _) = crowd.master.push(now, FunctionSpec { needs, ..spec(name) });
            crowd.functions.push(function.id);
        }
        crowd
    }

    fn take(&mut self, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::Send { to, order } => self.out.push((to.worker, *order)),
                Effect::Reply { .. } => self.ended += 1,
                _ => {}
            }
        }
    }

    fn submit(&mut self, dice: &mut SplitMix) {
        let function = self.functions[dice.below(3)];
        let submission = Submission::new(function, InputSize(1 << dice.below(4)));
        if let Ok((_, effects)) = self.master.submit(self.now, submission) {
            self.take(effects);
        }
    }

    fn complete(&mut self, dice: &mut SplitMix) {
        if self.out.is_empty() {
            return;
        }
        let (worker, order) = self.out.swap_remove(dice.below(self.out.len()));
        let report = report(order.attempt, Ending::Exited(0), 0.5 + dice.below(100) as f64 / 100.0);
        let effects = self.master.reported(self.now, worker, order.attempt, Ok(Arc::new(report)));
        self.take(effects);
    }

    fn beat(&mut self, dice: &mut SplitMix) {
        let n = dice.below(self.ids.len());
        let mut heartbeat = beat(n);
        heartbeat.running = self.master.members.attempts(self.ids[n]).collect();
        let effects = self.master.inspected(self.now, self.ids[n], Ok(heartbeat));
        self.take(effects);
    }

    fn event(&mut self, dice: &mut SplitMix) {
        self.now = self.now + Duration::from_micros(20);
        match dice.below(100) {
            0..45 => self.submit(dice),
            45..89 => self.complete(dice),
            _ => self.beat(dice),
        }
    }

    fn held(&self) -> Held {
        let members = &self.master.members;
        Held {
            live: self.master.live.len(),
            queued: self.master.queue.len(),
            promised: self.ids.iter().filter_map(|&id| members.promised(id)).sum(),
            looks: members.looks(),
            view: members.view().entries(),
        }
    }
}

fn beat(n: usize) -> Heartbeat {
    let mut heartbeat = heartbeat(0, 2);
    heartbeat.key.0[..8].copy_from_slice(&(n as u64).to_le_bytes());
    heartbeat
}

fn the_books_stay_small(workers: usize, events: usize) {
    let mut crowd = Crowd::new(workers);
    let mut dice = SplitMix::new(7);
    // Orders of the index are made when the first ones are placed.
    (0..100).for_each(|_| crowd.submit(&mut dice));
    while !crowd.out.is_empty() {
        crowd.complete(&mut dice);
    }
    let at_first = crowd.held();
    for event in 0..events {
        crowd.event(&mut dice);
        if event % 50_000 == 0 {
            let effects = crowd.master.tick(crowd.now);
            crowd.take(effects);
        }
    }
    let held = crowd.held();
    assert_eq!(held.live, crowd.out.len() + held.queued, "what runs and what waits, and nothing else");
    assert_eq!(held.promised, crowd.out.len());
    while !crowd.out.is_empty() {
        crowd.complete(&mut dice);
    }
    assert_eq!(crowd.master.stats().ended["succeeded"], crowd.ended as u64);
    let at_last = crowd.held();
    // What workers hold each function's file is known now; nothing else is new.
    let files = workers;
    assert!(at_last.view <= at_first.view + files + 64, "{at_first:?} {at_last:?}");
    assert_eq!(Held { view: 0, ..at_last }, Held { view: 0, ..at_first });
}

#[test]
fn the_books_of_a_thousand_workers_stay_small() {
    the_books_stay_small(1_000, 20_000);
}

/// Run by `.ci/run` with optimisation.
#[test]
#[ignore = "a million events: cargo test --release -p fsched-core --lib -- --ignored million"]
fn the_books_of_ten_thousand_workers_stay_small_over_a_million_events() {
    the_books_stay_small(10_000, 1_000_000);
}
