//! Benchmarks: the same function and input size, alone in one domain, at several way counts, each several times.

use std::sync::Arc;

use super::{Effect, Effects, Master, SubmitError};
use crate::cache::{Bytes, CacheGeometry, DomainId, Ways};
use crate::function::{Command, InputSize, Needs};
use crate::id::{BenchmarkId, FunctionId, InvocationId, WorkerId};
use crate::invocation::{Outcome, Report, Submission};
use crate::predictor::Bench;
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// Spread above which a point is run again, up to three times as often as configured.
const NOISY: f64 = 0.05;
/// Spread above which the numbers mean nothing: as large as the differences that are looked for.
const TOO_NOISY: f64 = 0.10;

/// What to benchmark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchmarkRequest {
    /// On whose behalf.
    pub tenant: Tenant,
    /// Which function.
    pub function: FunctionId,
    /// What to run it with; none: its own command, else the file itself.
    pub command: Option<Command>,
    /// On how much input.
    pub input_size: InputSize,
}

impl BenchmarkRequest {
    /// A function on so much input, and nothing special.
    pub fn new(function: FunctionId, input_size: InputSize) -> Self {
        Self { tenant: Tenant::default(), function, command: None, input_size }
    }
}

/// One way count of a benchmark.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchmarkPoint {
    /// How many ways.
    pub ways: Ways,
    /// How much cache that is.
    pub cache: Bytes,
    /// Each run, seconds, in order.
    pub seconds: Vec<f64>,
    /// Their median, seconds.
    pub median: f64,
    /// Their spread: 1.4826 times the median absolute deviation, over the median (for normal noise the standard
    /// deviation; Hampel 1974).
    pub noise: f64,
}

/// What a benchmark brought.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchmarkReport {
    /// Which function.
    pub function: FunctionId,
    /// On how much input.
    pub input_size: InputSize,
    /// On which worker.
    pub worker: WorkerId,
    /// In which domain.
    pub domain: DomainId,
    /// Whether masks were enforced. Where not, only the whole cache was run.
    pub enforced: bool,
    /// The points, in the order in which they were run; at least one.
    pub points: Vec<BenchmarkPoint>,
    /// The largest spread of a point.
    pub noise: f64,
    /// Whether the numbers are too noisy to mean anything.
    pub too_noisy: bool,
    /// Runs in all, the first included, which only warms up and does not count.
    pub runs: usize,
}

/// Why a benchmark brought nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BenchmarkError {
    /// A run failed.
    #[error("a run of the function failed")]
    Failed {
        /// Where.
        worker: WorkerId,
        /// What it did.
        report: Arc<Report>,
    },
    /// Someone cancelled it, or one of its runs.
    #[error("the benchmark was cancelled")]
    Cancelled,
    /// The worker it ran on went away.
    #[error("the worker went away during the benchmark: {0}")]
    WorkerLost(String),
}

/// A run of a benchmark, among the invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) benchmark: BenchmarkId,
    pub(super) worker: WorkerId,
    pub(super) domain: DomainId,
    pub(super) ways: Ways,
    /// Whether it only fills caches and does not count.
    pub(super) warm_up: bool,
}

/// Where a benchmark runs.
#[derive(Debug, Clone, Copy)]
struct Lab {
    worker: WorkerId,
    domain: DomainId,
    geometry: CacheGeometry,
    enforced: bool,
}

/// A benchmark under way.
#[derive(Debug)]
pub(super) struct Session {
    request: BenchmarkRequest,
    lab: Lab,
    warm: bool,
    /// The way count that is being run, and how long each run took.
    current: (Ways, Vec<f64>),
    points: Vec<BenchmarkPoint>,
    run: Option<InvocationId>,
    runs: usize,
}

impl Master {
    /// Benchmarks a function at an input size; the result comes as [`Effect::Benchmarked`].
    ///
    /// # Errors
    /// Where it cannot even begin.
    pub fn benchmark(
        &mut self,
        now: Timestamp,
        request: BenchmarkRequest,
    ) -> Result<(BenchmarkId, Effects), SubmitError> {
        if self.stopping {
            return Err(SubmitError::Stopping);
        }
        let function =
            self.functions.get(request.function).ok_or(SubmitError::UnknownFunction(request.function))?;
        let lab = self.find_lab(&function.spec.needs)?;
        let id = BenchmarkId(self.next_benchmark);
        self.next_benchmark += 1;
        let first = self.next_ways(&request, &lab, &[]).unwrap_or_else(|| lab.geometry.usable_ways());
        let session = Session {
            request,
            lab,
            warm: false,
            current: (first, Vec::new()),
            points: Vec::new(),
            run: None,
            runs: 0,
        };
        self.functions.use_by_one_more(session.request.function);
        self.benchmarks.insert(id, session);
        let mut effects = Effects::new();
        self.run_next(now, id, &mut effects);
        Ok((id, effects))
    }

    /// Ends a benchmark because nobody waits for it any more.
    pub fn cancel_benchmark(&mut self, now: Timestamp, id: BenchmarkId) -> Effects {
        let mut effects = Effects::new();
        let run = self.benchmarks.get(&id).and_then(|session| session.run);
        self.conclude(id, Err(BenchmarkError::Cancelled), &mut effects);
        if let Some(more) = run.and_then(|run| self.cancel(now, run).ok()) {
            effects.extend(more);
        }
        effects
    }

    /// The domain to run in: enforced before not, then the most ways, then the fewest others, then the lowest ids.
    fn find_lab(&self, needs: &Needs) -> Result<Lab, SubmitError> {
        let mut workers = self.members.view().workers().filter(|worker| worker.accepts()).peekable();
        if workers.peek().is_none() {
            return Err(SubmitError::NoWorkers);
        }
        let needs = Needs { isolation: crate::function::Isolation::Shared, ..*needs };
        workers
            .filter(|worker| needs.memory <= worker.memory)
            .flat_map(|worker| worker.domains.values().map(move |domain| (worker, domain)))
            .filter(|(_, domain)| domain.fits_empty(&needs, Ways::ONE))
            .min_by_key(|(worker, domain)| {
                let ways = domain.geometry().usable_ways();
                (
                    !worker.enforced,
                    std::cmp::Reverse(ways),
                    domain.held_alone,
                    domain.placed,
                    worker.id,
                    domain.domain.id,
                )
            })
            .map(|(worker, domain)| Lab {
                worker: worker.id,
                domain: domain.domain.id,
                geometry: *domain.geometry(),
                enforced: worker.enforced,
            })
            .ok_or(SubmitError::NeverFits)
    }

    fn next_ways(&self, request: &BenchmarkRequest, lab: &Lab, done: &[Ways]) -> Option<Ways> {
        let budget = self.config.benchmark_points;
        let bench = Bench { geometry: &lab.geometry, enforced: lab.enforced, done, budget };
        self.predictor.next_probe(request.function, request.input_size, &bench)
    }

    fn run_next(&mut self, now: Timestamp, id: BenchmarkId, effects: &mut Effects) {
        let Some(session) = self.benchmarks.get_mut(&id) else { return };
        let Lab { worker, domain, .. } = session.lab;
        let probe = Probe { benchmark: id, worker, domain, ways: session.current.0, warm_up: !session.warm };
        session.runs += 1;
        let BenchmarkRequest { ref tenant, function, ref command, input_size } = session.request;
        let submission = Submission {
            tenant: tenant.clone(),
            command: command.clone(),
            idempotent: true,
            ..Submission::new(function, input_size)
        };
        match self.accept(now, submission, Some(probe)) {
            Ok((run, more)) => {
                if let Some(session) = self.benchmarks.get_mut(&id) {
                    session.run = Some(run);
                }
                effects.extend(more);
            }
            Err(error) => self.conclude(id, Err(BenchmarkError::WorkerLost(error.to_string())), effects),
        }
    }

    /// A run of a benchmark has ended: the next one, or the result.
    pub(super) fn probe_ended(
        &mut self,
        now: Timestamp,
        probe: &Probe,
        outcome: Outcome,
        effects: &mut Effects,
    ) {
        let id = probe.benchmark;
        let Some(session) = self.benchmarks.get_mut(&id) else { return };
        let report = match outcome {
            Outcome::Ran { report, .. } if report.succeeded() => report,
            other => {
                let error = failure(other);
                self.conclude(id, Err(error), effects);
                return;
            }
        };
        if probe.warm_up {
            session.warm = true;
        } else {
            session.current.1.push(report.wall.as_secs_f64());
        }
        if !session.current_is_done(self.config.benchmark_repeats) {
            self.run_next(now, id, effects);
            return;
        }
        session.close_current();
        let (request, lab) = (session.request.clone(), session.lab);
        let done: Vec<Ways> = session.points.iter().map(|point| point.ways).collect();
        match self.next_ways(&request, &lab, &done) {
            Some(ways) => {
                if let Some(session) = self.benchmarks.get_mut(&id) {
                    session.current = (ways, Vec::new());
                }
                self.run_next(now, id, effects);
            }
            None => {
                if let Some(report) = self.benchmarks.get(&id).map(Session::report) {
                    self.conclude(id, Ok(report), effects);
                }
            }
        }
    }

    fn conclude(
        &mut self,
        id: BenchmarkId,
        result: Result<BenchmarkReport, BenchmarkError>,
        effects: &mut Effects,
    ) {
        let Some(session) = self.benchmarks.remove(&id) else { return };
        effects.push(Effect::Benchmarked { benchmark: id, result });
        if let Some(gone) = self.functions.use_by_one_less(session.request.function) {
            self.bury(gone, effects);
        }
    }
}

fn failure(outcome: Outcome) -> BenchmarkError {
    match outcome {
        Outcome::Ran { report, .. } if report.ending == crate::invocation::Ending::Cancelled => {
            BenchmarkError::Cancelled
        }
        Outcome::Ran { worker, report } => BenchmarkError::Failed { worker, report },
        Outcome::Cancelled => BenchmarkError::Cancelled,
        Outcome::Lost(_) => BenchmarkError::WorkerLost("it was lost".to_owned()),
        Outcome::Unplaceable(reason) => BenchmarkError::WorkerLost(reason),
    }
}

impl Session {
    fn current_is_done(&self, repeats: usize) -> bool {
        let times = &self.current.1;
        times.len() >= repeats && (times.len() >= 3 * repeats || median_and_noise(times).1 <= NOISY)
    }

    fn close_current(&mut self) {
        let (ways, seconds) = std::mem::replace(&mut self.current, (Ways::ONE, Vec::new()));
        let (median, noise) = median_and_noise(&seconds);
        self.points.push(BenchmarkPoint {
            ways,
            cache: self.lab.geometry.bytes(ways),
            seconds,
            median,
            noise,
        });
    }

    fn report(&self) -> BenchmarkReport {
        let noise = self.points.iter().map(|point| point.noise).fold(0.0, f64::max);
        BenchmarkReport {
            function: self.request.function,
            input_size: self.request.input_size,
            worker: self.lab.worker,
            domain: self.lab.domain,
            enforced: self.lab.enforced,
            points: self.points.clone(),
            noise,
            too_noisy: noise > TOO_NOISY,
            runs: self.runs,
        }
    }
}

/// The median, and 1.4826 times the median absolute deviation over it. Zeros for no values.
fn median_and_noise(values: &[f64]) -> (f64, f64) {
    let middle = median(values);
    let deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    let noise = if middle > 0.0 { 1.4826 * median(&deviations) / middle } else { 0.0 };
    (middle, noise)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_the_usual_spread_and_one_outlier_does_not_count() {
        assert_eq!(median_and_noise(&[]), (0.0, 0.0));
        assert_eq!(median_and_noise(&[2.0, 1.0, 3.0]), (2.0, 0.5 * 1.4826));
        assert_eq!(median_and_noise(&[1.0, 1.0, 1.0, 1.0, 90.0]), (1.0, 0.0));
    }
}
