//! Masks that are chosen at the start of a run and stay.

use std::collections::BTreeMap;

use fsched_core::allocator::{AllocateError, CacheAllocator, Grant, Group, LeaseId, Moved, Usage};
use fsched_core::cache::{CacheDomain, CacheGeometry, ClosId, DomainId, WayMask, Ways};
use fsched_core::invocation::CacheAsk;

/// How masks are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The usable ways are cut into as many equal parts as the domain has cores; a newcomer gets the part that the fewest have. Ways that are
    /// left over belong to nobody.
    Equal,
    /// As many ways as were asked for, where the fewest hold them, summed over the ways; masks may overlap.
    Asked,
    /// The whole, its halves, quarters, … down to single ways or as far as classes suffice: the smallest part that covers what was asked for,
    /// where the fewest hold it.
    Parts,
}

/// Gives masks by a [`Rule`] and never moves them; nothing is exclusive.
///
/// It shows no classes, as these masks are not the worker's to lay out.
#[derive(Debug)]
pub struct Fixed {
    rule: Rule,
    domains: Vec<CacheDomain>,
    /// By domain: the classes it had.
    classes: Vec<u16>,
    leases: BTreeMap<LeaseId, (DomainId, WayMask)>,
    next: u64,
}

impl Fixed {
    /// For these domains.
    ///
    /// # Panics
    /// Where there is no domain.
    pub fn new(mut domains: Vec<CacheDomain>, rule: Rule) -> Self {
        assert!(!domains.is_empty(), "an allocator needs a cache domain");
        domains.sort_by_key(|domain| domain.id);
        let classes = domains.iter().map(|domain| domain.geometry.classes).collect();
        domains.iter_mut().for_each(|domain| domain.geometry.classes = 0);
        Self { rule, domains, classes, leases: BTreeMap::new(), next: 0 }
    }

    fn held(&self, domain: DomainId) -> Vec<WayMask> {
        self.leases.values().filter(|(of, _)| *of == domain).map(|(_, mask)| *mask).collect()
    }
}

impl CacheAllocator for Fixed {
    fn domains(&self) -> &[CacheDomain] {
        &self.domains
    }

    fn enforced(&self) -> bool {
        true
    }

    fn acquire(&mut self, domain: DomainId, ask: CacheAsk) -> Result<Grant, AllocateError> {
        let index = self.domains.iter().position(|known| known.id == domain);
        let index = index.ok_or(AllocateError::NoSuchDomain(domain))?;
        let asked = match ask {
            CacheAsk::Exclusive(asked) => return Err(AllocateError::TooMany { domain, asked, most: 0 }),
            CacheAsk::Shared(asked) => asked,
        };
        let known = &self.domains[index];
        let (cores, classes) = (known.cpus.len().max(1) as u8, self.classes[index]);
        let candidates = candidates(self.rule, &known.geometry, cores, classes, asked);
        let held = self.held(domain);
        let crowd = |mask: &WayMask| -> u32 {
            held.iter().map(|other| (other.bits() & mask.bits()).count_ones()).sum()
        };
        let mask = candidates.into_iter().min_by_key(crowd).ok_or(AllocateError::Exhausted(domain))?;
        let lease = LeaseId(self.next);
        self.next += 1;
        self.leases.insert(lease, (domain, mask));
        Ok(Grant { lease, class: ClosId(0), mask, moved: Vec::new() })
    }

    fn release(&mut self, lease: LeaseId) -> Result<Vec<Moved>, AllocateError> {
        self.leases.remove(&lease).map(|_| Vec::new()).ok_or(AllocateError::NoSuchLease(lease))
    }

    fn arrange(&mut self, domain: DomainId, _: &[Group]) -> Result<Vec<Moved>, AllocateError> {
        let known = self.domains.iter().any(|known| known.id == domain);
        if known { Ok(Vec::new()) } else { Err(AllocateError::NoSuchDomain(domain)) }
    }

    fn usage(&self, domain: DomainId) -> Usage {
        let Some(known) = self.domains.iter().find(|known| known.id == domain) else {
            return Usage::default();
        };
        let held = self.held(domain);
        let shared = held.iter().fold(0, |all, mask| all | mask.bits()).count_ones() as u8;
        Usage {
            leases: held.len() as u32,
            shared_ways: shared,
            free_ways: known.geometry.usable_ways().get() - shared,
            ..Usage::default()
        }
    }
}

/// The masks there are to choose from, the first of equals first.
fn candidates(rule: Rule, geometry: &CacheGeometry, cores: u8, classes: u16, asked: Ways) -> Vec<WayMask> {
    let least = geometry.min_ways.get();
    let usable = geometry.usable_ways().get();
    let size = match rule {
        Rule::Equal => (usable / cores).max(least),
        Rule::Asked => asked.get().clamp(least, usable),
        Rule::Parts => {
            let mut size = usable;
            let mut parts = 1_u16;
            // All parts of one size are a class each, and so are those of all greater sizes.
            while size / 2 >= asked.get().max(least) && 4 * parts - 1 <= classes.max(1) {
                (size, parts) = (size / 2, parts * 2);
            }
            size
        }
    };
    let step = if rule == Rule::Asked { 1 } else { size };
    let first = geometry.usable().map_or(0, |mask| mask.bits().trailing_zeros() as u8);
    (0..=usable - size)
        .step_by(usize::from(step))
        .filter_map(|at| WayMask::contiguous(first + at, Ways::clamped(size)))
        .collect()
}

#[cfg(test)]
mod tests {
    use fsched_core::cache::Bytes;

    use super::*;

    fn masks(rule: Rule, asks: &[u8]) -> Vec<u32> {
        let domain = CacheDomain::nominal(4, Ways::clamped(8), Bytes::mib(1));
        let mut allocator = Fixed::new(vec![domain], rule);
        let acquire = |&ways: &u8| {
            allocator.acquire(DomainId(0), CacheAsk::Shared(Ways::clamped(ways))).unwrap().mask.bits()
        };
        asks.iter().map(acquire).collect()
    }

    #[test]
    fn each_rule_gives_the_masks_it_says() {
        assert_eq!(masks(Rule::Equal, &[8, 1, 3, 3, 1]), [0x03, 0x0c, 0x30, 0xc0, 0x03]);
        assert_eq!(masks(Rule::Asked, &[3, 5, 2]), [0x07, 0xf8, 0x03]);
        assert_eq!(masks(Rule::Parts, &[3, 2, 8, 1]), [0x0f, 0x30, 0xff, 0x40]);
    }

    #[test]
    fn a_released_part_is_given_again() {
        let domain = CacheDomain::nominal(2, Ways::clamped(8), Bytes::mib(1));
        let mut allocator = Fixed::new(vec![domain], Rule::Equal);
        let mut acquire = || allocator.acquire(DomainId(0), CacheAsk::Shared(Ways::ONE)).unwrap();
        let (first, second) = (acquire(), acquire());
        assert_eq!((first.mask.bits(), second.mask.bits()), (0x0f, 0xf0));
        allocator.release(second.lease).unwrap();
        assert_eq!(allocator.usage(DomainId(0)).free_ways, 4);
        let again = allocator.acquire(DomainId(0), CacheAsk::Shared(Ways::ONE)).unwrap();
        assert_eq!(again.mask.bits(), 0xf0);
        assert!(allocator.release(second.lease).is_err());
    }
}
