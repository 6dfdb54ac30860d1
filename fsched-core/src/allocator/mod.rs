//! Which mask and class, for whom?
//!
//! | file | what |
//! | --- | --- |
//! | `ledger.rs` | [`Ledger`]: the bookkeeping of one domain, pure: classes, leases, masks, and what moves when |
//! | `memory.rs` | [`MemoryAllocator`]: ledgers and nothing else; masks are enforced by nobody, or by a simulator |
//! | `resctrl/` | masks that hardware enforces, through the kernel's resctrl filesystem (feature `resctrl`) |
//! | `monitor.rs` | [`Monitored`]: what the hardware says of a class |
//! | `unmanaged.rs` | [`Unmanaged`]: everybody gets the whole cache, for machines whose cache cannot be split |
//! | `conformance.rs` | the contract as a suite, for every implementation |

#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
mod ledger;
mod memory;
mod monitor;
#[cfg(all(feature = "resctrl", target_os = "linux"))]
pub mod resctrl;
mod unmanaged;

use std::fmt;

pub use self::ledger::{Acquired, Changed, ClassChange, Ledger};
pub use self::memory::MemoryAllocator;
pub use self::monitor::{ClassUse, Counter, Monitor, Monitored};
pub use self::unmanaged::Unmanaged;
use crate::cache::{CacheDomain, ClosId, DomainId, WayMask, Ways};
use crate::invocation::CacheAsk;

/// A lease on cache, from `acquire` to `release`. Never given twice by the same allocator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "l-{}", self.0)
    }
}

/// A lease whose class or mask changed because of somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Whose.
    pub lease: LeaseId,
    /// Its class: the one it had, unless it is an answer to [`CacheAllocator::arrange`].
    pub class: ClosId,
    /// Its new ways.
    pub mask: WayMask,
}

/// Shared leases that use one mask together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Their ways.
    pub mask: WayMask,
    /// Who they are; at least one.
    pub leases: Vec<LeaseId>,
}

/// What was given, and what that moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The lease; to be released exactly once.
    pub lease: LeaseId,
    /// The class to run in.
    pub class: ClosId,
    /// Its ways.
    pub mask: WayMask,
    /// Other leases whose mask changed, each once.
    pub moved: Vec<Moved>,
}

/// What is held and free in a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Leases in all.
    pub leases: u32,
    /// Ways held exclusively.
    pub exclusive_ways: u8,
    /// Ways under at least one shared lease.
    pub shared_ways: u8,
    /// Usable ways that no lease covers.
    pub free_ways: u8,
    /// The largest exclusive lease that could be had now; 0: none.
    pub largest_exclusive: u8,
    /// Classes in use.
    pub classes: u16,
}

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// Too few ways or classes are left for an exclusive lease: wait. Never said to those who share.
    #[error("not enough ways or classes are free in domain {0}")]
    Exhausted(DomainId),
    /// More ways than the domain could ever give exclusively.
    #[error("domain {domain} can give at most {most} ways exclusively, not {asked}")]
    TooMany {
        /// Where.
        domain: DomainId,
        /// What was asked for.
        asked: Ways,
        /// The most there can be.
        most: u8,
    },
    /// Those who share cannot be laid out so.
    #[error("domain {domain} cannot be arranged so: {reason}")]
    Arrangement {
        /// Where.
        domain: DomainId,
        /// The first rule that does not hold.
        reason: Misfit,
    },
    /// The masks cannot be enforced: the system refused them. The lease is not given; others are as they were.
    #[error("the cache of domain {domain} cannot be divided now: {reason}")]
    Enforcement {
        /// Where.
        domain: DomainId,
        /// What was tried, and what the system said.
        reason: String,
    },
    /// There is no such domain.
    #[error("there is no cache domain {0}")]
    NoSuchDomain(DomainId),
    /// There is no such lease: it was released, or never given.
    #[error("there is no lease {0}")]
    NoSuchLease(LeaseId),
}

/// Why those who share cannot be laid out as was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// More groups than classes that no exclusive lease has.
    #[error("{groups} groups need as many classes, and {left} are left")]
    TooManyGroups {
        /// How many there are.
        groups: usize,
        /// How many there may be.
        left: usize,
    },
    /// A mask that is not legal for the geometry, or has ways that I/O fills too.
    #[error("the mask {0} is not legal for this cache")]
    IllegalMask(WayMask),
    /// A mask with a way that somebody has exclusively.
    #[error("the mask {0} has ways that are exclusively somebody's")]
    ExclusiveWays(WayMask),
    /// A group without leases.
    #[error("nobody is in the group with the mask {0}")]
    NobodyIn(WayMask),
    /// A lease that is exclusive, of another domain, or not there.
    #[error("{0} is no shared lease of this domain")]
    NotShared(LeaseId),
    /// A lease in two groups, or twice in one.
    #[error("{0} is named twice")]
    NamedTwice(LeaseId),
    /// A shared lease that is in no group.
    #[error("{0} is in no group")]
    LeftOut(LeaseId),
}

/// Gives out shares of the caches of one machine.
///
/// An implementation must:
/// - give masks that are legal for the geometry, outside its shareable bits;
/// - keep the ways of an exclusive lease from every other lease, at every moment, also in the middle of a change
///   (shrink before growing);
/// - give an exclusive lease at least the ways asked for, or refuse it;
/// - never refuse a shared lease, unless the system refuses masks ([`AllocateError::Enforcement`]): give what is left, or let it share; it gets at most what it asked for where it
///   has a class of its own that nobody arranged;
/// - list in `moved` every other lease whose mask changed, and keep every lease's class until an [`arrange`](Self::arrange)
///   gives it another;
/// - keep arranged masks as they are until the next arrangement, but for ways that somebody gets exclusively;
/// - after all leases are released be as it was when it was made.
///
/// It is called inline by the worker: bounded local work, no waiting on peers.
pub trait CacheAllocator: Send {
    /// The machine's cache domains, by rising id; at least one, and always the same.
    fn domains(&self) -> &[CacheDomain];

    /// Whether masks are enforced.
    fn enforced(&self) -> bool;

    /// Gives a share of a domain's cache.
    ///
    /// # Errors
    /// [`AllocateError::Exhausted`] and [`AllocateError::TooMany`] for exclusive asks only;
    /// [`AllocateError::NoSuchDomain`].
    fn acquire(&mut self, domain: DomainId, ask: CacheAsk) -> Result<Grant, AllocateError>;

    /// Takes a share back; what others get of it is in the answer.
    ///
    /// # Errors
    /// [`AllocateError::NoSuchLease`] where it was taken back before.
    fn release(&mut self, lease: LeaseId) -> Result<Vec<Moved>, AllocateError>;

    /// Lays the shared leases of a domain out anew: each group gets a class with its mask, which is legal for the geometry
    /// and outside its shareable bits and all exclusive ways. Every shared lease of the domain is in exactly one group;
    /// exclusive leases stay where they are and are not named. There are no more groups than classes that no exclusive
    /// lease has; the masks of groups may overlap. Says which leases got another mask **or class**, each once: who was
    /// started in the old class has to be moved to the new one. As few leases as possible change their class.
    ///
    /// Where there are no classes, nothing can be laid out: everything is accepted, and nothing changes.
    ///
    /// # Errors
    /// [`AllocateError::Arrangement`] and [`AllocateError::NoSuchDomain`]; nothing has changed then.
    fn arrange(&mut self, domain: DomainId, groups: &[Group]) -> Result<Vec<Moved>, AllocateError>;

    /// Looks whether what was taken from the system for dividing the cache is still there, from time to time; who has to go on
    /// without some of it is in the answer, each once.
    fn check(&mut self) -> Vec<Moved> {
        Vec::new()
    }

    /// Groups of others whose masks have ways that somebody has exclusively, as the last [`check`](Self::check) found them: where a system
    /// lets others divide the cache too, they may come at any time.
    fn intruders(&self) -> Vec<String> {
        Vec::new()
    }

    /// Gives back to the system what was taken for dividing the cache, after the last lease. Nothing can be acquired then.
    ///
    /// # Errors
    /// [`AllocateError::Enforcement`] where something stays behind.
    fn close(&mut self) -> Result<(), AllocateError> {
        Ok(())
    }

    /// What is held and free; all zero for a domain that there is not.
    fn usage(&self, domain: DomainId) -> Usage;
}

impl<A: CacheAllocator + ?Sized> CacheAllocator for Box<A> {
    fn domains(&self) -> &[CacheDomain] {
        (**self).domains()
    }

    fn enforced(&self) -> bool {
        (**self).enforced()
    }

    fn acquire(&mut self, domain: DomainId, ask: CacheAsk) -> Result<Grant, AllocateError> {
        (**self).acquire(domain, ask)
    }

    fn release(&mut self, lease: LeaseId) -> Result<Vec<Moved>, AllocateError> {
        (**self).release(lease)
    }

    fn arrange(&mut self, domain: DomainId, groups: &[Group]) -> Result<Vec<Moved>, AllocateError> {
        (**self).arrange(domain, groups)
    }

    fn check(&mut self) -> Vec<Moved> {
        (**self).check()
    }

    fn intruders(&self) -> Vec<String> {
        (**self).intruders()
    }

    fn close(&mut self) -> Result<(), AllocateError> {
        (**self).close()
    }

    fn usage(&self, domain: DomainId) -> Usage {
        (**self).usage(domain)
    }
}

/// Puts domains in the order that [`CacheAllocator::domains`] promises.
fn sort_domains(domains: &mut [CacheDomain]) {
    domains.sort_by_key(|domain| domain.id);
    assert!(!domains.is_empty(), "an allocator needs a cache domain");
    assert!(domains.windows(2).all(|pair| pair[0].id != pair[1].id), "two cache domains with one id");
}

/// Where a domain stands among `domains`, which are sorted.
fn position(domains: &[CacheDomain], domain: DomainId) -> Option<usize> {
    domains.binary_search_by_key(&domain, |domain| domain.id).ok()
}
