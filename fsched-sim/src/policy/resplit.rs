//! Caches that are divided anew whenever somebody comes or goes, by what is true of all who run there.

use std::collections::BTreeMap;
use std::sync::Arc;

use fsched_core::allocator::{AllocateError, CacheAllocator, Grant, Group, LeaseId, Moved, Usage};
use fsched_core::cache::{CacheDomain, CacheGeometry, ClosId, DomainId, WayMask};
use fsched_core::invocation::CacheAsk;

use super::Arriving;
use crate::truths::Truth;

/// The masks of all who run in a cache, in their order; none: all share it whole.
pub(super) type Masks = fn(&CacheGeometry, &[&Held]) -> Option<Vec<WayMask>>;

/// Divides a cache anew whenever somebody comes or goes, by a rule that knows the true curves: [`Resplit::ucp`] or [`Resplit::optimum`].
///
/// It shows no classes, as these masks are not the worker's to lay out; nothing is exclusive.
#[derive(Debug)]
pub struct Resplit {
    domains: Vec<CacheDomain>,
    /// As they are: those above show none.
    geometries: Vec<CacheGeometry>,
    arriving: Arriving,
    leases: BTreeMap<LeaseId, Held>,
    next: u64,
    masks: Masks,
}

/// Who runs, and where.
#[derive(Debug)]
pub(super) struct Held {
    domain: DomainId,
    /// What it may fill now.
    pub(super) mask: WayMask,
    /// What is true of it, where that is known.
    pub(super) truth: Option<Arc<Truth>>,
}

impl Resplit {
    /// For these domains.
    ///
    /// # Panics
    /// Where there is no domain.
    pub(super) fn new(mut domains: Vec<CacheDomain>, arriving: Arriving, masks: Masks) -> Self {
        assert!(!domains.is_empty(), "an allocator needs a cache domain");
        domains.sort_by_key(|domain| domain.id);
        let geometries = domains.iter().map(|domain| domain.geometry).collect();
        domains.iter_mut().for_each(|domain| domain.geometry.classes = 0);
        Self { domains, geometries, arriving, leases: BTreeMap::new(), next: 0, masks }
    }

    /// What a lease may fill now.
    #[cfg(test)]
    pub(super) fn mask_of(&self, lease: LeaseId) -> WayMask {
        self.leases[&lease].mask
    }

    /// Divides a domain anew; who has another mask now.
    fn divide(&mut self, domain: DomainId) -> Vec<Moved> {
        let Some(at) = self.domains.iter().position(|known| known.id == domain) else { return Vec::new() };
        let geometry = self.geometries[at];
        let Some(whole) = geometry.usable() else { return Vec::new() };
        let here: Vec<LeaseId> =
            self.leases.iter().filter(|(_, held)| held.domain == domain).map(|(&lease, _)| lease).collect();
        let held: Vec<&Held> = here.iter().map(|lease| &self.leases[lease]).collect();
        let masks = (self.masks)(&geometry, &held).unwrap_or_else(|| vec![whole; held.len()]);
        let mut moved = Vec::new();
        for (lease, mask) in here.into_iter().zip(masks) {
            let Some(held) = self.leases.get_mut(&lease) else { continue };
            if held.mask != mask {
                held.mask = mask;
                moved.push(Moved { lease, class: ClosId(0), mask });
            }
        }
        moved
    }
}

impl CacheAllocator for Resplit {
    fn domains(&self) -> &[CacheDomain] {
        &self.domains
    }

    fn enforced(&self) -> bool {
        true
    }

    fn acquire(&mut self, domain: DomainId, ask: CacheAsk) -> Result<Grant, AllocateError> {
        let known = self.domains.iter().find(|known| known.id == domain);
        let mask =
            known.and_then(|known| known.geometry.usable()).ok_or(AllocateError::NoSuchDomain(domain))?;
        if let CacheAsk::Exclusive(asked) = ask {
            return Err(AllocateError::TooMany { domain, asked, most: 0 });
        }
        let lease = LeaseId(self.next);
        self.next += 1;
        self.leases.insert(lease, Held { domain, mask, truth: self.arriving.truth() });
        let mut moved = self.divide(domain);
        moved.retain(|one| one.lease != lease);
        Ok(Grant { lease, class: ClosId(0), mask: self.leases[&lease].mask, moved })
    }

    fn release(&mut self, lease: LeaseId) -> Result<Vec<Moved>, AllocateError> {
        let held = self.leases.remove(&lease).ok_or(AllocateError::NoSuchLease(lease))?;
        Ok(self.divide(held.domain))
    }

    fn arrange(&mut self, domain: DomainId, _: &[Group]) -> Result<Vec<Moved>, AllocateError> {
        let known = self.domains.iter().any(|known| known.id == domain);
        if known { Ok(Vec::new()) } else { Err(AllocateError::NoSuchDomain(domain)) }
    }

    fn usage(&self, domain: DomainId) -> Usage {
        let leases = self.leases.values().filter(|held| held.domain == domain).count() as u32;
        let known = self.domains.iter().find(|known| known.id == domain);
        let Some(ways) = known.map(|known| known.geometry.usable_ways().get()) else {
            return Usage::default();
        };
        let shared_ways = if leases > 0 { ways } else { 0 };
        Usage { leases, shared_ways, free_ways: ways - shared_ways, ..Usage::default() }
    }
}
