//! Mocks of the seams, for faults that no honest double can produce; made by `mockall`.
//!
//! | mock | of | honest doubles, to be preferred |
//! | --- | --- | --- |
//! | [`MockPredictor`] | [`Predictor`] | [`FixedPredictor`](crate::predictor::FixedPredictor) |
//! | [`MockScheduler`] | [`Scheduler`] | [`LeastLoaded`](crate::scheduler::LeastLoaded) |
//! | [`MockCacheAllocator`] | [`CacheAllocator`] | [`MemoryAllocator`](crate::allocator::MemoryAllocator) |
//! | [`MockTransport`] | [`Transport`] | [`Loopback`](crate::transport::Loopback) |
//! | [`MockLauncher`] | [`Launcher`] | [`ScriptedLauncher`](crate::launcher::ScriptedLauncher) |
//! | [`MockStore`] | [`Store`] | [`MemoryStore`](crate::store::MemoryStore) |

use std::path::PathBuf;

use async_trait::async_trait;
use mockall::mock;

use crate::allocator::{AllocateError, CacheAllocator, Grant, Group, LeaseId, Moved, Usage};
use crate::cache::{CacheDomain, CacheGeometry, ClosId, DomainId, Ways};
use crate::cluster::{ClusterView, Heartbeat};
use crate::function::InputSize;
use crate::id::{AttemptId, ContentHash, FunctionId};
use crate::invocation::{CacheAsk, Order, Report};
use crate::launcher::{Launch, Launcher, OnExit, Stop};
use crate::predictor::{Bench, Prediction, Predictor};
use crate::sample::Sample;
use crate::scheduler::{PlaceError, Placement, Request, Scheduler, WaysFor};
use crate::store::{Record, Snapshot, Store, StoreError};
use crate::transport::{Address, Peer, Transport, TransportError};

mock! {
    /// A [`Predictor`] that does what it is told.
    pub Predictor {}

    impl Predictor for Predictor {
        fn observe(&mut self, sample: &Sample);
        fn forget(&mut self, function: FunctionId);
        fn predict(&self, function: FunctionId, input_size: InputSize) -> Prediction;
        fn next_probe<'a>(&self, function: FunctionId, input_size: InputSize, bench: &Bench<'a>) -> Option<Ways>;
        fn ways(&self, prediction: &Prediction, geometry: &CacheGeometry, generosity: f64) -> Ways;
    }
}

mock! {
    /// A [`Scheduler`] that does what it is told.
    pub Scheduler {}

    impl Scheduler for Scheduler {
        fn place<'a, 'b>(
            &mut self,
            request: &Request<'a>,
            ways: WaysFor<'b>,
            view: &ClusterView,
        ) -> Result<Placement, PlaceError>;
    }
}

mock! {
    /// A [`CacheAllocator`] that does what it is told.
    pub CacheAllocator {}

    impl CacheAllocator for CacheAllocator {
        fn domains(&self) -> &[CacheDomain];
        fn enforced(&self) -> bool;
        fn acquire(&mut self, domain: DomainId, ask: CacheAsk) -> Result<Grant, AllocateError>;
        fn release(&mut self, lease: LeaseId) -> Result<Vec<Moved>, AllocateError>;
        fn arrange(&mut self, domain: DomainId, groups: &[Group]) -> Result<Vec<Moved>, AllocateError>;
        fn check(&mut self) -> Vec<Moved>;
        fn usage(&self, domain: DomainId) -> Usage;
    }
}

mock! {
    /// A [`Transport`] that does what it is told.
    pub Transport {}

    #[async_trait]
    impl Transport for Transport {
        async fn execute(&self, to: &Peer, order: Order) -> Result<Report, TransportError>;
        async fn cancel(&self, to: &Peer, attempt: AttemptId) -> Result<(), TransportError>;
        async fn put_file(&self, to: &Peer, file: ContentHash, path: PathBuf) -> Result<(), TransportError>;
        async fn discard_file(&self, to: &Peer, file: ContentHash) -> Result<(), TransportError>;
        async fn inspect(&self, address: &Address) -> Result<Heartbeat, TransportError>;
    }
}

mock! {
    /// A [`Launcher`] that does what it is told.
    pub Launcher {}

    impl Launcher for Launcher {
        fn launch(&self, launch: Launch, on_exit: OnExit);
        fn stop(&self, attempt: AttemptId, how: Stop);
        fn move_to(&self, attempt: AttemptId, class: ClosId);
    }
}

mock! {
    /// A [`Store`] that does what it is told.
    pub Store {}

    #[async_trait]
    impl Store for Store {
        async fn load(&self) -> Result<Snapshot, StoreError>;
        fn append(&self, record: Record) -> Result<(), StoreError>;
        async fn flush(&self) -> Result<(), StoreError>;
    }
}
