//! The master's numbers: what is measured as it happens, and what is read off when somebody looks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use fsched_core::cache::{CacheGeometry, DomainId, Ways};
use fsched_core::cluster::ClusterView;
use fsched_core::function::{Function, InputSize};
use fsched_core::id::{FunctionId, WorkerId};
use fsched_core::master::{Stats, WorkerInfo};
use fsched_core::predictor::{Bench, Lesson, Prediction, Predictor};
use fsched_core::sample::Sample;
use fsched_core::scheduler::{PlaceError, Placement, Request, Scheduler, WaysFor};
use fsched_core::tenant::Tenant;
use metrics::{Counter, Gauge, Histogram, Label};
use parking_lot::Mutex;

use super::routes;
use crate::metrics::Metrics;
use crate::wire::api::DomainRow;

/// The master's numbers. Made before the master, whose predictor and scheduler are to be measured.
#[derive(Debug)]
pub struct MasterNumbers {
    metrics: Arc<Metrics>,
    prediction: Histogram,
    placement: Histogram,
    ratio: Histogram,
    states: [Gauge; 3],
    queue: Gauge,
    workers: [Gauge; 4],
    accepted: Counter,
    refused: Counter,
    failed_over: Counter,
    changing: Mutex<Changing>,
}

/// Numbers whose labels come and go.
#[derive(Debug, Default)]
struct Changing {
    ended: HashMap<&'static str, Counter>,
    accepted_for: HashMap<Tenant, Counter>,
    ways: HashMap<(WorkerId, DomainId), [Gauge; 3]>,
}

impl Default for MasterNumbers {
    fn default() -> Self {
        let metrics = Arc::new(Metrics::new(&routes::names()));
        let invocations = |state| {
            let labels = vec![Label::new("state", state)];
            metrics.gauge(
                "fsched_invocations",
                "Invocations that have not ended, by where they stand.",
                labels,
            )
        };
        let workers = |state| {
            metrics.gauge("fsched_workers", "Workers, by how they stand.", vec![Label::new("state", state)])
        };
        let counter = |name, help| metrics.counter(name, help, Vec::new());
        let histogram = |name, help| metrics.histogram(name, help, Vec::new());
        Self {
            prediction: histogram("fsched_prediction_seconds", "Time the predictor took for a curve."),
            placement: histogram("fsched_placement_seconds", "Time the scheduler took for a placement."),
            ratio: histogram(
                "fsched_observed_to_predicted_ratio",
                "Observed over predicted running time of successful runs: 1 is as predicted.",
            ),
            states: ["queued", "fetching", "running"].map(invocations),
            queue: metrics.gauge("fsched_queue_depth", "Invocations that wait for room.", Vec::new()),
            workers: ["alive", "draining", "suspect", "dead"].map(workers),
            accepted: counter("fsched_invocations_accepted_total", "Invocations accepted."),
            refused: counter("fsched_invocations_refused_total", "Invocations refused."),
            failed_over: counter(
                "fsched_invocations_failed_over_total",
                "Second tries after a worker was lost.",
            ),
            changing: Mutex::default(),
            metrics,
        }
    }
}

impl MasterNumbers {
    /// Where they are kept.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// A predictor whose time is measured.
    pub fn timed_predictor(&self, inner: Box<dyn Predictor>) -> Box<dyn Predictor> {
        Box::new(TimedPredictor { inner, seconds: self.prediction.clone() })
    }

    /// A scheduler whose time is measured.
    pub fn timed_scheduler(&self, inner: Box<dyn Scheduler>) -> Box<dyn Scheduler> {
        Box::new(TimedScheduler { inner, seconds: self.placement.clone() })
    }

    /// Notes how a successful run compares with what was expected.
    pub(super) fn compare(&self, observed: f64, predicted: f64) {
        if predicted > 0.0 {
            self.ratio.record(observed / predicted);
        }
    }

    /// All numbers as Prometheus text, with those that are read off set to `stats` and `workers`.
    pub(super) fn render(&self, stats: &Stats, workers: &[WorkerInfo]) -> String {
        for (gauge, n) in self.states.iter().zip([stats.queued, stats.fetching, stats.running]) {
            gauge.set(n as f64);
        }
        self.queue.set(stats.queued as f64);
        let by_state =
            [stats.workers_alive, stats.workers_draining, stats.workers_suspect, stats.workers_dead];
        for (gauge, n) in self.workers.iter().zip(by_state) {
            gauge.set(n as f64);
        }
        self.accepted.absolute(stats.accepted);
        self.refused.absolute(stats.refused);
        self.failed_over.absolute(stats.failed_over);
        let mut changing = self.changing.lock();
        for (&kind, &n) in &stats.ended {
            changing.ended.entry(kind).or_insert_with(|| self.ended(kind)).absolute(n);
        }
        for (tenant, &n) in &stats.accepted_for {
            let counter = changing.accepted_for.entry(tenant.clone());
            counter.or_insert_with(|| self.accepted_for(tenant)).absolute(n);
        }
        changing.set_ways(workers, |worker, domain| self.ways(worker, domain));
        drop(changing);
        self.metrics.render()
    }

    fn ended(&self, kind: &'static str) -> Counter {
        let labels = vec![Label::new("kind", kind)];
        self.metrics.counter("fsched_invocations_ended_total", "Invocations ended, by how.", labels)
    }

    fn accepted_for(&self, tenant: &Tenant) -> Counter {
        let labels = vec![Label::new("tenant", tenant.to_string())];
        let help = "Invocations accepted, by tenant.";
        self.metrics.counter("fsched_tenant_invocations_accepted_total", help, labels)
    }

    fn ways(&self, worker: WorkerId, domain: DomainId) -> [Gauge; 3] {
        let [reserved, free] = ["reserved", "free"].map(|state| {
            let labels = vec![
                Label::new("worker", worker.to_string()),
                Label::new("domain", domain.to_string()),
                Label::new("state", state),
            ];
            self.metrics.gauge("fsched_ways", "Ways by worker and domain: reserved, or free.", labels)
        });
        let labels = vec![Label::new("worker", worker.to_string()), Label::new("domain", domain.to_string())];
        let help = "What a way is worth by worker and domain: seconds that those who run there would lose without it.";
        [reserved, free, self.metrics.gauge("fsched_way_price_seconds", help, labels)]
    }
}

impl Changing {
    /// Sets what is there; what is there no more is set to zero.
    fn set_ways(&mut self, workers: &[WorkerInfo], make: impl Fn(WorkerId, DomainId) -> [Gauge; 3]) {
        self.ways.values().flatten().for_each(|gauge| gauge.set(0.0));
        for info in workers {
            for view in info.view.iter().flat_map(|view| view.domains.values()) {
                let row = DomainRow::from(view);
                let key = (info.id, view.domain.id);
                let [reserved, free, price] = self.ways.entry(key).or_insert_with(|| make(key.0, key.1));
                reserved.set(f64::from(row.reserved_ways));
                free.set(f64::from(row.free_ways));
                price.set(view.price().unwrap_or(0.0));
            }
        }
    }
}

struct TimedPredictor {
    inner: Box<dyn Predictor>,
    seconds: Histogram,
}

impl Predictor for TimedPredictor {
    fn introduce(&mut self, function: &Function) {
        self.inner.introduce(function);
    }

    fn observe(&mut self, sample: &Sample) {
        self.inner.observe(sample);
    }

    fn forget(&mut self, function: FunctionId) {
        self.inner.forget(function);
    }

    fn predict(&self, function: FunctionId, input_size: InputSize) -> Prediction {
        let started = Instant::now();
        let prediction = self.inner.predict(function, input_size);
        self.seconds.record(started.elapsed().as_secs_f64());
        prediction
    }

    fn lesson(&self, function: FunctionId) -> Lesson {
        self.inner.lesson(function)
    }

    fn next_probe(&self, function: FunctionId, input_size: InputSize, bench: &Bench<'_>) -> Option<Ways> {
        self.inner.next_probe(function, input_size, bench)
    }

    fn ways(&self, prediction: &Prediction, geometry: &CacheGeometry, generosity: f64) -> Ways {
        self.inner.ways(prediction, geometry, generosity)
    }
}

struct TimedScheduler {
    inner: Box<dyn Scheduler>,
    seconds: Histogram,
}

impl Scheduler for TimedScheduler {
    fn place(
        &mut self,
        request: &Request<'_>,
        ways: WaysFor<'_>,
        view: &ClusterView,
    ) -> Result<Placement, PlaceError> {
        let started = Instant::now();
        let placement = self.inner.place(request, ways, view);
        self.seconds.record(started.elapsed().as_secs_f64());
        placement
    }
}
