//! The master's side: its effects, what reaches it, its death and its return.

use std::sync::Arc;
use std::time::Duration;

use fsched_core::id::{AttemptId, FunctionId, InvocationId, WorkerId};
use fsched_core::invocation::{Order, Submission};
use fsched_core::master::{Effect, Effects, Master, SubmitError};
use fsched_core::store::{EndKind, Record};
use fsched_core::time::Timestamp;
use fsched_core::transport::{Address, Peer, TransportError};

use super::event::{Event, ToMaster, ToWorker};
use super::{Ended, Open, Simulation, Starts, ran};
use crate::fault::Breach;
use crate::workload::Arrival;

/// A call that nobody waits for.
pub(super) const NOBODY: u64 = u64::MAX;
/// How long the master tries to connect.
pub(super) const CONNECT: Duration = Duration::from_secs(3);
/// How long it waits for the answer to a question.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often, and how soon again, a cancellation is repeated: as the node does it.
const CANCELS: u32 = 11;
const FIRST_PAUSE: Duration = Duration::from_millis(15);

/// Where a machine's worker listens.
pub(super) fn address(machine: usize) -> Address {
    Address::from(format!("sim:{machine}").as_str())
}

/// Which machine listens there.
fn machine(peer: &Peer) -> usize {
    let number = peer.address.0.strip_prefix("sim:").and_then(|number| number.parse().ok());
    number.expect("addresses are made here")
}

pub(super) fn broken(machine: usize) -> TransportError {
    TransportError::Broken { address: address(machine), reason: "lost".to_owned() }
}

pub(super) fn unreachable(machine: usize) -> TransportError {
    TransportError::Unreachable { address: address(machine), reason: "nobody answers".to_owned() }
}

impl Simulation {
    /// A master begins where the store ends.
    pub(super) fn start_master(&mut self) {
        let now = self.queue.now();
        self.life += 1;
        let (master, effects) = Master::new(
            self.config.master.clone(),
            self.predictor(),
            self.config.policy.scheduler(&self.scene),
            self.store.snapshot(),
            now,
        );
        self.master = Some(master);
        self.perform(now, effects);
        self.queue.push(now, Event::MasterTick(self.life));
    }

    pub(super) fn push_functions(&mut self) {
        let now = self.queue.now();
        for (number, function) in Arc::clone(&self.functions).iter().enumerate() {
            let Some(master) = &mut self.master else { return };
            let (function, effects) = master.push(now, function.spec(number));
            self.ids.push(function.id);
            self.numbers.insert(function.id, number);
            self.perform(now, effects);
        }
    }

    /// The master dies: whoever waited for it learns that nobody does any more.
    pub(super) fn kill_master(&mut self, now: Timestamp) {
        self.master = None;
        self.sent.clear();
        self.questions.clear();
        for number in 0..self.machines.len() {
            let calls: Vec<_> = self.machines[number].calls.iter().map(|(&a, &call)| (a, call)).collect();
            for (attempt, call) in calls {
                self.close(now, number, attempt, call);
            }
        }
    }

    /// A worker learns that nobody waits for an attempt as that call; during a partition, when that is over.
    pub(super) fn close(&mut self, now: Timestamp, number: usize, attempt: AttemptId, call: u64) {
        let leaves = now.max(self.machines[number].partitioned_until);
        self.tell_later(leaves, number, ToWorker::Closed { attempt, call }, Duration::ZERO);
    }

    pub(super) fn tick_master(&mut self, now: Timestamp, life: u64) {
        if life != self.life || self.master.is_none() {
            return;
        }
        self.tell_master(now, Master::tick);
        let every = (self.config.master.heartbeat / 4).max(Duration::from_millis(1));
        self.queue.push(now + every, Event::MasterTick(life));
    }

    /// One call of the master, if there is one, and what comes of it.
    pub(super) fn tell_master(
        &mut self,
        now: Timestamp,
        call: impl FnOnce(&mut Master, Timestamp) -> Effects,
    ) {
        let Some(master) = &mut self.master else { return };
        let effects = call(master, now);
        self.perform(now, effects);
    }

    pub(super) fn arrive(&mut self, now: Timestamp, arrival: Arrival) {
        self.counts.asked += 1;
        let mut submission = Submission::new(self.ids[arrival.function], arrival.input_size);
        submission.idempotent = arrival.idempotent;
        self.submit(now, submission);
        self.await_arrival();
    }

    fn submit(&mut self, now: Timestamp, submission: Submission) {
        let is_idempotent = submission.idempotent;
        let Some(master) = &mut self.master else { return };
        match master.submit(now, submission) {
            Ok((id, effects)) => {
                if is_idempotent && let Some(starts) = &mut self.starts {
                    starts.get_or(id, Starts::default).may = 2;
                }
                self.perform(now, effects);
            }
            Err(
                error @ (SubmitError::UnknownFunction(_) | SubmitError::NotReady | SubmitError::Stopping),
            ) => {
                self.violations.push(format!("an invocation was refused without cause: {error}"));
            }
            Err(_) => {}
        }
    }

    /// Does what the master wants done, in order. Facts are kept at once, or not at all: this store's disk is never slow.
    fn perform(&mut self, now: Timestamp, effects: Effects) {
        let mut effects = effects.into_iter();
        while let Some(effect) = effects.next() {
            match effect {
                Effect::Persist { record, .. } if self.loses_facts(now) => {
                    effects = self.not_kept(now, &record, effects).into_iter();
                }
                Effect::Persist { record, .. } => self.keep(record),
                Effect::Send { to, order } => self.send(now, &to, order),
                Effect::Cancel { to, attempt } => {
                    self.queue.push(now, Event::CancelAgain { life: self.life, to, attempt, round: 0 });
                }
                Effect::Transfer { to, file } => {
                    let (number, worker) = (machine(&to), to.worker);
                    let failed = |error| ToMaster::Filed { worker, file, answer: Err(Box::new(error)) };
                    if now < self.machines[number].partitioned_until {
                        self.note_at_master(now, CONNECT, failed(unreachable(number)));
                    } else if self.loses(now) {
                        self.note_at_master(now, FIRST_PAUSE, failed(broken(number)));
                    } else {
                        let size = self.functions[crate::SimFunction::number(file)].file_size;
                        let way = self.config.network.transfer(size);
                        let message = ToWorker::File { life: self.life, worker, file };
                        self.tell_later(now, number, message, way);
                    }
                }
                Effect::Discard { to, file } => {
                    let number = machine(&to);
                    if now >= self.machines[number].partitioned_until && !self.loses(now) {
                        self.tell_later(now, number, ToWorker::Discard(file), Duration::ZERO);
                    }
                }
                // The simulator's files are always there.
                Effect::RemoveFile(_) => {}
                Effect::Inspect(peer) => self.ask(now, &peer),
                Effect::Reply { invocation, outcome } => {
                    if self.open.contains_key(&invocation) {
                        self.violations.push(format!("{invocation} was answered before its end was kept"));
                    }
                    if let Some(ended) = self.ended.iter_mut().rfind(|ended| ended.invocation == invocation) {
                        (ended.ran, ended.at) = (ran(&outcome), now);
                    }
                }
                Effect::Benchmarked { .. } => {}
            }
        }
    }

    fn loses_facts(&mut self, now: Timestamp) -> bool {
        let (share, until) = self.disk;
        now < until && self.random.chance(share)
    }

    /// A fact was not kept: what is to be done instead of what follows from it, and the rest.
    fn not_kept(&mut self, now: Timestamp, lost: &Record, rest: impl Iterator<Item = Effect>) -> Effects {
        match *lost {
            Record::Accepted(ref accepted) => {
                self.unkept.insert(accepted.id);
            }
            // Its client hears of it all the same.
            Record::Ended { id, end, at } => {
                self.ends(id, end, at);
                self.unkept.insert(id);
            }
            _ => {}
        }
        let Some(master) = &mut self.master else { return Effects::new() };
        let mut effects = master.not_persisted(now, lost, "no space left on device");
        effects.extend(rest.filter(|effect| !effect.follows_from(lost)));
        effects
    }

    fn keep(&mut self, record: Record) {
        match &record {
            Record::Accepted(accepted) => {
                self.counts.accepted += 1;
                let open = Open {
                    function: self.number(accepted.function),
                    input_size: accepted.input_size,
                    submitted: accepted.submitted,
                    start: Duration::ZERO,
                };
                if self.open.insert(accepted.id, open).is_some() {
                    self.violations.push(format!("{} was accepted twice", accepted.id));
                }
            }
            &Record::Ended { id, end, at } => self.ends(id, end, at),
            _ => {}
        }
        let forgets = self.breach == Some(Breach::Forgetful) && matches!(record, Record::Accepted(_));
        if !forgets {
            self.store.apply(record);
        }
    }

    fn ends(&mut self, id: InvocationId, end: EndKind, at: Timestamp) {
        let Some(Open { function, input_size, submitted, start }) = self.open.remove(&id) else {
            if !self.unkept.contains(&id) {
                self.violations.push(format!("{id} ended, and was not under way"));
            }
            return;
        };
        self.counts.ended += 1;
        let (alone, invocation) = (self.truths.alone(function, input_size), id);
        let ended = Ended { invocation, function, input_size, submitted, at, ran: None, start, alone, end };
        self.ended.push(ended);
    }

    fn number(&self, function: FunctionId) -> usize {
        *self.numbers.get(&function).expect("only pushed functions run")
    }

    fn send(&mut self, now: Timestamp, to: &Peer, order: Box<Order>) {
        let (number, worker, attempt) = (machine(to), to.worker, order.attempt);
        let call = self.next_call;
        self.next_call += 1;
        self.sent.insert(call, (number, worker, attempt));
        let answer = |error| ToMaster::Answer { call, worker, attempt, answer: Err(Box::new(error)) };
        if now < self.machines[number].partitioned_until {
            self.note_at_master(now, CONNECT, answer(unreachable(number)));
            return;
        }
        let (life, host) = (self.life, self.machines[number].life);
        let message = |call, order| ToWorker::Order { life, host, call, worker, order };
        if self.loses(now) {
            self.note_at_master(now, FIRST_PAUSE, answer(broken(number)));
            // The order got there, or not.
            if self.random.chance(0.5) {
                self.tell_later(now, number, message(call, order), Duration::ZERO);
                self.close(now + FIRST_PAUSE, number, attempt, call);
            }
            return;
        }
        if self.repeats(now) {
            // Whoever repeats it listens to one of the two only.
            let heard_first = self.random.chance(0.5);
            let (first, second) = if heard_first { (call, NOBODY) } else { (NOBODY, call) };
            self.tell_later(now, number, message(first, order.clone()), Duration::ZERO);
            self.tell_later(now, number, message(second, order), FIRST_PAUSE);
            self.close(now + FIRST_PAUSE * 2, number, attempt, NOBODY);
            return;
        }
        self.tell_later(now, number, message(call, order), Duration::ZERO);
    }

    fn ask(&mut self, now: Timestamp, peer: &Peer) {
        let (number, worker, life) = (machine(peer), peer.worker, self.life);
        let question = self.next_call;
        self.next_call += 1;
        self.questions.insert(question);
        self.queue.push(now + PATIENCE, Event::NoAnswer { life, question, worker });
        if now >= self.machines[number].partitioned_until && !self.loses(now) {
            self.tell_later(now, number, ToWorker::Question { life, question, worker }, Duration::ZERO);
        }
    }

    pub(super) fn no_answer(&mut self, now: Timestamp, life: u64, question: u64, worker: WorkerId) {
        if life == self.life && self.questions.remove(&question) {
            let silence = TransportError::Unreachable {
                address: Address::from("sim"),
                reason: "no answer in time".to_owned(),
            };
            self.tell_master(now, |master, now| master.inspected(now, worker, Err(silence)));
        }
    }

    pub(super) fn cancel_again(
        &mut self,
        now: Timestamp,
        life: u64,
        to: Peer,
        attempt: AttemptId,
        round: u32,
    ) {
        if life != self.life || self.master.is_none() {
            return;
        }
        let number = machine(&to);
        if now >= self.machines[number].partitioned_until && !self.loses(now) {
            self.tell_later(now, number, ToWorker::Cancel(attempt), Duration::ZERO);
        }
        let waits = self.sent.count(|&(at, _, sent)| at == number && sent == attempt) > 0;
        if waits && round + 1 < CANCELS {
            let event = Event::CancelAgain { life, to, attempt, round: round + 1 };
            self.queue.push(now + FIRST_PAUSE * 2u32.pow(round), event);
        }
    }

    pub(super) fn at_master(&mut self, now: Timestamp, life: u64, message: ToMaster) {
        if life != self.life || self.master.is_none() {
            return;
        }
        match message {
            ToMaster::Answer { call, worker, attempt, answer } => {
                if self.sent.remove(&call).is_some() {
                    let answer = answer.map_err(|error| *error);
                    self.tell_master(now, |master, now| master.reported(now, worker, attempt, answer));
                }
            }
            ToMaster::Filed { worker, file, answer } => {
                let answer = answer.map_err(|error| *error);
                self.tell_master(now, |master, now| master.transferred(now, worker, file, answer));
            }
            ToMaster::Here { question, worker, heartbeat } => {
                if self.questions.remove(&question) {
                    self.tell_master(now, |master, now| master.inspected(now, worker, Ok(*heartbeat)));
                }
            }
        }
    }

    pub(super) fn register(&mut self, now: Timestamp, number: usize, life: u64) {
        let machine = &self.machines[number];
        if machine.life != life {
            return;
        }
        let reaches = now >= machine.partitioned_until.max(machine.hangs_until);
        let heartbeat = machine.heartbeat().filter(|_| reaches && self.master.is_some());
        let Some(heartbeat) = heartbeat.filter(|_| !self.loses(now)) else {
            self.queue.push(now + Duration::from_secs(1), Event::Register { machine: number, life });
            return;
        };
        self.tell_master(now, |master, now| {
            // An operator who removed it does not want it back.
            master.register(now, address(number), heartbeat).map_or_else(|_| Effects::new(), |(_, e)| e)
        });
    }
}
