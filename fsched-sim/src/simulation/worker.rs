//! The workers' side: their effects, what reaches them, and what ends there.

use std::sync::Arc;
use std::time::Duration;

use fsched_core::id::AttemptId;
use fsched_core::invocation::Order;
use fsched_core::launcher::Stop;
use fsched_core::time::Timestamp;
use fsched_core::worker::Effect;

use super::event::{Event, ToMaster, ToWorker};
use super::master::{NOBODY, broken, unreachable};
use super::{Simulation, Starts};
use crate::SimFunction;
use crate::fault::Breach;
use crate::truths::Truth;

impl Simulation {
    pub(super) fn at_worker(&mut self, now: Timestamp, number: usize, message: ToWorker) {
        let machine = &self.machines[number];
        if now < machine.hangs_until {
            let until = machine.hangs_until;
            self.queue.push(until, Event::AtWorker(number, message));
            return;
        }
        let is_gone = matches!(&message, ToWorker::Order { host, .. } if *host != machine.life);
        if machine.worker().is_none() || is_gone {
            self.nobody_there(now, number, message);
            return;
        }
        match message {
            ToWorker::Order { life, call, worker, order, .. } => {
                let attempt = order.attempt;
                let truth = self.truths.of(SimFunction::number(order.file), order.input_size);
                self.scene.arriving.set(&truth);
                let answer = self.machines[number].order(now, order);
                match answer {
                    Some(Ok(effects)) => {
                        self.machines[number].calls.insert(attempt, call);
                        self.perform_at(now, number, effects, Some((attempt, truth)));
                        if life != self.life || self.master.is_none() {
                            self.close(now, number, attempt, call);
                        }
                    }
                    Some(Err(refusal)) if call != NOBODY => {
                        let answer = Err(Box::new(refusal.into()));
                        self.answer(now, number, life, ToMaster::Answer { call, worker, attempt, answer });
                    }
                    Some(Err(_)) | None => {}
                }
            }
            ToWorker::Cancel(attempt) => {
                self.tell_worker(now, number, |worker, clock| worker.cancel(clock, attempt));
            }
            ToWorker::Closed { attempt, call } => {
                if self.machines[number].calls.get(&attempt) == Some(&call) {
                    self.machines[number].calls.remove(&attempt);
                    self.tell_worker(now, number, |worker, clock| worker.cancel(clock, attempt));
                }
            }
            ToWorker::File { life, worker, file } => {
                self.machines[number].put_file(now, file);
                self.answer_later(now, number, life, ToMaster::Filed { worker, file, answer: Ok(()) });
            }
            ToWorker::Discard(file) => {
                self.tell_worker(now, number, |worker, _| worker.discard_file(file));
            }
            ToWorker::Question { life, question, worker } => {
                // An answer that comes after a partition comes too late: the question is asked again anyway.
                let lost = now < self.machines[number].partitioned_until || self.loses(now);
                if let Some(heartbeat) = self.machines[number].heartbeat().filter(|_| !lost) {
                    let heartbeat = Box::new(heartbeat);
                    self.answer_later(now, number, life, ToMaster::Here { question, worker, heartbeat });
                }
            }
        }
    }

    /// A message finds no worker: connections are refused.
    fn nobody_there(&mut self, now: Timestamp, number: usize, message: ToWorker) {
        match message {
            ToWorker::Order { life, call, worker, order, .. } if call != NOBODY => {
                let answer = Err(Box::new(unreachable(number)));
                let attempt = order.attempt;
                self.answer_later(now, number, life, ToMaster::Answer { call, worker, attempt, answer });
            }
            ToWorker::File { life, worker, file } => {
                let answer = Err(Box::new(unreachable(number)));
                self.answer_later(now, number, life, ToMaster::Filed { worker, file, answer });
            }
            ToWorker::Question { life, question, worker } => {
                self.queue.push(now, Event::NoAnswer { life, question, worker });
            }
            ToWorker::Order { .. } | ToWorker::Cancel(_) | ToWorker::Closed { .. } | ToWorker::Discard(_) => {
            }
        }
    }

    /// An answer leaves; where it gets lost, the master learns that the connection broke.
    fn answer(&mut self, now: Timestamp, number: usize, life: u64, message: ToMaster) {
        let message = match message {
            ToMaster::Answer { call, worker, attempt, .. } if self.loses(now) => {
                ToMaster::Answer { call, worker, attempt, answer: Err(Box::new(broken(number))) }
            }
            other => other,
        };
        self.answer_later(now, number, life, message);
    }

    /// One call of a machine's worker, if it has one, and what comes of it.
    pub(super) fn tell_worker(
        &mut self,
        now: Timestamp,
        number: usize,
        call: impl FnOnce(&mut fsched_core::worker::Worker, Timestamp) -> Vec<Effect>,
    ) {
        if let Some(effects) = self.machines[number].tell(now, call) {
            self.perform_at(now, number, effects, None);
        }
    }

    /// Does what a worker wants done, in order. Only what was `ordered` starts, and takes what is true of it.
    fn perform_at(
        &mut self,
        now: Timestamp,
        number: usize,
        effects: Vec<Effect>,
        mut ordered: Option<(AttemptId, Arc<Truth>)>,
    ) {
        for effect in effects {
            let machine = &mut self.machines[number];
            match effect {
                Effect::Start(start) => match ordered.take_if(|(attempt, _)| *attempt == start.attempt()) {
                    Some((attempt, truth)) => {
                        let takes = machine.launch(now, &start.order, truth, self.config.start_up);
                        if self.breach == Some(Breach::Greedy) {
                            machine.take_more(attempt);
                        }
                        self.note_start(&start.order, takes);
                    }
                    None => self.violations.push(format!("{} starts without an order", start.attempt())),
                },
                Effect::Stop { attempt, how } => self.stop(now, number, attempt, how),
                // Rates follow the masks that the worker says its attempts have.
                Effect::Move { .. } => {}
                Effect::Report(report) => {
                    let attempt = report.attempt;
                    let call = machine.calls.remove(&attempt).filter(|&call| call != NOBODY);
                    let waiting = call.and_then(|call| Some((call, *self.sent.get(&call)?)));
                    if let Some((call, (_, worker, _))) = waiting {
                        let message = ToMaster::Answer { call, worker, attempt, answer: Ok(report) };
                        self.answer(now, number, self.life, message);
                    }
                }
                Effect::RemoveFile(file) => machine.remove_file(file),
            }
        }
        self.settle(now, number);
    }

    /// What was started must not be started again, unless its client allows a second try.
    fn note_start(&mut self, order: &Order, start: Duration) {
        let id = order.attempt.invocation;
        if let Some(open) = self.open.get_mut(&id) {
            open.start = start;
        }
        let Some(starts) = &mut self.starts else { return };
        let Starts { may, were } = starts.get_or(id, Starts::default);
        *were += 1;
        if order.alone {
            // A benchmark's run does no harm when it is repeated.
            *may = 2;
        }
        if were > may {
            self.violations.push(format!("{id} was started {were} times, and may be {may} times"));
        }
    }

    fn stop(&mut self, now: Timestamp, number: usize, attempt: AttemptId, how: Stop) {
        let functions = Arc::clone(&self.functions);
        let machine = &mut self.machines[number];
        if machine.stop(attempt, how, &functions) {
            let life = machine.life;
            let generation = machine.processes().get(&attempt).map_or(0, |process| process.generation);
            self.queue.push(now, Event::Exit { machine: number, life, attempt, generation });
        }
    }

    /// Rates anew, and the worker's next tick.
    pub(super) fn settle(&mut self, now: Timestamp, number: usize) {
        let machine = &mut self.machines[number];
        let life = machine.life;
        machine.settle(now, &mut *self.rates, &mut self.ends);
        for (at, attempt, generation) in self.ends.drain(..) {
            self.queue.push(at, Event::Exit { machine: number, life, attempt, generation });
        }
        if let Some(due) = machine.fills_until()
            && machine.full_at.is_none_or(|at| due < at)
        {
            machine.full_at = Some(due);
            self.queue.push(due, Event::Full { machine: number, life });
        }
        if let Some(due) = machine.wants_tick(now)
            && machine.tick_at.is_none_or(|at| due < at)
        {
            machine.tick_at = Some(due);
            self.queue.push(due, Event::WorkerTick { machine: number, life });
        }
    }

    pub(super) fn process_ends(
        &mut self,
        now: Timestamp,
        number: usize,
        life: u64,
        attempt: AttemptId,
        generation: u64,
    ) {
        let machine = &mut self.machines[number];
        let counts = machine.life == life
            && machine.processes().get(&attempt).is_some_and(|process| process.generation == generation);
        if !counts {
            return;
        }
        if now < machine.hangs_until {
            machine.note_end(now, attempt);
            let at = machine.hangs_until;
            self.queue.push(at, Event::Exit { machine: number, life, attempt, generation });
            return;
        }
        let undead =
            machine.processes().get(&attempt).filter(|_| self.breach == Some(Breach::Undead)).cloned();
        let exit = machine.exit(now, attempt, &self.functions);
        machine.raise(attempt, undead);
        self.tell_worker(now, number, |worker, clock| worker.exited(clock, attempt, exit));
    }

    pub(super) fn tick_worker(&mut self, now: Timestamp, number: usize, life: u64) {
        let machine = &mut self.machines[number];
        if machine.life != life || machine.tick_at.is_none_or(|at| at > now) {
            return;
        }
        if now < machine.hangs_until {
            machine.tick_at = Some(machine.hangs_until);
            let at = machine.hangs_until;
            self.queue.push(at, Event::WorkerTick { machine: number, life });
            return;
        }
        machine.tick_at = None;
        self.tell_worker(now, number, |worker, clock| worker.tick(clock));
    }

    /// Somebody's ways are full.
    pub(super) fn ways_full(&mut self, now: Timestamp, number: usize, life: u64) {
        let machine = &mut self.machines[number];
        if machine.life == life && machine.full_at.is_some_and(|at| at <= now) {
            machine.full_at = None;
            self.settle(now, number);
        }
    }

    pub(super) fn start_machine(&mut self, now: Timestamp, number: usize) {
        let machine = &mut self.machines[number];
        if machine.worker().is_some() {
            return;
        }
        machine.start(&*self.config.policy, &self.scene);
        let life = machine.life;
        self.queue.push(now + Duration::from_millis(1), Event::Register { machine: number, life });
    }
}
