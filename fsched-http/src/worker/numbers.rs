//! What a worker counts.

use std::time::Duration;

use fsched_core::allocator::{ClassUse, Counter as Reading};
use fsched_core::cluster::{DomainStatus, Heartbeat};
use fsched_core::invocation::{Ending, Report};
use fsched_core::transport::Refusal;
use metrics::{Counter, Histogram, Label};

use crate::error::ApiError;
use crate::metrics::Metrics;

/// The numbers of a worker beside those of its requests.
pub(super) struct WorkerMetrics {
    taken: Counter,
    endings: [Counter; ENDINGS.len()],
    refusals: [Counter; REFUSALS.len()],
    start_seconds: Histogram,
    overhead_seconds: Histogram,
    files: [Counter; 2],
    file_bytes: Counter,
}

/// How attempts end; `abandoned`: whoever ordered it went away.
const ENDINGS: [&str; 8] =
    ["exited", "failed", "signalled", "timed_out", "out_of_memory", "cancelled", "not_started", "abandoned"];
const ABANDONED: usize = 7;
/// Why orders are refused.
const REFUSALS: [&str; 6] = ["no_room", "missing_file", "stopping", "duplicate", "impossible", "other"];

impl WorkerMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let label = |name, value| vec![Label::from_static_parts(name, value)];
        let ended = "Attempts that are over, by how they ended.";
        let refused = "Orders that were not taken, by reason.";
        let files = "Files that a master sent, by whether they were kept.";
        Self {
            taken: metrics.counter("fsched_worker_orders_total", "Orders that arrived.", Vec::new()),
            endings: ENDINGS.map(|e| metrics.counter("fsched_worker_ended_total", ended, label("ending", e))),
            refusals: REFUSALS
                .map(|r| metrics.counter("fsched_worker_refused_total", refused, label("reason", r))),
            start_seconds: metrics.histogram(
                "fsched_worker_start_seconds",
                "From the arrival of an order to the start of its process.",
                Vec::new(),
            ),
            overhead_seconds: metrics.histogram(
                "fsched_worker_overhead_seconds",
                "What an order takes beside the running time of its process.",
                Vec::new(),
            ),
            files: ["kept", "failed"]
                .map(|f| metrics.counter("fsched_worker_files_total", files, label("result", f))),
            file_bytes: metrics.counter("fsched_worker_file_bytes_total", "Bytes of files kept.", Vec::new()),
        }
    }

    /// Counts an order, and its end when that is told; dropped before, it counts as abandoned.
    pub(super) fn order(&self) -> CountedOrder<'_> {
        self.taken.increment(1);
        CountedOrder { metrics: self, over: false }
    }

    pub(super) fn file(&self, received: Result<u64, &ApiError>) {
        match received {
            Ok(length) => {
                self.files[0].increment(1);
                self.file_bytes.increment(length);
            }
            Err(_) => self.files[1].increment(1),
        }
    }

    /// Sets the numbers that rise and fall.
    pub(super) fn observe(&self, metrics: &Metrics, now: &Heartbeat) {
        let gauge = |name, help, labels, value: f64| metrics.gauge(name, help, labels).set(value);
        gauge("fsched_worker_running", "Attempts that run.", Vec::new(), now.running.len() as f64);
        let memory = "Memory for functions, bytes.";
        let state = |state| Label::from_static_parts("state", state);
        let free = now.free_memory.0 as f64;
        gauge("fsched_worker_memory_bytes", memory, vec![state("free")], free);
        gauge("fsched_worker_memory_bytes", memory, vec![state("reserved")], now.memory.0 as f64 - free);
        for domain in &now.domains {
            let labels = |s| vec![Label::new("domain", domain.domain.id.to_string()), state(s)];
            for (ways_state, ways) in ways(domain) {
                gauge("fsched_worker_ways", "Ways of the cache.", labels(ways_state), f64::from(ways));
            }
            let held = domain.cores.saturating_sub(domain.free_cores);
            let cores = "CPUs for functions.";
            gauge("fsched_worker_cores", cores, labels("free"), f64::from(domain.free_cores));
            gauge("fsched_worker_cores", cores, labels("reserved"), f64::from(held));
        }
    }
}

impl WorkerMetrics {
    /// Sets what the hardware says of each class. What it does not know now (unavailable, failed, unassigned) is not a number.
    pub(super) fn observe_classes(&self, metrics: &Metrics, classes: &[ClassUse]) {
        let value = |reading: Reading| reading.bytes().map_or(f64::NAN, |bytes| bytes.0 as f64);
        for class_use in classes {
            let labels = |more: Option<Label>| {
                let domain = Label::new("domain", class_use.domain.to_string());
                let class = Label::new("class", class_use.class.to_string());
                [domain, class].into_iter().chain(more).collect::<Vec<_>>()
            };
            let monitored = &class_use.monitored;
            if monitored.occupancy != Reading::Absent {
                let help = "Cache that a class holds, bytes; NaN: the hardware cannot say now.";
                let occupancy = metrics.gauge("fsched_worker_class_occupancy_bytes", help, labels(None));
                occupancy.set(value(monitored.occupancy));
            }
            for (of, counter) in [("total", monitored.total_traffic), ("local", monitored.local_traffic)] {
                if counter != Reading::Absent {
                    let help = "Memory traffic of a class since its group was made, bytes; NaN: the hardware cannot say now.";
                    let labels = labels(Some(Label::from_static_parts("memory", of)));
                    metrics.gauge("fsched_worker_class_traffic_bytes", help, labels).set(value(counter));
                }
            }
        }
    }
}

/// How many ways are in which state; together, those that leases may be made of.
fn ways(domain: &DomainStatus) -> [(&'static str, u8); 3] {
    let usable = domain.domain.geometry.usable_ways().get();
    let shared = usable.saturating_sub(domain.free_ways).saturating_sub(domain.exclusive_ways);
    [("free", domain.free_ways), ("exclusive", domain.exclusive_ways), ("shared", shared)]
}

/// An order that is under way.
pub(super) struct CountedOrder<'a> {
    metrics: &'a WorkerMetrics,
    over: bool,
}

impl CountedOrder<'_> {
    pub(super) fn ended(&mut self, report: &Report, started_after: Duration, took: Duration) {
        self.over = true;
        let index = match report.ending {
            Ending::Exited(0) => 0,
            Ending::Exited(_) => 1,
            Ending::Signalled(_) => 2,
            Ending::TimedOut => 3,
            Ending::OutOfMemory => 4,
            Ending::Cancelled => 5,
            Ending::NotStarted(_) => 6,
        };
        self.metrics.endings[index].increment(1);
        if report.pid.is_some() {
            self.metrics.start_seconds.record(started_after.as_secs_f64());
            self.metrics.overhead_seconds.record(took.saturating_sub(report.wall).as_secs_f64());
        }
    }

    pub(super) fn refused(&mut self, refusal: &Refusal) {
        self.over = true;
        let index = match refusal {
            Refusal::NoRoom(_) => 0,
            Refusal::MissingFile => 1,
            Refusal::Stopping => 2,
            Refusal::Duplicate => 3,
            Refusal::Impossible(_) => 4,
            _ => 5,
        };
        self.metrics.refusals[index].increment(1);
    }
}

impl Drop for CountedOrder<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.metrics.endings[ABANDONED].increment(1);
        }
    }
}
