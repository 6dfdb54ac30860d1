//! A model that can be replaced while it is used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::predictor::engine::model::Model;

/// Where a predictor's model is, so that another can take its place while it predicts.
#[derive(Debug, Clone)]
pub struct ModelSlot(Arc<(Mutex<Arc<Model>>, AtomicU64)>);

impl ModelSlot {
    /// With this model.
    pub fn new(model: Arc<Model>) -> Self {
        Self(Arc::new((Mutex::new(model), AtomicU64::new(0))))
    }

    /// The model that is there.
    pub fn model(&self) -> Arc<Model> {
        Arc::clone(&self.0.0.lock())
    }

    /// Puts another there: what is asked from now on is answered by that.
    pub fn replace(&self, model: Arc<Model>) {
        *self.0.0.lock() = model;
        self.0.1.fetch_add(1, Ordering::Release);
    }

    /// How often it was replaced.
    pub(super) fn generation(&self) -> u64 {
        self.0.1.load(Ordering::Acquire)
    }
}
