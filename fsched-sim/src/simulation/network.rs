//! How long messages take, and which get lost.

use std::time::Duration;

use fsched_core::cache::Bytes;
use fsched_core::time::Timestamp;

use super::Simulation;
use super::event::{Event, ToMaster, ToWorker};

/// What is between master and workers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Network {
    /// The least time a message takes.
    pub delay: Duration,
    /// Up to this much more, evenly.
    pub jitter: Duration,
    /// How fast files get there, bytes per second; 0: at once.
    pub bandwidth: u64,
}

impl Network {
    /// Nothing takes any time.
    pub const INSTANT: Self = Self { delay: Duration::ZERO, jitter: Duration::ZERO, bandwidth: 0 };

    /// How long a file takes on its way.
    pub(super) fn transfer(&self, size: Bytes) -> Duration {
        match self.bandwidth {
            0 => Duration::ZERO,
            rate => Duration::from_secs_f64(size.0 as f64 / rate as f64),
        }
    }
}

impl Default for Network {
    /// One rack: 100 to 150 µs, ten gigabits.
    fn default() -> Self {
        Self {
            delay: Duration::from_micros(100),
            jitter: Duration::from_micros(50),
            bandwidth: 1_250_000_000,
        }
    }
}

impl Simulation {
    /// How long the next message takes.
    fn way(&mut self) -> Duration {
        self.config.network.delay + self.random.duration(self.config.network.jitter)
    }

    /// Whether the next message gets lost.
    pub(super) fn loses(&mut self, now: Timestamp) -> bool {
        let (share, until) = self.lose;
        now < until && self.random.chance(share)
    }

    /// Whether the next order arrives twice.
    pub(super) fn repeats(&mut self, now: Timestamp) -> bool {
        let (share, until) = self.repeat;
        now < until && self.random.chance(share)
    }

    /// A message leaves for a machine and gets there.
    pub(super) fn tell_later(&mut self, now: Timestamp, machine: usize, message: ToWorker, more: Duration) {
        let at = now + self.way() + more;
        self.queue.push(at, Event::AtWorker(machine, message));
    }

    /// A message leaves for the master that lives now, and gets there; during a partition, when that is over.
    pub(super) fn answer_later(&mut self, now: Timestamp, machine: usize, life: u64, message: ToMaster) {
        let leaves = now.max(self.machines[machine].partitioned_until);
        let at = leaves + self.way();
        self.queue.push(at, Event::AtMaster(life, message));
    }

    /// The master learns for itself that something did not get there.
    pub(super) fn note_at_master(&mut self, now: Timestamp, after: Duration, message: ToMaster) {
        self.queue.push(now + after, Event::AtMaster(self.life, message));
    }
}
