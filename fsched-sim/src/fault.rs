//! What goes wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fsched_core::allocator::{AllocateError, CacheAllocator, Grant, Group, LeaseId, Misfit, Moved, Usage};
use fsched_core::cache::{CacheDomain, DomainId};
use fsched_core::invocation::CacheAsk;

/// Something that goes wrong, or that an operator does. Workers are named by their number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// A worker and all its processes are gone; it starts again after a while, with its key and its files.
    Crash {
        /// Which.
        worker: usize,
        /// For how long.
        down: Duration,
    },
    /// A worker does nothing for a while; its processes go on, and what it is told waits.
    Hang {
        /// Which.
        worker: usize,
        /// For how long.
        lasts: Duration,
    },
    /// Everything on a worker takes so many times longer.
    Slow {
        /// Which.
        worker: usize,
        /// How many times; above zero.
        factor: f64,
        /// For how long.
        lasts: Duration,
    },
    /// Nothing gets from master to worker, or back. Open connections go on after it.
    Partition {
        /// Which worker.
        worker: usize,
        /// For how long.
        lasts: Duration,
    },
    /// All open connections to a worker break.
    Break {
        /// Which.
        worker: usize,
    },
    /// Messages get lost: a request's connection breaks.
    Lose {
        /// How many of all, from 0 to 1.
        share: f64,
        /// For how long.
        lasts: Duration,
    },
    /// Orders arrive twice, and one of the two answers is not heard.
    Repeat {
        /// How many of all, from 0 to 1.
        share: f64,
        /// For how long.
        lasts: Duration,
    },
    /// The store keeps nothing new: its disk is full, or broken. What it has it still has.
    Disk {
        /// How many of all facts are lost, from 0 to 1.
        share: f64,
        /// For how long.
        lasts: Duration,
    },
    /// The master dies, and goes on from its store after a while.
    RestartMaster {
        /// For how long there is none.
        down: Duration,
    },
    /// A worker's clock jumps by so many milliseconds. What it tells its worker never goes back: it stands still until it is
    /// where it was.
    Skew {
        /// Which worker.
        worker: usize,
        /// Forward, or back.
        millis: i64,
    },
    /// A worker's clock runs at another speed from now on, and keeps what it has got ahead by or fallen behind.
    Drift {
        /// Which worker.
        worker: usize,
        /// How many of its seconds pass in a thousand; above zero.
        permille: u32,
        /// For how long.
        lasts: Duration,
    },
    /// A worker's kernel gives everybody wider masks than it was told: all ways, for those who share and for those who do not.
    Widen {
        /// Which worker.
        worker: usize,
        /// For how long.
        lasts: Duration,
    },
    /// A worker's kernel refuses to enforce any new mask: no lease is given at all.
    Unenforced {
        /// Which worker.
        worker: usize,
        /// For how long.
        lasts: Duration,
    },
    /// A worker's kernel refuses: no exclusive leases (`EBUSY`), no new arrangement of those who share (`ENOSPC`).
    Allocator {
        /// Which worker.
        worker: usize,
        /// For how long.
        lasts: Duration,
    },
    /// An operator drains a worker for a while.
    Drain {
        /// Which.
        worker: usize,
        /// For how long.
        lasts: Duration,
    },
    /// A client cancels the oldest invocation that has not ended.
    CancelOldest,
    /// An operator has a function benchmarked.
    Benchmark {
        /// Which, by number.
        function: usize,
    },
}

/// A part of the simulator that breaks its contract, so that tests see invariants notice it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// Processes take a core more than their order says.
    Greedy,
    /// Processes go on when their end was reported.
    Undead,
    /// The store says that it keeps what was accepted, and does not.
    Forgetful,
}

/// What a kernel refuses now.
#[derive(Debug, Default)]
pub struct Switches {
    /// Exclusive leases and arrangements.
    pub divisions: AtomicBool,
    /// Any lease.
    pub leases: AtomicBool,
}

/// An allocator whose kernel refuses as long as a switch is on.
#[derive(Debug)]
pub struct Refusing<A> {
    inner: A,
    refuses: Arc<Switches>,
}

impl<A> Refusing<A> {
    /// `inner`, until one of `refuses` is on.
    pub fn new(inner: A, refuses: Arc<Switches>) -> Self {
        Self { inner, refuses }
    }

    fn refuses(&self) -> bool {
        self.refuses.divisions.load(Ordering::Relaxed)
    }
}

impl<A: CacheAllocator> CacheAllocator for Refusing<A> {
    fn domains(&self) -> &[CacheDomain] {
        self.inner.domains()
    }

    fn enforced(&self) -> bool {
        self.inner.enforced()
    }

    fn acquire(&mut self, domain: DomainId, ask: CacheAsk) -> Result<Grant, AllocateError> {
        if self.refuses.leases.load(Ordering::Relaxed) {
            let reason = "device or resource busy".to_owned();
            return Err(AllocateError::Enforcement { domain, reason });
        }
        if self.refuses() && matches!(ask, CacheAsk::Exclusive(_)) {
            return Err(AllocateError::Exhausted(domain));
        }
        self.inner.acquire(domain, ask)
    }

    fn release(&mut self, lease: LeaseId) -> Result<Vec<Moved>, AllocateError> {
        self.inner.release(lease)
    }

    fn arrange(&mut self, domain: DomainId, groups: &[Group]) -> Result<Vec<Moved>, AllocateError> {
        if self.refuses() {
            let reason = Misfit::TooManyGroups { groups: groups.len(), left: 0 };
            return Err(AllocateError::Arrangement { domain, reason });
        }
        self.inner.arrange(domain, groups)
    }

    fn usage(&self, domain: DomainId) -> Usage {
        self.inner.usage(domain)
    }
}

#[cfg(test)]
mod tests {
    use fsched_core::allocator::{MemoryAllocator, conformance};
    use fsched_core::cache::Ways;

    use super::*;

    #[test]
    fn it_keeps_the_contract_while_it_does_not_refuse() {
        conformance::check(|domains| Refusing::new(MemoryAllocator::new(domains, false), Arc::default()));
    }

    #[test]
    fn those_who_share_get_their_lease_also_from_a_kernel_that_refuses() {
        let domains = conformance::domains(1, 8);
        let refuses = Arc::new(Switches { divisions: true.into(), ..Switches::default() });
        let mut allocator = Refusing::new(MemoryAllocator::new(domains, false), Arc::clone(&refuses));
        let domain = allocator.domains()[0].id;
        let ways = Ways::clamped(2);
        assert!(allocator.acquire(domain, CacheAsk::Exclusive(ways)).is_err());
        assert!(allocator.acquire(domain, CacheAsk::Shared(ways)).is_ok());
        refuses.leases.store(true, Ordering::Relaxed);
        assert!(allocator.acquire(domain, CacheAsk::Shared(ways)).is_err());
        refuses.leases.store(false, Ordering::Relaxed);
        refuses.divisions.store(false, Ordering::Relaxed);
        assert!(allocator.acquire(domain, CacheAsk::Exclusive(ways)).is_ok());
    }
}
