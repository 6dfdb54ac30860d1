//! What an order has to pass, and what is launched for it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::running::Running;
use super::{Effect, Start, Worker, WorkerConfig};
use crate::allocator::{AllocateError, CacheAllocator};
use crate::cache::{Bytes, DomainId, WayMask};
use crate::invocation::Order;
use crate::launcher::Limits;
use crate::time::Timestamp;
use crate::transport::Refusal;

impl Worker {
    /// Takes an order or refuses it. The effects hold its [`Effect::Start`]. `has_file` says whether the function's file is here, as
    /// what it was when it came: whoever has the disk knows.
    ///
    /// A time limit above the worker's maximum is cut to that.
    ///
    /// # Errors
    /// Where it is stopping, knows the attempt, could never run it, has no room for it now, or lacks the file; in this
    /// order. Nothing has changed then, but that an attempt which was refused stays refused: the same order may come twice, and
    /// whoever heard the first answer has placed it elsewhere.
    pub fn order(
        &mut self,
        now: Timestamp,
        order: impl Into<Box<Order>>,
        has_file: bool,
    ) -> Result<Vec<Effect>, Refusal> {
        let order = order.into();
        let (term, attempt) = (order.term, order.attempt);
        if !has_file {
            // It has to be brought again; what runs it goes on, and takes what is left of it along.
            self.files.discard(order.file);
        }
        let taken = self.take(now, order, has_file);
        if taken.as_ref().is_err_and(|refusal| *refusal != Refusal::Duplicate) {
            self.refused.remember(term, attempt);
        }
        taken
    }

    fn take(
        &mut self,
        now: Timestamp,
        mut order: Box<Order>,
        has_file: bool,
    ) -> Result<Vec<Effect>, Refusal> {
        order.needs.cores = order.needs.cores.max(1);
        let room = self.admit(&order, has_file)?;
        let grant = self.allocator.acquire(order.domain, order.cache).map_err(|error| match error {
            AllocateError::Exhausted(_) | AllocateError::Enforcement { .. } => {
                Refusal::NoRoom(error.to_string())
            }
            _ => Refusal::Impossible(error.to_string()),
        })?;
        let mut effects = Vec::with_capacity(grant.moved.len() + 1);
        effects.extend(self.apply(now, &grant.moved));

        let timeout = order.timeout.min(self.config.max_timeout);
        let cache = bytes(&*self.allocator, order.domain, grant.mask);
        let room = &mut self.rooms[room];
        let expected = order.expected.as_secs_f64();
        let geometry = self.allocator.domains().iter().find(|known| known.id == order.domain);
        let by_curve = geometry.map_or(0.0, |known| order.curve.seconds(&known.geometry, order.cache.ways()));
        let pace =
            if expected > 0.0 && by_curve > 0.0 { (expected / by_curve).clamp(0.1, 10.0) } else { 1.0 };
        let running = Running::new(now, &order, &grant, cache, room.running, timeout, pace);
        room.free_cores -= order.needs.cores;
        room.running += 1;
        room.alone = order.alone;
        self.free_memory.0 -= order.needs.memory.0;
        self.files.begin(order.file);
        self.leases.insert(grant.lease, order.attempt);
        if let Some(due) = running.phase.due() {
            self.due.insert((due, order.attempt), ());
        }
        self.running.insert(order.attempt, Box::new(running));
        self.take_curve(&order);
        let attempt = order.attempt;
        let moves = self.resplit(now, order.domain, Some(grant.lease));
        // It has not started yet: it starts where it is moved to.
        effects.extend(
            moves
                .into_iter()
                .filter(|effect| !matches!(effect, Effect::Move { attempt: moved, .. } if *moved == attempt)),
        );
        self.plan_look(now, order.domain);
        let (class, mask) = self
            .running
            .get(&attempt)
            .map_or((grant.class, grant.mask), |running| (running.class, running.mask));
        let limits = limits(&order, timeout, &self.config);
        effects.push(Effect::Start(Start { order, class, mask, limits }));
        Ok(effects)
    }

    /// What an order says of a function is what is known of it now, also for those that run already.
    fn take_curve(&mut self, order: &Order) {
        for running in self.running.values_mut() {
            let is_it = running.function == order.function && running.input_size == order.input_size;
            if is_it && !Arc::ptr_eq(&running.curve, &order.curve) {
                running.curve = Arc::clone(&order.curve);
                running.read = OnceLock::new();
                running.demand = OnceLock::new();
            }
        }
    }

    /// Where there is room for an order, as far as that can be said without asking for cache.
    fn admit(&self, order: &Order, has_file: bool) -> Result<usize, Refusal> {
        if self.stopping {
            return Err(Refusal::Stopping);
        }
        let no_room = |what: &str| Err(Refusal::NoRoom(what.to_owned()));
        let impossible = |what: String| Err(Refusal::Impossible(what));
        match self.running.get(&order.attempt) {
            Some(running) if running.term == order.term => return Err(Refusal::Duplicate),
            Some(_) => {
                return no_room("an attempt of that name, from before the master was restarted, still runs");
            }
            None if self.recent.knows(order.term, order.attempt) => return Err(Refusal::Duplicate),
            None if self.refused.knows(order.term, order.attempt) => return no_room("it was refused before"),
            None => {}
        }
        let Some(index) = self.rooms.iter().position(|room| room.domain == order.domain) else {
            return impossible(AllocateError::NoSuchDomain(order.domain).to_string());
        };
        let room = &self.rooms[index];
        let needs = &order.needs;
        if needs.cores > room.cores {
            return impossible(format!(
                "domain {} has {} cores, not {}",
                room.domain, room.cores, needs.cores
            ));
        }
        if needs.memory > self.config.memory {
            return impossible(format!("it has {} of memory, not {}", self.config.memory, needs.memory));
        }
        if room.alone {
            return no_room("somebody has the domain alone");
        }
        if order.alone && room.running > 0 {
            return no_room("the domain is not empty");
        }
        if needs.cores > room.free_cores {
            return no_room("too few cores are free");
        }
        if needs.memory > self.free_memory {
            return no_room("too little memory is free");
        }
        if has_file && !self.files.is_going(order.file) { Ok(index) } else { Err(Refusal::MissingFile) }
    }
}

/// How much cache a mask of a domain is.
pub(super) fn bytes(allocator: &dyn CacheAllocator, domain: DomainId, mask: WayMask) -> Bytes {
    let domain = allocator.domains().iter().find(|d| d.id == domain);
    domain.map_or(Bytes(0), |domain| domain.geometry.bytes(mask.ways()))
}

fn limits(order: &Order, timeout: Duration, config: &WorkerConfig) -> Limits {
    Limits {
        memory: order.needs.memory,
        processes: config.max_processes,
        file_size: config.max_file_size,
        cpu_time: cpu_time(timeout, order.needs.cores),
        open_files: config.max_open_files,
        output: config.max_output,
    }
}

/// What all cores together can compute before the deadline, in whole seconds, and one more: the deadline comes first.
fn cpu_time(timeout: Duration, cores: u16) -> Duration {
    let all = timeout.saturating_mul(cores.into());
    let whole = all.as_secs().saturating_add(u64::from(all.subsec_nanos() > 0));
    Duration::from_secs(whole.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_what_the_cores_can_compute_and_a_second() {
        assert_eq!(cpu_time(Duration::from_millis(2500), 1), Duration::from_secs(4));
        assert_eq!(cpu_time(Duration::from_millis(2500), 2), Duration::from_secs(6));
        assert_eq!(cpu_time(Duration::MAX, 3), Duration::from_secs(u64::MAX));
    }
}
