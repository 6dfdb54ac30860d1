//! No bookkeeping of ways at all.

use super::{AllocateError, CacheAllocator, Grant, Group, LeaseId, Moved, Usage};
use crate::cache::{CacheDomain, ClosId, DomainId, WayMask};
use crate::invocation::CacheAsk;
use crate::maps::Few;

/// Everybody gets the whole usable cache of a domain in class 0: for machines whose cache cannot be split, or must not be.
///
/// It never promises what it cannot keep: an exclusive ask is refused with [`AllocateError::TooMany`] and a most of 0,
/// and its domains show no classes, whatever the hardware has.
#[derive(Debug)]
pub struct Unmanaged {
    domains: Vec<CacheDomain>,
    leases: Few<LeaseId, DomainId>,
    next_lease: u64,
}

impl Unmanaged {
    /// An allocator for these domains.
    ///
    /// # Panics
    /// Where there is no domain, where two have the same id, and where a geometry does not validate.
    pub fn new(mut domains: Vec<CacheDomain>) -> Self {
        super::sort_domains(&mut domains);
        for domain in &mut domains {
            domain.geometry.classes = 0;
            domain.geometry.validate().expect("geometries are validated where they are read");
        }
        Self { domains, leases: Few::default(), next_lease: 0 }
    }

    fn whole(&self, domain: DomainId) -> Option<WayMask> {
        super::position(&self.domains, domain).and_then(|index| self.domains[index].geometry.usable())
    }
}

impl CacheAllocator for Unmanaged {
    fn domains(&self) -> &[CacheDomain] {
        &self.domains
    }

    fn enforced(&self) -> bool {
        false
    }

    fn acquire(&mut self, domain: DomainId, ask: CacheAsk) -> Result<Grant, AllocateError> {
        let mask = self.whole(domain).ok_or(AllocateError::NoSuchDomain(domain))?;
        if let CacheAsk::Exclusive(asked) = ask {
            return Err(AllocateError::TooMany { domain, asked, most: 0 });
        }
        let lease = LeaseId(self.next_lease);
        self.next_lease += 1;
        self.leases.insert(lease, domain);
        Ok(Grant { lease, class: ClosId(0), mask, moved: Vec::new() })
    }

    fn release(&mut self, lease: LeaseId) -> Result<Vec<Moved>, AllocateError> {
        self.leases.remove(&lease).map(|_| Vec::new()).ok_or(AllocateError::NoSuchLease(lease))
    }

    fn arrange(&mut self, domain: DomainId, _: &[Group]) -> Result<Vec<Moved>, AllocateError> {
        super::position(&self.domains, domain).map(|_| Vec::new()).ok_or(AllocateError::NoSuchDomain(domain))
    }

    fn usage(&self, domain: DomainId) -> Usage {
        let Some(mask) = self.whole(domain) else { return Usage::default() };
        let ways = mask.ways().get();
        let leases = self.leases.values().filter(|of| **of == domain).count() as u32;
        let shared_ways = if leases > 0 { ways } else { 0 };
        Usage { leases, shared_ways, free_ways: ways - shared_ways, ..Usage::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;
    use crate::cache::Ways;

    #[test]
    fn it_keeps_the_contract() {
        conformance::check(Unmanaged::new);
    }

    #[test]
    fn it_promises_nothing_exclusively() {
        let mut allocator = Unmanaged::new(conformance::domains(1, 8));
        let refused = allocator.acquire(DomainId(0), CacheAsk::Exclusive(Ways::ONE));
        assert!(matches!(refused, Err(AllocateError::TooMany { most: 0, .. })));
        assert!(!allocator.enforced());
    }

    #[test]
    fn everybody_gets_the_whole_cache() {
        let mut allocator = Unmanaged::new(conformance::domains(1, 8));
        for _ in 0..3 {
            let grant = allocator.acquire(DomainId(0), CacheAsk::Shared(Ways::ONE)).unwrap();
            assert_eq!((grant.class, grant.mask.bits()), (ClosId(0), 0xff));
        }
    }
}
