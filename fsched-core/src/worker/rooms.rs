//! How many CPUs each domain has for functions, and who holds them.

use crate::cache::{CacheDomain, DomainId};
use crate::time::Timestamp;

/// One domain's CPUs for functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) domain: DomainId,
    /// CPUs for functions.
    pub(super) cores: u16,
    /// CPUs that nobody holds.
    pub(super) free_cores: u16,
    /// How many attempts run here.
    pub(super) running: u16,
    /// Whether the one that runs here wants to stay alone.
    pub(super) alone: bool,
    /// When its cache is looked at again; none while fewer than two share it.
    pub(super) look: Option<Timestamp>,
}

/// Spreads `cores` over the domains in proportion to their CPUs; what is left over goes to the first ones, one each.
pub(super) fn spread(cores: u16, domains: &[CacheDomain]) -> Vec<Room> {
    // Where nobody knows which CPUs there are, all domains count the same.
    let unknown = domains.iter().all(|domain| domain.cpus.is_empty());
    let weight = |domain: &CacheDomain| if unknown { 1 } else { domain.cpus.len() as u64 };
    let total: u64 = domains.iter().map(weight).sum();
    let mut rooms: Vec<Room> = domains
        .iter()
        .map(|domain| {
            let cores = (u64::from(cores) * weight(domain) / total) as u16;
            Room { domain: domain.id, cores, free_cores: cores, running: 0, alone: false, look: None }
        })
        .collect();
    let left = cores - rooms.iter().map(|room| room.cores).sum::<u16>();
    let with_cpus = rooms.iter_mut().zip(domains).filter(|(_, domain)| weight(domain) > 0);
    for (room, _) in with_cpus.take(left.into()) {
        room.cores += 1;
        room.free_cores += 1;
    }
    rooms
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::allocator::conformance::domains;
    use crate::cache::CpuId;

    fn with_cpus(counts: &[usize]) -> Vec<CacheDomain> {
        let mut domains = domains(counts.len() as u16, 8);
        for (domain, &count) in domains.iter_mut().zip(counts) {
            domain.cpus = (0..count as u16).map(CpuId).collect();
        }
        domains
    }

    fn cores(cores: u16, cpus: &[usize]) -> Vec<u16> {
        spread(cores, &with_cpus(cpus)).iter().map(|room| room.cores).collect()
    }

    #[test]
    fn cores_follow_cpus_and_the_rest_goes_to_the_first() {
        assert_eq!(cores(8, &[4, 4]), [4, 4]);
        assert_eq!(cores(3, &[4, 4]), [2, 1]);
        assert_eq!(cores(1, &[0, 4, 4]), [0, 1, 0]);
        assert_eq!(cores(6, &[8, 4]), [4, 2]);
        assert_eq!(cores(5, &[0, 0]), [3, 2]);
    }

    proptest! {
        #[test]
        fn no_core_is_lost_or_made_up(n: u16, cpus in prop::collection::vec(0usize..200, 1..20)) {
            prop_assert_eq!(cores(n, &cpus).iter().map(|&c| u32::from(c)).sum::<u32>(), u32::from(n));
        }
    }
}
