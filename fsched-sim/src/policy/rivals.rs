//! What others do, as far as the seams carry it.

use std::sync::Arc;
use std::time::Duration;

use fsched_core::allocator::{CacheAllocator, Unmanaged};
use fsched_core::cache::CacheDomain;
use fsched_core::predictor::{AsymptoticConfig, AsymptoticPredictor, InterpolatingPredictor, Predictor};
use fsched_core::scheduler::{LeastLoaded, Scheduler};

use super::{Cheapest, Fixed, LeastStressed, Nearest, Policy, Resplit, Rule, Scene, Stale};
use crate::Oracle;

/// What the platform is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    /// Everybody shares the whole cache, and goes where the most cores are free.
    Unmanaged,
    /// As many equal parts as cores, for ever; placed where the most cores are free.
    Equal,
    /// The original fsched: its asymptotic predictor, best fit on a picture of free ways renewed every 5 s, nothing reserved. Its masks are as
    /// many ways as were chosen, where the fewest hold them.
    Original,
    /// CASY-like: the curve of the nearest benchmarked input size, fixed overlapping masks, the least stressed cache.
    Casy,
    /// UCP on each worker, with perfect monitors; placed where the most cores are free.
    Ucp,
    /// Placed and divided so that the slowdowns of those who run add up to the least, by true curves and by trying everything: for small
    /// caches and few cores.
    Optimum,
}

impl Policy for Rival {
    fn predictor(&self, scene: &Scene) -> Box<dyn Predictor> {
        match self {
            Self::Original => {
                // Its formula counts ways, not bytes.
                let config = AsymptoticConfig { way_size: scene.way_size };
                Box::new(AsymptoticPredictor::new(config))
            }
            Self::Casy => Box::new(Nearest::default()),
            Self::Optimum => Box::new(Oracle::new(Arc::clone(&scene.functions), 1.0, scene.random.fork(1))),
            Self::Unmanaged | Self::Equal | Self::Ucp => Box::new(InterpolatingPredictor::default()),
        }
    }

    fn scheduler(&self, scene: &Scene) -> Box<dyn Scheduler> {
        match self {
            Self::Original => Box::new(Stale::new(scene.clock.clone(), Duration::from_secs(5))),
            Self::Casy => Box::new(LeastStressed {}),
            Self::Optimum => Box::new(Cheapest::new(scene.classes)),
            Self::Unmanaged | Self::Equal | Self::Ucp => Box::new(LeastLoaded {}),
        }
    }

    fn allocator(&self, scene: &Scene, domains: Vec<CacheDomain>) -> Box<dyn CacheAllocator> {
        match self {
            Self::Unmanaged => Box::new(Unmanaged::new(domains)),
            Self::Equal => Box::new(Fixed::new(domains, Rule::Equal)),
            Self::Original => Box::new(Fixed::new(domains, Rule::Asked)),
            Self::Casy => Box::new(Fixed::new(domains, Rule::Parts)),
            Self::Ucp => Box::new(Resplit::ucp(domains, scene.arriving.clone())),
            Self::Optimum => Box::new(Resplit::optimum(domains, scene.arriving.clone())),
        }
    }
}
