//! From facts to a snapshot.
//!
//! | file | what |
//! | --- | --- |
//! | `fold/packed.rs` | [`Packed`]: samples, in few bytes |

mod packed;

use std::collections::BTreeMap;

use self::packed::Packed;
use super::record::{InvocationRecord, Record, Snapshot, WorkerRecord};
use crate::function::Function;
use crate::id::{FunctionId, InvocationId, WorkerId};
use crate::maps::Lookup;
use crate::sample::{Kind, Sample};

impl Snapshot {
    /// Takes in one more fact.
    ///
    /// This is what facts mean, in the plainest words; it looks at every sample, so a store that takes in one
    /// fact after the other keeps a [`Fold`] instead. Facts that make no sense change nothing: the end of an
    /// invocation that is not there or has ended, a sample of a function that is not there, a second removal.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::FunctionPut(function) => {
                self.next_function = self.next_function.max(function.id.0.saturating_add(1));
                self.functions.insert(function.id, *function);
            }
            Record::FunctionRemoved(id) => {
                self.functions.remove(&id);
                self.samples.retain(|sample| sample.function != id);
            }
            Record::WorkerPut(worker) => {
                self.next_worker = self.next_worker.max(worker.id.0.saturating_add(1));
                self.workers.insert(worker.id, worker);
            }
            Record::WorkerRemoved(id) => {
                self.workers.remove(&id);
            }
            Record::Sampled(sample) => {
                let function = sample.function;
                if !self.functions.contains_key(&function) {
                    return;
                }
                let kind = sample.kind();
                self.samples.push(sample);
                let is_same = |other: &Sample| other.function == function && other.kind() == kind;
                if self.samples.iter().filter(|s| is_same(s)).count() > Self::SAMPLES_PER_FUNCTION
                    && let Some(oldest) = self.samples.iter().position(is_same)
                {
                    self.samples.remove(oldest);
                }
            }
            Record::Accepted(invocation) => {
                self.next_invocation = self.next_invocation.max(invocation.id.0.saturating_add(1));
                self.invocations.insert(invocation.id, invocation);
                self.forget_old_invocations();
            }
            Record::Ended { id, end, at } => {
                if let Some(invocation) = self.invocations.get_mut(&id) {
                    invocation.end.get_or_insert((end, at));
                    self.forget_old_invocations();
                }
            }
        }
    }

    fn forget_old_invocations(&mut self) {
        let ended = || self.invocations.values().filter(|invocation| invocation.end.is_some());
        if ended().count() > Self::INVOCATIONS
            && let Some(oldest) = ended().next().map(|invocation| invocation.id)
        {
            self.invocations.remove(&oldest);
        }
    }
}

/// Takes in fact after fact, each in logarithmic time, and shows what they add up to: what
/// [`Snapshot::apply`] would make of them one by one.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    functions: Lookup<FunctionId, Known>,
    workers: BTreeMap<WorkerId, WorkerRecord>,
    invocations: Lookup<InvocationId, InvocationRecord>,
    /// Those of them that have ended, in any order: up to twice as many as a snapshot shows, so that the oldest are looked for seldom.
    ended: Vec<InvocationId>,
    next_sample: u64,
    next_function: u64,
    next_worker: u64,
    next_invocation: u64,
}

/// A function, and what was seen of it.
#[derive(Debug, Clone)]
struct Known {
    function: Box<Function>,
    work: Packed,
    /// What is there of few functions, and little of it.
    others: Option<Box<(Packed, Packed)>>,
}

impl Known {
    fn new(function: Box<Function>) -> Self {
        Self { function, work: Packed::default(), others: None }
    }

    fn of(&mut self, kind: Kind) -> &mut Packed {
        match kind {
            Kind::Work => &mut self.work,
            Kind::Benchmark => &mut self.others.get_or_insert_default().0,
            Kind::Profile => &mut self.others.get_or_insert_default().1,
        }
    }

    fn samples(&self) -> impl Iterator<Item = (u64, Sample)> {
        let others = self.others.iter().flat_map(|others| [&others.0, &others.1]);
        others.chain([&self.work]).flat_map(|packed| packed.samples(self.function.id))
    }
}

impl Fold {
    /// Takes in one more fact.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::FunctionPut(function) => {
                self.next_function = self.next_function.max(function.id.0.saturating_add(1));
                match self.functions.get_mut(&function.id) {
                    Some(known) => known.function = function,
                    None => {
                        self.functions.insert(function.id, Known::new(function));
                    }
                }
            }
            Record::FunctionRemoved(id) => {
                self.functions.remove(&id);
            }
            Record::WorkerPut(worker) => {
                self.next_worker = self.next_worker.max(worker.id.0.saturating_add(1));
                self.workers.insert(worker.id, worker);
            }
            Record::WorkerRemoved(id) => {
                self.workers.remove(&id);
            }
            Record::Sampled(sample) => self.sampled(&sample),
            Record::Accepted(invocation) => {
                let id = invocation.id;
                self.next_invocation = self.next_invocation.max(id.0.saturating_add(1));
                let has_ended = invocation.end.is_some();
                let before = self.invocations.insert(id, invocation);
                if before.is_some_and(|before| before.end.is_some()) {
                    self.ended.retain(|one| *one != id);
                }
                if has_ended {
                    self.ended.push(id);
                }
                self.forget_old_invocations();
            }
            Record::Ended { id, end, at } => {
                if let Some(invocation) = self.invocations.get_mut(&id)
                    && invocation.end.is_none()
                {
                    invocation.end = Some((end, at));
                    self.ended.push(id);
                    self.forget_old_invocations();
                }
            }
        }
    }

    /// What the facts so far add up to.
    pub fn snapshot(&self) -> Snapshot {
        let functions = self.functions.sorted();
        let mut samples: Vec<_> = functions.iter().flat_map(|(_, known)| known.samples()).collect();
        samples.sort_unstable_by_key(|(place, _)| *place);
        let first = split_off_old(&mut self.ended.clone()).map(|(_, first)| first);
        let is_shown = |id: InvocationId, record: &InvocationRecord| {
            record.end.is_none() || first.is_none_or(|first| id >= first)
        };
        let invocations = self.invocations.sorted().into_iter().filter(|(id, record)| is_shown(**id, record));
        Snapshot {
            functions: functions.iter().map(|&(&id, known)| (id, (*known.function).clone())).collect(),
            workers: self.workers.clone(),
            samples: samples.into_iter().map(|(_, sample)| sample).collect(),
            invocations: invocations.map(|(&id, record)| (id, record.clone())).collect(),
            next_function: self.next_function,
            next_worker: self.next_worker,
            next_invocation: self.next_invocation,
        }
    }

    fn sampled(&mut self, sample: &Sample) {
        let Some(known) = self.functions.get_mut(&sample.function) else { return };
        let kept = known.of(sample.kind());
        kept.push(self.next_sample, sample);
        self.next_sample += 1;
        if kept.len() > Snapshot::SAMPLES_PER_FUNCTION {
            kept.pop();
        }
    }

    fn forget_old_invocations(&mut self) {
        if self.ended.len() >= 2 * Snapshot::INVOCATIONS
            && let Some((old, _)) = split_off_old(&mut self.ended)
        {
            for id in self.ended.drain(..old) {
                self.invocations.remove(&id);
            }
        }
    }
}

/// Puts those that a snapshot does not show any more before the others: how many they are, and the first of the others; `None` where it
/// shows all.
fn split_off_old(ended: &mut [InvocationId]) -> Option<(usize, InvocationId)> {
    let old = ended.len().checked_sub(Snapshot::INVOCATIONS).filter(|old| *old > 0)?;
    let (_, first, _) = ended.select_nth_unstable(old);
    Some((old, *first))
}

impl From<Snapshot> for Fold {
    fn from(snapshot: Snapshot) -> Self {
        let ended = snapshot.invocations.values().filter(|i| i.end.is_some()).map(|i| i.id).collect();
        let mut fold = Self {
            functions: snapshot
                .functions
                .into_iter()
                .map(|(id, known)| (id, Known::new(Box::new(known))))
                .collect(),
            workers: snapshot.workers,
            invocations: snapshot.invocations.into_iter().collect(),
            ended,
            next_function: snapshot.next_function,
            next_worker: snapshot.next_worker,
            next_invocation: snapshot.next_invocation,
            ..Self::default()
        };
        snapshot.samples.iter().for_each(|sample| fold.sampled(sample));
        fold
    }
}

impl Extend<Record> for Fold {
    fn extend<I: IntoIterator<Item = Record>>(&mut self, records: I) {
        records.into_iter().for_each(|record| self.apply(record));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::conformance::{accepted, benchmarked, ended, function, profile, records, sample};
    use super::*;
    use crate::cache::Bytes;
    use crate::function::InputSize;
    use crate::predictor::{InterpolatingPredictor, Predictor as _};
    use crate::sample::Segment;

    fn fold(records: impl IntoIterator<Item = Record>) -> Snapshot {
        let mut fold = Fold::default();
        fold.extend(records);
        fold.snapshot()
    }

    #[test]
    fn the_newest_samples_of_a_function_stay_of_every_kind() {
        let limit = Snapshot::SAMPLES_PER_FUNCTION as u64;
        let sizes = |snapshot: Snapshot| -> Vec<u64> {
            snapshot.samples.iter().filter(|s| s.function.0 == 1).map(|s| s.input_size.0).collect()
        };
        let facts: Vec<_> = [function(1), function(2), sample(2, 7), benchmarked(1, 5), profile(1, 6)]
            .into_iter()
            .chain((0..limit + 3).map(|n| sample(1, n)))
            .collect();
        let mut plain = Snapshot::default();
        facts.iter().cloned().for_each(|fact| plain.apply(fact));
        assert_eq!(plain, fold(facts));
        assert_eq!(plain.samples.len() as u64, limit + 3, "the other function keeps its own");
        let kept: Vec<_> = [5, 6].into_iter().chain(3..limit + 3).collect();
        assert_eq!(sizes(plain), kept, "work pushes out work only");
    }

    /// However much work comes after it, what was benchmarked or profiled is predicted after a restart as it was before.
    #[test]
    fn a_predictor_that_is_taught_again_predicts_the_same() {
        let run = |size: u64, mib: u64, benchmark: bool| {
            let Record::Sampled(sample) = sample(1, size) else { unreachable!("that is what it makes") };
            let seconds = size * (1 + 20 / mib);
            let segments = vec![Segment { cache: Bytes::mib(mib), duration: Duration::from_millis(seconds) }];
            Record::Sampled(Sample { segments, benchmark, ..sample })
        };
        let benchmark =
            [20, 1, 10, 5, 3, 2].into_iter().flat_map(|mib| [run(8, mib, true), run(8, mib, true)]);
        let work = (0..3 * Snapshot::SAMPLES_PER_FUNCTION as u64).map(|n| run(100 + n % 3, 4 + n % 2, false));
        let facts: Vec<_> =
            [function(1)].into_iter().chain(benchmark).chain([profile(1, 50)]).chain(work).collect();
        let (mut lived, mut restarted) =
            (InterpolatingPredictor::default(), InterpolatingPredictor::default());
        for fact in &facts {
            if let Record::Sampled(sample) = fact {
                lived.observe(sample);
            }
        }
        fold(facts).samples.iter().for_each(|sample| restarted.observe(sample));
        for size in [1, 8, 20, 50, 100, 101, 1000] {
            let predict = |p: &InterpolatingPredictor| p.predict(FunctionId(1), InputSize(size));
            assert_eq!(predict(&restarted), predict(&lived), "at {size}");
        }
    }

    #[test]
    fn the_newest_ended_invocations_stay_and_all_that_have_not_ended() {
        let limit = Snapshot::INVOCATIONS as u64;
        let facts = [accepted(0), accepted(1), accepted(2)]
            .into_iter()
            .chain((3..limit + 3).flat_map(|n| [accepted(n), ended(n)]))
            .chain([ended(1), accepted(limit + 3), ended(limit + 3)]);
        let snapshot = fold(facts);
        assert_eq!(snapshot.invocations.len() as u64, limit + 2);
        let ids: Vec<_> = snapshot.invocations.keys().take(3).map(|id| id.0).collect();
        assert_eq!(ids, [0, 2, 4], "1 and 3 have ended and are the oldest");
        assert_eq!(snapshot.next_invocation, limit + 4);
    }

    #[test]
    fn facts_that_make_no_sense_change_nothing() {
        let mut snapshot = Snapshot::default();
        let removals = [Record::FunctionRemoved(FunctionId(1)), Record::WorkerRemoved(WorkerId(1))];
        for fact in [ended(1), sample(1, 1)].into_iter().chain(removals.clone()).chain(removals) {
            snapshot.apply(fact);
        }
        assert_eq!(snapshot, Snapshot::default());
    }

    #[test]
    fn the_greatest_id_does_not_overflow() {
        assert_eq!(fold([function(u64::MAX), accepted(u64::MAX)]).next_function, u64::MAX);
    }

    proptest! {
        #[test]
        fn folding_is_applying_one_by_one(facts in records(0..60), more in records(0..60)) {
            let mut plain = Snapshot::default();
            facts.iter().cloned().for_each(|fact| plain.apply(fact));
            prop_assert_eq!(&plain, &fold(facts));

            let mut resumed = Fold::from(plain.clone());
            prop_assert_eq!(&plain, &resumed.snapshot());
            resumed.extend(more.iter().cloned());
            more.into_iter().for_each(|fact| plain.apply(fact));
            prop_assert_eq!(plain, resumed.snapshot());
        }

        #[test]
        fn counters_never_go_back(facts in records(0..60)) {
            let mut fold = Fold::default();
            let mut before = (0, 0, 0);
            for fact in facts {
                fold.apply(fact);
                let s = fold.snapshot();
                let now = (s.next_function, s.next_worker, s.next_invocation);
                prop_assert!(before.0 <= now.0 && before.1 <= now.1 && before.2 <= now.2);
                prop_assert!(s.functions.keys().all(|id| id.0 < now.0));
                prop_assert!(s.samples.iter().all(|sample| s.functions.contains_key(&sample.function)));
                before = now;
            }
        }
    }
}
