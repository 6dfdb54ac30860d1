//! Which worker, and which of its caches?
//!
//! | file | what |
//! | --- | --- |
//! | `bin_packing.rs` | [`BinPacking`]: where it costs the least, counting what it takes from those who run there |
//! | `best_fit.rs` | [`BestFit`]: the tightest cache that still fits, as the original fsched chose |
//! | `least_loaded.rs` | [`LeastLoaded`]: the most free CPUs, blind to caches; the template for your own |
//! | `feasibility.rs` | what fits where, for every implementation: [`Room`], [`Request::rooms`], [`Request::refusal`] |
//! | `conformance.rs` | the contract as a suite, for every implementation |

mod best_fit;
mod bin_packing;
#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
mod feasibility;
mod least_loaded;
#[cfg(test)]
mod tests;

pub use best_fit::BestFit;
pub use bin_packing::{BinPacking, BinPackingConfig, BinPackingConfigError};
pub use feasibility::Room;
pub use least_loaded::LeastLoaded;

use serde::{Deserialize, Serialize};

use crate::cache::{DomainId, Ways};
use crate::cluster::ClusterView;
use crate::curve::Curve;
use crate::function::Needs;
use crate::id::{ContentHash, WorkerId};

/// What has to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What it needs.
    pub needs: Needs,
    /// How its time depends on cache.
    pub curve: &'a Curve,
    /// Its function's file, for workers that have it already.
    pub file: ContentHash,
    /// Whether nobody else may run in its domain meanwhile.
    pub alone: bool,
    /// Workers not to be used for it: it was just refused or lost there.
    pub avoid: &'a [WorkerId],
}

/// Where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// On which worker.
    pub worker: WorkerId,
    /// In which of its domains.
    pub domain: DomainId,
    /// How many ways to ask for there.
    pub ways: Ways,
}

/// Why it goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// Some worker could hold it, but none has room now: wait.
    #[error("no worker has room now")]
    NoRoom,
    /// No known worker could hold it even when empty: waiting does not help.
    #[error("no known worker is large enough")]
    NeverFits,
    /// There are no workers.
    #[error("there are no workers")]
    NoWorkers,
}

/// How many ways to ask for on a cache of a given shape: the predictor's choice, handed to the scheduler.
pub type WaysFor<'a> = &'a dyn Fn(&crate::cache::CacheGeometry) -> Ways;

/// Chooses a worker and a domain.
///
/// The caller guarantees that `view` shows every promise made so far, and makes the reservation for the
/// answer before it asks again.
///
/// An implementation must:
/// - name only a worker that accepts work, is not to be avoided, and has the CPUs, the memory and (for
///   exclusive ways) the ways and a class free in that domain;
/// - place whatever fits somewhere;
/// - tell [`PlaceError::NoRoom`] (a worker that is suspect, avoided or full could hold it later) from
///   [`PlaceError::NeverFits`] (none could, not even empty), counting workers that are dead or draining as absent;
/// - break ties by the lower worker id, then the lower domain id.
///
/// It must not remember a reservation, read a clock, or wait for anything. `&mut self` is for scratch space
/// and learnt statistics only.
pub trait Scheduler: Send {
    /// Where to run it.
    ///
    /// # Errors
    /// Says whether waiting helps.
    fn place(
        &mut self,
        request: &Request<'_>,
        ways: WaysFor<'_>,
        view: &ClusterView,
    ) -> Result<Placement, PlaceError>;
}

impl<S: Scheduler + ?Sized> Scheduler for Box<S> {
    fn place(
        &mut self,
        request: &Request<'_>,
        ways: WaysFor<'_>,
        view: &ClusterView,
    ) -> Result<Placement, PlaceError> {
        (**self).place(request, ways, view)
    }
}

/// Which scheduler to use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum SchedulerConfig {
    /// [`BinPacking`].
    BinPacking(BinPackingConfig),
    /// [`BestFit`].
    BestFit {},
    /// [`LeastLoaded`].
    LeastLoaded {},
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self::BinPacking(BinPackingConfig::default())
    }
}

impl SchedulerConfig {
    /// The scheduler it names.
    pub fn build(&self) -> Box<dyn Scheduler> {
        match self {
            Self::BinPacking(config) => Box::new(BinPacking::new(config.clone())),
            Self::BestFit {} => Box::new(BestFit::default()),
            Self::LeastLoaded {} => Box::new(LeastLoaded::default()),
        }
    }
}
