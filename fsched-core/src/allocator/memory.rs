//! Bookkeeping without hardware.

use std::collections::BTreeMap;

use super::{AllocateError, CacheAllocator, Grant, Group, LeaseId, Ledger, Moved, Usage};
use crate::cache::{CacheDomain, DomainId};
use crate::invocation::CacheAsk;

/// Ledgers and nothing else: masks are given and kept apart, but no hardware is told.
///
/// On a machine without cache partitioning it says who would have got what. In a simulation, whose model of the cache
/// honours the masks, they are as good as enforced: `enforced` says which of the two it is.
#[derive(Debug)]
pub struct MemoryAllocator {
    domains: Vec<CacheDomain>,
    ledgers: Vec<Ledger>,
    leases: BTreeMap<LeaseId, usize>,
    next_lease: u64,
    enforced: bool,
}

impl MemoryAllocator {
    /// An allocator for these domains; `enforced` where something else, a simulator, makes the masks real.
    ///
    /// # Panics
    /// Where there is no domain, where two have the same id, and where a geometry does not validate.
    pub fn new(mut domains: Vec<CacheDomain>, enforced: bool) -> Self {
        super::sort_domains(&mut domains);
        let ledgers = domains.iter().map(Ledger::new).collect();
        Self { domains, ledgers, leases: BTreeMap::new(), next_lease: 0, enforced }
    }
}

impl CacheAllocator for MemoryAllocator {
    fn domains(&self) -> &[CacheDomain] {
        &self.domains
    }

    fn enforced(&self) -> bool {
        self.enforced
    }

    fn acquire(&mut self, domain: DomainId, ask: CacheAsk) -> Result<Grant, AllocateError> {
        let index = super::position(&self.domains, domain).ok_or(AllocateError::NoSuchDomain(domain))?;
        let lease = LeaseId(self.next_lease);
        let acquired = self.ledgers[index].acquire(lease, ask)?;
        self.next_lease += 1;
        self.leases.insert(lease, index);
        Ok(acquired.grant)
    }

    fn release(&mut self, lease: LeaseId) -> Result<Vec<Moved>, AllocateError> {
        let index = self.leases.remove(&lease).ok_or(AllocateError::NoSuchLease(lease))?;
        Ok(self.ledgers[index].release(lease)?.moved)
    }

    fn arrange(&mut self, domain: DomainId, groups: &[Group]) -> Result<Vec<Moved>, AllocateError> {
        let index = super::position(&self.domains, domain).ok_or(AllocateError::NoSuchDomain(domain))?;
        Ok(self.ledgers[index].arrange(groups)?.moved)
    }

    fn usage(&self, domain: DomainId) -> Usage {
        super::position(&self.domains, domain)
            .map_or_else(Usage::default, |index| self.ledgers[index].usage())
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;

    #[test]
    fn it_keeps_the_contract() {
        conformance::check(|domains| MemoryAllocator::new(domains, false));
    }

    #[test]
    fn it_says_whether_masks_are_enforced() {
        for enforced in [false, true] {
            let allocator = MemoryAllocator::new(conformance::domains(2, 4), enforced);
            assert_eq!(allocator.enforced(), enforced);
        }
    }
}
