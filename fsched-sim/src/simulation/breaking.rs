//! Faults, as they strike.

use std::time::Duration;

use fsched_core::id::WorkerId;
use fsched_core::master::{BenchmarkRequest, Effects};
use fsched_core::time::Timestamp;

use super::Simulation;
use super::event::{Event, ToMaster};
use super::master::{NOBODY, broken};
use crate::fault::Fault;

impl Simulation {
    pub(super) fn strike(&mut self, now: Timestamp, fault: Fault) {
        match fault {
            Fault::Crash { worker, down } => self.crash(now, worker, down),
            Fault::Hang { worker, lasts } => {
                let machine = &mut self.machines[worker];
                machine.hangs_until = machine.hangs_until.max(now + lasts);
                self.trouble(now + lasts);
            }
            Fault::Slow { worker, factor, lasts } => {
                let machine = &mut self.machines[worker];
                machine.slow_down(factor.max(1e-3));
                machine.slow_until = machine.slow_until.max(now + lasts);
                self.settle(now, worker);
                self.heals(now + lasts, worker);
            }
            Fault::Partition { worker, lasts } => {
                let machine = &mut self.machines[worker];
                machine.partitioned_until = machine.partitioned_until.max(now + lasts);
                self.trouble(now + lasts);
            }
            Fault::Break { worker } => {
                let calls: Vec<_> = self.machines[worker].calls.iter().map(|(&a, &call)| (a, call)).collect();
                for (attempt, call) in calls {
                    self.breaks(now, worker, call);
                    self.close(now, worker, attempt, call);
                }
            }
            Fault::Lose { share, lasts } => {
                self.lose = (share, now + lasts);
                self.trouble(now + lasts);
            }
            Fault::Repeat { share, lasts } => {
                self.repeat = (share, now + lasts);
                self.trouble(now + lasts);
            }
            Fault::Disk { share, lasts } => {
                self.disk = (share, now + lasts);
                self.trouble(now + lasts);
            }
            Fault::RestartMaster { down } => {
                if self.master.is_some() {
                    self.kill_master(now);
                    self.queue.push(now + down, Event::MasterStarts);
                    self.trouble(now + down);
                }
            }
            Fault::Skew { worker, millis } => self.machines[worker].jump(millis),
            Fault::Allocator { worker, lasts } => {
                let machine = &mut self.machines[worker];
                machine.refuse(true);
                machine.refuses_until = machine.refuses_until.max(now + lasts);
                self.heals(now + lasts, worker);
            }
            Fault::Unenforced { worker, lasts } => {
                let machine = &mut self.machines[worker];
                machine.refuse_leases(true);
                machine.unenforced_until = machine.unenforced_until.max(now + lasts);
                self.heals(now + lasts, worker);
            }
            Fault::Widen { worker, lasts } => {
                let machine = &mut self.machines[worker];
                machine.widen(true);
                machine.widens_until = machine.widens_until.max(now + lasts);
                self.settle(now, worker);
                self.heals(now + lasts, worker);
            }
            Fault::Drift { worker, permille, lasts } => {
                let machine = &mut self.machines[worker];
                machine.drift(now, permille);
                machine.drifts_until = machine.drifts_until.max(now + lasts);
                self.settle(now, worker);
                self.heals(now + lasts, worker);
            }
            Fault::Drain { worker, lasts } => {
                let key = self.machines[worker].key();
                let known = self
                    .master
                    .as_ref()
                    .and_then(|master| master.workers(now).find(|info| info.key == key).map(|info| info.id));
                if let Some(id) = known {
                    self.tell_master(now, |master, now| master.drain(now, id, true).unwrap_or_default());
                    self.undrain(now + lasts, id);
                }
            }
            Fault::CancelOldest => {
                let oldest = self.open().next();
                if let Some(oldest) = oldest {
                    self.tell_master(now, |master, now| master.cancel(now, oldest).unwrap_or_default());
                }
            }
            Fault::Benchmark { function } => {
                let request = BenchmarkRequest::new(self.ids[function], self.functions[function].size());
                self.tell_master(now, |master, now| {
                    master.benchmark(now, request).map_or_else(|_| Effects::new(), |(_, effects)| effects)
                });
            }
        }
    }

    /// What was wrong with a machine is over, as far as it is.
    pub(super) fn heal(&mut self, now: Timestamp, number: usize) {
        let machine = &mut self.machines[number];
        if now >= machine.slow_until {
            machine.slow_down(1.0);
        }
        if now >= machine.refuses_until {
            machine.refuse(false);
        }
        if now >= machine.unenforced_until {
            machine.refuse_leases(false);
        }
        if now >= machine.widens_until {
            machine.widen(false);
        }
        if now >= machine.drifts_until {
            machine.drift(now, 1000);
        }
        self.settle(now, number);
    }

    fn crash(&mut self, now: Timestamp, number: usize, down: Duration) {
        if self.machines[number].worker().is_none() {
            return;
        }
        for (_, call) in self.machines[number].crash() {
            self.breaks(now, number, call);
        }
        self.queue.push(now + down, Event::WorkerStarts(number));
        self.trouble(now + down);
    }

    /// The connection of a call breaks, and the master learns of it.
    fn breaks(&mut self, now: Timestamp, number: usize, call: u64) {
        if call == NOBODY {
            return;
        }
        if let Some(&(_, worker, attempt)) = self.sent.get(&call) {
            let answer = Err(Box::new(broken(number)));
            let message = ToMaster::Answer { call, worker, attempt, answer };
            self.answer_later(now, number, self.life, message);
        }
    }

    fn heals(&mut self, at: Timestamp, number: usize) {
        self.queue.push(at, Event::Healed(number));
        self.trouble(at);
    }

    /// The operator wants it back; while there is no master to be told, again and again.
    pub(super) fn end_drain(&mut self, now: Timestamp, worker: WorkerId) {
        // An operator who hears that it could not be kept tries again.
        if self.master.is_none() || now < self.disk.1 {
            self.undrain(now + Duration::from_secs(1), worker);
        }
        self.tell_master(now, |master, now| master.drain(now, worker, false).unwrap_or_default());
    }

    fn undrain(&mut self, at: Timestamp, worker: WorkerId) {
        self.queue.push(at, Event::Undrain(worker));
        self.trouble(at);
    }

    /// Something is wrong until then.
    fn trouble(&mut self, until: Timestamp) {
        self.troubled_until = self.troubled_until.max(until);
    }
}
