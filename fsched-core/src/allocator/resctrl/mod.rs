//! Masks that hardware enforces, through the kernel's resctrl filesystem.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`ResctrlAllocator`]: ledgers, and groups that have the masks which those say |
//! | `config.rs` | [`ResctrlConfig`], and why there may be no allocator |
//! | `pool.rs` | the groups of a worker: found, adopted, made, written, given back |
//! | `bandwidth.rs` | limits on memory bandwidth, in percent |
//! | `membership.rs` | [`Membership`]: who is in which class |
//! | `monitor.rs` | occupancy and traffic of a class, read |
//! | `schemata.rs` | [`Schemata`]: the text of that file |
//! | `fs.rs` | [`ResctrlFs`]: what there is to do with such a filesystem, and its errors |
//! | `directory.rs` | [`Directory`]: the kernel's, or plain files |
//! | `fake/` | `FakeKernel`: one that only pretends, with the kernel's rules and failures on demand (feature `test-util`) |
//! | `replay.rs` | a script of operations, for comparing two of them (feature `test-util`) |

mod bandwidth;
mod config;
mod directory;
#[cfg(any(test, feature = "test-util"))]
pub mod fake;
mod fs;
mod membership;
mod monitor;
mod pool;
#[cfg(any(test, feature = "test-util"))]
pub mod replay;
mod schemata;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use self::config::{OpenError, PREFIX, ResctrlConfig};
pub use self::directory::Directory;
pub use self::fs::{Act, FsError, ResctrlFile, ResctrlFs};
pub use self::membership::Membership;
pub use self::pool::Foreign;
use self::pool::{Pool, WriteError};
pub use self::schemata::{ParseSchemataError, Schemata};
use super::{
    AllocateError, CacheAllocator, ClassChange, Grant, Group, LeaseId, Ledger, Monitor, Monitored, Moved,
    Usage, position, sort_domains,
};
use crate::cache::{CacheDomain, ClosId, DomainId};
use crate::invocation::CacheAsk;

/// Gives out ways and has the hardware keep to it.
///
/// Every class is a control group, which has a mask in each domain: K groups over D domains are K × D partitions. The
/// groups are made once, at the start, and only their masks change: no directory is made and no task is moved for a lease.
///
/// - What is written is read back and compared. A lease whose mask did not come true is refused with
///   [`AllocateError::Enforcement`], and the masks before are put back.
/// - A group that somebody removes is not made again: those in it go on in another class (they are among the moved), with
///   fewer classes from then on.
/// - The root group gives up what is exclusive, and gets it back.
/// - Groups of others are never touched. Ways that they keep for themselves are left out of the geometry.
/// - Groups outlive the process. [`close`](CacheAllocator::close) gives them back; after a crash the next start of the same
///   worker adopts them.
pub struct ResctrlAllocator {
    domains: Vec<CacheDomain>,
    ledgers: Vec<Ledger>,
    leases: BTreeMap<LeaseId, usize>,
    next_lease: u64,
    /// Domains of which hardware and ledger may differ, because something could not be written.
    stale: Vec<bool>,
    pool: Pool,
    membership: Membership,
    /// Groups of others that can fill exclusive ways, as last seen.
    intruders: Vec<String>,
}

impl ResctrlAllocator {
    /// Makes or adopts the worker's groups. `machine` are its domains, with the kernel's numbers and the sizes of the caches;
    /// what their masks may be, resctrl says. Domains that resctrl does not know are left out.
    ///
    /// # Errors
    /// Where there is no resctrl that can divide a cache of these, or nothing is left of it.
    pub fn open(
        fs: Arc<dyn ResctrlFs>,
        machine: Vec<CacheDomain>,
        config: &ResctrlConfig,
    ) -> Result<Self, OpenError> {
        let mut domains = machine;
        sort_domains(&mut domains);
        let pool = Pool::open(Arc::clone(&fs), &mut domains, config);
        fs.rest();
        let pool = pool?;
        let stale = vec![false; domains.len()];
        let ledgers = domains.iter().map(|domain| Ledger::below(domain, pool.initial(domain))).collect();
        let groups = pool.groups.iter().map(|group| group.name.clone()).collect();
        let membership = Membership { fs, groups };
        Ok(Self {
            domains,
            ledgers,
            leases: BTreeMap::new(),
            next_lease: 0,
            stale,
            pool,
            membership,
            intruders: Vec::new(),
        })
    }

    /// Who is in which class, for those who start and move processes.
    pub fn membership(&self) -> Membership {
        self.membership.clone()
    }

    /// What the hardware says of the classes, for metrics; none: it does not monitor.
    pub fn monitor(&self) -> Option<Monitor> {
        let membership = self.membership();
        let domains: Vec<DomainId> = self.domains.iter().map(|domain| domain.id).collect();
        if membership.monitor(domains[0], ClosId(0)) == Monitored::default() {
            return None;
        }
        let everywhere =
            domains.iter().flat_map(|domain| membership.classes().map(move |class| (*domain, class)));
        Some(Monitor {
            classes: everywhere.collect(),
            ask: Arc::new(move |domain, class| membership.monitor(domain, class)),
        })
    }

    /// What others have of this resctrl, as it was at the start.
    pub fn foreign(&self) -> &Foreign {
        &self.pool.foreign
    }

    /// The names of the groups, class 1 first.
    pub fn groups(&self) -> &[String] {
        &self.membership.groups
    }

    /// The masks of all classes of a domain that are to be had, class 0 first, as the ledger says.
    pub fn masks(&self, domain: DomainId) -> Vec<ClassChange> {
        position(&self.domains, domain).map_or_else(Vec::new, |index| self.ledgers[index].masks().collect())
    }

    /// Makes a change of a ledger and writes what it brings; again without the class whose group is found to be gone.
    fn change<T>(
        &mut self,
        index: usize,
        change: impl Fn(&mut Ledger) -> Result<(T, Vec<ClassChange>), AllocateError>,
    ) -> Result<(T, Vec<Moved>), AllocateError> {
        self.catch_up(index).map_err(|error| self.not_enforced(index, &error))?;
        let mut moved = Vec::new();
        for _ in 0..=self.pool.groups.len() {
            let backup = self.ledgers[index].clone();
            let (value, changes) = change(&mut self.ledgers[index])?;
            let Err((class, error)) = self.write(index, &backup, &changes) else { return Ok((value, moved)) };
            self.ledgers[index] = backup;
            let is_gone = matches!(&error, WriteError::Fs(error) if error.is_gone());
            if !is_gone || class == ClosId(0) || !self.pool.fs.is_mounted().unwrap_or(false) {
                return Err(self.not_enforced(index, &error));
            }
            tracing::error!(%class, %error, "somebody removed a group of ours: its class is lost");
            moved.extend(self.lose(class));
        }
        Err(AllocateError::Enforcement {
            domain: self.domains[index].id,
            reason: "its groups vanish faster than they are given up".to_owned(),
        })
    }

    /// Goes on without a class, in all domains; whom that moves.
    fn lose(&mut self, class: ClosId) -> Vec<Moved> {
        let mut moved = Vec::new();
        if let Some(group) =
            usize::from(class.0).checked_sub(1).and_then(|index| self.pool.groups.get_mut(index))
        {
            group.lost = true;
        }
        for domain in 0..self.ledgers.len() {
            let lost = self.ledgers[domain].lose(class);
            let backup = self.ledgers[domain].clone();
            if let Err((_, error)) = self.write(domain, &backup, &lost.changes) {
                tracing::error!(%error, "what was in a lost class may have other ways than it should");
                self.stale[domain] = true;
            }
            moved.extend(lost.moved);
        }
        moved
    }

    /// Writes changes in their order; undoes them in the opposite order where one fails, and says which.
    fn write(
        &mut self,
        index: usize,
        before: &Ledger,
        changes: &[ClassChange],
    ) -> Result<(), (ClosId, WriteError)> {
        // The root group is everybody's.
        let _lock =
            changes.iter().any(|change| change.class == ClosId(0)).then(|| pool::lock(&*self.pool.fs));
        let mut masks: BTreeMap<ClosId, u32> =
            before.masks().map(|change| (change.class, change.mask.bits())).collect();
        let alone = self.ledgers[index].exclusive_bits() & !before.exclusive_bits();
        let mut written = Vec::new();
        for change in changes {
            let bits = change.mask.bits();
            let was = masks.insert(change.class, bits);
            written.push((change.class, was, bits));
            let Err(error) = self.write_one(index, change.class, was, bits, alone) else { continue };
            if matches!(error, WriteError::Taken(_)) {
                written.pop();
            }
            // The failed one too: nobody knows how far it came.
            for (class, was, bits) in written.into_iter().rev() {
                let undone = was.map(|was| self.write_one(index, class, Some(bits), was, 0));
                self.stale[index] |= matches!(undone, Some(Err(_)));
            }
            return Err((change.class, error));
        }
        Ok(())
    }

    /// Writes all masks of a domain again, after something could not be written: first those that keep off exclusive ways.
    fn catch_up(&mut self, index: usize) -> Result<(), WriteError> {
        if !self.stale[index] {
            return Ok(());
        }
        let masks: Vec<ClassChange> = self.ledgers[index].masks().collect();
        let is_exclusive = |change: &ClassChange| self.ledgers[index].is_exclusive(change.class);
        let (last, first): (Vec<ClassChange>, Vec<ClassChange>) = masks.into_iter().partition(is_exclusive);
        let _lock = pool::lock(&*self.pool.fs);
        for change in first.into_iter().chain(last) {
            match self.write_one(index, change.class, None, change.mask.bits(), 0) {
                // Whoever next wants to write to it finds that out.
                Err(WriteError::Fs(error)) if error.is_gone() => {}
                other => other?,
            }
        }
        self.stale[index] = false;
        Ok(())
    }

    fn write_one(
        &mut self,
        index: usize,
        class: ClosId,
        was: Option<u32>,
        bits: u32,
        alone: u32,
    ) -> Result<(), WriteError> {
        let domain = &self.domains[index];
        match usize::from(class.0).checked_sub(1) {
            None => self.pool.write_root(domain, was, bits, alone),
            Some(group) => self.pool.write_mask(group, domain.id, bits),
        }
    }

    /// Looks which groups of others have ways that somebody has exclusively. The kernel gives a new group all ways that no group of
    /// its mode `exclusive` has, ours included.
    fn look_for_intruders(&mut self, there: &[String]) {
        let kept: Vec<(DomainId, u32)> = self
            .domains
            .iter()
            .map(|domain| domain.id)
            .zip(self.ledgers.iter().map(Ledger::exclusive_bits))
            .filter(|(_, bits)| *bits != 0)
            .collect();
        let found = if kept.is_empty() { Vec::new() } else { self.pool.reaching(there, &kept) };
        if found != self.intruders && !found.is_empty() {
            tracing::warn!(
                groups = found.join(", "),
                "control groups of others can fill ways that functions have exclusively"
            );
        }
        self.intruders = found;
    }

    fn not_enforced(&self, index: usize, error: &WriteError) -> AllocateError {
        AllocateError::Enforcement { domain: self.domains[index].id, reason: error.to_string() }
    }

    fn index_of(&self, domain: DomainId) -> Result<usize, AllocateError> {
        position(&self.domains, domain).ok_or(AllocateError::NoSuchDomain(domain))
    }
}

impl CacheAllocator for ResctrlAllocator {
    fn domains(&self) -> &[CacheDomain] {
        &self.domains
    }

    fn enforced(&self) -> bool {
        true
    }

    fn acquire(&mut self, domain: DomainId, ask: CacheAsk) -> Result<Grant, AllocateError> {
        let index = self.index_of(domain)?;
        let lease = LeaseId(self.next_lease);
        let (mut grant, moved) = self.change(index, |ledger| {
            let acquired = ledger.acquire(lease, ask)?;
            Ok((acquired.grant, acquired.changes))
        })?;
        self.next_lease += 1;
        self.leases.insert(lease, index);
        grant.moved = last_of_each(moved, std::mem::take(&mut grant.moved));
        Ok(grant)
    }

    fn release(&mut self, lease: LeaseId) -> Result<Vec<Moved>, AllocateError> {
        let index = *self.leases.get(&lease).ok_or(AllocateError::NoSuchLease(lease))?;
        let released = self.change(index, |ledger| {
            let released = ledger.release(lease)?;
            Ok((released.moved, released.changes))
        });
        self.leases.remove(&lease);
        if self.leases.is_empty() {
            self.pool.fs.rest();
        }
        match released {
            Ok((now, before)) => {
                let mut moved = last_of_each(before, now);
                moved.retain(|moved| moved.lease != lease);
                Ok(moved)
            }
            Err(error @ AllocateError::Enforcement { .. }) => {
                // The lease is gone all the same; what could not be written is written with the next change.
                tracing::error!(%lease, %error, "ways that became free could not be handed on");
                self.stale[index] = true;
                Ok(self.ledgers[index].release(lease)?.moved)
            }
            Err(error) => Err(error),
        }
    }

    fn arrange(&mut self, domain: DomainId, groups: &[Group]) -> Result<Vec<Moved>, AllocateError> {
        let index = self.index_of(domain)?;
        let (now, before) = self.change(index, |ledger| {
            let arranged = ledger.arrange(groups)?;
            Ok((arranged.moved, arranged.changes))
        })?;
        Ok(last_of_each(before, now))
    }

    fn usage(&self, domain: DomainId) -> Usage {
        position(&self.domains, domain).map_or_else(Usage::default, |index| self.ledgers[index].usage())
    }

    fn check(&mut self) -> Vec<Moved> {
        // Where nothing can be listed, the next write says why.
        let Ok(there) = self.pool.fs.directories("") else { return Vec::new() };
        if there.is_empty() {
            return Vec::new();
        }
        let mut moved = Vec::new();
        for class in self.pool.vanished(&there) {
            tracing::error!(%class, "somebody removed a group of ours: its class is lost");
            moved = last_of_each(moved, self.lose(class));
        }
        self.look_for_intruders(&there);
        moved
    }

    fn intruders(&self) -> Vec<String> {
        self.intruders.clone()
    }

    fn close(&mut self) -> Result<(), AllocateError> {
        if self.pool.groups.is_empty() {
            return Ok(());
        }
        self.pool.give_back().map_err(|error| AllocateError::Enforcement {
            domain: self.domains[0].id,
            reason: error.to_string(),
        })
    }
}

impl fmt::Debug for ResctrlAllocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResctrlAllocator")
            .field("root", &self.pool.fs.root())
            .field("groups", &self.membership.groups)
            .field("ledgers", &self.ledgers)
            .finish_non_exhaustive()
    }
}

/// Each lease once, with what was said of it last.
fn last_of_each(before: Vec<Moved>, now: Vec<Moved>) -> Vec<Moved> {
    let all: BTreeMap<LeaseId, Moved> =
        before.into_iter().chain(now).map(|moved| (moved.lease, moved)).collect();
    all.into_values().collect()
}
