//! Utility-based cache partitioning, on misses.

use std::collections::BTreeMap;
use std::sync::Arc;

use fsched_core::allocator::{AllocateError, CacheAllocator, Grant, Group, LeaseId, Moved, Usage};
use fsched_core::cache::{CacheDomain, CacheGeometry, ClosId, DomainId, WayMask, Ways};
use fsched_core::invocation::CacheAsk;
use fsched_core::split::{self, Problem, Room, Row, Rule, Runner, Wanted};

use super::Arriving;
use crate::truths::Truth;

/// Splits a cache anew whenever somebody comes or goes, by the lookahead on misses per second (Qureshi and Patt, MICRO 2006). Its
/// monitors are perfect: it knows what each run misses from the start. More runners than ways share the whole cache.
///
/// It shows no classes, as these masks are not the worker's to lay out; nothing is exclusive.
#[derive(Debug)]
pub struct Ucp {
    domains: Vec<CacheDomain>,
    arriving: Arriving,
    leases: BTreeMap<LeaseId, Held>,
    next: u64,
}

#[derive(Debug)]
struct Held {
    domain: DomainId,
    mask: WayMask,
    truth: Option<Arc<Truth>>,
}

impl Ucp {
    /// For these domains.
    ///
    /// # Panics
    /// Where there is no domain.
    pub fn new(mut domains: Vec<CacheDomain>, arriving: Arriving) -> Self {
        assert!(!domains.is_empty(), "an allocator needs a cache domain");
        domains.sort_by_key(|domain| domain.id);
        domains.iter_mut().for_each(|domain| domain.geometry.classes = 0);
        Self { domains, arriving, leases: BTreeMap::new(), next: 0 }
    }

    /// Splits a domain anew; who has another mask now.
    fn split(&mut self, domain: DomainId) -> Vec<Moved> {
        let Some(known) = self.domains.iter().find(|known| known.id == domain) else { return Vec::new() };
        let geometry = known.geometry;
        let Some(whole) = geometry.usable() else { return Vec::new() };
        let here: Vec<LeaseId> =
            self.leases.iter().filter(|(_, held)| held.domain == domain).map(|(&lease, _)| lease).collect();
        let masks = {
            let held: Vec<&Held> = here.iter().map(|lease| &self.leases[lease]).collect();
            masks(&geometry, &held).unwrap_or_else(|| vec![whole; held.len()])
        };
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

/// The masks of the lookahead's split; none where there are more runners than it has ways.
fn masks(geometry: &CacheGeometry, held: &[&Held]) -> Option<Vec<WayMask>> {
    let ways = 1..=geometry.usable_ways().get();
    let row = |of: &dyn Fn(Ways) -> f64| {
        Row::new(&ways.clone().map(Ways::clamped).map(of).collect::<Vec<_>>()).ok()
    };
    let rows: Vec<(Row, Option<Row>)> = held
        .iter()
        .map(|held| {
            let Some(truth) = &held.truth else { return Some((row(&|_| 1.0)?, None)) };
            let alone = truth.alone(geometry).as_secs_f64().max(1e-9);
            let times = row(&|ways| truth.curve.seconds(geometry, ways) / alone)?;
            let misses = |ways| truth.misses(geometry.bytes(ways)).unwrap_or(0.0) / alone;
            Some((times, truth.curve.traffic().and_then(|_| row(&misses))))
        })
        .collect::<Option<_>>()?;
    let runners: Vec<Runner<'_>> = rows
        .iter()
        .map(|(times, misses)| Runner { misses: misses.as_ref(), ..Runner::new(1.0, times) })
        .collect();
    let room = Room::of(geometry);
    let solution = split::split(&Problem { room, runners: &runners }, Rule::MissLookahead).ok()?;
    let wanted: Vec<Wanted> =
        solution.ways.iter().zip(held).map(|(&ways, held)| Wanted { ways, now: Some(held.mask) }).collect();
    split::lay_out(room, &wanted)
}

impl CacheAllocator for Ucp {
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
        let mut moved = self.split(domain);
        moved.retain(|one| one.lease != lease);
        Ok(Grant { lease, class: ClosId(0), mask: self.leases[&lease].mask, moved })
    }

    fn release(&mut self, lease: LeaseId) -> Result<Vec<Moved>, AllocateError> {
        let held = self.leases.remove(&lease).ok_or(AllocateError::NoSuchLease(lease))?;
        Ok(self.split(held.domain))
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

#[cfg(test)]
mod tests {
    use fsched_core::cache::Bytes;
    use fsched_core::curve::{Curve, Provenance, Traffic, TrafficPoint};

    use super::*;

    #[test]
    fn who_misses_less_with_more_ways_gets_them() {
        let traffic = |points: &[(u64, f64)]| {
            let points = points
                .iter()
                .map(|&(mib, misses)| TrafficPoint { cache: Bytes::mib(mib), misses, accesses: 1e6 })
                .collect();
            Curve::flat(1.0, 1.0, Provenance::Simulated)
                .with_traffic(Traffic::new(points, Provenance::Simulated).ok())
        };
        let arriving = Arriving::default();
        let domain = CacheDomain::nominal(4, Ways::clamped(8), Bytes::mib(1));
        let mut ucp = Ucp::new(vec![domain], arriving.clone());
        let mut acquire = |id, points: &[(u64, f64)]| {
            arriving.set(Some(Arc::new(Truth { id, curve: traffic(points) })));
            ucp.acquire(DomainId(0), CacheAsk::Shared(Ways::ONE)).unwrap()
        };
        // A stream gains nothing; a loop of six ways gains all at once.
        let stream = acquire(0, &[(1, 1e9)]);
        assert_eq!(stream.mask.ways().get(), 8);
        let cliff = acquire(1, &[(5, 1e9), (6, 0.0)]);
        assert!(cliff.mask.ways().get() >= 6, "{cliff:?}");
        assert_eq!(cliff.moved.len(), 1);
        assert!(!cliff.moved[0].mask.overlaps(cliff.mask));
        assert_eq!(ucp.release(cliff.lease).unwrap()[0].mask.ways().get(), 8);
        assert_eq!(ucp.usage(DomainId(0)).leases, 1);
    }
}
