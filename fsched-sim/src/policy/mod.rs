//! What is put into the platform's seams for one simulation: which predictor, scheduler and allocator.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | [`Policy`], the seam; [`Platform`], what the platform itself can be configured to |
//! | `rivals.rs` | [`Rival`]: what others do, as far as the seams carry it |
//! | `fixed.rs` | [`Fixed`]: masks that are chosen at the start of a run and stay |
//! | `resplit.rs` | [`Resplit`]: caches divided anew at each arrival and end, by what is true |
//! | `optimum.rs` | [`Resplit::optimum`], [`Cheapest`]: the best of each moment, by trying everything |
//! | `ucp.rs` | [`Resplit::ucp`]: utility-based cache partitioning, on misses |
//! | `stale.rs` | [`Stale`]: best fit on a picture that is only renewed every few seconds |
//! | `nearest.rs` | [`Nearest`], [`LeastStressed`]: the nearest known input size, the least booked cache |
//! | `lessons.rs` | what predictors are taught before a simulation begins |

mod fixed;
mod lessons;
mod nearest;
mod optimum;
mod resplit;
mod rivals;
mod stale;
mod ucp;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fsched_core::allocator::{CacheAllocator, MemoryAllocator};
use fsched_core::cache::{Bytes, CacheDomain};
use fsched_core::predictor::{Predictor, PredictorConfig};
use fsched_core::scheduler::{Scheduler, SchedulerConfig};
use fsched_core::time::Timestamp;

pub use self::fixed::{Fixed, Rule};
pub(crate) use self::lessons::{Lessons, teach};
pub use self::nearest::{LeastStressed, Nearest};
pub use self::optimum::Cheapest;
pub use self::resplit::Resplit;
pub use self::rivals::Rival;
pub use self::stale::Stale;
use crate::random::Random;
use crate::truths::Truth;
use crate::{Oracle, SimFunction};

/// What there is to know for those who make the parts.
#[derive(Debug, Clone)]
pub struct Scene {
    /// What functions really do; a policy that looks at it is one that could not be built.
    pub functions: Arc<[SimFunction]>,
    /// What chance follows from.
    pub random: Random,
    /// The size of a way of the first machine's first cache.
    pub way_size: Bytes,
    /// How many classes that cache has.
    pub classes: u16,
    /// The time now, for what is renewed by time.
    pub clock: Clock,
    /// What the order that arrives now really does to a cache: what a machine's counters would show.
    pub arriving: Arriving,
}

/// The time now, as a simulation has it.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    /// The time now.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

/// The truth of the order that a worker is taking.
#[derive(Debug, Clone, Default)]
pub struct Arriving(Arc<Mutex<Option<Arc<Truth>>>>);

impl Arriving {
    /// Of the order that is being taken; none: none is.
    pub fn truth(&self) -> Option<Arc<Truth>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows it to whoever keeps a clone of this; mostly nobody does.
    pub(crate) fn set(&self, truth: &Arc<Truth>) {
        if Arc::strong_count(&self.0) > 1 {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(truth));
        }
    }
}

/// What is tried. Asked once per life of a master and of a worker; must make equal parts from equal scenes.
pub trait Policy: fmt::Debug + Send + Sync {
    /// Predicts, knowing nothing yet.
    fn predictor(&self, scene: &Scene) -> Box<dyn Predictor>;

    /// Places.
    fn scheduler(&self, scene: &Scene) -> Box<dyn Scheduler>;

    /// Gives shares of the caches of one machine. By default as the platform does it, with masks that the simulated cache honours.
    fn allocator(&self, scene: &Scene, domains: Vec<CacheDomain>) -> Box<dyn CacheAllocator> {
        let _ = scene;
        Box::new(MemoryAllocator::new(domains, true))
    }
}

/// Where predictions come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Predictions {
    /// From an [`Oracle`] that errs by up to this factor; 1: never.
    Oracle(f64),
    /// From one of the platform's predictors.
    Learnt(PredictorConfig),
}

/// The platform as it can be configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Platform {
    /// Which scheduler.
    pub scheduler: SchedulerConfig,
    /// Which predictor.
    pub predictions: Predictions,
}

impl Policy for Platform {
    fn predictor(&self, scene: &Scene) -> Box<dyn Predictor> {
        match &self.predictions {
            &Predictions::Oracle(error) => {
                Box::new(Oracle::new(Arc::clone(&scene.functions), error, scene.random.fork(1)))
            }
            Predictions::Learnt(config) => config.build().expect("a simulation names no model file"),
        }
    }

    fn scheduler(&self, _: &Scene) -> Box<dyn Scheduler> {
        self.scheduler.build()
    }
}
