//! The numbers of one simulation.

use std::collections::BTreeMap;
use std::time::Duration;

use fsched_core::store::EndKind;
use fsched_core::time::Timestamp;
use fsched_sim::Simulation;
use fsched_sim::simulation::Ended;
use serde::Serialize;

use super::sketch::Sketch;
use super::statistics::jain;

/// What came of one policy on one workload under one seed. Slowdowns are over the run alone with the whole cache, without its start; runs
/// that take less than 10 ms alone count as if they took that (bounded slowdown: Feitelson et al., JSSPP 1997).
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Numbers {
    pub(super) workload: String,
    pub(super) policy: &'static str,
    pub(super) seed: u64,
    /// Which share of the cores the workload keeps busy if nothing is slowed down.
    pub(super) load: f64,
    pub(super) functions: usize,
    /// Calls that count: after the warm-up.
    pub(super) calls: u64,
    /// Of those the ones that ended otherwise than well,
    pub(super) failed: u64,
    /// or did not end.
    pub(super) unfinished: u64,
    /// Slowdown by invocation, from the call to the outcome.
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    /// The mean over functions of their means.
    pub(super) function_mean: f64,
    /// What the mean is made of: waiting and messages, starting, and running; the last is 1 with the whole cache.
    pub(super) queueing: f64,
    pub(super) start: f64,
    pub(super) cache: f64,
    pub(super) cache_p99: f64,
    /// Of functions' mean slowdowns.
    pub(super) jain: f64,
    pub(super) max_over_min: f64,
    /// Ended well, per second.
    pub(super) throughput: f64,
    /// Shares that took more than 1.2, 1.5 and 2 times as long as alone.
    pub(super) late_1_2: f64,
    pub(super) late_1_5: f64,
    pub(super) late_2: f64,
    /// Ways asked for over ways there are, in the mean; may be more than 1.
    pub(super) ways_asked: f64,
    /// How often a second a mask changed of somebody who ran, in the whole cluster.
    pub(super) mask_changes: f64,
    pub(super) events: u64,
}

/// One look at the cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    /// Seconds after the workload's start.
    pub(super) at: f64,
    pub(super) ways_asked: f64,
    pub(super) cores_busy: f64,
    /// What a way is worth, seconds.
    pub(super) price: f64,
    /// Whose mask holds which ways in the first cache of the first machine: function and bits.
    pub(super) masks: Vec<(u64, u32)>,
}

/// Shorter runs count as this long.
const BOUND: Duration = Duration::from_millis(10);

/// Collects what ends.
#[derive(Debug)]
pub(super) struct Tally {
    /// Calls from then to then count.
    from: Timestamp,
    until: Timestamp,
    slowdowns: Sketch,
    cache: Sketch,
    queueing: f64,
    start: f64,
    functions: BTreeMap<usize, (f64, u64)>,
    failed: u64,
    calls: u64,
}

impl Tally {
    pub(super) fn new(from: Timestamp, until: Timestamp) -> Self {
        Self {
            from,
            until,
            slowdowns: Sketch::default(),
            cache: Sketch::default(),
            queueing: 0.0,
            start: 0.0,
            functions: BTreeMap::new(),
            failed: 0,
            calls: 0,
        }
    }

    pub(super) fn add(&mut self, ended: &[Ended]) {
        for one in ended {
            if one.submitted < self.from || one.submitted >= self.until {
                continue;
            }
            self.calls += 1;
            let Some(ran) = one.ran.filter(|_| one.end == EndKind::Exited(0)) else {
                self.failed += 1;
                continue;
            };
            let bound = one.alone.max(BOUND).as_secs_f64();
            let (start, waited) = (one.start.min(ran), one.at.since(one.submitted).saturating_sub(ran));
            let lost = ran.saturating_sub(start).as_secs_f64() - one.alone.as_secs_f64();
            let cache = 1.0 + lost.max(0.0) / bound;
            let (queueing, start) = (waited.as_secs_f64() / bound, start.as_secs_f64() / bound);
            let slowdown = queueing + start + cache;
            self.slowdowns.add(slowdown);
            self.cache.add(cache);
            self.queueing += queueing;
            self.start += start;
            let function = self.functions.entry(one.function).or_default();
            *function = (function.0 + slowdown, function.1 + 1);
        }
    }

    /// The numbers, and slowdowns at 200 quantiles.
    pub(super) fn numbers(mut self, simulation: &Simulation, looks: &[Look]) -> (Numbers, Vec<f64>) {
        let n = self.slowdowns.len().max(1) as f64;
        let shares: Vec<f64> = (1..=200).map(|i| f64::from(i) / 200.0).collect();
        let quantiles = self.slowdowns.quantiles(&shares);
        let tails = self.slowdowns.quantiles(&[0.5, 0.99, 0.999]);
        let cache_p99 = self.cache.quantiles(&[0.99])[0];
        let means: Vec<f64> = self.functions.values().map(|(sum, count)| sum / *count as f64).collect();
        let (least, most) = means.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), x| (a.min(*x), b.max(*x)));
        let unfinished =
            simulation.open_since().filter(|submitted| (self.from..self.until).contains(submitted)).count()
                as u64;
        let seconds = self.until.since(self.from).as_secs_f64().max(1e-9);
        let changes: u64 = simulation.machines().iter().map(|machine| machine.mask_changes()).sum();
        let counted: Vec<&Look> = looks.iter().collect();
        let numbers = Numbers {
            functions: simulation.config().functions.len(),
            calls: self.calls + unfinished,
            failed: self.failed,
            unfinished,
            mean: self.slowdowns.mean(),
            p50: tails[0],
            p99: tails[1],
            p999: tails[2],
            function_mean: means.iter().sum::<f64>() / means.len().max(1) as f64,
            queueing: self.queueing / n,
            start: self.start / n,
            cache: self.cache.mean(),
            cache_p99,
            jain: jain(&means),
            max_over_min: if means.is_empty() { 1.0 } else { most / least },
            throughput: self.slowdowns.len() as f64 / seconds,
            late_1_2: self.slowdowns.above(1.2),
            late_1_5: self.slowdowns.above(1.5),
            late_2: self.slowdowns.above(2.0),
            ways_asked: counted.iter().map(|look| look.ways_asked).sum::<f64>() / counted.len().max(1) as f64,
            mask_changes: changes as f64
                / simulation.now().since(fsched_sim::simulation::START).as_secs_f64().max(1e-9),
            events: simulation.counts().events,
            ..Numbers::default()
        };
        (numbers, quantiles)
    }
}

#[cfg(test)]
mod tests {
    use fsched_core::function::InputSize;
    use fsched_core::id::InvocationId;

    use super::*;

    #[test]
    fn a_slowdown_is_made_of_waiting_starting_and_running() {
        let ended = |submitted: u64, ran: Option<u64>| Ended {
            invocation: InvocationId(submitted),
            function: 0,
            input_size: InputSize(1),
            submitted: Timestamp(submitted),
            at: Timestamp(submitted) + Duration::from_secs(6),
            ran: ran.map(Duration::from_secs),
            start: Duration::from_secs(1),
            alone: Duration::from_secs(2),
            end: EndKind::Exited(0),
        };
        let mut tally = Tally::new(Timestamp(10), Timestamp(20));
        tally.add(&[ended(9, Some(4)), ended(10, Some(4)), ended(19, None), ended(20, Some(4))]);
        // Two seconds waited, one started, three ran; alone two.
        assert_eq!((tally.calls, tally.failed), (2, 1));
        assert_eq!((tally.queueing, tally.start), (1.0, 0.5));
        assert_eq!((tally.cache.mean(), tally.slowdowns.mean()), (1.5, 3.0));
    }
}
