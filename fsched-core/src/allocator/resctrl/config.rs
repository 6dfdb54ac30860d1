//! What a [`ResctrlAllocator`](super::ResctrlAllocator) is told, and why there may be none.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::fs::FsError;
use super::schemata::ParseSchemataError;
use crate::cache::{ClosId, GeometryError};
use crate::host::resctrl::OfferError;
use crate::id::WorkerKey;

/// What begins the names of the groups of all workers of fsched.
pub const PREFIX: &str = "fsched-";

/// What an allocator is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResctrlConfig {
    /// Whose groups they are: after a crash, the worker with the same key adopts them.
    pub worker: WorkerKey,
    /// The most classes to take; none: all that are left. Each is one of every domain.
    pub max_classes: Option<u16>,
    /// Memory bandwidth of classes, in percent of the whole, for those that are not to have all.
    pub bandwidth: BTreeMap<ClosId, u8>,
    /// The file in which the root group's schemata are kept while we change them, so that they can be restored after a
    /// crash; none: after a crash the root group gets back all that nobody else has.
    pub root_backup: Option<PathBuf>,
}

impl ResctrlConfig {
    /// All classes that are left, and no limits on bandwidth.
    pub fn new(worker: WorkerKey) -> Self {
        Self { worker, max_classes: None, bandwidth: BTreeMap::new(), root_backup: None }
    }

    /// What the names of this worker's groups begin with; a number follows.
    pub(super) fn prefix(&self) -> String {
        let key = self.worker.to_string();
        format!("{PREFIX}{}.", &key[..16])
    }
}

/// Why masks cannot be enforced here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The kernel has no resctrl: it was built without, or found no processor for it.
    #[error("the kernel has no resctrl: there is no {}", .0.display())]
    NotSupported(PathBuf),
    /// It is there, but not mounted.
    #[error("resctrl is not mounted: mount -t resctrl resctrl {}", .0.display())]
    NotMounted(PathBuf),
    /// It is there for something else: monitoring, or memory bandwidth.
    #[error("resctrl cannot divide the L3 cache of this machine")]
    NoCache,
    /// It says something that makes no sense.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// Its schemata make no sense.
    #[error(transparent)]
    Schemata(#[from] ParseSchemataError),
    /// None of the L3 caches that it divides is one of the worker's.
    #[error("resctrl divides none of the L3 caches that the worker's CPUs have")]
    NoDomain,
    /// What is left of a cache is too small for any mask.
    #[error("what others have left of the cache in domain {domain} makes no mask: {source}")]
    Geometry {
        /// Which.
        domain: crate::cache::DomainId,
        /// What is wrong with it.
        source: GeometryError,
    },
    /// Others have all classes.
    #[error("no class is left: {foreign} groups are not ours, and {said}")]
    NoClass {
        /// How many groups others have.
        foreign: usize,
        /// What the kernel said to one more.
        said: String,
    },
    /// A limit on bandwidth that this machine cannot set.
    #[error("the memory bandwidth of class {class} cannot be {percent} %: {reason}")]
    Bandwidth {
        /// Of which class.
        class: ClosId,
        /// What was asked for.
        percent: u8,
        /// Why not.
        reason: String,
    },
    /// Something was refused.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl OpenError {
    /// Whether the machine could divide its cache, if somebody did something about it.
    pub fn could_be_mended(&self) -> bool {
        !matches!(self, Self::NotSupported(_) | Self::NoCache | Self::NoDomain)
    }
}
